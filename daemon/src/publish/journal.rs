//! What has been told to have begun and not to have ended: tracks, and events of some length. Written down beside the queue while the daemon
//! runs, so that after a crash the next run can tell their ends.
//!
//! What is written down is the very message that would tell each end if the daemon died now, renewed once a second. The next run completes it:
//! with its own `boot_id` and `seq`, since the numbers that the crashed run had used are not known to the last one; with `of_boot`, the run that
//! told the beginning; and with `ended`, why.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{keeper::Settled, message::Stamp, stamp};
use crate::{
    config::QueueConfig,
    recall::{Memory, Recall, RecallError},
};

/// How often what is written down is renewed: how much older than the truth an end may be.
pub(super) const RENEW: Duration = Duration::from_secs(1);
/// Most bytes of all messages. What begins while there are so many is not written down.
const MOST: usize = 1 << 20;
/// The form of what is written.
const FORM: u64 = 1;

/// Why something has ended, where it did not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The daemon that followed it ended without a word, and the next one tells it.
    Restart,
}

/// What is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum What {
    Track(u64),
    Event(u64),
}

/// What has ended.
struct Over {
    key: (Arc<str>, What),
    /// Of how many messages that the queue was given its end is the last. `None`: it is being written.
    end: Option<u64>,
}

#[derive(Default)]
struct Open {
    messages: BTreeMap<(Arc<str>, What), Bytes>,
    bytes: usize,
    /// What has ended: it is open to the next run until its end is safe.
    ended: Vec<Over>,
    changed: bool,
    full: bool,
}

impl Open {
    fn forget(&mut self, key: &(Arc<str>, What)) {
        if let Some(message) = self.messages.remove(key) {
            self.bytes -= message.len();
            self.changed = true;
        }
    }
}

/// All that is open. Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Journal {
    boot_id: String,
    open: Arc<Mutex<Open>>,
    /// How far the queue is with the ends.
    settled: Settled,
    /// Writes it down.
    recall: Option<Arc<Recall>>,
}

impl Journal {
    /// One of this run that is not written down.
    pub(super) fn new(boot_id: &str) -> Self {
        // What the last run had written is over.
        let open = Open { changed: true, ..Open::default() };
        Self { boot_id: boot_id.to_owned(), open: Arc::new(Mutex::new(open)), settled: Settled::default(), recall: None }
    }

