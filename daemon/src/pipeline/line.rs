//! The part of the line that is there once for each model of cameras: its batcher and its engines.

use std::{
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use super::{
    StartError,
    books::{ModelEntry, Serving},
    start_engines,
};
use crate::{
    batch::{Batcher, Limits, Mode, StillSettings, StreamSettings},
    config::{BatchConfig, CameraConfig, Config, ModelConfig, SourceConfig},
    infer::{self, Coming, Loaded},
    life::{FaultSender, Progress, Stage},
    media::ModelInfo,
    track::{Telling, ToTrack},
};

/// Batches' worth of frames of an every-frame source that may wait: one is filled while another is in the network.
const EVERY_FRAME_BATCHES: usize = 2;

/// One model: its batcher and its engine threads.
pub(super) struct Line {
    pub(super) config: ModelConfig,
    pub(super) info: Arc<ModelInfo>,
    /// How it is told, if it is no detector.
    pub(super) telling: Telling,
    pub(super) batcher: Arc<Batcher>,
    pub(super) engines: Vec<JoinHandle<()>>,
    /// Whether it reads pictures that lie on a device.
    pub(super) device: bool,
    /// Better detectors that are on their way.
    pub(super) coming: Vec<Coming>,
    pub(super) serving: Serving,
}

impl Line {
    pub(super) fn start(
        (model, mut loaded): (&ModelConfig, Loaded),
        config: &Config,
        to_track: &mpsc::SyncSender<ToTrack>,
        progress: &Arc<Progress>,
        faults: &FaultSender,
    ) -> Result<Self, StartError> {
        let (info, coming) = (Arc::clone(loaded.info()), loaded.coming());
        let serving = Serving::new(&info, coming.first());
        let confidence = loaded.spec().map_or(0.0, |spec| spec.confidence);
        let telling = Telling { confidence, details: model.details };
        let instances = loaded.instances();
        let batcher = batcher(model, &config.batch, instances.len());
        let (source, to_track) = (Arc::clone(&batcher), to_track.clone());
        let work = move |detector, stage: &Stage| infer::worker(&source, detector, &to_track, stage);
        let device = instances.iter().all(|instance| instance.reads_device());
        let engines = start_engines(&format!("infer:{}", model.name), instances, work, progress, faults)?;
        Ok(Self { config: model.clone(), info, telling, batcher, engines, device, coming, serving })
    }

    /// Pictures of a camera that may be held at a time: the one that is handed over, those that wait, and those of the batches that are with
    /// the engines, with tracking and, for their crops, with steps.
    pub(super) fn held(&self, camera: &CameraConfig, steps: bool) -> u32 {
        let (waiting, of_batch) = match stream_settings(camera, &self.config, Duration::ZERO).mode {
            Mode::LatestWins => (1, 1),
            Mode::EveryFrame { queue } => (queue, self.config.max_batch),
        };
        let batches = self.engines.len() + 1 + usize::from(steps);
        u32::try_from(1 + waiting + batches * of_batch).unwrap_or(u32::MAX)
    }

    pub(super) fn entry(&self) -> ModelEntry {
        ModelEntry { config: self.config.clone(), serving: self.serving.clone(), batcher: Arc::clone(&self.batcher) }
    }
}

/// The batcher of a model's instances.
pub(crate) fn batcher(model: &ModelConfig, batch: &BatchConfig, instances: usize) -> Arc<Batcher> {
    let BatchConfig { max_wait, staleness } = *batch;
    Batcher::with_queues(Limits { max_batch: model.max_batch, max_wait, staleness, instances }, model.queues)
}

/// How a camera's frames wait.
pub(super) fn stream_settings(camera: &CameraConfig, model: &ModelConfig, lost_after: Duration) -> StreamSettings {
    let every_frame = matches!(&camera.source, SourceConfig::File(file) if file.every_frame);
    let queue = EVERY_FRAME_BATCHES * model.max_batch;
    StreamSettings {
        mode: if every_frame { Mode::EveryFrame { queue } } else { Mode::LatestWins },
        max_fps: camera.max_fps,
        idle_fps: camera.idle_fps,
        calm_interval: camera.calm_interval,
        still: camera.gate.map(|gate| StillSettings::new(&gate, lost_after)),
        weight: camera.weight,
    }
}
