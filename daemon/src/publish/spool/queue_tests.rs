//! What the queue does, without and with a device that fails.

use std::{
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{cut::*, *};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const BOOT: u128 = 7;

pub(super) fn settings() -> Settings {
    Settings {
        keep_acknowledged: Duration::ZERO,
        segment_bytes: 4096,
        max_bytes: 64 << 10,
        max_record: 4096,
        ..Settings::default()
    }
}

pub(super) fn record(class: Class, stream: &str, seq: u64) -> Record<'_> {
    let at = UNIX_EPOCH + Duration::from_secs(seq);
    Record {
        class,
        stream,
        seq,
        id: "i",
        topic: "a/b",
        properties: &[("schema", "egret/v1")],
        payload: b"{\"what\":\"it is\"}",
        at,
    }
}

pub(super) fn open(world: &World, settings: Settings) -> (Spool<Lossy>, Opened) {
    Spool::open(world.folder(), settings, BOOT, 100 * SECOND).expect("opens")
}

fn fill(spool: &mut Spool<Lossy>, class: Class, stream: &str, seqs: std::ops::Range<u64>) {
    for seq in seqs {
        spool.append(&record(class, stream, seq), 1, 100 * SECOND).expect("taken");
    }
}

/// Cameras and numbers of all that is handed out.
fn all(spool: &mut Spool<Lossy>, broker: usize) -> Vec<(String, u64)> {
    std::iter::from_fn(|| spool.next(broker, 100 * SECOND)).map(|d| (d.stream.to_string(), d.seq)).collect()
}

fn seqs(spool: &mut Spool<Lossy>, stream: &str) -> Vec<u64> {
    all(spool, 0).into_iter().filter(|(name, _)| name == stream).map(|(_, seq)| seq).collect()
}

fn acknowledge_all(spool: &mut Spool<Lossy>, now: Duration) {
    spool.rewind(0);
    while let Some(delivery) = spool.next(0, now) {
        spool.acknowledge(0, &delivery.stream, delivery.number, now);
    }
}

#[test]
fn a_record_comes_out_as_it_went_in() {
    let world = World::default();
    let (mut spool, opened) = open(&world, settings());
    assert_eq!(opened, Opened::default());
    let given = record(Class::Event, "yard", 3);
    assert_eq!(spool.append(&given, 1, 100 * SECOND).expect("taken"), Some(1));
    for delayed in [false, true] {
        let got = spool.next(0, 100 * SECOND).expect("there");
        assert_eq!((&*got.stream, got.seq, &*got.id, &*got.topic, got.class), ("yard", 3, "i", "a/b", Class::Event));
        assert_eq!((got.at, got.delayed), (given.at, delayed));
        assert_eq!(got.payload, given.payload);
        assert_eq!(got.properties, [("schema".to_owned(), "egret/v1".to_owned())]);
        assert_eq!(spool.next(0, 100 * SECOND), None, "it is handed out once");
        // With the kernel at once, without any sync.
        spool = open(&world, settings()).0;
    }
}

#[test]
fn what_waits_is_delayed() {
    let (mut spool, _) = open(&World::default(), settings());
    fill(&mut spool, Class::Event, "a", 0..2);
    assert!(!spool.next(0, 102 * SECOND).expect("there").delayed);
    assert!(spool.next(0, 103 * SECOND).expect("there").delayed);
}

#[test]
fn cameras_take_turns_each_in_order() {
    let (mut spool, _) = open(&World::default(), settings());
    fill(&mut spool, Class::Event, "a", 0..3);
    fill(&mut spool, Class::TrackEnd, "b", 0..1);
    fill(&mut spool, Class::Count, "c", 0..2);
    let order: Vec<_> = all(&mut spool, 0).into_iter().map(|(stream, seq)| format!("{stream}{seq}")).collect();
    assert_eq!(order, ["a0", "b0", "c0", "a1", "c1", "a2"]);
    fill(&mut spool, Class::Event, "b", 1..2);
    assert_eq!(all(&mut spool, 0), [("b".to_owned(), 1)]);
}

