//! Objects by how near they are to each other: pairs, crowds, and those that follow another one over a line.

use std::time::Duration;

use super::{
    each::{Each, Happening, Met, NOBODY, Own, Terms},
    event::{EventPhase, MOST_OBJECTS, Measure, Object, Unit},
    line::{Crossed, Crossings},
    occupancy::whole,
    rule::{LineConfig, RuleConfig},
    sight::{Look, Sight},
    state::{Change, Patience, State},
};
use crate::media::TrackId;

/// Most objects of a frame that are compared with each other. Of more, those with the smallest identities: they are known for longest.
const MOST_COMPARED: usize = 256;

/// Distance of two objects: metres, or mean heights of their boxes.
fn distance(a: &Sight, b: &Sight) -> Option<f64> {
    let (p, q) = (a.plane?, b.plane?);
    Some((p[0] - q[0]).hypot(p[1] - q[1]) / f64::midpoint(a.scale, b.scale).max(f64::MIN_POSITIVE))
}

fn unit(look: &Look<'_>) -> Unit {
    if look.ground.is_some() { Unit::Metres } else { Unit::Heights }
}

/// Those in the rule's zone, in the order of their tracks.
fn compared<'a>(rule: &RuleConfig, look: &Look<'a>) -> Vec<&'a Sight> {
    let mut here: Vec<&Sight> = look.sights.iter().filter(|sight| rule.zone.holds(rule.anchor, sight)).collect();
    here.sort_by_key(|sight| sight.track);
    here.truncate(MOST_COMPARED);
    here
}

#[derive(Default)]
pub(super) struct Pair {
    /// The smallest distance since they are near.
    least: Option<f64>,
}

impl Own for Pair {
    fn join(self, newer: Self) -> Self {
        Self { least: self.least.into_iter().chain(newer.least).reduce(f64::min) }
    }
}

/// The rule `proximity`.
#[derive(Default)]
pub(super) struct ProximityWatch {
    each: Each<Pair>,
}

fn apart(unit: Unit, limit: f64) -> impl Fn(&Pair, Duration) -> Option<Measure> + Copy {
    move |pair, _| pair.least.map(|least| Measure::new(least, unit, Some(limit)))
}

impl ProximityWatch {
    /// `is_one` and `is_other` say of a class whether it is on either side of a pair.
    pub(super) fn look(
        &mut self,
        rule: &RuleConfig,
        (limit, time): (f64, Duration),
        (is_one, is_other): (impl Fn(u16) -> bool, impl Fn(u16) -> bool),
        look: &Look<'_>,
        out: &mut Vec<Happening>,
    ) {
        let (terms, measure) = (Terms::of(rule, time), apart(unit(look), limit));
        let here = compared(rule, look);
        for (i, a) in here.iter().enumerate() {
            for b in &here[i + 1..] {
                let pair = (is_one(a.class) && is_other(b.class)) || (is_one(b.class) && is_other(a.class));
                let Some(distance) = distance(a, b).filter(|_| pair) else { continue };
                let (first, second) = if is_one(a.class) { (*a, *b) } else { (*b, *a) };
                // Those that were never near are not worth remembering.
                let key = (a.track, b.track);
                if distance > limit && !self.each.knows(key) {
                    continue;
                }
                let judge = |pair: &mut Pair| {
                    let near = distance <= limit;
                    if near {
                        pair.least = Some(pair.least.map_or(distance, |least| least.min(distance)));
                    }
                    Met::from(near)
                };
                self.each.see((key, first.into(), Some(second.into())), look.now, terms, judge, measure, out);
            }
        }
        self.each.miss(look.now, terms, measure, out);
    }

    pub(super) fn rename(&mut self, tracks: (TrackId, TrackId), limit: f64, unit: Unit, out: &mut Vec<Happening>) {
        self.each.rename(tracks, apart(unit, limit), out);
    }

    pub(super) fn close(&mut self, limit: f64, unit: Unit, out: &mut Vec<Happening>) {
        self.each.close(apart(unit, limit), out);
    }
}

