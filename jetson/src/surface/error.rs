//! Why a decoder's surface cannot be used where it lies.

use super::check::MemoryKind;
use crate::{CudaError, kernels::device::DeviceError};

/// Why a decoder's surface cannot be used where it lies. The pictures have to come through host memory then.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SurfaceError {
    /// Nobody has seen the surfaces of this release.
    #[error("the surfaces of L4T R{0} are not known; R35, R36, R38 and R39 are")]
    Release(u32),
    /// `libnvbufsurface` cannot be loaded, or lacks a function.
    #[error("libnvbufsurface: {0}")]
    Library(String),
    /// The driver has no interface to EGL, or libgstcuda cannot be loaded.
    #[error("{library} has no {symbol}")]
    Symbol {
        /// The library.
        library: &'static str,
        /// What it lacks.
        symbol: &'static str,
    },
    /// What the buffer holds is no surface: too short, or it points to where nothing is.
    #[error("the decoder's buffer holds no surface: {0}")]
    NoSurface(&'static str),
    /// A field has a value that no known layout gives it.
    #[error("surface of unknown layout: {field} is {found}, expected {expected}")]
    Layout {
        /// As the header calls it.
        field: &'static str,
        /// What it is.
        found: u64,
        /// What it is to be.
        expected: String,
    },
    /// A format that is not NV12 of 8 bits.
    #[error("surfaces of colour format {0}; NV12 is read")]
    Format(u32),
    /// Pixels that cannot be reached by a device's pointer.
    #[error("surfaces of {0:?} memory")]
    Memory(MemoryKind),
    /// The memory has no pointer.
    #[error("surfaces of {0:?} memory without a pointer")]
    NoPointer(MemoryKind),
    /// The pointer is not what the driver knows of.
    #[error("a surface's pointer: {0}")]
    Pointer(&'static str),
    /// No EGLImage came of it.
    #[error("NvBufSurfaceMapEglImage fails: {0}")]
    Map(i32),
    /// The mapped frame is not the surface's.
    #[error("the mapped surface: {field} is {found}, expected {expected}")]
    Frame {
        /// As the header calls it.
        field: &'static str,
        /// What it is.
        found: u64,
        /// What it is to be.
        expected: u64,
    },
    /// The driver refuses. After some errors (700 and above) the context is lost for good.
    #[error(transparent)]
    Cuda(#[from] CudaError),
}

impl From<DeviceError> for SurfaceError {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::Size { found, needed, .. } => {
                Self::Layout { field: "dataSize", found, expected: format!("at least {needed}") }
            }
            DeviceError::Cuda(error) => Self::Cuda(error),
            DeviceError::Call { call, code } => Self::Cuda(CudaError::Call { call, code }),
            other => {
                // A frame is made of sizes and memory alone.
                Self::Library(other.to_string())
            }
        }
    }
}

impl SurfaceError {
    /// Whether the device's context is lost: no other way will do, the process has to start again.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Cuda(CudaError::Call { code: 700..=799, .. }))
    }
}
