//! Text of files that somebody else made, as it may be shown.
//!
//! Names in a graph, class names, properties and a runtime's words about them hold whatever their maker wrote: also what moves a
//! terminal's cursor, colours it, or turns the order of letters round. Whatever is printed or logged of them goes through here.

use std::borrow::Cow;

/// Whether a character does something else than being seen.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// One line of text: each character that would do something else than being seen is written as its code, `\u{1b}`.
pub fn plain(text: &str) -> Cow<'_, str> {
    escaped(text, acts)
}

/// [`plain`] for texts of several lines: their ends and tabs stay.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| acts(c) && !matches!(c, '\n' | '\t'))
}

/// [`plain`], at most so many characters of the text.
pub fn short(text: &str, longest: usize) -> String {
    let end = text.char_indices().nth(longest).map_or(text.len(), |(at, _)| at);
    let cut = if end < text.len() { "…" } else { "" };
    plain(&text[..end]).into_owned() + cut
}

/// Whether a text holds none of what [`plain`] would change.
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(acts)
}

fn escaped(text: &str, change: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&change) {
        return Cow::Borrowed(text);
    }
    let each = |c: char| if change(c) { c.escape_unicode().collect::<String>() } else { c.to_string() };
    Cow::Owned(text.chars().map(each).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_written_as_its_code() {
        assert_eq!(plain("Conv_1/größe"), "Conv_1/größe");
        assert_eq!(plain("a\x1b[2Jb\r\n"), "a\\u{1b}[2Jb\\u{d}\\u{a}");
        // The one-byte form of `ESC [`, and what turns the order of letters round.
        assert_eq!(plain("a\u{9b}31mb\u{202e}c"), "a\\u{9b}31mb\\u{202e}c");
        assert_eq!(lines("a\tb\n\x07c"), "a\tb\n\\u{7}c");
        assert_eq!(short("ab\x1bcd", 3), "ab\\u{1b}…");
        assert_eq!(short("abc", 3), "abc");
        assert!(is_plain("person") && !is_plain("per\x08son"));
    }
}
