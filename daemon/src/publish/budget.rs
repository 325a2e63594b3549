//! Bytes a second that a broker gets at most, and what is left out first when there are more.

use tokio::time::Instant;

use super::sort::Worth;

/// Of one second's bytes, how many are left for what weighs more than messages of frames.
const RESERVED: f64 = 0.5;

/// A bucket of bytes that fills at the configured rate and holds what comes in a second. Messages of frames take of its upper half only,
/// updates of tracks down to its ground, and what lasts is taken in any case: then there is a debt, of one second's bytes at most, so that
/// no burst silences the rest for long.
#[derive(Debug)]
pub(super) struct Budget {
    rate: f64,
    level: f64,
    at: Instant,
}

impl Budget {
    pub(super) fn new(bytes_per_second: u64, now: Instant) -> Self {
        let rate = bytes_per_second as f64;
        Self { rate, level: rate, at: now }
    }

    /// Whether a message of this worth may leave now.
    pub(super) fn has_room(&mut self, worth: Worth, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at);
        self.at = now;
        self.level = (self.level + self.rate * passed.as_secs_f64()).min(self.rate);
        match worth {
            Worth::Frame => self.level > self.rate * RESERVED,
            Worth::Update => self.level > 0.0,
            Worth::Lasting | Worth::End | Worth::Event => true,
        }
    }

    /// It left.
    pub(super) fn spend(&mut self, bytes: u64) {
        self.level = (self.level - bytes as f64).max(-self.rate);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: std::time::Duration = std::time::Duration::from_millis(1);

    /// What leaves in ten seconds of so many bytes a second of each weight, in messages of 100 bytes.
    fn left(budget: u64, offered: [u64; 3]) -> [u64; 3] {
        let start = Instant::now();
        let (mut budget, mut left, mut due) = (Budget::new(budget, start), [0; 3], [0; 3]);
        for ms in 0..10_000 {
            for (at, weight) in [Worth::Frame, Worth::Update, Worth::Lasting].into_iter().enumerate() {
                due[at] += offered[at];
                while due[at] >= 100 * 1000 {
                    due[at] -= 100 * 1000;
                    if budget.has_room(weight, start + ms * MS) {
                        budget.spend(100);
                        left[at] += 10;
                    }
                }
            }
        }
        left
    }

    #[test]
    fn frames_go_first_then_updates_and_the_rest_never() {
        assert_eq!(left(100_000, [50_000, 20_000, 20_000]), [50_000, 20_000, 20_000], "all fits");
        let [frames, updates, lasting] = left(100_000, [200_000, 20_000, 20_000]);
        assert!((55_000..70_000).contains(&frames), "thinned, not silenced: {frames}");
        assert_eq!((updates, lasting), (20_000, 20_000));
        let [frames, updates, lasting] = left(100_000, [200_000, 200_000, 50_000]);
        assert!(frames < 10_000 && (45_000..65_000).contains(&updates), "{frames} {updates}");
        assert_eq!(lasting, 50_000);
        assert_eq!(left(10_000, [0, 50_000, 80_000])[2], 80_000, "whatever it costs");
    }

    proptest! {
        /// Over any time, frames and updates never cost more than the rate and one full bucket.
        #[test]
        fn the_rate_holds(rate in 1_000_u64..1_000_000, messages in prop::collection::vec((0..50_u32, 1..2_000_u64, any::<bool>()), 0..300)) {
            let start = Instant::now();
            let (mut budget, mut now, mut spent) = (Budget::new(rate, start), start, 0);
            for (pause, bytes, frame) in messages {
                now += pause * MS;
                if budget.has_room(if frame { Worth::Frame } else { Worth::Update }, now) {
                    budget.spend(bytes);
                    spent += bytes;
                }
            }
            let allowed = rate as f64 * (1.0 + (now - start).as_secs_f64()) + 2_000.0;
            prop_assert!(spent as f64 <= allowed, "{spent} of {allowed}");
        }
    }
}
