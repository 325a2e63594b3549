//! What a batch of each size costs the engine, measured.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Measurements of one size that are remembered, and how many it takes to believe them.
const REMEMBERED: usize = 8;
const BELIEVED: usize = 4;
/// A size that has not run for this long is measured anew: clocks, temperature and neighbours change.
const FORGET_AFTER: Duration = Duration::from_mins(1);
/// What one batch costs the daemon itself, whatever the engine: the wake-ups of engine, tracking and publishing.
const HOPS: f64 = 50e-6;
/// Least share of the engine's time that company must save.
const WORTH: f64 = 0.1;

/// A straight line through the cost of batches: `fixed + each × size`, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Line {
    /// Paid once for each batch.
    pub(super) fixed: f64,
    /// Paid for each frame.
    pub(super) each: f64,
}

impl Line {
    /// The cost of a batch of `size`.
    pub(super) fn at(&self, size: usize) -> f64 {
        self.fixed + self.each * size as f64
    }

    /// Least squares through `(size, seconds)`, neither part below zero.
    fn through(points: impl Iterator<Item = (f64, f64)> + Clone) -> Self {
        let n = points.clone().count() as f64;
        let (x, y) = points.clone().fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
        let (xx, xy) = points.fold((0.0, 0.0), |(xx, xy), p| (xx + (p.0 - x).powi(2), xy + (p.0 - x) * (p.1 - y)));
        let each = if xx > 0.0 { (xy / xx).clamp(0.0, y / x) } else { 0.0 };
        Self { fixed: (y - each * x).max(0.0), each }
    }
}

/// What the policy needs to know of the engine. Changes only when a batch finishes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct CostModel {
    /// The cost without disturbance (the least of the latest measurements of each size), once two sizes are known.
    pub(super) inherent: Option<Line>,
    /// The only size that is known, if `inherent` is not.
    pub(super) only: Option<usize>,
}

impl CostModel {
    /// Whether it pays to keep `waiting` frames until `coming` more have arrived, each of which would else go alone.
    pub(super) fn company_pays(&self, waiting: usize, coming: usize) -> bool {
        // As long as nothing larger than a single frame is known, waiting is worth a try.
        let Some(line) = self.with_hops() else { return self.only.is_none_or(|size| size == 1) };
        let saved = line.fixed * coming as f64;
        saved >= WORTH * (line.at(waiting) + line.at(1) * coming as f64)
    }

    /// The smallest batch whose cost per frame is near that of the largest one. 1 where batching gains nothing, as on a CPU.
    pub(super) fn efficient_size(&self, max_batch: usize) -> usize {
        // As long as no other size than a large one is known, single frames are worth a try.
        let Some(line) = self.with_hops() else {
            return self.only.map_or(max_batch, |size| if size > 1 { 1 } else { max_batch });
        };
        let enough = (1.0 + WORTH) * line.at(max_batch) / max_batch as f64 - line.each;
        if enough <= 0.0 {
            return 1;
        }
        ((line.fixed / enough).ceil() as usize).clamp(1, max_batch)
    }

    fn with_hops(&self) -> Option<Line> {
        self.inherent.map(|line| Line { fixed: line.fixed + HOPS, ..line })
    }
}

/// What a batch of any size is expected to cost, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Estimate(pub(super) Line);

impl Estimate {
    /// The cost of a batch of `size`.
    pub(super) fn at(&self, size: usize) -> f64 {
        self.0.at(size).max(1e-9)
    }
}

/// The measurements.
#[derive(Debug)]
pub(super) struct Costs {
    sizes: Vec<Measured>,
    model: CostModel,
}

#[derive(Clone, Debug, Default)]
struct Measured {
    latest: VecDeque<f64>,
    at: Option<Instant>,
}

impl Costs {
    /// Nothing measured yet.
    pub(super) fn new(max_batch: usize) -> Self {
        Self { sizes: vec![Measured::default(); max_batch], model: CostModel::default() }
    }

