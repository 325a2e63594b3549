//! The line on one thread: batcher, engine and tracking, one frame at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::ReplayError;
use crate::{
    batch::{Batcher, Limits, Mode, Outcome, Slot, StreamSettings, Work},
    config::{CameraConfig, ModelConfig, RuntimeConfig},
    infer::{self, Instance},
    media::{Detection, Extras, Inferred, ModelInfo, StreamId, Tracked},
    pipeline,
    track::{Follower, Stepped, Telling, ToTrack},
};

use super::reel::Take;

/// A batch that waits is a day old at most: nothing is ever stale.
const NEVER_STALE: Duration = Duration::from_hours(24);

/// Whoever sees what is in the frames.
pub(super) enum Eyes {
    /// A network.
    Engine(Box<Instance>),
    /// Somebody who saw it long ago.
    Memory,
}

/// The model of a camera, ready.
pub(super) struct Looker {
    pub(super) eyes: Eyes,
    pub(super) info: Arc<ModelInfo>,
    pub(super) telling: Telling,
}

impl Looker {
    /// Loads a network.
    pub(super) fn load(model: &ModelConfig, runtime: &RuntimeConfig) -> Result<Self, ReplayError> {
        let loaded = infer::load(&model.single(), runtime)?;
        let info = Arc::clone(loaded.info());
        let confidence = loaded.spec().map_or(0.0, |spec| spec.confidence);
        let engine = Instance::new(loaded.instances().remove(0));
        Ok(Self { eyes: Eyes::Engine(Box::new(engine)), info, telling: Telling { confidence, details: model.details } })
    }

    /// What was recorded needs none. A class that was never seen is no mistake: those that the camera keeps and watches for join.
    pub(super) fn remember(mut info: ModelInfo, camera: &CameraConfig) -> Self {
        for class in camera.classes.iter().flatten().chain(camera.rules.classes().map(|(_, class)| class)) {
            if !info.classes.contains(class) {
                info.classes.push(class.clone());
            }
        }
        Self { eyes: Eyes::Memory, info: Arc::new(info), telling: Telling::default() }
    }

    /// Whether the model knows every class that the camera's keys name.
    pub(super) fn check(&self, camera: &CameraConfig) -> Result<(), ReplayError> {
        pipeline::known_classes(camera, &self.info)?;
        match camera.classes.iter().flatten().find(|class| !self.info.classes.contains(class)) {
            None => Ok(()),
            Some(class) => Err(ReplayError::Class {
                camera: camera.name.clone(),
                class: class.clone(),
                known: self.info.classes.iter().take(20).cloned().collect::<Vec<_>>().join(", "),
            }),
        }
    }
}

/// A batcher for one frame at a time.
pub(super) fn batcher() -> Arc<Batcher> {
    Batcher::new(Limits { max_batch: 1, max_wait: Duration::ZERO, staleness: NEVER_STALE, instances: 1 })
}

/// The stages between a frame and its story.
pub(super) struct Desk<'a> {
    batcher: Arc<Batcher>,
    slot: Slot,
    eyes: Eyes,
    info: Arc<ModelInfo>,
    follower: Follower<'a>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(
        (batcher, looker): (Arc<Batcher>, Looker),
        mut follower: Follower<'a>,
        camera: &CameraConfig,
        stream: &StreamId,
    ) -> Self {
        let Looker { eyes, info, .. } = looker;
        // What was recorded has been through the caps.
        let live = matches!(eyes, Eyes::Engine(_));
        let settings = StreamSettings {
            mode: Mode::EveryFrame { queue: 1 },
            max_fps: camera.max_fps.filter(|_| live),
            idle_fps: camera.idle_fps.filter(|_| live),
            // What is left out to save work is no part of what a recording shows.
            calm_interval: Duration::ZERO,
            still: None,
            weight: camera.weight,
        };
        let slot = batcher.add(stream.clone(), settings);
        let keep = pipeline::kept(camera, &info);
        let rules = Arc::clone(&camera.rules);
        let orders = [ToTrack::Keep { stream: stream.clone(), keep }, ToTrack::Rules { stream: stream.clone(), rules }];
        for order in orders {
            // Nothing is to be told of it.
            follower.take(order, Instant::now(), &mut Vec::new());
        }
        Self { batcher, slot, eyes, info, follower }
    }

    /// Takes a frame through; its story is added to `out`. No story: the caps left it out, or the engine failed on it.
    pub(super) fn frame(&mut self, take: Take, out: &mut Vec<Tracked>) -> Result<(), ReplayError> {
        let Take { frame, mut seen, .. } = take;
        let mut stories = Vec::new();
        self.slot.offer(frame);
        while let Some(work) = self.batcher.try_next() {
            let (message, result) = match &mut self.eyes {
                Eyes::Engine(engine) => engine.work(&self.batcher, work),
                Eyes::Memory => (remembered(&self.batcher, &self.info, work, seen.take()), Ok(())),
            };
            self.follower.take(message, Instant::now(), &mut stories);
            out.append(&mut stories);
            result?;
        }
        Ok(())
    }

    /// No more frames come.
    pub(super) fn finish(self, out: &mut Vec<Tracked>) {
        self.follower.finish(out);
    }
}

/// What an engine would have said that saw what was seen. Nobody looks a second time: the first look is believed.
fn remembered(batcher: &Batcher, info: &Arc<ModelInfo>, work: Work, seen: Option<(u64, Vec<Detection>, Extras)>) -> ToTrack {
    let model = Arc::clone(info);
    match work {
        Work::Batch(mut batch) => {
            batcher.finished(&batch.frames, Outcome::Inferred, Duration::ZERO);
            let (mut detections, mut extras) = (vec![Vec::new(); batch.frames.len()], Vec::new());
            if let (Some((number, boxes, of_them)), Some(frame)) = (seen, batch.frames.first_mut()) {
                frame.seq = number;
                detections[0] = boxes;
                extras.push(of_them);
            }
            ToTrack::Inferred(Inferred { batch, detections, extras, readings: Vec::new(), model, failed: false })
        }
        Work::Step(step) => ToTrack::Stepped(Stepped { step, detections: None, model }),
    }
}
