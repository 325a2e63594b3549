//! The queue on disk: what must reach a broker survives the broker's absence, the daemon's crash and a power cut.
//!
//! No input and output beside one flat folder, no thread and no clock of its own: the caller says what time it is, and calls [`Spool::tick`].
//!
//! # Promises
//! - What [`Spool::append`] took outlives the daemon at once (it is with the kernel), and the power from the next sync on. Syncs are batched:
//!   after [`Settings::sync_window`], or [`Settings::sync_records`], whichever is first. A power cut costs at most that.
//! - Records of one camera are handed out in the order in which they were taken; cameras take turns, and none waits for another.
//! - A record is kept until each broker that it is for has acknowledged it, and [`Settings::keep_acknowledged`] longer, because brokers
//!   acknowledge before they deliver. At least once, therefore: a record may come twice, with the same identity.
//! - Size and age are bounded. Room is made by giving up the oldest counts, then the oldest ends of tracks, then the oldest events, a segment
//!   at a time; records are never given up for less important ones. Whatever is given up is told by [`Spool::take_losses`].
//! - It always opens, except where another daemon has it open, another version wrote it, or the folder cannot be written. What is wrong in the
//!   files is set aside and told, and costs no sound record.
//!
//! # Files
//! One row of segments per class, `0000002a.event`, `.track_end`, `.count`: written at their end only, a new one after
//! [`Settings::segment_bytes`], after an eighth of [`Settings::max_age`], and with each start; deleted as a whole, which is what makes it kind to
//! flash: nothing is ever rewritten or compacted, and a deleted file is an erase block or several. Sixteen bytes of magic, version and checksum,
//! then frames: `mark · length · CRC32C · body`. The first one holds the brokers' names, the next number and an anchor of the clock;
//! the others are records, and acknowledgements of records of the same class. All numbers are little-endian.
//!
//! Numbers count all records, through all classes and starts. Deleting is by prefix within a class, so that no acknowledgement goes before what
//! it acknowledges, and the newest file stays, so that no number comes twice.
//!
//! # After a crash
//! Each file is read from its beginning. What is no sound frame is searched for the next sound one; the bytes between are copied to
//! `<file>.<offset>.damaged` and reported. If none follows, the end was torn by the crash: it is cut off and reported. Segments of an
//! earlier run are never written to again.
//!
//! # When the device fails
//! A write that fails refuses the record. A sync that fails leaves the records since the last one in memory as well as in the system's cache, which may
//! have dropped them; they are written again, to a new segment, until a sync succeeds.

mod clock;
mod crc;
mod error;
mod folder;
mod frame;
mod index;
mod log;
mod loss;
mod queue;
mod record;
mod recover;
mod state;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use clock::{boot, since_boot};
pub use error::SpoolError;
pub use folder::{Disk, Folder};
pub use loss::{Loss, LossReason};
pub use queue::Spool;
pub use state::States;

/// How important a record is, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// A count: the next one says it again.
    Count,
    /// A track has ended.
    TrackEnd,
    /// An event.
    Event,
}

impl Class {
    /// All of them, the least important first.
    pub const ALL: [Self; 3] = [Self::Count, Self::TrackEnd, Self::Event];

    /// Its name in files, metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::TrackEnd => "track_end",
            Self::Event => "event",
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A message to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// How important it is.
    pub class: Class,
    /// Its camera: within it the order is kept.
    pub stream: &'a str,
    /// Its number in the messages of its kind.
    pub seq: u64,
    /// Its identity, the same each time it is sent.
    pub id: &'a str,
    /// Where it is published.
    pub topic: &'a str,
    /// What is sent along with it (MQTT 5 properties, the format), by name.
    pub properties: &'a [(&'a str, &'a str)],
    /// The message.
    pub payload: &'a [u8],
    /// When it happened. Only told, never compared with a clock.
    pub at: SystemTime,
}

impl Record<'_> {
    /// Bytes of everything in it.
    fn size(&self) -> usize {
        let properties: usize = self.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.stream.len() + self.id.len() + self.topic.len() + properties + self.payload.len()
    }
}

/// A record that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its number in the queue: what is acknowledged.
    pub number: u64,
    /// See [`Record::class`].
    pub class: Class,
    /// See [`Record::stream`].
    pub stream: Arc<str>,
    /// See [`Record::seq`].
    pub seq: u64,
    /// See [`Record::id`].
    pub id: String,
    /// See [`Record::topic`].
    pub topic: String,
    /// See [`Record::properties`].
    pub properties: Vec<(String, String)>,
    /// See [`Record::payload`].
    pub payload: Vec<u8>,
    /// See [`Record::at`].
    pub at: SystemTime,
    /// It has waited, or another run of the daemon took it.
    pub delayed: bool,
}

