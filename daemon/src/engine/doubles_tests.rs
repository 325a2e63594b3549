//! The life of engines through the real shim and the real builder, with doubles of TensorRT and of the CUDA driver behind.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex, mpsc},
};

use egret_jetson::{
    kernels::cpu::{CpuError, CpuKernels},
    tensorrt::doubles::Double,
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::infer::onnx_file::{Attribute, Network};

const MAJORS: [u32; 2] = [10, 11];

/// y = Relu(Conv(images, w)): `[N,1,4,4]` → `[N,2,4,4]`.
pub(super) fn network() -> Vec<u8> {
    let weights: Vec<f32> = (0..18).map(|i| if i % 2 == 0 { 0.5 } else { -0.25 }).collect();
    let pads = [("pads", Attribute::Ints(vec![1, 1, 1, 1])), ("strides", Attribute::Ints(vec![1, 1]))];
    Network::new(&[1, 4, 4])
        .constant("w", &[2, 1, 3, 3], &weights)
        .node("Conv", &["images", "w"], "c", &pads)
        .node("Relu", &["c"], "y", &[])
        .output("y", &[2, 4, 4])
        .file()
}

pub(super) fn order(max: u32) -> Order {
    Order {
        name: "street".into(),
        onnx: network(),
        path: None,
        kind: "fp32".into(),
        profile: Profile { min: 1, opt: max, max, inputs: vec![Input { name: "images".into(), shape: vec![-1, 1, 4, 4] }] },
        dla: None,
        flags: Flags::default(),
        precision: None,
    }
}

/// The double of the driver under that of TensorRT; nothing where the machine has a real driver.
pub(super) fn site(major: u32) -> Option<(Double, Here)> {
    match CpuKernels::drive() {
        Err(CpuError::NoCompiler(error)) => {
            eprintln!("SKIPPED: no C++ compiler for the double of the driver: {error}");
            return None;
        }
        other => drop(other.expect("the double of the driver")),
    }
    let double = Double::new(major).expect("the double");
    assert!(double.set("driver", 1));
    let here = Here::open(&double.location(), 0).expect("TensorRT and a device");
    if here.device.name() != "CPU" {
        eprintln!("SKIPPED: a real CUDA driver is here");
        return None;
    }
    Some((double, here))
}

/// Follows a build silently; `phases` has what was told.
pub(super) fn asked(phases: &Arc<Mutex<Vec<Phase>>>) -> Asked {
    let phases = Arc::clone(phases);
    let tell: Tell = Arc::new(move |phase: &Phase| phases.lock().expect("no panic").push(phase.clone()));
    Asked { program: "a test", force: false, threads: Some(1), onnxruntime: None, stop: CancellationToken::new(), tell }
}

pub(super) fn silent() -> Asked {
    asked(&Arc::default())
}

fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// What is there without any engine.
const LOCKS: [&str; 2] = ["builder.lock", "store.lock"];

#[test]
fn an_engine_is_built_kept_found_and_measured() {
    for major in MAJORS {
        let Some((_double, here)) = site(major) else { return };
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = Store::new(folder.path());
        let phases = Arc::default();
        let Built { manifest, found } = build(&here, &mut store, &order(8), &asked(&phases)).expect("built");
        assert!(!found && manifest.key.compute_capability == "8.7" && manifest.key.device == "CPU");
        assert_eq!((manifest.layers, manifest.tensors.len(), manifest.inspector.is_some()), (2, 2, true));
        let again = build(&here, &mut store, &order(8), &silent()).expect("there");
        assert!(again.found && again.manifest == manifest, "not built twice");
        assert!(matches!(choose(&mut store, &manifest.key).expect("a look"), Choice::Exact(there) if there == manifest));

        let percent: Vec<u8> = phases.lock().expect("no panic").iter().filter_map(Phase::percent).collect();
        assert!(percent.is_sorted() && percent.last() == Some(&99), "{percent:?}");
        let words: Vec<&str> = phases.lock().expect("no panic").iter().map(Phase::word).collect();
        assert_eq!((words[0], words[1], words[words.len() - 1]), ("reading", "building", "writing"));

        let mut measured = Vec::new();
        let measure = Measure { sizes: Vec::new(), runs: 5, warm_up: 2, stop: CancellationToken::new() };
        bench(&here, &mut store, &manifest, &measure, &mut |figures| measured.push((figures.batch, figures.graph, figures.runs)))
            .expect("measured");
        assert_eq!(measured, [(1, true, 5), (2, true, 5), (4, true, 5), (8, true, 5)]);
        let outside = Measure { sizes: vec![9], ..measure.clone() };
        let outside = bench(&here, &mut store, &manifest, &outside, &mut |_| {}).expect_err("outside").to_string();
        assert_eq!(outside, "engine of street: batches of 9 are outside of its 1 to 8");
        measure.stop.cancel();
        assert!(matches!(
            bench(&here, &mut store, &manifest, &measure, &mut |_| {}),
            Err(BenchError::Engine(EngineError::Stopped))
        ));
    }
}

#[test]
fn timings_of_one_build_serve_the_next() {
    let Some((_double, here)) = site(10) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::new(folder.path());
    let steps = |store: &mut Store, max| {
        let phases = Arc::default();
        build(&here, store, &order(max), &asked(&phases)).expect("built");
        phases.lock().expect("no panic").iter().filter(|phase| phase.word() == "building").count()
    };
    let (first, second) = (steps(&mut store, 8), steps(&mut store, 4));
    assert_eq!(first - second, 2, "two layers need not be timed again");
}

#[test]
fn another_release_or_device_is_told_and_never_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::new(folder.path());
    let Some((double, here)) = site(10) else { return };
    let old = build(&here, &mut store, &order(8), &silent()).expect("built").manifest;
    assert!(double.set("version", 100_300));
    let newer = Here::open(&double.location(), 0).expect("another release");
    let key = order(8).key(&newer);
    let Choice::None(why) = choose(&mut store, &key).expect("a look") else { unreachable!("none fits") };
    assert!(why[0].contains("it is for TensorRT 10.16") && why[0].ends_with("and here is 10.3.0"), "{why:?}");
    // A device that has the same name and is another one all the same: TensorRT knows.
    assert!(double.set("version", 0) && double.set("device", 7));
    let refused = open(&here, &mut store, &old).expect_err("of another device").to_string();
    assert!(refused.contains("incompatible device") && refused.contains("egret engine build street"), "{refused}");
    assert!(double.set("device", 1));
    open(&here, &mut store, &old).expect("its own");
}

