//! The pure policy, case by case and by property.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{
    super::{
        Limits,
        cost::{CostModel, Line},
        policy::{Camera, Decision, decide, foresee},
    },
    limits, ms,
};

/// Where company pays, and where it does not.
fn pays() -> CostModel {
    CostModel { inherent: Some(Line { fixed: 0.004, each: 0.002 }), only: None }
}

fn flat() -> CostModel {
    CostModel { inherent: Some(Line { fixed: 0.0, each: 0.013 }), only: None }
}

fn before(now: Instant, time: u64) -> Instant {
    now.checked_sub(ms(time)).expect("the machine has run for that long")
}

/// A live camera whose latest frame came `ago_ms` ago and still waits, or not.
fn camera(now: Instant, ago_ms: u64, waits: bool) -> Camera {
    let last = before(now, ago_ms);
    Camera {
        waiting: usize::from(waits),
        oldest: waits.then_some(last),
        last: Some(last),
        period: Some(ms(66)),
        every_frame: false,
        open: true,
    }
}

fn ask(now: Instant, cameras: &[Camera], limits: &Limits, cost: &CostModel) -> Decision {
    decide(now, cameras.iter().copied(), limits, cost, false)
}

#[test]
fn nothing_waits() {
    let now = Instant::now();
    assert_eq!(ask(now, &[], &limits(8, 50), &pays()), Decision::Idle);
    assert_eq!(ask(now, &[camera(now, 10, false)], &limits(8, 50), &pays()), Decision::Idle);
}

#[test]
fn a_full_batch_and_a_complete_cohort_go_at_once() {
    let now = Instant::now();
    let all = [camera(now, 10, true), camera(now, 5, true), camera(now, 0, true)];
    assert_eq!(ask(now, &all, &limits(8, 50), &pays()), Decision::Dispatch(3));
    let more = [all[0], all[1], camera(now, 60, false)];
    assert_eq!(ask(now, &more, &limits(2, 50), &pays()), Decision::Dispatch(2));
}

#[test]
fn the_cohort_is_waited_for_as_long_as_it_may_be_late() {
    let now = Instant::now();
    let cameras = [camera(now, 10, true), camera(now, 60, false)];
    // Due in 6 ms, late a quarter of a period after that.
    assert_eq!(ask(now, &cameras, &limits(8, 50), &pays()), Decision::WaitUntil(now + ms(6) + ms(66) / 4));
    assert_eq!(ask(now, &cameras, &limits(8, 20), &pays()), Decision::WaitUntil(now + ms(10)), "measured from the oldest frame");
    assert_eq!(ask(now, &cameras, &limits(8, 0), &pays()), Decision::Dispatch(1));
}

#[test]
fn a_late_camera_is_not_waited_for() {
    let now = Instant::now();
    let cameras = [camera(now, 2, true), camera(now, 90, false), camera(now, 400, false)];
    assert_eq!(ask(now, &cameras, &limits(8, 50), &pays()), Decision::Dispatch(1));
}

#[test]
fn a_camera_of_unknown_rhythm_is_not_waited_for() {
    let now = Instant::now();
    let cameras = [camera(now, 2, true), Camera { period: None, ..camera(now, 60, false) }];
    assert_eq!(ask(now, &cameras, &limits(8, 50), &pays()), Decision::Dispatch(1));
}

#[test]
fn a_waiting_frame_goes_before_its_successor_comes() {
    let now = Instant::now();
    let cameras = [camera(now, 55, true), camera(now, 61, false)];
    let end = before(now, 55) + ms(66).saturating_sub(ms(66) / 16);
    assert_eq!(ask(now, &cameras, &limits(8, 100), &pays()), Decision::WaitUntil(end));
    let cameras = [camera(now, 63, true), camera(now, 60, false)];
    assert_eq!(ask(now, &cameras, &limits(8, 100), &pays()), Decision::Dispatch(1));
}

#[test]
fn where_batching_gains_nothing_frames_go_alone_and_at_once() {
    let now = Instant::now();
    let cameras = [camera(now, 10, true), camera(now, 9, true), camera(now, 60, false)];
    assert_eq!(ask(now, &cameras, &limits(8, 50), &flat()), Decision::Dispatch(1));
}

#[test]
fn a_round_ends_at_the_widest_gap() {
    let now = Instant::now();
    // Two came together, the third is due in 60 ms: waiting for it would cost each round 3 × 60 ms and save it 66 ms.
    let cameras = [camera(now, 1, true), camera(now, 0, true), camera(now, 6, false)];
    assert_eq!(ask(now, &cameras, &limits(8, 100), &pays()), Decision::Dispatch(2));
    // Due in 10 ms it joins them.
    let cameras = [camera(now, 1, true), camera(now, 0, true), camera(now, 56, false)];
    assert!(matches!(ask(now, &cameras, &limits(8, 100), &pays()), Decision::WaitUntil(_)));
}

