//! From a configured model to engine instances.

mod error;

use std::{collections::BTreeMap, io, path::Path, sync::Arc};

use egret_models::{
    head::{HeadSpec, Thresholds},
    manifest::{MAX_MANIFEST_BYTES, Manifest, Problem},
    nms::NmsParams,
    onnx::{self, Contract, ElementType, MAX_FILE_BYTES, Model, Refused},
    spec::{COCO_80, ModelSpec, NmsSpec, TaskSpec},
};

use super::{
    Cpu, Detector, Null, Scripted,
    engine::Engine,
    onnxruntime::{self, Library},
    rten,
    tiles::{Merging, Tiled},
};
pub use error::{Flaw, LoadError};

use crate::{
    config::{CpuRuntime, ModelConfig, ModelSource, RuntimeConfig},
    file::{self, Unread},
    media::ModelInfo,
    store::{self, MANIFEST},
};

/// `TensorProto.DataType.FLOAT16`.
const FLOAT16: ElementType = ElementType(10);
/// Smallest confidence where neither the configuration nor a manifest says one.
const CONFIDENCE: f32 = 0.3;

/// A model that is ready: its instances, one per worker.
pub struct Loaded {
    info: Arc<ModelInfo>,
    spec: Option<ModelSpec>,
    instances: Vec<Box<dyn Detector>>,
}

impl Loaded {
    /// What it is and what runs it.
    pub fn info(&self) -> &Arc<ModelInfo> {
        &self.info
    }

    /// What the network expects and says, the configuration's own values over the manifest's; `None`: there is no network.
    pub fn spec(&self) -> Option<&ModelSpec> {
        self.spec.as_ref()
    }

    /// One detector per worker.
    pub fn instances(self) -> Vec<Box<dyn Detector>> {
        self.instances
    }
}

/// Loads a model and makes its `workers` instances.
///
/// # Errors
/// [`LoadError`] names the file, the reason and the remedy.
pub fn load(model: &ModelConfig, runtime: &RuntimeConfig) -> Result<Loaded, LoadError> {
    let classes = || model.classes.clone().unwrap_or_else(coco);
    let workers = model.workers.max(1);
    let (spec, instances): (_, Vec<Box<dyn Detector>>) = match &model.source {
        ModelSource::Onnx(_) | ModelSource::Demo => {
            let (spec, instances) = network(model, runtime)?;
            (Some(spec), instances.into_iter().map(|cpu| Box::new(cpu) as _).collect())
        }
        ModelSource::Null => {
            let null = |_| Box::new(Null::new(&model.name, classes(), model.max_batch, 0)) as _;
            (None, (0..workers).map(null).collect())
        }
        ModelSource::Scripted(path) => {
            let scripted = Scripted::read(path, &model.name, classes(), model.max_batch)?;
            (None, (0..workers).map(|_| Box::new(scripted.clone()) as _).collect())
        }
    };
    let instances = tiled(instances, model, spec.as_ref())?;
    Ok(Loaded { info: instances[0].spec().clone(), spec, instances })
}

/// Detectors that look at frames in tiles, if that is configured.
fn tiled(
    instances: Vec<Box<dyn Detector>>,
    model: &ModelConfig,
    spec: Option<&ModelSpec>,
) -> Result<Vec<Box<dyn Detector>>, LoadError> {
    let Some(grid) = model.tiles else { return Ok(instances) };
    let nms = match spec.map(|spec| &spec.task) {
        None => overlaps(NmsSpec::default(), model),
        Some(TaskSpec::Detect { nms, .. }) => *nms,
        Some(task) => return Err(LoadError::Tiles { model: model.name.clone(), task: task.word() }),
    };
    let merging = Merging { iou: nms.iou, class_agnostic: nms.class_agnostic, detections: nms.detections };
    Ok(instances.into_iter().map(|inner| Box::new(Tiled::new(inner, grid, merging)) as _).collect())
}

