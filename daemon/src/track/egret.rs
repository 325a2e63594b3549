//! Our own tracker: motion alone, in seconds and body heights, so that it does the same at any frame rate.
//!
//! What it takes from whom, what every parameter is for and what was measured stands in `docs/trackers.md`.

mod affinity;
mod camera;
mod filter;

use std::time::Duration;

use self::{affinity::Sight, camera::Camera, filter::Filter};
use super::{
    assign::{Assigner, Pair},
    associate::Row,
};
use crate::media::{BBox, Detection};

/// Most partners that are considered for one track: the best.
const MOST_PARTNERS: usize = 32;
/// What has not moved for so many seconds is parked.
const PARKED_AFTER: f64 = 5.0;
/// Edges that stay within this part of the box's size have not moved.
const PARKED_WITHIN: f32 = 0.1;
/// Most tracks, remembered ones included.
const MOST_TRACKS: usize = 2000;

/// What can be set. Lengths are in heights of the object's box, times in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Detections at or above it take part in the first association.
    pub high_confidence: f32,
    /// Detections at or above it take part in the second one, which only prolongs tracks.
    pub low_confidence: f32,
    /// An unmatched detection at or above it starts a track.
    pub new_confidence: f32,
    /// A track is believed when the confidences of its detections add up to this.
    pub confirm: f32,
    /// How long a track that is not seen is remembered.
    pub lost_after: Duration,
    /// The same of what had stood still when it was last seen: it will be where it was.
    pub parked_after: Duration,
    /// Smallest overlap (buffered IoU) of a track and its next detection.
    pub match_iou: f32,
    /// Smallest IoU of a track and a detection in the second association.
    pub low_iou: f32,
    /// Smallest IoU of a track and a detection of another class, among those that are left.
    pub other_class_iou: f32,
    /// By how much boxes are grown before they are compared: in standard deviations of where the track may be.
    pub buffer: f32,
    /// How much a lost track is put back behind others, in IoU per second.
    pub age_penalty: f32,
    /// Weight of how improbable the way is, beside the IoU: of the logarithm of one plus the squared Mahalanobis distance.
    pub surprise: f32,
    /// Standard deviation of a detection's centre, width and height.
    pub measured: f64,
    /// How much the speed of a centre changes in a second.
    pub agility: f64,
    /// The same of width and height.
    pub growth_agility: f64,
    /// Standard deviation of the speed of what was just seen for the first time.
    pub first_speed: f64,
    /// The same of the speed of width and height.
    pub first_growth: f64,
    /// In which time what is not seen loses 63 % of its speed.
    pub coast: f64,
    /// Whether the motion of the camera is made out and taken into account.
    pub moving_camera: bool,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            high_confidence: 0.5,
            low_confidence: 0.1,
            new_confidence: 0.6,
            confirm: 0.8,
            lost_after: Duration::from_secs(3),
            parked_after: Duration::from_secs(30),
            match_iou: 0.2,
            low_iou: 0.3,
            other_class_iou: 0.6,
            buffer: 0.5,
            age_penalty: 0.2,
            surprise: 0.06,
            measured: 0.065,
            agility: 0.3,
            growth_agility: 0.4,
            first_speed: 1.4,
            first_growth: 0.2,
            coast: 3.0,
            moving_camera: true,
        }
    }
}

struct Track {
    number: u32,
    class: u16,
    filter: Filter,
    /// As the filter predicts it for this frame.
    bbox: BBox,
    /// Where it was last seen.
    seen: BBox,
    seen_at: f64,
    /// Where it was when it last moved, and since when it has not.
    anchor: BBox,
    anchored_at: f64,
    /// Sum of the confidences, as far as it matters.
    evidence: f32,
    lost: bool,
    detection: Option<u32>,
}

fn moved(from: &BBox, to: &BBox) -> bool {
    let (w, h) = (PARKED_WITHIN * (from.x2 - from.x1), PARKED_WITHIN * (from.y2 - from.y1));
    let far = |a: f32, b: f32, most: f32| (a - b).abs() > most;
    far(from.x1, to.x1, w) || far(from.x2, to.x2, w) || far(from.y1, to.y1, h) || far(from.y2, to.y2, h)
}

impl Track {
    /// Whether it stood still when it was last seen.
    fn parked(&self) -> bool {
        self.seen_at - self.anchored_at >= PARKED_AFTER
    }

