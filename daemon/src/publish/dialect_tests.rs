//! Dialects beside our own messages, over real brokers.

use std::collections::BTreeMap;

use rumqttc::v5;
use serde_json::Value;
use tokio::time::timeout;

use super::keeper_tests::with_queue;
use super::testing::{Heard, Line, Mosquitto, PATIENCE, Subscriber, config, frame};
use super::*;
use crate::{
    analyse::{Count, Event, EventId, EventPhase, Object, Tally, Verdicts},
    config::{DialectsConfig, FrigateConfig, HomeAssistantConfig, MqttVersion, OnvifConfig},
    media::{BBox, StreamId, TrackId},
    status::CameraState,
};

fn dialects() -> DialectsConfig {
    DialectsConfig {
        frigate: Some(FrigateConfig { topic_prefix: "frigate".into() }),
        home_assistant: Some(HomeAssistantConfig { discovery_prefix: "homeassistant".into(), best_shots: false }),
        onvif: Some(OnvifConfig { topic_prefix: "box1".into(), events: true, metadata: true }),
        ..DialectsConfig::default()
    }
}

/// The person of [`frame`] is in the yard.
fn enters(stream: &StreamId, number: u64) -> Tracked {
    let object = Object { track: TrackId(42), class: 0, confidence: 0.9, bbox: BBox::new(10.0, 20.0, 50.0, 120.0) };
    let event = Event {
        id: EventId(7),
        rule: "yard".into(),
        kind: "zone",
        phase: EventPhase::Start,
        started: SystemTime::now(),
        objects: vec![object],
        way: None,
        measure: None,
    };
    let tallies = BTreeMap::from([(0, Tally { now: 1, entered: 1, left: 0 })]);
    let count = Count { rule: "yard".into(), kind: "zone", since: SystemTime::now(), tallies };
    let verdicts = Verdicts { events: vec![event], counts: vec![count], ..Verdicts::default() };
    Tracked { verdicts: Some(Box::new(verdicts)), ..frame(stream, number) }
}

/// Somebody else at the broker.
async fn publish(port: u16, topic: &str, text: &str) {
    let (client, mut events) = v5::AsyncClient::new(v5::MqttOptions::new("somebody", "127.0.0.1", port), 8);
    client.try_publish(topic, v5::mqttbytes::QoS::AtLeastOnce, false, text.to_owned()).expect("room");
    let heard =
        async { while !matches!(events.poll().await.expect("connected"), v5::Event::Incoming(v5::Incoming::PubAck(_))) {} };
    timeout(PATIENCE, heard).await.expect("acknowledged");
}

fn after(heard: &Heard) -> Value {
    heard.json()["after"].clone()
}

