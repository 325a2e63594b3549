//! The ranges that values take, from histograms of bounded size that grow with what they see.

use std::collections::BTreeMap;

/// Bins of a histogram of magnitudes, and of those of single channels, of which there are many.
const BINS: usize = 2048;
const CHANNEL_BINS: usize = 256;
/// Magnitudes that 8 bits tell apart beside zero.
const LEVELS: usize = 128;
/// Candidate thresholds of the entropy method are this many bins apart.
const STEP: usize = 8;

/// How a range is chosen from what was observed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// The largest magnitude that was seen.
    MinMax,
    /// The magnitude that this share of the values stays within, in percent.
    Percentile(f64),
    /// The threshold whose quantized distribution diverges least from what was seen (Kullback–Leibler; S. Migacz, "8-bit
    /// Inference with TensorRT", GTC 2017).
    Entropy,
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MinMax => f.write_str("minmax"),
            Self::Percentile(percent) => write!(f, "percentile {percent}"),
            Self::Entropy => f.write_str("entropy"),
        }
    }
}

/// A histogram of magnitudes, `[0, bins·width)`. When a larger one comes, neighbouring bins are joined until it fits.
#[derive(Clone, Debug)]
pub struct Histogram {
    bins: Vec<u64>,
    width: f64,
    max: f32,
    count: u64,
    not_finite: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::of(BINS)
    }
}

impl Histogram {
    fn of(bins: usize) -> Self {
        Self { bins: vec![0; bins], width: 0.0, max: 0.0, count: 0, not_finite: 0 }
    }

    /// One of a single channel: coarser.
    pub(super) fn of_channel() -> Self {
        Self::of(CHANNEL_BINS)
    }

    /// Adds values.
    pub fn observe(&mut self, values: &[f32]) {
        let max = values.iter().filter(|v| v.is_finite()).fold(0.0_f32, |max, v| max.max(v.abs()));
        self.make_room(max);
        let last = self.bins.len() - 1;
        let per_width = if self.width > 0.0 { 1.0 / self.width } else { 0.0 };
        for value in values {
            if value.is_finite() {
                let bin = (f64::from(value.abs()) * per_width) as usize;
                self.bins[bin.min(last)] += 1;
            } else {
                self.not_finite += 1;
            }
        }
        self.count += values.len() as u64;
    }

    fn make_room(&mut self, max: f32) {
        let bins = self.bins.len();
        self.max = self.max.max(max);
        if max > 0.0 && self.width == 0.0 {
            self.width = f64::from(max) / bins as f64;
        }
        while f64::from(max) > self.width * bins as f64 {
            for i in 0..bins {
                self.bins[i] = if i < bins / 2 { self.bins[2 * i] + self.bins[2 * i + 1] } else { 0 };
            }
            self.width *= 2.0;
        }
    }

    /// The largest magnitude that was seen.
    pub fn max(&self) -> f32 {
        self.max
    }

    /// Values that are no finite numbers.
    pub fn not_finite(&self) -> u64 {
        self.not_finite
    }

    /// The magnitude that becomes 127; 0 where nothing but zeros was seen.
    pub fn limit(&self, method: Method) -> f32 {
        let limit = match method {
            Method::MinMax => f64::from(self.max),
            Method::Percentile(percent) => self.percentile(percent),
            Method::Entropy => self.entropy(),
        };
        (limit as f32).min(self.max)
    }

    /// The share of the values whose magnitude is beyond `limit`, to the width of a bin.
    pub fn share_beyond(&self, limit: f32) -> f64 {
        if self.width == 0.0 || self.count == 0 {
            return 0.0;
        }
        let first = ((f64::from(limit) / self.width).ceil() as usize).min(self.bins.len());
        self.bins[first..].iter().sum::<u64>() as f64 / self.count as f64
    }

    fn percentile(&self, percent: f64) -> f64 {
        let total: u64 = self.bins.iter().sum();
        let wanted = percent.clamp(0.0, 100.0) / 100.0 * total as f64;
        let mut sum = 0;
        for (i, count) in self.bins.iter().enumerate() {
            sum += count;
            if sum as f64 >= wanted {
                return (i + 1) as f64 * self.width;
            }
        }
        f64::from(self.max)
    }

    fn entropy(&self) -> f64 {
        let mut counts: Vec<f64> = self.bins.iter().map(|count| *count as f64).collect();
        // What a rectifier makes zero would outweigh everything else.
        counts[0] = counts[1];
        let used = counts.iter().rposition(|count| *count > 0.0).map_or(0, |last| last + 1);
        let candidates = (LEVELS..=used).rev().step_by(STEP);
        let best = candidates.map(|bins| (bins, divergence(&counts, bins))).min_by(|a, b| a.1.total_cmp(&b.1));
        best.map_or(f64::from(self.max), |(bins, _)| bins as f64 * self.width)
    }
}

