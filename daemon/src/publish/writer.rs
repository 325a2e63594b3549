//! The writer: what tracking saw and what cameras are doing becomes messages, which are put down for each broker and waited for by none.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, watch},
    time::{Interval, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    BATCHES, Site,
    broker::FAREWELL,
    compose::{Composer, Now},
    counters::{Counters, DropReason},
    dialect::Dialects,
    health::Health,
    herald::Herald,
    journal::Orphan,
    keeper::{Keeper, Kept},
    lane::Lane,
    message::{Presence, PresenceReason, Queue},
    outbox,
    sort::Sort,
    spool::Class,
    topics::Family,
    traces::Traces,
};
use crate::{
    media::{Mark, StreamId, TimeCard, Tracked},
    observe::StageTimes,
    status::StatusBoard,
};

/// How often rates are measured and camera statuses told again.
const TICK: Duration = Duration::from_secs(10);
/// How long the stages before us may take to end once we are told to.
const DRAIN: Duration = Duration::from_secs(2);

/// When the brokers' tasks are to be gone, once they are to go.
pub(super) type Leaving = Option<tokio::time::Instant>;

/// How far writing is from its end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Running,
    /// Told to end: takes what still comes.
    Draining(tokio::time::Instant),
}

/// What came.
enum News {
    Frames,
    Board,
    Tick,
    /// An engine has come into another state.
    Engines,
    /// The queue's thread may have room again.
    Room,
    Cancelled,
    InputEnded,
}

pub(super) struct Writer {
    /// The queue on disk, where there is one. It ends before the composer, which writes down what of it is safe.
    keeper: Option<Keeper>,
    composer: Composer,
    herald: Arc<Herald>,
    dialects: Arc<Mutex<Dialects>>,
    lanes: Vec<Arc<Lane>>,
    /// What cameras leave at the brokers, where that is written down.
    traces: Option<Traces>,
    input: mpsc::Receiver<Vec<Tracked>>,
    board: Arc<StatusBoard>,
    stages: Arc<StageTimes>,
    counters: Arc<Counters>,
    cancel: CancellationToken,
    phase: Phase,
    tick: Interval,
    measured: Instant,
    health: Health,
    batches: Vec<Vec<Tracked>>,
    /// Of the frames whose messages are written but not handed on.
    cards: Vec<TimeCard>,
}

impl Writer {
    pub(super) fn new(
        composer: Composer,
        (herald, dialects): (Arc<Herald>, Arc<Mutex<Dialects>>),
        lanes: Vec<Arc<Lane>>,
        (keeper, traces): (Option<Keeper>, Option<Traces>),
        (input, board): (mpsc::Receiver<Vec<Tracked>>, Arc<StatusBoard>),
        (stages, counters): (Arc<StageTimes>, Arc<Counters>),
        cancel: CancellationToken,
    ) -> Self {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one comes at once.
        tick.reset();
        Self {
            composer,
            herald,
            dialects,
            lanes,
            keeper,
            traces,
            input,
            board,
            stages,
            counters,
            cancel,
            phase: Phase::Running,
            tick,
            measured: Instant::now(),
            health: Health::new(),
            batches: Vec::new(),
            cards: Vec::new(),
        }
    }

    /// Writes until the input ends, then tells the brokers' tasks to go.
    pub(super) async fn run(&mut self, leave: &watch::Sender<Leaving>) {
        loop {
            let news = self.news().await;
            let ended = matches!(news, News::InputEnded);
            self.deal(&news);
            if ended {
                leave.send_replace(Some(tokio::time::Instant::now() + FAREWELL));
            }
            self.lanes.iter().for_each(|lane| lane.wake());
            step_aside().await;
            self.handed_on();
            if ended {
                return;
            }
        }
    }

    /// Clears what brokers retain of cameras and rules that there are no more.
    pub(super) fn clear_what_is_gone(&self, site: &Site, base: &str) {
        let gone = self.traces.as_ref().map_or_else(Vec::new, |traces| traces.gone(site, base));
        if !gone.is_empty() {
            tracing::info!(
                topics = gone.len(),
                "cameras or rules have gone since the last run: what brokers retain of them is cleared"
            );
        }
        for (topic, family) in gone {
            put_down(&self.lanes, &topic, Bytes::new(), family);
        }
    }

    /// What all brokers have cleared need not be known any more.
    pub(super) fn forget_what_is_cleared(&self) {
        if let Some(traces) = &self.traces {
            traces.forget(|topic| self.lanes.iter().any(|lane| lane.outbox().clears(topic)));
        }
    }

