//! Commands without a broker: what is let through, what is refused, and what is answered.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    config::{self, FrigateConfig, MqttVersion},
    control::Changed,
    publish::{compose::tests as composed, testing},
};

struct Rig {
    commands: Commands,
    door: mpsc::Receiver<Request>,
    counters: Arc<Counters>,
    now: Instant,
}

fn rig(allowed: &[Verb]) -> Rig {
    let mut config = testing::config(1883, MqttVersion::V5);
    config.commands = allowed.iter().copied().collect();
    config.dialects.frigate = Some(FrigateConfig { topic_prefix: "frigate".into() });
    let (to_door, door) = mpsc::channel(2);
    let counters = Arc::new(Counters::default());
    let commands = Commands::new(&config, "box1", "boot", to_door, counters.clone());
    Rig { commands, door, counters, now: Instant::now() }
}

fn said(verb: &str, payload: &str) -> Said {
    let topic = format!("egret/box1/cmd/{verb}");
    Said { topic, payload: Bytes::copy_from_slice(payload.as_bytes()), ..Said::default() }
}

fn named(said: Said, correlation: &'static [u8]) -> Said {
    Said { correlation: Some(Bytes::from_static(correlation)), ..said }
}

fn read(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.payload).expect("JSON")
}

impl Rig {
    fn heard(&mut self, said: &Said) -> Option<Reply> {
        // Slowly enough.
        self.now += Duration::from_secs(1);
        self.commands.heard(said, self.now)
    }

