//! How many objects are in a zone: too many, too few, none, more than ever.

use std::{collections::BTreeMap, time::Duration};

use super::{
    each::{Happening, NOBODY},
    event::{EventPhase, MOST_OBJECTS, Measure, Object, Tally, Unit},
    presence::{Presence, Present},
    rule::RuleConfig,
    sight::Look,
    state::{Change, Patience, State},
};
use crate::media::TrackId;

/// Something that holds for a zone as a whole.
pub(super) fn whole(phase: EventPhase, since: Duration, objects: Vec<Object>, measure: Option<Measure>) -> Happening {
    Happening { phase, key: (NOBODY, NOBODY), objects, since, way: None, measure }
}

fn tallies(presence: &Presence) -> BTreeMap<u16, Tally> {
    let mut tallies: BTreeMap<u16, Tally> = BTreeMap::new();
    presence.present().for_each(|object| tallies.entry(object.class).or_default().now += 1);
    tallies
}

fn some(presence: &Presence) -> Vec<Object> {
    presence.present().take(MOST_OBJECTS).copied().collect()
}

/// The rule `occupancy`.
#[derive(Default)]
pub(super) struct OccupancyWatch {
    presence: Presence,
    state: State,
    /// The count farthest beyond the limit.
    extreme: usize,
}

impl OccupancyWatch {
    pub(super) fn look(
        &mut self,
        rule: &RuleConfig,
        (min, max, time): (usize, Option<usize>, Duration),
        look: &Look<'_>,
        out: &mut Vec<Happening>,
    ) {
        let Present { sure, held } = self.presence.count(rule, look);
        let below = |count: usize| max.is_none_or(|max| count <= max);
        // Whom inertia holds there may be there or not: that begins nothing, and ends nothing at once.
        let met = match () {
            () if sure >= min && below(held) => Some(true),
            () if held >= min && below(sure) => None,
            () => Some(false),
        };
        let count = if min > 0 { sure } else { held };
        let change = self.state.step(look.now, met, Patience { debounce: time, inertia: rule.inertia });
        let threshold = if min > 0 { Some(min) } else { max };
        let measure = |count: usize| Some(Measure::new(count as f64, Unit::Objects, threshold.map(|t| t as f64)));
        match change {
            Change::Entered => {
                self.extreme = count;
                let since = self.state.since().unwrap_or(look.now);
                out.push(whole(EventPhase::Start, since, some(&self.presence), measure(count)));
            }
            Change::Left { since, .. } => {
                out.push(whole(EventPhase::End, since, some(&self.presence), measure(self.extreme)));
            }
            Change::None if met == Some(true) => {
                self.extreme = if min > 0 { self.extreme.max(count) } else { self.extreme.min(count) }
            }
            Change::None => {}
        }
    }

    pub(super) fn rename(&mut self, tracks: (TrackId, TrackId)) {
        self.presence.rename(tracks, |_| None, &mut Vec::new());
    }

    pub(super) fn tallies(&self) -> BTreeMap<u16, Tally> {
        tallies(&self.presence)
    }

    pub(super) fn close(&mut self, out: &mut Vec<Happening>) {
        if let Change::Left { since, .. } = self.state.close() {
            let measure = Measure::new(self.extreme as f64, Unit::Objects, None);
            out.push(whole(EventPhase::End, since, Vec::new(), Some(measure)));
        }
        self.presence = Presence::default();
    }
}

/// The rule `absence`.
#[derive(Default)]
pub(super) struct AbsenceWatch {
    presence: Presence,
    /// For how long nobody was there while somebody watched, and since when.
    alone: Duration,
    since: Option<Duration>,
    told: bool,
}

