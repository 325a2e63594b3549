//! Stores that several change at once, that were left in the middle of it, and that hold what is not theirs.

use std::{os::unix::fs::PermissionsExt as _, sync::Arc, thread};

use tempfile::TempDir;

use super::*;
use crate::store::MANIFEST;

const NETWORK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/street/street.onnx");

struct Bench {
    folder: TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = Store::new(folder.path().join("models"));
        Self { folder, store }
    }

    /// The demo's network under another file name, without a manifest.
    fn network(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::copy(NETWORK, &path).unwrap();
        path
    }

    fn add(&self, file: &str, replace: bool) -> Result<(), StoreError> {
        self.store.add(&self.network(file), None, Some("street"), replace).map(drop)
    }

    /// What is in the store, hidden or not.
    fn names(&self, of: &str) -> Vec<String> {
        let entries = fs::read_dir(self.store.directory().join(of)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    fn sound(&self) {
        assert_eq!(self.store.verify("street").unwrap().problems, [""; 0]);
    }
}

#[test]
fn a_replaced_model_leaves_nothing_but_what_is_not_its_own() {
    let bench = Bench::new();
    bench.add("one.onnx", false).unwrap();
    let place = bench.store.place("street");
    fs::write(place.join("notes.txt"), "mine").unwrap();
    fs::write(place.join("one.onnx.part.origin"), "of an earlier version").unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o750)).unwrap();
    assert!(bench.add("two.onnx", false).unwrap_err().to_string().contains("--replace"));
    bench.add("two.onnx", true).unwrap();
    assert_eq!(bench.names("street"), [MANIFEST, "notes.txt", "two.onnx"]);
    assert_eq!(bench.names("."), [LOCK, "street"]);
    assert_eq!(fs::read_to_string(place.join("notes.txt")).unwrap(), "mine");
    assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o750);
    bench.sound();
    // A folder would be lost.
    fs::create_dir(place.join("calibration")).unwrap();
    let error = bench.add("one.onnx", true).unwrap_err().to_string();
    assert!(error.contains("street/calibration") && error.contains("move it elsewhere"), "{error}");
    bench.sound();
}

#[test]
fn what_a_killed_process_left_is_removed_by_the_next() {
    let bench = Bench::new();
    bench.add("one.onnx", false).unwrap();
    let incoming = bench.store.directory().join(INCOMING);
    fs::create_dir(&incoming).unwrap();
    fs::write(incoming.join("one.onnx"), "half of a net").unwrap();
    assert_eq!(bench.store.names().unwrap(), ["street"]);
    bench.add("two.onnx", true).unwrap();
    assert_eq!(bench.names("."), [LOCK, "street"]);
    bench.sound();
}

#[test]
fn where_folders_cannot_be_exchanged_files_are() {
    let bench = Bench::new();
    bench.add("one.onnx", false).unwrap();
    let change = Change::begin(&bench.store).unwrap();
    fs::create_dir(&change.incoming).unwrap();
    let place = bench.store.place("street");
    let manifest = fs::read_to_string(place.join(MANIFEST)).unwrap().replace("one.onnx", "two.onnx");
    fs::write(change.incoming.join(MANIFEST), manifest).unwrap();
    fs::copy(NETWORK, change.incoming.join("two.onnx")).unwrap();
    change.swap_files(&place, "two.onnx").unwrap();
    drop(change);
    assert_eq!(
        (bench.names("street"), bench.names(".")),
        (vec![MANIFEST.into(), "two.onnx".into()], vec![LOCK.into(), "street".into()])
    );
    bench.sound();
}

#[test]
fn many_at_once_leave_a_sound_store_and_readers_always_have_one() {
    let bench = Arc::new(Bench::new());
    bench.add("net0.onnx", false).unwrap();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let bench = Arc::clone(&bench);
            thread::spawn(move || (0..3).for_each(|_| bench.add(&format!("net{writer}.onnx"), true).unwrap()))
        })
        .collect();
    let mut looks = 0;
    while !writers.iter().all(thread::JoinHandle::is_finished) {
        let entry = bench.store.entry("street").unwrap();
        assert!(entry.manifest.card.file.starts_with("net"));
        looks += 1;
    }
    for writer in writers {
        writer.join().unwrap();
    }
    eprintln!("looked {looks} times");
    let file = bench.store.entry("street").unwrap().manifest.card.file;
    assert_eq!((bench.names("street"), bench.names(".")), (vec![MANIFEST.to_owned(), file], vec![LOCK.into(), "street".into()]));
    bench.sound();
}
