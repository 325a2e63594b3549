//! The one trait of the line: hardware, portable and test versions of a detector all exist.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::Clip;
use crate::batch::Place;
use crate::media::{BBox, Detection, Extras, Frame, ModelInfo, Reading};

/// A frame, or a region of one, that a network looks at: whole frames in first stages, crops of tracked objects in second ones.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The frame.
    pub frame: &'a Frame,
    /// The region in pixels of the frame; `None`: all of it.
    pub region: Option<BBox>,
}

impl<'a> View<'a> {
    /// The whole of a frame.
    pub fn whole(frame: &'a Frame) -> Self {
        Self { frame, region: None }
    }
}

/// What came out of one batch.
#[derive(Debug)]
pub struct Output {
    /// Of a detector: one entry per view, in order. Boxes in pixels of the source frame (also for regions), highest confidence first.
    pub detections: Vec<Vec<Detection>>,
    /// What belongs to them, view by view; empty where the network tells nothing but boxes.
    pub extras: Vec<Extras>,
    /// Of any other network: one entry per view or clip, in order.
    pub readings: Vec<Reading>,
    /// When the input tensor was filled ([`crate::media::Mark::Prepared`]).
    pub prepared: Instant,
    /// How long a device was busy with it, without what it waited there for others; `None`: as long as the call took.
    pub device: Option<Duration>,
}

/// A network that is loaded and ready. Lives on the one OS thread of its engine instance.
pub trait Detector: Send {
    /// What it is and what runs it.
    fn spec(&self) -> &Arc<ModelInfo>;

    /// The largest batch it takes.
    fn max_batch(&self) -> usize;

    /// Whether it reads pictures where they lie on a device. Those of its cameras stay there then; else they come through host memory.
    fn reads_device(&self) -> bool {
        false
    }

    /// Where it works, among the instances of its model. By itself one of the first device, with an engine of its own.
    fn place(&self) -> Place {
        Place::default()
    }

    /// Runs the network over 1 to [`Self::max_batch`] views.
    ///
    /// # Errors
    /// [`DetectError`]: the batch is lost and counted.
    fn detect(&mut self, views: &[View<'_>]) -> Result<Output, DetectError>;

    /// The same with clips, for networks that take those instead of pictures.
    ///
    /// # Errors
    /// [`DetectError`]: the batch is lost and counted.
    fn watch(&mut self, clips: &[&Clip]) -> Result<Output, DetectError> {
        let _ = clips;
        Err(DetectError::NoClips { model: self.spec().name.clone(), takes: "pictures", given: "clips" })
    }

    /// Whether others do its work from now on: its instance ends.
    fn is_spent(&self) -> bool {
        false
    }
}

/// Why a batch was lost.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// The runtime failed on this batch.
    #[error("{runtime} failed on a batch of {views}: {reason}")]
    Runtime {
        /// Which runtime.
        runtime: String,
        /// Views in the batch.
        views: usize,
        /// Its own words.
        reason: String,
    },
    /// The device's context is gone. Nothing runs on it until the process begins anew.
    #[error("{runtime} has lost its device on a batch of {views}: {reason}")]
    Lost {
        /// Which runtime.
        runtime: String,
        /// Views in the batch.
        views: usize,
        /// The driver's words.
        reason: String,
    },
    /// The network's outputs are no detections (wrong shape, NaN).
    #[error("model {model}: {reason}")]
    Output {
        /// Name of the model.
        model: String,
        /// What is wrong.
        reason: String,
    },
    /// This detector cannot read that kind of picture.
    #[error("the {detector} detector cannot read {pixels}")]
    Pixels {
        /// The detector.
        detector: &'static str,
        /// What it was given.
        pixels: String,
    },
    /// It takes pictures and was given clips, or the other way round.
    #[error("model {model} takes {takes}, not {given}")]
    NoClips {
        /// Name of the model.
        model: String,
        /// What it takes.
        takes: &'static str,
        /// What it was given.
        given: &'static str,
    },
}
