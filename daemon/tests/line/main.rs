//! The whole line in this process, from simulated cameras over RTSP to a subscriber of a broker: what becomes of sound cameras
//! while others fail, come and go.
#![cfg(feature = "demo")]

mod commands;
mod gate;
mod isolation;
mod reload;
mod rules;
#[path = "../running/mod.rs"]
mod running;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use egret::{demo::Received, sim::SimCamera, status::CameraState};
use running::Running;
use tokio::time::{Instant, MissedTickBehavior, interval};

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A line that runs, and what has been seen of it.
struct Rig {
    line: Running,
    /// Frame numbers that the subscriber has received, by camera.
    frames: BTreeMap<String, BTreeSet<u64>>,
    /// States that each camera has been seen in.
    states: BTreeMap<String, BTreeSet<&'static str>>,
}

impl Rig {
    /// Starts the line with the cameras of these names; the others are only simulated.
    async fn start(cameras: Vec<SimCamera>, configured: &[&str]) -> Self {
        let model = "[[model]]\nname = \"none\"\nbuiltin = \"null\"\nworkers = 1\n";
        let keys = "no_data_timeout = \"1s\"\nrequest_timeout = \"2s\"";
        let line = Running::start(cameras, configured, model, keys).await;
        Self { line, frames: BTreeMap::new(), states: BTreeMap::new() }
    }

    /// Looks at the line and takes messages, again and again, until `done` or too late. Every look finds the frames accounted for.
    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !done(self) {
            assert!(
                Instant::now() < self.line.deadline,
                "not in time: {what}; states {:?}, frames {:?}",
                self.states,
                self.numbers()
            );
            tokio::select! {
                message = self.line.received.recv() => self.take(&message.expect("the broker stays")),
                _ = look.tick() => self.look(),
            }
        }
    }

    fn look(&mut self) {
        for camera in self.line.balanced() {
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
        let stream = self.line.pipeline.books().stream(camera).expect("configured");
        let snapshot = self.line.pipeline.books().snapshot();
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
}