    /// The journal beside a queue, and what the last run had left open.
    ///
    /// # Errors
    /// Its folder cannot be used.
    pub(super) fn open(config: &QueueConfig, boot_id: &str, settled: Settled) -> Result<(Self, Vec<Orphan>), RecallError> {
        let (memory, saved) = Memory::open(&config.directory, "open")?;
        let orphans = match saved.as_deref().map(orphans) {
            None => Vec::new(),
            Some(Ok(orphans)) => orphans,
            Some(Err(error)) => {
                tracing::error!(error, "what was open when the last run ended cannot be read: it will not be told to have ended");
                Vec::new()
            }
        };
        let mut journal = Self { settled, ..Self::new(boot_id) };
        let written = journal.clone();
        journal.recall = Some(Arc::new(memory.keep(move || written.news())?));
        Ok((journal, orphans))
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This is what its end would be.
    pub(super) fn put(&self, camera: &Arc<str>, what: What, message: Bytes) {
        let mut open = self.lock();
        let key = (camera.clone(), what);
        let before = open.messages.get(&key).map_or(0, Bytes::len);
        if open.bytes - before + message.len() > MOST {
            if !std::mem::replace(&mut open.full, true) {
                tracing::warn!(
                    limit = MOST,
                    "more is under way than is written down: some of it would not be told to have ended after a crash"
                );
            }
            return;
        }
        open.bytes = open.bytes - before + message.len();
        open.messages.insert(key, message);
        open.changed = true;
    }

    /// It has ended. It stays written down until its end is safe: a disk may take its time.
    pub(super) fn remove(&self, camera: &Arc<str>, what: What) {
        let mut open = self.lock();
        let key = (camera.clone(), what);
        if open.messages.contains_key(&key) {
            open.ended.push(Over { key, end: None });
        }
    }

    /// All ends so far are among so many messages that were given to the queue.
    pub(super) fn given(&self, messages: u64) {
        for over in &mut self.lock().ended {
            over.end = over.end.or(Some(messages));
        }
    }

    /// All of it, if something has changed since this was asked last.
    pub(super) fn news(&self) -> Option<Vec<u8>> {
        let messages: Vec<Bytes> = {
            let mut open = self.lock();
            let settled = self.settled.safe();
            let ended = std::mem::take(&mut open.ended).into_iter();
            let (safe, waiting): (Vec<Over>, _) = ended.partition(|over| over.end.is_some_and(|end| end <= settled));
            open.ended = waiting;
            for over in safe {
                open.forget(&over.key);
            }
            if !std::mem::take(&mut open.changed) {
                return None;
            }
            open.messages.values().cloned().collect()
        };
        let mut out = format!("{{\"form\":{FORM},\"boot_id\":{},\"open\":[", json!(self.boot_id)).into_bytes();
        for (i, message) in messages.iter().enumerate() {
            out.extend_from_slice(if i > 0 { b"," } else { b"" });
            out.extend_from_slice(message);
        }
        out.extend_from_slice(b"]}");
        Some(out)
    }
}

/// The end of something that an earlier run had told the beginning of, not complete yet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Orphan {
    pub(super) camera: String,
    /// Of events: the rule.
    pub(super) rule: Option<String>,
    /// When it was last seen.
    pub(super) at: SystemTime,
    boot: String,
    message: Map<String, Value>,
}

impl Orphan {
    /// What its end would say, but for what [`Self::complete`] adds.
    pub(super) fn message(&self) -> &Map<String, Value> {
        &self.message
    }

    /// The whole message.
    pub(super) fn complete(mut self, device: &str, (boot_id, seq): (&str, u64), published_at: SystemTime) -> Bytes {
        let own = [
            ("device", json!(device)),
            ("boot_id", json!(boot_id)),
            ("seq", json!(seq)),
            ("published_at", json!(Stamp(published_at))),
            ("latency_ms", Value::Null),
            ("since_arrival_ms", Value::Null),
            ("ended", json!(Ended::Restart)),
            ("of_boot", json!(self.boot)),
            ("delayed", json!(true)),
        ];
        self.message.extend(own.map(|(key, value)| (key.to_owned(), value)));
        Value::Object(self.message).to_string().into()
    }
}

