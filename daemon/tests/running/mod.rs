//! The whole line in this process: simulated cameras over RTSP, a broker, and a subscriber that was there before its first frame.

use std::{fmt::Write as _, path::Path, time::Duration};

use egret::{
    config::{self, Config},
    demo::{EmbeddedBroker, Received, subscribe},
    life::{self, FaultReceiver, Progress},
    observe::CameraSnapshot,
    pipeline::Pipeline,
    sim::{Sim, SimCamera, SimConfig},
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// What a machine that does other things besides may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Starts every stage of a line but its cameras, and tells what fails.
pub(crate) async fn stages(config: Config) -> (Pipeline, FaultReceiver) {
    let (to_faults, faults) = life::faults();
    let started =
        tokio::task::spawn_blocking(move || Pipeline::start(config, &Progress::new(), &to_faults, &CancellationToken::new()));
    (started.await.expect("no panic").expect("the line starts"), faults)
}

/// A line that runs.
pub(crate) struct Running {
    pub(crate) sim: Sim,
    broker: EmbeddedBroker,
    pub(crate) received: mpsc::Receiver<Received>,
    pub(crate) pipeline: Pipeline,
    pub(crate) deadline: Instant,
    pub(crate) faults: FaultReceiver,
    models: String,
    keys: String,
}

impl Running {
    /// Starts a line with these models and the cameras of these names, each with these keys (NAME stands for its name);
    /// the others are only simulated.
    pub(crate) async fn start(cameras: Vec<SimCamera>, configured: &[&str], models: &str, keys: &str) -> Self {
        Self::start_sim(SimConfig::new(cameras), configured, models, keys).await
    }

    /// The same with a simulation of one's own.
    pub(crate) async fn start_sim(sim: SimConfig, configured: &[&str], models: &str, keys: &str) -> Self {
        let broker = EmbeddedBroker::start().await.expect("a broker");
        let sim = Sim::start(sim).expect("cameras");
        let mut received = subscribe(broker.v5(), "egret/#");
        let (mut pipeline, faults) = stages(configuration(&sim, &broker, configured, models, keys)).await;
        let deadline = Instant::now() + PATIENCE;
        // The daemon is heard: no frame will be missed.
        let first = timeout_at(deadline, received.recv()).await.expect("in time").expect("a message");
        assert!(first.topic.ends_with("/status"), "{}", first.topic);
        pipeline.start_cameras();
        let (models, keys) = (models.to_owned(), keys.to_owned());
        Self { sim, broker, received, pipeline, deadline, faults, models, keys }
    }

    /// Its configuration with the cameras of these names.
    pub(crate) fn configuration(&self, cameras: &[&str]) -> Config {
        configuration(&self.sim, &self.broker, cameras, &self.models, &self.keys)
    }

    /// The cameras as they are now; the frames of each are accounted for.
    pub(crate) fn balanced(&self) -> Vec<CameraSnapshot> {
        let cameras = self.pipeline.books().snapshot().cameras;
        for camera in &cameras {
            assert!(camera.counts.balanced(), "{}: {:?}", camera.name, camera.counts);
        }
        cameras
    }

    pub(crate) async fn stop(mut self) {
        self.pipeline.stop().await;
        assert_eq!(self.faults.try_recv().ok(), None, "no stage has failed");
        self.sim.stop();
    }
}

fn configuration(sim: &Sim, broker: &EmbeddedBroker, cameras: &[&str], models: &str, keys: &str) -> Config {
    let mut text = format!("device = \"line\"\n[mqtt]\nurl = \"mqtt://{}\"\n[http]\nenabled = false\n{models}", broker.v5());
    for name in cameras {
        let url = sim.url(name).expect("simulated");
        writeln!(text, "[[camera]]\nname = \"{name}\"\nurl = \"{url}\"\n{}", keys.replace("NAME", name)).expect("memory");
    }
    config::load_text(Path::new("line.toml"), &text).expect("a configuration").config
}
