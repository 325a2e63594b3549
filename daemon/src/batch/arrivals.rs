//! The rhythm of a camera: how often frames come and when the next one is due.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Arrivals that are remembered.
const WINDOW: usize = 64;
/// Arrivals before the period is believed.
const TRUSTED: usize = 16;
/// A longer gap is an outage, not a rhythm.
const GAP: Duration = Duration::from_secs(2);

/// The latest arrivals of one stream.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    times: VecDeque<Instant>,
}

impl Arrivals {
    /// Notes an arrival.
    pub(super) fn record(&mut self, now: Instant) {
        if self.times.back().is_some_and(|last| now.saturating_duration_since(*last) > GAP) {
            self.times.clear();
        }
        if self.times.len() == WINDOW {
            self.times.pop_front();
        }
        self.times.push_back(now);
    }

    /// The latest arrival.
    pub(super) fn last(&self) -> Option<Instant> {
        self.times.back().copied()
    }

    /// The mean time between arrivals, once trusted: count over span, since cameras send bursts after the pauses that their
    /// encoders make at key frames, and a running mean of the gaps would swing with every burst.
    pub(super) fn period(&self) -> Option<Duration> {
        let (first, last) = (self.times.front()?, self.times.back()?);
        let span = last.saturating_duration_since(*first);
        (self.times.len() >= TRUSTED && !span.is_zero()).then(|| span / (self.times.len() as u32 - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(gaps_ms: impl IntoIterator<Item = u64>) -> Arrivals {
        let mut now = Instant::now();
        let mut arrivals = Arrivals::default();
        arrivals.record(now);
        for gap in gaps_ms {
            now += Duration::from_millis(gap);
            arrivals.record(now);
        }
        arrivals
    }

    #[test]
    fn a_period_is_believed_after_sixteen_arrivals() {
        assert_eq!(fed([40; 14]).period(), None);
        assert_eq!(fed([40; 15]).period(), Some(Duration::from_millis(40)));
    }

    #[test]
    fn pauses_and_bursts_do_not_swing_it() {
        // 15 fps whose encoder pauses 400 ms at every 15th frame and then sends what it owes.
        let gaps = (0..200).map(|i| match i % 15 {
            0 => 467,
            1..=6 => 0,
            _ => 1000 / 15 + u64::from(i % 3 == 0),
        });
        let period = fed(gaps).period().expect("trusted");
        assert!((60..=72).contains(&period.as_millis()), "{period:?}");
    }

    #[test]
    fn an_outage_starts_it_over() {
        assert_eq!(fed([40; 30].into_iter().chain([2001])).period(), None);
        assert_eq!(fed([0; 40]).period(), None, "no time has passed: no rhythm");
    }
}
