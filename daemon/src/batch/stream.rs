//! One stream's side of the batcher: its waiting frames, its rhythm, its caps and its counts.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar},
    time::{Duration, Instant},
};

use super::{
    Counts, Mode, Outcome, StreamSettings,
    arrivals::Arrivals,
    cap::{Cap, Verdict},
    pace::pace,
    policy::Camera,
    thin::Thin,
};
use crate::{
    gate::Activity,
    media::{Frame, StreamId},
};

/// What became of an offered frame.
#[derive(Debug)]
pub(super) enum Admission {
    /// It waits; the frame that it replaced is to be dropped outside the lock.
    Waits(Option<Frame>),
    /// Its stream may not have another frame yet. To be dropped outside the lock.
    Skipped(Frame),
    /// No room: the producer is to wait.
    Full(Frame),
    /// The batcher is closed, the stream interrupted or gone. To be dropped outside the lock.
    Refused(Frame),
}

/// What the producer of a stream is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Producer {
    /// It offers as it likes.
    Free,
    /// It waits for room.
    Held,
    /// It was told never to wait again.
    Interrupted,
    /// It is gone.
    Gone,
}

#[derive(Debug)]
struct Waiting {
    frame: Frame,
    since: Instant,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    settings: StreamSettings,
    queue: VecDeque<Waiting>,
    arrivals: Arrivals,
    period: Option<Duration>,
    /// Without `in_flight`, which follows from `queue` and `running`, so that the law is a check and no definition.
    counts: Counts,
    running: u64,
    next_seq: u64,
    next_dispatch: u64,
    epoch: Instant,
    cap: Cap,
    thin: Thin,
    /// The share of its frames that are looked at: 1 but while the board is throttled.
    pub(super) share: f64,
    pub(super) activity: Activity,
    /// The instances whose camera it is, where queues are bound to devices.
    pub(super) group: usize,
    /// The virtual time at which its latest frame finishes.
    finish: f64,
    /// What its producer is doing, and what that waits on while it is held back.
    pub(super) producer: Producer,
    pub(super) room: Arc<Condvar>,
}

impl Stream {
    pub(super) fn new(id: StreamId, settings: StreamSettings, room: Arc<Condvar>, now: Instant) -> Self {
        Self {
            id,
            settings: sane(settings),
            queue: VecDeque::new(),
            arrivals: Arrivals::default(),
            period: None,
            counts: Counts::default(),
            running: 0,
            next_seq: 0,
            next_dispatch: 0,
            epoch: now,
            cap: Cap::default(),
            thin: Thin::default(),
            share: 1.0,
            // As tracking sees every stream at first.
            activity: Activity::Busy,
            group: 0,
            finish: 0.0,
            producer: Producer::Free,
            room,
        }
    }

    fn every_frame(&self) -> bool {
        matches!(self.settings.mode, Mode::EveryFrame { .. })
    }

    fn capacity(&self) -> usize {
        match self.settings.mode {
            Mode::LatestWins => 1,
            Mode::EveryFrame { queue } => queue.max(1),
        }
    }

    /// Takes a frame in. `still`: nothing moves in it; `last_call`: the batcher takes no more.
    pub(super) fn admit(&mut self, mut frame: Frame, still: bool, now: Instant, last_call: bool) -> Admission {
        let refused = last_call || self.producer == Producer::Gone;
        let full = self.every_frame() && self.queue.len() >= self.capacity();
        if full && !refused && self.producer != Producer::Interrupted {
            return Admission::Full(frame);
        }
        frame.seq = self.next_seq;
        self.next_seq += 1;
        self.counts.decoded += 1;
        if refused || full {
            self.counts.dropped.removed += 1;
            return Admission::Refused(frame);
        }
        if let Some(reason) = self.over_the_cap(&frame, still, now) {
            *reason += 1;
            return Admission::Skipped(frame);
        }
        self.arrivals.record(now);
        self.period = self.arrivals.period();
        let replaced = if self.every_frame() { None } else { self.queue.pop_front() };
        self.counts.dropped.replaced += u64::from(replaced.is_some());
        self.queue.push_back(Waiting { frame, since: now });
        Admission::Waits(replaced.map(|waiting| waiting.frame))
    }

