//! The task of one broker: makes its connection again and again, and drives it. Nobody waits for it.

mod secure;

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until},
};

use super::{
    backoff::{Backoff, GOOD},
    budget::Budget,
    commands::{Commands, Reply},
    connection::{self, Connection, Happened},
    counters::Failure,
    dialect::Dialects,
    herald::Herald,
    keeper::{Backlog, Come, Kept},
    lane::Lane,
    link::Link,
    message::{Presence, PresenceReason},
    outbox,
    packet::{LinkError, Purpose, Said, Turn},
    tls::Prepared,
    topics::Family,
    way::Way,
    writer::Leaving,
};
use crate::config::BrokerConfig;

/// How long the last messages and the farewell may take.
pub(super) const FAREWELL: Duration = Duration::from_secs(3);
/// How long of that what is kept on disk may take: it is safe there.
const LAST_KEPT: Duration = Duration::from_secs(1);
/// How often a silent connection is looked at.
const CHECK: Duration = Duration::from_secs(10);

/// What came beside the connection.
enum News {
    /// Something is in line.
    Lane,
    Kept(Come),
    /// A command was carried out, or refused; nothing, where nobody waits for an answer.
    Answered(Option<Reply>),
    /// What is kept on disk has had its time.
    KeptLongEnough,
    /// The writer has ended.
    Leave(Instant),
    Check,
}

/// How a connection ended.
enum Ended {
    Lost(LinkError),
    Left,
    /// Left to come back at once, with new certificates.
    Renewed,
}

/// Why the farewell is being said.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goodbye {
    Ending,
    Renewing,
}

pub(super) struct Broker {
    way: Way,
    lane: Arc<Lane>,
    herald: Arc<Herald>,
    dialects: Arc<Mutex<Dialects>>,
    commands: Commands,
    budget: Option<Budget>,
    /// What is kept for it on disk, where there is a queue.
    backlog: Option<Backlog>,
    /// Nothing that is on disk is waited for any more.
    kept_done: bool,
    leave: watch::Receiver<Leaving>,
    /// Delivers what it has and goes until then.
    leaving: Leaving,
    check: Interval,
    backoff: Backoff,
    tls: Option<Prepared>,
    /// Said goodbye only to come back.
    renewing: bool,
    complained: Option<Failure>,
    /// A subscription was refused, and that was said.
    complained_unheard: bool,
}