#[test]
fn an_idle_engine_foresees_the_round() {
    let now = Instant::now();
    // One due in 6 ms, the other 10 ms later: a round would wait for both.
    let cameras = [camera(now, 60, false), camera(now, 50, false)];
    let ask = |cameras: &[Camera], cost: CostModel| foresee(now, cameras.iter().copied(), &limits(8, 50), &cost);
    let late = now + ms(16) + ms(66) / 4;
    assert_eq!(ask(&cameras, pays()), late.checked_sub(ms(66) / 64));
    assert_eq!(ask(&cameras, flat()), None, "the first frame will go at once");
    assert_eq!(ask(&[camera(now, 300, false)], pays()), None, "nobody is expected");
    assert_eq!(ask(&cameras[..1], pays()), None, "and one alone has no company");
}

#[test]
fn files_gather_until_the_batch_is_full_or_nothing_more_can_come() {
    let now = Instant::now();
    let file = Camera { waiting: 5, every_frame: true, period: Some(ms(6)), ..camera(now, 3, true) };
    let gathering = ask(now, &[file], &limits(16, 20), &flat());
    assert_eq!(gathering, Decision::WaitUntil(before(now, 3) + ms(24)));
    assert_eq!(ask(now, &[Camera { waiting: 16, ..file }], &limits(16, 20), &flat()), Decision::Dispatch(16));
    assert_eq!(
        ask(now, &[Camera { open: false, ..file }], &limits(16, 20), &flat()),
        Decision::Dispatch(5),
        "held back or ended"
    );
    assert_eq!(ask(now, &[Camera { period: Some(ms(33)), ..file }], &limits(16, 20), &flat()), Decision::Dispatch(5), "paced");
    assert_eq!(ask(now, &[file], &limits(16, 0), &flat()), Decision::Dispatch(5));
    let with_live = [file, camera(now, 0, true)];
    assert_eq!(ask(now, &with_live, &limits(16, 20), &flat()), Decision::Dispatch(1), "a live camera is in a hurry");
}

#[test]
fn draining_waits_for_nobody() {
    let now = Instant::now();
    let cameras = [camera(now, 1, true), camera(now, 60, false)];
    assert_eq!(decide(now, cameras.into_iter(), &limits(8, 50), &pays(), true), Decision::Dispatch(1));
}

fn any_camera(now: Instant) -> impl Strategy<Value = Camera> {
    (0_usize..20, 0_u64..3000, 0_u64..300, prop::option::of(1_u64..2000), any::<bool>(), any::<bool>()).prop_map(
        move |(waiting, last, older, period, every_frame, open)| {
            let waiting = if every_frame { waiting } else { waiting.min(1) };
            let last = before(now, last);
            Camera {
                waiting,
                oldest: (waiting > 0).then(|| if every_frame { before(last, older) } else { last }),
                last: Some(last),
                period: period.map(ms),
                every_frame,
                open,
            }
        },
    )
}

proptest! {
    #[test]
    fn no_batch_is_too_large_and_no_wait_too_long(
        cameras in prop::collection::vec(any_camera(Instant::now() + ms(10_000)), 0..80),
        max_batch in 1_usize..64, max_wait in 0_u64..200, fixed in 0.0_f64..0.02, each in 0.0_f64..0.02, known in any::<bool>(),
    ) {
        // The cameras' times lie around an instant of their own; take the latest as now.
        let Some(now) = cameras.iter().filter_map(|c| c.last).max() else { return Ok(()) };
        let limits = limits(max_batch, max_wait);
        let cost = CostModel { inherent: known.then_some(Line { fixed, each }), only: None };
        let waiting: usize = cameras.iter().map(|c| c.waiting).sum();
        match ask(now, &cameras, &limits, &cost) {
            Decision::Idle => prop_assert_eq!(waiting, 0),
            Decision::Dispatch(n) => prop_assert!(n >= 1 && n <= max_batch && n <= waiting),
            Decision::WaitUntil(until) => {
                prop_assert!(until > now && waiting > 0 && waiting < max_batch);
                let oldest = |every: bool| cameras.iter().filter(|c| c.every_frame == every).filter_map(|c| c.oldest).min();
                let longest = match oldest(false) {
                    Some(oldest) => oldest + ms(max_wait).min(limits.staleness),
                    None => oldest(true).expect("something waits") + Duration::from_millis(250),
                };
                prop_assert!(until <= longest);
                if let Some(replaced) = cameras.iter().filter(|c| c.waiting > 0 && !c.every_frame).filter_map(|c| Some(c.oldest? + c.period?)).min() {
                    prop_assert!(until <= replaced, "a frame would wait for its own successor");
                }
            }
        }
    }
}
