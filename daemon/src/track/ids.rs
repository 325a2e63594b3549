//! Track identities: unique on this device across cameras and restarts.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::media::TrackId;

/// 2024-01-01T00:00:00Z.
const EPOCH_MS: u64 = 1_704_067_200_000;
const COUNTER_BITS: u32 = 22;

/// Hands out identities: the milliseconds from 2024 to the start of the process, times 2²², plus a counter.
///
/// The counter may run over into the milliseconds, since no process starts 4 million tracks in each millisecond that it lives; so the next
/// start is always ahead of it. That holds as long as the clock does not go back between two starts (systemd keeps the time of the
/// last shutdown on machines without a battery-backed clock).
#[derive(Debug)]
pub struct Ids {
    next: u64,
}

impl Ids {
    /// Identities of a process that started at `start`.
    pub fn new(start: SystemTime) -> Self {
        let ms = start.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64).saturating_sub(EPOCH_MS);
        Self { next: ms << COUNTER_BITS }
    }

    /// One that was never given before.
    pub fn next_id(&mut self) -> TrackId {
        self.next = self.next.wrapping_add(1);
        TrackId(self.next)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_later_start_is_ahead_of_all_earlier_identities() {
        let start = UNIX_EPOCH + Duration::from_hours(500_000);
        let mut first = Ids::new(start);
        let last = (0..100_000).map(|_| first.next_id()).max();
        let mut second = Ids::new(start + Duration::from_millis(1));
        assert!(Some(second.next_id()) > last);
    }

    #[test]
    fn a_clock_before_the_epoch_is_no_panic() {
        assert_eq!(Ids::new(UNIX_EPOCH - Duration::from_secs(5)).next_id(), TrackId(1));
    }
}
