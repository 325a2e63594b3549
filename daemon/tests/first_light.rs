//! The whole line in one process or as a user starts it: files, simulated cameras, a broker, a subscriber.
#![cfg(feature = "demo")]

#[allow(dead_code, reason = "the tests of the line use more of it")]
mod running;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use egret::{
    config,
    demo::{EmbeddedBroker, Received, subscribe},
    sim::{Sim, SimCamera, SimConfig},
};
use gstreamer::prelude::*;
use serde_json::Value;
use tokio::sync::mpsc;

/// Far longer than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);
const FRAMES: usize = 200;

/// A small H.264 file of [`FRAMES`] frames, made here.
fn file(dir: &Path) -> PathBuf {
    gstreamer::init().expect("GStreamer");
    let path = dir.join("ball.mp4");
    let line = format!(
        "videotestsrc pattern=ball num-buffers={FRAMES} ! video/x-raw,format=I420,width=320,height=180,framerate=30/1 ! \
         x264enc speed-preset=ultrafast key-int-max=30 ! h264parse ! mp4mux ! filesink location={}",
        path.display()
    );
    let pipeline = gstreamer::parse::launch(&line).expect("a pipeline");
    pipeline.set_state(gstreamer::State::Playing).expect("plays");
    let ended = pipeline.bus().expect("a bus").timed_pop_filtered(
        gstreamer::ClockTime::from_seconds(PATIENCE.as_secs()),
        &[gstreamer::MessageType::Eos, gstreamer::MessageType::Error],
    );
    pipeline.set_state(gstreamer::State::Null).expect("stops");
    assert_eq!(ended.map(|message| message.type_()), Some(gstreamer::MessageType::Eos));
    path
}

fn every_frame(path: &Path, broker: &str) -> String {
    format!(
        "device = \"box\"\n{broker}[http]\nenabled = false\n[[model]]\nname = \"none\"\nbuiltin = \"null\"\nmax_batch = 16\nworkers = 1\n\
         [[camera]]\nname = \"film\"\nurl = \"file:{}\"\nevery_frame = true\nrealtime = false\n",
        path.display()
    )
}

