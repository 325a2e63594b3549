use egret_models::task::{Areas, Run};
use serde_json::Value;

use super::{
    super::{
        herald::Herald,
        message::{Presence, PresenceReason},
        testing,
    },
    *,
};
use crate::{
    config::MqttVersion,
    media::{
        self, BBox, Boxes, Capture, Codec, Detection, Extra, Extras, Finding, ModelInfo, ObjectMask, Rename, StepReport,
        StepState, TimeBasis, TimeCard, Track, TrackedDetection, Turned,
    },
    status::{CameraState, PictureFaults},
    step::SkipReason,
};

pub(in crate::publish) const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/publish/testdata");

pub(in crate::publish) fn config() -> MqttConfig {
    MqttConfig { track_update_interval: Duration::from_millis(500), ..testing::config(1883, MqttVersion::V5) }
}

pub(in crate::publish) fn wall() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_226_584_500)
}

pub(in crate::publish) fn composer() -> Composer {
    Composer::new(&config(), "box1", "0f8fad5b-d9cb-469f-a165-70867728950e")
}

fn track(phase: TrackPhase) -> Track {
    Track {
        id: TrackId(0x0123_4567_89ab_cdef),
        class: 0,
        confidence: 0.876_54,
        bbox: BBox::new(-3.0, 100.004, 149.996, 300.0),
        velocity: (12.34, -0.001),
        stationary: false,
        first_seen: wall() - Duration::from_secs(2),
        last_seen: wall() - Duration::from_millis(40),
        hits: 17,
        phase,
    }
}

pub(in crate::publish) fn tracked(basis: TimeBasis, arrived: Instant) -> Tracked {
    let object = |class, confidence, bbox, track| TrackedDetection { detection: Detection { class, confidence, bbox }, track };
    Tracked {
        stream: StreamId::new(7, "door"),
        frame_seq: 1234,
        pts: Duration::from_micros(41_133_333),
        capture: Capture { wall: wall() - Duration::from_micros(84_321), basis },
        size: (1920, 1080),
        detections: vec![
            object(0, 0.912_34, BBox::new(10.126, 20.0, 110.5, 220.25), Some(TrackId(0x0123_4567_89ab_cdef))),
            object(9, 0.5, BBox::new(0.0, 0.0, 1920.0, 1080.0), None),
        ],
        extras: Extras::default(),
        tracks: vec![track(TrackPhase::New)],
        steps: None,
        shots: Vec::new(),
        verdicts: None,
        model: Arc::new(ModelInfo {
            name: "yolox".into(),
            classes: vec!["person".into(), "car".into()],
            runtime: "onnxruntime 1.31.1".into(),
            sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into(),
            precision: "fp32",
        }),
        closing: false,
        times: TimeCard::received(arrived),
    }
}

/// Compares with the fixture of that name. `EGRET_WRITE_FIXTURES=1` writes it instead: then read the difference.
pub(in crate::publish) fn golden(name: &str, payload: &[u8]) {
    let value: Value = serde_json::from_slice(payload).expect("JSON");
    let path = format!("{DATA}/{name}.json");
    let text = serde_json::to_string_pretty(&value).expect("pretty") + "\n";
    if std::env::var_os("EGRET_WRITE_FIXTURES").is_some() {
        std::fs::write(&path, &text).expect("fixture written");
    }
    assert_eq!(text, std::fs::read_to_string(&path).expect("fixture"), "{path}");
}

pub(in crate::publish) fn messages(composer: &mut Composer, tracked: &Tracked, now: Now) -> Vec<(String, Bytes, Family)> {
    messages_as(composer, tracked, now, FrameFormat::Json)
}

fn messages_as(composer: &mut Composer, tracked: &Tracked, now: Now, form: FrameFormat) -> Vec<(String, Bytes, Family)> {
    let mut out = Vec::new();
    let wanted = |_: &str, format| format == form;
    composer.look(tracked, now, wanted, |topic, payload, _| out.push((topic.to_string(), payload, Family::Frame)));
    composer.frame(tracked, now, |topic, payload, sort| out.push((topic.to_string(), payload, sort.family)));
    out
}

/// When the frames of these tests arrive.
pub(in crate::publish) fn arrived() -> Instant {
    Instant::now()
}

/// The message about a frame, written a while after it arrived.
pub(in crate::publish) fn payload_of(tracked: &Tracked, format: FrameFormat) -> Bytes {
    let mut composer = composer();
    let steady = tracked.times.at(media::Mark::Received).unwrap_or_else(Instant::now) + Duration::from_micros(61_250);
    messages_as(&mut composer, tracked, Now { wall: wall(), steady }, format).swap_remove(0).1
}

