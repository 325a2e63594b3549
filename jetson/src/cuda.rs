//! The CUDA driver, loaded at run time.

use cudarc::driver::{result, sys};

/// The CUDA driver of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cuda {
    /// The newest CUDA that the driver can serve, e.g. `(12, 6)`.
    pub version: (u32, u32),
    /// Names of the devices, e.g. `Orin`.
    pub devices: Vec<String>,
}

/// Why the CUDA driver is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    /// `libcuda.so.1` cannot be loaded.
    #[error("no CUDA driver")]
    Absent,
    /// The driver is there and refuses: e.g. 801 on Thor when `/sys` cannot be read, 100 without a device.
    #[error("the CUDA driver fails in {call}: error {code}")]
    Call {
        /// The driver's function.
        call: &'static str,
        /// `CUresult`.
        code: u32,
    },
}

/// Whether a `CUresult` means that nothing runs in this process's context any more, until the process begins anew (CUDA driver API:
/// "the process must be terminated and relaunched", contexts that are gone, memory that cannot be corrected, devices that fell away).
pub fn is_lost(code: u32) -> bool {
    matches!(code, 4 | 46 | 201 | 214 | 220 | 226 | 700 | 702 | 709 | 710 | 714..=719 | 721 | 999)
}

impl CudaError {
    /// Whether the device has not as much memory as was asked for.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Call { code: 2, .. })
    }
}

impl Cuda {
    /// Asks the driver, if there is one.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn probe() -> Result<Self, CudaError> {
        // SAFETY: loading the driver library runs its initialisers, which is what any CUDA program does at its start.
        // Every other call of cudarc panics where the library is missing, so this comes first.
        if !unsafe { sys::is_culib_present() } {
            return Err(CudaError::Absent);
        }
        let failed = |call| move |error: result::DriverError| CudaError::Call { call, code: error.0 as u32 };
        let mut version = 0;
        // SAFETY: the pointer is valid for the one integer that is written; the call needs no cuInit (CUDA driver API, 6.3).
        unsafe { sys::cuDriverGetVersion(&raw mut version) }.result().map_err(failed("cuDriverGetVersion"))?;
        result::init().map_err(failed("cuInit"))?;
        let count = result::device::get_count().map_err(failed("cuDeviceGetCount"))?;
        let name = |ordinal| result::device::get_name(result::device::get(ordinal)?);
        let devices = (0..count).map(name).collect::<Result<_, _>>().map_err(failed("cuDeviceGetName"))?;
        let version = version.unsigned_abs();
        Ok(Self { version: (version / 1000, version % 1000 / 10), devices })
    }
}
