//! Starts of a daemon, one after the other, over doubles of TensorRT and of the CUDA driver.

mod memory;
mod tail;
mod together;

use std::{collections::BTreeMap, env, fs, path::Path, thread};

use egret_jetson::{
    kernels::{
        Nvrtc, Target,
        cpu::{CpuError, CpuKernels, Driver},
    },
    tensorrt::doubles::Double,
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    config::{CpuRuntime, EnginesConfig},
    engine::{Board, EngineState, Manifest},
    infer::{
        Loaded, Trial, View,
        onnx_file::{Attribute, Network},
        succeed,
        swap::tests::frame,
        tensorrt::LANES,
    },
};

const SIDE: i64 = 64;
const CELL: i64 = 16;

/// Sees something in every cell of every picture: coverage of about a half, and boxes of 14 pixels.
fn network() -> Vec<u8> {
    seeing(0.2)
}

/// The same with boxes whose edges are so far from the middles of their cells, in units of 35 pixels.
fn seeing(edge: f32) -> Vec<u8> {
    let strides = || [("strides", Attribute::Ints(vec![CELL, CELL])), ("kernel_shape", Attribute::Ints(vec![CELL, CELL]))];
    let each = (3 * CELL * CELL) as usize;
    let weights: Vec<f32> = (0..each).map(|i| ((i * 7 % 23) as f32 - 11.0) * 1e-5).collect();
    let cells = SIDE / CELL;
    Network::new(&[3, SIDE, SIDE])
        .constant("w", &[1, 3, CELL, CELL], &weights)
        .constant("v", &[4, 3, CELL, CELL], &vec![0.0; 4 * each])
        .constant("b", &[1, 4, 1, 1], &[edge; 4])
        .node("Conv", &["images", "w"], "c", &strides())
        .node("Sigmoid", &["c"], "coverage", &[])
        .node("Conv", &["images", "v"], "d", &strides())
        .node("Add", &["d", "b"], "edges", &[])
        .output("coverage", &[1, cells, cells])
        .output("edges", &[4, cells, cells])
        .file()
}

fn manifest() -> String {
    format!(
        "name = \"net\"\nfile = \"net.onnx\"\n[input]\nname = \"images\"\nwidth = {SIDE}\nheight = {SIDE}\norder = \"rgb\"\n\
         fit = \"letterbox\"\n[output]\nnames = [\"coverage\", \"edges\"]\n[task]\nkind = \"detect\"\n[head]\nkind = \"detectnet-v2\"\n\
         stride = {CELL}\nscale = 35.0\noffset = 8.0\n[thresholds]\nconfidence = 0.4\n[classes]\nnames = [\"thing\"]\n"
    )
}

/// Two devices with a disk.
struct Scene {
    double: Double,
    driver: Driver,
    gpus: BTreeMap<u32, Gpu>,
    folder: tempfile::TempDir,
}

