//! Publishing with a queue on disk, real brokers, and ends of all kinds.

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde_json::Value;

use super::testing::{Heard, Line, Mosquitto, Subscriber, config, frame, free_port};
use super::*;
use crate::{
    analyse::{Event, EventId, EventPhase, Measure, Unit, Verdicts},
    config::{MqttVersion, QueueConfig},
    media::{Rename, StepReport, StreamId, Track, TrackId, TrackPhase},
};

const ANYBODY: &str = "allow_anonymous true";
const CAMERAS: u32 = 16;

pub(super) fn with_queue(port: u16, dir: &Path) -> MqttConfig {
    let queue = QueueConfig {
        directory: dir.join("queue"),
        max_bytes: 64 << 20,
        max_age: Duration::from_hours(1),
        sync_interval: Duration::from_millis(50),
        keep_acknowledged: Duration::from_mins(1),
        replay_rate: 100_000,
    };
    MqttConfig { queue: Some(queue), ..config(port, MqttVersion::V5) }
}

/// On each camera so many tracks end.
async fn end_tracks(line: &Line, count: u64) {
    for number in 0..count {
        let frames = (0..CAMERAS).map(|camera| {
            let mut tracked = frame(&StreamId::new(camera, &format!("cam{camera}")), number);
            tracked.tracks[0].id = TrackId(1000 * u64::from(camera) + number);
            tracked.tracks[0].phase = TrackPhase::End;
            tracked
        });
        line.send(frames.collect()).await;
    }
}

/// Run of the daemon, number, and whether it is told to be delayed, of each end of a track, by topic.
type Ends = BTreeMap<String, Vec<(String, u64, bool)>>;

fn note(ends: &mut Ends, heard: &Heard) -> bool {
    let is_end = heard.topic.ends_with("/track/end");
    if is_end {
        let json = heard.json();
        let text = |key: &str| json[key].as_str().expect("a text").to_owned();
        let delayed = json.get("delayed").is_some_and(|delayed| delayed == true);
        let seq = json["seq"].as_u64().expect("a number");
        ends.entry(heard.topic.clone()).or_default().push((text("boot_id"), seq, delayed));
    }
    is_end
}

async fn hear(subscriber: &mut Subscriber, count: usize) -> Ends {
    let mut ends = Ends::new();
    let mut heard = 0;
    while heard < count {
        heard += usize::from(note(&mut ends, &subscriber.next().await));
    }
    ends
}

/// The daemon ends while the broker is away; the next run delivers what the last one could not, and its own behind it.
#[tokio::test]
async fn what_a_run_could_not_deliver_the_next_one_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let port = free_port();
    let line = Line::start(Some(with_queue(port, dir.path())));
    end_tracks(&line, 20).await;
    line.until("kept", |c| c.kept().0 == 20 * u64::from(CAMERAS)).await;
    let counters = line.finish().await;
    assert_eq!(counters.published(Family::Track), 0);
    let dropped: u64 = DropReason::ALL.iter().map(|reason| counters.dropped(Family::Track, *reason)).sum();
    assert_eq!(dropped, 0, "nothing is given up with the daemon");

    let Some(broker) = Mosquitto::start_on(dir.path(), port, ANYBODY) else { return };
    let mut subscriber = Subscriber::connect(broker.port).await;
    let line = Line::start(Some(with_queue(port, dir.path())));
    end_tracks(&line, 5).await;
    let ends = hear(&mut subscriber, 25 * CAMERAS as usize).await;
    for (topic, ends) in &ends {
        let (first, second) = ends.split_at(20);
        assert!(first.iter().map(|(_, seq, _)| *seq).eq(0..20), "{topic}: {ends:?}");
        assert!(second.iter().map(|(_, seq, _)| *seq).eq(0..5), "{topic}: {ends:?}");
        assert!(first.iter().all(|(boot, _, delayed)| *delayed && *boot == first[0].0 && *boot != second[0].0));
    }
    assert_eq!(ends.len(), CAMERAS as usize);
    let counters = line.finish().await;
    assert_eq!((counters.published(Family::Track), counters.kept().0), (25 * u64::from(CAMERAS), 0));
    // An ordered end believes the broker: nothing is sent twice.
    let line = Line::start(Some(with_queue(port, dir.path())));
    line.until("connected", Counters::connected).await;
    assert_eq!(line.finish().await.published(Family::Track), 0);
}

