//! What exporters write into a file's `metadata_props`: names and sizes, as Python prints them.

use std::{collections::BTreeSet, iter::Peekable, str::Chars};

use crate::{onnx::Model, text};

/// Most names that are read.
const MAX_NAMES: usize = 32_768;

/// The value of a property.
pub(super) fn property<'m>(model: &'m Model<'_>, key: &str) -> Option<&'m str> {
    model.metadata.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
}

/// A property `names` that does not say what the classes are called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the file's own property `names` cannot be read: {reason}")]
pub struct BadNames {
    /// What is wrong with it.
    pub reason: String,
}

fn bad(reason: impl Into<String>) -> BadNames {
    BadNames { reason: reason.into() }
}

/// The class names in the property `names`: separated by commas, or a dictionary `{0: 'person', 1: 'car'}` or a list as Python or
/// JSON print them (Ultralytics). `None` where there is no such property.
///
/// # Errors
/// [`BadNames`]: there is one, and no names can be made of it.
pub fn class_names(model: &Model<'_>) -> Result<Option<Vec<String>>, BadNames> {
    let Some(property) = property(model, "names").map(str::trim) else { return Ok(None) };
    let names = match property.chars().next() {
        None => return Err(bad("it is empty")),
        Some('{' | '[') => quoted(property)?,
        Some(_) => property.split(',').map(|name| name.trim().to_owned()).collect(),
    };
    let mut seen = BTreeSet::new();
    for name in &names {
        let reason = if name.trim().is_empty() {
            "a name is empty"
        } else if !text::is_plain(name) || name.contains(['{', '}', '[', ']']) {
            "it holds characters that are in no name"
        } else if !seen.insert(name) {
            "it occurs twice"
        } else {
            continue;
        };
        return Err(bad(format!("{:?}: {reason}", text::short(name, 40))));
    }
    match names.len() {
        0 => Err(bad("there is no name in it")),
        1..=MAX_NAMES => Ok(Some(names)),
        _ => Err(bad(format!("more than {MAX_NAMES} names"))),
    }
}

/// Width and height in the property `imgsz`, which Ultralytics writes as `[height, width]`.
pub fn imgsz(model: &Model<'_>) -> Option<(usize, usize)> {
    match numbers(property(model, "imgsz")?)[..] {
        [side] => Some((side, side)),
        [height, width] => Some((width, height)),
        _ => None,
    }
}

/// The integers of a text such as `[17, 3]`.
pub(super) fn numbers(text: &str) -> Vec<usize> {
    let digits = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    digits.take(16).filter_map(|part| part.parse().ok()).collect()
}

/// The quoted texts of a list or dictionary, in the order of the dictionary's numbers.
fn quoted(text: &str) -> Result<Vec<String>, BadNames> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut number = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                let name = until(c, &mut chars)?;
                while chars.next_if(|c| *c == ' ').is_some() {}
                // JSON has its numbers in quotation marks.
                if chars.peek() == Some(&':') {
                    number =
                        Some(name.parse().map_err(|_| bad(format!("{:?} is no number of a class", text::short(&name, 40))))?);
                    continue;
                }
                if found.len() > MAX_NAMES {
                    return Err(bad(format!("more than {MAX_NAMES} names")));
                }
                found.push((number.take().unwrap_or(found.len()), name));
            }
            digit @ '0'..='9' => {
                let so_far = number.unwrap_or(0_usize).checked_mul(10);
                number = so_far.and_then(|n| n.checked_add(digit as usize - '0' as usize));
                if number.is_none() {
                    return Err(bad("a number is too large"));
                }
            }
            ' ' | ',' | ':' | '{' | '}' | '[' | ']' | '\n' => {}
            other => return Err(bad(format!("{} stands outside of quotation marks", other.escape_unicode()))),
        }
    }
    found.sort_by_key(|(number, _)| *number);
    match found.iter().enumerate().find(|(i, (number, _))| i != number) {
        Some((i, _)) => Err(bad(format!("class {i} is missing, or there twice"))),
        None => Ok(found.into_iter().map(|(_, name)| name).collect()),
    }
}

/// The text up to the closing quotation mark.
fn until(end: char, chars: &mut Peekable<Chars<'_>>) -> Result<String, BadNames> {
    let mut name = String::new();
    loop {
        match chars.next().ok_or_else(|| bad("a quotation mark is missing"))? {
            '\\' => match chars.next() {
                Some(c @ ('\\' | '\'' | '"' | '/')) => name.push(c),
                _ => return Err(bad("an escape sequence in it is of no printable character")),
            },
            c if c == end => return Ok(name),
            c => name.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printed_in_several_ways() {
        let owned = |list: &[&str]| Ok(list.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(quoted("{0: 'person', 1: \"driver's seat\"}"), owned(&["person", "driver's seat"]));
        assert_eq!(quoted("{1: 'b', 0: 'a'}"), owned(&["a", "b"]));
        assert_eq!(quoted("['a', 'b\\'c']"), owned(&["a", "b'c"]));
        assert_eq!(quoted("{\"0\": \"a\", \"1\" : \"b\"}"), owned(&["a", "b"]));
        for (text, word) in [
            ("{0: 'a', 2: 'c'}", "class 1 is missing"),
            ("{0: 'a', 0: 'c'}", "class 1 is missing, or there twice"),
            ("{0: 'a", "quotation mark"),
            ("{0: a}", "outside of quotation marks"),
            ("{\x1b: 'a'}", "\\u{1b} stands outside"),
            ("{99999999999999999999999: 'a'}", "too large"),
            ("{'a': 'b'}", "\"a\" is no number"),
            ("['\\x1b[2J']", "no printable character"),
        ] {
            let error = quoted(text).expect_err(text).to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn numbers_are_found_between_anything() {
        assert_eq!(numbers("[17, 3]"), [17, 3]);
        assert_eq!(numbers("none"), [] as [usize; 0]);
    }
}
