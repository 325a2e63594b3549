//! A network's way to INT8 and FP16, as `egret model quantize` and `egret model fp16` go it: the demo's street detector, on drawn
//! streets that it was not trained on.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used)]

mod shipped;
mod site;

use std::{
    env, fs,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use egret::{
    config::{CpuRuntime, RuntimeConfig},
    precision::{FpOptions, From, Outcome, PrecisionFailure, QuantizeOptions, fp16, quantize},
    sim::scene::{Scene, SceneConfig},
};
use egret_models::{
    eval::agreement::Gate,
    manifest::Manifest,
    onnx::{self, edit::Model},
    precision::{Fp16Options, Method, Plan, QdqOptions},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

const STREET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/street/street.onnx");
const TOOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tests/reference/onnx_check.py");

/// JPEG files of pictures of 640×360.
fn pictures(folder: &Path, count: u64, mut picture: impl FnMut(u64) -> Vec<u8>) {
    fs::create_dir_all(folder).unwrap();
    for i in 0..count {
        let i420 = picture(i);
        let (w, h) = (640, 360);
        let (u, v) = (w * h, w * h + w * h / 4);
        let sample = |at: usize| (f32::from(i420[at]) - 16.0) * 255.0 / 219.0;
        let chroma = |at: usize| (f32::from(i420[at]) - 128.0) * 255.0 / 224.0 + 128.0;
        let pixels = (0..w * h).flat_map(|at| {
            let c = at / w / 2 * (w / 2) + at % w / 2;
            [sample(at) as u8, chroma(u + c) as u8, chroma(v + c) as u8]
        });
        let pixels: Vec<u8> = pixels.collect();
        let encoder = jpeg_encoder::Encoder::new_file(folder.join(format!("{i:03}.jpg")), 90).unwrap();
        encoder.encode(&pixels, w as u16, h as u16, jpeg_encoder::ColorType::Ycbcr).unwrap();
    }
}

/// Pictures of a street, a second apart, as files.
fn street(folder: &Path, seed: u64, count: u64) {
    let mut scene = Scene::new(SceneConfig { seed, ..SceneConfig::default() });
    pictures(folder, count, |i| scene.frame(30 + 15 * i).0);
}

/// Four pictures each of so many streets.
fn streets(first: u64, count: u64) -> From {
    From::path(Path::new(&format!("scene:{first}..{}", first + count)), Duration::from_secs(1)).unwrap()
}

fn folder(path: &Path) -> From {
    From::path(path, Duration::from_secs(1)).unwrap()
}

/// Pictures of nothing: each pixel by itself.
fn noise(folder: &Path, count: u64) {
    pictures(folder, count, |i| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(i + 1);
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..640 * 360 * 3 / 2).map(|_| next()).collect()
    });
}

fn options(from: From, holdout: From, out: PathBuf) -> QuantizeOptions {
    QuantizeOptions {
        model: STREET.into(),
        from,
        frames: 100,
        holdout: Some(holdout),
        method: Method::Percentile(99.99),
        qdq: QdqOptions::default(),
        gate: Gate::default(),
        most_float: 0.5,
        out,
        runtime: RuntimeConfig { cpu: CpuRuntime::OnnxRuntime, onnxruntime_library: None, ..RuntimeConfig::default() },
        stop: CancellationToken::new(),
    }
}

/// What came of it, or loudly nothing where there is no ONNX Runtime.
fn tried(result: Result<Outcome, PrecisionFailure>) -> Option<Outcome> {
    match result {
        Err(error @ PrecisionFailure::NoRuntime { .. }) => {
            assert!(error.to_string().contains("EGRET_ONNXRUNTIME"), "{error}");
            eprintln!("SKIPPED: {error}");
            None
        }
        result => {
            let outcome = result.unwrap();
            let mut table = Vec::new();
            egret::precision::write_table(&mut table, &outcome).unwrap();
            eprintln!("{}", String::from_utf8(table).unwrap());
            Some(outcome)
        }
    }
}

fn told(text: &str) {
    eprintln!("{text}");
}