/// The rule `crowd`.
#[derive(Default)]
pub(super) struct CrowdWatch {
    state: State,
    most: usize,
}

impl CrowdWatch {
    pub(super) fn look(
        &mut self,
        rule: &RuleConfig,
        (min, limit, time): (usize, f64, Duration),
        look: &Look<'_>,
        out: &mut Vec<Happening>,
    ) {
        let crowd = largest(&compared(rule, look), limit);
        let met = crowd.len() >= min;
        if met {
            self.most = self.most.max(crowd.len());
        }
        let measure = |count: usize| Some(Measure::new(count as f64, Unit::Objects, Some(min as f64)));
        let objects = || crowd.iter().take(MOST_OBJECTS).map(|sight| Object::from(*sight)).collect();
        match self.state.step(look.now, Some(met), Patience { debounce: time.max(rule.debounce), inertia: rule.inertia }) {
            Change::Entered => {
                let since = self.state.since().unwrap_or(look.now);
                out.push(whole(EventPhase::Start, since, objects(), measure(crowd.len())));
            }
            Change::Left { since, .. } => {
                out.push(whole(EventPhase::End, since, Vec::new(), measure(std::mem::take(&mut self.most))));
            }
            Change::None => {}
        }
    }

    pub(super) fn close(&mut self, out: &mut Vec<Happening>) {
        if let Change::Left { since, .. } = self.state.close() {
            let measure = Measure::new(std::mem::take(&mut self.most) as f64, Unit::Objects, None);
            out.push(whole(EventPhase::End, since, Vec::new(), Some(measure)));
        }
    }
}

/// The largest group in which each is near to another.
fn largest<'a>(here: &[&'a Sight], limit: f64) -> Vec<&'a Sight> {
    let mut left: Vec<&Sight> = here.to_vec();
    let mut best: Vec<&Sight> = Vec::new();
    while let Some(seed) = left.pop() {
        let mut group = vec![seed];
        let mut at = 0;
        while let Some(member) = group.get(at).copied() {
            left.retain(|other| {
                let near = distance(member, other).is_some_and(|distance| distance <= limit);
                if near {
                    group.push(other);
                }
                !near
            });
            at += 1;
        }
        if group.len() > best.len() {
            best = group;
        }
    }
    best.sort_by_key(|sight| sight.track);
    best
}

/// The rule `tailgating`.
#[derive(Default)]
pub(super) struct TailgatingWatch {
    crossings: Crossings,
    /// Who went last, inwards and outwards.
    last: [Option<Crossed>; 2],
}

impl TailgatingWatch {
    pub(super) fn look(
        &mut self,
        rule: &RuleConfig,
        (line, time): (&LineConfig, Duration),
        look: &Look<'_>,
        out: &mut Vec<Happening>,
    ) {
        let mut crossings = self.crossings.look(rule, line, look);
        crossings.sort_by_key(|crossed| (crossed.at, crossed.object.track));
        for crossed in crossings {
            let Some(ahead) = self.last[crossed.way as usize].replace(crossed) else { continue };
            let behind = crossed.at.saturating_sub(ahead.at);
            if behind <= time && ahead.object.track != crossed.object.track {
                out.push(Happening {
                    phase: EventPhase::Once,
                    key: (NOBODY, crossed.object.track),
                    objects: vec![crossed.object, ahead.object],
                    since: crossed.at,
                    way: Some(crossed.way),
                    measure: Some(Measure::new(behind.as_secs_f64(), Unit::Seconds, Some(time.as_secs_f64()))),
                });
            }
        }
    }

    pub(super) fn rename(&mut self, (from, to): (TrackId, TrackId), line: &LineConfig) {
        self.crossings.rename((from, to), line);
        let last = self.last.iter_mut().flatten().map(|crossed| &mut crossed.object);
        last.filter(|object| object.track == from).for_each(|object| object.track = to);
    }

    pub(super) fn close(&mut self) {
        *self = Self::default();
    }
}
