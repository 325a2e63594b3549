//! Memory and streams that TensorRT works with.

use std::ffi::c_void;

use cudarc::driver::{CudaStream, result};

pub use crate::memory::{DeviceMemory, Memory};

use super::Error;

/// A CUDA stream.
///
/// # Safety
/// `raw` is a `CUstream` that lives as long as the value, and after `synchronize` returned without an error, all work that was put on
/// it before is done.
pub unsafe trait Stream: Send + Sync {
    /// The `CUstream`.
    fn raw(&self) -> *mut c_void;
    /// Waits for the work on it.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    fn synchronize(&self) -> Result<(), Error>;
}

pub(super) fn failed(call: &'static str) -> impl Fn(result::DriverError) -> Error {
    move |error| Error::Cuda { call, code: error.0 as u32 }
}

// SAFETY: cudarc's stream owns its CUstream, and its synchronize is cuStreamSynchronize.
unsafe impl Stream for CudaStream {
    fn raw(&self) -> *mut c_void {
        self.cu_stream().cast()
    }

    fn synchronize(&self) -> Result<(), Error> {
        CudaStream::synchronize(self).map_err(failed("cuStreamSynchronize"))
    }
}
