//! Every head beside the published post-processing of its family (`tests/reference/heads`), on outputs of the exact shape of its
//! export. Prints how far apart they are:
//!
//! ```sh
//! cargo nextest run -p egret-models --test heads --no-capture
//! ```
//! `EGRET_REFERENCE_PYTHON` names a Python with numpy; without it the test says loudly that it was skipped.

use std::{collections::BTreeMap, env, fs, path::Path, process::Command};

use egret_models::{
    head::{Extra, Found, Head, HeadSpec, Tensor, Thresholds},
    nms::NmsParams,
    spec::{BatchAxis, InputSpec},
};
use serde::Deserialize;
use tempfile::TempDir;

const TOOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/heads");
const MAX_PIXELS: f32 = 0.01;
const MAX_SCORE: f32 = 1e-5;
/// Pixels at a mask's edge may fall to either side where the sum is within rounding of 0.
const MIN_MASK_AGREEMENT: f64 = 0.9999;

#[derive(Deserialize)]
struct Index {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    head: String,
    spec: HeadSpec,
    width: usize,
    height: usize,
    classes: usize,
    outputs: Vec<Output>,
    confidence: f32,
    iou: f32,
    class_agnostic: bool,
    candidates: usize,
    detections: usize,
    found: Vec<Vec<Expected>>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    shape: Vec<usize>,
    offset: usize,
}

#[derive(Deserialize)]
struct Expected {
    class: u16,
    score: f32,
    bbox: [f32; 4],
    /// Centre, size, angle.
    oriented: Option<[f32; 5]>,
    keypoints: Option<Vec<[f32; 3]>>,
    /// Where it starts in `masks.bits`.
    mask: Option<usize>,
}

/// How far one family is off.
#[derive(Default)]
struct Row {
    cases: usize,
    boxes: usize,
    pixels: f32,
    score: f32,
    mask_pixels: usize,
    mask_differs: usize,
}

/// What the reference wrote.
struct Files {
    tensors: Vec<f32>,
    masks: Vec<u8>,
}

#[test]
fn every_head_reads_as_its_published_post_processing() {
    let Some(python) = env::var_os("EGRET_REFERENCE_PYTHON") else {
        eprintln!("SKIPPED: EGRET_REFERENCE_PYTHON names no Python with numpy");
        return;
    };
    let folder = TempDir::new().expect("a temporary directory");
    let output = Command::new(&python).arg("-B").arg(TOOL).arg(folder.path()).output().expect("EGRET_REFERENCE_PYTHON starts");
    assert!(output.status.success(), "the reference failed: {}", String::from_utf8_lossy(&output.stderr));
    let (index, files) = read(folder.path());
    let mut order = Vec::new();
    let mut table: BTreeMap<&str, Row> = BTreeMap::new();
    for (number, case) in index.cases.iter().enumerate() {
        if !table.contains_key(case.head.as_str()) {
            order.push(case.head.as_str());
        }
        let row = table.entry(&case.head).or_default();
        row.cases += 1;
        compare(case, &format!("case {number}, {}", case.head), &files, row);
    }
    println!("| head | cases | boxes | max box error, px | max score error | mask pixels that differ |");
    println!("|---|---|---|---|---|---|");
    for head in order {
        let Row { cases, boxes, pixels, score, mask_pixels, mask_differs } = &table[head];
        let masks = if *mask_pixels > 0 { format!("{mask_differs} of {mask_pixels}") } else { String::new() };
        println!("| {head} | {cases} | {boxes} | {pixels:.6} | {score:.8} | {masks} |");
        assert!(*boxes >= 20, "{head}: too few boxes to say anything");
        assert!(*pixels <= MAX_PIXELS && *score <= MAX_SCORE, "{head}");
        assert!(*mask_differs as f64 <= (1.0 - MIN_MASK_AGREEMENT) * *mask_pixels as f64, "{head}");
    }
}

fn read(folder: &Path) -> (Index, Files) {
    let file = |name: &str| fs::read(folder.join(name)).expect("the reference wrote it");
    let index = serde_json::from_slice(&file("index.json")).expect("a valid index");
    let tensors = file("tensors.f32").as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    (index, Files { tensors, masks: file("masks.bits") })
}

