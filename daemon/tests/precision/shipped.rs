//! The FP16 and INT8 files that ship beside the street detector: `models/street/precision.sh` makes them.

use std::{fs, path::Path};

use egret::{
    config::{CpuRuntime, RuntimeConfig},
    eval::{self, Data, EvalError, Options, Streets},
    store::Store,
};
use egret_models::manifest::{Digest, Manifest, PrecisionKind};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/street");
const FILES: [(&str, PrecisionKind); 2] = [("street-fp16", PrecisionKind::Fp16), ("street-int8", PrecisionKind::Int8)];

#[test]
fn they_are_what_their_manifests_say() {
    let store = Store::new(FOLDER.into());
    let names = FILES.map(|(name, _)| name);
    assert_eq!(store.names().unwrap(), names);
    let float = Manifest::parse(&fs::read_to_string(Path::new(FOLDER).join("model.toml")).unwrap()).unwrap();
    let Digest::Known(of_float) = &float.card.sha256 else { panic!("no digest") };
    for (name, kind) in FILES {
        assert_eq!(store.verify(name).unwrap().problems, [""; 0], "{name}");
        let entry = store.entry(name).unwrap();
        assert_eq!((&entry.manifest.spec, entry.manifest.card.name.as_str()), (&float.spec, name));
        let precision = entry.manifest.precision.unwrap();
        assert_eq!((precision.kind, &precision.from_sha256), (kind, of_float));
        let gate = precision.gate.unwrap();
        assert!(gate.passed && gate.frames == 200 && gate.recall >= 0.97 && gate.precision >= 0.97, "{gate:?}");
        // The model card names both.
        let card = fs::read_to_string(Path::new(FOLDER).join("README.md")).unwrap();
        let Digest::Known(sha256) = &entry.manifest.card.sha256 else { panic!("no digest") };
        assert!(card.contains(sha256), "{name}: the card does not name {sha256}");
    }
}

#[test]
fn they_find_what_the_float_network_finds() {
    let model = |name: &str| Path::new(FOLDER).join(name).display().to_string();
    let options = Options {
        models: [model("street.onnx")].into_iter().chain(FILES.map(|(name, _)| model(name))).collect(),
        results: Vec::new(),
        results_only: false,
        data: Data::Streets(Streets { seed: 1_300_000, frames: 8, night: false, rain: false }),
        confidence: 0.001,
        nms: 0.65,
        pictures: 0,
        runtime: RuntimeConfig { cpu: CpuRuntime::OnnxRuntime, onnxruntime_library: None, ..RuntimeConfig::default() },
    };
    let report = match eval::run(&options, &mut |_, _| {}) {
        Err(EvalError::Load(error)) if error.to_string().contains("ONNX Runtime cannot be loaded") => {
            eprintln!("SKIPPED: {error}");
            return;
        }
        report => report.unwrap(),
    };
    let precisions: Vec<&str> = report.rows.iter().map(|row| row.precision.as_str()).collect();
    assert_eq!(precisions, ["fp32", "fp16", "int8"]);
    let float = report.rows[0].evaluation.as_ref().unwrap().total.ap50.unwrap();
    for row in &report.rows[1..] {
        let (ap50, total) = (row.evaluation.as_ref().unwrap().total.ap50.unwrap(), &row.agreement.as_ref().unwrap().total);
        eprintln!("{}: AP50 {ap50:.4} (float {float:.4}), {total:?}", row.name);
        assert!(row.verdict.as_ref().unwrap().passed() && total.reference > 20, "{}: {total:?}", row.name);
        assert!((ap50 - float).abs() < 0.03, "{}: AP50 {ap50}, float {float}", row.name);
    }
}
