//! From what was typed to what the program sees: everything that concerns more than one value, or the world outside the file.

mod camera;
mod commands;
mod dialects;
mod login;
mod model;
mod mqtt;
mod rule;
mod tls;

use std::{
    cell::LazyCell,
    collections::BTreeMap,
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{
    AppearanceConfig, BatchConfig, CameraConfig, Config, DeviceChoice, EnginesConfig, HttpConfig, LogConfig, ModelConfig,
    MqttConfig, QueueConfig, RuntimeConfig, TrackConfig,
    document::Entries,
    filter::{BadFilter, log_filter},
    keys::{Batch, Camera, Http, Log, Queue, Runtime, Top, Track, Typed},
    kind::{Words as _, is_name},
    ledger::Ledger,
};
use crate::{engine::Flags, placement::Machine};

/// Longest base topic.
const LONGEST_BASE_TOPIC: usize = 200;

/// What the configuration is checked against.
pub(super) struct Surroundings<'a> {
    pub(super) variables: &'a [(OsString, OsString)],
    pub(super) host_name: &'a str,
    /// Only checked, not run.
    pub(super) checking: bool,
    /// The files were good when they were read, and only commands have changed anything: what they name may be about to be replaced, and a
    /// camera can be switched off meanwhile.
    pub(super) settled: bool,
    /// What models run on; `None`: the machine is asked, where a key needs it.
    pub(super) machine: Option<&'a Machine>,
    /// Class names of models, by the model's name, where they are known beside the configuration.
    pub(super) classes: &'a BTreeMap<String, Vec<String>>,
}

impl Surroundings<'_> {
    /// The classes that a model knows; `None`: only its file says.
    fn classes_of<'c>(&'c self, model: &'c ModelConfig) -> Option<&'c [String]> {
        model.classes.as_ref().or_else(|| self.classes.get(&model.name)).map(Vec::as_slice)
    }

    fn variable(&self, name: &str) -> Option<&OsString> {
        self.variables.iter().find(|(known, _)| known.to_str() == Some(name)).map(|(_, value)| value)
    }
}

/// Checks everything. The outcome counts only if the ledger has no problem then.
pub(super) fn build(typed: Typed, entries: &Entries, ledger: &mut Ledger, around: &Surroundings<'_>) -> Config {
    let device = device(&typed.top, around);
    if typed.top.device.is_some() && DeviceChoice::from_word(&device).is_some() {
        let remedy = "where networks run is said by device in [runtime]; give this device a name of its own";
        ledger.advise("device", "it names this device, a level of every topic, and chooses nothing", remedy);
    }
    let libraries = typed.runtime.tensorrt.clone();
    let machine = LazyCell::new(|| {
        let found = || Machine::here(Path::new("/"), libraries.as_deref());
        around.machine.cloned().unwrap_or_else(found)
    });
    let models = model::build(&typed.model, &entries.models, ledger, (around, &machine));
    let profiles = rule::Profiles::build(typed.top.time_zone.as_deref(), typed.profile, &entries.profiles, ledger);
    let cameras =
        camera::build((typed.camera, typed.rule), entries, (&models, &profiles, typed.runtime.decoder.0), ledger, around);
    let track = track(&typed.track, ledger);
    calm(&cameras, &track, ledger);
    let dialects = dialects::build(
        (typed.frigate, typed.homeassistant, typed.deepstream, typed.onvif, typed.axis),
        (&device, track.best_shots.is_some()),
        ledger,
    );
    dialects::zones_apart(&dialects, &cameras, ledger);
    let commands = commands::build(&typed.commands, ledger);
    let mqtt = mqtt::build((typed.mqtt, typed.broker), &entries.brokers, dialects, &device, ledger, around)
        .map(|mqtt| MqttConfig { queue: queue(typed.queue, ledger, around), commands, ..mqtt });
    if let Some(mqtt) = &mqtt {
        commands::heard(mqtt, ledger);
    }
    Config {
        log: log(typed.log, ledger),
        mqtt,
        http: http(&typed.http, ledger),
        throttle: typed.runtime.throttle,
        runtime: runtime(typed.runtime, ledger),
        batch: batch(&typed.batch, ledger),
        track,
        models,
        cameras,
        shutdown_deadline: typed.top.shutdown_deadline.0,
        graph_dir: graph_dir(typed.top, ledger),
        device,
    }
}