#[test]
fn what_is_handed_back_is_next_again() {
    let (mut spool, _) = open(&World::default(), settings());
    fill(&mut spool, Class::Event, "a", 0..3);
    let first = spool.next(0, SECOND).expect("there");
    let second = spool.next(0, SECOND).expect("there");
    spool.hand_back(0, "a", second.number);
    assert_eq!(seqs(&mut spool, "a"), [1, 2]);
    spool.hand_back(0, "a", first.number);
    assert_eq!(seqs(&mut spool, "a"), [0, 1, 2]);
}

#[test]
fn what_is_acknowledged_is_gone_after_a_restart_and_its_file_too() {
    let world = World::default();
    let (mut spool, _) = open(&world, settings());
    fill(&mut spool, Class::Event, "a", 0..200);
    let files = world.names().len();
    assert!(files > 4);
    for delivery in std::iter::from_fn(|| spool.next(0, SECOND)).take(190).collect::<Vec<_>>() {
        spool.acknowledge(0, &delivery.stream, delivery.number, 100 * SECOND);
    }
    spool.sync_now(100 * SECOND).expect("syncs");
    assert!(world.names().len() < files);
    drop(spool);
    let (mut spool, opened) = open(&world, settings());
    assert_eq!(opened.records, 10);
    assert_eq!(seqs(&mut spool, "a"), (190..200).collect::<Vec<_>>());
    // Numbers go on, though nothing is left.
    acknowledge_all(&mut spool, 100 * SECOND);
    spool.close(100 * SECOND).expect("closes");
    let (mut spool, opened) = open(&world, settings());
    assert_eq!(opened.records, 0);
    assert_eq!(spool.append(&record(Class::Count, "a", 0), 1, SECOND).expect("taken"), Some(201));
}

#[test]
fn each_broker_has_its_own_place() {
    let world = World::default();
    let two = Settings { brokers: vec!["near".into(), "far".into()], ..settings() };
    let (mut spool, _) = open(&world, two.clone());
    for (seq, brokers) in [(0, 0b11), (1, 0b01), (2, 0b10), (3, 0b11)] {
        spool.append(&record(Class::Event, "a", seq), brokers, SECOND).expect("taken");
    }
    assert_eq!(spool.append(&record(Class::Event, "a", 9), 0b100, SECOND).expect("nobody's"), None);
    let seqs = |spool: &mut Spool<Lossy>, broker| all(spool, broker).into_iter().map(|(_, seq)| seq).collect::<Vec<_>>();
    assert_eq!((seqs(&mut spool, 0), seqs(&mut spool, 1)), (vec![0, 1, 3], vec![0, 2, 3]));
    spool.acknowledge(0, "a", 1, SECOND);
    spool.acknowledge(1, "a", 3, SECOND);
    assert_eq!(spool.stats(SECOND).waiting, [2, 2]);
    spool.close(2 * SECOND).expect("closes");
    // The other way round, and one that is new; nobody asks for "far" any more.
    let (mut spool, opened) = open(&world, Settings { brokers: vec!["new".into(), "near".into()], ..two });
    assert_eq!((opened.records, opened.orphaned), (2, 1));
    assert_eq!((seqs(&mut spool, 0), seqs(&mut spool, 1)), (vec![], vec![1, 3]));
}

#[test]
fn an_unclean_loss_brings_the_last_acknowledged_back() {
    let world = World::default();
    let keep = Settings { keep_acknowledged: 5 * SECOND, ..settings() };
    let (mut spool, _) = open(&world, keep.clone());
    fill(&mut spool, Class::Event, "a", 0..4);
    for (at, delivery) in std::iter::from_fn(|| spool.next(0, SECOND)).take(3).collect::<Vec<_>>().iter().enumerate() {
        spool.acknowledge(0, &delivery.stream, delivery.number, (100 + 4 * at as u32) * SECOND);
    }
    // 100 s, 104 s, 108 s: the first one is believed by now.
    spool.tick(106 * SECOND).expect("ticks");
    assert_eq!(spool.unacknowledge_since(0, 104 * SECOND), 2);
    spool.rewind(0);
    assert_eq!(seqs(&mut spool, "a"), [1, 2, 3]);
    // The daemon's own crash does the same.
    spool.sync_now(106 * SECOND).expect("syncs");
    drop(spool);
    let (mut spool, _) = open(&world, keep.clone());
    assert_eq!(seqs(&mut spool, "a"), [1, 2, 3]);
    // An ordered end believes.
    acknowledge_all(&mut spool, 100 * SECOND);
    spool.close(100 * SECOND).expect("closes");
    assert_eq!(open(&world, keep).1.records, 0);
}

