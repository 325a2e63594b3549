//! What rules have found, against what is true.

use egret::sim::scene::Class;

use super::truth::{Fact, Ways};

/// An event as a rule told it, in seconds of the scene.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) from: f64,
    /// The end of what has one.
    pub(crate) to: f64,
    pub(crate) inward: bool,
    /// When the first message came, and what stood where then; nobody for what is about a zone as a whole.
    pub(crate) told: f64,
    pub(crate) object: Option<(Class, [f64; 2])>,
}

/// Right, wrong, and missed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Score {
    pub(crate) right: usize,
    pub(crate) wrong: usize,
    pub(crate) missed: usize,
}

impl Score {
    pub(crate) fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.missed += other.missed;
    }

    pub(crate) fn precision(&self) -> f64 {
        self.right as f64 / (self.right + self.wrong).max(1) as f64
    }

    pub(crate) fn recall(&self) -> f64 {
        self.right as f64 / (self.right + self.missed).max(1) as f64
    }

    pub(crate) fn line(&self, name: &str) -> String {
        let Self { right, wrong, missed } = self;
        format!(
            "{name:<10} {:5} true events: precision {:.4}, recall {:.4} ({right} right, {wrong} wrong, {missed} missed)",
            right + missed,
            self.precision(),
            self.recall()
        )
    }
}

/// Whether the object of an event can be that of a fact: it is of the same class, and stood where that one was when the event was told,
/// or when it was last seen before.
fn same_object(found: &Found, fact: &Fact, ways: &Ways) -> bool {
    let (Some((class, foot)), Some(way)) = (found.object, fact.id.and_then(|id| ways.all.get(&id))) else { return true };
    let near = |truly: [f64; 2]| (foot[0] - truly[0]).hypot(foot[1] - truly[1]) <= 0.1;
    let steps = ((found.told - found.from).max(0.0) * 10.0) as u32;
    let mut places = (0..=steps).filter_map(|i| way.foot_at(found.told - f64::from(i) / 10.0)).peekable();
    class == way.class && (places.peek().is_none() || places.any(near))
}

/// Each fact is found by one event at most. Moments match within 0.7 s, spans where they overlap by half of both together.
pub(crate) fn judge(found: &[Found], facts: &[Fact], ways: &Ways, are_spans: bool) -> Score {
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for (i, event) in found.iter().enumerate() {
        for (j, fact) in facts.iter().enumerate() {
            if event.inward != fact.inward || !same_object(event, fact, ways) {
                continue;
            }
            let cost = if are_spans {
                let overlap = (event.to.min(fact.to) - event.from.max(fact.from)).max(0.0);
                1.0 - overlap / (event.to.max(fact.to) - event.from.min(fact.from)).max(1e-9)
            } else {
                (event.from - fact.from).abs() / 1.4
            };
            if cost <= 0.5 {
                pairs.push((cost, i, j));
            }
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut event_of, mut fact_of) = (vec![None; facts.len()], vec![None; found.len()]);
    for (_, i, j) in pairs {
        if fact_of[i].is_none() && event_of[j].is_none() {
            (fact_of[i], event_of[j]) = (Some(j), Some(i));
        }
    }
    let mut score = Score::default();
    for (j, fact) in facts.iter().enumerate().filter(|(_, fact)| fact.binding) {
        if event_of[j].is_some() {
            score.right += 1;
        } else {
            score.missed += 1;
            note("missed", &format!("{fact:?}"));
        }
    }
    for (i, event) in found.iter().enumerate().filter(|(i, _)| fact_of[*i].is_none()) {
        // A part of something that binds nobody is no mistake.
        let doubtful = |fact: &Fact| {
            !fact.binding && event.from <= fact.to + 1.6 && event.to >= fact.from - 1.6 && same_object(event, fact, ways)
        };
        if !facts.iter().any(doubtful) {
            score.wrong += 1;
            note("wrong", &format!("{event:?} (nearest: {:?})", fact_of[i]));
        }
    }
    score
}

/// Each mistake, for whoever wants to see them: `EGRET_SHOW_MISTAKES=1`.
fn note(what: &str, which: &str) {
    if std::env::var_os("EGRET_SHOW_MISTAKES").is_some() {
        eprintln!("{what}: {which}");
    }
}
