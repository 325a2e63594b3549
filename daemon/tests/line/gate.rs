//! The motion gate through the whole line: a street in which nobody is for a while, over RTSP.

use egret::sim::{
    SimConfig, TruthLine,
    scene::{SceneConfig, TruthObject},
};

use super::*;

/// By its truth nothing moves for seven seconds and a half, then somebody comes into view, and goes.
const QUIET_FRAMES: u64 = 75;
const FPS: u32 = 10;
const FRAMES: u64 = 110;

fn street() -> SceneConfig {
    SceneConfig { seed: 4005, width: 320, height: 180, fps: FPS, density: 0.1, clock: false, ..SceneConfig::default() }
}

/// Shows well enough that somebody would have to look.
fn shows(object: &TruthObject) -> bool {
    object.visible >= 0.5 && object.inside >= 0.5 && object.visible_box[3] - object.visible_box[1] >= 16
}

/// When the frame of a message was captured, in microseconds since 1970.
fn captured(message: &Received) -> u64 {
    let json: serde_json::Value = serde_json::from_slice(&message.payload).expect("JSON");
    let stamp: jiff::Timestamp = json["captured_at"].as_str().expect("a time").parse().expect("a time");
    u64::try_from(stamp.as_microsecond()).expect("after 1970")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_camera_is_gated_until_somebody_comes() {
    let directory = tempfile::tempdir().expect("a directory");
    let truth = Some(directory.path().to_owned());
    let sim = SimConfig { truth, ..SimConfig::new(vec![SimCamera::scene("street", street())]) };
    let model = "[[model]]\nname = \"none\"\nbuiltin = \"null\"\nworkers = 1\n";
    let keys = "motion_gate = true\nmotion_hold = \"500ms\"\nstill_interval = \"1h\"\n";
    let line = Running::start_sim(sim, &["street"], model, keys).await;
    let mut rig = Rig { line, frames: BTreeMap::new(), states: BTreeMap::new() };
    let mut looked = Vec::new();
    let mut look = interval(LOOK_EVERY);
    let counts = loop {
        assert!(Instant::now() < rig.line.deadline, "not in time: {} frames looked at", looked.len());
        tokio::select! {
            message = rig.line.received.recv() => {
                let message = message.expect("the broker stays");
                looked.extend(message.topic.ends_with("/frame").then(|| captured(&message)));
            }
            _ = look.tick() => rig.look(),
        }
        let counts = rig.line.pipeline.books().snapshot().cameras[0].counts;
        if counts.decoded >= FRAMES && counts.in_flight == 0 && looked.len() as u64 >= counts.inferred {
            break counts;
        }
    };
    rig.line.stop().await;

    // The law, with the gate's share in it.
    assert!(counts.balanced(), "{counts:?}");
    assert_eq!(counts.dropped.total(), counts.dropped.gated + counts.dropped.replaced + counts.dropped.stale, "{counts:?}");
    assert!(counts.dropped.gated >= 30, "{counts:?}");

    let sent = std::fs::read_to_string(directory.path().join("street.jsonl")).expect("the truth");
    let sent: Vec<TruthLine> = sent.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let half = 500_000 / u64::from(FPS);
    let was_looked_at = |frame: &TruthLine| looked.iter().any(|at| at.abs_diff(frame.captured_unix_us) < half);
    // The first two seconds are always looked at; what follows is not while nothing moves.
    let quiet: Vec<&TruthLine> = sent.iter().filter(|frame| (30..QUIET_FRAMES - 15).contains(&frame.truth.frame)).collect();
    assert!(quiet.len() >= 25, "{}", quiet.len());
    assert!(quiet.iter().all(|frame| !was_looked_at(frame)), "a still picture was looked at");
    // Who comes is seen in the first second.
    let stranger = |frame: &&TruthLine| {
        let known = |id: u64| sent.iter().take(20).any(|frame| frame.truth.objects.iter().any(|object| object.id == id));
        frame.truth.objects.iter().any(|object| shows(object) && !known(object.id))
    };
    let first = sent.iter().position(|frame| stranger(&frame)).expect("somebody comes");
    assert!(sent[first].truth.frame >= QUIET_FRAMES, "{}", sent[first].truth.frame);
    let frames: Vec<bool> = sent[first..].iter().take(FPS as usize).map(was_looked_at).collect();
    assert!(frames.iter().any(|looked| *looked), "nobody looked in the first second");
    assert!(frames.iter().filter(|looked| **looked).count() >= 5, "most of them, {frames:?}");
}
