//! Which detection belongs to which track: the seam between the trackers and what their tracks are to the world (`lives`).
//!
//! A tracker knows nothing of cameras, identities or messages. It is told the time and what was seen, numbers its tracks from 0 and
//! never uses a number again.

use std::{fmt, str::FromStr, time::Duration};

use super::{bytetrack, egret, ocsort, sort};
use crate::media::{BBox, Detection};

/// The trackers, by the names that the configuration and `egret track-eval` use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// SORT (Bewley et al. 2016).
    Sort,
    /// `ByteTrack` (Zhang et al. 2022), as its C++ version runs it.
    ByteTrack,
    /// OC-SORT (Cao et al. 2023).
    OcSort,
    /// Our own, see `docs/trackers.md`.
    Egret,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sort, Self::ByteTrack, Self::OcSort, Self::Egret];

    /// `sort`, `bytetrack`, `ocsort` or `egret`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sort => "sort",
            Self::ByteTrack => "bytetrack",
            Self::OcSort => "ocsort",
            Self::Egret => "egret",
        }
    }

    /// Its parameters: as published, or as tuned for our own.
    pub fn params(self) -> Params {
        match self {
            Self::Sort => Params::Sort(sort::Params::default()),
            Self::ByteTrack => Params::ByteTrack(bytetrack::Params::default()),
            Self::OcSort => Params::OcSort(ocsort::Params::default()),
            Self::Egret => Params::Egret(egret::Params::default()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No tracker has this name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no tracker is called {0:?}; there are sort, bytetrack, ocsort and egret")]
pub struct UnknownTracker(String);

impl FromStr for Kind {
    type Err = UnknownTracker;

    fn from_str(name: &str) -> Result<Self, UnknownTracker> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownTracker(name.to_owned()))
    }
}

/// A tracker's parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Params {
    /// Of SORT.
    Sort(sort::Params),
    /// Of `ByteTrack`.
    ByteTrack(bytetrack::Params),
    /// Of OC-SORT.
    OcSort(ocsort::Params),
    /// Of our own.
    Egret(egret::Params),
}

/// A track in a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Counted from 0 by each tracker; never used again.
    pub track: u32,
    /// Index of the detection that it was matched with.
    pub detection: Option<u32>,
    /// Where the tracker says that it is, in pixels.
    pub bbox: BBox,
    /// Of the box centre, in pixels per second.
    pub velocity: (f32, f32),
    /// Whether the tracker believes in it.
    pub confirmed: bool,
}

/// One tracker at work.
pub struct Associator {
    inner: Inner,
    ended: Vec<u32>,
}

enum Inner {
    Sort(sort::Sort),
    ByteTrack(bytetrack::ByteTrack),
    OcSort(ocsort::OcSort),
    Egret(Box<egret::Egret>),
}

impl Associator {
    /// A tracker that has seen nothing.
    pub fn new(params: &Params) -> Self {
        let inner = match params {
            Params::Sort(params) => Inner::Sort(sort::Sort::new(params)),
            Params::ByteTrack(params) => Inner::ByteTrack(bytetrack::ByteTrack::new(params)),
            Params::OcSort(params) => Inner::OcSort(ocsort::OcSort::new(params)),
            Params::Egret(params) => Inner::Egret(Box::new(egret::Egret::new(params))),
        };
        Self { inner, ended: Vec::new() }
    }

    /// Follows the objects into a frame that was taken at `at`, counted from any start; a time before the last one counts as the last
    /// one. `detections` are finite boxes that are not empty, at most a few thousand. `out` is cleared and gets the tracks of this
    /// frame.
    pub fn update(&mut self, at: Duration, detections: &[Detection], out: &mut Vec<Row>) {
        out.clear();
        self.ended.clear();
        match &mut self.inner {
            Inner::Sort(tracker) => tracker.update(at, detections, out, &mut self.ended),
            Inner::ByteTrack(tracker) => tracker.update(at, detections, out, &mut self.ended),
            Inner::OcSort(tracker) => tracker.update(at, detections, out, &mut self.ended),
            Inner::Egret(tracker) => tracker.update(at, detections, out, &mut self.ended),
        }
    }

    /// Forgets a track: what is seen where it would be belongs to others. It does not count as ended.
    pub fn drop_track(&mut self, track: u32) {
        match &mut self.inner {
            Inner::Sort(tracker) => tracker.drop_track(track),
            Inner::ByteTrack(tracker) => tracker.drop_track(track),
            Inner::OcSort(tracker) => tracker.drop_track(track),
            Inner::Egret(tracker) => tracker.drop_track(track),
        }
    }

    /// The picture is so many times as wide and as high from now on. Our own tracker goes on; the published ones know nothing of the
    /// kind, and start new tracks.
    pub fn scale(&mut self, across: f64, down: f64) {
        match &mut self.inner {
            Inner::Sort(_) | Inner::ByteTrack(_) | Inner::OcSort(_) => {}
            Inner::Egret(tracker) => tracker.scale(across, down),
        }
    }

    /// The tracks that the last update gave up, confirmed or not.
    pub fn ended(&self) -> &[u32] {
        &self.ended
    }
}

/// Time as the published trackers count it: in frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beat {
    rate: Option<f64>,
    last: Option<Duration>,
}

impl Beat {
    /// `rate`: frames per second that the counts refer to; 0: every update is one frame, whatever the time.
    pub(super) fn new(rate: f32) -> Self {
        Self { rate: (rate > 0.0).then_some(f64::from(rate)), last: None }
    }

    /// How many frames have passed since the last update; 1 at the first.
    pub(super) fn step(&mut self, at: Duration) -> f64 {
        let before = self.last.replace(self.last.map_or(at, |last| last.max(at)));
        match (self.rate, before) {
            (Some(rate), Some(before)) => at.saturating_sub(before).as_secs_f64() * rate,
            _ => 1.0,
        }
    }

    /// Frames per second, for speeds.
    pub(super) fn hz(&self) -> f64 {
        self.rate.unwrap_or(30.0)
    }
}