/// The name, or one made of the host's.
fn device(top: &Top, around: &Surroundings<'_>) -> String {
    if let Some(device) = &top.device {
        return device.clone();
    }
    let name: String = around
        .host_name
        .trim()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' })
        .take(64)
        .collect();
    if is_name(&name) { name } else { "egret".to_owned() }
}

fn graph_dir(top: Top, ledger: &mut Ledger) -> Option<std::path::PathBuf> {
    let dir = top.graph_dir?;
    if !dir.is_dir() {
        ledger.advise("graph_dir", "there is no such directory (yet)", format!("make it: mkdir -p {}", dir.display()));
    }
    Some(dir)
}

fn log(log: Log, ledger: &mut Ledger) -> LogConfig {
    if let Err(BadFilter { reason, remedy }) = log_filter(&log.filter) {
        ledger.problem("log.filter", reason, remedy);
    }
    LogConfig { filter: log.filter, format: log.format.0 }
}

fn http(http: &Http, ledger: &mut Ledger) -> Option<HttpConfig> {
    let Ok(listen) = http.listen.parse::<SocketAddr>() else {
        let remedy = match http.listen.as_str() {
            "off" | "none" | "false" => "write enabled = false in [http] and take listen away",
            _ => "write an IP address and a port, e.g. \"127.0.0.1:9180\"",
        };
        ledger.problem("http.listen", "no address and port", remedy);
        return None;
    };
    if !http.enabled {
        return None;
    }
    if !listen.ip().is_loopback() {
        let remedy = "listen on 127.0.0.1, or let a firewall or a proxy with authentication stand before it";
        ledger.advise("http.listen", "it has no authentication, and this address is not loopback", remedy);
    }
    Some(HttpConfig { listen })
}

fn runtime(runtime: Runtime, ledger: &mut Ledger) -> RuntimeConfig {
    if let Some(library) = &runtime.onnxruntime_library
        && !library.is_file()
    {
        ledger.problem(
            "runtime.onnxruntime_library",
            "there is no such file",
            "correct the path of libonnxruntime.so, or remove the key",
        );
    }
    let engines = engines(&runtime, ledger);
    if runtime.device.0 == DeviceChoice::Tensorrt && !cfg!(feature = "tensorrt") {
        let remedy = "install a build with it (docs/tensorrt.md), or set it to `auto` or `cpu`";
        ledger.problem("runtime.device", "this egret was built without TensorRT", remedy);
    }
    RuntimeConfig {
        device: runtime.device.0,
        cpu: runtime.cpu.0,
        device_memory: runtime.device_memory.map(|mib| mib << 20),
        onnxruntime_library: runtime.onnxruntime_library,
        engines,
    }
}

fn engines(runtime: &Runtime, ledger: &mut Ledger) -> EnginesConfig {
    if runtime.tensorrt.as_ref().is_some_and(|folder| !folder.is_dir()) {
        let remedy = "name the folder that libnvinfer.so.10 or .so.11 is in, or remove the key";
        ledger.problem("runtime.tensorrt", "there is no such folder", remedy);
    }
    let plugins: Vec<PathBuf> = runtime.tensorrt_plugins.iter().flatten().map(PathBuf::from).collect();
    for plugin in plugins.iter().filter(|plugin| !plugin.is_file()) {
        let what = format!("there is no file {}", plugin.display());
        ledger.problem("runtime.tensorrt_plugins", what, "give the plugin library's whole path, or remove it from the list");
    }
    let flags = Flags {
        optimization_level: runtime.engine_level.map(|level| level as u32),
        workspace_bytes: runtime.engine_workspace.map(|mib| mib << 20),
        tf32: runtime.tf32,
        ..Flags::default()
    };
    EnginesConfig { folder: runtime.engines.clone(), flags, tensorrt: runtime.tensorrt.clone(), plugins }
}

