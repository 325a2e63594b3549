//! What a camera's faults and its clock do to one session's packets on their way out.

use super::{
    fault::Faults,
    packet::{self, Chance},
};

/// What the camera's setting says about its packets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    pub(super) sender_reports: bool,
    pub(super) clock_offset_ms: i64,
}

/// One session's wear and tear.
#[derive(Debug)]
pub(super) struct Wear {
    habits: Habits,
    jumps_before_ms: i64,
    lose: Die,
    cut: Die,
    alter: Die,
}

impl Wear {
    /// For a session that begins now.
    pub(super) fn new(habits: Habits, now: &Faults) -> Self {
        Self { habits, jumps_before_ms: now.rtp_jumps_ms, lose: Die::default(), cut: Die::default(), alter: Die::default() }
    }

    /// An RTP packet as it leaves, if it does.
    pub(super) fn rtp(&mut self, mut packet: Vec<u8>, faults: &Faults) -> Option<Vec<u8>> {
        if faults.silent || self.lose.hits(faults.lose).is_some() {
            return None;
        }
        packet::shift_rtp(&mut packet, faults.rtp_jumps_ms - self.jumps_before_ms);
        if let Some(chance) = self.alter.hits(faults.alter) {
            packet::alter(&mut packet, chance);
        }
        if let Some(chance) = self.cut.hits(faults.cut) {
            packet::cut(&mut packet, chance);
        }
        Some(packet)
    }

    /// An RTCP packet as it leaves, if it does.
    pub(super) fn rtcp(&mut self, mut packet: Vec<u8>, faults: &Faults) -> Option<Vec<u8>> {
        if faults.silent || !self.habits.sender_reports {
            return None;
        }
        let clock = self.habits.clock_offset_ms + faults.clock_jumps_ms;
        packet::shift_reports(&mut packet, clock, faults.rtp_jumps_ms - self.jumps_before_ms);
        Some(packet)
    }
}

/// Chance that starts anew with each seed.
#[derive(Debug, Default)]
struct Die(Option<(u64, Chance)>);

impl Die {
    fn hits(&mut self, setting: Option<(f64, u64)>) -> Option<&mut Chance> {
        let Some((rate, seed)) = setting else {
            self.0 = None;
            return None;
        };
        if self.0.as_ref().is_none_or(|(s, _)| *s != seed) {
            self.0 = Some((seed, Chance::new(seed)));
        }
        let (_, chance) = self.0.as_mut()?;
        chance.hits(rate).then_some(chance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::fault::Fault;

    const HABITS: Habits = Habits { sender_reports: true, clock_offset_ms: 0 };

    fn faults(of: &[Fault]) -> Faults {
        let mut faults = Faults::default();
        for fault in of {
            faults.add(*fault);
        }
        faults
    }

    fn packet(n: u8) -> Vec<u8> {
        vec![n; 100]
    }

    #[test]
    fn a_sound_camera_changes_nothing() {
        let sound = Faults::default();
        let mut wear = Wear::new(HABITS, &sound);
        assert_eq!(wear.rtp(packet(1), &sound), Some(packet(1)));
        assert_eq!(wear.rtcp(packet(2), &sound), Some(packet(2)));
    }

    #[test]
    fn the_same_seed_does_the_same() {
        let bad =
            faults(&[Fault::Lose { rate: 0.3, seed: 1 }, Fault::Alter { rate: 0.5, seed: 2 }, Fault::Cut { rate: 0.2, seed: 3 }]);
        let run = || {
            let mut wear = Wear::new(HABITS, &bad);
            (0..200u8).map(|n| wear.rtp(packet(n), &bad)).collect::<Vec<_>>()
        };
        let first = run();
        assert_eq!(first, run());
        assert!(first.iter().any(Option::is_none));
        assert!(first.iter().flatten().any(|p| p.len() < 100));
        assert!(first.iter().enumerate().any(|(n, p)| p.as_ref().is_some_and(|p| p.len() == 100 && *p != packet(n as u8))));
    }

    #[test]
    fn a_jump_is_felt_by_sessions_that_began_before_it() {
        let jumped = faults(&[Fault::RtpJump { by_ms: 1000 }]);
        let mut before = Wear::new(HABITS, &Faults::default());
        let mut after = Wear::new(HABITS, &jumped);
        assert_ne!(before.rtp(packet(0), &jumped), Some(packet(0)));
        assert_eq!(after.rtp(packet(0), &jumped), Some(packet(0)));
    }

    #[test]
    fn silence_and_no_reports() {
        let silent = faults(&[Fault::Silent]);
        let mut wear = Wear::new(HABITS, &silent);
        assert_eq!((wear.rtp(packet(0), &silent), wear.rtcp(packet(0), &silent)), (None, None));
        let mut mute = Wear::new(Habits { sender_reports: false, clock_offset_ms: 0 }, &silent);
        assert_eq!(mute.rtcp(packet(0), &Faults::default()), None);
        assert!(mute.rtp(packet(0), &Faults::default()).is_some());
    }
}
