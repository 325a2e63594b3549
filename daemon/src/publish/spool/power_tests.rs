//! Power cuts at any moment, with whatever was not synced lost, torn or reordered.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    cut::{Lossy, World},
    queue_tests::{BOOT, SECOND, open, settings},
    *,
};

/// What happens to a queue.
#[derive(Clone, Debug)]
enum Step {
    Append {
        camera: u8,
        class: Class,
        length: usize,
    },
    Sync,
    /// Hands out and acknowledges so many.
    Deliver(usize),
    /// A connection breaks.
    Rewind,
    Tick(u64),
    /// The power goes, at once or in the midst of the next steps.
    Cut {
        after: u32,
        seed: u64,
    },
    /// The daemon is killed: files are as they are.
    Kill,
    /// A sync fails and loses what it was to write.
    BadSync,
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop_oneof![Just(Class::Count), Just(Class::TrackEnd), Just(Class::Event)];
    prop_oneof![
        20 => (0..3_u8, class, 0..700_usize).prop_map(|(camera, class, length)| Step::Append { camera, class, length }),
        3 => Just(Step::Sync),
        4 => (1..8_usize).prop_map(Step::Deliver),
        1 => Just(Step::Rewind),
        2 => (1..20_u64).prop_map(Step::Tick),
        2 => (0..12_u32, any::<u64>()).prop_map(|(after, seed)| Step::Cut { after, seed }),
        1 => Just(Step::Kill),
        1 => Just(Step::BadSync),
    ]
}

/// What must be true of a queue, kept beside it.
#[derive(Default)]
struct Truth {
    next: BTreeMap<String, u64>,
    /// Taken, not acknowledged for good: payload and class by camera and number.
    taken: BTreeMap<(String, u64), (Class, Vec<u8>)>,
    /// Of these, what was there when a sync succeeded.
    synced: BTreeSet<(String, u64)>,
    /// Acknowledged, and perhaps not written down yet: they may come again.
    acknowledged: BTreeSet<(String, u64)>,
    /// A sync has failed since the last one that did not: what came between may be in the daemon's memory only.
    doubtful: bool,
    /// The daemon was killed, and no sync has succeeded since.
    inherited: bool,
    /// Handed out since the last restart or break, the latest of each camera.
    latest: BTreeMap<String, u64>,
}

impl Truth {
    fn record<'a>(&mut self, stream: &'a str, class: Class, payload: &'a [u8]) -> Record<'a> {
        let seq = self.next.entry(stream.to_owned()).or_default();
        *seq += 1;
        Record { class, stream, seq: *seq, id: stream, topic: "t", properties: &[], payload, at: SystemTime::UNIX_EPOCH }
    }

    /// A delivery is what was given, and in order.
    fn check(&mut self, delivery: &Delivery) {
        let key = (delivery.stream.to_string(), delivery.seq);
        if let Some((class, payload)) = self.taken.get(&key) {
            assert_eq!((delivery.class, &delivery.payload), (*class, payload));
        } else {
            assert!(self.acknowledged.contains(&key), "{key:?} was never taken");
        }
        let latest = self.latest.insert(key.0.clone(), key.1);
        assert!(latest.is_none_or(|latest| latest < key.1), "{key:?} after {latest:?}");
    }
}

fn deliver(spool: &mut Spool<Lossy>, truth: &mut Truth, count: usize, now: Duration) {
    for _ in 0..count {
        let Some(delivery) = spool.next(0, now) else { return };
        truth.check(&delivery);
        spool.acknowledge(0, &delivery.stream, delivery.number, now);
        let key = (delivery.stream.to_string(), delivery.seq);
        truth.taken.remove(&key);
        truth.synced.remove(&key);
        truth.acknowledged.insert(key);
    }
}

/// After a restart: all that must be there is, in order, and nothing that never was.
fn verify(spool: &mut Spool<Lossy>, truth: &mut Truth, must: &BTreeSet<(String, u64)>, now: Duration) {
    truth.latest.clear();
    let mut there = BTreeSet::new();
    while let Some(delivery) = spool.next(0, now) {
        truth.check(&delivery);
        there.insert((delivery.stream.to_string(), delivery.seq));
    }
    let missing: Vec<_> = must.difference(&there).collect();
    assert!(missing.is_empty(), "lost: {missing:?}");
    // What the cut cost is not there any more.
    truth.taken.retain(|key, _| there.contains(key));
    truth.synced.retain(|key| there.contains(key));
    truth.latest.clear();
    spool.rewind(0);
    assert!(spool.take_losses().is_empty(), "nothing is given up");
}

