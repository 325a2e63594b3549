//! A decoded picture in device memory.

use std::{
    any::Any,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use cudarc::driver::{CudaEvent, CudaStream, sys};

use super::{
    Colour, Surface, SurfaceError, Surfaces,
    pitch::Pitched,
    surfaces::{failed, nv12},
};
use crate::{
    CudaError,
    kernels::{device::DeviceFrame, letterbox::Frame},
    memory::Memory,
};

/// Keeps a surface from its decoder until it is dropped.
pub type Hold = Box<dyn Any + Send + Sync>;

/// Memory that somebody else owns and that `hold` keeps.
pub(super) struct Held {
    pub(super) address: u64,
    pub(super) bytes: u64,
    /// The owner: what keeps it there.
    pub(super) _hold: Arc<Hold>,
}

// SAFETY: the pointer was held against what the driver knows of it: aligned, and within one allocation; its owner keeps it.
unsafe impl Memory for Held {
    fn address(&self) -> u64 {
        self.address
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A decoded NV12 picture in device memory. Its surface goes back to the decoder when this value is gone and all work that reads it is done.
pub struct DevicePicture {
    surfaces: Arc<Surfaces>,
    frame: Frame,
    colour: Option<Colour>,
    source: Source,
}

enum Source {
    /// Rows one after the other, where the decoder left them.
    Linear(DeviceFrame),
    /// Blocks, a CUDA array per plane; rows are made of them when they are first asked for.
    Blocks { arrays: [usize; 2], hold: Arc<Hold>, rows: Mutex<Option<Rows>> },
}

/// Rows made of blocks, and when they are ready.
struct Rows {
    frame: DeviceFrame,
    ready: CudaEvent,
    _hold: Arc<Hold>,
}

impl Drop for Rows {
    fn drop(&mut self) {
        // The copy may still read the surface and write the rows. A failure means that nothing does any more.
        let _ = self.ready.synchronize();
    }
}

/// A picture in host memory: NV12, rows without padding, those of the chroma as wide as the luma's rounded up to an even number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCopy {
    /// The planes, one after the other.
    pub bytes: Vec<u8>,
    /// Bytes of a row of luma, and of chroma.
    pub pitch: [usize; 2],
    /// Where the chroma begins.
    pub chroma: usize,
}

impl fmt::Debug for DevicePicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blocks = if matches!(self.source, Source::Blocks { .. }) { " in blocks" } else { "" };
        write!(f, "NV12 {}x{} on the device{blocks}", self.frame.width, self.frame.height)
    }
}

impl DevicePicture {
    /// A picture of NV12 planes in device memory.
    ///
    /// # Errors
    /// [`SurfaceError::Layout`]: pitches that cannot be.
    pub fn new(surfaces: &Arc<Surfaces>, frame: DeviceFrame, colour: Option<Colour>) -> Result<Self, SurfaceError> {
        let layout = *frame.frame();
        if layout.luma_pitch < layout.width || layout.chroma_pitch < layout.width.next_multiple_of(2) {
            let found = u64::from(layout.luma_pitch.min(layout.chroma_pitch));
            return Err(SurfaceError::Layout { field: "pitch", found, expected: format!("at least {}", layout.width) });
        }
        Ok(Self { surfaces: Arc::clone(surfaces), frame: layout, colour, source: Source::Linear(frame) })
    }

