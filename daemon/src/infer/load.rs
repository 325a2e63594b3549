//! From a configured model to engine instances.

#[cfg(feature = "tensorrt")]
mod device;
mod error;
mod loading;
#[cfg(feature = "tensorrt")]
mod order;

use std::{mem, path::Path, sync::Arc};

use egret_models::{
    head::Thresholds,
    manifest::{Assumption, Manifest, Problem, without_manifest},
    nms::NmsParams,
    onnx::{self, ElementType, MAX_FILE_BYTES, Model, Refused},
    spec::{COCO_80, ModelSpec, NmsSpec, TaskSpec},
};
use tokio_util::sync::CancellationToken;

use super::{
    Cpu, Detector, Heir, Null, Scripted, Succession,
    engine::Engine,
    onnxruntime::{self, Library},
    rten,
    tiles::{Merging, Tiled},
};
pub use error::{Flaw, LoadError};
use loading::Loading;
#[cfg(feature = "tensorrt")]
pub(crate) use order::order;

use crate::{
    config::{CpuRuntime, ModelConfig, ModelSource, RuntimeConfig},
    engine::EngineState,
    file::{self, Unread},
    media::ModelInfo,
    placement::Processor,
    store::{self, About, Beside, StoreError},
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
    coming: Vec<Coming>,
}

/// A better detector that is on its way while the instances serve: for [`succeed`](super::succeed), on a thread of its own.
pub struct Coming {
    /// Name of the model; of its further processors' engines with the processor, e.g. `yard/dla:0`.
    pub model: String,
    /// What the instances look at.
    pub succession: Arc<Succession>,
    /// What is prepared; `None`: nothing, there is only a state to tell.
    pub heir: Option<Box<dyn Heir>>,
    /// What is happening to the model's engine.
    pub state: EngineState,
    /// Where its network is cut in two, and why there, if it is.
    pub cut: Option<String>,
}

impl Loaded {
    /// What is on its way, for each processor that engines are for. To be taken once.
    pub fn coming(&mut self) -> Vec<Coming> {
        mem::take(&mut self.coming)
    }

    /// What it is and what runs it.
    pub fn info(&self) -> &Arc<ModelInfo> {
        &self.info
    }

    /// What the network expects and says, the configuration's own values over the manifest's; `None`: there is no network.
    pub fn spec(&self) -> Option<&ModelSpec> {
        self.spec.as_ref()
    }

    /// How many detectors there are.
    pub fn count(&self) -> usize {
        self.instances.len()
    }

    /// The detectors, each for a thread of its own.
    pub fn instances(self) -> Vec<Box<dyn Detector>> {
        self.instances
    }
}

/// Loads a model and makes its instances.
///
/// # Errors
/// [`LoadError`] names the file, the reason and the remedy.
pub fn load(model: &ModelConfig, runtime: &RuntimeConfig) -> Result<Loaded, LoadError> {
    all(std::slice::from_ref(model), Loading { runtime, stop: None }).map(|mut loaded| loaded.remove(0))
}

/// Loads models that run beside each other, in their order. Before the first engine starts it is known that all that are there fit into the
/// devices' memory. Once `stop` is cancelled no further instance is made.
///
/// # Errors
/// [`LoadError`] names the file, the reason and the remedy; [`LoadError::Stopped`].
pub fn load_all(models: &[ModelConfig], runtime: &RuntimeConfig, stop: &CancellationToken) -> Result<Vec<Loaded>, LoadError> {
    all(models, Loading { runtime, stop: Some(stop) })
}

fn all(models: &[ModelConfig], loading: Loading<'_>) -> Result<Vec<Loaded>, LoadError> {
    #[cfg(feature = "tensorrt")]
    let on_devices = device::prepare(models, loading.runtime)?.into_iter();
    #[cfg(not(feature = "tensorrt"))]
    let on_devices = models.iter().map(|_| None);
    models.iter().zip(on_devices).map(|(model, on_device)| start(model, loading, on_device)).collect()
}

/// What there is in builds without TensorRT: nothing.
#[cfg(not(feature = "tensorrt"))]
mod device {
    pub(super) enum Prepared {}
}

