//! What tracking counts, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        if n > 0 {
            self.0.fetch_add(n, Ordering::Relaxed);
        }
    }
}

/// What tracking counts. Shared with metrics.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) frames: Counter,
    pub(super) rejected: Counter,
    pub(super) excess: Counter,
    pub(super) extras_rejected: Counter,
    pub(super) extras_excess: Counter,
    pub(super) late: Counter,
    pub(super) skipped: Counter,
    pub(super) started: Counter,
    pub(super) ended: Counter,
    pub(super) renamed: Counter,
    pub(super) resized: Counter,
    pub(super) looks: Counter,
    pub(super) looks_unheard: Counter,
    pub(super) looks_found: Counter,
    pub(super) looks_refused: Counter,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames followed.
    pub frames: u64,
    /// Detections that are no box (not finite, empty, confidence outside 0..1) and were thrown away.
    pub rejected: u64,
    /// Detections beyond the thousand most confident ones of a frame.
    pub excess: u64,
    /// Angles, key points and masks that are none (not finite, far outside the frame) and were thrown away; their boxes stay.
    pub extras_rejected: u64,
    /// Key points and masks beyond [`crate::media::MAX_PARTS`] points and run lengths of a frame; their boxes stay.
    pub extras_excess: u64,
    /// Frames whose turn was over, or whose camera was gone: without tracks, or dropped.
    pub late: u64,
    /// Frames that never came and are no longer waited for.
    pub skipped: u64,
    /// Tracks announced.
    pub started: u64,
    /// Announced tracks that ended.
    pub ended: u64,
    /// Tracks that turned out to be objects known before, and go on under their old identities.
    pub renamed: u64,
    /// Pictures of another size than the one before.
    pub resized: u64,
    /// Second looks asked for.
    pub looks: u64,
    /// Second looks that the full step queue refused.
    pub looks_unheard: u64,
    /// Second looks that found the object.
    pub looks_found: u64,
    /// Second looks that did not.
    pub looks_refused: u64,
}

impl Counters {
    /// The counters now. Each is exact, their moments differ by nanoseconds.
    pub fn snapshot(&self) -> Counts {
        let get = |counter: &Counter| counter.0.load(Ordering::Relaxed);
        Counts {
            frames: get(&self.frames),
            rejected: get(&self.rejected),
            excess: get(&self.excess),
            extras_rejected: get(&self.extras_rejected),
            extras_excess: get(&self.extras_excess),
            late: get(&self.late),
            skipped: get(&self.skipped),
            started: get(&self.started),
            ended: get(&self.ended),
            renamed: get(&self.renamed),
            resized: get(&self.resized),
            looks: get(&self.looks),
            looks_unheard: get(&self.looks_unheard),
            looks_found: get(&self.looks_found),
            looks_refused: get(&self.looks_refused),
        }
    }
}