#[test]
fn order_holds_when_a_later_one_was_acknowledged_first() {
    let (mut spool, _) = open(&World::default(), Settings { keep_acknowledged: 5 * SECOND, ..settings() });
    fill(&mut spool, Class::Event, "a", 0..4);
    assert_eq!(seqs(&mut spool, "a"), [0, 1, 2, 3]);
    spool.acknowledge(0, "a", 1, SECOND);
    spool.acknowledge(0, "a", 3, SECOND);
    spool.rewind(0);
    assert_eq!(seqs(&mut spool, "a"), [1, 2, 3]);
    spool.acknowledge(0, "a", 2, SECOND);
    spool.refuse(0, "a", 3, SECOND);
    spool.rewind(0);
    assert_eq!(seqs(&mut spool, "a"), [3]);
}

#[test]
fn the_least_important_makes_room_and_the_loss_is_told() {
    let (mut spool, _) = open(&World::default(), settings());
    fill(&mut spool, Class::Event, "a", 0..100);
    fill(&mut spool, Class::TrackEnd, "b", 0..100);
    fill(&mut spool, Class::Count, "c", 0..200);
    assert!(spool.take_losses().is_empty());
    fill(&mut spool, Class::Event, "a", 100..450);
    let losses = spool.take_losses();
    assert!(losses.iter().all(|loss| loss.class == Class::Count && loss.reason == LossReason::Size), "{losses:?}");
    assert_eq!((&*losses[0].stream, losses[0].seqs.0, losses[0].times.0, losses[0].brokers), ("c", 0, UNIX_EPOCH, 1));
    assert_eq!(losses[0].count, losses[0].seqs.1 + 1);
    assert!(spool.take_losses().is_empty(), "told once");
    fill(&mut spool, Class::Event, "a", 450..2000);
    let losses: Vec<_> = spool.take_losses().into_iter().map(|loss| (loss.class, loss.seqs)).collect();
    let events = losses.iter().find(|(class, _)| *class == Class::Event).expect("events went last").1;
    assert_eq!(losses.iter().map(|(class, _)| *class).collect::<Vec<_>>(), Class::ALL);
    assert_eq!(losses[1].1, (0, 99), "all ends of tracks");
    assert_eq!(seqs(&mut spool, "a"), (events.1 + 1..2000).collect::<Vec<_>>(), "the rest is there");
    for seq in 2000.. {
        if spool.stats(SECOND).bytes + 200 > settings().max_bytes {
            break;
        }
        fill(&mut spool, Class::Event, "a", seq..seq + 1);
    }
    let refused = spool.append(&Record { payload: &[0; 200], ..record(Class::Count, "c", 0) }, 1, SECOND).expect_err("no room");
    assert!(matches!(refused, SpoolError::NoRoom { class: Class::Count, .. }) && refused.to_string().contains("max_bytes"));
    assert!(spool.stats(SECOND).bytes <= settings().max_bytes);
}

#[test]
fn what_is_too_old_goes_by_the_machines_time() {
    let world = World::default();
    let hour = Settings { max_age: Duration::from_hours(1), ..settings() };
    let (mut spool, _) = open(&world, hour.clone());
    fill(&mut spool, Class::Event, "a", 0..2);
    spool.append(&record(Class::Event, "a", 2), 1, 2000 * SECOND).expect("taken");
    spool.tick(3700 * SECOND).expect("ticks");
    assert!(spool.take_losses().is_empty());
    spool.tick(3701 * SECOND).expect("ticks");
    let losses = spool.take_losses();
    assert_eq!((losses.len(), losses[0].reason, losses[0].count, losses[0].seqs), (1, LossReason::Age, 2, (0, 1)));
    spool.sync_now(3701 * SECOND).expect("syncs");
    drop(spool);
    // The same run of the machine: the time between counts, to the second. What was given up stays so.
    let (mut spool, opened) = Spool::open(world.folder(), hour.clone(), BOOT, 5599 * SECOND).expect("opens");
    assert_eq!(opened.records, 1);
    spool.tick(5599 * SECOND).expect("ticks");
    assert!(spool.take_losses().is_empty());
    spool.tick(5601 * SECOND).expect("ticks");
    assert_eq!(spool.take_losses()[0].seqs, (2, 2));
}

