//! Which class a track has: each detection votes with its confidence, over the track's whole life.

/// Classes that are counted for one track.
const CLASSES: usize = 4;

/// The votes of a track.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Votes {
    counted: [(u16, f32); CLASSES],
    len: usize,
}

impl Votes {
    /// Where more classes come than are counted, the weakest makes room.
    pub(super) fn add(&mut self, class: u16, confidence: f32) {
        if let Some((_, sum)) = self.counted[..self.len].iter_mut().find(|(counted, _)| *counted == class) {
            *sum += confidence;
        } else if self.len < CLASSES {
            self.counted[self.len] = (class, confidence);
            self.len += 1;
        } else if let Some(weakest) = self.counted.iter_mut().min_by(|a, b| a.1.total_cmp(&b.1)) {
            *weakest = (class, confidence);
        }
        // The one in front stays there until another has more, so that equals do not flicker.
        let best = (1..self.len).fold(0, |best, i| if self.counted[i].1 > self.counted[best].1 { i } else { best });
        self.counted.swap(0, best);
    }

    pub(super) fn class(&self) -> u16 {
        self.counted[0].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surest_class_over_the_whole_life_wins() {
        let mut votes = Votes::default();
        for (class, confidence, expected) in [(2, 0.5, 2), (7, 0.5, 2), (7, 0.4, 7), (2, 0.3, 7), (2, 0.2, 2), (1, 0.9, 2)] {
            votes.add(class, confidence);
            assert_eq!(votes.class(), expected, "{votes:?}");
        }
    }

    #[test]
    fn any_number_of_classes_fits() {
        let mut votes = Votes::default();
        votes.add(9, 0.9);
        for class in 100..1000 {
            votes.add(class, 0.5);
        }
        assert_eq!(votes.class(), 9);
    }
}