    fn confirmed(&self, params: &Params) -> bool {
        self.evidence >= params.confirm
    }

    /// Half way between what was seen and what the filter makes of it: detectors jitter, filters lag.
    fn told(&self) -> BBox {
        let (seen, filtered) = (&self.seen, self.filter.bbox());
        let middle = f32::midpoint;
        BBox::new(
            middle(seen.x1, filtered.x1),
            middle(seen.y1, filtered.y1),
            middle(seen.x2, filtered.x2),
            middle(seen.y2, filtered.y2),
        )
    }

    fn take(&mut self, index: u32, detection: &Detection, now: f64, params: &Params) {
        self.filter.correct(&detection.bbox, params);
        self.seen = detection.bbox;
        if moved(&self.anchor, &detection.bbox) {
            (self.anchor, self.anchored_at) = (detection.bbox, now);
        }
        self.class = detection.class;
        self.seen_at = now;
        self.evidence += detection.confidence;
        self.lost = false;
        self.detection = Some(index);
    }
}

/// Our own tracker at work.
pub(super) struct Egret {
    params: Params,
    tracks: Vec<Track>,
    /// Seconds since the first frame; never goes back.
    now: f64,
    last: Option<Duration>,
    next: u32,
    camera: Camera,
    work: Work,
}

/// Buffers that live from frame to frame.
#[derive(Default)]
struct Work {
    high: Vec<u32>,
    low: Vec<u32>,
    rows: Vec<u32>,
    sights: Vec<Sight>,
    used: Vec<bool>,
    pairs: Vec<Pair>,
    matched: Vec<(u32, u32)>,
    assigner: Assigner,
}

/// Who is compared with whom, and how, in one association.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// All tracks and the confident detections.
    Sure,
    /// Tracks that are still followed and the other detections.
    Unsure,
    /// Tracks that are still followed and confident detections of another class: a detector that wavers.
    OtherClass,
}

impl Egret {
    pub(super) fn new(params: &Params) -> Self {
        Self {
            params: params.clone(),
            tracks: Vec::new(),
            now: 0.0,
            last: None,
            next: 0,
            camera: Camera::default(),
            work: Work::default(),
        }
    }

    pub(super) fn update(&mut self, at: Duration, detections: &[Detection], out: &mut Vec<Row>, ended: &mut Vec<u32>) {
        let dt = self.last.map_or(0.0, |last| at.saturating_sub(last).as_secs_f64());
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        self.now += dt;
        self.forget(ended);
        self.predict(dt);
        if self.params.moving_camera {
            self.follow_camera(detections);
        }
        self.work.sort_out(detections, &self.params);
        for stage in [Stage::Sure, Stage::Unsure, Stage::OtherClass] {
            self.associate(stage, detections);
        }
        self.lose(ended);
        self.begin(detections);
        out.extend(self.tracks.iter().filter(|track| track.detection.is_some()).map(|track| Row {
            track: track.number,
            detection: track.detection,
            bbox: track.told(),
            velocity: (track.filter.x.rate as f32, track.filter.y.rate as f32),
            confirmed: track.confirmed(&self.params),
        }));
    }

    pub(super) fn scale(&mut self, across: f64, down: f64) {
        for track in &mut self.tracks {
            track.filter.scale(across, down);
            for bbox in [&mut track.bbox, &mut track.seen, &mut track.anchor] {
                *bbox = bbox.scaled(across as f32, down as f32);
            }
        }
    }

    pub(super) fn drop_track(&mut self, number: u32) {
        self.tracks.retain(|track| track.number != number);
    }

    fn forget(&mut self, ended: &mut Vec<u32>) {
        let (lost_after, parked_after) = (self.params.lost_after.as_secs_f64(), self.params.parked_after.as_secs_f64());
        self.tracks.retain(|track| {
            let memory = if track.parked() { parked_after.max(lost_after) } else { lost_after };
            let keep = self.now - track.seen_at <= memory;
            if !keep {
                ended.push(track.number);
            }
            keep
        });
    }

    fn predict(&mut self, dt: f64) {
        for track in &mut self.tracks {
            if track.lost && track.parked() {
                track.filter.rest();
            } else {
                track.filter.predict(dt, track.lost, &self.params);
            }
            track.bbox = track.filter.bbox();
            track.detection = None;
        }
    }

