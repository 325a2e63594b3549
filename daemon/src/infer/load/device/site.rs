//! A model on one processor: what serves there at the start, and what its engines are opened with.

use std::sync::Arc;

use egret_jetson::tensorrt::Version;
use egret_models::spec::{ModelSpec, TaskSpec};

use super::{
    Coming, Gpu, LoadError, Started,
    heir::{EngineHeir, Preparing},
    load_cpu,
    room::Room,
};
use crate::{
    config::{ModelConfig, RuntimeConfig},
    engine::{self, Choice, EngineState, Key, Manifest, Order, Store},
    infer::{
        Detector, Heir, Succession, Swap,
        tensorrt::{LANES, in_rows},
    },
    media::ModelInfo,
    placement::{Claim, Need, Processor},
};

/// Where a model's engine runs.
pub(super) struct At {
    /// The name by which its engine's state is told.
    pub(super) name: String,
    pub(super) processor: Processor,
    /// The device's number in the batcher.
    pub(super) number: usize,
    /// Each has its own activations, and [`LANES`] lanes.
    pub(super) instances: usize,
}

/// A model that is to run on a GPU or a DLA core.
pub(super) struct Site {
    pub(super) gpu: Gpu,
    pub(super) at: At,
    pub(super) config: ModelConfig,
    pub(super) runtime: RuntimeConfig,
    pub(super) spec: ModelSpec,
    pub(super) order: Order,
    pub(super) key: Key,
    info: ModelInfo,
    room: Arc<Room>,
}

impl Site {
    pub(super) fn new(
        gpu: Gpu,
        at: At,
        (config, runtime): (&ModelConfig, &RuntimeConfig),
        (spec, info): (ModelSpec, ModelInfo),
        order: Order,
        room: &Arc<Room>,
    ) -> Self {
        let Version { major, minor, patch } = gpu.here.library.version();
        let info = ModelInfo { runtime: format!("tensorrt {major}.{minor}.{patch}"), ..info };
        let key = order.key(&gpu.here);
        let (config, runtime, room) = (config.clone(), runtime.clone(), Arc::clone(room));
        Self { gpu, at, config, runtime, spec, order, key, info, room }
    }

    /// What an engine needs of the GPU's memory. On a GPU a step may stand in the row of the model whose pictures it looks at.
    pub(super) fn need(&self, manifest: &Manifest, instances: usize) -> Need {
        let of = self.config.step.as_ref().map(|step| step.of.clone());
        let joining = match (self.at.processor, &of) {
            (Processor::Gpu(_), Some(_)) => instances,
            (Processor::Gpu(_), None) => 1,
            _ => 0,
        };
        Need {
            model: self.config.name.clone(),
            gpu: self.at.processor.memory().unwrap_or(0),
            instances,
            weights: manifest.plan.bytes,
            activations: manifest.context_bytes,
            buffers: LANES as u64 * manifest.tensor_bytes,
            group: of.unwrap_or_else(|| self.config.name.clone()),
            joining,
        }
    }