fn start(model: &ModelConfig, loading: Loading<'_>, on_device: Option<device::Prepared>) -> Result<Loaded, LoadError> {
    loading.goes_on()?;
    let classes = || model.classes.clone().unwrap_or_else(coco);
    let workers = model.workers.max(1);
    let (spec, instances, coming): (_, Vec<Box<dyn Detector>>, _) = match &model.source {
        ModelSource::Onnx(_) | ModelSource::Demo => everywhere(model, loading, on_device)?,
        ModelSource::Null => {
            let null = |_| Box::new(Null::new(&model.name, classes(), model.max_batch, 0)) as _;
            (None, (0..workers).map(null).collect(), Vec::new())
        }
        ModelSource::Scripted(path) => {
            let scripted = Scripted::read(path, &model.name, classes(), model.max_batch)?;
            (None, (0..workers).map(|_| Box::new(scripted.clone()) as _).collect(), Vec::new())
        }
    };
    let instances = tiled(instances, model, spec.as_ref())?;
    Ok(Loaded { info: instances[0].spec().clone(), spec, instances, coming })
}

type Instances = (Option<ModelSpec>, Vec<Box<dyn Detector>>, Vec<Coming>);

/// A network where the configuration has it run: on its devices, and on the CPU.
fn everywhere(model: &ModelConfig, loading: Loading<'_>, on_device: Option<device::Prepared>) -> Result<Instances, LoadError> {
    let devices = model.distinct();
    let cpu = devices.iter().enumerate().find(|(_, (processor, _))| *processor == Processor::Cpu);
    let on_cpu = |number: usize, workers: usize, fetches: bool| {
        let (spec, instances) = network(&ModelConfig { workers, ..model.clone() }, loading)?;
        Ok((spec, instances.into_iter().map(move |cpu| Box::new(cpu.on(number, fetches)) as Box<dyn Detector>)))
    };
    match (on_device, cpu) {
        #[cfg(feature = "tensorrt")]
        (Some(prepared), cpu) => {
            let device::Started { spec, mut instances, coming } = prepared.start(loading)?;
            if let Some((number, (_, count))) = cpu {
                let fetches = instances.iter().all(|instance| instance.reads_device());
                instances.extend(on_cpu(number, *count, fetches)?.1);
            }
            Ok((Some(spec), instances, coming))
        }
        #[cfg(not(feature = "tensorrt"))]
        (Some(prepared), _) => match prepared {},
        (None, cpu) => {
            if let Some((processor, _)) = devices.iter().find(|(processor, _)| *processor != Processor::Cpu) {
                let (model, processor) = (model.name.clone(), processor.to_string());
                return Err(LoadError::NoProcessor { model, processor, reason: "this egret was built without TensorRT".into() });
            }
            let (spec, instances) = on_cpu(0, cpu.map_or(model.workers, |(_, (_, count))| *count), false)?;
            Ok((Some(spec), instances.collect(), Vec::new()))
        }
    }
}

/// What a model's file says, before any runtime has seen it; the runtime's name is left out.
#[cfg(feature = "tensorrt")]
fn described(model: &ModelConfig) -> Result<(ModelSpec, ModelInfo), LoadError> {
    let order = order::read(model)?;
    let Understood { spec, sha256, precision, .. } = understand(&order.file, &order.bytes, order.manifest(), model)?;
    let (name, classes) = (model.name.clone(), spec.classes.clone());
    Ok((spec, ModelInfo { name, classes, runtime: String::new(), sha256, precision }))
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
    network(model, Loading { runtime, stop: None }).map(|(_, instances)| instances)
}

/// Loads one instance of a network that is in memory, as [`load_cpu`] does from a file. `file`: what it is called in errors.
pub(crate) fn load_bytes(
    (file, bytes, manifest): (&str, &[u8], &Manifest),
    model: &ModelConfig,
    runtime: &RuntimeConfig,
) -> Result<Cpu, LoadError> {
    let loading = Loading { runtime, stop: None };
    cpu(file, bytes, Some((Path::new(file), manifest)), model, loading).map(|(_, mut instances)| instances.remove(0))
}

