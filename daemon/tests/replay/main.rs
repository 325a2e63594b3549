//! `egret replay`: the same bytes each time, the same messages as the daemon's, and pictures with the right things drawn on them.
#![cfg(feature = "demo")]

mod odd;

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use egret::{
    demo::{EmbeddedBroker, subscribe},
    sim::scene::{Class, Scene, SceneConfig},
};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use serde_json::{Value, json};

/// Far longer than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);
const SIZE: (u32, u32) = (320, 180);
const FRAMES: u64 = 40;
/// What is compared with the daemon's messages, and how many there are at least. Counts are left out: of what is retained a slow broker
/// gets the latest only.
const TOPICS: [(&str, usize); 5] = [("frame", 40), ("track/", 40), ("event/middle", 1), ("event/right", 1), ("event/corner", 0)];

fn egret(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_egret")).args(words).stdin(Stdio::null()).output().expect("egret starts")
}

/// Replays and expects that it goes well.
fn replay(words: &[&str]) -> Output {
    let output = egret(&[&["replay"], words].concat());
    assert_eq!(output.status.code(), Some(0), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The only bicycle: it goes through the picture, over its middle at frame 19.
fn bicycle(frame: u64) -> [u32; 4] {
    let left = 36 + 6 * frame as u32;
    [left, 60, left + 24, 120]
}

/// A street with a bicycle whose boxes are known, as a video and as a script of what a detector would see.
fn street(dir: &Path) -> (PathBuf, PathBuf) {
    gst::init().expect("GStreamer");
    let (video, script) = (dir.join("street.mp4"), dir.join("street.jsonl"));
    let caps = format!("video/x-raw,format=I420,width={},height={},framerate=10/1", SIZE.0, SIZE.1);
    let line = format!(
        "appsrc name=in format=time caps=\"{caps}\" ! x264enc speed-preset=ultrafast bframes=2 key-int-max=20 ! h264parse ! mp4mux ! \
         filesink location={}",
        video.display()
    );
    let pipeline = gst::parse::launch(&line).expect("a pipeline").downcast::<gst::Pipeline>().expect("a pipeline");
    let source = pipeline.by_name("in").expect("a source").downcast::<AppSrc>().expect("an appsrc");
    pipeline.set_state(gst::State::Playing).expect("plays");
    let mut scene = Scene::new(SceneConfig { width: SIZE.0, height: SIZE.1, fps: 10, seed: 7, ..SceneConfig::default() });
    let mut lines = String::new();
    for frame in 0..FRAMES {
        let (bytes, truth) = scene.frame(frame);
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        buffer.get_mut().expect("ours").set_pts(gst::ClockTime::from_mseconds(frame * 100));
        buffer.get_mut().expect("ours").set_duration(gst::ClockTime::from_mseconds(100));
        source.push_buffer(buffer).expect("taken");
        let name = |class| match class {
            Class::Person => "person",
            Class::Bicycle => "bicycle",
            Class::Car => "car",
        };
        let seen =
            truth.objects.iter().filter(|object| object.visible > 0.3).map(|object| (name(object.class), object.visible_box));
        let seen = seen.filter(|(class, _)| *class != "bicycle");
        let seen = seen.chain([("bicycle", bicycle(frame))]);
        let detections: Vec<Value> =
            seen.map(|(class, bbox)| json!({ "class": class, "confidence": 0.9, "bbox": bbox })).collect();
        writeln!(lines, "{}", json!({ "stream": "street", "seq": frame, "detections": detections })).expect("a string");
    }
    source.end_of_stream().expect("ended");
    let ended = pipeline
        .bus()
        .expect("a bus")
        .timed_pop_filtered(gst::ClockTime::from_seconds(PATIENCE.as_secs()), &[gst::MessageType::Eos, gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null).expect("stops");
    assert_eq!(ended.map(|message| message.type_()), Some(gst::MessageType::Eos));
    fs::write(&script, lines).expect("written");
    (video, script)
}

/// A camera that is that video, and what it is watched for.
fn configuration(dir: &Path, (video, script): (&Path, &Path), broker: &str) -> PathBuf {
    let text = format!(
        "device = \"box\"\n[mqtt]\nurl = \"mqtt://{broker}\"\ntrack_update_interval = \"0s\"\n[http]\nenabled = false\n\
         [[model]]\nname = \"script\"\nscripted = \"{}\"\nclasses = [\"bicycle\", \"person\", \"car\"]\nworkers = 1\n\
         [[camera]]\nname = \"street\"\nurl = \"file:{}\"\nevery_frame = true\nrealtime = false\n\
         [[camera.rule]]\nname = \"middle\"\nkind = \"line\"\nline = [[0.5, 1.0], [0.5, 0.0]]\nclasses = [\"bicycle\"]\n\
         [[camera.rule]]\nname = \"corner\"\nkind = \"zone\"\nzone = [[0.0, 0.0], [0.1, 0.0], [0.1, 0.2], [0.0, 0.2]]\nclasses = [\"bicycle\"]\n\
         [[camera.rule]]\nname = \"right\"\nkind = \"zone\"\nzone = [[0.6, 0.1], [0.9, 0.1], [0.9, 0.9], [0.6, 0.9]]\nclasses = [\"bicycle\"]\n",
        script.display(),
        video.display()
    );
    let path = dir.join("egret.toml");
    fs::write(&path, text).expect("written");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect()
}

/// Takes out what is of one run alone; identities are numbered in the order of their appearance.
fn timeless(value: &mut Value, known: &mut Vec<String>) {
    const OF_ONE_RUN: [&str; 9] = [
        "boot_id",
        "published_at",
        "captured_at",
        "started_at",
        "first_seen",
        "last_seen",
        "latency_ms",
        "since_arrival_ms",
        "since",
    ];
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !OF_ONE_RUN.contains(&key.as_str()));
            for (key, value) in fields.iter_mut() {
                if let ("track" | "event", Value::String(id)) = (key.as_str(), &mut *value) {
                    let place = known.iter().position(|other| other == id).unwrap_or_else(|| {
                        known.push(id.clone());
                        known.len() - 1
                    });
                    *value = json!(place);
                }
                // Which points of a path are kept goes by the wall clock, which nothing but the arrival of frames tells here.
                if let ("path", Value::Array(points)) = (key.as_str(), &mut *value) {
                    points.truncate(1);
                    for point in points {
                        point[0] = Value::Null;
                    }
                }
                timeless(value, known);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| timeless(value, known)),
        _ => {}
    }
}

/// The messages of one topic without what is of one run alone.
fn of(messages: &[(String, Value)], topic: &str) -> Vec<Value> {
    let mut known = Vec::new();
    let about = messages.iter().filter(|(at, _)| at.starts_with(&format!("egret/box/cam/street/{topic}")));
    about
        .map(|(_, payload)| payload.clone())
        .inspect(|_| ())
        .map(|mut payload| {
            timeless(&mut payload, &mut known);
            payload
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_messages_are_those_of_the_daemon_and_the_same_bytes_each_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let (video, script) = street(dir.path());
    let broker = EmbeddedBroker::start().await.expect("a broker");
    let mut received = subscribe(broker.v5(), "egret/box/#");
    let config = configuration(dir.path(), (&video, &script), &broker.v5().to_string());
    let words = [text(&video), "--config", text(&config)];
    let first = replay(&words).stdout;
    let replayed: Vec<(String, Value)> = lines(&first)
        .into_iter()
        .map(|mut line| (line["topic"].as_str().expect("a topic").to_owned(), line["payload"].take()))
        .collect();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_egret"))
        .args(["run", "--config", text(&config)])
        .stdin(Stdio::null())
        .spawn()
        .expect("egret starts");
    // Statuses overtake what waits, so that `offline` is not the last word; what is compared comes in order.
    let mut published = Vec::new();
    while TOPICS.iter().any(|(topic, _)| of(&published, topic).len() < of(&replayed, topic).len()) {
        let message = tokio::time::timeout(PATIENCE, received.recv()).await.expect("in time").expect("the broker lives");
        published.push((message.topic, serde_json::from_slice(&message.payload).unwrap_or_default()));
    }
    tokio::task::spawn_blocking(move || daemon.wait()).await.expect("no panic").expect("ended");
    for (topic, least) in TOPICS {
        let (theirs, ours) = (of(&published, topic), of(&replayed, topic));
        assert!(ours.len() >= least, "{topic}: {}", ours.len());
        assert_eq!(theirs.len(), ours.len(), "{topic}");
        for (a, b) in theirs.iter().zip(&ours) {
            assert_eq!(a, b, "{topic}");
        }
    }
    // Once more, and once more without pictures and network, from what was told the first time.
    assert!(replay(&words).stdout == first, "the same bytes");
    let recorded = dir.path().join("recorded.jsonl");
    fs::write(&recorded, &first).expect("written");
    let again = replay(&[text(&recorded), "--config", text(&config)]).stdout;
    assert_eq!(lines(&again), lines(&first));
    assert!(again == first, "the same bytes from its own messages");
}

/// A decoded picture file: R, G, B of a pixel. JPEG has half the chroma, so that colours of thin lines are mixed with their surroundings.
fn pixels(file: &Path) -> impl Fn(u32, u32) -> [u8; 3] + use<> {
    let line = format!(
        "filesrc location={} ! jpegdec ! videoconvert ! video/x-raw,format=RGB,width={},height={} ! appsink name=out sync=false",
        file.display(),
        SIZE.0,
        SIZE.1
    );
    let pipeline = gst::parse::launch(&line).expect("a pipeline").downcast::<gst::Pipeline>().expect("a pipeline");
    let sink = pipeline.by_name("out").expect("a sink").downcast::<AppSink>().expect("an appsink");
    pipeline.set_state(gst::State::Playing).expect("plays");
    let sample = sink.try_pull_sample(gst::ClockTime::from_seconds(PATIENCE.as_secs())).expect("a picture");
    let bytes = sample.buffer().expect("a buffer").map_readable().expect("readable").to_vec();
    pipeline.set_state(gst::State::Null).expect("stops");
    let stride = (SIZE.0 as usize * 3).next_multiple_of(4);
    move |x, y| std::array::from_fn(|part| bytes[y as usize * stride + x as usize * 3 + part])
}

/// Whether there is such a pixel, or one of its neighbours is: a tracker's box is smoother than what was seen.
fn near(pixels: &impl Fn(u32, u32) -> [u8; 3], (x, y): (u32, u32), is: fn([u8; 3]) -> bool) -> bool {
    (x - 2..=x + 2).any(|x| (y - 2..=y + 2).any(|y| is(pixels(x, y))))
}

fn is_red([r, g, b]: [u8; 3]) -> bool {
    r > 140 && g < 100 && b < 100
}

/// The colour of class 0, somewhere between green and teal.
fn is_green([r, g, b]: [u8; 3]) -> bool {
    g > 150 && r < 90 && b < 110
}

fn is_cyan([r, g, b]: [u8; 3]) -> bool {
    r < 110 && g > 130 && b > 130
}

#[test]
fn boxes_zones_and_events_are_drawn_where_they_are() {
    let dir = tempfile::tempdir().expect("a folder");
    let (video, script) = street(dir.path());
    let config = configuration(dir.path(), (&video, &script), "127.0.0.1:1");
    let (all, some, film) = (dir.path().join("all"), dir.path().join("some"), dir.path().join("out.mkv"));
    replay(&[text(&video), "--config", text(&config), "--frames", text(&all), "--video", text(&film)]);
    assert_eq!(fs::read_dir(&all).expect("a folder").count() as u64, FRAMES);
    let before = pixels(&all.join("000012.jpg"));
    let [x1, y1, x2, y2] = bicycle(12);
    for (x, y) in [(x1, y2), (x2, y2), (x1, y1 + 30), (x2, y1 + 30)] {
        assert!(near(&before, (x, y), is_green), "{x},{y}: {:?}", before(x, y));
    }
    assert!(!near(&before, (x1 + 12, y1 + 30), is_green), "nothing within");
    // The line, and the left edge of the zone.
    assert!(is_cyan(before(160, 40)), "{:?}", before(160, 40));
    assert!(is_cyan(before(192, 140)), "{:?}", before(192, 140));
    // It crossed the line at 20, and is told of when it is clear of it.
    let events = lines(&replay(&[text(&video), "--config", text(&config)]).stdout);
    let crossed = events.iter().find(|line| line["topic"] == "egret/box/cam/street/event/middle").expect("it crosses");
    let frame = crossed["payload"]["frame"].as_u64().expect("a number");
    assert!((20..30).contains(&frame), "{frame}");
    let [x1, y1, _, y2] = bicycle(frame);
    let then = pixels(&all.join(format!("{frame:06}.jpg")));
    assert!(near(&then, (x1, y1 + 30), is_red) && near(&then, (x1, y2), is_red), "{:?}", then(x1, y1 + 30));
    assert!(is_red(then(160, 40)) && is_red(then(160, 150)), "{:?}", then(160, 40));

    replay(&[text(&video), "--config", text(&config), "--frames", text(&some), "--around", "200ms"]);
    let written = fs::read_dir(&some).expect("a folder").count() as u64;
    assert!((5..FRAMES).contains(&written), "{written}");
    assert!(some.join(format!("{frame:06}.jpg")).exists() && some.join(format!("{:06}.jpg", frame - 2)).exists());

    // The video has all frames at their times: it can be replayed itself.
    let told = lines(&replay(&[text(&film), "--model", "builtin:null"]).stdout);
    let times: Vec<f64> = told.iter().map(|line| line["payload"]["pts_ms"].as_f64().expect("a time")).collect();
    assert_eq!(times.len() as u64, FRAMES);
    assert!(times.windows(2).all(|pair| (pair[1] - pair[0] - 100.0).abs() < 1.5), "{times:?}");
}

#[test]
fn a_det_txt_is_followed_and_drawn_without_pictures() {
    let dir = tempfile::tempdir().expect("a folder");
    let (det, film) = (dir.path().join("det.txt"), dir.path().join("out.mp4"));
    let rows: Vec<String> =
        (0..FRAMES).map(|frame| format!("{},-1,{},60,24,60,0.9,-1,-1,-1", frame + 1, bicycle(frame)[0])).collect();
    fs::write(&det, rows.join("\n")).expect("written");
    let words = [text(&det), "--fps", "10", "--size", "320x180", "--class", "walker", "--start", "2026-11-21T08:00:00Z"];
    let out = replay(&words);
    let told = lines(&out.stdout);
    let frames: Vec<&Value> = told.iter().filter(|line| line["topic"] == "egret/replay/cam/replay/frame").collect();
    assert_eq!(frames.len() as u64, FRAMES);
    assert_eq!(frames[39]["payload"]["captured_at"], "2026-11-21T08:00:03.900000Z");
    assert_eq!(frames[39]["payload"]["latency_ms"], 0.0);
    let ids: std::collections::BTreeSet<String> =
        frames[5..].iter().map(|line| line["payload"]["objects"][0]["track"].to_string()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(frames[9]["payload"]["objects"][0]["class"], "walker");
    replay(&[&words[..], &["--video", text(&film)]].concat());
    let told = lines(&replay(&[text(&film), "--model", "builtin:null"]).stdout);
    assert_eq!((told.len() as u64, &told[0]["payload"]["size"]), (FRAMES, &json!([320, 180])));
}

#[test]
fn an_interrupt_ends_it_with_whole_lines() {
    let dir = tempfile::tempdir().expect("a folder");
    let det = dir.path().join("det.txt");
    // Far more than a pipe holds: it cannot be through before the signal comes.
    let rows: Vec<String> = (0..20_000u64).map(|frame| format!("{},-1,{},60,24,60,0.9", frame + 1, frame % 200)).collect();
    fs::write(&det, rows.join("\n")).expect("written");
    let mut child = Command::new(env!("CARGO_BIN_EXE_egret"))
        .args(["replay", text(&det), "--fps", "10", "--size", "320x180"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("egret starts");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut first = String::new();
    out.read_line(&mut first).expect("a line");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    let rest: Vec<String> = out.lines().map(|line| line.expect("a line")).collect();
    assert!(rest.iter().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    assert_eq!(child.wait().expect("ended").code(), Some(130));
}

/// One frame as it is published.
fn message(camera: &str, frame: u64) -> Value {
    json!({
        "schema": "egret/v1", "kind": "frame", "device": "box", "camera": camera, "boot_id": "x", "seq": frame, "frame": frame,
        "pts_ms": frame as f64 * 100.0, "captured_at": format!("2026-11-21T08:00:{frame:02}Z"), "basis": "arrival",
        "published_at": "2026-11-21T08:00:00Z", "latency_ms": 1.0, "since_arrival_ms": 1.0, "size": [320, 180],
        "model": { "name": "m", "runtime": "r" },
        "objects": [{ "class": "person", "confidence": 0.9, "box": [10, 20, 30, 40], "box_norm": [0, 0, 0, 0], "track": null }]
    })
}

#[test]
fn what_cannot_be_replayed_is_refused_with_its_place_and_the_remedy() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, content).expect("written");
        text(&path).to_owned()
    };
    let with = |change: &dyn Fn(&mut Value)| {
        let (first, mut second) = (message("door", 0), message("door", 1));
        change(&mut second);
        format!("{first}\n\n{second}\n").into_bytes()
    };
    let sound = file("sound.jsonl", &with(&|_| ()));
    let config = file(
        "egret.toml",
        b"[[model]]\nname = \"m\"\nbuiltin = \"null\"\nclasses = [\"person\"]\n[[camera]]\nname = \"door\"\nurl = \"test:smpte\"\n\
          [[camera]]\nname = \"yard\"\nurl = \"test:smpte\"\nclasses = [\"person\"]\n",
    );
    let rules = file(
        "rules.toml",
        b"[[model]]\nname = \"m\"\nbuiltin = \"null\"\n[[camera]]\nname = \"door\"\nurl = \"test:smpte\"\n\
          [[camera.rule]]\nname = \"boats\"\nkind = \"zone\"\nzone = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]\n\
          classes = [\"canoe\"]\n",
    );
    let wrong = file("wrong.toml", b"[[camera]]\nname = \"door\"\nurl = \"test:smpte\"\nwheels = 4\n");
    let noise: Vec<u8> = (0..20_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let noise = file("noise.mp4", &noise);
    let det = file("det.txt", b"1,-1,10,20,30,40,0.9\n2,-1,10,20,thirty,40,0.9\n");
    let lines: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("a.jsonl", b"{\"kind\": \"frame\"\n".to_vec(), &["line 1", "EOF"]),
        (
            "b.jsonl",
            with(&|m| m["captured_at"] = json!("yesterday")),
            &["line 3", "\"yesterday\" is no time", "remove that line"],
        ),
        ("c.jsonl", with(&|m| m["objects"][0]["confidence"] = json!(1.5)), &["line 3", "objects[0]", "1.5 is not within"]),
        ("d.jsonl", with(&|m| m["objects"][0]["box"] = json!([30, 20, 10, 40])), &["line 3", "is no box"]),
        ("e.jsonl", with(&|m| m["pts_ms"] = json!(-5)), &["line 3", "pts_ms -5"]),
        ("f.jsonl", with(&|m| m["size"] = json!([0, 180])), &["line 3", "size [0, 180]"]),
        ("g.jsonl", with(&|m| m["schema"] = json!("egret/v9")), &["line 3", "egret/v9"]),
        ("h.jsonl", with(&|m| m["kind"] = Value::Null), &["line 3", "no `kind`"]),
        ("i.jsonl", with(&|m| m["basis"] = json!("guess")), &["line 3", "guess"]),
        ("j.jsonl", with(&|m| m["camera"] = json!("yard")), &["door, yard", "--camera"]),
        (
            "k.jsonl",
            with(&|m| _ = m.as_object_mut().expect("an object").remove("objects")),
            &["line 3", "missing field `objects`"],
        ),
        ("l.jsonl", b"{\"schema\": \"egret/v1\", \"kind\": \"track\"}\n".to_vec(), &["no message about a frame"]),
    ];
    for (name, content, said) in &lines {
        refused(&[&file(name, content)], 1, said);
    }
    refused(&["nowhere.mp4"], 1, &["nowhere.mp4", "check the path"]);
    refused(&[text(dir.path())], 1, &["check the path"]);
    refused(&[&file("notes.txt", b"nothing to see here\n")], 1, &["neither a video nor detections"]);
    refused(&[&file("empty.mp4", b"")], 1, &["neither a video nor detections"]);
    refused(&[&noise], 1, &["noise.mp4", "--model", "--config"]);
    refused(&[&noise, "--model", "builtin:null"], 1, &["noise.mp4"]);
    refused(&[&noise, "--model", "nowhere.onnx"], 78, &["nowhere.onnx"]);
    refused(&[&noise, "--config", "nowhere.toml"], 78, &["nowhere.toml"]);
    refused(&[&sound, "--config", &wrong], 78, &["wheels"]);
    refused(&[&noise, "--config", &config], 1, &["door, yard", "--camera"]);
    refused(&[&noise, "--config", &config, "--camera", "roof"], 1, &["no camera roof", "door, yard"]);
    refused(&[&sound, "--camera", "roof"], 1, &["no frame of the camera roof", "door"]);
    refused(&[&noise, "--config", &rules], 1, &["camera.door.rule.boats", "canoe"]);
    refused(&[&sound, "--frames", &noise], 1, &["noise.mp4"]);
    refused(&[&sound, "--video", "out.avi"], 1, &["out.avi", ".mkv or .mp4"]);
    refused(&[&sound, "--messages", "nowhere/out.jsonl"], 1, &["nowhere/out.jsonl"]);
    // What is read is not written over, whatever its name.
    let before = fs::read(&sound).expect("there");
    let other = dir.path().join("./other.jsonl");
    std::os::unix::fs::symlink(&sound, &other).expect("a link");
    for out in [sound.as_str(), text(&other)] {
        refused(&[&sound, "--messages", out], 1, &["--messages would write over it", "another file"]);
    }
    refused(&[&noise, "--config", &config, "--camera", "door", "--messages", &config], 1, &["--messages would write over it"]);
    assert!(fs::read(&sound).expect("there") == before, "untouched");
    // What fails before anything is written leaves what stood there; what breaks off is there as far as it goes.
    let out = file("out.jsonl", b"of yesterday\n");
    refused(&[&noise, "--model", "builtin:null", "--messages", &out], 1, &["noise.mp4"]);
    assert_eq!(fs::read_to_string(&out).expect("there"), "of yesterday\n");
    let lines = replay(&[&sound]).stdout;
    replay(&[&sound, "--messages", &out]);
    assert!(fs::read(&out).expect("there") == lines);
    let cut = file("cut.jsonl", &[&before[..], b"{\"schema\": \"egret/v1\", \"kind\": \"frame\""].concat());
    refused(&[&cut, "--messages", &out], 1, &["cut.jsonl"]);
    let left = fs::read_dir(dir.path())
        .expect("a folder")
        .flatten()
        .filter(|file| file.file_name().to_string_lossy().ends_with("egret-new"));
    assert_eq!(left.count(), 0);
    refused(&[&sound, "--frames", "x", "--around", "2s"], 1, &["--around needs events", "door"]);
    refused(&[&sound, "--around", "2s"], 2, &["--frames"]);
    refused(&[&sound, "--start", "today"], 2, &["2026-11-21T08:00:00Z"]);
    refused(&[&det], 1, &["--fps"]);
    refused(&[&det, "--fps", "25"], 1, &["--size"]);
    refused(&[&det, "--fps", "25", "--size", "320x180"], 1, &["det.txt", "line 2", "thirty"]);
    refused(&[&det, "--fps", "0"], 2, &["between 0.01 and 1000"]);
    // A class that was never seen is no mistake.
    let told = replay(&[&sound, "--config", &rules, "--camera", "door"]);
    assert_eq!(self::lines(&told.stdout).iter().filter(|line| line["payload"]["kind"] == "frame").count(), 2);
}

fn refused(words: &[&str], code: i32, said: &[&str]) {
    let output = egret(&[&["replay"], words].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {error}");
    for word in said {
        assert!(error.contains(word), "{words:?} does not say {word:?}: {error}");
    }
    assert!(!error.contains("panicked"), "{words:?}: {error}");
}
