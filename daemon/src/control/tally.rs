//! What is counted of commands.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Reason, Verb};

/// Verbs, and one more for those that there are not.
const ROWS: usize = Verb::ALL.len() + 1;
/// Done, told again, and each reason for a refusal.
const COLUMNS: usize = Reason::ALL.len() + 2;

/// What became of a command, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was carried out.
    Done,
    /// It had been answered before, and was not carried out again.
    Repeated,
    /// It was refused.
    Refused(Reason),
}

impl Outcome {
    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Repeated => "repeated",
            Self::Refused(reason) => reason.as_str(),
        }
    }

    fn column(self) -> usize {
        match self {
            Self::Done => 0,
            Self::Repeated => 1,
            Self::Refused(reason) => 2 + reason as usize,
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        [Self::Done, Self::Repeated].into_iter().chain(Reason::ALL.into_iter().map(Self::Refused))
    }
}

/// Commands by verb and outcome.
#[derive(Debug, Default)]
pub struct Tally {
    counts: [[AtomicU64; COLUMNS]; ROWS],
}

impl Tally {
    /// Counts one; `None`: there is no such verb.
    pub fn count(&self, verb: Option<Verb>, outcome: Outcome) {
        let row = verb.map_or(Verb::ALL.len(), |verb| verb as usize);
        self.counts[row][outcome.column()].fetch_add(1, Ordering::Relaxed);
    }

    /// How often there was this outcome of a verb.
    pub fn of(&self, verb: Option<Verb>, outcome: Outcome) -> u64 {
        let row = verb.map_or(Verb::ALL.len(), |verb| verb as usize);
        self.counts[row][outcome.column()].load(Ordering::Relaxed)
    }

    /// All that has happened: verb, outcome, how often.
    pub fn rows(&self) -> Vec<(&'static str, &'static str, u64)> {
        let verbs = Verb::ALL.into_iter().map(Some).chain([None]);
        let all = verbs.flat_map(|verb| Outcome::all().map(move |outcome| (verb, outcome)));
        all.map(|(verb, outcome)| (verb.map_or("unknown", Verb::as_str), outcome.as_str(), self.of(verb, outcome)))
            .filter(|(_, _, count)| *count > 0)
            .collect()
    }
}
