//! Documents, schemas, forms and messages say the same.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{
    asyncapi,
    compose::tests as composed,
    message::{self, Compact},
    testing::{Line, Mosquitto, Subscriber, config, frame},
    topics::{CHANNELS, COMMAND},
};
use crate::{
    config::{FrameFormat, MqttVersion},
    media::{StreamId, Track, TrackPhase, Tracked},
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/messages.py");

fn docs() -> PathBuf {
    Path::new(ROOT).join("docs/mqtt")
}

/// Other people's readers; `None`, said loudly, where there are none.
fn reference(arguments: &[&str], input: &str) -> Option<String> {
    let Some(python) = std::env::var_os("EGRET_REFERENCE_PYTHON") else {
        eprintln!("SKIPPED: EGRET_REFERENCE_PYTHON names no Python with cbor2, protobuf and jsonschema");
        return None;
    };
    let mut command = Command::new(python);
    command.arg("-B").arg(SCRIPT).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("EGRET_REFERENCE_PYTHON starts");
    // Where a module is missing it ends before it has read everything.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) {
        eprintln!("SKIPPED: EGRET_REFERENCE_PYTHON: {}", errors.trim());
        return None;
    }
    assert!(output.status.success(), "{errors}");
    Some(String::from_utf8(output.stdout).expect("UTF-8"))
}

/// Compares with the committed file. `EGRET_WRITE_FIXTURES=1` writes it instead: then read the difference.
fn committed(path: &Path, text: &str) {
    if std::env::var_os("EGRET_WRITE_FIXTURES").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("room");
        fs::write(path, text).expect("written");
    }
    assert_eq!(fs::read_to_string(path).unwrap_or_default(), text, "{}: write it with egret schema --write", path.display());
}

#[test]
fn the_documents_are_those_of_the_code() {
    committed(&Path::new(ROOT).join(asyncapi::DOCUMENT), &asyncapi::yaml());
    for (kind, schema) in message::schemas() {
        let path = Path::new(ROOT).join(asyncapi::SCHEMAS).join(format!("{kind}.json"));
        committed(&path, &format!("{:#}\n", json!(schema)));
        assert!(CHANNELS.iter().chain([&COMMAND]).any(|channel| channel.kind == kind), "{kind} is said nowhere");
    }
    let files = fs::read_dir(Path::new(ROOT).join(asyncapi::SCHEMAS)).expect("schemas").count();
    assert_eq!(files, message::schemas().len(), "a schema of no message");
    if let Some(read) = reference(&["document", docs().to_str().expect("a plain path")], "") {
        let read: Value = serde_json::from_str(&read).expect("JSON");
        assert_eq!(read, asyncapi::document(), "another reader of YAML sees the same document");
    }
}

/// The channel that a topic below `egret/box1` is of.
fn channel_of(topic: &str) -> &'static super::topics::Channel {
    let fits = |address: &str| {
        let (levels, parts) = (topic.split('/').collect::<Vec<_>>(), address.split('/').collect::<Vec<_>>());
        levels.len() == parts.len() && levels.iter().zip(parts).all(|(level, part)| part.starts_with('{') || *level == part)
    };
    CHANNELS.iter().find(|channel| fits(channel.address)).unwrap_or_else(|| panic!("{topic} is in no table"))
}

/// What went through a broker, and every fixture that the composer's own tests hold, by kind.
#[tokio::test]
async fn what_is_published_is_valid_under_the_schemas() {
    let mut lines = String::new();
    let mut add = |kind: &str, payload: &Value| {
        lines.extend([json!({ "kind": kind, "payload": payload }).to_string().as_str(), "\n"]);
    };
    for file in fs::read_dir(composed::DATA).expect("fixtures") {
        let text = fs::read_to_string(file.expect("a file").path()).expect("a fixture");
        let payload: Value = serde_json::from_str(&text).expect("JSON");
        add(payload["kind"].as_str().expect("a kind"), &payload);
    }
    let dir = tempfile::tempdir().expect("a directory");
    if let Some(broker) = Mosquitto::start(dir.path(), "allow_anonymous true") {
        let mut subscriber = Subscriber::connect_as(MqttVersion::V5, broker.port).await;
        let line = Line::start(Some(config(broker.port, MqttVersion::V5)));
        let door = StreamId::new(1, "door");
        line.board.add(&door);
        let mut last = frame(&door, 2);
        last.tracks = last.tracks.iter().map(|track| Track { phase: TrackPhase::End, ..*track }).collect();
        line.send(vec![frame(&door, 0), frame(&door, 1), last]).await;
        let mut ends = 0;
        while ends < 1 {
            let heard = subscriber.next().await;
            let channel = channel_of(&heard.topic);
            assert_eq!(heard.json()["kind"], channel.kind, "{}", heard.topic);
            add(channel.kind, &heard.json());
            ends += usize::from(heard.topic.ends_with("track/end"));
        }
        line.finish().await;
    }
    if let Some(count) = reference(&["validate", docs().to_str().expect("a plain path")], &lines) {
        assert!(count.trim().parse::<usize>().expect("a number") > 15, "{count}");
    }
}

