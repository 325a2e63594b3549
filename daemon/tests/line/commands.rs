//! A whole daemon that is commanded over a real broker, with both versions of the protocol.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use egret::{
    config::{self, Edits, LogConfig, LogFormat, Sources, Texts},
    daemon::{self, Surroundings},
    life::{Exit, Notifier},
    observe,
};
use rumqttc::v5::{self, mqttbytes::v5::PublishProperties};
use serde_json::{Value, json};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, LocalSet},
    time::timeout_at,
};
use tokio_util::sync::CancellationToken;

use super::*;

const PATIENCE: Duration = Duration::from_mins(1);

#[path = "../../src/publish/testing/mosquitto.rs"]
mod mosquitto;

use mosquitto::Mosquitto;

/// Somebody at the broker.
enum Client {
    V5(v5::AsyncClient, Box<v5::EventLoop>),
    V311(rumqttc::AsyncClient, Box<rumqttc::EventLoop>),
}

/// A message: topic, payload, correlation data.
type Said = (String, Vec<u8>, Option<Vec<u8>>);

impl Client {
    async fn connect(version: &str, port: u16) -> Self {
        let filters = ["egret/#", "ops/#", "frigate/#"];
        let mut client = if version == "5" {
            let mut options = v5::MqttOptions::new("ops", "127.0.0.1", port);
            options.set_max_packet_size(Some(1 << 20));
            let (client, events) = v5::AsyncClient::new(options, 16);
            for filter in filters {
                client.try_subscribe(filter, v5::mqttbytes::QoS::AtLeastOnce).expect("room");
            }
            Self::V5(client, Box::new(events))
        } else {
            let mut options = rumqttc::MqttOptions::new("ops", "127.0.0.1", port);
            options.set_max_packet_size(1 << 20, 1 << 20);
            let (client, events) = rumqttc::AsyncClient::new(options, 16);
            for filter in filters {
                client.try_subscribe(filter, rumqttc::QoS::AtLeastOnce).expect("room");
            }
            Self::V311(client, Box::new(events))
        };
        let mut taken = 0;
        while taken < filters.len() {
            taken += usize::from(client.poll().await == Some(None));
        }
        client
    }

    /// `Some(None)`: a subscription was taken.
    async fn poll(&mut self) -> Option<Option<Said>> {
        match self {
            Self::V5(_, events) => match events.poll().await.expect("connected") {
                v5::Event::Incoming(v5::Incoming::SubAck(_)) => Some(None),
                v5::Event::Incoming(v5::Incoming::Publish(publish)) => {
                    let correlation = publish.properties.and_then(|properties| properties.correlation_data);
                    let topic = String::from_utf8(publish.topic.to_vec()).expect("UTF-8");
                    Some(Some((topic, publish.payload.to_vec(), correlation.map(|bytes| bytes.to_vec()))))
                }
                _ => None,
            },
            Self::V311(_, events) => match events.poll().await.expect("connected") {
                rumqttc::Event::Incoming(rumqttc::Packet::SubAck(_)) => Some(None),
                rumqttc::Event::Incoming(rumqttc::Packet::Publish(publish)) => {
                    Some(Some((publish.topic, publish.payload.to_vec(), None)))
                }
                _ => None,
            },
        }
    }

    fn say(&self, topic: &str, payload: Vec<u8>, retain: bool, asked: Option<(&str, &str)>) {
        match self {
            Self::V5(client, _) => {
                let properties = PublishProperties {
                    response_topic: asked.map(|(topic, _)| topic.to_owned()),
                    correlation_data: asked.map(|(_, name)| name.to_owned().into()),
                    ..PublishProperties::default()
                };
                let qos = v5::mqttbytes::QoS::AtLeastOnce;
                client.try_publish_with_properties(topic, qos, retain, payload, properties).expect("room");
            }
            Self::V311(client, _) => client.try_publish(topic, rumqttc::QoS::AtLeastOnce, retain, payload).expect("room"),
        }
    }
}