fn batch(batch: &Batch, ledger: &mut Ledger) -> BatchConfig {
    if batch.staleness.0 <= batch.max_wait.0 {
        ledger.clash(
            "batch.staleness",
            "batch.max_wait",
            "frames would be stale before their batch may leave",
            "make it longer than batch.max_wait",
        );
    }
    BatchConfig { max_wait: batch.max_wait.0, staleness: batch.staleness.0 }
}

fn track(track: &Track, ledger: &mut Ledger) -> TrackConfig {
    if track.low_confidence > track.high_confidence {
        ledger.clash(
            "track.low_confidence",
            "track.high_confidence",
            "above track.high_confidence, so no detection is left for the second association",
            "make it lower",
        );
    }
    if track.new_confidence < track.low_confidence {
        ledger.clash(
            "track.new_confidence",
            "track.low_confidence",
            "below track.low_confidence: it would start tracks from detections that are not looked at",
            "make it higher",
        );
    }
    let kind = track.tracker.0;
    let own = TrackConfig::of(kind);
    TrackConfig {
        tracker: kind,
        high_confidence: track.high_confidence as f32,
        low_confidence: track.low_confidence as f32,
        new_confidence: track.new_confidence as f32,
        match_iou: track.match_iou.map_or(own.match_iou, |iou| iou as f32),
        lost_after: track.lost_after.map_or(own.lost_after, |span| span.0),
        confirm_after: track.confirm_after.0,
        second_look: track.second_look,
        appearance: AppearanceConfig {
            limit: track.appearance_limit as f32,
            margin: track.appearance_margin as f32,
            memory: track.appearance_memory.0,
            entries: track.appearance_entries as usize,
        },
        best_shots: track.best_shots.then_some(track.best_shot_size as u32),
    }
}

/// Between two looks at a calm picture no track may be given up.
fn calm(cameras: &[CameraConfig], track: &TrackConfig, ledger: &mut Ledger) {
    for camera in cameras.iter().filter(|camera| camera.calm_interval >= track.lost_after) {
        ledger.problem(
            &Camera::SECTION.path(Some(&camera.name), "calm_interval"),
            "tracks would be given up between two looks",
            "make it shorter than track.lost_after",
        );
    }
}

fn queue(queue: Queue, ledger: &mut Ledger, around: &Surroundings<'_>) -> Option<QueueConfig> {
    // Of several, systemd names the first one of the unit first.
    let state =
        around.variable("STATE_DIRECTORY").and_then(|dirs| dirs.to_str()?.split(':').next()).filter(|dir| !dir.is_empty());
    let own = || state.map(|state| Path::new(state).join("queue"));
    let directory = queue.enabled.then(|| queue.directory.or_else(own)).flatten()?;
    // What is not there yet is made, but not below a file.
    if let Some(file) = directory.ancestors().find(|path| path.exists()).filter(|path| !path.is_dir()) {
        let reason = format!("{} is no directory", file.display());
        ledger.problem("queue.directory", reason, "name a directory, or a place where one can be made");
    }
    Some(QueueConfig {
        directory,
        max_bytes: queue.max_mb << 20,
        max_age: queue.max_age.0,
        sync_interval: queue.sync_interval.0,
        keep_acknowledged: queue.keep_acknowledged.0,
        replay_rate: queue.replay_rate as u32,
    })
}

/// Whether something can be the first levels of topics to publish on.
fn check_topic(at: &str, topic: &str, ledger: &mut Ledger) {
    let reason = if topic.contains(['+', '#']) {
        "a topic to publish on holds no wildcard (+, #)"
    } else if topic.split('/').any(|level| level.trim().is_empty()) {
        "a level of the topic is empty"
    } else if topic.starts_with('$') {
        "topics that begin with $ are the broker's own"
    } else if topic.chars().any(char::is_control) {
        "it holds control characters"
    } else if topic.len() > LONGEST_BASE_TOPIC {
        "it is too long"
    } else {
        return;
    };
    ledger.problem(at, reason, "write levels separated by single slashes, e.g. \"egret\" or \"site/egret\"");
}
