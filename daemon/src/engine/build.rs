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
    EngineError, Flags, Hardware, Here, Key, Manifest, Parts, Phase, Placed, Plan, Profile, Store, Tell, VERSION,
    lock::{self, Holder},
    manifest::plan_file,
    parted::{self, PartError, Parted},
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
    /// Where ONNX Runtime is, if the configuration says so: what TensorRT refuses runs there.
    pub onnxruntime: Option<PathBuf>,
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
    /// TensorRT refuses nodes of the network, and it cannot be had in two parts either.
    #[error("model {name}: {refused}; {error}")]
    Part {
        /// The model.
        name: String,
        /// TensorRT's words.
        refused: tensorrt::Error,
        /// Why not.
        error: Box<PartError>,
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
        && manifest.outdated().is_none()
        && store.parts(&manifest).is_ok()
    {
        if let Some(tail) = &manifest.tail {
            (asked.tell)(&Phase::Cut(tail.cut.clone()));
        }
        return Ok(Built { manifest, found: true });
    }
    (asked.tell)(&Phase::Reading);
    let cuda = |error| BuildError::Cuda { name: order.name.clone(), error };
    here.device.bind().map_err(cuda)?;
    let started = Instant::now();
    let (Made { plan, timings, placement, taken }, parted) = whole_or_parted(here, store, &key, order, asked)?;
    (asked.tell)(&Phase::Writing);
    if stop() {
        return Err(EngineError::Stopped.into());
    }
    let (tail, bytes) = parted.map(|parted| parted.kept(&key.stem())).unzip();
    let manifest = Manifest { tail, ..manifest(key, order, &plan, &taken, (placement, started)) };
    store.put(&manifest, &Parts { plan, tail: bytes })?;
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

/// The engine of the whole network; or of as much of it as TensorRT takes, with the rest.
fn whole_or_parted(
    here: &Here,
    store: &mut Store,
    key: &Key,
    order: &Order,
    asked: &Asked,
) -> Result<(Made, Option<Parted>), BuildError> {
    let (mut parted, mut cuts) = (None, 0);
    loop {
        let refused = match made(here, store, key, order, asked, parted.as_ref()) {
            Ok(made) => return Ok((made, parted)),
            Err(tensorrt::Error::Cancelled) => return Err(EngineError::Stopped.into()),
            Err(error) => error,
        };
        let name = order.name.clone();
        let Some(objections) = parted::objections(&refused, parted.as_ref(), order) else {
            return Err(BuildError::TensorRt { name, error: refused });
        };
        cuts += 1;
        let next = Parted::next(parted.take(), cuts, order, &objections, asked.onnxruntime.as_deref());
        let next = next.map_err(|error| BuildError::Part { name, refused, error: error.into() })?;
        (asked.tell)(&Phase::Cut(next.text()));
        parted = Some(next);
    }
}

fn made(
    here: &Here,
    store: &mut Store,
    key: &Key,
    order: &Order,
    asked: &Asked,
    parted: Option<&Parted>,
) -> Result<Made, tensorrt::Error> {
    let mut builder = Builder::new(&here.library, Some(follow(asked)))?;
    match parted {
        None => builder.parse(&order.onnx, order.path.as_deref())?,
        Some(parted) => builder.parse(&parted.engine, None)?,
    }
    let given = |input: &&super::Input| parted.is_none_or(|parted| parted.has_input(&input.name));
    builder.add_profile(ranges(order.profile.inputs.iter().filter(given), &order.profile)?)?;
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
fn ranges<'a>(inputs: impl Iterator<Item = &'a super::Input>, profile: &Profile) -> Result<Vec<Range>, tensorrt::Error> {
    let of = |input: &super::Input, batch: u32| {
        let dimensions: Vec<i64> = input.shape.iter().map(|&d| if d < 0 { i64::from(batch) } else { d }).collect();
        Shape::new(&dimensions)
    };
    let ranges = inputs.map(|input| {
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
        tensor_bytes: engine.tensors().iter().map(|tensor| tensor_bytes(tensor, order.profile.max)).sum(),
        inspector: inspector.and_then(|text| serde_json::from_str(&text).ok()),
        placement,
        tail: None,
        verdict: None,
    }
}

/// Bytes of an input or output of a batch: what of a shape is open is the batch.
fn tensor_bytes(tensor: &tensorrt::Tensor, batch: u32) -> u64 {
    let sides = tensor.shape.dimensions().iter().map(|&side| u64::try_from(side).unwrap_or_else(|_| u64::from(batch)));
    sides.fold(tensor.data_type.bytes().unwrap_or(0), u64::saturating_mul)
}

/// The time for manifests: RFC 3339, UTC, whole seconds.
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
