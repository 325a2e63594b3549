//! Text of others on our terminal.

use std::{borrow::Cow, fmt::Write as _};

/// What moves a cursor, colours, turns the direction of writing or breaks a line: never printed as it is.
fn is_harmful(letter: char) -> bool {
    let turns = matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    letter.is_control() || turns || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// The text with whatever is harmful as `\uXXXX`. JSON stays the same JSON, since such letters stand in its strings only.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_harmful(letter) {
            // All of them are below U+10000.
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(letter));
        } else {
            out.push(letter);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(printable("plain – ünï"), "plain – ünï");
        assert_eq!(printable("a\x1b[2Jb\r\n\u{9b}c\u{202e}d\x7f"), "a\\u001b[2Jb\\u000d\\u000a\\u009bc\\u202ed\\u007f");
    }

    proptest! {
        #[test]
        fn json_stays_the_same_json(text in any::<String>()) {
            let line = json!({ &text: [&text] }).to_string();
            let shown = printable(&line);
            prop_assert!(!shown.contains(is_harmful));
            prop_assert_eq!(serde_json::from_str::<Value>(&shown).expect("JSON"), json!({ &text: [&text] }));
        }
    }
}
