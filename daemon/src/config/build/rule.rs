//! The rules of a camera.

mod kind;
mod shape;
mod time;

use std::collections::HashMap;

pub(super) use self::shape::{Canvas, ground};
pub(super) use self::time::Profiles;
use crate::{
    analyse::{self, Limit, MaskConfig, Quantity, RuleConfig, RuleKind},
    config::{
        keys::{Anchor, Rule, RuleWord, Section},
        ledger::Ledger,
        suggest,
    },
};

/// Most rules of a camera.
const MOST: usize = 100;
/// Most limits of a rule.
const MOST_LIMITS: usize = 100;
const SECTION: Section = Rule::SECTION;

/// What rules are checked against.
pub(super) struct Around<'a> {
    pub(super) camera: &'a str,
    /// Where points lie.
    pub(super) canvas: Canvas,
    /// Classes that the camera's model knows, and those that the camera keeps; `None`: not known, and all.
    pub(super) known: Option<&'a [String]>,
    pub(super) kept: Option<&'a [String]>,
    pub(super) profiles: &'a Profiles,
    pub(super) has_ground: bool,
}

/// Checks all rules of a camera, in the order of their names' first appearance; a combination comes after what it combines.
pub(super) fn build(
    typed: &mut HashMap<String, Rule>,
    entries: &[String],
    around: &Around<'_>,
    ledger: &mut Ledger,
) -> (Vec<RuleConfig>, Vec<MaskConfig>) {
    if let Some(entry) = entries.get(MOST) {
        ledger.problem(&SECTION.path(Some(entry), ""), format!("more than {MOST} rules of one camera"), "remove some");
    }
    let (mut rules, mut masks, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries.iter().take(MOST) {
        let Some(rule) = typed.remove(entry) else { continue };
        let mut check = Check { entry, around, ledger };
        let Some(word) = check.kind(&rule) else { continue };
        names.push((rule.name.clone().unwrap_or_default(), word, rule.enabled));
        check.foreign_keys(word);
        if word == RuleWord::Mask {
            masks.extend(check.mask(&rule).filter(|_| rule.enabled));
        } else {
            rules.extend(check.rule(&rule, word).filter(|_| rule.enabled));
        }
    }
    let mut ordered = Vec::with_capacity(rules.len());
    order(rules, &mut ordered, &names, around, ledger);
    (ordered, masks)
}

struct Check<'a> {
    entry: &'a str,
    around: &'a Around<'a>,
    ledger: &'a mut Ledger,
}

