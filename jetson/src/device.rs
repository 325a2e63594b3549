//! One GPU, opened.

use std::{fmt, path::Path, sync::Arc};

use cudarc::driver::{CudaContext, CudaStream, result::DriverError, sys::CUdevice_attribute};

use crate::{Cuda, CudaError, telemetry};

/// A GPU and its primary context, in which TensorRT and the kernels work. Opening it again gives the same context.
pub struct Device {
    context: Arc<CudaContext>,
    name: String,
    capability: (u32, u32),
}

fn failed(call: &'static str) -> impl Fn(DriverError) -> CudaError {
    move |error| CudaError::Call { call, code: error.0 as u32 }
}

impl Device {
    /// Opens the GPU of that number, from 0.
    ///
    /// # Errors
    /// [`CudaError`]: there is no driver, no such device, or the driver refuses.
    pub fn open(ordinal: usize) -> Result<Arc<Self>, CudaError> {
        // Where the driver is missing every other call of cudarc panics.
        Cuda::probe()?;
        let context = CudaContext::new(ordinal).map_err(failed("cuDevicePrimaryCtxRetain"))?;
        let name = context.name().map_err(failed("cuDeviceGetName"))?;
        let (major, minor) = context.compute_capability().map_err(failed("cuDeviceGetAttribute"))?;
        Ok(Arc::new(Self { context, name, capability: (major.unsigned_abs(), minor.unsigned_abs()) }))
    }

    /// Its name, e.g. `Orin`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its compute capability, e.g. `(8, 7)`.
    pub fn capability(&self) -> (u32, u32) {
        self.capability
    }

    /// Makes its context the calling thread's, as TensorRT needs it.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn bind(&self) -> Result<(), CudaError> {
        self.context.bind_to_thread().map_err(failed("cuCtxSetCurrent"))
    }

    /// A stream of its own.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn stream(&self) -> Result<Arc<CudaStream>, CudaError> {
        self.context.new_stream().map_err(failed("cuStreamCreate"))
    }

    /// Bytes of memory that can still be allocated on it. Where it works in the machine's own memory (Jetson), the driver counts pages
    /// that hold copies of files as taken, though they are given back at once: there the kernel's `MemAvailable` counts if it is more.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn free_memory(&self) -> Result<u64, CudaError> {
        let (free, _) = self.context.mem_get_info().map_err(failed("cuMemGetInfo"))?;
        let integrated = self.context.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_INTEGRATED);
        let integrated = integrated.map_err(failed("cuDeviceGetAttribute"))? != 0;
        let available = if integrated { telemetry::available_memory(Path::new("/")) } else { None };
        Ok((free as u64).max(available.unwrap_or(0)))
    }

    /// Its context.
    pub fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.capability;
        write!(f, "Device({:?}, {major}.{minor})", self.name)
    }
}
