//! What was missed.

use std::{collections::BTreeMap, time::Duration};

use super::{WayReport, arm::Happening};
use crate::trackeval::{Rect, Truth, Worth};

/// An object must be looked at this soon after it shows, and an event told this soon after it could be.
const SOON: Duration = Duration::from_secs(1);
/// An object moves that gets this share of its longer side away from where it was.
const MOVES: f64 = 0.5;

/// An object in view.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    first: Rect,
    from: Duration,
    to: Duration,
    moves: bool,
}

impl Visit {
    pub(super) fn holds(&self, at: Duration) -> bool {
        (self.from..=self.to).contains(&at)
    }
}

/// The visits of all objects that move.
pub(super) fn visits(truth: &[Vec<Truth>], times: &[Duration]) -> Vec<Visit> {
    let mut visits: BTreeMap<u64, Visit> = BTreeMap::new();
    for (objects, at) in truth.iter().zip(times) {
        for object in objects.iter().filter(|object| object.worth == Worth::Counts) {
            let bbox = object.named.bbox;
            let visit = visits.entry(object.named.id).or_insert(Visit { first: bbox, from: *at, to: *at, moves: false });
            visit.to = *at;
            visit.moves |= away(&visit.first, &bbox) > MOVES * visit.first.width.max(visit.first.height);
        }
    }
    visits.into_values().filter(|visit| visit.moves).collect()
}

fn away(a: &Rect, b: &Rect) -> f64 {
    let middle = |rect: &Rect| (rect.left + rect.width / 2.0, rect.top + rect.height / 2.0);
    let ((ax, ay), (bx, by)) = (middle(a), middle(b));
    (ax - bx).hypot(ay - by)
}

/// How long each object of a second and more waited for its first look.
pub(super) fn waits(visits: &[Visit], times: &[Duration], looked: &[bool], report: &mut WayReport) {
    for visit in visits.iter().filter(|visit| visit.to.saturating_sub(visit.from) >= SOON) {
        let first = times
            .iter()
            .zip(looked)
            .find(|(at, looked)| **looked && **at >= visit.from)
            .map(|(at, _)| at.saturating_sub(visit.from));
        report.objects += 1;
        match first {
            Some(wait) if wait <= SOON => report.longest_wait = report.longest_wait.max(wait),
            _ => report.missed += 1,
        }
    }
}

/// How many events of the first were not told by the second, and the other way round. Each may stand for one other.
pub(super) fn compare(every: &[Happening], told: &[Happening]) -> (u64, u64) {
    let mut free: Vec<&Happening> = told.iter().collect();
    let mut missed = 0;
    for event in every {
        let like = |other: &&Happening| other.rule == event.rule && other.way == event.way && other.at.abs_diff(event.at) <= SOON;
        match free.iter().position(like) {
            Some(place) => drop(free.remove(place)),
            None => missed += 1,
        }
    }
    (missed, free.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trackeval::Named;

    fn at(tenth: u64) -> Duration {
        Duration::from_millis(100 * tenth)
    }

    fn object(id: u64, left: f64) -> Truth {
        Truth { named: Named { id, bbox: Rect { left, top: 0.0, width: 20.0, height: 40.0 } }, worth: Worth::Counts }
    }

    #[test]
    fn who_moves_is_waited_for() {
        // One walks from the start, one stands, one walks in after a second and is looked at late.
        let times: Vec<Duration> = (0..40).map(at).collect();
        let truth: Vec<Vec<Truth>> = (0..40_u32)
            .map(|i| {
                let mut objects = vec![object(1, f64::from(i) * 5.0), object(2, 300.0)];
                objects.extend((i >= 10).then(|| object(3, 100.0 + f64::from(i) * 5.0)));
                objects
            })
            .collect();
        let visits = visits(&truth, &times);
        assert_eq!(visits.len(), 2);
        let mut report = WayReport::default();
        waits(&visits, &times, &(0..40).map(|i| i == 3 || i > 20).collect::<Vec<_>>(), &mut report);
        assert_eq!((report.objects, report.missed, report.longest_wait), (2, 1, at(3)));
    }

    #[test]
    fn events_stand_for_each_other_once() {
        let event = |rule: &str, tenth| Happening { rule: rule.into(), way: None, at: at(tenth) };
        let every = [event("gate", 10), event("gate", 12), event("yard", 30)];
        assert_eq!(compare(&every, &every), (0, 0));
        assert_eq!(compare(&every, &[event("gate", 15), event("yard", 45)]), (2, 1));
    }
}
