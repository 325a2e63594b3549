use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant, UNIX_EPOCH},
};

use serde_json::Value;

use super::*;
use crate::{
    analyse::{CameraRules, Count, Event, EventId, EventPhase, Measure, Object, Tally, Unit, Verdicts, Way},
    config::{AxisConfig, DeepStreamConfig, DeepStreamForm, FrigateConfig, OnvifConfig},
    media::{
        BBox, Capture, Detection, Extras, Finding, Found, Mark, ModelInfo, StepReport, TimeBasis, TimeCard, Track, TrackId,
        TrackPhase, TrackedDetection,
    },
    status::{CameraState, StatusBoard},
};

mod home_assistant;
mod names;
mod remains;
mod shots;
mod switches;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/publish/dialect/testdata");
const PERSON: TrackId = TrackId(0x0123_4567_89ab_cdef);

const RULES: &str = r#"
[[model]]
name = "street"
builtin = "null"
[[camera]]
name = "door"
url = "test:ball"
[[camera.rule]]
name = "gate"
kind = "line"
line = [[0.5, 0.0], [0.5, 1.0]]
classes = ["person"]
[[camera.rule]]
name = "yard"
kind = "zone"
zone = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
classes = ["person", "car"]
[[camera.rule]]
name = "bench"
kind = "dwell"
zone = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
[[camera.rule]]
name = "parked"
kind = "stopped"
zone = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
time = "10s"
"#;

fn rules() -> Arc<CameraRules> {
    let loaded = crate::config::load_text(Path::new(""), RULES).unwrap_or_else(|problems| panic!("{problems:?}"));
    loaded.config.cameras[0].rules.clone()
}

/// One dialect alone.
fn configs() -> BTreeMap<&'static str, DialectsConfig> {
    let none = DialectsConfig::default;
    let deepstream = |form| DialectsConfig {
        deepstream: Some(DeepStreamConfig { topic: "deepstream".into(), form, frame_interval: 1 }),
        ..none()
    };
    BTreeMap::from([
        ("frigate", DialectsConfig { frigate: Some(FrigateConfig { topic_prefix: "frigate".into() }), ..none() }),
        ("homeassistant", shots::home_assistant(false)),
        ("deepstream_full", deepstream(DeepStreamForm::Full)),
        ("deepstream_minimal", deepstream(DeepStreamForm::Minimal)),
        ("deepstream_protobuf", deepstream(DeepStreamForm::Protobuf)),
        (
            "onvif",
            DialectsConfig {
                onvif: Some(OnvifConfig { topic_prefix: "MyDevice".into(), events: true, metadata: true }),
                ..none()
            },
        ),
        ("axis", DialectsConfig { axis: Some(AxisConfig { topic: "axis".into(), frames: true, tracks: true }), ..none() }),
    ])
}

fn wall(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_795_226_584_500 + ms)
}

/// What was sent: family, topic, payload.
type Sent = (Family, String, Bytes);

/// A daemon with one camera, as far as a dialect knows it.
struct Rig {
    dialects: Dialects,
    stream: StreamId,
    board: Arc<StatusBoard>,
    model: Arc<ModelInfo>,
    start: Instant,
    frames: u64,
    sent: Vec<Sent>,
}

impl Rig {
    fn new(config: &DialectsConfig, camera: &str, model: &str, classes: &[&str]) -> Self {
        let stream = StreamId::new(1, camera);
        let board = StatusBoard::new();
        board.add(&stream);
        let model = ModelInfo {
            name: model.into(),
            classes: classes.iter().map(|class| (*class).to_owned()).collect(),
            runtime: "scripted".into(),
            sha256: String::new(),
            precision: "fp32",
        };
        let dialects = Dialects::new(config, "egret", "box1", "0f8fad5b-d9cb-469f-a165-70867728950e", wall(0));
        Self { dialects, stream, board, model: model.into(), start: Instant::now(), frames: 0, sent: Vec::new() }
    }

    fn now(&self, ms: u64) -> Now {
        Now { wall: wall(ms), steady: self.start + Duration::from_millis(ms) }
    }

    fn keep(sent: &mut Vec<Sent>) -> impl FnMut(&Arc<str>, Bytes, Family) {
        |topic, payload, family| sent.push((family, topic.to_string(), payload))
    }