#[test]
fn the_street_detector_becomes_int8_and_fp16() {
    let folder = tempfile::tempdir().unwrap();
    let int8 = folder.path().join("int8/street.onnx");
    fs::create_dir(int8.parent().unwrap()).unwrap();
    let options = options(streets(2_000_000, 4), streets(3_000_000, 4), int8.clone());
    let Some(outcome) = tried(quantize(&options, &mut told)) else { return };
    assert_eq!(outcome.reasons, [""; 0]);
    let total = &outcome.judged().unwrap().agreement.total;
    assert!(total.reference > 30 && total.recall >= Some(0.97) && total.precision >= Some(0.97), "{total:?}");
    // What was written says how it was made, in itself and beside.
    let bytes = fs::read(&int8).unwrap();
    let graph = onnx::read(&bytes).unwrap();
    let property = |key: &str| graph.metadata.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
    assert_eq!((property("egret.precision"), property("names")), (Some("int8"), Some("person,bicycle,car")));
    assert!(property("egret.gate").is_some_and(|gate| gate.starts_with("passed=true frames=16")), "{:?}", graph.metadata);
    let manifest = Manifest::parse(&fs::read_to_string(int8.with_file_name("model.toml")).unwrap()).unwrap();
    assert_eq!(manifest.contradictions(&graph), []);
    let precision = manifest.precision.unwrap();
    assert_eq!(
        (precision.calibration_frames, precision.calibration_sha256.as_deref()),
        (Some(16), property("egret.calibration_sha256"))
    );
    let half = fp16_of(&options, folder.path());
    street(folder.path(), 3_000_000, 1);
    check(&[int8, half], &folder.path().join("000.jpg"));
}

/// The FP16 file of the same network.
fn fp16_of(int8: &QuantizeOptions, folder: &Path) -> PathBuf {
    let out = folder.join("fp16/street.onnx");
    fs::create_dir(out.parent().unwrap()).unwrap();
    let options = FpOptions {
        model: int8.model.clone(),
        fp16: Fp16Options::default(),
        from: Some(int8.from.clone()),
        frames: int8.frames,
        holdout: int8.holdout.clone(),
        gate: int8.gate,
        out: out.clone(),
        runtime: int8.runtime.clone(),
        stop: int8.stop.clone(),
    };
    let outcome = tried(fp16(&options, &mut told)).unwrap();
    assert_eq!((outcome.reasons.len(), outcome.kept.len()), (0, 0), "{:?}", outcome.kept);
    assert!(outcome.judged().unwrap().agreement.total.mean_drift < Some(0.002));
    out
}

/// `onnx.checker` and ONNX Runtime in Python, beside the float network, on a picture.
fn check(files: &[PathBuf], picture: &Path) {
    let Some(python) = env::var_os("EGRET_REFERENCE_PYTHON") else {
        eprintln!("SKIPPED in part: EGRET_REFERENCE_PYTHON names no Python with numpy, onnx and onnxruntime");
        return;
    };
    let output = Command::new(python).arg(TOOL).arg(STREET).args(files).arg(picture).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let found: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (line, most) in found.iter().zip([0.15, 0.01]) {
        eprintln!("{line}");
        let share = line["rms_error"].as_f64().unwrap() / line["rms"].as_f64().unwrap();
        assert!(share < most, "{share} of the output's size: {line}");
    }
    assert!(found[0]["weights"]["INT8"].as_u64() > Some(20) && found[1]["weights"]["FLOAT16"].as_u64() > Some(20), "{found:?}");
}

/// Some layers of the street detector alone are to be quantized, where the rest only takes time.
fn only(layers: Range<usize>) -> QdqOptions {
    let plan = Plan::new(Model::read(&fs::read(STREET).unwrap()).unwrap(), &QdqOptions::default()).unwrap();
    let others = plan.layers().iter().enumerate().filter(|(i, _)| !layers.contains(i));
    QdqOptions { keep_float: others.map(|(_, layer)| layer.name.clone()).collect(), ..QdqOptions::default() }
}