/// A daemon, its broker, and somebody who commands it.
struct Commanded {
    client: Client,
    broker: Mosquitto,
    file: PathBuf,
    cancel: CancellationToken,
    daemon: JoinHandle<Exit>,
    deadline: Instant,
    number: u32,
    _dir: tempfile::TempDir,
}

fn configuration(version: &str, port: u16, cameras: &[&str]) -> String {
    let mut text = format!(
        "device = \"cmd\"\n[log]\nfilter = \"warn\"\n[http]\nenabled = false\n[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nversion = \"{version}\"\n\
         client_id = \"egret-commanded\"\n[mqtt.frigate]\nenabled = true\n[mqtt.commands]\nallow = [\"status\", \"reload\", \"log\", \
         \"camera_enable\", \"camera_disable\", \"camera_set\", \"camera_add\", \"camera_remove\"]\n\
         [[model]]\nname = \"none\"\nbuiltin = \"null\"\nworkers = 1\n"
    );
    for camera in cameras {
        writeln!(text, "[[camera]]\nname = \"{camera}\"\nurl = \"test:ball\"\nwidth = 320\nheight = 180\nfps = 10")
            .expect("memory");
    }
    text
}

/// A daemon, once its line runs.
async fn run(file: &Path, log: Option<observe::log::Knob>) -> (CancellationToken, JoinHandle<Exit>) {
    let sources = Sources { file: Some(file.to_owned()), ..Sources::default() };
    let loaded = config::load(&sources).expect("a configuration");
    let read = move |texts: Option<Texts>, edits: Edits| config::load(&Sources { texts, edits, ..sources.clone() });
    let cancel = CancellationToken::new();
    let (attached, running) = oneshot::channel();
    let surroundings = Surroundings { notifier: Notifier::silent(), read, log, attached: Some(attached), cancel: cancel.clone() };
    let daemon = tokio::task::spawn_local(daemon::run(loaded, surroundings));
    running.await.expect("the line runs");
    (cancel, daemon)
}