fn network(model: &ModelConfig, loading: Loading<'_>) -> Result<(ModelSpec, Vec<Cpu>), LoadError> {
    match &model.source {
        ModelSource::Onnx(path) => {
            let Beside { about, others } = look_beside(path)?;
            for other in others {
                tracing::warn!(file = %path.display(), "{other}");
            }
            cpu(&path.display().to_string(), &read_model(path)?, about.as_ref().map(located), model, loading)
        }
        ModelSource::Demo => match DEMO_NETWORK {
            Some(bytes) => cpu("builtin:demo", bytes, None, model, loading),
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

/// What stands beside a model file.
fn look_beside(network: &Path) -> Result<Beside, LoadError> {
    store::beside(network).map_err(|error| match error {
        StoreError::Manifest { path, problems } => LoadError::Manifest { file: path, problems },
        StoreError::File { path, source } => LoadError::Read { file: path, source },
        other => LoadError::Store(other),
    })
}

/// A manifest and where it is.
type Located<'a> = (&'a Path, &'a Manifest);

fn located(about: &About) -> Located<'_> {
    (&about.path, &about.manifest)
}

/// An ONNX model on the CPU.
fn cpu(
    file: &str,
    bytes: &[u8],
    manifest: Option<Located<'_>>,
    model: &ModelConfig,
    loading: Loading<'_>,
) -> Result<(ModelSpec, Vec<Cpu>), LoadError> {
    let Understood { spec, sha256, precision, assumed } = understand(file, bytes, manifest, model)?;
    for Assumption { what, .. } in assumed {
        tracing::warn!(model = file, "no manifest is beside it, and of its classes it was assumed that {what}");
    }
    let count = model.workers.max(1);
    tracing::info!(model = model.name, file, instances = count, "loading");
    let (name, engines) = engines(file, bytes, &spec, count, loading)?;
    let classes = spec.classes.clone();
    let info = Arc::new(ModelInfo { name: model.name.clone(), classes, runtime: name, sha256, precision });
    let instances = engines.into_iter().map(|engine| {
        loading.goes_on()?;
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
    /// What was taken for granted of its classes, for want of a manifest.
    assumed: Vec<Assumption>,
}

/// Reads a network, its manifest and what the configuration says of it, as [`load`] does first.
fn understand(file: &str, bytes: &[u8], manifest: Option<Located<'_>>, model: &ModelConfig) -> Result<Understood, LoadError> {
    let refused = |refused| LoadError::Model { file: file.to_owned(), refused };
    let graph = onnx::read_named(file, bytes).map_err(refused)?;
    graph.sound().map_err(refused)?;
    let sha256 = file::sha256(bytes);
    let (spec, assumed) = match manifest {
        Some(manifest) => (declared(file, manifest, &graph, &sha256, model)?, Vec::new()),
        None => without_manifest(&graph, model.classes.as_deref())
            .map(|(spec, assumed)| (ModelSpec { confidence: CONFIDENCE, ..spec }, assumed))
            .map_err(refused)?,
    };
    let spec = configured(spec, model);
    let precision = precision(&graph);
    drop(graph);
    if let Some(class) = model.class_confidence.keys().find(|class| !spec.classes.contains(class)) {
        let known = spec.classes.iter().take(20).cloned().collect::<Vec<_>>().join(", ");
        return Err(LoadError::Class { model: model.name.clone(), class: class.clone(), known });
    }
    Ok(Understood { spec, sha256, precision, assumed })
}

/// What can be told of a model without running it.
#[derive(Debug, Default)]
pub struct Examined {
    /// Its class names, as the configuration or what comes with the model has them.
    pub classes: Vec<String>,
    /// What works but should be known.
    pub advice: Vec<Flaw>,
}

/// Looks into a model as [`load`] does, without running it: for those who check a configuration.
///
/// # Errors
/// [`LoadError`] names the file, the reason and the remedy.
pub fn examine(model: &ModelConfig) -> Result<Examined, LoadError> {
    let classes = || model.classes.clone().unwrap_or_else(coco);
    match &model.source {
        ModelSource::Onnx(path) => {
            let Beside { about, others } = look_beside(path)?;
            let understood = understand(&path.display().to_string(), &read_model(path)?, about.as_ref().map(located), model)?;
            tiled(Vec::new(), model, Some(&understood.spec))?;
            let others = others
                .iter()
                .map(|other| Flaw { reason: other.to_string(), remedy: "correct its `file`, or move it elsewhere".to_owned() });
            let assumed = understood.assumed.iter().map(|Assumption { what, check, .. }| Flaw {
                reason: format!("{}: no manifest is beside it, and of its classes it is assumed that {what}", path.display()),
                remedy: format!(
                    "list them under `classes`, or write its manifest (egret model inspect FILE --write); see {check}"
                ),
            });
            Ok(Examined { advice: others.chain(assumed).collect(), classes: understood.spec.classes })
        }
        ModelSource::Scripted(path) => {
            Scripted::read(path, &model.name, classes(), model.max_batch)?;
            Ok(Examined { classes: classes(), ..Examined::default() })
        }
        ModelSource::Demo => match DEMO_NETWORK {
            Some(bytes) => {
                let understood = understand("builtin:demo", bytes, None, model)?;
                tiled(Vec::new(), model, Some(&understood.spec))?;
                Ok(Examined { classes: understood.spec.classes, ..Examined::default() })
            }
            None => Err(LoadError::NoDemo { model: model.name.clone() }),
        },
        ModelSource::Null => Ok(Examined { classes: classes(), ..Examined::default() }),
    }
}

/// What a manifest says of a graph, if the graph agrees and the file is the one that the manifest was written for.
fn declared(
    file: &str,
    (path, manifest): Located<'_>,
    graph: &Model<'_>,
    sha256: &str,
    model: &ModelConfig,
) -> Result<ModelSpec, LoadError> {
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
    if problems.is_empty() { Ok(spec) } else { Err(LoadError::Manifest { file: path.to_owned(), problems }) }
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

pub(super) fn thresholds(spec: &ModelSpec) -> Thresholds {
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
    loading: Loading<'_>,
) -> Result<(String, Vec<Engine>), LoadError> {
    let runtime = loading.runtime;
    let library = match runtime.cpu {
        CpuRuntime::Rten => Err("the configuration asks for rten".to_owned()),
        CpuRuntime::Auto | CpuRuntime::OnnxRuntime => Library::find(runtime.onnxruntime_library.as_deref()),
    };
    match library {
        Ok(library) => {
            let name = format!("onnxruntime {}", library.version);
            let refused = |reason| LoadError::Runtime { file: file.to_owned(), runtime: name.clone(), reason };
            let engine = |_| {
                loading.goes_on()?;
                onnxruntime::Engine::new(&library, bytes, spec).map(Engine::OnnxRuntime).map_err(refused)
            };
            let engines = (0..count).map(engine).collect::<Result<_, _>>()?;
            tracing::info!(model = file, runtime = name, library = %library.path.display(), "this runtime runs the model");
            Ok((name, engines))
        }
        Err(reason) if runtime.cpu == CpuRuntime::OnnxRuntime => Err(LoadError::NoRuntime { file: file.to_owned(), reason }),
        Err(reason) => {
            let name = format!("rten {}", rten::VERSION);
            let refused = |reason| LoadError::Runtime { file: file.to_owned(), runtime: name.clone(), reason };
            let network = rten::Network::new(bytes).map_err(refused)?;
            let engine = |_| {
                loading.goes_on()?;
                rten::Engine::new(network.clone(), spec).map(Engine::Rten).map_err(refused)
            };
            let engines = (0..count).map(engine).collect::<Result<_, _>>()?;
            if runtime.cpu == CpuRuntime::Auto {
                tracing::warn!(model = file, runtime = name, %reason, "ONNX Runtime cannot be loaded; the compiled-in runtime is slower");
            } else {
                tracing::info!(model = file, runtime = name, %reason, "this runtime runs the model");
            }
            Ok((name, engines))
        }
    }
}
