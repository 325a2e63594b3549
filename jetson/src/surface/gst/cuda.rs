//! GStreamer's own CUDA memory, by the functions of libgstcuda that are public since 1.22.

use std::{
    ffi::{c_int, c_void},
    mem::MaybeUninit,
    path::{Path, PathBuf},
    sync::Arc,
};

use gstreamer::{self as gst, ffi, glib::translate::from_glib_full};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::surface::{DevicePicture, Expected, Surface, SurfaceError, Surfaces};

const LIBRARY: &str = "libgstcuda-1.0.so.0";
/// `GST_MAP_CUDA`: `GST_MAP_FLAG_LAST << 1`.
const MAP_CUDA: ffi::GstMapFlags = ffi::GST_MAP_FLAG_LAST << 1;

type LoadFn = unsafe extern "C" fn() -> c_int;
type IsFn = unsafe extern "C" fn(*mut ffi::GstMemory) -> c_int;
type SyncFn = unsafe extern "C" fn(*mut ffi::GstMemory);
type WrapFn = unsafe extern "C" fn(*mut c_void, c_int) -> *mut c_void;
type ContextFn = unsafe extern "C" fn(*mut c_void) -> *mut ffi::GstContext;

/// libgstcuda: the library behind `nvh264dec` and its like.
#[derive(Clone, Copy, Debug)]
pub struct CudaMemory {
    is: IsFn,
    /// Since 1.24: waits for what the decoder still copies. Before, decoders waited themselves.
    sync: Option<SyncFn>,
    wrap: WrapFn,
    context: ContextFn,
}

/// Where the planes of an NV12 picture lie in its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CudaPlanes {
    /// Of luma and chroma, from the beginning.
    pub offset: [u64; 2],
    /// Bytes from row to row.
    pub pitch: [u32; 2],
}

impl CudaMemory {
    /// Opens it, from `folder` or by the loader's own search, and has it look for the driver: without that its other functions end the
    /// process.
    ///
    /// # Errors
    /// [`SurfaceError::Symbol`], also where it does not take the driver that is here.
    pub fn open(folder: Option<&Path>) -> Result<Self, SurfaceError> {
        let none = |symbol| move |_| SurfaceError::Symbol { library: LIBRARY, symbol };
        let file = folder.map_or_else(|| LIBRARY.into(), |folder| PathBuf::from_iter([folder, Path::new(LIBRARY)]));
        // SAFETY: GStreamer's own library, which its plug-in loads too.
        let library = unsafe { Library::open(Some(&file), RTLD_NOW | RTLD_LOCAL) }.map_err(none("loader"))?;
        let library: &'static Library = Box::leak(Box::new(library));
        // SAFETY: the signature of gstcudaloader.h; it may be called any number of times.
        let loaded = unsafe { library.get::<LoadFn>(b"gst_cuda_load_library\0").map_err(none("gst_cuda_load_library"))?() };
        if loaded == 0 {
            return Err(SurfaceError::Symbol { library: LIBRARY, symbol: "a driver that it takes" });
        }
        // SAFETY: signatures of gstcudamemory.h and gstcudacontext.h, in which a gboolean is an int and a CUdevice, too.
        unsafe {
            Ok(Self {
                is: *library.get::<IsFn>(b"gst_is_cuda_memory\0").map_err(none("gst_is_cuda_memory"))?,
                sync: library.get::<SyncFn>(b"gst_cuda_memory_sync\0").ok().map(|function| *function),
                wrap: *library.get::<WrapFn>(b"gst_cuda_context_new_wrapped\0").map_err(none("gst_cuda_context_new_wrapped"))?,
                context: *library
                    .get::<ContextFn>(b"gst_context_new_cuda_context\0")
                    .map_err(none("gst_context_new_cuda_context"))?,
            })
        }
    }

