//! The batcher under real threads: the law, back-pressure, the way back, and how everything ends.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    super::{Batcher, Counts, Limits, Mode, Outcome, Region, Slot, Step, StillSettings, StreamSettings, Work},
    file, frame, limits, live, ms, stream,
};
use crate::{
    gate::Activity,
    media::{BBox, Batch, Frame, TrackId},
};

fn offer(slot: &Slot, n: u64) -> bool {
    slot.offer(frame(slot.stream(), ms(33 * n), Instant::now()))
}

fn take(batcher: &Batcher) -> Batch {
    match batcher.next() {
        Some(Work::Batch(batch)) => batch,
        other => panic!("a batch was expected, not {other:?}"),
    }
}

fn counts(batcher: &Batcher, slot: &Slot) -> Counts {
    batcher.counts().into_iter().find(|(id, _)| id == slot.stream()).expect("there").1
}

#[test]
fn the_newest_frame_wins_and_numbers_have_no_gaps() {
    let batcher = Batcher::new(limits(4, 0));
    let slot = batcher.add(stream(1), live());
    for n in 0..5 {
        assert!(offer(&slot, n));
    }
    let batch = take(&batcher);
    assert_eq!((batch.frames[0].seq, batch.frames[0].dispatch, batch.frames.len()), (4, 0, 1));
    assert_eq!(counts(&batcher, &slot).in_flight, 1);
    batcher.finished(&batch.frames, Outcome::Inferred, ms(1));
    offer(&slot, 5);
    let batch = take(&batcher);
    assert_eq!((batch.seq, batch.frames[0].seq, batch.frames[0].dispatch), (1, 5, 1));
    batcher.finished(&batch.frames, Outcome::Failed, ms(1));
    let counts = counts(&batcher, &slot);
    assert_eq!((counts.decoded, counts.inferred, counts.dropped.replaced, counts.dropped.engine_error), (6, 1, 4, 1));
    assert!(counts.balanced() && counts.in_flight == 0);
}

#[test]
fn an_idle_camera_goes_by_its_idle_cap_until_something_happens() {
    let batcher = Batcher::new(limits(4, 0));
    let slot = batcher.add(stream(1), StreamSettings { idle_fps: Some(0.001), ..live() });
    let control = batcher.control();
    offer(&slot, 0);
    take(&batcher);
    control.set_activity(slot.stream(), Activity::Idle);
    offer(&slot, 1);
    control.set_activity(slot.stream(), Activity::Busy);
    offer(&slot, 2);
    assert_eq!(take(&batcher).frames[0].seq, 2);
    assert_eq!(counts(&batcher, &slot).dropped.gated, 1);
    batcher.configure(slot.stream(), StreamSettings { max_fps: Some(0.001), ..live() });
    offer(&slot, 3);
    assert_eq!(counts(&batcher, &slot).dropped.capped, 1);
}

#[test]
fn still_frames_are_gated_and_a_calm_picture_is_looked_at_now_and_then() {
    let batcher = Batcher::new(limits(4, 0));
    let still = Some(StillSettings { interval: Duration::from_hours(1), standing: Duration::from_mins(1), tracks: true });
    let settings = StreamSettings { still, calm_interval: Duration::from_hours(1), idle_fps: Some(0.001), ..live() };
    let slot = batcher.add(stream(1), settings);
    let control = batcher.control();
    let offer = |n: u64, still| assert!(slot.offer_seen(frame(slot.stream(), ms(33 * n), Instant::now()), still));
    let taken = || take(&batcher).frames[0].seq;
    offer(0, true);
    assert_eq!(taken(), 0, "the first one always goes through");
    offer(1, true);
    assert_eq!(taken(), 1, "streams start busy");
    control.set_activity(slot.stream(), Activity::Idle);
    offer(2, true);
    offer(3, false);
    assert_eq!(taken(), 3, "motion opens the gate and lifts the idle cap");
    control.set_activity(slot.stream(), Activity::Calm);
    offer(4, false);
    offer(5, true);
    control.set_activity(slot.stream(), Activity::Busy);
    offer(6, true);
    assert_eq!(taken(), 6, "something unforeseen");
    let counts = counts(&batcher, &slot);
    assert_eq!((counts.decoded, counts.dropped.gated, counts.in_flight), (7, 3, 4));
    assert!(counts.balanced());
}

#[test]
fn a_file_waits_for_the_engine_and_loses_nothing() {
    let batcher = Batcher::new(limits(16, 50));
    let slot = batcher.add(stream(1), file(24));
    let producer = thread::spawn(move || {
        assert!((0..200).all(|n| offer(&slot, n)));
    });
    let mut seen = Vec::new();
    let mut batches = 0;
    while seen.len() < 200 {
        let batch = take(&batcher);
        assert!(batcher.total().balanced() && batcher.total().in_flight <= 40);
        seen.extend(batch.frames.iter().map(|f| (f.seq, f.dispatch)));
        batches += 1;
        batcher.finished(&batch.frames, Outcome::Inferred, ms(10));
    }
    producer.join().expect("the producer is content");
    assert!(seen.iter().enumerate().all(|(i, (seq, dispatch))| *seq == i as u64 && *dispatch == i as u64), "in order");
    assert!(200.0 / f64::from(batches * 16) >= 0.95, "{batches} batches");
    assert!(batcher.counts().is_empty(), "the stream is gone");
    assert_eq!(batcher.total().inferred, 200);
}

