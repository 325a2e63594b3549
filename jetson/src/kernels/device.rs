//! The kernels on a device: loaded once, launched on the caller's streams, with memory that is there before the first batch.
//!
//! Nothing here waits for a device as a whole. What a launch reads and writes is held until it is done, so that batch N's pictures may
//! be drawn and its outputs decoded while batch N±1 is with the engine: give each of the three its own stream and let them wait for
//! each other's events ([`Letterboxer::draw`] and [`Decoding::enqueue`] tell theirs).

mod decoding;
mod letterboxer;

use std::{collections::BTreeMap, ffi::CString, path::PathBuf, sync::Arc};

use cudarc::driver::{CudaContext, CudaStream, result, sys};

pub use decoding::{Decoding, Ticket};
pub use letterboxer::{DeviceFrame, Letterboxer};

use super::{
    CacheError, Launch, Nvrtc, NvrtcError, Params, PtxCache, Target, UNITS, decode::DecodeFault, letterbox::WindowError,
};
use crate::{Cuda, CudaError};

/// Why something does not run on a device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The driver refuses. After some errors (700 and above) the context is lost for good.
    #[error("the CUDA driver fails in {call}: error {code}")]
    Call {
        /// The driver's function.
        call: &'static str,
        /// `CUresult`.
        code: u32,
    },
    /// There is no PTX.
    #[error(transparent)]
    Ptx(#[from] CacheError),
    /// There is no driver, or no memory.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// A picture cannot be drawn.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// Memory is too small for what is to be read or written.
    #[error("{what} has {found} bytes where {needed} are needed")]
    Size {
        /// Which memory.
        what: &'static str,
        /// What it has.
        found: u64,
        /// What it needs.
        needed: u64,
    },
    /// All results are still to be read: more batches are under way than the decoder was made for.
    #[error("{0} batches are under way and none of them is read")]
    Busy(usize),
    /// Results that were read or dropped already.
    #[error("these results were read already")]
    Read,
    /// The outputs of a picture cannot be.
    #[error("picture {picture}: {fault}")]
    Fault {
        /// Its place in the batch.
        picture: usize,
        /// What is wrong.
        fault: DecodeFault,
    },
}

pub(super) fn failed(call: &'static str) -> impl Fn(result::DriverError) -> DeviceError {
    move |error| DeviceError::Call { call, code: error.0 as u32 }
}

/// All kernels, loaded into a device's context.
pub struct Kernels {
    context: Arc<CudaContext>,
    modules: Vec<sys::CUmodule>,
    functions: BTreeMap<&'static str, sys::CUfunction>,
}

// SAFETY: the driver's handles may be used from any thread; the maps do not change after `load`.
unsafe impl Send for Kernels {}
// SAFETY: as above.
unsafe impl Sync for Kernels {}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernels({:?})", self.functions.keys())
    }
}

impl Kernels {
    /// Opens a device by its number and loads the kernels, with the NVRTC of `folders` or of the system that serves it, and the PTX of
    /// `cache`.
    ///
    /// # Errors
    /// [`DeviceError::Cuda`] where there is no driver, and as [`Self::load`].
    pub fn open(ordinal: usize, folders: &[PathBuf], cache: &PtxCache) -> Result<Arc<Self>, DeviceError> {
        let driver = Cuda::probe()?;
        let context = CudaContext::new(ordinal).map_err(failed("cuDevicePrimaryCtxRetain"))?;
        let nvrtc = Nvrtc::find(folders, target(&context)?, Some(driver.version)).map_err(CacheError::from)?;
        Self::load(&context, &nvrtc, cache)
    }

    /// Compiles what is not in the cache, for the context's device, and loads it.
    ///
    /// # Errors
    /// [`DeviceError::Ptx`] and [`DeviceError::Call`].
    pub fn load(context: &Arc<CudaContext>, nvrtc: &Nvrtc, cache: &PtxCache) -> Result<Arc<Self>, DeviceError> {
        let target = target(context)?;
        context.bind_to_thread().map_err(failed("cuCtxSetCurrent"))?;
        let mut kernels = Self { context: Arc::clone(context), modules: Vec::new(), functions: BTreeMap::new() };
        for unit in &UNITS {
            let (ptx, _) = cache.get(nvrtc, unit, target)?;
            let nul = |error: std::ffi::NulError| {
                CacheError::Nvrtc(NvrtcError::Call { call: "nvrtcGetPTX", reason: error.to_string() })
            };
            let text = CString::new(ptx).map_err(nul)?;
            // SAFETY: the context is current, and the PTX ends with a NUL.
            let module = unsafe { result::module::load_data(text.as_ptr().cast()) }.map_err(failed("cuModuleLoadData"))?;
            kernels.modules.push(module);
            for entry in unit.entries {
                let name = CString::new(*entry).map_err(nul)?;
                // SAFETY: the module was loaded just now and is unloaded on drop only.
                let function = unsafe { result::module::get_function(module, name) }.map_err(failed("cuModuleGetFunction"))?;
                kernels.functions.insert(entry, function);
            }
        }
        Ok(Arc::new(kernels))
    }

    /// A stream of its own.
    ///
    /// # Errors
    /// [`DeviceError::Call`].
    pub fn stream(&self) -> Result<Arc<CudaStream>, DeviceError> {
        self.context.new_stream().map_err(failed("cuStreamCreate"))
    }

    /// The device's context.
    pub fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    /// Puts a launch on a stream.
    ///
    /// # Safety
    /// The addresses in its parameters are valid for what the kernel reads and writes, until the stream has done it.
    unsafe fn launch<P: Params>(&self, stream: &CudaStream, launch: &Launch<P>) -> Result<(), DeviceError> {
        let Launch { entry, grid, block, ref params } = *launch;
        // An empty batch: the driver refuses grids of nothing.
        if grid.contains(&0) {
            return Ok(());
        }
        let function = *self.functions.get(entry).ok_or(DeviceError::Call { call: "cuModuleGetFunction", code: 500 })?;
        self.context.bind_to_thread().map_err(failed("cuCtxSetCurrent"))?;
        let mut arguments = [std::ptr::from_ref(params).cast_mut().cast()];
        let [grid, block] = [grid, block].map(|[x, y, z]| (x, y, z));
        // SAFETY: the function takes one struct of this type, which the driver copies before the call returns. The caller vouches for
        // the addresses.
        unsafe { result::launch_kernel(function, grid, block, 0, stream.cu_stream(), &mut arguments) }
            .map_err(failed("cuLaunchKernel"))
    }
}

fn target(context: &CudaContext) -> Result<Target, DeviceError> {
    let (major, minor) = context.compute_capability().map_err(failed("cuDeviceGetAttribute"))?;
    Ok(Target { major: major.unsigned_abs(), minor: minor.unsigned_abs() })
}

impl Drop for Kernels {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            for module in &self.modules {
                // SAFETY: loaded in `load`, unloaded nowhere else. A failure here has nobody to tell.
                let _ = unsafe { result::module::unload(*module) };
            }
        }
    }
}