/// Divergence of the first `bins` bins in [`LEVELS`] levels from the whole distribution clipped to them.
fn divergence(counts: &[f64], bins: usize) -> f64 {
    let beyond: f64 = counts[bins..].iter().sum();
    let level = |bin: usize| bin * LEVELS / bins;
    let (mut sums, mut occupied) = ([0.0; LEVELS], [0.0; LEVELS]);
    for (bin, count) in counts[..bins].iter().enumerate().filter(|(_, count)| **count > 0.0) {
        sums[level(bin)] += count;
        occupied[level(bin)] += 1.0;
    }
    let inside: f64 = sums.iter().sum();
    let whole = inside + beyond;
    if inside == 0.0 {
        return f64::INFINITY;
    }
    let mut divergence = 0.0;
    for (bin, count) in counts[..bins].iter().enumerate() {
        let p = (count + if bin == bins - 1 { beyond } else { 0.0 }) / whole;
        // The clipped values may land in a bin that was empty: all but impossible after quantization.
        let q = if *count > 0.0 { sums[level(bin)] / occupied[level(bin)] / inside } else { 1e-9 };
        if p > 0.0 {
            divergence += p * (p / q).ln();
        }
    }
    divergence
}

/// What was observed of the values of a network, by name.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    values: BTreeMap<String, Histogram>,
    channels: BTreeMap<String, Vec<Histogram>>,
}

impl Ranges {
    pub(super) fn new(values: BTreeMap<String, Histogram>, channels: BTreeMap<String, Vec<Histogram>>) -> Self {
        Self { values, channels }
    }

    /// The largest magnitude of a value; `None` where it was not observed.
    pub fn max(&self, name: &str) -> Option<f32> {
        self.values.get(name).map(Histogram::max)
    }

    /// What was observed of a value.
    pub fn of(&self, name: &str) -> Option<&Histogram> {
        self.values.get(name)
    }

    /// What was observed of each channel of a value, where that was asked for.
    pub fn channels(&self, name: &str) -> Option<&[Histogram]> {
        self.channels.get(name).map(Vec::as_slice)
    }

    /// The values that were observed, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Histogram)> {
        self.values.iter().map(|(name, histogram)| (name.as_str(), histogram))
    }
}

impl FromIterator<(String, Histogram)> for Ranges {
    fn from_iter<I: IntoIterator<Item = (String, Histogram)>>(items: I) -> Self {
        Self::new(items.into_iter().collect(), BTreeMap::new())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::default();
        values.chunks(7).for_each(|chunk| histogram.observe(chunk));
        histogram
    }

    /// A bell curve without a random number: the sum of four evenly spread sequences.
    fn bell(n: usize, outliers: usize) -> Vec<f32> {
        let part = |i: usize, step: f64| (i as f64 * step).fract() - 0.5;
        let steps = [0.618_033_988_7, 0.414_213_562_3, 0.732_050_807_5, 0.236_067_977_4];
        let mut values: Vec<f32> = (0..n).map(|i| steps.iter().map(|s| part(i, *s)).sum::<f64>() as f32).collect();
        values.extend((0..outliers).map(|i| 40.0 + i as f32));
        values
    }

    #[test]
    fn methods_differ_where_there_are_outliers() {
        let histogram = of(&bell(100_000, 3));
        let [all, most, entropy] =
            [Method::MinMax, Method::Percentile(99.9), Method::Entropy].map(|method| histogram.limit(method));
        assert!((all - 42.0).abs() < 1e-6, "{all}");
        assert!((1.3..2.1).contains(&most), "{most}");
        assert!((1.0..6.0).contains(&entropy), "{entropy}");
        assert!((histogram.share_beyond(10.0) - 3.0 / 100_003.0).abs() < 1e-9);
        // Without outliers nothing worth telling is cut off.
        let plain = of(&bell(100_000, 0));
        let (all, entropy) = (plain.limit(Method::MinMax), plain.limit(Method::Entropy));
        assert!(entropy > 0.6 * all, "{entropy} of {all}");
    }

    #[test]
    fn nothing_and_zeros_have_no_range() {
        for histogram in [of(&[]), of(&[0.0; 9])] {
            for method in [Method::MinMax, Method::Percentile(99.0), Method::Entropy] {
                assert_eq!(histogram.limit(method).to_bits(), 0);
            }
        }
        let histogram = of(&[f32::NAN, f32::INFINITY, 1.0]);
        assert_eq!((histogram.not_finite(), histogram.max()), (2, 1.0));
    }

    proptest! {
        /// However the values come, the histogram is bounded, counts them all, and each range lies within what was seen.
        #[test]
        fn ranges_lie_within_what_was_seen(values in prop::collection::vec(-1e30_f32..1e30, 0..300), scale in -30_i32..30,
                                           percent in 0.0..100.0_f64) {
            let values: Vec<f32> = values.iter().map(|v| v * 10.0_f32.powi(scale)).collect();
            let histogram = of(&values);
            let finite = values.iter().filter(|v| v.is_finite());
            let max = finite.clone().fold(0.0_f32, |max, v| max.max(v.abs()));
            prop_assert_eq!(histogram.max().to_bits(), max.to_bits());
            prop_assert_eq!(histogram.bins.iter().sum::<u64>() + histogram.not_finite(), values.len() as u64);
            prop_assert_eq!(histogram.bins.len(), BINS);
            for method in [Method::MinMax, Method::Percentile(percent), Method::Entropy] {
                let limit = histogram.limit(method);
                prop_assert!((0.0..=max).contains(&limit), "{method}: {limit} of {max}");
            }
            let within = finite.filter(|v| v.abs() <= histogram.limit(Method::Percentile(percent)) * 1.0001).count();
            prop_assert!(within as f64 + 1e-6 >= percent / 100.0 * (values.len() as u64 - histogram.not_finite()) as f64);
        }
    }
}