#[test]
fn steps_of_the_wall_clock_change_nothing() {
    let world = World::default();
    let hour = Settings { max_age: Duration::from_hours(1), ..settings() };
    let (mut spool, _) = open(&world, hour.clone());
    let century = Duration::from_hours(24 * 365 * 100);
    for (seq, at) in [(0, UNIX_EPOCH + century), (1, UNIX_EPOCH), (2, UNIX_EPOCH - century), (3, SystemTime::now())] {
        spool.append(&Record { at, ..record(Class::Event, "a", seq) }, 1, 100 * SECOND).expect("taken");
    }
    spool.sync_now(100 * SECOND).expect("syncs");
    drop(spool);
    // Another run of the machine, which has just begun: the time without power does not count, that before it does.
    let (mut spool, _) = Spool::open(world.folder(), hour, 8, SECOND).expect("opens");
    spool.tick(3600 * SECOND).expect("ticks");
    assert!(spool.take_losses().is_empty());
    assert_eq!(seqs(&mut spool, "a"), [0, 1, 2, 3]);
    spool.tick(3602 * SECOND).expect("ticks");
    let losses = spool.take_losses();
    assert_eq!((losses[0].count, losses[0].reason), (4, LossReason::Age));
}

#[test]
fn age_goes_on_over_many_short_runs() {
    let world = World::default();
    let settings = Settings { max_age: Duration::from_hours(3), ..settings() };
    fill(&mut open(&world, settings.clone()).0, Class::Event, "a", 0..1);
    let mut runs = 0;
    loop {
        let (mut spool, opened) = Spool::open(world.folder(), settings.clone(), 100 + runs, SECOND).expect("opens");
        if opened.records == 0 {
            break;
        }
        runs += 1;
        for second in [2, 3700, 3710] {
            spool.tick(second * SECOND).expect("ticks");
        }
        world.cut(runs as u64);
        assert!(runs < 50, "it is kept forever");
    }
    assert!(runs >= 3, "{runs}");
}

#[test]
fn syncs_are_batched() {
    let world = World::default();
    let (mut spool, _) = open(&world, Settings { sync_records: 10, ..settings() });
    assert_eq!(spool.due(), None);
    fill(&mut spool, Class::Event, "a", 0..9);
    assert_eq!((spool.stats(SECOND).syncs, spool.due()), (0, Some(100 * SECOND + Duration::from_millis(200))));
    spool.tick(100 * SECOND + Duration::from_millis(199)).expect("ticks");
    assert_eq!(spool.stats(SECOND).syncs, 0);
    spool.tick(100 * SECOND + Duration::from_millis(200)).expect("ticks");
    assert_eq!((spool.stats(SECOND).syncs, spool.due()), (1, None));
    fill(&mut spool, Class::Event, "a", 9..29);
    assert_eq!((spool.stats(SECOND).syncs, spool.due()), (3, None));
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let world = World::default();
    let (mut spool, _) = open(&world, settings());
    fill(&mut spool, Class::Event, "a", 0..5);
    for space in [0, 1, 50] {
        world.space(Some(space));
        let error = spool.append(&record(Class::Event, "a", 5), 1, SECOND).expect_err("full");
        assert!(error.is_full() && error.to_string().contains("no space"), "{error}");
    }
    // A new segment does not fit either.
    let error = spool.append(&record(Class::Count, "a", 5), 1, SECOND).expect_err("full");
    assert!(error.is_full(), "{error}");
    world.space(None);
    fill(&mut spool, Class::Event, "a", 5..9);
    assert_eq!(seqs(&mut spool, "a"), (0..9).collect::<Vec<_>>());
    drop(spool);
    let (mut spool, opened) = open(&world, settings());
    assert_eq!(opened.damage, []);
    assert_eq!(seqs(&mut spool, "a"), (0..9).collect::<Vec<_>>());
}

