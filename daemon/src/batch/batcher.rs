//! The batcher as threads see it: one mutex, and as few wake-ups as can be, for they are what costs.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    Counts, Limits, Outcome, Slot, Step, StreamSettings, Work,
    policy::Decision,
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
    /// Free engines wait here.
    work: Condvar,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Engines that wait in [`Batcher::next`].
    waiting: usize,
    /// Those of them that have been notified and have not run yet.
    woken: usize,
    /// The earliest instant at which one of them looks again by itself, and whose it is.
    alarm: Option<(Instant, u64)>,
    next_alarm: u64,
}

impl Inner {
    /// Whether an engine is to be notified: only if the policy's answer became "dispatch", or its next look moved forward, and no
    /// engine is on its way already.
    fn wake_needed(&mut self, now: Instant) -> bool {
        if self.waiting == 0 || self.woken > 0 {
            return false;
        }
        let needed = self.state.has_steps()
            || match self.state.decide(now) {
                Decision::Dispatch(_) => true,
                Decision::WaitUntil(until) => self.alarm.is_none_or(|(at, _)| until < at),
                Decision::Idle => self.state.closed(),
            };
        self.woken += usize::from(needed);
        needed
    }
}

impl Batcher {
    /// A batcher without streams.
    pub fn new(limits: Limits) -> Arc<Self> {
        let inner = Inner { state: State::new(limits), waiting: 0, woken: 0, alarm: None, next_alarm: 0 };
        Arc::new(Self { inner: Mutex::new(inner), work: Condvar::new() })
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
        self.unlock(inner);
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
                    self.unlock_at(inner, now);
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
                    inner = self.hold(inner, number, room, now);
                }
            }
        }
    }

    /// Makes a producer wait until it is released.
    fn hold<'a>(&self, mut inner: MutexGuard<'a, Inner>, number: u32, room: &Condvar, now: Instant) -> MutexGuard<'a, Inner> {
        if let Some(stream) = inner.state.stream(number) {
            stream.producer = Producer::Held;
        }
        // An engine that gathers hears that nothing more can come.
        if inner.wake_needed(now) {
            self.work.notify_one();
        }
        let held = |inner: &mut Inner| {
            !inner.state.closed() && inner.state.stream(number).is_some_and(|stream| stream.producer == Producer::Held)
        };
        room.wait_while(inner, held).unwrap_or_else(PoisonError::into_inner)
    }

    /// Unlocks, and wakes an engine if there is something for it.
    fn unlock(&self, inner: MutexGuard<'_, Inner>) {
        self.unlock_at(inner, Instant::now());
    }

    fn unlock_at(&self, mut inner: MutexGuard<'_, Inner>, now: Instant) {
        let wake = inner.wake_needed(now);
        drop(inner);
        if wake {
            self.work.notify_one();
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
        self.unlock(inner);
    }

    /// The next piece of work for a free engine; waits for it. `None` once the batcher is closed and drained.
    pub fn next(&self) -> Option<Work> {
        let mut discard = Vec::new();
        let mut inner = self.lock();
        loop {
            let now = Instant::now();
            match inner.state.poll(now, &mut discard) {
                Poll::Take(work) => {
                    let rooms = inner.state.release();
                    self.unlock_at(inner, now);
                    wake(&rooms);
                    return Some(work);
                }
                Poll::Finished => {
                    drop(inner);
                    self.work.notify_all();
                    return None;
                }
                // Surfaces go back to their decoders before the wait, and not under the lock.
                Poll::WaitUntil(_) | Poll::Idle if !discard.is_empty() => {
                    drop(inner);
                    discard.clear();
                    inner = self.lock();
                }
                Poll::WaitUntil(until) => inner = self.wait(inner, Some(until), now),
                Poll::Idle => {
                    let until = inner.state.foresee(now);
                    inner = self.wait(inner, until, now);
                }
            }
        }
    }

    /// The next piece of work if there is any now: for those who put frames in and take work out on one thread.
    pub fn try_next(&self) -> Option<Work> {
        let (now, mut discard) = (Instant::now(), Vec::new());
        let mut inner = self.lock();
        let poll = inner.state.poll(now, &mut discard);
        let rooms = inner.state.release();
        drop(inner);
        wake(&rooms);
        match poll {
            Poll::Take(work) => Some(work),
            Poll::WaitUntil(_) | Poll::Idle | Poll::Finished => None,
        }
    }

    fn wait<'a>(&self, mut inner: MutexGuard<'a, Inner>, until: Option<Instant>, now: Instant) -> MutexGuard<'a, Inner> {
        let until = until.filter(|until| inner.alarm.is_none_or(|(at, _)| *until < at));
        let token = inner.next_alarm;
        inner.waiting += 1;
        inner = if let Some(until) = until {
            inner.next_alarm += 1;
            inner.alarm = Some((until, token));
            let timeout = until.saturating_duration_since(now);
            self.work.wait_timeout(inner, timeout).unwrap_or_else(PoisonError::into_inner).0
        } else {
            self.work.wait(inner).unwrap_or_else(PoisonError::into_inner)
        };
        inner.waiting -= 1;
        inner.woken = inner.woken.saturating_sub(1);
        if until.is_some() {
            inner.alarm = inner.alarm.filter(|(_, of)| *of != token);
        }
        inner
    }

    /// Says that a batch is done: its frames are counted, its cost is learnt. To be called for every batch, before its frames move on.
    pub fn finished(&self, frames: &[Frame], outcome: Outcome, took: Duration) {
        self.lock().state.finished(frames, outcome, took, Instant::now());
    }

    /// Sends a batch back for a second stage.
    ///
    /// # Errors
    /// The step itself, if the queue is full or the batcher closed: the second stage is then skipped for these frames.
    pub fn push_step(&self, step: Step) -> Result<(), Step> {
        let mut inner = self.lock();
        inner.state.push_step(step)?;
        self.unlock(inner);
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
        let rooms = inner.state.close();
        drop(inner);
        self.work.notify_all();
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
