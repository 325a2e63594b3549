//! What the side may read of the line: every number it shows, and nothing that could hold the line up.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use egret_jetson::surface::Surfaces;
use tokio::sync::mpsc;

use super::PUBLISH_QUEUE;
use crate::{
    analyse,
    batch::{Batcher, Counts},
    config::{BrokerConfig, CameraConfig, Config, ModelConfig, MqttConfig, SourceConfig},
    infer::{Coming, Succession},
    media::{Downloads, ModelInfo, StreamId, Tracked},
    observe::{
        CameraSnapshot, FamilySnapshot, ModelSnapshot, PublishSnapshot, QueueSnapshot, ReasonSnapshot, Snapshot, StageTimes,
        StepSnapshot, View, still::Stills,
    },
    publish::{self, DropReason, Failure, Family, Spoken},
    source::Camera,
    status::StatusBoard,
    step::StepQueue,
    track,
};

/// Draws a camera's GStreamer graph as `dot`, if it has one now.
type Graph = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Everything that can be looked at.
pub struct Books {
    device: String,
    /// Name and address of each broker.
    brokers: Vec<(String, String)>,
    started: Instant,
    board: Arc<StatusBoard>,
    /// Where the frames' time went.
    pub stages: Arc<StageTimes>,
    /// What tracking counts.
    pub tracking: Arc<track::Counters>,
    /// What rules count.
    pub rules: Arc<analyse::Counters>,
    /// What publishing counts.
    pub publishing: Arc<publish::Counters>,
    /// Who waits for a picture.
    pub stills: Arc<Stills>,
    to_publish: mpsc::WeakSender<Vec<Tracked>>,
    models: BTreeMap<String, ModelEntry>,
    steps: Vec<StepEntry>,
    surfaces: Option<Arc<Surfaces>>,
    cameras: Mutex<BTreeMap<StreamId, CameraEntry>>,
}

pub(super) struct ModelEntry {
    pub(super) config: ModelConfig,
    pub(super) serving: Serving,
    pub(super) batcher: Arc<Batcher>,
}

pub(super) struct StepEntry {
    pub(super) config: ModelConfig,
    pub(super) serving: Serving,
    pub(super) queue: Arc<StepQueue>,
}

/// What runs a network: it changes where an engine takes over.
#[derive(Clone)]
pub(super) enum Serving {
    Always(Arc<ModelInfo>),
    Changing(Arc<Succession>),
}

impl Serving {
    pub(super) fn new(info: &Arc<ModelInfo>, coming: Option<&Coming>) -> Self {
        coming.map_or_else(|| Self::Always(Arc::clone(info)), |coming| Self::Changing(Arc::clone(&coming.succession)))
    }

    fn now(&self) -> Arc<ModelInfo> {
        match self {
            Self::Always(info) => Arc::clone(info),
            Self::Changing(succession) => succession.serving(),
        }
    }
}

struct CameraEntry {
    source: &'static str,
    model: String,
    graph: Option<Graph>,
    downloads: Option<Arc<Downloads>>,
}