#[test]
fn an_interrupted_producer_returns() {
    let batcher = Batcher::new(limits(4, 0));
    let slot = Arc::new(batcher.add(stream(1), file(1)));
    assert!(offer(&slot, 0));
    let (done, returned) = mpsc::sync_channel(1);
    let blocked = Arc::clone(&slot);
    let producer = thread::spawn(move || done.send(offer(&blocked, 1)));
    assert!(returned.recv_timeout(ms(30)).is_err(), "no room: it waits");
    slot.interrupt();
    assert_eq!(returned.recv_timeout(Duration::from_secs(5)), Ok(false));
    producer.join().expect("no panic").expect("received");
    assert!(!offer(&slot, 2), "and never waits again");
    assert_eq!(counts(&batcher, &slot).dropped.removed, 2);
    assert!(counts(&batcher, &slot).balanced());
}

#[test]
fn closing_hands_out_what_waits_and_then_ends_everybody() {
    let batcher = Batcher::new(limits(4, 0));
    let slot = Arc::new(batcher.add(stream(1), file(2)));
    let (offers, offered) = mpsc::sync_channel(4);
    let producing = Arc::clone(&slot);
    let producer = thread::spawn(move || {
        for n in 0..3 {
            offers.send(offer(&producing, n)).expect("listening");
        }
    });
    assert_eq!((offered.recv(), offered.recv()), (Ok(true), Ok(true)));
    batcher.close();
    assert_eq!(offered.recv(), Ok(false));
    producer.join().expect("no panic");
    assert_eq!(take(&batcher).frames.len(), 2);
    assert!(batcher.next().is_none() && batcher.next().is_none());
    let waiting = Batcher::new(limits(4, 0));
    let engines: Vec<_> = (0..3)
        .map(|_| {
            let waiting = Arc::clone(&waiting);
            thread::spawn(move || waiting.next().is_none())
        })
        .collect();
    waiting.close();
    assert!(engines.into_iter().all(|engine| engine.join().expect("no panic")));
}

#[test]
fn removal_drops_what_waits_of_a_camera_and_keeps_the_total() {
    let batcher = Batcher::new(limits(4, 0));
    let (door, yard) = (batcher.add(stream(1), live()), batcher.add(stream(2), live()));
    offer(&door, 0);
    offer(&yard, 0);
    let batch = take(&batcher);
    offer(&door, 1);
    drop(door);
    let (id, left) = batcher.counts().remove(0);
    assert_eq!((id, left.decoded, left.in_flight, left.dropped.removed), (stream(1), 2, 1, 1), "one is being looked at");
    batcher.finished(&batch.frames, Outcome::Inferred, ms(1));
    assert_eq!(batcher.counts().len(), 1);
    let total = batcher.total();
    assert!(total.balanced() && total.decoded == 3 && total.inferred == 2);
}

#[test]
fn steps_go_first_but_every_other_time_and_never_pile_up() {
    let batcher = Batcher::new(Limits { instances: 2, ..limits(1, 0) });
    let slot = batcher.add(stream(1), file(8));
    let step = |batch| Step { batch, regions: vec![Region { frame: 0, track: TrackId(1), bbox: BBox::new(0.0, 0.0, 8.0, 8.0) }] };
    for n in 0..6 {
        offer(&slot, n);
    }
    let batches: Vec<_> = (0..5).map(|_| take(&batcher)).collect();
    let mut results = batches.into_iter().map(|batch| batcher.push_step(step(batch)));
    assert!(results.by_ref().take(4).all(|r| r.is_ok()));
    let refused = results.next().expect("the fifth").expect_err("full");
    assert_eq!(refused.regions.len(), 1, "handed back whole");
    let kinds: Vec<_> = (0..5).map(|_| matches!(batcher.next(), Some(Work::Step(_)))).collect();
    assert_eq!(kinds, [true, false, true, true, true]);
    batcher.close();
    assert!(batcher.push_step(refused).is_err());
}

/// An engine that fails sometimes and takes its time; checks the numbers of dispatch.
fn engine(batcher: &Batcher, seen: &mpsc::SyncSender<(u32, u64)>, mut seed: u64) {
    while let Some(Work::Batch(batch)) = batcher.next() {
        assert!(!batch.frames.is_empty() && batch.frames.len() <= 6);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let until = Instant::now() + Duration::from_micros(seed >> 55);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        let outcome = if seed >> 60 == 0 { Outcome::Failed } else { Outcome::Inferred };
        batcher.finished(&batch.frames, outcome, Duration::from_micros(seed >> 55));
        for f in &batch.frames {
            seen.send((f.stream.number(), f.dispatch)).expect("listening");
        }
    }
}