pub(in crate::publish) fn now_after(arrived: Instant, by: Duration) -> Now {
    Now { wall: wall(), steady: arrived + by }
}

#[test]
fn every_message_is_as_its_fixture() {
    let mut composer = composer();
    let arrived = Instant::now();
    let now = now_after(arrived, Duration::from_micros(61_250));
    let herald = Herald::new("egret", "box1", "0f8fad5b-d9cb-469f-a165-70867728950e", wall() - Duration::from_hours(1));
    golden("status", &herald.say(Presence::Online, PresenceReason::Started, now.wall));
    let out = messages(&mut composer, &tracked(TimeBasis::SenderReport, arrived), now);
    let topics: Vec<&str> = out.iter().map(|(topic, ..)| topic.as_str()).collect();
    assert_eq!(topics, ["egret/box1/cam/door/frame", "egret/box1/cam/door/track/new"]);
    golden("frame", &out[0].1);
    golden("track", &out[1].1);
    let status = status::CameraStatus {
        state: CameraState::NoData,
        since: wall() - Duration::from_secs(5),
        detail: "no access unit for 5 s".into(),
        codec: Some(Codec::H264),
        size: Some((1920, 1080)),
        reconnects: 3,
        packets_lost: 12,
        skipped_to_idr: 4,
        decode_errors: 1,
        picture_faults: PictureFaults { black: 2, moved: 1, ..PictureFaults::default() },
        decoding: status::Decoding {
            element: Some("avdec_h264"),
            on_device: false,
            fallback: Some(status::Fallback { from: "nvv4l2decoder", reason: "element nvv4l2decoder is missing".into() }),
        },
        rules: Arc::default(),
    };
    composer.measure(Duration::from_millis(300), |_| true);
    let (topic, payload) = composer.camera(&StreamId::new(7, "door"), &status, now);
    assert_eq!(&*topic, "egret/box1/cam/door/status");
    golden("camera_status", &payload);
}

/// A life: seen twice, in a zone, and gone.
#[test]
fn the_end_of_a_track_says_where_it_was() {
    let mut composer = composer();
    let arrived = Instant::now();
    let now = now_after(arrived, Duration::from_micros(61_250));
    let at = |ms, phase, x: f32| {
        let last_seen = wall() - Duration::from_secs(2) + Duration::from_millis(ms);
        let bbox = BBox::new(x, 100.0, x + 150.0, 540.0);
        Tracked { tracks: vec![Track { bbox, last_seen, ..track(phase) }], ..tracked(TimeBasis::SenderReport, arrived) }
    };
    let event = |phase, value| crate::analyse::Event {
        id: crate::analyse::EventId(7),
        rule: "yard".into(),
        kind: "zone",
        phase,
        started: wall() - Duration::from_millis(1800),
        objects: vec![crate::analyse::Object {
            track: TrackId(0x0123_4567_89ab_cdef),
            class: 0,
            confidence: 0.9,
            bbox: BBox::default(),
        }],
        way: None,
        measure: Some(crate::analyse::Measure { value, unit: crate::analyse::Unit::Seconds, threshold: None }),
    };
    let with = |event, tracked| {
        let verdicts = crate::analyse::Verdicts { events: vec![event], ..crate::analyse::Verdicts::default() };
        Tracked { verdicts: Some(Box::new(verdicts)), ..tracked }
    };
    messages(&mut composer, &at(0, TrackPhase::New, 0.0), now);
    messages(&mut composer, &with(event(crate::analyse::EventPhase::Start, 0.0), at(200, TrackPhase::Update, 405.0)), now);
    messages(&mut composer, &with(event(crate::analyse::EventPhase::End, 1.25), at(1450, TrackPhase::Update, 1770.0)), now);
    let mut end = at(1450, TrackPhase::End, 1770.0);
    end.tracks.push(Track { id: TrackId(9), ..track(TrackPhase::End) });
    let out = messages(&mut composer, &end, now);
    golden("track_end", &out[1].1);
    let unknown: Value = serde_json::from_slice(&out[2].1).expect("JSON");
    assert_eq!((unknown.get("path"), unknown.get("dwell")), (None, None), "nobody has seen it");
    assert!(composer.cameras[&end.stream].trails.is_empty());
}

fn keypoints() -> Extra {
    Extra::Keypoints([[21.004, 201.0, 0.987_65], [-4.0, 209.999, 0.0]].into())
}

