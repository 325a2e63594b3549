use std::fs;

use proptest::prelude::*;

use super::*;
use crate::{
    engine::{
        Verdict,
        key::tests::key,
        manifest::tests::{manifest, with_tail},
    },
    file::cut::World,
};

/// A key of its own for each number.
fn numbered(number: u32) -> Key {
    let mut key = key();
    key.profile.max = 8 + number;
    key
}

fn put(store: &mut Store<impl Folder>, key: &Key, plan: &[u8]) -> Result<(), EngineError> {
    store.put(&manifest(key, plan), &Parts { plan: plan.to_vec(), tail: None })
}

#[test]
fn what_is_put_is_found_and_verified() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::new(&folder.path().join("engines"));
    assert!(store.all().expect("none yet").is_empty() && store.find(&key()).expect("none").is_none());
    store.ready("street", 1 << 20).expect("room");
    put(&mut store, &key(), b"first").expect("put");
    let there = store.find(&key()).expect("found").expect("there");
    assert_eq!(store.parts(&there).expect("whole").plan, b"first");
    put(&mut store, &key(), b"second").expect("put");
    let there = store.find(&key()).expect("found").expect("there");
    assert_eq!(store.parts(&there).expect("whole").plan, b"second");
    let files = || fs::read_dir(folder.path().join("engines")).expect("a folder").count();
    assert_eq!(files(), 3, "manifest, plan and lock");
    let (size, freed) = (store.size(&key().stem()).expect("bytes"), store.remove(&key().stem()).expect("removed"));
    assert_eq!((size, files()), (freed, 1));
    assert!(store.remove(&key().stem()).expect("nothing") == 0);
}

#[test]
fn a_plan_with_another_byte_or_length_never_gets_through() {
    let world = World::default();
    let mut store = Store::on(world.folder());
    let plan: Vec<u8> = (0..2000_u32).map(|i| i as u8).collect();
    put(&mut store, &key(), &plan).expect("put");
    let there = store.find(&key()).expect("found").expect("there");
    let refused = |store: &mut Store<_>| store.parts(&there).expect_err("damaged").to_string();
    for at in (0..plan.len()).step_by(37) {
        world.flip(&there.plan.file, at, 0x10);
        assert!(refused(&mut store).contains("other bytes than were written"));
        world.flip(&there.plan.file, at, 0x10);
    }
    let mut folder = world.folder();
    folder.truncate(&there.plan.file, 1999).expect("cut");
    assert_eq!(
        refused(&mut store),
        format!(
            "engine of street: {} has fewer bytes than the 2000 that were written; it is not used: \
             build it anew with `egret engine build street`",
            there.plan.file
        )
    );
    folder.write_at(&there.plan.file, 0, &[plan.as_slice(), b"more"].concat()).expect("written");
    assert!(refused(&mut store).contains("more bytes than the 2000"));
    folder.remove(&there.plan.file).expect("removed");
    assert!(refused(&mut store).contains("is not there"));
    world.flip(&manifest_file(&key().stem()), 0, 0x10);
    assert!(store.find(&key()).expect_err("damaged").to_string().contains("no manifest of an engine"));
    assert_eq!(store.all().expect("a list").len(), 1, "it is listed all the same");
}

#[test]
fn engines_that_could_serve_instead_come_first() {
    let mut store = Store::on(World::default().folder());
    let with = |tensorrt: &str, max: u32, at: &str| {
        let mut key = numbered(max);
        key.tensorrt = tensorrt.into();
        let mut manifest = manifest(&key, at.as_bytes());
        at.clone_into(&mut manifest.built_at);
        (manifest, at.to_owned())
    };
    for (manifest, plan) in [
        with("10.2.0", 1, "2026-11-05"),
        with("10.3.0", 2, "2026-11-01"),
        with("10.3.0", 3, "2026-11-03"),
        with("10.3.0", 0, "2026"),
    ] {
        store.put(&manifest, &Parts { plan: plan.into_bytes(), tail: None }).expect("put");
    }
    let mut alien = key();
    alien.model = "0".repeat(64);
    put(&mut store, &alien, b"alien").expect("put");
    let others = store.others(&numbered(0)).expect("a list");
    let told: Vec<_> = others.iter().map(|(m, d)| (m.built_at.as_str(), d.iter().any(|d| d.fatal))).collect();
    assert_eq!(told, [("2026-11-03", false), ("2026-11-01", false), ("2026-11-05", true)]);
}

