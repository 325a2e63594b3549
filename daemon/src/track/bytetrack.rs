//! `ByteTrack` (Zhang et al.: Multi-Object Tracking by Associating Every Detection Box, ECCV 2022), as its authors' programs run it.
//!
//! Confident detections are matched first, with followed and lost tracks; the others then prolong tracks that are still followed.
//! The filter is that of `DeepSORT` (Wojke et al. 2017): centre, aspect ratio and height, noise in proportion to the
//! height. Where the paper and the program differ, the program is followed; the places are marked.

use std::time::Duration;

use super::{
    assign::{Assigner, Pair},
    associate::{Beat, Row},
    axis::Axis,
    overlap::iou_of_pixels,
};
use crate::media::{BBox, Detection};

const POSITION: f64 = 1.0 / 20.0;
const VELOCITY: f64 = 1.0 / 160.0;
const ASPECT_POSITION: f64 = 1e-2;
const ASPECT_VELOCITY: f64 = 1e-5;
const ASPECT_MEASURED: f64 = 1e-1;
const LOW_IOU: f32 = 0.5;
const UNCONFIRMED_IOU: f32 = 0.3;
const DUPLICATE_IOU: f32 = 0.85;

/// The authors' two programs do not do the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// A detection is compared with where the track was last seen.
    Cpp,
    /// A detection is compared with where the track is predicted to be, and its confidence times the IoU counts.
    Python,
}

/// What can be set. Counts are in frames of [`Params::frame_rate`].
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Frames per second that the counts refer to; 0: each update is one frame.
    pub frame_rate: f32,
    /// Which of the two programs.
    pub variant: Variant,
    /// Detections at or above it take part in the first association (`track_thresh`).
    pub high_confidence: f32,
    /// Detections at or above it, but below the former, take part in the second one.
    pub low_confidence: f32,
    /// An unmatched detection at or above it starts a track (`high_thresh`).
    pub new_confidence: f32,
    /// Smallest IoU of a track and a detection in the first association (1 − `match_thresh`).
    pub match_iou: f32,
    /// For how many frames a lost track is remembered (`track_buffer`).
    pub buffer: f32,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            frame_rate: 30.0,
            variant: Variant::Cpp,
            high_confidence: 0.5,
            low_confidence: 0.0,
            new_confidence: 0.6,
            match_iou: 0.2,
            buffer: 30.0,
        }
    }
}

/// Centre, aspect ratio (width by height) and height.
#[derive(Clone, Copy, Debug)]
struct Filter {
    x: Axis,
    y: Axis,
    aspect: Axis,
    height: Axis,
}

fn measure(bbox: &BBox) -> [f64; 4] {
    let [x1, y1, x2, y2] = [bbox.x1, bbox.y1, bbox.x2, bbox.y2].map(f64::from);
    let (w, h) = (x2 - x1, y2 - y1);
    [x1 + w / 2.0, y1 + h / 2.0, w / h, h]
}

impl Filter {
    fn new(bbox: &BBox) -> Self {
        let [x, y, aspect, h] = measure(bbox);
        let axis = |value| Axis::new(value, (2.0 * POSITION * h).powi(2), (10.0 * VELOCITY * h).powi(2));
        let aspect = Axis::new(aspect, ASPECT_POSITION.powi(2), ASPECT_VELOCITY.powi(2));
        Self { x: axis(x), y: axis(y), aspect, height: axis(h) }
    }

    fn predict(&mut self, dt: f64) {
        let (noise, rate_noise) = ((POSITION * self.height.value).powi(2), (VELOCITY * self.height.value).powi(2));
        self.x.predict(dt, noise, rate_noise);
        self.y.predict(dt, noise, rate_noise);
        self.aspect.predict(dt, ASPECT_POSITION.powi(2), ASPECT_VELOCITY.powi(2));
        self.height.predict(dt, noise, rate_noise);
        self.bound();
    }

    fn correct(&mut self, bbox: &BBox) {
        let [x, y, aspect, h] = measure(bbox);
        let noise = (POSITION * self.height.value).powi(2);
        self.x.correct(x, noise);
        self.y.correct(y, noise);
        self.aspect.correct(aspect, ASPECT_MEASURED.powi(2));
        self.height.correct(h, noise);
        self.bound();
    }

