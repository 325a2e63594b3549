//! From a configured model to engine instances.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use egret_models::{
    nms::NmsParams,
    onnx::{self, Contract, MAX_FILE_BYTES, Refused},
    spec::{COCO_80, DetectorSpec},
};
use sha2::{Digest, Sha256};

use super::{
    DetectError, Detector, Null, Scripted,
    cpu::{Cpu, Engine, Thresholds},
    onnxruntime::{self, Library},
    rten,
};
use crate::{
    config::{CpuRuntime, ModelConfig, ModelSource, RuntimeConfig},
    media::ModelInfo,
};

/// Candidates that take part in suppression and boxes that remain per picture. A crowded street has dozens.
const MAX_CANDIDATES: usize = 1000;
const MAX_DETECTIONS: usize = 300;

/// Why a model cannot be used. Each says which file, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{file}: {source}; check the path and the permissions", file = file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no model that egret takes.
    #[error("{file}: {refused}; {remedy}", remedy = refused.remedy())]
    Model {
        /// The file, or what stands for one.
        file: String,
        /// Why.
        refused: Refused,
    },
    /// The asked-for runtime is not there.
    #[error(
        "{file}: ONNX Runtime cannot be loaded ({reason}); set runtime.onnxruntime_library or EGRET_ONNXRUNTIME to \
         libonnxruntime.so (1.17 or later), or runtime.cpu to `auto`"
    )]
    NoRuntime {
        /// The model that was to be run.
        file: String,
        /// What was tried.
        reason: String,
    },
    /// The runtime does not take the model.
    #[error("{file}: {runtime} refuses it ({reason}); export it again with an older operator set, without custom operators")]
    Runtime {
        /// The model's file.
        file: String,
        /// Which runtime.
        runtime: String,
        /// Its words.
        reason: String,
    },
    /// The network loads, but a picture does not get through it.
    #[error("{file}: its first run failed ({source}); compare it with a plain run in Python, and export it again")]
    TrialRun {
        /// The model's file.
        file: String,
        /// What happened.
        source: DetectError,
    },
    /// A script is wrong.
    #[error("{file} line {line}: {reason}; correct that line", file = file.display())]
    Script {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The model is a null or scripted one.
    #[error("model `{model}` is no network; name an ONNX file as the model")]
    NoNetwork {
        /// Name of the model.
        model: String,
    },
    /// This binary has no demo network.
    #[error("model `{model}`: this build of egret contains no demo network; name an ONNX file as the model")]
    NoDemo {
        /// Name of the model.
        model: String,
    },
}

/// A model that is ready: its instances, one per worker.
pub struct Loaded {
    info: Arc<ModelInfo>,
    instances: Vec<Box<dyn Detector>>,
}

impl Loaded {
    fn new(instances: Vec<Box<dyn Detector>>, info: &Arc<ModelInfo>) -> Self {
        Self { info: info.clone(), instances }
    }

    /// What it is and what runs it.
    pub fn info(&self) -> &Arc<ModelInfo> {
        &self.info
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
    match &model.source {
        ModelSource::Onnx(_) | ModelSource::Demo => {
            let instances = load_cpu(model, runtime)?;
            let info = instances[0].spec().clone();
            Ok(Loaded::new(instances.into_iter().map(|cpu| Box::new(cpu) as _).collect(), &info))
        }
        ModelSource::Null => {
            let instances = (0..model.workers.max(1)).map(|_| Null::new(&model.name, classes(), model.max_batch, 0));
            let instances: Vec<Box<dyn Detector>> = instances.map(|null| Box::new(null) as _).collect();
            let info = instances[0].spec().clone();
            Ok(Loaded::new(instances, &info))
        }
        ModelSource::Scripted(path) => {
            let scripted = Scripted::read(path, &model.name, classes(), model.max_batch)?;
            let info = scripted.spec().clone();
            let instances = (0..model.workers.max(1)).map(|_| Box::new(scripted.clone()) as Box<dyn Detector>).collect();
            Ok(Loaded::new(instances, &info))
        }
    }
}

/// Loads a model that runs on the CPU, at least one instance; [`load`] for those who need no more than a [`Detector`].
///
/// # Errors
/// [`LoadError`], also for sources that have no network.
pub fn load_cpu(model: &ModelConfig, runtime: &RuntimeConfig) -> Result<Vec<Cpu>, LoadError> {
    match &model.source {
        ModelSource::Onnx(path) => cpu(&path.display().to_string(), &read_model(path)?, model, runtime),
        ModelSource::Demo => match DEMO_NETWORK {
            Some(bytes) => cpu("builtin:demo", bytes, model, runtime),
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
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(refused(Refused::TooLarge { bytes: metadata.len() }));
    }
    let mut bytes = Vec::new();
    // One more than allowed, in case it grows meanwhile; the reader refuses that.
    File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)).map_err(failed)?;
    Ok(bytes)
}

