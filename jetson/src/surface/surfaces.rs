//! What the decoders of a process share.

use std::{
    ffi::c_void,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use cudarc::driver::{CudaContext, CudaStream};

use super::{
    DevicePicture, Layouts, Registration, Surface, SurfaceError,
    egl::Graphics,
    library::NvBufSurface,
    picture::{Held, Hold},
    pitch::PitchPool,
    pointer,
};
use crate::{
    Cuda, CudaError, L4t,
    kernels::{
        device::DeviceFrame,
        letterbox::{Frame, Samples},
    },
    memory::Memory,
};

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Surfaces registered with CUDA, ever.
    pub registered: u64,
    /// Registrations that are there.
    pub alive: u64,
    /// Pictures whose blocks were copied into rows, on the device.
    pub copied: u64,
    /// Bytes read into host memory.
    pub downloaded: u64,
}

/// A device's side of decoding: its context, the libraries, memory that is used again. One for all decoders of a process.
pub struct Surfaces {
    context: Arc<CudaContext>,
    folder: Option<PathBuf>,
    egl: OnceLock<Result<(NvBufSurface, Graphics), SurfaceError>>,
    pub(super) pitch: Arc<PitchPool>,
    /// On which pictures come to the host, one at a time.
    pub(super) downloads: Mutex<Arc<CudaStream>>,
    counts: Mutex<Counts>,
}

impl std::fmt::Debug for Surfaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Surfaces({:?})", self.counts())
    }
}

pub(super) fn failed(call: &'static str) -> impl Fn(cudarc::driver::DriverError) -> SurfaceError {
    move |error| CudaError::Call { call, code: error.0 as u32 }.into()
}

impl Surfaces {
    /// Opens a device by its number. `l4t`: NVIDIA's Linux, where it is that; `folder`: where its library lies, if the loader does not know.
    ///
    /// # Errors
    /// [`SurfaceError::Release`] for a Linux whose surfaces nobody has seen, [`SurfaceError::Cuda`] without a driver. The library is looked
    /// for when the first surface needs it.
    pub fn open(ordinal: usize, l4t: Option<&L4t>, folder: Option<&Path>) -> Result<Arc<Self>, SurfaceError> {
        Layouts::of(l4t)?;
        Cuda::probe()?;
        let context = CudaContext::new(ordinal).map_err(failed("cuDevicePrimaryCtxRetain"))?;
        let downloads = Mutex::new(context.new_stream().map_err(failed("cuStreamCreate"))?);
        let (folder, pitch) = (folder.map(Path::to_owned), PitchPool::new(&context));
        Ok(Arc::new(Self { context, folder, egl: OnceLock::new(), pitch, downloads, counts: Mutex::default() }))
    }

    /// The device's context: its primary one.
    pub fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn bind(&self) -> Result<(), SurfaceError> {
        self.context.bind_to_thread().map_err(failed("cuCtxSetCurrent"))
    }

    pub(super) fn egl(&self) -> Result<(NvBufSurface, Graphics), SurfaceError> {
        let find = || Ok((NvBufSurface::open(self.folder.as_deref())?, Graphics::find()?));
        self.egl.get_or_init(find).clone()
    }

    /// Registers a surface, where its memory asks for it.
    ///
    /// # Errors
    /// [`SurfaceError`].
    ///
    /// # Safety
    /// `raw` is the `NvBufSurface` that `surface` was read from, and it lives until the registration is dropped.
    pub unsafe fn register(self: &Arc<Self>, raw: *mut c_void, surface: &Surface) -> Result<Registration, SurfaceError> {
        // SAFETY: the caller's promise.
        unsafe { Registration::new(self, raw, surface) }
    }

    /// A picture of a surface. `hold` is dropped when nothing reads the surface any more.
    ///
    /// # Errors
    /// [`SurfaceError`], where its pixels cannot be read where they lie.
    ///
    /// # Safety
    /// The surface, and its registration if there is one, stay as they are until `hold` is dropped.
    pub unsafe fn picture(
        self: &Arc<Self>,
        surface: &Surface,
        registration: Option<&Registration>,
        hold: Hold,
    ) -> Result<DevicePicture, SurfaceError> {
        use super::MemoryKind::{Default, Device, Handle, Pinned, SurfaceArray, System, Unified};
        match (surface.memory, registration) {
            (SurfaceArray, Some(registration)) if registration.is_array() => {
                let [luma, chroma, _] = registration.frame.planes;
                Ok(DevicePicture::of_arrays(self, surface, [luma, chroma], Arc::new(hold)))
            }
            (SurfaceArray, Some(registration)) => self.pitched(surface, registration, hold),
            (Default | Pinned | Device | Unified, _) if surface.data == 0 => Err(SurfaceError::NoPointer(surface.memory)),
            (Default | Pinned | Device | Unified, _) if !surface.block_linear => {
                let planes = surface.planes.map(|plane| (u64::from(plane.offset), plane.pitch));
                // SAFETY: the caller's promise.
                unsafe { self.linear((surface.data, surface.data_bytes.into()), surface, planes, hold) }
            }
            (SurfaceArray | Handle | System | Default | Pinned | Device | Unified, _) => {
                Err(SurfaceError::Memory(surface.memory))
            }
        }
    }

    /// A mapped frame whose planes are pitch linear, each with a pointer of its own and the pitch of both.
    fn pitched(
        self: &Arc<Self>,
        surface: &Surface,
        registration: &Registration,
        hold: Hold,
    ) -> Result<DevicePicture, SurfaceError> {
        let ([luma, chroma, _], pitch) = (registration.frame.planes, registration.frame.pitch);
        let frame = nv12(surface, [pitch, pitch]);
        let hold = Arc::new(hold);
        let plane = |address: usize, plane| -> Result<Arc<dyn Memory>, SurfaceError> {
            let bytes = frame.plane_bytes(plane) as u64;
            pointer::check(&self.context, address as u64, bytes)?;
            Ok(Arc::new(Held { address: address as u64, bytes, _hold: Arc::clone(&hold) }))
        };
        let (luma, chroma) = (plane(luma, 0)?, plane(chroma, 1)?);
        let planes = [(luma, 0), (Arc::clone(&chroma), 0), (chroma, 0)];
        DevicePicture::new(self, DeviceFrame::new(frame, planes)?, surface.colour)
    }

    /// A picture that lies at `memory`, an address and bytes from there on; planes by offset and pitch.
    ///
    /// # Safety
    /// What lies there stays as it is until `hold` is dropped.
    pub(super) unsafe fn linear(
        self: &Arc<Self>,
        (address, bytes): (u64, u64),
        surface: &Surface,
        planes: [(u64, u32); 2],
        hold: Hold,
    ) -> Result<DevicePicture, SurfaceError> {
        pointer::check(&self.context, address, bytes)?;
        let memory: Arc<dyn Memory> = Arc::new(Held { address, bytes, _hold: Arc::new(hold) });
        let [(luma, luma_pitch), (chroma, chroma_pitch)] = planes;
        let frame = nv12(surface, [luma_pitch, chroma_pitch]);
        let planes = [(Arc::clone(&memory), luma), (Arc::clone(&memory), chroma), (memory, 0)];
        DevicePicture::new(self, DeviceFrame::new(frame, planes)?, surface.colour)
    }
}

/// The layout of a surface's picture with these pitches.
pub(super) fn nv12(surface: &Surface, [luma_pitch, chroma_pitch]: [u32; 2]) -> Frame {
    let super::Expected { width, height } = surface.size;
    Frame { samples: Samples::Nv12, width, height, luma_pitch, chroma_pitch }
}
