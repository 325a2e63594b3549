//! Building an engine on the device that will run it.

use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use egret_jetson::{
    CudaError,
    tensorrt::{
        self, Builder, Completion, Deserialize, Dla, Engine, HardwareCompatibility, OnProgress, Options, Range, Runtime, Shape,
    },
};
use egret_models::onnx::{self, Refused};
use tokio_util::sync::CancellationToken;

use super::{
    EngineError, Flags, Hardware, Here, Key, Manifest, Phase, Placed, Plan, Profile, Store, Tell, VERSION,
    lock::{self, Holder},
    manifest::plan_file,
};
use crate::file;

/// Longest account of TensorRT that is kept.
const MAX_INSPECTOR_BYTES: usize = 8 << 20;

/// What is to be built.
#[derive(Clone, Debug)]
pub struct Order {
    /// Name of the model.
    pub name: String,
    /// The network.
    pub onnx: Vec<u8>,
    /// Its file, beside which external weights lie.
    pub path: Option<PathBuf>,
    /// What it computes in: `fp32`, `fp16`, `int8`.
    pub kind: String,
    /// Which batches.
    pub profile: Profile,
    /// A DLA core instead of the GPU.
    pub dla: Option<super::DlaCore>,
    /// How.
    pub flags: Flags,
    /// How the file was made from a float one, from its manifest.
    pub precision: Option<egret_models::manifest::Precision>,
}

impl Order {
    /// Whether the network uses operators that only plugins have.
    pub fn needs_plugins(&self) -> bool {
        onnx::read(&self.onnx).is_ok_and(|model| matches!(model.sound(), Err(Refused::CustomOperator { .. })))
    }

    /// The key of what comes of it here.
    pub fn key(&self, here: &Here) -> Key {
        here.key(&file::sha256(&self.onnx), &self.kind, &self.profile, self.dla.as_ref(), &self.flags)
    }
}

/// Who builds, and how it is followed.
#[derive(Clone)]
pub struct Asked {
    /// What builds, for others that wait: `egret run`.
    pub program: &'static str,
    /// Build it even if it is there.
    pub force: bool,
    /// Most threads of the host; `None`: TensorRT's own choice.
    pub threads: Option<u32>,
    /// Cancels it.
    pub stop: CancellationToken,
    /// Hears of it.
    pub tell: Tell,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Built {
    /// The engine's manifest.
    pub manifest: Manifest,
    /// Whether it was there already: another one has built it meanwhile.
    pub found: bool,
}

/// Why nothing was built. One line, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The folder, the lock, or that it was stopped.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// TensorRT.
    #[error("model {name}: {error}{}", remedy(error))]
    TensorRt {
        /// The model.
        name: String,
        /// Its words.
        error: tensorrt::Error,
    },
    /// The driver.
    #[error("model {name}: {error}")]
    Cuda {
        /// The model.
        name: String,
        /// The driver's answer.
        error: CudaError,
    },
}

fn remedy(error: &tensorrt::Error) -> &'static str {
    match error {
        _ if error.is_out_of_memory() => {
            "; lower runtime.engine_workspace (--workspace) or max_batch, or stop what else uses the GPU's memory"
        }
        tensorrt::Error::Parse { .. } => "; export it without these operators, or let the CPU run it (runtime.device = \"cpu\")",
        _ => "",
    }
}

/// Builds an engine and keeps it; or finds the one that is there. Nothing is left behind where that fails or is stopped.
///
/// # Errors
/// [`BuildError`].
pub fn build(here: &Here, store: &mut Store, order: &Order, asked: &Asked) -> Result<Built, BuildError> {
    let key = order.key(here);
    // A plan has the weights once, and seldom more than that in code.
    store.ready(&order.name, 2 * order.onnx.len() as u64)?;
    let stop = || asked.stop.is_cancelled();
    let holder = Holder::this(asked.program, &order.name);
    let waiting = &mut |other: &Holder| (asked.tell)(&Phase::Waiting(other.clone()));
    let _held = lock::wait(store.directory(), &holder, &stop, waiting)?;
    if !asked.force
        && let Ok(Some(manifest)) = store.find(&key)
        && manifest.rejected().is_none()
        && store.plan(&manifest).is_ok()
    {
        return Ok(Built { manifest, found: true });
    }
    (asked.tell)(&Phase::Reading);
    let cuda = |error| BuildError::Cuda { name: order.name.clone(), error };
    here.device.bind().map_err(cuda)?;
    let started = Instant::now();
    let Made { plan, timings, placement, taken } = made(here, store, &key, order, asked).map_err(|error| match error {
        tensorrt::Error::Cancelled => EngineError::Stopped.into(),
        error => BuildError::TensorRt { name: order.name.clone(), error },
    })?;
    (asked.tell)(&Phase::Writing);
    if stop() {
        return Err(EngineError::Stopped.into());
    }
    let manifest = manifest(key, order, &plan, &taken, (placement, started));
    store.put(&manifest, &plan)?;
    if let Err(error) = store.keep_timings(&manifest.key, &timings) {
        tracing::warn!(model = order.name, %error, "the timings of this build are not kept: the next one takes as long");
    }
    Ok(Built { manifest, found: false })
}

