//! TensorRT and the device, as they are here.

use std::{path::Path, sync::Arc};

use egret_jetson::{
    CudaError, Device, L4t,
    tensorrt::{self, Library, Location, Severity},
};

use super::{DlaCore, Flags, Key, Profile};

/// What engines are built and run with. One of these serves a whole process.
#[derive(Clone, Debug)]
pub struct Here {
    /// TensorRT.
    pub library: Arc<Library>,
    /// The GPU.
    pub device: Arc<Device>,
    /// NVIDIA's Linux, e.g. `36.4.3`.
    pub l4t: Option<String>,
}

/// Why no engine can be built or run here. One line, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Elsewhere {
    /// There is no TensorRT, or none that is of use.
    #[error("{0}: engines need TensorRT 10.3 or later, which JetPack 6.1 and later have")]
    NoTensorRt(tensorrt::Error),
    /// It says itself what to do.
    #[error(transparent)]
    TensorRt(tensorrt::Error),
    /// The driver.
    #[error("{0}: engines need an NVIDIA GPU and its driver")]
    Cuda(#[from] CudaError),
}

impl Here {
    /// Loads TensorRT and opens the GPU of that number.
    ///
    /// # Errors
    /// [`Elsewhere`].
    pub fn open(location: &Location, ordinal: usize) -> Result<Self, Elsewhere> {
        let library = Library::load(location, log).map_err(|error| match error {
            tensorrt::Error::Unusable(tensorrt::Unusable::Absent) => Elsewhere::NoTensorRt(error),
            other => Elsewhere::TensorRt(other),
        })?;
        let device = Device::open(ordinal)?;
        let l4t = egret_jetson::l4t(Path::new("/")).map(|L4t { release, revision }| format!("{release}.{revision}"));
        Ok(Self { library, device, l4t })
    }

    /// The key of an engine for this device.
    pub fn key(&self, model: &str, precision: &str, profile: &Profile, dla: Option<&DlaCore>, flags: &Flags) -> Key {
        let (major, minor) = self.device.capability();
        Key {
            model: model.to_owned(),
            tensorrt: self.library.version().to_string(),
            device: self.device.name().to_owned(),
            compute_capability: format!("{major}.{minor}"),
            l4t: self.l4t.clone(),
            precision: precision.to_owned(),
            profile: profile.clone(),
            dla: dla.cloned(),
            flags: flags.clone(),
        }
    }
}

/// TensorRT's log is ours.
fn log(severity: Severity, text: &str) {
    match severity {
        Severity::Internal | Severity::Error => tracing::error!(target: "tensorrt", "{text}"),
        Severity::Warning => tracing::warn!(target: "tensorrt", "{text}"),
        Severity::Info => tracing::debug!(target: "tensorrt", "{text}"),
        Severity::Verbose => tracing::trace!(target: "tensorrt", "{text}"),
    }
}
