//! Where objects were and which ways they took, over an hour or so.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    each::REMEMBERED,
    event::{HEAT, Path, Summary},
    geometry::Point,
    memory::Memory,
    rule::RuleConfig,
    sight::Look,
};
use crate::media::TrackId;

/// How often a span that is not over is told.
const TELL_EVERY: Duration = Duration::from_mins(5);

/// One object's stay.
#[derive(Default)]
struct Visit {
    from: Option<(u8, Duration)>,
    to: u8,
    last: Duration,
    ended: bool,
    /// The span in which it was counted.
    counted: Option<u64>,
}

/// What came together in a span.
#[derive(Default)]
struct Span {
    number: u64,
    objects: BTreeMap<u16, u64>,
    heat: Vec<f32>,
    /// Objects, and the sum of their seconds.
    paths: BTreeMap<(u8, u8), (u64, f64)>,
    /// When it was last told.
    told: Duration,
}

impl Span {
    fn new(number: u64, now: Duration) -> Self {
        Self { number, heat: vec![0.0; HEAT.0 * HEAT.1], told: now, ..Self::default() }
    }
}

/// The rule `summary`.
#[derive(Default)]
pub(super) struct SummaryWatch {
    visits: Memory<TrackId, Visit>,
    span: Option<Span>,
}

/// The part of the picture that a place lies in, of so many columns and rows.
fn cell(p: Point, (columns, rows): (usize, usize)) -> usize {
    let at = |v: f64, n: usize| ((v.clamp(0.0, 1.0) * n as f64) as usize).min(n - 1);
    at(p.y(), rows) * columns + at(p.x(), columns)
}

impl SummaryWatch {
    /// Takes a frame in; what is to be told. Spans begin at whole multiples of their length since 1970.
    pub(super) fn look(
        &mut self,
        (name, rule): (&Arc<str>, &RuleConfig),
        every: Duration,
        wall: SystemTime,
        look: &Look<'_>,
    ) -> Vec<Arc<Summary>> {
        let mut out = Vec::new();
        let number = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / every.as_secs().max(1);
        let span = self.span.get_or_insert_with(|| Span::new(number, look.now));
        if number > span.number {
            out.push(span.summary(name, every, None));
            *span = Span::new(number, look.now);
        }
        let number = span.number;
        for sight in look.sights.iter().filter(|sight| rule.zone.holds(rule.anchor, sight)) {
            if let Some((_, visit)) = self.visits.make_room(sight.track) {
                span.go(&visit);
            }
            let visit = self.visits.see(sight.track, look.now);
            let place = cell(sight.foot, (3, 3)) as u8;
            let since = if visit.from.is_some() { look.now.saturating_sub(visit.last) } else { Duration::ZERO };
            if since <= rule.max_gap
                && let Some(heat) = span.heat.get_mut(cell(sight.foot, HEAT))
            {
                *heat += since.as_secs_f32();
            }
            visit.from.get_or_insert((place, look.now));
            (visit.to, visit.last, visit.ended) = (place, look.now, false);
            if visit.counted != Some(number) {
                visit.counted = Some(number);
                *span.objects.entry(sight.class).or_default() += 1;
            }
        }
        for track in look.ended {
            if let Some(visit) = self.visits.get_mut(*track) {
                visit.ended = true;
            }
        }
        self.visits.retain(|_, seen, visit| {
            let gone = visit.ended || look.now.saturating_sub(seen) > REMEMBERED;
            if gone {
                span.go(visit);
            }
            !gone
        });
        if look.now.saturating_sub(span.told) >= TELL_EVERY {
            span.told = look.now;
            out.push(span.summary(name, every, Some(wall)));
        }
        out
    }

    /// A track goes by another identity from now on. One that had not gone yet was here all the time, and is counted once.
    pub(super) fn rename(&mut self, (from, to): (TrackId, TrackId), class: u16) {
        let Some((seen, mut newer)) = self.visits.take(from) else { return };
        if let Some((_, older)) = self.visits.take(to) {
            newer.from = older.from.or(newer.from);
            if let Some(span) = &mut self.span
                && older.counted == Some(span.number)
                && newer.counted == older.counted
                && let Some(objects) = span.objects.get_mut(&class)
            {
                *objects = objects.saturating_sub(1);
            }
        }
        self.visits.put(to, seen, newer);
    }

    /// Nobody looks any more: who is there goes.
    pub(super) fn close(&mut self) {
        let span = &mut self.span;
        self.visits.retain(|_, _, visit| {
            if let Some(span) = span {
                span.go(visit);
            }
            false
        });
    }
}

impl Span {
    fn go(&mut self, visit: &Visit) {
        let Some((from, since)) = visit.from else { return };
        let path = self.paths.entry((from, visit.to)).or_default();
        path.0 += 1;
        path.1 += visit.last.saturating_sub(since).as_secs_f64();
    }

    /// `until`: where it is not over, the time.
    fn summary(&self, rule: &Arc<str>, every: Duration, until: Option<SystemTime>) -> Arc<Summary> {
        let from = UNIX_EPOCH + Duration::from_secs(self.number * every.as_secs().max(1));
        let path = |(&(from, to), &(objects, seconds)): (&(u8, u8), &(u64, f64))| Path {
            from,
            to,
            objects,
            mean_s: seconds / objects.max(1) as f64,
        };
        Arc::new(Summary {
            rule: rule.clone(),
            from,
            to: until.unwrap_or(from + every),
            complete: until.is_none(),
            objects: self.objects.clone(),
            heat: self.heat.clone(),
            paths: self.paths.iter().map(path).collect(),
        })
    }
}
