//! Files, devices, test pictures and fragments.

use std::{collections::BTreeSet, path::Path, sync::Condvar};

use super::*;
use crate::{
    config::{FileConfig, TestConfig},
    testing::film,
};

const PICTURES: &str = "videotestsrc num-buffers=50 pattern=ball ! video/x-raw,format=I420,width=160,height=120,framerate=25/1";

fn file(path: &Path) -> FileConfig {
    FileConfig { path: path.to_owned(), repeat: false, realtime: false, every_frame: true }
}

fn codings() -> Vec<(&'static str, String)> {
    vec![
        ("h264.mp4", format!("{PICTURES} ! x264enc bframes=2 ! h264parse ! mp4mux")),
        ("h265.mkv", format!("{PICTURES} ! x265enc ! h265parse ! matroskamux")),
        ("vp8.webm", format!("{PICTURES} ! vp8enc deadline=1 ! webmmux")),
        ("mjpeg.avi", format!("{PICTURES} ! jpegenc ! avimux")),
        ("raw.avi", format!("{PICTURES} ! avimux")),
        ("h264.ts", format!("{PICTURES} ! x264enc ! h264parse ! mpegtsmux")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_any_kind_is_played_once_whole_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    for (name, pipeline) in codings() {
        let path = dir.path().join(name);
        film(&path, &pipeline);
        let rig = Rig::start(&camera(SourceConfig::File(file(&path))));
        tokio::time::timeout(DEADLINE, rig.camera.ended()).await.unwrap_or_else(|_| panic!("{name}: {:?}", rig.status()));
        assert!(rig.camera.has_ended());
        let frames = rig.inbox.take();
        assert_eq!(frames.len(), 50, "{name}: {:?}", rig.status());
        assert!(frames.windows(2).all(|w| w[0].pts < w[1].pts), "{name}");
        let status = rig.status();
        assert_eq!((status.state, status.size), (CameraState::Ended, Some((160, 120))), "{name}");
        drop(frames);
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_file_goes_on_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    film(&path, &codings()[0].1);
    let rig = Rig::start(&camera(SourceConfig::File(FileConfig { repeat: true, ..file(&path) })));
    let frames = rig.frames_so_far(180).await;
    let steps: BTreeSet<u64> = frames.windows(2).map(|w| (w[1].pts.saturating_sub(w[0].pts)).as_millis() as u64).collect();
    assert!(steps.iter().all(|step| (30..=90).contains(step)), "{steps:?}");
    assert_eq!(rig.status().reconnects, 0);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_be_paced_by_its_clock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    film(&path, &codings()[0].1);
    let started = Instant::now();
    let rig = Rig::start(&camera(SourceConfig::File(FileConfig { realtime: true, ..file(&path) })));
    rig.camera.ended().await;
    assert!(started.elapsed() >= Duration::from_millis(1900), "{:?}", started.elapsed());
    assert_eq!(rig.inbox.len(), 50);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_key_frames_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    film(&path, &format!("{PICTURES} ! x264enc key-int-max=10 ! h264parse ! mp4mux"));
    let rig = Rig::start(&CameraConfig { key_frames_only: true, ..camera(SourceConfig::File(file(&path))) });
    rig.camera.ended().await;
    assert_eq!(rig.inbox.len(), 5);
    rig.stop().await;
}

/// The real slot of a batcher: every frame of a file, in order, none dropped, whatever the batcher's speed.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_fills_a_batcher_with_every_frame() {
    use crate::batch::{Batcher, Limits, Mode, Outcome, StreamSettings, Work};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    film(&path, &codings()[0].1);
    let limits = Limits { max_batch: 16, max_wait: Duration::from_millis(50), staleness: Duration::from_millis(1), instances: 1 };
    let batcher = Batcher::new(limits);
    let (board, stream) = (StatusBoard::new(), StreamId::new(1, "cam"));
    board.add(&stream);
    let settings = StreamSettings::new(Mode::EveryFrame { queue: 16 });
    let slot = batcher.add(stream.clone(), settings);
    let engine = {
        let batcher = Arc::clone(&batcher);
        std::thread::spawn(move || {
            let mut seqs = Vec::new();
            while let Some(work) = batcher.next() {
                if let Work::Batch(batch) = work {
                    seqs.extend(batch.frames.iter().map(|frame| frame.seq));
                    batcher.finished(&batch.frames, Outcome::Inferred, Duration::from_millis(1));
                }
            }
            seqs
        })
    };
    let running = start(&camera(SourceConfig::File(file(&path))), stream, slot, board, hasty());
    running.ended().await;
    running.stop().await;
    batcher.close();
    assert_eq!(engine.join().unwrap(), (0..50).collect::<Vec<u64>>());
    let total = batcher.total();
    assert_eq!((total.decoded, total.inferred, total.in_flight), (50, 50, 0));
}

/// A line that takes nothing holds the file back, and stopping the camera frees it.
#[tokio::test(flavor = "multi_thread")]
async fn back_pressure_ends_with_the_camera() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    film(&path, &codings()[0].1);
    let (board, stream) = (StatusBoard::new(), StreamId::new(1, "cam"));
    board.add(&stream);
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let (arrived, waits, opens) = (Arc::new(Notify::new()), Arc::clone(&gate), gate);
    let tells = Arc::clone(&arrived);
    let sink = FrameSink::new(
        move |_| {
            tells.notify_one();
            let closed = waits.0.lock().unwrap();
            drop(waits.1.wait_while(closed, |closed| !*closed).unwrap());
            false
        },
        move || {
            *opens.0.lock().unwrap() = true;
            opens.1.notify_all();
        },
    );
    let running = start(&camera(SourceConfig::File(file(&path))), stream, sink, board, hasty());
    arrived.notified().await;
    tokio::time::timeout(DEADLINE, running.stop()).await.expect("the camera stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let tone = dir.path().join("tone.wav");
    film(&tone, "audiotestsrc num-buffers=20 ! wavenc");
    let whole = dir.path().join("whole.mp4");
    film(&whole, &codings()[0].1);
    let bytes = std::fs::read(&whole).unwrap();
    for (path, states) in [
        (dir.path().join("absent.mp4"), &[CameraState::NotFound][..]),
        (
            write("text.mp4", b"this is a text, and a long enough one to be told from a film by its first bytes"),
            &[CameraState::UnsupportedCodec],
        ),
        (tone, &[CameraState::UnsupportedCodec]),
        (write("half.mp4", &bytes[..bytes.len() / 2]), &[CameraState::DecodeError, CameraState::UnsupportedCodec]),
        (write("empty.mp4", b""), &[CameraState::DecodeError, CameraState::UnsupportedCodec]),
    ] {
        let patient = CameraConfig { no_data_timeout: Duration::from_secs(10), ..camera(SourceConfig::File(file(&path))) };
        let rig = Rig::start(&patient);
        let status = rig.until("a failure", |status| status.state != CameraState::Connecting).await;
        assert!(states.contains(&status.state) && !status.detail.is_empty(), "{}: {status:?}", path.display());
        assert!(!rig.camera.has_ended(), "it is tried again");
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_is_refused_and_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
    let rig = Rig::start(&camera(SourceConfig::File(file(&path))));
    rig.state(CameraState::Unreachable).await;
    assert_eq!(rig.status().detail, "a FIFO, not a regular file");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_appears_later_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    let rig = Rig::start(&camera(SourceConfig::File(file(&path))));
    rig.state(CameraState::NotFound).await;
    let draft = dir.path().join("draft.mp4");
    film(&draft, &codings()[0].1);
    std::fs::rename(draft, path).unwrap();
    rig.camera.ended().await;
    assert_eq!(rig.inbox.len(), 50);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn test_pictures() {
    let test = TestConfig { pattern: "ball".into(), width: 320, height: 180, fps: 30 };
    let rig = Rig::start(&camera(SourceConfig::Test(test.clone())));
    rig.frames(10).await;
    assert_eq!(rig.status().size, Some((320, 180)));
    rig.stop().await;
    let rig = Rig::start(&camera(SourceConfig::Test(TestConfig { pattern: "no-such ! thing".into(), ..test })));
    let status = rig.until("a failure", |status| status.state != CameraState::Connecting).await;
    assert!(status.detail.contains("pattern"), "{status:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fragments_end_in_raw_or_encoded_video() {
    for text in [
        "videotestsrc is-live=true ! video/x-raw,format=YUY2,width=320,height=240",
        "videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240 ! x264enc tune=zerolatency",
        "videotestsrc is-live=true ! video/x-raw,width=320,height=240 ! jpegenc",
    ] {
        let rig = Rig::start(&camera(SourceConfig::Gst(text.into())));
        rig.frames(10).await;
        let status = rig.status();
        assert_eq!((status.state, status.size), (CameraState::Online, Some((320, 240))), "{text}");
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_fragments_are_named() {
    for (text, words) in [
        ("videotestsrc ! no_such_element", "no_such_element"),
        ("videotestsrc ! ! identity", "fragment"),
        ("videotestsrc ! fakesink", "open end"),
        ("filesrc location=/absent/film.mp4", "film.mp4"),
        ("souphttpsrc", ""),
    ] {
        let rig = Rig::start(&camera(SourceConfig::Gst(text.into())));
        let status = rig.until("a failure", |status| status.state != CameraState::Connecting).await;
        assert!(status.detail.contains(words), "{text}: {status:?}");
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_device() {
    let rig = Rig::start(&camera(SourceConfig::V4l2("/dev/video-absent".into())));
    let status = rig.until("a failure", |status| status.state != CameraState::Connecting).await;
    assert_eq!(status.state, CameraState::NotFound, "{status:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_source_that_falls_silent() {
    let text = "videotestsrc is-live=true num-buffers=1000000 ! video/x-raw,width=64,height=64 ! valve name=v drop=true";
    let config = CameraConfig { no_data_timeout: Duration::from_millis(300), ..camera(SourceConfig::Gst(text.into())) };
    let rig = Rig::start(&config);
    let status = rig.until("a failure", |status| status.state != CameraState::Connecting).await;
    assert_eq!(status.state, CameraState::NoData, "{status:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_graph_of_a_failing_pipeline_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("text.mp4");
    std::fs::write(&path, "this is a text, and a long enough one to be told from a film by its first bytes").unwrap();
    let context = Context { graph_dir: Some(dir.path().join("graphs")), ..hasty() };
    let rig = Rig::start_with(&camera(SourceConfig::File(file(&path))), context);
    rig.state(CameraState::UnsupportedCodec).await;
    rig.stop().await;
    let dot = std::fs::read_to_string(dir.path().join("graphs/cam.dot")).unwrap();
    assert!(dot.contains("parsebin"), "{dot}");
}
