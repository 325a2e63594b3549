//! One rule at work: what it notices becomes events, unless it cools down or is not in force.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    combine::Standing,
    counters::{Counters, RuleCounters},
    each::{Happening, Key, renamed},
    event::{Count, Event, EventId, EventPhase, MOST_OBJECTS, Tally, Unit, Verdicts},
    ledger::Page,
    rule::{Limit, RuleConfig, RuleKind, Schedule},
    sight::{Look, Sight},
    watch::Watch,
};
use crate::media::Rename;

/// Shortest time between two messages with a rule's counts.
const COUNT_EVERY: Duration = Duration::from_millis(500);

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Duration,
    pub(super) wall: SystemTime,
}

impl Moment {
    fn at(&self, then: Duration) -> SystemTime {
        self.wall.checked_sub(self.now.saturating_sub(then)).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// An event that has begun.
struct Running {
    id: EventId,
    started: SystemTime,
    told: bool,
}

/// Whether a schedule holds, looked up once per second.
#[derive(Default)]
pub(super) struct Timetable {
    known: Option<(u64, bool)>,
}

impl Timetable {
    pub(super) fn holds(&mut self, schedule: Option<&Schedule>, wall: SystemTime) -> bool {
        let Some(schedule) = schedule else { return true };
        let second = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if let Some((at, holds)) = self.known
            && at == second
        {
            return holds;
        }
        let holds = schedule.week.holds(wall, &schedule.zone);
        self.known = Some((second, holds));
        holds
    }
}

/// Which classes a list of names stands for; `None`: all.
pub(super) fn resolve(names: Option<&[String]>, classes: &[String]) -> Option<Box<[bool]>> {
    names.map(|names| classes.iter().map(|class| names.contains(class)).collect())
}

fn is_wanted(wanted: Option<&[bool]>, class: u16) -> bool {
    wanted.is_none_or(|wanted| wanted.get(usize::from(class)).copied().unwrap_or_default())
}

/// A rule and everything that it remembers.
pub(super) struct Runner {
    pub(super) config: RuleConfig,
    pub(super) name: Arc<str>,
    watch: Watch,
    wanted: Option<Box<[bool]>>,
    near: Option<Box<[bool]>>,
    /// Limits with the class that they are for.
    limits: Vec<(Option<u16>, Limit)>,
    timetable: Timetable,
    in_force: bool,
    running: BTreeMap<Key, Running>,
    quiet_until: Duration,
    standing: Standing,
    /// Since when it counts, and what was told of that last.
    since: Option<SystemTime>,
    told: Option<(Duration, BTreeMap<u16, Tally>)>,
    counters: Arc<RuleCounters>,
    /// Where what it counts is kept for the next start.
    page: Option<Page>,
    /// The record that the last run left, and when its period began.
    record: Option<(usize, SystemTime)>,
}

impl Runner {
    pub(super) fn new(config: &RuleConfig, camera: &str, classes: &[String], counters: &Counters) -> Self {
        let mut runner = Self {
            config: config.clone(),
            name: config.name.as_str().into(),
            watch: Watch::new(&config.kind),
            wanted: None,
            near: None,
            limits: Vec::new(),
            timetable: Timetable::default(),
            in_force: false,
            running: BTreeMap::new(),
            quiet_until: Duration::ZERO,
            standing: Standing::default(),
            since: None,
            told: None,
            counters: counters.rule(camera, &config.name, config.kind.as_str()),
            page: Page::open(counters.ledger(), camera, config),
            record: None,
        };
        runner.record = runner.page.as_ref().and_then(Page::record);
        runner.resolve(classes);
        runner
    }

    /// Finds the classes that it names. One that the model does not know is nowhere to be seen.
    pub(super) fn resolve(&mut self, classes: &[String]) {
        let config = &self.config;
        self.wanted = resolve(config.classes.as_deref(), classes);
        self.near = match &config.kind {
            RuleKind::Proximity { near: Some(near), .. } => resolve(Some(near), classes),
            _ => self.wanted.clone(),
        };
        let index = |name: &String| classes.iter().position(|class| class == name).map(|index| index as u16);
        let limit = |limit: &Limit| match &limit.class {
            None => Some((None, limit.clone())),
            Some(class) => index(class).map(|class| (Some(class), limit.clone())),
        };
        self.limits = config.limits.iter().filter_map(limit).collect();
        if let Some((since, past)) = self.page.as_mut().and_then(|page| page.resolve(classes)) {
            self.since = Some(since);
            self.watch.recall(past);
        }
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    fn admits(&self, sight: &Sight, aspect: f64) -> bool {
        let sides = is_wanted(self.wanted.as_deref(), sight.class) || is_wanted(self.near.as_deref(), sight.class);
        sides
            && self
                .limits
                .iter()
                .filter(|(class, _)| class.is_none_or(|class| class == sight.class))
                .all(|(_, limit)| limit.admits(sight, aspect))
    }

    /// Whether it is in force now; where it is no longer, what is under way ends.
    fn force(&mut self, moment: Moment, camera: &str, unit: Unit, verdicts: &mut Verdicts) -> bool {
        let holds = self.timetable.holds(self.config.schedule.as_ref(), moment.wall);
        if self.in_force && !holds {
            self.close(moment, camera, unit, verdicts);
        }
        self.in_force = holds;
        holds
    }

    /// A track goes by another identity from now on. Its events go on; of those that it had under both, the younger one ends.
    pub(super) fn rename(&mut self, rename: &Rename, moment: Moment, (camera, unit): (&str, Unit), verdicts: &mut Verdicts) {
        let mut out = Vec::new();
        self.watch.rename(&self.config, rename, unit, &mut out);
        self.tell(out, moment, camera, verdicts);
        let keys: Vec<Key> = self.running.keys().filter(|key| key.0 == rename.from || key.1 == rename.from).copied().collect();
        for key in keys {
            if let Some(running) = self.running.remove(&key) {
                self.running.entry(renamed(key, rename.from, rename.to)).or_insert(running);
            }
        }
        let objects = self.standing.objects.iter_mut().filter(|object| object.track == rename.from);
        objects.for_each(|object| object.track = rename.to);
    }

    /// Takes a frame in.
    pub(super) fn look(&mut self, look: &Look<'_>, wall: SystemTime, camera: &str, verdicts: &mut Verdicts) {
        let moment = Moment { now: look.now, wall };
        if let Some((record, began)) = self.record.take() {
            self.watch.recall_record(record, wall.duration_since(began).unwrap_or_default());
        }
        if !self.force(moment, camera, unit(look), verdicts) {
            // What a broker retains of an earlier run may say that somebody is there.
            if self.told.is_none() {
                self.count(moment, verdicts);
            }
            return;
        }
        let sights: Vec<Sight> = look.sights.iter().filter(|sight| self.admits(sight, look.aspect)).copied().collect();
        let look = Look { sights: &sights, ..*look };
        let mut out = Vec::new();
        if let (Watch::Summary(watch), RuleKind::Summary { every }) = (&mut self.watch, &self.config.kind) {
            verdicts.summaries.extend(watch.look((&self.name, &self.config), *every, wall, &look));
        }
        let (wanted, near) = (self.wanted.as_deref(), self.near.as_deref());
        let sides = (|class| is_wanted(wanted, class), |class| is_wanted(near, class));
        self.watch.look(&self.config, sides, &look, &mut out);
        self.tell(out, moment, camera, verdicts);
        self.count(moment, verdicts);
    }

    /// Takes in what the rules before it have made of a frame.
    pub(super) fn combine(&mut self, before: &[Self], moment: Moment, camera: &str, verdicts: &mut Verdicts) {
        if !self.force(moment, camera, Unit::Objects, verdicts) {
            return;
        }
        let (RuleKind::Combine { all, any, none, time }, Watch::Combine(watch)) = (&self.config.kind, &mut self.watch) else {
            return;
        };
        let inertia = self.config.inertia;
        let find = |name: &String| before.iter().find(|runner| *runner.name == **name).map(Self::standing);
        let holds = |name: &String| find(name).is_some_and(|standing| standing.holds(moment.now, inertia));
        let met = all.iter().all(holds) && (any.is_empty() || any.iter().any(holds)) && !none.iter().any(holds);
        let about: Vec<&Standing> = all.iter().chain(any).filter(|name| holds(name)).filter_map(find).collect();
        let mut out = Vec::new();
        watch.look(moment.now, met, *time, &about, &mut out);
        self.tell(out, moment, camera, verdicts);
    }

    /// Nobody looks any more.
    pub(super) fn close(&mut self, moment: Moment, camera: &str, unit: Unit, verdicts: &mut Verdicts) {
        let mut out = Vec::new();
        self.watch.close(&self.config, unit, &mut out);
        self.tell(out, moment, camera, verdicts);
        self.standing = Standing::default();
        self.told = self.told.take().map(|(_, tallies)| (Duration::ZERO, tallies));
        self.count(moment, verdicts);
    }

    /// Makes events of happenings.
    fn tell(&mut self, happenings: Vec<Happening>, moment: Moment, camera: &str, verdicts: &mut Verdicts) {
        for mut happening in happenings {
            happening.objects.truncate(MOST_OBJECTS);
            let key = happening.key;
            let (id, started, told) = match happening.phase {
                EventPhase::End => match self.running.remove(&key) {
                    Some(running) => (running.id, running.started, running.told),
                    None => continue,
                },
                EventPhase::Start | EventPhase::Once => {
                    let started = moment.at(happening.since);
                    let id = EventId::of(camera, &self.name, key, started);
                    let told = moment.now >= self.quiet_until;
                    if told {
                        self.quiet_until = moment.now + self.config.cooldown;
                        self.counters.told();
                    } else {
                        self.counters.suppressed();
                    }
                    if happening.phase == EventPhase::Start {
                        self.running.insert(key, Running { id, started, told });
                    }
                    self.standing.met = Some(moment.now);
                    self.standing.objects.clone_from(&happening.objects);
                    (id, started, told)
                }
            };
            if told {
                verdicts.events.push(Event {
                    id,
                    rule: self.name.clone(),
                    kind: self.config.kind.as_str(),
                    phase: happening.phase,
                    started,
                    objects: happening.objects,
                    way: happening.way,
                    measure: happening.measure,
                });
            }
        }
        if !self.running.is_empty() {
            self.standing.met = Some(moment.now);
        }
    }

    /// Tells what it counts, where that has changed.
    fn count(&mut self, moment: Moment, verdicts: &mut Verdicts) {
        let Some(tallies) = self.watch.tallies() else { return };
        let since = *self.since.get_or_insert(moment.wall);
        let Self { page, watch, .. } = &mut *self;
        if let Some(page) = page {
            match watch {
                Watch::Record(watch) => {
                    let began = |lasted| moment.wall.checked_sub(lasted).unwrap_or(SystemTime::UNIX_EPOCH);
                    if let Some((record, lasted)) = watch.news(moment.now) {
                        page.note_record((record, began(lasted)));
                    }
                }
                watch => page.note(since, &tallies, || watch.open()),
            }
        }
        let (due, news) = match &self.told {
            None => (true, true),
            Some((at, told)) => (at.is_zero() || moment.now.saturating_sub(*at) >= COUNT_EVERY, *told != tallies),
        };
        if due && news {
            let (rule, kind) = (self.name.clone(), self.config.kind.as_str());
            verdicts.counts.push(Count { rule, kind, since, tallies: tallies.clone() });
            self.told = Some((moment.now, tallies));
        }
    }

    /// Whether it has to look at other rules.
    pub(super) fn is_combination(&self) -> bool {
        matches!(self.config.kind, RuleKind::Combine { .. })
    }

    /// Whether something of it is retained by the broker.
    pub(super) fn retains(&self) -> bool {
        self.watch.tallies().is_some() || matches!(self.watch, Watch::Summary(_))
    }

    /// Whether it measures on the ground.
    pub(super) fn needs_ground(&self) -> bool {
        matches!(
            self.config.kind,
            RuleKind::Heading(_)
                | RuleKind::Speed { .. }
                | RuleKind::Proximity { .. }
                | RuleKind::Crowd { .. }
                | RuleKind::Stopped { .. }
        )
    }
}

/// What distances are told in.
pub(super) fn unit(look: &Look<'_>) -> Unit {
    if look.ground.is_some() { Unit::Metres } else { Unit::Heights }
}
