//! The shim's table of functions, as `shim/shim.h` has it, field by field.

use std::ffi::{c_char, c_int, c_void};

pub(super) const OK: i32 = 0;
pub(super) const INVALID: i32 = 1;
pub(super) const REFUSED: i32 = 2;
pub(super) const EXCEPTION: i32 = 3;
pub(super) const TOO_OLD: i32 = 4;

pub(super) const MAX_DIMS: usize = 8;

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Dims {
    pub(super) rank: i32,
    pub(super) d: [i64; MAX_DIMS],
}

#[repr(C)]
#[derive(Default)]
pub(super) struct Tensor {
    pub(super) data_type: i32,
    pub(super) format: i32,
    pub(super) is_output: i32,
    pub(super) on_host: i32,
    pub(super) shape: Dims,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Sink {
    pub(super) user: *mut c_void,
    pub(super) put: unsafe extern "C" fn(user: *mut c_void, data: *const c_void, size: usize),
}

#[repr(C)]
pub(super) struct Calls {
    pub(super) user: *mut c_void,
    pub(super) log: unsafe extern "C" fn(user: *mut c_void, severity: i32, message: *const c_char),
    pub(super) progress: Option<
        unsafe extern "C" fn(user: *mut c_void, event: i32, phase: *const c_char, parent: *const c_char, steps: i32) -> i32,
    >,
}

#[repr(C)]
pub(super) struct ParserError {
    pub(super) code: i32,
    pub(super) line: i32,
    pub(super) node: i32,
    pub(super) description: *const c_char,
    pub(super) file: *const c_char,
    pub(super) function: *const c_char,
    pub(super) node_name: *const c_char,
    pub(super) node_operator: *const c_char,
}

#[repr(C)]
pub(super) struct Range {
    pub(super) name: *const c_char,
    pub(super) min: Dims,
    pub(super) opt: Dims,
    pub(super) max: Dims,
}

pub(super) const TF32: u32 = 1 << 0;
pub(super) const GPU_FALLBACK: u32 = 1 << 1;
pub(super) const VERSION_COMPATIBLE: u32 = 1 << 2;
pub(super) const EXCLUDE_LEAN_RUNTIME: u32 = 1 << 3;
pub(super) const SPARSE_WEIGHTS: u32 = 1 << 4;
pub(super) const DISABLE_TIMING_CACHE: u32 = 1 << 5;
pub(super) const DETAILED_LAYERS: u32 = 1 << 6;

#[repr(C)]
pub(super) struct Config {
    pub(super) flags: u32,
    pub(super) optimization_level: i32,
    pub(super) max_tactics: i32,
    pub(super) max_aux_streams: i32,
    pub(super) max_threads: i32,
    pub(super) dla_core: i32,
    pub(super) hardware_compatibility: i32,
    pub(super) workspace_bytes: i64,
    pub(super) dla_sram_bytes: i64,
    pub(super) dla_local_dram_bytes: i64,
    pub(super) dla_global_dram_bytes: i64,
    pub(super) tactic_dram_bytes: i64,
}

#[repr(C)]
pub(super) struct Layer {
    pub(super) name: *const c_char,
    pub(super) kind: i32,
    pub(super) on_dla: i32,
}

/// An object on the other side of the border.
macro_rules! opaque {
    ($($name:ident),*) => {$(
        #[repr(C)]
        pub(super) struct $name {
            _private: [u8; 0],
        }
    )*};
}
opaque!(Host, Runtime, Engine, Context, Build);

pub(super) type Create = unsafe extern "C" fn(logger: *mut c_void, version: i32) -> *mut c_void;
pub(super) type CreateParser = unsafe extern "C" fn(network: *mut c_void, logger: *mut c_void, version: c_int) -> *mut c_void;
pub(super) type InitPlugins = unsafe extern "C" fn(logger: *mut c_void, name_space: *const c_char) -> bool;
type PutError = unsafe extern "C" fn(user: *mut c_void, code: i32, description: *const c_char);
type PutParserError = unsafe extern "C" fn(user: *mut c_void, error: *const ParserError);
type PutLayer = unsafe extern "C" fn(user: *mut c_void, layer: *const Layer);

/// `egret_trt_api`.
#[repr(C)]
pub(super) struct Api {
    pub(super) size: usize,
    pub(super) headers: i32,

    pub(super) host_new: unsafe extern "C" fn(*const Calls, *mut *mut Host) -> i32,
    pub(super) host_free: unsafe extern "C" fn(*mut Host),
    pub(super) host_errors: unsafe extern "C" fn(*mut Host, *mut c_void, PutError),
    pub(super) host_init_plugins: unsafe extern "C" fn(*mut Host, InitPlugins) -> i32,

