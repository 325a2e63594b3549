//! A film that is over before the span of its clips: what was seen is looked at, and what was too short says so.

use std::{fs, path::Path};

use gstreamer::prelude::*;
use serde_json::Value;

use crate::{
    finding,
    onnx::{Attribute, Network},
    rig::Rig,
};

const FRAMES: usize = 12;

/// Writes a white film.
fn film(path: &Path) {
    gstreamer::init().expect("GStreamer");
    let picture = "video/x-raw,format=I420,width=64,height=64,framerate=10/1";
    let text = format!(
        "videotestsrc pattern=white num-buffers={FRAMES} ! {picture} ! jpegenc ! avimux ! filesink location={}",
        path.display()
    );
    let pipeline = gstreamer::parse::launch(&text).expect("a pipeline");
    pipeline.set_state(gstreamer::State::Playing).expect("it plays");
    let kinds = [gstreamer::MessageType::Eos, gstreamer::MessageType::Error];
    let end = pipeline.bus().expect("a bus").timed_pop_filtered(gstreamer::ClockTime::from_seconds(60), &kinds);
    assert!(end.is_some_and(|message| message.type_() == gstreamer::MessageType::Eos));
    pipeline.set_state(gstreamer::State::Null).expect("it ends");
}

/// A network that calls a clip of so many frames bright or dark, in a folder of its own beside its manifest.
fn network(folder: &Path, frames: i64) -> String {
    let folder = folder.join(frames.to_string());
    fs::create_dir(&folder).expect("room");
    let mean = [("axes", Attribute::Ints(vec![1, 3, 4])), ("keepdims", Attribute::Int(0))];
    let weights: Vec<f32> = (0..frames).flat_map(|_| [4.0, -4.0]).collect();
    let file = Network::new(&[3, frames, 8, 8])
        .constant("weights", &[frames, 2], &weights)
        .node("ReduceMean", &["images"], "means", &mean)
        .node("MatMul", &["means", "weights"], "logits", &[])
        .output("logits", &[2]);
    fs::write(folder.join("net.onnx"), file.file()).expect("room");
    let manifest = format!(
        "name = \"net\"\nfile = \"net.onnx\"\n[input]\nname = \"images\"\nwidth = 8\nheight = 8\nclip = {frames}\norder = \"rgb\"\n\
         scale = 0.00392156862745098\n[output]\nnames = [\"logits\"]\n[task]\nkind = \"clip\"\n[classes]\nnames = [\"bright\", \"dark\"]\n"
    );
    fs::write(folder.join("model.toml"), manifest).expect("room");
    folder.join("net.onnx").display().to_string()
}

fn is_closing(frame: &Value) -> bool {
    frame["closing"] == true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_ends_early_is_looked_at_as_far_as_it_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, script) = (folder.path().join("film.avi"), folder.path().join("script.jsonl"));
    film(&path);
    let detection = "{\"class\":\"person\",\"confidence\":0.9,\"bbox\":[10,10,50,60]}";
    let line = |seq| format!("{{\"stream\":\"film\",\"seq\":{seq},\"detections\":[{detection}]}}\n");
    fs::write(&script, (0..FRAMES).map(line).collect::<String>()).expect("room");
    let (short, long) = (network(folder.path(), 4), network(folder.path(), 32));
    let step = |name: &str, file: &str, on: &str| {
        format!("[[model]]\nname = {name:?}\nfile = {file:?}\non = {on:?}\nclips = 3\nspan = \"10s\"\nworkers = 1\n")
    };
    let models = [
        "[track]\nlost_after = \"500ms\"\n".to_owned(),
        format!("[[model]]\nname = \"script\"\nscripted = {script:?}\nclasses = [\"person\"]\nworkers = 1\n"),
        step("act", &short, "tracks"),
        step("scene", &short, "frames"),
        step("saga", &long, "tracks"),
        step("epos", &long, "frames"),
        format!("[[camera]]\nname = \"film\"\nurl = \"file:{}\"\nevery_frame = true\nrealtime = false\n", path.display()),
    ];
    let mut rig = Rig::start(Vec::new(), &models.concat()).await;
    let over = |rig: &Rig| rig.frames("film").any(is_closing) && rig.tracks("film").any(|track| track["phase"] == "end");
    rig.until("the film is over", over).await;
    let frames: Vec<&Value> = rig.frames("film").collect();
    assert_eq!(frames.iter().filter(|frame| !is_closing(frame)).count(), FRAMES);
    let last = frames.last().expect("the closing one");
    assert!(is_closing(last) && last["objects"].as_array().is_some_and(Vec::is_empty), "{last}");
    let end = rig.tracks("film").find(|track| track["phase"] == "end").expect("it has ended");
    for (of, bright, too_short) in [(*last, "scene", "epos"), (end, "act", "saga")] {
        let told = finding(of, bright).unwrap_or_else(|| unreachable!("{bright} has looked: {of}"));
        assert_eq!((&told["label"], &told["looks"]), (&"bright".into(), &1.into()), "{of}");
        let told = finding(of, too_short).unwrap_or_else(|| unreachable!("{too_short} says why not: {of}"));
        assert_eq!((&told["skipped"], &told["looks"]), (&"too_short".into(), &0.into()), "{of}");
    }
    assert!(rig.metrics().contains("egret_step_skipped_total{step=\"epos\",reason=\"too_short\"} 1"));
    rig.stop().await;
}
