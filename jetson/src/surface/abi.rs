//! `NvBufSurface` in memory: offsets, and how much of it is known of which L4T release.

use super::SurfaceError;
use crate::L4t;

/// Bytes of the `NvBufSurface` struct: what a mapped buffer has at least.
pub(super) const SURFACE_BYTES: usize = 64;
/// Bytes that are read of it: up to and with `surfaceList`.
pub(super) const HEADER_BYTES: usize = 32;
/// Bytes that are read of `surfaceList[0]`: up to and with `mappedAddr.eglImage`. The struct is longer, by how much depends on the
/// release; only the first element is used, so its length does not matter.
pub(super) const PARAMS_BYTES: usize = 320;

/// Offsets in `NvBufSurface`.
pub(super) mod surface {
    pub(in crate::surface) const BATCH_SIZE: usize = 4;
    pub(in crate::surface) const NUM_FILLED: usize = 8;
    pub(in crate::surface) const MEM_TYPE: usize = 16;
    pub(in crate::surface) const SURFACE_LIST: usize = 24;
}

/// Offsets in `NvBufSurfaceParams`.
pub(super) mod params {
    pub(in crate::surface) const WIDTH: usize = 0;
    pub(in crate::surface) const HEIGHT: usize = 4;
    pub(in crate::surface) const PITCH: usize = 8;
    pub(in crate::surface) const COLOR_FORMAT: usize = 12;
    pub(in crate::surface) const LAYOUT: usize = 16;
    pub(in crate::surface) const BUFFER_DESC: usize = 24;
    pub(in crate::surface) const DATA_SIZE: usize = 32;
    pub(in crate::surface) const DATA_PTR: usize = 40;
    pub(in crate::surface) const PLANES: usize = 48;
    pub(in crate::surface) const EGL_IMAGE: usize = 312;
}

/// Offsets in `NvBufSurfacePlaneParams`: arrays of four `u32`.
pub(super) mod planes {
    pub(in crate::surface) const COUNT: usize = 0;
    pub(in crate::surface) const WIDTH: usize = 4;
    pub(in crate::surface) const HEIGHT: usize = 20;
    pub(in crate::surface) const PITCH: usize = 36;
    pub(in crate::surface) const OFFSET: usize = 52;
    pub(in crate::surface) const BYTES: usize = 68;
    pub(in crate::surface) const BYTES_PER_PIXEL: usize = 84;
}

/// What is known of the structs of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layouts {
    /// The whole header was read: R35 and R36.
    Whole,
    /// The structs begin like those of R36, as others report: R38 and R39, and DeepStream where there is no L4T.
    Prefix,
}

impl Layouts {
    /// By the release of NVIDIA's Linux; `None` where it is not NVIDIA's.
    ///
    /// # Errors
    /// [`SurfaceError::Release`].
    pub fn of(l4t: Option<&L4t>) -> Result<Self, SurfaceError> {
        match l4t.map(|l4t| l4t.release) {
            Some(35 | 36) => Ok(Self::Whole),
            Some(38 | 39) | None => Ok(Self::Prefix),
            Some(other) => Err(SurfaceError::Release(other)),
        }
    }
}

/// The `u32` at an offset.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

/// The `u64` at an offset.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_ne_bytes)
}
