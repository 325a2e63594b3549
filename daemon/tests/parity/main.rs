//! The CPU detector beside the published way to run YOLOX (`tests/reference/yolox_reference.py`), on real frames.
//!
//! `EGRET_REFERENCE_PYTHON` names a Python with numpy, opencv-python-headless and onnxruntime; without it, without
//! the shared data or without ONNX Runtime the tests say loudly that they were skipped.

mod boxes;
mod frames;
mod precision;
mod reference;
mod tasks;

use std::{fs, path::Path};

use boxes::{Comparison, Found, compare};
use egret::{
    config::{CpuRuntime, ModelConfig, ModelSource, RuntimeConfig},
    infer::{Cpu, Detector, View, load_cpu},
};
use frames::Clip;
use reference::Reference;

/// Videos and how many frames lie between two that are compared.
const VIDEOS: [(&str, usize); 4] =
    [("pedestrian_survaillance.mp4", 20), ("street_cars.mp4", 20), ("Retail02_short_hevc.mp4", 20), ("car-detection.mp4", 40)];
/// A box is matched down to this confidence, so that one that hovers at the threshold is no loss.
const LOOK_AT: f32 = 0.2;
/// Boxes from here on must be matched.
const COUNTS_FROM: f32 = 0.3;
const NMS: f32 = 0.45;

fn detector(data: &Path, confidence: f32, nms_iou: f32, cpu: CpuRuntime) -> Option<Cpu> {
    let source = ModelSource::Onnx(data.join("models/yolox_nano.onnx"));
    let (confidence, nms_iou) = (Some(confidence), Some(nms_iou));
    let model = ModelConfig { confidence, nms_iou, max_batch: 1, ..ModelConfig::new("nano", source) };
    match load_cpu(&model, &RuntimeConfig { cpu, onnxruntime_library: None, ..RuntimeConfig::default() }) {
        Ok(mut instances) => instances.pop(),
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

fn detect(detector: &mut Cpu, clip: &Clip) -> Vec<(String, Vec<Found>)> {
    let frames = clip.frames().map(|(name, frame)| {
        let detections = detector.detect(&[View::whole(&frame)]).expect("it detects").detections.remove(0);
        (name, detections.iter().map(Found::from).collect())
    });
    frames.collect()
}

/// (a) The identical tensor: the runtime, the head and the suppression.
#[test]
fn identical_tensors_give_identical_boxes() {
    let Some((reference, data)) = reference::find() else { return };
    let Some(mut cpu) = detector(&data, LOOK_AT, NMS, CpuRuntime::OnnxRuntime) else { return };
    let clip = Clip::of_videos(&data, &VIDEOS);
    let theirs = reference.detect(&clip, &data, LOOK_AT, NMS, true);
    let tensors = fs::read(clip.folder().join("tensors.f32")).expect("the reference wrote its tensors");
    let mut worst = (0.0_f32, 0.0_f32, 0);
    for ((tensor, (name, size)), theirs) in tensors.chunks_exact(4 * cpu.tensor_len()).zip(clip.sizes()).zip(&theirs) {
        let tensor: Vec<f32> = tensor.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let ours = cpu.detect_tensor(&tensor).expect("it detects");
        // The reference's boxes are in pixels of the source and may reach beyond it.
        let ratio = (416.0 / size.0 as f32).min(416.0 / size.1 as f32);
        let theirs: Vec<Found> = theirs.iter().map(|found| found.scaled(ratio).clamped((416, 416))).collect();
        assert_eq!(ours.len(), theirs.len(), "{name}: {ours:?} {theirs:?}");
        for (ours, theirs) in boxes::pairs(&ours.iter().map(Found::from).collect::<Vec<_>>(), &theirs) {
            let off = ours.bbox.iter().zip(theirs.bbox).map(|(a, b)| (a - b).abs() / ratio).fold(0.0, f32::max);
            worst = (worst.0.max(off), worst.1.max((ours.score - theirs.score).abs()), worst.2 + 1);
        }
    }
    println!("identical tensors: {} boxes, at most {:.5} px and {:.7} in score apart", worst.2, worst.0, worst.1);
    assert!(worst.2 > 100, "too few boxes to say anything");
    assert!(worst.0 <= 0.01 && worst.1 <= 1e-4);
}

/// (b) The identical I420 frame through the fused letterbox instead of BGR, resize and padding.
#[test]
fn identical_frames_give_nearly_the_same_boxes() {
    let Some((reference, data)) = reference::find() else { return };
    let Some(mut cpu) = detector(&data, LOOK_AT, NMS, CpuRuntime::OnnxRuntime) else { return };
    let clip = Clip::of_videos(&data, &VIDEOS);
    let theirs: Vec<Vec<Found>> = reference.detect(&clip, &data, LOOK_AT, NMS, false);
    let ours = detect(&mut cpu, &clip);
    let mut forth = Comparison::default();
    let mut back = Comparison::default();
    for (((name, ours), (_, size)), theirs) in ours.iter().zip(clip.sizes()).zip(&theirs) {
        let theirs: Vec<Found> = theirs.iter().map(|found| found.clamped(size)).collect();
        compare(name, &theirs, ours, COUNTS_FROM, 0.9, &mut forth);
        compare(name, ours, &theirs, COUNTS_FROM, 0.9, &mut back);
    }
    println!("identical frames: the reference's boxes in ours: {forth}");
    println!("identical frames: our boxes in the reference's: {back}");
    assert!(forth.boxes > 200, "too few boxes to say anything");
    assert!(forth.matched_share() >= 0.97 && back.matched_share() >= 0.97);
    assert!(forth.median_score_difference() <= 0.005);
}

/// (b) The same on annotated pictures, as average precision.
#[test]
fn the_fused_letterbox_costs_no_precision() {
    let Some((reference, data)) = reference::find() else { return };
    let Some(mut cpu) = detector(&data, 0.001, 0.65, CpuRuntime::OnnxRuntime) else { return };
    let images = data.join("images/coco128_a");
    let clip = reference.images(&images.join("images"));
    let theirs: Vec<_> =
        clip.sizes().map(|(name, _)| name.to_owned()).zip(reference.detect(&clip, &data, 0.001, 0.65, false)).collect();
    let ours = detect(&mut cpu, &clip);
    let [theirs, ours] = precision::average(&clip, &images.join("instances.json"), [("reference", &theirs), ("ours", &ours)]);
    println!(
        "average precision on coco128_a: reference {:.4} (AP50 {:.4}), ours {:.4} (AP50 {:.4})",
        theirs.0, theirs.1, ours.0, ours.1
    );
    assert!(theirs.0 > 0.35, "the reference itself is off: the published network has 0.41 here");
    assert!(theirs.0 - ours.0 <= 0.003);
}

/// Detections that were stored long ago, by another decoder: a check on the whole that needs no Python.
#[test]
fn stored_detections_are_found_again() {
    let Some(data) = frames::data() else { return };
    let Some(mut cpu) = detector(&data, LOOK_AT, NMS, CpuRuntime::Auto) else { return };
    for (video, every) in &VIDEOS[..3] {
        let stored = Reference::stored(&data, video);
        let clip = Clip::of_videos(&data, &[(video, *every)]);
        let ours = detect(&mut cpu, &clip);
        let mut comparison = Comparison::default();
        for (i, (name, ours)) in ours.iter().enumerate() {
            compare(name, &stored[i], ours, COUNTS_FROM, 0.7, &mut comparison);
        }
        println!("stored detections of {video}: {comparison}");
        assert!(comparison.matched_share() >= 0.9, "{video}");
        assert!(comparison.median_score_difference() <= 0.05, "{video}");
    }
}
