//! The loop of one engine instance of a step.

use std::{
    sync::mpsc::SyncSender,
    time::{Duration, Instant},
};

use egret_models::task::Scores;

use super::{Answered, Job, Look, StepQueue};
use crate::{
    infer::{Detector, Instance, Output, View, WorkerError},
    life::Stage,
    media::{Boxes, Reading},
    track::ToTrack,
};

/// Runs one engine instance until the queue is closed and drained. `stage` beats for each batch.
///
/// # Errors
/// [`WorkerError`]: the engine cannot go on. The caller decides what becomes of the daemon.
pub fn worker(
    queue: &StepQueue,
    detector: Box<dyn Detector>,
    out: &SyncSender<ToTrack>,
    stage: &Stage,
) -> Result<(), WorkerError> {
    let mut engine = Instance::new(detector);
    while let Some(jobs) = queue.next() {
        let _busy = stage.busy();
        let started = Instant::now();
        let waited: Duration = jobs.iter().map(|job| started.saturating_duration_since(job.asked)).sum();
        let (readings, runs, result) = look(&mut engine, &jobs);
        let failed = readings.iter().filter(|reading| reading.is_none()).count();
        let pictures: usize = jobs.iter().map(|job| job.look.len()).sum();
        queue.counters().record(runs, jobs.len() as u64, pictures as u64, failed as u64);
        queue.counters().record_times(waited, started.elapsed());
        // The frames go back to their decoders here, before anybody waits for tracking.
        let answers = jobs.into_iter().map(|job| job.target).zip(readings).collect();
        let answered = Answered { model: engine.model(), answers };
        out.send(ToTrack::Answered(answered)).map_err(|_| WorkerError::NobodyListens)?;
        result?;
        if engine.is_spent() {
            break;
        }
    }
    Ok(())
}

/// Looks at all of a batch, as many at once as the detector takes: what it says of each job, and how often the network ran.
fn look(engine: &mut Instance, jobs: &[Job]) -> (Vec<Option<Reading>>, u64, Result<(), WorkerError>) {
    let clips: Vec<_> = jobs.iter().flat_map(|job| if let Look::Clips(clips) = &job.look { &clips[..] } else { &[] }).collect();
    let views: Vec<_> = jobs
        .iter()
        .filter_map(|job| match &job.look {
            Look::Picture { frame, region } => Some(View { frame, region: *region }),
            Look::Clips(_) => None,
        })
        .collect();
    let most = engine.max_batch();
    let (mut runs, mut result) = (0, Ok(()));
    let mut keep = |(output, outcome): (Option<Output>, Result<(), WorkerError>), count: usize| {
        runs += 1;
        if outcome.is_err() {
            result = outcome;
        }
        spread(output, count)
    };
    let mut seen: Vec<_> = views.chunks(most).flat_map(|views| keep(engine.detect(views), views.len())).collect();
    seen.reverse();
    let mut watched: Vec<_> = clips.chunks(most).flat_map(|clips| keep(engine.watch(clips), clips.len())).collect();
    watched.reverse();
    let readings = jobs.iter().map(|job| match &job.look {
        Look::Picture { .. } => seen.pop().flatten(),
        Look::Clips(clips) => together(clips.iter().filter_map(|_| watched.pop().flatten())),
    });
    (readings.collect(), runs, result)
}

/// One reading per view; none of them where the run failed.
fn spread(output: Option<Output>, count: usize) -> Vec<Option<Reading>> {
    let Some(output) = output else { return vec![None; count] };
    if output.readings.is_empty() {
        let mut extras = output.extras.into_iter();
        let boxes = |detections| {
            let mut boxes = Boxes { detections, extras: extras.next().unwrap_or_default() };
            boxes.extras.sift();
            Some(Reading::Boxes(boxes))
        };
        return output.detections.into_iter().map(boxes).collect();
    }
    output.readings.into_iter().map(Some).collect()
}

/// What the clips of one span say together: the mean of their scores, else what the last one says.
fn together(readings: impl Iterator<Item = Reading>) -> Option<Reading> {
    let (mut scores, mut last) = (Vec::new(), None);
    for reading in readings {
        if let Reading::Scores(of_one) = &reading {
            scores.push(of_one.clone());
        }
        last = Some(reading);
    }
    Scores::mean(&scores).map(Reading::Scores).or(last)
}
