//! The task that drives publishing: input, board, clock and connection, none of which waits for another.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use rustls::ClientConfig;
use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    BATCHES,
    backoff::Backoff,
    boot_id,
    compose::{Composer, Now},
    connection::{self, Connection, Happened},
    counters::{Counters, DropReason, Failure},
    dialect::Dialects,
    health::Health,
    keeper::{Come, Keeper, Kept},
    link::Link,
    message::{Presence, PresenceReason, Queue},
    outbox::{self, Outbox},
    packet::LinkError,
    tls,
    topics::Family,
};
use crate::{
    config::MqttConfig,
    media::{Mark, StreamId, TimeCard, Tracked},
    observe::StageTimes,
    status::StatusBoard,
};

/// How often rates are measured and camera statuses told again.
const TICK: Duration = Duration::from_secs(10);
/// How long the stages before us may take to end once we are told to.
const DRAIN: Duration = Duration::from_secs(2);
/// How long the last messages and the farewell may take.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long of that what is kept on disk may take: it is safe there.
const LAST_KEPT: Duration = Duration::from_secs(1);

/// How far publishing is from its end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Running,
    /// Told to end: takes what still comes.
    Draining(tokio::time::Instant),
    /// Nothing comes any more: delivers what it has and goes.
    Leaving(tokio::time::Instant),
}

/// What came.
enum News {
    Frames,
    Board,
    Tick,
    Kept(Come),
    /// What is kept on disk has had its time.
    KeptLongEnough,
    Cancelled,
    InputEnded,
}

/// How a connection ended.
enum Ended {
    Lost(LinkError),
    Left,
}

pub(super) struct Publisher {
    config: MqttConfig,
    composer: Composer,
    dialects: Dialects,
    outbox: Outbox,
    /// The queue on disk, where there is one.
    keeper: Option<Keeper>,
    /// Nothing that is on disk is waited for any more.
    kept_done: bool,
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
    backoff: Backoff,
    tls: Option<Arc<ClientConfig>>,
    was_connected: bool,
    complained: Option<Failure>,
}

impl Publisher {
    pub(super) fn new(
        config: MqttConfig,
        device: &str,
        input: mpsc::Receiver<Vec<Tracked>>,
        board: Arc<StatusBoard>,
        stages: Arc<StageTimes>,
        counters: Arc<Counters>,
        cancel: CancellationToken,
    ) -> Self {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one comes at once.
        tick.reset();
        let (boot_id, started_at) = (boot_id(), SystemTime::now());
        Self {
            composer: Composer::new(&config, device, &boot_id, started_at),
            dialects: Dialects::new(&config.dialects, &config.base_topic, device, &boot_id, started_at),
            keeper: Keeper::open(config.queue.as_ref(), &boot_id, &counters),
            kept_done: false,
            config,
            outbox: Outbox::default(),
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
            backoff: Backoff::new(),
            tls: None,
            was_connected: false,
            complained: None,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let (error, held) = match self.connect().await {
                (Ended::Left, _) => break,
                (Ended::Lost(error), held) => (error, held),
            };
            self.complain(&error);
            self.counters.failed(error.failure, error.detail);
            if matches!(self.phase, Phase::Leaving(_)) {
                break;
            }
            let pause = self.backoff.pause(held);
            if !self.wait(tokio::time::Instant::now() + pause).await {
                break;
            }
        }
        self.outbox.abandon(&self.counters);
        self.counters.set_queued(0);
        self.counters.is_disconnected();
    }

    /// Says what is wrong, once per kind of failure and connection.
    fn complain(&mut self, error: &LinkError) {
        let (host, port, reason) = (&self.config.host, self.config.port, error.failure.as_str());
        if self.complained == Some(error.failure) {
            tracing::debug!(host, port, reason, detail = %error.detail, "still no connection to the broker");
        } else {
            tracing::warn!(host, port, reason, detail = %error.detail, "no connection to the broker: trying again and again");
        }
        self.complained = Some(error.failure);
    }

    /// Lives without a connection until a moment comes. `false`: it is over.
    async fn wait(&mut self, until: tokio::time::Instant) -> bool {
        let mut pause = pin!(sleep_until(until));
        loop {
            let news = tokio::select! {
                () = &mut pause => return true,
                news = self.news() => news,
            };
            self.deal(news);
            self.handed_on();
            if matches!(self.phase, Phase::Leaving(_)) {
                return false;
            }
        }
    }

    /// Makes a connection and uses it to its end; how long the broker had accepted it.
    async fn connect(&mut self) -> (Ended, Option<Duration>) {
        if self.tls.is_none() {
            match self.config.tls.as_ref().map(tls::client_config).transpose() {
                Ok(tls) => self.tls = tls,
                Err(error) => return (Ended::Lost(LinkError::new(Failure::Tls, error)), None),
            }
        }
        let will = self.composer.device(Presence::Offline, PresenceReason::ConnectionLost, Now::read());
        let topic = self.composer.device_topic().clone();
        let mut link = Link::new(Connection::new(&self.config, self.tls.clone(), (&topic, &will)));
        let ended = self.serve(&mut link).await;
        let held = link.held();
        link.dissolve(&mut self.outbox, &self.counters);
        self.pass_answers();
        if let Some(keeper) = self.keeper.as_mut().filter(|_| matches!(ended, Ended::Lost(_)) && held.is_some()) {
            keeper.lost();
        }
        (ended, held)
    }