    fn state(&mut self, state: CameraState, ms: u64) {
        self.board.set(&self.stream, state, "");
        self.tell_status(ms);
    }

    fn watch(&mut self, rules: &Arc<CameraRules>, ms: u64) {
        self.board.update(&self.stream, |status| status.rules = rules.clone());
        self.tell_status(ms);
    }

    fn tell_status(&mut self, ms: u64) {
        let status = self.board.get(&self.stream).expect("on the board");
        let now = self.now(ms);
        self.dialects.camera(&self.stream, &status, now, Self::keep(&mut self.sent));
    }

    fn track(&self, phase: TrackPhase, ms: u64) -> Track {
        Track {
            id: PERSON,
            class: 0,
            confidence: 0.75,
            bbox: BBox::new(64.0, 48.0, 128.0, 240.0),
            velocity: (1.5, 0.0),
            stationary: false,
            first_seen: wall(0),
            last_seen: wall(ms),
            hits: self.frames as u32,
            phase,
        }
    }

    /// A frame with that track, its detection, and a car that is not tracked.
    fn tracked(&self, track: Track, verdicts: Verdicts, ms: u64) -> Tracked {
        let mut times = TimeCard::received(self.start + Duration::from_millis(ms));
        times.stamp(Mark::Dispatched, self.start + Duration::from_millis(ms + 2));
        times.stamp(Mark::Inferred, self.start + Duration::from_millis(ms + 12));
        let seen = Detection { class: 0, confidence: track.confidence, bbox: track.bbox };
        let car = Detection { class: 1, confidence: 0.5, bbox: BBox::new(300.0, 200.0, 401.256, 260.0) };
        let ended = track.phase == TrackPhase::End;
        let person = (!ended).then_some(TrackedDetection { detection: seen, track: Some(track.id) });
        Tracked {
            stream: self.stream.clone(),
            frame_seq: 2 * self.frames,
            pts: Duration::from_millis(ms),
            capture: Capture { wall: wall(ms), basis: TimeBasis::Arrival },
            size: (640, 480),
            detections: person.into_iter().chain([TrackedDetection { detection: car, track: None }]).collect(),
            extras: Extras::default(),
            tracks: vec![track],
            steps: None,
            shots: Vec::new(),
            verdicts: Some(Box::new(verdicts)),
            model: self.model.clone(),
            closing: false,
            times,
        }
    }

    fn frame(&mut self, tracked: &Tracked) {
        self.frames += 1;
        self.dialects.frame(tracked, Self::keep(&mut self.sent));
    }

    fn event(rule: &str, kind: &'static str, phase: EventPhase) -> Event {
        let bbox = BBox::new(64.0, 48.0, 128.0, 240.0);
        Event {
            id: EventId(1),
            rule: rule.into(),
            kind,
            phase,
            started: wall(0),
            objects: vec![Object { track: PERSON, class: 0, confidence: 0.75, bbox }],
            way: (kind == "line").then_some(Way::In),
            measure: (kind == "dwell").then_some(Measure { value: 5.0, unit: Unit::Seconds, threshold: None }),
        }
    }

    fn count(rule: &str, kind: &'static str, now: u64) -> Count {
        let tallies = BTreeMap::from([(0, Tally { now, entered: 1, left: 0 })]);
        Count { rule: rule.into(), kind, since: wall(0), tallies }
    }

