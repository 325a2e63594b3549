//! Notices pictures that never change: a camera whose sensor or encoder hangs still sends a perfect stream.

use std::{
    hash::{DefaultHasher, Hasher},
    time::{Duration, Instant},
};

use crate::gate::Luma;

/// One row in this many is looked at.
const ROW_STEP: usize = 16;
/// Pictures are compared no more often than this.
const INTERVAL: Duration = Duration::from_millis(500);

/// Watches the pictures of one camera.
#[derive(Debug)]
pub(crate) struct Freeze {
    timeout: Duration,
    last_look: Option<Instant>,
    seen: Option<u64>,
    since: Instant,
}

impl Freeze {
    /// Pictures identical for `timeout` are frozen; zero: never.
    pub(crate) fn new(timeout: Duration, now: Instant) -> Self {
        Self { timeout, last_look: None, seen: None, since: now }
    }

    /// Forgets what was seen.
    pub(crate) fn reset(&mut self) {
        (self.last_look, self.seen) = (None, None);
    }

    /// Whether a picture is looked at now.
    pub(crate) fn due(&self, now: Instant) -> bool {
        let interval = INTERVAL.min(self.timeout / 4);
        !self.timeout.is_zero() && self.last_look.is_none_or(|at| now.saturating_duration_since(at) >= interval)
    }

    /// Looks at a picture now and then; `Some(frozen)` whenever it looked.
    pub(crate) fn look(&mut self, luma: Luma<'_>, now: Instant) -> Option<bool> {
        self.due(now).then(|| {
            self.last_look = Some(now);
            self.note(fingerprint(luma), now)
        })
    }

    fn note(&mut self, fingerprint: u64, now: Instant) -> bool {
        if self.seen != Some(fingerprint) {
            (self.seen, self.since) = (Some(fingerprint), now);
        }
        now.saturating_duration_since(self.since) >= self.timeout
    }
}

/// Hash of every sixteenth luma row.
fn fingerprint(luma: Luma<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for y in (ROW_STEP / 2..luma.height).step_by(ROW_STEP) {
        hasher.write(luma.row(y));
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::media::HostPicture;

    fn gray(level: u8) -> HostPicture {
        HostPicture::tight_i420((64, 64), Bytes::from(vec![level; 64 * 64 * 3 / 2])).unwrap()
    }

    #[test]
    fn equal_pictures_freeze_after_the_timeout_and_thaw_at_once() {
        let start = Instant::now();
        let mut freeze = Freeze::new(Duration::from_secs(10), start);
        for second in 0..10 {
            assert_eq!(freeze.look(Luma::of(&gray(7)), start + Duration::from_secs(second)), Some(false), "second {second}");
        }
        assert_eq!(freeze.look(Luma::of(&gray(7)), start + Duration::from_secs(10)), Some(true));
        assert_eq!(freeze.look(Luma::of(&gray(8)), start + Duration::from_secs(11)), Some(false));
        assert_eq!(freeze.look(Luma::of(&gray(8)), start + Duration::from_secs(20)), Some(false));
        assert_eq!(freeze.look(Luma::of(&gray(8)), start + Duration::from_secs(21)), Some(true));
    }

    #[test]
    fn it_looks_twice_a_second_and_never_when_off() {
        let start = Instant::now();
        let mut freeze = Freeze::new(Duration::from_secs(10), start);
        let looks = (0..30).filter_map(|i| freeze.look(Luma::of(&gray(0)), start + Duration::from_millis(33 * i))).count();
        assert_eq!(looks, 2);
        let mut off = Freeze::new(Duration::ZERO, start);
        assert_eq!(off.look(Luma::of(&gray(0)), start + Duration::from_secs(1000)), None);
    }

    #[test]
    fn a_reset_starts_over() {
        let start = Instant::now();
        let mut freeze = Freeze::new(Duration::from_secs(1), start);
        freeze.look(Luma::of(&gray(0)), start);
        freeze.reset();
        assert_eq!(freeze.look(Luma::of(&gray(0)), start + Duration::from_mins(1)), Some(false));
    }
}
