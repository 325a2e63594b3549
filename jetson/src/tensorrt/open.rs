//! Shared libraries opened at run time.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

/// Why a library is not there.
#[derive(Debug)]
pub(super) enum OpenError {
    /// No such file.
    Absent,
    /// There is one and the loader refuses it, e.g. for want of a library that it needs.
    Refused(String),
}

/// Opens a library by its soname, from `folder` or by the loader's own search. It stays loaded: TensorRT and its plugins keep threads
/// and registries that do not survive `dlclose`.
pub(super) fn open(folder: Option<&Path>, name: &str) -> Result<&'static Library, OpenError> {
    let file: OsString = match folder {
        Some(folder) => PathBuf::from_iter([folder, Path::new(name)]).into(),
        None => name.into(),
    };
    // SAFETY: loading a library runs its initialisers; these are the vendor's libraries, named by soname or by the configuration, and
    // loading them is what every TensorRT program does at its start. RTLD_LOCAL keeps two majors apart.
    match unsafe { Library::open(Some(&file), RTLD_NOW | RTLD_LOCAL) } {
        Ok(library) => Ok(Box::leak(Box::new(library))),
        Err(error) => {
            let text = error_text(&error);
            // The loader names the file that it misses: this one, or one that this one needs.
            let missing = format!("{}: cannot open shared object file: No such file", Path::new(&file).display());
            Err(if text.contains(&missing) { OpenError::Absent } else { OpenError::Refused(text) })
        }
    }
}

/// The loader's own words, which `libloading` keeps beside its message.
fn error_text(error: &libloading::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => cause.to_string(),
        None => error.to_string(),
    }
}

/// The version that `libnvinfer` reports; `None` where it has no such function.
pub(super) fn infer_version(library: &Library) -> Option<i32> {
    // SAFETY: `getInferLibVersion` takes nothing and returns an int32 in every TensorRT release (NvInferRuntimeBase.h).
    let call = unsafe { library.get::<unsafe extern "C" fn() -> i32>(b"getInferLibVersion\0") }.ok()?;
    // SAFETY: as above; it reads a constant.
    Some(unsafe { call() })
}