#[test]
fn verdicts_are_written_only_to_the_engine_that_they_are_about() {
    let mut store = Store::on(World::default().folder());
    put(&mut store, &key(), b"first").expect("put");
    let mut first = store.find(&key()).expect("found").expect("there");
    first.verdict = Some(Verdict { passed: false, at: "now".into(), reason: "it disagrees".into() });
    assert!(store.note(&first).expect("noted"));
    assert_eq!(store.find(&key()).expect("found").expect("there").rejected(), Some("it disagrees"));
    put(&mut store, &key(), b"second").expect("put");
    assert!(!store.note(&first).expect("another one by now"));
    assert_eq!(store.find(&key()).expect("found").expect("there").rejected(), None);
}

#[test]
fn timings_are_one_device_s_and_whole_or_none() {
    let world = World::default();
    let mut store = Store::on(world.folder());
    store.keep_timings(&key(), b"timed").expect("kept");
    let mut other = numbered(3);
    assert_eq!(store.timings(&other).as_deref(), Some(&b"timed"[..]), "of whatever model");
    other.tensorrt = "10.4.0".into();
    assert_eq!(store.timings(&other), None);
    world.flip(&timings_file(&key()), 66, 1);
    assert_eq!(store.timings(&key()), None, "damaged");
    let rest = store.rest(&other).expect("a list");
    assert_eq!(rest, [(timings_file(&key()), 69)]);
    assert_eq!(store.clear(&rest[0].0).expect("removed"), 69);
    assert_eq!(store.clear("something else").expect("left alone"), 0);
}

#[test]
fn a_full_or_failing_disk_costs_nothing_that_was_there() {
    let world = World::default();
    let mut store = Store::on(world.folder());
    put(&mut store, &key(), b"first").expect("put");
    for room in [0, 1, 1999, 2000, 2500] {
        world.space(Some(room));
        let refused = put(&mut store, &key(), &[1; 2000]).expect_err("full").to_string();
        assert!(refused.contains("make room") && refused.contains("nothing that was there is lost"), "{refused}");
        world.space(None);
        let there = store.find(&key()).expect("found").expect("there");
        assert_eq!(store.parts(&there).expect("whole").plan, b"first");
    }
    for kind in [io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::PermissionDenied] {
        world.refuse(Some(kind));
        let refused = put(&mut store, &key(), b"second").expect_err("refused").to_string();
        assert!(refused.contains("give egret's user the right"), "{refused}");
    }
    world.refuse(None);
    world.fail_syncs(1);
    assert!(put(&mut store, &key(), b"second").expect_err("not on the disk").to_string().contains("check the path"));
    let there = store.find(&key()).expect("found").expect("there");
    assert_eq!(store.parts(&there).expect("whole").plan, b"first");
    assert_eq!(world.names().len(), 2, "no leftovers: {:?}", world.names());
}

/// An engine, or one with a tail.
fn put_parts(store: &mut Store<impl Folder>, key: &Key, byte: u8, len: usize, tailed: bool) -> Result<(), EngineError> {
    let parts = Parts { plan: vec![byte; len], tail: tailed.then(|| vec![byte; len / 2]) };
    let manifest = match &parts.tail {
        Some(tail) => with_tail(key, &parts.plan, tail),
        None => manifest(key, &parts.plan),
    };
    store.put(&manifest, &parts)
}

