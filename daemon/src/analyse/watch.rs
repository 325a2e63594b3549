//! One rule's memory, of whatever kind.

use std::collections::BTreeMap;

use super::{
    combine::CombineWatch,
    each::Happening,
    event::{Tally, Unit},
    line::LineWatch,
    moving::{HeadingWatch, SpeedWatch, StoppedWatch},
    near::{CrowdWatch, ProximityWatch, TailgatingWatch},
    occupancy::{AbsenceWatch, OccupancyWatch, RecordWatch},
    rule::{RuleConfig, RuleKind},
    sight::Look,
    summary::SummaryWatch,
    zone::ZoneWatch,
};
use crate::media::Rename;

/// What a rule keeps from frame to frame. Everything starts empty.
pub(super) enum Watch {
    Line(LineWatch),
    Zone(ZoneWatch),
    Occupancy(OccupancyWatch),
    Absence(AbsenceWatch),
    Record(RecordWatch),
    Heading(HeadingWatch),
    Speed(SpeedWatch),
    Proximity(ProximityWatch),
    Tailgating(TailgatingWatch),
    Stopped(StoppedWatch),
    Crowd(CrowdWatch),
    Combine(CombineWatch),
    Summary(Box<SummaryWatch>),
}

impl Watch {
    pub(super) fn new(kind: &RuleKind) -> Self {
        match kind {
            RuleKind::Line(_) => Self::Line(LineWatch::default()),
            RuleKind::Zone | RuleKind::Dwell { .. } => Self::Zone(ZoneWatch::default()),
            RuleKind::Occupancy { .. } => Self::Occupancy(OccupancyWatch::default()),
            RuleKind::Absence { .. } => Self::Absence(AbsenceWatch::default()),
            RuleKind::NewHigh { .. } | RuleKind::NewLow { .. } => Self::Record(RecordWatch::default()),
            RuleKind::Heading(_) => Self::Heading(HeadingWatch::default()),
            RuleKind::Speed { .. } => Self::Speed(SpeedWatch::default()),
            RuleKind::Proximity { .. } => Self::Proximity(ProximityWatch::default()),
            RuleKind::Tailgating { .. } => Self::Tailgating(TailgatingWatch::default()),
            RuleKind::Stopped { .. } => Self::Stopped(StoppedWatch::default()),
            RuleKind::Crowd { .. } => Self::Crowd(CrowdWatch::default()),
            RuleKind::Combine { .. } => Self::Combine(CombineWatch::default()),
            RuleKind::Summary { .. } => Self::Summary(Box::default()),
        }
    }

    /// Takes a frame in. Combinations and summaries see more than one frame: they are looked after elsewhere. `sides`: of a class, whether
    /// the rule is about it, and whether a pair's other side is.
    pub(super) fn look(
        &mut self,
        rule: &RuleConfig,
        sides: (impl Fn(u16) -> bool, impl Fn(u16) -> bool),
        look: &Look<'_>,
        out: &mut Vec<Happening>,
    ) {
        match (self, &rule.kind) {
            (Self::Line(watch), RuleKind::Line(line)) => watch.look(rule, line, look, out),
            (Self::Zone(watch), RuleKind::Dwell { time }) => watch.look(rule, *time, look, out),
            (Self::Zone(watch), _) => watch.look(rule, std::time::Duration::ZERO, look, out),
            (Self::Occupancy(watch), RuleKind::Occupancy { min, max, time }) => watch.look(rule, (*min, *max, *time), look, out),
            (Self::Absence(watch), RuleKind::Absence { time }) => watch.look(rule, *time, look, out),
            (Self::Record(watch), RuleKind::NewHigh { time, period }) => watch.look(rule, (true, *time, *period), look, out),
            (Self::Record(watch), RuleKind::NewLow { time, period }) => watch.look(rule, (false, *time, *period), look, out),
            (Self::Heading(watch), RuleKind::Heading(heading)) => watch.look(rule, heading, look, out),
            (Self::Speed(watch), RuleKind::Speed { above, below, time }) => watch.look(rule, (*above, *below, *time), look, out),
            (Self::Proximity(watch), RuleKind::Proximity { distance, time, .. }) => {
                watch.look(rule, (*distance, *time), sides, look, out);
            }
            (Self::Tailgating(watch), RuleKind::Tailgating { line, time }) => watch.look(rule, (line, *time), look, out),
            (Self::Stopped(watch), RuleKind::Stopped { time, distance, moved }) => {
                watch.look(rule, (*time, *distance, *moved), look, out);
            }
            (Self::Crowd(watch), RuleKind::Crowd { min, distance, time }) => {
                watch.look(rule, (*min, *distance, *time), look, out);
            }
            // A watch is made for its kind.
            _ => {}
        }
    }

