//! Networks, as the program sees them.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::{batch::Queues, placement::Processor};

/// Which network head reads the outputs. More join with the models work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// An ONNX file.
    Onnx(PathBuf),
    /// The demo's own street detector, embedded. Only on request, never a fall-back.
    Demo,
    /// Sees nothing, takes no time. For benches.
    Null,
    /// Replays detections from a JSON-lines file. For tests.
    Scripted(PathBuf),
}

/// One network. What is `None` is as the model's manifest says, else as it always was.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Unique name.
    pub name: String,
    /// Where it comes from.
    pub source: ModelSource,
    /// Class names in the order of the outputs; `None`: those that come with the model, else COCO's 80.
    pub classes: Option<Vec<String>>,
    /// Smallest confidence that is published.
    pub confidence: Option<f32>,
    /// Other confidences for some classes, by name.
    pub class_confidence: BTreeMap<String, f32>,
    /// IoU above which the lesser of two boxes is suppressed.
    pub nms_iou: Option<f32>,
    /// Whether boxes of different classes suppress each other.
    pub class_agnostic: Option<bool>,
    /// Candidates that take part in suppression.
    pub max_candidates: Option<usize>,
    /// Boxes that remain.
    pub max_detections: Option<usize>,
    /// Largest batch.
    pub max_batch: usize,
    /// Engine instances on the CPU: single-threaded sessions, one OS thread each. As many as `devices` names, where it does.
    pub workers: usize,
    /// What each of its instances runs on; `None`: as [`RuntimeConfig::device`](super::RuntimeConfig::device) says.
    pub devices: Option<Vec<Processor>>,
    /// Whose frames the instances of several devices take.
    pub queues: Queues,
    /// Frames are looked at in tiles.
    pub tiles: Option<TilesConfig>,
    /// Whether whole vectors and masks are published; without it, masks of objects are not even made.
    pub details: bool,
    /// It looks at what another model has seen; `None`: at the frames of the cameras that name it.
    pub step: Option<StepConfig>,
}

impl ModelConfig {
    /// A model of cameras with the defaults of every key: batches of 8, one worker.
    pub fn new(name: &str, source: ModelSource) -> Self {
        Self {
            name: name.to_owned(),
            source,
            classes: None,
            confidence: None,
            class_confidence: BTreeMap::new(),
            nms_iou: None,
            class_agnostic: None,
            max_candidates: None,
            max_detections: None,
            max_batch: 8,
            workers: 1,
            devices: None,
            queues: Queues::Shared,
            tiles: None,
            details: false,
            step: None,
        }
    }
}

impl ModelConfig {
    /// The same with one instance: on the first of its devices.
    #[must_use]
    pub fn single(&self) -> Self {
        let devices = self.devices.as_ref().map(|devices| devices.iter().take(1).copied().collect());
        Self { workers: 1, devices, ..self.clone() }
    }

    /// Its devices, each once, in the order in which they are first named; and how many instances each has.
    pub fn distinct(&self) -> Vec<(Processor, usize)> {
        let mut distinct: Vec<(Processor, usize)> = Vec::new();
        for processor in self.devices.iter().flatten() {
            match distinct.iter_mut().find(|(known, _)| known == processor) {
                Some((_, count)) => *count += 1,
                None => distinct.push((*processor, 1)),
            }
        }
        distinct
    }
}

/// A grid of overlapping tiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TilesConfig {
    /// Tiles side by side, at least 1.
    pub columns: usize,
    /// Tiles one above the other, at least 1.
    pub rows: usize,
    /// Share of a tile that it has in common with its neighbour, 0..0.5.
    pub overlap: f32,
    /// Whether the whole frame is looked at besides.
    pub whole: bool,
}

/// A model that looks at what another one has seen.
#[derive(Clone, Debug, PartialEq)]
pub struct StepConfig {
    /// At what.
    pub on: StepOn,
    /// Name of the other model, one that looks at cameras.
    pub of: String,
    /// Classes of that model whose tracks are looked at; `None`: all.
    pub classes: Option<Vec<String>>,
    /// Shortest time between two looks at one track or one camera.
    pub every: Duration,
    /// Shortest side of a box that is looked at, in pixels.
    pub min_size: u32,
    /// Clips that are looked at together, at least 1.
    pub clips: usize,
    /// What they are spread over.
    pub span: Duration,
}

/// What a step looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepOn {
    /// Tracked objects, cut out of their frames.
    Tracks,
    /// Whole frames.
    Frames,
}
