//! Device memory.

use std::{fmt, sync::Arc};

use cudarc::driver::{CudaContext, CudaStream, result};

use crate::CudaError;

/// Memory that tensors lie in.
///
/// # Safety
/// From `address` on there are `bytes` bytes, of the device that works with them (for tensors on the host: of the host), aligned to
/// 256 bytes, and they stay there as long as the value lives.
pub unsafe trait Memory: Send + Sync {
    /// Where it begins.
    fn address(&self) -> u64;
    /// How long it is.
    fn bytes(&self) -> u64;
}

pub(crate) fn failed(call: &'static str) -> impl Fn(result::DriverError) -> CudaError {
    move |error| CudaError::Call { call, code: error.0 as u32 }
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
    /// [`CudaError::Call`]; code 2 where there is not as much.
    pub fn new(context: &Arc<CudaContext>, bytes: u64) -> Result<Self, CudaError> {
        context.bind_to_thread().map_err(failed("cuCtxSetCurrent"))?;
        // CUDA refuses an allocation of nothing.
        // SAFETY: the context is current; the memory is freed once, on drop.
        let address = unsafe { result::malloc_sync(bytes.max(1) as usize) }.map_err(failed("cuMemAlloc"))?;
        Ok(Self { context: Arc::clone(context), address, bytes })
    }

    /// Memory with these bytes; waits for the stream that copies them.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of(stream: &CudaStream, bytes: &[u8]) -> Result<Self, CudaError> {
        let memory = Self::new(stream.context(), bytes.len() as u64)?;
        // SAFETY: the memory is as large, and both live until the stream is waited for below.
        unsafe { result::memcpy_htod_async(memory.address, bytes, stream.cu_stream()) }.map_err(failed("cuMemcpyHtoDAsync"))?;
        stream.synchronize().map_err(failed("cuStreamSynchronize"))?;
        Ok(memory)
    }

    /// Its first bytes, at most as many as there are, when all work on the stream is done.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn read(&self, stream: &CudaStream, to: &mut [u8]) -> Result<(), CudaError> {
        self.context.bind_to_thread().map_err(failed("cuCtxSetCurrent"))?;
        let len = to.len().min(self.bytes as usize);
        // SAFETY: both have as many bytes, and both live until the stream is waited for below.
        unsafe { result::memcpy_dtoh_async(&mut to[..len], self.address, stream.cu_stream()) }
            .map_err(failed("cuMemcpyDtoHAsync"))?;
        stream.synchronize().map_err(failed("cuStreamSynchronize"))
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