fn compare(case: &Case, name: &str, files: &Files, row: &mut Row) {
    let input = InputSpec::yolox("images", BatchAxis::Dynamic, case.width, case.height);
    let tensors: Vec<_> = case
        .outputs
        .iter()
        .map(|Output { name, shape, offset }| {
            let data = &files.tensors[*offset..][..shape.iter().product()];
            Tensor { name, shape, data }
        })
        .collect();
    // The batch is open, as in most exports.
    let declared: Vec<Vec<Option<usize>>> =
        case.outputs.iter().map(|o| o.shape.iter().enumerate().map(|(i, d)| (i > 0).then_some(*d)).collect()).collect();
    let declared: Vec<_> = case.outputs.iter().zip(&declared).map(|(o, dims)| (o.name.as_str(), dims.as_slice())).collect();
    let mut head = Head::new(&case.spec, &input, &declared, case.classes).expect(name);
    let Case { iou, class_agnostic, candidates, detections, .. } = *case;
    let nms = NmsParams { iou, class_agnostic, candidates, detections };
    let thresholds = Thresholds { confidence: case.confidence, class_confidence: Vec::new(), nms };
    let mut found = Vec::new();
    head.decode(&tensors, case.found.len(), &thresholds, &mut found).expect(name);
    assert_eq!(found.len(), case.found.len());
    for (ours, theirs) in found.iter().zip(&case.found) {
        compare_picture(case, name, files, (ours, theirs), row);
    }
}

fn compare_picture(case: &Case, name: &str, files: &Files, (ours, theirs): (&[Found], &[Expected]), row: &mut Row) {
    let summary = |class: u16, score: f32, bbox: [f32; 4]| format!("{class} {score:.5} {bbox:.2?}");
    let all = || {
        let ours: Vec<_> = ours.iter().map(|f| summary(f.class, f.score, f.bbox)).collect();
        let theirs: Vec<_> = theirs.iter().map(|f| summary(f.class, f.score, f.bbox)).collect();
        format!("{name}\nours:   {}\ntheirs: {}", ours.join("\n        "), theirs.join("\n        "))
    };
    assert_eq!(ours.len(), theirs.len(), "{}", all());
    let mut left: Vec<&Expected> = theirs.iter().collect();
    for found in ours {
        let distance = |e: &&Expected| largest(&found.bbox, &e.bbox) + 1e3 * (found.score - e.score).abs();
        let same = left.iter().enumerate().filter(|(_, e)| e.class == found.class);
        let nearest = same.min_by(|(_, a), (_, b)| distance(a).total_cmp(&distance(b))).map(|(i, _)| i);
        let expected = left.swap_remove(nearest.ok_or_else(all).expect("a box of this class"));
        row.boxes += 1;
        row.pixels = row.pixels.max(largest(&found.bbox, &expected.bbox));
        row.score = row.score.max((found.score - expected.score).abs());
        compare_extra(case, name, files, (found, expected), row);
    }
    assert!(ours.is_sorted_by(|a, b| a.score >= b.score), "{name}: best first");
}

fn compare_extra(case: &Case, name: &str, files: &Files, (found, expected): (&Found, &Expected), row: &mut Row) {
    match &found.extra {
        Extra::Nothing => {
            assert!(expected.oriented.is_none() && expected.keypoints.is_none() && expected.mask.is_none(), "{name}");
        }
        Extra::Oriented(oriented) => {
            let ([cx, cy], [w, h]) = (oriented.centre, oriented.size);
            let [x, y, width, height, angle] = expected.oriented.expect("an oriented box");
            row.pixels = row.pixels.max(largest(&[cx, cy, w, h], &[x, y, width, height]));
            assert!((oriented.angle - angle).abs() < 1e-5, "{name}: {} {angle}", oriented.angle);
        }
        Extra::Keypoints(points) => {
            let theirs = expected.keypoints.as_ref().expect("key points");
            assert_eq!(points.len(), theirs.len(), "{name}");
            for ([x, y, visibility], theirs) in points.iter().zip(theirs) {
                row.pixels = row.pixels.max((x - theirs[0]).abs()).max((y - theirs[1]).abs());
                row.score = row.score.max((visibility - theirs[2]).abs());
            }
        }
        Extra::Mask(mask) => {
            let theirs = &files.masks[expected.mask.expect("a mask")..][..case.width * case.height / 8];
            let covers = |x: usize, y: usize| theirs[(y * case.width + x) / 8] >> (x % 8) & 1 == 1;
            for y in 0..case.height {
                for x in 0..case.width {
                    let (ours, theirs) = (mask.covers(x as u32, y as u32), covers(x, y));
                    row.mask_pixels += usize::from(ours || theirs);
                    row.mask_differs += usize::from(ours != theirs);
                }
            }
        }
    }
}

fn largest(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