    /// A person comes, goes through the yard, stands, and leaves; then the camera goes, and the daemon.
    fn story(&mut self) {
        self.dialects.connected(Self::keep(&mut self.sent));
        self.watch(&rules(), 0);
        self.state(CameraState::Online, 0);
        let still = Verdicts { counts: vec![Self::count("yard", "zone", 0)], ..Verdicts::default() };
        self.frame(&self.tracked(self.track(TrackPhase::New, 0), still, 0));
        let enters = Verdicts {
            events: vec![Self::event("yard", "zone", EventPhase::Start)],
            counts: vec![Self::count("yard", "zone", 1)],
            ..Verdicts::default()
        };
        self.frame(&self.tracked(self.track(TrackPhase::Update, 1000), enters, 1000));
        self.frame(&self.tracked(self.track(TrackPhase::Update, 2000), Verdicts::default(), 2000));
        let surer = Track { confidence: 0.9, ..self.track(TrackPhase::Update, 7000) };
        self.frame(&self.tracked(surer, Verdicts::default(), 7000));
        let crosses = Verdicts { events: vec![Self::event("gate", "line", EventPhase::Once)], ..Verdicts::default() };
        self.frame(&self.tracked(self.track(TrackPhase::Update, 8000), crosses, 8000));
        let stays = Verdicts { events: vec![Self::event("bench", "dwell", EventPhase::Start)], ..Verdicts::default() };
        let stands = Track { stationary: true, ..self.track(TrackPhase::Update, 9000) };
        self.frame(&self.tracked(stands, stays, 9000));
        let mut named = self.tracked(stands, Verdicts::default(), 9500);
        let finding =
            Finding { model: self.model.clone(), frame: 1, looks: 1, found: Found::Label(Some((1, 0.8))), details: false };
        named.steps = Some(Box::new(StepReport { tracks: vec![(PERSON, Arc::new(finding))], ..StepReport::default() }));
        self.frame(&named);
        let leaves = Verdicts {
            events: vec![Self::event("bench", "dwell", EventPhase::End), Self::event("yard", "zone", EventPhase::End)],
            counts: vec![Self::count("yard", "zone", 0)],
            ..Verdicts::default()
        };
        self.frame(&self.tracked(self.track(TrackPhase::Update, 15_000), leaves, 15_000));
        self.frame(&self.tracked(self.track(TrackPhase::End, 15_000), Verdicts::default(), 18_000));
        self.state(CameraState::Black, 19_000);
        self.state(CameraState::Unreachable, 20_000);
        let now = self.now(60_000);
        self.dialects.tick(|_| true, now, Self::keep(&mut self.sent));
        let mut fewer = CameraRules::clone(&rules());
        fewer.rules.remove(1);
        self.watch(&fewer.into(), 61_000);
        self.dialects.heard("homeassistant/status", b"online", Self::keep(&mut self.sent));
        self.dialects.removed(&self.stream, Self::keep(&mut self.sent));
        self.dialects.leaving(Self::keep(&mut self.sent));
    }

    fn topics(&self) -> Vec<&str> {
        self.sent.iter().map(|(_, topic, _)| topic.as_str()).collect()
    }

    /// What was said on a topic.
    fn said(&self, topic: &str) -> Vec<String> {
        let own = self.sent.iter().filter(|(_, known, _)| known == topic);
        own.map(|(_, _, payload)| String::from_utf8_lossy(payload).into_owned()).collect()
    }

    fn events(&self) -> Vec<Value> {
        self.said("frigate/events").iter().map(|text| serde_json::from_str(text).expect("JSON")).collect()
    }
}

fn rig(dialect: &str) -> Rig {
    Rig::new(&configs()[dialect], "door", "street", &["person", "car"])
}

fn shown(payload: &Bytes) -> String {
    match str::from_utf8(payload) {
        Ok(text) if !text.contains(|c: char| c.is_control()) => text.to_owned(),
        _ => payload.iter().fold("hex:".to_owned(), |text, byte| text + &format!("{byte:02x}")),
    }
}

/// Compares with the fixture of that name. `EGRET_WRITE_FIXTURES=1` writes it instead: then read the difference.
#[test]
fn every_dialect_tells_the_story_as_its_fixture() {
    for dialect in configs().keys() {
        let mut rig = rig(dialect);
        rig.story();
        let version = env!("CARGO_PKG_VERSION");
        let line = |(family, topic, payload): &Sent| {
            let retained = if family.retained() { "retained" } else { "-" };
            let payload = shown(payload)
                .replace(&format!("\"{version}\""), "\"VERSION\"")
                .replace(&format!("egret-{version}"), "egret-VERSION")
                .replace(&format!("pid\":{}", std::process::id()), "pid\":1");
            format!("QoS {} {retained} {topic} {payload}\n", u8::from(family.acknowledged()))
        };
        let text: String = rig.sent.iter().map(line).collect();
        let path = format!("{DATA}/{dialect}.txt");
        if std::env::var_os("EGRET_WRITE_FIXTURES").is_some() {
            std::fs::write(&path, &text).expect("fixture written");
        }
        assert_eq!(text, std::fs::read_to_string(&path).expect("fixture"), "{path}");
    }
}

