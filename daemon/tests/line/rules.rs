//! Rules through the whole line: from a camera to retained counts and events at a subscriber, and away again with a reload.

use std::fmt::Write as _;

use serde_json::Value;
use tokio::time::timeout_at;

use super::*;

const RULES: &str = "[[camera.rule]]\nname = \"gate\"\nkind = \"line\"\nline = [[0.5, 1.0], [0.5, 0.0]]\n\
                     [[camera.rule]]\nname = \"yard\"\nkind = \"zone\"\nzone = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]\n";

/// Somebody who walks from left to right and back, again and again, whatever frames are dropped.
fn script(camera: &str) -> String {
    let mut text = String::new();
    for seq in 0..1500_u32 {
        let at = (seq % 120).min(120 - seq % 120);
        let x = 0.05 + 0.9 * f64::from(at) / 60.0;
        let bbox = [x * 280.0, 60.0, x * 280.0 + 40.0, 160.0];
        let detection = format!("{{\"class\":\"person\",\"confidence\":0.9,\"bbox\":{bbox:?}}}");
        writeln!(text, "{{\"stream\":\"{camera}\",\"seq\":{seq},\"detections\":[{detection}]}}").expect("memory");
    }
    text
}

/// Takes messages until this one comes; an empty payload is `null`.
async fn hear(line: &mut Running, topic: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let message = timeout_at(line.deadline, line.received.recv()).await;
        assert!(message.is_ok(), "no {topic} in time");
        let message = message.expect("in time").expect("the broker stays");
        if message.topic.ends_with(topic) {
            let value = serde_json::from_slice(&message.payload).unwrap_or(Value::Null);
            if wanted(&value) {
                return value;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_counts_arrive_and_a_reload_takes_a_rule_away() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("script.jsonl");
    std::fs::write(&file, script("door")).expect("a file");
    let model = format!("[[model]]\nname = \"script\"\nscripted = {file:?}\nclasses = [\"person\"]\nworkers = 1\n");
    let mut line = Running::start(vec![SimCamera::test("door")], &["door"], &model, RULES).await;

    let start = hear(&mut line, "/cam/door/event/yard", |_| true).await;
    assert_eq!((&start["phase"], &start["rule_kind"]), (&Value::from("start"), &Value::from("zone")));
    let inwards = hear(&mut line, "/cam/door/event/gate", |event| event["direction"] == "in").await;
    assert_eq!((&inwards["phase"], &inwards["objects"][0]["class"]), (&Value::from("once"), &Value::from("person")));
    assert_eq!(inwards["objects"][0]["track"], start["objects"][0]["track"], "it is the same one");
    let count = hear(&mut line, "/cam/door/count/gate", |count| count["classes"]["person"]["in"].as_u64() >= Some(1)).await;
    assert_eq!(count["total"], count["classes"]["person"]);
    let counts = line.pipeline.books().snapshot().rules;
    assert!(counts.iter().any(|row| row.rule == "gate" && row.events >= 1), "{counts:?}");

    let mut config = line.configuration(&["door"]);
    let camera = &mut config.cameras[0];
    let mut rules = (*camera.rules).clone();
    rules.rules.retain(|rule| rule.name == "gate");
    camera.rules = rules.into();
    assert_eq!(line.pipeline.reload(config).await.needs_restart, [""; 0], "rules change while the camera runs");
    // What is retained leaves before events do.
    hear(&mut line, "/cam/door/count/yard", Value::is_null).await;
    let end = hear(&mut line, "/cam/door/event/yard", |event| event["phase"] == "end").await;
    assert_eq!(end["event"], start["event"]);
    let goes_on = count["total"]["in"].as_u64();
    hear(&mut line, "/cam/door/count/gate", |count| count["total"]["in"].as_u64() > goes_on).await;
    line.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_go_on_in_the_next_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let (file, queue) = (directory.path().join("script.jsonl"), directory.path().join("queue"));
    std::fs::write(&file, script("door")).expect("a file");
    let model = format!(
        "[queue]\ndirectory = {queue:?}\n[[model]]\nname = \"script\"\nscripted = {file:?}\nclasses = [\"person\"]\nworkers = 1\n"
    );
    let mut line = Running::start(vec![SimCamera::test("door")], &["door"], &model, RULES).await;
    let count = hear(&mut line, "/cam/door/count/gate", |count| count["total"]["in"].as_u64() >= Some(1)).await;
    line.stop().await;
    let mut line = Running::start(vec![SimCamera::test("door")], &["door"], &model, RULES).await;
    let first = hear(&mut line, "/cam/door/count/gate", |_| true).await;
    assert_eq!(first["since"], count["since"]);
    assert_ne!(first["boot_id"], count["boot_id"]);
    assert!(first["total"]["in"].as_u64() >= count["total"]["in"].as_u64(), "{first} after {count}");
    line.stop().await;
}
