//! Models on NVIDIA devices: which engines there are to be, whether they fit, and which serves at the start.

mod heir;
mod room;
mod site;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use egret_jetson::{
    kernels::{PtxCache, device::Kernels},
    tensorrt::installed,
};
use egret_models::spec::ModelSpec;

use super::{Coming, LoadError, Loading, described, load_cpu, order::order};
use crate::{
    config::{DeviceChoice, ModelConfig, ModelSource, RuntimeConfig},
    engine::{self, Choice, Here, Store, choose},
    infer::Detector,
    placement::{Claim, Need, Processor},
    store::state_directory,
};
use room::Room;
use site::Site;

/// NVRTC's folders that are looked into beside the loader's.
const NVRTC: &str = "EGRET_NVRTC";

/// What a model has of a GPU.
#[derive(Clone)]
struct Gpu {
    here: Here,
    kernels: Arc<Kernels>,
}

/// The GPUs that are open, by number and by whether NVIDIA's plugins are loaded. Others are opened when they are asked for.
struct Gpus<'a> {
    runtime: &'a RuntimeConfig,
    open: BTreeMap<(u32, bool), Gpu>,
}

impl Gpus<'_> {
    fn get(&mut self, number: u32, plugins: bool) -> Result<Gpu, String> {
        if let Some(gpu) = self.open.get(&(number, plugins)) {
            return Ok(gpu.clone());
        }
        let engines = &self.runtime.engines;
        // Asked first: where there is none, nothing else is worth the time.
        installed(engines.tensorrt.as_deref()).map_err(|error| error.to_string())?;
        let here = Here::open(&engine::location(engines, plugins), number as usize).map_err(|error| error.to_string())?;
        let kernels = match self.open.get(&(number, !plugins)) {
            Some(gpu) => Arc::clone(&gpu.kernels),
            None => kernels(number)?,
        };
        let gpu = Gpu { here, kernels };
        self.open.insert((number, plugins), gpu.clone());
        Ok(gpu)
    }
}

fn kernels(number: u32) -> Result<Arc<Kernels>, String> {
    let folders: Vec<PathBuf> = std::env::var_os(NVRTC).iter().flat_map(std::env::split_paths).collect();
    let state = state_directory(&|name| std::env::var(name).ok()).ok_or("there is no state directory for compiled kernels")?;
    Kernels::open(number as usize, &folders, &PtxCache::new(state.join("kernels"))).map_err(|error| error.to_string())
}

/// A model's engines, and their memory, which is reserved for those that are there.
pub(super) struct Prepared {
    engines: Vec<Planned>,
}

/// An engine that is there or is to be.
struct Planned {
    site: Site,
    store: Store,
    choice: Choice,
    /// The memory of the one that serves at first.
    claim: Option<Claim>,
}

/// A model whose engines have started.
pub(super) struct Started {
    pub(super) spec: ModelSpec,
    pub(super) instances: Vec<Box<dyn Detector>>,
    pub(super) coming: Vec<Coming>,
}

/// Looks for the engines of all models, and reserves memory for those that are there. `None`: a model that the CPU runs.
///
/// # Errors
/// [`LoadError`], also where not all of them fit.
pub(super) fn prepare(models: &[ModelConfig], runtime: &RuntimeConfig) -> Result<Vec<Option<Prepared>>, LoadError> {
    prepare_on(Gpus { runtime, open: BTreeMap::new() }, models)
}

fn prepare_on(mut gpus: Gpus<'_>, models: &[ModelConfig]) -> Result<Vec<Option<Prepared>>, LoadError> {
    let room = Room::new(gpus.runtime.device_memory);
    let prepared = models.iter().map(|model| of_model(&mut gpus, model, &room)).collect::<Result<Vec<_>, _>>();
    let mut prepared = prepared?;
    gpus.open.iter().for_each(|((number, _), gpu)| room.add(*number, &gpu.here.device));
    let there = || prepared.iter().flatten().flat_map(|model| &model.engines).filter(|planned| planned.need().is_some());
    let needs: Vec<Need> = there().filter_map(Planned::need).collect();
    let claims = room.account.claim(&needs).map_err(|no_room| LoadError::NoRoom { no_room })?;
    if claims.iter().any(Claim::is_shared) {
        tracing::warn!("memory is short: steps share the activations of the models that they look at, and take turns with them");
    }
    let planned = prepared.iter_mut().flatten().flat_map(|model| &mut model.engines).filter(|planned| planned.need().is_some());
    planned.zip(claims).for_each(|(planned, claim)| planned.claim = Some(claim));
    Ok(prepared)
}

