//! The life of a track.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;

use super::{Identity, Kind, Model, Rounded, Stamp};
use crate::{
    media::{TimeBasis, Track, TrackPhase},
    publish::{
        journal::Ended,
        shape::{Covered, Keypoints},
        told::Told,
    },
};

/// `cam/<id>/track/new`, `…/update` and `…/end`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TrackMessage<'a> {
    /// [`super::SCHEMA`]
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
    /// Counts this camera's track messages, all phases and renames together.
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
    /// The latest detection's: see [`super::Object::angle`]. Absent in updates without one, and at the end; so are the next three.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub angle: Option<Rounded<5>>,
    /// See [`super::Object::corners`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corners: Option<[[Rounded<2>; 2]; 4]>,
    /// See [`super::Object::keypoints`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keypoints: Option<Keypoints<'a>>,
    /// See [`super::Object::mask`].
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
    /// The frame that this is about: the one in which it was seen, or found to be gone. See [`super::FrameMessage::frame`].
    pub frame: u64,
    /// Media time of that frame.
    pub pts_ms: f64,
    /// When that frame was captured.
    pub captured_at: Stamp,
    /// Where `captured_at` comes from.
    pub basis: TimeBasis,
    /// As in [`super::FrameMessage::uncertainty_ms`].
    pub uncertainty_ms: Option<f64>,
    /// When this was written.
    pub published_at: Stamp,
    /// As in [`super::FrameMessage::latency_ms`]; `null` if the track ended without a frame (its camera stopped or is gone).
    pub latency_ms: Option<f64>,
    /// As in [`super::FrameMessage::since_arrival_ms`].
    pub since_arrival_ms: Option<f64>,
    /// Width and height of the source frame in pixels.
    pub size: [u32; 2],
    /// Which network.
    pub model: Model<'a>,
    /// At the end: where its foot, the middle of its lower edge, was, from its first appearance to its last, in at most 64 points
    /// `[seconds since first_seen, x, y]`, x and y in fractions of the frame's width and height. Absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Vec<Waypoint>>,
    /// At the end: seconds that it was in each zone, by the rules of kinds `zone` and `dwell` that told of it, by their names. Absent
    /// where there is none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub dwell: BTreeMap<String, Rounded<1>>,
    /// At the end: what it looked like at its best. Absent where none is kept (`[track] best_shots`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_shot: Option<BestShot>,
    /// What steps have found out about it. Absent where there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub findings: Vec<Told<'a>>,
    /// At the end: why, where it has not gone by itself. With `restart`, everything is as it was last seen, at most a second before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// With `ended`: the `boot_id` of the run that told the other messages about this track.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_boot: Option<&'a str>,
    /// There, and true, where it has waited for the broker, or an earlier run of the daemon wrote it. `boot_id` and `seq` tell whether it was
    /// heard before.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub delayed: bool,
}

/// What a track looked like at its best.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BestShot {
    /// When that was.
    pub captured_at: Stamp,
    /// Of the detection then.
    pub confidence: Rounded<4>,
    /// Where it was, in pixels of the source frame. The picture shows a tenth of its size more on each side.
    #[serde(rename = "box")]
    pub bbox: [Rounded<2>; 4],
    /// The same in fractions of its width and height.
    pub box_norm: [Rounded<5>; 4],
    /// Width and height of the picture in pixels.
    pub size: [u32; 2],
    /// The picture: JPEG in base64 (RFC 4648, section 4), at most 96 KiB before that. What masks cover is black.
    pub jpeg: String,
}

/// A point of a path: seconds, x, y.
pub type Waypoint = (Rounded<3>, Rounded<5>, Rounded<5>);

/// Shortest time between two updates of what stands still.
const STILL_INTERVAL: Duration = Duration::from_mins(1);

/// The report of a track that a message tells. `last`: how long ago the last one was, and whether it said that the track stands still.
pub(in crate::publish) fn is_told(track: &Track, last: Option<(Duration, bool)>, interval: Duration) -> bool {
    let Some((since, stood)) = last else { return true };
    let interval = if track.stationary { interval.max(STILL_INTERVAL) } else { interval };
    track.phase != TrackPhase::Update || track.stationary != stood || since >= interval
}
