//! The identity figures (Ristani et al. 2016): how much of the time the right name is on the right object, with one tracked identity
//! for each true one, chosen over the whole sequence.

use std::collections::BTreeMap;

use super::{
    matching::{Pair, heaviest},
    scene::Scene,
};

/// Counts over one sequence, or over several added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// True boxes under the right name.
    pub true_positives: u64,
    /// Tracked boxes that are not on the object they stand for.
    pub false_positives: u64,
    /// True boxes without the right name.
    pub false_negatives: u64,
}

impl Identity {
    /// Judges a sequence. The assignment that leaves the fewest boxes on either side over is the one with the most in common.
    pub fn of(scene: &Scene) -> Self {
        let mut common: BTreeMap<(u32, u32), u64> = BTreeMap::new();
        for frame in &scene.frames {
            // Here, and only here, the evaluation of MOTChallenge leaves no slack below 0.5.
            for pair in frame.overlaps.iter().filter(|pair| pair.weight >= 0.5) {
                *common.entry((frame.objects[pair.row as usize], frame.tracks[pair.column as usize])).or_default() += 1;
            }
        }
        let pairs: Vec<Pair> =
            common.iter().map(|(&(row, column), &frames)| Pair { row, column, weight: frames as f64 }).collect();
        let counts: Vec<u64> = common.into_values().collect();
        let right = heaviest(&pairs).into_iter().map(|index| counts[index]).sum();
        Self {
            true_positives: right,
            false_positives: scene.tracked_boxes() as u64 - right,
            false_negatives: scene.true_boxes() as u64 - right,
        }
    }

    /// Adds another sequence.
    pub fn add(&mut self, other: &Self) {
        self.true_positives += other.true_positives;
        self.false_positives += other.false_positives;
        self.false_negatives += other.false_negatives;
    }

    /// Share of the true boxes under the right name.
    pub fn recall(&self) -> f64 {
        self.true_positives as f64 / ((self.true_positives + self.false_negatives) as f64).max(1.0)
    }

    /// Share of the tracked boxes under the right name.
    pub fn precision(&self) -> f64 {
        self.true_positives as f64 / ((self.true_positives + self.false_positives) as f64).max(1.0)
    }

    /// The harmonic mean of both.
    pub fn f1(&self) -> f64 {
        let boxes = self.true_positives as f64 + 0.5 * (self.false_positives + self.false_negatives) as f64;
        self.true_positives as f64 / boxes.max(1.0)
    }
}