/// Loads a model that runs on the CPU, at least one instance; [`load`] for those who need no more than a [`Detector`]. Tiles are
/// left out.
///
/// # Errors
/// [`LoadError`], also for sources that have no network.
pub fn load_cpu(model: &ModelConfig, runtime: &RuntimeConfig) -> Result<Vec<Cpu>, LoadError> {
    network(model, runtime).map(|(_, instances)| instances)
}

/// Loads one instance of a network that is in memory, as [`load_cpu`] does from a file. `file`: what it is called in errors.
pub(crate) fn load_bytes(
    (file, bytes, manifest): (&str, &[u8], &Manifest),
    model: &ModelConfig,
    runtime: &RuntimeConfig,
) -> Result<Cpu, LoadError> {
    cpu(file, bytes, Some(manifest), model, runtime).map(|(_, mut instances)| instances.remove(0))
}

fn network(model: &ModelConfig, runtime: &RuntimeConfig) -> Result<(ModelSpec, Vec<Cpu>), LoadError> {
    match &model.source {
        ModelSource::Onnx(path) => {
            cpu(&path.display().to_string(), &read_model(path)?, manifest_beside(path)?.as_ref(), model, runtime)
        }
        ModelSource::Demo => match DEMO_NETWORK {
            Some(bytes) => cpu("builtin:demo", bytes, None, model, runtime),
            None => Err(LoadError::NoDemo { model: model.name.clone() }),
        },
        ModelSource::Null | ModelSource::Scripted(_) => Err(LoadError::NoNetwork { model: model.name.clone() }),
    }
}

/// The demo's street detector, in builds that have a demo.
#[cfg(feature = "demo")]
const DEMO_NETWORK: Option<&[u8]> = Some(include_bytes!("../../../models/street/street.onnx"));
#[cfg(not(feature = "demo"))]
const DEMO_NETWORK: Option<&[u8]> = None;

fn coco() -> Vec<String> {
    COCO_80.iter().map(ToString::to_string).collect()
}

/// Reads a regular file of bounded size.
fn read_model(path: &Path) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::Read { file: path.to_owned(), source };
    let refused = |refused| LoadError::Model { file: path.display().to_string(), refused };
    file::read(path, MAX_FILE_BYTES).map_err(|unread| match unread {
        Unread::Io(source) => failed(source),
        Unread::TooLarge(bytes) => refused(Refused::TooLarge { bytes }),
    })
}

/// The manifest beside a model file, `model.toml`, if there is one and it is about this file.
fn manifest_beside(network: &Path) -> Result<Option<Manifest>, LoadError> {
    let path = network.with_file_name(MANIFEST);
    let text = match file::text(&path, MAX_MANIFEST_BYTES) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LoadError::Read { file: path, source }),
    };
    let manifest = Manifest::parse(&text).map_err(|problems| LoadError::Manifest { file: path.clone(), problems })?;
    let about_it = network.file_name().is_some_and(|name| name == manifest.card.file.as_str());
    if !about_it {
        tracing::info!(manifest = %path.display(), about = manifest.card.file, file = %network.display(), "the manifest is about another file");
    }
    Ok(about_it.then_some(manifest))
}

/// An ONNX model on the CPU.
fn cpu(
    file: &str,
    bytes: &[u8],
    manifest: Option<&Manifest>,
    model: &ModelConfig,
    runtime: &RuntimeConfig,
) -> Result<(ModelSpec, Vec<Cpu>), LoadError> {
    let Understood { spec, sha256, precision } = understand(file, bytes, manifest, model)?;
    let (name, engines) = engines(file, bytes, &spec, model.workers.max(1), runtime)?;
    let classes = spec.classes.clone();
    let info = Arc::new(ModelInfo { name: model.name.clone(), classes, runtime: name, sha256, precision });
    let instances = engines.into_iter().map(|engine| {
        Cpu::new(info.clone(), &spec, engine, thresholds(&spec), (model.max_batch, model.details))
            .map_err(|source| LoadError::TrialRun { file: file.to_owned(), source })
    });
    let instances = instances.collect::<Result<_, _>>()?;
    Ok((spec, instances))
}

