//! SORT (Bewley, Ge, Ott, Ramos, Upcroft: Simple Online and Realtime Tracking, ICIP 2016), as its authors' program runs it.
//!
//! A Kalman filter of constant velocity for centre and area, and constant aspect ratio; one association by IoU. The noise is diagonal,
//! so the filter of seven states falls apart into three of two and one of one.

use std::time::Duration;

use super::{
    assign::{Assigner, Pair},
    associate::{Beat, Row},
    axis::{Axis, Scalar},
    overlap::iou,
};
use crate::media::{BBox, Detection};

/// What can be set. Counts are in frames of [`Params::frame_rate`].
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Frames per second that the counts refer to; 0: each update is one frame.
    pub frame_rate: f32,
    /// Detections below are not looked at (the authors' program takes all).
    pub confidence: f32,
    /// For how many frames a track that is not seen is kept.
    pub max_age: f32,
    /// In how many frames in a row a track is seen before it is believed. In the first so many frames all are.
    pub min_hits: u32,
    /// Smallest IoU of a track and its detection.
    pub match_iou: f32,
}

impl Default for Params {
    fn default() -> Self {
        Self { frame_rate: 30.0, confidence: 0.0, max_age: 1.0, min_hits: 3, match_iou: 0.3 }
    }
}

/// The filter of SORT and OC-SORT: centre, area and aspect ratio.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filter {
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) area: Axis,
    pub(super) aspect: Scalar,
}

/// Centre, area, aspect ratio (width by height).
pub(super) fn measure(bbox: &BBox) -> [f64; 4] {
    let [x1, y1, x2, y2] = [bbox.x1, bbox.y1, bbox.x2, bbox.y2].map(f64::from);
    let (w, h) = (x2 - x1, y2 - y1);
    [x1 + w / 2.0, y1 + h / 2.0, w * h, w / h]
}

impl Filter {
    pub(super) fn new(bbox: &BBox) -> Self {
        let [x, y, area, aspect] = measure(bbox);
        let axis = |value| Axis::new(value, 10.0, 1e4);
        Self { x: axis(x), y: axis(y), area: axis(area), aspect: Scalar { value: aspect, var: 10.0 } }
    }

    pub(super) fn predict(&mut self, dt: f64) {
        if self.area.rate * dt + self.area.value <= 0.0 {
            self.area.rate = 0.0;
        }
        self.x.predict(dt, 1.0, 1e-2);
        self.y.predict(dt, 1.0, 1e-2);
        self.area.predict(dt, 1.0, 1e-4);
        self.aspect.var += dt;
    }

    pub(super) fn correct(&mut self, [x, y, area, aspect]: [f64; 4]) {
        self.x.correct(x, 1.0);
        self.y.correct(y, 1.0);
        self.area.correct(area, 10.0);
        self.aspect.correct(aspect, 10.0);
    }

    /// `None` where area and aspect ratio are of no box any more.
    pub(super) fn bbox(&self) -> Option<BBox> {
        let w = (self.area.value * self.aspect.value).sqrt();
        let h = self.area.value / w;
        let (w, h) = (w / 2.0, h / 2.0);
        let [x1, y1, x2, y2] = [self.x.value - w, self.y.value - h, self.x.value + w, self.y.value + h].map(|v| v as f32);
        (x2 > x1 && y2 > y1 && x1.is_finite() && y1.is_finite() && x2.is_finite() && y2.is_finite())
            .then(|| BBox::new(x1, y1, x2, y2))
    }

    /// Pixels per second of the centre.
    pub(super) fn velocity(&self, hz: f64) -> (f32, f32) {
        ((self.x.rate * hz) as f32, (self.y.rate * hz) as f32)
    }
}

struct Track {
    number: u32,
    class: u16,
    filter: Filter,
    bbox: BBox,
    /// Frames since it was seen.
    unseen: f64,
    streak: u32,
    detection: Option<u32>,
}

/// SORT at work.
pub(super) struct Sort {
    params: Params,
    beat: Beat,
    frames: u32,
    next: u32,
    tracks: Vec<Track>,
    pairs: Vec<Pair>,
    matched: Vec<(u32, u32)>,
    used: Vec<bool>,
    clear: Clear,
    assigner: Assigner,
}

