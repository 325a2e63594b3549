//! Calibration on frames of a site's own cameras, over RTSP, and on a video file.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use egret::{
    config::{self, Config},
    precision::{Collected, PrecisionFailure, SiteOptions, collect},
    sim::{
        Sim, SimCamera, SimConfig,
        scene::{SceneConfig, TimeOfDay},
    },
};

use super::STREET;

const CAMERAS: [&str; 2] = ["north", "south"];

/// Two cameras that look at streets.
fn cameras() -> Sim {
    let camera = |(name, seed): (&&str, u64)| SimCamera::scene(name, SceneConfig { seed, ..SceneConfig::default() });
    Sim::start(SimConfig::new(CAMERAS.iter().zip(410_000..).map(camera).collect())).unwrap()
}

fn configuration(sim: &Sim) -> String {
    let mut text =
        "device = \"site\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:1\"\n[[model]]\nname = \"none\"\nbuiltin = \"null\"\n".to_owned();
    for name in CAMERAS {
        writeln!(text, "[[camera]]\nname = \"{name}\"\nurl = \"{}\"", sim.url(name).unwrap()).unwrap();
    }
    text
}

fn options(config: Config, state: &Path, consent: bool) -> SiteOptions {
    SiteOptions { config, frames: 6, spread: Duration::from_millis(600), consent, state: state.to_owned() }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn frames_are_kept_with_consent_alone_and_for_the_owner_alone() {
    let (state, sim) = (tempfile::tempdir().unwrap(), cameras());
    let config = config::load_text(Path::new("site.toml"), &configuration(&sim)).unwrap().config;
    let refused = collect(&options(config.clone(), state.path(), false), &mut |_| {}).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, PrecisionFailure::Consent { .. }) && error.to_string().contains("--consent"), "{error}");
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
    let collected = collect(&options(config.clone(), state.path(), true), &mut |_| {}).await.unwrap();
    sim.stop();
    let Collected { folder, frames, cameras } = &collected;
    // In turn: what one camera gives more than the other is what the other was late to give.
    assert_eq!((*frames, cameras.iter().map(|(_, count)| count).sum()), (6, 6), "{cameras:?}");
    assert!(
        cameras.iter().map(|(name, _)| name.as_str()).eq(CAMERAS) && cameras.iter().all(|(_, count)| *count > 0),
        "{cameras:?}"
    );
    assert_eq!((folder.parent(), mode(folder)), (Some(state.path().join("calibration").as_path()), 0o700));
    let files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 6);
    for file in &files {
        assert_eq!((mode(file), &fs::read(file).unwrap()[..3]), (0o600, &b"\xff\xd8\xff"[..]), "{}", file.display());
    }
    let folder = folder.clone();
    collected.delete().unwrap();
    assert!(!folder.exists());
    // No camera at all.
    let none = Config { cameras: Vec::new(), ..config };
    let error = collect(&options(none, state.path(), true), &mut |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("[[camera]]"), "{error}");
}

/// `egret model quantize` of the street detector.
fn quantize(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    command.args(["model", "quantize", STREET]).args(arguments);
    // What these few pictures make of the network is not the question here.
    command.args(["--holdout", "scene:430000..430002", "--gate", "recall=0,precision=0,drift=1", "-o"]);
    command.arg(folder.join("int8.onnx"));
    command.env("STATE_DIRECTORY", folder).output().unwrap()
}

/// Both outputs of a command, or loudly nothing where there is no ONNX Runtime.
fn said(output: &Output) -> Option<String> {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    eprintln!("{text}");
    if text.contains("ONNX Runtime cannot be loaded") {
        eprintln!("SKIPPED in part: no ONNX Runtime (set EGRET_ONNXRUNTIME)");
        return None;
    }
    Some(text)
}

#[test]
fn a_network_is_calibrated_on_the_sites_own_cameras() {
    let (folder, sim) = (tempfile::tempdir().unwrap(), cameras());
    let config = folder.path().join("site.toml");
    fs::write(&config, configuration(&sim)).unwrap();
    let from = ["--from", "cameras", "--frames", "12", "--spread", "2s", "--config", config.to_str().unwrap()];
    let refused = quantize(folder.path(), &from);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("--consent"));
    let output = quantize(folder.path(), &[&from[..], &["--consent"]].concat());
    sim.stop();
    // Whatever came of it: nothing is left of the frames.
    assert_eq!(fs::read_dir(folder.path().join("calibration")).unwrap().count(), 0);
    let Some(text) = said(&output) else { return };
    for line in
        ["north: ", "south: ", "deleted: ", "12 calibration frames, 8 held out", "calibrated on 12 frames (percentile 99.99)"]
    {
        assert!(text.contains(line), "{line}");
    }
}

/// An MP4 file of a street, a picture a second.
fn film(file: &Path, count: u64) {
    let raw = file.with_extension("i420");
    let scene = SceneConfig { seed: 420_000, time: TimeOfDay::Day, ..SceneConfig::default() };
    let mut scene = egret::sim::scene::Scene::new(scene);
    let bytes: Vec<u8> = (0..count).flat_map(|i| scene.frame(i * 15).0).collect();
    fs::write(&raw, bytes).unwrap();
    let launch = format!(
        "filesrc location={} ! rawvideoparse format=i420 width=640 height=360 framerate=1/1 ! x264enc ! h264parse ! mp4mux ! filesink location={}",
        raw.display(),
        file.display()
    );
    gstreamer::init().unwrap();
    let pipeline = gstreamer::parse::launch(&launch).unwrap();
    play(&pipeline);
}

fn play(pipeline: &gstreamer::Element) {
    use gstreamer::prelude::*;

    pipeline.set_state(gstreamer::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let ends = [gstreamer::MessageType::Eos, gstreamer::MessageType::Error];
    let message = bus.timed_pop_filtered(gstreamer::ClockTime::from_seconds(60), &ends).unwrap();
    pipeline.set_state(gstreamer::State::Null).unwrap();
    assert_eq!(message.type_(), gstreamer::MessageType::Eos, "{message:?}");
}

#[test]
fn a_network_is_calibrated_on_a_video() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("street.mp4");
    film(&video, 16);
    let from = ["--from", video.to_str().unwrap(), "--every"];
    let Some(text) = said(&quantize(folder.path(), &[&from[..], &["2s"]].concat())) else { return };
    assert!(text.contains("8 calibration frames, 8 held out"), "{text}");
    // Too few pictures, and what is no video.
    let text = said(&quantize(folder.path(), &[&from[..], &["10s"]].concat())).unwrap();
    assert!(text.contains("2 calibration frames among the pictures of this video, one every --every"), "{text}");
    fs::write(&video, "no video").unwrap();
    let output = quantize(folder.path(), &[&from[..], &["1s"]].concat());
    let text = said(&output).unwrap();
    assert!(output.status.code() == Some(1) && text.contains("street.mp4: "), "{text}");
    for seeds in ["scene:x", "scene:9..9", "scene:1..x"] {
        let text = said(&quantize(folder.path(), &["--from", seeds])).unwrap();
        assert!(text.contains(&format!("{seeds}: give a seed")), "{text}");
    }
}
