//! What was kept for a broker and given up before the broker had it.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Kind, Stamp};

/// `loss`: messages that had been kept on disk, or were to be, will never come. One for each reason, kind and camera, at most every ten
/// seconds.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LossMessage<'a> {
    /// [`super::SCHEMA`]
    pub schema: &'a str,
    /// [`Kind::Loss`]
    pub kind: Kind,
    /// Name of the device.
    pub device: &'a str,
    /// One run of the daemon: the one that found the loss.
    pub boot_id: &'a str,
    /// Counts these messages, of all cameras together.
    pub seq: u64,
    /// Name of the camera whose messages they were; empty where a damaged file does not tell, and of messages like this one.
    pub camera: &'a str,
    /// What they were.
    pub of: Lost,
    /// How many; `null` where a damaged file does not tell: then `seqs` and `times` are too.
    pub messages: Option<u64>,
    /// Why.
    pub reason: Reason,
    /// `seq` of the first and the last of them. Where runs of the daemon lie between them, the first may be the larger one.
    pub seqs: Option<[u64; 2]>,
    /// When the first and the last one happened.
    pub times: Option<[Stamp; 2]>,
    /// When this was written.
    pub published_at: Stamp,
    /// There, and true, where this itself has waited for the broker, or an earlier run of the daemon wrote it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub delayed: bool,
}

/// What was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lost {
    /// Events.
    Event,
    /// Ends and renames of tracks.
    Track,
    /// Counts.
    Count,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// They made room for newer ones: `[queue] max_mb`.
    Size,
    /// They were older than `[queue] max_age`.
    Age,
    /// They could not be read from the disk again.
    Damage,
    /// The disk did not take them, for longer than memory could hold them; or they were too large.
    Disk,
}