#[test]
fn a_sync_that_fails_loses_nothing() {
    for before in [0, 3] {
        let world = World::default();
        let (mut spool, _) = open(&world, settings());
        fill(&mut spool, Class::Event, "a", 0..before);
        spool.sync_now(100 * SECOND).expect("syncs");
        fill(&mut spool, Class::Event, "a", before..6);
        fill(&mut spool, Class::Count, "b", 0..2);
        // The system forgets what it was to write.
        world.fail_syncs(3);
        assert!(spool.sync_now(100 * SECOND).is_err());
        assert_eq!(spool.due(), Some(101 * SECOND), "not at once again");
        assert_eq!(seqs(&mut spool, "a"), (0..6).collect::<Vec<_>>(), "it is in memory");
        world.fail_syncs(0);
        spool.tick(101 * SECOND).expect("syncs");
        spool.rewind(0);
        assert_eq!(seqs(&mut spool, "a"), (0..6).collect::<Vec<_>>());
        fill(&mut spool, Class::Event, "a", 6..8);
        spool.sync_now(101 * SECOND).expect("syncs");
        world.cut(5);
        let (mut spool, opened) = open(&world, settings());
        assert_eq!(opened.records, 10);
        assert_eq!(seqs(&mut spool, "a"), (0..8).collect::<Vec<_>>());
    }
}

#[test]
fn a_folder_that_may_not_be_written_is_told_so() {
    let world = World::default();
    let (mut spool, _) = open(&world, settings());
    for kind in [io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::PermissionDenied] {
        world.refuse(Some(kind));
        let error = spool.append(&record(Class::Event, "a", 0), 1, SECOND).expect_err("refused");
        assert!(matches!(error, SpoolError::NotWritable { .. }) && error.to_string().contains("directory"), "{error}");
    }
    for path in ["/sys/egret-queue", "/proc/egret-queue", "/dev/null/egret-queue"] {
        assert!(Disk::open(std::path::Path::new(path)).is_err_and(|error| error.to_string().contains(path)));
    }
}

#[test]
fn two_daemons_do_not_share_a_folder() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = Spool::open_at(dir.path(), settings()).expect("opens");
    let error = Spool::open_at(dir.path(), settings()).err().expect("locked").to_string();
    let process = format!("process {}", std::process::id());
    assert!(error.contains("in use") && error.contains(&process) && error.contains("another directory"), "{error}");
    drop(first);
    Spool::open_at(dir.path(), settings()).expect("opens");
}

#[test]
fn another_version_is_refused_and_damage_is_not_taken_for_one() {
    let world = World::default();
    fill(&mut open(&world, settings()).0, Class::Event, "a", 0..2);
    let mut other = b"egretspl\x02\0\0\0".to_vec();
    other.extend_from_slice(&crc::crc32c(&[&other]).to_le_bytes());
    let mut folder = world.folder();
    folder.write_at("00000009.event", 0, &other).expect("writes");
    let error = Spool::open(world.folder(), settings(), BOOT, SECOND).err().expect("refused").to_string();
    for part in ["00000009.event", "format 2", "reads format 1", "move the file away"] {
        assert!(error.contains(part), "{error}");
    }
    world.flip("00000009.event", 8, 0x10);
    assert_eq!(open(&world, settings()).1.records, 2);
}

#[test]
fn a_flipped_bit_costs_one_record_and_is_told_once() {
    let world = World::default();
    let (mut spool, _) = open(&world, settings());
    fill(&mut spool, Class::Event, "a", 0..4);
    let (length, name) = (world.length("00000001.event"), "00000001.event");
    // In the middle of the second one of four, which are of equal length.
    let one = (length - 80) / 4;
    let at = length - 2 * one - one / 2;
    world.flip(name, at, 0x40);
    drop(spool);
    let (mut spool, opened) = open(&world, settings());
    assert_eq!(seqs(&mut spool, "a"), [0, 2, 3]);
    let damage = &opened.damage[0];
    assert_eq!((opened.damage.len(), &*damage.file, &damage.kind), (1, name, &DamageKind::Wrong));
    let kept = format!("{name}.{}.damaged", damage.offset);
    assert_eq!(damage.kept.as_ref(), Some(&kept));
    assert!((damage.offset..damage.offset + damage.bytes).contains(&(at as u64)));
    assert_eq!(world.length(&kept) as u64, damage.bytes);
    assert!(damage.to_string().contains(&format!("bytes at {}", damage.offset)), "{damage}");
    assert_eq!(open(&world, settings()).1.damage, [], "told once");
}