#[test]
fn damage_is_found_before_tensorrt_sees_it() {
    let Some((double, here)) = site(11) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::new(folder.path());
    let manifest = build(&here, &mut store, &order(8), &silent()).expect("built").manifest;
    let path = folder.path().join(&manifest.plan.file);
    let whole = fs::read(&path).expect("the plan");
    // Every runtime that is made would be counted.
    assert!(double.set("no_cuda", 1));
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (bytes, words) in [(&whole[..whole.len() - 1], "fewer bytes"), (&flipped[..], "other bytes"), (&[][..], "fewer bytes")] {
        fs::write(&path, bytes).expect("written");
        let refused = open(&here, &mut store, &manifest).expect_err("damaged").to_string();
        assert!(refused.contains(words) && refused.contains("build it anew"), "{refused}");
    }
    assert!(double.set("no_cuda", 0));
    let rebuilt = build(&here, &mut store, &order(8), &silent()).expect("built");
    assert!(!rebuilt.found, "what is damaged is built anew");
    open(&here, &mut store, &rebuilt.manifest).expect("whole again");
}

#[test]
fn a_network_that_the_parser_refuses_is_told_node_by_node() {
    let Some((_double, here)) = site(10) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    // Before anything that would be worth an engine.
    let odd = Network::new(&[1, 4, 4])
        .constant("w", &[1, 1, 1, 1], &[0.5])
        .node("Relu", &["images"], "a", &[])
        .node("NonMaxSuppression", &["a"], "b", &[])
        .node("Einsum", &["b"], "c", &[])
        .node("Conv", &["c", "w"], "y", &[])
        .output("y", &[1, 4, 4])
        .file();
    let order = Order { onnx: odd, ..order(8) };
    let refused = build(&here, &mut Store::new(folder.path()), &order, &silent()).expect_err("refused").to_string();
    for words in
        ["model street", "node 1 \"b\" (NonMaxSuppression)", "node 2 \"c\" (Einsum)", "cannot be cut in two", "run it on the CPU"]
    {
        assert!(refused.contains(words), "{refused}");
    }
    assert_eq!(files(folder.path()), LOCKS);
}

#[test]
fn memory_that_runs_out_leaves_nothing_and_names_the_remedy() {
    let Some((double, here)) = site(10) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::new(folder.path());
    assert!(double.set("build_memory", 500));
    let refused = build(&here, &mut store, &order(8), &silent()).expect_err("2048 bytes are needed").to_string();
    assert!(refused.contains("out of memory") && refused.contains("lower runtime.engine_workspace"), "{refused}");
    assert_eq!(files(folder.path()), LOCKS);
    build(&here, &mut store, &order(1), &silent()).expect("a smaller one fits");
}

