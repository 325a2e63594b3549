//! Clips of what ends before its span does: what is complete is looked at, and what is not is told.

use std::time::Instant;

use super::{Plan, Step, Steps, Subject, Visit, findings};
use crate::{
    media::StreamId,
    step::{Job, Look, SkipReason, Target},
};

impl Steps {
    /// No more frames come: looks at the clips that are complete.
    pub(in crate::track) fn flush(&mut self, stream: &StreamId, now: Instant) {
        for step in &mut self.steps {
            let Step { plan, whole, tracks, findings, .. } = step;
            let target = |track, subject: &Subject| Target { stream: stream.clone(), track, frame: subject.seen.1 };
            for (id, subject) in tracks.iter_mut().filter(|(_, subject)| subject.gather.is_busy()) {
                send_off(plan, target(Some(*id), subject), subject, |job| plan.queue.push_last(job), now);
            }
            if whole.gather.is_busy() && !send_off(plan, target(None, whole), whole, |job| plan.queue.push_last(job), now) {
                // Unless it has looked before.
                if whole.asked.is_none() {
                    findings.push_back(findings::skipped(SkipReason::TooShort, plan, whole.seen.1));
                }
            }
        }
    }

    /// Whether an answer is under way.
    pub(in crate::track) fn awaits(&self) -> bool {
        self.steps.iter().any(|step| step.whole.pending || step.tracks.values().any(|subject| subject.pending))
    }

    /// Whether there is something to be looked at, to be waited for or to be told.
    pub(in crate::track) fn is_busy(&self) -> bool {
        let gathers = |step: &Step| step.whole.gather.is_busy() || step.tracks.values().any(|subject| subject.gather.is_busy());
        self.awaits() || self.steps.iter().any(|step| gathers(step) || !step.findings.is_empty())
    }
}

impl Step {
    /// Looks at what is complete of tracks that were not seen for a while: they may be about to end.
    pub(super) fn let_go(&mut self, visit: &Visit<'_>) {
        let Self { plan, cropper, tracks, patience, .. } = self;
        if cropper.is_none() {
            return;
        }
        let gone = |subject: &Subject| subject.gather.is_busy() && visit.clock.saturating_sub(subject.seen.0) >= *patience;
        for (id, subject) in tracks.iter_mut().filter(|(_, subject)| gone(subject)) {
            let target = Target { stream: visit.frame.whole().stream.clone(), track: Some(*id), frame: subject.seen.1 };
            send_off(plan, target, subject, |job| plan.queue.push(job), visit.now);
        }
    }
}

/// Ends a span before its time. `false`: nothing is looked at.
fn send_off(plan: &Plan, target: Target, subject: &mut Subject, push: impl FnOnce(Job) -> Result<(), Job>, now: Instant) -> bool {
    let (counters, frame) = (plan.queue.counters(), target.frame);
    let Some(clips) = subject.gather.finish() else {
        counters.skip(SkipReason::TooShort, 1);
        subject.findings.skip(SkipReason::TooShort, plan, frame);
        return false;
    };
    if push(Job { target, look: Look::Clips(clips), asked: now }).is_err() {
        counters.skip(SkipReason::QueueFull, 1);
        subject.findings.skip(SkipReason::QueueFull, plan, frame);
        return false;
    }
    (subject.asked, subject.pending) = (Some(subject.seen.0), true);
    true
}

/// A track ends while a span is under way: no answer could come in time for its last message.
pub(super) fn abandon(plan: &Plan, subject: &mut Subject) {
    if subject.gather.is_busy() {
        subject.gather.finish();
        plan.queue.counters().skip(SkipReason::TooShort, 1);
        subject.findings.skip(SkipReason::TooShort, plan, subject.seen.1);
    }
}