/// Three objects with what networks tell beside boxes; the track was matched with the one of this number.
pub(in crate::publish) fn with_shapes(arrived: Instant, matched: usize) -> Tracked {
    let corners = [[10.0, 20.0], [40.0, 50.0], [30.0, 60.0], [0.0, 30.004]];
    let bbox = BBox::new(10.0, 20.0, 50.0, 40.0);
    let shapes = [
        Extra::Turned(Turned { angle: std::f32::consts::FRAC_PI_4, corners }),
        keypoints(),
        Extra::Mask(ObjectMask { bbox, size: [4, 2], runs: [1, 2, 2, 3].into() }),
    ];
    let mut tracked = tracked(TimeBasis::SenderReport, arrived);
    let (mut object, id) = (tracked.detections[0], tracked.detections[0].track);
    object.track = None;
    tracked.detections = vec![object; shapes.len() + 1];
    tracked.detections[matched].track = id;
    shapes.into_iter().enumerate().for_each(|(i, shape)| tracked.extras.set(i, shape));
    tracked
}

/// A frame and a track of which steps have found out all that there is to find out.
pub(in crate::publish) fn with_steps(arrived: Instant) -> Tracked {
    let (id, step) = (TrackId(0x0123_4567_89ab_cdef), |name: &str, classes: &[&str]| {
        let classes = classes.iter().map(ToString::to_string).collect();
        Arc::new(ModelInfo { name: name.into(), classes, ..ModelInfo::default() })
    });
    let (colour, reid, scene, plates) =
        (step("colour", &["red", "blue"]), step("reid", &[]), step("scene", &["road", "sky", "sea"]), step("plates", &["plate"]));
    let finding = |model: &Arc<ModelInfo>, looks, found| {
        Arc::new(Finding { model: model.clone(), frame: 1230, looks, found, details: true })
    };
    let runs = [(0, 5), (1, 3)].map(|(class, length)| Run { class, length });
    let areas = Areas { shares: vec![0.625, 0.375, 0.0], width: 4, height: 2, runs: runs.to_vec() };
    let plate = Detection { class: 0, confidence: 0.75, bbox: BBox::new(20.0, 200.0, 60.0, 210.0) };
    let mut plate = Boxes { detections: vec![plate], extras: Extras::default() };
    plate.extras.set(0, keypoints());
    let report = StepReport {
        states: vec![
            (colour.clone(), StepState::Queued(2)),
            (reid.clone(), StepState::Skipped(SkipReason::Rate)),
            (scene.clone(), StepState::Gathering),
            (plates.clone(), StepState::NothingToSee),
        ],
        frame: vec![
            finding(&scene, 1, media::Found::Areas(areas.into())),
            finding(&step("action", &["walks"]), 0, media::Found::Skipped(SkipReason::TooShort)),
        ],
        tracks: vec![
            (id, finding(&colour, 4, media::Found::Label(Some((1, 0.987_65))))),
            (id, finding(&reid, 2, media::Found::Appearance([0.6, -0.8].into()))),
            (id, finding(&plates, 1, media::Found::Boxes(plate.into()))),
            (TrackId(9), finding(&colour, 1, media::Found::Label(None))),
        ],
        renames: Vec::new(),
    };
    Tracked { steps: Some(Box::new(report)), ..tracked(TimeBasis::SenderReport, arrived) }
}

#[test]
fn what_steps_found_is_told_with_the_frame_and_with_the_track() {
    let arrived = Instant::now();
    let now = now_after(arrived, Duration::from_micros(61_250));
    let mut composer = composer();
    let out = messages(&mut composer, &with_steps(arrived), now);
    golden("frame_with_steps", &out[0].1);
    golden("track_with_steps", &out[1].1);
}

