//! Models on an NVIDIA device: which engine serves at the start, what serves until there is one, and what is to come.

use std::{path::PathBuf, sync::Arc};

use egret_jetson::{
    kernels::{PtxCache, device::Kernels},
    tensorrt::{Version, installed},
};
use egret_models::spec::{ModelSpec, TaskSpec};
use tokio_util::sync::CancellationToken;

use super::{Coming, LoadError, Loaded, load_cpu, order};
use crate::{
    config::{ModelConfig, ModelSource, RuntimeConfig},
    engine::{self, Asked, BuildError, Built, Choice, EngineError, EngineState, Here, Key, Manifest, Order, Store, Tell, choose},
    infer::{
        CANARY_GATE, Detector, Heir, Pair, Succession, Swap,
        tensorrt::{LANES, detectors},
    },
    media::ModelInfo,
    store::{self, state_directory},
};

/// Engine instances of a model: each has its own activations, and [`LANES`] lanes.
const INSTANCES: usize = 1;
/// NVRTC's folders that are looked into beside the loader's.
const NVRTC: &str = "EGRET_NVRTC";

/// What a model has of the device.
#[derive(Clone)]
struct Gpu {
    here: Here,
    kernels: Arc<Kernels>,
}

impl Gpu {
    fn open(runtime: &RuntimeConfig, plugins: bool) -> Result<Self, String> {
        let here = Here::open(&engine::location(&runtime.engines, plugins), 0).map_err(|error| error.to_string())?;
        let folders: Vec<PathBuf> = std::env::var_os(NVRTC).iter().flat_map(std::env::split_paths).collect();
        let state =
            state_directory(&|name| std::env::var(name).ok()).ok_or("there is no state directory for compiled kernels")?;
        let kernels = Kernels::open(0, &folders, &PtxCache::new(state.join("kernels"))).map_err(|error| error.to_string())?;
        Ok(Self { here, kernels })
    }
}

/// A model that is to run on the device.
struct Model {
    gpu: Gpu,
    config: ModelConfig,
    runtime: RuntimeConfig,
    spec: ModelSpec,
    order: Order,
    key: Key,
    info: Arc<ModelInfo>,
}

/// A model on the device, as far as it goes: an engine that is there serves; else an older one, or the CPU, until one is built. `None`:
/// there is no device.
///
/// # Errors
/// In one line, why there is none.
pub(super) fn load(model: &ModelConfig, runtime: &RuntimeConfig) -> Result<Loaded, Failure> {
    // Asked first: where there is none, nothing else is worth the time.
    installed(runtime.engines.tensorrt.as_deref()).map_err(|error| Failure::None(error.to_string()))?;
    let order = order(model, &runtime.engines)?;
    let plugins = order.needs_plugins();
    let gpu = Gpu::open(runtime, plugins).map_err(Failure::None)?;
    let folder = engine::folder(&runtime.engines).map_err(|error| Failure::None(error.to_string()))?;
    on(gpu, model, runtime, order, Store::new(&folder))
}

/// Why a model does not run on the device.
pub(super) enum Failure {
    /// There is no device, or it is of no use.
    None(String),
    /// The model is of no use either.
    Model(LoadError),
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::Model(error)
    }
}

