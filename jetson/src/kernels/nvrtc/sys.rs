//! NVRTC's C API (nvrtc.h of CUDA 12 and 13), by name from the library that is there.

use std::{
    ffi::{c_char, c_int, c_void},
    path::{Path, PathBuf},
};

use libloading::{
    Library,
    os::unix::{Library as Unix, RTLD_GLOBAL, RTLD_NOW},
};

/// `nvrtcResult`: 0 is success.
pub(super) type Code = c_int;
/// `nvrtcProgram`.
pub(super) type Program = *mut c_void;

macro_rules! functions {
    ($($field:ident = $symbol:literal: fn($($argument:ty),*) -> $result:ty;)*) => {
        /// The functions that are used.
        pub(super) struct Functions {
            $(pub(super) $field: unsafe extern "C" fn($($argument),*) -> $result,)*
            /// Holds them, and the built-ins that the compiler looks for by name.
            _libraries: Vec<Library>,
        }

        impl Functions {
            fn of(library: Library, mut held: Vec<Library>) -> Result<Self, libloading::Error> {
                $(
                    // SAFETY: this function has this signature in nvrtc.h of CUDA 12.6 and 13.0; the library outlives the pointer.
                    let $field = *unsafe { library.get(concat!($symbol, "\0").as_bytes()) }?;
                )*
                held.push(library);
                Ok(Self { $($field,)* _libraries: held })
            }
        }
    };
}

functions! {
    version = "nvrtcVersion": fn(*mut c_int, *mut c_int) -> Code;
    error_string = "nvrtcGetErrorString": fn(Code) -> *const c_char;
    arch_count = "nvrtcGetNumSupportedArchs": fn(*mut c_int) -> Code;
    archs = "nvrtcGetSupportedArchs": fn(*mut c_int) -> Code;
    create = "nvrtcCreateProgram":
        fn(*mut Program, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char) -> Code;
    destroy = "nvrtcDestroyProgram": fn(*mut Program) -> Code;
    compile = "nvrtcCompileProgram": fn(Program, c_int, *const *const c_char) -> Code;
    log_size = "nvrtcGetProgramLogSize": fn(Program, *mut usize) -> Code;
    log = "nvrtcGetProgramLog": fn(Program, *mut c_char) -> Code;
    ptx_size = "nvrtcGetPTXSize": fn(Program, *mut usize) -> Code;
    ptx = "nvrtcGetPTX": fn(Program, *mut c_char) -> Code;
}

impl Functions {
    /// Loads a library, by path or by the name that the system's loader knows.
    pub(super) fn load(path: &Path) -> Result<Self, libloading::Error> {
        let mut held = Vec::new();
        // The compiler opens its built-ins by name alone, which finds those that are loaded already.
        for builtins in built_ins(path) {
            // SAFETY: loading NVIDIA's library runs its initialisers, which any program that links it runs at its start.
            if let Ok(library) = unsafe { Unix::open(Some(&builtins), RTLD_NOW | RTLD_GLOBAL) } {
                held.push(library.into());
            }
        }
        // SAFETY: as above.
        let library = unsafe { Library::new(path) }?;
        Self::of(library, held)
    }
}

/// `libnvrtc-builtins.so.*` beside the library.
fn built_ins(path: &Path) -> Vec<PathBuf> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Vec::new() };
    let name = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libnvrtc-builtins.so"));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(name).collect()
}
