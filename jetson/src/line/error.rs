//! What goes wrong on the way.

use crate::{
    CudaError, is_lost,
    kernels::device::DeviceError,
    tensorrt::{Error, Told},
};

/// Why a batch did not get through, or why a network cannot be run this way.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Drawing, decoding or copying failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The engine failed.
    #[error(transparent)]
    TensorRt(#[from] Error),
    /// The engine is none that can be run this way.
    #[error("{0}")]
    Engine(String),
    /// A batch of a size that is not taken.
    #[error("a batch of {found}, where 1 to {most} are taken")]
    Batch {
        /// Pictures that were given.
        found: usize,
        /// The most that are taken.
        most: usize,
    },
    /// Boxes were asked of a lane that leaves tensors, or the other way round; or nothing is under way.
    #[error("{0}")]
    Misused(&'static str),
    /// The device's context is gone: nothing runs in this process any more until it begins anew.
    #[error("the CUDA context is lost (error {code}): {reason}")]
    Lost {
        /// `CUresult`.
        code: u32,
        /// Where it showed.
        reason: String,
    },
}

impl From<CudaError> for LineError {
    fn from(error: CudaError) -> Self {
        Self::Device(error.into())
    }
}

impl LineError {
    /// Whether nothing will ever run again in this process.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// Whether memory ran out, on the device or on the host.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::Device(DeviceError::Cuda(error)) => error.is_out_of_memory(),
            Self::Device(error) => code(error) == Some(2),
            Self::TensorRt(error) => error.is_out_of_memory(),
            _ => false,
        }
    }

    /// The same as [`Self::Lost`], where it means that. `probe`: what the driver says of a stream now; TensorRT tells failures of the
    /// device in its own words only.
    pub(super) fn judged(self, probe: impl FnOnce() -> Option<u32>) -> Self {
        let own = match &self {
            Self::Device(error) => code(error),
            Self::TensorRt(Error::Cuda { code, .. }) => Some(*code),
            _ => None,
        };
        let told = matches!(&self, Self::TensorRt(Error::Refused { told: Told(_), .. }));
        match own.or_else(|| if told { probe() } else { None }).filter(|code| is_lost(*code)) {
            Some(code) => Self::Lost { code, reason: self.to_string() },
            None => self,
        }
    }
}

fn code(error: &DeviceError) -> Option<u32> {
    match error {
        DeviceError::Call { code, .. } | DeviceError::Cuda(CudaError::Call { code, .. }) => Some(*code),
        _ => None,
    }
}
