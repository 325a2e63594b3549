//! The queue's clock: milliseconds for which machines with this queue have been running. It goes on where the last run ended, so that no step of the
//! wall clock, and no battery-less clock that starts in 1970, makes a record older or younger. Time without power does not count.

use std::{fs, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// Which run of the machine this is; 0 where the system does not say.
pub fn boot() -> u128 {
    let uuid = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    u128::from_str_radix(&uuid.trim().replace('-', ""), 16).unwrap_or_default()
}

/// Since the machine was started, sleep included (`CLOCK_BOOTTIME`).
pub fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// A moment that a file tells of: of which run, at what time of it, and the queue's clock then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor {
    pub(super) boot: u128,
    pub(super) since_boot: u64,
    pub(super) stamp: u64,
}

/// The queue's clock in this run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    boot: u128,
    since_boot: u64,
    stamp: u64,
}

pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Clock {
    /// Goes on from what the files say: `latest` is the latest stamp in them.
    pub(super) fn new(boot: u128, now: Duration, latest: u64, anchors: &[Anchor]) -> Self {
        let now = ms(now);
        let this_run = |anchor: &&Anchor| boot != 0 && anchor.boot == boot && anchor.since_boot <= now;
        let running = anchors.iter().filter(this_run).map(|anchor| anchor.stamp.saturating_add(now - anchor.since_boot)).max();
        Self { boot, since_boot: now, stamp: running.unwrap_or_default().max(latest) }
    }

    pub(super) fn stamp(&self, now: Duration) -> u64 {
        self.stamp.saturating_add(ms(now).saturating_sub(self.since_boot))
    }

    pub(super) fn anchor(&self, now: Duration) -> Anchor {
        Anchor { boot: self.boot, since_boot: ms(now), stamp: self.stamp(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_same_run_counts_the_time_between() {
        let first = Clock::new(7, 100 * SECOND, 0, &[]);
        let anchor = first.anchor(110 * SECOND);
        assert_eq!(anchor.stamp, 10_000);
        let second = Clock::new(7, 500 * SECOND, anchor.stamp, &[anchor]);
        assert_eq!(second.stamp(501 * SECOND), 401_000);
    }

    #[test]
    fn another_run_goes_on_where_the_last_one_ended() {
        let anchor = Anchor { boot: 7, since_boot: 100_000, stamp: 5_000 };
        let next = Clock::new(8, 900 * SECOND, 6_000, &[anchor]);
        assert_eq!(next.stamp(901 * SECOND), 7_000);
        let unknown = Clock::new(0, 900 * SECOND, 6_000, &[Anchor { boot: 0, ..anchor }]);
        assert_eq!(unknown.stamp(900 * SECOND), 6_000);
    }

    #[test]
    fn the_clock_of_this_machine_runs() {
        assert!(since_boot() > Duration::ZERO);
        assert_eq!(boot(), boot());
    }
}
