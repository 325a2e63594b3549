//! Two steps in this process, from simulated cameras over RTSP to a subscriber of a broker: a detector, and networks that look at
//! what it follows, of all cameras in common batches.
#![cfg(feature = "demo")]

mod again;
mod clips;
#[allow(dead_code, reason = "the tests of the library use more of it")]
mod onnx;
mod rig;
#[allow(dead_code, reason = "the tests of the line use more of it")]
#[path = "../running/mod.rs"]
mod running;
mod shapes;

use std::{fmt::Write as _, fs, path::PathBuf};

use egret::sim::{SimCamera, What};
use rig::Rig;
use serde_json::Value;

/// Whether at every look all decoded frames are accounted for is checked by the rig.
const CAMERAS: [(&str, &str); 4] = [("gate", "red"), ("yard", "blue"), ("hall", "red"), ("roof", "blue")];

/// Detections for the scripted detector: a person in the middle of every frame of every camera.
fn script() -> String {
    let mut script = String::new();
    for (camera, _) in CAMERAS {
        for seq in 0..1500 {
            let detection = "{\"class\":\"person\",\"confidence\":0.9,\"bbox\":[100,40,180,200]}";
            writeln!(script, "{{\"stream\":\"{camera}\",\"seq\":{seq},\"detections\":[{detection}]}}").expect("memory");
        }
    }
    script
}

/// A network in a folder of its own, beside its manifest.
fn colours(folder: &std::path::Path) -> PathBuf {
    fs::write(folder.join("colours.onnx"), onnx::colours(16)).expect("room");
    fs::write(folder.join("model.toml"), onnx::colours_manifest(16)).expect("room");
    folder.join("colours.onnx")
}

/// The finding of a step among those of an object, a track or a frame.
fn finding<'a>(of: &'a Value, step: &str) -> Option<&'a Value> {
    of["findings"].as_array()?.iter().find(|finding| finding["model"] == step)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_classifier_on_the_tracks_of_four_cameras() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("script.jsonl"), script()).expect("room");
    let network = colours(folder.path());
    let cameras = CAMERAS.map(|(name, colour)| SimCamera {
        fps: 10,
        ..SimCamera::new(name, What::Test { pattern: colour.into(), width: 320, height: 240 })
    });
    let models = format!(
        "[batch]\nmax_wait = \"150ms\"\nstaleness = \"5s\"\n\
         [[model]]\nname = \"script\"\nscripted = {:?}\nclasses = [\"person\", \"car\"]\nworkers = 1\nmax_batch = 4\n\
         [[model]]\nname = \"colour\"\nfile = {network:?}\non = \"tracks\"\nof_classes = [\"person\"]\nevery = \"300ms\"\nworkers = 1\n\
         [[model]]\nname = \"scene\"\nfile = {network:?}\non = \"frames\"\nof = \"script\"\nevery = \"500ms\"\nworkers = 1\nmax_batch = 2\n",
        folder.path().join("script.jsonl"),
    );
    let mut rig = Rig::start(cameras.into(), &models).await;

    let told = |rig: &Rig| {
        CAMERAS.iter().all(|(camera, _)| {
            let of_tracks = rig.frames(camera).filter(|frame| finding(&frame["objects"][0], "colour").is_some()).count();
            let of_frames = rig.frames(camera).filter(|frame| finding(frame, "scene").is_some()).count();
            of_tracks >= 10 && of_frames >= 3
        })
    };
    rig.until("every camera's tracks and frames have labels", told).await;

    for (camera, colour) in CAMERAS {
        for frame in rig.frames(camera) {
            for of in [finding(&frame["objects"][0], "colour"), finding(frame, "scene")].into_iter().flatten() {
                assert_eq!(of["label"], colour, "{camera}: {of}");
                assert!(of["score"].as_f64().is_some_and(|score| score > 0.9), "{of}");
                assert!(of["frame"].as_u64() <= frame["frame"].as_u64(), "{of}");
            }
            let steps = &frame["steps"];
            for step in ["colour", "scene"] {
                let state = steps[step]["state"].as_str().expect("every frame says what each step does");
                assert!(["queued", "skipped", "nothing_to_see"].contains(&state), "{steps}");
                assert_eq!(state == "skipped", steps[step]["reason"].is_string(), "{steps}");
            }
        }
        let reasons: Vec<_> = rig.frames(camera).filter(|frame| frame["steps"]["colour"]["reason"] == "rate").collect();
        assert!(!reasons.is_empty(), "{camera} is looked at less often than it sends");
        let looks = rig.frames(camera).filter_map(|frame| finding(&frame["objects"][0], "colour")?["looks"].as_u64()).max();
        assert!(looks >= Some(2), "{camera}: labels are voted");
    }

    let metrics = rig.metrics();
    let value = |name: &str, step: &str| -> f64 {
        let row = format!("{name}{{step=\"{step}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&row)).unwrap_or_else(|| panic!("{row} in {metrics}"));
        line.parse().expect("a number")
    };
    for step in ["colour", "scene"] {
        let (runs, pictures) = (value("egret_step_runs_total", step), value("egret_step_pictures_total", step));
        println!("{step}: {pictures} pictures in {runs} runs");
        assert!(runs > 0.0 && value("egret_step_failed_total", step) < 0.5);
        assert!(value("egret_step_looks_total", step) <= pictures);
        assert!(pictures / runs <= value("egret_step_max_batch", step));
        // Frames of several cameras arrive together, since the detector waits for them: so do the looks at them.
        assert!(pictures / runs > 1.2, "{step}: {pictures} pictures in {runs} runs are no common batches");
    }
    assert!(metrics.contains("egret_step_skipped_total{step=\"colour\",reason=\"rate\"} "), "{metrics}");
    rig.stop().await;
}