/// The broker is killed with what it had acknowledged and not passed on, comes back without a memory, and then the daemon is killed too.
#[tokio::test]
async fn a_killed_broker_costs_nothing_that_it_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(broker) = Mosquitto::start(dir.path(), ANYBODY) else { return };
    let port = broker.port;
    let line = Line::start(Some(with_queue(port, dir.path())));
    line.until("connected", Counters::connected).await;
    let all = u64::from(CAMERAS) * 10;
    end_tracks(&line, 10).await;
    line.until("acknowledged", |c| c.published(Family::Track) == all).await;
    drop(broker);
    line.until("noticed", |c| !c.connected()).await;
    end_tracks(&line, 10).await;
    line.until("kept again", |c| c.kept().0 == 2 * all).await;
    let broker = Mosquitto::start_on(dir.path(), port, ANYBODY).expect("the port is ours");
    line.until("sent again", |c| c.published(Family::Track) == 3 * all && c.kept().0 == 0).await;
    drop(broker);
    line.until("noticed", |c| !c.connected() && c.kept().0 == 2 * all).await;
    line.task.abort();
    assert!(line.task.await.is_err(), "it is gone without a word");

    let broker = Mosquitto::start_on(dir.path(), port, ANYBODY).expect("the port is ours");
    let mut subscriber = Subscriber::connect(broker.port).await;
    let line = Line::start(Some(with_queue(port, dir.path())));
    let ends = hear(&mut subscriber, 2 * all as usize).await;
    for (topic, ends) in &ends {
        assert!(ends.iter().map(|(_, seq, _)| *seq).eq(0..20), "{topic}: {ends:?}");
        assert!(ends.iter().all(|(_, _, delayed)| *delayed));
    }
    assert_eq!(ends.len(), CAMERAS as usize);
    line.finish().await;
}

fn visit(phase: EventPhase) -> Verdicts {
    let event = Event {
        id: EventId(7),
        rule: "yard".into(),
        kind: "zone",
        phase,
        started: SystemTime::now() - Duration::from_secs(3),
        objects: Vec::new(),
        way: None,
        measure: Some(Measure { value: 0.0, unit: Unit::Seconds, threshold: None }),
    };
    Verdicts { events: vec![event], ..Verdicts::default() }
}

/// A daemon dies while it follows two tracks and an event is under way; one of the tracks has been renamed. The next run tells the ends,
/// once.
#[tokio::test]
async fn what_a_killed_daemon_had_under_way_is_told_to_have_ended() {
    let dir = tempfile::tempdir().expect("a directory");
    let (port, door) = (free_port(), StreamId::new(1, "door"));
    let line = Line::start(Some(with_queue(port, dir.path())));
    let mut first = frame(&door, 0);
    first.tracks.push(Track { id: TrackId(43), ..first.tracks[0] });
    first.tracks.push(Track { id: TrackId(44), ..first.tracks[0] });
    first.verdicts = Some(Box::new(visit(EventPhase::Start)));
    let mut second = frame(&door, 1);
    second.tracks[0].id = TrackId(41);
    second.tracks.push(Track { id: TrackId(44), phase: TrackPhase::End, ..second.tracks[0] });
    let by = second.model.clone();
    let rename = Rename { from: TrackId(42), to: TrackId(41), class: 0, distance: 0.1, unseen: Duration::from_secs(9), by };
    second.steps = Some(Box::new(StepReport { renames: vec![rename], ..StepReport::default() }));
    line.send(vec![first, second]).await;
    line.until("kept", |c| c.kept().0 == 3 && c.frames() == 2).await;
    line.task.abort();
    assert!(line.task.await.is_err(), "it is gone without a word");

    let Some(broker) = Mosquitto::start_on(dir.path(), port, ANYBODY) else { return };
    let mut subscriber = Subscriber::connect_to(MqttVersion::V5, broker.port, "egret/box1/cam/door/#").await;
    let line = Line::start(Some(with_queue(port, dir.path())));
    let mut all = Vec::new();
    while all.len() < 6 {
        all.push(subscriber.next().await.json());
    }
    let brief = |json: &Value| {
        let text = |key: &str| json[key].as_str().unwrap_or_default().trim_start_matches('0').to_owned();
        (text("kind"), text("phase"), text("track"), text("ended"), json["seq"].as_u64().expect("a number"))
    };
    let row =
        |kind: &str, phase: &str, track: &str, ended: &str, seq| (kind.into(), phase.into(), track.into(), ended.into(), seq);
    let (mut briefs, rename): (Vec<_>, _) = (all.iter().map(brief).collect(), &all.iter().find(|json| json["kind"] == "rename"));
    briefs.sort();
    let mut expected = [
        row("event", "start", "", "", 0),
        row("event", "end", "", "restart", 0),
        row("rename", "", "29", "", 3),
        row("track", "end", "2c", "", 5),
        row("track", "end", "29", "restart", 0),
        row("track", "end", "2b", "restart", 1),
    ];
    expected.sort();
    assert_eq!(briefs, expected);
    assert!(all.iter().all(|json| json["delayed"] == true), "{all:?}");
    let first_boot = &rename.expect("one")["boot_id"];
    for json in all.iter().filter(|json| json["ended"] == "restart") {
        assert_eq!(&json["of_boot"], first_boot);
        assert_ne!(&json["boot_id"], first_boot);
        assert!(json["latency_ms"].is_null() && (json["kind"] == "event" || json["path"].is_array()), "{json}");
        assert!(json["kind"] == "track" || (2.9..30.0).contains(&json["value"].as_f64().expect("seconds")), "{json}");
    }
    line.until("delivered", |c| c.kept().0 == 0).await;
    line.finish().await;
    let line = Line::start(Some(with_queue(port, dir.path())));
    line.until("connected", Counters::connected).await;
    let counters = line.finish().await;
    assert_eq!((counters.published(Family::Track), counters.published(Family::Event)), (0, 0), "told once");
}

