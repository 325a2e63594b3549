//! Objects that cross a line.
//!
//! Crossings go by what the detector saw of an object in each frame: the tracker's box is smoother and comes later, so that somebody who
//! leaves the picture just beyond the line would never arrive there. What boxes tremble by goes with the size of the object, and so do
//! all margins here.

use std::{collections::BTreeMap, time::Duration};

use super::{
    each::{Happening, NOBODY, REMEMBERED},
    event::{EventPhase, Object, Tally, Way},
    geometry::{CROSSING, Line, Point, Rect},
    memory::Memory,
    place::Anchor,
    rule::{LineConfig, RuleConfig, Strictness},
    sight::{Look, Sight},
};
use crate::media::TrackId;

/// How far beyond the line an object has to be, in heights of its box: boxes tremble.
const MARGIN: f64 = 0.05;
/// How far both ends of its lower edge have to have come, in heights: of a box that shrinks since something hides a side of it, one end stays.
const WHOLE: f64 = 0.02;
/// Nearer to the picture's edge than this, in heights, a box is cut off by it.
const CUT: f64 = 0.05;

/// One object on its way.
#[derive(Default)]
struct Walker {
    at: Option<Point>,
    /// Where it was first seen, and when.
    first: Option<(Point, Duration)>,
    object: Option<Object>,
    /// Quarters of crossings that are not settled.
    pending: i32,
    /// When they came to a whole one.
    crossed: Duration,
    /// Since when it was on one side only.
    since: Duration,
    /// Whether it is clear of the line.
    clear: bool,
    /// The ends of its lower edge when it was last on one side only.
    feet: [Point; 2],
}

/// A crossing that counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Crossed {
    pub(super) object: Object,
    pub(super) way: Way,
    pub(super) at: Duration,
}

/// Everybody on their way over a line.
#[derive(Default)]
pub(super) struct Crossings {
    walkers: Memory<TrackId, Walker>,
}

impl Crossings {
    /// Follows the objects into a frame; the crossings that count now.
    pub(super) fn look(&mut self, rule: &RuleConfig, line: &LineConfig, look: &Look<'_>) -> Vec<Crossed> {
        let mut out = Vec::new();
        for sight in look.sights {
            self.walkers.make_room(sight.track);
            let walker = self.walkers.see(sight.track, look.now);
            walker.step(sight, rule, line, look);
            out.extend(walker.settle(rule, line, look.now));
        }
        for track in look.ended {
            if let Some(walker) = self.walkers.get_mut(*track) {
                out.extend(walker.end(line));
            }
        }
        self.walkers.retain(|_, seen, _| look.now.saturating_sub(seen) <= REMEMBERED);
        out.retain(|crossed| line.inward.is_none_or(|inward| inward == (crossed.way == Way::In)));
        out
    }

    /// A track goes by another identity from now on: the way between the two was straight.
    pub(super) fn rename(&mut self, (from, to): (TrackId, TrackId), line: &LineConfig) {
        let Some((seen, mut newer)) = self.walkers.take(from) else { return };
        if let Some((_, older)) = self.walkers.take(to) {
            newer.continues(&older, &line.line);
        }
        newer.object.iter_mut().for_each(|object| object.track = to);
        self.walkers.put(to, seen, newer);
    }

    /// Nobody looks any more: what is not settled never will be.
    pub(super) fn close(&mut self) {
        self.walkers.clear();
    }
}

impl Walker {
    /// It is the one that went before.
    fn continues(&mut self, older: &Self, line: &Line) {
        let (Some(left), Some((came, when))) = (older.at, self.first) else { return };
        let here = self.pending;
        self.pending += older.pending + line.crossings(left, came);
        if self.pending.abs() >= CROSSING && (here.abs() < CROSSING || here.signum() != self.pending.signum()) {
            let before = older.pending.abs() >= CROSSING && older.pending.signum() == self.pending.signum();
            self.crossed = if before { older.crossed } else { when };
        }
        (self.first, self.since, self.feet) = (older.first, older.since, older.feet);
    }