#[test]
fn a_damaged_beginning_costs_no_record() {
    for at in [0, 9, 14, 20, 40, 60] {
        let world = World::default();
        fill(&mut open(&world, settings()).0, Class::Event, "a", 0..4);
        world.flip("00000001.event", at, 1);
        let (mut spool, opened) = open(&world, settings());
        assert_eq!(seqs(&mut spool, "a"), [0, 1, 2, 3]);
        assert_eq!(opened.damage.len(), 1, "{:?}", opened.damage);
        assert_eq!(spool.append(&record(Class::Event, "a", 4), 1, SECOND).expect("taken"), Some(5));
    }
}

#[test]
fn a_torn_end_is_cut_off_and_told_once() {
    let world = World::default();
    fill(&mut open(&world, settings()).0, Class::Event, "a", 0..4);
    let name = "00000001.event";
    world.folder().truncate(name, world.length(name) as u64 - 7).expect("truncates");
    let (mut spool, opened) = open(&world, settings());
    assert_eq!(seqs(&mut spool, "a"), [0, 1, 2]);
    assert_eq!((opened.damage.len(), &opened.damage[0].kind), (1, &DamageKind::Torn));
    assert_eq!(world.length(name) as u64, opened.damage[0].offset);
    assert_eq!(open(&world, settings()).1.damage, []);
}

#[test]
fn what_goes_bad_while_it_runs_is_skipped_and_told() {
    let world = World::default();
    let (mut spool, _) = open(&world, settings());
    fill(&mut spool, Class::Event, "a", 0..3);
    spool.sync_now(100 * SECOND).expect("syncs");
    let name = "00000001.event";
    world.flip(name, world.length(name) - 1, 2);
    assert_eq!(seqs(&mut spool, "a"), [0, 1]);
    let losses = spool.take_losses();
    assert_eq!((losses[0].reason, losses[0].seqs, losses[0].count), (LossReason::Damage, (2, 2), 1));
    assert!(losses[0].at.as_ref().is_some_and(|(file, offset)| file == name && *offset > 0));
}

#[test]
fn settings_of_nonsense_are_refused() {
    let many = (0..17).map(|i| i.to_string()).collect();
    for (wrong, key) in [
        (Settings { brokers: vec![], ..settings() }, "brokers"),
        (Settings { brokers: many, ..settings() }, "brokers"),
        (Settings { brokers: vec!["a".into(), "a".into()], ..settings() }, "brokers"),
        (Settings { segment_bytes: 100, ..settings() }, "segment_bytes"),
        (Settings { max_bytes: 4096, ..settings() }, "max_bytes"),
        (Settings { max_record: 0, ..settings() }, "max_record"),
        (Settings { sync_records: 0, ..settings() }, "sync_records"),
        (Settings { max_age: Duration::ZERO, ..settings() }, "max_age"),
    ] {
        let error = Spool::open(World::default().folder(), wrong, BOOT, SECOND).err().expect("refused").to_string();
        assert!(error.contains(key), "{error}");
    }
    assert!(open(&World::default(), Settings::default()).0.due().is_none());
    let sixteen = (0..16).map(|i| i.to_string()).collect();
    let (mut spool, _) = open(&World::default(), Settings { brokers: sixteen, ..settings() });
    spool.append(&record(Class::Event, "a", 0), u16::MAX, SECOND).expect("taken");
    assert_eq!(all(&mut spool, 15).len(), 1);
    let error = spool.append(&Record { payload: &[0; 5000], ..record(Class::Event, "a", 0) }, 1, SECOND).expect_err("too large");
    assert!(matches!(error, SpoolError::TooLarge { limit: 4096, .. }), "{error}");
}