/// What a file says before any runtime has seen it.
struct Understood {
    spec: ModelSpec,
    sha256: String,
    precision: &'static str,
}

/// Reads a network, its manifest and what the configuration says of it, as [`load`] does first.
fn understand(file: &str, bytes: &[u8], manifest: Option<&Manifest>, model: &ModelConfig) -> Result<Understood, LoadError> {
    let refused = |refused| LoadError::Model { file: file.to_owned(), refused };
    let graph = onnx::read_named(file, bytes).map_err(refused)?;
    graph.standard_operators().map_err(refused)?;
    let sha256 = file::sha256(bytes);
    let spec = match manifest {
        Some(manifest) => declared(file, manifest, &graph, &sha256, model)?,
        None => recognised(&graph, model).map_err(refused)?,
    };
    let spec = configured(spec, model);
    let precision = precision(&graph);
    drop(graph);
    if let Some(class) = model.class_confidence.keys().find(|class| !spec.classes.contains(class)) {
        let known = spec.classes.iter().take(20).cloned().collect::<Vec<_>>().join(", ");
        return Err(LoadError::Class { model: model.name.clone(), class: class.clone(), known });
    }
    Ok(Understood { spec, sha256, precision })
}

/// What [`load`] would refuse of a model without running it: for those who check a configuration.
///
/// # Errors
/// [`LoadError`] names the file, the reason and the remedy.
pub fn examine(model: &ModelConfig) -> Result<(), LoadError> {
    match &model.source {
        ModelSource::Onnx(path) => {
            let manifest = manifest_beside(path)?;
            let understood = understand(&path.display().to_string(), &read_model(path)?, manifest.as_ref(), model)?;
            tiled(Vec::new(), model, Some(&understood.spec)).map(|_| ())
        }
        ModelSource::Scripted(path) => {
            let classes = model.classes.clone().unwrap_or_else(coco);
            Scripted::read(path, &model.name, classes, model.max_batch).map(|_| ())
        }
        ModelSource::Demo if DEMO_NETWORK.is_none() => Err(LoadError::NoDemo { model: model.name.clone() }),
        ModelSource::Demo | ModelSource::Null => Ok(()),
    }
}

/// What a manifest says of a graph, if the graph agrees and the file is the one that the manifest was written for.
fn declared(
    file: &str,
    manifest: &Manifest,
    graph: &Model<'_>,
    sha256: &str,
    model: &ModelConfig,
) -> Result<ModelSpec, LoadError> {
    let path = Path::new(file).with_file_name(MANIFEST);
    let mut problems = manifest.contradictions(graph);
    problems.extend(store::other_digest(manifest, sha256, file));
    let mut spec = manifest.spec.clone();
    if let Some(classes) = &model.classes {
        if classes.len() != spec.classes.len() {
            let reason = format!("model.{} has {} class names in the configuration", model.name, classes.len());
            problems.push(Problem::new("classes", spec.classes.len(), reason, "remove `classes` there, or name all of them"));
        }
        spec.classes.clone_from(classes);
    }
    if problems.is_empty() { Ok(spec) } else { Err(LoadError::Manifest { file: path, problems }) }
}

/// What a graph without a manifest is: a YOLOX-shaped detector, or nothing that can be used.
fn recognised(graph: &Model<'_>, model: &ModelConfig) -> Result<ModelSpec, Refused> {
    let classes = model.classes.clone().or_else(|| graph.class_names()).unwrap_or_else(coco);
    let detector = onnx::detector(graph, Contract::default(), &classes)?;
    let task = TaskSpec::Detect { head: HeadSpec::Yolox { strides: vec![8, 16, 32] }, nms: NmsSpec::default() };
    Ok(ModelSpec {
        input: detector.input,
        constants: Vec::new(),
        outputs: vec![detector.output],
        task,
        classes: detector.classes,
        confidence: CONFIDENCE,
        class_confidence: BTreeMap::new(),
    })
}

