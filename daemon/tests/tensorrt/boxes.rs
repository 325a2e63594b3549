//! Boxes.

use std::{sync::Barrier, thread};

use egret::{
    infer::{Detector, View},
    media::{BBox, Detection},
};
use egret_jetson::tensorrt::Ran;

use crate::{MAJORS, Random, Rig, frames, model, networks, rig};

/// Convolutions are added up in another order than on the CPU; boxes here are of at most a few hundred pixels.
const MAX_PIXELS: f32 = 2e-3;
const MAX_SCORE: f32 = 1e-5;

/// Both see the same, in any order of boxes with nearly the same score.
pub(crate) fn same(device: &[Vec<Detection>], cpu: &[Vec<Detection>]) -> usize {
    assert_eq!(device.len(), cpu.len());
    for (picture, (device, cpu)) in device.iter().zip(cpu).enumerate() {
        assert_eq!(device.len(), cpu.len(), "picture {picture}: {device:?} for {cpu:?}");
        for one in device {
            let near = |other: &Detection| {
                let edges = |b: &BBox| [b.x1, b.y1, b.x2, b.y2];
                let pixels = edges(&one.bbox).iter().zip(edges(&other.bbox)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                one.class == other.class && (one.confidence - other.confidence).abs() <= MAX_SCORE && pixels <= MAX_PIXELS
            };
            assert!(cpu.iter().any(near), "picture {picture}: {one:?} is none of {cpu:?}");
        }
    }
    device.iter().map(Vec::len).sum()
}

#[test]
fn boxes_of_any_frames_equal_the_cpu_s() {
    // Of two boxes with the same score but for a last bit either may suppress the other: here hardly any overlap as much.
    let mut net = model(networks::detector(), &networks::detector_manifest());
    net.config.nms_iou = Some(0.95);
    let (spec, mut cpu) = net.on_cpu();
    for major in MAJORS {
        let Some(rig) = rig(major) else { return };
        let mut random = Random(0x9e37_79b9 + major);
        let mut lanes = net.on_device(&rig, &spec, [1, 4]).expect("detectors");
        assert_eq!(lanes.len(), 2);
        assert!(lanes.iter().all(|lane| lane.decodes() && lane.max_batch() == 4));
        assert!(lanes[0].spec().runtime.starts_with(&format!("tensorrt {major}.")));
        let mut boxes = 0;
        for batch in 0..12 {
            let frames = frames(&mut random, 1 + batch % 4);
            let mut views: Vec<_> = frames.iter().map(View::whole).collect();
            if batch % 3 == 2 {
                // Regions, as second stages ask for them; the last one touches nothing.
                let view =
                    |x1: f32, y1: f32, x2: f32, y2: f32| View { frame: &frames[0], region: Some(BBox::new(x1, y1, x2, y2)) };
                views = vec![
                    view(3.0, 4.0, 37.5, 28.0),
                    View::whole(&frames[0]),
                    view(0.2, 0.2, 11.0, 25.0),
                    view(900.0, 0.0, 950.0, 10.0),
                ];
            }
            let expected = cpu.detect(&views).expect("on the CPU");
            let found = lanes[batch % 2].detect(&views).expect("on the device");
            boxes += same(&found.detections, &expected.detections);
            assert!(found.device.is_some() && found.readings.is_empty() && found.extras.len() == views.len());
        }
        println!("TensorRT {major}: {boxes} boxes are the same");
        assert!(boxes > 100, "{boxes}");
        assert!(lanes[0].detect(&[]).expect("nothing").detections.is_empty());
        let frames = frames(&mut random, 1);
        assert!(lanes[0].detect(&[View::whole(&frames[0]); 5]).is_err(), "more than a batch");
        drop(lanes);
        assert_eq!(rig.double.objects(), Some(0));
    }
}

/// What the engine cannot take at once it takes in several runs; what it takes no fewer of is filled up.
#[test]
fn engines_of_other_batches_see_the_same() {
    let net = model(networks::detector(), &networks::detector_manifest());
    let (spec, mut cpu) = net.on_cpu();
    let Some(rig) = rig(10) else { return };
    let mut random = Random(77);
    let mut boxes = 0;
    for batches in [[1, 1], [3, 3], [2, 3]] {
        let mut lane = net.on_device(&rig, &spec, batches).expect("detectors").remove(0);
        assert_eq!(lane.max_batch(), 4);
        for count in 1..=4 {
            let frames = frames(&mut random, count);
            let views: Vec<_> = frames.iter().map(View::whole).collect();
            let found = lane.detect(&views).expect("on the device").detections;
            boxes += same(&found, &cpu.detect(&views).expect("on the CPU").detections);
        }
    }
    assert!(boxes > 50, "{boxes}");
}

/// Limits beyond the kernels' are met by the host.
#[test]
fn what_the_device_cannot_decode_the_host_does() {
    let mut net = model(networks::detector(), &networks::detector_manifest());
    net.config.max_candidates = Some(5000);
    let (spec, mut cpu) = net.on_cpu();
    let Some(rig) = rig(11) else { return };
    let mut lane = net.on_device(&rig, &spec, [1, 4]).expect("detectors").remove(0);
    assert!(!lane.decodes());
    let frames = frames(&mut Random(5), 3);
    let views: Vec<_> = frames.iter().map(View::whole).collect();
    let found = lane.detect(&views).expect("on the device").detections;
    assert!(same(&found, &cpu.detect(&views).expect("on the CPU").detections) > 5);
}

/// With the default limits at most 8 KB of a picture come to the host, one launch draws a batch and two decode it, and nothing is
/// allocated or waited for as a whole once all sizes have been seen.
#[test]
fn little_comes_to_the_host_and_nothing_is_allocated() {
    let net = model(networks::detector(), &networks::detector_manifest());
    let (spec, _) = net.on_cpu();
    let Some(rig) = rig(11) else { return };
    let mut lane = net.on_device(&rig, &spec, [1, 4]).expect("detectors").remove(0);
    let frames = frames(&mut Random(9), 4);
    let views: Vec<_> = frames.iter().map(View::whole).collect();
    let count = |rig: &Rig, what: &str| rig.knobs.get(what).expect("a count");
    for size in 1..=4 {
        lane.detect(&views[..size]).expect("detected");
    }
    let before = ["allocations", "launches", "waits", "to_host"].map(|what| count(&rig, what));
    for batch in 0..8 {
        lane.detect(&views[..=(batch % 4)]).expect("detected");
        assert_eq!(lane.lane().ran(), Some(Ran::Graph));
    }
    let [allocations, launches, waits, to_host] = ["allocations", "launches", "waits", "to_host"].map(|what| count(&rig, what));
    assert_eq!([allocations, launches, waits], [before[0], before[1] + 8 * 3, before[2]]);
    let pictures = 2 * (1 + 2 + 3 + 4);
    let each = (to_host - before[3]) / pictures;
    println!("{each} bytes of a picture come to the host");
    assert!(each <= 8192 && (to_host - before[3]) % pictures == 0);
}

/// Both lanes at once, each on its thread, over streams that work by themselves.
#[test]
fn lanes_side_by_side_mix_nothing_up() {
    let net = model(networks::detector(), &networks::detector_manifest());
    let (spec, mut cpu) = net.on_cpu();
    let Some(rig) = rig(11) else { return };
    assert!(rig.knobs.set("threads", 1));
    let frames = frames(&mut Random(31), 9);
    let views: Vec<_> = frames.iter().map(View::whole).collect();
    let batches: Vec<_> = (0..6).map(|i| &views[i..i + 1 + i % 4]).collect();
    let expected: Vec<_> = batches.iter().map(|views| cpu.detect(views).expect("on the CPU").detections).collect();
    let start = Barrier::new(2);
    let boxes: usize = thread::scope(|scope| {
        let lanes = net.on_device(&rig, &spec, [1, 4]).expect("detectors").into_iter().enumerate().map(|(number, mut lane)| {
            let (batches, expected, start) = (&batches, &expected, &start);
            scope.spawn(move || {
                start.wait();
                (0..12)
                    .map(|i| (i + 3 * number) % 6)
                    .fold(0, |boxes, i| boxes + same(&lane.detect(batches[i]).expect("on the device").detections, &expected[i]))
            })
        });
        lanes.collect::<Vec<_>>().into_iter().map(|lane| lane.join().expect("no panic")).sum()
    });
    assert!(boxes > 100, "{boxes}");
}
