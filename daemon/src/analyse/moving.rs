//! Objects by how they move: along an arrow or against it, too fast or too slow, or not at all.

use std::time::Duration;

use super::{
    each::{Each, Happening, Met, NOBODY, Own, Terms},
    event::{Measure, Unit},
    motion::{Standing, Trail},
    rule::{HeadingConfig, RuleConfig},
    sight::Look,
};
use crate::media::TrackId;

/// From metres per second.
const KMH: f64 = 3.6;

#[derive(Default)]
pub(super) struct Course {
    trail: Trail,
    /// Degrees off the arrow, of late.
    off: f64,
}

// Of ways, the newer one counts: nobody saw what was between.
impl Own for Course {}

/// The rules `direction` and `wrong_way`.
#[derive(Default)]
pub(super) struct HeadingWatch {
    each: Each<Course>,
}

fn off(config: &HeadingConfig) -> impl Fn(&Course, Duration) -> Option<Measure> + Copy + use<> {
    let tolerance = config.tolerance;
    move |course, _| Some(Measure::new(course.off, Unit::Degrees, Some(tolerance)))
}

impl HeadingWatch {
    pub(super) fn look(&mut self, rule: &RuleConfig, config: &HeadingConfig, look: &Look<'_>, out: &mut Vec<Happening>) {
        let place = |p: super::geometry::Point| match look.ground {
            Some(ground) => ground.metres(p),
            None => Some([p.x() * look.aspect, p.y()]),
        };
        let (Some(from), Some(to)) = (place(config.arrow[0]), place(config.arrow[1])) else { return };
        let sign = if config.against { -1.0 } else { 1.0 };
        let along = [(to[0] - from[0]) * sign, (to[1] - from[1]) * sign];
        let terms = Terms::of(rule, Duration::ZERO);
        for sight in look.sights {
            let Some(place) = sight.plane else { continue };
            let judge = |course: &mut Course| {
                course.trail.push(look.now, place, config.time);
                let Some(shift) = course.trail.shift(config.time) else { return Met::No };
                let way = shift[0].hypot(shift[1]);
                let cosine =
                    (shift[0] * along[0] + shift[1] * along[1]) / (way * along[0].hypot(along[1])).max(f64::MIN_POSITIVE);
                let angle = cosine.clamp(-1.0, 1.0).acos().to_degrees();
                let met =
                    way >= config.distance * sight.scale && angle <= config.tolerance && rule.zone.holds(rule.anchor, sight);
                if met {
                    course.off = angle;
                }
                Met::from(met)
            };
            self.each.see(((NOBODY, sight.track), sight.into(), None), look.now, terms, judge, off(config), out);
        }
        self.each.miss(look.now, terms, off(config), out);
    }

    pub(super) fn rename(&mut self, tracks: (TrackId, TrackId), config: &HeadingConfig, out: &mut Vec<Happening>) {
        self.each.rename(tracks, off(config), out);
    }

    pub(super) fn close(&mut self, config: &HeadingConfig, out: &mut Vec<Happening>) {
        self.each.close(off(config), out);
    }
}

#[derive(Default)]
pub(super) struct Pace {
    trail: Trail,
    /// The speed farthest beyond the limit since it is beyond, in km/h.
    extreme: Option<f64>,
}

impl Own for Pace {
    fn join(self, newer: Self) -> Self {
        Self { extreme: newer.extreme.or(self.extreme), ..newer }
    }
}

/// The rule `speed`.
#[derive(Default)]
pub(super) struct SpeedWatch {
    each: Each<Pace>,
}

fn kmh(threshold: Option<f64>) -> impl Fn(&Pace, Duration) -> Option<Measure> + Copy {
    move |pace, _| pace.extreme.map(|speed| Measure::new(speed, Unit::KilometresPerHour, threshold))
}

impl SpeedWatch {
    pub(super) fn look(
        &mut self,
        rule: &RuleConfig,
        (above, below, time): (Option<f64>, Option<f64>, Duration),
        look: &Look<'_>,
        out: &mut Vec<Happening>,
    ) {
        let (terms, measure) = (Terms::of(rule, Duration::ZERO), kmh(above.or(below)));
        for sight in look.sights {
            let Some(place) = sight.plane else { continue };
            let judge = |pace: &mut Pace| {
                pace.trail.push(look.now, place, time);
                let Some([x, y]) = pace.trail.velocity(time) else { return Met::No };
                let speed = x.hypot(y) * KMH;
                let beyond = above.is_some_and(|above| speed > above) || below.is_some_and(|below| speed < below);
                let met = beyond && rule.zone.holds(rule.anchor, sight);
                if met {
                    let farther = if above.is_some() { f64::max } else { f64::min };
                    pace.extreme = Some(pace.extreme.map_or(speed, |extreme| farther(extreme, speed)));
                }
                Met::from(met)
            };
            self.each.see(((NOBODY, sight.track), sight.into(), None), look.now, terms, judge, measure, out);
        }
        self.each.miss(look.now, terms, measure, out);
    }

    pub(super) fn rename(&mut self, tracks: (TrackId, TrackId), threshold: Option<f64>, out: &mut Vec<Happening>) {
        self.each.rename(tracks, kmh(threshold), out);
    }

    pub(super) fn close(&mut self, threshold: Option<f64>, out: &mut Vec<Happening>) {
        self.each.close(kmh(threshold), out);
    }
}

impl Own for Standing {
    fn join(self, newer: Self) -> Self {
        Standing::join(self, &newer)
    }
}

/// The rule `stopped`.
#[derive(Default)]
pub(super) struct StoppedWatch {
    each: Each<Standing>,
}

fn stood(time: Duration) -> impl Fn(&Standing, Duration) -> Option<Measure> + Copy {
    move |_, stood| Some(Measure::new(stood.as_secs_f64(), Unit::Seconds, Some(time.as_secs_f64())))
}

impl StoppedWatch {
    pub(super) fn look(
        &mut self,
        rule: &RuleConfig,
        (time, distance, moved): (Duration, f64, bool),
        look: &Look<'_>,
        out: &mut Vec<Happening>,
    ) {
        let terms = Terms::of(rule, time);
        for sight in look.sights {
            let Some(place) = sight.plane else { continue };
            let judge = |standing: &mut Standing| {
                if !standing.stands(look.now, place, distance * sight.scale, rule.debounce) {
                    return Met::Never;
                }
                Met::from((standing.moved || !moved) && rule.zone.holds(rule.anchor, sight))
            };
            self.each.see(((NOBODY, sight.track), sight.into(), None), look.now, terms, judge, stood(time), out);
        }
        self.each.miss(look.now, terms, stood(time), out);
    }

    pub(super) fn rename(&mut self, tracks: (TrackId, TrackId), time: Duration, out: &mut Vec<Happening>) {
        self.each.rename(tracks, stood(time), out);
    }

    pub(super) fn close(&mut self, time: Duration, out: &mut Vec<Happening>) {
        self.each.close(stood(time), out);
    }
}
