//! A message as a line of JSON, in the form that `egret demo --json` prints and `egret replay` reads.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{decode::Bad, follow::Outcome, text::printable};

/// So many bytes of what cannot be read are shown.
const SHOWN: usize = 32;

/// `{"topic": …, "retained": …, "payload": …}`, and what is remarkable about it.
pub fn json_line(topic: &str, retained: bool, read: Result<&Value, (&Bad, &[u8])>, outcome: Outcome) -> String {
    let mut line = json!({ "topic": topic, "retained": retained });
    match read {
        Ok(payload) => line["payload"] = payload.clone(),
        Err((bad, bytes)) => {
            line["error"] = bad.to_string().into();
            line["bytes"] = bytes.len().into();
            line["begins"] = begins(bytes).into();
        }
    }
    match outcome {
        Outcome::Missing(missing) => line["missing_before"] = missing.into(),
        Outcome::Late => line["late"] = true.into(),
        Outcome::Again => line["again"] = true.into(),
        Outcome::InOrder | Outcome::NotFollowed => {}
    }
    printable(&line.to_string()).into_owned()
}

/// Its first bytes in hexadecimal digits.
pub(super) fn begins(bytes: &[u8]) -> String {
    bytes.iter().take(SHOWN).fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json_whatever_came() {
        let read: Value =
            serde_json::from_str(&json_line("a/\x1bb", true, Ok(&json!({ "x": 1 })), Outcome::Missing(3))).expect("JSON");
        assert_eq!(read, json!({ "topic": "a/\x1bb", "retained": true, "payload": { "x": 1 }, "missing_before": 3 }));
        let bytes = [0xff; 100];
        let read: Value =
            serde_json::from_str(&json_line("t", false, Err((&Bad::Unknown, &bytes)), Outcome::Again)).expect("JSON");
        assert_eq!(
            (&read["bytes"], &read["again"], read["begins"].as_str().map(str::len)),
            (&json!(100), &json!(true), Some(64))
        );
    }
}