impl AbsenceWatch {
    pub(super) fn look(&mut self, rule: &RuleConfig, time: Duration, look: &Look<'_>, out: &mut Vec<Happening>) {
        let measure = |alone: Duration| Some(Measure::new(alone.as_secs_f64(), Unit::Seconds, Some(time.as_secs_f64())));
        let count = self.presence.count(rule, look).held;
        if count > 0 || look.gap {
            if let Some(since) = self.since.take().filter(|_| std::mem::take(&mut self.told)) {
                out.push(whole(EventPhase::End, since, some(&self.presence), measure(self.alone)));
            }
            self.alone = Duration::ZERO;
        }
        if count > 0 {
            return;
        }
        match self.since {
            None => self.since = Some(look.now),
            Some(_) => self.alone += look.watched,
        }
        if self.alone >= time && !self.told {
            self.told = true;
            out.push(whole(EventPhase::Start, self.since.unwrap_or(look.now), Vec::new(), measure(self.alone)));
        }
    }

    pub(super) fn rename(&mut self, tracks: (TrackId, TrackId)) {
        self.presence.rename(tracks, |_| None, &mut Vec::new());
    }

    pub(super) fn tallies(&self) -> BTreeMap<u16, Tally> {
        tallies(&self.presence)
    }

    pub(super) fn close(&mut self, out: &mut Vec<Happening>) {
        if let Some(since) = self.since.filter(|_| self.told) {
            let measure = Measure::new(self.alone.as_secs_f64(), Unit::Seconds, None);
            out.push(whole(EventPhase::End, since, Vec::new(), Some(measure)));
        }
        *self = Self::default();
    }
}

/// The rules `new_high` and `new_low`.
#[derive(Default)]
pub(super) struct RecordWatch {
    presence: Presence,
    /// A count and since when it has been that.
    running: Option<(usize, Duration)>,
    record: Option<usize>,
    /// When the running period began, and how much of it had passed before that, in an earlier run.
    began: Option<Duration>,
    before: Duration,
    /// The record is another one than was noted.
    changed: bool,
}

impl RecordWatch {
    pub(super) fn look(
        &mut self,
        rule: &RuleConfig,
        (high, time, period): (bool, Duration, Duration),
        look: &Look<'_>,
        out: &mut Vec<Happening>,
    ) {
        let Present { sure, held } = self.presence.count(rule, look);
        let count = if high { sure } else { held };
        let began = *self.began.get_or_insert(look.now);
        if look.now.saturating_sub(began) + self.before >= period {
            (self.began, self.before, self.record) = (Some(look.now), Duration::ZERO, None);
        }
        let since = self.running.filter(|(of, _)| *of == count).map_or(look.now, |(_, since)| since);
        self.running = Some((count, since));
        if look.now.saturating_sub(since) < time {
            return;
        }
        // The first count of a period is what the others are held against.
        let Some(record) = self.record else {
            (self.record, self.changed) = (Some(count), true);
            return;
        };
        if (high && count > record) || (!high && count < record) {
            (self.record, self.changed) = (Some(count), true);
            let measure = Measure::new(count as f64, Unit::Objects, Some(record as f64));
            out.push(whole(EventPhase::Once, since, some(&self.presence), Some(measure)));
        }
    }

    pub(super) fn rename(&mut self, tracks: (TrackId, TrackId)) {
        self.presence.rename(tracks, |_| None, &mut Vec::new());
    }

    pub(super) fn tallies(&self) -> BTreeMap<u16, Tally> {
        tallies(&self.presence)
    }

    /// Goes on from the record of a period of which so much has passed already.
    pub(super) fn recall(&mut self, record: usize, passed: Duration) {
        (self.record, self.before) = (Some(record), passed);
    }

    /// The record and for how long its period has lasted, where that is news.
    pub(super) fn news(&mut self, now: Duration) -> Option<(usize, Duration)> {
        let lasted = self.before + now.saturating_sub(self.began.unwrap_or(now));
        self.record.filter(|_| std::mem::take(&mut self.changed)).map(|record| (record, lasted))
    }

    /// The record stands.
    pub(super) fn close(&mut self) {
        self.presence = Presence::default();
        self.running = None;
    }
}
