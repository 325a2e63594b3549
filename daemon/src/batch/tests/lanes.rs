//! Instances that share an engine, and instances that go.

use std::{
    sync::{Arc, Condvar},
    time::Instant,
};

use super::{
    super::{
        Limits, Outcome, Place, Queues, Work,
        state::{Poll, State},
    },
    file, frame, limits, ms, stream,
};
use crate::media::Batch;

fn waiting(count: u64, now: Instant) -> State {
    let mut state = State::new(Limits { instances: 3, ..limits(4, 0) }, Queues::Shared);
    state.add(stream(1), file(64), Arc::new(Condvar::new()), now);
    for n in 0..count {
        state.offer(1, frame(&stream(1), ms(33 * n), now), false, now);
    }
    state
}

fn take(state: &mut State, seat: usize, now: Instant) -> Batch {
    match state.poll(seat, now, &mut Vec::new()) {
        Poll::Take(Work::Batch(batch)) => batch,
        other => panic!("a batch was expected, not {other:?}"),
    }
}

#[test]
fn lanes_learn_the_cost_of_their_engine_together() {
    let now = Instant::now();
    let mut state = waiting(64, now);
    let place = Place { device: 0, engine: Some(0) };
    let (first, second) = (state.join(place, now), state.join(place, now));
    let other = state.join(Place { device: 1, engine: Some(0) }, now);
    assert_eq!((first, second, other), (0, 1, 2));
    // Two measurements by each lane are four of the engine.
    for seat in [first, second, first, second] {
        let batch = take(&mut state, seat, now);
        state.finished(seat, &batch.frames, Outcome::Inferred, ms(20), now);
    }
    assert_eq!(state.known_engines(), [true, false]);
}

#[test]
fn what_has_gone_is_not_counted_on() {
    let now = Instant::now();
    let mut state = waiting(64, now);
    let (fast, slow) = (state.join(Place { device: 0, engine: None }, now), state.join(Place { device: 1, engine: None }, now));
    for (seat, took) in [(fast, 1), (slow, 100)] {
        for _ in 0..4 {
            let batch = take(&mut state, seat, now);
            state.finished(seat, &batch.frames, Outcome::Inferred, ms(took), now);
        }
    }
    // The fast one waits: whatever there is is its own.
    while let Poll::Take(Work::Batch(batch)) = state.poll(fast, now, &mut Vec::new()) {
        state.finished(fast, &batch.frames, Outcome::Inferred, ms(1), now);
    }
    state.offer(1, frame(&stream(1), ms(9000), now), false, now);
    assert!(matches!(state.poll(slow, now, &mut Vec::new()), Poll::WaitUntil(_)));
    assert_eq!(state.call([fast, slow].into_iter(), |_| None, now), Some(fast));
    state.quit(fast);
    take(&mut state, slow, now);
}
