//! The thread of the queue on disk: takes what is to be kept, and hands each broker what is its turn.

use std::{
    collections::{BTreeSet, VecDeque},
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::mpsc;

use super::{
    super::{
        counters::{BrokerCounters, Counters, DropReason},
        disk::DiskQueue,
        spool::{Class, Damage, DamageKind, LossReason, Record, Spool, SpoolError, since_boot},
    },
    Come, Kept, Losses, Settled, Teller, UNDER_WAY, Word,
    losses::STREAM,
};
use crate::config::QueueConfig;

/// What waits is counted so often.
const COUNT: Duration = Duration::from_millis(250);
/// Most records that wait in memory while the disk takes none.
pub(super) const HELD: usize = 4096;
/// How long one of these may wait without being told as delayed.
const PROMPT: Duration = Duration::from_secs(2);
/// That a message cannot be kept whatever the disk does is said so often at most.
const DECLINE: Duration = Duration::from_mins(1);
/// The clock of the queue is looked at so often.
const LOOK: Duration = Duration::from_secs(1);

/// Whether the disk took a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Yes,
    /// Not this one: others may be more important, or shorter.
    Never,
    /// It takes none at present.
    DeviceFails,
}

/// When delayed records may leave: evenly, so many a second.
struct Pace {
    rate: u32,
    next: Duration,
}

impl Pace {
    fn is_due(&self, now: Duration) -> bool {
        now >= self.next
    }

    fn take(&mut self, now: Duration) {
        // What was not used of the last tenth of a second may be made up for.
        self.next = self.next.max(now.saturating_sub(Duration::from_millis(100))) + Duration::from_secs(1) / self.rate;
    }
}

/// What the thread knows of one broker.
struct Out {
    come: mpsc::Sender<Come>,
    counters: Arc<BrokerCounters>,
    connection: Option<u64>,
    /// Numbers that the broker has not answered.
    under_way: BTreeSet<u64>,
    pace: Pace,
    finishing: bool,
}

impl Out {
    fn unkept(&self, kept: &Kept, delayed: bool) -> bool {
        self.come.try_send(Come::Unkept(kept.clone(), delayed)).is_ok()
    }
}

/// The disk takes nothing, and what has become of what came since.
#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    waited: u64,
    lost: u64,
}

/// The thread's side.
pub(super) struct Keeping {
    spool: Spool,
    counters: Arc<Counters>,
    outs: Vec<Out>,
    /// Records that the disk did not take, and since when.
    held: VecDeque<(Kept, Duration)>,
    counted: Duration,
    trouble: Option<Trouble>,
    /// When it was last said that a message cannot be kept whatever the disk does.
    declined: Option<Duration>,
    ending: bool,
    /// What was given up, and has not been told yet.
    losses: Losses,
    teller: Teller,
    /// Messages that came to be kept, and those of them that no crash can lose.
    came: u64,
    settled: Settled,
    disk: DiskQueue,
    /// Where the queue is, for those who are to make room.
    directory: PathBuf,
}

impl Keeping {
    pub(super) fn new(
        spool: Spool,
        counters: Arc<Counters>,
        outs: Vec<(mpsc::Sender<Come>, Arc<BrokerCounters>)>,
        config: &QueueConfig,
        (teller, settled): (Teller, Settled),
    ) -> Self {
        let out = |(come, counters)| {
            let pace = Pace { rate: config.replay_rate, next: Duration::ZERO };
            Out { come, counters, connection: None, under_way: BTreeSet::new(), pace, finishing: false }
        };
        let outs = outs.into_iter().map(out).collect();
        let (held, losses) = (VecDeque::new(), Losses::default());
        let disk = DiskQueue { max_bytes: config.max_bytes, ..DiskQueue::default() };
        Self {
            spool,
            counters,
            outs,
            held,
            counted: Duration::ZERO,
            trouble: None,
            declined: None,
            ending: false,
            losses,
            teller,
            came: 0,
            settled,
            disk,
            directory: config.directory.clone(),
        }
    }

    /// What was found when the queue was opened: what stood in a damaged piece is lost.
    pub(super) fn damaged(&mut self, damage: &[Damage]) {
        let brokers = self.outs.iter().enumerate().fold(0, |bits, (broker, _)| bits | 1 << broker);
        for damage in damage.iter().filter(|damage| damage.kind != DamageKind::Torn) {
            let class = Class::ALL.into_iter().find(|class| damage.file.ends_with(&format!(".{class}")));
            let kept = self.teller.damaged(class.unwrap_or(Class::Event), brokers, SystemTime::now());
            self.keep(kept, since_boot());
        }
    }

