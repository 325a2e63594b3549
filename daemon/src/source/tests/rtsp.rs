//! Simulated cameras over real RTSP.

use std::time::SystemTime;

use super::*;
use crate::{
    config::{Credentials, Secret},
    media::{Mark, TimeBasis},
    sim::{self, Scheme, Sim, SimCamera, SimConfig, What},
    testing,
};

fn sim(camera: SimCamera) -> (Sim, RtspConfig) {
    let name = camera.name.clone();
    let sim = Sim::start(SimConfig::new(vec![camera])).unwrap();
    let url = sim.url(&name).unwrap();
    (sim, rtsp(&url))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_arrives_over_tcp() {
    for codec in [Codec::H264, Codec::H265, Codec::Mjpeg] {
        let (_sim, config) = sim(SimCamera { codec, ..SimCamera::test("door") });
        let rig = Rig::start(&camera(SourceConfig::Rtsp(config)));
        let frames = rig.frames(10).await;
        let status = rig.status();
        assert_eq!((status.state, status.codec, status.size), (CameraState::Online, Some(codec), Some((320, 240))));
        assert_eq!((status.reconnects, status.decode_errors, status.detail.as_str()), (0, 0, ""));
        assert!(frames.windows(2).all(|w| w[0].pts < w[1].pts));
        assert!(frames.iter().all(|frame| frame.times.between(Mark::Received, Mark::Decoded).is_some()));
        assert!(rig.camera.graph().is_some_and(|dot| dot.contains("digraph")));
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn udp() {
    let (_sim, mut config) = sim(SimCamera::test("door"));
    config.transport = RtspTransport::Udp;
    let rig = Rig::start(&camera(SourceConfig::Rtsp(config)));
    rig.frames(10).await;
    assert_eq!(rig.status().state, CameraState::Online);
    rig.stop().await;
}

/// Seconds between a frame's capture and now.
fn age(frame: &Frame) -> f64 {
    match SystemTime::now().duration_since(frame.capture.wall) {
        Ok(age) => age.as_secs_f64(),
        Err(ahead) => -ahead.duration().as_secs_f64(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn capture_times_come_from_sender_reports() {
    for (offset_ms, basis) in
        [(0, TimeBasis::SenderReport), (-1_800_000, TimeBasis::SenderReport), (3 * 86_400_000, TimeBasis::Arrival)]
    {
        let (_sim, config) = sim(SimCamera { clock_offset_ms: offset_ms, ..SimCamera::test("door") });
        let rig = Rig::start(&camera(SourceConfig::Rtsp(config)));
        // The first report comes within five seconds.
        let mut last = rig.frames(1).await.pop().unwrap();
        let started = Instant::now();
        while (last.capture.basis != basis || basis == TimeBasis::Arrival) && started.elapsed() < Duration::from_secs(8) {
            last = rig.frames(5).await.pop().unwrap();
        }
        assert_eq!(last.capture.basis, basis, "offset {offset_ms} ms");
        let expected = if basis == TimeBasis::SenderReport { -offset_ms as f64 / 1000.0 } else { 0.0 };
        let off = (age(&last) - expected).abs();
        assert!(off < 5.0, "offset {offset_ms} ms: {off} s off");
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_sender_reports_the_arrival_counts() {
    let (_sim, config) = sim(SimCamera { sender_reports: false, ..SimCamera::test("door") });
    let rig = Rig::start(&camera(SourceConfig::Rtsp(config)));
    let frames = rig.frames(30).await;
    assert!(frames.iter().all(|frame| frame.capture.basis == TimeBasis::Arrival && age(frame).abs() < 10.0));
    rig.stop().await;
}

fn credentials(password: &str) -> Credentials {
    Credentials { username: "admin".into(), password: Secret::new(password) }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_of_any_characters_are_accepted_and_wrong_ones_named() {
    let password = "p@ss:w/ör d%#?&\"'";
    for scheme in [Scheme::Basic, Scheme::Digest] {
        let known = sim::Credentials { user: "admin".into(), password: Secret::new(password), scheme };
        let (_sim, config) = sim(SimCamera { credentials: Some(known), ..SimCamera::test("door") });
        let right = RtspConfig { credentials: Some(credentials(password)), ..config.clone() };
        let rig = Rig::start(&camera(SourceConfig::Rtsp(right)));
        rig.frames(3).await;
        rig.stop().await;
        for wrong in [Some(credentials("hunter2")), None] {
            let rig = Rig::start(&camera(SourceConfig::Rtsp(RtspConfig { credentials: wrong, ..config.clone() })));
            let status = rig.state(CameraState::AuthFailed).await;
            assert!(status.detail.starts_with("401") && !status.detail.contains("hunter2"), "{}", status.detail);
            rig.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn key_frames_only() {
    let Some(file) = data("video/street_cars.mp4") else { return };
    let (_sim, config) = sim(SimCamera::file("door", file));
    let rig = Rig::start(&CameraConfig {
        key_frames_only: true,
        no_data_timeout: Duration::from_secs(30),
        ..camera(SourceConfig::Rtsp(config))
    });
    let frames = rig.frames(2).await;
    let step = frames[1].pts.saturating_sub(frames[0].pts);
    assert!(step > Duration::from_millis(200), "{step:?}");
    assert_eq!(rig.status().skipped_to_idr, 0);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_never_change_are_reported() {
    let what = What::Test { pattern: "blue".into(), width: 320, height: 240 };
    let (_sim, config) = sim(SimCamera::new("door", what));
    let config = CameraConfig { frozen_timeout: Duration::from_secs(1), ..camera(SourceConfig::Rtsp(config)) };
    let rig = Rig::start(&config);
    rig.state(CameraState::Online).await;
    let status = rig.state(CameraState::Frozen).await;
    assert_eq!(status.detail, "the pictures do not change");
    assert_eq!(rig.frames(3).await.len(), 3, "frozen pictures still go down the line");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cameras_come_and_go_without_a_trace() {
    if !testing::alone() {
        return;
    }
    let (_sim, config) = sim(SimCamera::test("door"));
    let visit = async |times: usize| {
        for _ in 0..times {
            let rig = Rig::start(&camera(SourceConfig::Rtsp(config.clone())));
            rig.frames(2).await;
            rig.stop().await;
        }
    };
    // Threads and buffers that are made once and kept are made in the first visits.
    visit(4).await;
    let before = testing::settled(|_| false).await;
    visit(10).await;
    let after = testing::settled(|held| held.0 <= before.0 && held.1 <= before.1).await;
    assert!(after.0 <= before.0 && after.1 <= before.1, "threads and descriptors: {before:?}, then {after:?}");
}
