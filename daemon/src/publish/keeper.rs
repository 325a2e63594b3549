//! The queue on disk, on a thread of its own: a disk that takes a second to sync holds up no frame.
//!
//! What is kept goes to the thread, and comes back from it to be sent: at once while the broker is there, later where it was away, from the
//! last run too. So many are under way at most; the broker's acknowledgement makes room for the next one.

mod keeping;
mod losses;

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::SystemTime,
};

use bytes::Bytes;
use tokio::sync::mpsc;

pub(super) use self::losses::Teller;
use self::{keeping::Keeping, losses::Losses};
use super::{
    counters::{BrokerCounters, Counters},
    spool::{Class, Delivery, Settings, Spool, SpoolError},
    topics::Family,
};
use crate::config::QueueConfig;

/// Most records that are under way to the broker at once.
const UNDER_WAY: usize = 128;
/// Most words to the thread that wait while the disk is slow. What comes then is dropped, and counted.
const WORDS: usize = 8192;

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
    /// For which brokers, as bits.
    pub(super) brokers: u16,
}

impl Kept {
    pub(super) fn family(class: Class) -> Family {
        match class {
            Class::Event => Family::Event,
            Class::TrackEnd => Family::Track,
            Class::Count => Family::Count,
        }
    }
}

/// A word to the thread. Brokers have their numbers, from 0.
enum Word {
    Keep(Kept),
    /// A broker is there, for the time of this connection.
    Connected(usize, u64),
    /// It is not any more; whether we had said goodbye.
    Lost(usize, bool),
    /// Of a record: the broker has it, or will never have it.
    Answered {
        broker: usize,
        stream: Arc<str>,
        number: u64,
        refused: bool,
    },
    /// Say when nothing waits for this broker any more.
    Finish(usize),
    /// There was no room here for what is told of in these.
    Refused(Losses),
    /// Nothing more is to be kept.
    End,
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

/// How far the thread is with the messages that it was given.
#[derive(Clone, Debug, Default)]
pub(super) struct Settled(Arc<[AtomicU64; 2]>);

impl Settled {
    /// How many it has looked at.
    fn seen(&self) -> u64 {
        self.0[0].load(Ordering::Acquire)
    }

    /// How many of them no crash of the daemon can lose any more: the disk has them, or nobody will.
    pub(super) fn safe(&self) -> u64 {
        self.0[1].load(Ordering::Acquire)
    }

