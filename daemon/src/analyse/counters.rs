//! What rules count about themselves, for metrics.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::ledger::Ledger;

/// What one rule counts.
#[derive(Debug, Default)]
pub(super) struct RuleCounters {
    events: AtomicU64,
    suppressed: AtomicU64,
}

impl RuleCounters {
    pub(super) fn told(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn suppressed(&self) {
        self.suppressed.fetch_add(1, Ordering::Relaxed);
    }
}

/// One rule at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleCounts {
    /// Its camera.
    pub camera: String,
    /// Its name.
    pub rule: String,
    /// Its kind.
    pub kind: &'static str,
    /// Events that began or happened, and were told.
    pub events: u64,
    /// Events that were not, since the rule was cooling down.
    pub suppressed: u64,
}

type Names = (String, String);

/// What rules and masks count. Shared with metrics.
#[derive(Debug, Default)]
pub struct Counters {
    rules: Mutex<BTreeMap<Names, (&'static str, Arc<RuleCounters>)>>,
    masked: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    ledger: Arc<Ledger>,
}

impl Counters {
    /// Each rule now.
    pub fn rules(&self) -> Vec<RuleCounts> {
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let row = |((camera, rule), (kind, counters)): (&Names, &(&'static str, Arc<RuleCounters>))| RuleCounts {
            camera: camera.clone(),
            rule: rule.clone(),
            kind,
            events: counters.events.load(Ordering::Relaxed),
            suppressed: counters.suppressed.load(Ordering::Relaxed),
        };
        rules.iter().map(row).collect()
    }

    /// What is to be known again after a restart.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Detections that masks threw away, by camera.
    pub fn masked(&self) -> Vec<(String, u64)> {
        let masked = self.masked.lock().unwrap_or_else(PoisonError::into_inner);
        masked.iter().map(|(camera, count)| (camera.clone(), count.load(Ordering::Relaxed))).collect()
    }

    pub(super) fn rule(&self, camera: &str, rule: &str, kind: &'static str) -> Arc<RuleCounters> {
        let counters = Arc::<RuleCounters>::default();
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.insert((camera.to_owned(), rule.to_owned()), (kind, counters.clone()));
        counters
    }

    pub(super) fn mask(&self, camera: &str) -> Arc<AtomicU64> {
        let mut masked = self.masked.lock().unwrap_or_else(PoisonError::into_inner);
        masked.entry(camera.to_owned()).or_default().clone()
    }

    pub(super) fn forget_rule(&self, camera: &str, rule: &str) {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.remove(&(camera.to_owned(), rule.to_owned()));
        self.ledger.forget(camera, rule);
    }

    pub(super) fn forget_camera(&self, camera: &str) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, _), _| of != camera);
        self.masked.lock().unwrap_or_else(PoisonError::into_inner).remove(camera);
    }
}
