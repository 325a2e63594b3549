//! How the daemon is.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Board, Engine, Kind, Rounded, Stamp};
use crate::publish::disk::DiskQueue;

/// `health`, every minute, and when something happens to an engine; not retained.
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
    /// The queue on disk. Absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
    /// Messages by family since the start.
    pub messages: BTreeMap<&'a str, Delivered>,
    /// Connections to the broker that failed or broke since the start.
    pub connection_failures: u64,
    /// How the board is. Absent before it was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub board: Option<Board>,
    /// TensorRT's engines by model. Absent where there are none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub engines: BTreeMap<String, Engine>,
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

/// The queue on disk. Totals are since the start.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Disk {
    /// Messages that the broker has not acknowledged; of several brokers all together.
    pub waiting: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Most bytes that they may have.
    pub max_bytes: u64,
    /// Age of the oldest message that is kept, in seconds; `null`: none is.
    pub oldest_s: Option<u64>,
    /// Messages that were given up, or that it did not take.
    pub lost: u64,
    /// Bytes written to its files.
    pub written_bytes: u64,
    /// The longest sync, in milliseconds.
    pub longest_sync_ms: Rounded<1>,
}

impl From<DiskQueue> for Disk {
    fn from(disk: DiskQueue) -> Self {
        let DiskQueue { waiting, bytes, max_bytes, oldest, lost, written_bytes, longest_sync, .. } = disk;
        let (oldest_s, longest_sync_ms) = (oldest.map(|age| age.as_secs()), Rounded(longest_sync.as_secs_f32() * 1e3));
        Self { waiting, bytes, max_bytes, oldest_s, lost, written_bytes, longest_sync_ms }
    }
}

/// What became of the messages of a family.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Delivered {
    /// Acknowledged by the broker, or written to the connection where nobody acknowledges.
    pub published: u64,
    /// Dropped, for whatever reason.
    pub dropped: u64,
}