fn on(gpu: Gpu, config: &ModelConfig, runtime: &RuntimeConfig, order: Order, mut store: Store) -> Result<Loaded, Failure> {
    let (spec, info) = super::described(config)?;
    let Version { major, minor, patch } = gpu.here.library.version();
    let info = Arc::new(ModelInfo { runtime: format!("tensorrt {major}.{minor}.{patch}"), ..info });
    let key = order.key(&gpu.here);
    let model = Model { gpu, config: config.clone(), runtime: runtime.clone(), spec, order, key, info };
    let name = &config.name;
    let choice = choose(&mut store, &model.key).map_err(|error| Failure::None(error.to_string()))?;
    let (serving, state, force) = match choice {
        Choice::Exact(manifest) => match model.detectors(&mut store, &manifest, &model.config) {
            Ok(lanes) if manifest.verdict.is_some() || !model.is_compared() => {
                return Ok(model.loaded(lanes, None, EngineState::Serving, cut(&manifest)));
            }
            // Built on the command line: it is ready at once, and goes if it sees something else than the float network.
            Ok(lanes) => {
                let cut = cut(&manifest);
                let preparing = Preparing { store, force: false, serving: Some(manifest) };
                return Ok(model.loaded(lanes, Some(preparing), EngineState::Checking, cut));
            }
            Err(reason) => {
                tracing::error!(model = name, reason, "the engine does not run: the CPU serves, and it is built anew");
                (None, None, true)
            }
        },
        Choice::Other { manifest, why, instead } => {
            tracing::warn!(model = name, why, instead, "an older engine serves until the one that is wanted is built");
            (Some(manifest), None, false)
        }
        Choice::Rejected { reason, other } => {
            tracing::error!(
                model = name,
                reason,
                "the engine must not serve, and is not built again: see why, then egret engine build --force"
            );
            (other, Some(EngineState::Rejected(reason)), false)
        }
        Choice::None(why) => {
            for why in &why {
                tracing::warn!(model = name, "{why}");
            }
            (None, None, false)
        }
    };
    let older = serving.and_then(|manifest| match model.detectors(&mut store, &manifest, &model.config) {
        Ok(lanes) => Some((lanes, cut(&manifest))),
        Err(reason) => {
            tracing::warn!(model = name, reason, "the older engine does not run: the CPU serves");
            None
        }
    });
    let (instances, cut) = match older {
        Some(older) => older,
        None => (model.on_cpu(model.config.workers.max(INSTANCES * LANES))?, None),
    };
    if let Some(state) = state {
        return Ok(model.loaded(instances, None, state, cut));
    }
    let building = EngineState::Building { fraction: None, remaining: None };
    Ok(model.loaded(instances, Some(Preparing { store, force, serving: None }), building, cut))
}

/// Where the network of an engine that serves is cut, if it is; the log has it.
fn cut(manifest: &Manifest) -> Option<String> {
    let cut = manifest.tail.as_ref().map(|tail| tail.cut.clone())?;
    tracing::info!(model = manifest.name, "part of the network runs in ONNX Runtime behind the engine: {cut}");
    Some(cut)
}

impl Model {
    /// The CPU's detectors: where an engine is to come, at least as many as there will be lanes, so that each finds a thread.
    fn on_cpu(&self, workers: usize) -> Result<Vec<Box<dyn Detector>>, LoadError> {
        let config = ModelConfig { workers, ..self.config.clone() };
        Ok(load_cpu(&config, &self.runtime)?.into_iter().map(|cpu| Box::new(cpu) as _).collect())
    }

    /// The lanes of an engine that is there.
    fn detectors(&self, store: &mut Store, manifest: &Manifest, config: &ModelConfig) -> Result<Vec<Box<dyn Detector>>, String> {
        let opened = engine::open(&self.gpu.here, store, manifest).map_err(|error| error.to_string())?;
        let config = ModelConfig { workers: INSTANCES, ..config.clone() };
        let spec = confident(&self.spec, &config);
        let (library, kernels) = (self.runtime.onnxruntime_library.as_deref(), &self.gpu.kernels);
        let lanes = detectors(opened, library, kernels, &spec, &config, &self.info).map_err(|error| error.to_string())?;
        Ok(lanes.into_iter().map(|lane| Box::new(lane) as _).collect())
    }

    /// Whether its engine is held against the float network.
    fn is_compared(&self) -> bool {
        matches!(self.spec.task, TaskSpec::Detect { .. })
    }

    /// What serves now, and what is prepared meanwhile, if anything is.
    fn loaded(
        self,
        instances: Vec<Box<dyn Detector>>,
        prepare: Option<Preparing>,
        state: EngineState,
        cut: Option<String>,
    ) -> Loaded {
        let (name, spec) = (self.config.name.clone(), self.spec.clone());
        let device = spec.input.clip.is_none();
        let info = instances.first().map_or_else(|| Arc::clone(&self.info), |first| Arc::clone(first.spec()));
        let succession = Succession::new(&info);
        let swap = |detector| Box::new(Swap::new(detector, &succession, device)) as Box<dyn Detector>;
        let instances = if prepare.is_some() { instances.into_iter().map(swap).collect() } else { instances };
        let heir = prepare.map(|Preparing { store, force, serving }| {
            let (serves, built) = (serving.is_some(), serving);
            Box::new(EngineHeir { model: self, store, force, built, serves }) as Box<dyn Heir>
        });
        Loaded { info, spec: Some(spec), instances, coming: Some(Coming { model: name, succession, heir, state, cut }) }
    }
}

