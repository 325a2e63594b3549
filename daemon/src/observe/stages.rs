//! Where the time of a frame goes: one histogram per stage and one for the whole.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::timecard::{STAGES, TimeCard};

/// One row per stage, then the total.
const ROWS: usize = STAGES.len() + 1;
/// What a histogram can tell apart: 1 µs.
const LOWEST_NS: u64 = 1_000;
/// Longer spans count as this long in the quantiles (not in mean and max).
const HIGHEST_NS: u64 = 3_600_000_000_000;
/// Three digits: quantiles are within 0.1 %.
const DIGITS: u8 = 3;

/// One stage (or `total`) over the frames that were measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageSummary {
    /// One of [`STAGES`], or `total`.
    pub name: &'static str,
    /// Frames.
    pub count: u64,
    /// Exact: the stages' means add up to the total's, but for rounding to nanoseconds.
    pub mean: Duration,
    /// Median.
    pub p50: Duration,
    /// 99th percentile.
    pub p99: Duration,
    /// Longest.
    pub max: Duration,
}

#[derive(Clone)]
struct Row {
    histogram: Histogram<u32>,
    sum_ns: u128,
    max_ns: u64,
}

impl Row {
    fn new() -> Self {
        let Ok(histogram) = Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS) else {
            unreachable!("the bounds are constants that a histogram takes")
        };
        Self { histogram, sum_ns: 0, max_ns: 0 }
    }

    fn record(&mut self, span: Duration) {
        let ns = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(ns);
        self.sum_ns += u128::from(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    fn clear(&mut self) {
        self.histogram.reset();
        self.sum_ns = 0;
        self.max_ns = 0;
    }

    fn merged(&self, other: &Self) -> Self {
        let mut merged = self.clone();
        // Equal bounds: adding cannot fail.
        let _ = merged.histogram.add(&other.histogram);
        merged.sum_ns += other.sum_ns;
        merged.max_ns = merged.max_ns.max(other.max_ns);
        merged
    }

    fn summary(&self, name: &'static str) -> StageSummary {
        let count = self.histogram.len();
        let mean = u64::try_from(self.sum_ns / u128::from(count.max(1))).unwrap_or(u64::MAX);
        // A quantile is the upper edge of its bucket, which may lie above the longest span seen.
        let quantile = |q| Duration::from_nanos(self.histogram.value_at_quantile(q).min(self.max_ns));
        StageSummary {
            name,
            count,
            mean: Duration::from_nanos(mean),
            p50: quantile(0.5),
            p99: quantile(0.99),
            max: Duration::from_nanos(self.max_ns),
        }
    }
}

type Rows = [Row; ROWS];

struct Inner {
    current: Rows,
    /// The window before; only with a window.
    previous: Option<(Rows, Duration)>,
    since: Instant,
}

impl Inner {
    /// Old windows leave, so that a daemon that runs for years shows how it is now.
    fn turn(&mut self, now: Instant) {
        let Some((previous, window)) = &mut self.previous else { return };
        let age = now.saturating_duration_since(self.since);
        if age < *window {
            return;
        }
        std::mem::swap(previous, &mut self.current);
        self.current.iter_mut().for_each(Row::clear);
        if age >= *window * 2 {
            previous.iter_mut().for_each(Row::clear);
        }
        self.since = now;
    }
}

/// The time cards of all frames that went the whole way. One lock per call.
pub struct StageTimes {
    inner: Mutex<Inner>,
}

impl StageTimes {
    /// Everything since the start or the last [`Self::reset`]: for benches and runs that end.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::with(None, Instant::now()))
    }

    /// The last one to two windows: for a process that runs for years.
    pub fn windowed(window: Duration) -> Arc<Self> {
        Arc::new(Self::with(Some(window), Instant::now()))
    }

    fn with(window: Option<Duration>, since: Instant) -> Self {
        let rows = || std::array::from_fn(|_| Row::new());
        let inner = Inner { current: rows(), previous: window.map(|window| (rows(), window)), since };
        Self { inner: Mutex::new(inner) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the cards of a batch. A card with a missing mark is left out, so that the stages always add up to the total.
    pub fn record<'a>(&self, cards: impl Iterator<Item = &'a TimeCard>) {
        self.record_at(cards, Instant::now());
    }

    fn record_at<'a>(&self, cards: impl Iterator<Item = &'a TimeCard>, now: Instant) {
        let mut inner = self.lock();
        inner.turn(now);
        for card in cards {
            let spans = card.stages();
            if spans.iter().any(Option::is_none) {
                continue;
            }
            let mut total = Duration::ZERO;
            for (row, span) in inner.current.iter_mut().zip(spans.into_iter().flatten()) {
                row.record(span);
                total += span;
            }
            inner.current[ROWS - 1].record(total);
        }
    }

    /// One summary per stage of [`STAGES`], in its order, then `total`.
    pub fn snapshot(&self) -> Vec<StageSummary> {
        self.snapshot_at(Instant::now())
    }

    fn snapshot_at(&self, now: Instant) -> Vec<StageSummary> {
        let mut inner = self.lock();
        inner.turn(now);
        let rows: Vec<Row> = match &inner.previous {
            Some((previous, _)) => inner.current.iter().zip(previous).map(|(now, before)| now.merged(before)).collect(),
            None => inner.current.to_vec(),
        };
        drop(inner);
        STAGES.into_iter().chain(["total"]).zip(&rows).map(|(name, row)| row.summary(name)).collect()
    }

    /// Forgets everything.
    pub fn reset(&self) {
        let mut inner = self.lock();
        inner.current.iter_mut().for_each(Row::clear);
        if let Some((previous, _)) = &mut inner.previous {
            previous.iter_mut().for_each(Row::clear);
        }
        inner.since = Instant::now();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::timecard::{MARKS, Mark};

    pub(in crate::observe) const ALL: [Mark; MARKS] = [
        Mark::Received,
        Mark::Decoded,
        Mark::Dispatched,
        Mark::Prepared,
        Mark::Inferred,
        Mark::TrackStarted,
        Mark::Tracked,
        Mark::PublishStarted,
        Mark::Published,
    ];

    /// A complete card whose spans are these.
    fn card(start: Instant, spans_ns: &[u64]) -> TimeCard {
        let mut card = TimeCard::received(start);
        let mut at = start;
        for (mark, span) in ALL.into_iter().skip(1).zip(spans_ns) {
            at += Duration::from_nanos(*span);
            card.stamp(mark, at);
        }
        card
    }

    proptest! {
        #[test]
        fn the_means_of_the_stages_add_up_to_the_total(
            frames in prop::collection::vec(prop::collection::vec(0_u64..20_000_000_000, MARKS - 1), 1..60)
        ) {
            let times = StageTimes::new();
            let start = Instant::now();
            let cards: Vec<_> = frames.iter().map(|spans| card(start, spans)).collect();
            times.record(cards.iter());
            let summaries = times.snapshot();
            prop_assert_eq!(summaries.len(), ROWS);
            prop_assert_eq!(summaries[ROWS - 1].name, "total");
            let sum: Duration = summaries[..ROWS - 1].iter().map(|s| s.mean).sum();
            let total = summaries[ROWS - 1].mean;
            // Each mean is rounded down by less than a nanosecond.
            prop_assert!(total >= sum && total.saturating_sub(sum) <= Duration::from_nanos(ROWS as u64 - 1));
            for s in &summaries {
                prop_assert_eq!(s.count, frames.len() as u64);
                prop_assert!(s.p50 <= s.p99 && s.p99 <= s.max);
            }
        }
    }

    #[test]
    fn quantiles_are_those_of_the_spans() {
        let times = StageTimes::new();
        let start = Instant::now();
        let cards: Vec<_> = (1..=1000_u64).map(|i| card(start, &[i * 1_000_000; MARKS - 1])).collect();
        times.record(cards.iter());
        let decode = &times.snapshot()[0];
        assert_eq!(decode.name, "decode");
        let close = |got: Duration, want_ms: f64| (got.as_secs_f64() * 1e3 / want_ms - 1.0).abs() <= 1e-3;
        assert!(close(decode.p50, 500.0), "{:?}", decode.p50);
        assert!(close(decode.p99, 990.0), "{:?}", decode.p99);
        assert_eq!(decode.max, Duration::from_secs(1));
        assert_eq!(decode.mean, Duration::from_micros(500_500));
    }

    #[test]
    fn an_incomplete_card_counts_nowhere() {
        let times = StageTimes::new();
        let start = Instant::now();
        let lost = card(start, &[1_000_000; 3]);
        times.record([lost, card(start, &[1_000_000; MARKS - 1])].iter());
        assert!(times.snapshot().iter().all(|s| s.count == 1), "{:?}", times.snapshot());
    }

    #[test]
    fn nothing_measured_is_zero_and_reset_forgets() {
        let times = StageTimes::new();
        assert!(times.snapshot().iter().all(|s| s.count == 0 && s.mean.is_zero() && s.p99.is_zero()));
        times.record([card(Instant::now(), &[5_000; MARKS - 1])].iter());
        times.reset();
        assert!(times.snapshot().iter().all(|s| s.count == 0 && s.max.is_zero()));
    }

    #[test]
    fn a_window_forgets_what_is_older_than_two() {
        let start = Instant::now();
        let window = Duration::from_mins(1);
        let times = StageTimes::with(Some(window), start);
        let count = |seconds| times.snapshot_at(start + Duration::from_secs(seconds))[0].count;
        times.record_at([card(start, &[5_000; MARKS - 1])].iter(), start);
        assert_eq!(count(59), 1);
        times.record_at([card(start, &[5_000; MARKS - 1])].iter(), start + Duration::from_secs(61));
        assert_eq!(count(62), 2, "the window before still counts");
        assert_eq!(count(122), 1, "the first window is gone");
        assert_eq!(count(400), 0, "and after a pause nothing is left");
    }

    #[test]
    fn a_span_beyond_the_histogram_keeps_its_mean_and_max() {
        let times = StageTimes::new();
        let span = 2 * HIGHEST_NS;
        times.record([card(Instant::now(), &[span; MARKS - 1])].iter());
        let decode = &times.snapshot()[0];
        assert_eq!((decode.mean, decode.max), (Duration::from_nanos(span), Duration::from_nanos(span)));
        assert!(decode.p99 >= Duration::from_nanos(HIGHEST_NS));
    }
}
