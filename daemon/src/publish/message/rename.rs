//! How it is told that a track is an object known before.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Identity, Kind, Model, Rounded, Stamp};
use crate::media::TimeBasis;

/// `cam/<id>/track/rename`: two tracks are one object. From the frame that this is about on, all messages of the object go by `track`, which
/// may have been told to have ended; `was` is told of no more, not even its end, and means the same object wherever it was told before.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RenameMessage<'a> {
    /// [`super::SCHEMA`]
    pub schema: &'a str,
    /// [`Kind::Rename`]
    pub kind: Kind,
    /// Name of the device.
    pub device: &'a str,
    /// Name of the camera.
    pub camera: &'a str,
    /// One run of the daemon.
    pub boot_id: &'a str,
    /// Counts this camera's messages about tracks: see [`super::TrackMessage::seq`].
    pub seq: u64,
    /// The identity under which the object goes on: the older one.
    pub track: Identity,
    /// The identity that is given up.
    pub was: Identity,
    /// Its class.
    pub class: &'a str,
    /// Cosine of the two appearances, −1..1.
    pub similarity: Rounded<4>,
    /// For how long the object was not seen.
    pub unseen_ms: f64,
    /// Name of the network that tells what objects look like.
    pub by: &'a str,
    /// The frame from which on it holds. See [`super::FrameMessage::frame`].
    pub frame: u64,
    /// Media time of that frame.
    pub pts_ms: f64,
    /// When that frame was captured.
    pub captured_at: Stamp,
    /// Where `captured_at` comes from.
    pub basis: TimeBasis,
    /// When this was written.
    pub published_at: Stamp,
    /// As in [`super::FrameMessage::latency_ms`].
    pub latency_ms: Option<f64>,
    /// As in [`super::FrameMessage::since_arrival_ms`].
    pub since_arrival_ms: Option<f64>,
    /// Which network saw the object.
    pub model: Model<'a>,
    /// There, and true, where it has waited for the broker, or an earlier run of the daemon wrote it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub delayed: bool,
}