/// What rules may say of a frame.
fn with_verdicts(arrived: Instant) -> Tracked {
    use crate::analyse::{Count, Event, EventId, EventPhase, HEAT, Measure, Object, Path, Summary, Tally, Unit, Verdicts, Way};
    let object = Object {
        track: TrackId(0x0123_4567_89ab_cdef),
        class: 0,
        confidence: 0.912_34,
        bbox: BBox::new(-10.0, 20.0, 110.5, 220.25),
    };
    let event = |rule: &str, kind, phase| Event {
        id: EventId(0xfeed_0000_0000_0001),
        rule: rule.into(),
        kind,
        phase,
        started: wall() - Duration::from_millis(12_345),
        objects: vec![object],
        way: None,
        measure: None,
    };
    let limit = Measure { value: 12.345_678, unit: Unit::Seconds, threshold: Some(10.0) };
    let tally = |now, entered, left| Tally { now, entered, left };
    let mut heat = vec![0.0; HEAT.0 * HEAT.1];
    heat[33] = 12.34;
    let verdicts = Verdicts {
        events: vec![
            event("yard", "zone", EventPhase::Start),
            Event { way: Some(Way::In), measure: Some(limit), ..event("tail", "tailgating", EventPhase::Once) },
        ],
        counts: vec![Count {
            rule: "gate".into(),
            kind: "line",
            since: wall() - Duration::from_hours(1),
            tallies: [(0, tally(1, 12, 7)), (1, tally(0, 3, 4))].into(),
        }],
        summaries: vec![Arc::new(Summary {
            rule: "traffic".into(),
            from: wall() - Duration::from_hours(1),
            to: wall(),
            complete: true,
            objects: [(0, 5)].into(),
            heat,
            paths: vec![Path { from: 3, to: 8, objects: 2, mean_s: 4.321 }],
        })],
        gone: Vec::new(),
    };
    Tracked { verdicts: Some(Box::new(verdicts)), tracks: Vec::new(), ..tracked(TimeBasis::SenderReport, arrived) }
}

#[test]
fn what_rules_say_is_told_of_each_rule_by_itself() {
    let arrived = Instant::now();
    let now = now_after(arrived, Duration::from_micros(61_250));
    let mut composer = composer();
    let out = messages(&mut composer, &with_verdicts(arrived), now);
    let topics: Vec<(&str, Family)> =
        out[1..].iter().map(|(topic, _, family)| (topic.trim_start_matches("egret/box1/cam/door/"), *family)).collect();
    assert_eq!(
        topics,
        [
            ("event/yard", Family::Event),
            ("event/tail", Family::Event),
            ("count/gate", Family::Count),
            ("summary/traffic", Family::Count),
        ]
    );
    golden("event", &out[1].1);
    golden("event_with_all", &out[2].1);
    golden("count", &out[3].1);
    golden("summary", &out[4].1);
    // A rule that is gone takes what is retained with it; so does a camera.
    let mut gone = tracked(TimeBasis::Arrival, arrived);
    gone.verdicts = Some(Box::new(crate::analyse::Verdicts {
        gone: ["gate", "yard", "unheard"].map(Into::into).to_vec(),
        ..crate::analyse::Verdicts::default()
    }));
    let out = messages(&mut composer, &gone, now);
    let cleared: Vec<&str> = out.iter().filter(|(_, payload, _)| payload.is_empty()).map(|(topic, ..)| topic.as_str()).collect();
    assert_eq!(cleared, ["egret/box1/cam/door/count/gate"]);
    let left: Vec<_> = composer.remove(&gone.stream).into_iter().map(|(topic, _)| topic.to_string()).collect();
    assert_eq!(left, ["egret/box1/cam/door/status", "egret/box1/cam/door/summary/traffic"]);
}

#[test]
fn a_renamed_track_goes_on_under_its_old_identity() {
    let arrived = Instant::now();
    let now = |ms| now_after(arrived, Duration::from_millis(ms));
    let mut composer = composer();
    let mut story = tracked(TimeBasis::SenderReport, arrived);
    let old = TrackId(0x0123_4567_89ab_cdee);
    let as_it_is = |story: &Tracked, phase| Tracked { tracks: vec![track(phase)], ..story.clone() };
    messages(&mut composer, &story, now(0));
    story.steps = Some(Box::new(StepReport {
        renames: vec![Rename {
            from: TrackId(0x0123_4567_89ab_cdef),
            to: old,
            class: 0,
            by: Arc::new(ModelInfo { name: "osnet".into(), ..ModelInfo::default() }),
            distance: 0.125,
            unseen: Duration::from_micros(12_345_678),
        }],
        ..StepReport::default()
    }));
    let mut story = as_it_is(&story, TrackPhase::Update);
    story.tracks[0].id = old;
    let out = messages(&mut composer, &story, now(100));
    let topics: Vec<&str> = out.iter().map(|(topic, ..)| topic.as_str()).collect();
    assert_eq!(topics, ["egret/box1/cam/door/frame", "egret/box1/cam/door/track/rename"], "the update was told a moment ago");
    assert_eq!(out[1].2, Family::Track);
    golden("rename", &out[1].1);
    story.steps = None;
    let out = messages(&mut composer, &story, now(600));
    let update: Value = serde_json::from_slice(&out[1].1).expect("JSON");
    assert_eq!((&update["track"], &update["phase"], &update["seq"]), (&"0123456789abcdee".into(), &"update".into(), &2.into()));
}

