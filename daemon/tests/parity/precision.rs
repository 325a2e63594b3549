//! Average precision of two sets of detections, by `egret eval`.

use std::{collections::BTreeMap, fs, path::Path};

use egret::{
    config::{CpuRuntime, RuntimeConfig},
    eval::{self, Data, Options},
};
use egret_models::spec::COCO_80;
use serde_json::{Value, json};

use crate::{boxes::Found, frames::Clip};

/// A name, and boxes by the name of their picture.
pub(crate) type Set<'a> = (&'a str, &'a [(String, Vec<Found>)]);

/// AP and AP50 of each set, whose frames bear the annotated pictures' names.
pub(crate) fn average(clip: &Clip, annotations: &Path, sets: [Set<'_>; 2]) -> [(f64, f64); 2] {
    let truth: Value = serde_json::from_slice(&fs::read(annotations).expect("annotations")).expect("valid annotations");
    let ids = |list: &str, key: &str| -> BTreeMap<String, u64> {
        let entries = truth[list].as_array().expect("a list").iter();
        entries.map(|e| (e[key].as_str().expect("a name").to_owned(), e["id"].as_u64().expect("an id"))).collect()
    };
    let (images, categories) = (ids("images", "file_name"), ids("categories", "name"));
    let row = |name: &str, found: &Found| {
        let [x1, y1, x2, y2] = found.bbox.map(f64::from);
        json!({"image_id": images[name], "category_id": categories[COCO_80[usize::from(found.class)]],
            "bbox": [x1, y1, x2 - x1, y2 - y1], "score": found.score})
    };
    let results = sets.map(|(file, frames)| {
        let rows: Vec<Value> = frames.iter().flat_map(|(name, found)| found.iter().map(move |f| row(name, f))).collect();
        let path = clip.folder().join(file).with_extension("json");
        fs::write(&path, Value::from(rows).to_string()).expect("a writable temporary directory");
        path
    });
    let options = Options {
        models: Vec::new(),
        results: results.into(),
        results_only: false,
        data: Data::Images { folder: None, annotations: Some(annotations.to_owned()), skip_missing: false },
        confidence: 0.0,
        nms: 0.65,
        pictures: 0,
        runtime: RuntimeConfig { cpu: CpuRuntime::Auto, onnxruntime_library: None, ..RuntimeConfig::default() },
    };
    let report = eval::run(&options, &mut |_, _| {}).expect("an evaluation");
    [0, 1].map(|i| {
        let total = report.rows[i].evaluation.as_ref().expect("labelled").total;
        (total.ap.expect("a figure"), total.ap50.expect("a figure"))
    })
}