/// After each operation the power may go: then the old engine is there, or the new one, whole, each with its tail.
fn cut_at(after: u32, seed: u64, replaced: bool, tailed: bool) -> bool {
    let world = World::default();
    let mut store = Store::on(world.folder());
    if replaced {
        put_parts(&mut store, &key(), 1, 3000, tailed).expect("put");
    }
    world.fail_after(after);
    let done = put_parts(&mut store, &key(), 2, 5000, tailed).is_ok();
    world.cut(seed);
    let mut store = Store::on(world.folder());
    let there = store.find(&key()).expect("never half a manifest");
    let parts = there.map(|there| store.parts(&there).expect("never half an engine"));
    let of = |byte: u8, len: usize| Parts { plan: vec![byte; len], tail: tailed.then(|| vec![byte; len / 2]) };
    match parts {
        Some(parts) if parts == of(2, 5000) => {}
        Some(parts) => assert!(!done && replaced && parts == of(1, 3000), "cut after {after}, {seed}"),
        None => assert!(!done && !replaced, "cut after {after}, {seed}"),
    }
    // The next one finds room, and leaves nothing behind.
    put(&mut store, &numbered(1), b"another").expect("put");
    let there = store.find(&key()).expect("found").is_some();
    let own = if tailed { 3 } else { 2 };
    assert_eq!(world.names().len(), if there { 2 + own } else { 2 }, "{:?}", world.names());
    done
}

#[test]
fn the_power_may_go_between_any_two_steps() {
    for (replaced, tailed) in [(false, false), (true, false), (false, true), (true, true)] {
        for seed in 0..64 {
            let steps = (0..60).find(|after| cut_at(*after, seed, replaced, tailed)).expect("it ends at last");
            let files = if tailed { 3 } else { 2 };
            assert!(steps >= 4 * files, "{steps} steps: write, sync, rename and names, of {files} files");
        }
    }
}

#[test]
fn a_tail_is_found_measured_and_removed_with_its_engine() {
    let world = World::default();
    let mut store = Store::on(world.folder());
    put_parts(&mut store, &key(), 1, 3000, true).expect("put");
    let there = store.find(&key()).expect("found").expect("there");
    let file = there.tail.as_ref().expect("a tail").file.file.clone();
    assert_eq!(store.parts(&there).expect("whole").tail.as_deref(), Some(&[1; 1500][..]));
    assert!(store.size(&key().stem()).expect("bytes") > 4500);
    for at in (0..1500).step_by(37) {
        world.flip(&file, at, 0x10);
        let refused = store.parts(&there).expect_err("damaged").to_string();
        assert!(refused.contains(&file) && refused.contains("other bytes than were written"), "{refused}");
        world.flip(&file, at, 0x10);
    }
    // The same plan with another tail, then one without: what is not named any more goes.
    put_parts(&mut store, &key(), 2, 3000, true).expect("put");
    assert_eq!(world.names().len(), 3, "{:?}", world.names());
    put_parts(&mut store, &key(), 2, 3000, false).expect("put");
    assert_eq!(world.names().len(), 2, "{:?}", world.names());
    put_parts(&mut store, &key(), 3, 3000, true).expect("put");
    assert!(store.remove(&key().stem()).expect("removed") > 4500 && world.names().is_empty());
}

proptest! {
    /// Removing and noting, too: an engine is there whole, or not at all.
    #[test]
    fn no_engine_is_ever_half_there(steps in prop::collection::vec((0..3_u8, 0..3_u32, 0..12_u32, any::<u64>()), 1..12)) {
        let world = World::default();
        for (what, number, after, seed) in steps {
            let mut store = Store::on(world.folder());
            world.fail_after(after);
            let _may_fail = match what {
                0 => put_parts(&mut store, &numbered(number), seed as u8, 1500, seed % 2 == 0).is_ok(),
                1 => store.remove(&numbered(number).stem()).is_ok(),
                _ => match store.find(&numbered(number)) {
                    Ok(Some(mut there)) => {
                        there.verdict = Some(Verdict { passed: true, at: "now".into(), reason: seed.to_string() });
                        store.note(&there).is_ok()
                    }
                    other => other.is_ok(),
                },
            };
            world.cut(seed);
            let mut store = Store::on(world.folder());
            for listed in store.all().expect("a list") {
                let manifest = listed.manifest.expect("whole");
                store.parts(&manifest).expect("whole");
            }
        }
    }
}
