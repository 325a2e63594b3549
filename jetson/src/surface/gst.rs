//! Buffers of GStreamer's decoders as pictures in device memory.
//!
//! Who vouches for what: that the bytes of a mapped NVMM buffer are an `NvBufSurface` is the contract of the caps feature `memory:NVMM`, which
//! only NVIDIA's elements give. It is asked for here, with the buffer; the struct is then read through the kernel and held against
//! the caps before anything is done with it. That CUDA memory is such is what GStreamer's own library says of it.

mod cuda;
mod nvmm;

use gstreamer as gst;

pub use cuda::{CudaMemory, CudaPlanes};

use super::{DevicePicture, Expected, SurfaceError, Surfaces};
use std::sync::Arc;

/// The memory that a stream's caps speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// The host's.
    Host,
    /// NVIDIA's surfaces.
    Nvmm,
    /// GStreamer's own CUDA memory.
    Cuda,
}

impl Memory {
    /// By the features of the caps' first structure; `None`: other memory.
    pub fn of(caps: &gst::CapsRef) -> Option<Self> {
        let features = caps.features(0)?;
        if features.contains("memory:NVMM") {
            Some(Self::Nvmm)
        } else if features.contains("memory:CUDAMemory") {
            Some(Self::Cuda)
        } else {
            features.is_equal(&gst::CapsFeatures::new([gst::CAPS_FEATURE_MEMORY_SYSTEM_MEMORY])).then_some(Self::Host)
        }
    }
}

impl Surfaces {
    /// The picture of a buffer whose caps say `memory:NVMM`. The buffer is held for as long as the picture is read.
    ///
    /// # Errors
    /// [`SurfaceError`]; where the caps do not say so, too.
    pub fn nvmm(self: &Arc<Self>, caps: &gst::CapsRef, buffer: gst::Buffer) -> Result<DevicePicture, SurfaceError> {
        if Memory::of(caps) != Some(Memory::Nvmm) {
            return Err(SurfaceError::NoSurface("the caps do not say memory:NVMM"));
        }
        nvmm::picture(self, expected(caps)?, buffer)
    }
}

/// Width and height that the caps tell.
fn expected(caps: &gst::CapsRef) -> Result<Expected, SurfaceError> {
    let side = |name: &str| caps.structure(0).and_then(|s| s.get::<i32>(name).ok()).and_then(|side| u32::try_from(side).ok());
    match (side("width"), side("height")) {
        (Some(width @ 1..), Some(height @ 1..)) => Ok(Expected { width, height }),
        _ => Err(SurfaceError::NoSurface("the caps have no size")),
    }
}