/// A disk that takes nothing for a while: what comes waits in memory, in its place, and is told of as delayed like the rest.
#[tokio::test]
async fn what_the_disk_refuses_for_a_while_comes_in_its_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let (port, queue, away) = (free_port(), dir.path().join("queue"), dir.path().join("away"));
    let line = Line::start(Some(with_queue(port, dir.path())));
    line.until("open", |_| queue.is_dir()).await;
    std::fs::rename(&queue, &away).expect("renamed");
    end_tracks(&line, 5).await;
    line.until("taken", |c| c.frames() == 5 * u64::from(CAMERAS)).await;
    std::fs::rename(&away, &queue).expect("renamed");
    end_tracks(&line, 5).await;
    line.until("kept", |c| c.kept().0 == 10 * u64::from(CAMERAS)).await;
    let Some(broker) = Mosquitto::start_on(dir.path(), port, ANYBODY) else { return };
    let mut subscriber = Subscriber::connect(broker.port).await;
    let ends = hear(&mut subscriber, 10 * CAMERAS as usize).await;
    for (topic, ends) in &ends {
        assert!(ends.iter().map(|(_, seq, _)| *seq).eq(0..10), "{topic}: {ends:?}");
    }
    // And one that takes nothing any more, while there is a broker: nothing waits for it.
    line.until("delivered", |c| c.kept().0 == 0).await;
    let counters = line.finish().await;
    let dropped: u64 = DropReason::ALL.iter().map(|reason| counters.dropped(Family::Track, *reason)).sum();
    assert_eq!((counters.published(Family::Track), dropped), (10 * u64::from(CAMERAS), 0));
    let line = Line::start(Some(with_queue(port, dir.path())));
    line.until("connected", Counters::connected).await;
    std::fs::rename(&queue, &away).expect("renamed");
    end_tracks(&line, 3).await;
    let ends = hear(&mut subscriber, 3 * CAMERAS as usize).await;
    assert!(ends.values().all(|ends| ends.iter().map(|(_, seq, _)| *seq).eq(0..3)), "{ends:?}");
    line.finish().await;
}

/// Without a folder that can be used, events wait in memory as they do without a queue.
#[tokio::test]
async fn without_a_usable_folder_all_goes_on_in_memory() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("queue"), "no folder").expect("a file");
    let Some(broker) = Mosquitto::start(dir.path(), ANYBODY) else { return };
    let line = Line::start(Some(with_queue(broker.port, dir.path())));
    end_tracks(&line, 2).await;
    line.until("delivered", |c| c.published(Family::Track) == 2 * u64::from(CAMERAS)).await;
    assert_eq!(line.finish().await.kept(), (0, 0));
}

/// Files of strange names in the folder are not the queue's, however much they look like it.
#[tokio::test]
async fn strange_files_harm_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let queue = dir.path().join("queue");
    std::fs::create_dir(&queue).expect("a folder");
    let strange = ["ffffffff.event", "FFFFFFFE.event", "0000000A.event", "+000000f.event", "0000001.event", "0000000a.news", "x"];
    for name in strange {
        std::fs::write(queue.join(name), "what somebody left").expect("written");
    }
    let Some(broker) = Mosquitto::start(dir.path(), ANYBODY) else { return };
    let mut subscriber = Subscriber::connect(broker.port).await;
    for _ in 0..2 {
        let line = Line::start(Some(with_queue(broker.port, dir.path())));
        line.until("connected", Counters::connected).await;
        end_tracks(&line, 2).await;
        assert_eq!(hear(&mut subscriber, 2 * CAMERAS as usize).await.len(), CAMERAS as usize);
        line.finish().await;
    }
    for name in strange {
        assert_eq!(std::fs::read_to_string(queue.join(name)).expect("still there"), "what somebody left");
    }
}