    pub(super) fn set(&self, seen: u64, safe: u64) {
        self.0[0].store(seen, Ordering::Release);
        self.0[1].store(safe, Ordering::Release);
    }
}

/// What can be said to the thread without waiting for it.
struct Speaker {
    words: SyncSender<Word>,
    /// Those that the thread had no room for.
    waiting: VecDeque<Word>,
}

impl Speaker {
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
}

impl Drop for Speaker {
    fn drop(&mut self) {
        // Nothing waits for us any more: this may.
        while let Some(word) = self.waiting.pop_front() {
            if self.words.send(word).is_err() {
                break;
            }
        }
    }
}

/// The writer's side.
pub(super) struct Keeper {
    /// Taken when it ends.
    speaker: Option<Speaker>,
    /// Which run of the daemon this is, and how many messages it has kept: that names each of them.
    boot_id: String,
    kept: u64,
    /// Messages that the thread was given, and how far it is with them.
    given: u64,
    settled: Settled,
    /// Messages that it had been given when that was looked at last, and whether it was said that the disk does not answer.
    given_then: u64,
    stalled: bool,
    /// What there was no room for, until there is room to say so.
    refused: Losses,
    thread: Option<thread::JoinHandle<()>>,
}

/// A broker's side: what is kept for it.
pub(super) struct Backlog {
    broker: usize,
    speaker: Speaker,
    come: mpsc::Receiver<Come>,
    connection: u64,
}

/// How a queue is to be, as it was configured.
fn settings(config: &QueueConfig, brokers: &[Arc<BrokerCounters>]) -> Settings {
    Settings {
        brokers: brokers.iter().map(|broker| broker.name().to_owned()).collect(),
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

/// The queue for the brokers that are counted, where one is configured and can be opened: the writer's side, and each broker's.
pub(super) fn open(
    config: Option<&QueueConfig>,
    (boot_id, teller): (&str, Teller),
    counters: &Arc<Counters>,
) -> (Option<Keeper>, Vec<Option<Backlog>>) {
    let brokers = counters.brokers();
    let none = || (None, brokers.iter().map(|_| None).collect());
    let Some(config) = config else {
        tracing::info!("no queue on disk is configured ([queue] directory): events wait in memory while the broker is away");
        return none();
    };
    match start(config, &brokers, (boot_id.to_owned(), teller), counters.clone()) {
        Ok((keeper, backlogs)) => (Some(keeper), backlogs.into_iter().map(Some).collect()),
        Err(error) => {
            let directory = config.directory.display();
            tracing::error!(%directory, %error, "there is no queue on disk: events wait in memory only, and are lost with the daemon");
            none()
        }
    }
}

/// Opens the queue and starts its thread.
fn start(
    config: &QueueConfig,
    brokers: &[Arc<BrokerCounters>],
    (boot_id, teller): (String, Teller),
    counters: Arc<Counters>,
) -> Result<(Keeper, Vec<Backlog>), KeeperError> {
    let (spool, opened) = Spool::open_at(&config.directory, settings(config, brokers))?;
    let directory = config.directory.display();
    for damage in &opened.damage {
        tracing::warn!(%directory, "the queue was damaged: {damage}");
    }
    if opened.orphaned > 0 {
        tracing::warn!(%directory, messages = opened.orphaned, "given up: they were kept for a broker that is not configured any more");
    }
    tracing::info!(%directory, messages = opened.records, bytes = opened.bytes, "the queue is open");
    counters.set_kept_bytes(opened.bytes);
    let (words, heard) = sync_channel(WORDS);
    let speaker = || Speaker { words: words.clone(), waiting: VecDeque::new() };
    let (mut outs, mut backlogs) = (Vec::new(), Vec::new());
    for (broker, counters) in brokers.iter().enumerate() {
        let (out, come) = mpsc::channel(2 * UNDER_WAY);
        outs.push((out, counters.clone()));
        backlogs.push(Backlog { broker, speaker: speaker(), come, connection: 0 });
    }
    let speaker = Some(speaker());
    let settled = Settled::default();
    let mut keeping = Keeping::new(spool, counters, outs, config, (teller, settled.clone()));
    keeping.damaged(&opened.damage);
    let thread = thread::Builder::new().name("queue".into()).spawn(move || keeping.run(&heard))?;
    let refused = Losses::default();
    let (given, given_then, stalled) = (0, 0, false);
    Ok((Keeper { speaker, boot_id, kept: 0, given, settled, given_then, stalled, refused, thread: Some(thread) }, backlogs))
}

impl Keeper {
    /// Tries again what the thread had no room for.
    pub(super) fn flush(&mut self) {
        self.speaker.iter_mut().for_each(Speaker::flush);
    }

    /// Whether there is such.
    pub(super) fn is_behind(&self) -> bool {
        self.speaker.as_ref().is_some_and(|speaker| !speaker.waiting.is_empty())
    }

    /// Messages that the thread was given.
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// How many of them it has settled.
    pub(super) fn settled(&self) -> Settled {
        self.settled.clone()
    }

    /// Called now and then: tells of a disk that has not answered since the last call, and of its return. Whether it is in one.
    pub(super) fn is_stalled(&mut self) -> bool {
        let stalled = self.settled.seen() < std::mem::replace(&mut self.given_then, self.given);
        match (self.stalled, stalled) {
            (false, true) => {
                tracing::error!("the disk of the queue does not answer: events and ends of tracks wait for it in memory");
            }
            (true, false) => tracing::info!("the disk of the queue answers again"),
            _ => {}
        }
        self.stalled = stalled;
        stalled
    }

    /// Keeps a message for these brokers, and sends it. `false`: the disk is too slow for all that comes.
    pub(super) fn keep(
        &mut self,
        (class, stream, seq): (Class, &str, u64),
        topic: &Arc<str>,
        payload: Bytes,
        at: SystemTime,
        brokers: u16,
    ) -> bool {
        let id = format!("{}-{:x}", self.boot_id, self.kept);
        self.kept += 1;
        let Some(speaker) = &mut self.speaker else { return false };
        if speaker.waiting.len() >= WORDS {
            speaker.flush();
        }
        let kept = Kept { class, stream: stream.into(), seq, id, topic: topic.clone(), payload, at, brokers };
        let room = speaker.waiting.len() < WORDS;
        if room {
            speaker.say(Word::Keep(kept));
            self.given += 1;
            if !self.refused.is_empty() {
                speaker.say(Word::Refused(std::mem::take(&mut self.refused)));
            }
        } else {
            self.refused.refused(&kept);
        }
        room
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(mut speaker) = self.speaker.take() {
            if !self.refused.is_empty() {
                speaker.say(Word::Refused(std::mem::take(&mut self.refused)));
            }
            speaker.say(Word::End);
        }
        // It syncs before it ends.
        if let Some(thread) = self.thread.take() {
            let _panic_is_reported = thread.join();
        }
    }
}

impl Backlog {
    /// The broker is there.
    pub(super) fn connected(&mut self) {
        self.connection += 1;
        self.speaker.say(Word::Connected(self.broker, self.connection));
    }

    /// It is not any more. In `order`: what it acknowledged last is not doubted.
    pub(super) fn lost(&mut self, order: bool) {
        self.connection += 1;
        self.speaker.say(Word::Lost(self.broker, order));
    }

    /// It has a record, or refuses it.
    pub(super) fn answered(&mut self, stream: Arc<str>, number: u64, refused: bool) {
        self.speaker.say(Word::Answered { broker: self.broker, stream, number, refused });
    }

    /// Asks for [`Come::Finished`].
    pub(super) fn finish(&mut self) {
        self.speaker.say(Word::Finish(self.broker));
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
            self.speaker.flush();
            match self.come.recv().await {
                Some(Come::Delivery(connection, _)) if connection != self.connection => {}
                Some(come) => return come,
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests;
