//! Whether messages are missing, by `seq` and `boot_id`.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
};

use serde_json::Value;

/// Most sequences that are followed. Whoever makes up more cameras than that is not followed any further.
const MOST: usize = 4096;
/// Most runs of a device that one camera's messages are told apart by: what was kept through a restart comes with the name of the run before.
const RUNS: usize = 4;
/// Most numbers of a run that are remembered as missing. Ends of tracks go through the daemon's disk, and others overtake them.
const ABSENT: usize = 64;
/// A longer name is nobody's.
const LONGEST_NAME: usize = 128;

/// What a message's number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The first one that is heard of this sequence, or the one after the last.
    InOrder,
    /// So many before it have not come.
    Missing(u64),
    /// It was missing until now.
    Late,
    /// It has come before.
    Again,
    /// It is in no sequence that is followed: it has no number, or its kind only ever tells the latest.
    NotFollowed,
}

/// A device's camera, and what of it is counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    device: String,
    camera: String,
    family: &'static str,
}

/// What has come of one run of a device.
#[derive(Debug)]
struct Run {
    name: String,
    /// The number that was heard first. What is smaller was told before we listened, and may come again.
    first: u64,
    /// The largest number.
    last: u64,
    /// The largest of the numbers below it that have not come.
    absent: BTreeSet<u64>,
}

impl Run {
    fn take(&mut self, seq: u64) -> Outcome {
        if seq < self.first {
            return Outcome::InOrder;
        }
        if seq <= self.last {
            return if self.absent.remove(&seq) { Outcome::Late } else { Outcome::Again };
        }
        let left_out = self.last + 1..seq;
        self.last = seq;
        let missing = left_out.end - left_out.start;
        self.left_out(left_out);
        if missing == 0 { Outcome::InOrder } else { Outcome::Missing(missing) }
    }

    fn left_out(&mut self, numbers: Range<u64>) {
        self.absent.extend(numbers.rev().take(ABSENT));
        while self.absent.len() > ABSENT {
            self.absent.pop_first();
        }
    }
}

/// The sequences of all devices and cameras.
#[derive(Debug, Default)]
pub struct Seqs {
    /// The latest runs.
    known: BTreeMap<Key, VecDeque<Run>>,
}

impl Seqs {
    /// Takes a message. Frames, tracks and events are followed; statuses and counts tell the latest only, so that gaps mean nothing.
    pub fn take(&mut self, message: &Value) -> Outcome {
        self.outcome(message).unwrap_or(Outcome::NotFollowed)
    }

    fn outcome(&mut self, message: &Value) -> Option<Outcome> {
        let family = match message["kind"].as_str()? {
            "frame" => "frame",
            "track" | "rename" => "track",
            "event" => "event",
            _ => return None,
        };
        let name = |key: &str| message[key].as_str().filter(|name| name.len() <= LONGEST_NAME).map(str::to_owned);
        let (run, seq) = (name("boot_id")?, message["seq"].as_u64()?);
        let key = Key { device: name("device")?, camera: name("camera")?, family };
        if self.known.len() >= MOST && !self.known.contains_key(&key) {
            return None;
        }
        let runs = self.known.entry(key).or_default();
        if let Some(known) = runs.iter_mut().find(|known| known.name == run) {
            return Some(known.take(seq));
        }
        // Of the first run the beginning was before our time; of a later one it was not.
        let missing = if runs.is_empty() { 0 } else { seq };
        let mut new = Run { name: run, first: seq - missing, last: seq, absent: BTreeSet::new() };
        new.left_out(seq - missing..seq);
        runs.push_back(new);
        if runs.len() > RUNS {
            runs.pop_front();
        }
        Some(if missing == 0 { Outcome::InOrder } else { Outcome::Missing(missing) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn frame(camera: &str, run: &str, seq: u64) -> Value {
        json!({ "kind": "frame", "device": "box1", "camera": camera, "boot_id": run, "seq": seq })
    }

    #[test]
    fn gaps_repeats_and_restarts() {
        let mut seqs = Seqs::default();
        let mut take = |camera: &str, run: &str, seq| seqs.take(&frame(camera, run, seq));
        assert_eq!(take("door", "a", 7), Outcome::InOrder, "who comes late has missed nothing");
        assert_eq!(take("door", "a", 8), Outcome::InOrder);
        assert_eq!(take("door", "a", 5), Outcome::InOrder, "sent again, but never heard here");
        assert_eq!(take("yard", "a", 3), Outcome::InOrder, "each camera counts for itself");
        assert_eq!(take("door", "a", 11), Outcome::Missing(2));
        assert_eq!(take("door", "a", 8), Outcome::Again);
        assert_eq!(take("door", "a", 11), Outcome::Again);
        assert_eq!(take("door", "a", 9), Outcome::Late, "it was overtaken");
        assert_eq!(take("door", "a", 9), Outcome::Again);
        assert_eq!(take("door", "b", 0), Outcome::InOrder, "the device was started again");
        assert_eq!(take("door", "a", 12), Outcome::InOrder, "kept from the run before");
        assert_eq!(take("door", "b", 2), Outcome::Missing(1));
        assert_eq!(take("door", "c", 2), Outcome::Missing(2), "the beginning of a run that we were there for");
    }

    #[test]
    fn what_has_no_sequence_is_not_followed() {
        let mut seqs = Seqs::default();
        for message in [json!(null), json!([]), json!({ "kind": "frame" }), json!({ "kind": "count", "seq": 3 }), json!("x")] {
            assert_eq!(seqs.take(&message), Outcome::NotFollowed);
        }
        let nameless = frame(&"x".repeat(LONGEST_NAME + 1), "a", 0);
        assert_eq!(seqs.take(&nameless), Outcome::NotFollowed);
    }

    proptest! {
        /// Every number that was left out is missing, and no other, in whichever steps it grows.
        #[test]
        fn what_is_missing_is_what_was_left_out(first in 0..1000_u64, steps in prop::collection::vec(1..9_u64, 1..100)) {
            let mut seqs = Seqs::default();
            seqs.take(&frame("door", "a", first));
            let (mut seq, mut missing) = (first, 0);
            for step in &steps {
                seq += step;
                if let Outcome::Missing(more) = seqs.take(&frame("door", "a", seq)) {
                    missing += more;
                }
            }
            prop_assert_eq!(missing, seq - first - steps.len() as u64);
        }
    }

    /// Names made up without end.
    #[test]
    fn memory_is_bounded() {
        let mut seqs = Seqs::default();
        for camera in 0..2 * MOST {
            seqs.take(&frame(&camera.to_string(), "a", 0));
        }
        for run in 0..100 {
            seqs.take(&frame("0", &run.to_string(), 0));
        }
        seqs.take(&frame("1", "a", u64::MAX));
        assert_eq!(seqs.known.len(), MOST);
        assert!(seqs.known.values().all(|runs| runs.len() <= RUNS && runs.iter().all(|run| run.absent.len() <= ABSENT)));
        assert_eq!(seqs.take(&frame("new", "a", 0)), Outcome::NotFollowed);
    }
}
