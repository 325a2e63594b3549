//! From what was typed to what the program sees: everything that concerns more than one value, or the world outside the file.

mod camera;
mod commands;
mod dialects;
mod login;
mod model;
mod rule;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    net::SocketAddr,
    path::Path,
};

use super::{
    AppearanceConfig, BatchConfig, CameraConfig, Config, DialectsConfig, HttpConfig, LogConfig, ModelConfig, MqttConfig,
    MqttVersion, QueueConfig, RuntimeConfig, TlsConfig, TrackConfig, address,
    document::Entries,
    filter::{BadFilter, log_filter},
    keys::{Batch, Camera, Http, Log, Mqtt, Queue, Runtime, Top, Track, Typed},
    kind::is_name,
    ledger::Ledger,
};
use login::Login;

/// Longest client identifier.
const LONGEST_CLIENT_ID: usize = 128;
/// What an MQTT 3.1.1 broker must accept (§3.1.3.1).
const SURE_CLIENT_ID: usize = 23;
/// Longest base topic.
const LONGEST_BASE_TOPIC: usize = 200;

/// What the configuration is checked against.
pub(super) struct Surroundings<'a> {
    pub(super) variables: &'a [(OsString, OsString)],
    pub(super) host_name: &'a str,
    /// Only checked, not run.
    pub(super) checking: bool,
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
    let models = model::build(&typed.model, &entries.models, ledger, around);
    let profiles = rule::Profiles::build(typed.top.time_zone.as_deref(), typed.profile, &entries.profiles, ledger);
    let cameras = camera::build((typed.camera, typed.rule), entries, (&models, &profiles), ledger, around);
    let track = track(&typed.track, ledger);
    calm(&cameras, &track, ledger);
    let dialects = dialects::build(
        (typed.frigate, typed.homeassistant, typed.deepstream, typed.onvif, typed.axis),
        (&device, track.best_shots.is_some()),
        ledger,
    );
    let commands = commands::build(&typed.commands, ledger);
    Config {
        log: log(typed.log, ledger),
        mqtt: mqtt(typed.mqtt, dialects, &device, ledger, around).map(|mqtt| MqttConfig {
            queue: queue(typed.queue, ledger, around),
            commands,
            ..mqtt
        }),
        http: http(&typed.http, ledger),
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
        ledger.problem("http.listen", "no address and port", "write an IP address and a port, e.g. \"127.0.0.1:9180\"");
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
    RuntimeConfig { cpu: runtime.cpu.0, onnxruntime_library: runtime.onnxruntime_library }
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

fn mqtt(
    mqtt: Mqtt,
    dialects: DialectsConfig,
    device: &str,
    ledger: &mut Ledger,
    around: &Surroundings<'_>,
) -> Option<MqttConfig> {
    if !mqtt.enabled {
        return None;
    }
    let Some(url) = &mqtt.url else {
        let mut keys = Mqtt::SECTION.keys.iter().filter(|key| !matches!(key.name, "url" | "enabled"));
        let own = keys.any(|key| ledger.is_set(&Mqtt::SECTION.path(None, key.name)));
        if !ledger.is_set("mqtt.url") && (own || dialects != DialectsConfig::default()) {
            ledger.missing(
                "mqtt",
                "mqtt.url",
                "the broker's address is missing",
                "write url = \"mqtt://broker:1883\", or enabled = false to publish nothing",
            );
        }
        return None;
    };
    let address = match address::parse(url.expose(), &["mqtt", "mqtts"]) {
        Ok(address) => address,
        Err(reason) => {
            ledger.problem("mqtt.url", reason, "write mqtt://host:1883, or mqtts://host:8883 for TLS");
            return None;
        }
    };
    let tls = address.url.scheme() == "mqtts";
    if tls {
        login::check_ca("mqtt.ca_file", mqtt.ca_file.as_deref(), ledger);
    } else if mqtt.ca_file.is_some() {
        ledger.problem("mqtt.ca_file", "it means nothing without TLS", "write mqtts:// in mqtt.url, or remove it");
    }
    let base_topic = base_topic(mqtt.base_topic, &address, ledger);
    dialects::apart(&dialects, &base_topic, ledger);
    let client_id = client_id(mqtt.client_id, device, mqtt.version.0, ledger);
    let login = Login {
        table: "mqtt",
        url_key: "url",
        username: mqtt.username,
        password: mqtt.password,
        password_file: mqtt.password_file,
        password_env: mqtt.password_env,
        password_credential: mqtt.password_credential,
    };
    let (username, password) = login.resolve(&address, ledger, around);
    if password.is_some() && username.is_none() && mqtt.version.0 == MqttVersion::V311 {
        ledger.missing(
            "mqtt",
            "mqtt.username",
            "MQTT 3.1.1 knows no password without a user name (§3.1.2.9)",
            "write username = \"…\"",
        );
    }
    if password.is_some() && !tls && !is_local(&address) {
        ledger.advise("mqtt.url", "the password crosses the network in clear", "use mqtts:// where the broker offers it");
    }
    Some(MqttConfig {
        host: address.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
        port: address.url.port().unwrap_or(if tls { 8883 } else { 1883 }),
        tls: tls.then_some(TlsConfig { ca_file: mqtt.ca_file }),
        version: mqtt.version.0,
        client_id,
        base_topic,
        username,
        password,
        keep_alive: mqtt.keep_alive.0,
        publish_frames: mqtt.frames,
        frame_format: mqtt.frame_format.0,
        track_update_interval: mqtt.track_update_interval.0,
        queue: None,
        commands: BTreeSet::new(),
        dialects,
    })
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

fn is_local(address: &address::Address) -> bool {
    address.url.host_str().is_some_and(|host| {
        let host = host.trim_matches(['[', ']']);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// From the key, or from the path of the URL, whichever a later layer says.
fn base_topic(key: String, address: &address::Address, ledger: &mut Ledger) -> String {
    let path = address.url.path().trim_matches('/');
    let (at, topic) = match (ledger.layer("mqtt.base_topic"), ledger.layer("mqtt.url")) {
        _ if path.is_empty() => ("mqtt.base_topic", key),
        (Some(key_layer), Some(url_layer)) if key_layer > url_layer => ("mqtt.base_topic", key),
        (Some(key_layer), Some(url_layer)) if key_layer == url_layer && key != path => {
            ledger.problem("mqtt.base_topic", "mqtt.url has another base topic as its path", "say it once");
            ("mqtt.base_topic", key)
        }
        _ => ("mqtt.url", path.to_owned()),
    };
    check_topic(at, &topic, ledger);
    topic
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

fn client_id(key: Option<String>, device: &str, version: MqttVersion, ledger: &mut Ledger) -> String {
    let Some(id) = key else { return MqttConfig::usual_client_id(device) };
    let remedy = "write a short one of letters and digits";
    if id.len() > LONGEST_CLIENT_ID {
        ledger.problem("mqtt.client_id", format!("longer than {LONGEST_CLIENT_ID} bytes"), remedy);
    } else if id.chars().any(char::is_control) {
        ledger.problem("mqtt.client_id", "it holds control characters", remedy);
    } else if version == MqttVersion::V311 && id.len() > SURE_CLIENT_ID {
        ledger.advise("mqtt.client_id", format!("an MQTT 3.1.1 broker may refuse more than {SURE_CLIENT_ID} bytes"), remedy);
    }
    id
}
