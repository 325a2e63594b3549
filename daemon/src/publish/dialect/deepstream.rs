//! The messages of NVIDIA DeepStream's message converter: full, minimal and protobuf. Those of all cameras go to one topic, as there.
//!
//! Boxes are in pixels of the source frame, where DeepStream's are in those of its muxer.

mod protobuf;

use std::{collections::HashMap, fmt::Write, sync::Arc};

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Value, json};

use super::{
    Device, Out,
    form::{json as to_json, rounded},
};
use crate::{
    config::{DeepStreamConfig, DeepStreamForm},
    media::{Found, StreamId, Track, TrackId, TrackPhase, Tracked, TrackedDetection},
    publish::{
        message::{Stamp, class_name},
        topics::Family,
    },
};

/// What stands for an object that is not tracked.
const UNTRACKED: u64 = u64::MAX;
/// Of the minimal and the protobuf form.
const VERSION: &str = "4.0";

/// The dialect.
pub(super) struct DeepStream {
    topic: Arc<str>,
    form: DeepStreamForm,
    interval: u64,
    /// Frames of each camera.
    frames: HashMap<StreamId, u64>,
    device: Device,
    identities: Identities,
}

/// Identities of messages: universally unique, and the same again in a test (RFC 9562, version 8).
struct Identities {
    boot: u64,
    next: u64,
}

impl Identities {
    fn next(&mut self) -> String {
        let n = self.next;
        self.next += 1;
        let boot = self.boot;
        format!(
            "{:08x}-{:04x}-8{:03x}-{:04x}-{:012x}",
            boot >> 32,
            (boot >> 16) & 0xffff,
            boot & 0xfff,
            0x8000 | (n >> 48) & 0x3fff,
            n & 0xffff_ffff_ffff
        )
    }
}

/// What a second network has called an object.
struct Label<'a> {
    model: &'a str,
    name: &'a str,
    score: f32,
}

/// What is told of an object beside its box.
struct About<'a> {
    id: u64,
    label: &'a str,
    confidence: f32,
    /// Left, top, right, bottom.
    bbox: [f64; 4],
    labels: Vec<Label<'a>>,
    track: Option<&'a Track>,
}

impl DeepStream {
    pub(super) fn new(config: &DeepStreamConfig, device: &Device) -> Self {
        // FNV-1a: the same on every machine.
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let boot = device.boot_id.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
        Self {
            topic: config.topic.as_str().into(),
            form: config.form,
            interval: config.frame_interval,
            frames: HashMap::new(),
            device: device.clone(),
            identities: Identities { boot, next: 0 },
        }
    }

    pub(super) fn forget(&mut self, known: &impl Fn(&StreamId) -> bool) {
        self.frames.retain(|stream, _| known(stream));
    }

    pub(super) fn frame(&mut self, tracked: &Tracked, out: &mut Out<'_>) {
        if tracked.closing {
            return;
        }
        let number = self.frames.entry(tracked.stream.clone()).or_default();
        let due = number.is_multiple_of(self.interval);
        *number += 1;
        if !due {
            return;
        }
        let about: Vec<About<'_>> = tracked.detections.iter().map(|detection| About::of(detection, tracked)).collect();
        match self.form {
            DeepStreamForm::Full => {
                for object in &about {
                    let payload = to_json(&self.full(object, tracked));
                    out(&self.topic, payload, Family::DialectFrame);
                }
            }
            DeepStreamForm::Minimal => out(&self.topic, to_json(&minimal(&about, tracked)), Family::DialectFrame),
            DeepStreamForm::Protobuf => out(&self.topic, protobuf::frame(&about, tracked), Family::DialectFrame),
        }
    }

    fn full<'a>(&mut self, object: &'a About<'a>, tracked: &'a Tracked) -> Full<'a> {
        let nowhere = || json!({ "lat": 0.0, "lon": 0.0, "alt": 0.0 });
        let origin = || json!({ "x": 0.0, "y": 0.0, "z": 0.0 });
        let device = self.device.name.as_str();
        Full {
            messageid: self.identities.next(),
            mdsversion: "1.0",
            timestamp: Milliseconds(tracked),
            place: json!({
                "id": device, "name": device, "type": "", "location": nowhere(),
                "place-sub-field": { "id": "", "name": "", "level": "", "coordinate": origin() },
            }),
            sensor: json!({
                "id": tracked.stream.name(), "type": "Camera", "description": "", "location": nowhere(), "coordinate": origin(),
            }),
            analytics: json!({
                "id": tracked.model.name, "description": tracked.model.runtime, "source": "egret",
                "version": env!("CARGO_PKG_VERSION"),
            }),
            object: Object(object),
            event: json!({ "id": self.identities.next(), "type": object.doing() }),
            video_path: "",
        }
    }
}

