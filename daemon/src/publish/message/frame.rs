//! What is seen in each frame.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::{
    Identity, Kind, Rounded, Stamp,
    number::{class_name, normalised, pixels},
};
use crate::{
    media::{Extra, Extras, ModelInfo, StepReport, TimeBasis, TrackedDetection},
    publish::{
        shape::{Covered, Keypoints, Shape},
        told::{self, Step, Steps, Told},
    },
};

/// Which network saw it, run by what.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Model<'a> {
    /// Its name in the configuration.
    pub name: &'a str,
    /// Name and version of what runs it.
    pub runtime: &'a str,
    /// What it computes in: `fp32`, `fp16`, `int8`. Absent where it is no file; so is the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<&'a str>,
    /// The first 16 hexadecimal digits of the SHA-256 of its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<&'a str>,
}

impl<'a> From<&'a ModelInfo> for Model<'a> {
    fn from(info: &'a ModelInfo) -> Self {
        let precision = Some(info.precision).filter(|precision| !precision.is_empty());
        Self { name: &info.name, runtime: &info.runtime, precision, digest: info.sha256.get(..16) }
    }
}

/// `cam/<id>/frame`, one per frame.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FrameMessage<'a> {
    /// [`super::SCHEMA`]
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
    /// How far `captured_at` may be off, in milliseconds. Basis `sender_report`: by the drift of the camera's clock since its last
    /// report and the step of its time stamps; that its clock is wrong as a whole is not in it. `null`: nobody knows. Basis
    /// `arrival` is that: a frame is captured some time before it arrives.
    pub uncertainty_ms: Option<f64>,
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
    pub(in crate::publish) fn object(
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

impl<'a> Objects<'a> {
    /// One after the other.
    pub(in crate::publish) fn iter(&self) -> impl Iterator<Item = Object<'a>> {
        let Self { detections, extras, classes, size, steps } = *self;
        detections.iter().enumerate().map(move |(i, d)| {
            let findings = d.track.map_or_else(Vec::new, |track| told::of_track(steps, track, size, false));
            Object { findings, ..Self::object(classes, size, d, (extras.get(i), true)) }
        })
    }
}

impl Serialize for Objects<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}
