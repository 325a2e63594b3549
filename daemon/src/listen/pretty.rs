//! A message as a line for people.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{follow::Outcome, text::printable};

/// Longer lines are cut.
const LONGEST: usize = 400;

/// What happened, in a line.
pub fn pretty(topic: &str, message: &Value, outcome: Outcome) -> String {
    let word = |key: &str| message[key].as_str().unwrap_or("?");
    // Of a time that is one: hours to milliseconds.
    let at = message["captured_at"]
        .as_str()
        .or(message["published_at"].as_str())
        .and_then(|at| at.get(11..23))
        .unwrap_or("--:--:--.---");
    let camera = message["camera"].as_str().unwrap_or("");
    let device = message["device"].as_str().unwrap_or("");
    let says = match message["kind"].as_str().unwrap_or_default() {
        "frame" => format!("frame {}: {}{}", message["frame"], objects(&message["objects"]), latency(message)),
        "track" => format!("track {} {} {}{}", word("phase"), word("class"), word("track"), latency(message)),
        "event" => format!("event {} {}: {}{}", word("rule"), word("phase"), reason(message), latency(message)),
        "count" => format!(
            "count {}: {} now, {} in, {} out",
            word("rule"),
            message["total"]["now"],
            message["total"]["in"],
            message["total"]["out"]
        ),
        "loss" => format!("LOST {} messages about {}s of {camera}: {}", message["messages"], word("of"), word("reason")),
        "camera_status" | "device_status" => {
            let detail = message["detail"].as_str().or(message["reason"].as_str()).filter(|detail| !detail.is_empty());
            format!("is {}{}", word("state"), detail.map_or_else(String::new, |detail| format!(": {detail}")))
        }
        _ if message.is_null() => return cut(&printable(&format!("{topic}: cleared"))),
        _ => return cut(&printable(&format!("{topic}: {message}"))),
    };
    let remark = match outcome {
        Outcome::Missing(missing) => format!("  [{missing} missing before it]"),
        Outcome::Late => "  [late]".to_owned(),
        Outcome::Again => "  [again]".to_owned(),
        Outcome::InOrder | Outcome::NotFollowed => String::new(),
    };
    let whose = if camera.is_empty() { device.to_owned() } else { format!("{device}/{camera}") };
    cut(&printable(&format!("{at} {whose} {says}{remark}")))
}

fn latency(message: &Value) -> String {
    message["latency_ms"].as_f64().map_or_else(String::new, |ms| format!(", {ms:.0} ms"))
}

/// How many of which class.
fn objects(objects: &Value) -> String {
    let mut classes = BTreeMap::<&str, usize>::new();
    for object in objects.as_array().into_iter().flatten() {
        *classes.entry(object["class"].as_str().unwrap_or("?")).or_default() += 1;
    }
    let list: Vec<String> = classes.iter().map(|(class, count)| format!("{count} {class}")).collect();
    if list.is_empty() { "nothing".to_owned() } else { list.join(", ") }
}

/// Why an event happened.
fn reason(message: &Value) -> String {
    let whom = objects(&message["objects"]);
    let way = message["direction"].as_str().map_or_else(String::new, |way| format!(", {way}"));
    let unit = message["unit"].as_str().unwrap_or_default();
    let measured = message["value"].as_f64().map_or_else(String::new, |value| format!(", {value} {unit}"));
    let limit = message["threshold"].as_f64().map_or_else(String::new, |limit| format!(" of {limit}"));
    format!("{whom}{way}{measured}{limit}")
}

fn cut(line: &str) -> String {
    line.char_indices().nth(LONGEST).map_or_else(|| line.to_owned(), |(end, _)| format!("{}…", &line[..end]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_say_what_happened() {
        let frame = json!({ "kind": "frame", "device": "box1", "camera": "door", "captured_at": "2026-11-21T02:03:04.415679Z", "frame": 12,
                            "latency_ms": 84.3, "objects": [{ "class": "car" }, { "class": "person" }, { "class": "car" }] });
        assert_eq!(
            pretty("t", &frame, Outcome::Missing(2)),
            "02:03:04.415 box1/door frame 12: 2 car, 1 person, 84 ms  [2 missing before it]"
        );
        let event = json!({ "kind": "event", "device": "box1", "camera": "door", "captured_at": "2026-11-21T02:03:04.415679Z", "rule": "gate",
                            "phase": "start", "objects": [{ "class": "car" }], "direction": "in", "value": 12.5, "unit": "s", "threshold": 10.0 });
        assert_eq!(pretty("t", &event, Outcome::InOrder), "02:03:04.415 box1/door event gate start: 1 car, in, 12.5 s of 10");
        let status = json!({ "kind": "camera_status", "device": "b", "camera": "c", "published_at": "x", "state": "no_data", "detail": "none for 5 s" });
        assert_eq!(pretty("t", &status, Outcome::InOrder), "--:--:--.--- b/c is no_data: none for 5 s");
        assert_eq!(pretty("a/b", &Value::Null, Outcome::NotFollowed), "a/b: cleared");
    }

    proptest! {
        #[test]
        fn no_line_of_anything_is_long_or_harms(kind in "frame|track|event|count|device_status|other", text in any::<String>(), at in any::<String>()) {
            let message = json!({ "kind": kind, "device": text, "camera": text, "rule": text, "state": text, "class": text,
                                  "captured_at": at, "objects": [{ "class": text }], "more": text.repeat(50) });
            let line = pretty(&text, &message, Outcome::Again);
            prop_assert!(line.chars().count() <= LONGEST + 1 && !line.chars().any(char::is_control), "{}", line);
        }
    }
}