impl Sort {
    pub(super) fn new(params: &Params) -> Self {
        Self {
            params: params.clone(),
            beat: Beat::new(params.frame_rate),
            frames: 0,
            next: 0,
            tracks: Vec::new(),
            pairs: Vec::new(),
            matched: Vec::new(),
            used: Vec::new(),
            clear: Clear::default(),
            assigner: Assigner::default(),
        }
    }

    pub(super) fn update(&mut self, at: Duration, detections: &[Detection], out: &mut Vec<Row>, ended: &mut Vec<u32>) {
        let dt = self.beat.step(at);
        self.frames = self.frames.saturating_add(1);
        self.predict(dt, ended);
        self.associate(detections);
        self.settle(detections);
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

    pub(super) fn drop_track(&mut self, number: u32) {
        self.tracks.retain(|track| track.number != number);
    }

    fn predict(&mut self, dt: f64, ended: &mut Vec<u32>) {
        self.tracks.retain_mut(|track| {
            track.filter.predict(dt);
            if track.detection.take().is_none() {
                track.streak = 0;
            }
            track.unseen += dt;
            match track.filter.bbox() {
                Some(bbox) => track.bbox = bbox,
                None => ended.push(track.number),
            }
            track.filter.bbox().is_some()
        });
    }

    fn associate(&mut self, detections: &[Detection]) {
        self.pairs.clear();
        self.clear.reset(self.tracks.len(), detections.len());
        for (row, track) in (0u32..).zip(&self.tracks) {
            for (column, detection) in (0u32..).zip(detections) {
                if detection.class != track.class || detection.confidence < self.params.confidence {
                    continue;
                }
                let weight = iou(&track.bbox, &detection.bbox);
                if weight > 0.0 {
                    self.clear.see(row, column, weight > self.params.match_iou);
                    self.pairs.push(Pair { row, column, weight });
                }
            }
        }
        if self.clear.is_clear() {
            // As published: where nothing is in doubt, pairs below the threshold cannot push others aside.
            self.pairs.retain(|pair| pair.weight > self.params.match_iou);
        }
        self.matched.clear();
        self.assigner.assign(self.tracks.len(), detections.len(), &mut self.pairs, &mut self.matched);
    }

    fn settle(&mut self, detections: &[Detection]) {
        self.used.clear();
        self.used.resize(detections.len(), false);
        for &(row, column) in &self.matched {
            let (track, detection) = (&mut self.tracks[row as usize], &detections[column as usize]);
            if iou(&track.bbox, &detection.bbox) < self.params.match_iou {
                continue;
            }
            self.used[column as usize] = true;
            track.filter.correct(measure(&detection.bbox));
            track.bbox = track.filter.bbox().unwrap_or(detection.bbox);
            track.unseen = 0.0;
            track.streak += 1;
            track.detection = Some(column);
        }
        for (index, detection) in (0u32..).zip(detections) {
            if self.used[index as usize] || detection.confidence < self.params.confidence {
                continue;
            }
            let filter = Filter::new(&detection.bbox);
            let number = self.next;
            self.next = self.next.wrapping_add(1);
            let (class, bbox) = (detection.class, detection.bbox);
            self.tracks.push(Track { number, class, filter, bbox, unseen: 0.0, streak: 0, detection: Some(index) });
        }
    }
}

/// Whether each track and each detection has at most one partner above the threshold.
#[derive(Default)]
pub(super) struct Clear {
    rows: Vec<bool>,
    columns: Vec<bool>,
    twice: bool,
    any: bool,
}

impl Clear {
    pub(super) fn reset(&mut self, rows: usize, columns: usize) {
        for (flags, len) in [(&mut self.rows, rows), (&mut self.columns, columns)] {
            flags.clear();
            flags.resize(len, false);
        }
        (self.twice, self.any) = (false, false);
    }

    pub(super) fn see(&mut self, row: u32, column: u32, above: bool) {
        if above {
            let (row, column) = (&mut self.rows[row as usize], &mut self.columns[column as usize]);
            self.twice |= *row || *column;
            self.any = true;
            (*row, *column) = (true, true);
        }
    }

    pub(super) fn is_clear(&self) -> bool {
        self.any && !self.twice
    }
}
