//! Which objects are in a zone.

use std::time::Duration;

use super::{
    each::{Each, Happening, Met, NOBODY, Terms},
    event::{Measure, Object},
    rule::RuleConfig,
    sight::Look,
};
use crate::media::TrackId;

/// How many objects are there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present {
    /// Seen there just now.
    pub(super) sure: usize,
    /// With those that inertia holds there.
    pub(super) held: usize,
}

/// The objects in a rule's zone.
#[derive(Default)]
pub(super) struct Presence {
    each: Each<()>,
}

impl Presence {
    /// Follows them into a frame. Those that have been there for `time`, and those of them that leave, are told.
    pub(super) fn look(
        &mut self,
        rule: &RuleConfig,
        look: &Look<'_>,
        time: Duration,
        measure: impl Fn(Duration) -> Option<Measure>,
        out: &mut Vec<Happening>,
    ) {
        let terms = Terms::of(rule, time);
        let measure = |(): &(), time| measure(time);
        for sight in look.sights {
            let met = Met::from(rule.zone.holds(rule.anchor, sight));
            self.each.see(((NOBODY, sight.track), sight.into(), None), look.now, terms, |()| met, measure, out);
        }
        self.each.miss(look.now, terms, measure, out);
    }

    /// The same without telling of single objects; how many there are.
    pub(super) fn count(&mut self, rule: &RuleConfig, look: &Look<'_>) -> Present {
        let mut untold = Vec::new();
        self.look(rule, look, Duration::MAX, |_| None, &mut untold);
        Present { sure: self.each.sure(look.now), held: self.each.present().count() }
    }

    pub(super) fn present(&self) -> impl Iterator<Item = &Object> {
        self.each.present()
    }

    /// Those whose leaving will be told.
    pub(super) fn told(&self) -> impl Iterator<Item = &Object> {
        self.each.told()
    }

    /// A track goes by another identity from now on.
    pub(super) fn rename(
        &mut self,
        tracks: (TrackId, TrackId),
        measure: impl Fn(Duration) -> Option<Measure>,
        out: &mut Vec<Happening>,
    ) {
        self.each.rename(tracks, |(): &(), time| measure(time), out);
    }

    pub(super) fn close(&mut self, measure: impl Fn(Duration) -> Option<Measure>, out: &mut Vec<Happening>) {
        self.each.close(|(): &(), time| measure(time), out);
    }
}
