//! Gathering the freshest frames of all cameras into batches.
//!
//! Decoders put frames into [`Slot`]s, engine instances pull [`Work`] from the [`Batcher`]. Between them stands one pure policy
//! that decides, from the rhythm of the cameras and the measured cost of batches, when a batch goes and who is in it.
//!
//! The law that every [`Counts`] obeys at every moment: *decoded = inferred + dropped (by reason) + in flight*.

mod arrivals;
mod batcher;
mod bind;
mod cap;
mod cost;
mod counts;
mod pace;
mod policy;
mod seat;
mod slot;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod thin;

use std::time::Duration;

pub use batcher::{Batcher, Control};
pub use counts::{Counts, Dropped};
pub use slot::Slot;

use crate::{
    config::GateConfig,
    media::{BBox, Batch, TrackId},
};

/// So often what stands in a still picture is looked at.
const STANDING: Duration = Duration::from_secs(1);

/// What bounds the batches of one model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Most frames in a batch, at least 1.
    pub max_batch: usize,
    /// Longest time that the oldest frame waits for company.
    pub max_wait: Duration,
    /// A frame that is older than this at dispatch is dropped instead. Never applied to every-frame streams.
    pub staleness: Duration,
    /// Engine instances that pull from this batcher.
    pub instances: usize,
}

/// Where an engine instance works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The device, by any number: those of one number share a queue, where there are several.
    pub device: usize,
    /// The engine on that device, by any number: instances of one number are its lanes, which take turns. `None`: one of its own.
    pub engine: Option<usize>,
}

/// Whose frames the instances of several devices take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Queues {
    /// One queue: whoever is free takes of all cameras.
    #[default]
    Shared,
    /// A queue for each device: each camera is one device's, according to what each can do. Its frames never overtake each other.
    PerDevice,
}

/// What happens to a frame that finds the previous one still waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The newest frame replaces the oldest: live cameras.
    LatestWins,
    /// The producer waits while this many frames are queued: files, of which every frame counts.
    EveryFrame {
        /// Most frames that wait, at least 1. Below the largest batch, one file cannot fill a batch.
        queue: usize,
    },
}

/// How one stream is treated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StreamSettings {
    /// Replacement or back-pressure.
    pub mode: Mode,
    /// Most inferred frames per second: of arrival for a live camera, of media time for an every-frame stream.
    pub max_fps: Option<f64>,
    /// The cap while the control watch says that nothing happens in the picture. Motion lifts it at once where it is looked for.
    pub idle_fps: Option<f64>,
    /// Least time between two frames while what is followed goes on as foreseen.
    pub calm_interval: Duration,
    /// What becomes of still frames; `None`: what becomes of the others.
    pub still: Option<StillSettings>,
    /// Share of the engine under overload, relative to the other streams, above 0.
    pub weight: f64,
}

impl StreamSettings {
    /// No caps, the same share as everybody.
    pub fn new(mode: Mode) -> Self {
        Self { mode, max_fps: None, idle_fps: None, calm_interval: Duration::ZERO, still: None, weight: 1.0 }
    }
}

/// How frames in which nothing moves are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillSettings {
    /// One so often passes all the same.
    pub interval: Duration,
    /// One so often passes while anything is followed and nothing of it moves.
    pub standing: Duration,
    /// Whether what is followed counts: all of them pass while any of it moves.
    pub tracks: bool,
}

impl StillSettings {
    /// As the configuration has it. What stands is looked at once a second, and at least twice before it would be lost.
    pub fn new(gate: &GateConfig, lost_after: Duration) -> Self {
        let standing = gate.interval.min(STANDING).min(lost_after / 2);
        Self { interval: gate.interval, standing, tracks: gate.tracks }
    }
}

/// What an engine thread is given to do.
#[derive(Debug)]
pub enum Work {
    /// Whole frames for the first stage.
    Batch(Batch),
    /// Regions of frames for a second stage.
    Step(Step),
}

/// The way back from tracking to inference: a batch whose tracked regions a second stage is to look at. The frames move back whole.
#[derive(Debug)]
pub struct Step {
    /// The batch as tracking had it.
    pub batch: Batch,
    /// What to look at, at least one.
    pub regions: Vec<Region>,
}

/// One region of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Index into the frames of the batch.
    pub frame: usize,
    /// Whose picture it is.
    pub track: TrackId,
    /// In pixels of that frame.
    pub bbox: BBox,
}

/// What became of a dispatched batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The network has run.
    Inferred,
    /// It failed; its frames count as dropped, reason `engine_error`.
    Failed,
}
