//! What has come so far, camera by camera.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant, SystemTime},
};

use hdrhistogram::Histogram;
use serde_json::Value;

use super::follow::{Outcome, Seqs};
use crate::publish;

/// Most cameras that are told apart; all others together are one more.
const MOST: usize = 256;
/// Rates are taken over so long.
const WINDOW: Duration = Duration::from_secs(5);
/// And over no less.
const SHORTEST: Duration = Duration::from_secs(1);
/// Most arrivals that are remembered for a rate.
const ARRIVALS: usize = 4096;
/// What a histogram can tell apart, in microseconds, and what it holds at most.
const RANGE_US: (u64, u64) = (1, 3_600_000_000);
/// Digits of a histogram: within 1 %.
const DIGITS: u8 = 2;
/// Longer words of others are cut.
const LONGEST: usize = 64;

/// One camera, or what is of no camera.
#[derive(Debug)]
pub struct Camera {
    /// Its state, as it says itself.
    pub state: String,
    /// Messages about frames, tracks and events.
    pub frames: u64,
    /// The same.
    pub tracks: u64,
    /// The same.
    pub events: u64,
    /// All others.
    pub others: u64,
    /// Objects in the latest frame.
    pub objects: usize,
    /// Messages that have not come.
    pub missing: u64,
    /// Messages that have come again.
    pub again: u64,
    /// From capture to publishing, as frames say, in microseconds.
    pub published: Histogram<u32>,
    /// From capture to here, by the two clocks, in microseconds.
    pub arrived: Histogram<u32>,
    arrivals: VecDeque<Instant>,
}

impl Camera {
    fn new() -> Self {
        let histogram = || {
            let Ok(histogram) = Histogram::new_with_bounds(RANGE_US.0, RANGE_US.1, DIGITS) else {
                unreachable!("the bounds are constants that a histogram takes")
            };
            histogram
        };
        Self {
            state: String::new(),
            frames: 0,
            tracks: 0,
            events: 0,
            others: 0,
            objects: 0,
            missing: 0,
            again: 0,
            published: histogram(),
            arrived: histogram(),
            arrivals: VecDeque::new(),
        }
    }

    /// Frames per second lately.
    pub fn rate(&self, now: Instant) -> f64 {
        let since = |at: &Instant| now.saturating_duration_since(*at);
        let recent = self.arrivals.iter().rev().take_while(|at| since(at) <= WINDOW).count();
        // What is remembered may have begun later than the window.
        let span = self.arrivals.front().map_or(WINDOW, since).clamp(SHORTEST, WINDOW);
        recent as f64 / span.as_secs_f64()
    }

    fn frame(&mut self, message: &Value, now: Instant, wall: SystemTime) {
        self.frames += 1;
        self.objects = message["objects"].as_array().map_or(0, Vec::len);
        if self.arrivals.len() >= ARRIVALS {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back(now);
        if let Some(ms) = message["latency_ms"].as_f64().filter(|ms| *ms >= 0.0) {
            self.published.saturating_record((ms * 1000.0) as u64);
        }
        let captured = message["captured_at"].as_str().and_then(publish::parse_time);
        // Where clocks disagree, a frame comes before it was captured.
        if let Some(age) = captured.and_then(|at| wall.duration_since(at).ok()) {
            self.arrived.saturating_record(age.as_micros() as u64);
        }
    }
}

/// Everything that has come.
#[derive(Debug, Default)]
pub struct Tally {
    cameras: BTreeMap<String, Camera>,
    seqs: Seqs,
    /// All messages.
    pub messages: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Those that could not be read.
    pub unread: u64,
}

impl Tally {
    /// Takes a message that was read. What is retained was told before our time, so that it belongs to no sequence.
    pub fn take(&mut self, message: &Value, bytes: usize, retained: bool, now: Instant, wall: SystemTime) -> Outcome {
        self.messages += 1;
        self.bytes += bytes as u64;
        let outcome = if retained { Outcome::NotFollowed } else { self.seqs.take(message) };
        let word = |key: &str| message[key].as_str().map(cut);
        let name = match (word("device"), word("camera")) {
            (Some(device), Some(camera)) => format!("{device}/{camera}"),
            (Some(device), None) => device.to_owned(),
            (None, _) => "(others)".to_owned(),
        };
        let known = self.cameras.len() < MOST || self.cameras.contains_key(&name);
        let camera = self.cameras.entry(if known { name } else { "(more)".to_owned() }).or_insert_with(Camera::new);
        match outcome {
            Outcome::Missing(missing) => camera.missing = camera.missing.saturating_add(missing),
            Outcome::Late => camera.missing = camera.missing.saturating_sub(1),
            Outcome::Again => camera.again += 1,
            Outcome::InOrder | Outcome::NotFollowed => {}
        }
        match message["kind"].as_str().unwrap_or_default() {
            "frame" => camera.frame(message, now, wall),
            "track" => camera.tracks += 1,
            "event" => camera.events += 1,
            _ => {
                camera.others += 1;
                if let Some(state) = word("state") {
                    state.clone_into(&mut camera.state);
                }
            }
        }
        outcome
    }

