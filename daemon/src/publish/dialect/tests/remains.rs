//! A daemon dies, and the next one ends in each dialect what it had begun there.

use super::*;
use crate::publish::{
    compose::{Composer, tests as compose},
    journal::{self, Journal, Orphan},
};

/// A person is in the yard, and has been on the bench; then nothing more is heard. What was told until then, and what the next run finds.
fn died(dialect: &str) -> (Rig, Vec<Orphan>) {
    let mut rig = rig(dialect);
    rig.dialects.connected(Rig::keep(&mut rig.sent));
    rig.watch(&rules(), 0);
    rig.state(CameraState::Online, 0);
    let journal = Journal::new("one");
    let mut composer = Composer::new(&compose::config(), "box1", "one");
    composer.keep(journal.clone());
    let told =
        |events: Vec<Event>, now| Verdicts { events, counts: vec![Rig::count("yard", "zone", now)], ..Verdicts::default() };
    let enters = told(vec![Rig::event("yard", "zone", EventPhase::Start)], 1);
    let bench = |phase| Event { id: EventId(2), ..Rig::event("bench", "dwell", phase) };
    for (ms, phase, verdicts) in [
        (0, TrackPhase::New, told(Vec::new(), 0)),
        (1000, TrackPhase::Update, enters),
        (2000, TrackPhase::Update, told(vec![bench(EventPhase::Start)], 1)),
        (8000, TrackPhase::Update, told(vec![bench(EventPhase::End)], 1)),
        (10_000, TrackPhase::Update, told(Vec::new(), 1)),
    ] {
        let tracked = rig.tracked(rig.track(phase, ms), verdicts, ms);
        composer.frame(&tracked, rig.now(ms), |_, _, _| ());
        rig.frame(&tracked);
    }
    composer.given(0);
    let orphans = journal::orphans(&journal.news().expect("something is open")).expect("a journal");
    assert_eq!(orphans.len(), 2, "the track, and its stay in the yard");
    (rig, orphans)
}

/// The next run, with these cameras.
fn next(dialect: &str, orphans: &[Orphan], rules: &Arc<CameraRules>) -> Rig {
    let mut rig = rig(dialect);
    rig.dialects.left_open(orphans);
    rig.dialects.connected(Rig::keep(&mut rig.sent));
    rig.watch(rules, 60_000);
    rig
}

fn last(rig: &Rig, topic: &str) -> Option<String> {
    rig.said(topic).pop()
}

#[test]
fn frigate_ends_the_very_event_and_counts_nobody() {
    let (before, orphans) = died("frigate");
    let after = next("frigate", &orphans, &rules());
    let events = after.events();
    assert_eq!(events.len(), 1, "{events:?}");
    let (open, end) = (before.events().pop().expect("told"), &events[0]);
    assert_eq!((open["after"]["end_time"].is_null(), &end["type"]), (true, &Value::from("end")));
    for key in ["id", "camera", "label", "start_time", "box", "region"] {
        assert_eq!(end["after"][key], open["after"][key], "{key}");
    }
    assert_eq!(end["before"]["current_zones"], serde_json::json!(["yard"]));
    assert_eq!(end["after"]["current_zones"], serde_json::json!([]));
    assert_eq!(end["after"]["entered_zones"], serde_json::json!(["bench", "yard"]));
    let ended = end["after"]["end_time"].as_f64().expect("a time");
    assert!((ended - 1_795_226_594.5).abs() < 1e-3, "{ended}");
    // Whatever had been told of anybody is 0 now, also of zones whose visitors nobody knows by name.
    let counts = before.topics().into_iter().filter(|topic| topic.split('/').count() > 2 && !topic.ends_with("state"));
    for topic in counts.filter(|topic| !topic.contains("status")) {
        assert_eq!(last(&after, topic).as_deref(), Some("0"), "{topic} was {:?}", last(&before, topic));
    }
    assert_eq!(last(&after, "frigate/bench/person").as_deref(), Some("0"));
}

#[test]
fn onvif_says_that_nobody_is_inside_and_deletes_the_object() {
    let (before, orphans) = died("onvif");
    let after = next("onvif", &orphans, &rules());
    let topic = "MyDevice/onvif-ej/RuleEngine/FieldDetector/ObjectsInside/&door/street/yard";
    let data = |rig: &Rig| serde_json::from_str::<Value>(&last(rig, topic).expect("told")).expect("JSON")["Data"].clone();
    let (inside, outside) = (data(&before), data(&after));
    assert_eq!((&inside["IsInside"], &outside["IsInside"]), (&"true".into(), &"false".into()));
    assert_eq!(inside["ObjectId"], outside["ObjectId"]);
    let metadata = last(&after, "MyDevice/onvif-mj/VideoAnalytics/door/street").expect("told");
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    assert_eq!(metadata["Frame"][0]["ObjectTree"]["Delete"], serde_json::json!([{ "@ObjectId": PERSON.0 }]));
    assert_eq!(after.topics().len(), 2, "{:?}", after.topics());
}