fn frames() -> Vec<Tracked> {
    let arrived = composed::arrived();
    let mut sure = composed::with_steps(arrived);
    sure.times.set_uncertainty(std::time::Duration::from_micros(6_011));
    let mut empty = composed::with_shapes(arrived, 0);
    empty.detections.clear();
    let mut closing = composed::with_steps(arrived);
    (closing.closing, closing.times) = (true, crate::media::TimeCard::default());
    vec![sure, composed::with_shapes(arrived, 2), empty, closing, scene(10)]
}

/// Objects of three classes in the middle of their lives, as on a street.
pub(super) fn scene(objects: u16) -> Tracked {
    let mut tracked = composed::tracked(crate::media::TimeBasis::SenderReport, composed::arrived());
    tracked.times.set_uncertainty(std::time::Duration::from_micros(1_511));
    tracked.tracks.clear();
    tracked.model = std::sync::Arc::new(crate::media::ModelInfo {
        name: "yolox_nano".into(),
        classes: ["person", "car", "bicycle"].map(String::from).to_vec(),
        runtime: "onnxruntime 1.31.1".into(),
        sha256: "c0ffee".repeat(10) + "beef",
        precision: "fp16",
    });
    let first = tracked.detections[0];
    tracked.detections = (0..objects)
        .map(|i| {
            let mut seen = first;
            let x = 131.37 * f32::from(i);
            seen.detection.class = i % 3;
            seen.detection.confidence = 0.5 + f32::from(i) * 0.043_21;
            seen.detection.bbox = crate::media::BBox::new(x, 400.123, x + 80.77, 620.456);
            seen.track = Some(crate::media::TrackId(0x0151_8a2c_9c40_0000 + u64::from(i)));
            seen
        })
        .collect();
    tracked
}

/// Holds two messages equal, but for what the quantisation of boxes makes of them.
fn same(path: &str, json: &Value, other: &Value, size: f64) {
    let close = |a: &Value, b: &Value, by: f64| match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => assert!((a - b).abs() <= by, "{path}: {a} {b}"),
        _ => panic!("{path}: {a} {b}"),
    };
    match (json, other) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<std::collections::BTreeSet<_>>();
            assert_eq!(keys(a), keys(b), "{path}");
            a.iter().for_each(|(key, value)| same(&format!("{path}.{key}"), value, &b[key], size));
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{path}");
            a.iter().zip(b).for_each(|(a, b)| same(path, a, b, size));
        }
        _ if path == ".objects.box" => close(json, other, 0.5 / 65_535.0 * size + 0.0151),
        _ if path == ".objects.box_norm" => close(json, other, 0.5 / 65_535.0 + 1.01e-5),
        (Value::Number(_), Value::Number(_)) => close(json, other, 1e-9),
        _ => assert_eq!(json, other, "{path}"),
    }
}

/// JSON, CBOR and Protobuf of the same frames, each read by egret's own reader and by other people's.
#[test]
fn the_three_forms_of_a_frame_say_the_same() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut said = Vec::new();
    for (number, frame) in frames().iter().enumerate() {
        let of = |format| composed::payload_of(frame, format);
        let json: Value = serde_json::from_slice(&of(FrameFormat::Json)).expect("JSON");
        let (cbor, protobuf) = (of(FrameFormat::Cbor), of(FrameFormat::Protobuf));
        same("", &json, &Compact::from_cbor(&cbor).and_then(|compact| compact.to_json()).expect("CBOR"), 1920.0);
        same("", &json, &Compact::from_protobuf(&protobuf).and_then(|compact| compact.to_json()).expect("Protobuf"), 1920.0);
        assert_eq!(Compact::from_cbor(&cbor).expect("CBOR").class.len(), frame.detections.len());
        fs::write(dir.path().join(format!("{number}.cbor")), &cbor).expect("room");
        fs::write(dir.path().join(format!("{number}.pb")), &protobuf).expect("room");
        said.push(json);
    }
    let folders = [docs(), dir.path().to_owned()].map(|path| path.to_str().expect("a plain path").to_owned());
    let Some(read) = reference(&["decode", &folders[0], &folders[1]], "") else { return };
    let read: Vec<Value> = read.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(read.len(), 2 * said.len());
    for (i, other) in read.iter().enumerate() {
        same("", &said[i / 2], &other["payload"], 1920.0);
    }
}

