//! The door: the files as they were read last, what commands have changed since, and the way into the line.

use tracing::Level;

use super::{Action, Answer, BrokerCondition, CameraCondition, Changed, Condition, Done, Happening, Reason, Refusal, Status};
use crate::{
    config::{self, Change, Deviation, Difference, Edits, Effect, Loaded, Problem, Texts},
    observe::{Process, log::Knob},
    pipeline::Pipeline,
    publish::message::Stamp,
    status::CameraState,
};

/// Reads the configuration: with these edits, and these files instead of those on disk.
pub trait Read: Fn(Option<Texts>, Edits) -> Result<Loaded, Vec<Problem>> {}
impl<F: Fn(Option<Texts>, Edits) -> Result<Loaded, Vec<Problem>>> Read for F {}

/// The door.
pub struct Door<R> {
    read: R,
    /// The files as they were read last.
    texts: Texts,
    edits: Edits,
    differences: Vec<Difference>,
    needs_restart: Vec<String>,
    log_filter: String,
    log: Option<Knob>,
}

impl<R: Read> Door<R> {
    /// Behind what was loaded at the start. `log`: how the log filter is changed; without it, it cannot be.
    pub fn new(loaded: &Loaded, read: R, log: Option<Knob>) -> Self {
        Self {
            read,
            texts: loaded.texts.clone(),
            edits: Edits::default(),
            differences: Vec::new(),
            needs_restart: Vec::new(),
            log_filter: loaded.config.log.filter.clone(),
            log,
        }
    }

    /// Reads the files again, lays over them what commands have changed, and takes over what can be.
    ///
    /// # Errors
    /// Every problem of the configuration: nothing has changed.
    pub async fn reload(&mut self, pipeline: &mut Pipeline) -> Result<Done, Vec<Problem>> {
        self.take_over(None, self.edits.clone(), pipeline).await
    }

    /// Carries a command out.
    ///
    /// # Errors
    /// Why it was not.
    pub async fn act(&mut self, action: Action, pipeline: &mut Pipeline) -> Answer {
        let mut edits = self.edits.clone();
        match action {
            Action::Status => return Ok(Done { status: Some(self.status(pipeline)), ..Done::default() }),
            Action::Health => return Ok(Done { health: Some(condition(pipeline)), ..Done::default() }),
            Action::Reload => {
                return self.reload(pipeline).await.map_err(|problems| Refusal {
                    message: "the configuration is wrong: egret goes on with the old one".to_owned(),
                    ..Refusal::of_problems(&problems)
                });
            }
            Action::Log(_) if self.log.is_none() => {
                let remedy = "change [log] filter and start the daemon again";
                return Err(Refusal::new(Reason::Unavailable, "this daemon's log has no filter that can be changed", remedy));
            }
            Action::Log(filter) => edits.set_log_filter(filter),
            Action::Switch(camera, on) => {
                known(&camera, pipeline)?;
                edits.set(&camera, "enabled", Some(on.into()));
            }
            Action::Set(camera, keys) => {
                known(&camera, pipeline)?;
                for (key, value) in keys {
                    edits.set(&camera, &key, value);
                }
            }
            Action::Remove(camera) => {
                known(&camera, pipeline)?;
                edits.remove(&camera);
            }
            Action::Add(camera, _) if known(&camera, pipeline).is_ok() => {
                let remedy = "take it away first (camera_remove), or give the new one another name";
                return Err(Refusal::new(Reason::CameraExists, format!("there is a camera {camera:?}"), remedy));
            }
            Action::Add(camera, table) => edits.add(&camera, table),
        }
        let texts = self.texts.clone();
        self.take_over(Some(texts), edits, pipeline).await.map_err(|problems| Refusal::of_problems(&problems))
    }

