//! Steps: models that look at what others have seen, tracked objects cut out of their frames, or whole frames.
//!
//! Tracking asks, since it knows what is followed; a [`StepQueue`] per model gathers what is asked for of all cameras into common
//! batches; each model has its own threads ([`worker`]), and its answers go back to tracking. A frame lives until the last look at
//! it is done. Nobody waits for a step: when its queue is full, the look is left out, counted and told.

mod counters;
mod queue;
mod worker;

use std::{sync::Arc, time::Instant};

pub use counters::{SkipReason, StepCounters, StepCounts};
pub use queue::{StepLimits, StepQueue};
pub use worker::worker;

use crate::{
    infer::Clip,
    media::{BBox, Frame, ModelInfo, Reading, StreamId, TrackId},
};

/// One look that is asked for.
#[derive(Debug)]
pub struct Job {
    /// Whom it is about.
    pub target: Target,
    /// What is looked at.
    pub look: Look,
    /// Since when it waits.
    pub asked: Instant,
}

/// Whom a look is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whose picture it is.
    pub stream: StreamId,
    /// Which object in it; `None`: the frame as a whole.
    pub track: Option<TrackId>,
    /// [`Frame::seq`] of the frame, of a clip its last one.
    pub frame: u64,
}

/// What is looked at.
#[derive(Debug)]
pub enum Look {
    /// A frame or a region of it, in pixels of it.
    Picture {
        /// The frame; other steps may look at it too.
        frame: Arc<Frame>,
        /// The region; `None`: all of it.
        region: Option<BBox>,
    },
    /// Several clips of one span.
    Clips(Vec<Clip>),
}

impl Look {
    /// Pictures or clips that it puts into a batch.
    pub fn len(&self) -> usize {
        match self {
            Self::Picture { .. } => 1,
            Self::Clips(clips) => clips.len(),
        }
    }

    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The looks of one batch with what came of them.
#[derive(Debug)]
pub struct Answered {
    /// Which model looked.
    pub model: Arc<ModelInfo>,
    /// Whom, and what it says; `None`: it failed.
    pub answers: Vec<(Target, Option<Reading>)>,
}
