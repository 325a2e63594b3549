//! Recordings that are not as most are: odd sizes, another size in the middle, no encoder, another tracker.

use super::*;

/// Runs a pipeline to its end.
fn draw(line: &str) {
    gst::init().expect("GStreamer");
    let pipeline = gst::parse::launch(line).expect("a pipeline").downcast::<gst::Pipeline>().expect("a pipeline");
    pipeline.set_state(gst::State::Playing).expect("plays");
    let bus = pipeline.bus().expect("a bus");
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let ended = bus.timed_pop_filtered(gst::ClockTime::from_seconds(PATIENCE.as_secs()), &ends);
    pipeline.set_state(gst::State::Null).expect("stops");
    assert_eq!(ended.map(|message| message.type_()), Some(gst::MessageType::Eos), "{line}");
}

/// The size and the time in milliseconds of each frame of a video, as a replay tells them.
fn frames(video: &Path) -> Vec<([u64; 2], f64)> {
    let told = lines(&replay(&[text(video), "--model", "builtin:null"]).stdout);
    told.iter()
        .map(|line| {
            let payload = &line["payload"];
            let side = |i: usize| payload["size"][i].as_u64().expect("a size");
            ([side(0), side(1)], payload["pts_ms"].as_f64().expect("a time"))
        })
        .collect()
}

#[test]
fn odd_sizes_are_replayed_and_drawn() {
    let dir = tempfile::tempdir().expect("a folder");
    let (odd, film, pictures) = (dir.path().join("odd.mkv"), dir.path().join("out.mkv"), dir.path().join("pictures"));
    draw(&format!(
        "videotestsrc num-buffers=6 ! video/x-raw,format=I420,width=321,height=181,framerate=10/1 ! jpegenc ! matroskamux ! \
         filesink location={}",
        odd.display()
    ));
    assert!(frames(&odd).iter().map(|(size, _)| *size).eq([[321, 181]; 6]));
    replay(&[text(&odd), "--model", "builtin:null", "--video", text(&film), "--frames", text(&pictures)]);
    // H.264 halves colours, so that its sides are even.
    assert!(frames(&film).iter().map(|(size, _)| *size).eq([[322, 182]; 6]));
    let jpeg = fs::read(pictures.join("000005.jpg")).expect("the last picture");
    // The frame header of a baseline JPEG: marker, length, bits, height, width.
    let header = jpeg.windows(2).position(|bytes| bytes == [0xff, 0xc0]).expect("a frame header");
    assert_eq!(jpeg[header + 5..header + 9], [0, 181, 321_u16.to_be_bytes()[0], 321_u16.to_be_bytes()[1]]);
}

#[test]
fn a_recording_whose_size_changes_is_replayed_to_its_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let (both, film) = (dir.path().join("both.h264"), dir.path().join("out.mkv"));
    let mut stream = Vec::new();
    for (width, height) in [(320, 180), (176, 144)] {
        let part = dir.path().join(format!("{width}.h264"));
        draw(&format!(
            "videotestsrc num-buffers=8 ! video/x-raw,format=I420,width={width},height={height},framerate=10/1 ! \
             x264enc bframes=0 speed-preset=ultrafast ! video/x-h264,stream-format=byte-stream ! filesink location={}",
            part.display()
        ));
        stream.extend(fs::read(part).expect("a stream"));
    }
    fs::write(&both, stream).expect("written");
    let told = frames(&both);
    assert!(told.iter().map(|(size, _)| *size).eq([[[320, 180]; 8], [[176, 144]; 8]].concat()), "{told:?}");
    assert!(told.windows(2).all(|pair| pair[1].1 > pair[0].1), "{told:?}");
    replay(&[text(&both), "--model", "builtin:null", "--video", text(&film)]);
    assert!(frames(&film).iter().map(|(size, _)| *size).eq([[320, 180]; 16]));
}

