//! What is known of the access units inside a decoder, so that a picture finds its capture time again.

use std::{collections::VecDeque, time::Duration};

use crate::media::{Capture, TimeCard};

/// More than any decoder holds back for reordering (16 pictures), with room for units that never become one.
const REMEMBERED: usize = 128;

/// What a picture inherits from its access unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Card {
    /// The time stamp that the decoder sees and gives back, in nanoseconds.
    pub(crate) key: u64,
    /// Media time; `None`: what the pipeline says when the picture comes out.
    pub(crate) pts: Option<Duration>,
    /// When it was captured.
    pub(crate) capture: Capture,
    /// With its first mark.
    pub(crate) times: TimeCard,
}

/// The units in flight. Bounded: units that never come out (lost, broken) are forgotten.
#[derive(Debug, Default)]
pub(crate) struct Pending(VecDeque<Card>);

impl Pending {
    /// Remembers a unit on its way in.
    pub(crate) fn push(&mut self, card: Card) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(card);
    }

    /// The unit that a picture came from. A picture that no unit announced belongs to none.
    pub(crate) fn take(&mut self, key: u64) -> Option<Card> {
        let at = self.0.iter().position(|card| card.key == key)?;
        self.0.remove(at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use super::*;
    use crate::media::TimeBasis;

    fn card(key: u64) -> Card {
        Card {
            key,
            pts: Some(Duration::from_millis(key)),
            capture: Capture { wall: SystemTime::UNIX_EPOCH, basis: TimeBasis::Arrival },
            times: TimeCard::received(Instant::now()),
        }
    }

    #[test]
    fn reordered_pictures_find_their_units() {
        let mut pending = Pending::default();
        for key in [0, 1, 2, 3] {
            pending.push(card(key));
        }
        for key in [0, 2, 3, 1] {
            assert_eq!(pending.take(key).and_then(|c| c.pts), Some(Duration::from_millis(key)));
        }
        assert_eq!(pending.take(1), None);
    }

    #[test]
    fn units_that_never_come_out_are_forgotten() {
        let mut pending = Pending::default();
        for key in 0..10_000 {
            pending.push(card(key));
        }
        assert_eq!(pending.0.len(), REMEMBERED);
        assert_eq!(pending.take(0), None);
        assert!(pending.take(9_999).is_some());
    }
}
