//! Frame-rate caps.

use std::time::Duration;

/// Which cap a frame ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    /// Above `max_fps`.
    Capped,
    /// Sooner than what goes on in the picture asks for.
    Gated,
}

/// When the latest frame passed, on the stream's clock.
#[derive(Debug, Default)]
pub(super) struct Cap {
    passed: Option<Passed>,
}

#[derive(Clone, Copy, Debug)]
struct Passed {
    clock: Duration,
    /// When it would have passed on a grid of the cap's own. The grid moves in whole intervals, so that 30 frames per second capped
    /// to 20 become 20 and not 15, and falls behind by one interval at most, so that no burst makes up for a pause.
    grid: Duration,
}

impl Cap {
    /// Lets the frame of that clock pass or not. `pace`: the least time since the latest one that passed, beside the cap.
    pub(super) fn check(&mut self, clock: Duration, max: Option<f64>, pace: Duration) -> Verdict {
        let max = interval(max);
        // A clock that ran backwards is another session: the grid starts over.
        let Some(Passed { grid, .. }) = self.passed.filter(|passed| passed.clock <= clock) else {
            self.passed = Some(Passed { clock, grid: clock });
            return Verdict::Pass;
        };
        if grid + max > clock {
            return Verdict::Capped;
        }
        if grid + pace > clock {
            return Verdict::Gated;
        }
        let grid = (grid + max.max(pace)).max(clock.saturating_sub(max.max(pace)));
        self.passed = Some(Passed { clock, grid });
        Verdict::Pass
    }

    /// Forgets the past: the clock changes.
    pub(super) fn reset(&mut self) {
        self.passed = None;
    }
}

/// The time between frames. Rates from the configuration are in range; anything else is no cap rather than a panic.
pub(super) fn interval(fps: Option<f64>) -> Duration {
    fps.and_then(|fps| Duration::try_from_secs_f64(1.0 / fps).ok()).unwrap_or_default().min(Duration::from_hours(24))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passed(fps_in: f64, max: Option<f64>, idle: Option<f64>, seconds: f64) -> usize {
        let pace = interval(idle);
        let mut cap = Cap::default();
        let frames = (fps_in * seconds) as usize;
        let clock = |i: usize| Duration::from_secs_f64(i as f64 / fps_in);
        (0..frames).filter(|i| cap.check(clock(*i), max, pace) == Verdict::Pass).count()
    }

    #[test]
    fn a_cap_is_reached_and_not_undercut() {
        assert_eq!(passed(30.0, Some(20.0), None, 10.0).abs_diff(200), 0);
        assert!(passed(30.0, Some(29.0), None, 10.0).abs_diff(290) <= 1);
        assert!(passed(30.0, Some(30.0), None, 10.0) >= 298);
        assert_eq!(passed(30.0, None, None, 10.0), 300);
        assert!(passed(30.0, Some(20.0), Some(2.0), 10.0).abs_diff(20) <= 1, "the lower one counts");
    }

    #[test]
    fn the_reason_is_the_cap_that_it_ran_into() {
        let mut cap = Cap::default();
        let ms = Duration::from_millis;
        assert_eq!(cap.check(ms(0), Some(10.0), ms(1000)), Verdict::Pass);
        assert_eq!(cap.check(ms(50), Some(10.0), ms(1000)), Verdict::Capped);
        assert_eq!(cap.check(ms(150), Some(10.0), ms(1000)), Verdict::Gated);
        assert_eq!(cap.check(ms(200), Some(10.0), ms(0)), Verdict::Pass, "activity lifts the gate at once");
        assert_eq!(cap.check(ms(10), Some(10.0), ms(0)), Verdict::Pass, "another session");
    }

    #[test]
    fn nonsense_is_no_cap() {
        for fps in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(interval(Some(fps)), Duration::ZERO, "{fps}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_the_cap_is_kept(gaps in prop::collection::vec(0_u64..400, 1..300), fps in 0.5_f64..60.0) {
            let mut cap = Cap::default();
            let mut clock = Duration::ZERO;
            let mut times = Vec::new();
            for gap in gaps {
                clock += Duration::from_millis(gap);
                if cap.check(clock, Some(fps), Duration::ZERO) == Verdict::Pass {
                    times.push(clock.as_secs_f64());
                }
            }
            for (i, start) in times.iter().enumerate() {
                for (n, end) in times[i..].iter().enumerate() {
                    prop_assert!(n as f64 <= (end - start) * fps + 1.01, "{n} frames after the first in {} s", end - start);
                }
            }
        }
    }
}
