//! Scores of classes: from logits, over several clips, over a track's life.

use std::sync::Arc;

/// The scores of one picture or clip, one per class.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores(Arc<[f32]>);

impl Scores {
    /// Scores as they are.
    pub fn new(values: &[f32]) -> Self {
        Self(values.into())
    }

    /// The softmax of logits: `exp(x−max) / Σ exp(x−max)`.
    pub fn softmax(logits: &[f32]) -> Self {
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|x| f64::from(x - most).exp()).sum();
        Self(logits.iter().map(|x| (f64::from(x - most).exp() / sum) as f32).collect())
    }

    /// The mean of several, e.g. of the clips of one span; `None` of none.
    pub fn mean(all: &[Self]) -> Option<Self> {
        let mut votes = Votes::default();
        for scores in all {
            votes.add(scores);
        }
        votes.mean()
    }

    /// All of them, in the order of the classes.
    pub fn values(&self) -> &[f32] {
        &self.0
    }

    /// The class with the highest score (the first of equals) and that score; `None` without classes.
    pub fn best(&self) -> Option<(u16, f32)> {
        let best = self.0.iter().enumerate().reduce(|best, next| if *next.1 > *best.1 { next } else { best });
        best.map(|(class, score)| (class as u16, *score))
    }
}

/// What several looks at one object say together: the mean of their scores. A sure look counts more than an unsure one, and one
/// bad look among many changes nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Votes {
    sums: Vec<f64>,
    looks: u32,
}

impl Votes {
    /// Takes a look in. Scores of another number of classes are none of the same model and start anew.
    pub fn add(&mut self, scores: &Scores) {
        if self.sums.len() != scores.0.len() {
            self.sums = vec![0.0; scores.0.len()];
            self.looks = 0;
        }
        self.sums.iter_mut().zip(&*scores.0).for_each(|(sum, score)| *sum += f64::from(*score));
        self.looks += 1;
    }

    /// How many looks there were.
    pub fn looks(&self) -> u32 {
        self.looks
    }

    /// The mean of the scores; `None` before the first look.
    pub fn mean(&self) -> Option<Scores> {
        let looks = f64::from(self.looks);
        (self.looks > 0).then(|| Scores(self.sums.iter().map(|sum| (sum / looks) as f32).collect()))
    }

    /// The class that leads and its mean score; `None` before the first look.
    pub fn best(&self) -> Option<(u16, f32)> {
        let best = self.sums.iter().enumerate().reduce(|best, next| if *next.1 > *best.1 { next } else { best });
        best.filter(|_| self.looks > 0).map(|(class, sum)| (class as u16, (sum / f64::from(self.looks)) as f32))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn softmax_of_known_logits() {
        // e⁰ : e¹ : e² = 0.0900306, 0.2447285, 0.6652410
        let scores = Scores::softmax(&[1000.0, 1001.0, 1002.0]);
        for (value, expected) in scores.values().iter().zip([0.090_030_57, 0.244_728_48, 0.665_240_94]) {
            assert!((value - expected).abs() < 1e-7, "{value} {expected}");
        }
        assert_eq!(scores.best(), Some((2, scores.values()[2])));
        assert_eq!(Scores::new(&[]).best(), None);
        assert_eq!(Scores::new(&[0.5, 0.5]).best(), Some((0, 0.5)), "the first of equals");
    }

    #[test]
    fn a_sure_look_outvotes_two_unsure_ones() {
        let mut votes = Votes::default();
        assert_eq!((votes.best(), votes.mean()), (None, None));
        for scores in [[0.55, 0.45], [0.52, 0.48], [0.05, 0.95]] {
            votes.add(&Scores::new(&scores));
        }
        let (class, score) = votes.best().unwrap();
        assert!(class == 1 && (score - 0.626_666_7).abs() < 1e-6, "{class} {score}");
        assert_eq!(votes.looks(), 3);
        assert_eq!(votes.mean().and_then(|mean| mean.best()), Some((class, score)));
        votes.add(&Scores::new(&[0.2, 0.3, 0.5]));
        assert_eq!((votes.looks(), votes.best()), (1, Some((2, 0.5))), "another network's classes");
    }

    proptest! {
        #[test]
        fn softmax_is_a_distribution_in_the_order_of_the_logits(logits in prop::collection::vec(-200.0..200.0_f32, 1..40)) {
            let scores = Scores::softmax(&logits);
            let sum: f32 = scores.values().iter().sum();
            prop_assert!((sum - 1.0).abs() < 1e-5);
            let best = scores.best().unwrap();
            prop_assert!(logits.iter().all(|x| *x <= logits[usize::from(best.0)]));
        }
    }
}
