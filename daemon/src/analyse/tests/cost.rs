//! What rules cost.

use super::{bad::every_kind, *};

/// CPU time of this thread in nanoseconds, by the scheduler's own book.
fn cpu_ns() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

/// Prints the cost of a frame with one rule of each kind. `cargo test --release -p egret --lib cost_of_rules -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, of use in a release build only"]
fn cost_of_rules() {
    for objects in [1_u64, 10, 50, 200] {
        let mut rig = Rig::new(every_kind());
        let tracks = |frame: u64| -> Vec<Track> {
            let place = |i: u64| ((i * 37 + frame) % 1000) as f64 / 1000.0;
            (0..objects).map(|i| at(i + 1, (i % 3) as u16, place(i), 0.3 + 0.6 * place(i * 7))).collect()
        };
        let frames = 2000;
        let stories: Vec<Tracked> = (0..frames)
            .map(|frame| {
                rig.now = ms(40 * frame);
                rig.story(tracks(frame), false)
            })
            .collect();
        let Some(before) = cpu_ns() else { return };
        let mut events = 0;
        for mut tracked in stories {
            rig.analyst.look(&mut tracked);
            events += tracked.verdicts.map_or(0, |verdicts| verdicts.events.len());
        }
        let each = (cpu_ns().unwrap_or(before) - before) as f64 / frames as f64 / 1000.0;
        eprintln!("{objects} objects, 16 rules: {each:.1} us of CPU per frame ({events} events)");
    }
}