/// A YOLOX-shaped ONNX model on the CPU.
fn cpu(file: &str, bytes: &[u8], model: &ModelConfig, runtime: &RuntimeConfig) -> Result<Vec<Cpu>, LoadError> {
    let refused = |refused| LoadError::Model { file: file.to_owned(), refused };
    let graph = onnx::read(bytes).map_err(refused)?;
    let classes = model.classes.clone().or_else(|| graph.class_names()).unwrap_or_else(coco);
    let spec = onnx::detector(&graph, Contract::default(), &classes).map_err(refused)?;
    drop(graph);
    let (name, engines) = engines(file, bytes, &spec, model.workers.max(1), runtime)?;
    let info =
        Arc::new(ModelInfo { name: model.name.clone(), classes: spec.classes.clone(), runtime: name, sha256: sha256(bytes) });
    let nms = NmsParams { iou: model.nms_iou, class_agnostic: false, candidates: MAX_CANDIDATES, detections: MAX_DETECTIONS };
    let thresholds = Thresholds { confidence: model.confidence, nms };
    let instances = engines.into_iter().map(|engine| {
        let mut cpu = Cpu::new(info.clone(), &spec, engine, thresholds, model.max_batch);
        cpu.try_out().map_err(|source| LoadError::TrialRun { file: file.to_owned(), source })?;
        Ok(cpu)
    });
    instances.collect()
}

/// Name and version of the runtime, and `count` engines of it.
fn engines(
    file: &str,
    bytes: &[u8],
    spec: &DetectorSpec,
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
            tracing::info!(model = file, runtime = name, library = %library.path.display(), "this runtime runs the model");
            let engines = (0..count).map(|_| onnxruntime::Engine::new(&library, bytes, spec).map(Engine::OnnxRuntime));
            let refused = |reason| LoadError::Runtime { file: file.to_owned(), runtime: name.clone(), reason };
            let engines = engines.collect::<Result<_, _>>().map_err(refused)?;
            Ok((name, engines))
        }
        Err(reason) if runtime.cpu == CpuRuntime::OnnxRuntime => Err(LoadError::NoRuntime { file: file.to_owned(), reason }),
        Err(reason) => {
            let name = format!("rten {}", rten::VERSION);
            if runtime.cpu == CpuRuntime::Auto {
                tracing::warn!(model = file, runtime = name, %reason, "ONNX Runtime cannot be loaded; the compiled-in runtime is slower");
            } else {
                tracing::info!(model = file, runtime = name, %reason, "this runtime runs the model");
            }
            let refused = |reason| LoadError::Runtime { file: file.to_owned(), runtime: name.clone(), reason };
            let network = rten::Network::new(bytes).map_err(refused)?;
            let engines = (0..count).map(|_| Engine::Rten(rten::Engine::new(network.clone(), spec))).collect();
            Ok((name, engines))
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _infallible = write!(hex, "{byte:02x}");
        hex
    })
}
