//! The loop of one engine instance: pull work, run the network, pass it on.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc::SyncSender},
    time::Instant,
};

use super::{Clip, DetectError, Detector, Output, View};
use crate::{
    batch::{Batcher, Outcome, Step, Work},
    life::Stage,
    media::{Batch, Detection, Inferred, Mark, ModelInfo},
    track::{Stepped, ToTrack},
};

/// So many failures in a row are no accident of a single frame.
const MAX_FAILURES: u32 = 20;

/// Why an engine instance ended before its batcher was closed. The work it had is passed on as failed, so nothing is lost unseen.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The detector panicked.
    #[error("model {model} ({runtime}) panicked: {reason}")]
    Panicked {
        /// Name of the model.
        model: String,
        /// What ran it.
        runtime: String,
        /// The panic's message.
        reason: String,
    },
    /// The detector fails on everything.
    #[error("model {model} failed on {MAX_FAILURES} batches in a row, at last: {source}")]
    Failing {
        /// Name of the model.
        model: String,
        /// The last failure.
        source: DetectError,
    },
    /// The detector's device is lost: every further batch would be, too.
    #[error("model {model}: {source}")]
    Lost {
        /// Name of the model.
        model: String,
        /// What happened.
        source: DetectError,
    },
    /// Nobody takes the results.
    #[error("tracking has ended before inference")]
    NobodyListens,
}

/// Runs one engine instance until the batcher is closed and drained. `stage` beats for each piece of work.
///
/// # Errors
/// [`WorkerError`]: the engine cannot go on. The caller decides what becomes of the daemon.
pub fn worker(
    batcher: &Batcher,
    detector: Box<dyn Detector>,
    out: &SyncSender<ToTrack>,
    stage: &Stage,
) -> Result<(), WorkerError> {
    let mut engine = Instance::new(detector);
    let mut place = engine.detector.place();
    engine.seat = batcher.join(place);
    let result = loop {
        // A detector may have given way to one elsewhere.
        if place != engine.detector.place() {
            place = engine.detector.place();
            batcher.quit(engine.seat);
            engine.seat = batcher.join(place);
        }
        let Some(work) = batcher.next_for(engine.seat) else { break Ok(()) };
        let _busy = stage.busy();
        let (message, result) = engine.work(batcher, work);
        let sent = out.send(message).map_err(|_| WorkerError::NobodyListens);
        if let Err(error) = sent.and(result) {
            break Err(error);
        }
        if engine.is_spent() {
            break Ok(());
        }
    };
    batcher.quit(engine.seat);
    result
}

/// One engine instance, guarded: what it does wrong is told once, counted, and given up after too many failures in a row.
pub(crate) struct Instance {
    detector: Box<dyn Detector>,
    failures: u32,
    /// Its number at the batcher.
    seat: usize,
}

impl Instance {
    pub(crate) fn new(detector: Box<dyn Detector>) -> Self {
        Self { detector, failures: 0, seat: 0 }
    }

    /// The largest batch it takes, at least 1.
    pub(crate) fn max_batch(&self) -> usize {
        self.detector.max_batch().max(1)
    }

    /// Whether it is not needed any more.
    pub(crate) fn is_spent(&self) -> bool {
        self.detector.is_spent()
    }

    /// Does one piece of work: what tracking is told of it, and an error where the engine cannot go on.
    pub(crate) fn work(&mut self, batcher: &Batcher, work: Work) -> (ToTrack, Result<(), WorkerError>) {
        match work {
            Work::Batch(batch) => self.batch(batcher, batch),
            Work::Step(step) => self.step(step),
        }
    }