    /// Extrapolation may not turn a box inside out.
    fn bound(&mut self) {
        self.height.value = self.height.value.max(1.0);
        self.aspect.value = self.aspect.value.max(1e-2);
    }

    fn bbox(&self) -> BBox {
        let (w, h) = (self.aspect.value * self.height.value / 2.0, self.height.value / 2.0);
        let [x1, y1, x2, y2] = [self.x.value - w, self.y.value - h, self.x.value + w, self.y.value + h].map(|v| v as f32);
        BBox::new(x1, y1, x2, y2)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Seen once.
    Unconfirmed,
    Followed,
    Lost,
}

#[derive(Clone, Debug)]
struct Track {
    number: u32,
    class: u16,
    filter: Filter,
    bbox: BBox,
    state: State,
    /// The program takes a track that was lost for too long off its list one frame late. Until then it may be found again, but is
    /// dropped the next time that it is lost.
    expired: bool,
    started: f64,
    seen: f64,
    detection: Option<u32>,
    dropped: bool,
}

/// `ByteTrack` at work.
pub(super) struct ByteTrack {
    params: Params,
    beat: Beat,
    clock: f64,
    first: bool,
    next: u32,
    tracks: Vec<Track>,
    work: Work,
}

#[derive(Default)]
struct Work {
    high: Vec<u32>,
    low: Vec<u32>,
    rows: Vec<u32>,
    used: Vec<bool>,
    /// Whether confidences count.
    fused: bool,
    pairs: Vec<Pair>,
    matched: Vec<(u32, u32)>,
    assigner: Assigner,
}

impl ByteTrack {
    pub(super) fn new(params: &Params) -> Self {
        Self {
            params: params.clone(),
            beat: Beat::new(params.frame_rate),
            clock: 0.0,
            first: true,
            next: 0,
            tracks: Vec::new(),
            work: Work::default(),
        }
    }

    pub(super) fn update(&mut self, at: Duration, detections: &[Detection], out: &mut Vec<Row>, ended: &mut Vec<u32>) {
        let dt = self.beat.step(at);
        self.clock += dt;
        self.predict(dt);
        self.associate(detections);
        self.begin(detections);
        self.forget();
        self.sweep(ended);
        self.drop_duplicates();
        self.sweep(ended);
        let hz = self.beat.hz();
        out.extend(self.tracks.iter().filter(|track| track.detection.is_some()).map(|track| Row {
            track: track.number,
            detection: track.detection,
            bbox: track.bbox,
            velocity: ((track.filter.x.rate * hz) as f32, (track.filter.y.rate * hz) as f32),
            confirmed: track.state == State::Followed,
        }));
        self.first = false;
    }

    pub(super) fn drop_track(&mut self, number: u32) {
        self.tracks.retain(|track| track.number != number);
    }

    /// As in the program, tracks that were seen only once stay where they are.
    fn predict(&mut self, dt: f64) {
        for track in &mut self.tracks {
            track.detection = None;
            match track.state {
                State::Unconfirmed => continue,
                State::Lost => track.filter.height.rate = 0.0,
                State::Followed => {}
            }
            track.filter.predict(dt);
            if self.params.variant == Variant::Python {
                track.bbox = track.filter.bbox();
            }
        }
    }

    fn associate(&mut self, detections: &[Detection]) {
        let Self { params, tracks, work, clock, .. } = self;
        work.sort_out(detections, params);
        work.fused = params.variant == Variant::Python;
        work.stage(tracks, detections, *clock, true, params.match_iou, |track| track.state != State::Unconfirmed);
        work.stage(tracks, detections, *clock, false, LOW_IOU, |track| track.state == State::Followed);
        for track in tracks.iter_mut().filter(|track| track.state == State::Followed && track.detection.is_none()) {
            track.state = State::Lost;
            track.dropped = track.expired;
        }
        work.stage(tracks, detections, *clock, true, UNCONFIRMED_IOU, |track| track.state == State::Unconfirmed);
        for track in tracks.iter_mut().filter(|track| track.state == State::Unconfirmed) {
            track.dropped = track.detection.is_none();
        }
        for track in tracks.iter_mut().filter(|track| track.detection.is_some()) {
            track.state = State::Followed;
        }
    }

