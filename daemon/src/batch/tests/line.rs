//! A line of cameras and engines in virtual time: the batcher's real state machine under a discrete-event simulation.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar},
    time::{Duration, Instant},
};

use super::{
    super::{
        Counts, Limits, Outcome, Place, Queues, StreamSettings, Work,
        state::{Poll, State},
    },
    frame, stream,
};
use crate::media::{Batch, Mark};

/// What one batch was.
pub(super) struct Ran {
    pub(super) at: Duration,
    pub(super) seat: usize,
    pub(super) took: Duration,
    /// Streams by number, with the time that their frames had waited.
    pub(super) frames: Vec<(u32, Duration)>,
}

/// Everything that happened.
pub(super) struct Report {
    pub(super) batches: Vec<Ran>,
    pub(super) counts: Vec<Counts>,
}

impl Report {
    pub(super) fn occupancy(&self) -> f64 {
        let frames: usize = self.batches.iter().map(|b| b.frames.len()).sum();
        frames as f64 / self.batches.len() as f64
    }

    /// Milliseconds that frames waited at this quantile.
    pub(super) fn wait_ms(&self, quantile: f64) -> f64 {
        let mut waits: Vec<_> = self.batches.iter().flat_map(|b| &b.frames).map(|(_, wait)| *wait).collect();
        waits.sort();
        waits[((waits.len() - 1) as f64 * quantile) as usize].as_secs_f64() * 1e3
    }

    pub(super) fn mean_wait_ms(&self) -> f64 {
        let (sum, n) = self.batches.iter().flat_map(|b| &b.frames).fold((0.0, 0.0), |(s, n), f| (s + f.1.as_secs_f64(), n + 1.0));
        sum / n * 1e3
    }

    /// Dispatched frames of each stream.
    pub(super) fn served(&self) -> BTreeMap<u32, usize> {
        let mut served = BTreeMap::new();
        for (number, _) in self.batches.iter().flat_map(|b| &b.frames) {
            *served.entry(*number).or_default() += 1;
        }
        served
    }
}

/// Runs cameras (settings and arrival times) against engines whose batches take `cost(size)`.
pub(super) fn run(limits: Limits, cameras: &[(StreamSettings, Vec<Duration>)], cost: impl Fn(usize) -> Duration) -> Report {
    run_seen(limits, cameras, |_, _| false, cost)
}

/// The same where somebody has looked at the frames: `still(camera, arrival)` says in which of them nothing moves.
pub(super) fn run_seen(
    limits: Limits,
    cameras: &[(StreamSettings, Vec<Duration>)],
    still: impl Fn(usize, Duration) -> bool,
    cost: impl Fn(usize) -> Duration,
) -> Report {
    run_unequal(limits, Queues::Shared, cameras, still, |_, size| cost(size))
}

/// The same with instances of unequal speed: `cost(instance, size)`. Each is a device of its own.
pub(super) fn run_unequal(
    limits: Limits,
    queues: Queues,
    cameras: &[(StreamSettings, Vec<Duration>)],
    still: impl Fn(usize, Duration) -> bool,
    cost: impl Fn(usize, usize) -> Duration,
) -> Report {
    let start = Instant::now();
    let mut state = State::new(limits, queues);
    for seat in 0..limits.instances {
        state.join(Place { device: seat, engine: None }, start);
    }
    let ids: Vec<_> = (0..cameras.len() as u32).map(stream).collect();
    for (id, (settings, _)) in ids.iter().zip(cameras) {
        state.add(id.clone(), *settings, Arc::new(Condvar::new()), start);
    }
    let mut arrivals: Vec<(Duration, usize)> =
        cameras.iter().enumerate().flat_map(|(i, (_, times))| times.iter().map(move |t| (*t, i))).collect();
    arrivals.sort();
    let mut arrivals = arrivals.into_iter().peekable();
    let mut engines: Vec<Option<(Duration, Duration, Batch)>> = (0..limits.instances).map(|_| None).collect();
    let mut alarm: Option<Duration> = None;
    let mut batches = Vec::new();
    let mut discard = Vec::new();
    loop {
        let done = engines.iter().flatten().map(|(at, ..)| *at).min();
        let Some(now) = [arrivals.peek().map(|(at, _)| *at), done, alarm].into_iter().flatten().min() else { break };
        let at = start + now;
        while let Some((_, camera)) = arrivals.next_if(|(due, _)| *due <= now) {
            state.offer(camera as u32, frame(&ids[camera], now, at), still(camera, now), at);
        }
        for (seat, engine) in engines.iter_mut().enumerate() {
            if let Some((_, took, batch)) = engine.take_if(|(due, ..)| *due <= now) {
                state.finished(seat, &batch.frames, Outcome::Inferred, took, at);
            }
        }
        alarm = None;
        // Those that are free ask, as their threads do when they come back or look again; then whoever is called.
        for seat in (0..engines.len()).filter(|seat| engines[*seat].is_none()).collect::<Vec<_>>() {
            // One that was called meanwhile is at work.
            let mut asking = engines[seat].is_none().then_some(seat);
            while let Some(seat) = asking {
                match state.poll(seat, at, &mut discard) {
                    Poll::Take(Work::Batch(batch)) => {
                        let wait =
                            |f: &crate::media::Frame| f.times.between(Mark::Decoded, Mark::Dispatched).expect("both stamped");
                        let frames = batch.frames.iter().map(|f| (f.stream.number(), wait(f))).collect();
                        let took = cost(seat, batch.frames.len());
                        batches.push(Ran { at: now, seat, took, frames });
                        assert!(engines[seat].replace((now + took, took, batch)).is_none(), "one batch at a time");
                    }
                    Poll::WaitUntil(until) => {
                        let until = until.saturating_duration_since(start);
                        assert!(until > now, "a wait that ends before it begins");
                        alarm = Some(alarm.map_or(until, |alarm: Duration| alarm.min(until)));
                    }
                    _ => {}
                }
                let free = (0..engines.len()).filter(|seat| engines[*seat].is_none());
                asking = state.call(free, |_| Some(at), at).filter(|called| *called != seat);
            }
        }
        for (id, counts) in state.counts() {
            assert!(counts.balanced(), "{id}: {counts:?} at {now:?}");
        }
    }
    Report { batches, counts: state.counts().into_iter().map(|(_, counts)| counts).collect() }
}
