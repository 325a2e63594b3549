//! The queue's thread with what it cannot take, and what it has to give up.

use std::{path::Path, time::Duration};

use serde_json::Value;
use tokio::time::timeout;

use super::{
    super::{counters::DropReason, testing::PATIENCE},
    *,
};

fn queue(dir: &Path, counters: &Arc<Counters>) -> (Keeper, Backlog) {
    let config = QueueConfig { max_bytes: 8 << 20, keep_acknowledged: Duration::ZERO, ..QueueConfig::at(dir.join("queue")) };
    let told = ("one", Teller::new("egret", "box1", "one"));
    if counters.brokers().is_empty() {
        counters.add("mqtt");
    }
    let (keeper, mut backlogs) = open(Some(&config), told, counters);
    (keeper.expect("opens"), backlogs.remove(0).expect("one"))
}

fn payload(seq: u64, bytes: usize) -> Bytes {
    format!(r#"{{"boot_id":"one","seq":{seq},"filler":"{}"}}"#, "x".repeat(bytes)).into()
}

fn keep(keeper: &mut Keeper, class: Class, seq: u64, bytes: usize) {
    let topic: Arc<str> = "egret/box1/cam/door/event/gate".into();
    assert!(keeper.keep((class, "door", seq), &topic, payload(seq, bytes), SystemTime::now(), 1), "there is room for a word");
}

/// The next word that is no answer to us; everything that is delivered is acknowledged.
async fn next(backlog: &mut Backlog) -> Come {
    let come = timeout(PATIENCE, backlog.next()).await.expect("in time");
    if let Come::Delivery(_, delivery) = &come {
        backlog.answered(delivery.stream.clone(), delivery.number, false);
    }
    come
}

#[tokio::test]
async fn what_is_too_large_for_the_disk_is_sent_as_it_is() {
    let (dir, counters) = (tempfile::tempdir().expect("a directory"), Arc::new(Counters::default()));
    let (mut keeper, mut backlog) = queue(dir.path(), &counters);
    keep(&mut keeper, Class::Event, 0, 300 << 10);
    keep(&mut keeper, Class::Event, 1, 10);
    let Come::Unkept(kept, false) = next(&mut backlog).await else { panic!("the large one comes first, and is not late") };
    assert_eq!((kept.seq, kept.payload.len() > 300 << 10), (0, true));
    backlog.connected();
    let Come::Delivery(_, delivery) = next(&mut backlog).await else { panic!("the other one is kept") };
    assert_eq!(delivery.seq, 1);
}

/// More large ones than there is room for on the way to the broker: those are lost, counted, and told.
#[tokio::test]
async fn what_nobody_can_take_is_told_as_lost() {
    let (dir, counters) = (tempfile::tempdir().expect("a directory"), Arc::new(Counters::default()));
    let (mut keeper, mut backlog) = queue(dir.path(), &counters);
    let large = Bytes::from(vec![b'x'; 300 << 10]);
    let topic: Arc<str> = "egret/box1/cam/door/event/gate".into();
    for seq in 0..2 * UNDER_WAY as u64 + 3 {
        assert!(keeper.keep((Class::Event, "door", seq), &topic, large.clone(), SystemTime::now(), 1));
    }
    drop(keeper);
    assert_eq!(counters.dropped(Family::Event, DropReason::Overflow), 3);
    for _ in 0..2 * UNDER_WAY {
        assert!(matches!(next(&mut backlog).await, Come::Unkept(..)));
    }
    let (_keeper, mut backlog) = queue(dir.path(), &counters);
    backlog.connected();
    let mut lost = 0;
    while lost < 3 {
        let Come::Delivery(_, delivery) = next(&mut backlog).await else { panic!("what was lost is told by the next run") };
        let loss: Value = serde_json::from_slice(&delivery.payload).expect("JSON");
        assert_eq!((&*delivery.topic, &loss["reason"]), ("egret/box1/loss", &"disk".into()));
        lost += loss["messages"].as_u64().expect("a number");
    }
    assert_eq!(lost, 3);
}

/// Events make room for events, and nothing makes room for ends of tracks: each event has come, or is told to be lost.
#[tokio::test]
async fn what_is_given_up_is_told_and_the_less_important_is_sent_unkept() {
    const EVENTS: u64 = 60;
    let (dir, counters) = (tempfile::tempdir().expect("a directory"), Arc::new(Counters::default()));
    let (mut keeper, mut backlog) = queue(dir.path(), &counters);
    for seq in 0..EVENTS {
        keep(&mut keeper, Class::Event, seq, 250 << 10);
    }
    keep(&mut keeper, Class::TrackEnd, 0, 250 << 10);
    let Come::Unkept(end, false) = next(&mut backlog).await else { panic!("there is no room for it") };
    assert_eq!(end.class, Class::TrackEnd);
    drop((keeper, backlog));
    let (_keeper, mut backlog) = queue(dir.path(), &counters);
    backlog.connected();
    let (mut came, mut lost) = (Vec::new(), Vec::new());
    while came.len() as u64 + lost.iter().map(|loss: &Value| loss["messages"].as_u64().expect("a number")).sum::<u64>() < EVENTS {
        let Come::Delivery(_, delivery) = next(&mut backlog).await else { panic!("all of it was kept") };
        let message = || serde_json::from_slice::<Value>(&delivery.payload).expect("JSON");
        if delivery.topic.ends_with("/loss") { lost.push(message()) } else { came.push(delivery.seq) }
    }
    let first = came[0];
    assert!(first > 10 && came.iter().copied().eq(first..EVENTS), "the oldest were given up: {came:?}");
    assert_eq!(lost.iter().map(|loss| loss["seqs"][1].as_u64().expect("a number")).max(), Some(first - 1));
    assert!(lost.iter().all(|loss| loss["reason"] == "size" && loss["of"] == "event" && loss["camera"] == "door"), "{lost:?}");
    let dropped = counters.dropped(Family::Event, DropReason::Overflow);
    assert_eq!(dropped, first);
}

/// A damaged file is told of when the queue is opened again.
#[tokio::test]
async fn damage_is_told() {
    let (dir, counters) = (tempfile::tempdir().expect("a directory"), Arc::new(Counters::default()));
    let (mut keeper, backlog) = queue(dir.path(), &counters);
    for seq in 0..3 {
        keep(&mut keeper, Class::Event, seq, 1000);
    }
    drop((keeper, backlog));
    let file = std::fs::read_dir(dir.path().join("queue"))
        .expect("lists")
        .flatten()
        .find(|file| file.path().ends_with("00000001.event"));
    let path = file.expect("a segment").path();
    let mut bytes = std::fs::read(&path).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("writes");
    let (_keeper, mut backlog) = queue(dir.path(), &counters);
    backlog.connected();
    let mut lost = Value::Null;
    let mut came = 0;
    while came < 2 || lost.is_null() {
        let Come::Delivery(_, delivery) = next(&mut backlog).await else { panic!("all of it was kept") };
        if delivery.topic.ends_with("/loss") {
            lost = serde_json::from_slice(&delivery.payload).expect("JSON");
        } else {
            came += 1;
        }
    }
    assert_eq!((&lost["reason"], &lost["of"], &lost["messages"]), (&"damage".into(), &"event".into(), &Value::Null));
}

/// A disk that takes nothing for a while and then again: each is said once, with what has become of what came meanwhile.
#[test]
fn a_disk_that_takes_records_again_is_told_with_what_it_cost() {
    const MORE: u64 = keeping::HELD as u64 + 5;
    let (dir, counters) = (tempfile::tempdir().expect("a directory"), Arc::new(Counters::default()));
    let brokers = vec![counters.add("mqtt")];
    let config = QueueConfig { max_bytes: 8 << 20, ..QueueConfig::at(dir.path().join("queue")) };
    let (spool, _) = Spool::open_at(&config.directory, settings(&config, &brokers)).expect("opens");
    let away = dir.path().join("away");
    std::fs::rename(&config.directory, &away).expect("renamed");
    let (out, _come) = mpsc::channel(8);
    let told = Teller::new("egret", "box1", "one");
    let keeping = Keeping::new(spool, counters.clone(), vec![(out, brokers[0].clone())], &config, (told, Settled::default()));
    let (words, heard) = sync_channel(WORDS);
    let (lines, log) = sync_channel(64);
    // With one subscriber alone, whoever comes by a line first decides for all threads whether anybody wants it.
    let _second = tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish());
    let log_to = tracing_subscriber::fmt().with_ansi(false).with_writer(move || Lines(lines.clone())).finish();
    let thread = thread::spawn(move || tracing::subscriber::with_default(log_to, || keeping.run(&heard)));
    let keep = |seq| {
        let (id, topic, payload) = (format!("one-{seq:x}"), "egret/box1/cam/door/event/gate".into(), payload(seq, 0));
        let kept =
            Kept { class: Class::Event, stream: "door".into(), seq, id, topic, payload, at: SystemTime::now(), brokers: 1 };
        words.send(Word::Keep(kept)).expect("it runs");
    };
    let line = |part: &str| {
        let line = log.recv_timeout(PATIENCE).expect("a line in time");
        assert!(line.contains(part), "{part}: {line}");
        line
    };
    (0..MORE).for_each(keep);
    line("ERROR");
    while counters.dropped(Family::Event, DropReason::Overflow) < 5 {
        thread::yield_now();
    }
    std::fs::rename(&away, &config.directory).expect("renamed");
    let again = line("the queue is written again");
    assert!(again.contains(&format!("waited={} lost=5", keeping::HELD)), "{again}");
    // All is as it was, also for what no disk would take.
    keep(MORE);
    let large = Bytes::from(vec![b'x'; 300 << 10]);
    for _ in 0..3 {
        let kept = Kept {
            class: Class::Event,
            stream: "door".into(),
            seq: 0,
            id: "large".into(),
            topic: "t".into(),
            payload: large.clone(),
            at: SystemTime::now(),
            brokers: 1,
        };
        words.send(Word::Keep(kept)).expect("it runs");
    }
    line("is not kept on disk");
    words.send(Word::End).expect("it runs");
    thread.join().expect("no panic");
    assert_eq!(log.try_iter().collect::<Vec<_>>(), Vec::<String>::new(), "each is said once");
}

/// A log, line by line.
struct Lines(SyncSender<String>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Who wants no more of it has ended.
        let _ended = self.0.send(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A thread that hears nothing, as one does whose disk hangs.
#[test]
fn a_disk_that_does_not_answer_is_told_of() {
    let (words, heard) = sync_channel(WORDS);
    let speaker = Some(Speaker { words, waiting: VecDeque::new() });
    let mut keeper = Keeper {
        speaker,
        boot_id: "one".into(),
        kept: 0,
        given: 0,
        settled: Settled::default(),
        given_then: 0,
        stalled: false,
        refused: Losses::default(),
        thread: None,
    };
    assert!(!keeper.is_stalled(), "nothing has come");
    keep(&mut keeper, Class::Event, 1, 10);
    assert!(!keeper.is_stalled(), "it came a moment ago");
    assert!(keeper.is_stalled() && keeper.is_stalled());
    keeper.settled.set(1, 0);
    assert!(!keeper.is_stalled(), "held in memory, which is told elsewhere");
    keep(&mut keeper, Class::Event, 2, 10);
    keeper.settled.set(2, 2);
    assert!(!keeper.is_stalled() && !keeper.is_stalled());
    drop(heard);
}
