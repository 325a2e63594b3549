//! What a reload changes.

use super::{CameraConfig, Config, MqttConfig, QueueConfig};

/// What must be done to get from one configuration to another.
#[derive(Debug, Default, PartialEq)]
pub struct Change {
    /// Names of cameras to start.
    pub cameras_added: Vec<String>,
    /// Names of cameras to stop.
    pub cameras_removed: Vec<String>,
    /// Cameras that are in both, but not the same.
    pub cameras_changed: Vec<CameraChange>,
    /// Key paths of what only a new start of the process changes.
    pub needs_restart: Vec<String>,
}

impl Change {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of a camera that stays.
#[derive(Debug, PartialEq)]
pub struct CameraChange {
    /// Its name.
    pub name: String,
    /// How it is taken over.
    pub effect: Effect,
}

/// How a change of a camera is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// While it runs: rates, `weight`, `classes`, `confidence`, rules, the motion gate, or the faults that pictures are watched for.
    Live,
    /// It has to be stopped and started.
    Anew,
    /// It is stopped: `enabled` is false now.
    Off,
    /// It is started: `enabled` is true now.
    On,
}

/// Compares two configurations. The order of cameras means nothing, that of models does: the first one is the default.
pub fn diff(old: &Config, new: &Config) -> Change {
    let find = |config: &'_ Config, name: &str| config.cameras.iter().position(|camera| camera.name == name);
    let mut change = Change { needs_restart: needs_restart(old, new), ..Change::default() };
    for camera in &new.cameras {
        match find(old, &camera.name).and_then(|at| old.cameras.get(at)) {
            None => change.cameras_added.push(camera.name.clone()),
            Some(before) if before == camera => {}
            Some(before) => {
                let live = CameraConfig {
                    max_fps: camera.max_fps,
                    idle_fps: camera.idle_fps,
                    calm_interval: camera.calm_interval,
                    gate: camera.gate,
                    picture: camera.picture,
                    weight: camera.weight,
                    classes: camera.classes.clone(),
                    confidence: camera.confidence,
                    rules: camera.rules.clone(),
                    ..before.clone()
                };
                let effect = match (before.enabled, camera.enabled) {
                    (true, false) => Effect::Off,
                    (false, true) => Effect::On,
                    _ if live == *camera => Effect::Live,
                    _ => Effect::Anew,
                };
                change.cameras_changed.push(CameraChange { name: camera.name.clone(), effect });
            }
        }
    }
    let removed = old.cameras.iter().filter(|camera| find(new, &camera.name).is_none());
    change.cameras_removed = removed.map(|camera| camera.name.clone()).collect();
    change
}

/// Everything but the cameras. A key that is added to [`Config`] must be named here: the patterns have no `..`.
fn needs_restart(old: &Config, new: &Config) -> Vec<String> {
    let Config { device, log, mqtt, http, runtime, throttle, batch, track, models, cameras: _, shutdown_deadline, graph_dir } =
        old;
    let parts = [
        ("device", *device != new.device),
        // Another filter is taken over at once, by whoever holds the log.
        ("log.format", log.format != new.log.format),
        ("mqtt", broker(mqtt.as_ref(), device) != broker(new.mqtt.as_ref(), &new.device)),
        ("queue", queue(mqtt.as_ref()) != queue(new.mqtt.as_ref())),
        ("http", *http != new.http),
        ("runtime", *runtime != new.runtime),
        ("runtime.throttle", *throttle != new.throttle),
        ("batch", *batch != new.batch),
        ("track", *track != new.track),
        ("shutdown_deadline", *shutdown_deadline != new.shutdown_deadline),
        ("graph_dir", *graph_dir != new.graph_dir),
    ];
    let mut keys: Vec<String> = parts.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect();
    for model in &new.models {
        if models.iter().find(|before| before.name == model.name) != Some(model) {
            keys.push(format!("model.{}", model.name));
        }
    }
    let gone = models.iter().filter(|before| !new.models.iter().any(|model| model.name == before.name));
    keys.extend(gone.map(|model| format!("model.{}", model.name)));
    keys
}

fn queue(mqtt: Option<&MqttConfig>) -> Option<&QueueConfig> {
    mqtt?.queue.as_ref()
}