fn scene() -> Option<Scene> {
    let driver = match CpuKernels::drive() {
        Err(CpuError::NoCompiler(error)) => {
            eprintln!("SKIPPED: no C++ compiler for the double of the driver: {error}");
            return None;
        }
        other => other.expect("the double of the driver"),
    };
    driver.rest();
    assert!(driver.set("devices", 2));
    let double = Double::new(10).expect("the double");
    assert!(double.set("driver", 1));
    let here = [0, 1].map(|number| Here::open(&double.location(), number).expect("TensorRT and a device"));
    if here[0].device.name() != "CPU" {
        eprintln!("SKIPPED: a real CUDA driver is here");
        return None;
    }
    let folders: Vec<_> = env::var_os(NVRTC).iter().flat_map(env::split_paths).collect();
    let Ok(nvrtc) = Nvrtc::find(&folders, Target { major: 8, minor: 7 }, Some((12, 6))) else {
        eprintln!("SKIPPED: no NVRTC (scripts/nvrtc.sh brings it)");
        return None;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let cache = env::temp_dir().join("egret-test-ptx");
    let cache = PtxCache::new(cache);
    let gpu = |here: Here| {
        let kernels = Kernels::load(here.device.context(), &nvrtc, &cache).expect("kernels");
        Gpu { here, kernels }
    };
    let gpus = (0..).zip(here.map(gpu)).collect();
    fs::write(folder.path().join("net.onnx"), network()).expect("written");
    fs::write(folder.path().join("model.toml"), manifest()).expect("written");
    Some(Scene { double, driver, gpus, folder })
}

impl Scene {
    fn config(&self, max_batch: usize) -> ModelConfig {
        let source = ModelSource::Onnx(self.folder.path().join("net.onnx"));
        ModelConfig { max_batch, workers: 1, ..ModelConfig::new("net", source) }
    }

    fn store(&self) -> Store {
        Store::new(&self.folder.path().join("engines"))
    }

    fn runtime(&self) -> RuntimeConfig {
        let engines = EnginesConfig { folder: Some(self.folder.path().join("engines")), ..EnginesConfig::default() };
        RuntimeConfig { cpu: CpuRuntime::Rten, engines, ..RuntimeConfig::default() }
    }

    /// What a daemon loads at its start.
    fn load(&self, models: &[ModelConfig], runtime: &RuntimeConfig) -> Result<Vec<Loaded>, LoadError> {
        let open = self.gpus.iter().map(|(number, gpu)| ((*number, false), gpu.clone())).collect();
        let prepared = prepare_on(Gpus { runtime, open }, models)?;
        let loading = Loading { runtime, stop: None };
        models.iter().zip(prepared).map(|(model, prepared)| super::super::start(model, loading, prepared)).collect()
    }

    /// The same of the only model.
    fn start(&self, max_batch: usize) -> Loaded {
        self.load(&[self.config(max_batch)], &self.runtime()).expect("loaded").remove(0)
    }

    /// The only engine's manifest and plan.
    fn engine(&self) -> (Manifest, std::path::PathBuf) {
        let all = self.store().all().expect("a list");
        assert_eq!(all.len(), 1);
        let manifest = all.into_iter().next().and_then(|listed| listed.manifest.ok()).expect("whole");
        let plan = self.folder.path().join("engines").join(&manifest.plan.file);
        (manifest, plan)
    }
}

/// Serves until what is prepared is there or not: how that ended, what served first and what at last, and how many batches there were.
fn serve(loaded: Loaded) -> (EngineState, String, String, u64) {
    serve_seeing(loaded, Some(12))
}

/// `boxes`: so many are seen in each picture, whatever serves.
fn serve_seeing(mut loaded: Loaded, boxes: Option<usize>) -> (EngineState, String, String, u64) {
    let first = loaded.info().runtime.clone();
    let Coming { succession, heir, .. } = loaded.coming().remove(0);
    let mut heir = heir.expect("something is prepared");
    let board = Board::new();
    let trial = Trial { enough: 2, ..Trial::new("net", &board, &CancellationToken::new()) };
    let job = thread::spawn(move || succeed(&succession, &mut *heir, &trial));
    let mut instances = loaded.instances();
    let mut seq = 0;
    while !job.is_finished() {
        for (camera, instance) in instances.iter_mut().enumerate() {
            let frame = frame(&format!("cam{camera}"), seq);
            let found = instance.detect(&[View::whole(&frame)]).expect("no batch is lost").detections;
            assert!(boxes.is_none_or(|boxes| found[0].len() == boxes), "the same boxes whatever serves: {}", found[0].len());
        }
        seq += 1;
    }
    job.join().expect("no panic");
    for instance in &mut instances {
        let frame = frame("cam", seq);
        instance.detect(&[View::whole(&frame)]).expect("no batch is lost");
    }
    (board.snapshot().remove(0).1, first, instances[0].spec().runtime.clone(), seq)
}

#[test]
fn a_device_s_first_starts() {
    let Some(site) = scene() else { return };
    // The first one: the CPU serves while the engine is built, and then the engine.
    let (state, first, last, batches) = serve(site.start(4));
    assert_eq!(state, EngineState::Serving);
    assert!(first.starts_with("rten") && last.starts_with("tensorrt 10.") && batches > 2, "{first}, {last}, {batches}");
    let (manifest, plan) = site.engine();
    let verdict = manifest.verdict.expect("compared");
    assert!(verdict.passed && verdict.reason.starts_with("recall 1.0000, precision 1.0000"), "{}", verdict.reason);

    // The second one: it is there.
    let mut loaded = site.start(4);
    let coming = loaded.coming().remove(0);
    assert!(loaded.info().runtime.starts_with("tensorrt") && coming.heir.is_none() && coming.state == EngineState::Serving);
    assert_eq!(loaded.instances().len(), LANES);

    // Another batch size: the older one serves until its successor is there.
    let (state, first, last, _) = serve(site.start(8));
    assert!(state == EngineState::Serving && first.starts_with("tensorrt") && last.starts_with("tensorrt"), "{first}, {last}");
    site.store().remove(&manifest.key.stem()).expect("removed");

    // A flipped byte: the CPU serves again, and what is damaged is built anew.
    let (_, plan_of_8) = site.engine();
    assert!(!plan.exists());
    let mut bytes = fs::read(&plan_of_8).expect("the plan");
    bytes[40] ^= 1;
    fs::write(&plan_of_8, bytes).expect("written");
    let (state, first, last, _) = serve(site.start(8));
    assert!(state == EngineState::Serving && first.starts_with("rten") && last.starts_with("tensorrt"), "{first}, {last}");
}

/// Takes the verdict off an engine, as if the command line had built it.
fn unjudged(site: &Scene) {
    let (mut manifest, _) = site.engine();
    manifest.verdict = None;
    assert!(site.store().note(&manifest).expect("noted"));
}

#[test]
fn an_engine_that_was_built_ahead_of_time_serves_at_once_and_is_compared_then() {
    let Some(site) = scene() else { return };
    serve(site.start(4));
    unjudged(&site);
    let loaded = site.start(4);
    assert!(loaded.instances.iter().all(|instance| instance.reads_device()));
    let (state, first, last, _) = serve(loaded);
    assert!(state == EngineState::Serving && first.starts_with("tensorrt") && last == first, "{state:?}, {first}, {last}");
    assert!(site.engine().0.verdict.expect("compared").passed);
    // What it is to agree with has boxes of another size.
    unjudged(&site);
    let loaded = site.start(4);
    fs::write(site.folder.path().join("net.onnx"), seeing(0.05)).expect("written");
    assert_eq!(loaded.coming[0].state, EngineState::Checking);
    let (state, first, last, _) = serve_seeing(loaded, None);
    assert!(matches!(&state, EngineState::Rejected(reason) if reason.contains("does not agree with rten")), "{state:?}");
    assert!(first.starts_with("tensorrt") && last.starts_with("rten"), "{first}, {last}");
    assert!(site.engine().0.rejected().is_some(), "a restart knows");
}

#[test]
fn what_was_found_bad_is_not_built_again_and_serves_never() {
    let Some(site) = scene() else { return };
    serve(site.start(4));
    let (mut manifest, _) = site.engine();
    manifest.verdict = Some(engine::Verdict { passed: false, at: engine::now(), reason: "recall 0.1".into() });
    assert!(site.store().note(&manifest).expect("noted"));
    let mut loaded = site.start(4);
    let coming = loaded.coming().remove(0);
    assert!(coming.heir.is_none() && loaded.info().runtime.starts_with("rten"));
    assert_eq!(coming.state, EngineState::Rejected("recall 0.1".into()));
}

#[test]
fn a_device_that_fails_in_the_engine_s_first_batches_serves_on_with_the_cpu() {
    let Some(site) = scene() else { return };
    // The first batches are those that try it out; graphs repeat what comes later.
    assert!(site.double.set("enqueue_fails", 3));
    let (state, _, last, _) = serve(site.start(4));
    assert!(matches!(&state, EngineState::Rejected(reason) | EngineState::Failed(reason) if !reason.is_empty()), "{state:?}");
    assert!(last.starts_with("rten"), "{last}");
    let (manifest, _) = site.engine();
    assert_eq!(manifest.rejected().is_some(), matches!(state, EngineState::Rejected(_)), "a restart knows");
}

#[test]
fn memory_that_runs_out_and_a_folder_that_cannot_be_leave_the_cpu_serving() {
    let Some(site) = scene() else { return };
    assert!(site.double.set("build_memory", 10));
    let (state, _, last, _) = serve(site.start(4));
    let EngineState::Failed(reason) = state else { unreachable!("{state:?}") };
    assert!(
        reason.contains("out of memory") && reason.contains("runtime.engine_workspace") && last.starts_with("rten"),
        "{reason}"
    );
    assert!(site.double.set("build_memory", -1));
    fs::remove_dir_all(site.folder.path().join("engines")).expect("removed");
    fs::write(site.folder.path().join("engines"), "a file where the folder should be").expect("written");
    let only = RuntimeConfig { device: DeviceChoice::Tensorrt, ..site.runtime() };
    let refused = site.load(&[site.config(4)], &only).map(|_| ());
    let told = matches!(&refused, Err(LoadError::NoDevice { reason, .. }) if reason.contains("engines"));
    assert!(told, "told before anything is built");
    assert!(Path::new(&site.folder.path().join("engines")).is_file());
}
