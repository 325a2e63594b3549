//! From the folder to a running engine.

use egret_jetson::tensorrt::{self, Engine};

use super::{EngineError, Here, Manifest, Store, build::deserialize};

/// Why an engine that is there does not run.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is damaged, or cannot be read.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The driver.
    #[error("engine of {name}: {error}")]
    Cuda {
        /// The model.
        name: String,
        /// Its answer.
        error: egret_jetson::CudaError,
    },
    /// TensorRT does not take it.
    #[error("engine of {name}: {error}; build it anew with `egret engine build {name} --force`")]
    TensorRt {
        /// The model.
        name: String,
        /// Its words.
        error: tensorrt::Error,
    },
}

/// Opens an engine on this thread's device. Its bytes are held against its manifest before TensorRT sees them.
///
/// # Errors
/// [`OpenError`].
pub fn open(here: &Here, store: &mut Store, manifest: &Manifest) -> Result<Engine, OpenError> {
    let plan = store.plan(manifest)?;
    here.device.bind().map_err(|error| OpenError::Cuda { name: manifest.name.clone(), error })?;
    deserialize(here, &manifest.key, &plan).map_err(|error| OpenError::TensorRt { name: manifest.name.clone(), error })
}