impl Check<'_> {
    fn path(&self, key: &str) -> String {
        SECTION.path(Some(self.entry), key)
    }

    fn problem(&mut self, key: &str, reason: impl Into<String>, remedy: impl Into<String>) {
        self.ledger.problem(&self.path(key), reason, remedy);
    }

    /// A key that this kind needs is not there; one that is there and refused has its own problem.
    fn missing(&mut self, key: &str, reason: &str, remedy: &str) {
        if !self.ledger.is_set(&self.path(key)) {
            self.ledger.missing(&self.path(""), &self.path(key), reason, remedy);
        }
    }

    fn kind(&mut self, rule: &Rule) -> Option<RuleWord> {
        let word = rule.kind.as_ref().map(|kind| kind.0);
        if word.is_none() {
            self.missing("kind", "nothing says what it watches for", "write kind = \"line\", or another kind");
        }
        word
    }

    /// Keys that mean nothing for this kind of rule.
    fn foreign_keys(&mut self, word: RuleWord) {
        let word = kind::name(word);
        for key in SECTION.keys.iter().filter(|key| !key.sources.is_empty() && !key.sources.contains(&word)) {
            if self.ledger.is_set(&self.path(key.name)) {
                let reason = format!("it means nothing for a rule of the kind {word}: only for {}", key.sources.join(", "));
                self.problem(key.name, reason, "remove it");
            }
        }
    }

    fn mask(&mut self, rule: &Rule) -> Option<MaskConfig> {
        if rule.zone.is_none() {
            self.missing("zone", "nothing says which part is masked", "write zone = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]");
        }
        self.classes("classes", rule.classes.as_deref());
        let (zone, schedule) = (self.zone(rule), self.schedule(rule));
        Some(MaskConfig {
            name: rule.name.clone()?,
            zone: zone.filter(|zone| !zone.include.is_empty())?,
            anchor: anchor(rule),
            classes: rule.classes.clone(),
            schedule,
        })
    }

    fn rule(&mut self, rule: &Rule, word: RuleWord) -> Option<RuleConfig> {
        self.classes("classes", rule.classes.as_deref());
        let (zone, schedule, limits) = (self.zone(rule), self.schedule(rule), self.limits(rule));
        let kind = self.rule_kind(rule, word);
        Some(RuleConfig {
            name: rule.name.clone()?,
            kind: kind?,
            zone: zone?,
            anchor: anchor(rule),
            classes: rule.classes.clone(),
            limits,
            debounce: rule.debounce.0,
            inertia: rule.inertia.0,
            cooldown: rule.cooldown.0,
            max_gap: rule.max_gap.0,
            schedule,
        })
    }

    /// Classes that nobody can see are a mistake.
    fn classes(&mut self, key: &str, classes: Option<&[String]>) {
        let Around { known, kept, .. } = *self.around;
        for class in classes.into_iter().flatten() {
            let nearest = |known: &[String]| match suggest::nearest(class, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("it knows {}", known.iter().take(20).cloned().collect::<Vec<_>>().join(", ")),
            };
            if let Some(known) = known.filter(|known| !known.contains(class)) {
                self.problem(key, format!("the camera's model knows no class {class:?}"), nearest(known));
            } else if kept.is_some_and(|kept| !kept.contains(class)) {
                let remedy = format!("add {class:?} to the camera's classes, or remove it here");
                self.problem(key, format!("the camera does not keep the class {class:?}"), remedy);
            }
        }
    }

    fn limits(&mut self, rule: &Rule) -> Vec<Limit> {
        let texts = rule.limits.as_deref().unwrap_or_default();
        if texts.len() > MOST_LIMITS {
            self.problem("limits", format!("more than {MOST_LIMITS} limits"), "write fewer");
        }
        let mut limits: Vec<Limit> = Vec::new();
        for text in texts.iter().take(MOST_LIMITS) {
            let Some(limit) = limit(text) else {
                let remedy = "write [CLASS.]QUANTITY >= NUMBER or <= NUMBER with height, width, area, aspect or score, \
                              e.g. [\"person.height >= 0.05\"]";
                self.problem("limits", format!("{text:?} is no limit"), remedy);
                continue;
            };
            self.classes("limits", limit.class.as_ref().map(std::slice::from_ref));
            let share = limit.quantity != Quantity::Aspect;
            if share && limit.value > 1.0 {
                self.problem("limits", format!("{text:?}: it is a share, so never more than 1"), "write a number from 0 to 1");
            }
            let contradicts = |other: &&Limit| {
                let (least, most) = if limit.least { (&limit, *other) } else { (*other, &limit) };
                other.quantity == limit.quantity && other.least != limit.least && least.value > most.value && {
                    other.class.is_none() || limit.class.is_none() || other.class == limit.class
                }
            };
            if limits.iter().any(|other| contradicts(&other)) {
                self.problem("limits", format!("{text:?} contradicts another one: no object keeps both"), "correct one of them");
            }
            limits.push(limit);
        }
        limits
    }
}

fn anchor(rule: &Rule) -> analyse::Anchor {
    match rule.anchor.0 {
        Anchor::Foot => analyse::Anchor::Foot,
        Anchor::Centre => analyse::Anchor::Centre,
        Anchor::Overlap => analyse::Anchor::Overlap,
    }
}