    /// This process's CUDA context for GStreamer's elements: what they allocate in it kernels can read. `None`: the library makes nothing
    /// of it.
    pub fn context(&self, surfaces: &Surfaces) -> Option<gst::Context> {
        let cuda = surfaces.context();
        // SAFETY: a context and its device, which outlive the process's pipelines: `Surfaces` keeps the primary context.
        let wrapped = unsafe { (self.wrap)(cuda.cu_ctx().cast(), cuda.cu_device()) };
        if wrapped.is_null() {
            return None;
        }
        // SAFETY: the object was made just now; the context takes a reference of its own, so that this one is given back.
        unsafe {
            let context = (self.context)(wrapped);
            gst::glib::gobject_ffi::g_object_unref(wrapped.cast());
            (!context.is_null()).then(|| from_glib_full(context))
        }
    }

    /// The picture of a buffer of NV12 in CUDA memory. The buffer is held for as long as the picture is read.
    ///
    /// # Errors
    /// [`SurfaceError`], also where the memory is of another CUDA context.
    pub fn picture(
        &self,
        surfaces: &Arc<Surfaces>,
        caps: &gst::CapsRef,
        planes: CudaPlanes,
        buffer: gst::Buffer,
    ) -> Result<DevicePicture, SurfaceError> {
        let size = super::expected(caps)?;
        if buffer.n_memory() != 1 {
            return Err(SurfaceError::NoSurface("it is in several pieces"));
        }
        let memory: *mut ffi::GstMemory = buffer.peek_memory(0).as_mut_ptr();
        // SAFETY: the memory is the buffer's, which lives.
        if unsafe { (self.is)(memory) } == 0 {
            return Err(SurfaceError::NoSurface("it is no CUDA memory"));
        }
        let mapped = Mapped::new(buffer, memory)?;
        if let Some(sync) = self.sync {
            // SAFETY: it is CUDA memory.
            unsafe { sync(memory) };
        }
        let (address, bytes) = (mapped.info.data as u64, mapped.info.size as u64);
        for plane in [0, 1] {
            let rows = if plane == 0 { size.height } else { size.height.div_ceil(2) };
            let end =
                planes.offset[plane] + u64::from(planes.pitch[plane]) * u64::from(rows.saturating_sub(1)) + u64::from(size.width);
            if end > bytes {
                return Err(SurfaceError::Layout { field: "size", found: bytes, expected: format!("at least {end}") });
            }
        }
        let surface = Surface::of_pointer(size);
        let planes = [0, 1].map(|plane| (planes.offset[plane], planes.pitch[plane]));
        // SAFETY: the decoder leaves a buffer's memory alone until it comes back, and it stays mapped until `hold` is dropped.
        unsafe { surfaces.linear((address, bytes), &surface, planes, Box::new(mapped)) }
    }
}

/// A memory that is mapped for the device.
struct Mapped {
    _buffer: gst::Buffer,
    memory: *mut ffi::GstMemory,
    info: ffi::GstMapInfo,
}

// SAFETY: GStreamer's memory may be mapped and unmapped from any thread; the pointer is a device's.
unsafe impl Send for Mapped {}
// SAFETY: as above; nothing changes while it lives.
unsafe impl Sync for Mapped {}

impl Mapped {
    fn new(buffer: gst::Buffer, memory: *mut ffi::GstMemory) -> Result<Self, SurfaceError> {
        let mut info = MaybeUninit::uninit();
        // SAFETY: the memory is the buffer's, which is kept.
        if unsafe { ffi::gst_memory_map(memory, info.as_mut_ptr(), ffi::GST_MAP_READ | MAP_CUDA) } == 0 {
            return Err(SurfaceError::NoSurface("it cannot be mapped"));
        }
        // SAFETY: written, since mapping succeeded.
        Ok(Self { _buffer: buffer, memory, info: unsafe { info.assume_init() } })
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`.
        unsafe { ffi::gst_memory_unmap(self.memory, &raw mut self.info) };
    }
}

impl Surface {
    /// NV12 of that size at a pointer; nothing else is known.
    fn of_pointer(size: Expected) -> Self {
        let planes = [crate::surface::check::PlaneAt { offset: 0, pitch: size.width }; 2];
        Self {
            memory: crate::surface::MemoryKind::Device,
            block_linear: false,
            size,
            colour: None,
            planes,
            descriptor: 0,
            data: 0,
            data_bytes: 0,
            params: 0,
        }
    }
}
