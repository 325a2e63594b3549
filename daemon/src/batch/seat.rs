//! Engine instances of unequal speed: how much of what waits each may take.
//!
//! A free instance pulls. While the others can keep up with the cameras, it takes no more than it will have done by the time at which
//! one of the others would have the same frames done, a quarter of that time aside: so a slow one helps out behind a busy fast one, and
//! never makes frames older by taking them away from it. Where the others cannot keep up, each batch is a gain in frames, and it takes
//! as it would alone. To one that is clearly faster and free it leaves everything.

use std::time::{Duration, Instant};

use super::cost::{Costs, Estimate};

/// What counts as equally fast: instances of one kind differ by as much from moment to moment.
const SLACK: f64 = 1.25;
/// The share of what the others can do at which they are said to keep up no more.
const BUSY: f64 = 0.95;
/// An instance that was not needed for so long is given a frame, to learn what it costs now.
const PROBE_AFTER: Duration = Duration::from_mins(1);

/// What an instance is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Doing {
    /// It waits for work.
    Waits,
    /// It works on a batch, until about then.
    Works { until: Instant },
    /// It has handed its batch on and will be back.
    Back { since: Instant },
    /// It will not be back.
    Gone,
}

/// A thread that takes work: one lane of an engine, or the only one.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) engine: usize,
    pub(super) doing: Doing,
}

/// What executes one batch after the other, whoever brings them: all its seats have one cost.
#[derive(Debug)]
pub(super) struct Engine {
    /// Its device. Engines of one device take from one queue, where there are several.
    pub(super) group: usize,
    /// The name that its seats gave, if they share it.
    pub(super) name: Option<usize>,
    pub(super) costs: Costs,
}

impl Engine {
    /// Whether what is known of its cost is too old to go by.
    pub(super) fn is_forgotten(&self, now: Instant) -> bool {
        self.costs.latest().is_none_or(|at| now.saturating_duration_since(at) > PROBE_AFTER)
    }
}

/// Seconds until an engine is free for another batch, and whether one of its seats waits for it while it does nothing.
///
/// One that is late by so much is believed to stay away for as long again.
pub(super) fn ready(seats: impl Iterator<Item = Doing> + Clone, now: Instant) -> (f64, bool) {
    let away = |at: Instant| (at.max(now) - at.min(now)).as_secs_f64();
    let works = seats.clone().filter_map(|doing| if let Doing::Works { until } = doing { Some(until) } else { None });
    if let Some(until) = works.max() {
        return (away(until), false);
    }
    if seats.clone().any(|doing| doing == Doing::Waits) {
        return (0.0, true);
    }
    let back = seats.filter_map(|doing| if let Doing::Back { since } = doing { Some(away(since)) } else { None });
    (back.fold(f64::INFINITY, f64::min), false)
}

/// Another engine whose seats take from the same queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Other {
    /// Seconds until it is free.
    pub(super) ready: f64,
    /// Whether it waits for work.
    pub(super) waits: bool,
    /// What batches cost it.
    pub(super) estimate: Estimate,
}

/// The most that an engine of this cost, free in so many seconds, may take of `waiting` frames, and when it is to ask again where that is
/// none.
pub(super) fn allowance(
    (own, begins): (&Estimate, f64),
    others: &(impl Iterator<Item = Other> + Clone),
    (waiting, max_batch): (usize, usize),
    keep_up: bool,
) -> Result<usize, Duration> {
    let together = waiting.min(max_batch);
    let soonest = others.clone().map(|other| other.ready + other.estimate.at(together)).fold(f64::INFINITY, f64::min);
    let faster = others.clone().any(|other| other.waits && other.estimate.at(together) * SLACK < own.at(together));
    if soonest.is_infinite() || !keep_up && !faster {
        return Ok(max_batch);
    }
    let sizes = if faster { 0..0 } else { 1..together + 1 };
    let done_in_time = sizes.rev().find(|size| begins + own.at(*size) <= soonest * SLACK);
    // By then one that should have taken them and did not is so late that this one may.
    done_in_time.ok_or_else(|| Duration::from_secs_f64((soonest + begins + own.at(1)).min(1.0)))
}

