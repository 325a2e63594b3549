//! What tracks are to the world: when they are believed and announced, what they are called, which class they have, whether they stand
//! still, and when they end. Which detection belongs to which track is the tracker's business (`associate`).

mod standing;
mod votes;

use std::time::{Duration, SystemTime};

use self::{standing::Standing, votes::Votes};
use super::{
    associate::{Associator, Row},
    ids::Ids,
    steps::Known,
};
use crate::{
    config::TrackConfig,
    media::{BBox, Detection, Rename, Track, TrackId, TrackPhase, TrackedDetection},
};

/// With this much above `high_confidence`, nobody needs a second look.
const SURE_MARGIN: f32 = 0.15;
/// A second look that takes longer is not waited for.
const LOOK_PATIENCE: Duration = Duration::from_secs(1);
/// A second look has found a track where it sees its class with at least this IoU.
const LOOK_IOU: f32 = 0.3;
/// The step that is taken where neither clock tells, before there was one.
const FIRST_STEP: Duration = Duration::from_millis(33);

/// What a track is to the world.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// Not seen for long enough to be believed.
    Tentative,
    /// Believed, but a second look was asked for.
    Looking { since: Duration, at: BBox },
    /// The second look found it: announced when it is next seen.
    Cleared,
    /// The second look did not find it: announced only if it becomes sure.
    Refused,
    /// Known outside.
    Announced,
}

#[derive(Clone, Debug)]
struct Life {
    /// The tracker's number of it.
    number: u32,
    id: TrackId,
    votes: Votes,
    standing: Standing,
    bbox: BBox,
    velocity: (f32, f32),
    stage: Stage,
    /// When it was first seen, by the camera's clock.
    born: Duration,
    hits: u32,
    latest: f32,
    best: f32,
    first_seen: SystemTime,
    last_seen: SystemTime,
}

impl Life {
    fn new(number: u32, id: TrackId, bbox: &BBox, at: Moment, clock: Duration) -> Self {
        Self {
            number,
            id,
            votes: Votes::default(),
            standing: Standing::new(bbox, clock),
            bbox: *bbox,
            velocity: (0.0, 0.0),
            stage: Stage::Tentative,
            born: clock,
            hits: 0,
            latest: 0.0,
            best: 0.0,
            first_seen: at.wall,
            last_seen: at.wall,
        }
    }

    fn report(&self, phase: TrackPhase) -> Track {
        Track {
            id: self.id,
            class: self.votes.class(),
            confidence: if phase == TrackPhase::End { self.best } else { self.latest },
            bbox: self.bbox,
            velocity: self.velocity,
            stationary: self.standing.is_stationary(),
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            hits: self.hits,
            phase,
        }
    }

    fn take(&mut self, row: &Row, detection: &Detection, at: Moment, clock: Duration) {
        self.votes.add(detection.class, detection.confidence);
        self.bbox = self.standing.see(&row.bbox, clock);
        self.velocity = if self.standing.is_stationary() { (0.0, 0.0) } else { row.velocity };
        self.hits = self.hits.saturating_add(1);
        self.latest = detection.confidence;
        self.best = self.best.max(detection.confidence);
        self.last_seen = at.wall;
    }

    /// Decides what the world hears of a track that was seen.
    fn advance(&mut self, config: &TrackConfig, confirmed: bool, clock: Duration, detection: usize, seen: &mut Seen) {
        let sure = !config.second_look || self.best >= config.high_confidence + SURE_MARGIN;
        let phase = match self.stage {
            Stage::Announced => Some(TrackPhase::Update),
            Stage::Tentative if !confirmed || clock.saturating_sub(self.born) < config.confirm_after => None,
            Stage::Tentative if !sure => {
                self.stage = Stage::Looking { since: clock, at: seen.detections[detection].detection.bbox };
                let bbox = seen.detections[detection].detection.bbox;
                seen.wanted.push(Wanted { track: self.id, bbox, detection });
                None
            }
            Stage::Looking { since, .. } if !sure && clock.saturating_sub(since) < LOOK_PATIENCE => None,
            Stage::Refused if !sure => None,
            Stage::Tentative | Stage::Looking { .. } | Stage::Cleared | Stage::Refused => Some(TrackPhase::New),
        };
        if let Some(phase) = phase {
            self.stage = Stage::Announced;
            seen.announce(self, phase, detection);
        }
    }
}

