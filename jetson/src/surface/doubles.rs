//! For tests: a stand-in for `libnvbufsurface` (`doubles/nvbufsurface/`), with surfaces of every kind in the driver double's memory, and
//! stand-ins for NVIDIA's GStreamer elements.

#[cfg(feature = "gstreamer")]
pub mod elements;

use std::{
    ffi::{c_int, c_long, c_void},
    path::PathBuf,
    ptr::NonNull,
};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use super::abi;
use crate::kernels::cpu::{CpuError, CpuKernels, compiled};

type NewFn = unsafe extern "C" fn(u32, u32, u32, u32, u32) -> *mut c_void;
type FreeFn = unsafe extern "C" fn(*mut c_void);
type FillFn = unsafe extern "C" fn(*mut c_void, c_int, *const u8, usize);
type ReadFn = unsafe extern "C" fn(*mut c_void, c_int, *mut u8, usize);
type CountFn = unsafe extern "C" fn(c_int) -> c_long;
type FailFn = unsafe extern "C" fn(c_long);

/// The library, and where real code finds it.
#[derive(Clone, Debug)]
pub struct SurfaceLibrary {
    folder: PathBuf,
    new: NewFn,
    free: FreeFn,
    fill: FillFn,
    read: ReadFn,
    count: CountFn,
    fail: FailFn,
}

/// `memType`s, layouts and formats as numbers.
pub mod numbers {
    /// `NVBUF_MEM_DEFAULT` to `NVBUF_MEM_SYSTEM`.
    pub const MEMORIES: [u32; 7] = [0, 1, 2, 3, 4, 5, 6];
    /// `NVBUF_MEM_CUDA_DEVICE`.
    pub const DEVICE: u32 = 2;
    /// `NVBUF_MEM_SURFACE_ARRAY`.
    pub const SURFACE_ARRAY: u32 = 4;
    /// `NVBUF_LAYOUT_BLOCK_LINEAR`.
    pub const BLOCKS: u32 = 1;
    /// `NVBUF_COLOR_FORMAT_NV12`.
    pub const NV12: u32 = 6;
}

impl SurfaceLibrary {
    /// Compiles it and the double of the driver, and loads both.
    ///
    /// # Errors
    /// [`CpuError`]; [`CpuError::NoCompiler`] where a test is to be skipped.
    pub fn load() -> Result<Self, CpuError> {
        CpuKernels::drive()?;
        let built = compiled("doubles/nvbufsurface/nvbufsurface.cpp", &["-ldl"])?;
        // Under the name that is asked for.
        let folder = built.with_extension("d");
        let path = folder.join("libnvbufsurface.so.1.0.0");
        let failed = |error| CpuError::File { path: path.clone(), error };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        match std::os::unix::fs::symlink(&built, &path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        // SAFETY: compiled from this crate's source; its initialisers do nothing.
        let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) }?;
        // SAFETY: the signatures of nvbufsurface.cpp.
        let own = unsafe {
            Self {
                new: *library.get::<NewFn>(b"egret_surface_new\0")?,
                free: *library.get::<FreeFn>(b"egret_surface_free\0")?,
                fill: *library.get::<FillFn>(b"egret_surface_fill\0")?,
                read: *library.get::<ReadFn>(b"egret_surface_read\0")?,
                count: *library.get::<CountFn>(b"egret_surface_count\0")?,
                fail: *library.get::<FailFn>(b"egret_surface_map_fails\0")?,
                folder,
            }
        };
        // It is used until the process ends.
        std::mem::forget(library);
        Ok(own)
    }

    /// Where it lies.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// A surface, by the header's numbers.
    pub fn surface(&self, (width, height): (u32, u32), memory: u32, layout: u32, format: u32) -> StandIn {
        // SAFETY: plain numbers; the surface is freed on drop.
        let raw = unsafe { (self.new)(width, height, memory, layout, format) };
        StandIn { library: self.clone(), raw: NonNull::new(raw).unwrap_or(NonNull::dangling()), size: (width, height) }
    }

    /// Reads a surface into rows `pitch` bytes apart, the chroma from `chroma` on.
    ///
    /// # Safety
    /// `raw` is a surface of this library, and `to` has room for its rows.
    #[cfg(feature = "gstreamer")]
    unsafe fn read_raw(&self, raw: *mut c_void, to: &mut [u8], pitch: usize, chroma: usize) {
        let (luma, chroma) = to.split_at_mut(chroma);
        // SAFETY: the caller's promise.
        unsafe {
            (self.read)(raw, 0, luma.as_mut_ptr(), pitch);
            (self.read)(raw, 1, chroma.as_mut_ptr(), pitch);
        }
    }

    /// Surfaces that live.
    pub fn alive(&self) -> i64 {
        // SAFETY: reads a counter.
        unsafe { (self.count)(0) }
    }

    /// EGLImages that live.
    pub fn mapped(&self) -> i64 {
        // SAFETY: as above.
        unsafe { (self.count)(1) }
    }

    /// So many of the next mappings fail.
    pub fn fail_mapping(&self, times: i64) {
        // SAFETY: sets a counter.
        unsafe { (self.fail)(times) }
    }
}

