//! What each kind of rule needs.

use std::time::Duration;

use super::Check;
use crate::{
    analyse::{self, HeadingConfig, LineConfig, RuleKind},
    config::{
        keys::{Direction, Rule, RuleWord, Strictness},
        kind::Words as _,
    },
};

/// The kind's word in the configuration.
pub(super) fn name(word: RuleWord) -> &'static str {
    RuleWord::WORDS.iter().find(|text| RuleWord::from_word(text) == Some(word)).copied().unwrap_or_default()
}

/// How long it has to be so, where nothing is written.
fn default_time(word: RuleWord) -> Duration {
    Duration::from_secs(match word {
        RuleWord::Dwell | RuleWord::Stopped => 10,
        RuleWord::Absence => 300,
        RuleWord::Tailgating => 2,
        RuleWord::Combine => 0,
        _ => 1,
    })
}

impl Check<'_> {
    pub(super) fn rule_kind(&mut self, rule: &Rule, word: RuleWord) -> Option<RuleKind> {
        let time = rule.time.map_or_else(|| default_time(word), |time| time.0);
        self.time(time, word);
        let near = self.distance(rule, (2.0, 1.0));
        let far = self.distance(rule, (1.0, 0.3));
        let period = rule.every.0;
        Some(match word {
            RuleWord::Line => RuleKind::Line(self.crossing(rule)?),
            RuleWord::Tailgating => RuleKind::Tailgating { line: self.crossing(rule)?, time },
            RuleWord::Zone => {
                if rule.zone.is_none() {
                    self.missing("zone", "nothing says which zone", "write zone = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]");
                }
                RuleKind::Zone
            }
            RuleWord::Dwell => RuleKind::Dwell { time },
            RuleWord::Occupancy => self.occupancy(rule, time)?,
            RuleWord::Absence => RuleKind::Absence { time },
            RuleWord::NewHigh => RuleKind::NewHigh { time, period },
            RuleWord::NewLow => RuleKind::NewLow { time, period },
            RuleWord::Direction | RuleWord::WrongWay => RuleKind::Heading(HeadingConfig {
                arrow: self.arrow(rule)?,
                against: word == RuleWord::WrongWay,
                tolerance: rule.tolerance,
                time,
                distance: far,
            }),
            RuleWord::Speed => self.speed(rule, time)?,
            RuleWord::Proximity => {
                self.classes("near", rule.near.as_deref());
                RuleKind::Proximity { near: rule.near.clone(), distance: near, time }
            }
            RuleWord::Stopped => RuleKind::Stopped { time, distance: far, moved: rule.moved },
            RuleWord::Crowd => {
                let Some(min) = rule.min_count else {
                    self.missing("min_count", "nothing says how many make a crowd", "write min_count = 5");
                    return None;
                };
                if min < 2 {
                    self.problem("min_count", "one object alone is no crowd", "write 2 or more, or use kind = \"occupancy\"");
                }
                RuleKind::Crowd { min: min as usize, distance: near, time }
            }
            RuleWord::Combine => self.combine(rule, time)?,
            RuleWord::Summary => RuleKind::Summary { every: period },
            // Masks are no rules.
            RuleWord::Mask => return None,
        })
    }

    /// Metres where there is a ground plane, heights of boxes where there is none.
    fn distance(&self, rule: &Rule, (metres, heights): (f64, f64)) -> f64 {
        rule.distance.unwrap_or(if self.around.has_ground { metres } else { heights })
    }

    /// Motion takes time to be seen.
    fn time(&mut self, time: Duration, word: RuleWord) {
        let measures = matches!(word, RuleWord::Direction | RuleWord::WrongWay | RuleWord::Speed);
        if measures && !(Duration::from_millis(200)..=Duration::from_mins(1)).contains(&time) {
            self.problem("time", "motion cannot be measured over this time", "write 200ms to 1m");
        }
        let needs = matches!(word, RuleWord::Dwell | RuleWord::Absence | RuleWord::Stopped | RuleWord::Tailgating);
        if needs && time.is_zero() {
            self.problem("time", "it would always be over", "write a time above 0s");
        }
    }

    fn crossing(&mut self, rule: &Rule) -> Option<LineConfig> {
        let inward = match rule.direction.0 {
            Direction::In => Some(true),
            Direction::Out => Some(false),
            Direction::Both => None,
        };
        let strictness = match rule.strictness.0 {
            Strictness::Loose => analyse::Strictness::Loose,
            Strictness::Balanced => analyse::Strictness::Balanced,
            Strictness::Strict => analyse::Strictness::Strict,
        };
        if strictness == analyse::Strictness::Loose && self.ledger.is_set(&self.path("debounce")) {
            self.problem("debounce", "a loose line waits for nothing", "remove it, or write strictness = \"balanced\"");
        }
        Some(LineConfig { line: self.line(rule)?, inward, strictness })
    }

    fn occupancy(&mut self, rule: &Rule, time: Duration) -> Option<RuleKind> {
        let (min, max) = (rule.min_count.map(|min| min as usize), rule.max_count.map(|max| max as usize));
        match (min, max) {
            (None, None) => {
                if !self.ledger.is_set(&self.path("max_count")) {
                    self.missing("min_count", "nothing says how many are many", "write min_count = 5, or max_count = 0");
                }
                return None;
            }
            (Some(min), Some(max)) if min > max => {
                let reason = format!("at least {min} and at most {max} is never so");
                self.problem("max_count", reason, "make it at least min_count, or remove one of them");
            }
            _ => {}
        }
        Some(RuleKind::Occupancy { min: min.unwrap_or(0), max, time })
    }

    fn speed(&mut self, rule: &Rule, time: Duration) -> Option<RuleKind> {
        let (above, below) = (rule.speed_above, rule.speed_below);
        match (above, below) {
            (None, None) => {
                if !self.ledger.is_set(&self.path("speed_below")) {
                    self.missing("speed_above", "nothing says how fast is too fast", "write speed_above = 50.0 (km/h)");
                }
                return None;
            }
            (Some(above), Some(below)) if below > above => {
                let reason = format!("every speed is above {above} or below {below} km/h");
                self.problem("speed_below", reason, "make it lower than speed_above, or remove one of them");
            }
            _ => {}
        }
        if !self.around.has_ground {
            let (key, remedy) = (
                if above.is_some() { "speed_above" } else { "speed_below" },
                "write ground and ground_metres in [[camera]]: four places on the road, and where they are",
            );
            self.problem(key, "without a ground plane there are no metres in the picture", remedy);
        }
        Some(RuleKind::Speed { above, below, time })
    }

    fn combine(&mut self, rule: &Rule, time: Duration) -> Option<RuleKind> {
        let list = |names: &Option<Vec<String>>| names.clone().unwrap_or_default();
        let (all, any, none) = (list(&rule.all), list(&rule.any), list(&rule.none));
        if all.is_empty() && any.is_empty() {
            if !["all", "any"].iter().any(|key| self.ledger.is_set(&self.path(key))) {
                self.missing(
                    "all",
                    "nothing says which rules have to be met",
                    "write all = [\"rule\"] or any = [\"rule\", \"rule\"]",
                );
            }
            return None;
        }
        let only = |name: &&String| none.contains(name);
        if let Some(name) = all.iter().find(only) {
            self.problem("none", format!("{name} has to be met and not to be met"), "remove it from all or from none");
        } else if !any.is_empty() && any.iter().all(|name| none.contains(name)) {
            self.problem("none", "it leaves nothing of any", "remove a rule from none");
        }
        Some(RuleKind::Combine { all, any, none, time })
    }
}