/// Whatever comes instead of a frame: an error or a frame, never a panic, and not more memory than a few times what came.
mod hostile {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) {
        for frame in [Compact::from_cbor(bytes), Compact::from_protobuf(bytes)].into_iter().flatten() {
            let _said = frame.to_json();
        }
    }

    proptest! {
        #[test]
        fn anything(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            read(&bytes);
        }

        #[test]
        fn a_frame_with_something_else_in_it(
            at in any::<prop::sample::Index>(), byte in any::<u8>(), end in any::<prop::sample::Index>(), which in 0..5_usize
        ) {
            for format in [FrameFormat::Cbor, FrameFormat::Protobuf] {
                let mut bytes = composed::payload_of(&frames()[which], format).to_vec();
                let at = at.index(bytes.len());
                bytes[at] = byte;
                read(&bytes);
                bytes.truncate(end.index(bytes.len()));
                read(&bytes);
            }
        }
    }

    #[test]
    fn what_is_no_frame_is_refused_with_its_field() {
        let frame = Compact::from_protobuf(&composed::payload_of(&scene(2), FrameFormat::Protobuf)).expect("a frame");
        let refused = |spoil: fn(&mut Compact)| {
            let mut spoilt = frame.clone();
            spoil(&mut spoilt);
            let mut cbor = Vec::new();
            spoilt.to_cbor(&mut cbor).expect("room");
            let refused = Compact::from_protobuf(&prost::Message::encode_to_vec(&spoilt)).expect_err("refused");
            assert_eq!(Compact::from_cbor(&cbor).expect_err("refused"), refused);
            refused.to_string()
        };
        assert!(refused(|f| f.version = 2).contains("version"));
        assert!(refused(|f| f.class[1] = 9).contains("class"));
        assert!(refused(|f| f.track.truncate(1)).contains("track"));
        assert!(refused(|f| f.boxes.truncate(15)).contains("boxes"));
        assert!(refused(|f| f.confidence[0] = 10_001).contains("confidence"));
        assert!(refused(|f| f.basis = 7).contains("basis"));
        assert!(refused(|f| f.class = vec![0; 5000]).contains("number of objects"));
        // Nesting without end, and a length that nothing follows.
        assert!(Compact::from_cbor(&[0x81].repeat(100_000)).is_err());
        assert!(Compact::from_cbor(&[0x9b, 0x7f, 255, 255, 255, 255, 255, 255, 255]).is_err());
        assert!(Compact::from_protobuf(&[0xa2, 1, 255, 255, 255, 255, 7]).is_err());
    }
}

/// A message as a page shows it: each field on a line, each object of a list on one.
fn shown(message: &Value) -> String {
    let field = |(key, value): (&String, &Value)| match value {
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let items: Vec<String> = items.iter().map(|item| format!("    {}", spaced(item))).collect();
            format!("  {}: [\n{}\n  ]", Value::from(key.as_str()), items.join(",\n"))
        }
        value => format!("  {}: {}", Value::from(key.as_str()), spaced(value)),
    };
    let fields: Vec<String> = message.as_object().into_iter().flatten().map(field).collect();
    format!("{{\n{}\n}}", fields.join(",\n"))
}

/// JSON on one line, with spaces.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        Value::Object(map) if !map.is_empty() => {
            let fields: Vec<String> =
                map.iter().map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), spaced(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        scalar => scalar.to_string(),
    }
}

/// The manual's examples are the fixtures that the composer's tests hold, and its table of topics is the code's.
#[test]
fn the_manual_shows_real_messages_and_every_topic() {
    let path = Path::new(ROOT).join("docs/mqtt.md");
    let page = fs::read_to_string(&path).expect("the manual");
    let mut parts = page.split("<!-- example: ");
    let mut told = parts.next().expect("a beginning").to_owned();
    for part in parts {
        let (name, rest) = part.split_once(" -->\n").expect("the name of a fixture");
        let rest =
            rest.trim_start().strip_prefix("```json").map_or(rest, |block| block.split_once("```\n").expect("a whole block").1);
        let text = fs::read_to_string(format!("{}/{name}.json", composed::DATA)).expect("a fixture");
        let message: Value = serde_json::from_str(&text).expect("JSON");
        told.extend(["<!-- example: ", name, " -->\n```json\n", &shown(&message), "\n```\n\n", rest.trim_start()]);
    }
    committed(&path, &told);
    for channel in CHANNELS {
        let topic = channel
            .address
            .trim_start_matches("{base}/{device}/")
            .replace("{camera}", "<camera>")
            .replace("{rule}", "<rule>")
            .replace("{verb}", "<verb>");
        let (qos, retained) = (u8::from(channel.family.acknowledged()), if channel.family.retained() { "yes" } else { "no" });
        let row = format!("| `{topic}` | {qos} | {retained} | `{}` |", channel.kind);
        assert!(page.contains(&row), "{row}");
    }
}