    /// The counter of the reason, if the frame comes sooner than the caps allow. Their clock is arrival for live cameras, and media
    /// time where every frame counts and speed means nothing. A frame whose predecessor still waits takes its place and its turn.
    fn over_the_cap(&mut self, frame: &Frame, still: bool, now: Instant) -> Option<&mut u64> {
        let every_frame = self.every_frame();
        if !every_frame && !self.queue.is_empty() {
            return None;
        }
        let clock = if every_frame { frame.pts } else { now.saturating_duration_since(self.epoch) };
        match self.cap.check(clock, self.settings.max_fps, pace(&self.settings, self.activity, still)) {
            // Files are held back by what takes their frames, and lose none.
            Verdict::Pass if every_frame || self.thin.passes(clock, self.share) => None,
            Verdict::Pass => Some(&mut self.counts.dropped.throttled),
            Verdict::Capped => Some(&mut self.counts.dropped.capped),
            Verdict::Gated => Some(&mut self.counts.dropped.gated),
        }
    }

    pub(super) fn camera(&self) -> Camera {
        let every_frame = self.every_frame();
        Camera {
            waiting: self.queue.len(),
            oldest: self.queue.front().map(|waiting| waiting.since),
            last: self.arrivals.last(),
            period: self.period,
            every_frame,
            open: self.producer == Producer::Free && (!every_frame || self.queue.len() < self.capacity()),
        }
    }

    /// The virtual time at which its next frame would start, and since when it waits; `None` if nothing waits.
    ///
    /// A stream that was away earns one frame of credit and no more, so that a frame that comes a little late after its turn
    /// does not lose the turn.
    pub(super) fn turn(&self, virtual_time: f64) -> Option<(f64, Instant)> {
        let front = self.queue.front()?;
        Some((self.finish.max(virtual_time - 1.0 / self.settings.weight), front.since))
    }

    /// Takes its oldest frame at the virtual time `start`.
    pub(super) fn take(&mut self, start: f64) -> Option<Frame> {
        let Waiting { mut frame, .. } = self.queue.pop_front()?;
        self.finish = start + 1.0 / self.settings.weight;
        frame.dispatch = self.next_dispatch;
        self.next_dispatch += 1;
        self.running += 1;
        Some(frame)
    }

    /// Drops the frames that have waited longer than the staleness budget.
    pub(super) fn drop_stale(&mut self, now: Instant, staleness: Duration, discard: &mut Vec<Frame>) {
        if self.every_frame() {
            return;
        }
        while self.queue.front().is_some_and(|waiting| now.saturating_duration_since(waiting.since) > staleness) {
            discard.extend(self.queue.pop_front().map(|waiting| waiting.frame));
            self.counts.dropped.stale += 1;
        }
    }

    /// Whether a held producer goes on and is to be woken: at half the queue, so that it wakes once for several frames.
    pub(super) fn release(&mut self) -> bool {
        let release = self.producer == Producer::Held && self.queue.len() <= self.capacity() / 2;
        if release {
            self.producer = Producer::Free;
        }
        release
    }

    pub(super) fn configure(&mut self, settings: StreamSettings, discard: &mut Vec<Frame>) {
        if self.settings.mode != settings.mode {
            self.cap.reset();
        }
        self.settings = sane(settings);
        while !self.every_frame() && self.queue.len() > 1 {
            discard.extend(self.queue.pop_front().map(|waiting| waiting.frame));
            self.counts.dropped.replaced += 1;
        }
    }

    pub(super) fn finished(&mut self, outcome: Outcome) {
        self.running = self.running.saturating_sub(1);
        match outcome {
            Outcome::Inferred => self.counts.inferred += 1,
            Outcome::Failed => self.counts.dropped.engine_error += 1,
        }
    }

    /// No more frames will be offered. What waits of a live camera is dropped; every frame of the others still counts.
    pub(super) fn leave(&mut self, discard: &mut Vec<Frame>) {
        self.producer = Producer::Gone;
        if !self.every_frame() {
            self.counts.dropped.removed += self.queue.len() as u64;
            discard.extend(self.queue.drain(..).map(|waiting| waiting.frame));
        }
    }

    pub(super) fn gone(&self) -> bool {
        self.producer == Producer::Gone && self.queue.is_empty() && self.running == 0
    }

    pub(super) fn counts(&self) -> Counts {
        Counts { in_flight: self.running + self.queue.len() as u64, ..self.counts }
    }
}

/// Weights from the configuration are above zero; anything else becomes a very small one rather than a division by zero.
fn sane(settings: StreamSettings) -> StreamSettings {
    StreamSettings { weight: settings.weight.max(1e-3), ..settings }
}