    fn batch(&mut self, batcher: &Batcher, mut batch: Batch) -> (ToTrack, Result<(), WorkerError>) {
        let model = self.model();
        let started = Instant::now();
        let (output, result) = self.detect(&batch.frames.iter().map(View::whole).collect::<Vec<_>>());
        let done = Instant::now();
        let failed = output.is_none();
        let outcome = if failed { Outcome::Failed } else { Outcome::Inferred };
        // What the engine cost, not how long it was busy with others.
        let took = output.as_ref().and_then(|output| output.device);
        batcher.finished_by(self.seat, &batch.frames, outcome, took.unwrap_or(done.saturating_duration_since(started)));
        let prepared = output.as_ref().map_or(done, |output| output.prepared);
        for frame in &mut batch.frames {
            frame.times.stamp(Mark::Prepared, prepared);
            frame.times.stamp(Mark::Inferred, done);
        }
        let (mut detections, extras, readings) =
            output.map(|output| (output.detections, output.extras, output.readings)).unwrap_or_default();
        // A network that is no detector sees no boxes; one that failed sees nothing.
        detections.resize_with(batch.frames.len(), Vec::new);
        (ToTrack::Inferred(Inferred { batch, detections, extras, readings, model, failed }), result)
    }

    fn step(&mut self, step: Step) -> (ToTrack, Result<(), WorkerError>) {
        let model = self.model();
        let (detections, result) = self.regions(&step);
        (ToTrack::Stepped(Stepped { step, detections, model }), result)
    }

    /// Looks at all regions of a step, as many at once as the detector takes.
    fn regions(&mut self, step: &Step) -> (Option<Vec<Vec<Detection>>>, Result<(), WorkerError>) {
        let frames = &step.batch.frames;
        let views = step.regions.iter().map(|r| frames.get(r.frame).map(|frame| View { frame, region: Some(r.bbox) }));
        let Some(views) = views.collect::<Option<Vec<_>>>() else {
            tracing::error!("a step names a frame that its batch does not have; it is not looked at");
            return (None, Ok(()));
        };
        let mut detections = Vec::with_capacity(views.len());
        for views in views.chunks(self.max_batch()) {
            match self.detect(views) {
                (Some(output), _) => detections.extend(output.detections),
                (None, result) => return (None, result),
            }
        }
        (Some(detections), Ok(()))
    }

    /// Runs the detector; `None` where it failed, and an error where it is beyond hope.
    pub(crate) fn detect(&mut self, views: &[View<'_>]) -> (Option<Output>, Result<(), WorkerError>) {
        let cameras = || views.iter().map(|view| view.frame.stream.name()).collect();
        self.guard(views.len(), cameras, |detector| detector.detect(views))
    }

    /// The same with clips.
    pub(crate) fn watch(&mut self, clips: &[&Clip]) -> (Option<Output>, Result<(), WorkerError>) {
        self.guard(clips.len(), Vec::new, |detector| detector.watch(clips))
    }

    fn guard<'a>(
        &mut self,
        views: usize,
        cameras: impl Fn() -> Vec<&'a str>,
        work: impl FnOnce(&mut dyn Detector) -> Result<Output, DetectError>,
    ) -> (Option<Output>, Result<(), WorkerError>) {
        let model = self.model();
        let detected = match catch_unwind(AssertUnwindSafe(|| work(&mut *self.detector))) {
            Ok(detected) => detected,
            Err(panic) => {
                let (model, runtime, reason) = (model.name.clone(), model.runtime.clone(), text(panic.as_ref()));
                return (None, Err(WorkerError::Panicked { model, runtime, reason }));
            }
        };
        match detected.and_then(|output| complete(output, views, &model)) {
            Ok(output) => {
                self.failures = 0;
                (Some(output), Ok(()))
            }
            Err(source @ DetectError::Lost { .. }) => (None, Err(WorkerError::Lost { model: model.name.clone(), source })),
            Err(error) => {
                self.failures += 1;
                if self.failures >= MAX_FAILURES {
                    return (None, Err(WorkerError::Failing { model: model.name.clone(), source: error }));
                }
                // The first one tells it all; the counters tell how often.
                if self.failures == 1 {
                    tracing::warn!(model = model.name, %error, cameras = ?cameras(), "a batch is lost");
                }
                (None, Ok(()))
            }
        }
    }

    pub(crate) fn model(&self) -> Arc<ModelInfo> {
        self.detector.spec().clone()
    }
}

/// A detector must answer for each view.
fn complete(output: Output, views: usize, model: &ModelInfo) -> Result<Output, DetectError> {
    let answers = output.detections.len() + output.readings.len();
    if answers == views {
        return Ok(output);
    }
    let reason = format!("{answers} answers for {views} views");
    Err(DetectError::Output { model: model.name.clone(), reason })
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests;
