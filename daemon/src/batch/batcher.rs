//! The batcher as threads see it: one mutex, and as few wake-ups as can be, for they are what costs.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    Counts, Limits, Outcome, Place, Queues, Slot, Step, StreamSettings, Work,
    state::{Poll, State},
    stream::{Admission, Producer},
};
use crate::{
    gate::Activity,
    media::{Frame, StreamId},
};

/// Gathers the frames of the cameras of one model for its engine instances.
#[derive(Debug)]
pub struct Batcher {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// How each instance waits in [`Batcher::next_for`].
    waits: Vec<Wait>,
    /// The instants at which instances look again by themselves, and whose they are: of each group the earliest.
    alarms: Vec<Alarm>,
    next_alarm: u64,
}

#[derive(Debug)]
struct Alarm {
    at: Instant,
    token: u64,
    group: usize,
}

/// The waiting of one instance.
#[derive(Debug, Default)]
struct Wait {
    work: Arc<Condvar>,
    /// Threads that wait: one, if each instance has a thread.
    waiting: usize,
    /// Those of them that have been notified and have not run yet.
    woken: usize,
}

impl Inner {
    /// The instance that is to be notified, if any: only if the policy's answer became "dispatch", or the next look moved forward, and
    /// none is on its way already.
    fn wake_needed(&mut self, now: Instant) -> Option<Arc<Condvar>> {
        if self.waits.iter().any(|wait| wait.woken > 0) {
            return None;
        }
        let free = self.waits.iter().enumerate().filter(|(_, wait)| wait.waiting > 0).map(|(seat, _)| seat);
        let alarm = |group: usize| self.alarms.iter().filter(|alarm| alarm.group == group).map(|alarm| alarm.at).min();
        let seat = self.state.call(free, alarm, now)?;
        let wait = &mut self.waits[seat];
        wait.woken += 1;
        Some(Arc::clone(&wait.work))
    }

    fn wait_of(&mut self, seat: usize) -> &mut Wait {
        if self.waits.len() <= seat {
            self.waits.resize_with(seat + 1, Wait::default);
        }
        &mut self.waits[seat]
    }

    fn all(&self) -> Vec<Arc<Condvar>> {
        self.waits.iter().map(|wait| Arc::clone(&wait.work)).collect()
    }
}

impl Batcher {
    /// A batcher without streams, with one queue.
    pub fn new(limits: Limits) -> Arc<Self> {
        Self::with_queues(limits, Queues::Shared)
    }

    /// A batcher without streams.
    pub fn with_queues(limits: Limits, queues: Queues) -> Arc<Self> {
        let inner = Inner { state: State::new(limits, queues), waits: Vec::new(), alarms: Vec::new(), next_alarm: 0 };
        Arc::new(Self { inner: Mutex::new(inner) })
    }

    /// A new instance, for [`Self::next_for`] and [`Self::finished_by`]: its number. What batches cost is learnt for each engine.
    pub fn join(&self, place: Place) -> usize {
        self.lock().state.join(place, Instant::now())
    }

