//! Following objects from frame to frame.
//!
//! One OS thread follows the objects of all cameras. It puts each camera's frames back into their order, lets that camera's tracker
//! match detections with tracks, hands the frames' story to publishing and the pictures back to their decoders. Two ways lead back
//! from here: activity, to the batcher's control watch, and second looks at objects, through its step queue.

mod assign;
pub mod associate;
mod axis;
pub mod bytetrack;
mod counters;
pub mod egret;
mod ids;
mod line;
mod lives;
pub mod ocsort;
mod order;
mod overlap;
mod shots;
pub mod sort;
mod steps;
mod stream;

#[cfg(test)]
#[path = "track/published_tests.rs"]
mod published_tests;

use std::{collections::BTreeMap, sync::Arc};

pub use counters::{Counters, Counts};
pub use ids::Ids;
pub use line::{Follower, run};
pub use steps::Plan;
use tokio::sync::oneshot;

use crate::{
    analyse::{self, CameraRules},
    batch::{Batcher, Step},
    media::{Detection, Inferred, ModelInfo, StreamId},
    step::Answered,
};

/// The ways that lead back from tracking.
#[derive(Clone, Default)]
pub struct Ways {
    /// Each model's batcher under the model's name.
    pub batchers: BTreeMap<String, Arc<Batcher>>,
    /// The models that look at what others have seen.
    pub steps: Vec<Arc<Plan>>,
    /// How networks that are no detectors are told, by name.
    pub told: BTreeMap<String, Telling>,
    /// Where rules are counted.
    pub rules: Arc<analyse::Counters>,
}

impl Ways {
    /// Without steps.
    pub fn new(batchers: BTreeMap<String, Arc<Batcher>>) -> Self {
        Self { batchers, ..Self::default() }
    }
}

/// How what a network says of whole frames is told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Telling {
    /// What a label needs to be told, 0..1.
    pub confidence: f32,
    /// Whether vectors and masks are told in whole.
    pub details: bool,
}

/// Which detections of a camera are followed and told of; by default, all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keep {
    /// Whether each class is wanted, indexed by class; `None`: all are.
    pub classes: Option<Box<[bool]>>,
    /// Smallest confidence.
    pub confidence: f32,
}

impl Keep {
    /// Whether it holds for this one.
    fn holds(&self, detection: &Detection) -> bool {
        let wanted = |classes: &[bool]| classes.get(usize::from(detection.class)).copied().unwrap_or_default();
        detection.confidence >= self.confidence && self.classes.as_deref().is_none_or(wanted)
    }
}

/// What tracking takes in.
#[derive(Debug)]
pub enum ToTrack {
    /// A batch with what the network saw in it.
    Inferred(Inferred),
    /// A second stage has looked at regions.
    Stepped(Stepped),
    /// A step has looked.
    Answered(Answered),
    /// Which detections of a camera are followed and told of. Holds for the frames that come after it.
    Keep {
        /// Whose.
        stream: StreamId,
        /// Which.
        keep: Keep,
    },
    /// No more frames come, of any camera: steps are asked for their last looks. Answered when they are.
    Last(oneshot::Sender<()>),
    /// What a camera is watched for. Holds for the frames that come after it.
    Rules {
        /// Whose.
        stream: StreamId,
        /// Its rules and masks.
        rules: Arc<CameraRules>,
    },
    /// A camera was removed: its tracks end, frames of it that still come are dropped.
    Gone(StreamId),
}

/// A step that has come back.
#[derive(Debug)]
pub struct Stepped {
    /// The step; its frames go on living until tracking drops them.
    pub step: Step,
    /// One entry per region, in order, boxes in pixels of the source frame. `None`: the engine failed.
    pub detections: Option<Vec<Vec<Detection>>>,
    /// Which model looked.
    pub model: Arc<ModelInfo>,
}
