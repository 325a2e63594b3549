//! How the queue on disk stands, for metrics and health.

use std::{
    sync::{PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{counters::Counters, spool::Stats};

/// The queue on disk at one moment; totals since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskQueue {
    /// Messages that some broker has not acknowledged, counted for each broker.
    pub waiting: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Most bytes that they may have.
    pub max_bytes: u64,
    /// Age of the oldest message that is kept.
    pub oldest: Option<Duration>,
    /// Messages taken.
    pub taken: u64,
    /// Messages given up, or not taken.
    pub lost: u64,
    /// Bytes written to its files.
    pub written_bytes: u64,
    /// Syncs.
    pub syncs: u64,
    /// How long the last sync took.
    pub last_sync: Duration,
    /// How long the longest one took.
    pub longest_sync: Duration,
    /// Whether the disk does not answer: what came seconds ago has not been taken or refused.
    pub stalled: bool,
}

impl DiskQueue {
    pub(super) fn stands(&mut self, stats: &Stats) {
        self.waiting = stats.waiting.iter().sum();
        (self.bytes, self.oldest, self.taken) = (stats.bytes, stats.oldest, stats.appended);
        (self.written_bytes, self.syncs) = (stats.written, stats.syncs);
    }

    /// Something that may have synced took so long since `begun`; it had synced so often `before`, and has so often now.
    pub(super) fn timed(&mut self, begun: Instant, (before, now): (u64, u64)) {
        if now > before {
            self.last_sync = begun.elapsed();
            self.longest_sync = self.longest_sync.max(self.last_sync);
        }
    }
}

impl Counters {
    /// The queue on disk, where there is one.
    pub fn disk(&self) -> Option<DiskQueue> {
        let disk = *self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        disk.map(|disk| DiskQueue { stalled: self.disk_stalled.load(Ordering::Relaxed), ..disk })
    }

    pub(super) fn set_disk_stalled(&self, stalled: bool) {
        self.disk_stalled.store(stalled, Ordering::Relaxed);
    }

    pub(super) fn set_disk(&self, disk: DiskQueue) {
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner) = Some(disk);
    }
}
