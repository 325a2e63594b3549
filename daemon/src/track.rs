//! Following objects from frame to frame.
//!
//! One OS thread follows the objects of all cameras. It puts each camera's frames back into their order, lets that camera's tracker
//! match detections with tracks, hands the frames' story to publishing and the pictures back to their decoders. Two ways lead back
//! from here: activity, to the batcher's control watch, and second looks at objects, through its step queue.

mod assign;
mod counters;
mod ids;
mod kalman;
mod line;
mod order;
mod stream;
mod tracker;

use std::sync::Arc;

pub use counters::{Counters, Counts};
pub use ids::Ids;
pub use line::run;

use crate::{
    batch::Step,
    media::{Detection, Inferred, ModelInfo, StreamId},
};

/// What tracking takes in.
#[derive(Debug)]
pub enum ToTrack {
    /// A batch with what the network saw in it.
    Inferred(Inferred),
    /// A second stage has looked at regions.
    Stepped(Stepped),
    /// Which classes of a camera are followed and told of, indexed by class; `None`: all. Holds for the frames that come after it.
    Classes {
        /// Whose.
        stream: StreamId,
        /// Whether each class is wanted.
        wanted: Option<Box<[bool]>>,
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