impl Broker {
    pub(super) fn new(
        config: BrokerConfig,
        lane: Arc<Lane>,
        backlog: Option<Backlog>,
        (herald, dialects): (Arc<Herald>, Arc<Mutex<Dialects>>),
        commands: Commands,
        leave: watch::Receiver<Leaving>,
    ) -> Self {
        let mut check = interval(CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let budget = config.max_bytes_per_second.map(|rate| Budget::new(rate, Instant::now()));
        Self {
            way: Way::new(config),
            lane,
            herald,
            dialects,
            commands,
            budget,
            backlog,
            kept_done: false,
            leave,
            leaving: None,
            check,
            backoff: Backoff::new(),
            tls: None,
            renewing: false,
            complained: None,
            complained_unheard: false,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let (error, held) = match self.connect().await {
                (Ended::Left, _) => break,
                (Ended::Renewed, _) => {
                    self.renewing = true;
                    continue;
                }
                (Ended::Lost(error), held) => (error, held),
            };
            let Some(error) = self.turned(error, held) else { continue };
            self.complain(&error);
            self.lane.counters.failed(error.failure, error.detail);
            if self.leaving.is_some() {
                break;
            }
            let pause = self.backoff.pause(held);
            if !self.wait(Instant::now() + pause).await {
                break;
            }
        }
        self.lane.outbox().abandon(&self.lane.counters);
        self.lane.counters.set_queued(0);
        self.lane.counters.is_disconnected();
    }

    /// Notes what the broker said last, and does what it would have us do; `None`: so a connection is made at once.
    fn turned(&mut self, mut error: LinkError, held: Option<Duration>) -> Option<LinkError> {
        if let Some((packet, code)) = error.code {
            self.lane.counters.gave_reason(packet, code);
        }
        if held.is_some_and(|held| held >= GOOD) {
            self.way.held();
        }
        let Some(turn) = error.turn.take().filter(|_| self.leaving.is_none()) else {
            self.way.lost(held.is_some());
            return Some(error);
        };
        if let Err(refused) = self.way.turn(&turn) {
            error.detail = format!("{}; {refused}", error.detail);
            return Some(error);
        }
        self.lane.counters.is_disconnected();
        let BrokerConfig { name: broker, host, port, .. } = self.way.now();
        match turn {
            Turn::OlderVersion => {
                tracing::warn!(broker, "the broker does not speak MQTT 5: speaking 3.1.1; write version = \"3.1.1\"");
            }
            Turn::NothingRetained => {
                tracing::warn!(
                    broker,
                    "the broker retains nothing: whoever subscribes later hears of a state when it is told again"
                );
            }
            Turn::Elsewhere { for_good: true, .. } => {
                tracing::warn!(broker, host, port, "the broker has moved for good: following it; change the url");
            }
            Turn::Elsewhere { .. } => tracing::info!(broker, host, port, "the broker sends us to another server for now"),
        }
        None
    }

    /// Says what is wrong, once per kind of failure and connection.
    fn complain(&mut self, error: &LinkError) {
        let BrokerConfig { name: broker, host, port, .. } = self.way.now();
        let reason = error.failure.as_str();
        if self.complained == Some(error.failure) {
            tracing::debug!(broker, host, port, reason, detail = %error.detail, "still no connection to the broker");
        } else {
            tracing::warn!(broker, host, port, reason, detail = %error.detail, "no connection to the broker: trying again and again");
        }
        self.complained = Some(error.failure);
    }

    /// Lives without a connection until a moment comes. `false`: it is over.
    async fn wait(&mut self, until: Instant) -> bool {
        let mut pause = pin!(sleep_until(until));
        loop {
            let news = tokio::select! {
                () = &mut pause => return true,
                news = self.news() => news,
            };
            self.deal(news);
            if self.leaving.is_some() {
                return false;
            }
        }
    }

    /// Makes a connection and uses it to its end; how long the broker had accepted it.
    async fn connect(&mut self) -> (Ended, Option<Duration>) {
        // The files may have changed since the last attempt.
        let tls = match self.secure().await {
            Ok(tls) => tls,
            Err(error) => return (Ended::Lost(LinkError::new(Failure::Tls, error)), None),
        };
        let topic = self.herald.topic();
        let will = self
            .lane
            .takes(topic)
            .then(|| (&**topic, self.herald.say(Presence::Offline, PresenceReason::ConnectionLost, SystemTime::now())));
        let mut link = Link::new(Connection::new(self.way.now(), tls, will, Purpose::Publish { retains: self.way.retains() }));
        let ended = self.serve(&mut link).await;
        self.lane.counters.set_heard(false);
        let held = link.held();
        link.dissolve(&mut self.lane.outbox(), &self.lane.counters);
        self.pass_answers();
        if let Some(backlog) = self.backlog.as_mut().filter(|_| !matches!(ended, Ended::Left) && held.is_some()) {
            // Whoever said goodbye need not doubt what was acknowledged.
            backlog.lost(matches!(ended, Ended::Renewed));
        }
        (ended, held)
    }

    async fn serve(&mut self, link: &mut Link) -> Ended {
        let mut goodbye: Option<(Goodbye, Instant)> = None;
        loop {
            let until = self.leaving.or(goodbye.map(|(_, until)| until));
            // Now and then, and with each answered ping.
            let check;
            tokio::select! {
                // The connection comes first, so that what was handed to it leaves before more is.
                biased;
                happened = link.next() => match happened {
                    Ok(Happened::Farewell) => return gone(goodbye),
                    Ok(happened) => {
                        check = happened == Happened::Idle;
                        self.happened(link, happened);
                    }
                    Err(_) if goodbye.is_some() => return gone(goodbye),
                    Err(error) => return Ended::Lost(error),
                },
                news = self.news() => {
                    check = matches!(news, News::Check);
                    self.deal(news);
                }
                () = deadline(until), if until.is_some() => {
                    return Ended::Lost(LinkError::new(Failure::Timeout, "the last messages were not acknowledged in time"));
                }
            }
            if check && link.silent_for() > connection::longest_silence(self.way.now()) {
                let detail = format!("no sign of life, or no acknowledgement, for {} s", link.silent_for().as_secs());
                return Ended::Lost(LinkError::new(Failure::Timeout, detail));
            }
            if check && goodbye.is_none() && self.leaving.is_none() && link.is_accepted() && self.is_outdated().await {
                goodbye = Some((Goodbye::Renewing, Instant::now() + FAREWELL));
                link.farewell();
            }
            // After a farewell nothing more may be said.
            if goodbye.is_some() {
                continue;
            }
            if let Err(error) = self.pump(link) {
                return Ended::Lost(error);
            }
            if let Some(until) = self.leaving {
                if !link.is_accepted() {
                    // A broker that was told goodbye does not say offline for us: we have to.
                    if self.renewing {
                        continue;
                    }
                    return Ended::Left;
                }
                if self.kept_done && self.lane.outbox().len() == 0 && link.is_clear() {
                    goodbye = Some((Goodbye::Ending, until));
                    link.farewell();
                }
            }
        }
    }

    /// Hands the connection what it takes, and the queue on disk what it has answered.
    fn pump(&mut self, link: &mut Link) -> Result<(), LinkError> {
        let mut outbox = self.lane.outbox();
        link.pump(&mut outbox, &mut self.budget, &self.lane.counters)?;
        self.lane.counters.set_queued(outbox.len());
        drop(outbox);
        self.pass_answers();
        Ok(())
    }

    fn dialects(&self) -> MutexGuard<'_, Dialects> {
        self.dialects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn happened(&mut self, link: &mut Link, happened: Happened) {
        let lane = &self.lane;
        match happened {
            Happened::Connected(_) => {
                lane.counters.is_connected();
                let BrokerConfig { name: broker, host, port, .. } = self.way.now();
                tracing::info!(broker, host, port, "connected to the broker");
                self.complained = None;
                self.renewing = false;
                let reason = if lane.counters.connects() > 1 { PresenceReason::Reconnected } else { PresenceReason::Started };
                if lane.takes(self.herald.topic()) {
                    let payload = self.herald.say(Presence::Online, reason, SystemTime::now());
                    lane.push(self.herald.topic(), payload, Family::DeviceStatus);
                }
                let mut dialects = self.dialects();
                dialects.connected(|topic, payload, family| lane.offer(topic, payload, family));
                if self.way.now().listens {
                    link.subscribe(self.commands.filter().into_iter().chain(dialects.subscriptions()));
                }
                drop(dialects);
                lane.outbox().refresh(self.herald.topic());
                if let Some(backlog) = &mut self.backlog {
                    backlog.connected();
                }
            }
            Happened::Heard(said) => self.heard(&said),
            Happened::TooLarge { topic, bytes } => {
                if let Some(reply) = self.commands.heard_too_large(&topic, bytes, Instant::now().into_std()) {
                    lane.reply(reply);
                }
            }
            Happened::Subscribed { refused } => self.subscribed(&link.asked(&refused)),
            Happened::Wrote(position) => link.wrote(position, &lane.counters),
            Happened::Acknowledged { id, refused } => link.acknowledged(id, refused, &mut lane.outbox(), &lane.counters),
            Happened::Farewell | Happened::Idle => {}
        }
    }

    /// Somebody said something to us.
    fn heard(&mut self, said: &Said) {
        let (lane, now) = (&self.lane, Instant::now().into_std());
        if let Some(reply) = self.commands.heard(said, now) {
            lane.reply(reply);
        }
        let mut dialects = self.dialects.lock().unwrap_or_else(PoisonError::into_inner);
        dialects.heard(&said.topic, &said.payload, |topic, payload, family| lane.offer(topic, payload, family));
        if let Some(wish) = dialects.wish(&said.topic, &said.payload) {
            self.commands.switch(wish, said.retained, now);
        }
    }

    /// The broker has answered what it was asked for.
    fn subscribed(&mut self, refused: &[&str]) {
        let heard = self.commands.filter().is_some_and(|filter| !refused.contains(&filter));
        self.lane.counters.set_heard(heard);
        if !refused.is_empty() && !std::mem::replace(&mut self.complained_unheard, true) {
            let topics = refused.join(", ");
            tracing::warn!(
                topics,
                "the broker refuses a subscription: what is said there is not heard. Its access control has to allow it"
            );
        }
    }

    /// The next thing that is no matter of the connection. Safe to drop and call again.
    async fn news(&mut self) -> News {
        let long_enough = self.leaving.map(|until| until - FAREWELL.saturating_sub(LAST_KEPT));
        tokio::select! {
            biased;
            until = left(&mut self.leave), if self.leaving.is_none() => News::Leave(until),
            () = deadline(long_enough), if long_enough.is_some() && !self.kept_done => News::KeptLongEnough,
            come = come(&mut self.backlog) => News::Kept(come),
            reply = self.commands.next() => News::Answered(reply),
            () = self.lane.news() => News::Lane,
            _ = self.check.tick() => News::Check,
        }
    }

    fn deal(&mut self, news: News) {
        match news {
            News::Lane | News::Check => {}
            News::Answered(reply) => reply.into_iter().for_each(|reply| self.lane.reply(reply)),
            News::Kept(come) => {
                // All that has come leaves in one write.
                let mut next = Some(come);
                while let Some(come) = next {
                    self.came(come);
                    next = self.backlog.as_mut().and_then(Backlog::try_next);
                }
            }
            News::KeptLongEnough => {
                self.kept_done = true;
                self.lane.outbox().forget_kept();
                self.backlog = None;
            }
            News::Leave(until) => {
                self.leaving = Some(until);
                match &mut self.backlog {
                    Some(backlog) => backlog.finish(),
                    None => self.kept_done = true,
                }
            }
        }
    }

    /// A word from the queue on disk.
    fn came(&mut self, come: Come) {
        match come {
            // An earlier run, with another filter, may have kept it.
            Come::Delivery(_, delivery) if !self.lane.takes(&delivery.topic) => {
                self.backlog.iter_mut().for_each(|backlog| backlog.answered(delivery.stream.clone(), delivery.number, false));
            }
            Come::Delivery(_, delivery) => self.lane.outbox().push_kept(delivery),
            Come::Unkept(kept, delayed) => {
                let payload = if delayed { outbox::mark_delayed(kept.payload.into()).into() } else { kept.payload };
                self.lane.push(&kept.topic, payload, Kept::family(kept.class));
            }
            Come::Finished => self.kept_done = true,
        }
    }

    /// What the broker has answered need not be kept.
    fn pass_answers(&mut self) {
        let answered = self.lane.outbox().answered();
        if let Some(backlog) = &mut self.backlog {
            for (stream, number, refused) in answered {
                backlog.answered(stream, number, refused);
            }
        }
    }
}

/// The farewell was said, or could not be heard any more.
fn gone(goodbye: Option<(Goodbye, Instant)>) -> Ended {
    match goodbye {
        Some((Goodbye::Renewing, _)) => Ended::Renewed,
        _ => Ended::Left,
    }
}

/// When the writer has ended.
async fn left(leave: &mut watch::Receiver<Leaving>) -> Instant {
    match leave.wait_for(Option::is_some).await.map(|until| *until) {
        Ok(Some(until)) => until,
        // A writer that is gone without a word takes us with it.
        _ => std::future::pending().await,
    }
}

/// What comes from the queue on disk.
async fn come(backlog: &mut Option<Backlog>) -> Come {
    match backlog {
        Some(backlog) => backlog.next().await,
        None => std::future::pending().await,
    }
}

async fn deadline(until: Leaving) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