/// A surface of the stand-in.
#[derive(Debug)]
pub struct StandIn {
    library: SurfaceLibrary,
    raw: NonNull<c_void>,
    size: (u32, u32),
}

// SAFETY: plain memory; whoever writes has `&mut`.
unsafe impl Send for StandIn {}
// SAFETY: as above.
unsafe impl Sync for StandIn {}

impl StandIn {
    /// Its `NvBufSurface`.
    pub fn raw(&self) -> *mut c_void {
        self.raw.as_ptr()
    }

    /// Fills it from NV12, each plane with its pitch. Not while somebody reads it.
    ///
    /// # Panics
    /// Where a plane is too short.
    pub fn fill(&self, luma: (&[u8], usize), chroma: (&[u8], usize)) {
        let (width, height) = (self.size.0 as usize, self.size.1 as usize);
        for (plane, (from, pitch), rows, row) in
            [(0, luma, height, width), (1, chroma, height.div_ceil(2), width.next_multiple_of(2))]
        {
            assert!(from.len() >= pitch * (rows - 1) + row, "plane {plane} is too short");
            // SAFETY: as many bytes as it reads.
            unsafe { (self.library.fill)(self.raw(), plane, from.as_ptr(), pitch) }
        }
    }

    /// Its planes without padding, one after the other.
    pub fn read(&self) -> Vec<u8> {
        let (width, height) = (self.size.0 as usize, self.size.1 as usize);
        let even = width.next_multiple_of(2);
        let mut bytes = vec![0; width * height + even * height.div_ceil(2)];
        let (luma, chroma) = bytes.split_at_mut(width * height);
        // SAFETY: as many bytes as it writes.
        unsafe {
            (self.library.read)(self.raw(), 0, luma.as_mut_ptr(), width);
            (self.library.read)(self.raw(), 1, chroma.as_mut_ptr(), even);
        }
        bytes
    }

    /// Overwrites a `u32` of `NvBufSurface`, or with `params` of `surfaceList[0]`, at an offset of the header.
    ///
    /// # Panics
    /// Beyond the struct.
    pub fn poke(&mut self, params: bool, at: usize, value: u32) {
        assert!(at + 4 <= if params { abi::PARAMS_BYTES } else { abi::SURFACE_BYTES });
        // SAFETY: `surfaceList` is at offset 24 of the struct and points to one element; both are as long as asserted.
        unsafe {
            let list = || self.raw().cast::<*mut u8>().add(3).read();
            let base: *mut u8 = if params { list() } else { self.raw().cast() };
            base.add(at).cast::<[u8; 4]>().write(value.to_ne_bytes());
        }
    }
}

/// The bytes of the struct, as a mapped buffer of a decoder shows them.
impl AsRef<[u8]> for StandIn {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the struct has as many bytes and lives as long as this value.
        unsafe { std::slice::from_raw_parts(self.raw().cast(), abi::SURFACE_BYTES) }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // SAFETY: made by the library, freed nowhere else.
        unsafe { (self.library.free)(self.raw()) }
    }
}
