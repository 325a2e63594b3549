//! A tracked object as Frigate tells of it, and when it is told.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use super::{
    super::form::{rounded, unix_seconds},
    event::{Body, Message, Snapshot},
};
use crate::{
    media::{Found, Track, TrackId, TrackPhase, Tracked},
    publish::message::{class_name, within},
};

/// A better view is told no more often than this, in seconds.
const BETTER_EVERY: f64 = 5.0;
/// Something is told at least this often, in seconds.
const HEARTBEAT: f64 = 60.0;
/// How much surer, or how much larger, a better view is.
const SURER: f64 = 0.05;
const LARGER: f64 = 1.1;

/// An object.
pub(super) struct Object {
    id: String,
    label: Arc<str>,
    start: f64,
    stationary: bool,
    /// Frames since it came to stand, and how often it has moved again.
    motionless: u64,
    position_changes: u64,
    top_score: f64,
    view: Snapshot,
    best: Option<Snapshot>,
    sub_label: Option<(String, f64)>,
    current: Vec<Arc<str>>,
    entered: Vec<Arc<str>>,
    /// Something has changed that is told at once.
    significant: bool,
    /// There is a better view than the one that was told.
    better: bool,
    told: Option<Body>,
}

/// Frigate's form of an identity: the time of the first sight and six characters, here made of the track's own identity.
fn identity(track: TrackId, first_seen: SystemTime) -> String {
    let mut rest = track.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 31;
    let mut letters = String::with_capacity(6);
    for _ in 0..6 {
        letters.push(char::from(b"abcdefghijklmnopqrstuvwxyz0123456789"[(rest % 36) as usize]));
        rest /= 36;
    }
    format!("{:.6}-{letters}", unix_seconds(first_seen))
}

impl Object {
    pub(super) fn new(track: &Track, label: &str) -> Self {
        let view = Snapshot { frame_time: 0.0, bbox: [0; 4], area: 0, region: [0; 4], score: 0.0, attributes: [] };
        Self {
            id: identity(track.id, track.first_seen),
            label: label.into(),
            start: unix_seconds(track.first_seen),
            stationary: false,
            motionless: 0,
            position_changes: 0,
            top_score: 0.0,
            view,
            best: None,
            sub_label: None,
            current: Vec::new(),
            entered: Vec::new(),
            significant: false,
            better: false,
            told: None,
        }
    }

    pub(super) fn label(&self) -> &Arc<str> {
        &self.label
    }

    pub(super) fn is_stationary(&self) -> bool {
        self.stationary
    }

    /// Where it is.
    pub(super) fn zones(&self) -> impl Iterator<Item = &Arc<str>> {
        self.current.iter()
    }

    pub(super) fn enter(&mut self, zone: &Arc<str>) {
        if !self.current.contains(zone) {
            self.current.push(zone.clone());
            self.significant = true;
        }
        if !self.entered.contains(zone) {
            self.entered.push(zone.clone());
        }
    }

    pub(super) fn leave(&mut self, zone: &Arc<str>) {
        let before = self.current.len();
        self.current.retain(|known| known != zone);
        self.significant |= self.current.len() != before;
    }

    /// Takes in what a frame says of it.
    pub(super) fn see(&mut self, track: &Track, tracked: &Tracked) {
        if track.stationary != self.stationary {
            self.significant = true;
            self.position_changes += u64::from(self.stationary);
            self.stationary = track.stationary;
        }
        self.motionless = if self.stationary { self.motionless + 1 } else { 0 };
        self.find_out(track, tracked);
        if track.phase == TrackPhase::End {
            return;
        }
        let (width, height) = (i64::from(tracked.size.0), i64::from(tracked.size.1));
        let bbox = within(&track.bbox, tracked.size);
        let bbox = [bbox.x1, bbox.y1, bbox.x2, bbox.y2].map(|v| v.round() as i64);
        let area = (bbox[2] - bbox[0]) * (bbox[3] - bbox[1]);
        let score = rounded(track.confidence, 5);
        let frame_time = unix_seconds(tracked.capture.wall);
        self.view = Snapshot { frame_time, bbox, area, region: [0, 0, width, height], score, attributes: [] };
        self.top_score = self.top_score.max(score);
        let cut = |view: &Snapshot| view.bbox[0] <= 0 || view.bbox[1] <= 0 || view.bbox[2] >= width || view.bbox[3] >= height;
        let better = self.best.as_ref().is_none_or(|best| match (cut(&self.view), cut(best)) {
            (false, true) => true,
            (true, false) => false,
            _ => score > best.score + SURER || self.view.area as f64 > best.area as f64 * LARGER,
        });
        if better {
            self.best = Some(self.view.clone());
            self.better = true;
        }
    }

