//! Which retained messages of cameras stand at the brokers, written down beside the queue. What a camera or a rule has left there that is
//! gone when the daemon starts again is cleared then: a camera that a command had added, or one that was taken out of the files meanwhile.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Site, topics::Family};
use crate::{
    config::QueueConfig,
    recall::{Memory, Recall, RecallError},
};

/// Most bytes of all topics. What is retained beyond them is not written down.
const MOST: usize = 1 << 20;
/// The form of what is written.
const FORM: u64 = 1;

/// What stands at one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Trace {
    camera: String,
    family: Family,
    /// It is to be gone, and not every broker has said that it heard so.
    cleared: bool,
}

#[derive(Default)]
struct Standing {
    traces: BTreeMap<Arc<str>, Trace>,
    bytes: usize,
    changed: bool,
    full: bool,
}

/// All that stands.
#[derive(Default)]
pub(super) struct Traces {
    standing: Arc<Mutex<Standing>>,
    /// Writes it down.
    recall: Option<Recall>,
}

/// What stands, as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    form: u64,
    retained: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    topic: String,
    camera: String,
    family: String,
    cleared: bool,
}

impl Traces {
    /// Those beside a queue, with what the last run had left.
    ///
    /// # Errors
    /// Its folder cannot be used.
    pub(super) fn open(config: &QueueConfig) -> Result<Self, RecallError> {
        let (memory, saved) = Memory::open(&config.directory, "retained")?;
        let mut traces = Self::default();
        match saved.as_deref().map(read) {
            None => {}
            Some(Ok(standing)) => traces.standing = Arc::new(Mutex::new(standing)),
            Some(Err(error)) => {
                tracing::error!(
                    error,
                    "what was retained at brokers cannot be read: what has gone since then is not cleared there"
                );
            }
        }
        let written = Arc::clone(&traces.standing);
        traces.recall = Some(memory.keep(move || news(&written))?);
        Ok(traces)
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message of a camera is on its way; an empty one clears its topic.
    pub(super) fn note(&self, camera: &str, topic: &Arc<str>, payload: &Bytes, family: Family) {
        if !family.retained() {
            return;
        }
        let mut standing = self.lock();
        let cleared = payload.is_empty();
        match standing.traces.get_mut(topic) {
            // Of a topic that cameras share, such as a zone's of Frigate, it is the first one's: else each message would be news.
            Some(trace) if trace.cleared == cleared => return,
            Some(trace) => *trace = Trace { camera: camera.to_owned(), family, cleared },
            None if cleared => return,
            None => {
                let bytes = standing.bytes + topic.len() + camera.len();
                if bytes > MOST {
                    if !std::mem::replace(&mut standing.full, true) {
                        tracing::warn!(
                            limit = MOST,
                            "more is retained than is written down: some of it would outlive its camera"
                        );
                    }
                    return;
                }
                standing.bytes = bytes;
                standing.traces.insert(topic.clone(), Trace { camera: camera.to_owned(), family, cleared });
            }
        }
        standing.changed = true;
    }

    /// What is to be cleared now that the daemon starts: nothing of `site` explains it.
    pub(super) fn gone(&self, site: &Site, base: &str) -> Vec<(Arc<str>, Family)> {
        let Some(cameras) = &site.cameras else { return Vec::new() };
        let explained = |topic: &str, trace: &Trace| {
            let Some((_, rules)) = cameras.iter().find(|(name, _)| *name == trace.camera) else { return false };
            if trace.family.is_dialect() {
                return true;
            }
            let ours = format!("{base}/{}/cam/{}/", site.device, trace.camera);
            match topic.strip_prefix(&ours).map(|rest| rest.split_once('/')) {
                Some(Some(("count" | "summary", rule))) => rules.iter().any(|known| known == rule),
                Some(_) => true,
                // They were told under another base topic, or by a device of another name.
                None => false,
            }
        };
        let mut standing = self.lock();
        let mut gone = Vec::new();
        let mut changed = false;
        for (topic, trace) in &mut standing.traces {
            if trace.cleared || !explained(topic, trace) {
                changed |= !std::mem::replace(&mut trace.cleared, true);
                gone.push((topic.clone(), trace.family));
            }
        }
        standing.changed |= changed;
        gone
    }

    /// Forgets what is gone, unless a broker has still to hear of it: `clearing`.
    pub(super) fn forget(&self, clearing: impl Fn(&str) -> bool) {
        let mut standing = self.lock();
        let before = standing.traces.len();
        standing.traces.retain(|topic, trace| !trace.cleared || clearing(topic));
        if standing.traces.len() != before {
            standing.bytes = standing.traces.iter().map(|(topic, trace)| topic.len() + trace.camera.len()).sum();
            standing.changed = true;
        }
    }
}

fn read(saved: &[u8]) -> Result<Standing, String> {
    let Written { form, retained } = serde_json::from_slice(saved).map_err(|error| error.to_string())?;
    if form != FORM {
        return Err(format!("form {form}"));
    }
    let mut standing = Standing::default();
    for Row { topic, camera, family, cleared } in retained {
        let known = Family::ALL.into_iter().find(|known| known.as_str() == family && known.retained());
        let family = known.ok_or_else(|| format!("{family:?} is retained nowhere"))?;
        // What is cleared is published to, so that it must be a topic and no filter.
        if topic.is_empty() || topic.contains(['+', '#', '\0']) || topic.len() > usize::from(u16::MAX) {
            return Err(format!("{topic:?} is no topic"));
        }
        standing.bytes += topic.len() + camera.len();
        standing.traces.insert(topic.into(), Trace { camera, family, cleared });
    }
    Ok(standing)
}

/// All of it, if something has changed since this was asked last.
fn news(standing: &Mutex<Standing>) -> Option<Vec<u8>> {
    let mut standing = standing.lock().unwrap_or_else(PoisonError::into_inner);
    if !std::mem::take(&mut standing.changed) {
        return None;
    }
    let row = |(topic, trace): (&Arc<str>, &Trace)| Row {
        topic: topic.to_string(),
        camera: trace.camera.clone(),
        family: trace.family.as_str().to_owned(),
        cleared: trace.cleared,
    };
    serde_json::to_vec(&Written { form: FORM, retained: standing.traces.iter().map(row).collect() }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(of: &str) -> Arc<str> {
        format!("egret/box1/cam/{of}").into()
    }

    fn site(cameras: &[(&str, &[&str])]) -> Site {
        let camera =
            |(name, rules): &(&str, &[&str])| ((*name).to_owned(), rules.iter().map(|rule| (*rule).to_owned()).collect());
        Site { device: "box1".into(), cameras: Some(cameras.iter().map(camera).collect()) }
    }

    fn standing(traces: &Traces) -> Vec<String> {
        traces.lock().traces.keys().map(ToString::to_string).collect()
    }

    fn full() -> Bytes {
        Bytes::from_static(b"{}")
    }

    #[test]
    fn what_nothing_explains_is_cleared_until_every_broker_has_heard() {
        let traces = Traces::default();
        for (camera, of, family) in [
            ("door", "door/status", Family::CameraStatus),
            ("door", "door/count/gate", Family::Count),
            ("door", "door/count/old", Family::Count),
            ("door", "door/summary/gate", Family::Count),
            ("yard", "yard/status", Family::CameraStatus),
            ("door", "door/frame", Family::Frame),
        ] {
            traces.note(camera, &topic(of), &full(), family);
        }
        let renamed: Arc<str> = "egret/box0/cam/door/status".into();
        traces.note("door", &renamed, &full(), Family::CameraStatus);
        let switch: Arc<str> = "frigate/door/detect/state".into();
        traces.note("door", &switch, &full(), Family::DialectState);
        assert_eq!(standing(&traces).len(), 7, "no frame is retained");
        let site = site(&[("door", &["gate"])]);
        let gone: Vec<String> = traces.gone(&site, "egret").into_iter().map(|(topic, _)| topic.to_string()).collect();
        let expected = ["egret/box0/cam/door/status", "egret/box1/cam/door/count/old", "egret/box1/cam/yard/status"];
        assert_eq!(gone, expected);
        traces.forget(|topic| topic.contains("yard"));
        assert_eq!(standing(&traces).len(), 5);
        assert_eq!(traces.gone(&site, "egret").len(), 1, "not heard, so it is told again");
        // Its camera is there again.
        traces.note("yard", &topic("yard/status"), &full(), Family::CameraStatus);
        traces.forget(|_| false);
        assert!(standing(&traces).contains(&topic("yard/status").to_string()));
        traces.note("yard", &topic("yard/status"), &Bytes::new(), Family::CameraStatus);
        traces.forget(|_| false);
        assert!(!standing(&traces).contains(&topic("yard/status").to_string()));
        assert_eq!(traces.gone(&Site { cameras: None, ..site }, "other"), [], "nobody says which cameras there are");
    }

    #[test]
    fn what_one_run_notes_the_next_one_knows() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = QueueConfig::at(dir.path().to_owned());
        let first = Traces::open(&config).expect("opens");
        first.note("door", &topic("door/status"), &full(), Family::CameraStatus);
        first.note("yard", &topic("yard/count/z"), &full(), Family::Count);
        first.note("yard", &topic("yard/count/z"), &Bytes::new(), Family::Count);
        drop(first);
        let second = Traces::open(&config).expect("opens");
        assert_eq!(standing(&second).len(), 2);
        let gone = second.gone(&site(&[("door", &[]), ("yard", &["z"])]), "egret");
        assert_eq!(gone, [(topic("yard/count/z"), Family::Count)], "the broker had not heard of it");
        second.forget(|_| false);
        drop(second);
        assert_eq!(standing(&Traces::open(&config).expect("opens")), [topic("door/status").to_string()]);
    }

    #[test]
    fn it_is_bounded() {
        let traces = Traces::default();
        for number in 0..20_000 {
            let topic: Arc<str> = format!("egret/box1/cam/door/count/{number:0>64}").into();
            traces.note("door", &topic, &full(), Family::Count);
        }
        let standing = traces.lock();
        assert!(standing.bytes <= MOST && standing.full && standing.traces.len() > 10_000);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let text = |row: &str| format!(r#"{{"form":1,"retained":[{row}]}}"#);
        let row = r#"{"topic":"a/b","camera":"door","family":"count","cleared":false}"#;
        assert_eq!(read(text(row).as_bytes()).map(|standing| standing.traces.len()), Ok(1));
        for (saved, word) in [
            ("x".to_owned(), "expected value"),
            (r#"{"form":2,"retained":[]}"#.to_owned(), "form 2"),
            (text(&row.replace("count", "frame")), "retained nowhere"),
            (text(&row.replace("a/b", "a/#")), "no topic"),
            (text(&row.replace("a/b", "")), "no topic"),
            (text(&row.replace("camera", "caméra")), "unknown field"),
        ] {
            let error = read(saved.as_bytes()).err().unwrap_or_default();
            assert!(error.contains(word), "{saved}: {error}");
        }
    }
}
