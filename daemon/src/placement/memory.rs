//! Whether all engines of a device fit into its memory, told before the first of them starts.

use std::{collections::BTreeMap, fmt};

/// What one engine instance needs of a device's memory, in bytes, by its engine's own account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// The model.
    pub model: String,
    /// The GPU whose memory it is.
    pub gpu: u32,
    /// Weights: the size of its plan. Instances of one engine have them in common: then 0 but for the first.
    pub weights: u64,
    /// Activations of one execution. Instances whose executions follow one another share the largest of theirs.
    pub activations: u64,
    /// Which of the device's rows of executions it stands in: those of one number follow one another.
    pub row: usize,
    /// Inputs, outputs, and what its kernels keep.
    pub buffers: u64,
}

/// How a set of engines lies in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fits {
    /// For each GPU and row, the bytes of the activation memory that its engines share.
    pub activations: BTreeMap<(u32, usize), u64>,
    /// For each GPU all bytes.
    pub total: BTreeMap<u32, u64>,
}

/// A set that is too large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoRoom {
    /// The GPU.
    pub gpu: u32,
    /// Bytes that the set needs.
    pub needed: u64,
    /// Bytes that it may have.
    pub room: u64,
    /// Whether that is what was configured, else what the device has left for them.
    pub configured: bool,
    /// The part of each model, the largest first: weights and buffers, and its own activations.
    pub parts: Vec<(String, u64, u64)>,
}

/// Counts together what engines need. `room`: of a GPU, the bytes that there are, and whether the configuration says so.
///
/// # Errors
/// [`NoRoom`] of the first GPU that has less than its engines need.
pub fn fit(shares: &[Share], room: impl Fn(u32) -> (u64, bool)) -> Result<Fits, NoRoom> {
    let mut fits = Fits::default();
    for share in shares {
        let row = fits.activations.entry((share.gpu, share.row)).or_default();
        *row = (*row).max(share.activations);
        let total = fits.total.entry(share.gpu).or_default();
        *total = total.saturating_add(share.weights).saturating_add(share.buffers);
    }
    for ((gpu, _), bytes) in &fits.activations {
        let total = fits.total.entry(*gpu).or_default();
        *total = total.saturating_add(*bytes);
    }
    for (gpu, needed) in &fits.total {
        let (bytes, configured) = room(*gpu);
        if *needed > bytes {
            return Err(NoRoom { gpu: *gpu, needed: *needed, room: bytes, configured, parts: parts(shares, *gpu) });
        }
    }
    Ok(fits)
}

fn parts(shares: &[Share], gpu: u32) -> Vec<(String, u64, u64)> {
    let mut parts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for share in shares.iter().filter(|share| share.gpu == gpu) {
        let (own, activations) = parts.entry(&share.model).or_default();
        *own = own.saturating_add(share.weights).saturating_add(share.buffers);
        *activations = (*activations).max(share.activations);
    }
    let mut parts: Vec<_> = parts.into_iter().map(|(model, (own, activations))| (model.to_owned(), own, activations)).collect();
    parts.sort_by_key(|(_, own, activations)| std::cmp::Reverse(own.saturating_add(*activations)));
    parts
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gpu, needed, room, configured, parts } = self;
        let whose = if *configured { "runtime.device_memory allows" } else { "the device has for them" };
        write!(f, "the models on gpu:{gpu} need {} MiB of its memory, and {whose} {}: ", mib(*needed), room >> 20)?;
        for (i, (model, own, activations)) in parts.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            write!(f, "{model} {} MiB and {} for activations", mib(*own), mib(*activations))?;
        }
        Ok(())
    }
}

impl std::error::Error for NoRoom {}

impl NoRoom {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        if self.configured {
            "raise runtime.device_memory, lower max_batch of the largest model, or place one elsewhere (devices)"
        } else {
            "lower max_batch of the largest model, place one elsewhere (devices), or end what else uses the device's memory"
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn share(model: &str, gpu: u32, row: usize, [weights, activations, buffers]: [u64; 3]) -> Share {
        Share { model: model.into(), gpu, row, weights: weights * MIB, activations: activations * MIB, buffers: buffers * MIB }
    }

    #[test]
    fn engines_of_a_row_share_the_largest_activations() {
        let set = [
            share("yolox", 0, 0, [20, 100, 5]),
            share("faces", 0, 0, [10, 60, 2]),
            share("reid", 0, 1, [4, 30, 1]),
            share("other", 1, 0, [8, 16, 1]),
        ];
        let fits = fit(&set, |_| (u64::MAX, false)).expect("room for all");
        assert_eq!(fits.activations[&(0, 0)], 100 * MIB);
        assert_eq!(fits.total, BTreeMap::from([(0, (42 + 130) * MIB), (1, 25 * MIB)]));
        assert!(fit(&set, |gpu| (if gpu == 0 { 172 * MIB } else { 25 * MIB }, true)).is_ok(), "to the byte");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_everybodys_part() {
        let set = [share("faces", 0, 0, [10, 60, 2]), share("yolox", 0, 0, [20, 100, 5]), share("faces", 0, 0, [0, 60, 2])];
        let refused = fit(&set, |_| (139 * MIB - 1, true)).expect_err("a byte too much");
        assert_eq!(
            refused.to_string(),
            "the models on gpu:0 need 139 MiB of its memory, and runtime.device_memory allows 138: yolox 25 MiB and 100 for activations, \
             faces 14 MiB and 60 for activations"
        );
        assert!(refused.remedy().contains("runtime.device_memory"));
        let refused = fit(&set, |_| (0, false)).expect_err("nothing is free");
        assert!(refused.to_string().contains("the device has for them 0") && refused.remedy().contains("max_batch"));
        assert_eq!(fit(&[], |_| (0, true)), Ok(Fits::default()));
    }

    proptest! {
        #[test]
        fn sharing_never_needs_more_and_always_enough(shares in prop::collection::vec((0_u32..2, 0_usize..3, any::<[u16; 3]>()), 0..12)) {
            let set: Vec<Share> = shares.iter().map(|(gpu, row, of)| share("m", *gpu, *row, of.map(u64::from))).collect();
            let fits = fit(&set, |_| (u64::MAX, false)).expect("room for all");
            for gpu in 0..2 {
                let own = || set.iter().filter(|share| share.gpu == gpu);
                let alone: u64 = own().map(|share| share.weights + share.activations + share.buffers).sum();
                let total = fits.total.get(&gpu).copied().unwrap_or(0);
                prop_assert!(total <= alone);
                let fixed: u64 = own().map(|share| share.weights + share.buffers).sum();
                let most = own().map(|share| share.activations).max().unwrap_or(0);
                prop_assert!(total >= fixed + most);
                prop_assert!(own().all(|share| fits.activations[&(gpu, share.row)] >= share.activations));
            }
        }
    }
}