fn run(steps: &[Step], settings: &Settings) {
    let world = World::default();
    let (mut spool, _) = open(&world, settings.clone());
    let (mut truth, mut now, mut boot) = (Truth::default(), 100 * SECOND, BOOT);
    let mut pending: Option<(u32, u64)> = None;
    for step in steps {
        match step {
            Step::Append { camera, class, length } => {
                let (stream, payload) = (format!("cam{camera}"), vec![*camera ^ *length as u8; *length]);
                let record = truth.record(&stream, *class, &payload);
                let key = (stream.clone(), record.seq);
                if spool.append(&record, 1, now).is_ok() {
                    truth.taken.insert(key, (*class, payload));
                }
            }
            Step::Sync => {
                if spool.sync_now(now).is_ok() {
                    truth.synced = truth.taken.keys().cloned().collect();
                    (truth.doubtful, truth.inherited) = (world.a_sync_will_fail(), false);
                }
            }
            Step::Deliver(count) => deliver(&mut spool, &mut truth, *count, now),
            Step::Rewind => {
                spool.rewind(0);
                truth.latest.clear();
            }
            Step::Tick(seconds) => {
                now += *seconds as u32 * SECOND;
                let _device = spool.tick(now);
            }
            // A device that fails to write what a killed daemon had left with the system is one failure too many: nobody knows it any more.
            Step::BadSync if truth.inherited => {}
            Step::BadSync => {
                world.fail_syncs(1);
                truth.doubtful = true;
            }
            Step::Kill => {
                drop(spool);
                world.fail_syncs(0);
                let must = if truth.doubtful { truth.synced.clone() } else { truth.taken.keys().cloned().collect() };
                (truth.doubtful, truth.inherited) = (false, true);
                spool = Spool::open(world.folder(), settings.clone(), boot, now).expect("opens").0;
                verify(&mut spool, &mut truth, &must, now);
            }
            Step::Cut { after, seed } => {
                if pending.is_none() {
                    world.fail_after(*after);
                    pending = Some((*after, *seed));
                    continue;
                }
            }
        }
        if let Some((left, seed)) = &mut pending {
            if *left > 0 {
                *left -= 1;
                continue;
            }
            let must = truth.synced.clone();
            drop(spool);
            world.cut(*seed);
            boot += 1;
            now = SECOND;
            spool = Spool::open(world.folder(), settings.clone(), boot, now).expect("opens after any cut").0;
            verify(&mut spool, &mut truth, &must, now);
            // What has outlived one cut outlives the next.
            truth.synced = truth.taken.keys().cloned().collect();
            (truth.doubtful, truth.inherited) = (false, false);
            pending = None;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever was taken and synced is there after any cut, once and in order; what was killed loses nothing at all.
    #[test]
    fn a_power_cut_costs_at_most_the_window(steps in proptest::collection::vec(step(), 1..80)) {
        // Room for all: nothing may be given up.
        run(&steps, &Settings { max_bytes: 4 << 20, ..settings() });
    }

    /// The same with acknowledgements that are kept for a while.
    #[test]
    fn and_so_it_is_with_kept_acknowledgements(steps in proptest::collection::vec(step(), 1..80)) {
        run(&steps, &Settings { max_bytes: 4 << 20, keep_acknowledged: 5 * SECOND, ..settings() });
    }

    /// Random bytes anywhere in the files: it opens, tells, and gives out only what was put in.
    #[test]
    fn flipped_bits_never_make_up_a_record(
        lengths in proptest::collection::vec(0..300_usize, 1..40),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1..=255_u8), 1..6),
    ) {
        let world = World::default();
        let (mut spool, _) = open(&world, settings());
        let mut truth = Truth::default();
        for (i, length) in lengths.iter().enumerate() {
            let (stream, payload) = (format!("cam{}", i % 3), vec![i as u8; *length]);
            let record = truth.record(&stream, Class::ALL[i % 2], &payload);
            let key = (stream.clone(), record.seq);
            spool.append(&record, 1, SECOND).expect("taken");
            truth.taken.insert(key, (Class::ALL[i % 2], payload));
        }
        drop(spool);
        let names = world.names();
        for (name, at, bits) in &flips {
            let name = name.get(&names);
            world.flip(name, at.index(world.length(name)), *bits);
        }
        let (mut spool, opened) = open(&world, settings());
        let mut there = 0;
        while let Some(delivery) = spool.next(0, SECOND) {
            truth.check(&delivery);
            there += 1;
        }
        prop_assert!(there + flips.len() >= lengths.len(), "{} of {}", there, lengths.len());
        prop_assert!(!opened.damage.is_empty());
    }

    /// Size is bounded, whatever comes, and what is given up is told.
    #[test]
    fn the_limit_holds(steps in proptest::collection::vec((0..3_usize, 0..3000_usize), 1..200)) {
        let world = World::default();
        let (mut spool, _) = open(&world, Settings { max_bytes: 32 << 10, ..settings() });
        let (mut truth, mut taken, mut lost) = (Truth::default(), 0, 0);
        for (class, length) in steps {
            let payload = vec![1; length];
            let record = truth.record("a", Class::ALL[class], &payload);
            match spool.append(&record, 1, SECOND) {
                Ok(_) => taken += 1,
                Err(error) => prop_assert!(matches!(error, SpoolError::NoRoom { .. }), "{error}"),
            }
            // Headers of segments that have just been begun come on top.
            prop_assert!(spool.stats(SECOND).bytes <= (32 << 10) + 512);
            lost += spool.take_losses().iter().map(|loss| loss.count).sum::<u64>();
        }
        prop_assert_eq!(spool.stats(SECOND).waiting[0] + lost, taken);
        let on_disk: usize = world.names().iter().map(|name| world.length(name)).sum();
        prop_assert_eq!(on_disk as u64, spool.stats(SECOND).bytes);
    }
}