impl Commanded {
    async fn start(version: &str, log: Option<observe::log::Knob>) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a folder");
        let broker = Mosquitto::start(dir.path(), "allow_anonymous true")?;
        let file = dir.path().join("egret.toml");
        std::fs::write(&file, configuration(version, broker.port, &["door"])).expect("room");
        let client = Client::connect(version, broker.port).await;
        let (cancel, daemon) = run(&file, log).await;
        let deadline = Instant::now() + PATIENCE;
        Some(Self { client, broker, file, cancel, daemon, deadline, number: 0, _dir: dir })
    }

    /// What the broker retains, of us and of others.
    async fn retained(&self) -> BTreeSet<String> {
        let (client, events) = v5::AsyncClient::new(v5::MqttOptions::new("late", "127.0.0.1", self.broker.port), 16);
        client.try_subscribe("#", v5::mqttbytes::QoS::AtLeastOnce).expect("room");
        let mut client = Client::V5(client, Box::new(events));
        client.say("ops/marker", Vec::new(), false, None);
        let mut topics = BTreeSet::new();
        loop {
            let Some(Some((topic, _, _))) = timeout_at(self.deadline, client.poll()).await.expect("in time") else { continue };
            if topic == "ops/marker" {
                return topics;
            }
            topics.insert(topic);
        }
    }

    /// Ends the daemon in order.
    async fn end(&mut self) {
        self.cancel.cancel();
        let exit = timeout_at(self.deadline, &mut self.daemon).await.expect("in time").expect("no panic");
        assert_eq!(exit, Exit::Clean);
    }

    /// The first message that fits, on a topic that ends so.
    async fn hear(&mut self, topic: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.hear_said(topic, fits).await.1
    }

    async fn hear_said(&mut self, topic: &str, fits: impl Fn(&Value) -> bool) -> (Option<Vec<u8>>, Value) {
        loop {
            let said = timeout_at(self.deadline, self.client.poll()).await;
            assert!(said.is_ok(), "no {topic} in time");
            let Ok(Some(Some((heard, payload, correlation)))) = said else { continue };
            if heard.ends_with(topic) {
                let text = || Value::from(String::from_utf8_lossy(&payload).into_owned());
                let value = serde_json::from_slice(&payload).unwrap_or_else(|_| text());
                if fits(&value) {
                    return (correlation, value);
                }
            }
        }
    }

    /// Commands, and waits for the reply: with MQTT 5 where it was asked for, by its correlation data.
    async fn command(&mut self, verb: &str, payload: &Value) -> Value {
        self.number += 1;
        let name = format!("c{}", self.number);
        let (usual, name) = (format!("egret/cmd/cmd/{verb}"), name.as_str());
        if let Client::V5(..) = self.client {
            self.client.say(&usual, payload.to_string().into_bytes(), false, Some(("ops/replies", name)));
            let (correlation, reply) = self.hear_said("ops/replies", |_| true).await;
            assert_eq!(correlation.as_deref(), Some(name.as_bytes()));
            return reply;
        }
        let mut payload = payload.clone();
        payload["id"] = name.into();
        self.client.say(&usual, payload.to_string().into_bytes(), false, None);
        self.hear(&format!("/cmd/{verb}/reply"), |reply| reply["id"] == *name).await
    }

    async fn carried_out(&mut self, verb: &str, payload: &Value) -> Value {
        let reply = self.command(verb, payload).await;
        assert_eq!((&reply["ok"], &reply["verb"], &reply["kind"]), (&json!(true), &json!(verb), &json!("reply")), "{reply}");
        reply
    }

    async fn refused(&mut self, verb: &str, payload: &Value, reason: &str) -> Value {
        let reply = self.command(verb, payload).await;
        assert_eq!((&reply["ok"], &reply["error"]["reason"]), (&json!(false), &json!(reason)), "{reply}");
        reply["error"].clone()
    }

    async fn state(&mut self, camera: &str, state: &str) {
        self.hear(&format!("/cam/{camera}/status"), |status| status["state"] == state).await;
    }

    async fn frames(&mut self, camera: &str) {
        for _ in 0..3 {
            self.hear(&format!("/cam/{camera}/frame"), |_| true).await;
        }
    }

    async fn keys_that_differ(&mut self) -> Vec<(String, String)> {
        let reply = self.carried_out("status", &json!({})).await;
        let differences = reply["status"]["differences"].as_array().expect("a list").clone();
        let word = |value: &Value| value.as_str().expect("a text").to_owned();
        differences.iter().map(|difference| (word(&difference["key"]), word(&difference["deviation"]))).collect()
    }
}

fn pair(key: &str, deviation: &str) -> (String, String) {
    (key.to_owned(), deviation.to_owned())
}