/// Whether instances can do so many frames a second.
pub(super) fn keep_up(others: impl Iterator<Item = Other>, cohort: usize, rate: f64) -> bool {
    rate <= BUSY * others.map(|other| cohort as f64 / other.estimate.at(cohort)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::cost::Line, *};

    fn gpu() -> Estimate {
        Estimate(Line { fixed: 0.004, each: 0.002 })
    }

    fn dla() -> Estimate {
        Estimate(Line { fixed: 0.010, each: 0.010 })
    }

    fn busy(estimate: Estimate, ready: f64) -> Other {
        Other { ready, waits: false, estimate }
    }

    fn ask(own: Estimate, others: &[Other], waiting: usize, keep_up: bool) -> Result<usize, Duration> {
        allowance((&own, 0.0), &others.iter().copied(), (waiting, 8), keep_up)
    }

    #[test]
    fn alone_it_takes_all() {
        assert_eq!(ask(dla(), &[], 3, true), Ok(8));
    }

    #[test]
    fn a_slow_one_takes_what_it_has_done_by_then() {
        // The fast one would have 8 frames done in 15 + 20 ms, or 43.75 with the slack: three of the slow one's, 40 ms.
        assert_eq!(ask(dla(), &[busy(gpu(), 0.015)], 8, true), Ok(3));
        // Just begun upon a large batch elsewhere: more.
        assert_eq!(ask(dla(), &[busy(gpu(), 0.060)], 8, true), Ok(8));
        // Nearly done: none, and it asks again when the fast one is late.
        let later = ask(dla(), &[busy(gpu(), 0.001)], 2, true).expect_err("leaves them");
        assert!(later > Duration::from_millis(9) && later < Duration::from_millis(60), "{later:?}");
    }

    #[test]
    fn where_the_others_cannot_keep_up_it_takes_as_it_would_alone() {
        assert_eq!(ask(dla(), &[busy(gpu(), 0.001)], 2, false), Ok(8));
        // But not past a faster one that is free.
        let free = Other { waits: true, ..busy(gpu(), 0.0) };
        assert!(ask(dla(), &[free], 2, false).is_err());
        assert_eq!(ask(gpu(), &[Other { waits: true, ..busy(dla(), 0.0) }], 2, false), Ok(8));
    }

    #[test]
    fn equals_do_not_wait_for_each_other() {
        for (own, other) in [(0.0130, 0.0131), (0.0131, 0.0130), (0.0120, 0.0145), (0.0145, 0.0120)] {
            let flat = |each| Estimate(Line { fixed: 0.0, each });
            assert_eq!(ask(flat(own), &[Other { waits: true, ..busy(flat(other), 0.0) }], 4, true), Ok(4));
        }
    }

    #[test]
    fn lanes_of_one_engine_are_free_when_it_is() {
        let now = Instant::now();
        let at = |ms: u64| now + Duration::from_millis(ms);
        let of = |seats: &[Doing], now| ready(seats.iter().copied(), now);
        assert_eq!(of(&[Doing::Waits, Doing::Works { until: at(20) }], now), (0.02, false));
        assert_eq!(of(&[Doing::Waits, Doing::Back { since: now }], at(5)), (0.0, true));
        // Late by 30 ms, and believed to take 30 more.
        assert_eq!(of(&[Doing::Works { until: at(20) }, Doing::Works { until: at(10) }], at(50)), (0.03, false));
        assert_eq!(of(&[Doing::Back { since: now }], at(3)), (0.003, false));
        // A batch that begins when the other lane's has ended is done that much later.
        assert_eq!(allowance((&gpu(), 0.020), &[busy(dla(), 0.0)].into_iter(), (8, 8), true), Ok(8));
        assert_eq!(allowance((&gpu(), 0.010), &[busy(gpu(), 0.0)].into_iter(), (8, 8), true), Ok(5));
    }

    #[test]
    fn what_the_others_can_do() {
        // 8 in 20 ms: 400 a second, of which 380 count.
        assert!(keep_up([busy(gpu(), 0.0)].into_iter(), 8, 370.0));
        assert!(!keep_up([busy(gpu(), 0.0)].into_iter(), 8, 390.0));
        assert!(keep_up([busy(gpu(), 0.0), busy(dla(), 0.0)].into_iter(), 8, 390.0));
        assert!(!keep_up([].into_iter(), 8, 0.1));
    }

    fn any_estimate() -> impl Strategy<Value = Estimate> {
        (0.0_f64..0.1, 1e-5_f64..0.1).prop_map(|(fixed, each)| Estimate(Line { fixed, each }))
    }

    fn any_other() -> impl Strategy<Value = Other> {
        (any_estimate(), 0.0_f64..0.5, any::<bool>()).prop_map(|(estimate, ready, waits)| Other {
            ready: if waits { 0.0 } else { ready },
            waits,
            estimate,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn no_frame_is_done_later_than_a_quarter_after_another_would_have_it(own in any_estimate(),
                others in prop::collection::vec(any_other(), 1..5), waiting in 1_usize..40) {
            let together = waiting.min(8);
            let soonest = others.iter().map(|o| o.ready + o.estimate.at(together)).fold(f64::INFINITY, f64::min);
            match ask(own, &others, waiting, true) {
                Ok(taken) => {
                    prop_assert!((1..=together).contains(&taken));
                    prop_assert!(own.at(taken) <= soonest * SLACK + 1e-12);
                    // And no less than that.
                    prop_assert!(taken == together || own.at(taken + 1) > soonest * SLACK);
                }
                Err(later) => {
                    let faster = others.iter().any(|o| o.waits && o.estimate.at(together) * SLACK < own.at(together));
                    prop_assert!(faster || own.at(1) > soonest * SLACK);
                    prop_assert!(later > Duration::ZERO);
                }
            }
        }

        #[test]
        fn one_of_them_always_may(all in prop::collection::vec(any_estimate(), 1..6), waiting in 1_usize..40, keep_up in any::<bool>()) {
            // All are free: whoever is fastest with what waits takes of it.
            let together = waiting.min(8);
            let fastest = (0..all.len()).min_by(|a, b| all[*a].at(together).total_cmp(&all[*b].at(together))).expect("some");
            let others: Vec<Other> = (0..all.len()).filter(|i| *i != fastest)
                .map(|i| Other { ready: 0.0, waits: true, estimate: all[i] }).collect();
            prop_assert!(ask(all[fastest], &others, waiting, keep_up).is_ok_and(|taken| taken >= together));
        }
    }
}