#[test]
fn the_law_holds_at_every_moment_whatever_happens() {
    let batcher = Batcher::new(Limits { instances: 3, ..limits(6, 2) });
    let (seen, dispatched) = mpsc::sync_channel(1 << 16);
    let engines: Vec<_> = (0..3)
        .map(|i| {
            let (batcher, seen) = (Arc::clone(&batcher), seen.clone());
            thread::spawn(move || engine(&batcher, &seen, i))
        })
        .collect();
    drop(seen);
    let offered = Arc::new(AtomicU64::new(0));
    let producers: Vec<_> = (0..6_u32)
        .map(|i| {
            let (batcher, offered) = (Arc::clone(&batcher), Arc::clone(&offered));
            thread::spawn(move || {
                // Each producer comes and goes ten times, as another stream each time.
                for life in 0..10 {
                    let mode = if (i + life) % 3 == 0 { Mode::EveryFrame { queue: 3 } } else { Mode::LatestWins };
                    let slot =
                        batcher.add(stream(i + 6 * life), StreamSettings { mode, max_fps: (i == 1).then_some(500.0), ..live() });
                    for n in 0..100 {
                        assert!(offer(&slot, n));
                        offered.fetch_add(1, Ordering::Relaxed);
                        if n % 16 == u64::from(i) {
                            let activity = if n % 32 == 0 { Activity::Calm } else { Activity::Idle };
                            batcher.control().set_activity(slot.stream(), activity);
                            thread::yield_now();
                        }
                    }
                }
            })
        })
        .collect();
    let finished = Arc::new(AtomicBool::new(false));
    let auditor = {
        let (batcher, finished) = (Arc::clone(&batcher), Arc::clone(&finished));
        thread::spawn(move || {
            let (mut looks, mut decoded) = (0, 0);
            while !finished.load(Ordering::Acquire) {
                for (id, counts) in batcher.counts() {
                    assert!(counts.balanced(), "{id}: {counts:?}");
                }
                let total = batcher.total();
                assert!(total.balanced() && total.decoded >= decoded, "totals never fall: {total:?}");
                decoded = total.decoded;
                looks += 1;
                thread::yield_now();
            }
            looks
        })
    };
    for p in producers {
        p.join().expect("no panic");
    }
    batcher.close();
    for e in engines {
        e.join().expect("no panic");
    }
    finished.store(true, Ordering::Release);
    assert!(auditor.join().expect("the law held") > 10);
    let total = batcher.total();
    assert_eq!((total.decoded, total.in_flight), (offered.load(Ordering::Relaxed), 0));
    assert!(total.balanced() && total.dropped.engine_error > 0 && total.inferred > 0);
    let mut by_stream: HashMap<u32, Vec<u64>> = HashMap::new();
    for (number, n) in dispatched {
        by_stream.entry(number).or_default().push(n);
    }
    for (number, mut numbers) in by_stream {
        numbers.sort_unstable();
        assert!(numbers.iter().enumerate().all(|(i, n)| *n == i as u64), "stream {number} has gaps: {numbers:?}");
    }
}

/// A frame must be dropped by its producer's thread outside the lock: a decoder that asks for its counts while it gets a surface
/// back must not find the batcher locked. `Bytes` with an owner calls it at that moment.
struct Surface(Arc<Batcher>, Arc<AtomicU64>);

impl AsRef<[u8]> for Surface {
    fn as_ref(&self) -> &[u8] {
        &[0; 6]
    }
}

impl Drop for Surface {
    fn drop(&mut self) {
        assert!(self.0.total().balanced());
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn surfaces_return_to_their_decoder_outside_the_lock() {
    let batcher = Batcher::new(limits(4, 0));
    let returned = Arc::new(AtomicU64::new(0));
    let slot = batcher.add(stream(1), StreamSettings { max_fps: Some(0.01), ..live() });
    let surface = |slot: &Slot| -> Frame {
        let bytes = bytes::Bytes::from_owner(Surface(Arc::clone(&batcher), Arc::clone(&returned)));
        let picture = crate::media::HostPicture::tight_i420((2, 2), bytes).expect("six bytes");
        Frame { pixels: crate::media::Pixels::Host(picture), ..frame(slot.stream(), ms(0), Instant::now()) }
    };
    slot.offer(surface(&slot));
    slot.offer(surface(&slot));
    assert_eq!(returned.load(Ordering::Relaxed), 1, "replaced");
    drop(take(&batcher));
    slot.offer(surface(&slot));
    assert_eq!(returned.load(Ordering::Relaxed), 3, "capped");
    drop(slot);
    let slot = batcher.add(stream(2), live());
    slot.offer(surface(&slot));
    drop(slot);
    assert_eq!(returned.load(Ordering::Relaxed), 4, "removed");
}
