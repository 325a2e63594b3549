//! A line with steps that runs, and what a subscriber has heard of it.

use std::{collections::BTreeMap, time::Duration};

use egret::{demo::Received, observe, sim::SimCamera};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::running::Running;

const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) struct Rig {
    line: Running,
    /// Messages about frames and tracks, and events, by camera.
    frames: BTreeMap<String, Vec<Value>>,
    tracks: BTreeMap<String, Vec<Value>>,
    events: BTreeMap<String, Vec<Value>>,
}

impl Rig {
    /// Starts the line with all of these cameras and the models of this configuration.
    pub(crate) async fn start(cameras: Vec<SimCamera>, models: &str) -> Self {
        Self::start_with(cameras, models, "").await
    }

    /// The same with more keys for each camera; NAME in them stands for its name.
    pub(crate) async fn start_with(cameras: Vec<SimCamera>, models: &str, keys: &str) -> Self {
        let names: Vec<String> = cameras.iter().map(|camera| camera.name.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let line = Running::start(cameras, &names, models, keys).await;
        Self { line, frames: BTreeMap::new(), tracks: BTreeMap::new(), events: BTreeMap::new() }
    }

    /// Looks at the line and takes messages, again and again, until `done` or too late. Every look finds the frames accounted for.
    pub(crate) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !done(self) {
            let last: Vec<_> = self.frames.values().filter_map(|frames| frames.last()).collect();
            assert!(Instant::now() < self.line.deadline, "not in time: {what}; latest {last:?}\n{}", self.metrics());
            tokio::select! {
                message = self.line.received.recv() => self.take(&message.expect("the broker stays")),
                _ = look.tick() => self.look(),
            }
        }
    }

    fn look(&mut self) {
        self.line.balanced();
        assert!(self.line.faults.try_recv().is_err(), "a stage has failed");
    }

    fn take(&mut self, message: &Received) {
        let of = match message.topic.split('/').nth(4) {
            Some("frame") => &mut self.frames,
            Some("track") => &mut self.tracks,
            Some("event") => &mut self.events,
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

    /// What was said of a camera's rules.
    pub(crate) fn events(&self, camera: &str) -> impl Iterator<Item = &Value> {
        self.events.get(camera).into_iter().flatten()
    }

    /// `/metrics` now.
    pub(crate) fn metrics(&self) -> String {
        observe::render_metrics(self.line.pipeline.books().snapshot()).expect("text")
    }

    pub(crate) async fn stop(self) {
        self.line.stop().await;
    }
}