/// The shared test data, if it is there.
fn data() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let data = std::env::var_os("EGRET_TEST_DATA").map_or_else(|| PathBuf::from(default), PathBuf::from);
    let found = data.join("models/osnet_x0_25_msmt17.onnx").exists();
    if !found {
        eprintln!("SKIPPED: no test data in {} (set EGRET_TEST_DATA)", data.display());
    }
    found.then_some(data)
}

#[tokio::test(flavor = "multi_thread")]
async fn real_people_of_four_cameras_have_appearances() {
    let Some(data) = data() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let network = folder.path().join("osnet.onnx");
    fs::copy(data.join("models/osnet_x0_25_msmt17.onnx"), &network).expect("room");
    fs::write(folder.path().join("model.toml"), include_str!("osnet.toml")).expect("room");
    let cameras = CAMERAS.map(|(name, _)| SimCamera::file(name, data.join("video/pedestrian_survaillance.mp4")));
    let models = format!(
        "[batch]\nmax_wait = \"200ms\"\nstaleness = \"5s\"\n\
         [[model]]\nname = \"yolox\"\nfile = {:?}\nworkers = 1\nmax_batch = 4\n\
         [[model]]\nname = \"osnet\"\nfile = {network:?}\non = \"tracks\"\nof_classes = [\"person\"]\nworkers = 1\ndetails = true\n",
        data.join("models/yolox_nano.onnx"),
    );
    let mut rig = Rig::start_with(cameras.into(), &models, "max_fps = 4\n").await;
    let of_tracks =
        |rig: &Rig| CAMERAS.iter().all(|(camera, _)| rig.tracks(camera).any(|track| finding(track, "osnet").is_some()));
    rig.until("tracks of every camera have an appearance", of_tracks).await;
    for (camera, _) in CAMERAS {
        for of in rig.tracks(camera).filter_map(|track| finding(track, "osnet")) {
            let vector: Vec<f64> = of["vector"].as_array().expect("details").iter().filter_map(Value::as_f64).collect();
            let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
            assert!(vector.len() == 512 && (length - 1.0).abs() < 1e-3, "{} values of length {length}", vector.len());
        }
    }
    let metrics = rig.metrics();
    let rows = metrics.lines().filter(|line| line.starts_with("egret_step_") && line.contains("osnet"));
    println!("{}", rows.collect::<Vec<_>>().join("\n"));
    rig.stop().await;
}
