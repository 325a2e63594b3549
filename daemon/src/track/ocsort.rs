//! OC-SORT (Cao, Pang, Weng, Khirodkar, Kitani: Observation-Centric SORT, CVPR 2023), as its authors' program runs it.
//!
//! SORT's filter, and three things that trust observations more than it: momentum (the direction from an earlier observation to a
//! detection should be the track's own), recovery (what is left is matched with the last observations of tracks), and re-update (a track
//! that is found again has its filter run along the straight line from its last observation). No second stage for weak detections.

mod history;

use std::time::Duration;

use self::history::History;
use super::{
    assign::{Assigner, Pair},
    associate::{Beat, Row},
    overlap::iou,
    sort::{Clear, Filter, measure},
};
use crate::media::{BBox, Detection};

/// Most steps in which a filter is run along the line to where its track was found again; longer gaps take longer steps.
const MOST_STEPS: f64 = 200.0;

/// What can be set. Counts are in frames of [`Params::frame_rate`].
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Frames per second that the counts refer to; 0: each update is one frame.
    pub frame_rate: f32,
    /// Detections above it are looked at (`det_thresh`).
    pub confidence: f32,
    /// For how many frames a track that is not seen is kept.
    pub max_age: f32,
    /// In how many frames in a row a track is seen before it is believed. In the first so many frames all are.
    pub min_hits: u32,
    /// Smallest IoU of a track and its detection.
    pub match_iou: f32,
    /// How many frames back the observation lies that a direction is taken from (`delta_t`).
    pub momentum_span: f32,
    /// Weight of the directions beside the IoU (`inertia`).
    pub momentum_weight: f32,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            frame_rate: 30.0,
            confidence: 0.6,
            max_age: 30.0,
            min_hits: 3,
            match_iou: 0.3,
            momentum_span: 3.0,
            momentum_weight: 0.2,
        }
    }
}

struct Track {
    number: u32,
    class: u16,
    filter: Filter,
    /// The filter as it was when the track was not found for the first time, and its age then.
    frozen: Option<(Filter, f64)>,
    bbox: BBox,
    history: History,
    /// Unit vector from an earlier observation to the last one.
    direction: (f64, f64),
    /// Frames since it was first seen, and since it was last seen.
    age: f64,
    unseen: f64,
    streak: u32,
    detection: Option<u32>,
}

/// OC-SORT at work.
pub(super) struct OcSort {
    params: Params,
    beat: Beat,
    frames: u32,
    next: u32,
    tracks: Vec<Track>,
    work: Work,
}

#[derive(Default)]
struct Work {
    looked_at: Vec<u32>,
    rows: Vec<u32>,
    columns: Vec<u32>,
    used: Vec<bool>,
    overlaps: Vec<f32>,
    cost: Vec<f64>,
    pairs: Vec<Pair>,
    matched: Vec<(u32, u32)>,
    clear: Clear,
    assigner: Assigner,
}

impl OcSort {
    pub(super) fn new(params: &Params) -> Self {
        let (beat, work) = (Beat::new(params.frame_rate), Work::default());
        Self { params: params.clone(), beat, frames: 0, next: 0, tracks: Vec::new(), work }
    }

    pub(super) fn update(&mut self, at: Duration, detections: &[Detection], out: &mut Vec<Row>, ended: &mut Vec<u32>) {
        let dt = self.beat.step(at);
        self.frames = self.frames.saturating_add(1);
        self.predict(dt, ended);
        self.associate(detections);
        self.recover(detections);
        for track in self.tracks.iter_mut().filter(|track| track.detection.is_none()) {
            track.miss();
        }
        self.begin(detections);
        let Self { params, beat, frames, tracks, .. } = self;
        out.extend(tracks.iter().filter(|track| track.detection.is_some()).map(|track| Row {
            track: track.number,
            detection: track.detection,
            bbox: track.bbox,
            velocity: track.filter.velocity(beat.hz()),
            confirmed: track.streak >= params.min_hits || *frames <= params.min_hits,
        }));
        tracks.retain(|track| {
            let keep = track.unseen <= f64::from(params.max_age) + 0.5;
            if !keep {
                ended.push(track.number);
            }
            keep
        });
    }

