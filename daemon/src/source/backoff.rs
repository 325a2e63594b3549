//! How long to wait before the next attempt. Pure: the caller brings the luck.

use std::time::Duration;

/// The limits of the waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffLimits {
    /// After the first failure.
    pub first: Duration,
    /// Towards a camera that gives nothing.
    pub ceiling: Duration,
    /// Towards a camera that gives pictures, but not for long.
    pub flapping_ceiling: Duration,
    /// Pictures for this long make a camera healthy: its failures are forgotten.
    pub healthy: Duration,
}

impl Default for BackoffLimits {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            ceiling: Duration::from_secs(30),
            flapping_ceiling: Duration::from_secs(2),
            healthy: Duration::from_mins(1),
        }
    }
}

/// Doubles the wait with each failure.
#[derive(Clone, Debug)]
pub struct Backoff {
    limits: BackoffLimits,
    failures: u32,
}

impl Backoff {
    /// Nothing has failed yet.
    pub fn new(limits: BackoffLimits) -> Self {
        Self { limits, failures: 0 }
    }

    /// The wait after a session that gave pictures for `pictures` (`None`: it never gave any). `luck` in `0..1` takes up to half of
    /// it away, so that cameras behind one switch do not come back all at once.
    pub fn after(&mut self, pictures: Option<Duration>, luck: f64) -> Duration {
        let BackoffLimits { first, ceiling, flapping_ceiling, healthy } = self.limits;
        match pictures {
            Some(lasted) if lasted >= healthy => self.failures = 0,
            // It is there: what it failed before counts no more than what a flapping camera is waited for.
            Some(_) => {
                while self.failures > 0 && first.saturating_mul(2_u32.saturating_pow(self.failures)) > flapping_ceiling {
                    self.failures -= 1;
                }
            }
            None => {}
        }
        let wait = first.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        let wait = wait.min(if pictures.is_some() { flapping_ceiling } else { ceiling });
        wait.mul_f64(1.0 - 0.5 * luck.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_double_up_to_the_ceiling() {
        let mut backoff = Backoff::new(BackoffLimits::default());
        let waits: Vec<u64> = (0..9).map(|_| backoff.after(None, 0.0).as_millis() as u64).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    }

    #[test]
    fn a_camera_that_gives_pictures_is_never_waited_for_long() {
        let mut backoff = Backoff::new(BackoffLimits::default());
        for _ in 0..50 {
            assert!(backoff.after(Some(Duration::from_secs(1)), 0.0) <= Duration::from_secs(2));
        }
        assert_eq!(backoff.after(Some(Duration::from_mins(1)), 0.0), Duration::from_millis(500), "healthy: forgotten");
        assert_eq!(backoff.after(None, 0.0), Duration::from_secs(1));
    }

    #[test]
    fn pictures_shorten_the_waits_that_follow() {
        let mut backoff = Backoff::new(BackoffLimits::default());
        for _ in 0..20 {
            backoff.after(None, 0.0);
        }
        assert_eq!(backoff.after(Some(Duration::from_secs(5)), 0.0), Duration::from_secs(2));
        assert_eq!(backoff.after(None, 0.0), Duration::from_secs(4), "not the half minute of before");
    }

    proptest! {
        #[test]
        fn every_wait_is_within_its_limits(sessions in proptest::collection::vec((proptest::option::of(0_u64..200), 0.0..1.0_f64), 1..200)) {
            let mut backoff = Backoff::new(BackoffLimits::default());
            for (pictures, luck) in sessions {
                let wait = backoff.after(pictures.map(Duration::from_secs), luck);
                prop_assert!(wait >= Duration::from_millis(250) && wait <= Duration::from_secs(30));
            }
        }
    }
}