    pub(super) runtime_new: unsafe extern "C" fn(Create, i32, *mut Host, *mut Host, *mut *mut Runtime) -> i32,
    pub(super) runtime_free: unsafe extern "C" fn(*mut Runtime),
    pub(super) runtime_dla: unsafe extern "C" fn(*mut Runtime, i32, *mut i32) -> i32,
    pub(super) runtime_allow_host_code: unsafe extern "C" fn(*mut Runtime) -> i32,
    pub(super) runtime_deserialize: unsafe extern "C" fn(*mut Runtime, *mut Host, *const c_void, usize, *mut *mut Engine) -> i32,

    pub(super) engine_free: unsafe extern "C" fn(*mut Engine),
    pub(super) engine_counts: unsafe extern "C" fn(*mut Engine, *mut i32, *mut i32, *mut i32) -> i32,
    pub(super) engine_tensor: unsafe extern "C" fn(*mut Engine, i32, *mut Tensor, Sink) -> i32,
    pub(super) engine_profile: unsafe extern "C" fn(*mut Engine, i32, *const c_char, *mut Range) -> i32,
    pub(super) engine_memory: unsafe extern "C" fn(*mut Engine, i32, *mut i64) -> i32,
    pub(super) engine_inspect: unsafe extern "C" fn(*mut Engine, Sink) -> i32,

    pub(super) context_new: unsafe extern "C" fn(*mut Engine, *mut Host, i32, *mut *mut Context) -> i32,
    pub(super) context_free: unsafe extern "C" fn(*mut Context),
    pub(super) context_memory: unsafe extern "C" fn(*mut Context, *mut c_void, i64) -> i32,
    pub(super) context_profile: unsafe extern "C" fn(*mut Context, i32, *mut c_void) -> i32,
    pub(super) context_set_shape: unsafe extern "C" fn(*mut Context, *const c_char, *const Dims) -> i32,
    pub(super) context_shape: unsafe extern "C" fn(*mut Context, *const c_char, *mut Dims) -> i32,
    pub(super) context_address: unsafe extern "C" fn(*mut Context, *const c_char, *mut c_void) -> i32,
    pub(super) context_enqueue: unsafe extern "C" fn(*mut Context, *mut c_void) -> i32,

    pub(super) build_new: unsafe extern "C" fn(Create, CreateParser, i32, *mut Host, *mut Host, *mut *mut Build) -> i32,
    pub(super) build_free: unsafe extern "C" fn(*mut Build),
    pub(super) build_parse: unsafe extern "C" fn(*mut Build, *const c_void, usize, *const c_char) -> i32,
    pub(super) build_parser_errors: unsafe extern "C" fn(*mut Build, *mut c_void, PutParserError),
    pub(super) build_counts: unsafe extern "C" fn(*mut Build, *mut i32, *mut i32, *mut i32, *mut i32) -> i32,
    pub(super) build_tensor: unsafe extern "C" fn(*mut Build, i32, i32, *mut Tensor, Sink) -> i32,
    pub(super) build_profile: unsafe extern "C" fn(*mut Build, *const Range, i32) -> i32,
    pub(super) build_configure: unsafe extern "C" fn(*mut Build, *const Config) -> i32,
    pub(super) build_timing_cache: unsafe extern "C" fn(*mut Build, *const c_void, usize) -> i32,
    pub(super) build_placement: unsafe extern "C" fn(*mut Build, *mut c_void, PutLayer) -> i32,
    pub(super) build_run: unsafe extern "C" fn(*mut Build, Sink, Sink) -> i32,
}

unsafe extern "C" {
    #[cfg(egret_trt10)]
    safe fn egret_trt10() -> &'static Api;
    #[cfg(egret_trt11)]
    safe fn egret_trt11() -> &'static Api;
}

/// The shim for that major, where this build has it.
pub(super) fn api(major: u32) -> Option<&'static Api> {
    let api: &'static Api = match major {
        #[cfg(egret_trt10)]
        10 => egret_trt10(),
        #[cfg(egret_trt11)]
        11 => egret_trt11(),
        _ => return None,
    };
    // Another size: sys.rs and shim.h have drifted apart, and no entry can be trusted. A test says so before any release.
    (api.size == size_of::<Api>()).then_some(api)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shim_of_each_major_that_was_compiled() {
        let majors: &[u32] = &[
            #[cfg(egret_trt10)]
            10,
            #[cfg(egret_trt11)]
            11,
        ];
        assert!(!majors.is_empty());
        for &major in majors {
            let api = api(major).expect("the table has the size that is mirrored here");
            assert_eq!(api.headers / 10_000, major as i32);
        }
        assert!(api(9).is_none() && api(12).is_none());
    }
}
