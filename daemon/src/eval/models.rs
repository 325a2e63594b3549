//! The models of an evaluation.

use std::{
    collections::BTreeSet,
    io::Read,
    path::{Path, PathBuf},
};

use egret_models::onnx;

use super::{EvalError, bounded};
use crate::{
    config::{ModelConfig, ModelSource, RuntimeConfig},
    infer::{self, Detector},
};

/// A loaded model and what it is called in tables.
pub(super) struct Model {
    pub(super) label: String,
    pub(super) precision: &'static str,
    pub(super) detector: Box<dyn Detector>,
}

/// Loads all of them, one instance each.
pub(super) fn load(named: &[String], confidence: f32, nms_iou: f32, runtime: &RuntimeConfig) -> Result<Vec<Model>, EvalError> {
    let labels = labels(named);
    let load = |(name, label): (&String, String)| {
        let source = match name.as_str() {
            "builtin:demo" => ModelSource::Demo,
            path => ModelSource::Onnx(path.into()),
        };
        let precision = match &source {
            ModelSource::Onnx(path) => precision(path)?,
            _ => "FP32",
        };
        let config = ModelConfig { name: label.clone(), source, classes: None, confidence, nms_iou, max_batch: 1, workers: 1 };
        let detector = infer::load(&config, runtime)?.instances().remove(0);
        Ok(Model { label, precision, detector })
    };
    named.iter().zip(labels).map(load).collect()
}

/// The stems of the files; the names as they were given where stems repeat.
fn labels(named: &[String]) -> Vec<String> {
    let stem = |name: &String| match name.strip_prefix("builtin:") {
        Some(builtin) => builtin.to_owned(),
        None => PathBuf::from(name).file_stem().map_or_else(|| name.clone(), |stem| stem.to_string_lossy().into_owned()),
    };
    let stems: Vec<String> = named.iter().map(stem).collect();
    let distinct: BTreeSet<&String> = stems.iter().collect();
    if distinct.len() == stems.len() { stems } else { named.to_vec() }
}

/// What the weights are: `INT8` with explicit quantization nodes, `FP16` where half floats prevail, else `FP32`.
fn precision(path: &Path) -> Result<&'static str, EvalError> {
    let mut bytes = Vec::new();
    let read = bounded::open(path, onnx::MAX_FILE_BYTES)?.read_to_end(&mut bytes);
    read.map_err(|source| EvalError::Read { file: path.to_owned(), source })?;
    let model = onnx::read(&bytes).map_err(|refused| EvalError::Model { file: path.to_owned(), refused })?;
    let elements = |kind: i32| model.graph.initializers.iter().filter(|t| t.element.0 == kind).map(|t| t.elements).sum::<u64>();
    let quantized = model.graph.nodes.iter().any(|node| node.op.contains("QuantizeLinear") || node.op.starts_with("QLinear"));
    Ok(if quantized {
        "INT8"
    } else if elements(FLOAT16) > elements(onnx::ElementType::FLOAT.0) {
        "FP16"
    } else {
        "FP32"
    })
}

/// `TensorProto.FLOAT16`.
const FLOAT16: i32 = 10;
