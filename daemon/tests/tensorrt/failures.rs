//! What goes wrong, and what becomes of it.

use egret::{
    infer::{DetectError, Detector, View, tensorrt::Refused},
    media::Pixels,
};
use egret_jetson::tensorrt::Ran;

use crate::{MAJORS, Random, boxes::same, frames, model, networks, rig};

#[test]
fn a_batch_that_fails_is_lost_and_the_next_one_is_seen() {
    let net = model(networks::detector(), &networks::detector_manifest());
    let (spec, mut cpu) = net.on_cpu();
    for major in MAJORS {
        let Some(rig) = rig(major) else { return };
        let mut lane = net.on_device(&rig, &spec, [1, 4]).expect("detectors").remove(0);
        let frames = frames(&mut Random(23), 2);
        let views: Vec<_> = frames.iter().map(View::whole).collect();
        assert!(rig.double.set("enqueue_fails", 0));
        let error = lane.detect(&views).expect_err("it fails");
        assert!(matches!(&error, DetectError::Runtime { views: 2, .. }), "{error}");
        assert!(error.to_string().contains("illegal memory access"), "TensorRT's own words: {error}");
        assert!(rig.double.set("enqueue_fails", -1));
        let found = lane.detect(&views).expect("detected").detections;
        assert!(same(&found, &cpu.detect(&views).expect("on the CPU").detections) > 0);
    }
}

#[test]
fn a_context_that_is_lost_in_mid_run_is_told_as_that_at_every_call() {
    let net = model(networks::detector(), &networks::detector_manifest());
    let (spec, _) = net.on_cpu();
    let Some(rig) = rig(11) else { return };
    let mut lanes = net.on_device(&rig, &spec, [1, 4]).expect("detectors");
    let frames = frames(&mut Random(2), 2);
    let views: Vec<_> = frames.iter().map(View::whole).collect();
    lanes[0].detect(&views).expect("detected");
    assert!(rig.knobs.set("lost_after", 1));
    let error = lanes[0].detect(&views).expect_err("lost");
    assert!(matches!(&error, DetectError::Lost { views: 2, .. }) && error.to_string().contains("700"), "{error}");
    for lane in &mut lanes {
        assert!(matches!(lane.detect(&views), Err(DetectError::Lost { .. })));
    }
}

/// TensorRT finds the device lost and says so in its own words: the driver is asked.
#[test]
fn a_lost_device_behind_tensorrt_s_words_is_seen() {
    let net = model(networks::detector(), &networks::detector_manifest());
    let (spec, _) = net.on_cpu();
    let Some(rig) = rig(10) else { return };
    assert!(rig.knobs.set("threads", 1));
    let mut lane = net.on_device(&rig, &spec, [1, 4]).expect("detectors").remove(0);
    let frames = frames(&mut Random(2), 1);
    let views: Vec<_> = frames.iter().map(View::whole).collect();
    assert!(rig.knobs.set("lost_after", 0));
    let mut errors = (0..3).map(|_| lane.detect(&views).expect_err("lost"));
    assert!(errors.all(|error| matches!(error, DetectError::Lost { .. })));
}

#[test]
fn memory_that_runs_out_refuses_the_engine_and_leaves_nothing_behind() {
    let net = model(networks::detector(), &networks::detector_manifest());
    let (spec, _) = net.on_cpu();
    let Some(rig) = rig(11) else { return };
    let used = || rig.knobs.get("used").expect("a count");
    let before = used();
    let full = {
        let lanes = net.on_device(&rig, &spec, [1, 4]).expect("detectors");
        let full = used();
        drop(lanes);
        full
    };
    assert_eq!(used(), before, "all memory is given back");
    for share in [10, 40, 70, 95] {
        assert!(rig.knobs.set("memory", before + (full - before) * share / 100));
        let error = net.on_device(&rig, &spec, [1, 4]).map(|_| ()).expect_err("no room");
        let room = match &error {
            Refused::Line(line) => line.is_out_of_memory(),
            // The staging memory of pictures is there with the first run.
            Refused::TrialRun(DetectError::Runtime { reason, .. }) => reason.contains("error 2"),
            _ => false,
        };
        assert!(room, "{share} %: {error}");
        assert_eq!(used(), before, "all memory is given back");
    }
    assert!(rig.knobs.set("memory", -1));
    assert_eq!(rig.double.objects(), Some(0));
}

#[test]
fn a_recording_that_fails_changes_nothing_of_what_is_seen() {
    let net = model(networks::detector(), &networks::detector_manifest());
    let (spec, mut cpu) = net.on_cpu();
    let Some(rig) = rig(11) else { return };
    assert!(rig.knobs.set("capture_fails", 1));
    let mut lane = net.on_device(&rig, &spec, [1, 4]).expect("detectors").remove(0);
    for seed in 1..4 {
        let frames = frames(&mut Random(seed), 4);
        let views: Vec<_> = frames.iter().map(View::whole).collect();
        same(&lane.detect(&views).expect("detected").detections, &cpu.detect(&views).expect("on the CPU").detections);
        assert_eq!(lane.lane().ran(), Some(Ran::Plain));
    }
}

#[test]
fn a_frame_without_a_picture_is_an_error() {
    let net = model(networks::detector(), &networks::detector_manifest());
    let (spec, _) = net.on_cpu();
    let Some(rig) = rig(11) else { return };
    let mut lane = net.on_device(&rig, &spec, [1, 4]).expect("detectors").remove(0);
    let mut frames = frames(&mut Random(8), 2);
    frames[1].pixels = Pixels::None { width: 640, height: 480 };
    let views: Vec<_> = frames.iter().map(View::whole).collect();
    assert!(matches!(lane.detect(&views), Err(DetectError::Pixels { detector: "TensorRT", .. })));
    lane.detect(&views[..1]).expect("the next one works");
}

/// Each says what of the engine is not as the manifest has it.
#[test]
fn engines_of_other_networks_are_refused_by_name() {
    let net = model(networks::detector(), &networks::detector_manifest());
    let (spec, _) = net.on_cpu();
    let Some(rig) = rig(11) else { return };
    let refused = |change: &dyn Fn(&mut egret_models::spec::ModelSpec)| {
        let mut other = spec.clone();
        change(&mut other);
        let plan_of = net.plan(&rig, &spec, [1, 4]);
        let engine = egret_jetson::tensorrt::Runtime::new(&rig.library)
            .expect("a runtime")
            .deserialize(&plan_of, egret_jetson::tensorrt::Deserialize::default())
            .expect("an engine");
        let info = egret::media::ModelInfo {
            name: "net".into(),
            classes: other.classes.clone(),
            runtime: "tensorrt".into(),
            sha256: String::new(),
            precision: "fp32",
        };
        egret::infer::tensorrt::detectors(engine.into(), None, &rig.kernels, &other, &net.config, &std::sync::Arc::new(info))
            .map(|_| ())
            .expect_err("refused")
            .to_string()
    };
    assert!(refused(&|spec| spec.input.name = "pictures".into()).contains("images"));
    assert!(refused(&|spec| spec.input.width = 128).contains("a picture is [3, 64, 128]"));
    assert!(refused(&|spec| spec.outputs[1] = "boxes".into()).contains("no output `boxes`: it has coverage, edges"));
    assert!(refused(&|spec| spec.classes.push("dog".into())).contains("coverage"));
}
