//! What subscribers read: the messages and their JSON, version [`SCHEMA`].
//!
//! Topics below `<base>/<device>/`, see [`super::topics`]. Boxes are `[x1, y1, x2, y2]`, once in pixels of the source frame (`box`) and
//! once as fractions of its width and height (`box_norm`). Times are RFC 3339 in UTC with microseconds. Identities are strings, since
//! JavaScript has no 64-bit integers. `seq` counts the messages of one kind (of one camera) from 0 since `boot_id`; a gap means that
//! messages were lost or dropped on the way. Fields may be added within a version; none changes its meaning.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

pub use super::stamp::Stamp;
pub use super::verdict::{CountMessage, EventMessage, SummaryMessage};
use super::{
    shape::{Covered, Keypoints, Shape},
    told::{self, Step, Steps, Told},
};
use crate::{
    media::{BBox, Codec, Extra, Extras, StepReport, TimeBasis, Track, TrackId, TrackPhase, TrackedDetection},
    status::{CameraState, PictureFaults},
};

/// The value of `schema` in every message.
pub const SCHEMA: &str = "egret/v1";

/// What a message is, as `kind` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// [`DeviceStatus`]
    DeviceStatus,
    /// [`CameraStatus`]
    CameraStatus,
    /// [`FrameMessage`]
    Frame,
    /// [`TrackMessage`]
    Track,
    /// [`EventMessage`]
    Event,
    /// [`CountMessage`]
    Count,
    /// [`SummaryMessage`]
    Summary,
}

/// Whether the daemon is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Connected.
    Online,
    /// Not connected, or shut down.
    Offline,
}

/// Why the daemon is there or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresenceReason {
    /// The first connection since it started.
    Started,
    /// A later connection.
    Reconnected,
    /// An ordered shutdown.
    Shutdown,
    /// The broker's word (last will): the connection broke.
    ConnectionLost,
}

/// `status`, retained; the last will says `offline`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeviceStatus<'a> {
    /// [`SCHEMA`]
    pub schema: &'a str,
    /// [`Kind::DeviceStatus`]
    pub kind: Kind,
    /// Name of the device.
    pub device: &'a str,
    /// One run of the daemon.
    pub boot_id: &'a str,
    /// Counts these messages.
    pub seq: u64,
    /// Online or offline.
    pub state: Presence,
    /// Why.
    pub reason: PresenceReason,
    /// Version of egret.
    pub version: &'a str,
    /// When the daemon started.
    pub started_at: Stamp,
    /// When this was written; a last will is written when the connection is made.
    pub published_at: Stamp,
}

/// `cam/<id>/status`, retained, cleared (empty) when the camera is removed. An ordered shutdown leaves it `offline`; where the daemon
/// goes without a word, only [`DeviceStatus`] says so, by its last will, until the next start writes every camera's status anew.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CameraStatus<'a> {
    /// [`SCHEMA`]
    pub schema: &'a str,
    /// [`Kind::CameraStatus`]
    pub kind: Kind,
    /// Name of the device.
    pub device: &'a str,
    /// Name of the camera.
    pub camera: &'a str,
    /// One run of the daemon.
    pub boot_id: &'a str,
    /// Counts this camera's status messages.
    pub seq: u64,
    /// The state, with the reason in its name.
    pub state: CameraState,
    /// For people: the camera's own words. Empty when online.
    pub detail: &'a str,
    /// Since when it is in this state.
    pub since: Stamp,
    /// What it sends, once known.
    pub codec: Option<Codec>,
    /// Width and height of its pictures in pixels, once known.
    pub size: Option<[u32; 2]>,
    /// Frames per second that came through the whole line lately; `null` until it was measured.
    pub fps: Option<f32>,
    /// Age of the last frame when this was written, since it was captured.
    pub last_frame_age_ms: Option<f64>,
    /// Sessions after the first one.
    pub reconnects: u64,
    /// RTP packets that never came.
    pub packets_lost: u64,
    /// Access units skipped while waiting for a random access point.
    pub skipped_to_idr: u64,
    /// How often what came could not be decoded: pictures, or the packets that they come in.
    pub decode_errors: u64,
    /// What was wrong with its pictures, and how often.
    pub picture_faults: PictureFaults,
    /// When this was written.
    pub published_at: Stamp,
}

/// Which network saw it, run by what.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Model<'a> {
    /// Its name in the configuration.
    pub name: &'a str,
    /// Name and version of what runs it.
    pub runtime: &'a str,
}

