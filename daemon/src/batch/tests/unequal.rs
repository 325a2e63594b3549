//! Instances of unequal speed, simulated in virtual time: what they do together beside what each does alone, with one queue and with a
//! queue for each device; and what a slow one costs cameras that a fast one could serve by itself.

use std::time::Duration;

use super::{
    super::{Limits, Queues, StreamSettings},
    file, limits, line, live, ms,
};

type Cost = fn(usize) -> Duration;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// 8 frames in 20 ms: 400 a second.
fn gpu(size: usize) -> Duration {
    seconds(0.004 + 0.002 * size as f64)
}

/// 8 frames in 62 ms: 129 a second.
fn dla(size: usize) -> Duration {
    seconds(0.006 + 0.007 * size as f64)
}

/// 77 a second, in batches of any size.
fn cpu(size: usize) -> Duration {
    seconds(0.013 * size as f64)
}

const FIRST: Duration = Duration::from_secs(10);
const LAST: Duration = Duration::from_secs(40);

/// Cameras of one rate in even phases, for 42 seconds.
fn cameras(count: usize, fps: f64) -> Vec<(StreamSettings, Vec<Duration>)> {
    let times = |i: usize| (0..(42.0 * fps) as usize).map(move |n| seconds((n as f64 + i as f64 / count as f64) / fps));
    (0..count).map(|i| (live(), times(i).collect())).collect()
}

fn run(queues: Queues, cameras: &[(StreamSettings, Vec<Duration>)], costs: &[Cost]) -> line::Report {
    let limits = Limits { instances: costs.len(), ..limits(8, 30) };
    line::run_unequal(limits, queues, cameras, |_, _| false, |seat, size| costs[seat](size))
}

/// Frames a second, from the tenth second to the fortieth.
fn rate(report: &line::Report) -> f64 {
    let counted = report.batches.iter().filter(|batch| (FIRST..LAST).contains(&batch.at));
    counted.map(|batch| batch.frames.len()).sum::<usize>() as f64 / 30.0
}

/// Milliseconds from arrival to the end of the execution: mean, and the highest.
fn ages(report: &line::Report) -> (f64, f64) {
    let counted = report.batches.iter().filter(|batch| (FIRST..LAST).contains(&batch.at));
    let ages: Vec<f64> =
        counted.flat_map(|batch| batch.frames.iter().map(|(_, wait)| (*wait + batch.took).as_secs_f64() * 1e3)).collect();
    (ages.iter().sum::<f64>() / ages.len() as f64, ages.iter().copied().fold(0.0, f64::max))
}

const SETS: [(&str, &[Cost]); 5] = [
    ("gpu + dla", &[gpu, dla]),
    ("dla + gpu", &[dla, gpu]),
    ("gpu + dla + dla", &[gpu, dla, dla]),
    ("gpu + cpu", &[gpu, cpu]),
    ("gpu + gpu + dla + cpu", &[gpu, gpu, dla, cpu]),
];

#[test]
fn together_they_do_what_each_does_alone() {
    for (name, costs) in SETS {
        // Twice as much as they can do.
        let alone = |cameras: &[_]| costs.iter().map(|cost| rate(&run(Queues::Shared, cameras, &[*cost]))).sum::<f64>();
        let count = (costs.iter().map(|cost| 8.0 / cost(8).as_secs_f64()).sum::<f64>() * 2.0 / 30.0).ceil() as usize;
        let cameras = cameras(count, 30.0);
        let sum = alone(&cameras);
        for queues in [Queues::Shared, Queues::PerDevice] {
            let report = run(queues, &cameras, costs);
            let (rate, (mean, worst)) = (rate(&report), ages(&report));
            eprintln!(
                "{name}, {count} cameras of 30 fps, {queues:?}: {rate:.0} frames a second, {:.3} of the sum {sum:.0}; age {mean:.0} ms, at most \
                 {worst:.0}",
                rate / sum
            );
            assert!(rate >= 0.95 * sum, "{name}, {queues:?}: {rate} of {sum}");
        }
    }
}