/// When a frame was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Media time: drives the motion model. May restart.
    pub(super) pts: Duration,
    /// Wall clock: what is published, and what bridges a restart of media time.
    pub(super) wall: SystemTime,
}

/// A track that wants a second look before it is announced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) track: TrackId,
    /// Its latest detection, in pixels.
    pub(super) bbox: BBox,
    /// Index of that detection in the frame.
    pub(super) detection: usize,
}

/// What came of one frame. Reused from frame to frame.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) detections: Vec<TrackedDetection>,
    pub(super) tracks: Vec<Track>,
    pub(super) wanted: Vec<Wanted>,
}

/// The tracks of one camera.
pub(super) struct Lives {
    config: TrackConfig,
    associator: Associator,
    /// By the tracker's numbers, which only grow.
    kept: Vec<Life>,
    rows: Vec<Row>,
    /// Time since the first frame; never goes back.
    clock: Duration,
    last: Option<Moment>,
    last_step: Duration,
    /// How much of the time since the last frame has been counted, because no other one came.
    silent: Duration,
}

impl Lives {
    pub(super) fn new(config: &TrackConfig) -> Self {
        Self {
            config: config.clone(),
            associator: Associator::new(&config.params()),
            kept: Vec::new(),
            rows: Vec::new(),
            clock: Duration::ZERO,
            last: None,
            last_step: FIRST_STEP,
            silent: Duration::ZERO,
        }
    }