    /// A label that a second network has found for it.
    fn find_out(&mut self, track: &Track, tracked: &Tracked) {
        let Some(report) = &tracked.steps else { return };
        for (_, finding) in report.tracks.iter().filter(|(id, _)| *id == track.id) {
            if let Found::Label(Some((class, score))) = &finding.found {
                let name = class_name(&finding.model.classes, *class).to_owned();
                self.significant |= self.sub_label.as_ref().is_none_or(|(known, _)| *known != name);
                self.sub_label = Some((name, rounded(*score, 4)));
            }
        }
    }

    /// The message that is due at a moment, if one is.
    pub(super) fn tell(&mut self, camera: &str, phase: TrackPhase, now: f64) -> Option<Message> {
        let since = self.told.as_ref().map(|told| now - told.frame_time);
        let due = match since {
            None => true,
            Some(since) => self.significant || since > HEARTBEAT || since > BETTER_EVERY && self.better,
        };
        // The end of what was never told is no news either.
        if (phase == TrackPhase::End && self.told.is_none()) || (phase != TrackPhase::End && !due) {
            return None;
        }
        let after = self.body(camera, (phase == TrackPhase::End).then_some(self.view.frame_time));
        let kind = match (phase, &self.told) {
            (TrackPhase::End, _) => "end",
            (_, None) => "new",
            _ => "update",
        };
        (self.significant, self.better) = (false, false);
        let before = self.told.replace(after.clone()).unwrap_or_else(|| unknown(&after));
        Some(Message { kind, before, after })
    }

    fn body(&self, camera: &str, end_time: Option<f64>) -> Body {
        let [x1, y1, x2, y2] = self.view.bbox;
        let names = |zones: &[Arc<str>]| zones.iter().map(ToString::to_string).collect();
        Body {
            id: self.id.clone(),
            camera: camera.to_owned(),
            frame_time: self.view.frame_time,
            snapshot: self.best.clone(),
            label: self.label.to_string(),
            sub_label: self.sub_label.clone(),
            top_score: self.top_score,
            false_positive: false,
            start_time: self.start,
            end_time,
            score: self.view.score,
            bbox: self.view.bbox,
            area: self.view.area,
            ratio: rounded((x2 - x1) as f32 / ((y2 - y1) as f32).max(1.0), 2),
            region: self.view.region,
            active: !self.stationary,
            stationary: self.stationary,
            motionless_count: self.motionless,
            position_changes: self.position_changes,
            current_zones: names(&self.current),
            entered_zones: names(&self.entered),
            has_clip: false,
            has_snapshot: false,
            attributes: BTreeMap::new(),
            current_attributes: [],
            pending_loitering: false,
            max_severity: None,
            current_estimated_speed: 0,
            average_estimated_speed: 0,
            velocity_angle: 0,
            path_data: [],
            thumbnail: None,
            recognized_license_plate: None,
            recognized_license_plate_score: None,
        }
    }
}

/// What Frigate has of an object before it is sure of it.
fn unknown(after: &Body) -> Body {
    Body {
        snapshot: None,
        top_score: 0.0,
        false_positive: true,
        current_zones: Vec::new(),
        entered_zones: Vec::new(),
        end_time: None,
        ..after.clone()
    }
}
