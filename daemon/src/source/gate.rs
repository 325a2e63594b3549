//! Which access units may enter the decoder: after a loss none until a random access point, since nothing can be asked of the
//! camera. Pure: the caller brings the time.

use std::time::{Duration, Instant};

/// What to do with an access unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Decode it.
    Pass,
    /// Drop it: it cannot be decoded.
    Skip,
    /// Drop it: only key frames are wanted.
    Unwanted,
    /// The next random access point is too far away: a new session brings one sooner.
    GiveUp,
}

/// The gate before a decoder.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    wants: Wants,
    open: bool,
    since: Instant,
    seen_key: bool,
    max_wait: Duration,
}

/// What a gate lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    /// Everything that can be decoded.
    All,
    /// Random access points.
    KeyFrames,
    /// Everything, from a camera that sends no random access points.
    Keyless,
}

impl Gate {
    /// A shut gate. `keyless`: this camera has been seen to send no random access points at all (periodic intra refresh); after
    /// `max_wait` the gate then opens without one, and the decoder makes of it what it can.
    pub(crate) fn new(max_wait: Duration, key_frames_only: bool, keyless: bool, now: Instant) -> Self {
        let wants = match (key_frames_only, keyless) {
            (true, _) => Wants::KeyFrames,
            (false, true) => Wants::Keyless,
            (false, false) => Wants::All,
        };
        Self { wants, open: false, since: now, seen_key: false, max_wait }
    }

    /// Shuts it: something before the next unit is missing or was dropped.
    pub(crate) fn shut(&mut self) {
        self.open = false;
    }

    /// Whether this session has shown a random access point.
    pub(crate) fn seen_key(&self) -> bool {
        self.seen_key
    }

    /// Decides on a unit with `lost` packets missing before it.
    pub(crate) fn judge(&mut self, random_access: bool, lost: bool, now: Instant) -> Verdict {
        if random_access {
            (self.open, self.since, self.seen_key) = (true, now, true);
            return Verdict::Pass;
        }
        if self.wants == Wants::KeyFrames {
            return Verdict::Unwanted;
        }
        if lost && self.wants == Wants::All {
            self.open = false;
        }
        if self.open {
            return Verdict::Pass;
        }
        // Counted from the last random access point: the longer ago it was, the longer these groups of pictures are.
        if now.saturating_duration_since(self.since) <= self.max_wait {
            return Verdict::Skip;
        }
        if self.wants == Wants::Keyless {
            self.open = true;
            return Verdict::Pass;
        }
        Verdict::GiveUp
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Verdict::{Pass, Skip},
        *,
    };

    const MAX: Duration = Duration::from_secs(10);

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn nothing_passes_before_the_first_key_frame_and_after_a_loss() {
        let start = Instant::now();
        let mut gate = Gate::new(MAX, false, false, start);
        let judged: Vec<Verdict> = [
            (false, false),
            (true, true), // the loss was before the key frame
            (false, false),
            (false, true),
            (false, false),
            (true, false),
            (false, false),
        ]
        .into_iter()
        .map(|(key, lost)| gate.judge(key, lost, at(start, 1)))
        .collect();
        assert_eq!(judged, [Skip, Pass, Pass, Skip, Skip, Pass, Pass]);
        gate.shut();
        assert_eq!(gate.judge(false, false, at(start, 2)), Skip);
    }

    #[test]
    fn long_groups_of_pictures_are_not_waited_for() {
        let start = Instant::now();
        let mut gate = Gate::new(MAX, false, false, start);
        assert_eq!(gate.judge(true, false, at(start, 0)), Verdict::Pass);
        assert_eq!(gate.judge(false, false, at(start, 60)), Verdict::Pass, "no loss, no hurry");
        assert_eq!(gate.judge(false, true, at(start, 61)), Verdict::GiveUp);
        let mut gate = Gate::new(MAX, false, false, start);
        assert_eq!(gate.judge(false, false, at(start, 10)), Verdict::Skip);
        assert_eq!(gate.judge(false, false, at(start, 11)), Verdict::GiveUp);
        assert!(!gate.seen_key());
    }

    #[test]
    fn a_camera_without_key_frames_gets_its_chance() {
        let start = Instant::now();
        let mut gate = Gate::new(MAX, false, true, start);
        assert_eq!(gate.judge(false, false, at(start, 1)), Verdict::Skip);
        assert_eq!(gate.judge(false, false, at(start, 11)), Verdict::Pass);
        assert_eq!(gate.judge(false, true, at(start, 12)), Verdict::Pass);
    }

    #[test]
    fn key_frames_only() {
        let start = Instant::now();
        let mut gate = Gate::new(MAX, true, true, start);
        assert_eq!(gate.judge(false, true, at(start, 99)), Verdict::Unwanted);
        assert_eq!(gate.judge(true, true, at(start, 99)), Verdict::Pass);
        assert_eq!(gate.judge(false, false, at(start, 99)), Verdict::Unwanted);
    }
}
