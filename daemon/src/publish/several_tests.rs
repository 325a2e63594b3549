//! Publishing to several brokers at once, each with its own filter, form and limits.

use std::collections::BTreeMap;

use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use super::*;
use super::{
    keeper_tests::with_queue,
    message::Compact,
    testing::{self, Heard, Line, Mosquitto, Subscriber, config, frame, free_port},
};
use crate::{
    config::{BrokerConfig, FrameFormat, MqttVersion, TopicFilter},
    media::{StreamId, TrackId, TrackPhase},
};

const ANYBODY: &str = "allow_anonymous true";

fn filter(topics: &[&str], except: &[&str]) -> TopicFilter {
    let owned = |filters: &[&str]| filters.iter().map(|filter| (*filter).to_owned()).collect();
    TopicFilter { topics: owned(topics), except: owned(except) }
}

fn named(name: &str, port: u16) -> BrokerConfig {
    BrokerConfig { name: name.into(), ..testing::broker(port, MqttVersion::V5) }
}

fn with(port: u16, others: Vec<BrokerConfig>) -> MqttConfig {
    MqttConfig { others, ..config(port, MqttVersion::V5) }
}

async fn of(line: &Line, name: &str) -> Arc<BrokerCounters> {
    line.until("begun", |c| !c.brokers().is_empty()).await;
    line.counters.brokers().into_iter().find(|broker| broker.name() == name).expect("configured")
}

/// A frame in which a track of its own ends.
fn end(stream: &StreamId, number: u64) -> Tracked {
    let mut tracked = frame(stream, number);
    tracked.tracks[0].id = TrackId(number);
    tracked.tracks[0].phase = TrackPhase::End;
    tracked
}

/// Numbers of what was heard until the device is gone, by topic.
async fn story(subscriber: &mut Subscriber) -> BTreeMap<String, Vec<u64>> {
    let mut story = BTreeMap::<String, Vec<u64>>::new();
    loop {
        let heard = subscriber.next().await;
        let json = heard.json();
        if heard.topic.ends_with("box1/status") && json["state"] == "offline" {
            return story;
        }
        story.entry(heard.topic.clone()).or_default().push(json["seq"].as_u64().expect("a number"));
    }
}

#[tokio::test]
async fn each_broker_gets_what_its_filter_takes_in_its_own_form() {
    let dirs = [(); 3].map(|()| tempfile::tempdir().expect("a directory"));
    let Some(first) = Mosquitto::start(dirs[0].path(), ANYBODY) else { return };
    let Some(second) = Mosquitto::start(dirs[1].path(), ANYBODY) else { return };
    let Some(third) = Mosquitto::start(dirs[2].path(), ANYBODY) else { return };
    let few = BrokerConfig {
        topics: filter(&["egret/+/status", "egret/+/cam/+/track/#"], &["egret/+/cam/yard/#"]),
        version: MqttVersion::V311,
        ..named("few", second.port)
    };
    let compact = BrokerConfig {
        topics: filter(&["+/box1/cam/+/frame"], &[]),
        frame_format: FrameFormat::Cbor,
        ..named("compact", third.port)
    };
    let mut all = Subscriber::connect(first.port).await;
    let mut some = Subscriber::connect(second.port).await;
    let mut frames = compact_frames(third.port).await;
    let line = Line::start(Some(with(first.port, vec![few, compact])));
    line.until("connected", Counters::connected).await;
    let cameras = [(1, "door"), (2, "yard")].map(|(id, name)| StreamId::new(id, name));
    for number in 0..10 {
        line.send(cameras.iter().map(|camera| frame(camera, number)).collect()).await;
    }
    let ten: Vec<u64> = (0..10).collect();
    for number in 0..10 {
        for camera in &cameras {
            let (topic, payload) = frames.recv().await.expect("a frame");
            let said = Compact::from_cbor(&payload).expect("CBOR");
            assert_eq!((topic, said.seq), (format!("egret/box1/cam/{}/frame", camera.name()), number));
        }
    }
    line.until("delivered", |c| c.published(Family::Frame) == 40 && c.published(Family::Track) == 30).await;
    let (first, few, compact) = (of(&line, MqttConfig::FIRST).await, of(&line, "few").await, of(&line, "compact").await);
    line.finish().await;
    let (all, some) = (story(&mut all).await, story(&mut some).await);
    assert_eq!(all["egret/box1/cam/yard/frame"], ten);
    assert_eq!(all["egret/box1/cam/door/track/update"], ten[1..]);
    let heard: Vec<&str> = some.keys().map(String::as_str).collect();
    assert_eq!(heard, ["egret/box1/cam/door/track/new", "egret/box1/cam/door/track/update", "egret/box1/status"]);
    assert_eq!(some["egret/box1/cam/door/track/update"], ten[1..]);
    assert_eq!((first.published(Family::Frame), few.published(Family::Frame), compact.published(Family::Frame)), (20, 0, 20));
    assert_eq!((few.published(Family::Track), compact.published(Family::Track)), (10, 0));
    assert_eq!(compact.published(Family::DeviceStatus), 0, "neither status nor will where the filter does not take it");
}