#[test]
fn a_calibration_on_noise_is_refused_and_says_why() {
    let place = tempfile::tempdir().unwrap();
    let noisy = place.path().join("noise");
    noise(&noisy, 8);
    let out = place.path().join("int8.onnx");
    let options = QuantizeOptions { qdq: only(23..33), ..options(folder(&noisy), streets(3_000_000, 2), out.clone()) };
    let Some(outcome) = tried(quantize(&options, &mut told)) else { return };
    assert!(outcome.written.is_none() && !out.exists() && !place.path().join("model.toml").exists());
    let reasons = outcome.reasons.join("\n");
    assert!(reasons.contains("of its values are beyond") || reasons.contains("finds 0.00 boxes"), "{reasons}");
    // Without other pictures to judge on, noise is all there is, and nothing can be said of it.
    let alone = QuantizeOptions { holdout: None, ..options };
    match quantize(&alone, &mut told) {
        Ok(outcome) => assert!(outcome.reasons[0].contains("found nothing"), "{:?}", outcome.reasons),
        Err(error) => assert!(matches!(error, PrecisionFailure::TooFew { .. }), "{error}"),
    }
    assert!(!out.exists());
}

/// A gate that some layers of a few keep shut: they are ranked, and the worst stay in float.
#[test]
fn the_worst_layers_stay_in_float_until_the_gate_holds() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("int8.onnx");
    let drift = |drift, layers, most_float| QuantizeOptions {
        qdq: only(layers),
        gate: Gate { recall: 0.0, precision: 0.0, drift, ..Gate::default() },
        most_float,
        ..options(streets(2_000_000, 2), streets(3_000_000, 2), out.clone())
    };
    let asked = only(0..4).keep_float;
    let Some(searched) = tried(quantize(&drift(0.006, 0..4, 0.8), &mut told)) else { return };
    assert_eq!((searched.ranked.len(), searched.written.is_some()), (4, true), "{:?}", searched.reasons);
    assert!(searched.all_converted.as_ref().unwrap().agreement.total.mean_drift > Some(0.006));
    assert!(searched.judged().unwrap().agreement.total.mean_drift <= Some(0.006));
    let float: Vec<&String> = searched.float_nodes().iter().filter(|name| !asked.contains(name)).collect();
    let worst: Vec<&String> = searched.ranked.iter().map(|ranked| &ranked.layer).take(float.len()).collect();
    assert!((1..=3).contains(&float.len()) && float == worst, "{float:?}, {worst:?}");
    assert_eq!(searched.float_nodes().len(), asked.len() + float.len(), "what was asked for stays in float too");
    fs::remove_file(&out).unwrap();
    // Nothing is good enough for this one.
    let refused = tried(quantize(&drift(0.0, 0..2, 0.5), &mut told)).unwrap();
    let reasons = refused.reasons.join("\n");
    assert!(!out.exists() && reasons.contains("with the worst 1 of 2 layers in float"), "{reasons}");
}

#[test]
fn pictures_that_were_held_out_are_never_calibrated_on() {
    let place = tempfile::tempdir().unwrap();
    let all = place.path().join("all");
    street(&all, 2_000_000, 8);
    match quantize(&options(folder(&all), folder(&all), place.path().join("int8.onnx")), &mut told) {
        Err(PrecisionFailure::NoRuntime { reason }) => eprintln!("SKIPPED: {reason}"),
        Err(PrecisionFailure::TooFew { count: 0, what: "calibration frames", .. }) => {}
        other => panic!("{:?}", other.map(|outcome| outcome.reasons)),
    }
}

#[test]
fn what_was_stopped_writes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let options = options(streets(2_000_000, 2), streets(3_000_000, 2), place.path().join("int8.onnx"));
    options.stop.cancel();
    match quantize(&options, &mut told) {
        Err(PrecisionFailure::NoRuntime { reason }) => eprintln!("SKIPPED: {reason}"),
        Err(PrecisionFailure::Stopped) => {}
        other => panic!("{:?}", other.map(|outcome| outcome.reasons)),
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}
