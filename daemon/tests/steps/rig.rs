//! A line that runs, and a subscriber that was there before its first frame.

use std::{collections::BTreeMap, fmt::Write as _, path::Path, time::Duration};

use egret::{
    config::{self, Config},
    demo::{EmbeddedBroker, Received, subscribe},
    life::{self, FaultReceiver, Progress},
    observe,
    pipeline::Pipeline,
    sim::{Sim, SimCamera, SimConfig},
};
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};

/// What a machine that does other things besides may take.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) struct Rig {
    sim: Sim,
    /// It ends when it is dropped.
    _broker: EmbeddedBroker,
    received: mpsc::Receiver<Received>,
    pipeline: Pipeline,
    /// Messages about frames and tracks, by camera.
    frames: BTreeMap<String, Vec<Value>>,
    tracks: BTreeMap<String, Vec<Value>>,
    deadline: Instant,
    faults: FaultReceiver,
}

impl Rig {
    /// Starts the line with all of these cameras and the models of this configuration.
    pub(crate) async fn start(cameras: Vec<SimCamera>, models: &str) -> Self {
        Self::start_with(cameras, models, "").await
    }

    /// The same with more keys for each camera; NAME in them stands for its name.
    pub(crate) async fn start_with(cameras: Vec<SimCamera>, models: &str, keys: &str) -> Self {
        let names: Vec<String> = cameras.iter().map(|camera| camera.name.clone()).collect();
        let broker = EmbeddedBroker::start().await.expect("a broker");
        let sim = Sim::start(SimConfig::new(cameras)).expect("cameras");
        let config = configuration(&sim, &broker, &names, models, keys);
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
        let (frames, tracks) = (BTreeMap::new(), BTreeMap::new());
        Self { sim, _broker: broker, received, pipeline, frames, tracks, deadline, faults }
    }

    /// Looks at the line and takes messages, again and again, until `done` or too late. Every look finds the frames accounted for.
    pub(crate) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !done(self) {
            let last: Vec<_> = self.frames.values().filter_map(|frames| frames.last()).collect();
            assert!(Instant::now() < self.deadline, "not in time: {what}; latest {last:?}\n{}", self.metrics());
            tokio::select! {
                message = self.received.recv() => self.take(&message.expect("the broker stays")),
                _ = look.tick() => self.look(),
            }
        }
    }

    fn look(&mut self) {
        for camera in self.pipeline.books().snapshot().cameras {
            assert!(camera.counts.balanced(), "{}: {:?}", camera.name, camera.counts);
        }
        assert!(self.faults.try_recv().is_err(), "a stage has failed");
    }

    fn take(&mut self, message: &Received) {
        let of = match message.topic.split('/').nth(4) {
            Some("frame") => &mut self.frames,
            Some("track") => &mut self.tracks,
            _ => return,
        };
        let json: Value = serde_json::from_slice(&message.payload).expect("JSON");
        let camera = json["camera"].as_str().expect("a name").to_owned();
        of.entry(camera).or_default().push(json);
    }

    /// What was said of a camera's frames.
    pub(crate) fn frames(&self, camera: &str) -> impl Iterator<Item = &Value> {
        self.frames.get(camera).into_iter().flatten()
    }

    /// What was said of a camera's tracks.
    pub(crate) fn tracks(&self, camera: &str) -> impl Iterator<Item = &Value> {
        self.tracks.get(camera).into_iter().flatten()
    }

    /// `/metrics` now.
    pub(crate) fn metrics(&self) -> String {
        observe::render_metrics(self.pipeline.books().snapshot()).expect("text")
    }

    pub(crate) async fn stop(mut self) {
        self.pipeline.stop().await;
        assert_eq!(self.faults.try_recv().ok(), None, "no stage has failed");
        self.sim.stop();
    }
}

fn configuration(sim: &Sim, broker: &EmbeddedBroker, cameras: &[String], models: &str, keys: &str) -> Config {
    let mut text = format!("device = \"line\"\n[mqtt]\nurl = \"mqtt://{}\"\n[http]\nenabled = false\n{models}", broker.v5());
    for name in cameras {
        let url = sim.url(name).expect("simulated");
        writeln!(text, "[[camera]]\nname = \"{name}\"\nurl = \"{url}\"\n{}", keys.replace("NAME", name)).expect("memory");
    }
    config::load_text(Path::new("steps.toml"), &text).expect("a configuration").config
}