    async fn serve(&mut self, link: &mut Link) -> Ended {
        let mut said_goodbye = false;
        loop {
            let phase = self.phase;
            let leaving = matches!(phase, Phase::Leaving(_));
            // With each tick and each answered ping.
            let check;
            tokio::select! {
                // The connection comes first, so that what was handed to it leaves before more is written.
                biased;
                happened = link.next() => match happened {
                    Ok(Happened::Farewell) => return Ended::Left,
                    Ok(happened) => {
                        check = happened == Happened::Idle;
                        self.happened(link, happened);
                    }
                    Err(_) if said_goodbye => return Ended::Left,
                    Err(error) => return Ended::Lost(error),
                },
                news = self.news() => {
                    check = matches!(news, News::Tick);
                    self.deal(news);
                }
                () = deadline(phase), if leaving => {
                    return Ended::Lost(LinkError::new(Failure::Timeout, "the last messages were not acknowledged in time"));
                }
            }
            if check && link.silent_for() > connection::longest_silence(&self.config) {
                let detail = format!("no sign of life, or no acknowledgement, for {} s", link.silent_for().as_secs());
                return Ended::Lost(LinkError::new(Failure::Timeout, detail));
            }
            if let Err(error) = link.pump(&mut self.outbox, &self.counters) {
                return Ended::Lost(error);
            }
            self.pass_answers();
            self.handed_on();
            if matches!(self.phase, Phase::Leaving(_)) && !said_goodbye {
                if !link.is_accepted() {
                    return Ended::Left;
                }
                said_goodbye = self.kept_done && self.outbox.len() == 0 && link.is_clear();
                if said_goodbye {
                    link.farewell();
                }
            }
        }
    }

    fn happened(&mut self, link: &mut Link, happened: Happened) {
        match happened {
            Happened::Connected(_) => {
                self.counters.is_connected();
                tracing::info!(host = self.config.host, port = self.config.port, "connected to the broker");
                self.complained = None;
                let reason = if self.was_connected { PresenceReason::Reconnected } else { PresenceReason::Started };
                self.was_connected = true;
                self.tell_presence(Presence::Online, reason);
                let Self { dialects, outbox, counters, .. } = self;
                dialects.connected(|topic, payload, family| outbox.push(topic, payload, family, counters));
                link.subscribe(dialects.subscriptions());
                self.outbox.refresh(self.composer.device_topic());
                if let Some(keeper) = &mut self.keeper {
                    keeper.connected();
                }
            }
            Happened::Heard { topic, payload } => {
                let Self { dialects, outbox, counters, .. } = self;
                dialects.heard(&topic, &payload, |topic, payload, family| outbox.push(topic, payload, family, counters));
            }
            Happened::Wrote(position) => link.wrote(position, &self.counters),
            Happened::Acknowledged { id, refused } => link.acknowledged(id, refused, &mut self.outbox, &self.counters),
            Happened::Farewell | Happened::Idle => {}
        }
    }

    fn tell_presence(&mut self, state: Presence, reason: PresenceReason) {
        let payload = self.composer.device(state, reason, Now::read());
        let topic = self.composer.device_topic().clone();
        self.outbox.push(&topic, payload, Family::DeviceStatus, &self.counters);
    }

    /// The next thing that is no matter of the connection. Safe to drop and call again.
    async fn news(&mut self) -> News {
        if let Phase::Leaving(until) = self.phase {
            let long_enough = until - FAREWELL.saturating_sub(LAST_KEPT);
            return tokio::select! {
                () = sleep_until(long_enough), if !self.kept_done => News::KeptLongEnough,
                come = come(&mut self.keeper) => News::Kept(come),
            };
        }
        let running = self.phase == Phase::Running;
        tokio::select! {
            biased;
            () = self.cancel.cancelled(), if running => News::Cancelled,
            () = deadline(self.phase), if !running => News::InputEnded,
            came = self.input.recv_many(&mut self.batches, BATCHES) => {
                if came == 0 { News::InputEnded } else { News::Frames }
            }
            () = self.board.wait() => News::Board,
            come = come(&mut self.keeper) => News::Kept(come),
            _ = self.tick.tick() => News::Tick,
        }
    }

