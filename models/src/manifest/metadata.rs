//! What exporters write into a file's `metadata_props`: names and sizes, as Python prints them.

use crate::onnx::Model;

/// Most names that are read.
const MAX_NAMES: usize = 32_768;

/// The value of a property.
pub(super) fn property<'m>(model: &'m Model<'_>, key: &str) -> Option<&'m str> {
    model.metadata.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
}

/// The class names in the property `names`: separated by commas, or a dictionary `{0: 'person', 1: 'car'}` or a list as Python
/// prints them (Ultralytics). `None` where there are none, or they cannot be told apart.
pub fn class_names(model: &Model<'_>) -> Option<Vec<String>> {
    let text = property(model, "names")?.trim();
    let names = match text.chars().next()? {
        '{' | '[' => quoted(text)?,
        _ => text.split(',').map(|name| name.trim().to_owned()).collect(),
    };
    let mut seen = std::collections::BTreeSet::new();
    let plain = |name: &String| !name.is_empty() && !name.contains(['{', '}', '[', ']']);
    let good = !names.is_empty() && names.len() <= MAX_NAMES && names.iter().all(|name| plain(name) && seen.insert(name.clone()));
    good.then_some(names)
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

/// The quoted texts of a Python list or dictionary, in the order of the dictionary's numbers.
fn quoted(text: &str) -> Option<Vec<String>> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut number = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                let mut name = String::new();
                loop {
                    match chars.next()? {
                        '\\' => name.push(chars.next()?),
                        end if end == c => break,
                        other => name.push(other),
                    }
                }
                if found.len() == MAX_NAMES {
                    return None;
                }
                found.push((number.take().unwrap_or(found.len()), name));
            }
            digit if digit.is_ascii_digit() => {
                let so_far: usize = number.unwrap_or(0);
                number = Some(so_far.checked_mul(10)?.checked_add(digit.to_digit(10)? as usize)?);
            }
            ' ' | ',' | ':' | '{' | '}' | '[' | ']' | '\n' => {}
            _ => return None,
        }
    }
    found.sort_by_key(|(number, _)| *number);
    let dense = found.iter().enumerate().all(|(i, (number, _))| i == *number);
    dense.then(|| found.into_iter().map(|(_, name)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_prints_names_in_two_ways() {
        let names = |text: &str| quoted(text);
        let owned = |list: &[&str]| Some(list.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(names("{0: 'person', 1: \"driver's seat\"}"), owned(&["person", "driver's seat"]));
        assert_eq!(names("{1: 'b', 0: 'a'}"), owned(&["a", "b"]));
        assert_eq!(names("['a', 'b\\'c']"), owned(&["a", "b'c"]));
        assert_eq!(names("{0: 'a', 2: 'c'}"), None, "a gap");
        assert_eq!(names("{0: 'a"), None);
        assert_eq!(names("{0: a}"), None);
        assert_eq!(names("{99999999999999999999999: 'a'}"), None);
    }

    #[test]
    fn numbers_are_found_between_anything() {
        assert_eq!(numbers("[17, 3]"), [17, 3]);
        assert_eq!(numbers("none"), [] as [usize; 0]);
    }
}