impl<'a> About<'a> {
    fn of(seen: &TrackedDetection, tracked: &'a Tracked) -> Self {
        let bbox = &seen.detection.bbox;
        let labels = seen.track.map_or_else(Vec::new, |track| labels(track, tracked));
        Self {
            id: seen.track.map_or(UNTRACKED, |track| track.0),
            label: class_name(&tracked.model.classes, seen.detection.class),
            confidence: seen.detection.confidence,
            bbox: [bbox.x1, bbox.y1, bbox.x2, bbox.y2].map(|v| rounded(v, 2)),
            labels,
            track: tracked.tracks.iter().find(|track| Some(track.id) == seen.track),
        }
    }

    /// DeepStream's words for what an object does.
    fn doing(&self) -> &'static str {
        match self.track {
            Some(track) if track.phase == TrackPhase::New => "entry",
            Some(track) if track.stationary => "stopped",
            _ => "moving",
        }
    }
}

fn labels(track: TrackId, tracked: &Tracked) -> Vec<Label<'_>> {
    let Some(report) = &tracked.steps else { return Vec::new() };
    let label = |finding: &'_ crate::media::Finding| match &finding.found {
        Found::Label(Some((class, score))) => Some((*class, *score)),
        _ => None,
    };
    let own = report.tracks.iter().filter(|(id, _)| *id == track);
    own.filter_map(|(_, finding)| {
        let (class, score) = label(finding)?;
        Some(Label { model: &finding.model.name, name: class_name(&finding.model.classes, class), score })
    })
    .collect()
}

/// One object of one frame.
#[derive(Serialize)]
struct Full<'a> {
    messageid: String,
    mdsversion: &'a str,
    #[serde(rename = "@timestamp")]
    timestamp: Milliseconds<'a>,
    place: Value,
    sensor: Value,
    #[serde(rename = "analyticsModule")]
    analytics: Value,
    object: Object<'a>,
    event: Value,
    #[serde(rename = "videoPath")]
    video_path: &'a str,
}

/// The time of capture, RFC 3339 with milliseconds.
struct Milliseconds<'a>(&'a Tracked);

impl Serialize for Milliseconds<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Stamp(self.0.capture.wall).text();
        let milliseconds = text.get(..text.len() - 4).unwrap_or_default();
        serializer.collect_str(&format_args!("{milliseconds}Z"))
    }
}

struct Object<'a>(&'a About<'a>);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let object = self.0;
        let mut class = json!({ "confidence": rounded(object.confidence, 4) });
        for Label { model, name, .. } in &object.labels {
            class[*model] = (*name).into();
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &object.id.to_string())?;
        map.serialize_entry("speed", &0.0)?;
        map.serialize_entry("direction", &0.0)?;
        map.serialize_entry("orientation", &0.0)?;
        map.serialize_entry(named(object.label), &class)?;
        let [left, top, right, bottom] = object.bbox;
        map.serialize_entry(
            "bbox",
            &json!({ "topleftx": left, "toplefty": top, "bottomrightx": right, "bottomrighty": bottom }),
        )?;
        map.serialize_entry("location", &json!({ "lat": 0.0, "lon": 0.0, "alt": 0.0 }))?;
        map.serialize_entry("coordinate", &json!({ "x": 0.0, "y": 0.0, "z": 0.0 }))?;
        map.end()
    }
}

/// The name of a class as a key among the other keys of an object.
fn named(label: &str) -> &str {
    match label {
        "id" | "speed" | "direction" | "orientation" | "bbox" | "location" | "coordinate" | "" => "object",
        label => label,
    }
}

/// One frame, in which objects are texts with `|` between their parts.
#[derive(Serialize)]
struct Minimal<'a> {
    version: &'a str,
    id: String,
    #[serde(rename = "@timestamp")]
    timestamp: Milliseconds<'a>,
    #[serde(rename = "sensorId")]
    sensor: &'a str,
    objects: Vec<String>,
}

fn minimal<'a>(about: &[About<'_>], tracked: &'a Tracked) -> Minimal<'a> {
    Minimal {
        version: VERSION,
        id: tracked.frame_seq.to_string(),
        timestamp: Milliseconds(tracked),
        sensor: tracked.stream.name(),
        objects: about.iter().map(line).collect(),
    }
}

/// A part between two bars.
fn part(text: &str) -> String {
    text.replace(['|', '#'], "_")
}

fn line(object: &About<'_>) -> String {
    let [left, top, right, bottom] = object.bbox;
    let mut line = format!("{}|{left}|{top}|{right}|{bottom}|{}", object.id, part(object.label));
    if !object.labels.is_empty() {
        line.push_str("|#");
        for Label { name, score, .. } in &object.labels {
            // Writing to a text cannot fail.
            let _ = write!(line, "|{}|{}", part(name), rounded(*score, 4));
        }
    }
    line
}