/// The configuration's own values over the manifest's.
fn configured(mut spec: ModelSpec, model: &ModelConfig) -> ModelSpec {
    if let Some(confidence) = model.confidence {
        spec.confidence = confidence;
        // Whoever sets the one for all means all, but for those that are named.
        spec.class_confidence.clear();
    }
    spec.class_confidence.extend(model.class_confidence.clone());
    if let TaskSpec::Detect { nms, .. } = &mut spec.task {
        *nms = overlaps(*nms, model);
    }
    spec
}

fn overlaps(nms: NmsSpec, model: &ModelConfig) -> NmsSpec {
    NmsSpec {
        iou: model.nms_iou.unwrap_or(nms.iou),
        class_agnostic: model.class_agnostic.unwrap_or(nms.class_agnostic),
        candidates: model.max_candidates.unwrap_or(nms.candidates),
        detections: model.max_detections.unwrap_or(nms.detections),
    }
}

fn thresholds(spec: &ModelSpec) -> Thresholds {
    let nms = match &spec.task {
        TaskSpec::Detect { nms, .. } => *nms,
        _ => NmsSpec::default(),
    };
    let NmsSpec { iou, class_agnostic, candidates, detections } = nms;
    let nms = NmsParams { iou, class_agnostic, candidates, detections };
    Thresholds { confidence: spec.confidence, class_confidence: spec.confidences(), nms }
}

/// What a graph computes in, as far as its operators and weights tell.
fn precision(graph: &Model<'_>) -> &'static str {
    let graph = &graph.graph;
    if graph.nodes.iter().any(|node| node.op == "DequantizeLinear" || node.op.starts_with("QLinear")) {
        return "int8";
    }
    let halves = graph.initializers.iter().filter(|tensor| tensor.element == FLOAT16).count();
    let floats = graph.initializers.iter().filter(|tensor| tensor.element == ElementType::FLOAT).count();
    if halves > floats { "fp16" } else { "fp32" }
}

/// Name and version of the runtime, and `count` engines of it.
fn engines(
    file: &str,
    bytes: &[u8],
    spec: &ModelSpec,
    count: usize,
    runtime: &RuntimeConfig,
) -> Result<(String, Vec<Engine>), LoadError> {
    let library = match runtime.cpu {
        CpuRuntime::Rten => Err("the configuration asks for rten".to_owned()),
        CpuRuntime::Auto | CpuRuntime::OnnxRuntime => Library::find(runtime.onnxruntime_library.as_deref()),
    };
    match library {
        Ok(library) => {
            let name = format!("onnxruntime {}", library.version);
            let engines = (0..count).map(|_| onnxruntime::Engine::new(&library, bytes, spec).map(Engine::OnnxRuntime));
            let refused = |reason| LoadError::Runtime { file: file.to_owned(), runtime: name.clone(), reason };
            let engines = engines.collect::<Result<_, _>>().map_err(refused)?;
            tracing::info!(model = file, runtime = name, library = %library.path.display(), "this runtime runs the model");
            Ok((name, engines))
        }
        Err(reason) if runtime.cpu == CpuRuntime::OnnxRuntime => Err(LoadError::NoRuntime { file: file.to_owned(), reason }),
        Err(reason) => {
            let name = format!("rten {}", rten::VERSION);
            let refused = |reason| LoadError::Runtime { file: file.to_owned(), runtime: name.clone(), reason };
            let network = rten::Network::new(bytes).map_err(refused)?;
            let engines = (0..count).map(|_| rten::Engine::new(network.clone(), spec).map(Engine::Rten));
            let engines = engines.collect::<Result<_, _>>().map_err(refused)?;
            if runtime.cpu == CpuRuntime::Auto {
                tracing::warn!(model = file, runtime = name, %reason, "ONNX Runtime cannot be loaded; the compiled-in runtime is slower");
            } else {
                tracing::info!(model = file, runtime = name, %reason, "this runtime runs the model");
            }
            Ok((name, engines))
        }
    }
}
