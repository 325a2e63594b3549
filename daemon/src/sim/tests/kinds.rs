//! What cameras show.

use super::{client::Client, *};
use crate::{config::Secret, sim::scene::SceneConfig};

const X264: &str = "x264enc bframes=2 b-adapt=false key-int-max=10 ! h264parse";

fn elapsed(frames: &[retina::codec::VideoFrame]) -> Vec<i64> {
    frames.iter().map(|f| f.timestamp().elapsed()).collect()
}

#[tokio::test]
async fn test_pictures_in_each_codec() {
    let cameras = [(Codec::H264, "h264"), (Codec::H265, "h265"), (Codec::Mjpeg, "jpeg")];
    let sim = sim(cameras.iter().map(|(codec, name)| SimCamera { codec: *codec, ..SimCamera::test(name) }).collect());
    for (codec, name) in cameras {
        let mut client = Client::tcp(&sim.url(name).unwrap()).await.unwrap();
        assert_eq!(client.encoding, name);
        let frames = client.frames(20).await;
        assert!(frames[0].is_random_access_point());
        // 15 pictures per second, on a clock of 90 kHz; the first was made for the description, perhaps a little earlier.
        assert!(elapsed(&frames)[1..].windows(2).all(|w| (w[1] - w[0] - 6000).abs() <= 1), "{codec:?} {:?}", elapsed(&frames));
        assert!(frames.iter().all(|f| f.loss() == 0));
        if codec != Codec::Mjpeg {
            assert_eq!(client.size, Some((320, 240)));
            assert!(frames[1..].iter().any(retina::codec::VideoFrame::is_random_access_point), "a key frame every second");
        }
    }
}

#[tokio::test]
async fn several_watch_one_camera() {
    let sim = sim(vec![SimCamera::test("cam")]);
    let url = sim.url("cam").unwrap();
    let mut first = Client::tcp(&url).await.unwrap();
    first.frames(3).await;
    let mut second = Client::tcp(&url).await.unwrap();
    second.frames(3).await;
    drop(first);
    second.frames(20).await;
}

#[tokio::test]
async fn over_udp() {
    let sim = sim(vec![SimCamera { clock_offset_ms: 3_600_000, ..SimCamera::test("cam") }]);
    let mut client = Client::udp(&sim.url("cam").unwrap()).await.unwrap();
    let frames = client.frames(20).await;
    assert!(frames.iter().all(|f| f.loss() == 0));
    // Faults and clocks reach datagrams too.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((super::faults::seconds(client.report().await) - now - 3600.0).abs() < 10.0);
    sim.fault("cam", Fault::Lose { rate: 0.2, seed: 1 }).unwrap();
    while client.frame().await.loss() == 0 {}
}

/// Each container and codec, three laps: no jump at the seam, every picture of each lap.
#[tokio::test]
async fn files_loop_without_a_seam() {
    let directory = tempfile::tempdir().unwrap();
    let films = [
        ("mp4", film(&directory, 20, X264, "mp4mux")),
        ("mkv", film(&directory, 20, X264, "matroskamux")),
        ("h265", film(&directory, 20, "x265enc key-int-max=10 speed-preset=ultrafast ! h265parse", "mp4mux")),
        ("avi", film(&directory, 20, "jpegenc", "avimux")),
    ];
    let sim = sim(films.iter().map(|(name, path)| SimCamera::file(name, path)).collect());
    let watch = async |name: &str| {
        let mut client = Client::tcp(&sim.url(name).unwrap()).await.unwrap();
        let frames = client.frames(60).await;
        let mut shown = elapsed(&frames);
        // With B-frames pictures come in order of decoding; retina's clock starts at the first.
        shown.sort_unstable();
        assert!(shown[1..].windows(2).all(|w| (w[1] - w[0] - 3600).abs() <= 2), "{name}: {shown:?}");
        assert!(frames.iter().all(|f| f.loss() == 0), "{name}");
    };
    futures::future::join_all(films.iter().map(|(name, _)| watch(name))).await;
}

#[tokio::test]
async fn a_file_is_sent_in_real_time_with_its_pictures_untouched() {
    let Some(path) = video("pedestrian_survaillance.mp4") else { return };
    let sim = sim(vec![SimCamera::file("people", &path)]);
    let mut client = Client::tcp(&sim.url("people").unwrap()).await.unwrap();
    assert_eq!((client.encoding.as_str(), client.size), ("h264", Some((626, 360))));
    let began = std::time::Instant::now();
    let frames = client.frames(60).await;
    let took = began.elapsed().as_secs_f64();
    assert!((1.7..3.5).contains(&took), "60 pictures at 30 per second took {took} s");

    let bytes = std::fs::read(&path).unwrap();
    for frame in &frames {
        // The last NAL unit is the picture; the parser puts parameter sets before it.
        let start = frame.data().windows(4).rposition(|w| w == [0, 0, 0, 1]).unwrap() + 4;
        let nal = &frame.data()[start..];
        assert!(bytes.windows(nal.len().min(64)).any(|w| w == &nal[..nal.len().min(64)]));
    }
}