    fn begin(&mut self, detections: &[Detection]) {
        for &index in &self.work.high {
            let detection = &detections[index as usize];
            if self.work.used[index as usize] || detection.confidence < self.params.new_confidence {
                continue;
            }
            self.tracks.push(Track {
                number: self.next,
                class: detection.class,
                filter: Filter::new(&detection.bbox),
                bbox: detection.bbox,
                state: if self.first { State::Followed } else { State::Unconfirmed },
                expired: false,
                started: self.clock,
                seen: self.clock,
                detection: Some(index),
                dropped: false,
            });
            self.next = self.next.wrapping_add(1);
        }
    }

    fn forget(&mut self) {
        for track in self.tracks.iter_mut().filter(|track| track.state == State::Lost) {
            if track.expired {
                track.dropped = true;
            } else if self.clock - track.seen > f64::from(self.params.buffer) + 0.5 {
                track.expired = true;
            }
        }
    }

    fn sweep(&mut self, ended: &mut Vec<u32>) {
        self.tracks.retain(|track| {
            if track.dropped {
                ended.push(track.number);
            }
            !track.dropped
        });
    }

    /// Of a lost and a followed track at the same place, the one that was seen for longer stays.
    fn drop_duplicates(&mut self) {
        for i in 0..self.tracks.len() {
            if self.tracks[i].state != State::Lost {
                continue;
            }
            for j in 0..self.tracks.len() {
                let (lost, followed) = (&self.tracks[i], &self.tracks[j]);
                if followed.state == State::Lost
                    || followed.class != lost.class
                    || iou_of_pixels(&lost.bbox, &followed.bbox) <= DUPLICATE_IOU
                {
                    continue;
                }
                let older = lost.seen - lost.started >= followed.seen - followed.started;
                self.tracks[if older { j } else { i }].dropped = true;
            }
        }
    }
}

impl Work {
    fn sort_out(&mut self, detections: &[Detection], params: &Params) {
        self.used.clear();
        self.used.resize(detections.len(), false);
        self.high.clear();
        self.low.clear();
        for (index, detection) in (0u32..).zip(detections) {
            if detection.confidence >= params.high_confidence {
                self.high.push(index);
            } else if detection.confidence >= params.low_confidence {
                self.low.push(index);
            }
        }
    }

    /// One association among what is still free; those that are found take their detection in.
    fn stage(
        &mut self,
        tracks: &mut [Track],
        detections: &[Detection],
        clock: f64,
        high: bool,
        least: f32,
        takes_part: impl Fn(&Track) -> bool,
    ) {
        let columns = if high { &self.high } else { &self.low };
        self.rows.clear();
        let free = |track: &Track| track.detection.is_none() && !track.dropped && takes_part(track);
        self.rows.extend((0u32..).zip(tracks.iter()).filter(|(_, track)| free(track)).map(|(row, _)| row));
        self.pairs.clear();
        for (row, &track) in (0u32..).zip(&self.rows) {
            let track = &tracks[track as usize];
            for (column, &index) in (0u32..).zip(columns) {
                let detection = &detections[index as usize];
                if detection.class != track.class || self.used[index as usize] {
                    continue;
                }
                let score = if self.fused && high { detection.confidence } else { 1.0 };
                let weight = iou_of_pixels(&track.bbox, &detection.bbox) * score - least;
                if weight > 0.0 {
                    self.pairs.push(Pair { row, column, weight });
                }
            }
        }
        self.matched.clear();
        self.assigner.assign(self.rows.len(), columns.len(), &mut self.pairs, &mut self.matched);
        for &(row, column) in &self.matched {
            let (track, index) = (&mut tracks[self.rows[row as usize] as usize], columns[column as usize]);
            track.filter.correct(&detections[index as usize].bbox);
            track.bbox = track.filter.bbox();
            track.seen = clock;
            track.detection = Some(index);
            self.used[index as usize] = true;
        }
    }
}
