//! The last observations of a track.

use crate::media::BBox;

/// Observations that are kept.
const KEPT: usize = 8;

/// The last observations of a track, each with its time, in any unit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct History {
    kept: [(f64, BBox); KEPT],
    len: usize,
}

impl History {
    pub(super) fn push(&mut self, at: f64, bbox: BBox) {
        if self.len == KEPT {
            self.kept.rotate_left(1);
            self.len -= 1;
        }
        self.kept[self.len] = (at, bbox);
        self.len += 1;
    }

    pub(super) fn last_at(&self) -> Option<(f64, BBox)> {
        self.kept[..self.len].last().copied()
    }

    pub(super) fn last(&self) -> Option<BBox> {
        self.last_at().map(|(_, bbox)| bbox)
    }

    /// The oldest observation that is no older than `span` and not of now, else the last one.
    pub(super) fn before(&self, now: f64, span: f64) -> Option<BBox> {
        let kept = &self.kept[..self.len];
        let within = kept.iter().find(|(at, _)| now - at <= span && now - at > 0.0);
        within.or(kept.last()).map(|(_, bbox)| *bbox)
    }
}
