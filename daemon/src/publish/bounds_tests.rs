//! A broker that is away for longer than a small queue can bridge: what is given up, what is told of it, and what comes all the same.

use std::{sync::OnceLock, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::keeper_tests::with_queue;
use super::testing::{Line, Mosquitto, Subscriber, frame, free_port};
use super::*;
use crate::{
    analyse::{Event, EventId, EventPhase, Verdicts},
    config::{MqttVersion, QueueConfig},
    media::{BBox, Canvas, Shot, StreamId, TrackId, TrackPhase},
    observe::{self, Snapshot},
    pipeline,
};

const ANYBODY: &str = "allow_anonymous true";
/// What a message may carry of a picture.
const LARGEST_JPEG: usize = 96 << 10;

fn small(port: u16, dir: &std::path::Path, max_age: Duration) -> MqttConfig {
    let config = with_queue(port, dir);
    let queue = config.queue.map(|queue| QueueConfig { max_bytes: 8 << 20, max_age, ..queue });
    MqttConfig { queue, ..config }
}

/// A picture full of noise: the worst that an encoder can be given. No two are alike.
fn shot(number: u64) -> Arc<Shot> {
    let mut state = number + 1;
    let mut canvas = Canvas::black((320, 320));
    canvas.samples_mut().iter_mut().for_each(|sample| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *sample = (state >> 56) as u8;
    });
    let bbox = BBox::new(10.0, 20.0, 50.0, 120.0);
    Arc::new(Shot { class: 0, confidence: 0.9, bbox, captured: SystemTime::now(), canvas, jpeg: OnceLock::new() })
}

/// A track that ends, with its picture if it has one, and something that happens.
fn end(stream: &StreamId, number: u64, shot: Option<Arc<Shot>>) -> Tracked {
    let mut tracked = frame(stream, number);
    let id = TrackId(1000 + number);
    (tracked.tracks[0].id, tracked.tracks[0].phase) = (id, TrackPhase::End);
    tracked.shots = shot.map(|shot| (id, shot)).into_iter().collect();
    tracked
}

fn happens(tracked: &mut Tracked, number: u64) {
    let event = Event {
        id: EventId(number),
        rule: "gate".into(),
        kind: "line",
        phase: EventPhase::Once,
        started: SystemTime::now(),
        objects: Vec::new(),
        way: None,
        measure: None,
    };
    tracked.verdicts = Some(Box::new(Verdicts { events: vec![event], ..Verdicts::default() }));
}

/// What `/metrics` says.
fn metrics(counters: &Counters) -> impl Fn(&str) -> f64 + use<> {
    let snapshot = Snapshot {
        disk: counters.disk(),
        publish: vec![pipeline::of_broker(counters, &(MqttConfig::FIRST.to_owned(), String::new()))],
        ..Snapshot::default()
    };
    let text = observe::render_metrics(snapshot).expect("text");
    move |series| {
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{series} is not in\n{text}")).parse().expect("a number")
    }
}

/// Everything of a camera and every loss, until `enough` has come.
async fn hear(subscriber: &mut Subscriber, enough: impl Fn(&[Value], &[Value], &[Value]) -> bool) -> [Vec<Value>; 3] {
    let [mut ends, mut events, mut losses] = [const { Vec::new() }; 3];
    while !enough(&ends, &events, &losses) {
        let heard = subscriber.next().await;
        match heard.topic.rsplit_once('/').map(|(_, last)| last) {
            Some("end") => ends.push(heard.json()),
            Some("gate") => events.push(heard.json()),
            Some("loss") => losses.push(heard.json()),
            _ => {}
        }
    }
    [ends, events, losses]
}

fn seqs(messages: &[Value]) -> Vec<u64> {
    messages.iter().map(|message| message["seq"].as_u64().expect("a number")).collect()
}

fn sum(losses: &[Value]) -> u64 {
    losses.iter().map(|loss| loss["messages"].as_u64().expect("a number")).sum()
}

