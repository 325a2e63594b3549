//! What is converted here, judged by `onnx.checker` and ONNX Runtime in Python.
#![allow(clippy::unwrap_used)]

use std::{env, fs, path::PathBuf, process::Command};

use egret_models::{
    onnx::edit::Model,
    precision::{Fp16Options, Plan, QdqOptions, convert, prepare},
};
use serde_json::Value;

const TOOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/onnx_check.py");
const STREET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/street/street.onnx");

/// The networks at hand: the street detector, and YOLOX-nano where the shared data is.
fn networks() -> Vec<(&'static str, PathBuf)> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let data = env::var_os("EGRET_TEST_DATA").map_or_else(|| PathBuf::from(default), PathBuf::from);
    let nano = data.join("models/yolox_nano.onnx");
    let mut networks = vec![("street", PathBuf::from(STREET))];
    if nano.exists() {
        networks.push(("yolox_nano", nano));
    } else {
        eprintln!("SKIPPED in part: no {} (set EGRET_TEST_DATA)", nano.display());
    }
    networks
}

/// What Python says of each of `others`, or loudly nothing.
fn check(float: &PathBuf, others: &[PathBuf]) -> Option<Vec<Value>> {
    let Some(python) = env::var_os("EGRET_REFERENCE_PYTHON") else {
        eprintln!("SKIPPED: EGRET_REFERENCE_PYTHON names no Python with numpy, onnx and onnxruntime");
        return None;
    };
    let output = Command::new(python).arg(TOOL).arg(float).args(others).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    Some(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn written_and_halved_files_pass_the_checker_and_agree() {
    let folder = tempfile::tempdir().unwrap();
    for (name, float) in networks() {
        let original = Model::read(&fs::read(&float).unwrap()).unwrap();
        let (mut prepared, mut half, mut all_half) = (original.clone(), original.clone(), original.clone());
        prepare(&mut prepared);
        let report = convert(&mut half, &Fp16Options::default(), None).unwrap();
        assert_eq!((report.kept.len(), report.casts), (0, 2), "{name}: {report:?}");
        // Eleven bits of mantissa: half a unit in the last place of the largest constant.
        let constants = original.graph.initializers.iter().filter_map(egret_models::onnx::edit::Tensor::as_floats).flatten();
        let largest = f64::from(constants.fold(0.0_f32, |max, v| max.max(v.abs())));
        assert!(report.max_error <= largest / 2048.0, "{name}: {report:?}, largest {largest}");
        convert(&mut all_half, &Fp16Options { half_io: true, ..Fp16Options::default() }, None).unwrap();
        let paths =
            [("written", original), ("prepared", prepared), ("half", half), ("all half", all_half)].map(|(kind, model)| {
                let path = folder.path().join(format!("{name} {kind}.onnx"));
                fs::write(&path, model.write()).unwrap();
                path
            });
        let Some(found) = check(&float, &paths) else { return };
        let error = |i: usize, key: &str| found[i][key].as_f64().unwrap();
        for line in &found {
            eprintln!("{name}: {line}");
        }
        assert!(error(0, "max_error") == 0.0 && error(1, "max_error") == 0.0, "{found:?}");
        for i in [2, 3] {
            assert!(error(i, "rms_error") < 0.01 * error(i, "rms"), "{name}: {}", found[i]);
            assert_eq!(found[i]["weights"]["FLOAT16"].as_u64(), Some(report.weights as u64));
        }
        assert_eq!((&found[2]["input"], &found[2]["output"]), (&"FLOAT".into(), &"FLOAT".into()));
        assert_eq!((&found[3]["input"], &found[3]["output"]), (&"FLOAT16".into(), &"FLOAT16".into()));
        let sizes = paths.map(|path| fs::metadata(path).unwrap().len());
        assert!(sizes[2] * 100 < sizes[0] * 55, "{name}: {sizes:?}");
    }
}

#[test]
fn old_operator_sets_compute_what_they_did() {
    let Some(python) = env::var_os("EGRET_REFERENCE_PYTHON") else {
        eprintln!("SKIPPED: EGRET_REFERENCE_PYTHON names no Python with numpy, onnx and onnxruntime");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old.onnx");
    let made = Command::new(python).args([TOOL, "old"]).arg(&old).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let networks = networks().into_iter().map(|(_, path)| path).chain([old]);
    for (i, float) in networks.enumerate() {
        let upgraded = folder.path().join(format!("{i}.onnx"));
        let plan = Plan::new(Model::read(&fs::read(&float).unwrap()).unwrap(), &QdqOptions::default()).unwrap();
        fs::write(&upgraded, plan.model().write()).unwrap();
        let found = check(&float, &[upgraded]).unwrap();
        assert!(found[0]["max_error"].as_f64() <= Some(1e-6) && found[0]["opset"] == 13, "{}: {}", float.display(), found[0]);
    }
}