/// Two dialects that keep a state, one that keeps none, and our own, at once.
async fn tell(port: u16, version: MqttVersion) {
    let mut all = Subscriber::connect_to(version, port, "#").await;
    let line = Line::start(Some(MqttConfig { dialects: dialects(), ..config(port, version) }));
    all.until(|heard| heard.topic == "frigate/available" && heard.text == "online").await;
    let door = StreamId::new(1, "door");
    line.board.add(&door);
    let config = all.until(|heard| heard.topic == "homeassistant/device/egret_box1_door/config").await;
    assert_eq!(config.json()["dev"]["via_device"], "egret_box1");
    line.board.set(&door, CameraState::Online, "");
    all.until(|heard| heard.topic == "frigate/door/status/detect" && heard.text == "online").await;

    line.send(vec![frame(&door, 0)]).await;
    let new = all.until(|heard| heard.topic == "frigate/events").await;
    assert_eq!((new.json()["type"].as_str(), &after(&new)["box"]), (Some("new"), &serde_json::json!([10, 20, 50, 120])));
    line.send(vec![enters(&door, 1)]).await;
    // In the order in which they were written: ours, then each dialect's.
    let ours = all.until(|heard| heard.topic == "egret/box1/cam/door/event/yard").await;
    assert_eq!(ours.json()["phase"], "start");
    let update = all.until(|heard| heard.topic == "frigate/events").await;
    assert_eq!(after(&update)["current_zones"], serde_json::json!(["yard"]));
    all.until(|heard| heard.topic == "frigate/yard/person" && heard.text == "1").await;
    let inside = all.until(|heard| heard.topic == "box1/onvif-ej/RuleEngine/FieldDetector/ObjectsInside/&door/m/yard").await;
    assert_eq!(inside.json()["Data"]["ObjectId"], "42");

    // Home Assistant starts.
    publish(port, "homeassistant/status", "online").await;
    let again = all.until(|heard| heard.topic == "homeassistant/device/egret_box1_door/config").await;
    assert_eq!(again.text, config.text);

    line.board.remove(&door);
    let gone = all.until(|heard| heard.topic == "homeassistant/device/egret_box1_door/config").await;
    assert_eq!(gone.text, "");
    let counters = line.finish().await;
    all.until(|heard| heard.topic == "frigate/available" && heard.text == "stopped").await;
    assert!(counters.published(Family::DialectEvent) >= 5);
    assert_eq!(counters.published(Family::DialectFrame), 2, "ONVIF's metadata");
    assert_eq!(counters.published(Family::Frame), 2, "our own as ever");

    // Whoever comes later finds no camera, and a daemon that has stopped.
    let mut late = Subscriber::connect_to(version, port, "frigate/#").await;
    let retained = late.next().await;
    assert_eq!((retained.topic.as_str(), retained.text.as_str(), retained.retained), ("frigate/available", "stopped", true));
}

#[tokio::test]
async fn mosquitto_hears_dialects_over_mqtt_5() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(broker) = Mosquitto::start(dir.path(), "allow_anonymous true") else { return };
    tell(broker.port, MqttVersion::V5).await;
}

#[tokio::test]
async fn mosquitto_hears_dialects_over_mqtt_3_1_1() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(broker) = Mosquitto::start(dir.path(), "allow_anonymous true") else { return };
    tell(broker.port, MqttVersion::V311).await;
}

/// The daemon dies while somebody is in the yard; whoever listens in other dialects hears of the end from the next one.
#[tokio::test]
async fn what_a_killed_daemon_had_told_in_dialects_is_ended_in_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(broker) = Mosquitto::start(dir.path(), "allow_anonymous true") else { return };
    let with_dialects = || MqttConfig { dialects: dialects(), ..with_queue(broker.port, dir.path()) };
    let mut all = Subscriber::connect_to(MqttVersion::V5, broker.port, "#").await;
    let (line, door) = (Line::start(Some(with_dialects())), StreamId::new(1, "door"));
    line.board.add(&door);
    line.send(vec![frame(&door, 0), enters(&door, 1)]).await;
    let new = all.until(|heard| heard.topic == "frigate/events").await;
    all.until(|heard| heard.topic == "frigate/yard/person" && heard.text == "1").await;
    // As long as it takes until that is written down.
    let open = dir.path().join("queue/open");
    let written = || {
        std::fs::read_dir(&open)
            .into_iter()
            .flatten()
            .flatten()
            .any(|file| std::fs::read(file.path()).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("\"yard\"")))
    };
    line.until("written down", |_| written()).await;
    line.task.abort();
    assert!(line.task.await.is_err(), "it is gone without a word");

    let line = Line::start(Some(with_dialects()));
    line.board.add(&door);
    let end = all.until(|heard| heard.topic == "frigate/events" && heard.json()["type"] != "update").await;
    assert_eq!((&end.json()["type"], &after(&end)["id"]), (&"end".into(), &after(&new)["id"]));
    all.until(|heard| heard.topic == "frigate/door/person" && heard.text == "0").await;
    let topic = "box1/onvif-ej/RuleEngine/FieldDetector/ObjectsInside/&door/m/yard";
    let outside = all.until(|heard| heard.topic == topic).await;
    assert_eq!(outside.json()["Data"]["IsInside"], "false");
    line.finish().await;
}