#[test]
fn a_build_that_is_stopped_leaves_nothing() {
    for major in MAJORS {
        let Some((_double, here)) = site(major) else { return };
        let folder = tempfile::tempdir().expect("a folder");
        let stop = CancellationToken::new();
        let at_work = stop.clone();
        let tell: Tell = Arc::new(move |phase: &Phase| {
            if phase.word() == "building" {
                at_work.cancel();
            }
        });
        let asked = Asked { stop, tell, ..silent() };
        let stopped = build(&here, &mut Store::new(folder.path()), &order(8), &asked).expect_err("stopped");
        assert!(matches!(stopped, BuildError::Engine(EngineError::Stopped)), "{stopped}");
        assert_eq!(files(folder.path()), LOCKS);
    }
}

#[test]
fn the_second_builder_waits_and_takes_what_the_first_one_built() {
    let Some((_double, here)) = site(10) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (at_work, working) = mpsc::sync_channel(1);
    let (let_go, going) = mpsc::sync_channel::<()>(0);
    let going = Mutex::new(going);
    let first: Tell = Arc::new(move |phase: &Phase| {
        if *phase == Phase::Reading {
            at_work.send(()).expect("the test waits");
            // Until the other one has gone to wait.
            let _ = going.lock().expect("no panic").recv();
        }
    });
    let let_go = Mutex::new(Some(let_go));
    let second: Tell = Arc::new(move |phase: &Phase| {
        if let Phase::Waiting(holder) = phase {
            assert_eq!(holder.to_string(), format!("`a test` (process {}, model street)", std::process::id()));
            let_go.lock().expect("no panic").take();
        }
    });
    let run = |tell| {
        let (here, folder) = (here.clone(), folder.path().to_owned());
        std::thread::spawn(move || build(&here, &mut Store::new(&folder), &order(8), &Asked { tell, ..silent() }))
    };
    let first = run(first);
    working.recv().expect("it builds");
    let second = run(second);
    let (first, second) = (first.join().expect("no panic").expect("built"), second.join().expect("no panic").expect("found"));
    assert!(!first.found && second.found && first.manifest == second.manifest);
}

/// Where the child that is killed puts its engines.
const FOLDER: &str = "EGRET_TEST_ENGINES";

/// The child: builds one engine after the other and says how far it is, until it is killed.
#[test]
#[ignore = "the other test runs it"]
fn builds_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let Some((_double, here)) = site(10) else { return };
    let mut store = Store::new(Path::new(&folder));
    let tell: Tell = Arc::new(|phase: &Phase| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nat {}", phase.word()).and_then(|()| out.flush()).expect("told");
    });
    for _ in 0.. {
        let asked = Asked { force: true, tell: Arc::clone(&tell), ..silent() };
        build(&here, &mut store, &order(8), &asked).expect("built");
    }
}

/// Kills the child after so many of its words.
fn kill_after(folder: &Path, words: usize) {
    let test = concat!(module_path!(), "::builds_until_it_is_killed");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", test.split_once("::").expect("behind the crate").1, "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("its words")).lines().map_while(Result::ok);
    let said = lines.filter(|line| line.starts_with("at ")).take(words).count();
    // SIGKILL.
    child.kill().expect("killed");
    child.wait().expect("gone");
    assert_eq!(said, words);
}

#[test]
fn a_builder_that_is_killed_leaves_a_folder_that_the_next_one_uses() {
    let Some((_double, here)) = site(10) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::new(folder.path());
    // Within the first build there is none yet; later the one before stays until the next one is whole.
    for words in [1, 2, 4, 7, 9, 10, 13, 17, 18] {
        kill_after(folder.path(), words);
        for listed in store.all().expect("a list") {
            open(&here, &mut store, &listed.manifest.expect("whole")).expect("an engine");
        }
    }
    let asked = Asked { force: true, ..silent() };
    let built = build(&here, &mut store, &order(8), &asked).expect("nobody holds it any more").manifest;
    let stem = built.key.stem();
    let mut wanted = vec![format!("{stem}.json"), built.plan.file.clone()];
    wanted.extend(LOCKS.map(ToOwned::to_owned));
    let mut there = files(folder.path());
    there.retain(|name| !name.starts_with("timings-"));
    wanted.sort();
    assert_eq!(there, wanted, "nothing of those that were killed is left");
}

#[test]
fn a_folder_without_room_or_right_is_told_before_the_build() {
    let Some((_double, here)) = site(10) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let full = Store::new(folder.path()).ready("street", u64::MAX / 2).expect_err("nobody has as much").to_string();
    assert!(full.contains("MiB are free") && full.contains("runtime.engines"), "{full}");
    let phases = Arc::default();
    let refused =
        build(&here, &mut Store::new(Path::new("/proc/engines")), &order(8), &asked(&phases)).expect_err("no folder there");
    assert!(refused.to_string().starts_with("/proc/engines: "), "{refused}");
    assert!(phases.lock().expect("no panic").is_empty(), "nothing was begun");
}
