//! ONVIF over MQTT: events (`onvif-ej`, Core specification, event broker) and metadata (`onvif-mj`, Analytics specification, JSON over
//! MQTT).
//!
//! Boxes are in ONVIF's own coordinates: x from -1 at the left to 1, y from -1 at the bottom to 1. No `Transformation` is needed then.

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    Out,
    form::{Broad, broad, json as to_json, level, rounded},
};
use crate::{
    analyse::{Event, EventPhase},
    config::OnvifConfig,
    media::{BBox, StreamId, TrackPhase, Tracked, TrackedDetection},
    publish::{
        compose::Now,
        message::{Stamp, class_name},
        topics::Family,
    },
    status::{CameraState, CameraStatus},
};

/// The dialect.
pub(super) struct Onvif {
    prefix: String,
    events: bool,
    metadata: bool,
    /// What was last said of each camera's pictures, topic by topic.
    states: HashMap<StreamId, [Option<bool>; 4]>,
}

/// An event.
#[derive(Serialize)]
struct Message {
    #[serde(rename = "UtcTime")]
    time: Stamp,
    #[serde(rename = "Source")]
    source: Map<String, Value>,
    #[serde(rename = "Data")]
    data: Map<String, Value>,
}

/// Names and texts; ONVIF's simple items are texts whatever they mean.
fn items<const N: usize>(items: [(&str, String); N]) -> Map<String, Value> {
    items.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

fn pictures_come(state: CameraState) -> bool {
    use CameraState::{Black, Blurred, Frozen, Moved, Online};
    matches!(state, Online | Frozen | Black | Blurred | Moved)
}

/// The states of pictures that ONVIF has topics for.
fn picture_topics(state: CameraState) -> [(&'static str, bool); 4] {
    use CameraState::{Black, Blurred, Connecting, Disabled, Ended, Frozen, Moved, Offline, Online};
    [
        (
            "VideoSource/SignalLoss",
            !matches!(state, Online | Frozen | Black | Blurred | Moved | Connecting | Disabled | Ended | Offline),
        ),
        ("VideoSource/ImageTooDark/AnalyticsService", state == Black),
        ("VideoSource/ImageTooBlurry/AnalyticsService", state == Blurred),
        ("VideoSource/GlobalSceneChange/AnalyticsService", state == Moved),
    ]
}

/// Where a rule's events go: ONVIF's topic, or one of our own below its `RuleEngine`, with the kind's name.
fn rule_topic(kind: &str) -> String {
    match kind {
        "line" => "RuleEngine/LineDetector/Crossed".to_owned(),
        "zone" => "RuleEngine/FieldDetector/ObjectsInside".to_owned(),
        "dwell" => "RuleEngine/LoiteringDetector/ObjectIsLoitering".to_owned(),
        kind => format!("RuleEngine/Egret/{}", level(kind)),
    }
}

impl Onvif {
    pub(super) fn new(config: &OnvifConfig) -> Self {
        Self { prefix: config.topic_prefix.clone(), events: config.events, metadata: config.metadata, states: HashMap::new() }
    }

    /// Pictures that are lost, dark, blurred or of something else, when that begins and when it ends; and how it stands with the first
    /// picture, since an earlier run may have told that it began, and no more.
    pub(super) fn camera(&mut self, stream: &StreamId, status: &CameraStatus, now: Now, out: &mut Out<'_>) {
        if !self.events {
            return;
        }
        let told = self.states.entry(stream.clone()).or_default();
        for ((topic, is), told) in picture_topics(status.state).into_iter().zip(told) {
            let is_news = told.map_or(is || pictures_come(status.state), |was| was != is);
            if is_news {
                *told = Some(is);
                let source = level(stream.name());
                let topic = format!("{}/onvif-ej/{topic}/&{source}", self.prefix).into();
                let message = Message {
                    time: Stamp(now.wall),
                    source: items([("Source", stream.name().to_owned())]),
                    data: items([("State", is.to_string())]),
                };
                out(&topic, to_json(&message), Family::DialectEvent);
            }
        }
    }

    pub(super) fn removed(&mut self, stream: &StreamId) {
        self.states.remove(stream);
    }

    pub(super) fn frame(&mut self, tracked: &Tracked, out: &mut Out<'_>) {
        if self.metadata && (!tracked.closing || tracked.tracks.iter().any(|track| track.phase == TrackPhase::End)) {
            let (profile, module) = (level(tracked.stream.name()), level(&tracked.model.name));
            let topic: Arc<str> = format!("{}/onvif-mj/VideoAnalytics/{profile}/{module}", self.prefix).into();
            out(&topic, to_json(&metadata(tracked)), Family::DialectFrame);
        }
        let verdicts = tracked.verdicts.as_ref().filter(|_| self.events);
        for event in verdicts.into_iter().flat_map(|verdicts| &verdicts.events) {
            self.event(event, tracked, out);
        }
    }

    fn event(&self, event: &Event, tracked: &Tracked, out: &mut Out<'_>) {
        let (camera, module) = (tracked.stream.name(), tracked.model.name.as_str());
        let values = format!("&{}/{}/{}", level(camera), level(module), level(&event.rule));
        let topic = format!("{}/onvif-ej/{}/{values}", self.prefix, rule_topic(event.kind)).into();
        let source =
            [("VideoSource", camera.to_owned()), ("AnalyticsConfiguration", module.to_owned()), ("Rule", event.rule.to_string())];
        let message = Message { time: Stamp(tracked.capture.wall), source: items(source), data: data(event) };
        out(&topic, to_json(&message), Family::DialectEvent);
    }
}

/// What an event says: who it was, and whether it begins or ends.
fn data(event: &Event) -> Map<String, Value> {
    let mut data = Map::new();
    let mut put = |name: &str, value: String| drop(data.insert(name.to_owned(), value.into()));
    if let Some(object) = event.objects.first() {
        put("ObjectId", object.track.0.to_string());
    }
    let begins = (event.phase != EventPhase::End).to_string();
    match event.kind {
        "line" => {
            if let Some(way) = event.way {
                put("Direction", if way == crate::analyse::Way::In { "Right" } else { "Left" }.to_owned());
            }
        }
        "zone" => put("IsInside", begins),
        _ if event.phase == EventPhase::Once => {}
        _ => put("State", begins),
    }
    if let Some(measure) = event.measure {
        put("Value", rounded(measure.value as f32, 3).to_string());
    }
    data
}

/// A point of the picture in ONVIF's coordinates.
fn place((x, y): (f32, f32), (width, height): (u32, u32)) -> (f64, f64) {
    let (width, height) = (width.max(1) as f32, height.max(1) as f32);
    (rounded(2.0 * x / width - 1.0, 5), rounded(1.0 - 2.0 * y / height, 5))
}

fn shape(bbox: &BBox, size: (u32, u32)) -> Value {
    let ((left, top), (right, bottom)) = (place((bbox.x1, bbox.y1), size), place((bbox.x2, bbox.y2), size));
    let (x, y) = place((f32::midpoint(bbox.x1, bbox.x2), f32::midpoint(bbox.y1, bbox.y2)), size);
    json!({
        "BoundingBox": { "@left": left, "@top": top, "@right": right, "@bottom": bottom },
        "CenterOfGravity": { "@x": x, "@y": y },
    })
}

/// ONVIF's name of a class first, where it has one, then the network's own.
fn types(class: &str, confidence: f32) -> Vec<Value> {
    let standard = broad(class).map(|broad| match broad {
        Broad::Human => "Human",
        Broad::Face => "Face",
        Broad::Animal => "Animal",
        Broad::Vehicle => "Vehicle",
        Broad::LicensePlate => "LicensePlate",
        Broad::Bag => "Bag",
    });
    let named = standard.into_iter().chain((!matches!(class, "person" | "human")).then_some(class));
    named.map(|name| json!({ "@Likelihood": rounded(confidence, 4), "#text": name })).collect()
}

fn object(seen: &TrackedDetection, tracked: &Tracked) -> Value {
    let detection = &seen.detection;
    let class = class_name(&tracked.model.classes, detection.class);
    let mut object = Map::new();
    if let Some(track) = seen.track {
        object.insert("@ObjectId".to_owned(), track.0.into());
    }
    let appearance = json!({
        "Shape": shape(&detection.bbox, tracked.size),
        "Class": { "Type": types(class, detection.confidence) },
    });
    object.insert("Appearance".to_owned(), appearance);
    object.into()
}

fn metadata(tracked: &Tracked) -> Value {
    let seen: Vec<Value> = tracked.detections.iter().filter(|_| !tracked.closing).map(|seen| object(seen, tracked)).collect();
    let ended = tracked.tracks.iter().filter(|track| track.phase == TrackPhase::End);
    let ended: Vec<Value> = ended.map(|track| json!({ "@ObjectId": track.id.0 })).collect();
    let mut frame = json!({
        "@UtcTime": Stamp(tracked.capture.wall), "@Source": tracked.stream.name(), "Object": seen,
    });
    if !ended.is_empty() {
        frame["ObjectTree"] = json!({ "Delete": ended });
    }
    json!({ "Frame": [frame] })
}
