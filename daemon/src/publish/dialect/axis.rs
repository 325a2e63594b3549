//! Axis' Analytics Data Format (AXIS OS 12.8): a message per frame, and one per track when it has ended.
//!
//! Fields that Axis' public reference does not define in what could be had of it are marked so in `docs/dialects.md`.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Out,
    form::{Broad, broad, json as to_json, level, rounded},
};
use crate::{
    config::AxisConfig,
    media::{BBox, StreamId, Track, TrackId, TrackPhase, Tracked},
    publish::{
        message::{Identity, Stamp, class_name, within},
        topics::Family,
    },
};

/// Most places of a track's path. When one more comes, every other one goes, and further ones keep twice the distance.
const MOST_PLACES: usize = 64;
/// Time between two places at first.
const PLACE_EVERY: Duration = Duration::from_millis(500);

/// Where a track was.
#[derive(Clone, Copy)]
struct Sample {
    at: SystemTime,
    bbox: BBox,
}

struct Path {
    samples: VecDeque<Sample>,
    every: Duration,
}

impl Path {
    fn add(&mut self, sample: Sample) {
        let passed = self.samples.back().map(|last| sample.at.duration_since(last.at).unwrap_or_default());
        if passed.is_some_and(|passed| passed < self.every) {
            return;
        }
        if self.samples.len() >= MOST_PLACES {
            let mut odd = false;
            self.samples.retain(|_| {
                odd = !odd;
                odd
            });
            self.every *= 2;
        }
        self.samples.push_back(sample);
    }
}

struct Camera {
    frame_topic: Arc<str>,
    track_topic: Arc<str>,
    paths: HashMap<TrackId, Path>,
}

/// The dialect.
pub(super) struct Axis {
    topic: String,
    frames: bool,
    tracks: bool,
    cameras: HashMap<StreamId, Camera>,
}

/// `com.axis.scene.frame.v1`
#[derive(Serialize)]
struct Frame {
    channel_id: u32,
    timestamp: Stamp,
    detections: Vec<Value>,
    track_events: Vec<Value>,
}

/// `com.axis.scene.object_track.v1`
#[derive(Serialize)]
struct ObjectTrack {
    channel_id: u32,
    id: Identity,
    classes: Vec<Value>,
    start_time: Stamp,
    end_time: Stamp,
    duration: f64,
    path: Vec<Value>,
}

impl Axis {
    pub(super) fn new(config: &AxisConfig) -> Self {
        let topic = config.topic.clone();
        Self { topic, frames: config.frames, tracks: config.tracks, cameras: HashMap::new() }
    }

    pub(super) fn forget(&mut self, known: &impl Fn(&StreamId) -> bool) {
        self.cameras.retain(|stream, camera| known(stream) || !camera.paths.is_empty());
    }

    pub(super) fn frame(&mut self, tracked: &Tracked, out: &mut Out<'_>) {
        let topic = |source: &str| format!("{}/{}/{source}", self.topic, level(tracked.stream.name())).into();
        let camera = self.cameras.entry(tracked.stream.clone()).or_insert_with(|| Camera {
            frame_topic: topic("com.axis.scene.frame.v1"),
            track_topic: topic("com.axis.scene.object_track.v1"),
            paths: HashMap::new(),
        });
        if self.frames && (!tracked.closing || tracked.tracks.iter().any(|track| track.phase == TrackPhase::End)) {
            out(&camera.frame_topic, to_json(&frame(tracked)), Family::DialectFrame);
        }
        if !self.tracks {
            return;
        }
        for track in &tracked.tracks {
            if track.phase == TrackPhase::End {
                let path = camera.paths.remove(&track.id);
                out(&camera.track_topic, to_json(&ended(track, path.as_ref(), tracked)), Family::DialectEvent);
            } else {
                let empty = || Path { samples: VecDeque::new(), every: PLACE_EVERY };
                let path = camera.paths.entry(track.id).or_insert_with(empty);
                path.add(Sample { at: tracked.capture.wall, bbox: track.bbox });
            }
        }
    }
}

/// The channel: cameras are numbered from 1 in the order in which they came.
fn channel(tracked: &Tracked) -> u32 {
    tracked.stream.number()
}

/// Axis' name of a class; the network's own where it has none.
fn class_of(class: &str) -> &str {
    match class {
        "car" => "Car",
        "bus" => "Bus",
        "truck" => "Truck",
        "bicycle" | "bike" | "motorcycle" | "motorbike" => "Bike",
        "backpack" => "Backpack",
        "suitcase" => "Suitcase",
        other => match broad(other) {
            Some(Broad::Human) => "Human",
            Some(Broad::Face) => "Face",
            Some(Broad::Animal) => "Animal",
            Some(Broad::Vehicle) => "Vehicle",
            Some(Broad::LicensePlate) => "LicensePlate",
            Some(Broad::Bag) => "Bag",
            None => other,
        },
    }
}

fn class(class: u16, score: f32, tracked: &Tracked) -> Value {
    json!({ "type": class_of(class_name(&tracked.model.classes, class)), "score": rounded(score, 4) })
}

/// Fractions of the picture's width and height.
fn bounding_box(bbox: &BBox, size: (u32, u32)) -> Value {
    let (width, height) = (size.0.max(1) as f32, size.1.max(1) as f32);
    let bbox = within(bbox, size);
    json!({
        "left": rounded(bbox.x1 / width, 5), "top": rounded(bbox.y1 / height, 5),
        "right": rounded(bbox.x2 / width, 5), "bottom": rounded(bbox.y2 / height, 5),
    })
}

/// Only what is tracked has an identity, and only what has one is told.
fn frame(tracked: &Tracked) -> Frame {
    let seen = tracked.detections.iter().filter(|_| !tracked.closing).filter_map(|seen| {
        let track = seen.track?;
        Some(json!({
            "object_track_id": Identity(track),
            "bounding_box": bounding_box(&seen.detection.bbox, tracked.size),
            "class": class(seen.detection.class, seen.detection.confidence, tracked),
        }))
    });
    let ended = tracked.tracks.iter().filter(|track| track.phase == TrackPhase::End);
    Frame {
        channel_id: channel(tracked),
        timestamp: Stamp(tracked.capture.wall),
        detections: seen.collect(),
        track_events: ended.map(|track| json!({ "type": "TrackEnded", "object_track_id": Identity(track.id) })).collect(),
    }
}

fn ended(track: &Track, path: Option<&Path>, tracked: &Tracked) -> ObjectTrack {
    let place =
        |sample: &Sample| json!({ "timestamp": Stamp(sample.at), "bounding_box": bounding_box(&sample.bbox, tracked.size) });
    let duration = track.last_seen.duration_since(track.first_seen).unwrap_or_default();
    ObjectTrack {
        channel_id: channel(tracked),
        id: Identity(track.id),
        classes: vec![class(track.class, track.confidence, tracked)],
        start_time: Stamp(track.first_seen),
        end_time: Stamp(track.last_seen),
        duration: duration.as_micros() as f64 / 1e6,
        path: path.into_iter().flat_map(|path| &path.samples).map(place).collect(),
    }
}
