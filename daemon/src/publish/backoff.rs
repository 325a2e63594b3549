//! Jittered, growing pauses between attempts to connect.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// A connection that held this long was a good one.
pub(super) const GOOD: Duration = Duration::from_secs(5);

/// Doubles up to [`LONGEST`]; each pause is a random part of that, so that a fleet does not come back as one wave.
#[derive(Debug)]
pub(super) struct Backoff {
    ceiling: Duration,
    random: RandomState,
    draws: u64,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { ceiling: FIRST, random: RandomState::new(), draws: 0 }
    }

    /// The pause after a link that held for `held` since the broker accepted it, if it did.
    pub(super) fn pause(&mut self, held: Option<Duration>) -> Duration {
        if held.is_some_and(|held| held >= GOOD) {
            self.ceiling = FIRST;
        }
        self.draws += 1;
        // The standard library's keyed hash of a counter: random enough to spread attempts.
        let draw = (self.random.hash_one(self.draws) >> 11) as f64 / (1u64 << 53) as f64;
        let pause = self.ceiling.mul_f64(0.25 + 0.75 * draw);
        self.ceiling = (self.ceiling * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_start_again_after_a_good_connection() {
        let mut backoff = Backoff::new();
        let mut ceiling = FIRST;
        for _ in 0..12 {
            let pause = backoff.pause(None);
            assert!(pause >= ceiling / 4 && pause <= ceiling, "{pause:?} of {ceiling:?}");
            ceiling = (ceiling * 2).min(LONGEST);
        }
        assert!(backoff.pause(Some(Duration::from_secs(1))) >= LONGEST / 4, "a broker that throws us out at once is no good one");
        assert!(backoff.pause(Some(Duration::from_secs(10))) <= FIRST);
    }

    #[test]
    fn two_devices_do_not_come_back_together() {
        let (mut one, mut other) = (Backoff::new(), Backoff::new());
        let pauses = |backoff: &mut Backoff| (0..4).map(|_| backoff.pause(None)).collect::<Vec<_>>();
        assert_ne!(pauses(&mut one), pauses(&mut other));
    }
}