/// The confidences that a configuration asks for.
fn confident(spec: &ModelSpec, config: &ModelConfig) -> ModelSpec {
    let mut spec = spec.clone();
    if let Some(confidence) = config.confidence {
        spec.confidence = confidence;
        spec.class_confidence.clone_from(&config.class_confidence);
    }
    spec
}

/// What is still to be done about a model's engine.
struct Preparing {
    store: Store,
    /// What is there is of no use.
    force: bool,
    /// It is there and serves: it is only to be compared.
    serving: Option<Manifest>,
}

/// The engine that is being prepared, or compared while it serves.
struct EngineHeir {
    model: Model,
    store: Store,
    force: bool,
    built: Option<Manifest>,
    serves: bool,
}

impl EngineHeir {
    /// The configuration with which boxes of little confidence are told, too, one picture at a time.
    fn telling(&self) -> ModelConfig {
        let matching = CANARY_GATE.matching();
        ModelConfig {
            confidence: Some((matching.confidence - matching.slack).max(0.01)),
            class_confidence: std::collections::BTreeMap::new(),
            max_batch: 1,
            workers: 1,
            tiles: None,
            ..self.model.config.clone()
        }
    }

    /// The float network that this one was made from, if the store of models has it; else the very file, on the CPU.
    fn float(&self) -> ModelSource {
        let from = self.model.order.precision.as_ref().map(|precision| precision.from_sha256.as_str());
        let found = from.and_then(store::file_of);
        found.map_or_else(|| self.model.config.source.clone(), ModelSource::Onnx)
    }
}

impl Heir for EngineHeir {
    fn make(&mut self, stop: &CancellationToken, tell: Tell) -> Option<Result<(), String>> {
        if let Err(reason) = self.store.begin(&self.model.key) {
            return Some(Err(reason));
        }
        // The other half keeps decoding and serving.
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)) as u32;
        let onnxruntime = self.model.runtime.onnxruntime_library.clone();
        let asked =
            Asked { program: "egret run", force: self.force, threads: Some(threads), onnxruntime, stop: stop.clone(), tell };
        let built = engine::build(&self.model.gpu.here, &mut self.store, &self.model.order, &asked);
        self.store.end(&self.model.key);
        match built {
            Ok(Built { manifest, .. }) => {
                self.built = Some(manifest);
                Some(Ok(()))
            }
            Err(BuildError::Engine(EngineError::Stopped)) => None,
            Err(error) => Some(Err(error.to_string())),
        }
    }

    fn is_compared(&self) -> bool {
        self.model.is_compared()
    }

    fn serves(&self) -> bool {
        self.serves
    }

    fn pair(&mut self) -> Result<Option<Pair>, String> {
        let Some(manifest) = self.built.clone() else { return Err("there is no engine".into()) };
        if !self.is_compared() || manifest.verdict.as_ref().is_some_and(|verdict| verdict.passed) {
            return Ok(None);
        }
        let telling = self.telling();
        let mut lanes = self.model.detectors(&mut self.store, &manifest, &telling)?;
        let float = load_cpu(&ModelConfig { source: self.float(), ..telling }, &self.model.runtime);
        let float = float.map_err(|error| format!("the float network does not run: {error}"))?;
        let float = float.into_iter().next().ok_or("there is no instance of the float network")?;
        Ok(Some(Pair { float: Box::new(float), engine: lanes.swap_remove(0) }))
    }

    fn detectors(&mut self) -> Result<Vec<Box<dyn Detector>>, String> {
        if self.serves {
            return self.model.on_cpu(INSTANCES * LANES).map_err(|error| error.to_string());
        }
        let Some(manifest) = self.built.clone() else { return Err("there is no engine".into()) };
        self.model.detectors(&mut self.store, &manifest, &self.model.config)
    }

    fn note(&mut self, passed: bool, reason: &str) {
        let Some(manifest) = &mut self.built else { return };
        manifest.verdict = Some(engine::Verdict { passed, at: engine::now(), reason: reason.to_owned() });
        match self.store.note(manifest) {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(model = manifest.name, "the engine was replaced meanwhile: its verdict is not written down");
            }
            Err(error) => tracing::error!(model = manifest.name, %error, "the engine's verdict is not written down"),
        }
    }
}

#[cfg(all(test, feature = "doubles"))]
mod tests;