async fn tell(version: &str, log: Option<observe::log::Knob>) {
    let has_log = log.is_some();
    let Some(mut rig) = Commanded::start(version, log).await else { return };
    rig.frames("door").await;
    assert_eq!(rig.keys_that_differ().await, []);

    let reply = rig.carried_out("camera_disable", &json!({ "camera": "door" })).await;
    assert_eq!(reply["changed"], json!([{ "key": "camera.door", "how": "disabled" }]));
    assert_eq!(reply["outlives_restart"], false);
    // What tells of it may have overtaken the reply.
    let status = rig.carried_out("status", &json!({})).await;
    let door = &status["status"]["cameras"][0];
    assert_eq!((&door["name"], &door["enabled"], &door["state"]), (&json!("door"), &json!(false), &json!("disabled")));
    assert_eq!(status["status"]["differences"][0]["running"], "false");
    rig.carried_out("camera_enable", &json!({ "camera": "door" })).await;
    rig.state("door", "online").await;
    rig.frames("door").await;
    assert_eq!(rig.keys_that_differ().await, []);

    // Frigate's switch is the same, and its state comes back.
    rig.client.say("frigate/door/enabled/set", b"OFF".to_vec(), false, None);
    rig.hear("frigate/door/enabled/state", |state| state == "OFF").await;
    rig.client.say("frigate/door/detect/set", b"ON".to_vec(), false, None);
    rig.hear("frigate/door/detect/state", |state| state == "ON").await;

    // A camera that no file has; told under the same name twice, it is added once.
    let yard = json!({ "camera": { "name": "yard", "url": "test:snow", "width": 320, "height": 180, "fps": 10 } });
    rig.carried_out("camera_add", &yard).await;
    rig.frames("yard").await;
    rig.refused("camera_add", &yard, "camera_exists").await;
    let mut named = yard.clone();
    (named["id"], named["camera"]["name"]) = ("twice".into(), "shed".into());
    for _ in 0..2 {
        rig.client.say("egret/cmd/cmd/camera_add", named.to_string().into_bytes(), false, None);
        let reply = rig.hear("/cmd/camera_add/reply", |reply| reply["id"] == "twice").await;
        assert_eq!((&reply["ok"], &reply["changed"][0]["how"]), (&json!(true), &json!("added")));
    }
    rig.carried_out("camera_remove", &json!({ "camera": "shed" })).await;
    assert_eq!(rig.keys_that_differ().await, [pair("camera.yard", "added")]);

    // Every problem at once, and nothing is changed.
    let wrong = json!({ "camera": { "name": "wrong", "url": "ftp://u:hunter2@x", "max_fps": -1, "maks": 1 } });
    let error = rig.refused("camera_add", &wrong, "configuration").await;
    let keys: BTreeSet<&str> = error["problems"].as_array().expect("a list").iter().filter_map(|p| p["key"].as_str()).collect();
    assert_eq!(keys, BTreeSet::from(["camera.wrong.url", "camera.wrong.max_fps", "camera.wrong.maks"]), "{error}");
    assert!(!error.to_string().contains("hunter"), "{error}");
    rig.refused("camera_disable", &json!({ "camera": "wrong" }), "no_such_camera").await;

    // Keys that change while a camera runs; a file that is written meanwhile is not read by that.
    std::fs::write(&rig.file, configuration(version, rig.broker.port, &["door", "gate"])).expect("room");
    let reply = rig.carried_out("camera_set", &json!({ "camera": "door", "set": { "max_fps": 5, "confidence": 0.6 } })).await;
    assert_eq!(reply["changed"], json!([{ "key": "camera.door", "how": "changed" }]));
    let reply = rig.carried_out("reload", &json!({})).await;
    assert_eq!(
        (&reply["changed"], &reply["outlives_restart"]),
        (&json!([{ "key": "camera.gate", "how": "added" }]), &json!(true))
    );
    rig.frames("gate").await;
    let differ = [pair("camera.yard", "added"), pair("camera.door.confidence", "set"), pair("camera.door.max_fps", "set")];
    assert_eq!(rig.keys_that_differ().await, differ);
    rig.carried_out("camera_remove", &json!({ "camera": "yard" })).await;
    rig.carried_out("camera_set", &json!({ "camera": "door", "set": { "max_fps": null, "confidence": null } })).await;
    rig.carried_out("camera_remove", &json!({ "camera": "gate" })).await;
    assert_eq!(rig.keys_that_differ().await, [pair("camera.gate", "removed")]);

    // A file that is wrong.
    std::fs::write(&rig.file, "[[camera]]\nname = \"a b\"\n").expect("room");
    let error = rig.refused("reload", &json!({}), "configuration").await;
    assert!(error["problems"].as_array().is_some_and(|problems| !problems.is_empty()), "{error}");

    if has_log {
        let reply = rig.carried_out("log", &json!({ "filter": "warn,egret::source=debug" })).await;
        assert_eq!(reply["changed"], json!([{ "key": "log.filter", "how": "changed" }]));
        rig.refused("log", &json!({ "filter": "egret=loud" }), "configuration").await;
        rig.carried_out("log", &json!({ "filter": null })).await;
    } else {
        rig.refused("log", &json!({ "filter": "debug" }), "unavailable").await;
    }

    rig.refused("health", &json!({}), "not_allowed").await;
    rig.refused("camera_disabel", &json!({}), "unknown_verb").await;
    rig.client.say("egret/cmd/cmd/reload", b"\x00\xff{{{".to_vec(), false, None);
    rig.hear("/cmd/reload/reply", |reply| reply["error"]["reason"] == "malformed").await;
    rig.client.say("egret/cmd/cmd/log", vec![b' '; 40_000], false, None);
    rig.hear("/cmd/log/reply", |reply| reply["error"]["reason"] == "too_large").await;
    if version == "5" {
        // Seen on the message itself; a forged event is not written.
        rig.client.say("egret/cmd/cmd/reload", b"{}".to_vec(), true, None);
        rig.hear("/cmd/reload/reply", |reply| reply["error"]["reason"] == "retained").await;
        rig.client.say("egret/cmd/cmd/reload", Vec::new(), false, Some(("egret/cmd/cam/door/event/gate", "x")));
        rig.hear("/cmd/reload/reply", |reply| reply["error"]["reason"] == "response_topic").await;
    } else {
        // Beyond what is taken in at all: the connection lives on.
        rig.client.say("egret/cmd/cmd/status", vec![b' '; 300_000], false, None);
        rig.hear("/cmd/status/reply", |reply| reply["error"]["reason"] == "too_large").await;
    }
    rig.frames("door").await;
    rig.end().await;
}