pub(super) fn orphans(saved: &[u8]) -> Result<Vec<Orphan>, String> {
    let saved: Value = serde_json::from_slice(saved).map_err(|error| error.to_string())?;
    if saved["form"] != FORM {
        return Err(format!("it has form {}, and this version of egret knows form {FORM}", saved["form"]));
    }
    let text = |value: &Value, key: &str| value[key].as_str().map(str::to_owned);
    let (Some(boot), Some(open)) = (text(&saved, "boot_id"), saved["open"].as_array()) else {
        return Err("it is no journal".to_owned());
    };
    let orphan = |value: &Value| {
        let at = text(value, "last_seen").or_else(|| text(value, "captured_at"))?;
        Some(Orphan {
            camera: text(value, "camera")?,
            rule: text(value, "rule"),
            at: stamp::parse(&at)?,
            boot: boot.clone(),
            message: value.as_object()?.clone(),
        })
    };
    open.iter().map(|value| orphan(value).ok_or_else(|| "a message in it is none".to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            compose::{Composer, tests as compose},
            topics::Family,
        },
        *,
    };
    use crate::{
        analyse::{Event, EventId, EventPhase, Measure, Unit, Verdicts},
        media::{TimeBasis, TrackPhase, Tracked},
    };

    const TRACK: &str = r#"{"phase":"end","device":"old","camera":"door","boot_id":"one","seq":0,"track":"2a","last_seen":"2026-11-21T02:03:04.500000Z","latency_ms":3.5}"#;

    fn has(journal: &Journal, camera: &Arc<str>, what: What) -> bool {
        journal.lock().messages.contains_key(&(camera.clone(), what))
    }

    fn config(dir: &std::path::Path) -> QueueConfig {
        QueueConfig {
            directory: dir.to_owned(),
            max_bytes: 64 << 20,
            max_age: Duration::from_hours(1),
            sync_interval: Duration::ZERO,
            keep_acknowledged: Duration::ZERO,
            replay_rate: 1,
        }
    }

    #[test]
    fn what_is_open_at_the_end_is_told_by_the_next_run() {
        let dir = tempfile::tempdir().expect("a directory");
        let open = |boot: &str| Journal::open(&config(dir.path()), boot, Settled::default()).expect("opens");
        let (journal, orphans) = open("one");
        assert_eq!(orphans, []);
        let door: Arc<str> = "door".into();
        journal.put(&door, What::Track(42), Bytes::from_static(b"{}"));
        journal.put(&door, What::Track(42), Bytes::from_static(TRACK.as_bytes()));
        journal.put(&door, What::Event(42), Bytes::from_static(TRACK.as_bytes()));
        journal.remove(&door, What::Event(42));
        assert!(has(&journal, &door, What::Event(42)), "its end is not safe");
        journal.given(0);
        drop(journal);
        let (journal, mut orphans) = open("two");
        let orphan = orphans.pop().expect("one");
        assert_eq!((orphans.len(), &*orphan.camera, &orphan.rule), (0, "door", &None));
        let message = orphan.complete("new", ("two", 7), SystemTime::UNIX_EPOCH);
        let expected = r#"{"phase":"end","device":"new","camera":"door","boot_id":"two","seq":7,"track":"2a","last_seen":"2026-11-21T02:03:04.500000Z","latency_ms":null,"published_at":"1970-01-01T00:00:00.000000Z","since_arrival_ms":null,"ended":"restart","of_boot":"one","delayed":true}"#;
        assert_eq!(String::from_utf8_lossy(&message), expected);
        drop(journal);
        assert_eq!(open("three").1, [], "told once");
    }

    /// A disk hangs, and the daemon dies: the next run tells what the queue had not got.
    #[test]
    fn what_has_ended_is_open_until_the_queue_has_its_end() {
        let (journal, door): (_, Arc<str>) = (Journal::new("one"), "door".into());
        for track in [1, 2, 3] {
            journal.put(&door, What::Track(track), Bytes::from(TRACK.replace("2a", &track.to_string())));
        }
        journal.remove(&door, What::Track(1));
        journal.given(7);
        journal.remove(&door, What::Track(2));
        journal.given(8);
        let open = || {
            let orphans = journal.news().map(|saved| orphans(&saved).expect("a journal"));
            orphans.map(|orphans| orphans.iter().map(|orphan| orphan.message()["track"].clone()).collect::<Vec<_>>())
        };
        journal.settled.set(6, 6);
        assert_eq!(open(), Some(vec![json!("1"), json!("2"), json!("3")]));
        journal.settled.set(8, 7);
        assert_eq!(open(), Some(vec![json!("2"), json!("3")]));
        assert_eq!(open(), None, "nothing new");
        journal.settled.set(8, 8);
        assert_eq!(open(), Some(vec![json!("3")]));
    }

    /// From the first frame to what the next run says.
    #[test]
    fn ends_are_as_their_fixtures() {
        let (mut first, arrived) = (compose::composer(), compose::arrived());
        let journal = Journal::new("0f8fad5b-d9cb-469f-a165-70867728950e");
        first.keep(journal.clone());
        let mut tracked = compose::tracked(TimeBasis::SenderReport, arrived);
        let event = Event {
            id: EventId(0xfeed_0000_0000_0001),
            rule: "yard".into(),
            kind: "zone",
            phase: EventPhase::Start,
            started: compose::wall() - Duration::from_secs(2),
            objects: Vec::new(),
            way: None,
            measure: Some(Measure { value: 0.0, unit: Unit::Seconds, threshold: None }),
        };
        tracked.verdicts = Some(Box::new(Verdicts { events: vec![event.clone()], ..Verdicts::default() }));
        let now = |ms| compose::now_after(arrived, Duration::from_millis(ms));
        compose::messages(&mut first, &tracked, now(60));
        // Renewed after a second, not before.
        let noted = || journal.news().map(|bytes| String::from_utf8_lossy(&bytes).contains("\"frame\":1300"));
        assert_eq!(noted(), Some(false));
        let later = |frame_seq, phase| {
            let mut later = Tracked { frame_seq, verdicts: None, ..tracked.clone() };
            later.tracks[0].phase = phase;
            later
        };
        compose::messages(&mut first, &later(1300, TrackPhase::Update), now(900));
        assert_eq!(noted(), None);
        compose::messages(&mut first, &later(1300, TrackPhase::Update), now(1100));
        let saved = journal.news().expect("renewed");
        assert!(String::from_utf8_lossy(&saved).contains("\"frame\":1300"));
        let mut second = Composer::new(&compose::config(), "box1", "7d444840-9dc0-11d1-b245-5ffdce74fad2");
        let mut told = |orphan| second.orphan(orphan, now(60));
        let ends: Vec<_> = orphans(&saved).expect("a journal").into_iter().map(&mut told).collect();
        let topics: Vec<_> = ends.iter().map(|(topic, _, sort)| (&**topic, sort.family)).collect();
        assert_eq!(topics, [("egret/box1/cam/door/track/end", Family::Track), ("egret/box1/cam/door/event/yard", Family::Event)]);
        compose::golden("track_restart", &ends[0].1);
        compose::golden("event_restart", &ends[1].1);
        // What ends by itself is not open any more.
        let mut end = later(1400, TrackPhase::End);
        let over = Event { phase: EventPhase::End, ..event };
        end.verdicts = Some(Box::new(Verdicts { events: vec![over], ..Verdicts::default() }));
        compose::messages(&mut first, &end, now(1200));
        first.given(0);
        assert_eq!(orphans(&journal.news().expect("changed")), Ok(Vec::new()));
    }

    #[test]
    fn it_is_bounded() {
        let (journal, door): (_, Arc<str>) = (Journal::new("one"), "door".into());
        let message = Bytes::from(vec![b'x'; 1000]);
        for id in 0..2000 {
            journal.put(&door, What::Track(id), message.clone());
        }
        assert!(
            journal.lock().bytes <= MOST && has(&journal, &door, What::Track(1000)) && !has(&journal, &door, What::Track(1999))
        );
        for id in 0..2000 {
            journal.remove(&door, What::Track(id));
        }
        journal.given(0);
        assert!(journal.news().is_some());
        assert_eq!(journal.lock().bytes, 0);
    }

    #[test]
    fn what_is_no_journal_is_refused() {
        let text = |open: &str| format!(r#"{{"form":1,"boot_id":"one","open":[{open}]}}"#);
        assert_eq!(orphans(text(TRACK).as_bytes()).map(|orphans| orphans.len()), Ok(1));
        for (saved, word) in [
            ("x".to_owned(), "expected value"),
            ("{}".to_owned(), "form null"),
            (r#"{"form":2}"#.to_owned(), "form 2"),
            (r#"{"form":1}"#.to_owned(), "no journal"),
            (text("3"), "message"),
            (text(&TRACK.replace("2026", "never")), "message"),
            (text(&TRACK.replace("camera", "caméra")), "message"),
        ] {
            let error = orphans(saved.as_bytes()).expect_err(&saved);
            assert!(error.contains(word), "{error}");
        }
    }
}
