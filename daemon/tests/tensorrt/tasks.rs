//! Networks that are no detectors.

use egret::{
    infer::{Clip, Cropper, DetectError, Detector, View},
    media::{BBox, Reading},
};

use crate::{MAJORS, Random, frame, frames, model, networks, rig};

/// Convolutions are added up in another order than on the CPU.
const NEAR: f32 = 1e-4;

#[test]
fn classifiers_read_the_same() {
    let net = model(networks::two_numbers(), &networks::task_manifest(16, "kind = \"classify\"\nsoftmax = true", 2, ""));
    let (spec, mut cpu) = net.on_cpu();
    for major in MAJORS {
        let Some(rig) = rig(major) else { return };
        let mut lane = net.on_device(&rig, &spec, [1, 3]).expect("detectors").remove(1);
        assert!(!lane.decodes());
        let frames = frames(&mut Random(17), 3);
        let region = |x1, y1, x2, y2| View { frame: &frames[2], region: Some(BBox::new(x1, y1, x2, y2)) };
        let views = [View::whole(&frames[0]), View::whole(&frames[1]), region(1.0, 1.0, 9.0, 8.0), region(0.0, 0.0, 30.0, 20.0)];
        let [found, expected] = [lane.detect(&views), cpu.detect(&views)].map(|output| output.expect("read").readings);
        assert_eq!(found.len(), 4);
        for (found, expected) in found.iter().zip(&expected) {
            let (Reading::Scores(a), Reading::Scores(b)) = (found, expected) else { panic!("{found:?}") };
            assert!(a.values().iter().zip(b.values()).all(|(a, b)| (a - b).abs() < NEAR), "{a:?} {b:?}");
        }
    }
}

#[test]
fn clips_are_watched() {
    let net = model(networks::clip(), &networks::task_manifest(2, "kind = \"clip\"", 24, "clip = 2\n"));
    let (spec, mut cpu) = net.on_cpu();
    let Some(rig) = rig(11) else { return };
    let mut lane = net.on_device(&rig, &spec, [1, 2]).expect("detectors").remove(0);
    let mut cropper = Cropper::new(&spec.input).expect("a network of clips");
    let mut random = Random(3);
    let mut clip = || {
        let crops = (0..2).map(|i| cropper.cut(&frame(&mut random, i, (20, 16)), None).expect("a crop")).collect();
        Clip { crops }
    };
    let clips = [clip(), clip(), clip()];
    let clips: Vec<_> = clips.iter().collect();
    let [found, expected] = [lane.watch(&clips), cpu.watch(&clips)].map(|output| output.expect("watched").readings);
    assert_eq!(found.len(), 3);
    for (found, expected) in found.iter().zip(&expected) {
        let (Reading::Scores(a), Reading::Scores(b)) = (found, expected) else { panic!("{found:?}") };
        assert!(a.values().iter().zip(b.values()).all(|(a, b)| (a - b).abs() < NEAR), "{a:?} {b:?}");
    }
    let short = Clip { crops: clips[0].crops[..1].to_vec() };
    assert!(matches!(lane.watch(&[&short]), Err(DetectError::NoClips { .. })));
    let frames = frames(&mut Random(3), 1);
    let refused = lane.detect(&[View::whole(&frames[0])]);
    assert!(matches!(refused, Err(DetectError::NoClips { takes: "clips", .. })));
    assert_eq!(lane.watch(&clips[..1]).expect("the next one works").readings.len(), 1);
}