/// `person.height >= 0.05`.
fn limit(text: &str) -> Option<Limit> {
    let (what, least, value) = match (text.split_once(">="), text.split_once("<=")) {
        (Some((what, value)), None) => (what, true, value),
        (None, Some((what, value))) => (what, false, value),
        _ => return None,
    };
    let value: f64 = value.trim().parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0)?;
    // A class may have dots in its name.
    let (class, quantity) = match what.trim().rsplit_once('.') {
        Some((class, quantity)) => (Some(class.trim().to_owned()), quantity.trim()),
        None => (None, what.trim()),
    };
    let quantity = match quantity {
        "height" => Quantity::Height,
        "width" => Quantity::Width,
        "area" => Quantity::Area,
        "aspect" => Quantity::Aspect,
        "score" => Quantity::Score,
        _ => return None,
    };
    (class.as_deref() != Some("")).then_some(Limit { class, quantity, least, value })
}

/// Puts each combination behind what it combines, and says which name nothing, or each other in a circle.
fn order(
    rules: Vec<RuleConfig>,
    ordered: &mut Vec<RuleConfig>,
    names: &[(String, RuleWord, bool)],
    around: &Around<'_>,
    ledger: &mut Ledger,
) {
    let (mut waiting, plain): (Vec<_>, Vec<_>) =
        rules.into_iter().partition(|rule| matches!(rule.kind, RuleKind::Combine { .. }));
    *ordered = plain;
    let path = |rule: &RuleConfig, key: &str| SECTION.path(Some(&format!("{}/{}", around.camera, rule.name)), key);
    waiting.retain(|rule| {
        let mut sound = true;
        for (key, name) in members(rule) {
            let Some((reason, remedy)) = member_problem(name, &rule.name, names) else { continue };
            ledger.problem(&path(rule, key), reason, remedy);
            sound = false;
        }
        sound
    });
    // Of those that are left, each round takes in what is complete.
    loop {
        let before = waiting.len();
        let (ready, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|rule| members(rule).all(|(_, name)| ordered.iter().any(|known| known.name == *name)));
        ordered.extend(ready);
        waiting = rest;
        if waiting.len() == before {
            break;
        }
    }
    let left: Vec<&str> = waiting.iter().map(|rule| rule.name.as_str()).collect();
    for rule in &waiting {
        // One that only waits for a refused one has no problem of its own.
        if let Some((key, name)) = members(rule).find(|(_, name)| left.contains(&name.as_str())) {
            let reason = format!("{} and {name} depend on each other in a circle", rule.name);
            ledger.problem(&path(rule, key), reason, "combine rules that do not depend on this one");
        }
    }
}

fn members(rule: &RuleConfig) -> impl Iterator<Item = (&'static str, &String)> {
    let lists: [(&'static str, &[String]); 3] = match &rule.kind {
        RuleKind::Combine { all, any, none, .. } => [("all", all), ("any", any), ("none", none)],
        _ => [("all", &[]), ("any", &[]), ("none", &[])],
    };
    lists.into_iter().flat_map(|(key, names)| names.iter().map(move |name| (key, name)))
}

/// Why a rule cannot be combined, and what to do.
fn member_problem(name: &str, of: &str, names: &[(String, RuleWord, bool)]) -> Option<(String, String)> {
    if name == of {
        return Some(("it cannot combine itself".to_owned(), "name other rules of this camera".to_owned()));
    }
    match names.iter().find(|(known, ..)| known == name) {
        Some((_, RuleWord::Mask | RuleWord::Summary, _)) => {
            Some((format!("{name} is never met or not met"), "name a rule that makes events".to_owned()))
        }
        Some((_, _, false)) => Some((format!("{name} is switched off"), "switch it on, or remove it here".to_owned())),
        Some(_) => None,
        None => {
            let remedy = match suggest::nearest(name, names.iter().map(|(known, ..)| known.as_str())) {
                Some(near) => format!("did you mean {near}?"),
                None => "name a [[camera.rule]] of the same camera".to_owned(),
            };
            Some((format!("this camera has no rule {name:?}"), remedy))
        }
    }
}