    async fn take_over(&mut self, texts: Option<Texts>, edits: Edits, pipeline: &mut Pipeline) -> Result<Done, Vec<Problem>> {
        let Loaded { config, advice, differences, texts, .. } = (self.read)(texts, edits.clone())?;
        for advice in &advice {
            tracing::warn!("{advice}");
        }
        let filter = config.log.filter.clone();
        let emptied = config.cameras.is_empty() && !pipeline.books().snapshot().cameras.is_empty();
        let change = pipeline.reload(config).await;
        if emptied {
            tracing::warn!("no camera is left: nothing is looked at until the configuration has one again");
        }
        let (mut changed, mut needs_restart) = (changes(&change), change.needs_restart);
        if filter != self.log_filter {
            match self.log.as_ref().map(|knob| knob.set(&filter)) {
                Some(Ok(())) => {
                    changed.push(Changed { key: "log.filter".to_owned(), how: Happening::Changed });
                    self.log_filter = filter;
                }
                Some(Err(error)) => tracing::error!(%error, "the log filter stays as it was"),
                None => needs_restart.push("log.filter".to_owned()),
            }
        }
        self.needs_restart.clone_from(&needs_restart);
        (self.edits, self.texts, self.differences) = (edits, texts, differences);
        if !changed.is_empty() && tracing::enabled!(Level::INFO) {
            let keys: Vec<&str> = changed.iter().map(|changed| changed.key.as_str()).collect();
            tracing::info!(changed = keys.join(", "), "the configuration has changed");
        }
        Ok(Done { changed, needs_restart, ..Done::default() })
    }

    fn status(&self, pipeline: &Pipeline) -> Status {
        let snapshot = pipeline.books().snapshot();
        let cameras = snapshot.cameras.into_iter().map(|camera| CameraCondition {
            enabled: camera.status.state != CameraState::Disabled,
            name: camera.name,
            state: camera.status.state,
            detail: camera.status.detail,
            since: Stamp(camera.status.since),
            model: camera.model,
            frames_inferred: camera.counts.inferred,
        });
        let brokers = snapshot.publish.into_iter().map(|broker| BrokerCondition {
            name: broker.name,
            connected: broker.connected,
            failure: broker.failure.map(|(failure, _)| failure),
            commands_heard: broker.commands_heard,
            kept: broker.kept.0,
        });
        let restart =
            |key: &String| Difference { key: key.clone(), deviation: Deviation::NeedsRestart, file: None, running: None };
        Status {
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: snapshot.uptime.as_secs(),
            cameras: cameras.collect(),
            brokers: brokers.collect(),
            log_filter: self.log_filter.clone(),
            differences: self.differences.iter().cloned().chain(self.needs_restart.iter().map(restart)).collect(),
        }
    }
}

/// What a change is told as.
fn changes(change: &Change) -> Vec<Changed> {
    let of = |name: &String, how| Changed { key: format!("camera.{name}"), how };
    let removed = change.cameras_removed.iter().map(|name| of(name, Happening::Removed));
    let changed = change.cameras_changed.iter().map(|camera| of(&camera.name, happened(camera.effect)));
    let added = change.cameras_added.iter().map(|name| of(name, Happening::Added));
    removed.chain(changed).chain(added).collect()
}

fn happened(effect: Effect) -> Happening {
    match effect {
        Effect::Live => Happening::Changed,
        Effect::Anew => Happening::Restarted,
        Effect::Off => Happening::Disabled,
        Effect::On => Happening::Enabled,
    }
}

fn condition(pipeline: &Pipeline) -> Condition {
    let snapshot = pipeline.books().snapshot();
    let (total, process) = (pipeline.books().total(), Process::read());
    let enabled = |state: CameraState| state != CameraState::Disabled;
    let seen = |state: CameraState| state.has_pictures();
    let count = |which: &dyn Fn(CameraState) -> bool| snapshot.cameras.iter().filter(|camera| which(camera.status.state)).count();
    Condition {
        uptime_s: snapshot.uptime.as_secs(),
        cameras_enabled: count(&enabled),
        cameras_online: count(&seen),
        frames_decoded: total.decoded,
        frames_inferred: total.inferred,
        frames_dropped: total.dropped.total(),
        memory_bytes: process.resident_bytes,
        threads: process.threads,
        descriptors: process.descriptors,
    }
}

fn known(camera: &str, pipeline: &Pipeline) -> Result<(), Refusal> {
    let cameras = pipeline.cameras();
    if cameras.iter().any(|known| known.name == camera) {
        return Ok(());
    }
    let camera: String = camera.chars().take(64).collect();
    let names = || cameras.iter().map(|known| known.name.as_str());
    let remedy = match config::nearest(&camera, names()) {
        Some(near) => format!("did you mean {near:?}?"),
        None if cameras.is_empty() => "there are none; add one (camera_add)".to_owned(),
        None => format!("there are {}", names().take(20).collect::<Vec<_>>().join(", ")),
    };
    Err(Refusal::new(Reason::NoSuchCamera, format!("there is no camera {camera:?}"), remedy))
}