async fn next(received: &mut mpsc::Receiver<Received>) -> (String, Value) {
    let message = tokio::time::timeout(PATIENCE, received.recv()).await.expect("in time").expect("the broker lives");
    let payload = serde_json::from_slice(&message.payload).expect("JSON");
    (message.topic, payload)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_once_every_frame_in_order_and_exit_0() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = EmbeddedBroker::start().await.expect("a broker");
    let mut received = subscribe(broker.v5(), "egret/box/#");
    let config = dir.path().join("egret.toml");
    std::fs::write(&config, every_frame(&file(dir.path()), &format!("[mqtt]\nurl = \"mqtt://{}\"\n", broker.v5())))
        .expect("written");
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_egret"))
        .args(["run", "--config"])
        .arg(&config)
        .stdin(Stdio::null())
        .spawn()
        .expect("egret starts");
    let mut frames = Vec::new();
    loop {
        let (topic, payload) = next(&mut received).await;
        match topic.as_str() {
            "egret/box/cam/film/frame" => frames.push(payload["frame"].as_u64().expect("a number")),
            "egret/box/status" if payload["state"] == "offline" => break,
            _ => {}
        }
    }
    let exit = tokio::task::spawn_blocking(move || daemon.wait()).await.expect("no panic").expect("ended");
    assert_eq!(exit.code(), Some(0));
    assert_eq!(frames, (0..FRAMES as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_fills_batches_of_16() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = config::load_text(Path::new("test.toml"), &every_frame(&file(dir.path()), "")).expect("sound").config;
    let (mut pipeline, _faults) = running::stages(config).await;
    pipeline.start_cameras();
    tokio::time::timeout(PATIENCE, pipeline.ended()).await.expect("the file ends");
    let books = Arc::clone(pipeline.books());
    pipeline.stop().await;
    let total = books.total();
    assert!(total.balanced(), "{total:?}");
    assert_eq!((total.decoded, total.inferred, total.dropped.total()), (FRAMES as u64, FRAMES as u64, 0));
    let model = &books.snapshot().models[0];
    let fill = model.batched_frames as f64 / (model.batches * 16) as f64;
    assert!(fill >= 0.95, "{} frames in {} batches: filled to {fill:.3}", model.batched_frames, model.batches);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_is_seen_by_a_subscriber_and_its_picture_by_the_curious() {
    let dir = tempfile::tempdir().expect("a folder");
    let sim = Sim::start(SimConfig::new(vec![SimCamera::test("door")])).expect("a camera");
    let broker = EmbeddedBroker::start().await.expect("a broker");
    let mut received = subscribe(broker.v5(), "egret/box/#");
    let scripted = dir.path().join("objects.jsonl");
    let lines = (0..5000).map(|seq| {
        format!(r#"{{"stream":"door","seq":{seq},"detections":[{{"class":"person","confidence":0.9,"bbox":[10,20,60,120]}}]}}"#)
            + "\n"
    });
    std::fs::write(&scripted, lines.collect::<String>()).expect("written");
    let text = format!(
        "device = \"box\"\n[mqtt]\nurl = \"mqtt://{}\"\n[http]\nenabled = false\n[[model]]\nname = \"script\"\nscripted = \"{}\"\n\
         [[camera]]\nname = \"door\"\nurl = \"{}\"\n",
        broker.v5(),
        scripted.display(),
        sim.url("door").expect("a URL")
    );
    let config = config::load_text(Path::new("test.toml"), &text).expect("sound").config;
    let (mut pipeline, _faults) = running::stages(config).await;
    pipeline.start_cameras();
    let (mut online, mut new_track, mut frame) = (false, None, None);
    while !online || new_track.is_none() || frame.is_none() {
        let (topic, payload) = next(&mut received).await;
        match topic.as_str() {
            "egret/box/cam/door/status" => online |= payload["state"] == "online",
            "egret/box/cam/door/track/new" => new_track = Some(payload),
            // Until its first report the camera's clock is unknown.
            "egret/box/cam/door/frame" if payload["basis"] == "sender_report" && payload["objects"][0]["track"].is_string() => {
                frame = Some(payload);
            }
            _ => {}
        }
    }
    let (track, frame) = (new_track.expect("a track"), frame.expect("a frame"));
    assert_eq!(frame["size"], serde_json::json!([320, 240]));
    assert_eq!(frame["objects"][0]["box"], serde_json::json!([10.0, 20.0, 60.0, 120.0]));
    assert_eq!(frame["objects"][0]["track"], track["track"]);
    let door = pipeline.books().stream("door").expect("known");
    let seen = pipeline.books().stills.ask(&door).expect("room");
    let seen = tokio::time::timeout(PATIENCE, seen).await.expect("in time").expect("a picture");
    assert_eq!(seen.frame.pixels.size(), (320, 240));
    pipeline.stop().await;
    let mut last = Value::Null;
    loop {
        let (topic, payload) = next(&mut received).await;
        match topic.as_str() {
            "egret/box/cam/door/status" => last = payload,
            "egret/box/status" if payload["state"] == "offline" => break,
            _ => {}
        }
    }
    assert_eq!(last["state"], "offline", "the camera's goes before the daemon's");
    sim.stop();
}

/// As a newcomer runs it, with fewer frames per second: the detector, the drawing and the coding all run on this machine.
#[test]
fn the_demo_detects_on_every_camera_and_says_so() {
    let demo = Command::new(env!("CARGO_BIN_EXE_egret"))
        .args(["demo", "--for", "20s", "--json", "--fps", "5"])
        .stdin(Stdio::null())
        .output()
        .expect("egret runs");
    let told = String::from_utf8_lossy(&demo.stderr);
    assert_eq!(demo.status.code(), Some(0), "{told}");
    let mut seen = std::collections::BTreeSet::new();
    for line in String::from_utf8(demo.stdout).expect("text").lines() {
        let message: Value = serde_json::from_str(line).expect("every line is JSON");
        let payload = &message["payload"];
        if payload["objects"].as_array().is_some_and(|objects| !objects.is_empty()) {
            seen.insert(payload["camera"].as_str().expect("a name").to_owned());
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["day", "late", "night", "rain"]);
}
