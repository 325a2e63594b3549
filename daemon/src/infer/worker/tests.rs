//! The loop with a real batcher, and detectors that do as they are told.

use std::{
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::{Duration, SystemTime},
};

use super::*;
use crate::{
    batch::{Limits, Mode, Region, Slot, StreamSettings},
    infer::Null,
    life::Progress,
    media::{BBox, Capture, Frame, Pixels, StreamId, TimeBasis, TimeCard, TrackId},
};

/// What the next calls do; afterwards it works.
enum Act {
    Fail,
    Lose,
    Panic,
    Forget,
}

struct Actor {
    null: Null,
    acts: Vec<Act>,
    views: SyncSender<usize>,
}

impl Detector for Actor {
    fn spec(&self) -> &Arc<ModelInfo> {
        self.null.spec()
    }

    fn max_batch(&self) -> usize {
        self.null.max_batch()
    }

    fn detect(&mut self, views: &[View<'_>]) -> Result<Output, DetectError> {
        self.views.send(views.len()).unwrap();
        match self.acts.pop() {
            None => self.null.detect(views),
            Some(Act::Lose) => Err(DetectError::Lost { runtime: "null".into(), views: views.len(), reason: "error 700".into() }),
            Some(Act::Fail) => Err(DetectError::Output { model: "null".into(), reason: "NaN".into() }),
            Some(Act::Panic) => panic!("out of cheese"),
            Some(Act::Forget) => Ok(Output {
                detections: Vec::new(),
                extras: Vec::new(),
                readings: Vec::new(),
                prepared: Instant::now(),
                device: None,
            }),
        }
    }
}

fn frame(stream: &StreamId) -> Frame {
    let capture = Capture { wall: SystemTime::UNIX_EPOCH, basis: TimeBasis::Arrival };
    let mut times = TimeCard::received(Instant::now());
    times.stamp(Mark::Decoded, Instant::now());
    let pixels = Pixels::None { width: 640, height: 480 };
    Frame { stream: stream.clone(), seq: 0, dispatch: 0, pts: Duration::ZERO, capture, pixels, times }
}

struct Rig {
    batcher: Arc<Batcher>,
    slot: Slot,
    stream: StreamId,
    results: Receiver<ToTrack>,
    views: Receiver<usize>,
    progress: Arc<Progress>,
    worker: thread::JoinHandle<Result<(), WorkerError>>,
}

fn rig(acts: Vec<Act>) -> Rig {
    let limits = Limits { max_batch: 4, max_wait: Duration::ZERO, staleness: Duration::from_mins(1), instances: 1 };
    let batcher = Batcher::new(limits);
    let stream = StreamId::new(1, "door");
    let settings = StreamSettings::new(Mode::EveryFrame { queue: 64 });
    let slot = batcher.add(stream.clone(), settings);
    let (out, results) = sync_channel(64);
    let (views_in, views) = sync_channel(64);
    let progress = Progress::new();
    let (stage, of) = (progress.stage("infer"), batcher.clone());
    let detector = Box::new(Actor { null: Null::new("null", vec!["person".into()], 4, 3), acts, views: views_in });
    let worker = thread::spawn(move || worker(&of, detector, &out, &stage));
    Rig { batcher, slot, stream, results, views, progress, worker }
}

impl Rig {
    fn inferred(&self) -> Inferred {
        match self.results.recv().unwrap() {
            ToTrack::Inferred(inferred) => inferred,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_batch_passes_with_its_marks_and_counts() {
    let rig = rig(Vec::new());
    assert!(rig.slot.offer(frame(&rig.stream)));
    let inferred = rig.inferred();
    assert!(!inferred.failed);
    assert_eq!(inferred.detections.len(), inferred.batch.frames.len());
    assert_eq!(inferred.detections[0].len(), 3);
    assert!(inferred.batch.frames[0].times.stages()[..4].iter().all(Option::is_some));
    assert_eq!(rig.batcher.total().inferred, 1);
    rig.batcher.close();
    rig.worker.join().unwrap().unwrap();
    assert!(rig.progress.ticks().is_empty(), "the stage has left the books");
}

#[test]
fn a_failure_is_passed_on_as_one_and_the_next_batch_works() {
    let rig = rig(vec![Act::Forget, Act::Fail]);
    for failed in [true, true, false] {
        assert!(rig.slot.offer(frame(&rig.stream)));
        let inferred = rig.inferred();
        assert_eq!(inferred.failed, failed);
        assert_eq!(inferred.detections[0].is_empty(), failed);
    }
    let counts = rig.batcher.total();
    assert_eq!((counts.inferred, counts.dropped.engine_error, counts.in_flight), (1, 2, 0));
    rig.batcher.close();
    rig.worker.join().unwrap().unwrap();
}

#[test]
fn a_panic_ends_the_instance_and_loses_no_frame_unseen() {
    let rig = rig(vec![Act::Panic]);
    assert!(rig.slot.offer(frame(&rig.stream)));
    assert!(rig.inferred().failed);
    let error = rig.worker.join().unwrap().unwrap_err();
    assert!(matches!(&error, WorkerError::Panicked { reason, .. } if reason == "out of cheese"), "{error}");
    assert_eq!(rig.batcher.total().dropped.engine_error, 1);
}

#[test]
fn failing_for_ever_is_an_error() {
    let rig = rig((0..MAX_FAILURES).map(|_| Act::Fail).collect());
    for _ in 0..MAX_FAILURES {
        assert!(rig.slot.offer(frame(&rig.stream)));
        assert!(rig.inferred().failed);
    }
    assert!(matches!(rig.worker.join().unwrap().unwrap_err(), WorkerError::Failing { .. }));
}

/// What cannot go on is not tried again: the batch counts as failed, and the process ends for systemd to start it anew.
#[test]
fn a_lost_device_ends_the_instance_at_once() {
    let rig = rig(vec![Act::Lose]);
    assert!(rig.slot.offer(frame(&rig.stream)));
    assert!(rig.inferred().failed);
    let error = rig.worker.join().unwrap().unwrap_err();
    assert!(matches!(&error, WorkerError::Lost { .. }) && error.to_string().contains("error 700"), "{error}");
    assert_eq!(rig.batcher.total().dropped.engine_error, 1);
}

#[test]
fn a_step_looks_at_regions_in_batches_and_comes_back_whole() {
    let rig = rig(Vec::new());
    assert!(rig.slot.offer(frame(&rig.stream)));
    let batch = rig.inferred().batch;
    assert_eq!(rig.views.recv().unwrap(), 1);
    let bbox = BBox::new(0.0, 0.0, 10.0, 10.0);
    let regions = (0..6).map(|i| Region { frame: 0, track: TrackId(i), bbox }).collect();
    rig.batcher.push_step(Step { batch, regions }).unwrap();
    let ToTrack::Stepped(stepped) = rig.results.recv().unwrap() else { panic!("no step") };
    assert_eq!(stepped.step.batch.frames.len(), 1);
    assert_eq!(stepped.detections.map(|d| d.len()), Some(6));
    assert_eq!([rig.views.recv().unwrap(), rig.views.recv().unwrap()], [4, 2]);
    let regions = vec![Region { frame: 1, track: TrackId(9), bbox }];
    rig.batcher.push_step(Step { batch: stepped.step.batch, regions }).unwrap();
    let ToTrack::Stepped(stepped) = rig.results.recv().unwrap() else { panic!("no step") };
    assert!(stepped.detections.is_none());
    rig.batcher.close();
    rig.worker.join().unwrap().unwrap();
}

#[test]
fn results_that_nobody_takes_end_the_instance() {
    let Rig { batcher: _batcher, slot, stream, results, worker, views: _views, progress: _progress } = rig(Vec::new());
    drop(results);
    assert!(slot.offer(frame(&stream)));
    assert!(matches!(worker.join().unwrap(), Err(WorkerError::NobodyListens)));
}