/// What comes on any topic, payloads as they are.
async fn compact_frames(port: u16) -> mpsc::Receiver<(String, Vec<u8>)> {
    let (out, heard) = mpsc::channel(64);
    let mut subscription = crate::listen::Subscription::new(&testing::broker(port, MqttVersion::V5), &["#".to_owned()])
        .unwrap_or_else(|lost| panic!("{lost}"));
    let taken = tokio::time::timeout(testing::PATIENCE, subscription.next()).await.expect("in time");
    assert!(taken.is_ok_and(|taken| taken.is_none()));
    tokio::spawn(async move {
        while let Ok(Some(message)) = subscription.next().await {
            if out.send((message.topic, message.payload)).await.is_err() {
                return;
            }
        }
    });
    heard
}

/// The way to a broker: there, until it is aborted.
fn way(port: u16, to: u16) -> JoinHandle<()> {
    tokio::spawn(async move {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is ours");
        let mut ways = JoinSet::new();
        loop {
            let (mut near, _) = listener.accept().await.expect("a connection");
            ways.spawn(async move {
                let mut far = TcpStream::connect(("127.0.0.1", to)).await.expect("a broker");
                let _ends = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    })
}

/// One broker cannot be reached from the beginning, another is lost and found: the first never waits, and all have everything in the end, in
/// order.
#[tokio::test]
async fn a_broker_that_is_away_holds_up_no_other_and_misses_nothing() {
    let dirs = [(); 4].map(|()| tempfile::tempdir().expect("a directory"));
    let Some(near) = Mosquitto::start(dirs[0].path(), ANYBODY) else { return };
    let Some(second) = Mosquitto::start(dirs[1].path(), ANYBODY) else { return };
    let Some(third) = Mosquitto::start(dirs[2].path(), ANYBODY) else { return };
    let (away, shaky) = (free_port(), free_port());
    let config = MqttConfig { others: vec![named("away", away), named("shaky", shaky)], ..with_queue(near.port, dirs[3].path()) };
    let mut subscriber = Subscriber::connect(near.port).await;
    let (mut late, mut twice) = (Subscriber::connect(second.port).await, Subscriber::connect(third.port).await);
    let open = way(shaky, third.port);
    let line = Line::start(Some(config));
    let near_counts = of(&line, MqttConfig::FIRST).await;
    let (away_counts, shaky_counts) = (of(&line, "away").await, of(&line, "shaky").await);
    line.until("two of three", |_| near_counts.connected() && shaky_counts.connected()).await;
    let door = StreamId::new(1, "door");
    for number in 0..20 {
        line.send(vec![end(&door, number)]).await;
    }
    line.until("both have them", |_| near_counts.published(Family::Track) + shaky_counts.published(Family::Track) == 40).await;
    open.abort();
    line.until("noticed", |_| !shaky_counts.connected()).await;
    for number in 20..40 {
        line.send(vec![end(&door, number)]).await;
    }
    line.until("the first has them", |_| near_counts.published(Family::Track) == 40).await;
    let is_end = |heard: &Heard| heard.topic.ends_with("/track/end");
    for number in 0..40 {
        assert_eq!(subscriber.until(is_end).await.json()["seq"], number);
    }
    line.until("the others wait", |_| away_counts.kept() == 40 && near_counts.kept() == 0).await;
    let ways = [way(away, second.port), way(shaky, third.port)];
    for number in 0..40 {
        assert_eq!(late.until(is_end).await.json()["seq"], number);
    }
    // What was acknowledged shortly before the connection broke comes again.
    for number in (0..20).chain(0..40) {
        assert_eq!(twice.until(is_end).await.json()["seq"], number);
    }
    line.until("nothing waits", |c| c.kept().0 == 0).await;
    let counters = line.finish().await;
    assert_eq!(DropReason::ALL.iter().map(|reason| counters.dropped(Family::Track, *reason)).sum::<u64>(), 0);
    ways.iter().for_each(JoinHandle::abort);
}

/// The disk refuses, one broker is there and one is not: each has everything once it can.
#[tokio::test]
async fn what_the_disk_refuses_waits_for_each_broker() {
    let dirs = [(); 3].map(|()| tempfile::tempdir().expect("a directory"));
    let Some(near) = Mosquitto::start(dirs[0].path(), ANYBODY) else { return };
    let Some(far) = Mosquitto::start(dirs[2].path(), ANYBODY) else { return };
    let mut late = Subscriber::connect(far.port).await;
    let away = free_port();
    let (queue, gone) = (dirs[1].path().join("queue"), dirs[1].path().join("gone"));
    let line = Line::start(Some(MqttConfig { others: vec![named("away", away)], ..with_queue(near.port, dirs[1].path()) }));
    let (near_counts, away_counts) = (of(&line, MqttConfig::FIRST).await, of(&line, "away").await);
    line.until("connected", |_| near_counts.connected()).await;
    std::fs::rename(&queue, &gone).expect("renamed");
    let door = StreamId::new(1, "door");
    for number in 0..5 {
        line.send(vec![end(&door, number)]).await;
    }
    line.until("out of memory", |_| near_counts.published(Family::Track) == 5).await;
    std::fs::rename(&gone, &queue).expect("renamed");
    let far = way(away, far.port);
    for number in 0..5 {
        assert_eq!(late.until(|heard| heard.topic.ends_with("/track/end")).await.json()["seq"], number);
    }
    line.until("acknowledged", |_| away_counts.published(Family::Track) == 5).await;
    let counters = line.finish().await;
    assert_eq!((counters.published(Family::Track), near_counts.published(Family::Track)), (10, 5), "to each once");
    far.abort();
}

#[tokio::test]
async fn a_budget_thins_frames_then_updates_and_nothing_else() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let Some(near) = Mosquitto::start(dirs[0].path(), ANYBODY) else { return };
    let Some(thin) = Mosquitto::start(dirs[1].path(), ANYBODY) else { return };
    let budget = BrokerConfig { max_bytes_per_second: Some(20_000), ..named("thin", thin.port) };
    let line = Line::start(Some(with(near.port, vec![budget])));
    let (near_counts, thin_counts) = (of(&line, MqttConfig::FIRST).await, of(&line, "thin").await);
    line.until("connected", Counters::connected).await;
    let mut subscriber = Subscriber::connect(thin.port).await;
    let door = StreamId::new(1, "door");
    for number in 0..200 {
        line.send(vec![frame(&door, number)]).await;
    }
    for number in 1_000..1_020 {
        line.send(vec![end(&door, number)]).await;
    }
    let accounted = |counts: &BrokerCounters, family| {
        counts.published(family) + DropReason::ALL.iter().map(|reason| counts.dropped(family, *reason)).sum::<u64>()
    };
    let whole = |counts: &BrokerCounters| accounted(counts, Family::Frame) == 220 && accounted(counts, Family::Track) == 220;
    line.until("all is accounted for", |_| whole(&near_counts) && whole(&thin_counts)).await;
    assert_eq!(near_counts.published(Family::Track), 220, "the other broker has no limit");
    let left_out = |family| thin_counts.dropped(family, DropReason::Budget);
    assert!(left_out(Family::Frame) > left_out(Family::Track) && left_out(Family::Track) > 50, "{thin_counts:?}");
    line.finish().await;
    let story = story(&mut subscriber).await;
    assert_eq!(story["egret/box1/cam/door/track/end"].len(), 20, "ends are never left out");
    assert_eq!(story["egret/box1/cam/door/track/new"].len(), 1);
    assert!(story.get("egret/box1/cam/door/frame").map_or(0, Vec::len) < 50);
}

#[tokio::test]
async fn an_ordered_end_says_goodbye_to_all_and_waits_for_none_that_is_away() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let Some(one) = Mosquitto::start(dirs[0].path(), ANYBODY) else { return };
    let Some(two) = Mosquitto::start(dirs[1].path(), ANYBODY) else { return };
    let line = Line::start(Some(with(one.port, vec![named("two", two.port), named("away", free_port())])));
    let (first, second) = (of(&line, MqttConfig::FIRST).await, of(&line, "two").await);
    line.until("connected", |_| first.connected() && second.connected()).await;
    let mut subscribers = [Subscriber::connect(one.port).await, Subscriber::connect(two.port).await];
    line.finish().await;
    for subscriber in &mut subscribers {
        let offline = subscriber.until(|heard| heard.topic.ends_with("box1/status") && heard.json()["state"] == "offline").await;
        assert_eq!(offline.json()["reason"], "shutdown", "not the will");
    }
}
