//! Whether the stages make progress: what the watchdog and `/healthz` go by.
//!
//! A stage that waits for input is healthy however long it waits: a night without frames is no hang. A stage that took work and has
//! not come back for too long is stuck, whether it loops, waits for a dead device or for a stage behind it that is stuck itself.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The heartbeats of all stages.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    stages: Mutex<Vec<Weak<Heart>>>,
}

#[derive(Debug)]
struct Heart {
    name: String,
    started: Instant,
    /// Nanoseconds since `started` at which the work in hand began (or was last known to advance), plus one; 0: waiting for input.
    busy_since: AtomicU64,
    ticks: AtomicU64,
}

/// One stage's heartbeat; it leaves the books when dropped.
#[derive(Clone, Debug)]
pub struct Stage(Arc<Heart>);

/// While this lives the stage has work in hand.
#[derive(Debug)]
#[must_use = "the stage counts as waiting as soon as this is dropped"]
pub struct Busy<'a>(&'a Heart);

/// A stage that took work and has not come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// The stage.
    pub stage: String,
    /// For how long.
    pub busy: Duration,
}

impl Progress {
    /// No stages yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { started: Instant::now(), stages: Mutex::default() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Heart>>> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The heartbeat of a stage that starts.
    pub fn stage(&self, name: impl Into<String>) -> Stage {
        let heart = Heart { name: name.into(), started: self.started, busy_since: AtomicU64::new(0), ticks: AtomicU64::new(0) };
        let heart = Arc::new(heart);
        let mut stages = self.lock();
        stages.retain(|stage| stage.strong_count() > 0);
        stages.push(Arc::downgrade(&heart));
        Stage(heart)
    }

    /// The stages that have been busy with one piece of work for longer than `limit`.
    pub fn stuck(&self, now: Instant, limit: Duration) -> Vec<Stuck> {
        let now = nanos(now.saturating_duration_since(self.started));
        let stages = self.lock();
        let busy = stages.iter().filter_map(Weak::upgrade).filter_map(|heart| {
            let since = heart.busy_since.load(Ordering::Relaxed).checked_sub(1)?;
            let busy = Duration::from_nanos(now.saturating_sub(since));
            (busy > limit).then(|| Stuck { stage: heart.name.clone(), busy })
        });
        busy.collect()
    }

    /// Pieces of work that each running stage has done.
    pub fn ticks(&self) -> Vec<(String, u64)> {
        let stages = self.lock();
        stages.iter().filter_map(Weak::upgrade).map(|h| (h.name.clone(), h.ticks.load(Ordering::Relaxed))).collect()
    }
}

impl Stage {
    /// Work was taken. Drop the guard when it is done, before waiting for more.
    pub fn busy(&self) -> Busy<'_> {
        self.0.beat();
        Busy(&self.0)
    }
}

impl Busy<'_> {
    /// A long piece of work has advanced by a step.
    pub fn step(&self) {
        self.0.beat();
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy_since.store(0, Ordering::Relaxed);
        self.0.ticks.fetch_add(1, Ordering::Relaxed);
    }
}

impl Heart {
    fn beat(&self) {
        self.busy_since.store(nanos(self.started.elapsed()) + 1, Ordering::Relaxed);
    }
}

fn nanos(duration: Duration) -> u64 {
    // 584 years fit.
    duration.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn waiting_is_healthy_and_work_that_never_ends_is_stuck() {
        let progress = Progress::new();
        let stage = progress.stage("infer");
        let night = Instant::now() + Duration::from_hours(8);
        assert_eq!(progress.stuck(night, LIMIT), [], "nothing came yet");
        let busy = stage.busy();
        assert_eq!(progress.stuck(Instant::now(), LIMIT), [], "just begun");
        let stuck = progress.stuck(night, LIMIT);
        assert_eq!(stuck.len(), 1);
        assert_eq!(stuck[0].stage, "infer");
        assert!(stuck[0].busy > Duration::from_hours(7));
        drop(busy);
        assert_eq!(progress.stuck(night, LIMIT), [], "done, waits again");
        assert_eq!(progress.ticks(), [("infer".into(), 1)]);
    }

    #[test]
    fn a_step_restarts_the_clock() {
        let progress = Progress::new();
        let stage = progress.stage("build");
        let busy = stage.busy();
        let begun = stage.0.busy_since.load(Ordering::Relaxed);
        while stage.0.started.elapsed() < Duration::from_nanos(begun + 1) {}
        busy.step();
        assert!(stage.0.busy_since.load(Ordering::Relaxed) > begun);
    }

    #[test]
    fn a_stage_that_ended_is_forgotten() {
        let progress = Progress::new();
        let stage = progress.stage("track");
        let busy = stage.busy();
        std::mem::forget(busy);
        drop(stage);
        assert_eq!(progress.stuck(Instant::now() + LIMIT * 2, LIMIT), []);
        assert_eq!(progress.ticks(), []);
    }
}