    /// Whether anything is followed or remembered.
    pub(super) fn is_active(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Time since the first frame; never goes back.
    pub(super) fn clock(&self) -> Duration {
        self.clock
    }

    /// Follows the objects into a frame. `detections` are finite and not empty boxes.
    pub(super) fn update(&mut self, at: Moment, detections: &[Detection], ids: &mut Ids, seen: &mut Seen) {
        self.step_to(at);
        seen.detections.extend(detections.iter().map(|d| TrackedDetection { detection: *d, track: None }));
        let mut rows = std::mem::take(&mut self.rows);
        self.associator.update(self.clock, detections, &mut rows);
        self.bury(seen);
        for row in &rows {
            self.live(row, at, detections, ids, seen);
        }
        self.rows = rows;
    }

    /// The picture is so many times as wide and as high from now on: a camera that was set anew, or its other stream.
    pub(super) fn scale(&mut self, across: f64, down: f64) {
        self.associator.scale(across, down);
        let (across, down) = (across as f32, down as f32);
        for life in &mut self.kept {
            life.bbox = life.bbox.scaled(across, down);
            life.velocity = (life.velocity.0 * across, life.velocity.1 * down);
            life.standing.scale(across, down);
            if let Stage::Looking { at, .. } = &mut life.stage {
                *at = at.scaled(across, down);
            }
        }
    }

    /// How much time passed. Media time restarts with each session and some sources repeat it: then the wall clock tells, and where
    /// that went back too, the last step is taken again.
    fn step_to(&mut self, at: Moment) {
        if let Some(last) = self.last {
            let by_wall = || at.wall.duration_since(last.wall).unwrap_or(self.last_step);
            self.last_step = at.pts.checked_sub(last.pts).unwrap_or_else(by_wall);
            self.clock += self.last_step.saturating_sub(std::mem::take(&mut self.silent));
        }
        self.last = Some(at);
    }

    /// What the tracker gave up ends.
    fn bury(&mut self, seen: &mut Seen) {
        let ended = self.associator.ended();
        if ended.is_empty() {
            return;
        }
        self.kept.retain(|life| {
            let keep = !ended.contains(&life.number);
            if !keep && life.stage == Stage::Announced {
                seen.tracks.push(life.report(TrackPhase::End));
            }
            keep
        });
    }

    /// No frame came for so long: what the tracker gives up meanwhile ends. What it still remembers, a parked car, is found again when
    /// the camera is back.
    pub(super) fn pass(&mut self, silent: Duration, tracks: &mut Vec<Track>) {
        self.clock += silent.saturating_sub(self.silent);
        self.silent = self.silent.max(silent);
        self.associator.update(self.clock, &[], &mut self.rows);
        let mut seen = Seen::default();
        self.bury(&mut seen);
        tracks.append(&mut seen.tracks);
    }

    fn live(&mut self, row: &Row, at: Moment, detections: &[Detection], ids: &mut Ids, seen: &mut Seen) {
        let Some(index) = row.detection.map(|index| index as usize) else { return };
        let place = match self.kept.binary_search_by_key(&row.track, |life| life.number) {
            Ok(place) => place,
            Err(place) => {
                self.kept.insert(place, Life::new(row.track, ids.next_id(), &row.bbox, at, self.clock));
                place
            }
        };
        let life = &mut self.kept[place];
        life.take(row, &detections[index], at, self.clock);
        life.advance(&self.config, row.confirmed, self.clock, index, seen);
    }

    /// When a track that is followed was first seen, by [`Self::clock`].
    pub(super) fn born(&self, track: TrackId) -> Option<Duration> {
        self.kept.iter().find(|life| life.id == track).map(|life| life.born)
    }

    /// A track is an object that was known before: it goes on under that identity. If that one's track is still remembered, it is
    /// given up, so that it is never found beside this one.
    pub(super) fn rename(&mut self, known: Known) -> Rename {
        let Known { rename, past } = known;
        if let Some(place) = self.kept.iter().position(|life| life.id == rename.to) {
            self.associator.drop_track(self.kept.remove(place).number);
        }
        if let Some(life) = self.kept.iter_mut().find(|life| life.id == rename.from) {
            life.id = rename.to;
            life.first_seen = past.first_seen;
            life.hits = life.hits.saturating_add(past.hits);
            life.best = life.best.max(past.confidence);
        }
        rename
    }

    /// Ends everything.
    pub(super) fn end_all(&mut self, tracks: &mut Vec<Track>) {
        self.associator = Associator::new(&self.config.params());
        tracks.extend(self.kept.drain(..).filter(|t| t.stage == Stage::Announced).map(|t| t.report(TrackPhase::End)));
    }

    /// Announces a track in the frame that asked for a second look at it, because nobody can look.
    pub(super) fn announce(&mut self, wanted: &Wanted, seen: &mut Seen) {
        if let Some(track) = self.kept.iter_mut().find(|t| t.id == wanted.track) {
            track.stage = Stage::Announced;
            seen.announce(track, TrackPhase::New, wanted.detection);
        }
    }

    /// What the second look at a track saw; `None`: it failed, and the first look is believed. Returns whether the object was found.
    pub(super) fn looked(&mut self, id: TrackId, found: Option<&[Detection]>) -> Option<bool> {
        let track = self.kept.iter_mut().find(|t| t.id == id)?;
        let Stage::Looking { at, .. } = track.stage else { return None };
        let same = |d: &Detection| d.class == track.votes.class() && d.bbox.iou(&at) >= LOOK_IOU;
        let cleared = found.is_none_or(|found| found.iter().any(same));
        track.stage = if cleared { Stage::Cleared } else { Stage::Refused };
        found.map(|_| cleared)
    }
}

impl Seen {
    fn announce(&mut self, track: &Life, phase: TrackPhase, detection: usize) {
        self.detections[detection].track = Some(track.id);
        self.tracks.push(track.report(phase));
    }
}

#[cfg(test)]
#[path = "lives_tests.rs"]
mod tests;
