//! A time card travels with each frame and is stamped at the entry and exit of every stage, so that each message can say where
//! its latency went and the stages add up to the total.

use std::time::{Duration, Instant};

/// The points at which a card is stamped, in the order of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Mark {
    /// The first bytes of the access unit arrived (a file: it was read).
    Received,
    /// The decoder handed the picture out and it was offered to the batcher.
    Decoded,
    /// It was taken into a batch.
    Dispatched,
    /// The batch's input tensor is filled.
    Prepared,
    /// The network has run and its outputs are boxes.
    Inferred,
    /// Tracking took the batch.
    TrackStarted,
    /// Tracking is done with it.
    Tracked,
    /// Publishing took it.
    PublishStarted,
    /// The message was handed to the MQTT client.
    Published,
}

/// How many marks there are.
pub const MARKS: usize = 9;

/// The spans between neighbouring marks, by the name they have in `/metrics` and in `egret bench`. They add up to the total.
pub const STAGES: [&str; MARKS - 1] =
    ["decode", "batch_wait", "prepare", "infer", "track_wait", "track", "publish_wait", "publish"];

/// When a frame passed each [`Mark`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeCard {
    at: [Option<Instant>; MARKS],
    uncertainty: Option<Duration>,
}

impl TimeCard {
    /// A card with its first stamp.
    pub fn received(at: Instant) -> Self {
        let mut card = Self::default();
        card.stamp(Mark::Received, at);
        card
    }

    /// Stamps a mark.
    pub fn stamp(&mut self, mark: Mark, at: Instant) {
        self.at[mark as usize] = Some(at);
    }

    /// When a mark was passed.
    pub fn at(&self, mark: Mark) -> Option<Instant> {
        self.at[mark as usize]
    }

    /// Notes how far the frame's capture time may be off.
    pub fn set_uncertainty(&mut self, by: Duration) {
        self.uncertainty = Some(by);
    }

    /// How far the frame's capture time may be off, where anybody knows.
    pub fn uncertainty(&self) -> Option<Duration> {
        self.uncertainty
    }

    /// The time between two marks, zero if they are out of order, `None` if one is missing.
    pub fn between(&self, from: Mark, to: Mark) -> Option<Duration> {
        Some(self.at(to)?.saturating_duration_since(self.at(from)?))
    }

    /// The spans of [`STAGES`]; a span whose marks are missing is `None`.
    pub fn stages(&self) -> [Option<Duration>; MARKS - 1] {
        std::array::from_fn(|i| Some(self.at[i + 1]?.saturating_duration_since(self.at[i]?)))
    }

    /// From [`Mark::Received`] to the last stamp.
    pub fn total(&self) -> Option<Duration> {
        let first = self.at[0]?;
        let last = self.at.iter().rev().find_map(|at| *at)?;
        Some(last.saturating_duration_since(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_add_up_to_the_total() {
        let start = Instant::now();
        let mut card = TimeCard::received(start);
        let marks = [
            Mark::Decoded,
            Mark::Dispatched,
            Mark::Prepared,
            Mark::Inferred,
            Mark::TrackStarted,
            Mark::Tracked,
            Mark::PublishStarted,
            Mark::Published,
        ];
        let mut at = start;
        for (i, mark) in marks.into_iter().enumerate() {
            at += Duration::from_micros(100 * (i as u64 + 1));
            card.stamp(mark, at);
        }
        let sum: Duration = card.stages().into_iter().flatten().sum();
        assert_eq!(card.stages().iter().flatten().count(), STAGES.len());
        assert_eq!(Some(sum), card.total());
        assert_eq!(card.total(), Some(Duration::from_micros(3600)));
    }

    #[test]
    fn a_missing_mark_is_no_zero() {
        let start = Instant::now();
        let mut card = TimeCard::received(start);
        card.stamp(Mark::Dispatched, start + Duration::from_millis(5));
        assert_eq!(card.between(Mark::Received, Mark::Decoded), None);
        assert_eq!(card.stages()[0], None);
        assert_eq!(card.total(), Some(Duration::from_millis(5)));
    }
}
