//! Whether the daemon and its cameras are there.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Kind, Stamp};
use crate::{
    media::Codec,
    status::{CameraState, Decoding, PictureFaults},
};

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
    /// [`super::SCHEMA`]
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
    /// [`super::SCHEMA`]
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
    /// What decodes its pictures, and why not something better.
    pub decoding: &'a Decoding,
    /// When this was written.
    pub published_at: Stamp,
}
