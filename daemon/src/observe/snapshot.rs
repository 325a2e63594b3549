//! What the line looks like at one moment. The pipeline fills it in; metrics, status and graph are made from it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use egret_jetson::surface;

use super::StageSummary;
use crate::{
    analyse::RuleCounts,
    batch::Counts,
    engine::EngineState,
    media::{Downloaded, ModelInfo},
    publish::{DiskQueue, DropReason},
    status::CameraStatus,
    step::StepCounts,
    throttle::Look,
    track,
};

/// The whole line.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Name of the device.
    pub device: String,
    /// Since the line was started.
    pub uptime: Duration,
    /// The cameras that are configured.
    pub cameras: Vec<CameraSnapshot>,
    /// The networks that look at cameras.
    pub models: Vec<ModelSnapshot>,
    /// The networks that look at what those have seen.
    pub steps: Vec<StepSnapshot>,
    /// What tracking has counted.
    pub tracking: track::Counts,
    /// The rules of the cameras.
    pub rules: Vec<RuleCounts>,
    /// Detections that masks threw away, by camera.
    pub masked: Vec<(String, u64)>,
    /// The queues whose fill can be told, in the order of the line.
    pub queues: Vec<QueueSnapshot>,
    /// The queue on disk, where there is one.
    pub disk: Option<DiskQueue>,
    /// The broker. `None`: none is configured.
    pub publish: Vec<PublishSnapshot>,
    /// Where the frames' time went.
    pub stages: Vec<StageSummary>,
    /// The board as it was looked at last.
    pub board: Option<Arc<Look>>,
    /// What is happening to TensorRT's engines, by model.
    pub engines: Vec<(String, EngineState)>,
    /// What was done with decoders' surfaces. `None`: pictures do not stay on a device.
    pub surfaces: Option<surface::Counts>,
    /// Where networks are cut in two, and why there, by model.
    pub cuts: BTreeMap<String, String>,
}

/// One camera.
#[derive(Clone, Debug)]
pub struct CameraSnapshot {
    /// Its name.
    pub name: String,
    /// The kind of its source: `rtsp`, `rtsps`, `file`, … Never an address: those may be secret.
    pub source: &'static str,
    /// Name of its model.
    pub model: String,
    /// What the board says.
    pub status: CameraStatus,
    /// What the batcher says.
    pub counts: Counts,
    /// What of its pictures came to the host from a device.
    pub downloaded: Downloaded,
}

/// One network and its engine instances.
#[derive(Clone, Debug)]
pub struct ModelSnapshot {
    /// What it is and what runs it.
    pub info: Arc<ModelInfo>,
    /// The largest batch.
    pub max_batch: usize,
    /// Engine instances.
    pub workers: usize,
    /// Batches that were inferred since the start.
    pub batches: u64,
    /// Frames in them.
    pub batched_frames: u64,
}

impl ModelSnapshot {
    /// Frames per batch since the start, 0 before the first one.
    pub fn mean_batch(&self) -> f64 {
        if self.batches == 0 { 0.0 } else { self.batched_frames as f64 / self.batches as f64 }
    }
}

/// One step: a network that looks at what another one has seen.
#[derive(Clone, Debug)]
pub struct StepSnapshot {
    /// What it is and what runs it.
    pub info: Arc<ModelInfo>,
    /// The other network.
    pub of: String,
    /// The largest batch.
    pub max_batch: usize,
    /// Engine instances.
    pub workers: usize,
    /// Pictures and clips that wait.
    pub waiting: usize,
    /// Pictures and clips that may wait.
    pub capacity: usize,
    /// What it has counted.
    pub counts: StepCounts,
}

impl StepSnapshot {
    /// Pictures and clips per run since the start, 0 before the first one.
    pub fn mean_batch(&self) -> f64 {
        if self.counts.runs == 0 { 0.0 } else { self.counts.pictures as f64 / self.counts.runs as f64 }
    }
}

/// A queue between two stages.
#[derive(Clone, Debug)]
pub struct QueueSnapshot {
    /// E.g. `track_to_publish`.
    pub name: &'static str,
    /// Entries in it.
    pub length: usize,
    /// Entries that fit.
    pub capacity: usize,
}

/// The connection to a broker.
#[derive(Clone, Debug, Default)]
pub struct PublishSnapshot {
    /// The broker's name in the configuration.
    pub name: String,
    /// Host and port, without credentials.
    pub broker: String,
    /// Whether the broker accepted us and is still there.
    pub connected: bool,
    /// Sessions after the first one.
    pub reconnects: u64,
    /// Connections that failed or broke, by reason.
    pub failures: Vec<(&'static str, u64)>,
    /// Reason codes that the broker gave.
    pub reasons: Vec<ReasonSnapshot>,
    /// Messages by family.
    pub families: Vec<FamilySnapshot>,
    /// Why there is no connection: in a word, and for people.
    pub failure: Option<(&'static str, String)>,
    /// Messages in the queue on disk that the broker has not acknowledged, and bytes of the queue's files, for all brokers together.
    pub kept: (u64, u64),
    /// Commands by verb and outcome.
    pub commands: Vec<(&'static str, &'static str, u64)>,
    /// Whether a broker has taken the subscription to commands.
    pub commands_heard: bool,
}

/// A reason code that a broker gave.
#[derive(Clone, Debug)]
pub struct ReasonSnapshot {
    /// In which packet: `connack`, `puback` or `disconnect`.
    pub packet: &'static str,
    /// The code, e.g. `0x8e`.
    pub code: String,
    /// What it means.
    pub meaning: &'static str,
    /// How often.
    pub count: u64,
}

/// Messages of one family.
#[derive(Clone, Debug)]
pub struct FamilySnapshot {
    /// E.g. `frame`, `track`, `status`.
    pub name: &'static str,
    /// Handed to the MQTT client.
    pub published: u64,
    /// Dropped, by reason.
    pub dropped: [(&'static str, u64); DropReason::ALL.len()],
}

impl FamilySnapshot {
    /// Dropped for any reason.
    pub fn lost(&self) -> u64 {
        self.dropped.iter().map(|(_, count)| count).sum()
    }
}

/// How the side looks at the line: closures over whatever the pipeline holds. They must not wait for the line.
#[derive(Clone)]
pub struct View {
    /// The line now.
    pub snapshot: Arc<dyn Fn() -> Snapshot + Send + Sync>,
    /// The GStreamer graph (`dot`) of the camera of this name, if it has one now.
    pub camera_graph: Arc<CameraGraph>,
}

/// From a camera's name to its GStreamer graph.
pub type CameraGraph = dyn Fn(&str) -> Option<String> + Send + Sync;
