//! The daemon's stages behind decoding, put together as the pipeline does, with the null detector and a source of one's own.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use tokio_util::sync::CancellationToken;

use crate::{
    batch::{Batcher, Limits, StreamSettings},
    config::Config,
    infer::{self, Null},
    life::Progress,
    media::StreamId,
    observe::{StageTimes, still::Stills},
    publish,
    status::StatusBoard,
    track::{self, ToTrack},
};

/// As in the pipeline: batches that may wait for tracking, and for publishing.
const TRACK_QUEUE: usize = 8;
const PUBLISH_QUEUE: usize = 64;
/// The model's name.
const MODEL: &str = "null";

/// The stages, running.
pub(super) struct Line {
    pub(super) batcher: Arc<Batcher>,
    pub(super) stages: Arc<StageTimes>,
    pub(super) published: Arc<publish::Counters>,
    to_track: mpsc::SyncSender<ToTrack>,
    threads: Vec<JoinHandle<()>>,
}

impl Line {
    /// Starts engine, tracking and publishing.
    pub(super) fn start(config: &Config, max_batch: usize, objects: usize) -> io::Result<Self> {
        let limits = Limits { max_batch, max_wait: config.batch.max_wait, staleness: config.batch.staleness, instances: 1 };
        let batcher = Batcher::new(limits);
        let (to_track, from_engine) = mpsc::sync_channel(TRACK_QUEUE);
        let (to_publish, from_track) = tokio::sync::mpsc::channel(PUBLISH_QUEUE);
        let (stages, published) = (StageTimes::new(), Arc::new(publish::Counters::default()));
        let progress = Progress::new();
        let engine = {
            let (batcher, to_track) = (Arc::clone(&batcher), to_track.clone());
            let detector = Box::new(Null::new(MODEL, vec!["person".into()], max_batch, objects));
            let stage = progress.stage(MODEL);
            named("engine", move || {
                if let Err(error) = infer::worker(&batcher, detector, &to_track, &stage) {
                    tracing::error!(%error, "the engine ended");
                }
            })?
        };
        let track = {
            let (track, back) =
                (config.track.clone(), track::Ways::new(BTreeMap::from([(MODEL.to_owned(), Arc::clone(&batcher))])));
            let (counters, stills, stage) = (track::Counters::default(), Stills::new(), progress.stage("track"));
            named("track", move || track::run(&track, &from_engine, &to_publish, &back, &counters, &stills, &stage))?
        };
        let publish = {
            let (mqtt, site) = (config.mqtt.clone(), publish::Site::named(&config.device));
            let (stages, published) = (Arc::clone(&stages), Arc::clone(&published));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            named("publish", move || {
                let (board, never) = (StatusBoard::new(), CancellationToken::new());
                let (nobody, _) = tokio::sync::mpsc::channel(1);
                runtime.block_on(publish::run(mqtt, site, (from_track, nobody), board, stages, published, never));
            })?
        };
        Ok(Self { batcher, stages, published, to_track, threads: vec![engine, track, publish] })
    }

    /// A stream for each camera.
    pub(super) fn streams(&self, count: usize, settings: StreamSettings) -> Vec<crate::batch::Slot> {
        (0..count as u32).map(|i| self.batcher.add(StreamId::new(i, &format!("cam{i}")), settings)).collect()
    }

    /// Ends it in order: to be called when the slots are gone.
    pub(super) fn stop(self) {
        self.batcher.close();
        drop(self.to_track);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a stage panicked");
            }
        }
    }
}

pub(super) fn named(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(body)
}
