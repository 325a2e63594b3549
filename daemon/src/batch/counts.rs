//! What became of each stream's frames.

use std::ops::AddAssign;

/// Where the frames of one stream are. `decoded == inferred + dropped.total() + in_flight`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames offered by the decoder.
    pub decoded: u64,
    /// Frames that a network has looked at.
    pub inferred: u64,
    /// Frames that wait or are being looked at.
    pub in_flight: u64,
    /// Frames that nobody will look at.
    pub dropped: Dropped,
}

impl Counts {
    /// Whether the law holds.
    pub fn balanced(&self) -> bool {
        self.decoded == self.inferred + self.dropped.total() + self.in_flight
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.decoded += other.decoded;
        self.inferred += other.inferred;
        self.in_flight += other.in_flight;
        self.dropped.replaced += other.dropped.replaced;
        self.dropped.stale += other.dropped.stale;
        self.dropped.capped += other.dropped.capped;
        self.dropped.gated += other.dropped.gated;
        self.dropped.throttled += other.dropped.throttled;
        self.dropped.engine_error += other.dropped.engine_error;
        self.dropped.removed += other.dropped.removed;
    }
}

/// Dropped frames by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// A newer frame of the same camera took its place.
    pub replaced: u64,
    /// It had waited longer than the staleness budget when an engine was free.
    pub stale: u64,
    /// It came sooner than the camera's `max_fps` allows.
    pub capped: u64,
    /// Too little happened in its picture: nothing moved, nothing was followed, or all went on as foreseen.
    pub gated: u64,
    /// The board is throttled, and cameras are looked at less often.
    pub throttled: u64,
    /// The engine failed on its batch.
    pub engine_error: u64,
    /// Its stream was removed, or the daemon shut down, before its turn.
    pub removed: u64,
}

impl Dropped {
    /// Of all reasons.
    pub fn total(&self) -> u64 {
        self.by_reason().iter().map(|(_, count)| count).sum()
    }

    /// The reasons by the names that they have in `/metrics`.
    pub fn by_reason(&self) -> [(&'static str, u64); 7] {
        [
            ("replaced", self.replaced),
            ("stale", self.stale),
            ("capped", self.capped),
            ("gated", self.gated),
            ("throttled", self.throttled),
            ("engine_error", self.engine_error),
            ("removed", self.removed),
        ]
    }
}