#[test]
fn a_size_that_changes_in_mid_track_makes_no_event_of_its_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let (recording, config, film) = (dir.path().join("a.jsonl"), dir.path().join("egret.toml"), dir.path().join("out.mkv"));
    let told: Vec<String> = (0..30)
        .map(|frame| {
            let mut message = message("door", frame);
            let scale = if frame < 20 { 1.0 } else { 2.0 };
            let x = 100.0 + 6.0 * frame as f64;
            message["size"] = json!([320.0 * scale, 180.0 * scale].map(|side| side as u64));
            message["objects"][0]["box"] = json!([x, 60.0, x + 24.0, 120.0].map(|v| v * scale));
            message["captured_at"] = json!(format!("2026-11-21T08:00:{:02}.{}Z", frame / 10, frame % 10));
            message.to_string()
        })
        .collect();
    fs::write(&recording, told.join("\n")).expect("written");
    let rule = "[[camera]]\nname = \"door\"\nurl = \"test:smpte\"\n[[camera.rule]]\nname = \"middle\"\nkind = \"line\"\n\
                line = [[0.6, 1.0], [0.6, 0.0]]\n";
    fs::write(&config, format!("[[model]]\nname = \"m\"\nbuiltin = \"null\"\n{rule}")).expect("written");
    let out = lines(&replay(&[text(&recording), "--config", text(&config), "--messages", "-", "--video", text(&film)]).stdout);
    let events: Vec<&Value> =
        out.iter().filter(|line| line["topic"].as_str().is_some_and(|topic| topic.ends_with("event/middle"))).collect();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["payload"]["direction"], "in");
    assert!(frames(&film).iter().map(|(size, _)| *size).eq([[320, 180]; 30]));
}

/// A det.txt with an object that is not seen for half a second.
fn blink(dir: &Path) -> PathBuf {
    let seen = (0..FRAMES).filter(|frame| !(15..20).contains(frame));
    let rows: Vec<String> = seen.map(|frame| format!("{},-1,{},60,24,60,0.9", frame + 1, bicycle(frame)[0])).collect();
    let file = dir.join("det.txt");
    fs::write(&file, rows.join("\n")).expect("written");
    file
}

#[test]
fn another_tracker_can_be_asked_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let (det, config) = (blink(dir.path()), dir.path().join("egret.toml"));
    let words = [text(&det), "--fps", "10", "--size", "320x180"];
    let identities = |more: &[&str]| {
        let told = lines(&replay(&[&words[..], more].concat()).stdout);
        let tracks = told.iter().map(|line| line["payload"]["objects"][0]["track"].clone()).filter(|track| !track.is_null());
        tracks.map(|track| track.to_string()).collect::<std::collections::BTreeSet<_>>().len()
    };
    // SORT forgets what it does not see in the next frame.
    assert_eq!((identities(&[]), identities(&["--tracker", "sort"])), (1, 2));
    // It is asked for over what the configuration says.
    let text_of = "[track]\ntracker = \"sort\"\n[[model]]\nname = \"m\"\nbuiltin = \"null\"\n[[camera]]\nname = \"replay\"\nurl = \"test:smpte\"\n";
    fs::write(&config, text_of).expect("written");
    let configured = ["--config", text(&config)];
    assert_eq!((identities(&configured), identities(&[&configured[..], &["--tracker", "egret"]].concat())), (2, 1));
    refused(&[&words[..], &["--tracker", "best"]].concat(), 78, &["--tracker", "track.tracker", "\"bytetrack\""]);
}

#[test]
fn without_an_encoder_for_h264_a_video_is_motion_jpeg() {
    gst::init().expect("GStreamer");
    let dir = tempfile::tempdir().expect("a folder");
    // GStreamer's own folder without its plugin for x264.
    let few = dir.path().join("few");
    fs::create_dir(&few).expect("a folder");
    for plugin in ["app", "coreelements", "matroska", "isomp4"] {
        let file = gst::Registry::get().find_plugin(plugin).and_then(|plugin| plugin.filename()).expect(plugin);
        std::os::unix::fs::symlink(&file, few.join(file.file_name().expect("a name"))).expect("a link");
    }
    let det = blink(dir.path());
    let write = |name: &str| {
        let film = dir.path().join(name);
        let output = Command::new(env!("CARGO_BIN_EXE_egret"))
            .args(["replay", text(&det), "--fps", "10", "--size", "321x181", "--video", text(&film)])
            .env("GST_PLUGIN_SYSTEM_PATH_1_0", &few)
            .env("GST_PLUGIN_PATH_1_0", "")
            .env("GST_REGISTRY_1_0", few.join("registry.bin"))
            .stdin(Stdio::null())
            .output()
            .expect("egret starts");
        (film, output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (_, code, said) = write("out.mp4");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("x264enc") && said.contains(".mkv"), "{said}");
    let (film, code, said) = write("out.mkv");
    assert_eq!(code, Some(0), "{said}");
    let bytes = fs::read(&film).expect("a video");
    assert!(bytes.windows(4).any(|bytes| bytes == b"MJPG"), "the FourCC of the coding");
    // Every frame, at its time, and of the size that it has: JPEG knows odd ones.
    let told = frames(&film);
    assert_eq!(told.len() as u64, FRAMES);
    assert!((0..).zip(&told).all(|(i, (size, at))| *size == [321, 181] && (at - 100.0 * f64::from(i)).abs() < 1.5), "{told:?}");
}
