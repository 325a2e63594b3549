//! How far a build is, from the phases that TensorRT reports.

use std::time::{Duration, Instant};

use super::Progress;

/// Most phases that are followed at once; TensorRT nests a handful.
const MOST: usize = 64;

#[derive(Debug)]
struct Open {
    phase: String,
    parent: Option<String>,
    steps: u32,
    done: u32,
}

/// Adds up phases that lie within each other: a phase that runs within another counts as the part of the step that the outer one is at.
/// Never goes back, and stays below 1 until the build is over, which only the build itself can say.
#[derive(Debug)]
pub struct Completion {
    started: Instant,
    open: Vec<Open>,
    reached: f64,
}

impl Completion {
    /// What is shown at most while phases may still follow.
    const CEILING: f64 = 0.99;

    /// A build that starts now.
    pub fn new(now: Instant) -> Self {
        Self { started: now, open: Vec::new(), reached: 0.0 }
    }

    /// Takes a report.
    pub fn hear(&mut self, progress: Progress<'_>) {
        match progress {
            Progress::Begun { phase, parent, steps } => {
                if self.open.len() < MOST {
                    let (phase, parent) = (phase.to_owned(), parent.map(ToOwned::to_owned));
                    self.open.push(Open { phase, parent, steps, done: 0 });
                }
            }
            Progress::Step { phase, step } => {
                if let Some(open) = self.open.iter_mut().rev().find(|open| open.phase == phase) {
                    open.done = open.done.max(step.saturating_add(1)).min(open.steps);
                }
            }
            Progress::Ended { phase } => {
                if let Some(at) = self.open.iter().rposition(|open| open.phase == phase) {
                    // What an outermost phase came to stays; within another, the outer one's next step says it.
                    let ended = &mut self.open[at];
                    ended.done = ended.steps;
                    self.settle();
                    self.open.remove(at);
                }
            }
        }
        self.settle();
    }

    /// From the innermost phase outwards: each counts for the nearest phase of its parent's name that began before it.
    fn settle(&mut self) {
        let mut within = vec![0.0_f64; self.open.len()];
        for (at, phase) in self.open.iter().enumerate().rev() {
            let share = (f64::from(phase.done) + within[at]) / f64::from(phase.steps.max(1));
            let share = share.min(1.0);
            match &phase.parent {
                None => self.reached = self.reached.max(share),
                Some(parent) => {
                    if let Some(outer) = self.open[..at].iter().rposition(|open| open.phase == *parent) {
                        within[outer] = within[outer].max(share);
                    }
                }
            }
        }
        self.reached = self.reached.min(Self::CEILING);
    }

    /// From 0 to 0.99.
    pub fn fraction(&self) -> f64 {
        self.reached
    }

    /// What is left at the pace so far; `None` in the first hundredth, which tells too little.
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        let elapsed = now.saturating_duration_since(self.started).as_secs_f64();
        (self.reached >= 0.01).then(|| Duration::try_from_secs_f64(elapsed * (1.0 - self.reached) / self.reached).ok())?
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn begun<'a>(phase: &'a str, parent: Option<&'a str>, steps: u32) -> Progress<'a> {
        Progress::Begun { phase, parent, steps }
    }

    #[test]
    fn phases_within_each_other_add_up() {
        let start = Instant::now();
        let mut completion = Completion::new(start);
        assert_eq!((completion.fraction(), completion.remaining(start)), (0.0, None));
        completion.hear(begun("build", None, 4));
        completion.hear(Progress::Step { phase: "build", step: 0 });
        assert!((completion.fraction() - 0.25).abs() < 1e-9);
        completion.hear(begun("timing", Some("build"), 2));
        completion.hear(Progress::Step { phase: "timing", step: 0 });
        assert!((completion.fraction() - 0.375).abs() < 1e-9);
        let later = start + Duration::from_secs(30);
        assert_eq!(completion.remaining(later).map(|left| left.as_secs()), Some(50));
        completion.hear(Progress::Ended { phase: "timing" });
        assert!((completion.fraction() - 0.5).abs() < 1e-9);
        completion.hear(Progress::Ended { phase: "build" });
        assert!((completion.fraction() - 0.99).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn whatever_is_reported_it_never_goes_back(events in prop::collection::vec((0..3_u8, 0..4_usize, 0..5_usize, 0..6_u32), 0..60)) {
            const NAMES: [&str; 4] = ["a", "b", "c", "d"];
            let mut completion = Completion::new(Instant::now());
            let mut last = 0.0;
            for (kind, phase, parent, number) in events {
                completion.hear(match kind {
                    0 => begun(NAMES[phase], NAMES.get(parent).copied(), number),
                    1 => Progress::Step { phase: NAMES[phase], step: number },
                    _ => Progress::Ended { phase: NAMES[phase] },
                });
                let now = completion.fraction();
                prop_assert!(now >= last && (0.0..=0.99).contains(&now), "{last} then {now}");
                last = now;
            }
        }
    }
}
