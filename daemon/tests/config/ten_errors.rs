//! Ten mistakes in one file are ten problems in one run, each with its line.

use std::path::{Path, PathBuf};

use super::{PASSWORD, line, load_file, problems, told};

/// The fixture.
pub(crate) fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/ten-errors.toml")
}

#[test]
fn all_ten_are_told_at_once_with_their_lines() {
    let found = problems(load_file(&fixture()));
    let told: Vec<_> = found.iter().map(|problem| (line(problem).unwrap_or(0), problem.key.as_str())).collect();
    assert_eq!(
        told,
        [
            (2, "devcie"),
            (3, "shutdown_deadline"),
            (6, "mqtt.url"),
            (7, "mqtt.version"),
            (10, ""),
            (15, "model.yolox.confidence"),
            (19, "camera.#1.name"),
            (25, "camera.yard.transport"),
            (30, "camera.gate.model"),
            (33, "camera.gate.name"),
        ]
    );
}

#[test]
fn each_says_value_reason_and_remedy_and_shows_its_line() {
    for problem in problems(load_file(&fixture())) {
        assert!(!problem.reason.is_empty() && !problem.remedy.is_empty());
        let text = problem.to_string();
        assert!(
            text.contains("ten-errors.toml:") && text.contains(" | ") && text.contains('^') && text.contains("-> "),
            "{text}"
        );
    }
    let texts: Vec<String> = problems(load_file(&fixture())).iter().map(ToString::to_string).collect();
    let expected = "ten-errors.toml:15:14: model.yolox.confidence = 1.5: out of range\n  15 | confidence = 1.5\n     |              ^^^\n  -> write a number from 0 to 1";
    assert!(texts[5].ends_with(expected), "{}", texts[5]);
    assert!(texts[0].contains("did you mean device?"));
    assert!(texts[8].contains("did you mean yolox?"));
}

#[test]
fn no_password_is_among_what_is_told() {
    for problem in problems(load_file(&fixture())) {
        assert!(!told(&problem).contains(PASSWORD), "{problem}");
    }
}