/// Limits and habits of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Names of the brokers, 1 to 16; what is kept for another one is given up.
    pub brokers: Vec<String>,
    /// Most bytes of all segments together.
    pub max_bytes: u64,
    /// Oldest record, in time during which the machine ran.
    pub max_age: Duration,
    /// Most bytes of one segment, so also the least that is given up at once.
    pub segment_bytes: u32,
    /// Most bytes of one record.
    pub max_record: u32,
    /// Longest time until a sync.
    pub sync_window: Duration,
    /// Most records until a sync.
    pub sync_records: u32,
    /// For how long an acknowledgement can be undone.
    pub keep_acknowledged: Duration,
    /// Whoever waits longer is delayed.
    pub delayed_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            brokers: vec!["mqtt".into()],
            max_bytes: 64 << 20,
            max_age: Duration::from_hours(7 * 24),
            segment_bytes: 1 << 20,
            max_record: 256 << 10,
            sync_window: Duration::from_millis(200),
            sync_records: 256,
            keep_acknowledged: Duration::from_secs(5),
            delayed_after: Duration::from_secs(2),
        }
    }
}

impl Settings {
    fn check(&self) -> Result<(), SpoolError> {
        let refuse = |key, reason: &str| Err(SpoolError::Settings { key, reason: reason.into() });
        if !(1..=16).contains(&self.brokers.len()) {
            return refuse("brokers", "are to be 1 to 16");
        }
        let mut names: Vec<_> = self.brokers.iter().collect();
        names.sort_unstable();
        if names.windows(2).any(|two| two[0] == two[1]) || names.iter().any(|name| name.len() > 255) {
            return refuse("brokers", "are to have names of their own, of at most 255 bytes");
        }
        if !(4096..=16 << 20).contains(&self.segment_bytes) {
            return refuse("segment_bytes", "is to be from 4 KiB to 16 MiB");
        }
        if self.max_bytes < 8 * u64::from(self.segment_bytes) {
            return refuse("max_bytes", "is to be at least eight times segment_bytes");
        }
        if self.max_record == 0 || self.max_record > self.segment_bytes.min(1 << 20) {
            return refuse("max_record", "is to be at most segment_bytes, and at most 1 MiB");
        }
        if self.sync_records == 0 || self.max_age.is_zero() {
            return refuse("sync_records and max_age", "are to be more than nothing");
        }
        Ok(())
    }
}

/// What was found when a queue was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Records that are kept.
    pub records: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// What could not be read, each told once.
    pub damage: Vec<Damage>,
    /// Records for brokers that there are no more.
    pub orphaned: u64,
}

/// A piece of a file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, in the queue's folder.
    pub file: String,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// What is wrong.
    pub kind: DamageKind,
    /// The file that it was copied to.
    pub kept: Option<String>,
}

/// What is wrong with a piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// The end was never written as a whole: a crash or a power cut. It was cut off.
    Torn,
    /// Something else than what was written. It was skipped.
    Wrong,
    /// The device does not give it back, and why. The file was set aside.
    Unreadable(String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, bytes, .. } = self;
        match &self.kind {
            DamageKind::Torn => write!(f, "{file}: {bytes} bytes from {offset} on were never written as a whole: cut off")?,
            DamageKind::Wrong => write!(f, "{file}: {bytes} bytes at {offset} are not what was written: skipped")?,
            DamageKind::Unreadable(reason) => write!(f, "{file} cannot be read: {reason}")?,
        }
        self.kept.as_ref().map_or(Ok(()), |kept| write!(f, ", kept as {kept}"))
    }
}

/// How a queue stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// For each broker: records that it has not acknowledged.
    pub waiting: Vec<u64>,
    /// Bytes of all segments.
    pub bytes: u64,
    /// How many there are.
    pub segments: usize,
    /// Age of the oldest record that is kept, acknowledged ones included.
    pub oldest: Option<Duration>,
    /// Records taken since it was opened.
    pub appended: u64,
    /// Bytes of their messages.
    pub payload_bytes: u64,
    /// Bytes written to files since it was opened.
    pub written: u64,
    /// Files synced since it was opened.
    pub syncs: u64,
}

/// The bits of so many brokers.
fn all(brokers: usize) -> u16 {
    u16::MAX.checked_shr(16_u32.saturating_sub(brokers as u32)).unwrap_or_default()
}

#[cfg(test)]
use crate::file::cut;
#[cfg(test)]
mod kill_tests;
#[cfg(test)]
mod power_tests;
#[cfg(test)]
mod queue_tests;
#[cfg(test)]
mod turn_tests;
#[cfg(test)]
mod window_tests;
