//! How much a power cut costs, by the clock: at most the window between two syncs.

use std::{collections::BTreeSet, time::Duration};

use super::{
    cut::{Dice, World},
    queue_tests::{BOOT, SECOND, record},
    *,
};

/// Sixteen cameras make 128 events a second, each of which the power may cut off.
#[test]
fn a_power_cut_costs_at_most_the_time_between_two_syncs() {
    const CUTS: u64 = 400;
    let (step, window) = (Duration::from_micros(7_812), Duration::from_millis(200));
    let settings = Settings { sync_window: window, ..Settings::default() };
    let (mut lost, mut taken, mut worst, mut damaged) = (Vec::new(), 0, Duration::ZERO, 0);
    for seed in 0..CUTS {
        let (world, mut dice) = (World::default(), Dice(seed));
        let (mut spool, _) = Spool::open(world.folder(), settings.clone(), BOOT, 100 * SECOND).expect("opens");
        let events = u64::from(dice.next_u32() % 600);
        let at = |seq: u64| 100 * SECOND + step * seq as u32;
        for seq in 0..events {
            let now = at(seq);
            while let Some(due) = spool.due().filter(|due| *due <= now) {
                spool.tick(due).expect("syncs");
            }
            spool.append(&record(Class::Event, &format!("cam{}", seq % 16), seq), 1, now).expect("taken");
        }
        drop(spool);
        world.cut(seed);
        let (mut spool, opened) =
            Spool::open(world.folder(), settings.clone(), BOOT + 1, SECOND).expect("the queue opens after every cut");
        let there: BTreeSet<u64> = std::iter::from_fn(|| spool.next(0, SECOND)).map(|delivery| delivery.seq).collect();
        let missing: Vec<u64> = (0..events).filter(|seq| !there.contains(seq)).collect();
        let oldest = missing.first().map_or(Duration::ZERO, |seq| at(events).saturating_sub(at(*seq)));
        assert!(oldest <= window + step, "cut {seed}: an event {oldest:?} before it is lost");
        (worst, taken, damaged) = (worst.max(oldest), taken + events, damaged + usize::from(!opened.damage.is_empty()));
        lost.push(missing.len());
    }
    lost.sort_unstable();
    let (median, most) = (lost[lost.len() / 2], lost[lost.len() - 1]);
    eprintln!(
        "{CUTS} power cuts, {taken} events at 128 a second, synced every {window:?}: each opened, {damaged} with a torn end; lost per cut: \
         median {median}, most {most}; the oldest of them {worst:?} before the cut"
    );
    assert!(worst > Duration::ZERO, "the cuts cut something");
}