    /// A track goes by another identity from now on: what is known of both is one.
    pub(super) fn rename(&mut self, rule: &RuleConfig, rename: &Rename, unit: Unit, out: &mut Vec<Happening>) {
        let tracks = (rename.from, rename.to);
        match (self, &rule.kind) {
            (Self::Line(watch), RuleKind::Line(line)) => watch.rename(tracks, line),
            (Self::Zone(watch), RuleKind::Dwell { time }) => watch.rename(tracks, *time, out),
            (Self::Zone(watch), _) => watch.rename(tracks, std::time::Duration::ZERO, out),
            (Self::Occupancy(watch), _) => watch.rename(tracks),
            (Self::Absence(watch), _) => watch.rename(tracks),
            (Self::Record(watch), _) => watch.rename(tracks),
            (Self::Heading(watch), RuleKind::Heading(heading)) => watch.rename(tracks, heading, out),
            (Self::Speed(watch), RuleKind::Speed { above, below, .. }) => watch.rename(tracks, above.or(*below), out),
            (Self::Proximity(watch), RuleKind::Proximity { distance, .. }) => watch.rename(tracks, *distance, unit, out),
            (Self::Tailgating(watch), RuleKind::Tailgating { line, .. }) => watch.rename(tracks, line),
            (Self::Stopped(watch), RuleKind::Stopped { time, .. }) => watch.rename(tracks, *time, out),
            (Self::Summary(watch), _) => watch.rename(tracks, rename.class),
            // Crowds and combinations know nobody by name.
            _ => {}
        }
    }

    /// Nobody looks any more: what is under way ends. What was counted stays.
    pub(super) fn close(&mut self, rule: &RuleConfig, unit: Unit, out: &mut Vec<Happening>) {
        match (self, &rule.kind) {
            (Self::Line(watch), _) => watch.close(),
            (Self::Zone(watch), RuleKind::Dwell { time }) => watch.close(*time, out),
            (Self::Zone(watch), _) => watch.close(std::time::Duration::ZERO, out),
            (Self::Occupancy(watch), _) => watch.close(out),
            (Self::Absence(watch), _) => watch.close(out),
            (Self::Record(watch), _) => watch.close(),
            (Self::Heading(watch), RuleKind::Heading(heading)) => watch.close(heading, out),
            (Self::Speed(watch), RuleKind::Speed { above, below, .. }) => watch.close(above.or(*below), out),
            (Self::Proximity(watch), RuleKind::Proximity { distance, .. }) => watch.close(*distance, unit, out),
            (Self::Tailgating(watch), _) => watch.close(),
            (Self::Stopped(watch), RuleKind::Stopped { time, .. }) => watch.close(*time, out),
            (Self::Crowd(watch), _) => watch.close(out),
            (Self::Combine(watch), _) => watch.close(out),
            (Self::Summary(watch), _) => watch.close(),
            _ => {}
        }
    }

    /// Goes on from what was counted before the start.
    pub(super) fn recall(&mut self, tallies: BTreeMap<u16, Tally>) {
        match self {
            Self::Line(watch) => watch.recall(tallies),
            Self::Zone(watch) => watch.recall(tallies),
            // Of the others nothing is remembered.
            _ => {}
        }
    }

    /// Goes on from a record of a period of which so much has passed already.
    pub(super) fn recall_record(&mut self, record: usize, passed: std::time::Duration) {
        if let Self::Record(watch) = self {
            watch.recall(record, passed);
        }
    }

    /// Entries that were counted and whose exits are still to come, by class.
    pub(super) fn open(&self) -> BTreeMap<u16, u64> {
        match self {
            Self::Zone(watch) => watch.open(),
            _ => BTreeMap::new(),
        }
    }

    /// What it counts, if it counts at all.
    pub(super) fn tallies(&self) -> Option<BTreeMap<u16, Tally>> {
        match self {
            Self::Line(watch) => Some(watch.tallies()),
            Self::Zone(watch) => Some(watch.tallies()),
            Self::Occupancy(watch) => Some(watch.tallies()),
            Self::Absence(watch) => Some(watch.tallies()),
            Self::Record(watch) => Some(watch.tallies()),
            _ => None,
        }
    }
}
