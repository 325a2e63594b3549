//! When rules are in force: profiles, schedules, and whose time that is.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use super::Check;
use crate::{
    analyse::{Schedule, Week, WeekError},
    config::{
        keys::{Profile, Rule, Section},
        ledger::Ledger,
        suggest,
    },
};

const SECTION: Section = Profile::SECTION;
/// Most profiles.
const MOST: usize = 64;

/// The profiles, and the time zone of everything.
pub(in crate::config::build) struct Profiles {
    zone: TimeZone,
    /// When each of them holds.
    weeks: HashMap<String, Week>,
}

fn always() -> Week {
    Week::parse(["mon-sun"]).unwrap_or_else(|_| Week::never())
}

/// What to do about a text that is no part of a week.
fn remedy(error: &WeekError) -> &'static str {
    match error {
        WeekError::Form(_) => {
            "write days, times or both, e.g. \"mon-fri 08:00-18:00\", \"sat,sun\", \"22:00-06:00\", with two digits each"
        }
        WeekError::Empty(_) => "write when it begins and when it ends; for a whole day leave the times out",
    }
}

impl Profiles {
    /// Checks the profiles and the time zone.
    pub(in crate::config::build) fn build(
        zone: Option<&str>,
        mut typed: HashMap<String, Profile>,
        names: &[String],
        ledger: &mut Ledger,
    ) -> Self {
        let zone = match zone.map(TimeZone::get) {
            None => TimeZone::system(),
            Some(Ok(zone)) => zone,
            Some(Err(_)) => {
                let remedy = "write its name in the IANA database, e.g. \"Europe/Berlin\", or remove the key for the system's";
                ledger.problem("time_zone", "there is no such time zone", remedy);
                TimeZone::UTC
            }
        };
        if let Some(name) = names.get(MOST) {
            ledger.problem(&SECTION.path(Some(name), ""), format!("more than {MOST} profiles"), "write fewer");
        }
        let mut weeks = HashMap::new();
        for name in names.iter().take(MOST) {
            let Some(profile) = typed.remove(name).filter(|profile| profile.name.is_some()) else { continue };
            let week = profile.schedule.as_ref().map(|texts| Week::parse(texts.iter().map(String::as_str)));
            let week = match week {
                None => always(),
                Some(Ok(week)) => week,
                Some(Err(error)) => {
                    ledger.problem(&SECTION.path(Some(name), "schedule"), error.to_string(), remedy(&error));
                    always()
                }
            };
            weeks.insert(name.clone(), if profile.enabled { week } else { Week::never() });
        }
        Self { zone, weeks }
    }
}

impl Check<'_> {
    /// When a rule is in force.
    pub(super) fn schedule(&mut self, rule: &Rule) -> Option<Schedule> {
        let profiles = self.around.profiles;
        let mut week = None;
        if let Some(texts) = &rule.schedule {
            match Week::parse(texts.iter().map(String::as_str)) {
                Ok(parsed) => week = Some(parsed),
                Err(error) => self.problem("schedule", error.to_string(), remedy(&error)),
            }
        }
        if let Some(names) = &rule.profiles {
            let mut union = Week::never();
            for name in names {
                let Some(known) = profiles.weeks.get(name) else {
                    // A profile that is there but refused has its own problem.
                    if !self.ledger.is_set(&format!("profile.{name}.name")) {
                        let remedy = match suggest::nearest(name, profiles.weeks.keys().map(String::as_str)) {
                            Some(near) => format!("did you mean {near}?"),
                            None => format!("define it: [[profile]] with name = {name:?}"),
                        };
                        self.problem("profiles", format!("there is no profile {name:?}"), remedy);
                    }
                    continue;
                };
                union = union.or(known);
            }
            // A profile that is switched off is no mistake: that is what it is for.
            let switched_off = union.is_never();
            let both = week.clone().map_or_else(|| union.clone(), |week| week.and(&union));
            if both.is_never() && !switched_off {
                self.problem(
                    "schedule",
                    "it never holds: its profiles hold at other times",
                    "correct the schedule or the profiles",
                );
            }
            week = Some(both);
        }
        week.map(|week| Schedule { week, zone: profiles.zone.clone() })
    }
}
