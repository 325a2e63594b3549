//! The models of an evaluation.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use egret_models::spec::TaskSpec;

use super::{EvalError, annotations::path_in};
use crate::{
    config::{ModelConfig, ModelSource, RuntimeConfig},
    infer::{self, Detector},
    store::{self, MANIFEST},
};

/// Boxes per picture. COCO counts 100 per class.
const MAX_DETECTIONS: usize = 300;

/// A loaded model and what it is called in tables.
pub(super) struct Model {
    pub(super) label: String,
    pub(super) detector: Box<dyn Detector>,
}

/// Loads all of them, one instance each.
pub(super) fn load(named: &[String], confidence: f32, nms_iou: f32, runtime: &RuntimeConfig) -> Result<Vec<Model>, EvalError> {
    let labels = labels(named);
    let load = |(name, label): (&String, String)| {
        let config = ModelConfig {
            confidence: Some(confidence),
            nms_iou: Some(nms_iou),
            class_agnostic: Some(false),
            max_detections: Some(MAX_DETECTIONS),
            max_batch: 1,
            ..ModelConfig::new(&label, source(name)?)
        };
        let loaded = infer::load(&config, runtime)?;
        match loaded.spec().map(|spec| &spec.task) {
            Some(TaskSpec::Detect { .. }) => Ok(Model { label, detector: loaded.instances().remove(0) }),
            other => Err(EvalError::NoDetector { model: name.clone(), task: other.map_or("nothing", TaskSpec::word) }),
        }
    };
    named.iter().zip(labels).map(load).collect()
}

/// A directory stands for the file that its manifest is about.
fn source(name: &str) -> Result<ModelSource, EvalError> {
    if name == "builtin:demo" {
        return Ok(ModelSource::Demo);
    }
    let path = Path::new(name);
    if !path.is_dir() {
        return Ok(ModelSource::Onnx(path.to_owned()));
    }
    let (manifest, _) = store::read_manifest(&path.join(MANIFEST))?;
    let file = path_in(path, &manifest.card.file).ok_or_else(|| EvalError::Form {
        file: path.join(MANIFEST),
        line: None,
        what: format!("`file` is {:?}", manifest.card.file),
        remedy: "name a file in the same directory",
    })?;
    Ok(ModelSource::Onnx(file))
}

/// The stems of the files, or the names of the directories; the names as they were given where those repeat.
fn labels(named: &[String]) -> Vec<String> {
    let stem = |name: &String| {
        let path = PathBuf::from(name);
        let last = if path.is_dir() { path.file_name() } else { path.file_stem() };
        match name.strip_prefix("builtin:") {
            Some(builtin) => builtin.to_owned(),
            None => last.map_or_else(|| name.clone(), |last| last.to_string_lossy().into_owned()),
        }
    };
    let stems: Vec<String> = named.iter().map(stem).collect();
    let distinct: BTreeSet<&String> = stems.iter().collect();
    if distinct.len() == stems.len() { stems } else { named.to_vec() }
}