    /// What a command is refused with, at once.
    fn refused(&mut self, said: &Said) -> (Value, Arc<str>) {
        let reply = self.heard(said).expect("an answer at once");
        assert!(self.door.try_recv().is_err(), "nothing is carried out");
        let message = read(&reply);
        assert_eq!((&message["ok"], &message["kind"]), (&json!(false), &json!("reply")));
        assert_eq!((&message["changed"], &message["outlives_restart"]), (&json!([]), &Value::Null));
        assert!(message["error"]["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{message}");
        (message, reply.topic)
    }

    fn reason(&mut self, said: &Said) -> String {
        self.refused(said).0["error"]["reason"].as_str().expect("a reason").to_owned()
    }

    fn count(&self, verb: Verb, outcome: Outcome) -> u64 {
        self.counters.commands.of(Some(verb), outcome)
    }

    /// Lets a command through, and does it.
    async fn obeyed(&mut self, said: &Said) -> (Action, Reply) {
        assert_eq!(self.heard(said), None, "the answer comes later");
        let Request { action, answer } = self.door.try_recv().expect("at the door");
        let changed = vec![Changed { key: "camera.door".into(), how: control::Happening::Restarted }];
        answer.send(Ok(Done { changed, ..Done::default() })).expect("somebody waits");
        (action, self.commands.next().await.expect("a reply"))
    }
}

#[tokio::test]
async fn what_is_allowed_is_carried_out_and_answered() {
    let mut rig = rig(&[Verb::CameraDisable]);
    assert_eq!(rig.commands.filter(), Some("egret/box1/cmd/+"));
    let (action, reply) = rig.obeyed(&said("camera_disable", r#"{"id":"a1","camera":"door"}"#)).await;
    assert_eq!(action, Action::Switch("door".into(), false));
    assert_eq!((&*reply.topic, &reply.correlation), ("egret/box1/cmd/camera_disable/reply", &None));
    let message = read(&reply);
    assert_eq!(message["changed"], json!([{ "key": "camera.door", "how": "restarted" }]));
    for (key, value) in [("ok", json!(true)), ("id", json!("a1")), ("seq", json!(0)), ("outlives_restart", json!(false))] {
        assert_eq!(message[key], value, "{key}");
    }
    let asked = Said { response_topic: Some("ops/answers".into()), ..said("camera_disable", r#"{"camera":"door"}"#) };
    let (_, reply) = rig.obeyed(&named(asked, b"\x00\xff7")).await;
    assert_eq!((&*reply.topic, reply.correlation.as_deref()), ("ops/answers", Some(&b"\x00\xff7"[..])));
    assert_eq!(rig.count(Verb::CameraDisable, Outcome::Done), 2);
}

/// Replies as they are written, all their fields filled in.
#[test]
fn replies_are_as_their_fixtures() {
    let mut rig = rig(&Verb::ALL);
    rig.commands.boot_id = "0f8fad5b-d9cb-469f-a165-70867728950e".into();
    let asked = |verb: Verb| Asked {
        word: verb.as_str().into(),
        verb: Some(verb),
        id: Some("7f3a".into()),
        topic: Arc::from("x"),
        correlation: None,
        key: None,
    };
    let mut write = |name: &str, verb, answer: Answer| {
        let mut message = read(&rig.commands.reply(&asked(verb), &answer));
        message["published_at"] = "2026-11-21T02:03:04.500000Z".into();
        composed::golden(name, message.to_string().as_bytes());
    };
    let changed = |key: &str, how| Changed { key: key.into(), how };
    let done = Done { changed: vec![changed("camera.door", control::Happening::Changed)], ..Done::default() };
    write("reply", Verb::CameraSet, Ok(done));
    let problem = control::Wrong {
        at: "commands:3:11".into(),
        key: "camera.yard.max_fps".into(),
        value: Some("-1".into()),
        reason: "out of range".into(),
        remedy: "write a number above 0, up to 1000".into(),
    };
    let refusal = Refusal::new(
        Reason::Configuration,
        "the configuration would be wrong in 1 place, so nothing was changed",
        "see problems",
    );
    write("reply_refused", Verb::CameraAdd, Err(Refusal { problems: vec![problem], ..refusal }));
    let since = Stamp(SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_226_584_415));
    let camera = control::CameraCondition {
        name: "door".into(),
        enabled: true,
        state: crate::status::CameraState::Online,
        detail: String::new(),
        since,
        model: "yolox".into(),
        frames_inferred: 90_000,
    };
    let broker = control::BrokerCondition { name: "mqtt".into(), connected: true, failure: None, commands_heard: true, kept: 0 };
    let difference = config::Difference {
        key: "camera.door.max_fps".into(),
        deviation: config::Deviation::Set,
        file: None,
        running: Some("5".into()),
    };
    let status = control::Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: 3600,
        cameras: vec![camera],
        brokers: vec![broker],
        log_filter: "info".into(),
        differences: vec![difference],
    };
    write("reply_status", Verb::Status, Ok(Done { status: Some(status), ..Done::default() }));
    let health = control::Condition {
        uptime_s: 3600,
        cameras_enabled: 16,
        cameras_online: 15,
        frames_decoded: 864_000,
        frames_inferred: 863_000,
        frames_dropped: 1000,
        memory_bytes: Some(123_456_789),
        threads: Some(42),
        descriptors: Some(64),
    };
    write("reply_health", Verb::Health, Ok(Done { health: Some(health), ..Done::default() }));
    let done = Done {
        changed: vec![changed("camera.yard", control::Happening::Added), changed("camera.gate", control::Happening::Removed)],
        needs_restart: vec!["model.yolox".into()],
        ..Done::default()
    };
    write("reply_reload", Verb::Reload, Ok(done));
}

#[test]
fn what_is_not_allowed_or_no_verb_is_refused() {
    let mut rig = rig(&[Verb::Status]);
    let (message, topic) = rig.refused(&said("reload", r#"{"id":5}"#));
    assert_eq!((&message["error"]["reason"], &*topic), (&json!("not_allowed"), "egret/box1/cmd/reload/reply"));
    assert_eq!(message["id"], "5", "its sender knows it by that");
    assert!(message["error"]["remedy"].as_str().is_some_and(|remedy| remedy.contains("[mqtt.commands]")));
    let (message, topic) = rig.refused(&said("camera_disabel", ""));
    assert_eq!((&message["error"]["reason"], &*topic), (&json!("unknown_verb"), "egret/box1/cmd/camera_disabel/reply"));
    assert_eq!(message["error"]["remedy"], "did you mean \"camera_disable\"?");
    // A level that cannot be said again is not said again.
    let (message, topic) = rig.refused(&said("r\u{e9}load\u{1}", ""));
    assert_eq!((&message["verb"], &*topic), (&json!("_"), "egret/box1/cmd/_/reply"));
    assert_eq!(rig.counters.commands.of(None, Outcome::Refused(Reason::UnknownVerb)), 2);
    assert_eq!(rig.count(Verb::Reload, Outcome::Refused(Reason::NotAllowed)), 1);
    // What is no command is none of ours.
    for topic in ["egret/box1/cmd/status/reply", "egret/box2/cmd/status", "egret/box1/status", "x"] {
        assert_eq!(rig.heard(&Said { topic: topic.into(), ..Said::default() }), None, "{topic}");
    }
    assert_eq!(self::rig(&[]).commands.filter(), None, "nothing is allowed: nothing is listened to");
}

#[test]
fn garbage_retained_and_oversized_commands_are_refused() {
    let mut rig = rig(&Verb::ALL);
    let (message, _) = rig.refused(&said("reload", "\u{0}\u{1}{{{"));
    assert!(message["error"]["message"].as_str().is_some_and(|text| text.starts_with("it is no JSON")), "{message}");
    assert_eq!(rig.reason(&Said { retained: true, ..said("reload", "{}") }), "retained");
    assert_eq!(rig.heard(&Said { retained: true, ..said("reload", "") }), None, "it is cleared");
    assert_eq!(rig.reason(&said("reload", &" ".repeat(LARGEST + 1))), "too_large");
    assert_eq!(rig.reason(&Said { correlation: Some(vec![1; 1025].into()), ..said("reload", "") }), "malformed");
    let reply = rig.commands.heard_too_large("egret/box1/cmd/reload", 70_000, rig.now).expect("an answer");
    assert_eq!((read(&reply)["error"]["reason"].as_str(), &*reply.topic), (Some("too_large"), "egret/box1/cmd/reload/reply"));
    assert_eq!(rig.commands.heard_too_large("egret/box1/cam/door/frame", 70_000, rig.now), None);
    assert_eq!(rig.count(Verb::Reload, Outcome::Refused(Reason::TooLarge)), 2);
    assert_eq!(rig.count(Verb::Reload, Outcome::Refused(Reason::Retained)), 1);
    assert_eq!(rig.count(Verb::Reload, Outcome::Refused(Reason::Malformed)), 2);
}

/// No answer forges a message of ours, of another device, or of a dialect.
#[test]
fn answers_go_only_where_they_can_be_nothing_else() {
    let mut rig = rig(&[Verb::Status]);
    for topic in [
        "",
        "ops/+",
        "ops/#",
        "ops/\u{0}",
        "$SYS/x",
        "egret",
        "egret/box1/cam/door/event/gate",
        "egret/box2/status",
        "egret/box1/cmd/status",
        "egret/box1/cmd/a/b/reply",
        "frigate/door/enabled/set",
        &"x".repeat(513),
    ] {
        let asked = Said { response_topic: Some(topic.to_owned()), ..said("status", "") };
        let (message, answered) = rig.refused(&asked);
        assert_eq!(message["error"]["reason"], "response_topic", "{topic}");
        assert_eq!(&*answered, "egret/box1/cmd/status/reply");
    }
    for topic in ["ops/answers", "egretta/x", "egret/box1/cmd/status/reply", "egret/box1/cmd/mine/reply", "frigates/x"] {
        let asked = Said { response_topic: Some(topic.to_owned()), ..said("status", "") };
        assert_eq!(rig.heard(&asked), None, "{topic}");
        assert_eq!(rig.door.try_recv().expect("let through").action, Action::Status);
    }
}

/// The same command again is answered again and not carried out; another one of its name is refused.
#[tokio::test]
async fn a_command_is_carried_out_once() {
    let mut rig = rig(&[Verb::CameraDisable, Verb::CameraEnable]);
    let off = || said("camera_disable", r#"{"id":"7","camera":"door"}"#);
    let (_, first) = rig.obeyed(&off()).await;
    assert_eq!(rig.heard(&off()), Some(first), "the very same answer");
    assert_eq!(rig.reason(&said("camera_disable", r#"{"id":"7","camera":"yard"}"#)), "reused");
    assert_eq!(rig.reason(&said("camera_enable", r#"{"id":"7","camera":"door"}"#)), "reused", "of whatever verb");
    rig.obeyed(&said("camera_enable", r#"{"id":"8","camera":"door"}"#)).await;

    // By correlation data, while it is still under way; each sender is answered where it asked.
    assert_eq!(rig.heard(&named(off(), b"c")), None);
    assert_eq!(rig.heard(&named(off(), b"c")), None);
    let request = rig.door.try_recv().expect("one");
    assert!(rig.door.try_recv().is_err(), "and no other");
    request.answer.send(Ok(Done::default())).expect("waits");
    let reply = rig.commands.next().await.expect("a reply");
    let elsewhere = Said { response_topic: Some("ops/b".into()), ..named(off(), b"c") };
    let again = rig.heard(&elsewhere).expect("known");
    assert_eq!((&*again.topic, &again.payload), ("ops/b", &reply.payload));
    assert!(rig.door.try_recv().is_err());
    assert_eq!(rig.count(Verb::CameraDisable, Outcome::Repeated), 3);
    assert_eq!(rig.count(Verb::CameraDisable, Outcome::Done), 2);

    // What has no name is carried out each time; what was refused can be put right under the same name.
    let nameless = said("camera_disable", r#"{"camera":"door"}"#);
    rig.obeyed(&nameless).await;
    rig.obeyed(&nameless).await;
    assert_eq!(rig.reason(&said("camera_disable", r#"{"id":"9","camra":"door"}"#)), "malformed");
    rig.obeyed(&said("camera_disable", r#"{"id":"9","camera":"door"}"#)).await;

    // The list is bounded: the oldest names are forgotten.
    for number in 0..200 {
        rig.obeyed(&said("camera_disable", &format!(r#"{{"id":"n{number}","camera":"door"}}"#))).await;
    }
    rig.obeyed(&off()).await;
}

#[test]
fn too_many_are_refused_and_few_of_them_answered() {
    let mut rig = rig(&[Verb::Status]);
    let (mut answers, start) = (0, rig.now);
    for _ in 0..500 {
        answers += usize::from(rig.commands.heard(&said("status", "[]"), start).is_some());
    }
    assert_eq!(answers, 51, "fifty at once, and the first that is too many");
    assert_eq!(rig.count(Verb::Status, Outcome::Refused(Reason::TooMany)), 450);
    let later = rig.commands.heard(&said("status", "[]"), start + Duration::from_secs(2)).expect("an answer");
    assert_eq!(read(&later)["error"]["reason"], "malformed");
}

#[tokio::test]
async fn a_busy_door_and_one_that_closes_say_so() {
    let mut rig = rig(&[Verb::Status]);
    for _ in 0..2 {
        assert_eq!(rig.heard(&said("status", "")), None);
    }
    let busy = rig.heard(&said("status", "")).expect("at once");
    assert_eq!(read(&busy)["error"]["reason"], "busy");
    drop(std::mem::replace(&mut rig.door, mpsc::channel(1).1));
    for _ in 0..2 {
        let reply = rig.commands.next().await.expect("a reply");
        assert_eq!(read(&reply)["error"]["reason"], "stopping", "what waited is not done");
    }
    assert_eq!(rig.reason(&said("status", "")), "stopping");
}

#[tokio::test]
async fn switches_of_dialects_go_through_the_same_door() {
    let wish = |on| Wish { camera: "door".into(), on };
    let mut rig = rig(&[Verb::CameraEnable, Verb::CameraDisable]);
    for on in [true, false] {
        rig.commands.switch(wish(Some(on)), false, rig.now);
        let Request { action, answer } = rig.door.try_recv().expect("at the door");
        assert_eq!(action, Action::Switch("door".into(), on));
        answer.send(Ok(Done::default())).expect("waits");
        assert_eq!(rig.commands.next().await, None, "the status is the answer");
    }
    rig.commands.switch(wish(Some(true)), true, rig.now);
    rig.commands.switch(wish(None), false, rig.now);
    assert_eq!(rig.count(Verb::CameraEnable, Outcome::Refused(Reason::Retained)), 1);
    assert_eq!(rig.count(Verb::CameraDisable, Outcome::Refused(Reason::Malformed)), 1);
    let mut half = self::rig(&[Verb::CameraEnable]);
    half.commands.switch(wish(Some(true)), false, half.now);
    assert_eq!(half.count(Verb::CameraEnable, Outcome::Refused(Reason::NotAllowed)), 1);
    assert!(rig.door.try_recv().is_err() && half.door.try_recv().is_err());
}

proptest! {
    /// Whatever comes on whatever topic: no panic, and nothing that the payload does not spell out is carried out.
    #[test]
    fn garbage_is_never_carried_out(
        verb in prop_oneof![Just("camera_disable".to_owned()), Just("camera_add".to_owned()), ".{0,20}"],
        payload in prop::collection::vec(any::<u8>(), 0..200),
        response in prop::option::of(".{0,20}"),
        correlation in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        retained in any::<bool>(),
    ) {
        let allowed: Vec<Verb> = Verb::ALL.into_iter().filter(|verb| *verb != Verb::Reload).collect();
        let mut rig = rig(&allowed);
        let said = Said {
            id: 0,
            topic: format!("egret/box1/cmd/{verb}"),
            payload: payload.clone().into(),
            retained,
            response_topic: response,
            correlation: correlation.map(Bytes::from),
        };
        let reply = rig.heard(&said);
        if let Ok(request) = rig.door.try_recv() {
            prop_assert!(matches!(request.action, Action::Status | Action::Health), "{:?}", request.action);
        } else if let Some(reply) = reply {
            prop_assert_eq!(&read(&reply)["ok"], &json!(false));
            prop_assert!(!reply.topic.contains(['+', '#']));
        } else {
            let clears = retained && payload.is_empty();
            prop_assert!(clears || verb.contains('/'), "unanswered: {}", verb);
        }
    }
}