/// `cam/<id>/frame`, one per frame.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FrameMessage<'a> {
    /// [`SCHEMA`]
    pub schema: &'a str,
    /// [`Kind::Frame`]
    pub kind: Kind,
    /// Name of the device.
    pub device: &'a str,
    /// Name of the camera.
    pub camera: &'a str,
    /// One run of the daemon.
    pub boot_id: &'a str,
    /// Counts this camera's frame messages.
    pub seq: u64,
    /// Counts this camera's decoded frames, those that were never looked at included.
    pub frame: u64,
    /// Media time in milliseconds; restarts with each session of the camera.
    pub pts_ms: f64,
    /// When the frame was captured.
    pub captured_at: Stamp,
    /// Where `captured_at` comes from.
    pub basis: TimeBasis,
    /// When this was written.
    pub published_at: Stamp,
    /// From capture to writing this. With basis `sender_report` this spans two clocks and is only as true as they agree (it may
    /// even be negative); with basis `arrival` it is `since_arrival_ms`.
    pub latency_ms: Option<f64>,
    /// From the arrival of the frame's first bytes to writing this, by this machine's monotonic clock.
    pub since_arrival_ms: Option<f64>,
    /// Width and height of the source frame in pixels.
    pub size: [u32; 2],
    /// Which network.
    pub model: Model<'a>,
    /// What was seen.
    #[schemars(with = "Vec<Object<'a>>")]
    pub objects: Objects<'a>,
    /// `true`: no frame was looked at. The camera has stopped or is gone, and what was found out about its last frames is told; the
    /// rest is that of its last frame. Absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub closing: bool,
    /// What each step, a model that looks at what this one has seen, does with this frame, by the step's name. Absent without steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<std::collections::BTreeMap<String, Step>>")]
    pub steps: Option<Steps<'a>>,
    /// What was found out about this frame as a whole, or about an earlier one and not told yet. Absent where there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub findings: Vec<Told<'a>>,
}

/// One object in a frame.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Object<'a> {
    /// Its class.
    pub class: &'a str,
    /// 0..1.
    pub confidence: Rounded<4>,
    /// In pixels of the source frame.
    #[serde(rename = "box")]
    pub bbox: [Rounded<2>; 4],
    /// In fractions of its width and height.
    pub box_norm: [Rounded<5>; 4],
    /// Networks of oriented boxes: how the box is turned, in radians from the picture's x axis to the first side of `corners`,
    /// clockwise on the screen, 0..π/2. `box` is the upright box around it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub angle: Option<Rounded<5>>,
    /// The same: its corners `[x, y]`, clockwise on the screen, in pixels of the source frame; they may lie outside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corners: Option<[[Rounded<2>; 2]; 4]>,
    /// Networks of key points. Absent where there would be more than 20 000 in the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keypoints: Option<Keypoints<'a>>,
    /// Networks of instance masks, with `details`. Absent where there would be more than 20 000 runs in the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<Covered<'a>>,
    /// Which track it belongs to, `null` while it is not confirmed.
    pub track: Option<Identity>,
    /// What steps have found out about that track so far. Absent where there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub findings: Vec<Told<'a>>,
}

/// The objects of a frame, written without being gathered first.
#[derive(Clone, Copy, Debug)]
pub struct Objects<'a> {
    /// What was seen.
    pub detections: &'a [TrackedDetection],
    /// What belongs to them.
    pub extras: &'a Extras,
    /// The names of the classes.
    pub classes: &'a [String],
    /// Width and height of the source frame in pixels.
    pub size: (u32, u32),
    /// What steps have found out.
    pub steps: Option<&'a StepReport>,
}

impl<'a> Objects<'a> {
    /// `whole`: in a message that may be large.
    pub(super) fn object(
        classes: &'a [String],
        size: (u32, u32),
        d: &TrackedDetection,
        (extra, whole): (Option<&'a Extra>, bool),
    ) -> Object<'a> {
        let Shape { angle, corners, keypoints, mask } = Shape::of(extra, whole);
        Object {
            class: class_name(classes, d.detection.class),
            confidence: Rounded(d.detection.confidence),
            bbox: pixels(&d.detection.bbox),
            box_norm: normalised(&d.detection.bbox, size),
            angle,
            corners,
            keypoints,
            mask,
            track: d.track.map(Identity),
            findings: Vec::new(),
        }
    }
}

impl Serialize for Objects<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.detections.iter().enumerate().map(|(i, d)| {
            let findings = d.track.map_or_else(Vec::new, |track| told::of_track(self.steps, track, self.size, false));
            Object { findings, ..Self::object(self.classes, self.size, d, (self.extras.get(i), true)) }
        }))
    }
}

