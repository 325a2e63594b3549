//! Which TensorRT, which models.

use std::{collections::BTreeSet, path::Path};

use super::args::Place;
use crate::{
    config::{Config, EnginesConfig, ModelConfig, ModelSource},
    engine::{self, Here, Manifest, Order},
    infer,
    placement::Processor,
    store,
};

/// TensorRT and the GPU.
pub(super) fn here(place: &Place, config: &EnginesConfig, plugins: bool) -> anyhow::Result<Here> {
    if let Some(folder) = place.tensorrt.as_ref().filter(|folder| !folder.is_dir()) {
        anyhow::bail!(
            "--tensorrt {}: there is no such folder: name the one that libnvinfer.so.10 or .so.11 is in",
            folder.display()
        );
    }
    let here = Here::open(&engine::location(&place.over(config), plugins), place.gpu);
    match &place.tensorrt {
        Some(folder) => here.map_err(|error| anyhow::anyhow!("--tensorrt {}: {error}", folder.display())),
        None => Ok(here?),
    }
}

/// Why an engine cannot run here, whatever it was wanted for.
pub(super) fn unfit(here: &Here, manifest: &Manifest) -> Option<String> {
    let built = &manifest.key;
    let ours = here.key(&built.model, &built.precision, &built.profile, built.dla.as_ref(), &built.flags);
    ours.differences(built).iter().find(|difference| difference.fatal).map(ToString::to_string)
}

/// The models that words mean: configured ones, those of the store, ONNX files. No word: all configured ones that have a network.
pub(super) fn models(words: &[String], config: &Config) -> anyhow::Result<Vec<ModelConfig>> {
    let has_network = |model: &&ModelConfig| matches!(model.source, ModelSource::Onnx(_) | ModelSource::Demo);
    if words.is_empty() {
        let all: Vec<ModelConfig> = config.models.iter().filter(has_network).cloned().collect();
        anyhow::ensure!(!all.is_empty(), "no model with a network is configured: name a model of the store or an ONNX file");
        return Ok(all);
    }
    words.iter().map(|word| model(word, config)).collect()
}

fn model(word: &str, config: &Config) -> anyhow::Result<ModelConfig> {
    if let Some(model) = config.models.iter().find(|model| model.name == word) {
        return Ok(model.clone());
    }
    let path = Path::new(word);
    if word.contains('/') || path.extension().is_some_and(|ending| ending == "onnx") {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        return Ok(ModelConfig::new(&name, ModelSource::Onnx(path.to_owned())));
    }
    let configured: Vec<&str> = config.models.iter().map(|model| model.name.as_str()).collect();
    match store::find(word) {
        Ok(file) => Ok(ModelConfig::new(word, ModelSource::Onnx(file))),
        Err(error) => anyhow::bail!("no model `{word}` is configured (there are: {}); {error}", configured.join(", ")),
    }
}

/// The engines of a model: one for the GPUs, one for each DLA core, as far as its devices have them. None where it runs on the CPU alone.
pub(super) fn orders(model: &ModelConfig, engines: &EnginesConfig) -> anyhow::Result<Vec<Order>> {
    let order = order(model, engines)?;
    let Some(devices) = &model.devices else { return Ok(vec![order]) };
    // The engine of one GPU is that of all of its kind.
    let kinds: BTreeSet<Processor> =
        devices.iter().map(|device| if let Processor::Gpu(_) = device { Processor::Gpu(0) } else { *device }).collect();
    Ok(kinds.into_iter().filter_map(|kind| order.clone().on(kind)).collect())
}

/// What is to be built of a model.
pub(super) fn order(model: &ModelConfig, engines: &EnginesConfig) -> anyhow::Result<Order> {
    Ok(infer::order(model, engines)?)
}