    pub(super) fn of_arrays(surfaces: &Arc<Surfaces>, surface: &Surface, arrays: [usize; 2], hold: Arc<Hold>) -> Self {
        let pitch = surface.size.width.next_multiple_of(256);
        let source = Source::Blocks { arrays, hold, rows: Mutex::new(None) };
        Self { surfaces: Arc::clone(surfaces), frame: nv12(surface, [pitch, pitch]), colour: surface.colour, source }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.frame.width, self.frame.height)
    }

    /// What the decoder's format says of the colours, if anything.
    pub fn colour(&self) -> Option<Colour> {
        self.colour
    }

    /// What kernels read, for work on `stream`. Of blocks, rows are made on that stream first, once.
    ///
    /// # Errors
    /// [`SurfaceError::Cuda`].
    pub fn frame(&self, stream: &CudaStream) -> Result<DeviceFrame, SurfaceError> {
        let Source::Blocks { arrays, hold, rows } = &self.source else {
            let Source::Linear(frame) = &self.source else { return Err(SurfaceError::NoSurface("no memory")) };
            return Ok(frame.clone());
        };
        let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rows) = &*rows {
            stream.wait(&rows.ready).map_err(failed("cuStreamWaitEvent"))?;
            return Ok(rows.frame.clone());
        }
        let made = self.unblock(stream, *arrays, hold)?;
        let frame = made.frame.clone();
        *rows = Some(made);
        Ok(frame)
    }

    /// Copies the arrays into rows.
    fn unblock(&self, stream: &CudaStream, arrays: [usize; 2], hold: &Arc<Hold>) -> Result<Rows, SurfaceError> {
        let pitch = self.frame.luma_pitch as usize;
        let lines = [self.frame.height as usize, self.frame.height.div_ceil(2) as usize];
        let memory: Arc<Pitched> = Arc::new(self.surfaces.pitch.take((pitch * (lines[0] + lines[1])) as u64)?);
        let width = [self.frame.width as usize, self.frame.width.next_multiple_of(2) as usize];
        let ready = self.surfaces.context().new_event(None).map_err(failed("cuEventCreate"))?;
        let copied = [0, 1].into_iter().try_for_each(|plane| {
            let copy = sys::CUDA_MEMCPY2D {
                srcMemoryType: sys::CUmemorytype::CU_MEMORYTYPE_ARRAY,
                srcArray: arrays[plane] as sys::CUarray,
                dstMemoryType: sys::CUmemorytype::CU_MEMORYTYPE_DEVICE,
                dstDevice: memory.address() + (plane * pitch * lines[0]) as u64,
                dstPitch: pitch,
                WidthInBytes: width[plane],
                Height: lines[plane],
                ..nothing()
            };
            // SAFETY: the arrays are as large as the picture (`Registration`) and stay as long as `hold`; so does the memory, which
            // has room for both planes.
            unsafe { self.copy(&copy, stream) }
        });
        let recorded = ready.record(stream).map_err(failed("cuEventRecord"));
        let planes = [
            (Arc::clone(&memory) as Arc<dyn Memory>, 0),
            (Arc::clone(&memory) as _, (pitch * lines[0]) as u64),
            (memory as _, 0),
        ];
        // Made before an error is told: dropping it waits for what is under way.
        let rows = Rows { frame: DeviceFrame::new(self.frame, planes)?, ready, _hold: Arc::clone(hold) };
        if copied.is_err() || recorded.is_err() {
            // Without the event only the stream can be waited for.
            let _ = stream.synchronize();
        }
        copied?;
        recorded?;
        self.surfaces.count(|counts| counts.copied += 1);
        Ok(rows)
    }

    /// # Safety
    /// Both sides are as large as the copy says, and stay until the stream has done it.
    unsafe fn copy(&self, copy: &sys::CUDA_MEMCPY2D, stream: &CudaStream) -> Result<(), SurfaceError> {
        self.surfaces.bind()?;
        // SAFETY: the caller's promise; the driver reads the description before it returns.
        match unsafe { sys::cuMemcpy2DAsync_v2(copy, stream.cu_stream()) } {
            sys::CUresult::CUDA_SUCCESS => Ok(()),
            error => Err(CudaError::Call { call: "cuMemcpy2DAsync", code: error as u32 }.into()),
        }
    }

    /// The whole picture in host memory. Waits for it; pictures come one at a time.
    ///
    /// # Errors
    /// [`SurfaceError::Cuda`].
    pub fn host(&self) -> Result<HostCopy, SurfaceError> {
        let (width, height) = (self.frame.width as usize, self.frame.height as usize);
        let even = width.next_multiple_of(2);
        let chroma = width * height;
        let mut bytes = vec![0; chroma + even * height.div_ceil(2)];
        let (luma_rows, chroma_rows) = bytes.split_at_mut(chroma);
        self.download(|pitch| {
            [
                Part { plane: 0, first: 0, pitch: pitch[0], width, rows: height, to: luma_rows },
                Part { plane: 1, first: 0, pitch: pitch[1], width: even, rows: height.div_ceil(2), to: chroma_rows },
            ]
        })?;
        Ok(HostCopy { bytes, pitch: [width, even], chroma })
    }

    /// Every `every`th row of the luma from row `first` on, into `to`, without padding; how many rows there are.
    ///
    /// # Errors
    /// [`SurfaceError::Cuda`].
    pub fn luma(&self, first: usize, every: usize, to: &mut Vec<u8>) -> Result<usize, SurfaceError> {
        let (width, every) = (self.frame.width as usize, every.max(1));
        let rows = (self.frame.height as usize).saturating_sub(first).div_ceil(every);
        to.resize(width * rows, 0);
        if rows > 0 {
            self.download(|pitch| [Part { plane: 0, first, pitch: pitch[0] * every, width, rows, to }])?;
        }
        Ok(rows)
    }

    fn download<'a, const N: usize>(&self, parts: impl FnOnce([usize; 2]) -> [Part<'a>; N]) -> Result<(), SurfaceError> {
        // One at a time.
        let stream = self.surfaces.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        let frame = self.frame(&stream)?;
        let pitch = [frame.frame().luma_pitch as usize, frame.frame().chroma_pitch as usize];
        let mut parts = parts(pitch);
        let mut bytes = 0;
        let copied = parts.iter_mut().try_for_each(|part| {
            let row = pitch[part.plane];
            let copy = sys::CUDA_MEMCPY2D {
                srcMemoryType: sys::CUmemorytype::CU_MEMORYTYPE_DEVICE,
                srcDevice: frame.plane(part.plane) + (part.first * row) as u64,
                srcPitch: part.pitch,
                dstMemoryType: sys::CUmemorytype::CU_MEMORYTYPE_HOST,
                dstHost: part.to.as_mut_ptr().cast(),
                dstPitch: part.width,
                WidthInBytes: part.width,
                Height: part.rows,
                ..nothing()
            };
            bytes += part.to.len() as u64;
            // SAFETY: the rows lie within the plane (`DeviceFrame`) and fill `to`, which is borrowed alone; the stream is waited for below,
            // whatever comes of this.
            unsafe { self.copy(&copy, &stream) }
        });
        let done = stream.synchronize().map_err(failed("cuStreamSynchronize"));
        copied.and(done)?;
        self.surfaces.count(|counts| counts.downloaded += bytes);
        Ok(())
    }
}

/// Rows of a plane on their way to the host.
struct Part<'a> {
    plane: usize,
    /// The first row.
    first: usize,
    /// Bytes from one row that is wanted to the next.
    pitch: usize,
    /// Bytes of a row.
    width: usize,
    rows: usize,
    to: &'a mut [u8],
}

/// A copy of nothing.
fn nothing() -> sys::CUDA_MEMCPY2D {
    use std::ptr::{null, null_mut};
    let memory = sys::CUmemorytype::CU_MEMORYTYPE_HOST;
    sys::CUDA_MEMCPY2D {
        srcXInBytes: 0,
        srcY: 0,
        srcMemoryType: memory,
        srcHost: null(),
        srcDevice: 0,
        srcArray: null_mut(),
        srcPitch: 0,
        dstXInBytes: 0,
        dstY: 0,
        dstMemoryType: memory,
        dstHost: null_mut(),
        dstDevice: 0,
        dstArray: null_mut(),
        dstPitch: 0,
        WidthInBytes: 0,
        Height: 0,
    }
}
