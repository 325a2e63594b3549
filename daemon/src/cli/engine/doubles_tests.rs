//! The commands with doubles of TensorRT and of the CUDA driver behind; what they print is what docs/engines.md shows.

use std::{fs, path::PathBuf};

use egret_jetson::{
    kernels::cpu::{CpuError, CpuKernels},
    tensorrt::doubles::Double,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::infer::onnx_file::{Attribute, Network};

struct Desk {
    double: Double,
    folder: tempfile::TempDir,
}

/// A detector that is two convolutions.
fn network() -> Vec<u8> {
    let strides = || [("strides", Attribute::Ints(vec![16, 16])), ("kernel_shape", Attribute::Ints(vec![16, 16]))];
    Network::new(&[3, 64, 64])
        .constant("w", &[1, 3, 16, 16], &[1e-4; 768])
        .constant("v", &[4, 3, 16, 16], &[1e-4; 4 * 768])
        .node("Conv", &["images", "w"], "c", &strides())
        .node("Sigmoid", &["c"], "coverage", &[])
        .node("Conv", &["images", "v"], "edges", &strides())
        .output("coverage", &[1, 4, 4])
        .output("edges", &[4, 4, 4])
        .file()
}

const MANIFEST: &str = "name = \"yard\"\nfile = \"yard.onnx\"\n[input]\nname = \"images\"\nwidth = 64\nheight = 64\n\
    [output]\nnames = [\"coverage\", \"edges\"]\n[task]\nkind = \"detect\"\n[head]\nkind = \"detectnet-v2\"\n\
    [thresholds]\nconfidence = 0.4\n[classes]\nnames = [\"thing\"]\n";

fn desk() -> Option<Desk> {
    match CpuKernels::drive() {
        Err(CpuError::NoCompiler(error)) => {
            eprintln!("SKIPPED: no C++ compiler for the double of the driver: {error}");
            return None;
        }
        other => drop(other.expect("the double of the driver")),
    }
    let double = Double::new(10).expect("the double");
    assert!(double.set("driver", 1));
    if egret_jetson::Device::open(0).expect("a device").name() != "CPU" {
        eprintln!("SKIPPED: a real CUDA driver is here");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let desk = Desk { double, folder };
    fs::create_dir(desk.path("engines")).expect("a folder");
    fs::write(desk.path("yard.onnx"), network()).expect("written");
    fs::write(desk.path("model.toml"), MANIFEST).expect("written");
    desk.configure("[[model]]\nname = \"yard\"\nfile = \"yard.onnx\"\nmax_batch = 4\n");
    Some(desk)
}

impl Desk {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, models: &str) {
        let text = format!("device = \"test\"\n[mqtt]\nurl = \"mqtt://localhost\"\n{models}");
        fs::write(self.path("egret.toml"), text).expect("written");
    }

    fn place(&self) -> args::Place {
        args::Place {
            config: Some(self.path("egret.toml")),
            engines: Some(self.path("engines")),
            tensorrt: self.double.location().folder,
            gpu: 0,
        }
    }

    /// What a command prints, and whether all is well.
    fn told(command: impl FnOnce(&mut Vec<u8>) -> anyhow::Result<ExitCode>) -> (String, bool) {
        let mut out = Vec::new();
        let good = match command(&mut out) {
            Ok(code) => code == ExitCode::SUCCESS,
            Err(error) => unreachable!("{error}"),
        };
        let text = String::from_utf8(out).expect("text");
        eprintln!("{text}");
        (text, good)
    }

    fn build(&self, change: impl FnOnce(&mut args::Build)) -> (String, bool) {
        let mut args = args::Build { place: self.place(), ..args::Build::default() };
        change(&mut args);
        Self::told(|out| build::run(&args, out))
    }

    fn list(&self, json: bool) -> (String, bool) {
        Self::told(|out| list::run(&args::List { place: self.place(), json }, out))
    }

    fn prune(&self, dry_run: bool) -> (String, bool) {
        Self::told(|out| prune::run(&args::Prune { place: self.place(), dry_run, json: false }, out))
    }
}

#[test]
fn an_engine_from_its_build_to_its_end() {
    let Some(desk) = desk() else { return };
    let (text, good) = desk.build(|_| {});
    assert!(good && text.contains("yard: engine ") && text.contains("was built in 0 s") && text.contains("1 to 4"), "{text}");
    assert!(desk.build(|_| {}).0.contains("is there already"));
    let value: Value = serde_json::from_str(&desk.build(|args| args.json = true).0).expect("JSON");
    assert_eq!((value[0]["found"].as_bool(), value[0]["model"].as_str()), (Some(true), Some("yard")));

    let (text, good) = desk.list(false);
    assert!(
        good && text.lines().count() == 2 && text.contains("CPU, TensorRT 10.16") && text.trim_end().ends_with("ok"),
        "{text}"
    );
    let inspect = |layers, json| {
        let args = args::Inspect { engine: "yard".into(), place: desk.place(), layers, json };
        Desk::told(|out| inspect::run(&args, out))
    };
    let (text, good) = inspect(true, false);
    assert!(good && text.contains("compute capability 8.7") && text.contains("layer        edges"), "{text}");
    let whole: Value = serde_json::from_str(&inspect(false, true).0).expect("JSON");
    assert_eq!(whole["key"]["profile"]["max"], 4);

    let bench = args::Bench { engine: "yard".into(), place: desk.place(), runs: 20, warm_up: 2, ..args::Bench::default() };
    let (text, good) = Desk::told(|out| bench::run(&bench, out));
    assert!(good && text.lines().count() == 5 && text.contains("CUDA graph"), "{text}");

    // One of another profile, which the configured one replaces; then the model is not configured any more.
    desk.build(|args| args.max_batch = Some(2));
    let (text, _) = desk.prune(true);
    assert!(
        text.contains("would remove") && text.contains("took its place") && desk.list(false).0.lines().count() == 3,
        "{text}"
    );
    assert!(desk.prune(false).0.contains("removed") && desk.list(false).0.lines().count() == 2);
    if !std::path::Path::new(crate::config::DEFAULT_FILE).exists() {
        // Where no configuration says which models are wanted, what can run stays.
        let place = args::Place { config: None, ..desk.place() };
        let (text, good) = Desk::told(|out| prune::run(&args::Prune { place, dry_run: false, json: false }, out));
        assert!(good && !text.contains("removed") && desk.list(false).0.lines().count() == 2, "{text}");
    }
    desk.configure("[[model]]\nname = \"a\"\nbuiltin = \"null\"\n");
    assert!(desk.prune(false).0.contains("no configured model has its network"));
    assert!(desk.list(false).0.contains("no engines in"));
}

/// The first network's coverage by way of an operator that the double does not know.
#[test]
fn a_network_that_is_cut_says_where_and_why() {
    let Some(desk) = desk() else { return };
    if let Err(reason) = crate::infer::onnxruntime_library(None) {
        eprintln!("SKIPPED: no ONNX Runtime: {reason} (set EGRET_ONNXRUNTIME)");
        return;
    }
    let mut model = egret_models::onnx::edit::Model::read(&network()).expect("a network");
    model.graph.nodes[1] = egret_models::onnx::edit::Node::new("HardSigmoid", "hard", &["c"], &["coverage"]);
    fs::write(desk.path("yard.onnx"), model.write()).expect("written");
    let why = "cut at tensors `c` (float32 [N,1,4,4], 64 bytes a frame) because node 1 `hard` (HardSigmoid): No importer";
    let (text, good) = desk.build(|_| {});
    assert!(good && text.contains(&format!("yard: {why}")), "{text}");
    let value: Value = serde_json::from_str(&desk.build(|args| args.json = true).0).expect("JSON");
    assert!(value[0]["tail"]["cut"].as_str().is_some_and(|cut| cut.starts_with(why)), "{value}");
    let (text, good) = desk.list(false);
    assert!(good && text.trim_end().ends_with("ok, with a tail in ONNX Runtime"), "{text}");
    let inspect = |json| {
        let args = args::Inspect { engine: "yard".into(), place: desk.place(), layers: false, json };
        Desk::told(|out| inspect::run(&args, out))
    };
    let (text, good) = inspect(false);
    assert!(good && text.contains(&format!("cut          {why}")) && text.contains(".tail, "), "{text}");
    let manifest: Value = serde_json::from_str(&inspect(true).0).expect("JSON");
    let tail = desk.path("engines").join(manifest["tail"]["file"].as_str().expect("a file"));
    assert!(tail.exists() && manifest["tail"]["frame_bytes"] == 64);
    let bench = args::Bench { engine: "yard".into(), place: desk.place(), runs: 2, warm_up: 1, ..args::Bench::default() };
    let (text, good) = Desk::told(|out| bench::run(&bench, out));
    assert!(good && text.contains("without its tail"), "{text}");

    // Without its tail it is no engine, and goes; so does the tail with its engine.
    let bytes = fs::read(&tail).expect("the tail");
    fs::write(&tail, &bytes[1..]).expect("written");
    let (text, good) = desk.list(false);
    assert!(!good && text.contains("fewer bytes than"), "{text}");
    assert!(desk.prune(false).0.contains("fewer bytes than") && !tail.exists());
}

#[test]
fn what_cannot_run_here_is_told_and_pruned() {
    let Some(desk) = desk() else { return };
    desk.build(|_| {});
    assert!(desk.double.set("version", 100_300));
    let (text, good) = desk.list(false);
    assert!(!good && text.contains("and here is 10.3.0"), "{text}");
    let json: Value = serde_json::from_str(&desk.list(true).0).expect("JSON");
    assert_eq!(json[0]["ok"], false);
    let (text, _) = desk.prune(false);
    assert!(text.contains("it is for TensorRT 10.16") && text.contains("timings-") && text.contains("more are free"), "{text}");
    assert!(desk.list(false).0.contains("no engines in"));
}

#[test]
fn builds_that_are_refused_or_stopped() {
    let Some(desk) = desk() else { return };
    let refused = |change: &dyn Fn(&mut args::Build)| {
        let mut args = args::Build { place: desk.place(), ..args::Build::default() };
        change(&mut args);
        build::run(&args, &mut Vec::new()).expect_err("refused").to_string()
    };
    let unknown = refused(&|args| args.models = vec!["nothing".into()]);
    assert!(unknown.contains("no model `nothing` is configured (there are: yard)"), "{unknown}");
    let dla = refused(&|args| args.dla = Some(0));
    assert!(dla.contains("DLA") && dla.contains("choose the GPU"), "{dla}");
    assert!(desk.double.set("build_memory", 10));
    assert!(refused(&|_| {}).contains("--workspace"));
    assert!(desk.double.set("build_memory", -1));
    let stop = CancellationToken::new();
    stop.cancel();
    let args = args::Build { place: desk.place(), ..args::Build::default() };
    let config = desk.place().config().expect("a configuration");
    let built = build::prepare(&args, &config, stop).expect("prepared").build();
    assert!(matches!(&built[..], [Err(crate::engine::BuildError::Engine(crate::engine::EngineError::Stopped))]));
}

#[test]
fn an_engine_for_the_dla_says_what_the_gpu_does() {
    let Some(desk) = desk() else { return };
    assert!(desk.double.set("dla_cores", 2));
    let (text, good) = desk.build(|args| (args.dla, args.gpu_fallback) = (Some(1), true));
    assert!(good && text.contains("DLA core 1, the GPU for the rest") && text.contains("batches of 4,"), "{text}");
    let args = args::Inspect { engine: "yard".into(), place: desk.place(), layers: false, json: false };
    let (text, _) = Desk::told(|out| inspect::run(&args, out));
    assert!(text.contains("of 3 layers can run on the DLA"), "{text}");
}
