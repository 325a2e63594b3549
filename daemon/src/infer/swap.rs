//! A detector that makes room for a better one between two batches, and takes its place back if the new one fails.
//!
//! While an engine is being built, whatever is there serves. [`Succession`] is what the instances of a model and the thread that builds
//! have in common: frames that the cameras showed meanwhile, the detectors that are to take over, and what became of them. An instance
//! ([`Swap`]) looks there before each batch.

mod canary;
mod recorder;
mod succeed;
mod succession;
#[cfg(test)]
pub(super) mod tests;

use std::{mem, ops::Range, sync::Arc};

use super::{Clip, DetectError, Detector, Output, View};
use crate::{batch::Place, media::ModelInfo};

pub use canary::{CANARY_GATE, CanaryError, canary};
pub use succeed::{Heir, Pair, Trial, succeed};
pub use succession::Succession;

/// Batches of all instances together that a new detector must do without a failure before the old one goes.
pub const TRIAL_BATCHES: u32 = 50;

/// One instance: the detector that serves, and the one that served before, for as long as the new one is on trial.
pub struct Swap {
    current: Box<dyn Detector>,
    before: Option<Box<dyn Detector>>,
    succession: Arc<Succession>,
    /// What of the succession this instance has seen.
    seen: u64,
    /// Whether it has one of the new detectors.
    took: bool,
    spent: bool,
    /// Whether a detector that serves at some time reads pictures on a device.
    device: bool,
}

impl Swap {
    /// An instance that serves with `detector` for now. `device`: it, or what takes over from it, reads pictures where they lie on a device.
    pub fn new(detector: Box<dyn Detector>, succession: &Arc<Succession>, device: bool) -> Self {
        Self { current: detector, before: None, succession: Arc::clone(succession), seen: 0, took: false, spent: false, device }
    }

    /// Follows what has happened since the last batch.
    fn follow(&mut self) {
        let now = self.succession.turn();
        if now == self.seen {
            return;
        }
        self.seen = now;
        if self.succession.is_rolled_back() {
            self.back();
            return;
        }
        let settled = self.succession.is_settled();
        // One that had nothing to do during the trial takes what the others have tried.
        if !self.took
            && let Some(heir) = self.succession.take()
        {
            self.before = Some(mem::replace(&mut self.current, heir));
            self.took = true;
        }
        if settled {
            // The old one's memory is the new one's by now.
            self.before = None;
            self.spent = !self.took;
        }
    }

    /// What served before serves again.
    fn back(&mut self) {
        if let Some(before) = self.before.take() {
            (self.current, self.took) = (before, false);
        }
    }

    fn run(&mut self, count: usize, work: Work<'_>) -> Result<Output, DetectError> {
        self.follow();
        let done = whole(&mut *self.current, count, work);
        if self.before.is_none() {
            return done;
        }
        match done {
            Ok(output) if output.detections.len() + output.readings.len() == count => {
                self.succession.good();
                Ok(output)
            }
            // Nothing runs on that device any more: the process is to begin anew, and what was on trial with it.
            Err(lost @ DetectError::Lost { .. }) => Err(lost),
            bad => {
                let model = self.current.spec().name.clone();
                let reason = match bad {
                    Err(error) => error.to_string(),
                    Ok(_) => format!("model {model}: not one answer for each picture"),
                };
                self.succession.roll_back(&reason);
                self.back();
                // Nothing is lost: the one that can does it.
                whole(&mut *self.current, count, work)
            }
        }
    }
}

/// Does a part of a batch with a detector.
type Work<'a> = &'a mut dyn FnMut(&mut dyn Detector, Range<usize>) -> Result<Output, DetectError>;

/// Runs a batch, in parts where the detector takes smaller ones than the batcher makes.
fn whole(detector: &mut dyn Detector, count: usize, work: Work<'_>) -> Result<Output, DetectError> {
    let most = detector.max_batch().max(1);
    let mut output = work(detector, 0..count.min(most))?;
    for first in (most..count).step_by(most) {
        let Output { detections, extras, readings, prepared, device } = work(detector, first..count.min(first + most))?;
        output.detections.extend(detections);
        output.extras.extend(extras);
        output.readings.extend(readings);
        output.prepared = prepared;
        output.device = output.device.zip(device).map(|(before, now)| before + now);
    }
    Ok(output)
}

impl Detector for Swap {
    fn spec(&self) -> &Arc<ModelInfo> {
        self.current.spec()
    }

    fn max_batch(&self) -> usize {
        self.current.max_batch()
    }

    fn place(&self) -> Place {
        self.current.place()
    }

    fn detect(&mut self, views: &[View<'_>]) -> Result<Output, DetectError> {
        let output = self.run(views.len(), &mut |detector, part| detector.detect(&views[part]))?;
        self.succession.record(views, &output);
        Ok(output)
    }

    fn watch(&mut self, clips: &[&Clip]) -> Result<Output, DetectError> {
        self.run(clips.len(), &mut |detector, part| detector.watch(&clips[part]))
    }

    fn reads_device(&self) -> bool {
        // Whoever serves before or after and does not brings what it looks at to the host itself.
        self.device
    }

    fn is_spent(&self) -> bool {
        self.spent
    }
}