    fn follow_camera(&mut self, detections: &[Detection]) {
        let (dx, dy) = self.camera.shift(&self.tracks, detections, self.params.high_confidence);
        if dx == 0.0 && dy == 0.0 {
            return;
        }
        for track in &mut self.tracks {
            track.filter.x.value += dx;
            track.filter.y.value += dy;
            track.bbox = track.filter.bbox();
            let anchor = &mut track.anchor;
            let (dx, dy) = (dx as f32, dy as f32);
            *anchor = BBox::new(anchor.x1 + dx, anchor.y1 + dy, anchor.x2 + dx, anchor.y2 + dy);
        }
    }

    fn associate(&mut self, stage: Stage, detections: &[Detection]) {
        let Self { params, tracks, work, now, .. } = self;
        work.matched.clear();
        if !work.pair(stage, tracks, detections, *now, params) {
            return;
        }
        let columns = if stage == Stage::Unsure { &work.low } else { &work.high };
        work.assigner.assign(work.rows.len(), columns.len(), &mut work.pairs, &mut work.matched);
        for &(row, column) in &work.matched {
            let index = columns[column as usize];
            work.used[index as usize] = true;
            tracks[work.rows[row as usize] as usize].take(index, &detections[index as usize], *now, params);
        }
    }

    /// What was not found is lost; what nobody believes in yet is dropped.
    fn lose(&mut self, ended: &mut Vec<u32>) {
        let params = &self.params;
        self.tracks.retain_mut(|track| {
            track.lost = track.detection.is_none();
            let keep = !track.lost || track.confirmed(params);
            if !keep {
                ended.push(track.number);
            }
            keep
        });
    }

    fn begin(&mut self, detections: &[Detection]) {
        for &index in &self.work.high {
            let detection = &detections[index as usize];
            if self.work.used[index as usize] || detection.confidence < self.params.new_confidence {
                continue;
            }
            if self.tracks.len() >= MOST_TRACKS {
                return;
            }
            self.tracks.push(Track {
                number: self.next,
                class: detection.class,
                filter: Filter::new(&detection.bbox, &self.params),
                bbox: detection.bbox,
                seen: detection.bbox,
                seen_at: self.now,
                anchor: detection.bbox,
                anchored_at: self.now,
                evidence: detection.confidence,
                lost: false,
                detection: Some(index),
            });
            self.next = self.next.wrapping_add(1);
        }
    }
}

impl Work {
    fn sort_out(&mut self, detections: &[Detection], params: &Params) {
        self.used.clear();
        self.used.resize(detections.len(), false);
        self.high.clear();
        self.low.clear();
        self.sights.clear();
        for (index, detection) in (0u32..).zip(detections) {
            self.sights.push(Sight::of(&detection.bbox));
            if detection.confidence >= params.high_confidence {
                self.high.push(index);
            } else if detection.confidence >= params.low_confidence {
                self.low.push(index);
            }
        }
    }

    /// Finds the pairs of a stage among what is still free. `false`: there are none.
    fn pair(&mut self, stage: Stage, tracks: &[Track], detections: &[Detection], now: f64, params: &Params) -> bool {
        let columns = if stage == Stage::Unsure { &self.low } else { &self.high };
        self.rows.clear();
        self.pairs.clear();
        let free = |track: &Track| track.detection.is_none() && (stage == Stage::Sure || !track.lost);
        self.rows.extend((0u32..).zip(tracks).filter(|(_, track)| free(track)).map(|(row, _)| row));
        for (row, &track) in (0u32..).zip(&self.rows) {
            let track = &tracks[track as usize];
            let eye = affinity::Eye::new(track, stage, now, params);
            let first = self.pairs.len();
            for (column, &index) in (0u32..).zip(columns) {
                let same = detections[index as usize].class == track.class;
                if self.used[index as usize] || same == (stage == Stage::OtherClass) {
                    continue;
                }
                if let Some(weight) = eye.affinity(&self.sights[index as usize]) {
                    self.pairs.push(Pair { row, column, weight });
                }
            }
            if self.pairs.len() - first > MOST_PARTNERS {
                self.pairs[first..].select_nth_unstable_by(MOST_PARTNERS - 1, |a, b| b.weight.total_cmp(&a.weight));
                self.pairs.truncate(first + MOST_PARTNERS);
            }
        }
        !self.pairs.is_empty()
    }
}

#[cfg(test)]
mod tests;