#[test]
fn files_use_all_of_them() {
    for (name, costs) in SETS {
        let files = |count: usize| -> Vec<_> { (0..count).map(|_| (file(64), vec![Duration::ZERO; 64])).collect() };
        // 4096 frames that are all there: how long it takes them, until the last begins.
        let took = |costs: &[Cost]| {
            let report = run(Queues::Shared, &files(64), costs);
            assert!(report.counts.iter().all(super::super::counts::Counts::balanced));
            report.batches.iter().map(|batch| batch.at).max().expect("some").as_secs_f64()
        };
        let sum: f64 = costs.iter().map(|cost| 4096.0 / took(&[*cost])).sum();
        let together = 4096.0 / took(costs);
        eprintln!("{name}, files: {:.3} of the sum {sum:.0}", together / sum);
        assert!(together >= 0.95 * sum, "{name}: {together} of {sum}");
    }
}

#[test]
fn a_slow_one_makes_no_frame_older_where_the_fast_one_keeps_up() {
    for (count, fps) in [(1, 30.0), (4, 30.0), (8, 30.0), (10, 30.0), (24, 10.0)] {
        let cameras = cameras(count, fps);
        let alone = ages(&run(Queues::Shared, &cameras, &[gpu]));
        for (costs, fast) in [(&[gpu, dla] as &[Cost], 0), (&[dla, gpu], 1), (&[cpu, gpu, dla], 1)] {
            let mut report = run(Queues::Shared, &cameras, costs);
            let all = (count as f64 * fps * 30.0) as usize;
            let with = ages(&report);
            report.batches.retain(|batch| (FIRST..LAST).contains(&batch.at));
            let slow: usize = report.batches.iter().filter(|batch| batch.seat != fast).map(|batch| batch.frames.len()).sum();
            eprintln!(
                "{count} cameras of {fps} fps: age {:.1} ms, at most {:.1}; with slow ones {:.1}, {:.1}, of {all} frames {slow} theirs",
                alone.0, alone.1, with.0, with.1
            );
            assert!(
                with.0 <= 1.02 * alone.0 + 0.1 && with.1 <= 1.25 * alone.1 + 1.0,
                "{count} cameras of {fps} fps: {with:?}, {alone:?}"
            );
            assert!(report.counts.iter().all(|counts| counts.dropped.replaced <= 40), "{:?}", report.counts);
        }
    }
}

#[test]
fn a_fast_one_that_hangs_is_not_waited_for() {
    // After 20 seconds the fast one takes three seconds for a batch.
    let times = cameras(4, 30.0);
    let limits = Limits { instances: 2, ..limits(8, 30) };
    let taken = std::cell::Cell::new(0);
    let cost = |seat: usize, size: usize| {
        if seat == 0 {
            taken.set(taken.get() + 1);
            if taken.get() == 500 { seconds(3.0) } else { gpu(size) }
        } else {
            dla(size)
        }
    };
    let report = line::run_unequal(limits, Queues::Shared, &times, |_, _| false, cost);
    let hung = report.batches.iter().find(|batch| batch.took == seconds(3.0)).expect("it hung");
    let (from, to) = (hung.at + ms(200), hung.at + ms(2800));
    let mut others = report.batches.iter().filter(|batch| (from..to).contains(&batch.at)).peekable();
    assert!(others.peek().is_some_and(|batch| batch.at < hung.at + ms(300)), "it helps out");
    let frames: usize = others.map(|batch| batch.frames.len()).sum();
    assert!(frames as f64 / 2.6 > 100.0, "{frames} frames in 2.6 seconds, of 120 a second");
}

#[test]
fn cameras_are_bound_by_what_each_device_can_do() {
    let report = run(Queues::PerDevice, &cameras(30, 30.0), &[gpu, dla]);
    let mut seats = vec![std::collections::BTreeSet::new(); 30];
    // One camera may move in each second.
    for batch in report.batches.iter().filter(|batch| batch.at > 2 * FIRST) {
        for (camera, _) in &batch.frames {
            seats[*camera as usize].insert(batch.seat);
        }
    }
    let on_dla = seats.iter().filter(|seats| seats.contains(&1)).count();
    assert!(seats.iter().filter(|seats| seats.len() > 1).count() <= 1, "each has one device: {seats:?}");
    // 129 of 529 frames a second are the slow one's.
    assert!((6..=9).contains(&on_dla), "{on_dla} of 30");
}