    pub(super) fn run(mut self, heard: &Receiver<Word>) {
        let mut pause = Duration::ZERO;
        while !self.ending {
            match heard.recv_timeout(pause) {
                Ok(word) => {
                    self.deal(word);
                    heard.try_iter().take(UNDER_WAY).for_each(|word| self.deal(word));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = since_boot();
            let (begun, before) = (Instant::now(), self.spool.syncs());
            let ticked = self.spool.tick(now);
            self.disk.timed(begun, (before, self.spool.syncs()));
            if let Err(error) = ticked {
                self.complain(&error);
            }
            self.write_held(now);
            let next = (0..self.outs.len()).filter_map(|broker| self.hand_out(broker, now)).min();
            self.release(now);
            self.settled.set(self.came, self.came.saturating_sub(self.held.len() as u64));
            self.tell(now);
            let due = self.spool.due().into_iter().chain(next).min();
            pause = due.map_or(LOOK, |due| due.saturating_sub(now).clamp(Duration::from_millis(1), LOOK));
        }
        self.tell_losses(since_boot(), true);
        for (kept, _) in std::mem::take(&mut self.held) {
            self.lost(&kept, DropReason::Shutdown);
        }
        self.counted = Duration::ZERO;
        self.tell(since_boot());
        if let Err(error) = self.spool.close(since_boot()) {
            tracing::error!(%error, "what came last is not safe on disk");
        }
    }

    fn deal(&mut self, word: Word) {
        let now = since_boot();
        match word {
            Word::Keep(kept) => {
                self.came += 1;
                self.keep(kept, now);
            }
            Word::Connected(broker, connection) => self.outs[broker].connection = Some(connection),
            Word::Lost(broker, in_order) => {
                let out = &mut self.outs[broker];
                out.connection = None;
                out.under_way.clear();
                // As far back as it is kept.
                let again = if in_order { 0 } else { self.spool.unacknowledge_since(broker, Duration::ZERO) };
                self.spool.rewind(broker);
                if again > 0 {
                    tracing::info!(messages = again, "acknowledged shortly before the broker was lost: they are sent again");
                }
            }
            Word::Answered { broker, stream, number, refused } => {
                self.outs[broker].under_way.remove(&number);
                if refused {
                    self.spool.refuse(broker, &stream, number, now);
                } else {
                    self.spool.acknowledge(broker, &stream, number, now);
                }
            }
            Word::Refused(losses) => self.losses.join(losses),
            Word::Finish(broker) => self.outs[broker].finishing = true,
            Word::End => self.ending = true,
        }
    }

    /// What comes while others are held waits behind them.
    fn keep(&mut self, kept: Kept, now: Duration) {
        if self.held.len() >= HELD {
            self.refused(&kept);
            self.lost(&kept, DropReason::Overflow);
            return;
        }
        let taken = if self.held.is_empty() { self.append(&kept, now) } else { Taken::DeviceFails };
        match taken {
            Taken::Yes => self.recovered(),
            Taken::DeviceFails => {
                self.trouble.get_or_insert_default().waited += 1;
                self.held.push_back((kept, now));
            }
            // Nobody waits for it, and it waits for nobody.
            Taken::Never => {
                let refused = brokers(kept.brokers).filter(|broker| !self.outs[*broker].unkept(&kept, false));
                let brokers = refused.fold(0, |bits, broker| bits | 1 << broker);
                if brokers != 0 {
                    let kept = Kept { brokers, ..kept };
                    self.refused(&kept);
                    self.lost(&kept, DropReason::Overflow);
                }
            }
        }
    }

    /// The disk did not take it, and nobody else does.
    fn refused(&mut self, kept: &Kept) {
        self.losses.refused(kept);
        self.disk.lost += 1;
        self.trouble.iter_mut().for_each(|trouble| trouble.lost += 1);
    }

    /// Counts a record as lost for its brokers.
    fn lost(&self, kept: &Kept, reason: DropReason) {
        brokers(kept.brokers).for_each(|broker| self.outs[broker].counters.lost(Kept::family(kept.class), reason));
    }

    /// Tries the disk again with what is held.
    fn write_held(&mut self, now: Duration) {
        while let Some((kept, since)) = self.held.pop_front() {
            match self.append(&kept, now) {
                Taken::Yes => self.recovered(),
                Taken::DeviceFails => {
                    self.held.push_front((kept, since));
                    return;
                }
                Taken::Never => {
                    self.refused(&kept);
                    self.lost(&kept, DropReason::Overflow);
                }
            }
        }
    }

    /// Sends what is held to a broker that has answered all that is on the disk: that may stay as it is.
    fn release(&mut self, now: Duration) {
        if self.held.is_empty() {
            return;
        }
        let waiting = self.spool.stats(now).waiting;
        for (broker, out) in self.outs.iter().enumerate() {
            let bit = 1 << broker;
            if out.connection.is_none() || waiting.get(broker) != Some(&0) {
                continue;
            }
            for (kept, since) in self.held.iter_mut().filter(|(kept, _)| kept.brokers & bit != 0) {
                if !out.unkept(kept, now.saturating_sub(*since) > PROMPT) {
                    break;
                }
                kept.brokers &= !bit;
            }
        }
        self.held.retain(|(kept, _)| kept.brokers != 0);
    }

    /// Offers it to the disk.
    fn append(&mut self, kept: &Kept, now: Duration) -> Taken {
        let record = Record {
            class: kept.class,
            stream: &kept.stream,
            seq: kept.seq,
            id: &kept.id,
            topic: &kept.topic,
            properties: &[],
            payload: &kept.payload,
            at: kept.at,
        };
        let (begun, before) = (Instant::now(), self.spool.syncs());
        let taken = self.spool.append(&record, kept.brokers, now);
        self.disk.timed(begun, (before, self.spool.syncs()));
        match taken {
            Ok(_) => Taken::Yes,
            Err(error @ (SpoolError::NoRoom { .. } | SpoolError::TooLarge { .. })) => {
                self.decline(&error, now);
                Taken::Never
            }
            Err(error) => {
                self.complain(&error);
                Taken::DeviceFails
            }
        }
    }

    /// Says what is wrong with the disk, once.
    fn complain(&mut self, error: &SpoolError) {
        if self.trouble.is_none() {
            let directory = self.directory.display();
            tracing::error!(%directory, %error, "the queue cannot be written: what comes waits in memory");
            self.trouble = Some(Trouble::default());
        }
    }

    /// Says once that this is over, when nothing waits in memory any more.
    fn recovered(&mut self) {
        if self.held.is_empty()
            && let Some(Trouble { waited, lost }) = self.trouble.take()
        {
            tracing::info!(
                waited,
                lost,
                "the queue is written again: so many messages had waited in memory, so many were lost meanwhile"
            );
        }
    }

    /// Says now and then that the disk does well, and a message is not for it.
    fn decline(&mut self, error: &SpoolError, now: Duration) {
        if self.declined.is_none_or(|said| now.saturating_sub(said) >= DECLINE) {
            self.declined = Some(now);
            tracing::warn!(%error, "a message is not kept on disk: it is sent if a broker takes it now, and told to be lost if not");
        }
    }

    /// Hands out what may go to a broker; when more may.
    fn hand_out(&mut self, broker: usize, now: Duration) -> Option<Duration> {
        let Self { spool, outs, held, .. } = self;
        let out = &mut outs[broker];
        let connection = out.connection?;
        // Cameras whose backlog may not go on yet hold up none that has no backlog.
        while out.under_way.len() < UNDER_WAY {
            let Some(delivery) = spool.next_if(broker, now, out.pace.is_due(now)) else { break };
            let (stream, number, delayed) = (delivery.stream.clone(), delivery.number, delivery.delayed);
            if out.come.try_send(Come::Delivery(connection, delivery)).is_err() {
                spool.hand_back(broker, &stream, number);
                break;
            }
            out.under_way.insert(number);
            if delayed {
                out.pace.take(now);
            }
        }
        if out.finishing
            && held.iter().all(|(kept, _)| kept.brokers >> broker & 1 == 0)
            && spool.stats(now).waiting.get(broker) == Some(&0)
            && out.come.try_send(Come::Finished).is_ok()
        {
            out.finishing = false;
        }
        // What the broker answers wakes us too.
        (out.under_way.len() < UNDER_WAY && !out.pace.is_due(now) && spool.has_next(broker)).then_some(out.pace.next)
    }

    /// What was given up, and how it stands.
    fn tell(&mut self, now: Duration) {
        for mut loss in self.spool.take_losses() {
            if *loss.stream == *STREAM {
                // What such messages said is not lost.
                loss.count = self.teller.again(&loss, &mut self.losses);
                if loss.count == 0 {
                    continue;
                }
            }
            self.losses.given_up(&loss);
            self.disk.lost += loss.count;
            let reason = match loss.reason {
                LossReason::Size => DropReason::Overflow,
                LossReason::Age => DropReason::Expired,
                LossReason::Damage => DropReason::Damaged,
            };
            let (class, camera, reason_) = (loss.class.as_str(), &*loss.stream, loss.reason.as_str());
            tracing::warn!(class, camera, messages = loss.count, reason = reason_, at = ?loss.at, "given up before the broker had them");
            for broker in brokers(loss.brokers) {
                for _ in 0..loss.count {
                    self.outs[broker].counters.lost(Kept::family(loss.class), reason);
                }
            }
        }
        self.tell_losses(now, false);
        if now < self.counted + COUNT {
            return;
        }
        self.counted = now;
        let stats = self.spool.stats(now);
        self.disk.stands(&stats);
        self.counters.set_disk(self.disk);
        self.outs.iter().zip(stats.waiting).for_each(|(out, waiting)| out.counters.set_kept(waiting));
        self.counters.set_kept_bytes(stats.bytes);
    }
}

impl Keeping {
    /// What was lost is told by the queue itself, once there is room for the message.
    fn tell_losses(&mut self, now: Duration, ends: bool) {
        if self.held.len() >= HELD && !ends {
            return;
        }
        for kept in self.teller.tell(&mut self.losses, (now, SystemTime::now()), ends) {
            self.keep(kept, now);
        }
    }
}

/// The numbers of the brokers that bits stand for.
fn brokers(bits: u16) -> impl Iterator<Item = usize> {
    (0..16).filter(move |broker| bits >> broker & 1 == 1)
}
