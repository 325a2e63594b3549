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

    /// The unit that a picture came from; the oldest one where the decoder made up a time stamp of its own.
    pub(crate) fn take(&mut self, key: Option<u64>) -> Option<Card> {
        let at = self.0.iter().position(|card| Some(card.key) == key).unwrap_or(0);
        self.0.remove(at)
    }
}

/// A picture is at most this far before or after the one decoded before it; else the camera's clock jumped.
const JUMP: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(40);

/// Makes the time stamps that a decoder sees out of the camera's: the same but for their origin, without the jumps. Decoders put
/// pictures back in order and give up on time stamps that run backwards while they do.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// The last time stamp, and what it became.
    last: Option<(Duration, Duration)>,
    highest: Duration,
}

impl Keys {
    /// In nanoseconds.
    pub(crate) fn key(&mut self, pts: Duration) -> u64 {
        let key = match self.last {
            Some((last, key)) if pts >= last && pts.abs_diff(last) < JUMP => key + pts.abs_diff(last),
            Some((last, key)) if pts < last && pts.abs_diff(last) < JUMP / 10 => key.saturating_sub(pts.abs_diff(last)),
            _ => self.highest + STEP,
        };
        self.last = Some((pts, key));
        self.highest = self.highest.max(key);
        key.as_nanos() as u64
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
            assert_eq!(pending.take(Some(key)).and_then(|c| c.pts), Some(Duration::from_millis(key)));
        }
        assert_eq!(pending.take(Some(1)), None);
    }

    #[test]
    fn units_that_never_come_out_are_forgotten() {
        let mut pending = Pending::default();
        for key in 0..10_000 {
            pending.push(card(key));
        }
        assert_eq!(pending.0.len(), REMEMBERED);
        assert_eq!(pending.take(Some(9_999)).map(|card| card.key), Some(9_999));
        assert_eq!(pending.take(Some(77)).map(|card| card.key), Some(10_000 - REMEMBERED as u64), "the oldest one");
    }

    #[test]
    fn keys_follow_the_camera_s_times_but_not_their_jumps() {
        let mut keys = Keys::default();
        let ms = [0, 120, 40, 80, 3_600_000, 3_600_040, 7, 47].map(|ms| keys.key(Duration::from_millis(ms)) / 1_000_000);
        assert_eq!(ms, [40, 160, 80, 120, 200, 240, 280, 320]);
    }
}