    /// Tells the ends of what an earlier run had told the beginnings of.
    pub(super) fn end_orphans(&mut self, orphans: Vec<Orphan>) {
        if orphans.is_empty() {
            return;
        }
        tracing::info!(open = orphans.len(), "the last run ended without a word: what it had under way is told to have ended");
        self.dialects().left_open(&orphans);
        let now = Now::read();
        let Self { composer, keeper, lanes, .. } = self;
        for orphan in orphans {
            let (camera, at) = (orphan.camera.clone(), orphan.at);
            let (topic, payload, sort) = composer.orphan(orphan, now);
            keep_or_put_down((keeper.as_mut(), lanes), (&camera, at), &topic, payload, sort);
        }
    }

    /// The next thing to write of. Safe to drop and call again.
    async fn news(&mut self) -> News {
        let running = self.phase == Phase::Running;
        tokio::select! {
            biased;
            () = self.cancel.cancelled(), if running => News::Cancelled,
            () = deadline(self.phase), if !running => News::InputEnded,
            came = self.input.recv_many(&mut self.batches, BATCHES) => {
                if came == 0 { News::InputEnded } else { News::Frames }
            }
            () = self.board.wait() => News::Board,
            () = self.counters.engines.changed() => News::Engines,
            () = room(self.keeper.as_ref()) => News::Room,
            _ = self.tick.tick() => News::Tick,
        }
    }

    fn deal(&mut self, news: &News) {
        match news {
            News::Frames => self.frames(),
            News::Board => self.board_changed(),
            News::Tick => {
                self.refresh_cameras();
                self.forget_what_is_cleared();
                self.counters.set_disk_stalled(self.keeper.as_mut().is_some_and(Keeper::is_stalled));
                if self.health.is_due() {
                    self.tell_health();
                }
            }
            News::Engines => self.tell_health(),
            News::Room => self.keeper.iter_mut().for_each(Keeper::flush),
            News::Cancelled => self.phase = Phase::Draining(tokio::time::Instant::now() + DRAIN),
            News::InputEnded => {
                self.board_changed();
                let payload = self.herald.say(Presence::Offline, PresenceReason::Shutdown, Now::read().wall);
                put_down(&self.lanes, self.herald.topic(), payload, Family::DeviceStatus);
                self.dialects().leaving(|topic, payload, family| put_down(&self.lanes, topic, payload, family));
            }
        }
    }

    fn dialects(&self) -> MutexGuard<'_, Dialects> {
        self.dialects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn frames(&mut self) {
        let now = Now::read();
        let Self { composer, dialects, lanes, counters, cards, batches, keeper, traces, .. } = self;
        let mut dialects = dialects.lock().unwrap_or_else(PoisonError::into_inner);
        for mut tracked in batches.drain(..).flatten() {
            let (stream, at) = (tracked.stream.name(), tracked.capture.wall);
            let wanted = |topic: &str, format| lanes.iter().any(|lane| lane.takes_frames(topic, format));
            composer.look(&tracked, now, wanted, |topic, payload, format| {
                let takers = lanes.iter().filter(|lane| lane.takes_frames(topic, format));
                put_down_for(takers, topic, payload, Family::Frame.into());
            });
            composer.frame(&tracked, now, |topic, payload, sort| {
                note(traces.as_ref(), stream, topic, &payload, sort.family);
                keep_or_put_down((keeper.as_mut(), lanes), (stream, at), topic, payload, sort);
            });
            dialects.frame(&tracked, |topic, payload, family| {
                note(traces.as_ref(), stream, topic, &payload, family);
                put_down(lanes, topic, payload, family);
            });
            if !tracked.closing {
                tracked.times.stamp(Mark::PublishStarted, now.steady);
                cards.push(tracked.times);
            }
        }
        if let Some(keeper) = keeper {
            composer.given(keeper.given());
        }
        counters.frames_came(cards.len() as u64);
    }

    /// The messages of the frames have been handed to the connections, or wait for them to come back.
    fn handed_on(&mut self) {
        if self.cards.is_empty() {
            return;
        }
        let now = Instant::now();
        self.cards.iter_mut().for_each(|card| card.stamp(Mark::Published, now));
        self.stages.record(self.cards.iter());
        self.cards.clear();
    }

    fn board_changed(&mut self) {
        let changes = self.board.take_changes();
        let now = Now::read();
        let Self { composer, dialects, lanes, traces, .. } = self;
        let mut dialects = dialects.lock().unwrap_or_else(PoisonError::into_inner);
        let tell = |stream: &StreamId, topic: &Arc<str>, payload: Bytes, family| {
            note(traces.as_ref(), stream.name(), topic, &payload, family);
            put_down(lanes, topic, payload, family);
        };
        // First what is gone: a camera of the same name may have come.
        for stream in &changes.removed {
            for (topic, family) in composer.remove(stream) {
                tell(stream, &topic, Bytes::new(), family);
            }
            dialects.removed(stream, |topic, payload, family| tell(stream, topic, payload, family));
        }
        for (stream, status) in &changes.changed {
            let (topic, payload) = composer.camera(stream, status, now);
            tell(stream, &topic, payload, Family::CameraStatus);
            dialects.camera(stream, status, now, |topic, payload, family| tell(stream, topic, payload, family));
        }
    }