/// `cam/<id>/track/new`, `…/update` and `…/end`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TrackMessage<'a> {
    /// [`SCHEMA`]
    pub schema: &'a str,
    /// [`Kind::Track`]
    pub kind: Kind,
    /// New, update or end.
    pub phase: TrackPhase,
    /// Name of the device.
    pub device: &'a str,
    /// Name of the camera.
    pub camera: &'a str,
    /// One run of the daemon.
    pub boot_id: &'a str,
    /// Counts this camera's track messages, all phases together.
    pub seq: u64,
    /// Identity: never used again on this device.
    pub track: Identity,
    /// Its class.
    pub class: &'a str,
    /// Of the latest detection; at the end, of the best one.
    pub confidence: Rounded<4>,
    /// The tracker's box in pixels of the source frame, within it.
    #[serde(rename = "box")]
    pub bbox: [Rounded<2>; 4],
    /// In fractions of its width and height.
    pub box_norm: [Rounded<5>; 4],
    /// The latest detection's: see [`Object::angle`]. Absent in updates without one, and at the end; so are the next three.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub angle: Option<Rounded<5>>,
    /// See [`Object::corners`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corners: Option<[[Rounded<2>; 2]; 4]>,
    /// See [`Object::keypoints`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keypoints: Option<Keypoints<'a>>,
    /// See [`Object::mask`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<Covered<'a>>,
    /// Pixels per second of the box centre, x and y.
    pub velocity: [Rounded<1>; 2],
    /// There, and true, while it has stood still for five seconds or longer. Updates of it come once a minute then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stationary: Option<bool>,
    /// When it was first seen.
    pub first_seen: Stamp,
    /// When it was last seen.
    pub last_seen: Stamp,
    /// Frames in which it was seen.
    pub hits: u32,
    /// The frame that this is about: the one in which it was seen, or found to be gone. See [`FrameMessage::frame`].
    pub frame: u64,
    /// Media time of that frame.
    pub pts_ms: f64,
    /// When that frame was captured.
    pub captured_at: Stamp,
    /// Where `captured_at` comes from.
    pub basis: TimeBasis,
    /// When this was written.
    pub published_at: Stamp,
    /// As in [`FrameMessage::latency_ms`]; `null` if the track ended without a frame (its camera stopped or is gone).
    pub latency_ms: Option<f64>,
    /// As in [`FrameMessage::since_arrival_ms`].
    pub since_arrival_ms: Option<f64>,
    /// Width and height of the source frame in pixels.
    pub size: [u32; 2],
    /// Which network.
    pub model: Model<'a>,
    /// What steps have found out about it. Absent where there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub findings: Vec<Told<'a>>,
}

/// A number written with at most so many decimals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounded<const DECIMALS: u32>(pub f32);

impl<const DECIMALS: u32> Serialize for Rounded<DECIMALS> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let scale = f64::from(10u32.pow(DECIMALS));
        let value = (f64::from(self.0) * scale).round() / scale;
        // A minus zero is a zero to everybody but JSON.
        serializer.serialize_f64(value + 0.0)
    }
}

impl<const DECIMALS: u32> JsonSchema for Rounded<DECIMALS> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "number".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number" })
    }
}

/// A track's identity: 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(pub TrackId);

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let text: [u8; 16] = std::array::from_fn(|i| DIGITS[(self.0.0 >> (60 - 4 * i)) as usize & 15]);
        serializer.serialize_str(str::from_utf8(&text).unwrap_or_default())
    }
}

impl JsonSchema for Identity {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Identity".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{16}$" })
    }
}

/// The name of a class; a number that the model has no name for stays anonymous.
pub(super) fn class_name(classes: &[String], class: u16) -> &str {
    classes.get(usize::from(class)).map_or("unknown", String::as_str)
}

pub(super) fn pixels(bbox: &BBox) -> [Rounded<2>; 4] {
    [Rounded(bbox.x1), Rounded(bbox.y1), Rounded(bbox.x2), Rounded(bbox.y2)]
}

pub(super) fn normalised(bbox: &BBox, (width, height): (u32, u32)) -> [Rounded<5>; 4] {
    let (w, h) = (width.max(1) as f32, height.max(1) as f32);
    [Rounded(bbox.x1 / w), Rounded(bbox.y1 / h), Rounded(bbox.x2 / w), Rounded(bbox.y2 / h)]
}

/// The part of a tracker's box that lies within the frame: a motion model knows no edges.
pub(super) fn within(bbox: &BBox, (width, height): (u32, u32)) -> BBox {
    let (w, h) = (width as f32, height as f32);
    BBox::new(bbox.x1.clamp(0.0, w), bbox.y1.clamp(0.0, h), bbox.x2.clamp(0.0, w), bbox.y2.clamp(0.0, h))
}

/// Shortest time between two updates of what stands still.
const STILL_INTERVAL: std::time::Duration = std::time::Duration::from_mins(1);

/// The report of a track that a message tells. `last`: how long ago the last one was, and whether it said that the track stands still.
pub(super) fn is_told(track: &Track, last: Option<(std::time::Duration, bool)>, interval: std::time::Duration) -> bool {
    let Some((since, stood)) = last else { return true };
    let interval = if track.stationary { interval.max(STILL_INTERVAL) } else { interval };
    track.phase != TrackPhase::Update || track.stationary != stood || since >= interval
}

/// The JSON Schemas of all messages, by kind.
pub fn schemas() -> [(&'static str, schemars::Schema); 7] {
    [
        ("device_status", schemars::schema_for!(DeviceStatus<'_>)),
        ("camera_status", schemars::schema_for!(CameraStatus<'_>)),
        ("frame", schemars::schema_for!(FrameMessage<'_>)),
        ("track", schemars::schema_for!(TrackMessage<'_>)),
        ("event", schemars::schema_for!(EventMessage<'_>)),
        ("count", schemars::schema_for!(CountMessage<'_>)),
        ("summary", schemars::schema_for!(SummaryMessage<'_>)),
    ]
}