#[tokio::test]
async fn passwords() {
    let login = |scheme| Some(Credentials { user: "ward en".into(), password: Secret::new("p:ä@ss/\"w"), scheme });
    let sim = sim(vec![
        SimCamera { credentials: login(Scheme::Basic), ..SimCamera::test("basic") },
        SimCamera { credentials: login(Scheme::Digest), ..SimCamera::test("digest") },
    ]);
    for name in ["basic", "digest"] {
        let url = sim.url(name).unwrap();
        let watch = |login| Client::watch(&url, login, retina::client::Transport::default());
        let mut client = watch(Some(("ward en", "p:ä@ss/\"w"))).await.unwrap();
        client.frames(3).await;
        let wrong = watch(Some(("ward en", "guess"))).await.err().unwrap().to_string();
        assert!(wrong.contains("401"), "{name}: {wrong}");
        assert!(watch(None).await.is_err(), "{name}");
    }
}

#[test]
fn what_cannot_be_simulated_says_why() {
    let start = |camera| Sim::start(SimConfig::new(vec![camera])).unwrap_err().to_string();
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("notes.txt");
    std::fs::write(&text, "no video in here").unwrap();
    let sound = directory.path().join("sound.wav");
    testing::film(&sound, "audiotestsrc num-buffers=10 ! wavenc");

    let absent = start(SimCamera::file("cam", "/nowhere/at.mp4"));
    assert!(absent.contains("cam") && absent.contains("/nowhere/at.mp4"), "{absent}");
    assert!(start(SimCamera::file("cam", &text)).contains("notes.txt"));
    assert!(start(SimCamera::file("cam", &sound)).ends_with("sound.wav: holds no video"));
    let vp8 = film(&directory, 3, "vp8enc", "webmmux");
    let foreign = start(SimCamera::file("cam", &vp8));
    assert!(foreign.contains("video/x-vp8"), "{foreign}");
    assert!(start(SimCamera::new("cam", What::Webcam("/dev/video99".into()))).contains("/dev/video99"));
    let pattern = What::Test { pattern: "tartan".into(), width: 64, height: 64 };
    assert!(start(SimCamera::new("cam", pattern)).contains("tartan"));
    assert!(start(SimCamera::test("a b")).contains("a b"));
    let twice = Sim::start(SimConfig::new(vec![SimCamera::test("a"), SimCamera::test("a")])).unwrap_err();
    assert!(matches!(twice, SimError::Twice(_)));

    let sim = sim(vec![SimCamera::test("cam")]);
    assert!(matches!(sim.url("dog"), Err(SimError::Unknown(_))));
    let port = sim.url("cam").unwrap().split([':', '/']).nth(4).unwrap().parse().unwrap();
    let taken = Sim::start(SimConfig { port, ..SimConfig::new(vec![SimCamera::test("cam")]) }).unwrap_err();
    assert!(matches!(taken, SimError::Listen { .. }), "{taken}");
}

#[tokio::test]
async fn a_scene_is_drawn_by_its_seed_and_its_truth_tells_what_was_sent_and_when() {
    let directory = tempfile::tempdir().unwrap();
    let scene = |seed| SceneConfig { seed, width: 320, height: 180, ..SceneConfig::default() };
    let cameras = [("one", 7), ("same", 7), ("other", 8)];
    let cameras = cameras.map(|(name, seed)| SimCamera { sender_reports: true, ..SimCamera::scene(name, scene(seed)) });
    let sim = Sim::start(SimConfig { truth: Some(directory.path().into()), ..SimConfig::new(cameras.into()) }).unwrap();
    let mut shown = Vec::new();
    for name in ["one", "same", "other"] {
        let mut client = Client::tcp(&sim.url(name).unwrap()).await.unwrap();
        let frames = client.frames(20).await;
        shown.push((client.report().await, frames));
    }
    let data = |n: usize| shown[n].1.iter().map(|f| f.data().to_vec()).collect::<Vec<_>>();
    assert!(data(0) == data(1), "the same seed");
    assert!(data(0)[0] != data(2)[0], "another seed");

    // The clock of the sender reports and the truth agree on when each frame was captured.
    let (report, frames) = &shown[0];
    let lines = std::fs::read_to_string(directory.path().join("one.jsonl")).unwrap();
    let lines: Vec<TruthLine> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (number, frame) in frames.iter().enumerate() {
        let line = &lines[number];
        assert_eq!((line.truth.frame, line.size), (number as u64, [320, 180]));
        let since_report = f64::from((frame.timestamp().timestamp() as u32).wrapping_sub(report.rtp) as i32) / 90_000.0;
        let captured = super::faults::seconds(*report) + since_report;
        let off_ms = (captured - line.captured_unix_us as f64 / 1e6) * 1000.0;
        assert!(off_ms.abs() < 10.0, "frame {number} is off by {off_ms} ms");
    }
    assert!(lines.iter().any(|line| !line.truth.objects.is_empty()));
}
