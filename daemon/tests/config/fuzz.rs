//! Whatever the file holds: an answer, in time, that keeps its secrets.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use egret::config::{self, Loaded, Problem};
use proptest::{collection::vec, prelude::*};

use super::{PASSWORD, ten_errors::fixture, told};

/// A file of every kind of key, with the password wherever one may stand.
const FULL: &str = r#"
device = "gate"
[mqtt]
url = "mqtt://egret:hunter2@broker:1883/site"
version = 5
keep_alive = "30s"
[http]
listen = "127.0.0.1:9180"
[[model]]
name = "m"
builtin = "null"
classes = ["person", "car"]
confidence = 0.3
[[camera]]
name = "door"
url = "rtsp://admin:hunter2@192.168.1.20:554/stream1"
classes = ["person"]
[[camera]]
name = "yard"
url = "rtsp://192.168.1.21/stream1"
username = "admin"
password = "hunter2"
[[camera]]
name = "clip"
url = "file:/nowhere.mp4"
repeat = true
"#;

fn examine(text: &str) -> Result<Loaded, Vec<Problem>> {
    let start = Instant::now();
    let outcome = config::load_text(Path::new("egret.toml"), text);
    // Milliseconds on an idle machine; the bound is there for what grows with the square of the file.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?} for {} bytes", start.elapsed(), text.len());
    if let Err(problems) = &outcome {
        assert!(!problems.is_empty());
        for problem in problems {
            assert!(!problem.reason.is_empty() && !problem.remedy.is_empty());
        }
    }
    outcome
}

fn mutate(text: &str, edits: &[(prop::sample::Index, u8, char)]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for (at, edit, c) in edits {
        if characters.is_empty() {
            break;
        }
        let at = at.index(characters.len());
        match edit % 4 {
            0 => characters[at] = *c,
            1 => characters.insert(at, *c),
            2 => drop(characters.remove(at)),
            _ => {
                let end = (at + usize::from(*edit)).min(characters.len());
                characters.drain(at..end);
            }
        }
    }
    characters.into_iter().collect()
}

fn any_edits() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, char)>> {
    let character = prop_oneof![prop::sample::select("=[]\"'{}#.,\\\n@:/%x5 ".chars().collect::<Vec<_>>()), any::<char>()];
    vec((any::<prop::sample::Index>(), any::<u8>(), character), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_gets_an_answer(text in any::<String>()) {
        let _ = examine(&text);
    }

    #[test]
    fn arbitrary_bytes_get_an_answer(bytes in vec(any::<u8>(), 0..2000)) {
        let _ = examine(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn text_of_toml_s_own_characters_gets_an_answer(text in "[\\[\\]{}=\"'#.,\\\\\n a-d0-9_-]{0,400}") {
        let _ = examine(&text);
    }

    #[test]
    fn a_mistyped_file_gets_an_answer_that_shows_no_password(edits in any_edits()) {
        // Mistakes of the keyboard: single characters. Cutting out more could make the password the value of another key.
        let edits: Vec<_> = edits.into_iter().take(4).map(|(at, edit, c)| (at, edit % 3, c)).collect();
        let text = mutate(FULL, &edits);
        match examine(&text) {
            Ok(loaded) => prop_assert!(!loaded.advice.iter().any(|advice| told(advice).contains(PASSWORD))),
            Err(problems) => {
                for problem in &problems {
                    prop_assert!(!told(problem).contains(PASSWORD), "{}\n{}", text, problem);
                }
            }
        }
    }

    #[test]
    fn a_mutated_sample_gets_an_answer(edits in any_edits()) {
        let _ = examine(&mutate(include_str!("../../../systemd/egret.toml"), &edits));
    }
}

#[test]
fn unlucky_files_are_answered_in_time() {
    let megabyte = 1 << 20;
    for text in [
        "[".repeat(megabyte),
        "a=[".repeat(megabyte / 3),
        "a={".repeat(megabyte / 3),
        "x\n".repeat(megabyte / 2),
        "\"".repeat(megabyte),
        "a.".repeat(megabyte / 2),
        "[[camera]]\n".repeat(megabyte / 11),
        (0..40_000).map(|i| format!("pasword{i} = \"hunter2\"")).collect::<Vec<_>>().join("\n"),
        (0..40_000).map(|i| format!("[t{i}]\nx = 1")).collect::<Vec<_>>().join("\n"),
        format!("[[model]]\nname = \"m\"\nclasses = [{}]\n", "\"x\", ".repeat(100_000)),
        format!("device = \"{}\"", "x".repeat(megabyte)),
        std::fs::read_to_string(fixture()).expect("the fixture").repeat(500),
    ] {
        assert!(examine(&text).is_err(), "{}…", &text[..20]);
    }
}