    fn tell_health(&mut self) {
        let length = self.lanes.iter().map(|lane| lane.outbox().len()).sum();
        let queues = [
            ("track_to_publish", Queue { length: self.input.len(), capacity: self.input.max_capacity() }),
            ("publish_to_broker", Queue { length, capacity: outbox::CAPACITY * self.lanes.len() }),
        ];
        let findings = self.health.look(&self.stages, &self.counters, queues.into());
        let (topic, payload) = self.composer.health(findings, Now::read());
        put_down(&self.lanes, &topic, payload, Family::Health);
    }

    fn refresh_cameras(&mut self) {
        let cameras = self.board.snapshot();
        let passed = std::mem::replace(&mut self.measured, Instant::now()).elapsed();
        self.composer.measure(passed, |stream| cameras.iter().any(|(known, _)| known == stream));
        let now = Now::read();
        for (stream, status) in &cameras {
            let (topic, payload) = self.composer.camera(stream, status, now);
            put_down(&self.lanes, &topic, payload, Family::CameraStatus);
        }
        let known = |stream: &StreamId| cameras.iter().any(|(known, _)| known == stream);
        self.dialects().tick(known, now, |topic, payload, family| put_down(&self.lanes, topic, payload, family));
    }
}

/// Writes down what of a camera brokers retain, where that is done.
fn note(traces: Option<&Traces>, camera: &str, topic: &Arc<str>, payload: &Bytes, family: Family) {
    if let Some(traces) = traces {
        traces.note(camera, topic, payload, family);
    }
}

/// A message that is kept on disk where there is a queue and it is of such importance.
fn keep_or_put_down(
    (keeper, lanes): (Option<&mut Keeper>, &[Arc<Lane>]),
    (camera, at): (&str, SystemTime),
    topic: &Arc<str>,
    payload: Bytes,
    sort: Sort,
) {
    match (keeper, sort.worth.class()) {
        (Some(keeper), Some(class)) => keep(keeper, lanes, (class, camera, sort.seq), topic, payload, at),
        _ => put_down(lanes, topic, payload, sort),
    }
}

/// A message for each broker that gets what is said on its topic.
fn put_down(lanes: &[Arc<Lane>], topic: &Arc<str>, payload: Bytes, sort: impl Into<Sort>) {
    put_down_for(lanes.iter().filter(|lane| lane.takes(topic)), topic, payload, sort.into());
}

/// A message for these brokers. The last one takes it as it is: a first copy of a handle costs an allocation.
fn put_down_for<'a>(lanes: impl Iterator<Item = &'a Arc<Lane>>, topic: &Arc<str>, payload: Bytes, sort: Sort) {
    let mut lanes = lanes.peekable();
    while let Some(lane) = lanes.next() {
        if lanes.peek().is_none() {
            lane.push(topic, payload, sort);
            return;
        }
        lane.push(topic, payload.clone(), sort);
    }
}

/// The same through the queue on disk.
fn keep(
    keeper: &mut Keeper,
    lanes: &[Arc<Lane>],
    (class, stream, seq): (Class, &str, u64),
    topic: &Arc<str>,
    payload: Bytes,
    at: SystemTime,
) {
    let takers = || lanes.iter().enumerate().filter(|(_, lane)| lane.takes(topic));
    let brokers = takers().fold(0, |bits, (number, _)| bits | 1 << number);
    if brokers != 0 && !keeper.keep((class, stream, seq), topic, payload, at, brokers) {
        takers().for_each(|(_, lane)| lane.counters.lost(Kept::family(class), DropReason::Overflow));
    }
}

/// Lets the brokers' tasks take what was put down before more is written: without this a burst would drop frames that a connection has
/// room for. The waker alone brings us back, so that it costs no look at the sockets.
async fn step_aside() {
    let mut stepped = false;
    poll_fn(|context| {
        if std::mem::replace(&mut stepped, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What the queue's thread had no room for waits for a moment; ends never if nothing does.
async fn room(keeper: Option<&Keeper>) {
    match keeper {
        Some(keeper) if keeper.is_behind() => tokio::time::sleep(Duration::from_millis(20)).await,
        _ => std::future::pending().await,
    }
}

/// The end of a phase.
async fn deadline(phase: Phase) {
    match phase {
        Phase::Running => std::future::pending().await,
        Phase::Draining(until) => sleep_until(until).await,
    }
}
