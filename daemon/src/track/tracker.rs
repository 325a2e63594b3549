//! The tracker of one camera: ByteTrack's two-stage association (Zhang et al. 2022, §3), in time rather than frames.

use std::time::{Duration, SystemTime};

use super::{
    assign::{Assigner, Pair},
    ids::Ids,
    kalman::{Motion, UNITS_HZ},
};
use crate::{
    config::TrackConfig,
    media::{BBox, Detection, Track, TrackId, TrackPhase, TrackedDetection},
};

/// Smallest IoU between a track and a detection of low confidence, as published.
const LOW_IOU: f32 = 0.5;
/// Smallest IoU between a track that is not confirmed yet and a detection, as published.
const TENTATIVE_IOU: f32 = 0.3;
/// A lost and a followed track of one class that overlap more than this are one object, as published.
const DUPLICATE_IOU: f32 = 0.85;
/// With this much above `high_confidence`, nobody needs a second look.
const SURE_MARGIN: f32 = 0.15;
/// A second look that takes longer is not waited for.
const LOOK_PATIENCE: Duration = Duration::from_secs(1);
/// Most tracks of one camera, remembered ones included.
const MAX_TRACKS: usize = 2000;

/// What a track is to the world.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// Seen in too few frames to be believed.
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
struct Live {
    id: TrackId,
    class: u16,
    motion: Motion,
    /// Predicted or corrected, as of the current frame.
    bbox: BBox,
    /// Reach of the gate beyond the boxes in pixels, see [`Motion::slack`].
    slack: f32,
    stage: Stage,
    lost: bool,
    hits: u32,
    latest: f32,
    best: f32,
    first_seen: SystemTime,
    last_seen: SystemTime,
    started_at: Duration,
    seen_at: Duration,
}

impl Live {
    fn report(&self, phase: TrackPhase) -> Track {
        Track {
            id: self.id,
            class: self.class,
            confidence: if phase == TrackPhase::End { self.best } else { self.latest },
            bbox: self.bbox,
            velocity: self.motion.velocity(),
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            hits: self.hits,
            phase,
        }
    }

    fn iou(&self, bbox: &BBox) -> f32 {
        if self.slack > 0.0 { grow(&self.bbox, self.slack).iou(&grow(bbox, self.slack)) } else { self.bbox.iou(bbox) }
    }
}

