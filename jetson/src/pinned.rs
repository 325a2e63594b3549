//! Host memory that a device reads and writes without a copy in between.

use std::{ffi::c_void, ptr::NonNull, sync::Arc};

use cudarc::driver::{CudaContext, result};

use crate::{CudaError, memory::failed};

/// Page-locked memory, of zeros at first; cached, since the host reads it.
pub(crate) struct Pinned {
    context: Arc<CudaContext>,
    at: NonNull<c_void>,
    bytes: usize,
}

// SAFETY: it is plain memory that this value alone owns.
unsafe impl Send for Pinned {}
// SAFETY: as above; writing takes `&mut`.
unsafe impl Sync for Pinned {}

impl Pinned {
    pub(crate) fn new(context: &Arc<CudaContext>, bytes: usize) -> Result<Self, CudaError> {
        context.bind_to_thread().map_err(failed("cuCtxSetCurrent"))?;
        let bytes = bytes.max(1);
        // SAFETY: the context is current; the memory is freed once, on drop.
        let at = unsafe { result::malloc_host(bytes, 0) }.map_err(failed("cuMemHostAlloc"))?;
        let at = NonNull::new(at).ok_or(CudaError::Call { call: "cuMemHostAlloc", code: 2 })?;
        // SAFETY: there are as many bytes as asked for.
        unsafe { at.as_ptr().cast::<u8>().write_bytes(0, bytes) };
        Ok(Self { context: Arc::clone(context), at, bytes })
    }

    /// The bytes. No work that writes them may be under way.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: as many bytes as were allocated and set to 0. Work on streams that touches them is waited for by the owners of this
        // value before they ask.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr().cast(), self.bytes) }
    }

    /// The same to be written. No work that reads them may be under way.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr().cast(), self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: allocated in `new`, freed nowhere else. A failure here has nobody to tell.
            let _ = unsafe { result::free_host(self.at.as_ptr()) };
        }
    }
}
