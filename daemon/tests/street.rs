//! The demo's street detector, through the daemon's own letterbox, runtime, head and suppression, on streets that it never saw.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant, SystemTime};

use egret::{
    config::{CpuRuntime, ModelConfig, ModelSource, RuntimeConfig},
    infer::{Detector, View, load},
    media::{BBox, Capture, Detection, Frame, HostPicture, Pixels, StreamId, TimeBasis, TimeCard},
    sim::scene::{Class, Scene, SceneConfig, TimeOfDay, TruthObject},
};

/// The one confidence of the model card.
const CONFIDENCE: f32 = 0.4;

fn detector() -> Box<dyn Detector> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/street/street.onnx");
    let model = ModelConfig {
        classes: Some(["person", "bicycle", "car"].map(String::from).to_vec()),
        confidence: Some(CONFIDENCE),
        max_batch: 1,
        ..ModelConfig::new("street", ModelSource::Onnx(file.into()))
    };
    // The runtime that is compiled in: this test needs no library on the machine.
    let runtime = RuntimeConfig { cpu: CpuRuntime::Rten, onnxruntime_library: None, ..RuntimeConfig::default() };
    load(&model, &runtime).unwrap().instances().remove(0)
}

fn frame(bytes: Vec<u8>) -> Frame {
    Frame {
        stream: StreamId::new(1, "street"),
        seq: 0,
        dispatch: 0,
        pts: Duration::ZERO,
        capture: Capture { wall: SystemTime::UNIX_EPOCH, basis: TimeBasis::Arrival },
        pixels: Pixels::Host(HostPicture::tight_i420((640, 360), bytes.into()).unwrap()),
        times: TimeCard::received(Instant::now()),
    }
}

fn iou(a: &BBox, b: [u32; 4]) -> f32 {
    let b = b.map(|v| v as f32);
    let (w, h) = ((a.x2.min(b[2]) - a.x1.max(b[0])).max(0.0), (a.y2.min(b[3]) - a.y1.max(b[1])).max(0.0));
    w * h / ((a.x2 - a.x1) * (a.y2 - a.y1) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)
}

/// At least 16 px high and half visible.
fn judged(object: &TruthObject) -> bool {
    object.visible * object.inside >= 0.5 && object.visible_box[3] - object.visible_box[1] >= 16
}

/// Right, wrong and missed. What matches a smaller or more hidden object is neither right nor wrong.
fn judge(found: &[Detection], objects: &[TruthObject]) -> [usize; 3] {
    let (mut taken, mut wrong) = (vec![false; objects.len()], 0);
    for detection in found {
        let near = |o: &TruthObject| {
            if Class::ALL[usize::from(detection.class)] == o.class { iou(&detection.bbox, o.visible_box) } else { 0.0 }
        };
        let hits: Vec<(usize, f32)> = objects.iter().map(near).enumerate().filter(|(_, v)| *v >= 0.5).collect();
        let free = hits.iter().filter(|(i, _)| judged(&objects[*i]) && !taken[*i]);
        match free.max_by(|a, b| a.1.total_cmp(&b.1)) {
            Some((i, _)) => taken[*i] = true,
            None => wrong += usize::from(hits.iter().all(|(i, _)| judged(&objects[*i]))),
        }
    }
    let right = taken.iter().filter(|t| **t).count();
    [right, wrong, objects.iter().filter(|o| judged(o)).count() - right]
}

#[test]
fn finds_nine_of_ten_by_day_and_by_night() {
    let mut detector = detector();
    for time in [TimeOfDay::Day, TimeOfDay::Night] {
        let mut sum = [0; 3];
        for seed in 1_100_000..1_100_020 {
            let mut scene = Scene::new(SceneConfig { seed, time, rain: seed % 10 < 3, ..SceneConfig::default() });
            for n in [30, 110, 190] {
                let (bytes, truth) = scene.frame(n);
                let frame = frame(bytes);
                let found = detector.detect(&[View::whole(&frame)]).unwrap().detections.remove(0);
                let part = judge(&found, &truth.objects);
                sum = [0, 1, 2].map(|i| sum[i] + part[i]);
            }
        }
        let [right, wrong, missed] = sum;
        let (recall, precision) = (right as f64 / (right + missed) as f64, right as f64 / (right + wrong) as f64);
        eprintln!("{time:?}: recall {recall:.3}, precision {precision:.3} ({right} right, {wrong} wrong, {missed} missed)");
        assert!(right + missed > 200, "only {} objects", right + missed);
        assert!(recall >= 0.9 && precision >= 0.9, "{time:?}: recall {recall:.3}, precision {precision:.3}");
    }
}
