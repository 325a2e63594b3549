//! Where engines are, by configuration.

use std::path::PathBuf;

use super::EngineError;
use crate::{config::EnginesConfig, store::state_directory};

/// The folder of the engines: the configured one, else `engines` in the state directory.
///
/// # Errors
/// [`EngineError::NoPlace`].
pub fn folder(config: &EnginesConfig) -> Result<PathBuf, EngineError> {
    let state = || state_directory(&|name| std::env::var(name).ok()).map(|state| state.join("engines"));
    config.folder.clone().or_else(state).ok_or(EngineError::NoPlace)
}

/// Where TensorRT is looked for. NVIDIA's own plugins are loaded for networks that use operators beyond ONNX's.
#[cfg(feature = "tensorrt")]
pub fn location(config: &EnginesConfig, standard_plugins: bool) -> egret_jetson::tensorrt::Location {
    egret_jetson::tensorrt::Location { folder: config.tensorrt.clone(), standard_plugins, plugins: config.plugins.clone() }
}