/// What a command brought is gone with the daemon, and so is what stands of it at the broker; what the files say stays.
async fn leave_nothing_behind() {
    let Some(mut rig) = Commanded::start("5", None).await else { return };
    rig.end().await;
    let queue = rig.file.with_file_name("queue");
    let text = configuration("5", rig.broker.port, &["door", "gate"]);
    let kept = |text: &str| format!("{text}\n[queue]\ndirectory = {:?}\n", queue.display());
    std::fs::write(&rig.file, kept(&text)).expect("room");
    (rig.cancel, rig.daemon) = run(&rig.file, None).await;
    rig.frames("gate").await;
    let yard = json!({ "camera": { "name": "yard", "url": "test:snow", "width": 320, "height": 180, "fps": 10 } });
    rig.carried_out("camera_add", &yard).await;
    rig.frames("yard").await;
    rig.end().await;
    rig.state("yard", "offline").await;
    // One goes from the files meanwhile.
    std::fs::write(&rig.file, kept(&configuration("5", rig.broker.port, &["door"]))).expect("room");
    (rig.cancel, rig.daemon) = run(&rig.file, None).await;
    for topic in ["/cam/gate/status", "/cam/yard/status", "frigate/gate/enabled/state", "frigate/yard/enabled/state"] {
        rig.hear(topic, |message| *message == "").await;
    }
    rig.frames("door").await;
    let stands = rig.retained().await;
    let about = |camera: &str| stands.iter().filter(|topic| topic.split('/').any(|level| level == camera)).count();
    assert_eq!((about("gate"), about("yard")), (0, 0), "{stands:?}");
    assert!(stands.contains("egret/cmd/cam/door/status") && stands.contains("frigate/door/enabled/state"), "{stands:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_leaves_nothing_behind_at_the_broker() {
    LocalSet::new().run_until(leave_nothing_behind()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_is_commanded_over_mqtt_5() {
    let log = observe::log::init(&LogConfig { filter: "warn".into(), format: LogFormat::Text }).expect("a log");
    LocalSet::new().run_until(tell("5", Some(log))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_is_commanded_over_mqtt_3_1_1() {
    LocalSet::new().run_until(tell("3.1.1", None)).await;
}