    /// Notes that a batch of `size` took so long.
    pub(super) fn record(&mut self, now: Instant, size: usize, took: Duration) {
        let Some(measured) = size.checked_sub(1).and_then(|i| self.sizes.get_mut(i)) else { return };
        let took = took.as_secs_f64();
        if measured.latest.len() == REMEMBERED {
            measured.latest.pop_front();
        }
        measured.latest.push_back(took);
        measured.at = Some(now);
        for old in &mut self.sizes {
            if old.at.is_some_and(|at| now.saturating_duration_since(at) > FORGET_AFTER) {
                *old = Measured::default();
            }
        }
        self.model = self.fit();
    }

    /// What follows from them.
    pub(super) fn model(&self) -> &CostModel {
        &self.model
    }

    /// What batches are expected to cost; `None` as long as nothing is known. Of one size alone the others are taken to cost in
    /// proportion, so that they are tried.
    pub(super) fn estimate(&self) -> Option<Estimate> {
        let only = |size: usize| {
            let least = self.sizes.get(size.checked_sub(1)?)?.latest.iter().copied().fold(f64::INFINITY, f64::min);
            Some(Line { fixed: 0.0, each: least / size as f64 })
        };
        self.model.inherent.or_else(|| only(self.model.only?)).map(Estimate)
    }

    /// When the latest batch was measured.
    pub(super) fn latest(&self) -> Option<Instant> {
        self.sizes.iter().filter_map(|size| size.at).max()
    }

    fn fit(&self) -> CostModel {
        let known = self.sizes.iter().enumerate().filter(|(_, m)| m.latest.len() >= BELIEVED).map(|(i, m)| (i + 1, m));
        let least = known.clone().map(|(size, m)| (size as f64, m.latest.iter().copied().fold(f64::INFINITY, f64::min)));
        match known.clone().count() {
            0 => CostModel::default(),
            1 => CostModel { inherent: None, only: known.clone().map(|(size, _)| size).next() },
            _ => CostModel { inherent: Some(Line::through(least)), only: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(max: usize, cost_ms: impl Fn(usize) -> f64, sizes: &[usize]) -> Costs {
        let mut costs = Costs::new(max);
        let now = Instant::now();
        for _ in 0..BELIEVED {
            for &size in sizes {
                costs.record(now, size, Duration::from_secs_f64(cost_ms(size) / 1e3));
            }
        }
        costs
    }

    #[test]
    fn on_a_cpu_company_never_pays() {
        let costs = measured(8, |n| 0.3 + 13.0 * n as f64, &[1, 2, 4]);
        assert!(!costs.model().company_pays(1, 7));
        assert_eq!(costs.model().efficient_size(8), 1);
    }

    #[test]
    fn on_a_gpu_it_pays_until_the_batch_is_large() {
        let costs = measured(8, |n| 4.0 + 1.5 * n as f64, &[1, 3, 8]);
        assert!(costs.model().company_pays(1, 7) && costs.model().company_pays(7, 1));
        assert!((5..=7).contains(&costs.model().efficient_size(8)), "{}", costs.model().efficient_size(8));
    }

    #[test]
    fn a_free_engine_still_costs_its_wake_ups() {
        let costs = measured(16, |n| 1e-3 * n as f64, &[1, 2]);
        assert!(costs.model().company_pays(4, 4));
        assert!(costs.model().efficient_size(16) > 8);
    }

    #[test]
    fn one_size_alone_says_nothing_of_the_others() {
        assert!(measured(8, |_| 5.0, &[1]).model().company_pays(1, 3), "worth a try");
        assert!(!measured(8, |_| 5.0, &[8]).model().company_pays(1, 3), "small ones are to be tried");
        assert_eq!(measured(8, |_| 5.0, &[1]).model().efficient_size(8), 8);
        assert_eq!(measured(8, |_| 5.0, &[8]).model().efficient_size(8), 1);
    }

    #[test]
    fn old_measurements_are_forgotten_and_disturbed_ones_ignored() {
        let mut costs = measured(4, |n| 2.0 * n as f64, &[1, 2]);
        let now = Instant::now();
        costs.record(now, 1, Duration::from_secs(1));
        assert!(costs.model().inherent.expect("known").at(1) < 0.003);
        costs.record(now + FORGET_AFTER + Duration::from_secs(1), 1, Duration::from_millis(2));
        assert_eq!(costs.model().inherent, None);
    }
}
