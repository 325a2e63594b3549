//! What rules about single objects and about pairs have in common: for each of them, whether it is so, and for how long.

use std::time::Duration;

use super::{
    event::{EventPhase, Measure, Object, Way},
    memory::Memory,
    rule::RuleConfig,
    state::{Change, Patience, State},
};
use crate::media::TrackId;

/// A pair of tracks, the smaller identity first; or one track, and nobody.
pub(super) type Key = (TrackId, TrackId);
/// No track: identities begin with the time of a boot.
pub(super) const NOBODY: TrackId = TrackId(0);
/// What is remembered of objects that are gone, in case they come back.
pub(super) const REMEMBERED: Duration = Duration::from_mins(1);

/// Something that a rule notices; what becomes of it is not the rule's business.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Happening {
    pub(super) phase: EventPhase,
    /// What the end has in common with its start.
    pub(super) key: Key,
    pub(super) objects: Vec<Object>,
    /// When it began.
    pub(super) since: Duration,
    pub(super) way: Option<Way>,
    pub(super) measure: Option<Measure>,
}

/// Whether it is so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Met {
    Yes,
    No,
    /// No, and inertia does not bridge it.
    Never,
}

impl From<bool> for Met {
    fn from(met: bool) -> Self {
        if met { Self::Yes } else { Self::No }
    }
}

/// How long it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) patience: Patience,
    /// It counts once it has been so for so long.
    pub(super) time: Duration,
}

impl Terms {
    pub(super) fn of(rule: &RuleConfig, time: Duration) -> Self {
        Self { patience: Patience { debounce: rule.debounce, inertia: rule.inertia }, time }
    }
}

/// What a rule keeps about one of them.
pub(super) trait Own: Default {
    /// It turns out to be the same as one that came later.
    #[must_use]
    fn join(self, newer: Self) -> Self {
        newer
    }
}

impl Own for () {}

/// A key in which an identity is replaced.
pub(super) fn renamed(key: Key, from: TrackId, to: TrackId) -> Key {
    let name = |track: TrackId| if track == from { to } else { track };
    let (a, b) = (name(key.0), name(key.1));
    (a.min(b), a.max(b))
}

/// One of them.
#[derive(Default)]
pub(super) struct One<X> {
    state: State,
    told: bool,
    first: Option<Object>,
    second: Option<Object>,
    own: X,
}

impl<X: Own> One<X> {
    fn rename(&mut self, from: TrackId, to: TrackId) {
        let objects = self.first.iter_mut().chain(&mut self.second);
        objects.filter(|object| object.track == from).for_each(|object| object.track = to);
    }

    fn objects(&self) -> Vec<Object> {
        self.first.into_iter().chain(self.second).collect()
    }

    fn happening(&self, phase: EventPhase, key: Key, since: Duration, measure: Option<Measure>) -> Happening {
        Happening { phase, key, objects: self.objects(), since, way: None, measure }
    }

    /// What follows from a change.
    fn settle(
        &mut self,
        (key, change): (Key, Change),
        time: Duration,
        measure: impl Fn(&X, Duration) -> Option<Measure>,
        out: &mut Vec<Happening>,
    ) {
        if let Change::Left { since, last } = change
            && std::mem::take(&mut self.told)
        {
            out.push(self.happening(EventPhase::End, key, since, measure(&self.own, last.saturating_sub(since))));
        }
        if let Some(since) = self.state.since()
            && !self.told
            && self.state.held() >= time
        {
            self.told = true;
            out.push(self.happening(EventPhase::Start, key, since, measure(&self.own, self.state.held())));
        }
    }
}

/// All of them.
pub(super) struct Each<X> {
    all: Memory<Key, One<X>>,
}

impl<X> Default for Each<X> {
    fn default() -> Self {
        Self { all: Memory::default() }
    }
}

impl<X: Own> Each<X> {
    /// One is seen. `judge` may keep something of its own about it; `measure` says what it comes to after so much time.
    pub(super) fn see(
        &mut self,
        (key, first, second): (Key, Object, Option<Object>),
        now: Duration,
        terms: Terms,
        judge: impl FnOnce(&mut X) -> Met,
        measure: impl Fn(&X, Duration) -> Option<Measure>,
        out: &mut Vec<Happening>,
    ) {
        if let Some((oldest, mut one)) = self.all.make_room(key) {
            let change = one.state.close();
            one.settle((oldest, change), Duration::MAX, &measure, out);
        }
        let one = self.all.see(key, now);
        (one.first, one.second) = (Some(first), second);
        let change = match judge(&mut one.own) {
            Met::Never => one.state.close(),
            met => one.state.step(now, Some(met == Met::Yes), terms.patience),
        };
        one.settle((key, change), terms.time, measure, out);
    }

    /// Those that were not seen in this frame.
    pub(super) fn miss(
        &mut self,
        now: Duration,
        terms: Terms,
        measure: impl Fn(&X, Duration) -> Option<Measure>,
        out: &mut Vec<Happening>,
    ) {
        self.all.retain(|key, seen, one| {
            if seen < now {
                let change = one.state.step(now, None, terms.patience);
                // Nobody sees it now, so nothing begins now.
                let time = if one.told { terms.time } else { Duration::MAX };
                one.settle((key, change), time, &measure, out);
            }
            one.state != State::Out || now.saturating_sub(seen) <= REMEMBERED
        });
    }

    /// A track goes by another identity from now on, under which something may be remembered of it. What both began ends once for
    /// the one that is given up.
    pub(super) fn rename(
        &mut self,
        (from, to): (TrackId, TrackId),
        measure: impl Fn(&X, Duration) -> Option<Measure>,
        out: &mut Vec<Happening>,
    ) {
        let keys: Vec<Key> = self.all.iter().map(|(key, _)| key).filter(|key| key.0 == from || key.1 == from).collect();
        for key in keys {
            let (new, Some((seen, mut newer))) = (renamed(key, from, to), self.all.take(key)) else { continue };
            if let Some((_, older)) = self.all.take(new) {
                let state = older.state.join(newer.state);
                if older.told && newer.told {
                    let change = newer.state.close();
                    newer.settle((key, change), Duration::MAX, &measure, out);
                }
                newer.state = state;
                newer.told |= older.told;
                newer.own = older.own.join(newer.own);
            }
            newer.rename(from, to);
            if new.0 != new.1 {
                self.all.put(new, seen, newer);
            }
        }
    }

    /// Nobody looks any more: all that is under way ends, and nothing is remembered.
    pub(super) fn close(&mut self, measure: impl Fn(&X, Duration) -> Option<Measure>, out: &mut Vec<Happening>) {
        self.all.retain(|key, _, one| {
            let change = one.state.close();
            one.settle((key, change), Duration::MAX, &measure, out);
            false
        });
    }

    /// Whether anything is remembered of it.
    pub(super) fn knows(&self, key: Key) -> bool {
        self.all.contains(key)
    }

    /// Those that were told, as they were last seen.
    pub(super) fn told(&self) -> impl Iterator<Item = &Object> {
        self.all.iter().filter(|(_, one)| one.told).filter_map(|(_, one)| one.first.as_ref())
    }

    /// For how many it was seen to be so just now.
    pub(super) fn sure(&self, now: Duration) -> usize {
        self.all.iter().filter(|(_, one)| one.state.holds_at(now)).count()
    }

    /// Those for which it is so, as they were last seen.
    pub(super) fn present(&self) -> impl Iterator<Item = &Object> {
        self.all.iter().filter(|(_, one)| one.state.since().is_some()).filter_map(|(_, one)| one.first.as_ref())
    }
}