    /// What serves now: the engine that is wanted, an older one, or the CPU until it is built.
    pub(super) fn start(self, mut store: Store, choice: Choice, claim: Option<Claim>) -> Result<Started, LoadError> {
        let name = &self.at.name;
        let mut claim = claim.into_iter();
        let mut open = |manifest: &Manifest, store: &mut Store| match claim.next() {
            Some(claim) => self.open(store, manifest, &self.config, claim),
            None => Err("no memory was reserved for it".to_owned()),
        };
        let (serving, state, force) = match choice {
            Choice::Exact(manifest) => match open(&manifest, &mut store) {
                Ok(lanes) if manifest.verdict.is_some() || !self.is_compared() => {
                    return Ok(self.started(lanes, None, EngineState::Serving, cut(&manifest)));
                }
                // Built on the command line: it is ready at once, and goes if it sees something else than the float network.
                Ok(lanes) => {
                    let cut = cut(&manifest);
                    let preparing = Preparing { store, force: false, serving: Some(manifest) };
                    return Ok(self.started(lanes, Some(preparing), EngineState::Checking, cut));
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
        let older = serving.and_then(|manifest| match open(&manifest, &mut store) {
            Ok(lanes) => Some((lanes, cut(&manifest))),
            Err(reason) => {
                tracing::warn!(model = name, reason, "the older engine does not run: the CPU serves");
                None
            }
        });
        let (instances, cut) = match older {
            Some(older) => older,
            None => (self.on_cpu(self.stand_ins())?, None),
        };
        if let Some(state) = state {
            return Ok(self.started(instances, None, state, cut));
        }
        let building = EngineState::Building { fraction: None, remaining: None };
        Ok(self.started(instances, Some(Preparing { store, force, serving: None }), building, cut))
    }

    /// What it is with that engine, which may be one for another processor than is wanted.
    fn info(&self, manifest: &Manifest) -> Arc<ModelInfo> {
        let place = match (&manifest.key.dla, self.at.processor.memory()) {
            (Some(dla), _) => format!(" {}", Processor::Dla(dla.core)),
            (None, None | Some(0)) => String::new(),
            (None, Some(number)) => format!(" {}", Processor::Gpu(number)),
        };
        Arc::new(ModelInfo { runtime: self.info.runtime.clone() + &place, ..self.info.clone() })
    }

    /// How many lanes its engine has.
    pub(super) fn lanes(&self) -> usize {
        self.at.instances * LANES
    }

    /// How many instances of the CPU serve until there is an engine: at least as many as there will be lanes, so that each finds a thread.
    fn stand_ins(&self) -> usize {
        if self.config.devices.is_some() { self.lanes() } else { self.config.workers.max(self.lanes()) }
    }

    /// The CPU's detectors in place of the engine.
    pub(super) fn on_cpu(&self, workers: usize) -> Result<Vec<Box<dyn Detector>>, LoadError> {
        let config = ModelConfig { workers, ..self.config.clone() };
        Ok(load_cpu(&config, &self.runtime)?.into_iter().map(|cpu| Box::new(cpu.on(self.at.number, false)) as _).collect())
    }

    /// Whether its engine is held against the float network.
    pub(super) fn is_compared(&self) -> bool {
        matches!(self.spec.task, TaskSpec::Detect { .. })
    }

    /// Memory for so many instances of an engine that comes later than the others.
    pub(super) fn claim(&self, manifest: &Manifest, instances: usize) -> Result<Claim, String> {
        let claims = self.room.account.claim(&[self.need(manifest, instances)]);
        let claims = claims.map_err(|no_room| format!("there is no room for the engine: {no_room}; {}", no_room.remedy()))?;
        claims.into_iter().next().ok_or_else(|| "no memory was reserved for it".to_owned())
    }

    /// The lanes of so many instances of an engine that comes later than the others, if there is room for it.
    pub(super) fn detectors(
        &self,
        store: &mut Store,
        manifest: &Manifest,
        config: &ModelConfig,
        instances: usize,
    ) -> Result<Vec<Box<dyn Detector>>, String> {
        let claim = self.claim(manifest, instances)?;
        self.open(store, manifest, config, claim)
    }

    /// The lanes of an engine that is there.
    fn open(
        &self,
        store: &mut Store,
        manifest: &Manifest,
        config: &ModelConfig,
        claim: Claim,
    ) -> Result<Vec<Box<dyn Detector>>, String> {
        let opened = engine::open(&self.gpu.here, store, manifest).map_err(|error| error.to_string())?;
        let rows = self.room.rows(&self.gpu.kernels, &claim).map_err(|error| error.to_string())?;
        let spec = confident(&self.spec, config);
        let (library, kernels) = (self.runtime.onnxruntime_library.as_deref(), &self.gpu.kernels);
        let lanes = in_rows(opened, library, (kernels, &rows), &spec, config, &self.info(manifest));
        let lanes = lanes.map_err(|error| error.to_string())?;
        let claim: Arc<dyn Send + Sync> = Arc::new(claim);
        let gpu = self.at.processor.memory().unwrap_or(0);
        Ok(lanes.into_iter().map(|lane| Box::new(lane.on(self.at.number, gpu, Arc::clone(&claim))) as _).collect())
    }

    /// What serves now, and what is prepared meanwhile, if anything is.
    fn started(
        self,
        instances: Vec<Box<dyn Detector>>,
        prepare: Option<Preparing>,
        state: EngineState,
        cut: Option<String>,
    ) -> Started {
        let (model, spec) = (self.at.name.clone(), self.spec.clone());
        // Decoders' pictures lie on the first GPU.
        let device = spec.input.clip.is_none() && self.at.processor.memory() == Some(0);
        let info = instances.first().map_or_else(|| Arc::new(self.info.clone()), |first| Arc::clone(first.spec()));
        let succession = Succession::new(&info);
        let swap = |detector| Box::new(Swap::new(detector, &succession, device)) as Box<dyn Detector>;
        let instances = if prepare.is_some() { instances.into_iter().map(swap).collect() } else { instances };
        let heir = prepare.map(|preparing| Box::new(EngineHeir::new(self, preparing)) as Box<dyn Heir>);
        Started { spec, instances, coming: vec![Coming { model, succession, heir, state, cut }] }
    }
}

/// Where the network of an engine that serves is cut, if it is; the log has it.
fn cut(manifest: &Manifest) -> Option<String> {
    let cut = manifest.tail.as_ref().map(|tail| tail.cut.clone())?;
    tracing::info!(model = manifest.name, "part of the network runs in ONNX Runtime behind the engine: {cut}");
    Some(cut)
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
