//! Looking at a share of a camera's frames, while the board is throttled.

use std::time::Duration;

/// A frame that comes so long after the last one is always looked at: no camera falls below two frames a second by this, those that go slower for other
/// reasons are left alone, and what is followed is not lost.
const SLOWEST: Duration = Duration::from_millis(500);

/// Which frames pass.
#[derive(Debug, Default)]
pub(super) struct Thin {
    /// What is owed, in frames.
    credit: f64,
    /// The clock of the latest one that passed.
    passed: Option<Duration>,
}

impl Thin {
    /// Whether the frame of that clock passes, where `share` of all frames do. To be asked of frames that pass otherwise.
    pub(super) fn passes(&mut self, clock: Duration, share: f64) -> bool {
        // A clock that ran backwards is another session.
        let last = self.passed.filter(|last| *last <= clock);
        self.credit += share;
        // Quarters are exact.
        let passes = self.credit >= 1.0 || last.is_none_or(|last| clock.saturating_sub(last) >= SLOWEST);
        if passes {
            self.credit = (self.credit - 1.0).clamp(0.0, 1.0);
            self.passed = Some(clock);
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passed(fps: f64, share: f64, seconds: f64) -> usize {
        let mut thin = Thin::default();
        let frames = (fps * seconds) as usize;
        (0..frames).filter(|i| thin.passes(Duration::from_secs_f64(*i as f64 / fps), share)).count()
    }

    #[test]
    fn a_share_is_a_share() {
        for (share, expected) in [(1.0, 300), (0.75, 225), (0.5, 150), (0.25, 75)] {
            assert!(passed(30.0, share, 10.0).abs_diff(expected) <= 1, "{share}: {}", passed(30.0, share, 10.0));
        }
    }

    #[test]
    fn slow_cameras_stay_as_they_are() {
        assert_eq!(passed(2.0, 0.25, 30.0), 60);
        assert_eq!(passed(0.2, 0.25, 100.0), 20);
        assert!(passed(5.0, 0.25, 30.0) >= 50, "two a second, or near it");
    }

    #[test]
    fn another_session_begins_with_a_frame() {
        let mut thin = Thin::default();
        assert!(thin.passes(Duration::from_secs(100), 0.25));
        assert!(!thin.passes(Duration::from_millis(100_033), 0.25));
        assert!(thin.passes(Duration::ZERO, 0.25));
    }

    proptest! {
        #[test]
        fn no_gap_is_longer_than_half_a_second_and_a_frame(fps in 3.0_f64..60.0, shares in prop::collection::vec(1_u32..=4, 1..20)) {
            let mut thin = Thin::default();
            let mut last = Duration::ZERO;
            for (i, quarters) in shares.iter().flat_map(|quarters| vec![*quarters; 25]).enumerate() {
                let clock = Duration::from_secs_f64(i as f64 / fps);
                if thin.passes(clock, f64::from(quarters) / 4.0) {
                    prop_assert!(clock.checked_sub(last).unwrap() <= SLOWEST + Duration::from_secs_f64(1.01 / fps));
                    last = clock;
                }
            }
        }
    }
}
