//! For tests: a `libnvidia-ml.so.1` that says what it is told to (`doubles/nvml/nvml.cpp`).

use std::{
    ffi::{CString, c_char, c_longlong},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::{Nvml, NvmlError};

/// Which of its libraries is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A driver for desktop GPUs: every function, two devices.
    Desktop,
    /// Few functions, and those under their older names, one device: much less than a Jetson's may have.
    Sparse,
}

static TURN: Mutex<()> = Mutex::new(());

/// The double, held alone until it is dropped, which puts everything to rest.
pub struct Double {
    kind: Kind,
    library: Library,
    _turn: MutexGuard<'static, ()>,
}

impl Double {
    /// Waits for other tests of this process, then opens it.
    ///
    /// # Errors
    /// [`NvmlError::Refused`].
    pub fn new(kind: Kind) -> Result<Self, NvmlError> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let path = path(kind);
        // SAFETY: a library of ours without initialisers.
        let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) }
            .map_err(|error| NvmlError::Refused { library: path, reason: error.to_string() })?;
        let double = Self { kind, library, _turn: turn };
        double.set("rest", 0);
        Ok(double)
    }

    /// Its NVML.
    ///
    /// # Errors
    /// As [`Nvml::open_at`].
    pub fn open(&self) -> Result<Nvml, NvmlError> {
        Nvml::open_at(&path(self.kind))
    }

    /// Turns a knob of `nvml.cpp`, of its first device. Returns whether there is such a one.
    pub fn set(&self, knob: &str, value: i64) -> bool {
        type Turn = unsafe extern "C" fn(*const c_char, c_longlong) -> i32;
        let Ok(knob) = CString::new(knob) else { return false };
        // SAFETY: it has this signature in `nvml.cpp`.
        let Ok(turn) = (unsafe { self.library.get::<Turn>(b"egret_nvml_set\0") }) else { return false };
        // SAFETY: the name ends with a NUL and is only read.
        unsafe { turn(knob.as_ptr(), value) == 1 }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.set("rest", 0);
    }
}

fn path(kind: Kind) -> PathBuf {
    let folder = match kind {
        Kind::Desktop => "desktop",
        Kind::Sparse => "sparse",
    };
    Path::new(env!("EGRET_NVML_DOUBLES")).join(folder).join(super::SONAME)
}
