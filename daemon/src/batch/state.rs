//! The batcher without its lock, its threads and its clock: what tests and simulations drive with a time of their own.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar},
    time::{Duration, Instant},
};

use super::{
    Counts, Limits, Outcome, Step, StreamSettings, Work,
    cost::Costs,
    policy::{self, Decision},
    stream::{Admission, Producer, Stream},
};
use crate::media::{Batch, Frame, Mark, StreamId};

/// What a free engine gets.
#[derive(Debug)]
pub(super) enum Poll {
    Take(Work),
    WaitUntil(Instant),
    Idle,
    /// Closed and drained.
    Finished,
}

#[derive(Debug)]
pub(super) struct State {
    limits: Limits,
    /// By rising number.
    streams: Vec<Stream>,
    /// What streams that are gone have counted.
    retired: Counts,
    costs: Costs,
    steps: VecDeque<Step>,
    /// Whether the latest work was a step: a batch that is ready then goes first.
    stepped: bool,
    /// The start tag of the latest frame that was taken (start-time fair queueing, Goyal et al. 1996).
    virtual_time: f64,
    next_batch: u64,
    /// The share of live cameras' frames that are looked at.
    share: f64,
    closed: bool,
}

impl State {
    pub(super) fn new(limits: Limits) -> Self {
        let limits = Limits { max_batch: limits.max_batch.max(1), instances: limits.instances.max(1), ..limits };
        Self {
            limits,
            streams: Vec::new(),
            retired: Counts::default(),
            costs: Costs::new(limits.max_batch),
            steps: VecDeque::new(),
            stepped: false,
            virtual_time: 0.0,
            next_batch: 0,
            share: 1.0,
            closed: false,
        }
    }

    pub(super) fn add(&mut self, id: StreamId, settings: StreamSettings, room: Arc<Condvar>, now: Instant) {
        let at = self.streams.partition_point(|stream| stream.id <= id);
        let mut stream = Stream::new(id, settings, room, now);
        stream.share = self.share;
        self.streams.insert(at, stream);
    }

    pub(super) fn set_share(&mut self, share: f64) {
        self.share = share;
        self.streams.iter_mut().for_each(|stream| stream.share = share);
    }

    pub(super) fn stream(&mut self, number: u32) -> Option<&mut Stream> {
        let at = self.streams.binary_search_by_key(&number, |stream| stream.id.number()).ok()?;
        self.streams.get_mut(at)
    }

    pub(super) fn offer(&mut self, number: u32, frame: Frame, still: bool, now: Instant) -> Admission {
        let closed = self.closed;
        match self.stream(number) {
            Some(stream) => stream.admit(frame, still, now, closed),
            None => Admission::Refused(frame),
        }
    }

    /// What a free engine would get, without taking it.
    pub(super) fn decide(&self, now: Instant) -> Decision {
        policy::decide(now, self.streams.iter().map(Stream::camera), &self.limits, self.costs.model(), self.closed)
    }

    /// When an engine with nothing to do looks again by itself.
    pub(super) fn foresee(&self, now: Instant) -> Option<Instant> {
        policy::foresee(now, self.streams.iter().map(Stream::camera), &self.limits, self.costs.model())
    }

    /// Serves a free engine. Frames in `discard` are to be dropped outside the lock.
    pub(super) fn poll(&mut self, now: Instant, discard: &mut Vec<Frame>) -> Poll {
        for stream in &mut self.streams {
            stream.drop_stale(now, self.limits.staleness, discard);
        }
        let decision = self.decide(now);
        let batch_first = self.stepped && matches!(decision, Decision::Dispatch(_));
        if !batch_first && let Some(step) = self.steps.pop_front() {
            self.stepped = true;
            return Poll::Take(Work::Step(step));
        }
        match decision {
            Decision::Dispatch(frames) => {
                self.stepped = false;
                Poll::Take(Work::Batch(self.take(frames, now)))
            }
            Decision::WaitUntil(until) => Poll::WaitUntil(until),
            Decision::Idle if self.closed => Poll::Finished,
            Decision::Idle => Poll::Idle,
        }
    }

    /// Takes frames in the order of the streams' turns.
    fn take(&mut self, count: usize, now: Instant) -> Batch {
        let mut frames = Vec::with_capacity(count);
        while frames.len() < count {
            let time = self.virtual_time;
            let turns = self.streams.iter_mut().filter_map(|stream| stream.turn(time).map(|turn| (turn, stream)));
            let Some(((start, _), stream)) = turns.min_by(|(a, _), (b, _)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))) else {
                break;
            };
            let Some(mut frame) = stream.take(start) else { break };
            self.virtual_time = time.max(start);
            frame.times.stamp(Mark::Dispatched, now);
            frames.push(frame);
        }
        let seq = self.next_batch;
        self.next_batch += 1;
        Batch { seq, frames }
    }

    pub(super) fn batches(&self) -> u64 {
        self.next_batch
    }

    pub(super) fn finished(&mut self, frames: &[Frame], outcome: Outcome, took: Duration, now: Instant) {
        let mut leaving = false;
        for frame in frames {
            if let Some(stream) = self.stream(frame.stream.number()) {
                stream.finished(outcome);
                leaving |= stream.producer == Producer::Gone;
            }
        }
        if outcome == Outcome::Inferred {
            self.costs.record(now, frames.len(), took);
        }
        if leaving {
            self.retire();
        }
    }

    pub(super) fn leave(&mut self, number: u32, discard: &mut Vec<Frame>) {
        if let Some(stream) = self.stream(number) {
            stream.leave(discard);
        }
        self.retire();
    }

    fn retire(&mut self) {
        let retired = &mut self.retired;
        self.streams.retain(|stream| {
            let gone = stream.gone();
            if gone {
                *retired += stream.counts();
            }
            !gone
        });
    }

    /// The producers that have room again.
    pub(super) fn release(&mut self) -> Vec<Arc<Condvar>> {
        self.streams.iter_mut().filter_map(|stream| stream.release().then(|| Arc::clone(&stream.room))).collect()
    }

    pub(super) fn push_step(&mut self, step: Step) -> Result<(), Step> {
        if self.closed || self.steps.len() >= 2 * self.limits.instances {
            return Err(step);
        }
        self.steps.push_back(step);
        Ok(())
    }

    pub(super) fn has_steps(&self) -> bool {
        !self.steps.is_empty()
    }

    /// No frame comes any more; what waits is taken.
    pub(super) fn close(&mut self) -> Vec<Arc<Condvar>> {
        self.closed = true;
        self.streams.iter().map(|stream| stream.room.clone()).collect()
    }

    pub(super) fn closed(&self) -> bool {
        self.closed
    }

    pub(super) fn counts(&self) -> Vec<(StreamId, Counts)> {
        self.streams.iter().map(|stream| (stream.id.clone(), stream.counts())).collect()
    }

    pub(super) fn retired(&self) -> Counts {
        self.retired
    }
}