/// The processors of a model that engines are for, and how many instances it has on each. The number: that of the device in the batcher.
fn processors(model: &ModelConfig) -> Vec<(usize, Processor, usize)> {
    let devices = model.distinct();
    let engines = devices.into_iter().enumerate().filter(|(_, (processor, _))| *processor != Processor::Cpu);
    engines.map(|(number, (processor, count))| (number, processor, count)).collect()
}

fn of_model(gpus: &mut Gpus<'_>, model: &ModelConfig, room: &Arc<Room>) -> Result<Option<Prepared>, LoadError> {
    let runtime = gpus.runtime;
    if !matches!(model.source, ModelSource::Onnx(_) | ModelSource::Demo) {
        return Ok(None);
    }
    if model.devices.is_none() {
        if runtime.device == DeviceChoice::Cpu {
            return Ok(None);
        }
        return match engines(gpus, model, room, &[(0, Processor::Gpu(0), 1)]) {
            Ok(engines) => Ok(Some(Prepared { engines })),
            Err(Failure::Model(error)) => Err(error),
            Err(Failure::None(_, reason)) if runtime.device == DeviceChoice::Tensorrt => {
                Err(LoadError::NoDevice { model: model.name.clone(), reason })
            }
            Err(Failure::None(_, reason)) => {
                tracing::info!(model = model.name, reason, "the CPU runs this model");
                Ok(None)
            }
        };
    }
    let processors = processors(model);
    if processors.is_empty() {
        return Ok(None);
    }
    match engines(gpus, model, room, &processors) {
        Ok(engines) => Ok(Some(Prepared { engines })),
        Err(Failure::Model(error)) => Err(error),
        Err(Failure::None(processor, reason)) => {
            Err(LoadError::NoProcessor { model: model.name.clone(), processor: processor.to_string(), reason })
        }
    }
}

/// Why a model does not run on a device.
enum Failure {
    /// There is no such device, or it is of no use.
    None(Processor, String),
    /// The model is of no use either.
    Model(LoadError),
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::Model(error)
    }
}

fn engines(
    gpus: &mut Gpus<'_>,
    model: &ModelConfig,
    room: &Arc<Room>,
    processors: &[(usize, Processor, usize)],
) -> Result<Vec<Planned>, Failure> {
    // Asked before the network is read: where there is no TensorRT, that is not worth the time.
    if let (Some((_, first, _)), true) = (processors.first(), gpus.open.is_empty()) {
        let tensorrt = gpus.runtime.engines.tensorrt.as_deref();
        installed(tensorrt).map_err(|error| Failure::None(*first, error.to_string()))?;
    }
    let order = order(model, &gpus.runtime.engines)?;
    let described = described(model)?;
    let each = processors.iter().enumerate().filter_map(|(i, at)| Some((i, *at, order.clone().on(at.1)?)));
    let planned = each.map(|(i, (number, processor, instances), order)| {
        let none = |reason: String| Failure::None(processor, reason);
        let gpu = gpus.get(processor.memory().unwrap_or(0), order.needs_plugins()).map_err(none)?;
        let folder = engine::folder(&gpus.runtime.engines).map_err(|error| none(error.to_string()))?;
        let name = if i == 0 { model.name.clone() } else { format!("{}/{processor}", model.name) };
        let at = site::At { name, processor, number, instances };
        let site = Site::new(gpu, at, (model, gpus.runtime), described.clone(), order, room);
        let mut store = Store::new(&folder);
        let choice = choose(&mut store, &site.key).map_err(|error| none(error.to_string()))?;
        Ok(Planned { site, store, choice, claim: None })
    });
    planned.collect()
}

impl Planned {
    /// What the engine needs that serves at first, if one does.
    fn need(&self) -> Option<Need> {
        match &self.choice {
            Choice::Exact(manifest) | Choice::Other { manifest, .. } | Choice::Rejected { other: Some(manifest), .. } => {
                Some(self.site.need(manifest, self.site.at.instances))
            }
            Choice::None(_) | Choice::Rejected { other: None, .. } => None,
        }
    }
}

impl Prepared {
    /// Starts the engines that are there, and the CPU in place of the others.
    pub(super) fn start(self, loading: Loading<'_>) -> Result<Started, LoadError> {
        let mut started: Option<Started> = None;
        for Planned { site, store, choice, claim } in self.engines {
            loading.goes_on()?;
            let one = site.start(store, choice, claim)?;
            match &mut started {
                None => started = Some(one),
                Some(all) => {
                    all.instances.extend(one.instances);
                    all.coming.extend(one.coming);
                }
            }
        }
        started.ok_or_else(|| unreachable!("a prepared model has an engine"))
    }
}

#[cfg(all(test, feature = "doubles"))]
mod tests;
