//! Memory and streams that TensorRT works with.

use std::{ffi::c_void, fmt, sync::Arc};

use cudarc::driver::{CudaContext, CudaStream, result};

use super::Error;

/// Memory that tensors lie in.
///
/// # Safety
/// From `address` on there are `bytes` bytes, of the device that the engine runs on (for tensors on the host: of the host), aligned to
/// 256 bytes, and they stay there as long as the value lives.
pub unsafe trait Memory: Send + Sync {
    /// Where it begins.
    fn address(&self) -> u64;
    /// How long it is.
    fn bytes(&self) -> u64;
}

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

/// Device memory of its own, for as long as it lives.
pub struct DeviceMemory {
    context: Arc<CudaContext>,
    address: u64,
    bytes: u64,
}

impl DeviceMemory {
    /// Allocates in that CUDA context.
    ///
    /// # Errors
    /// [`Error::Cuda`]; code 2 where there is not as much.
    pub fn new(context: &Arc<CudaContext>, bytes: u64) -> Result<Self, Error> {
        context.bind_to_thread().map_err(failed("cuCtxSetCurrent"))?;
        // CUDA refuses an allocation of nothing.
        // SAFETY: the context is current; the memory is freed once, on drop.
        let address = unsafe { result::malloc_sync(bytes.max(1) as usize) }.map_err(failed("cuMemAlloc"))?;
        Ok(Self { context: Arc::clone(context), address, bytes })
    }
}

// SAFETY: cuMemAlloc aligns to 256 bytes at least, and the memory is freed on drop only.
unsafe impl Memory for DeviceMemory {
    fn address(&self) -> u64 {
        self.address
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: allocated in `new`, freed nowhere else. A failure here (a device that is lost) has nobody to tell.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}

impl fmt::Debug for DeviceMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceMemory({} bytes)", self.bytes)
    }
}
