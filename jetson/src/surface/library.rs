//! `libnvbufsurface`, found when it is needed.

use std::{
    ffi::{OsString, c_int, c_void},
    path::{Path, PathBuf},
};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::SurfaceError;

/// What it is called, by release: Yocto's wrynose installs no `.so.1`.
const NAMES: [&str; 3] = ["libnvbufsurface.so.1.0.0", "libnvbufsurface.so.1", "libnvbufsurface.so"];

type MapFn = unsafe extern "C" fn(*mut c_void, c_int) -> c_int;

/// Its functions. It stays loaded: the decoders use it too.
#[derive(Clone, Copy)]
pub(super) struct NvBufSurface {
    map: MapFn,
    unmap: MapFn,
}

impl NvBufSurface {
    /// Opens it, from `folder` or by the loader's own search.
    ///
    /// # Errors
    /// [`SurfaceError::Library`] with the loader's words for the last name.
    pub(super) fn open(folder: Option<&Path>) -> Result<Self, SurfaceError> {
        let mut said = String::new();
        for name in NAMES {
            let file: OsString =
                folder.map_or_else(|| name.into(), |folder| PathBuf::from_iter([folder, Path::new(name)]).into());
            // SAFETY: loading NVIDIA's library runs its initialisers, which the decoder's plug-in has run already.
            match unsafe { Library::open(Some(&file), RTLD_NOW | RTLD_LOCAL) } {
                Ok(library) => return Self::of(Box::leak(Box::new(library))),
                Err(error) => said = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string),
            }
        }
        Err(SurfaceError::Library(said))
    }

    fn of(library: &'static Library) -> Result<Self, SurfaceError> {
        let function = |name: &'static [u8]| {
            // SAFETY: both functions have this signature in nvbufsurface.h: the surface and the index in its batch.
            unsafe { library.get::<MapFn>(name) }
                .map(|function| *function)
                .map_err(|error| SurfaceError::Library(error.to_string()))
        };
        Ok(Self { map: function(b"NvBufSurfaceMapEglImage\0")?, unmap: function(b"NvBufSurfaceUnMapEglImage\0")? })
    }

    /// Makes an EGLImage of the first surface; it lies in its struct then.
    ///
    /// # Safety
    /// `surface` is an `NvBufSurface` that lives.
    pub(super) unsafe fn map_egl_image(self, surface: *mut c_void) -> Result<(), SurfaceError> {
        // SAFETY: the caller's promise; every batch has a first surface.
        match unsafe { (self.map)(surface, 0) } {
            0 => Ok(()),
            code => Err(SurfaceError::Map(code)),
        }
    }

    /// Takes the EGLImage away again.
    ///
    /// # Safety
    /// `surface` is an `NvBufSurface` that lives and was mapped.
    pub(super) unsafe fn unmap_egl_image(self, surface: *mut c_void) {
        // SAFETY: the caller's promise. A failure has nobody to tell: the surface takes its image along when it goes.
        let _ = unsafe { (self.unmap)(surface, 0) };
    }
}
