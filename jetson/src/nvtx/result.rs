//! A tool that is injected once and called safely.

use std::{ffi::CStr, path::Path};

use super::sys;

/// A tool that listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tool {
    push: sys::Push,
    pop: sys::Pop,
}

impl Tool {
    pub(super) fn inject(path: &Path) -> Result<Self, String> {
        sys::inject(path).map(|(push, pop)| Self { push, pop })
    }

    pub(super) fn push(self, name: &CStr) {
        // SAFETY: the text ends with a NUL and outlives the call; tools copy it. What comes back is a depth that nobody needs.
        let _ = unsafe { (self.push)(name.as_ptr()) };
    }

    pub(super) fn pop(self) {
        // SAFETY: takes nothing; ends this thread's innermost range.
        let _ = unsafe { (self.pop)() };
    }
}