fn grow(bbox: &BBox, by: f32) -> BBox {
    BBox::new(bbox.x1 - by, bbox.y1 - by, bbox.x2 + by, bbox.y2 + by)
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

/// The tracker of one camera.
pub(super) struct Tracker {
    config: TrackConfig,
    tracks: Vec<Live>,
    /// Time since the first frame; never goes back.
    clock: Duration,
    last: Option<Moment>,
    last_step: Duration,
    work: Work,
}

/// Buffers that live from frame to frame.
#[derive(Default)]
struct Work {
    high: Vec<u32>,
    low: Vec<u32>,
    rows: Vec<u32>,
    pairs: Vec<Pair>,
    matched: Vec<(u32, u32)>,
    /// Per track: the detection that it was matched with.
    partner: Vec<Option<u32>>,
    /// Per detection: whether a track has it.
    used: Vec<bool>,
    assigner: Assigner,
}

impl Tracker {
    pub(super) fn new(config: &TrackConfig) -> Self {
        Self {
            config: config.clone(),
            tracks: Vec::new(),
            clock: Duration::ZERO,
            last: None,
            last_step: Duration::from_secs_f32(1.0 / UNITS_HZ),
            work: Work::default(),
        }
    }

    /// Whether anything is followed or remembered.
    pub(super) fn is_active(&self) -> bool {
        !self.tracks.is_empty()
    }

    /// Time since the first frame; never goes back.
    pub(super) fn clock(&self) -> Duration {
        self.clock
    }

    /// Follows the objects into a frame. `detections` are finite and not empty boxes.
    pub(super) fn update(&mut self, at: Moment, detections: &[Detection], ids: &mut Ids, seen: &mut Seen) {
        let step = self.step_to(at);
        seen.detections.extend(detections.iter().map(|d| TrackedDetection { detection: *d, track: None }));
        self.forget(seen);
        self.predict(step.as_secs_f32() * UNITS_HZ);
        self.associate(detections);
        self.settle(at, detections, seen);
        self.begin(at, detections, ids, seen);
        self.drop_duplicates(seen);
    }

    /// How much time passed. Media time restarts with each session and some sources repeat it: then the wall clock tells, and where
    /// that went back too, the last step is taken again.
    fn step_to(&mut self, at: Moment) -> Duration {
        let step = match self.last {
            None => Duration::ZERO,
            Some(last) => match at.pts.checked_sub(last.pts) {
                Some(step) => step,
                None => at.wall.duration_since(last.wall).unwrap_or(self.last_step),
            },
        };
        if self.last.is_some() {
            self.last_step = step;
        }
        self.last = Some(at);
        self.clock += step;
        step
    }

    /// Ends what was lost for too long.
    fn forget(&mut self, seen: &mut Seen) {
        let (clock, lost_after) = (self.clock, self.config.lost_after);
        self.tracks.retain(|track| {
            let keep = clock.saturating_sub(track.seen_at) <= lost_after;
            if !keep && track.stage == Stage::Announced {
                seen.tracks.push(track.report(TrackPhase::End));
            }
            keep
        });
    }

    fn predict(&mut self, dt: f32) {
        for track in &mut self.tracks {
            track.slack = track.motion.slack(dt);
            track.motion.predict(dt, track.lost);
            track.bbox = track.motion.bbox();
        }
    }

    fn associate(&mut self, detections: &[Detection]) {
        let (tracks, config, work) = (&self.tracks, &self.config, &mut self.work);
        work.sort_out(tracks.len(), detections, config);
        work.stage(tracks, detections, true, config.match_iou, |track| track.stage != Stage::Tentative);
        work.stage(tracks, detections, false, LOW_IOU, |track| track.stage != Stage::Tentative && !track.lost);
        work.stage(tracks, detections, true, TENTATIVE_IOU, |track| track.stage == Stage::Tentative);
    }

    /// Lets each track take its detection in, or be lost.
    fn settle(&mut self, at: Moment, detections: &[Detection], seen: &mut Seen) {
        let (config, clock) = (&self.config, self.clock);
        let mut partners = self.work.partner.iter();
        self.tracks.retain_mut(|track| {
            let Some(index) = partners.next().copied().flatten() else {
                track.lost = true;
                return track.stage != Stage::Tentative;
            };
            let detection = &detections[index as usize];
            track.motion.correct(&detection.bbox);
            track.bbox = track.motion.bbox();
            track.take(detection, at, clock);
            track.advance(config, clock, index as usize, seen);
            true
        });
    }

    /// Starts tracks from what nobody took.
    fn begin(&mut self, at: Moment, detections: &[Detection], ids: &mut Ids, seen: &mut Seen) {
        for &index in &self.work.high {
            let detection = &detections[index as usize];
            if self.work.used[index as usize] || detection.confidence < self.config.new_confidence {
                continue;
            }
            if self.tracks.len() >= MAX_TRACKS {
                break;
            }
            let mut track = Live {
                id: ids.next_id(),
                class: detection.class,
                motion: Motion::new(&detection.bbox),
                bbox: detection.bbox,
                slack: 0.0,
                stage: Stage::Tentative,
                lost: false,
                hits: 0,
                latest: 0.0,
                best: 0.0,
                first_seen: at.wall,
                last_seen: at.wall,
                started_at: self.clock,
                seen_at: self.clock,
            };
            track.take(detection, at, self.clock);
            track.advance(&self.config, self.clock, index as usize, seen);
            self.tracks.push(track);
        }
    }

    /// A track that came back under a new name: of a lost and a followed one at the same place, the older stays.
    fn drop_duplicates(&mut self, seen: &mut Seen) {
        if !self.tracks.iter().any(|track| track.lost) {
            return;
        }
        let mut doomed = std::mem::take(&mut self.work.rows);
        doomed.clear();
        for (i, lost) in self.tracks.iter().enumerate().filter(|(_, t)| t.lost) {
            for (j, followed) in self.tracks.iter().enumerate().filter(|(_, t)| !t.lost && t.stage != Stage::Tentative) {
                if lost.class == followed.class && lost.bbox.iou(&followed.bbox) > DUPLICATE_IOU {
                    let age = |track: &Live| track.seen_at.saturating_sub(track.started_at);
                    doomed.push(if age(lost) > age(followed) { j } else { i } as u32);
                }
            }
        }
        let mut index = 0u32;
        self.tracks.retain(|track| {
            let drop = doomed.contains(&index);
            index += 1;
            if drop && track.stage == Stage::Announced {
                seen.end(track);
            }
            !drop
        });
        self.work.rows = doomed;
    }

    /// Ends everything.
    pub(super) fn end_all(&mut self, tracks: &mut Vec<Track>) {
        tracks.extend(self.tracks.drain(..).filter(|t| t.stage == Stage::Announced).map(|t| t.report(TrackPhase::End)));
    }

    /// Announces a track in the frame that asked for a second look at it, because nobody can look.
    pub(super) fn announce(&mut self, wanted: &Wanted, seen: &mut Seen) {
        if let Some(track) = self.tracks.iter_mut().find(|t| t.id == wanted.track) {
            track.stage = Stage::Announced;
            seen.announce(track, TrackPhase::New, wanted.detection);
        }
    }

    /// What the second look at a track saw; `None`: it failed, and the first look is believed. Returns whether the object was found.
    pub(super) fn looked(&mut self, id: TrackId, found: Option<&[Detection]>) -> Option<bool> {
        let track = self.tracks.iter_mut().find(|t| t.id == id)?;
        let Stage::Looking { at, .. } = track.stage else { return None };
        let same = |d: &Detection| d.class == track.class && d.bbox.iou(&at) >= TENTATIVE_IOU;
        let cleared = found.is_none_or(|found| found.iter().any(same));
        track.stage = if cleared { Stage::Cleared } else { Stage::Refused };
        found.map(|_| cleared)
    }
}

impl Live {
    fn take(&mut self, detection: &Detection, at: Moment, clock: Duration) {
        self.lost = false;
        self.hits += 1;
        self.latest = detection.confidence;
        self.best = self.best.max(detection.confidence);
        self.last_seen = at.wall;
        self.seen_at = clock;
    }

    /// Decides what the world hears of a track that was seen.
    fn advance(&mut self, config: &TrackConfig, clock: Duration, detection: usize, seen: &mut Seen) {
        let sure = !config.second_look || self.best >= config.high_confidence + SURE_MARGIN;
        let phase = match self.stage {
            Stage::Announced => Some(TrackPhase::Update),
            Stage::Tentative if self.hits < config.confirm_frames => None,
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

impl Seen {
    fn announce(&mut self, track: &Live, phase: TrackPhase, detection: usize) {
        self.detections[detection].track = Some(track.id);
        self.tracks.push(track.report(phase));
    }

    /// A track that was reported in this very frame may turn out to be a duplicate: its last word is that it ended.
    fn end(&mut self, track: &Live) {
        self.tracks.retain(|t| t.id != track.id || t.phase == TrackPhase::New);
        self.tracks.push(track.report(TrackPhase::End));
        for detection in &mut self.detections {
            if detection.track == Some(track.id) {
                detection.track = None;
            }
        }
    }
}

impl Work {
    fn sort_out(&mut self, tracks: usize, detections: &[Detection], config: &TrackConfig) {
        self.partner.clear();
        self.partner.resize(tracks, None);
        self.used.clear();
        self.used.resize(detections.len(), false);
        self.high.clear();
        self.low.clear();
        for (index, detection) in detections.iter().enumerate() {
            if detection.confidence >= config.high_confidence {
                self.high.push(index as u32);
            } else if detection.confidence >= config.low_confidence {
                self.low.push(index as u32);
            }
        }
    }

    /// One association among what is still free.
    fn stage(&mut self, tracks: &[Live], detections: &[Detection], high: bool, least: f32, takes_part: impl Fn(&Live) -> bool) {
        let columns = if high { &self.high } else { &self.low };
        self.rows.clear();
        self.rows
            .extend((0..tracks.len() as u32).filter(|&i| self.partner[i as usize].is_none() && takes_part(&tracks[i as usize])));
        self.pairs.clear();
        for (row, &track) in self.rows.iter().enumerate() {
            let track = &tracks[track as usize];
            for (column, &index) in columns.iter().enumerate() {
                let detection = &detections[index as usize];
                if detection.class != track.class || self.used[index as usize] {
                    continue;
                }
                let iou = track.iou(&detection.bbox);
                if iou >= least {
                    // As published, a confident detection is the better partner. The small constant keeps a pair at the gate a pair.
                    let weight = (iou - least) * if high { detection.confidence } else { 1.0 } + 1e-6;
                    self.pairs.push(Pair { row: row as u32, column: column as u32, weight });
                }
            }
        }
        self.matched.clear();
        self.assigner.assign(self.rows.len(), columns.len(), &mut self.pairs, &mut self.matched);
        for &(row, column) in &self.matched {
            let index = columns[column as usize];
            self.partner[self.rows[row as usize] as usize] = Some(index);
            self.used[index as usize] = true;
        }
    }
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "mot_tests.rs"]
mod mot;