    /// An instance ends: the others count on it no more.
    pub fn quit(&self, seat: usize) {
        let mut inner = self.lock();
        inner.state.quit(seat);
        Self::unlock(inner);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a stream. Its number must not be in use.
    pub fn add(self: &Arc<Self>, stream: StreamId, settings: StreamSettings) -> Slot {
        let room = Arc::new(Condvar::new());
        self.lock().state.add(stream.clone(), settings, Arc::clone(&room), Instant::now());
        Slot::new(Arc::clone(self), stream, room)
    }

    /// Changes how a stream is treated, while it runs.
    pub fn configure(&self, stream: &StreamId, settings: StreamSettings) {
        let mut discard = Vec::new();
        let mut inner = self.lock();
        if let Some(stream) = inner.state.stream(stream.number()) {
            stream.configure(settings, &mut discard);
        }
        let rooms = inner.state.release();
        Self::unlock(inner);
        wake(&rooms);
    }

    /// From now on this share of the frames of each live camera is looked at, 0..1, of those that its caps let pass; what is left out counts as dropped,
    /// reason `throttled`. No camera falls below two frames a second by it. Files keep every frame.
    pub fn set_share(&self, share: f64) {
        self.lock().state.set_share(share);
    }

    pub(super) fn offer(&self, number: u32, frame: Frame, still: bool, room: &Condvar) -> bool {
        let mut inner = self.lock();
        let mut frame = frame;
        loop {
            let now = Instant::now();
            match inner.state.offer(number, frame, still, now) {
                Admission::Waits(replaced) => {
                    Self::unlock_at(inner, now);
                    drop(replaced);
                    return true;
                }
                Admission::Skipped(skipped) => {
                    drop(inner);
                    drop(skipped);
                    return true;
                }
                Admission::Refused(refused) => {
                    drop(inner);
                    drop(refused);
                    return false;
                }
                Admission::Full(kept) => {
                    frame = kept;
                    inner = Self::hold(inner, number, room, now);
                }
            }
        }
    }

    /// Makes a producer wait until it is released.
    fn hold<'a>(mut inner: MutexGuard<'a, Inner>, number: u32, room: &Condvar, now: Instant) -> MutexGuard<'a, Inner> {
        if let Some(stream) = inner.state.stream(number) {
            stream.producer = Producer::Held;
        }
        // An engine that gathers hears that nothing more can come.
        if let Some(work) = inner.wake_needed(now) {
            work.notify_one();
        }
        let held = |inner: &mut Inner| {
            !inner.state.closed() && inner.state.stream(number).is_some_and(|stream| stream.producer == Producer::Held)
        };
        room.wait_while(inner, held).unwrap_or_else(PoisonError::into_inner)
    }

    /// Unlocks, and wakes an engine if there is something for it.
    fn unlock(inner: MutexGuard<'_, Inner>) {
        Self::unlock_at(inner, Instant::now());
    }

    fn unlock_at(mut inner: MutexGuard<'_, Inner>, now: Instant) {
        let work = inner.wake_needed(now);
        drop(inner);
        if let Some(work) = work {
            work.notify_one();
        }
    }

    pub(super) fn interrupt(&self, number: u32) {
        if let Some(stream) = self.lock().state.stream(number) {
            stream.producer = Producer::Interrupted;
        }
    }

    pub(super) fn leave(&self, number: u32) {
        let mut discard = Vec::new();
        let mut inner = self.lock();
        inner.state.leave(number, &mut discard);
        Self::unlock(inner);
    }

    /// The next piece of work for the only engine, or for one of several that are alike; waits for it. `None` once the batcher is closed
    /// and drained.
    pub fn next(&self) -> Option<Work> {
        self.next_for(0)
    }

    /// The next piece of work for a free instance; waits for it. `None` once the batcher is closed and drained.
    pub fn next_for(&self, seat: usize) -> Option<Work> {
        let mut discard = Vec::new();
        let mut inner = self.lock();
        loop {
            let now = Instant::now();
            match inner.state.poll(seat, now, &mut discard) {
                Poll::Take(work) => {
                    let rooms = inner.state.release();
                    Self::unlock_at(inner, now);
                    wake(&rooms);
                    return Some(work);
                }
                Poll::Finished => {
                    let all = inner.all();
                    drop(inner);
                    for work in &all {
                        work.notify_all();
                    }
                    return None;
                }
                // Surfaces go back to their decoders before the wait, and not under the lock.
                Poll::WaitUntil(_) | Poll::Idle if !discard.is_empty() => {
                    drop(inner);
                    discard.clear();
                    inner = self.lock();
                }
                Poll::WaitUntil(until) => inner = Self::wait(inner, seat, Some(until), now),
                Poll::Idle => {
                    let until = inner.state.foresee(seat, now);
                    inner = Self::wait(inner, seat, until, now);
                }
            }
        }
    }

    /// The next piece of work if there is any now: for those who put frames in and take work out on one thread.
    pub fn try_next(&self) -> Option<Work> {
        let (now, mut discard) = (Instant::now(), Vec::new());
        let mut inner = self.lock();
        let poll = inner.state.poll(0, now, &mut discard);
        let rooms = inner.state.release();
        drop(inner);
        wake(&rooms);
        match poll {
            Poll::Take(work) => Some(work),
            Poll::WaitUntil(_) | Poll::Idle | Poll::Finished => None,
        }
    }

    fn wait(mut inner: MutexGuard<'_, Inner>, seat: usize, until: Option<Instant>, now: Instant) -> MutexGuard<'_, Inner> {
        let group = inner.state.group_of(seat);
        let sooner = |inner: &Inner, until: &Instant| inner.alarms.iter().all(|alarm| alarm.group != group || *until < alarm.at);
        let until = until.filter(|until| sooner(&inner, until));
        let token = inner.next_alarm;
        let wait = inner.wait_of(seat);
        wait.waiting += 1;
        let work = Arc::clone(&wait.work);
        if let Some(at) = until {
            inner.next_alarm += 1;
            inner.alarms.push(Alarm { at, token, group });
        }
        // What this one leaves to a faster one that waits too.
        if inner.state.is_shared_out()
            && let Some(work) = inner.wake_needed(now)
        {
            work.notify_one();
        }
        inner = if let Some(until) = until {
            let timeout = until.saturating_duration_since(now);
            work.wait_timeout(inner, timeout).unwrap_or_else(PoisonError::into_inner).0
        } else {
            work.wait(inner).unwrap_or_else(PoisonError::into_inner)
        };
        let wait = inner.wait_of(seat);
        wait.waiting -= 1;
        wait.woken = wait.woken.saturating_sub(1);
        inner.alarms.retain(|alarm| alarm.token != token);
        inner
    }

    /// Says that a batch of [`Self::next`] is done: its frames are counted, its cost is learnt. To be called for every batch, before its
    /// frames move on.
    pub fn finished(&self, frames: &[Frame], outcome: Outcome, took: Duration) {
        self.finished_by(0, frames, outcome, took);
    }

    /// The same of a batch of [`Self::next_for`].
    pub fn finished_by(&self, seat: usize, frames: &[Frame], outcome: Outcome, took: Duration) {
        self.lock().state.finished(seat, frames, outcome, took, Instant::now());
    }

    /// Sends a batch back for a second stage.
    ///
    /// # Errors
    /// The step itself, if the queue is full or the batcher closed: the second stage is then skipped for these frames.
    pub fn push_step(&self, step: Step) -> Result<(), Step> {
        let mut inner = self.lock();
        inner.state.push_step(step)?;
        Self::unlock(inner);
        Ok(())
    }

    /// The control watch.
    pub fn control(self: &Arc<Self>) -> Control {
        Control { batcher: Arc::clone(self) }
    }

    /// Where every stream's frames are, in one consistent look. Streams that were removed stay until their last frame is done.
    pub fn counts(&self) -> Vec<(StreamId, Counts)> {
        self.lock().state.counts()
    }

    /// The sum over all streams, those that are gone included: it never falls.
    pub fn total(&self) -> Counts {
        let inner = self.lock();
        let mut total = inner.state.retired();
        inner.state.counts().into_iter().for_each(|(_, counts)| total += counts);
        total
    }

    /// Batches that engines were given since the start.
    pub fn batches(&self) -> u64 {
        self.lock().state.batches()
    }

    /// Ends it: no frame is taken in any more, and [`Self::next`] hands out what waits and then `None`.
    pub fn close(&self) {
        let mut inner = self.lock();
        let (rooms, all) = (inner.state.close(), inner.all());
        drop(inner);
        for work in &all {
            work.notify_all();
        }
        wake(&rooms);
    }
}

/// The watch by which tracking tells batching where something happens: cameras in whose picture nothing is followed go by their
/// `idle_fps`, those in whose picture all goes on as foreseen by their `calm_interval`.
#[derive(Clone, Debug)]
pub struct Control {
    batcher: Arc<Batcher>,
}

impl Control {
    /// Says how much goes on in the stream's picture. Streams start busy.
    pub fn set_activity(&self, stream: &StreamId, activity: Activity) {
        if let Some(stream) = self.batcher.lock().state.stream(stream.number()) {
            stream.activity = activity;
        }
    }
}

fn wake(rooms: &[Arc<Condvar>]) {
    for room in rooms {
        room.notify_all();
    }
}
