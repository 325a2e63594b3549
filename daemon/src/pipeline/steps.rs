//! The steps of the line: one queue and some threads for each model that looks at what others have seen.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use egret_models::spec::TaskSpec;

use super::{
    Line, StartError,
    books::{Serving, StepEntry},
    start_engines,
};
use crate::{
    config::{Config, ModelConfig, StepConfig},
    infer::{Coming, Loaded},
    life::{FaultSender, Progress, Stage},
    step::{self, StepLimits, StepQueue},
    track::{Plan, Telling, ToTrack},
};

/// One step: its queue and its engine threads.
pub(super) struct StepLine {
    config: ModelConfig,
    plan: Arc<Plan>,
    coming: Vec<Coming>,
    serving: Serving,
    threads: Vec<JoinHandle<()>>,
}

/// Starts all steps of the configuration.
pub(super) fn start(
    config: &Config,
    (lines, loaded): (&BTreeMap<String, Line>, Vec<(&ModelConfig, Loaded)>),
    to_track: &mpsc::SyncSender<ToTrack>,
    progress: &Arc<Progress>,
    faults: &FaultSender,
) -> Result<Vec<StepLine>, StartError> {
    let steps = loaded.into_iter().filter_map(|(model, loaded)| Some(((model, loaded), model.step.as_ref()?)));
    steps.map(|(model, step)| StepLine::start(model, step, (config, lines), to_track, progress, faults)).collect()
}

impl StepLine {
    fn start(
        (model, mut loaded): (&ModelConfig, Loaded),
        step: &StepConfig,
        (config, lines): (&Config, &BTreeMap<String, Line>),
        to_track: &mpsc::SyncSender<ToTrack>,
        progress: &Arc<Progress>,
        faults: &FaultSender,
    ) -> Result<Self, StartError> {
        // A checked configuration names a model that there is.
        let known = lines.get(&step.of).map(|line| line.info.classes.as_slice()).unwrap_or_default();
        let wanted = wanted(model, step, known)?;
        let coming = loaded.coming();
        let serving = Serving::new(loaded.info(), coming.first());
        let confidence = loaded.spec().map_or(0.0, |spec| spec.confidence);
        let instances = loaded.count();
        let queue = StepQueue::new(StepLimits { max_batch: model.max_batch, max_wait: config.batch.max_wait, instances });
        let plan = Plan {
            config: step.clone(),
            model: Arc::clone(loaded.info()),
            wanted,
            telling: Telling { confidence, details: model.details },
            embeds: loaded.spec().is_some_and(|spec| matches!(spec.task, TaskSpec::Embed { .. })),
            clips: loaded.spec().map(|spec| spec.input.clone()).filter(|input| input.clip.is_some()),
            queue: Arc::clone(&queue),
        };
        let to_track = to_track.clone();
        let work = move |detector, stage: &Stage| step::worker(&queue, detector, &to_track, stage);
        let threads = start_engines(&format!("step:{}", model.name), loaded.instances(), work, progress, faults)?;
        Ok(Self { config: model.clone(), plan: Arc::new(plan), coming, serving, threads })
    }

    /// As tracking sees it.
    pub(super) fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan)
    }

    pub(super) fn entry(&self) -> StepEntry {
        StepEntry { config: self.config.clone(), serving: self.serving.clone(), queue: Arc::clone(&self.plan.queue) }
    }

    /// Better detectors that are on their way.
    pub(super) fn coming(&mut self) -> Vec<Coming> {
        mem::take(&mut self.coming)
    }

    /// Takes nothing in any more; what waits is finished.
    pub(super) fn close(&self) {
        self.plan.queue.close();
    }

    pub(super) fn into_threads(self) -> Vec<JoinHandle<()>> {
        self.threads
    }
}

/// Which classes of the other model are looked at, by index.
fn wanted(model: &ModelConfig, step: &StepConfig, known: &[String]) -> Result<Option<Box<[bool]>>, StartError> {
    let Some(classes) = &step.classes else { return Ok(None) };
    if let Some(class) = classes.iter().find(|class| !known.contains(class)) {
        let known = known.iter().take(20).cloned().collect::<Vec<_>>().join(", ").into();
        return Err(StartError::Classes { step: model.name.clone(), model: step.of.clone(), class: class.clone(), known });
    }
    Ok(Some(known.iter().map(|class| classes.contains(class)).collect()))
}
