//! The whole line in this process, from simulated cameras over RTSP to a subscriber of a broker: what becomes of sound cameras
//! while others fail, come and go.
#![cfg(feature = "demo")]

mod isolation;
mod reload;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
    time::Duration,
};

use egret::{
    config::{self, Config},
    demo::{EmbeddedBroker, Received, subscribe},
    life::{self, FaultReceiver, Progress},
    pipeline::Pipeline,
    sim::{Sim, SimCamera, SimConfig},
    status::CameraState,
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};

/// What a machine that does other things besides may take.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A line that runs, and a subscriber that was there before its first frame.
struct Rig {
    sim: Sim,
    broker: EmbeddedBroker,
    received: mpsc::Receiver<Received>,
    pipeline: Pipeline,
    /// Frame numbers that the subscriber has received, by camera.
    frames: BTreeMap<String, BTreeSet<u64>>,
    /// States that each camera has been seen in.
    states: BTreeMap<String, BTreeSet<&'static str>>,
    deadline: Instant,
    faults: FaultReceiver,
}

impl Rig {
    /// Starts the line with the cameras of these names; the others are only simulated.
    async fn start(cameras: Vec<SimCamera>, configured: &[&str]) -> Self {
        let broker = EmbeddedBroker::start().await.expect("a broker");
        let sim = Sim::start(SimConfig::new(cameras)).expect("cameras");
        let config = configuration(&sim, &broker, configured);
        let mut received = subscribe(broker.v5(), "egret/#");
        let (to_faults, faults) = life::faults();
        let progress = Progress::new();
        let started = tokio::task::spawn_blocking(move || Pipeline::start(config, &progress, &to_faults));
        let mut pipeline = started.await.expect("no panic").expect("the line starts");
        let deadline = Instant::now() + PATIENCE;
        // The daemon is heard: no frame will be missed.
        let first = timeout_at(deadline, received.recv()).await.expect("in time").expect("a message");
        assert!(first.topic.ends_with("/status"), "{}", first.topic);
        pipeline.start_cameras();
        let (frames, states) = (BTreeMap::new(), BTreeMap::new());
        Self { sim, broker, received, pipeline, frames, states, deadline, faults }
    }

    fn configuration(&self, cameras: &[&str]) -> Config {
        configuration(&self.sim, &self.broker, cameras)
    }

    /// Looks at the line and takes messages, again and again, until `done` or too late. Every look finds the frames accounted for.
    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !done(self) {
            assert!(Instant::now() < self.deadline, "not in time: {what}; states {:?}, frames {:?}", self.states, self.numbers());
            tokio::select! {
                message = self.received.recv() => self.take(&message.expect("the broker stays")),
                _ = look.tick() => self.look(),
            }
        }
    }

    fn look(&mut self) {
        for camera in self.pipeline.books().snapshot().cameras {
            assert!(camera.counts.balanced(), "{}: {:?}", camera.name, camera.counts);
            self.states.entry(camera.name).or_default().insert(camera.status.state.as_str());
        }
    }

    fn take(&mut self, message: &Received) {
        if !message.topic.ends_with("/frame") {
            return;
        }
        let json: serde_json::Value = serde_json::from_slice(&message.payload).expect("JSON");
        let camera = json["camera"].as_str().expect("a name").to_owned();
        let new = self.frames.entry(camera).or_default().insert(json["frame"].as_u64().expect("a number"));
        assert!(new, "twice: {json}");
    }

    /// Frames of a camera that the subscriber has received.
    fn seen(&self, camera: &str) -> usize {
        self.frames.get(camera).map_or(0, BTreeSet::len)
    }

    fn was(&self, camera: &str, state: CameraState) -> bool {
        self.states.get(camera).is_some_and(|states| states.contains(state.as_str()))
    }

    fn numbers(&self) -> BTreeMap<&str, usize> {
        self.frames.iter().map(|(name, frames)| (name.as_str(), frames.len())).collect()
    }

    /// Of the frames that were decoded until now the subscriber has every one that was not counted as dropped.
    async fn all_accounted(&mut self, camera: &str) {
        let stream = self.pipeline.books().stream(camera).expect("configured");
        let snapshot = self.pipeline.books().snapshot();
        let now = snapshot.cameras.iter().find(|c| c.name == stream.name()).expect("configured");
        let (counts, status) = (now.counts, now.status.clone());
        self.until("the frames of this moment", |rig| {
            rig.frames.get(camera).is_some_and(|frames| frames.last().is_some_and(|last| *last >= counts.decoded))
        })
        .await;
        let received = self.frames[camera].range(..counts.decoded).count() as u64;
        let missing = counts.decoded - received;
        let dropped = counts.dropped.total();
        assert!((dropped..=dropped + counts.in_flight).contains(&missing), "{missing} of {camera} are missing: {counts:?}");
        assert_eq!(dropped, counts.dropped.replaced + counts.dropped.stale, "{counts:?}");
        assert_eq!((status.state, status.reconnects, status.packets_lost), (CameraState::Online, 0, 0), "{status:?}");
    }

    async fn stop(mut self) {
        self.pipeline.stop().await;
        assert_eq!(self.faults.try_recv().ok(), None, "no stage has failed");
        self.sim.stop();
    }
}

fn configuration(sim: &Sim, broker: &EmbeddedBroker, cameras: &[&str]) -> Config {
    let mut text = format!(
        "device = \"line\"\n[mqtt]\nurl = \"mqtt://{}\"\n[http]\nenabled = false\n[[model]]\nname = \"none\"\nbuiltin = \"null\"\nworkers = 1\n",
        broker.v5()
    );
    for name in cameras {
        let url = sim.url(name).expect("simulated");
        writeln!(text, "[[camera]]\nname = \"{name}\"\nurl = \"{url}\"\nno_data_timeout = \"1s\"\nrequest_timeout = \"2s\"")
            .expect("memory");
    }
    config::load_text(Path::new("line.toml"), &text).expect("a configuration").config
}
