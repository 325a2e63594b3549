//! The queue on disk, on a thread of its own: a disk that takes a second to sync holds up no frame.
//!
//! What is kept goes to the thread, and comes back from it to be sent: at once while the broker is there, later where it was away, from the
//! last run too. So many are under way at most; the broker's acknowledgement makes room for the next one.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    counters::{Counters, DropReason},
    spool::{Class, Delivery, LossReason, Record, Settings, Spool, SpoolError, since_boot},
    topics::Family,
};
use crate::config::QueueConfig;

/// Most records that are under way to the broker at once.
const UNDER_WAY: usize = 128;
/// Most words to the thread that wait while the disk is slow. What comes then is dropped, and counted.
const WORDS: usize = 8192;
/// What waits is counted so often.
const COUNT: Duration = Duration::from_millis(250);
/// Most records that wait in memory while the disk takes none.
const HELD: usize = 4096;
/// How long one of these may wait without being told as delayed.
const PROMPT: Duration = Duration::from_secs(2);
/// The clock of the queue is looked at so often.
const LOOK: Duration = Duration::from_secs(1);

/// A message to keep.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) class: Class,
    pub(super) stream: Arc<str>,
    pub(super) seq: u64,
    pub(super) id: String,
    pub(super) topic: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) at: SystemTime,
}

impl Kept {
    /// How important a message is; `None`: it is not kept.
    pub(super) fn class(topic: &str, family: Family) -> Option<Class> {
        match family {
            Family::Event => Some(Class::Event),
            Family::Track if topic.ends_with("/track/end") => Some(Class::TrackEnd),
            _ => None,
        }
    }

    pub(super) fn family(class: Class) -> Family {
        match class {
            Class::Event => Family::Event,
            Class::TrackEnd => Family::Track,
            Class::Count => Family::Count,
        }
    }
}

/// A word to the thread.
enum Word {
    Keep(Kept),
    /// A broker is there, for the time of this connection.
    Connected(u64),
    /// It is not any more, and had said goodbye or not.
    Lost,
    /// Of a record: the broker has it, or will never have it.
    Answered {
        stream: Arc<str>,
        number: u64,
        refused: bool,
    },
    /// Say when nothing waits any more.
    Finish,
}

/// A word from the thread.
#[derive(Debug)]
pub(super) enum Come {
    /// To be sent, if this is still the same connection.
    Delivery(u64, Delivery),
    /// The disk did not take it: it was only in memory. Whether it has waited there.
    Unkept(Kept, bool),
    /// Nothing waits any more.
    Finished,
}

/// The publisher's side.
pub(super) struct Keeper {
    words: SyncSender<Word>,
    /// Those that the thread had no room for.
    waiting: VecDeque<Word>,
    come: mpsc::Receiver<Come>,
    connection: u64,
    /// Which run of the daemon this is, and how many messages it has kept: that names each of them.
    boot_id: String,
    kept: u64,
    thread: Option<thread::JoinHandle<()>>,
}

/// How a queue is to be, as it was configured.
fn settings(config: &QueueConfig) -> Settings {
    Settings {
        max_bytes: config.max_bytes,
        max_age: config.max_age,
        sync_window: config.sync_interval,
        keep_acknowledged: config.keep_acknowledged,
        ..Settings::default()
    }
}

/// What goes wrong before the thread runs.
#[derive(Debug, thiserror::Error)]
enum KeeperError {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("no thread for the queue: {0}")]
    Thread(#[from] io::Error),
}

impl Keeper {
    /// The queue, where one is configured and can be opened.
    pub(super) fn open(config: Option<&QueueConfig>, boot_id: &str, counters: &Arc<Counters>) -> Option<Self> {
        let Some(config) = config else {
            tracing::info!("no queue on disk is configured ([queue] directory): events wait in memory while the broker is away");
            return None;
        };
        match Self::start(config, boot_id.to_owned(), counters.clone()) {
            Ok(keeper) => Some(keeper),
            Err(error) => {
                tracing::error!(%error, "there is no queue on disk: events wait in memory only, and are lost with the daemon");
                None
            }
        }
    }

    /// Opens the queue and starts its thread.
    fn start(config: &QueueConfig, boot_id: String, counters: Arc<Counters>) -> Result<Self, KeeperError> {
        let (spool, opened) = Spool::open_at(&config.directory, settings(config))?;
        let directory = config.directory.display();
        for damage in &opened.damage {
            tracing::warn!(%directory, "the queue was damaged: {damage}");
        }
        if opened.orphaned > 0 {
            tracing::warn!(%directory, messages = opened.orphaned, "given up: they were kept for a broker that is not configured any more");
        }
        tracing::info!(%directory, messages = opened.records, bytes = opened.bytes, "the queue is open");
        counters.set_kept(opened.records, opened.bytes);
        let (words, heard) = sync_channel(WORDS);
        let (out, come) = mpsc::channel(2 * UNDER_WAY);
        let keeping = Keeping {
            spool,
            counters,
            out,
            connection: None,
            under_way: BTreeSet::new(),
            pace: Pace { rate: config.replay_rate, next: Duration::ZERO },
            held: VecDeque::new(),
            counted: Duration::ZERO,
            finishing: false,
            complained: false,
        };
        let thread = thread::Builder::new().name("queue".into()).spawn(move || keeping.run(&heard))?;
        Ok(Self { words, waiting: VecDeque::new(), come, connection: 0, boot_id, kept: 0, thread: Some(thread) })
    }