/// Brokers as they were configured, without their queue: a client identifier that is only made of the device's name says nothing more than that name.
fn broker(mqtt: Option<&MqttConfig>, device: &str) -> Option<MqttConfig> {
    let mut mqtt = mqtt?.clone();
    mqtt.queue = None;
    let MqttConfig { first, others, .. } = &mut mqtt;
    for broker in std::iter::once(first).chain(others) {
        if broker.client_id == MqttConfig::usual_client_id(device) {
            broker.client_id.clear();
        }
    }
    Some(mqtt)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::load_text;

    const BASE: &str = r#"
        [mqtt]
        url = "mqtt://broker"
        client_id = "a"
        [[model]]
        name = "a"
        builtin = "null"
        workers = 2
        [[camera]]
        name = "door"
        url = "test:smpte"
        [[camera]]
        name = "yard"
        url = "test:ball"
        max_fps = 5
    "#;

    fn config(text: &str) -> Config {
        load_text(Path::new("egret.toml"), text).unwrap_or_else(|problems| panic!("{problems:?}")).config
    }

    fn changed(from: &str, to: &str) -> Change {
        diff(&config(BASE), &config(&BASE.replace(from, to)))
    }

    #[test]
    fn the_same_is_no_change() {
        assert!(changed("", "").is_empty());
        assert!(diff(&config(BASE), &config(&BASE.replace("max_fps = 5", "max_fps = 5.0"))).is_empty());
        assert!(changed("[mqtt]", "[log]\nfilter = \"debug\"\n[mqtt]").is_empty(), "the log takes that over");
    }

    #[test]
    fn cameras_come_and_go() {
        let change = changed("\"yard\"", "\"gate\"");
        assert_eq!((change.cameras_added, change.cameras_removed), (vec!["gate".to_owned()], vec!["yard".to_owned()]));
        assert!(change.cameras_changed.is_empty() && change.needs_restart.is_empty());
    }

    #[test]
    fn rates_and_classes_change_while_a_camera_runs() {
        for to in [
            "max_fps = 7",
            "",
            "max_fps = 5\nidle_fps = 1",
            "max_fps = 5\nweight = 2",
            "max_fps = 5\nclasses = [\"car\"]",
            "max_fps = 5\ncalm_interval = \"200ms\"",
            "max_fps = 5\nmotion_gate = true",
            "max_fps = 5\nmoved_timeout = \"30s\"",
        ] {
            let change = changed("max_fps = 5", to);
            assert_eq!(change.cameras_changed, [CameraChange { name: "yard".to_owned(), effect: Effect::Live }], "{to}");
            assert!(change.needs_restart.is_empty());
        }
    }

    #[test]
    fn anything_else_restarts_the_camera_alone() {
        for (from, to, effect) in [
            ("test:ball", "test:snow", Effect::Anew),
            ("max_fps = 5", "max_fps = 6\nfps = 10", Effect::Anew),
            ("max_fps = 5", "max_fps = 5\nenabled = false", Effect::Off),
        ] {
            let change = changed(from, to);
            assert_eq!(change.cameras_changed, [CameraChange { name: "yard".to_owned(), effect }], "{to}");
            assert!(change.needs_restart.is_empty());
        }
    }

    #[test]
    fn the_rest_needs_a_new_start() {
        for (from, to, key) in [
            ("broker", "broker2", "mqtt"),
            ("workers = 2", "workers = 3", "model.a"),
            ("[mqtt]", "device = \"x\"\n[mqtt]", "device"),
            ("[mqtt]", "[http]\nenabled = false\n[mqtt]", "http"),
            ("[mqtt]", "[log]\nformat = \"json\"\n[mqtt]", "log.format"),
            ("[mqtt]", "[batch]\nmax_wait = \"1ms\"\n[mqtt]", "batch"),
            ("[mqtt]", "[track]\nconfirm_after = 9\n[mqtt]", "track"),
            ("[mqtt]", "[runtime]\ncpu = \"rten\"\n[mqtt]", "runtime"),
            ("[mqtt]", "shutdown_deadline = 1\n[mqtt]", "shutdown_deadline"),
            ("[mqtt]", "graph_dir = \"/tmp\"\n[mqtt]", "graph_dir"),
        ] {
            let change = changed(from, to);
            assert_eq!(change.needs_restart, [key]);
            assert!(change.cameras_changed.is_empty());
        }
        let nameless = |device: &str| {
            config(&BASE.replace("client_id = \"a\"", "").replace("[mqtt]", &format!("device = {device:?}\n[mqtt]")))
        };
        assert_eq!(diff(&nameless("gate"), &nameless("yard")).needs_restart, ["device"], "its identifier at the broker follows");
        let two = BASE
            .replace("[[camera]]", "[[camera]]\nmodel = \"b\"")
            .replace("[[model]]", "[[model]]\nname = \"b\"\nbuiltin = \"null\"\n[[model]]");
        assert_eq!(diff(&config(BASE), &config(&two)).needs_restart, ["model.b"]);
        assert_eq!(diff(&config(&two), &config(BASE)).needs_restart, ["model.b"]);
    }
}