    fn predict(&mut self, dt: f64, ended: &mut Vec<u32>) {
        self.tracks.retain_mut(|track| {
            track.filter.predict(dt);
            if track.detection.take().is_none() {
                track.streak = 0;
            }
            track.age += dt;
            track.unseen += dt;
            match track.filter.bbox() {
                Some(bbox) => track.bbox = bbox,
                None => ended.push(track.number),
            }
            track.filter.bbox().is_some()
        });
    }

    pub(super) fn drop_track(&mut self, number: u32) {
        self.tracks.retain(|track| track.number != number);
    }

    /// Overlap with the prediction and direction together.
    fn associate(&mut self, detections: &[Detection]) {
        let Self { params, tracks, work, .. } = self;
        work.used.clear();
        work.used.resize(detections.len(), false);
        work.looked_at.clear();
        let seen = (0u32..).zip(detections).filter(|(_, d)| d.confidence > params.confidence);
        work.looked_at.extend(seen.map(|(index, _)| index));
        work.rows.clear();
        work.rows.extend(0..tracks.len() as u32);
        work.columns.clear();
        work.columns.extend_from_slice(&work.looked_at);
        let weight = |track: &Track, detection: &Detection| track.agreement(detection, params);
        work.solve(tracks, detections, params.match_iou, true, |track| Some(track.bbox), weight);
        work.hand_out(tracks, detections, params);
    }

    /// What is left is matched with the last observations.
    fn recover(&mut self, detections: &[Detection]) {
        let Self { params, tracks, work, .. } = self;
        work.rows.clear();
        work.rows.extend((0u32..).zip(tracks.iter()).filter(|(_, track)| track.detection.is_none()).map(|(row, _)| row));
        work.columns.clear();
        work.columns.extend(work.looked_at.iter().copied().filter(|&index| !work.used[index as usize]));
        work.solve(tracks, detections, params.match_iou, false, |track| track.history.last(), |_, _| 0.0);
        work.hand_out(tracks, detections, params);
    }

    fn begin(&mut self, detections: &[Detection]) {
        for &index in self.work.looked_at.iter().filter(|&&index| !self.work.used[index as usize]) {
            let detection = &detections[index as usize];
            self.tracks.push(Track {
                number: self.next,
                class: detection.class,
                filter: Filter::new(&detection.bbox),
                frozen: None,
                bbox: detection.bbox,
                history: History::default(),
                direction: (0.0, 0.0),
                age: 0.0,
                unseen: 0.0,
                streak: 0,
                detection: Some(index),
            });
            self.next = self.next.wrapping_add(1);
        }
    }
}

impl Work {
    /// Matches `rows` with `columns`, all that can be, and keeps those that overlap by `least` or more. The program looks at the
    /// threshold first only where that leaves nothing in doubt, and in its first association.
    fn solve(
        &mut self,
        tracks: &[Track],
        detections: &[Detection],
        least: f32,
        shortcut: bool,
        place: impl Fn(&Track) -> Option<BBox>,
        extra: impl Fn(&Track, &Detection) -> f64,
    ) {
        let (n, m) = (self.rows.len(), self.columns.len());
        self.matched.clear();
        self.overlaps.clear();
        self.cost.clear();
        self.clear.reset(n, m);
        for (row, &track) in (0u32..).zip(&self.rows) {
            let track = &tracks[track as usize];
            let place = place(track);
            for (column, &index) in (0u32..).zip(&self.columns) {
                let detection = &detections[index as usize];
                let overlap = if detection.class == track.class { place.map_or(0.0, |p| iou(&p, &detection.bbox)) } else { 0.0 };
                self.clear.see(row, column, overlap > least);
                self.overlaps.push(overlap);
                self.cost.push(-(f64::from(overlap) + extra(track, detection)));
            }
        }
        if n == 0 || m == 0 {
            return;
        }
        let overlaps = &self.overlaps;
        if shortcut && self.clear.is_clear() {
            let above = (0..n * m).filter(|&at| overlaps[at] > least);
            self.matched.extend(above.map(|at| ((at / m) as u32, (at % m) as u32)));
        } else if !self.assigner.complete(n, m, &self.cost, &mut self.matched) {
            // Too many for that: only what overlaps.
            self.pairs.clear();
            let above = (0..n * m).filter(|&at| overlaps[at] >= least && self.cost[at] < 0.0);
            let pair = |at: usize| Pair { row: (at / m) as u32, column: (at % m) as u32, weight: -self.cost[at] as f32 };
            self.pairs.extend(above.map(pair));
            self.assigner.assign(n, m, &mut self.pairs, &mut self.matched);
        }
        self.matched.retain(|&(row, column)| overlaps[row as usize * m + column as usize] >= least);
    }

