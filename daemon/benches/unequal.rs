//! Instances of unequal speed under real threads: what they do together beside what each does alone, with one queue and with a queue for
//! each device. `cargo bench -p egret --bench unequal`
//!
//! The batcher is the daemon's, each instance has a thread, and cameras offer twice as much as all of them can do. A batch takes a known
//! time, in which its thread waits, as it would for a device. The same in virtual time: `batch/tests/unequal.rs`.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use egret::{
    batch::{Batcher, Limits, Mode, Outcome, Place, Queues, Slot, StreamSettings, Work},
    media::{Capture, Frame, Mark, Pixels, StreamId, TimeBasis, TimeCard},
};

const MAX_BATCH: usize = 8;
const FPS: f64 = 30.0;
const WARM_UP: Duration = Duration::from_secs(3);
/// Each camera begins with some device, and one in a second moves to another.
const BINDING: Duration = Duration::from_secs(30);
const MEASURED: Duration = Duration::from_secs(6);

/// Milliseconds of a batch: fixed, and for each frame.
type Cost = (&'static str, f64, f64);

const GPU: Cost = ("gpu", 4.0, 2.0);
const DLA: Cost = ("dla", 6.0, 7.0);
const CPU: Cost = ("cpu", 0.0, 13.0);
const SETS: [&[Cost]; 4] = [&[GPU, DLA], &[GPU, DLA, DLA], &[GPU, CPU], &[GPU, GPU, DLA, CPU]];

fn takes((_, fixed, each): Cost, frames: usize) -> Duration {
    Duration::from_secs_f64((fixed + each * frames as f64) / 1e3)
}

/// As a thread waits for a device.
fn wait_until(by: Instant) {
    while let Some(left) = by.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}

fn frame(slot: &Slot, pts: Duration) -> Frame {
    let now = Instant::now();
    let mut times = TimeCard::received(now);
    times.stamp(Mark::Decoded, now);
    let capture = Capture { wall: SystemTime::UNIX_EPOCH, basis: TimeBasis::Arrival };
    let pixels = Pixels::None { width: 1920, height: 1080 };
    Frame { stream: slot.stream().clone(), seq: 0, dispatch: 0, pts, capture, pixels, times }
}

/// All cameras on one thread, in even phases.
fn feed(slots: &[Slot], over: &AtomicBool) {
    let (begun, step) = (Instant::now(), Duration::from_secs_f64(1.0 / FPS / slots.len() as f64));
    for n in 0_u32.. {
        wait_until(begun + step * n);
        let pts = step * n;
        if over.load(Ordering::Relaxed) || !slots[n as usize % slots.len()].offer(frame(&slots[n as usize % slots.len()], pts)) {
            return;
        }
    }
}

/// One instance: takes, waits as long as its batch takes, and says so.
fn instance(batcher: &Batcher, device: usize, cost: Cost, done: &AtomicU64) {
    let seat = batcher.join(Place { device, engine: None });
    while let Some(work) = batcher.next_for(seat) {
        let Work::Batch(batch) = work else { continue };
        let begun = Instant::now();
        wait_until(begun + takes(cost, batch.frames.len()));
        batcher.finished_by(seat, &batch.frames, Outcome::Inferred, begun.elapsed());
        done.fetch_add(batch.frames.len() as u64, Ordering::Relaxed);
    }
    batcher.quit(seat);
}

/// Frames a second of instances together.
fn rate(costs: &[Cost], queues: Queues, cameras: u32) -> f64 {
    let limits = Limits {
        max_batch: MAX_BATCH,
        max_wait: Duration::from_millis(30),
        staleness: Duration::from_secs(1),
        instances: costs.len(),
    };
    let batcher = Batcher::with_queues(limits, queues);
    let slots: Vec<Slot> = (0..cameras)
        .map(|n| batcher.add(StreamId::new(n, &format!("camera{n}")), StreamSettings::new(Mode::LatestWins)))
        .collect();
    let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    thread::scope(|scope| {
        for (device, cost) in costs.iter().enumerate() {
            let (batcher, done) = (&batcher, &done);
            scope.spawn(move || instance(batcher, device, *cost, done));
        }
        let (slots, ends) = (&slots, &over);
        scope.spawn(move || feed(slots, ends));
        wait_until(Instant::now() + if queues == Queues::PerDevice { BINDING } else { WARM_UP });
        let (before, begun) = (done.load(Ordering::Relaxed), Instant::now());
        wait_until(begun + MEASURED);
        let rate = (done.load(Ordering::Relaxed) - before) as f64 / begun.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        batcher.close();
        rate
    })
}

fn main() -> std::io::Result<()> {
    // Minutes are for those who measure: `cargo test --benches` only wants to know that it is built.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = thread::available_parallelism().map_or(0, usize::from);
    writeln!(out, "{cores} cores, load {}", load.split(' ').next().unwrap_or("?"))?;
    writeln!(out, "instances                 cameras  alone, their sum /s  one queue /s  of it  per device /s  of it")?;
    for costs in SETS {
        let most: f64 = costs.iter().map(|cost| MAX_BATCH as f64 / takes(*cost, MAX_BATCH).as_secs_f64()).sum();
        let cameras = (most * 2.0 / FPS).ceil() as u32;
        let sum: f64 = costs.iter().map(|cost| rate(&[*cost], Queues::Shared, cameras)).sum();
        let [shared, apart] = [Queues::Shared, Queues::PerDevice].map(|queues| rate(costs, queues, cameras));
        let name = costs.iter().map(|cost| cost.0).collect::<Vec<_>>().join(" + ");
        writeln!(
            out,
            "{name:24} {cameras:>8} {sum:>20.1} {shared:>13.1} {:>6.3} {apart:>14.1} {:>6.3}",
            shared / sum,
            apart / sum
        )?;
    }
    Ok(())
}
