//! From the folder to a running engine.

use egret_jetson::tensorrt::{self, Engine};

use super::{EngineError, Here, Manifest, Parts, Store, build::deserialize};

/// An engine that is ready for detectors.
#[derive(Debug)]
pub struct Opened {
    /// The engine.
    pub engine: Engine,
    /// What ONNX Runtime runs behind it, an ONNX file; `None`: the engine is the whole network.
    pub tail: Option<Vec<u8>>,
}

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

impl From<Engine> for Opened {
    fn from(engine: Engine) -> Self {
        Self { engine, tail: None }
    }
}

/// Opens an engine on this thread's device. Its bytes are held against its manifest before anything reads them.
///
/// # Errors
/// [`OpenError`].
pub fn open(here: &Here, store: &mut Store, manifest: &Manifest) -> Result<Opened, OpenError> {
    let Parts { plan, tail } = store.parts(manifest)?;
    here.device.bind().map_err(|error| OpenError::Cuda { name: manifest.name.clone(), error })?;
    let refused = |error| OpenError::TensorRt { name: manifest.name.clone(), error };
    Ok(Opened { engine: deserialize(here, &manifest.key, &plan).map_err(refused)?, tail })
}