/// The keys of Frigate's documented example, and those that its code writes besides.
#[test]
fn frigate_events_have_the_documented_keys_and_types() {
    let mut rig = rig("frigate");
    rig.story();
    let events = rig.events();
    let kinds: Vec<&Value> = events.iter().map(|event| &event["type"]).collect();
    // New; into the yard; a better view after five seconds; standing on the bench; a name for it; out; gone.
    assert_eq!(kinds, ["new", "update", "update", "update", "update", "update", "end"]);
    let types = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    let documented = [
        ("id", "text"),
        ("camera", "text"),
        ("frame_time", "number"),
        ("snapshot", "object"),
        ("label", "text"),
        ("sub_label", "list"),
        ("top_score", "number"),
        ("false_positive", "bool"),
        ("start_time", "number"),
        ("end_time", "number"),
        ("score", "number"),
        ("box", "list"),
        ("area", "number"),
        ("ratio", "number"),
        ("region", "list"),
        ("active", "bool"),
        ("stationary", "bool"),
        ("motionless_count", "number"),
        ("position_changes", "number"),
        ("current_zones", "list"),
        ("entered_zones", "list"),
        ("has_clip", "bool"),
        ("has_snapshot", "bool"),
        ("attributes", "object"),
        ("current_attributes", "list"),
        ("pending_loitering", "bool"),
        ("max_severity", "null"),
        ("current_estimated_speed", "number"),
        ("average_estimated_speed", "number"),
        ("velocity_angle", "number"),
        ("path_data", "list"),
        ("thumbnail", "null"),
        ("recognized_license_plate", "null"),
        ("recognized_license_plate_score", "null"),
    ];
    let last = &events[6]["after"];
    let told: Vec<(&str, &str)> =
        last.as_object().expect("an object").iter().map(|(key, value)| (key.as_str(), types(value))).collect();
    assert_eq!(told, documented);
    assert!(events.windows(2).all(|pair| pair[0]["after"] == pair[1]["before"]));
    assert_eq!(events[0]["before"]["false_positive"], true);
    assert_eq!(
        (&events[1]["after"]["current_zones"], &last["current_zones"]),
        (&serde_json::json!(["yard"]), &serde_json::json!([]))
    );
    assert_eq!(last["entered_zones"], serde_json::json!(["yard", "bench"]));
    assert_eq!(last["area"], 64 * 192);
    assert_eq!(last["sub_label"], serde_json::json!(["car", 0.8]));
    let id = last["id"].as_str().expect("text");
    let (time, letters) = id.split_once('-').expect("two parts");
    assert!(time.parse::<f64>().is_ok_and(|at| at > 1.7e9) && letters.len() == 6 && letters.is_ascii(), "{id}");
}

#[test]
fn frigate_counts_objects_of_cameras_and_zones() {
    let mut rig = rig("frigate");
    rig.story();
    assert_eq!(rig.said("frigate/door/person"), ["1", "0"]);
    assert_eq!(rig.said("frigate/door/all"), ["1", "0"]);
    assert_eq!(rig.said("frigate/door/person/active"), ["1", "0", "1", "0"], "it stood for a while");
    assert_eq!(rig.said("frigate/yard/person"), ["0", "1", "0"]);
    assert_eq!(rig.said("frigate/yard/person/active"), ["0", "1", "0"]);
    assert_eq!(rig.said("frigate/yard/all"), ["0", "1", "0"]);
    assert_eq!(rig.said("frigate/available"), ["online", "stopped"]);
    assert_eq!(rig.said("frigate/door/status/detect"), ["offline", "online", "offline", ""]);
}

#[test]
fn frigate_says_nothing_new_at_most_once_a_minute_and_counts_again_on_a_new_connection() {
    let mut rig = rig("frigate");
    rig.frame(&rig.tracked(rig.track(TrackPhase::New, 0), Verdicts::default(), 0));
    for second in 1..=130 {
        rig.frame(&rig.tracked(rig.track(TrackPhase::Update, 1000 * second), Verdicts::default(), 1000 * second));
    }
    let times: Vec<f64> = rig.events().iter().filter_map(|event| event["after"]["frame_time"].as_f64()).collect();
    let since: Vec<f64> = times.iter().map(|at| (at - times[0]).round()).collect();
    assert_eq!(since, [0.0, 61.0, 122.0]);
    rig.sent.clear();
    rig.dialects.connected(Rig::keep(&mut rig.sent));
    assert_eq!(rig.said("frigate/door/person"), ["1"]);
}

