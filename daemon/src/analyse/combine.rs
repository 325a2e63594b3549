//! Rules out of other rules.

use std::time::Duration;

use super::{
    each::Happening,
    event::{EventPhase, MOST_OBJECTS, Object},
    occupancy::whole,
    state::{Change, Patience, State},
};

/// Another rule as a combination sees it.
#[derive(Default)]
pub(super) struct Standing {
    /// When it was last met: it has happened, or was under way.
    pub(super) met: Option<Duration>,
    /// Whom it was about.
    pub(super) objects: Vec<Object>,
}

impl Standing {
    /// A moment counts for as long as the combination's inertia.
    pub(super) fn holds(&self, now: Duration, inertia: Duration) -> bool {
        self.met.is_some_and(|met| now.saturating_sub(met) <= inertia)
    }
}

/// The rule `combine`.
#[derive(Default)]
pub(super) struct CombineWatch {
    state: State,
}

impl CombineWatch {
    pub(super) fn look(&mut self, now: Duration, met: bool, time: Duration, about: &[&Standing], out: &mut Vec<Happening>) {
        let objects = || {
            let mut objects: Vec<Object> = about.iter().flat_map(|standing| standing.objects.iter().copied()).collect();
            objects.sort_by_key(|object| object.track);
            objects.dedup_by_key(|object| object.track);
            objects.truncate(MOST_OBJECTS);
            objects
        };
        match self.state.step(now, Some(met), Patience { debounce: time, inertia: Duration::ZERO }) {
            Change::Entered => out.push(whole(EventPhase::Start, self.state.since().unwrap_or(now), objects(), None)),
            Change::Left { since, .. } => out.push(whole(EventPhase::End, since, objects(), None)),
            Change::None => {}
        }
    }

    pub(super) fn close(&mut self, out: &mut Vec<Happening>) {
        if let Change::Left { since, .. } = self.state.close() {
            out.push(whole(EventPhase::End, since, Vec::new(), None));
        }
    }
}