struct Made {
    plan: Vec<u8>,
    timings: Vec<u8>,
    placement: Vec<Placed>,
    /// It was deserialised: TensorRT takes what it made.
    taken: Engine,
}

fn made(here: &Here, store: &mut Store, key: &Key, order: &Order, asked: &Asked) -> Result<Made, tensorrt::Error> {
    let mut builder = Builder::new(&here.library, Some(follow(asked)))?;
    builder.parse(&order.onnx, order.path.as_deref())?;
    builder.add_profile(ranges(&order.profile)?)?;
    builder.configure(&options(order, asked))?;
    let placement = if order.dla.is_some() { builder.placement()? } else { Vec::new() };
    let placement = placement.into_iter().map(|layer| Placed { layer: layer.layer, on_dla: layer.on_dla }).collect();
    // A release that has no cache at all builds without.
    if let Ok(false) = builder.use_timings(&store.timings(key).unwrap_or_default()) {
        tracing::debug!(model = order.name, "TensorRT does not take the timings that were kept");
    }
    let built = builder.build()?;
    let taken = deserialize(here, key, &built.plan)?;
    Ok(Made { plan: built.plan, timings: built.timing_cache, placement, taken })
}

/// The engine of a plan that was built here for that key.
pub(super) fn deserialize(here: &Here, key: &Key, plan: &[u8]) -> Result<Engine, tensorrt::Error> {
    let how = Deserialize { dla: key.dla.as_ref().map(|dla| dla.core), allow_host_code: key.flags.version_compatible };
    Runtime::new(&here.library)?.deserialize(plan, how)
}

/// What the builder calls back: how far it is goes to whoever asked, and whether to go on comes back.
fn follow(asked: &Asked) -> OnProgress {
    let (stop, tell) = (asked.stop.clone(), Arc::clone(&asked.tell));
    let completion = Mutex::new(Completion::new(Instant::now()));
    Box::new(move |progress| {
        let mut completion = completion.lock().unwrap_or_else(PoisonError::into_inner);
        completion.hear(progress);
        let remaining = completion.remaining(Instant::now());
        // Before the first step there is nothing to go by.
        let fraction = Some(completion.fraction()).filter(|fraction| *fraction > 0.0);
        tell(&Phase::Building { fraction, remaining });
        if stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

/// What shapes each input may have: only the batch moves.
fn ranges(profile: &Profile) -> Result<Vec<Range>, tensorrt::Error> {
    let of = |input: &super::Input, batch: u32| {
        let dimensions: Vec<i64> = input.shape.iter().map(|&d| if d < 0 { i64::from(batch) } else { d }).collect();
        Shape::new(&dimensions)
    };
    let ranges = profile.inputs.iter().map(|input| {
        let [min, opt, max] = [profile.min, profile.opt, profile.max].map(|batch| of(input, batch));
        Ok(Range { name: input.name.clone(), min: min?, opt: opt?, max: max? })
    });
    ranges.collect()
}

fn options(order: &Order, asked: &Asked) -> Options {
    let Flags { optimization_level, workspace_bytes, tf32, version_compatible, hardware } = order.flags;
    let dla = order.dla.as_ref().map(|dla| Dla {
        core: dla.core,
        gpu_fallback: dla.gpu_fallback,
        sram_bytes: None,
        local_dram_bytes: None,
        global_dram_bytes: None,
    });
    Options {
        tf32,
        optimization_level,
        max_threads: asked.threads,
        workspace_bytes,
        dla,
        version_compatible,
        hardware_compatibility: match hardware {
            Hardware::Same => HardwareCompatibility::None,
            Hardware::AmperePlus => HardwareCompatibility::AmperePlus,
            Hardware::SameCapability => HardwareCompatibility::SameComputeCapability,
        },
        // Costs nothing while it runs, and tells which tactics were chosen.
        detailed: true,
        ..Options::default()
    }
}

fn manifest(key: Key, order: &Order, plan: &[u8], engine: &Engine, (placement, started): (Vec<Placed>, Instant)) -> Manifest {
    let sha256 = file::sha256(plan);
    let inspector = engine.inspect().ok().filter(|text| text.len() <= MAX_INSPECTOR_BYTES);
    let tensor = |tensor: &tensorrt::Tensor| {
        let way = if tensor.is_output { "output" } else { "input" };
        format!("{way} {}: {:?} {}", tensor.name, tensor.data_type, tensor.shape)
    };
    Manifest {
        version: VERSION,
        egret: env!("CARGO_PKG_VERSION").to_owned(),
        name: order.name.clone(),
        plan: Plan { file: plan_file(&key.stem(), &sha256), sha256, bytes: plan.len() as u64 },
        key,
        built_at: now(),
        build_s: (started.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        precision: order.precision.clone(),
        tensors: engine.tensors().iter().map(tensor).collect(),
        layers: engine.layers(),
        context_bytes: engine.context_bytes(None).unwrap_or(0),
        inspector: inspector.and_then(|text| serde_json::from_str(&text).ok()),
        placement,
        verdict: None,
    }
}

/// The time for manifests: RFC 3339, UTC, whole seconds.
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