#[test]
fn what_belongs_to_an_object_is_told_with_the_frame_and_with_the_track() {
    let arrived = Instant::now();
    let now = now_after(arrived, Duration::from_micros(61_250));
    for (matched, name) in ["track_turned", "track_with_keypoints", "track_with_mask"].into_iter().enumerate() {
        let mut tracked = with_shapes(arrived, matched);
        tracked.tracks[0].stationary = matched == 0;
        let out = messages(&mut composer(), &tracked, now);
        if matched == 0 {
            golden("frame_with_shapes", &out[0].1);
        }
        golden(name, &out[1].1);
    }
    let last = with_shapes(arrived, 3);
    for tracked in [last.clone(), Tracked { tracks: vec![track(TrackPhase::End)], ..with_shapes(arrived, 0) }] {
        let out = messages(&mut composer(), &tracked, now);
        let message: Value = serde_json::from_slice(&out[1].1).expect("JSON");
        let shape = ["angle", "corners", "keypoints", "mask"].iter().find(|key| message.get(**key).is_some());
        assert_eq!(shape, None, "{message}");
    }
}

/// As many objects as a frame may have, with as many key points as it may have: what the documentation says of sizes.
#[test]
fn the_largest_messages_are_as_large_as_it_is_said() {
    let arrived = Instant::now();
    let point = [1919.99, 1079.99, 0.9876];
    let each = media::MAX_PARTS / 1000;
    let mut tracked = with_shapes(arrived, 0);
    tracked.detections = vec![tracked.detections[0]; 1000];
    (0..1000).for_each(|i| tracked.extras.set(i, Extra::Keypoints(vec![point; each].into())));
    assert_eq!(tracked.extras.sift(), media::Thrown::default());
    let plain = Tracked { extras: Extras::default(), ..tracked.clone() };
    let bytes = |tracked: &Tracked| messages(&mut composer(), tracked, Now::read())[0].1.len();
    let (plain, points) = (bytes(&plain), bytes(&tracked));
    eprintln!("1000 objects: {plain} bytes; with 20 000 key points {points}");
    assert!(points - plain < 550_000 && points < 800_000, "{plain} {points}");
}

#[test]
fn the_schemas_name_every_field_and_no_other() {
    let fixtures = [
        ("status", ""),
        ("camera_status", ""),
        ("frame", "_with_steps"),
        ("track", "_with_steps"),
        ("rename", ""),
        ("event", "_with_all"),
        ("count", ""),
        ("summary", ""),
        ("health", ""),
        ("loss", ""),
    ];
    let read = |name: &str| -> Value {
        let text = std::fs::read_to_string(format!("{DATA}/{name}.json")).expect("fixture");
        serde_json::from_str(&text).expect("JSON")
    };
    for ((kind, schema), (fixture, more)) in message::schemas().into_iter().zip(fixtures) {
        let (plain, full) = (read(fixture), read(&format!("{fixture}{more}")));
        let schema = schema.to_value();
        let keys = |value: &Value| -> Vec<String> {
            let mut keys: Vec<String> = value.as_object().expect("an object").keys().cloned().collect();
            keys.sort();
            keys
        };
        let mut told: Vec<String> = keys(&full);
        let others: &[&str] = match kind {
            "track" => {
                &["track_turned", "track_with_keypoints", "track_with_mask", "track_end", "track_end_with_shot", "track_restart"]
            }
            "event" => &["event_restart"],
            "frame" => &["frame_closing"],
            _ => &[],
        };
        told.extend(others.iter().flat_map(|other| keys(&read(other))));
        // Added to what has waited, as it leaves.
        if matches!(kind, "rename" | "loss") {
            told.push("delayed".to_owned());
        }
        told.sort();
        told.dedup();
        assert_eq!(keys(&schema["properties"]), told, "{kind}");
        let required = schema["required"].as_array().expect("a list").iter();
        let missing: Vec<_> = required.filter(|key| plain.get(key.as_str().expect("a name")).is_none()).collect();
        assert!(missing.is_empty(), "{kind}: messages without steps lack {missing:?}");
        assert_eq!(plain["schema"], "egret/v1");
    }
    let object = &message::schemas()[2].1.clone().to_value()["$defs"]["Object"];
    let text = ["frame_with_steps", "frame_with_shapes"].map(read);
    let objects = text.iter().flat_map(|frame| frame["objects"].as_array().expect("a list"));
    let told: std::collections::BTreeSet<&String> = objects.flat_map(|o| o.as_object().expect("an object").keys()).collect();
    let named: std::collections::BTreeSet<&String> = object["properties"].as_object().expect("an object").keys().collect();
    assert_eq!(named, told);
}

#[path = "compose_tests/over_time.rs"]
mod over_time;
