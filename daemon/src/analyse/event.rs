//! What rules say: events, counts and summaries. Part of the words that travel; see [`crate::media::Tracked::verdicts`].

use std::{collections::BTreeMap, fmt, sync::Arc, time::SystemTime};

use serde::Serialize;

use super::sight::Sight;
use crate::media::{BBox, TrackId};

/// An event's identity: that of its start, its end, and of nothing else on this device, whenever it is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub u64);

impl EventId {
    /// From what makes an event the one it is. The same recording makes the same events (FNV-1a, 64 bits, and a finaliser).
    pub(super) fn of(camera: &str, rule: &str, tracks: (TrackId, TrackId), started: SystemTime) -> Self {
        let since = started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
        let numbers = [tracks.0.0, tracks.1.0, since];
        let bytes =
            camera.bytes().chain([0]).chain(rule.bytes()).chain([0]).chain(numbers.into_iter().flat_map(u64::to_le_bytes));
        let mut hash =
            bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        hash ^= hash >> 32;
        hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
        Self(hash ^ (hash >> 32))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Whether an event begins, ends, or is over as it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventPhase {
    /// It begins; an `end` with the same identity will follow.
    Start,
    /// It ends.
    End,
    /// It has happened.
    Once,
}

/// A way over a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// From the left hand to the right hand of somebody who walks along the line from its first point on.
    In,
    /// The other way.
    Out,
}

/// What an event's value is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
pub enum Unit {
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Objects.
    #[serde(rename = "objects")]
    Objects,
    /// Kilometres per hour.
    #[serde(rename = "km/h")]
    KilometresPerHour,
    /// Metres on the ground.
    #[serde(rename = "m")]
    Metres,
    /// Heights of the objects' boxes, where the camera has no ground plane.
    #[serde(rename = "heights")]
    Heights,
    /// Degrees off the arrow.
    #[serde(rename = "deg")]
    Degrees,
}

/// A value and what it had to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: Unit,
    /// The limit that it reached, in the same unit, where the rule has one.
    pub threshold: Option<f64>,
}

impl Measure {
    pub(super) fn new(value: f64, unit: Unit, threshold: Option<f64>) -> Self {
        Self { value, unit, threshold }
    }
}

/// An object that an event is about, as it was last seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// Its track.
    pub track: TrackId,
    /// Index into the model's class names.
    pub class: u16,
    /// 0..1.
    pub confidence: f32,
    /// In pixels of the source frame.
    pub bbox: BBox,
}

impl From<&Sight> for Object {
    fn from(sight: &Sight) -> Self {
        let Sight { track, class, confidence, bbox, .. } = *sight;
        Self { track, class, confidence, bbox }
    }
}

/// Most objects that one event names.
pub const MOST_OBJECTS: usize = 32;

/// A rule was met, or is met no longer. It is about the frame in whose story it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its identity.
    pub id: EventId,
    /// Name of the rule.
    pub rule: Arc<str>,
    /// The rule's kind, as the configuration names it.
    pub kind: &'static str,
    /// Start, end, or both at once.
    pub phase: EventPhase,
    /// When it began, by the clock of the frames: the moment of entering, not that at which a dwell time was over.
    pub started: SystemTime,
    /// What it is about, at most [`MOST_OBJECTS`]; the first one is who did it.
    pub objects: Vec<Object>,
    /// Lines: which way.
    pub way: Option<Way>,
    /// What was measured.
    pub measure: Option<Measure>,
}

/// What a rule counts, by class; for whoever comes later, so it is retained.
#[derive(Clone, Debug, PartialEq)]
pub struct Count {
    /// Name of the rule.
    pub rule: Arc<str>,
    /// The rule's kind.
    pub kind: &'static str,
    /// Since when crossings are counted.
    pub since: SystemTime,
    /// By class: index into the model's class names.
    pub tallies: BTreeMap<u16, Tally>,
}

/// The counts of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Objects that are there now.
    pub now: u64,
    /// Lines: crossings inwards; zones: entries. Since [`Count::since`].
    pub entered: u64,
    /// Lines: crossings outwards; zones: exits.
    pub left: u64,
}

/// Columns and rows of a heat map.
pub const HEAT: (usize, usize) = (32, 18);

/// Where objects were for a while, and which ways they took.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Name of the rule.
    pub rule: Arc<str>,
    /// When the span began.
    pub from: SystemTime,
    /// When it ended, or until when it goes so far.
    pub to: SystemTime,
    /// Whether it is over.
    pub complete: bool,
    /// Objects that were seen in it, by class.
    pub objects: BTreeMap<u16, u64>,
    /// Time that objects spent in each cell, row by row from the left upper one, [`HEAT`] of them, in seconds.
    pub heat: Vec<f32>,
    /// Ways of the objects that went in it.
    pub paths: Vec<Path>,
}

/// Objects that came at one place and went at another. Places are ninths of the picture, row by row from the left upper one: 0..9.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Path {
    /// Where they came.
    pub from: u8,
    /// Where they went.
    pub to: u8,
    /// How many.
    pub objects: u64,
    /// How long they were seen on average, in seconds.
    pub mean_s: f64,
}

/// What the rules say of a frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdicts {
    /// Rules that were met, or are met no longer.
    pub events: Vec<Event>,
    /// Counts that have changed.
    pub counts: Vec<Count>,
    /// Summaries that are new.
    pub summaries: Vec<Arc<Summary>>,
    /// Rules that are gone: what is retained of them is to be cleared.
    pub gone: Vec<Arc<str>>,
}

impl Verdicts {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.counts.is_empty() && self.summaries.is_empty() && self.gone.is_empty()
    }
}