#[test]
fn a_track_whose_camera_is_removed_gets_its_end() {
    let mut rig = rig("frigate");
    rig.watch(&rules(), 0);
    rig.frame(&rig.tracked(rig.track(TrackPhase::New, 0), Verdicts::default(), 0));
    rig.dialects.removed(&rig.stream, Rig::keep(&mut rig.sent));
    let mut last = rig.tracked(rig.track(TrackPhase::End, 0), Verdicts::default(), 10);
    last.closing = true;
    rig.frame(&last);
    assert_eq!(rig.events().last().map(|event| event["type"].clone()), Some("end".into()));
    assert_eq!(rig.said("frigate/door/person").last().map(String::as_str), Some("0"));
    let now = rig.now(1000);
    rig.dialects.tick(|_| false, now, Rig::keep(&mut rig.sent));
    rig.dialects.tick(|_| false, now, Rig::keep(&mut rig.sent));
    rig.sent.clear();
    rig.dialects.connected(Rig::keep(&mut rig.sent));
    assert_eq!(rig.topics(), ["frigate/available"], "nothing of it is left");
}

#[test]
fn onvif_turns_the_picture_upside_down() {
    let mut rig = rig("onvif");
    rig.story();
    let said = rig.said("MyDevice/onvif-mj/VideoAnalytics/door/street");
    let first: Value = serde_json::from_str(&said[0]).expect("JSON");
    let object = &first["Frame"][0]["Object"][0];
    let bbox = &object["Appearance"]["Shape"]["BoundingBox"];
    // 64, 48, 128, 240 of 640 x 480.
    assert_eq!(bbox, &serde_json::json!({ "@left": -0.8, "@top": 0.8, "@right": -0.6, "@bottom": 0.0 }));
    assert_eq!(object["Appearance"]["Class"]["Type"][0]["#text"], "Human");
    assert_eq!(object["@ObjectId"], PERSON.0);
    let crossed = rig.said("MyDevice/onvif-ej/RuleEngine/LineDetector/Crossed/&door/street/gate");
    let crossed: Value = serde_json::from_str(&crossed[0]).expect("JSON");
    assert_eq!(crossed["Data"]["ObjectId"], PERSON.0.to_string());
    assert_eq!(crossed["Source"]["Rule"], "gate");
    assert_eq!(
        rig.said("MyDevice/onvif-ej/VideoSource/ImageTooDark/AnalyticsService/&door").len(),
        3,
        "it is not so; it begins and ends"
    );
    assert_eq!(rig.said("MyDevice/onvif-ej/VideoSource/SignalLoss/&door").len(), 2, "it is not so; it begins");
}

#[test]
fn axis_paths_are_bounded() {
    let mut rig = rig("axis");
    rig.frame(&rig.tracked(rig.track(TrackPhase::New, 0), Verdicts::default(), 0));
    for n in 1..2000 {
        rig.frame(&rig.tracked(rig.track(TrackPhase::Update, 500 * n), Verdicts::default(), 500 * n));
    }
    rig.frame(&rig.tracked(rig.track(TrackPhase::End, 999_500), Verdicts::default(), 1_000_000));
    let said = rig.said("axis/door/com.axis.scene.object_track.v1");
    let track: Value = serde_json::from_str(&said[0]).expect("JSON");
    let path = track["path"].as_array().expect("a list");
    assert!((32..=64).contains(&path.len()), "{}", path.len());
    assert_eq!(track["duration"], 999.5);
    assert_eq!(track["classes"][0]["type"], "Human");
}

#[test]
fn deepstream_takes_every_so_many_frames() {
    let mut config = configs()["deepstream_minimal"].clone();
    config.deepstream.as_mut().expect("it").frame_interval = 3;
    let mut rig = Rig::new(&config, "door", "street", &["person", "car"]);
    for n in 0..7 {
        rig.frame(&rig.tracked(rig.track(TrackPhase::Update, n), Verdicts::default(), n));
    }
    let ids: Vec<Value> =
        rig.said("deepstream").iter().map(|text| serde_json::from_str::<Value>(text).expect("JSON")["id"].clone()).collect();
    assert_eq!(ids, ["0", "6", "12"]);
}