/// The queue's bytes hold pictures too: ends make room for newer ones and for events, the oldest first; no event goes while there is an end. All that is
/// left comes when the broker is there, in order, each picture as it was, and what is not left is told.
#[tokio::test]
async fn pictures_that_waited_arrive_whole_and_those_that_did_not_fit_are_told() {
    const ENDS: u64 = 100;
    const EVENTS: u64 = 20;
    let dir = tempfile::tempdir().expect("a directory");
    let (port, door) = (free_port(), StreamId::new(1, "door"));
    let line = Line::start(Some(small(port, dir.path(), Duration::from_hours(1))));
    let shots: Vec<_> = (0..ENDS).map(shot).collect();
    let bytes = |shot: &Arc<Shot>| shot.jpeg().expect("a picture").len();
    assert!(shots.iter().map(bytes).all(|bytes| (60 << 10..=LARGEST_JPEG).contains(&bytes)), "{}", bytes(&shots[0]));
    for (number, shot) in shots.iter().enumerate() {
        let number = number as u64;
        let mut tracked = end(&door, number, Some(shot.clone()));
        if number < EVENTS {
            happens(&mut tracked, number);
        }
        line.send(vec![tracked]).await;
    }
    // The daemon ends in order; what it had taken is with the next one.
    let counters = line.finish().await;
    let lost = counters.dropped(Family::Track, DropReason::Overflow);
    let disk = counters.disk().expect("a queue");
    assert!((ENDS / 4..ENDS).contains(&lost), "{lost}");
    // What is left is most of what the limit allows, and pictures are most of it.
    let pictures: usize = shots[lost as usize..].iter().map(|shot| bytes(shot) * 4 / 3).sum();
    assert!((pictures as u64..=8 << 20).contains(&disk.bytes) && disk.bytes > 6 << 20, "{pictures} {disk:?}");
    let told = metrics(&counters);
    let series = |family: &str| format!("egret_mqtt_dropped_total{{broker=\"mqtt\",family=\"{family}\",reason=\"overflow\"}}");
    assert_eq!([told(&series("track")), told(&series("event"))].map(|n| n as u64), [lost, 0]);
    assert_eq!(told("egret_queue_disk_lost_total") as u64, lost);
    assert_eq!(told("egret_queue_disk_bytes") as u64, disk.bytes);
    assert_eq!(told("egret_queue_disk_max_bytes") as u64, 8 << 20);

    let Some(broker) = Mosquitto::start_on(dir.path(), port, ANYBODY) else { return };
    let mut subscriber = Subscriber::connect_as(MqttVersion::V311, broker.port).await;
    let line = Line::start(Some(small(port, dir.path(), Duration::from_hours(1))));
    let enough = |ends: &[Value], events: &[Value], losses: &[Value]| {
        ends.len() as u64 + sum(losses) >= ENDS && events.len() as u64 == EVENTS
    };
    let [ends, events, losses] = hear(&mut subscriber, enough).await;
    assert_eq!(seqs(&events), (0..EVENTS).collect::<Vec<_>>(), "no event made room");
    assert_eq!(seqs(&ends), (lost..ENDS).collect::<Vec<_>>(), "the oldest made room");
    assert!(
        losses.iter().all(|loss| loss["of"] == "track" && loss["reason"] == "size" && loss["camera"] == "door"),
        "{losses:?}"
    );
    let reach = |at: usize| losses.iter().filter_map(move |loss| loss["seqs"][at].as_u64());
    assert_eq!((sum(&losses), reach(0).min(), reach(1).max()), (lost, Some(0), Some(lost - 1)));
    for (number, end) in (lost..).zip(&ends) {
        let picture = STANDARD.decode(end["best_shot"]["jpeg"].as_str().expect("a picture")).expect("base64");
        assert!(Some(&picture[..]) == shots[number as usize].jpeg().map(|jpeg| &jpeg[..]), "picture {number}");
        assert_eq!((&end["delayed"], &end["best_shot"]["size"]), (&true.into(), &serde_json::json!([320, 320])));
    }
    line.until("delivered", |c| c.kept().0 == 0).await;
    line.finish().await;
}

/// What is too old is given up whatever it is, and told once the broker is there.
#[tokio::test]
async fn what_waited_too_long_is_told_and_not_sent() {
    const EACH: u64 = 30;
    let dir = tempfile::tempdir().expect("a directory");
    let (port, door) = (free_port(), StreamId::new(1, "door"));
    let line = Line::start(Some(small(port, dir.path(), Duration::from_millis(500))));
    for number in 0..EACH {
        let mut tracked = end(&door, number, None);
        happens(&mut tracked, number);
        line.send(vec![tracked]).await;
    }
    let expired = |c: &Counters| [Family::Track, Family::Event].map(|family| c.dropped(family, DropReason::Expired));
    line.until("expired", |c| expired(c) == [EACH; 2]).await;
    line.until("counted by the disk", |c| c.disk().is_some_and(|disk| disk.lost == 2 * EACH)).await;
    let told = metrics(&line.counters);
    let series = |family: &str| format!("egret_mqtt_dropped_total{{broker=\"mqtt\",family=\"{family}\",reason=\"expired\"}}");
    assert_eq!([series("track"), series("event")].map(|series| told(&series) as u64), [EACH; 2]);
    assert_eq!(told("egret_queue_disk_lost_total") as u64, 2 * EACH);
    let Some(broker) = Mosquitto::start_on(dir.path(), port, ANYBODY) else { return };
    let mut subscriber = Subscriber::connect(broker.port).await;
    // Messages about losses grow too old as well: then they are told anew.
    let enough = |_: &[Value], _: &[Value], losses: &[Value]| ["track", "event"].iter().all(|of| of_kind(losses, of) == EACH);
    let [ends, events, losses] = hear(&mut subscriber, enough).await;
    assert!(ends.is_empty() && events.is_empty(), "{ends:?} {events:?}");
    assert!(losses.iter().all(|loss| loss["reason"] == "age" && loss["camera"] == "door"), "{losses:?}");
    assert!(losses.iter().all(|loss| loss["seqs"] == serde_json::json!([0, EACH - 1])), "{losses:?}");
    assert_eq!(line.finish().await.dropped(Family::Event, DropReason::Expired), EACH, "the messages about it are no events");
}

fn of_kind(losses: &[Value], of: &str) -> u64 {
    sum(&losses.iter().filter(|loss| loss["of"] == of).cloned().collect::<Vec<_>>())
}
