//! NVML's C API (nvml.h), by name from the library that is there. What a driver does not have, a Jetson's above all, is `None`.

use std::{
    ffi::{c_char, c_int, c_uint, c_ulonglong, c_void},
    path::Path,
};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

/// `nvmlReturn_t`: 0 is success.
pub(super) type Code = c_int;
/// `nvmlDevice_t`.
pub(super) type Handle = *mut c_void;

/// `NVML_SUCCESS`.
pub(super) const SUCCESS: Code = 0;
/// `NVML_TEMPERATURE_GPU`.
pub(super) const TEMPERATURE_GPU: c_int = 0;
/// `NVML_CLOCK_SM`.
pub(super) const CLOCK_SM: c_int = 1;
/// `NVML_CLOCK_MEM`.
pub(super) const CLOCK_MEM: c_int = 2;
/// `NVML_CLOCK_VIDEO`.
pub(super) const CLOCK_VIDEO: c_int = 3;

/// `nvmlUtilization_t`: per cent.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Utilization {
    pub(super) gpu: c_uint,
    pub(super) memory: c_uint,
}

/// `nvmlMemory_t`: bytes.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct MemoryInfo {
    pub(super) total: c_ulonglong,
    pub(super) free: c_ulonglong,
    pub(super) used: c_ulonglong,
}

type Number = unsafe extern "C" fn(Handle, *mut c_uint) -> Code;
type Kinds = unsafe extern "C" fn(Handle, c_int, *mut c_uint) -> Code;
type Sampled = unsafe extern "C" fn(Handle, *mut c_uint, *mut c_uint) -> Code;

macro_rules! functions {
    (
        needed { $($needed:ident = $symbol:literal: $type:ty;)* }
        perhaps { $($field:ident = [$($name:literal),+]: $perhaps:ty;)* }
    ) => {
        /// The functions that are used.
        pub(super) struct Functions {
            $(pub(super) $needed: $type,)*
            $(pub(super) $field: Option<$perhaps>,)*
            /// Outlives the pointers.
            _library: Library,
        }

        impl Functions {
            fn of(library: Library) -> Result<Self, libloading::Error> {
                $(
                    // SAFETY: this function has this signature in nvml.h of every driver that CUDA 11.4 and later run on.
                    let $needed = *unsafe { library.get::<$type>(concat!($symbol, "\0").as_bytes()) }?;
                )*
                $(
                    let $field = [$(concat!($name, "\0")),+].iter().find_map(|name| {
                        // SAFETY: as above, where the library has it.
                        unsafe { library.get::<$perhaps>(name.as_bytes()) }.ok().map(|symbol| *symbol)
                    });
                )*
                Ok(Self { $($needed,)* $($field,)* _library: library })
            }
        }
    };
}

functions! {
    needed {
        init = "nvmlInit_v2": unsafe extern "C" fn() -> Code;
        shutdown = "nvmlShutdown": unsafe extern "C" fn() -> Code;
        count = "nvmlDeviceGetCount_v2": unsafe extern "C" fn(*mut c_uint) -> Code;
        handle = "nvmlDeviceGetHandleByIndex_v2": unsafe extern "C" fn(c_uint, *mut Handle) -> Code;
    }
    perhaps {
        error = ["nvmlErrorString"]: unsafe extern "C" fn(Code) -> *const c_char;
        driver = ["nvmlSystemGetDriverVersion"]: unsafe extern "C" fn(*mut c_char, c_uint) -> Code;
        name = ["nvmlDeviceGetName"]: unsafe extern "C" fn(Handle, *mut c_char, c_uint) -> Code;
        utilization = ["nvmlDeviceGetUtilizationRates"]: unsafe extern "C" fn(Handle, *mut Utilization) -> Code;
        decoder = ["nvmlDeviceGetDecoderUtilization"]: Sampled;
        encoder = ["nvmlDeviceGetEncoderUtilization"]: Sampled;
        temperature = ["nvmlDeviceGetTemperature"]: Kinds;
        power = ["nvmlDeviceGetPowerUsage"]: Number;
        power_limit = ["nvmlDeviceGetEnforcedPowerLimit"]: Number;
        clock = ["nvmlDeviceGetClockInfo"]: Kinds;
        max_clock = ["nvmlDeviceGetMaxClockInfo"]: Kinds;
        memory = ["nvmlDeviceGetMemoryInfo"]: unsafe extern "C" fn(Handle, *mut MemoryInfo) -> Code;
        // Called so since driver 535.
        reasons = ["nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"]:
            unsafe extern "C" fn(Handle, *mut c_ulonglong) -> Code;
    }
}

impl Functions {
    /// Loads the library, by path or by the name that the system's loader knows.
    pub(super) fn load(path: &Path) -> Result<Self, libloading::Error> {
        // SAFETY: loading NVIDIA's library runs its initialisers, which any program that links it runs at its start.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }?;
        Self::of(library)
    }
}
