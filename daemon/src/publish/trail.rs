//! Where a track has been, in a bounded number of points, and how long it stayed in which zone: what the end of a track says of its life.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use super::message::{Rounded, Waypoint, normalised, within};
use crate::{
    analyse::{Event, EventPhase, Unit},
    media::{Track, TrackId},
};

/// Most points of a path. When one more comes, every second one goes.
pub(super) const POINTS: usize = 64;
/// Most zones whose times are kept.
const ZONES: usize = 32;

/// What is known of one track.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail {
    /// Seconds since it was first seen, and where it stood.
    points: Vec<(f32, [f32; 2])>,
    latest: Option<(f32, [f32; 2])>,
    /// Points closer in time than that are passed over.
    every_s: f32,
    /// Seconds that were told by rules, by their names.
    stayed: BTreeMap<Arc<str>, f32>,
    /// Zones that it is in, and since when.
    inside: BTreeMap<Arc<str>, SystemTime>,
}

fn seconds(from: SystemTime, to: SystemTime) -> f32 {
    to.duration_since(from).unwrap_or_default().as_secs_f32()
}

impl Trail {
    /// The track was seen. `size`: width and height of the frame in pixels.
    pub(super) fn seen(&mut self, track: &Track, size: (u32, u32)) {
        let [left, _, right, foot] = normalised(&within(&track.bbox, size), size).map(|edge| edge.0);
        let point = (seconds(track.first_seen, track.last_seen), [f32::midpoint(left, right), foot]);
        self.latest = Some(point);
        if self.points.last().is_some_and(|(last, _)| point.0 - last < self.every_s) {
            return;
        }
        self.points.push(point);
        if self.points.len() >= POINTS {
            let mut keep = false;
            self.points.retain(|_| {
                keep = !keep;
                keep
            });
            self.every_s = point.0 / (POINTS / 2) as f32;
        }
    }

    /// What a rule says of it, if it is about a stay.
    pub(super) fn told(&mut self, event: &Event) {
        let known = self.inside.contains_key(&event.rule) || self.stayed.contains_key(&event.rule);
        if !matches!(event.kind, "zone" | "dwell") || (!known && self.inside.len() + self.stayed.len() >= ZONES) {
            return;
        }
        match event.phase {
            EventPhase::Start => {
                self.inside.insert(event.rule.clone(), event.started);
            }
            EventPhase::End | EventPhase::Once => {
                self.inside.remove(&event.rule);
                if let Some(measure) = event.measure.filter(|measure| measure.unit == Unit::Seconds) {
                    *self.stayed.entry(event.rule.clone()).or_default() += measure.value as f32;
                }
            }
        }
    }

    /// Its path from beginning to end.
    pub(super) fn path(&self) -> Vec<Waypoint> {
        let last = self.latest.filter(|latest| self.points.last() != Some(latest));
        let point = |(at, [x, y]): (f32, [f32; 2])| (Rounded(at), Rounded(x), Rounded(y));
        self.points.iter().copied().chain(last).map(point).collect()
    }

    /// Seconds in each zone, those included that it has not left as it was last seen.
    pub(super) fn dwell(&self, last_seen: SystemTime) -> BTreeMap<String, Rounded<1>> {
        let mut dwell = self.stayed.clone();
        for (rule, since) in &self.inside {
            *dwell.entry(rule.clone()).or_default() += seconds(*since, last_seen);
        }
        dwell.into_iter().map(|(rule, seconds)| (rule.to_string(), Rounded(seconds))).collect()
    }
}

/// The track that an event is about.
pub(super) fn whose(event: &Event) -> Option<TrackId> {
    event.objects.first().map(|object| object.track)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::media::BBox;
    use crate::{
        analyse::{EventId, Measure},
        media::TrackPhase,
    };

    fn at(ms: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
    }

    fn track(x: f32, ms: u64) -> Track {
        Track {
            id: TrackId(1),
            class: 0,
            confidence: 0.5,
            bbox: BBox::new(x, 0.0, x + 10.0, 50.0),
            velocity: (0.0, 0.0),
            stationary: false,
            first_seen: at(0),
            last_seen: at(ms),
            hits: 1,
            phase: TrackPhase::Update,
        }
    }

    proptest! {
        /// However long it lives and however unevenly it is seen: a bounded path in the order of time, from its first point to its last.
        #[test]
        fn paths_are_bounded_and_whole(steps in prop::collection::vec(1..5000_u64, 1..2000)) {
            let (mut trail, mut ms) = (Trail::default(), 0);
            for step in &steps {
                trail.seen(&track(ms as f32 % 1000.0, ms), (1000, 100));
                ms += step;
            }
            let path = trail.path();
            prop_assert!(path.len() <= POINTS && path.is_sorted_by(|a, b| a.0.0 < b.0.0));
            prop_assert!(path[0].0.0.abs() < 1e-6);
            let last = (ms - steps[steps.len() - 1]) as f32 / 1000.0;
            prop_assert!((path[path.len() - 1].0.0 - last).abs() < 1e-3 * last.max(1.0));
            prop_assert!(steps.len() < 200 || path.len() >= POINTS / 4, "{}", path.len());
        }
    }

    #[test]
    fn stays_are_added_up() {
        let event = |rule: &str, kind, phase, started, value: f64| Event {
            id: EventId(1),
            rule: rule.into(),
            kind,
            phase,
            started: at(started),
            objects: Vec::new(),
            way: None,
            measure: Some(Measure { value, unit: Unit::Seconds, threshold: None }),
        };
        let mut trail = Trail::default();
        trail.told(&event("yard", "zone", EventPhase::Start, 1000, 0.0));
        trail.told(&event("yard", "zone", EventPhase::End, 1000, 4.0));
        trail.told(&event("yard", "zone", EventPhase::Start, 8000, 0.0));
        trail.told(&event("gate", "line", EventPhase::Once, 9000, 3.0));
        let dwell = trail.dwell(at(10_500));
        assert_eq!(dwell.into_iter().collect::<Vec<_>>(), [("yard".to_owned(), Rounded(6.5))]);
        for rule in 0..100 {
            trail.told(&event(&rule.to_string(), "zone", EventPhase::Start, 0, 0.0));
        }
        assert!(trail.dwell(at(0)).len() <= ZONES);
    }
}