/// A picture that was dark when the daemon died need not be now.
#[test]
fn onvif_says_how_pictures_are_with_the_first_one() {
    let topic = "MyDevice/onvif-ej/VideoSource/ImageTooDark/AnalyticsService/&door";
    let states = |rig: &Rig| rig.said(topic).iter().map(|text| text.contains("\"true\"")).collect::<Vec<_>>();
    let mut rig = rig("onvif");
    for (at, state) in [CameraState::Connecting, CameraState::Unreachable].into_iter().enumerate() {
        rig.state(state, at as u64);
        assert!(states(&rig).is_empty(), "nobody knows");
    }
    assert_eq!(rig.said("MyDevice/onvif-ej/VideoSource/SignalLoss/&door").len(), 1);
    for (at, state) in [CameraState::Online, CameraState::Frozen, CameraState::Black, CameraState::Online].into_iter().enumerate()
    {
        rig.state(state, 10 + at as u64);
    }
    assert_eq!(states(&rig), [false, true, false]);
}

#[test]
fn axis_tells_the_track_as_far_as_it_is_known() {
    let (_, orphans) = died("axis");
    let after = next("axis", &orphans, &rules());
    let of = |topic: &str| serde_json::from_str::<Value>(&last(&after, topic).expect("told")).expect("JSON");
    let track = of("axis/door/com.axis.scene.object_track.v1");
    assert_eq!((&track["id"], &track["channel_id"]), (&"0123456789abcdef".into(), &1.into()));
    assert_eq!((&track["duration"], track["path"].as_array().map(Vec::len)), (&10.0.into(), Some(1)));
    assert_eq!(track["classes"], serde_json::json!([{ "type": "Human", "score": 0.75 }]));
    let frame = of("axis/door/com.axis.scene.frame.v1");
    assert_eq!(frame["track_events"], serde_json::json!([{ "type": "TrackEnded", "object_track_id": "0123456789abcdef" }]));
}

#[test]
fn dialects_without_ends_say_nothing_of_them() {
    for dialect in ["deepstream_full", "deepstream_minimal", "deepstream_protobuf", "homeassistant"] {
        let (_, orphans) = died(dialect);
        assert_eq!(next(dialect, &orphans, &rules()).sent, next(dialect, &[], &rules()).sent, "{dialect}");
    }
}

/// Its file has been taken away meanwhile.
#[test]
fn what_was_of_a_camera_that_is_gone_ends_too_and_leaves_nothing() {
    let (_, orphans) = died("frigate");
    let mut rig = rig("frigate");
    rig.dialects.left_open(&orphans);
    for ms in [10_000, 20_000] {
        let now = rig.now(ms);
        rig.dialects.tick(|_| false, now, Rig::keep(&mut rig.sent));
    }
    let kinds: Vec<Value> = rig.events().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(kinds, ["end"], "once");
    assert_eq!(last(&rig, "frigate/door/person").as_deref(), Some("0"));
    rig.sent.clear();
    rig.dialects.connected(Rig::keep(&mut rig.sent));
    assert!(rig.topics().iter().all(|topic| !topic.contains("door")), "{:?}", rig.topics());
    // Nor is it lost where the daemon ends before that is clear.
    let (mut rig, (_, orphans)) = (super::rig("frigate"), died("frigate"));
    rig.dialects.left_open(&orphans);
    rig.dialects.leaving(Rig::keep(&mut rig.sent));
    assert_eq!(rig.events().len(), 1);
}

#[test]
fn what_is_no_message_of_ours_ends_nothing() {
    let (_, orphans) = died("frigate");
    let saved =
        serde_json::json!({ "form": 1, "boot_id": "one", "open": orphans.iter().map(Orphan::message).collect::<Vec<_>>() });
    for (good, bad) in [
        ("\"class\":", "\"klass\":"),
        ("\"0123456789abcdef\"", "\"somebody\""),
        ("\"first_seen\":\"2026", "\"first_seen\":\"never"),
        ("\"model\":{", "\"model\":{\"name\":3,\"x\":"),
    ] {
        let text = saved.to_string();
        assert!(text.contains(good), "{text}");
        let Ok(orphans) = journal::orphans(text.replace(good, bad).as_bytes()) else { continue };
        let rig = next("frigate", &orphans, &rules());
        assert_eq!(rig.events(), Vec::<Value>::new(), "{bad}");
    }
}
