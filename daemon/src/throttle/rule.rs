//! The rule: from "is it throttled now" to the share of their frames that cameras are looked at.
//!
//! One step down for each 10 s of throttling; time without drains what has gathered at a sixth of its speed. One step up after a minute without any
//! throttling, and twice as long after each step up that had to be taken back, up to 16 minutes. Why: `docs/board.md`.

use std::time::{Duration, Instant};

/// The shares, from all frames to a quarter of them.
const SHARES: [f64; 4] = [1.0, 0.75, 0.5, 0.25];
/// So much throttling costs one step.
const DOWN_AFTER: Duration = Duration::from_secs(10);
/// So long without any gives one back.
const UP_AFTER: Duration = Duration::from_mins(1);
/// The longest that it takes after steps up that had to be taken back.
const UP_AT_LATEST: Duration = Duration::from_mins(16);
/// Time without throttling counts against time with it as one to so much.
const DRAIN: u32 = 6;
/// Nothing is known of longer gaps between two readings: they count as so long.
const LONGEST_GAP: Duration = Duration::from_secs(5);

/// Which way it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// One step down.
    Less,
    /// One step up.
    More,
}

/// What the rule remembers.
#[derive(Clone, Debug)]
pub struct Rule {
    step: usize,
    /// Throttling that has gathered since the last step down.
    heat: Duration,
    /// Since when there is none.
    clear_since: Option<Instant>,
    /// So long must there be none for a step up.
    patience: Duration,
    /// Whether the last step was one up.
    rose: bool,
    last: Option<Instant>,
}

impl Default for Rule {
    fn default() -> Self {
        Self { step: 0, heat: Duration::ZERO, clear_since: None, patience: UP_AFTER, rose: false, last: None }
    }
}

impl Rule {
    /// The share of their frames that cameras are looked at: 1, 0.75, 0.5 or 0.25.
    pub fn share(&self) -> f64 {
        SHARES[self.step]
    }

    /// Takes a reading in; `now` does not run backwards.
    pub fn take(&mut self, now: Instant, throttled: bool) -> Option<Change> {
        let passed = self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last)).min(LONGEST_GAP);
        self.last = Some(now);
        if throttled { self.hot(passed) } else { self.cool(now, passed) }
    }

    fn hot(&mut self, passed: Duration) -> Option<Change> {
        self.clear_since = None;
        self.heat += passed;
        if self.heat < DOWN_AFTER {
            return None;
        }
        self.heat = Duration::ZERO;
        if self.rose {
            self.patience = (2 * self.patience).min(UP_AT_LATEST);
        }
        self.rose = false;
        if self.step + 1 == SHARES.len() {
            return None;
        }
        self.step += 1;
        Some(Change::Less)
    }

    fn cool(&mut self, now: Instant, passed: Duration) -> Option<Change> {
        self.heat = self.heat.saturating_sub(passed / DRAIN);
        let since = *self.clear_since.get_or_insert(now);
        if now.saturating_duration_since(since) < self.patience {
            return None;
        }
        // The next step takes as long again.
        self.clear_since = Some(now);
        if self.step == 0 {
            self.patience = UP_AFTER;
            self.rose = false;
            return None;
        }
        self.step -= 1;
        self.rose = true;
        Some(Change::More)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A reading every two seconds; `throttled` is told the second and the share. The changes with their seconds, and the share at each reading.
    fn run(seconds: u64, mut throttled: impl FnMut(u64, f64) -> bool) -> (Vec<(u64, Change)>, Vec<f64>) {
        let (start, mut rule) = (Instant::now(), Rule::default());
        let (mut changes, mut shares) = (Vec::new(), Vec::new());
        for second in (0..seconds).step_by(2) {
            let is = throttled(second, rule.share());
            changes.extend(rule.take(start + Duration::from_secs(second), is).map(|change| (second, change)));
            shares.push(rule.share());
        }
        (changes, shares)
    }

    #[test]
    fn throttling_takes_a_step_every_ten_seconds_and_a_minute_without_gives_one_back() {
        use Change::{Less, More};
        let (changes, shares) = run(300, |second, _| (20..70).contains(&second));
        assert_eq!(changes, [(28, Less), (38, Less), (48, Less), (130, More), (190, More), (250, More)]);
        assert_eq!((shares.get(30), shares.last()), (Some(&0.25), Some(&1.0)));
    }

    #[test]
    fn short_throttling_changes_nothing() {
        assert_eq!(run(3600, |second, _| second % 60 < 8).0, [], "8 s of each minute drain away");
        assert_eq!(run(3600, |second, _| second % 60 < 12).0[0].1, Change::Less, "12 s of each minute do not");
    }

    /// A board that is throttled at more than half of its frames, and takes half a minute to warm up and cool down.
    #[test]
    fn a_board_that_stands_no_more_than_half_is_not_swung_up_and_down() {
        let mut warmth: f64 = 0.0;
        let (changes, shares) = run(4 * 3600, |_, share| {
            warmth = (warmth + if share > 0.5 { 2.0 } else { -2.0 }).clamp(0.0, 60.0);
            warmth > 30.0
        });
        let late = changes.iter().filter(|(second, _)| *second >= 3600).count();
        assert!(late <= 3 * 8, "{late} changes in three hours: {changes:?}");
        let good = shares.iter().skip(1800).filter(|share| **share <= 0.5).count() as f64;
        assert!(good / (shares.len() - 1800) as f64 > 0.9, "{changes:?}");
    }

    #[test]
    fn patience_is_regained_at_full_rates() {
        use Change::{Less, More};
        // Thrown back three times, then an hour of peace, then hot once more.
        let (changes, _) = run(3 * 3600, |second, share| (second < 1800 && share > 0.75) || (second > 7200 && second < 7220));
        let tried: Vec<_> = changes.iter().filter(|(second, _)| *second < 7200).map(|(second, _)| *second).collect();
        let tries: Vec<_> = tried.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 10).collect();
        assert_eq!(tries, [62, 122, 242, 482, 962], "{changes:?}");
        assert_eq!(changes[changes.len() - 2..], [(7210, Less), (7280, More)], "a minute again");
    }

    proptest! {
        #[test]
        fn whatever_comes_the_rule_is_kept(spans in prop::collection::vec((0_u64..120, any::<bool>()), 1..60)) {
            let truth: Vec<bool> = spans.iter().flat_map(|(length, is)| vec![*is; *length as usize]).collect();
            let (changes, shares) = run(2 * truth.len() as u64, |second, _| truth[second as usize / 2]);
            prop_assert!(shares.iter().all(|share| SHARES.contains(share)));
            for pair in changes.windows(2) {
                prop_assert!(pair[1].0 - pair[0].0 >= 10, "{pair:?}");
            }
            for (second, change) in &changes {
                let at = *second as usize / 2;
                match change {
                    Change::Less => prop_assert!(truth[at], "down without throttling at {second}"),
                    Change::More => prop_assert!(truth[at - 30..=at].iter().all(|is| !is), "up within a minute of it at {second}"),
                }
            }
        }
    }

    #[test]
    fn a_gap_is_not_held_against_anybody() {
        let (start, mut rule) = (Instant::now(), Rule::default());
        assert_eq!(rule.take(start, true), None);
        assert_eq!(rule.take(start + Duration::from_hours(1), true), None, "nobody knows what was in between");
        assert_eq!(rule.take(start + Duration::from_hours(1) + Duration::from_secs(5), true), Some(Change::Less));
    }
}
