use std::fs;

use proptest::prelude::*;

use super::*;
use crate::{
    engine::{key::tests::key, manifest::Verdict, manifest::tests::manifest},
    file::cut::World,
};

/// A key of its own for each number.
fn of(number: u32) -> Key {
    let mut key = key();
    key.profile.max = 8 + number;
    key
}

fn put(store: &mut Store<impl Folder>, key: &Key, plan: &[u8]) -> Result<(), EngineError> {
    store.put(&manifest(key, plan), plan)
}

#[test]
fn what_is_put_is_found_and_verified() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::new(&folder.path().join("engines"));
    assert!(store.all().expect("none yet").is_empty() && store.find(&key()).expect("none").is_none());
    store.ready("street", 1 << 20).expect("room");
    put(&mut store, &key(), b"first").expect("put");
    let there = store.find(&key()).expect("found").expect("there");
    assert_eq!(store.plan(&there).expect("whole"), b"first");
    put(&mut store, &key(), b"second").expect("put");
    let there = store.find(&key()).expect("found").expect("there");
    assert_eq!(store.plan(&there).expect("whole"), b"second");
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
    let refused = |store: &mut Store<_>| store.plan(&there).expect_err("damaged").to_string();
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
        let mut key = of(max);
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
        store.put(&manifest, plan.as_bytes()).expect("put");
    }
    let mut alien = key();
    alien.model = "0".repeat(64);
    put(&mut store, &alien, b"alien").expect("put");
    let others = store.others(&of(0)).expect("a list");
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
    let mut other = of(3);
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
        assert_eq!(store.plan(&there).expect("whole"), b"first");
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
    assert_eq!(store.plan(&there).expect("whole"), b"first");
    assert_eq!(world.names().len(), 2, "no leftovers: {:?}", world.names());
}

/// After each operation the power may go: then the old engine is there, or the new one, whole.
fn cut_at(after: u32, seed: u64, replaced: bool) -> bool {
    let world = World::default();
    let mut store = Store::on(world.folder());
    if replaced {
        put(&mut store, &key(), &[1; 3000]).expect("put");
    }
    world.fail_after(after);
    let done = put(&mut store, &key(), &[2; 5000]).is_ok();
    world.cut(seed);
    let mut store = Store::on(world.folder());
    let there = store.find(&key()).expect("never half a manifest");
    let plan = there.map(|there| store.plan(&there).expect("never half a plan"));
    match plan {
        Some(plan) if plan == [2; 5000] => {}
        Some(plan) => assert!(!done && replaced && plan == [1; 3000], "cut after {after}, {seed}"),
        None => assert!(!done && !replaced, "cut after {after}, {seed}"),
    }
    // The next one finds room, and leaves nothing behind.
    put(&mut store, &of(1), b"another").expect("put");
    let there = store.find(&key()).expect("found").is_some();
    assert_eq!(world.names().len(), if there { 4 } else { 2 }, "{:?}", world.names());
    done
}

#[test]
fn the_power_may_go_between_any_two_steps() {
    for replaced in [false, true] {
        for seed in 0..64 {
            let steps = (0..40).find(|after| cut_at(*after, seed, replaced)).expect("it ends at last");
            assert!(steps >= 8, "{steps} steps: write, sync, rename and names, of two files");
        }
    }
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
                0 => put(&mut store, &of(number), &[seed as u8; 1500]).is_ok(),
                1 => store.remove(&of(number).stem()).is_ok(),
                _ => match store.find(&of(number)) {
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
                store.plan(&manifest).expect("whole");
            }
        }
    }
}
