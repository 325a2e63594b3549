//! What is told of one frame after the other, when, and at what cost.

use std::sync::OnceLock;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use super::*;
use crate::{
    media::{Canvas, Shot},
    publish::journal::Journal,
};

#[test]
fn latency_is_that_of_the_basis() {
    let arrived = Instant::now();
    let now = now_after(arrived, Duration::from_millis(61));
    let of = |basis, wall: SystemTime| -> Value {
        let mut tracked = tracked(basis, arrived);
        tracked.capture.wall = wall;
        serde_json::from_slice(&messages(&mut composer(), &tracked, now)[0].1).expect("JSON")
    };
    let arrival = of(TimeBasis::Arrival, wall() - Duration::from_secs(9));
    assert_eq!((&arrival["latency_ms"], &arrival["since_arrival_ms"]), (&Value::from(61.0), &Value::from(61.0)));
    let ahead = of(TimeBasis::SenderReport, wall() + Duration::from_millis(20));
    assert_eq!((&ahead["latency_ms"], &ahead["since_arrival_ms"]), (&Value::from(-20.0), &Value::from(61.0)));
}

#[test]
fn updates_keep_their_distance_and_ends_are_always_told() {
    let mut composer = composer();
    let start = Instant::now();
    let mut told = |phase, ms| {
        let mut tracked = tracked(TimeBasis::Arrival, start);
        tracked.tracks = vec![track(phase)];
        let out = messages(&mut composer, &tracked, now_after(start, Duration::from_millis(ms)));
        out.iter()
            .filter(|(_, _, family)| *family == Family::Track)
            .map(|(topic, ..)| topic.rsplit('/').next().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let some = |word: &str| vec![Some(word.to_owned())];
    assert_eq!(told(TrackPhase::New, 0), some("new"));
    assert!(told(TrackPhase::Update, 40).is_empty());
    assert!(told(TrackPhase::Update, 499).is_empty());
    assert_eq!(told(TrackPhase::Update, 500), some("update"));
    assert!(told(TrackPhase::Update, 900).is_empty());
    assert_eq!(told(TrackPhase::End, 901), some("end"));
}

#[test]
fn tracks_that_end_without_a_frame_make_no_frame_message() {
    let mut composer = composer();
    let mut closing = tracked(TimeBasis::Arrival, Instant::now());
    closing.closing = true;
    closing.times = TimeCard::default();
    closing.detections.clear();
    closing.tracks = vec![track(TrackPhase::End)];
    let out = messages(&mut composer, &closing, Now::read());
    assert_eq!(out.len(), 1);
    let message: Value = serde_json::from_slice(&out[0].1).expect("JSON");
    assert_eq!((&message["phase"], &message["latency_ms"]), (&Value::from("end"), &Value::Null));
}

#[test]
fn the_end_of_a_track_shows_what_it_looked_like_at_its_best() {
    let shot = Shot {
        class: 0,
        confidence: 0.95,
        bbox: BBox::new(-10.0, 108.0, 192.0, 540.0),
        captured: wall() - Duration::from_secs(1),
        canvas: Canvas::black((40, 30)),
        jpeg: OnceLock::new(),
    };
    let arrived = Instant::now();
    let other = TrackId(7);
    let mut story = tracked(TimeBasis::Arrival, arrived);
    story.shots = vec![(story.tracks[0].id, Arc::new(shot))];
    let mut noting = composer();
    noting.keep(Journal::new("boot"));
    messages(&mut noting, &story, now_after(arrived, Duration::ZERO));
    assert!(story.shots[0].1.jpeg.get().is_none(), "what an end would be is noted without the cost of a picture");
    story.tracks = vec![track(TrackPhase::End), Track { id: other, ..track(TrackPhase::End) }];
    let out = messages(&mut composer(), &story, now_after(arrived, Duration::ZERO));
    let of = |track: TrackId| -> Value {
        let told = out.iter().filter(|(_, _, family)| *family == Family::Track);
        let mut told = told.map(|(_, payload, _)| serde_json::from_slice::<Value>(payload).expect("JSON"));
        told.find(|message| message["track"] == track.to_string()).expect("told")
    };
    assert!(of(other).get("best_shot").is_none());
    let best = &of(story.tracks[0].id)["best_shot"];
    assert_eq!(best["captured_at"], Value::from("2026-11-21T02:03:03.500000Z"));
    assert_eq!((&best["box"], &best["box_norm"]), (&json!([0.0, 108.0, 192.0, 540.0]), &json!([0.0, 0.1, 0.1, 0.5])));
    assert_eq!((&best["size"], &best["confidence"]), (&json!([40, 30]), &json!(0.95)));
    let mut message = of(story.tracks[0].id);
    message["best_shot"]["jpeg"] = Value::from("(JPEG)");
    golden("track_end_with_shot", message.to_string().as_bytes());
    let jpeg = STANDARD.decode(best["jpeg"].as_str().expect("text")).expect("base64");
    assert_eq!((&jpeg[..3], jpeg.last()), (&[0xff, 0xd8, 0xff][..], Some(&0xd9)));
}

#[test]
fn what_is_found_out_after_the_last_frame_is_told_with_a_closing_one() {
    let arrived = Instant::now();
    let report = with_steps(arrived).steps.map(|report| Box::new(StepReport { frame: report.frame, ..StepReport::default() }));
    let mut closing = tracked(TimeBasis::Arrival, arrived);
    closing.closing = true;
    closing.times = TimeCard::default();
    closing.detections.clear();
    closing.tracks.clear();
    closing.steps = report;
    let mut composer = composer();
    let out = messages(&mut composer, &closing, now_after(arrived, Duration::ZERO));
    assert_eq!(out.len(), 1);
    golden("frame_closing", &out[0].1);
    composer.measure(Duration::from_secs(1), |_| true);
    assert_eq!(composer.cameras[&closing.stream].fps, Some(0.0), "it counts for no frame");
}

#[test]
fn each_camera_and_kind_counts_for_itself() {
    let mut composer = composer();
    let arrived = Instant::now();
    let now = now_after(arrived, Duration::from_millis(1));
    let mut yard = tracked(TimeBasis::Arrival, arrived);
    yard.stream = StreamId::new(8, "yard");
    yard.tracks.clear();
    let seq = |payload: &Bytes| serde_json::from_slice::<Value>(payload).expect("JSON")["seq"].as_u64();
    let door = tracked(TimeBasis::Arrival, arrived);
    for n in 0..3 {
        assert_eq!(seq(&messages(&mut composer, &door, now)[0].1), Some(n));
    }
    assert_eq!(seq(&messages(&mut composer, &yard, now)[0].1), Some(0));
    assert_eq!(seq(&messages(&mut composer, &door, now)[1].1), Some(3), "tracks count apart from frames");
}

#[test]
fn a_camera_that_is_gone_and_silent_is_forgotten() {
    let mut composer = composer();
    let door = tracked(TimeBasis::Arrival, Instant::now());
    messages(&mut composer, &door, Now::read());
    composer.measure(Duration::from_secs(10), |_| false);
    assert_eq!(composer.cameras.len(), 1, "it sent a frame just now");
    composer.measure(Duration::from_secs(10), |_| false);
    assert!(composer.cameras.is_empty());
    assert_eq!(composer.remove(&door.stream), [("egret/box1/cam/door/status".into(), Family::CameraStatus)]);
}

/// CPU time of this thread in nanoseconds, by the scheduler's own book.
fn cpu_ns() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

/// Prints the cost of a frame message. `cargo test --release -p egret --lib cost_of_a_message -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, of use in a release build only"]
fn cost_of_a_message() {
    for objects in [1usize, 10, 50] {
        let mut composer = composer();
        let arrived = Instant::now();
        let mut scene = tracked(TimeBasis::Arrival, arrived);
        scene.tracks.clear();
        scene.detections = (0..objects)
            .map(|i| {
                let x = 31.37 * i as f32;
                let bbox = BBox::new(x, 100.123, x + 40.77, 220.456);
                TrackedDetection { detection: Detection { class: 0, confidence: 0.876_54, bbox }, track: Some(TrackId(i as u64)) }
            })
            .collect();
        let frames = 20_000;
        let mut bytes = 0;
        let Some(before) = cpu_ns() else { return };
        for _ in 0..frames {
            composer.frame(&scene, Now::read(), |_, payload, _| bytes += payload.len());
        }
        let spent = cpu_ns().unwrap_or(before) - before;
        let each = spent as f64 / f64::from(frames) / 1000.0;
        eprintln!("{objects} objects: {each:.2} us of CPU per frame message of {} bytes", bytes / frames as usize);
    }
}

#[test]
fn what_stands_still_is_told_of_once_a_minute_and_when_it_moves() {
    let mut composer = composer();
    let arrived = Instant::now();
    let mut told = |seconds: u64, stationary| {
        let track = Track { stationary, ..track(if seconds == 0 { TrackPhase::New } else { TrackPhase::Update }) };
        let tracked = Tracked { tracks: vec![track], ..tracked(TimeBasis::Arrival, arrived) };
        let out = messages(&mut composer, &tracked, now_after(arrived, Duration::from_secs(seconds)));
        out.iter().filter(|(topic, ..)| topic.contains("/track/")).count()
    };
    let heard: Vec<usize> =
        [(0, false), (1, false), (6, true), (7, true), (60, true), (66, true), (67, true), (68, false), (69, false)]
            .into_iter()
            .map(|(seconds, stationary)| told(seconds, stationary))
            .collect();
    assert_eq!(heard, [1, 1, 1, 0, 0, 1, 0, 1, 1]);
}

/// A board that is too hot.
fn board() -> egret_jetson::telemetry::Reading {
    use egret_jetson::telemetry::{Fan, Gpu, Memory, PowerMode, Rail, Reading, Temperature, Throttling};
    let zone = |zone: &str, celsius| Temperature { zone: zone.into(), celsius };
    Reading {
        gpu: Some(Gpu { load: Some(0.9713), frequency_hz: 612_000_000, max_frequency_hz: Some(1_020_000_000) }),
        temperatures: vec![zone("cpu-thermal", 93.468), zone("tj-thermal", 97.0)],
        rails: vec![Rail { name: "VDD_IN".into(), millivolts: 4976, milliamps: 3120 }],
        fan: Some(Fan { pwm: 255, rpm: Some(5980) }),
        power_mode: Some(PowerMode { id: 2, name: Some("MAXN_SUPER".into()) }),
        memory: Some(Memory { total: 7_989_747_712, available: 2_004_877_312 }),
        throttling: vec![Throttling::Cooling { device: "cpufreq-cpu0".into(), state: (4, 20) }],
        ..Reading::default()
    }
}

#[test]
fn health_is_as_its_fixture() {
    use crate::engine::EngineState;
    use crate::publish::{
        DiskQueue,
        message::{Delivered, Queue, StageTime},
    };
    let process =
        crate::observe::Process { cpu: None, resident_bytes: Some(183_500_800), threads: Some(31), descriptors: Some(84) };
    let stage = |name, p50_ms| (name, StageTime { frames: 1500, p50_ms, p99_ms: p50_ms * 2.0, max_ms: p50_ms * 3.0 });
    let disk = DiskQueue {
        waiting: 412,
        bytes: 524_288,
        max_bytes: 64 << 20,
        oldest: Some(Duration::from_millis(93_500)),
        written_bytes: 3_145_728,
        longest_sync: Duration::from_micros(12_340),
        ..DiskQueue::default()
    };
    let building = EngineState::Building { fraction: Some(0.423), remaining: Some(Duration::from_secs(195)) };
    let rejected = EngineState::Rejected("it does not agree with onnxruntime 1.31.1: recall 0.1".into());
    let cut = "cut at tensors `boxes` (float32 [batch,64,4], 1024 bytes a frame) because \
               node 13 `nms` (NonMaxSuppression): no importer";
    let street = message::Engine { cut: Some(cut.into()), ..(&building).into() };
    let findings = Findings {
        uptime_s: 3600,
        cpu_percent: Some(message::Rounded(41.25)),
        process,
        stages: [stage("decode", 4.5), stage("infer", 12.25), stage("total", 31.0)].into(),
        queues: [("publish_to_broker", Queue { length: 2, capacity: 8704 })].into(),
        disk: Some(disk.into()),
        messages: [("frame", Delivered { published: 90_000, dropped: 12 })].into(),
        connection_failures: 1,
        board: Some((&crate::throttle::Look { share: 0.75, reading: board(), ..crate::throttle::Look::default() }).into()),
        engines: [("street".to_owned(), street), ("yard".to_owned(), (&rejected).into())].into(),
    };
    let (topic, payload) = composer().health(findings, now_after(Instant::now(), Duration::ZERO));
    assert_eq!(&*topic, "egret/box1/health");
    golden("health", &payload);
}