    fn hand_out(&mut self, tracks: &mut [Track], detections: &[Detection], params: &Params) {
        for &(row, column) in &self.matched {
            let index = self.columns[column as usize];
            self.used[index as usize] = true;
            tracks[self.rows[row as usize] as usize].take(index, &detections[index as usize].bbox, params);
        }
    }
}

fn direction(from: &BBox, to: &BBox) -> (f64, f64) {
    let middle = |a: f32, b: f32| f64::midpoint(f64::from(a), f64::from(b));
    let centre = |b: &BBox| (middle(b.x1, b.x2), middle(b.y1, b.y2));
    let (from, to) = (centre(from), centre(to));
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx.hypot(dy) + 1e-6;
    (dx / length, dy / length)
}

impl Track {
    /// How well the way to a detection agrees with the track's own way: ±0.5 times the weight and the detection's confidence.
    fn agreement(&self, detection: &Detection, params: &Params) -> f64 {
        let Some(earlier) = self.history.before(self.age, f64::from(params.momentum_span) + 0.5) else { return 0.0 };
        let way = direction(&earlier, &detection.bbox);
        let cos = (way.0 * self.direction.0 + way.1 * self.direction.1).clamp(-1.0, 1.0);
        let agreement = (std::f64::consts::FRAC_PI_2 - cos.acos()) / std::f64::consts::PI;
        agreement * f64::from(params.momentum_weight) * f64::from(detection.confidence)
    }

    fn take(&mut self, index: u32, bbox: &BBox, params: &Params) {
        if let Some(earlier) = self.history.before(self.age, f64::from(params.momentum_span) + 0.5) {
            self.direction = direction(&earlier, bbox);
        }
        if let (Some((filter, since)), Some(from)) = (self.frozen.take(), self.history.last_at()) {
            self.filter = filter;
            self.retrace(from, since, bbox);
        }
        self.filter.correct(measure(bbox));
        self.history.push(self.age, *bbox);
        self.bbox = *bbox;
        self.unseen = 0.0;
        self.streak += 1;
        self.detection = Some(index);
    }

    /// Runs the filter, which stands at age `since`, along the straight line from the last observation to this one.
    fn retrace(&mut self, (from_age, from): (f64, BBox), since: f64, to: &BBox) {
        let gap = self.age - from_age;
        if gap <= 0.0 {
            return;
        }
        let step = (gap / MOST_STEPS).max(1.0);
        let mut age = since;
        loop {
            let share = ((age - from_age) / gap).min(1.0);
            let on_the_way = |a: f32, b: f32| (f64::from(a) + share * (f64::from(b) - f64::from(a))) as f32;
            // Of centre and size, which is the same as of the corners.
            let between = BBox::new(
                on_the_way(from.x1, to.x1),
                on_the_way(from.y1, to.y1),
                on_the_way(from.x2, to.x2),
                on_the_way(from.y2, to.y2),
            );
            self.filter.correct(measure(&between));
            if age >= self.age - 1e-3 {
                return;
            }
            let dt = step.min(self.age - age);
            self.filter.predict(dt);
            age += dt;
        }
    }

    fn miss(&mut self) {
        if self.frozen.is_none() && self.history.last().is_some() {
            self.frozen = Some((self.filter, self.age));
        }
    }
}
