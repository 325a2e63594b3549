//! The engine on hand-made stories: one object each at known places and times.

mod bad;
mod cost;
mod kinds;
mod reload;
mod rename;
mod restart;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::*;
use crate::media::{
    BBox, Capture, Detection, Extras, ModelInfo, StreamId, TimeBasis, TimeCard, Track, TrackId, TrackPhase, Tracked,
    TrackedDetection,
};
use geometry::{Line, Point, Polygon};

const SIZE: (u32, u32) = (1000, 500);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// 2026-11-21T12:00:00Z, a Saturday.
fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(498_684)
}

fn polygon(points: &[(f64, f64)]) -> Polygon {
    Polygon::new(points.iter().map(|(x, y)| Point::new(*x, *y)).collect()).expect("a polygon")
}

/// The right half of the picture.
fn right() -> Zone {
    Zone { include: vec![polygon(&[(0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)])], exclude: vec![] }
}

/// From bottom to top through the middle: its right hand is to the right.
fn line(inward: Option<bool>, strictness: Strictness) -> LineConfig {
    let line = Line::new(vec![Point::new(0.5, 0.9), Point::new(0.5, 0.1)]).expect("a line");
    LineConfig { line, inward, strictness }
}

fn rule(name: &str, kind: RuleKind) -> RuleConfig {
    RuleConfig {
        name: name.into(),
        kind,
        zone: right(),
        anchor: Anchor::Foot,
        classes: None,
        limits: Vec::new(),
        debounce: ms(200),
        inertia: ms(1000),
        cooldown: Duration::ZERO,
        max_gap: ms(10_000),
        schedule: None,
    }
}

/// A camera and its rules.
struct Rig {
    analyst: Analyst,
    counters: Arc<Counters>,
    model: Arc<ModelInfo>,
    start: SystemTime,
    now: Duration,
    before: Vec<TrackId>,
    told: Vec<Verdicts>,
}

/// An object of this class whose foot is at a place of the picture, 100 px high.
fn at(id: u64, class: u16, x: f64, y: f64) -> Track {
    let (x, y) = (x as f32 * SIZE.0 as f32, y as f32 * SIZE.1 as f32);
    Track {
        id: TrackId(id),
        class,
        confidence: 0.9,
        bbox: BBox::new(x - 20.0, y - 100.0, x + 20.0, y),
        velocity: (0.0, 0.0),
        stationary: false,
        first_seen: noon(),
        last_seen: noon(),
        hits: 1,
        phase: TrackPhase::Update,
    }
}

impl Rig {
    fn new(rules: Vec<RuleConfig>) -> Self {
        Self::with(&CameraRules { rules, ..CameraRules::default() })
    }

    fn with(rules: &CameraRules) -> Self {
        let counters = Arc::<Counters>::default();
        let mut analyst = Analyst::new(counters.clone());
        analyst.configure("door", rules);
        let model = ModelInfo { classes: ["person", "car", "dog"].map(String::from).to_vec(), ..ModelInfo::default() };
        let (before, told) = (Vec::new(), Vec::new());
        Self { analyst, counters, model: model.into(), start: noon(), now: Duration::ZERO, before, told }
    }

    fn story(&self, tracks: Vec<Track>, closing: bool) -> Tracked {
        Tracked {
            stream: StreamId::new(1, "door"),
            frame_seq: self.now.as_millis() as u64,
            pts: self.now,
            capture: Capture { wall: self.start + self.now, basis: TimeBasis::Arrival },
            size: SIZE,
            detections: Vec::new(),
            extras: Extras::default(),
            tracks,
            steps: None,
            shots: Vec::new(),
            verdicts: None,
            model: self.model.clone(),
            closing,
            times: TimeCard::default(),
        }
    }

    fn tell(&mut self, mut tracked: Tracked) -> Verdicts {
        self.analyst.look(&mut tracked);
        let verdicts = tracked.verdicts.map(|verdicts| *verdicts).unwrap_or_default();
        self.told.push(verdicts.clone());
        verdicts
    }

    /// A frame `after` the one before.
    fn frame(&mut self, after: u64, tracks: &[Track]) -> Verdicts {
        self.now += ms(after);
        self.before = tracks.iter().map(|track| track.id).collect();
        self.tell(self.story(tracks.to_vec(), false))
    }

    /// Frames of the same for a while, ten a second.
    fn stay(&mut self, for_ms: u64, tracks: &[Track]) {
        for _ in 0..for_ms / 100 {
            self.frame(100, tracks);
        }
    }

    /// The stream stops.
    fn close(&mut self) -> Verdicts {
        let end = |id: &TrackId| Track { phase: TrackPhase::End, ..at(id.0, 0, 0.0, 0.0) };
        self.tell(self.story(self.before.iter().map(end).collect(), true))
    }

    fn events(&self) -> Vec<&Event> {
        self.told.iter().flat_map(|verdicts| &verdicts.events).collect()
    }

    /// Rule and phase of each event, and for how many milliseconds it had been going on since noon when it began.
    fn brief(&self) -> Vec<(String, EventPhase, u64)> {
        let since = |event: &Event| event.started.duration_since(self.start).unwrap_or_default().as_millis() as u64;
        self.events().iter().map(|event| (event.rule.to_string(), event.phase, since(event))).collect()
    }

    /// Events of one rule that began or happened.
    fn begun(&self, rule: &str) -> usize {
        self.events().iter().filter(|event| &*event.rule == rule && event.phase != EventPhase::End).count()
    }

    /// The latest counts of a rule.
    fn tally(&self, rule: &str, class: u16) -> Tally {
        let mut counts = self.told.iter().flat_map(|verdicts| &verdicts.counts).filter(|count| &*count.rule == rule);
        counts.next_back().and_then(|count| count.tallies.get(&class)).copied().unwrap_or_default()
    }
}