impl Books {
    pub(super) fn new(
        config: &Config,
        board: Arc<StatusBoard>,
        to_publish: mpsc::WeakSender<Vec<Tracked>>,
        models: BTreeMap<String, ModelEntry>,
        steps: Vec<StepEntry>,
        surfaces: Option<Arc<Surfaces>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            device: config.device.clone(),
            brokers: config.mqtt.iter().flat_map(MqttConfig::brokers).map(address).collect(),
            started: Instant::now(),
            board,
            stages: StageTimes::new(),
            tracking: Arc::default(),
            rules: Arc::default(),
            publishing: Arc::default(),
            stills: Stills::new(),
            to_publish,
            models,
            steps,
            surfaces,
            cameras: Mutex::default(),
        })
    }

    fn cameras(&self) -> std::sync::MutexGuard<'_, BTreeMap<StreamId, CameraEntry>> {
        self.cameras.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `running`: it is switched on.
    pub(super) fn add_camera(&self, camera: &CameraConfig, stream: StreamId, running: Option<&Camera>) {
        let entry = CameraEntry {
            source: kind(&camera.source),
            model: camera.model.clone(),
            graph: running.map(Camera::graph_source),
            downloads: running.map(|camera| Arc::clone(camera.downloads())),
        };
        self.cameras().insert(stream, entry);
    }

    pub(super) fn remove_camera(&self, stream: &StreamId) {
        self.cameras().remove(stream);
    }

    /// The stream of the camera of this name.
    pub fn stream(&self, name: &str) -> Option<StreamId> {
        self.cameras().keys().find(|stream| stream.name() == name).cloned()
    }

    /// The sum over all cameras of all models, those that are gone included.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.models.values().for_each(|model| total += model.batcher.total());
        total
    }

    /// From now on this share of the cameras' frames is looked at: [`Batcher::set_share`].
    pub fn set_share(&self, share: f64) {
        self.models.values().for_each(|model| model.batcher.set_share(share));
    }

    /// The line now.
    pub fn snapshot(&self) -> Snapshot {
        let counts: BTreeMap<StreamId, Counts> = self.models.values().flat_map(|model| model.batcher.counts()).collect();
        let entry = |(stream, entry): (&StreamId, &CameraEntry)| {
            let downloaded = entry.downloads.as_ref().map(|downloads| downloads.counts());
            (stream.clone(), entry.source, entry.model.clone(), downloaded)
        };
        let entries: Vec<_> = self.cameras().iter().map(entry).collect();
        let cameras = entries.into_iter().filter_map(|(stream, source, model, downloaded)| {
            let status = self.board.get(&stream)?;
            let counts = counts.get(&stream).copied().unwrap_or_default();
            let (name, downloaded) = (stream.name().to_owned(), downloaded.unwrap_or_default());
            Some(CameraSnapshot { name, source, model, status, counts, downloaded })
        });
        Snapshot {
            device: self.device.clone(),
            uptime: self.started.elapsed(),
            cameras: cameras.collect(),
            models: self.models.values().map(model_snapshot).collect(),
            steps: self.steps.iter().map(step_snapshot).collect(),
            tracking: self.tracking.snapshot(),
            rules: self.rules.rules(),
            masked: self.rules.masked(),
            queues: self.queues(),
            disk: self.publishing.disk(),
            publish: self.brokers.iter().map(|broker| of_broker(&self.publishing, broker)).collect(),
            stages: self.stages.snapshot(),
            board: self.publishing.hardware.get(),
            engines: self.publishing.engines.snapshot(),
            surfaces: self.surfaces.as_ref().map(|surfaces| surfaces.counts()),
            cuts: self.publishing.engines.cuts(),
        }
    }

    fn queues(&self) -> Vec<QueueSnapshot> {
        let waiting = self.to_publish.upgrade().map_or(0, |sender| PUBLISH_QUEUE - sender.capacity());
        vec![
            QueueSnapshot { name: "track_to_publish", length: waiting, capacity: PUBLISH_QUEUE },
            QueueSnapshot {
                name: "publish_to_broker",
                length: self.publishing.queued() as usize,
                capacity: publish::QUEUE_MESSAGES * self.brokers.len().max(1),
            },
        ]
    }

    /// How metrics, health, status and graph look at this line.
    pub fn view(self: &Arc<Self>) -> View {
        let (snapshot, graph) = (Arc::clone(self), Arc::clone(self));
        View {
            snapshot: Arc::new(move || snapshot.snapshot()),
            camera_graph: Arc::new(move |name| {
                let draw =
                    graph.cameras().iter().find(|(stream, _)| stream.name() == name).and_then(|(_, entry)| entry.graph.clone());
                draw.and_then(|draw| draw())
            }),
        }
    }
}

fn model_snapshot(model: &ModelEntry) -> ModelSnapshot {
    ModelSnapshot {
        info: model.serving.now(),
        max_batch: model.config.max_batch,
        workers: model.config.workers,
        batches: model.batcher.batches(),
        batched_frames: model.batcher.total().inferred,
    }
}

fn step_snapshot(step: &StepEntry) -> StepSnapshot {
    StepSnapshot {
        info: step.serving.now(),
        of: step.config.step.as_ref().map(|step| step.of.clone()).unwrap_or_default(),
        max_batch: step.config.max_batch,
        workers: step.config.workers,
        waiting: step.queue.waiting(),
        capacity: step.queue.capacity(),
        counts: step.queue.counters().snapshot(),
    }
}

/// Host and port, never credentials.
fn reason(packet: Spoken, code: u8, count: u64) -> ReasonSnapshot {
    ReasonSnapshot { packet: packet.as_str(), code: format!("0x{code:02x}"), meaning: publish::reason::meaning(code), count }
}

fn address(broker: &BrokerConfig) -> (String, String) {
    (broker.name.clone(), format!("{}:{}", broker.host, broker.port))
}

fn kind(source: &SourceConfig) -> &'static str {
    match source {
        SourceConfig::Rtsp(_) => "rtsp",
        SourceConfig::Rtsps(_) => "rtsps",
        SourceConfig::File(_) => "file",
        SourceConfig::V4l2(_) => "v4l2",
        SourceConfig::Test(_) => "test",
        SourceConfig::Gst(_) => "gst",
    }
}

/// What publishing has counted of a broker, by name and address.
pub(crate) fn of_broker(publishing: &publish::Counters, (name, address): &(String, String)) -> PublishSnapshot {
    let counters = publishing.brokers().into_iter().find(|counters| counters.name() == name);
    // Before publishing has begun there are none.
    let counters = counters.unwrap_or_default();
    let families = Family::ALL.map(|family| FamilySnapshot {
        name: family.as_str(),
        published: counters.published(family),
        dropped: DropReason::ALL.map(|reason| (reason.as_str(), counters.dropped(family, reason))),
    });
    PublishSnapshot {
        name: name.clone(),
        broker: address.clone(),
        connected: counters.connected(),
        failure: counters.last_failure().map(|(failure, detail)| (failure.as_str(), detail)),
        failures: Failure::ALL.map(|failure| (failure.as_str(), counters.failures(failure))).to_vec(),
        reasons: counters.reasons().into_iter().map(|((packet, code), count)| reason(packet, code, count)).collect(),
        reconnects: counters.connects().saturating_sub(1),
        families: families.to_vec(),
        kept: (counters.kept(), publishing.kept().1),
        commands: publishing.commands.rows(),
        commands_heard: counters.is_heard(),
    }
}
