//! How the daemon is.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Kind, Rounded, Stamp};

/// `health`, every minute, not retained.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HealthMessage<'a> {
    /// [`super::SCHEMA`]
    pub schema: &'a str,
    /// [`Kind::Health`]
    pub kind: Kind,
    /// Name of the device.
    pub device: &'a str,
    /// One run of the daemon.
    pub boot_id: &'a str,
    /// Counts these messages.
    pub seq: u64,
    /// Version of egret.
    pub version: &'a str,
    /// Since the daemon was started.
    pub uptime_s: u64,
    /// Processor time since the last of these messages, in percent of one core; `null` in the first one, or where the system does not say.
    pub cpu_percent: Option<Rounded<1>>,
    /// Resident memory; `null` where the system does not say; so are the next two.
    pub memory_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// Where the frames' time went lately, by stage; `total` is the whole way.
    pub stages: BTreeMap<&'a str, StageTime>,
    /// What waits where: `track_to_publish` batches of frames, `publish_to_broker` messages.
    pub queues: BTreeMap<&'a str, Queue>,
    /// Messages by family since the start.
    pub messages: BTreeMap<&'a str, Delivered>,
    /// Connections to the broker that failed or broke since the start.
    pub connection_failures: u64,
    /// When this was written.
    pub published_at: Stamp,
}

/// How long a stage took.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct StageTime {
    /// Frames that were measured.
    pub frames: u64,
    /// Median in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile in milliseconds.
    pub p99_ms: f64,
    /// Longest in milliseconds.
    pub max_ms: f64,
}

/// A queue.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Queue {
    /// Entries in it.
    pub length: usize,
    /// Entries that fit; of messages, beside the latest of each retained topic.
    pub capacity: usize,
}

/// What became of the messages of a family.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Delivered {
    /// Acknowledged by the broker, or written to the connection where nobody acknowledges.
    pub published: u64,
    /// Dropped, for whatever reason.
    pub dropped: u64,
}