    /// Takes a message that could not be read.
    pub fn unread(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
        self.unread += 1;
    }

    /// The cameras, by device and name.
    pub fn cameras(&self) -> impl Iterator<Item = (&str, &Camera)> {
        self.cameras.iter().map(|(name, camera)| (name.as_str(), camera))
    }
}

/// So much of a word as belongs on a line.
fn cut(word: &str) -> &str {
    word.char_indices().nth(LONGEST).map_or(word, |(end, _)| &word[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn cameras_are_counted_each_for_itself() {
        let (mut tally, now, wall) = (Tally::default(), Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(10));
        let frame = |seq: u64| {
            json!({ "kind": "frame", "device": "box1", "camera": "door", "boot_id": "a", "seq": seq, "latency_ms": 80.0,
                    "captured_at": "1970-01-01T00:00:09.900000Z", "objects": [1, 2, 3] })
        };
        for seq in [0, 1, 4, 4] {
            tally.take(&frame(seq), 100, false, now, wall);
        }
        tally.take(
            &json!({ "kind": "camera_status", "device": "box1", "camera": "door", "state": "online" }),
            50,
            true,
            now,
            wall,
        );
        tally.unread(7);
        let (name, door) = tally.cameras().next().expect("a camera");
        assert_eq!((name, door.state.as_str()), ("box1/door", "online"));
        assert_eq!((door.frames, door.objects, door.missing, door.again, door.others), (4, 3, 2, 1, 1));
        assert_eq!((tally.messages, tally.bytes, tally.unread), (6, 457, 1));
        for (after, rate) in [(0, 4.0), (2, 2.0), (5, 0.8), (6, 0.0)] {
            assert!((door.rate(now + Duration::from_secs(after)) - rate).abs() < 1e-9, "after {after} s");
        }
        assert!(door.published.value_at_quantile(0.5).abs_diff(80_000) < 800 && door.arrived.len() == 4);
    }

    proptest! {
        // Each case makes as many cameras as there may be, with two histograms each: a few are enough.
        #![proptest_config(ProptestConfig::with_cases(4))]
        /// Whatever is made up: nothing grows without end.
        #[test]
        fn memory_is_bounded(names in prop::collection::vec("[a-z]{0,100}", 8..16), state in any::<String>()) {
            let mut tally = Tally::default();
            let now = Instant::now();
            for (number, name) in names.iter().cycle().take(MOST + 50).enumerate() {
                let name = format!("{number}{name}");
                let status = json!({ "kind": "x", "device": name, "camera": name, "state": state });
                tally.take(&status, 1, false, now, SystemTime::now());
            }
            prop_assert!(tally.cameras.contains_key("(more)"), "there were more than are told apart");
            prop_assert!(tally.cameras.len() <= MOST + 1);
            prop_assert!(tally.cameras.iter().all(|(name, camera)| name.len() <= 2 * LONGEST + 1 && camera.state.chars().count() <= LONGEST));
        }
    }

    #[test]
    fn a_flood_of_frames_is_a_rate_and_no_memory() {
        let (mut tally, now) = (Tally::default(), Instant::now());
        for _ in 0..3 * ARRIVALS {
            tally.take(&json!({ "kind": "frame", "latency_ms": -1.0, "captured_at": "soon" }), 1, false, now, SystemTime::now());
        }
        let camera = tally.cameras().next().expect("others").1;
        assert_eq!((camera.arrivals.len(), camera.published.len(), camera.arrived.len()), (ARRIVALS, 0, 0));
    }
}
