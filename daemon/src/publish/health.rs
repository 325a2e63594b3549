//! What the daemon says of itself every minute, and when something happens to an engine.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    counters::{Counters, DropReason, Failure},
    message::{Board, Delivered, Disk, Engine, Queue, Rounded, StageTime},
    topics::Family,
};
use crate::observe::{Process, StageTimes};

/// Every so many ticks of the publisher there is one.
const EVERY: u32 = 6;

/// What is measured from one message to the next.
pub(super) struct Health {
    started: Instant,
    ticks: u32,
    last: Option<(Instant, Duration)>,
}

/// What one message says.
pub(super) struct Findings {
    pub(super) uptime_s: u64,
    pub(super) cpu_percent: Option<Rounded<1>>,
    pub(super) process: Process,
    pub(super) stages: BTreeMap<&'static str, StageTime>,
    pub(super) queues: BTreeMap<&'static str, Queue>,
    pub(super) disk: Option<Disk>,
    pub(super) messages: BTreeMap<&'static str, Delivered>,
    pub(super) connection_failures: u64,
    pub(super) board: Option<Board>,
    pub(super) engines: BTreeMap<String, Engine>,
}

fn ms(span: Duration) -> f64 {
    span.as_micros() as f64 / 1000.0
}

impl Health {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), ticks: 0, last: None }
    }

    /// With each tick; whether it is time: at the first one, and every minute.
    pub(super) fn is_due(&mut self) -> bool {
        let due = self.ticks.is_multiple_of(EVERY);
        self.ticks = self.ticks.wrapping_add(1);
        due
    }

    /// How it is now.
    pub(super) fn look(&mut self, stages: &StageTimes, counters: &Counters, queues: BTreeMap<&'static str, Queue>) -> Findings {
        let (process, now) = (Process::read(), Instant::now());
        let before = self.last.take();
        let cpu_percent = process.cpu.zip(before).map(|(cpu, (at, spent))| {
            let passed = now.saturating_duration_since(at).as_secs_f32().max(0.001);
            Rounded(cpu.saturating_sub(spent).as_secs_f32() / passed * 100.0)
        });
        self.last = process.cpu.map(|cpu| (now, cpu));
        let stages = stages.snapshot().into_iter().filter(|stage| stage.count > 0).map(|stage| {
            let time = StageTime { frames: stage.count, p50_ms: ms(stage.p50), p99_ms: ms(stage.p99), max_ms: ms(stage.max) };
            (stage.name, time)
        });
        let delivered = |family: Family| {
            let dropped = DropReason::ALL.into_iter().map(|reason| counters.dropped(family, reason)).sum();
            (family.as_str(), Delivered { published: counters.published(family), dropped })
        };
        Findings {
            uptime_s: now.saturating_duration_since(self.started).as_secs(),
            cpu_percent,
            process,
            stages: stages.collect(),
            queues,
            disk: counters.disk().map(Disk::from),
            messages: Family::ALL.into_iter().map(delivered).collect(),
            connection_failures: Failure::ALL.into_iter().map(|failure| counters.failures(failure)).sum(),
            board: counters.hardware.get().map(|look| Board::from(&*look)),
            engines: engines(&counters.engines),
        }
    }
}

/// The engines of all models, and where their networks are cut.
fn engines(board: &crate::engine::Board) -> BTreeMap<String, Engine> {
    let mut cuts = board.cuts();
    let each = board.snapshot().into_iter().map(|(model, state)| {
        let cut = cuts.remove(&model);
        (model, Engine { cut, ..Engine::from(&state) })
    });
    each.collect()
}
