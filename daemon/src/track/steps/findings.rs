//! What a step has found out about one track over its life, or about one frame.

use std::sync::Arc;

use egret_models::task::{Appearance, Votes};

use super::Plan;
use crate::{
    media::{Finding, Found, Reading},
    step::SkipReason,
};

/// That there was no look, and why.
pub(super) fn skipped(reason: SkipReason, plan: &Plan, frame: u64) -> Arc<Finding> {
    let (model, details) = (plan.model.clone(), plan.telling.details);
    Arc::new(Finding { model, frame, looks: 0, found: Found::Skipped(reason), details })
}

/// What the looks so far have come to.
#[derive(Default)]
pub(super) struct Findings {
    votes: Votes,
    appearance: Appearance,
    told: Option<Arc<Finding>>,
}

impl Findings {
    /// Takes another look in: labels are voted, appearances averaged, of anything else the latest look counts.
    pub(super) fn take(&mut self, reading: Reading, plan: &Plan, frame: u64) {
        let (found, looks) = match reading {
            Reading::Scores(scores) => {
                self.votes.add(&scores);
                let best = self.votes.best().filter(|(_, score)| *score >= plan.telling.confidence);
                (Found::Label(best), self.votes.looks())
            }
            Reading::Embedding(vector) => {
                self.appearance.add(&vector);
                (Found::Appearance(self.appearance.vector().into()), self.appearance.looks())
            }
            Reading::Areas(areas) => (Found::Areas(areas), 1),
            Reading::Boxes(boxes) => (Found::Boxes(Arc::new(boxes)), 1),
        };
        let (model, details) = (plan.model.clone(), plan.telling.details);
        self.told = Some(Arc::new(Finding { model, frame, looks, found, details }));
    }

    /// Notes why there was no look, if there was none at all.
    pub(super) fn skip(&mut self, reason: SkipReason, plan: &Plan, frame: u64) {
        if self.told.is_none() {
            self.told = Some(skipped(reason, plan, frame));
        }
    }

    /// As it is told; `None` before the first look.
    pub(super) fn told(&self) -> Option<&Arc<Finding>> {
        self.told.as_ref()
    }
}
