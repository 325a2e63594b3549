//! What a step counts, for metrics.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Why a step did not look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Its last look was too short a time ago, or the next clip is not due yet.
    Rate,
    /// Its last look has not come back yet.
    Pending,
    /// Too much waits already.
    QueueFull,
    /// The frame went back to the detector, for a second look at a new object.
    SecondLook,
    /// What is followed is too small in the picture.
    TooSmall,
    /// The track or the camera's pictures ended before a clip was complete, or too suddenly to look at it.
    TooShort,
}

impl SkipReason {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Rate, Self::Pending, Self::QueueFull, Self::SecondLook, Self::TooSmall, Self::TooShort];

    /// Its name in metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Pending => "pending",
            Self::QueueFull => "queue_full",
            Self::SecondLook => "second_look",
            Self::TooSmall => "too_small",
            Self::TooShort => "too_short",
        }
    }
}

/// What a step counts. Shared by tracking, its workers and metrics.
#[derive(Debug, Default)]
pub struct StepCounters {
    runs: AtomicU64,
    looks: AtomicU64,
    pictures: AtomicU64,
    failed: AtomicU64,
    skipped: [AtomicU64; SkipReason::ALL.len()],
    waited_us: AtomicU64,
    ran_us: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepCounts {
    /// Times that the network ran.
    pub runs: u64,
    /// Looks that came back, failed ones included.
    pub looks: u64,
    /// Pictures or clips in those runs: with `runs` and the largest batch, how full the batches were.
    pub pictures: u64,
    /// Looks that failed.
    pub failed: u64,
    /// Looks that were left out, by reason in the order of [`SkipReason::ALL`].
    pub skipped: [u64; SkipReason::ALL.len()],
    /// Time that the looks waited for their batch, all together.
    pub waited: Duration,
    /// Time that the network took, over all runs.
    pub ran: Duration,
}

impl StepCounters {
    pub(super) fn record(&self, runs: u64, looks: u64, pictures: u64, failed: u64) {
        for (counter, n) in [(&self.runs, runs), (&self.looks, looks), (&self.pictures, pictures), (&self.failed, failed)] {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }

    pub(super) fn record_times(&self, waited: Duration, ran: Duration) {
        for (counter, time) in [(&self.waited_us, waited), (&self.ran_us, ran)] {
            counter.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Notes looks that were left out.
    pub fn skip(&self, reason: SkipReason, looks: u64) {
        if looks > 0 {
            self.skipped[reason as usize].fetch_add(looks, Ordering::Relaxed);
        }
    }

    /// The counters now. Each is exact, their moments differ by nanoseconds.
    pub fn snapshot(&self) -> StepCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StepCounts {
            runs: get(&self.runs),
            looks: get(&self.looks),
            pictures: get(&self.pictures),
            failed: get(&self.failed),
            skipped: self.skipped.each_ref().map(get),
            waited: Duration::from_micros(get(&self.waited_us)),
            ran: Duration::from_micros(get(&self.ran_us)),
        }
    }
}
