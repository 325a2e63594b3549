//! The null source: frames without pictures, as fast as they are taken or paced like cameras.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    batch::Slot,
    media::{Capture, Frame, Mark, Pixels, TimeBasis, TimeCard},
};

/// A frame without a picture that was just decoded.
fn frame(slot: &Slot, number: u64, period: Duration) -> Frame {
    let now = Instant::now();
    let mut times = TimeCard::received(now);
    times.stamp(Mark::Decoded, now);
    Frame {
        stream: slot.stream().clone(),
        seq: 0,
        dispatch: 0,
        pts: period * number as u32,
        capture: Capture { wall: SystemTime::now(), basis: TimeBasis::Arrival },
        pixels: Pixels::None { width: 1920, height: 1080 },
        times,
    }
}

/// Offers to every slot in turn, each time `gate` lets it, until `gate` says no or the batcher is closed.
pub(super) fn saturate(slots: &[Slot], gate: impl Fn(u64) -> bool) {
    let period = Duration::from_secs(1) / 30;
    for round in 0.. {
        for (i, slot) in slots.iter().enumerate() {
            if !gate(round * slots.len() as u64 + i as u64) || !slot.offer(frame(slot, round, period)) {
                return;
            }
        }
    }
}

/// One camera that offers a frame every `period`, from `first` on, until `stop` says so.
pub(super) fn pace(slot: &Slot, first: Instant, period: Duration, stop: &AtomicBool) {
    for number in 0.. {
        let due = first + period * number;
        // The cheapest timer there is: what a camera's clock costs is none of the daemon's.
        while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            thread::park_timeout(left);
        }
        if stop.load(Ordering::Relaxed) || !slot.offer(frame(slot, u64::from(number), period)) {
            return;
        }
    }
}
