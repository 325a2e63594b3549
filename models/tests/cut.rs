//! Networks that were cut in two, judged by `onnx.checker` and run in ONNX Runtime in Python beside the whole.
#![allow(clippy::unwrap_used)]

use std::{env, ffi::OsString, fs, path::Path, process::Command};

use egret_models::onnx::{
    cut::{Cut, CutOptions, Objection, cut, objections_to},
    edit::Model,
};
use serde_json::Value;

const TOOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/cut_check.py");
const STREET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/street/street.onnx");

fn python() -> Option<OsString> {
    let python = env::var_os("EGRET_REFERENCE_PYTHON");
    if python.is_none() {
        eprintln!("SKIPPED: EGRET_REFERENCE_PYTHON names no Python with numpy, onnx and onnxruntime");
    }
    python
}

fn read(path: &Path) -> Model {
    Model::read(&fs::read(path).unwrap()).unwrap()
}

/// What Python says of the parts.
fn check(python: &OsString, folder: &Path, whole: &Path, cut: &Cut) -> Value {
    let (engine, tail) = (folder.join("engine.onnx"), folder.join("tail.onnx"));
    fs::write(&engine, cut.engine.write()).unwrap();
    fs::write(&tail, cut.tail.write()).unwrap();
    let output = Command::new(python).arg(TOOL).args([whole, &engine, &tail]).output().unwrap();
    assert!(output.status.success(), "{cut}\n{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    eprintln!("{cut}\n{found}");
    assert_eq!(found["max_error"], 0.0, "{cut}");
    // Optimisers fuse other nodes where there is a cut.
    assert!(found["optimised_error"].as_f64() < Some(1e-3), "{cut}: {found}");
    found
}

fn index(model: &Model, name: &str) -> usize {
    model.graph.nodes.iter().position(|node| node.name == name).unwrap()
}

#[test]
fn post_processing_that_is_refused_runs_behind_the_engine() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(&python).args([TOOL, "make"]).arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let path = folder.path().join("nms.onnx");
    let model = read(&path);
    let nms = index(&model, "nms");
    let reason = "no importer registered for op: NonMaxSuppression".to_owned();
    let objection = Objection { node: Some(nms), name: "nms".into(), op: "NonMaxSuppression".into(), reason };
    let parts = cut(&model, &[objection], &CutOptions::default()).unwrap();
    let found = check(&python, folder.path(), &path, &parts);
    assert_eq!(found["frames"], serde_json::json!([1, 3]));
    assert_eq!(found["tail"][0], serde_json::json!(["boxes", "by_class"]));
    assert_eq!(found["engine"][1], serde_json::json!(["boxes", "by_class", "scores"]));
    assert_eq!(
        parts.to_string(),
        format!(
            "cut at tensors `boxes` (float32 [batch,64,4], 1024 bytes a frame), `by_class` (float32 [batch,3,64], 768 bytes a frame) because \
             node {nms} `nms` (NonMaxSuppression): no importer registered for op: NonMaxSuppression. 13 nodes run in the engine, 3 in \
             ONNX Runtime, 1792 bytes a frame between them"
        )
    );

    let path = folder.path().join("sizes.onnx");
    for (operator, tail_reads) in [("GatherElements", "\"sizes\""), ("TopK", "\"sizes\""), ("Mod", "\"flat\""), ("Sigmoid", "")] {
        let parts = cut(&read(&path), &objections_to(&[operator], "not wanted"), &CutOptions::default()).unwrap();
        let found = check(&python, folder.path(), &path, &parts);
        assert!(found["tail"][0].to_string().contains(tail_reads), "{operator}: {found}");
        assert!(found["engine"][0] == serde_json::json!(["images"]) || operator == "Mod", "{operator}: {found}");
    }
}

#[test]
fn networks_are_the_same_wherever_they_are_cut() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let data = env::var("EGRET_TEST_DATA").unwrap_or_else(|_| default.into());
    let nano = Path::new(&data).join("models/yolox_nano.onnx");
    if !nano.exists() {
        eprintln!("SKIPPED in part: no {} (set EGRET_TEST_DATA)", nano.display());
    }
    for path in [Path::new(STREET), &nano].into_iter().filter(|path| path.exists()) {
        let model = read(path);
        let count = model.graph.nodes.len();
        // By name: the place is told wrongly.
        let places = if path == nano { vec![count / 2] } else { vec![count / 3, count - 4] };
        for place in places {
            let node = &model.graph.nodes[place];
            let objection = Objection { node: Some(0), name: node.name.clone(), op: node.op.clone(), reason: "a test".into() };
            let options = CutOptions { max_frame_bytes: 64 << 20, ..CutOptions::default() };
            let parts = cut(&model, &[objection], &options).unwrap();
            check(&python, folder.path(), path, &parts);
        }
    }
}
