//! HOTA (Luiten et al. 2021): how well objects are found, and how well the boxes of one object hang together, each at 19 thresholds of
//! IoU, and the geometric mean of both.

use std::collections::BTreeMap;

use super::{
    matching::{Pair, heaviest},
    scene::{Frame, Scene},
};

/// How many thresholds: 0.05, 0.10 … 0.95.
const THRESHOLDS: usize = 19;

fn thresholds() -> [f64; THRESHOLDS] {
    std::array::from_fn(|i| 0.05 + 0.05 * i as f64)
}

/// Sums over one sequence, or over several, per threshold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hota {
    at: [At; THRESHOLDS],
}

/// Sums at one threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct At {
    true_positives: u64,
    false_positives: u64,
    false_negatives: u64,
    /// Association score of each true positive, added up.
    association: f64,
    /// IoU of each true positive, added up.
    overlap: f64,
}

impl At {
    fn detection(&self) -> f64 {
        let boxes = self.true_positives + self.false_positives + self.false_negatives;
        self.true_positives as f64 / (boxes as f64).max(1.0)
    }

    fn association(&self) -> f64 {
        self.association / (self.true_positives as f64).max(1.0)
    }

    /// 1 where nothing was found.
    fn location(&self) -> f64 {
        self.overlap.max(1e-10) / (self.true_positives as f64).max(1e-10)
    }
}

/// How often each identity is there, and what a true and a tracked one have in common.
struct Lives {
    objects: Vec<u64>,
    tracks: Vec<u64>,
    /// Per pair of identities: in each frame their share of all the overlap that either has, added up.
    common: BTreeMap<(u32, u32), f64>,
}

impl Lives {
    fn of(scene: &Scene) -> Self {
        let mut lives = Self { objects: vec![0; scene.objects], tracks: vec![0; scene.tracks], common: BTreeMap::new() };
        for frame in &scene.frames {
            let (mut rows, mut columns) = (vec![0.0; frame.objects.len()], vec![0.0; frame.tracks.len()]);
            for pair in &frame.overlaps {
                rows[pair.row as usize] += pair.weight;
                columns[pair.column as usize] += pair.weight;
            }
            for pair in &frame.overlaps {
                let all = rows[pair.row as usize] + columns[pair.column as usize] - pair.weight;
                *lives.common.entry(names(frame, pair)).or_default() += pair.weight / all;
            }
            frame.objects.iter().for_each(|&object| lives.objects[object as usize] += 1);
            frame.tracks.iter().for_each(|&track| lives.tracks[track as usize] += 1);
        }
        lives
    }

    /// Frames in which at least one of the two is there, `common` of them with both.
    fn either(&self, (object, track): (u32, u32), common: f64) -> f64 {
        (self.objects[object as usize] + self.tracks[track as usize]) as f64 - common
    }

    /// Matches a frame's boxes, pairs of identities that have much in common first.
    fn matched(&self, frame: &Frame) -> Vec<Pair> {
        let weighed: Vec<Pair> = frame
            .overlaps
            .iter()
            .map(|pair| {
                let names = names(frame, pair);
                let common = self.common.get(&names).copied().unwrap_or_default();
                Pair { weight: pair.weight * common / self.either(names, common), ..*pair }
            })
            .collect();
        heaviest(&weighed).into_iter().map(|index| frame.overlaps[index]).collect()
    }
}

fn names(frame: &Frame, pair: &Pair) -> (u32, u32) {
    (frame.objects[pair.row as usize], frame.tracks[pair.column as usize])
}

impl Hota {
    /// Judges a sequence.
    pub fn of(scene: &Scene) -> Self {
        let thresholds = thresholds();
        let lives = Lives::of(scene);
        let mut hota = Self::default();
        let mut matches: BTreeMap<(u32, u32), [u64; THRESHOLDS]> = BTreeMap::new();
        for frame in &scene.frames {
            let matched = lives.matched(frame);
            for (i, at) in hota.at.iter_mut().enumerate() {
                let mut found = 0;
                for pair in matched.iter().filter(|pair| pair.weight >= thresholds[i] - f64::EPSILON) {
                    found += 1;
                    at.overlap += pair.weight;
                    matches.entry(names(frame, pair)).or_default()[i] += 1;
                }
                at.true_positives += found;
                at.false_negatives += frame.objects.len() as u64 - found;
                at.false_positives += frame.tracks.len() as u64 - found;
            }
        }
        for (names, counts) in matches {
            for (at, count) in hota.at.iter_mut().zip(counts) {
                let count = count as f64;
                at.association += count * count / lives.either(names, count).max(1.0);
            }
        }
        hota
    }

    /// Adds another sequence: counts add up, association counts by what was found.
    pub fn add(&mut self, other: &Self) {
        for (at, other) in self.at.iter_mut().zip(&other.at) {
            at.true_positives += other.true_positives;
            at.false_positives += other.false_positives;
            at.false_negatives += other.false_negatives;
            at.association += other.association;
            at.overlap += other.overlap;
        }
    }

    fn mean(&self, of: impl Fn(&At) -> f64) -> f64 {
        self.at.iter().map(of).sum::<f64>() / THRESHOLDS as f64
    }

    /// HOTA, 0..1, the mean over the thresholds.
    pub fn hota(&self) -> f64 {
        self.mean(|at| (at.detection() * at.association()).sqrt())
    }

    /// Detection accuracy, 0..1, likewise.
    pub fn det_a(&self) -> f64 {
        self.mean(At::detection)
    }

    /// Association accuracy, 0..1, likewise.
    pub fn ass_a(&self) -> f64 {
        self.mean(At::association)
    }

    /// Localisation accuracy, 0..1, likewise.
    pub fn loc_a(&self) -> f64 {
        self.mean(At::location)
    }
}
