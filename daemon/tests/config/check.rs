//! `egret check` and `egret schema` as processes.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use super::{PASSWORD, ten_errors::fixture};

fn egret(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_egret")).args(arguments).env_clear().output().expect("egret runs")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn check_exits_78_and_prints_each_problem() {
    let path = fixture();
    let output = egret(&["check", "--config", path.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
    let text = text(&output);
    assert_eq!(text.matches("error: ").count(), 10, "{text}");
    assert!(text.trim_end().ends_with("10 problems") && !text.contains(PASSWORD), "{text}");
}

#[test]
fn check_prints_json() {
    let path = fixture();
    let output = egret(&["check", "--json", "--config", path.to_str().expect("UTF-8")]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), report["ok"].as_bool()), (Some(78), Some(false)));
    assert_eq!(report["problems"].as_array().map(Vec::len), Some(10));
    assert_eq!((report["problems"][5]["line"].as_u64(), report["problems"][5]["column"].as_u64()), (Some(15), Some(14)));
    assert!(!text(&output).contains(PASSWORD));
}

#[test]
fn a_complaint_about_the_command_line_quotes_no_password() {
    for (words, part) in [
        (&["init", "a=rtsp://u:hunter2@h/x"][..], "rtsp://***@h/x"),
        (&["check", "--camra", "a=rtsp://u:hunter2@h/x"], "--camra"),
        (&["run", "--broker", "mqtt://h", "mqtt://u:hunter2@h"], "mqtt://***@h"),
        #[cfg(feature = "sim")]
        (&["sim", "--camera", "x=scene,login=u:hunter2,bogus"], "login=***,bogus"),
        #[cfg(feature = "sim")]
        (&["sim", "--camera", "x=scene,login=u:hunter2,bogus"], "login=USER:PASSWORD"),
    ] {
        let output = egret(words);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains(part) && !text(&output).contains(PASSWORD), "{}", text(&output));
    }
    let help = egret(&["init", "--help"]);
    assert!(help.status.success() && text(&help).contains("mqtt://[user:password@]host"), "{}", text(&help));
}

#[test]
fn a_name_that_is_none_is_told_with_what_names_have() {
    for (camera, reason) in [
        ("a/b=rtsp://h/".to_owned(), "does not begin with a name"),
        ("ü=rtsp://h/".to_owned(), "does not begin with a name"),
        (format!("{}=rtsp://h/", "a".repeat(65)), "longer than 64 characters"),
    ] {
        let output = egret(&["check", "--camera", &camera]);
        let told = text(&output);
        assert!(told.contains("option --camera") && told.contains(reason) && told.contains("1 to 64 characters"), "{told}");
    }
}

#[test]
fn check_is_content_with_a_good_configuration() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/egret.toml");
    let output = egret(&["check", "--config", sample.to_str().expect("UTF-8")]);
    assert_eq!((output.status.code(), text(&output).as_str()), (Some(0), "ok: 0 cameras, 0 models\n"));
    let output = egret(&["check", "--camera", "door=rtsp://u:hunter2@cam/1", "--model", "builtin:null"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output).ends_with("ok: 1 camera, 1 model\n") && !text(&output).contains(PASSWORD), "{}", text(&output));
    let output = egret(&["check", "--camera", "door=rtsp://u:hunter2@cam:0/1"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(!text(&output).contains(PASSWORD), "{}", text(&output));
}

#[test]
fn check_looks_into_the_model_files() {
    let network = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/street/street.onnx");
    let bytes = fs::read(&network).expect("the network");
    let half = tempfile::Builder::new().suffix(".onnx").tempfile().expect("a file");
    fs::write(half.path(), &bytes[..bytes.len() / 2]).expect("written");
    let check = |model: &Path| egret(&["check", "--camera", "door=rtsp://cam/1", "--model", model.to_str().expect("UTF-8")]);
    let good = check(&network);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good));
    let bad = check(half.path());
    let said = text(&bad);
    assert_eq!(bad.status.code(), Some(78), "{said}");
    fs::write(half.path(), b"\xff\xd8\xff\xe0\0\x10JFIF\0").expect("written");
    assert!(text(&check(half.path())).contains("it is a JPEG picture, not an ONNX model"), "{}", text(&check(half.path())));
    assert!(said.contains("truncated") && said.contains(half.path().to_str().expect("UTF-8")) && said.contains("-> "), "{said}");
}

/// The sample with all its keys in force, as JSON.
fn sample_as_json() -> Value {
    let sample = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/egret.toml")).expect("the sample");
    let is_key = |line: &str| {
        line.starts_with("#[[") || line.strip_prefix('#').is_some_and(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
    };
    let uncommented: Vec<_> = sample.lines().map(|line| if is_key(line) { &line[1..] } else { line }).collect();
    let table: toml::Table = uncommented.join("\n").parse().expect("TOML");
    serde_json::to_value(table).expect("JSON")
}

const VALIDATE: &str = "
import json, sys
try:
    import jsonschema
except ImportError:
    sys.exit(77)
schema, good, bad = json.load(sys.stdin)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for error in validator.iter_errors(good):
    sys.exit(f'{list(error.path)}: {error.message}')
for document in bad:
    if validator.is_valid(document):
        sys.exit(f'took {document}')
";

#[test]
fn the_sample_is_valid_under_the_schema_and_bad_documents_are_not() {
    let output = egret(&["schema"]);
    assert!(output.status.success());
    let schema: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(schema["properties"]["camera"]["items"]["properties"]["no_data_timeout"]["default"], "10s");
    let bad = serde_json::json!([
        { "devcie": "x" },
        { "device": "a/b" },
        { "mqtt": { "version": 4 } },
        { "batch": { "max_wait": "soon" } },
        { "camera": [{ "url": "test:" }] },
        { "camera": [{ "name": "a", "weight": 0 }] },
        { "model": [{ "name": "a", "confidence": 1.5 }] },
        { "model": { "name": "a" } },
    ]);
    let python = std::env::var_os("EGRET_REFERENCE_PYTHON").unwrap_or_else(|| "python3".into());
    let python = Command::new(python).args(["-c", VALIDATE]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut python) = python else {
        eprintln!("SKIPPED: no python3 to validate the JSON Schema with");
        return;
    };
    let input = serde_json::json!([schema, sample_as_json(), bad]).to_string();
    // A validator that is missing ends before it has read everything.
    let _ = python.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let outcome = python.wait_with_output().expect("python3 ends");
    if outcome.status.code() == Some(77) {
        eprintln!("SKIPPED: neither EGRET_REFERENCE_PYTHON nor python3 has jsonschema to validate with");
        return;
    }
    assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stderr));
}

#[test]
fn a_model_of_the_store_is_named_by_its_name() {
    let state = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        let mut egret = Command::new(env!("CARGO_BIN_EXE_egret"));
        egret.args(arguments).env_clear().env("STATE_DIRECTORY", state.path()).output().expect("egret runs")
    };
    let check = || run(&["check", "--camera", "door=rtsp://cam/1", "--model", "stored:street"]);
    let before = check();
    assert_eq!(before.status.code(), Some(78), "{}", text(&before));
    assert!(
        text(&before).contains("street") && text(&before).contains("egret model add FILE --name street"),
        "{}",
        text(&before)
    );
    let network = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/street/street.onnx");
    let added = run(&["model", "add", network.to_str().expect("UTF-8"), "--name", "street"]);
    assert!(added.status.success(), "{}", text(&added));
    let after = check();
    assert_eq!(after.status.code(), Some(0), "{}", text(&after));
    assert!(text(&after).contains("ok: 1 camera, 1 model"), "{}", text(&after));
}
