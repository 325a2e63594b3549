//! Tests of the whole batcher: its policy, simulations in virtual time, and threads.

mod lanes;
mod line;
mod policy;
mod simulation;
mod threads;
mod throttling;
mod unequal;

use std::time::{Duration, Instant, SystemTime};

use super::{Limits, Mode, StreamSettings};
use crate::media::{Capture, Frame, Mark, Pixels, StreamId, TimeBasis, TimeCard};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn limits(max_batch: usize, max_wait_ms: u64) -> Limits {
    Limits { max_batch, max_wait: ms(max_wait_ms), staleness: ms(500), instances: 1 }
}

fn live() -> StreamSettings {
    StreamSettings::new(Mode::LatestWins)
}

fn file(queue: usize) -> StreamSettings {
    StreamSettings { mode: Mode::EveryFrame { queue }, ..live() }
}

fn stream(number: u32) -> StreamId {
    StreamId::new(number, &format!("cam{number}"))
}

fn frame(stream: &StreamId, pts: Duration, now: Instant) -> Frame {
    let mut times = TimeCard::received(now);
    times.stamp(Mark::Decoded, now);
    Frame {
        stream: stream.clone(),
        seq: u64::MAX,
        dispatch: u64::MAX,
        pts,
        capture: Capture { wall: SystemTime::UNIX_EPOCH, basis: TimeBasis::Arrival },
        pixels: Pixels::None { width: 1920, height: 1080 },
        times,
    }
}