    fn say(&mut self, word: Word) {
        self.waiting.push_back(word);
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(word) = self.waiting.pop_front() {
            match self.words.try_send(word) {
                Ok(()) => {}
                Err(TrySendError::Full(word)) => {
                    self.waiting.push_front(word);
                    return;
                }
                // Its panic is reported where panics are.
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }

    /// Keeps a message, and sends it. `false`: the disk is too slow for all that comes.
    pub(super) fn keep(&mut self, class: Class, stream: &str, topic: &Arc<str>, payload: Bytes, at: SystemTime) -> bool {
        let (seq, id) = (self.kept, format!("{}-{:x}", self.boot_id, self.kept));
        self.kept += 1;
        if self.waiting.len() >= WORDS {
            self.flush();
        }
        let room = self.waiting.len() < WORDS;
        if room {
            self.say(Word::Keep(Kept { class, stream: stream.into(), seq, id, topic: topic.clone(), payload, at }));
        }
        room
    }

    /// A broker is there.
    pub(super) fn connected(&mut self) {
        self.connection += 1;
        self.say(Word::Connected(self.connection));
    }

    /// It is not any more.
    pub(super) fn lost(&mut self) {
        self.connection += 1;
        self.say(Word::Lost);
    }

    /// The broker has a record, or refuses it.
    pub(super) fn answered(&mut self, stream: Arc<str>, number: u64, refused: bool) {
        self.say(Word::Answered { stream, number, refused });
    }

    /// Asks for [`Come::Finished`].
    pub(super) fn finish(&mut self) {
        self.say(Word::Finish);
    }

    /// The next word, if one has come.
    pub(super) fn try_next(&mut self) -> Option<Come> {
        loop {
            match self.come.try_recv().ok()? {
                Come::Delivery(connection, _) if connection != self.connection => {}
                come => return Some(come),
            }
        }
    }

    /// The next word. Safe to drop and call again. Ends never by itself.
    pub(super) async fn next(&mut self) -> Come {
        loop {
            self.flush();
            match self.come.recv().await {
                Some(Come::Delivery(connection, _)) if connection != self.connection => {}
                Some(come) => return come,
                None => std::future::pending().await,
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Nothing waits for us any more: this may.
        while let Some(word) = self.waiting.pop_front() {
            if self.words.send(word).is_err() {
                break;
            }
        }
        let (nobody, _) = sync_channel(0);
        // The thread ends when nobody can speak to it any more, and syncs before.
        drop(std::mem::replace(&mut self.words, nobody));
        if let Some(thread) = self.thread.take() {
            let _panic_is_reported = thread.join();
        }
    }
}

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
    fn take(&mut self, now: Duration) -> bool {
        let due = now >= self.next;
        if due {
            // What was not used of the last tenth of a second may be made up for.
            self.next = self.next.max(now.saturating_sub(Duration::from_millis(100))) + Duration::from_secs(1) / self.rate;
        }
        due
    }
}

/// The thread's side.
struct Keeping {
    spool: Spool,
    counters: Arc<Counters>,
    out: mpsc::Sender<Come>,
    connection: Option<u64>,
    /// Numbers that the broker has not answered.
    under_way: BTreeSet<u64>,
    pace: Pace,
    /// Records that the disk did not take, and since when.
    held: VecDeque<(Kept, Duration)>,
    counted: Duration,
    finishing: bool,
    complained: bool,
}

impl Keeping {
    fn run(mut self, heard: &Receiver<Word>) {
        let mut pause = Duration::ZERO;
        loop {
            match heard.recv_timeout(pause) {
                Ok(word) => {
                    self.deal(word);
                    heard.try_iter().take(UNDER_WAY).for_each(|word| self.deal(word));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = since_boot();
            if let Err(error) = self.spool.tick(now) {
                self.complain(&error);
            }
            self.write_held(now);
            let next = self.hand_out(now);
            self.release(now);
            self.tell(now);
            let due = self.spool.due().into_iter().chain(next).min();
            pause = due.map_or(LOOK, |due| due.saturating_sub(now).clamp(Duration::from_millis(1), LOOK));
        }
        for (kept, _) in std::mem::take(&mut self.held) {
            self.counters.lost(Kept::family(kept.class), DropReason::Shutdown);
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
            Word::Keep(kept) => self.keep(kept, now),
            Word::Connected(connection) => self.connection = Some(connection),
            Word::Lost => {
                self.connection = None;
                self.under_way.clear();
                // As far back as it is kept.
                let again = self.spool.unacknowledge_since(0, Duration::ZERO);
                self.spool.rewind(0);
                if again > 0 {
                    tracing::info!(messages = again, "acknowledged shortly before the broker was lost: they are sent again");
                }
            }
            Word::Answered { stream, number, refused: true } => {
                self.under_way.remove(&number);
                self.spool.refuse(0, &stream, number, now);
            }
            Word::Answered { stream, number, refused: false } => {
                self.under_way.remove(&number);
                self.spool.acknowledge(0, &stream, number, now);
            }
            Word::Finish => self.finishing = true,
        }
    }

    /// What comes while others are held waits behind them.
    fn keep(&mut self, kept: Kept, now: Duration) {
        if self.held.len() >= HELD {
            self.counters.lost(Kept::family(kept.class), DropReason::Overflow);
            return;
        }
        let taken = if self.held.is_empty() { self.append(&kept, now) } else { Taken::DeviceFails };
        match taken {
            Taken::Yes => {}
            Taken::DeviceFails => self.held.push_back((kept, now)),
            // Nobody waits for it, and it waits for nobody.
            Taken::Never => self.send_unkept(kept, false).unwrap_or_else(|kept| {
                self.counters.lost(Kept::family(kept.class), DropReason::Overflow);
            }),
        }
    }

    fn send_unkept(&self, kept: Kept, delayed: bool) -> Result<(), Box<Kept>> {
        self.out.try_send(Come::Unkept(kept, delayed)).or_else(|refused| match refused.into_inner() {
            Come::Unkept(kept, _) => Err(Box::new(kept)),
            Come::Delivery(..) | Come::Finished => Ok(()),
        })
    }

    /// Tries the disk again with what is held.
    fn write_held(&mut self, now: Duration) {
        while let Some((kept, since)) = self.held.pop_front() {
            match self.append(&kept, now) {
                Taken::Yes => {}
                Taken::DeviceFails => {
                    self.held.push_front((kept, since));
                    return;
                }
                Taken::Never => self.counters.lost(Kept::family(kept.class), DropReason::Overflow),
            }
        }
    }

    /// Sends what is held, once all that is on the disk has been answered: the disk may stay as it is.
    fn release(&mut self, now: Duration) {
        if self.held.is_empty() || self.connection.is_none() || self.spool.stats(now).waiting != [0] {
            return;
        }
        while let Some((kept, since)) = self.held.pop_front() {
            if let Err(kept) = self.send_unkept(kept, now.saturating_sub(since) > PROMPT) {
                self.held.push_front((*kept, since));
                return;
            }
        }
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
        match self.spool.append(&record, 1, now) {
            Ok(_) => {
                if std::mem::take(&mut self.complained) {
                    tracing::info!("the queue can be written again");
                }
                Taken::Yes
            }
            Err(error) => {
                self.complain(&error);
                match error {
                    SpoolError::NoRoom { .. } | SpoolError::TooLarge { .. } => Taken::Never,
                    _ => Taken::DeviceFails,
                }
            }
        }
    }

    /// Says what is wrong with the disk, once.
    fn complain(&mut self, error: &SpoolError) {
        if !self.complained {
            tracing::error!(%error, "the queue cannot be written: what comes waits in memory");
        }
        self.complained = true;
    }

    /// Hands out what may go; when more may.
    fn hand_out(&mut self, now: Duration) -> Option<Duration> {
        let connection = self.connection?;
        // Cameras whose backlog may not go on yet; they hold up none that has no backlog.
        let (mut held, mut moved) = (BTreeSet::new(), false);
        while self.under_way.len() < UNDER_WAY {
            let Some(delivery) = self.spool.next(0, now) else { break };
            let (stream, number) = (delivery.stream.clone(), delivery.number);
            if delivery.delayed && !self.pace.take(now) {
                self.spool.hand_back(0, &stream, number);
                if !held.insert(stream) && !std::mem::take(&mut moved) {
                    break;
                }
                continue;
            }
            if self.out.try_send(Come::Delivery(connection, delivery)).is_err() {
                self.spool.hand_back(0, &stream, number);
                break;
            }
            self.under_way.insert(number);
            moved = true;
        }
        if self.finishing
            && self.held.is_empty()
            && self.spool.stats(now).waiting == [0]
            && self.out.try_send(Come::Finished).is_ok()
        {
            self.finishing = false;
        }
        (!held.is_empty()).then_some(self.pace.next)
    }

    /// What was given up, and how it stands.
    fn tell(&mut self, now: Duration) {
        for loss in self.spool.take_losses() {
            let reason = match loss.reason {
                LossReason::Size => DropReason::Overflow,
                LossReason::Age => DropReason::Expired,
                LossReason::Damage => DropReason::Damaged,
            };
            let (class, camera, reason_) = (loss.class.as_str(), &*loss.stream, loss.reason.as_str());
            tracing::warn!(class, camera, messages = loss.count, reason = reason_, at = ?loss.at, "given up before the broker had them");
            for _ in 0..loss.count {
                self.counters.lost(Kept::family(loss.class), reason);
            }
        }
        if now < self.counted + COUNT {
            return;
        }
        self.counted = now;
        let stats = self.spool.stats(now);
        self.counters.set_kept(stats.waiting.first().copied().unwrap_or_default(), stats.bytes);
    }
}
