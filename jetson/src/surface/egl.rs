//! Surfaces of the Jetson's hardware, seen from CUDA by way of EGL.

use std::{ffi::c_void, sync::Arc};

use cudarc::driver::sys::{CUgraphicsResource, CUresult, cuGraphicsUnregisterResource};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::{
    Surface, SurfaceError, Surfaces,
    abi::{PARAMS_BYTES, params, u64_at},
    read::read,
};
use crate::CudaError;

/// `CU_GRAPHICS_REGISTER_FLAGS_READ_ONLY`.
const READ_ONLY: u32 = 1;
const FRAME_TYPE_ARRAY: u32 = 0;
const FRAME_TYPE_PITCH: u32 = 1;

/// `CUeglFrame` of `cudaEGL.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    /// Arrays or pointers.
    pub(super) planes: [usize; 3],
    pub(super) width: u32,
    pub(super) height: u32,
    depth: u32,
    pub(super) pitch: u32,
    plane_count: u32,
    channels: u32,
    kind: u32,
    color_format: u32,
    format: u32,
}

const _: () = assert!(size_of::<Frame>() == 64);

type RegisterFn = unsafe extern "C" fn(*mut CUgraphicsResource, *mut c_void, u32) -> CUresult;
type FrameFn = unsafe extern "C" fn(*mut Frame, CUgraphicsResource, u32, u32) -> CUresult;

/// The driver's functions for EGL, which cudarc has not.
#[derive(Clone, Copy)]
pub(super) struct Graphics {
    register: RegisterFn,
    frame: FrameFn,
}

impl Graphics {
    /// Finds them in the driver, which is loaded already.
    pub(super) fn find() -> Result<Self, SurfaceError> {
        const LIBRARY: &str = "libcuda.so.1";
        let none = |symbol| move |_| SurfaceError::Symbol { library: LIBRARY, symbol };
        // SAFETY: the driver is loaded, and running its initialisers again does nothing.
        let driver = unsafe { Library::open(Some(LIBRARY), RTLD_NOW | RTLD_LOCAL) }.map_err(none("loader"))?;
        let driver: &'static Library = Box::leak(Box::new(driver));
        // SAFETY: the signature is that of cudaEGL.h.
        let register = unsafe { driver.get::<RegisterFn>(b"cuGraphicsEGLRegisterImage\0") };
        // SAFETY: as above.
        let frame = unsafe { driver.get::<FrameFn>(b"cuGraphicsResourceGetMappedEglFrame\0") };
        Ok(Self {
            register: *register.map_err(none("cuGraphicsEGLRegisterImage"))?,
            frame: *frame.map_err(none("cuGraphicsResourceGetMappedEglFrame"))?,
        })
    }
}

fn done(call: &'static str, result: CUresult) -> Result<(), SurfaceError> {
    match result {
        CUresult::CUDA_SUCCESS => Ok(()),
        error => Err(CudaError::Call { call, code: error as u32 }.into()),
    }
}

/// A surface that CUDA knows. Registering costs far more than a frame may, so one is kept for each buffer of a decoder's pool. It is to go
/// before its surface does.
pub struct Registration {
    surfaces: Arc<Surfaces>,
    surface: *mut c_void,
    resource: Option<CUgraphicsResource>,
    pub(super) frame: Frame,
    descriptor: u64,
    size: super::Expected,
}

// SAFETY: the driver's handles may be used from any thread, and the surface only on drop.
unsafe impl Send for Registration {}
// SAFETY: nothing changes after `new`.
unsafe impl Sync for Registration {}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registration({:?} of dmabuf {})", self.size, self.descriptor)
    }
}

impl Registration {
    /// Maps a surface and registers it.
    ///
    /// # Safety
    /// `raw` is the `NvBufSurface` that `surface` was read from, and it lives for as long as this value.
    pub(super) unsafe fn new(surfaces: &Arc<Surfaces>, raw: *mut c_void, surface: &Surface) -> Result<Self, SurfaceError> {
        let (library, graphics) = surfaces.egl()?;
        surfaces.bind()?;
        // SAFETY: the caller's promise.
        unsafe { library.map_egl_image(raw) }?;
        // Dropped below where anything fails, it takes back what was done so far.
        let mut own = Self {
            surfaces: Arc::clone(surfaces),
            surface: raw,
            resource: None,
            frame: Frame::default(),
            descriptor: surface.descriptor,
            size: surface.size,
        };
        surfaces.count(|counts| {
            counts.registered += 1;
            counts.alive += 1;
        });
        let mapped = read::<PARAMS_BYTES>(surface.params, "surfaceList points to nothing")?;
        let image = u64_at(&mapped, params::EGL_IMAGE);
        if image == 0 {
            return Err(SurfaceError::NoPointer(surface.memory));
        }
        let mut resource = std::ptr::null_mut();
        // SAFETY: the image was made just now by the library; the context is current.
        done("cuGraphicsEGLRegisterImage", unsafe { (graphics.register)(&raw mut resource, image as *mut c_void, READ_ONLY) })?;
        own.resource = Some(resource);
        // SAFETY: the resource is registered, and needs no mapping (cudaEGL.h); the frame is as large as the driver's.
        done("cuGraphicsResourceGetMappedEglFrame", unsafe { (graphics.frame)(&raw mut own.frame, resource, 0, 0) })?;
        own.check()?;
        Ok(own)
    }

    /// The frame is the surface's.
    fn check(&self) -> Result<(), SurfaceError> {
        let Frame { planes, width, height, pitch, plane_count, kind, .. } = self.frame;
        let equal = |field, found: u32, expected: u32| {
            let error = SurfaceError::Frame { field, found: found.into(), expected: expected.into() };
            if found == expected { Ok(()) } else { Err(error) }
        };
        equal("width", width, self.size.width)?;
        equal("height", height, self.size.height)?;
        equal("planeCount", plane_count, 2)?;
        if kind != FRAME_TYPE_ARRAY {
            equal("frameType", kind, FRAME_TYPE_PITCH)?;
            if pitch < width.next_multiple_of(2) {
                return Err(SurfaceError::Frame { field: "pitch", found: pitch.into(), expected: width.into() });
            }
        }
        if planes[..2].contains(&0) { Err(SurfaceError::NoPointer(super::MemoryKind::SurfaceArray)) } else { Ok(()) }
    }

    /// Whether its planes are arrays; else they are pitch linear.
    pub(super) fn is_array(&self) -> bool {
        self.frame.kind == FRAME_TYPE_ARRAY
    }

    /// Whether it is still this surface's: a pool may put other memory into a buffer.
    #[cfg(feature = "gstreamer")]
    pub(super) fn is_of(&self, surface: &Surface) -> bool {
        self.descriptor == surface.descriptor && self.size == surface.size
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let (Some(resource), Ok(())) = (self.resource, self.surfaces.bind()) {
            // SAFETY: registered in `new`, unregistered nowhere else; pictures that read it hold the buffer that holds this value. A
            // failure has nobody to tell.
            let _ = unsafe { cuGraphicsUnregisterResource(resource) };
        }
        if let Ok((library, _)) = self.surfaces.egl() {
            // SAFETY: mapped in `new`; the surface lives as long as this value.
            unsafe { library.unmap_egl_image(self.surface) };
        }
        self.surfaces.count(|counts| counts.alive -= 1);
    }
}