    fn deal(&mut self, news: News) {
        match news {
            News::Frames => self.frames(),
            News::Board => self.board_changed(),
            News::Tick => {
                self.refresh_cameras();
                self.tell_health();
            }
            News::Kept(come) => {
                // All that has come leaves in one write.
                let mut next = Some(come);
                while let Some(come) = next {
                    self.came(come);
                    next = self.keeper.as_mut().and_then(Keeper::try_next);
                }
            }
            News::KeptLongEnough => {
                self.kept_done = true;
                self.outbox.forget_kept();
                self.keeper = None;
            }
            News::Cancelled => self.phase = Phase::Draining(tokio::time::Instant::now() + DRAIN),
            News::InputEnded => {
                self.board_changed();
                self.tell_presence(Presence::Offline, PresenceReason::Shutdown);
                let Self { dialects, outbox, counters, .. } = self;
                dialects.leaving(|topic, payload, family| outbox.push(topic, payload, family, counters));
                self.phase = Phase::Leaving(tokio::time::Instant::now() + FAREWELL);
                match &mut self.keeper {
                    Some(keeper) => keeper.finish(),
                    None => self.kept_done = true,
                }
            }
        }
        self.counters.set_queued(self.outbox.len());
    }

    fn frames(&mut self) {
        let now = Now::read();
        let Self { composer, dialects, outbox, counters, cards, batches, keeper, .. } = self;
        for mut tracked in batches.drain(..).flatten() {
            let (stream, at) = (tracked.stream.name(), tracked.capture.wall);
            composer.frame(&tracked, now, |topic, payload, family| match (keeper.as_mut(), Kept::class(topic, family)) {
                (Some(keeper), Some(class)) => {
                    if !keeper.keep(class, stream, topic, payload, at) {
                        counters.lost(family, DropReason::Overflow);
                    }
                }
                _ => outbox.push(topic, payload, family, counters),
            });
            dialects.frame(&tracked, |topic, payload, family| outbox.push(topic, payload, family, counters));
            if !tracked.closing {
                tracked.times.stamp(Mark::PublishStarted, now.steady);
                cards.push(tracked.times);
            }
        }
        counters.frames_came(cards.len() as u64);
    }

    /// A word from the queue on disk.
    fn came(&mut self, come: Come) {
        match come {
            Come::Delivery(_, delivery) => self.outbox.push_kept(delivery),
            Come::Unkept(kept, delayed) => {
                let payload = if delayed { outbox::mark_delayed(kept.payload.into()).into() } else { kept.payload };
                self.outbox.push(&kept.topic, payload, Kept::family(kept.class), &self.counters);
            }
            Come::Finished => self.kept_done = true,
        }
    }

    /// What the broker has answered need not be kept.
    fn pass_answers(&mut self) {
        let answered = self.outbox.answered();
        if let Some(keeper) = &mut self.keeper {
            for (stream, number, refused) in answered {
                keeper.answered(stream, number, refused);
            }
        }
    }

    /// The messages of the frames have been handed to the client, or wait for it to come back.
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
        // First what is gone: a camera of the same name may have come.
        for stream in &changes.removed {
            for (topic, family) in self.composer.remove(stream) {
                self.outbox.push(&topic, bytes::Bytes::new(), family, &self.counters);
            }
            let Self { dialects, outbox, counters, .. } = &mut *self;
            dialects.removed(stream, |topic, payload, family| outbox.push(topic, payload, family, counters));
        }
        for (stream, status) in &changes.changed {
            let (topic, payload) = self.composer.camera(stream, status, now);
            self.outbox.push(&topic, payload, Family::CameraStatus, &self.counters);
            let Self { dialects, outbox, counters, .. } = &mut *self;
            dialects.camera(stream, status, now, |topic, payload, family| outbox.push(topic, payload, family, counters));
        }
    }

    fn tell_health(&mut self) {
        if !self.health.is_due() {
            return;
        }
        let queues = [
            ("track_to_publish", Queue { length: self.input.len(), capacity: self.input.max_capacity() }),
            ("publish_to_broker", Queue { length: self.outbox.len(), capacity: outbox::CAPACITY }),
        ];
        let findings = self.health.look(&self.stages, &self.counters, queues.into());
        let (topic, payload) = self.composer.health(findings, Now::read());
        self.outbox.push(&topic, payload, Family::Health, &self.counters);
    }

    fn refresh_cameras(&mut self) {
        let cameras = self.board.snapshot();
        let passed = std::mem::replace(&mut self.measured, Instant::now()).elapsed();
        self.composer.measure(passed, |stream| cameras.iter().any(|(known, _)| known == stream));
        let now = Now::read();
        for (stream, status) in &cameras {
            let (topic, payload) = self.composer.camera(stream, status, now);
            self.outbox.push(&topic, payload, Family::CameraStatus, &self.counters);
        }
        let known = |stream: &StreamId| cameras.iter().any(|(known, _)| known == stream);
        let Self { dialects, outbox, counters, .. } = self;
        dialects.tick(known, now, |topic, payload, family| outbox.push(topic, payload, family, counters));
    }
}

/// What comes from the queue on disk.
async fn come(keeper: &mut Option<Keeper>) -> Come {
    match keeper {
        Some(keeper) => keeper.next().await,
        None => std::future::pending().await,
    }
}

/// The end of a phase.
async fn deadline(phase: Phase) {
    match phase {
        Phase::Running => std::future::pending().await,
        Phase::Draining(until) | Phase::Leaving(until) => sleep_until(until).await,
    }
}
