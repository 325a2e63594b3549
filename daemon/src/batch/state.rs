//! The batcher without its lock, its threads and its clock: what tests and simulations drive with a time of their own.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar},
    time::{Duration, Instant},
};

use super::{
    Counts, Limits, Outcome, Place, Queues, Step, StreamSettings, Work,
    bind::{self, Load},
    cost::Costs,
    policy::{self, Camera, Decision},
    seat::{self, Doing, Engine, Other, Seat},
    stream::{Admission, Producer, Stream},
};
use crate::media::{Batch, Frame, Mark, StreamId};

/// So often a camera may get another place, where queues are bound to devices.
const MOVE_EVERY: Duration = Duration::from_secs(1);

/// How long work is left to an engine that was never tried, before it is looked at again.
const TRIAL: Duration = Duration::from_millis(20);

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
    queues: Queues,
    /// Who takes work, by their numbers, and what does it.
    seats: Vec<Seat>,
    engines: Vec<Engine>,
    /// When cameras were last looked at for a better place.
    moved: Option<Instant>,
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
    pub(super) fn new(limits: Limits, queues: Queues) -> Self {
        let limits = Limits { max_batch: limits.max_batch.max(1), instances: limits.instances.max(1), ..limits };
        Self {
            limits,
            streams: Vec::new(),
            retired: Counts::default(),
            queues,
            seats: Vec::new(),
            engines: Vec::new(),
            moved: None,
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
        stream.group = self.emptiest();
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

    /// What a free instance would get, without taking it.
    pub(super) fn decide(&self, seat: usize, now: Instant) -> Decision {
        let cost = self.engine(seat).map(|engine| *engine.costs.model()).unwrap_or_default();
        let (own, limits) = (self.group_of(seat), &self.limits);
        let decide = || policy::decide(now, self.cameras(own), limits, &cost, self.closed);
        let allowed = if self.closed { Ok(limits.max_batch) } else { self.allowed(seat, now) };
        match (allowed, decide()) {
            (Ok(most), Decision::Dispatch(count)) => Decision::Dispatch(count.min(most)),
            // As long as nothing waits there is nothing to leave to others.
            (_, Decision::Idle) => Decision::Idle,
            (Ok(_), wait @ Decision::WaitUntil(_)) => wait,
            (Err(later), _) => Decision::WaitUntil(now + later),
        }
    }

    /// When an instance with nothing to do looks again by itself.
    pub(super) fn foresee(&self, seat: usize, now: Instant) -> Option<Instant> {
        let cost = self.engine(seat).map(|engine| *engine.costs.model()).unwrap_or_default();
        policy::foresee(now, self.cameras(self.group_of(seat)), &self.limits, &cost)
    }

    /// Serves a free instance. Frames in `discard` are to be dropped outside the lock.
    pub(super) fn poll(&mut self, seat: usize, now: Instant, discard: &mut Vec<Frame>) -> Poll {
        self.sit(seat, now);
        self.seats[seat].doing = Doing::Waits;
        for stream in &mut self.streams {
            stream.drop_stale(now, self.limits.staleness, discard);
        }
        self.rebind(now);
        let decision = self.decide(seat, now);
        let batch_first = self.stepped && matches!(decision, Decision::Dispatch(_));
        if !batch_first && let Some(step) = self.steps.pop_front() {
            self.stepped = true;
            self.seats[seat].doing = Doing::Works { until: now };
            return Poll::Take(Work::Step(step));
        }
        match decision {
            Decision::Dispatch(frames) => {
                self.stepped = false;
                let batch = self.take(self.group_of(seat), frames, now);
                let engine = self.seats[seat].engine;
                let took = self.engines[engine].costs.estimate().map_or(0.0, |cost| cost.at(batch.frames.len()));
                let took = Duration::from_secs_f64(took + self.ready(engine, now).0);
                self.seats[seat].doing = Doing::Works { until: now + took };
                Poll::Take(Work::Batch(batch))
            }
            Decision::WaitUntil(until) => Poll::WaitUntil(until),
            Decision::Idle if self.closed => Poll::Finished,
            Decision::Idle => Poll::Idle,
        }
    }

    /// Makes sure of an instance of that number.
    fn sit(&mut self, seat: usize, now: Instant) {
        while self.seats.len() <= seat {
            self.join(Place::default(), now);
        }
    }

    /// A new instance: its number.
    pub(super) fn join(&mut self, place: Place, now: Instant) -> usize {
        let known = |engine: &Engine| engine.group == place.device && engine.name.is_some() && engine.name == place.engine;
        let engine = self.engines.iter().position(known).unwrap_or(self.engines.len());
        if engine == self.engines.len() {
            self.engines.push(Engine { group: place.device, name: place.engine, costs: Costs::new(self.limits.max_batch) });
        }
        self.seats.push(Seat { engine, doing: Doing::Back { since: now } });
        self.seats.len() - 1
    }

    /// An instance that will not ask again.
    pub(super) fn quit(&mut self, seat: usize) {
        if let Some(seat) = self.seats.get_mut(seat) {
            seat.doing = Doing::Gone;
        }
    }

    /// Engines that somebody still works with, and their numbers.
    fn manned(&self) -> impl Iterator<Item = (usize, &Engine)> + Clone {
        let manned = |engine: usize| self.seats.iter().any(|seat| seat.engine == engine && seat.doing != Doing::Gone);
        self.engines.iter().enumerate().filter(move |(i, _)| manned(*i))
    }

    fn engine(&self, seat: usize) -> Option<&Engine> {
        self.engines.get(self.seats.get(seat)?.engine)
    }

    /// When an engine is free, and whether it waits for work.
    fn ready(&self, engine: usize, now: Instant) -> (f64, bool) {
        seat::ready(self.seats.iter().filter(move |seat| seat.engine == engine).map(|seat| seat.doing), now)
    }

    /// Of these free instances the one that is to be woken: the fastest for what waits that may take of it, or that wants to look again
    /// before `alarm` of its group, the next time at which one of them does by itself.
    pub(super) fn call(
        &self,
        free: impl Iterator<Item = usize>,
        alarm: impl Fn(usize) -> Option<Instant>,
        now: Instant,
    ) -> Option<usize> {
        let speed = |seat: usize| {
            let waiting = self.cameras(self.group_of(seat)).map(|camera| camera.waiting).sum::<usize>();
            let size = waiting.clamp(1, self.limits.max_batch);
            // One of which nothing is known yet is tried first.
            let cost = self.engine(seat).and_then(|engine| engine.costs.estimate());
            cost.map_or(0.0, |cost| cost.at(size) + self.ready(self.seats[seat].engine, now).0)
        };
        let mut free: Vec<usize> = free.collect();
        if free.len() > 1 && self.engines.len() > 1 {
            free.sort_by(|a, b| speed(*a).total_cmp(&speed(*b)));
        }
        if self.has_steps() {
            return free.first().copied();
        }
        let mut asked = Vec::new();
        free.into_iter().find(|seat| {
            let group = self.group_of(*seat);
            if asked.contains(&group) {
                return false;
            }
            match self.decide(*seat, now) {
                Decision::Dispatch(_) => true,
                Decision::WaitUntil(until) => {
                    // A slower one has no better reason to go now than this one, unless this one leaves it to others.
                    asked.extend((self.closed || self.allowed(*seat, now).is_ok()).then_some(group));
                    alarm(group).is_none_or(|at| until < at)
                }
                Decision::Idle => self.closed,
            }
        })
    }

    pub(super) fn group_of(&self, seat: usize) -> usize {
        self.engine(seat).map_or(0, |engine| engine.group)
    }

    /// Of each engine whether its cost is known.
    #[cfg(test)]
    pub(super) fn known_engines(&self) -> Vec<bool> {
        self.engines.iter().map(|engine| engine.costs.estimate().is_some()).collect()
    }

    /// Whether there are several engines, each with its own cost.
    pub(super) fn is_shared_out(&self) -> bool {
        self.engines.len() > 1
    }

    /// Whether everybody takes from all cameras: at the end those that are left help each other.
    fn is_shared(&self) -> bool {
        self.queues == Queues::Shared || self.closed
    }

    /// The cameras whose frames instances of that group take.
    fn cameras(&self, group: usize) -> impl Iterator<Item = Camera> + Clone {
        let shared = self.is_shared();
        self.streams.iter().filter(move |stream| shared || stream.group == group).map(Stream::camera)
    }

    /// The engines whose seats take from the same queue as this one, as far as their cost is known.
    fn others(&self, seat: usize, now: Instant) -> impl Iterator<Item = Other> + Clone {
        let (shared, group, own) = (self.is_shared(), self.group_of(seat), self.seats.get(seat).map(|seat| seat.engine));
        let rest = self.manned().filter(move |(i, other)| Some(*i) != own && (shared || other.group == group));
        rest.filter_map(move |(i, other)| {
            let estimate = other.costs.estimate()?;
            let (ready, waits) = self.ready(i, now);
            Some(Other { ready, waits, estimate })
        })
    }

    /// The most that an instance may take, or when it is to ask again.
    fn allowed(&self, seat: usize, now: Instant) -> Result<usize, Duration> {
        let all = Ok(self.limits.max_batch);
        let Some(own) = self.engine(seat).filter(|_| self.engines.len() > 1) else { return all };
        let Some(estimate) = own.costs.estimate() else { return all };
        if self.untried(own.group, now) {
            return Err(TRIAL);
        }
        let cameras = || self.cameras(own.group);
        let waiting: usize = cameras().map(|camera| camera.waiting).sum();
        // Files are in no hurry: every batch of theirs is a gain.
        let files = cameras().any(|camera| camera.every_frame && camera.waiting > 0);
        let rate: f64 = cameras().filter_map(|camera| Some(1.0 / camera.period?.as_secs_f64().max(1e-6))).sum();
        let cohort = cameras().count().clamp(1, self.limits.max_batch);
        let keep_up = !files && seat::keep_up(self.others(seat, now), cohort, rate);
        let begins = self.ready(self.seats[seat].engine, now).0;
        match seat::allowance((&estimate, begins), &self.others(seat, now), (waiting, self.limits.max_batch), keep_up) {
            Err(_) if own.is_forgotten(now) => Ok(1),
            allowed => allowed,
        }
    }

    /// Whether an engine of the same queue waits that nobody knows the cost of: it goes first.
    fn untried(&self, group: usize, now: Instant) -> bool {
        let shared = self.is_shared();
        let mut unknown = self.manned().filter(|(_, engine)| engine.costs.estimate().is_none());
        unknown.any(|(i, engine)| (shared || engine.group == group) && self.ready(i, now).1)
    }

    /// Frames a second that each group can do.
    fn capacities(&self) -> Vec<f64> {
        let groups = self.engines.iter().map(|engine| engine.group + 1).max().unwrap_or(1);
        let of =
            |engine: &Engine| engine.costs.estimate().map(|cost| self.limits.max_batch as f64 / cost.at(self.limits.max_batch));
        // What is not known yet is as good as the others.
        let known: Vec<f64> = self.manned().filter_map(|(_, engine)| of(engine)).collect();
        let usual = if known.is_empty() { 1.0 } else { known.iter().sum::<f64>() / known.len() as f64 };
        let within = |group| self.manned().map(|(_, engine)| engine).filter(move |engine| engine.group == group);
        (0..groups).map(|group| within(group).map(|engine| of(engine).unwrap_or(usual)).sum::<f64>().max(1e-6)).collect()
    }

    fn loads(&self) -> Vec<Load> {
        let rate = |stream: &Stream| stream.camera().period.map_or(1.0, |period| 1.0 / period.as_secs_f64().max(1e-6));
        self.streams.iter().map(|stream| Load { rate: rate(stream), group: stream.group }).collect()
    }

    /// The group that a new camera goes to.
    fn emptiest(&self) -> usize {
        if self.queues == Queues::Shared {
            return 0;
        }
        let (loads, capacities) = (self.loads(), self.capacities());
        let load = |group: usize| loads.iter().filter(|l| l.group == group).map(|l| l.rate).sum::<f64>() / capacities[group];
        (0..capacities.len()).min_by(|a, b| load(*a).total_cmp(&load(*b))).unwrap_or(0)
    }

    /// Gives one camera a better place, once a second at most.
    fn rebind(&mut self, now: Instant) {
        if self.queues == Queues::Shared || self.moved.is_some_and(|at| now.saturating_duration_since(at) < MOVE_EVERY) {
            return;
        }
        self.moved = Some(now);
        if let Some((camera, to)) = bind::next_move(&self.loads(), &self.capacities()) {
            self.streams[camera].group = to;
        }
    }

    /// Takes frames in the order of the streams' turns.
    fn take(&mut self, group: usize, count: usize, now: Instant) -> Batch {
        let mut frames = Vec::with_capacity(count);
        let shared = self.is_shared();
        while frames.len() < count {
            let time = self.virtual_time;
            let streams = self.streams.iter_mut().filter(|stream| shared || stream.group == group);
            let turns = streams.filter_map(|stream| stream.turn(time).map(|turn| (turn, stream)));
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

    pub(super) fn finished(&mut self, seat: usize, frames: &[Frame], outcome: Outcome, took: Duration, now: Instant) {
        let mut leaving = false;
        for frame in frames {
            if let Some(stream) = self.stream(frame.stream.number()) {
                stream.finished(outcome);
                leaving |= stream.producer == Producer::Gone;
            }
        }
        self.sit(seat, now);
        let Seat { engine, doing } = &mut self.seats[seat];
        *doing = Doing::Back { since: now };
        if outcome == Outcome::Inferred {
            self.engines[*engine].costs.record(now, frames.len(), took);
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