    fn step(&mut self, sight: &Sight, rule: &RuleConfig, line: &LineConfig, look: &Look<'_>) {
        let seen = &sight.seen;
        let to = if rule.anchor == Anchor::Foot { seen.foot() } else { seen.centre() };
        let Some(from) = self.at.replace(to) else {
            self.first = Some((to, look.now));
            self.since = look.now;
            self.object = Some(sight.into());
            self.feet = seen.feet();
            return;
        };
        self.object = Some(sight.into());
        let before = self.pending;
        self.pending += line.line.crossings(from, to);
        if self.pending.abs() >= CROSSING && (before.abs() < CROSSING || before.signum() != self.pending.signum()) {
            self.crossed = look.now;
        }
        if self.pending == 0 {
            self.feet = seen.feet();
            return;
        }
        self.clear = self.came_as_a_whole(seen, &line.line, to, look.aspect)
            && match rule.anchor {
                Anchor::Overlap => !line.line.meets(seen),
                Anchor::Foot | Anchor::Centre => line.line.distance(to, look.aspect) >= MARGIN * seen.height(),
            };
    }

    /// Whether both ends of its lower edge have come over with it. What the picture's edge cuts off is not known.
    fn came_as_a_whole(&self, seen: &Rect, line: &Line, at: Point, aspect: f64) -> bool {
        let (normal, sign, height) = (line.normal(at, aspect), f64::from(self.pending.signum()), seen.height());
        self.feet.iter().zip(seen.feet()).all(|(from, to)| {
            let is_cut = [to.x() * aspect, (1.0 - to.x()) * aspect, 1.0 - to.y()].iter().any(|room| *room < CUT * height);
            let way = [(to.x() - from.x()) * aspect, to.y() - from.y()];
            is_cut || (way[0] * normal[0] + way[1] * normal[1]) * sign >= WHOLE * height
        })
    }

    fn settle(&mut self, rule: &RuleConfig, line: &LineConfig, now: Duration) -> Option<Crossed> {
        if self.pending == 0 {
            return None;
        }
        let stayed = now.saturating_sub(self.crossed) >= rule.debounce;
        let settled = line.strictness == Strictness::Loose || (self.clear && stayed);
        if self.pending.abs() < CROSSING || !settled {
            return None;
        }
        let known = self.crossed.saturating_sub(self.since) >= rule.debounce || line.strictness != Strictness::Strict;
        self.count().filter(|_| known)
    }

    /// The object is gone: what it did last counts, unless it has to be seen on both sides.
    fn end(&mut self, line: &LineConfig) -> Option<Crossed> {
        if self.pending.abs() < CROSSING || (line.strictness != Strictness::Loose && !self.clear) {
            return None;
        }
        self.count().filter(|_| line.strictness != Strictness::Strict)
    }

    fn count(&mut self) -> Option<Crossed> {
        let way = if self.pending > 0 { Way::In } else { Way::Out };
        self.pending = 0;
        self.since = self.crossed;
        self.object.map(|object| Crossed { object, way, at: self.crossed })
    }
}

/// The rule `line`.
#[derive(Default)]
pub(super) struct LineWatch {
    crossings: Crossings,
    tallies: BTreeMap<u16, Tally>,
}

impl LineWatch {
    pub(super) fn look(&mut self, rule: &RuleConfig, line: &LineConfig, look: &Look<'_>, out: &mut Vec<Happening>) {
        for Crossed { object, way, at } in self.crossings.look(rule, line, look) {
            let tally = self.tallies.entry(object.class).or_default();
            match way {
                Way::In => tally.entered += 1,
                Way::Out => tally.left += 1,
            }
            let key = (NOBODY, object.track);
            out.push(Happening { phase: EventPhase::Once, key, objects: vec![object], since: at, way: Some(way), measure: None });
        }
    }

    pub(super) fn rename(&mut self, tracks: (TrackId, TrackId), line: &LineConfig) {
        self.crossings.rename(tracks, line);
    }

    pub(super) fn tallies(&self) -> BTreeMap<u16, Tally> {
        self.tallies.clone()
    }

    /// Goes on from what was counted before.
    pub(super) fn recall(&mut self, tallies: BTreeMap<u16, Tally>) {
        self.tallies = tallies;
    }

    pub(super) fn close(&mut self) {
        self.crossings.close();
    }
}
