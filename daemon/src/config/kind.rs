//! The kinds of values that keys take, and how each is read and refused.

use std::{fmt, path::Path, time::Duration};

use config::ValueKind;

use super::{
    address,
    span::{self, Span},
};
use crate::placement::Processor;

/// Longest text of any value, in bytes.
const LONGEST_TEXT: usize = 4_096;
/// Longest name of a device, camera, model.
pub(super) const LONGEST_NAME: usize = 64;
/// Most polygons of one key.
const LONGEST_SHAPES: usize = 32;
/// Most entries of a list.
const LONGEST_LIST: usize = 4_096;
/// Most instances of a model.
const MOST_PROCESSORS: usize = 256;

/// A value as it was written, whatever the layer.
#[derive(Clone, PartialEq)]
pub(super) enum Raw {
    Text(String),
    Whole(i64),
    Real(f64),
    Flag(bool),
    List(Vec<Raw>),
    /// Something no key takes: a table, a date, a number out of every range.
    Other(&'static str),
}

impl fmt::Debug for Raw {
    /// It may be a secret: its type must do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())
    }
}

impl From<&str> for Raw {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<i32> for Raw {
    fn from(number: i32) -> Self {
        Self::Whole(number.into())
    }
}
impl From<f64> for Raw {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}
impl From<bool> for Raw {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl Raw {
    /// What it is, for people.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Whole(_) => "a whole number",
            Self::Real(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Other(name) => name,
        }
    }

    /// As TOML would write it, shortened.
    pub(super) fn show(&self) -> String {
        let shown = match self {
            Self::Text(text) => format!("{:?}", shorten(text)),
            Self::Whole(number) => number.to_string(),
            Self::Real(number) => format!("{number:?}"),
            Self::Flag(flag) => flag.to_string(),
            Self::List(items) => {
                let mut shown: Vec<_> = items.iter().take(4).map(Self::show).collect();
                if items.len() > 4 {
                    shown.push("…".to_owned());
                }
                format!("[{}]", shown.join(", "))
            }
            Self::Other(name) => (*name).to_owned(),
        };
        shorten(&shown)
    }
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 80 { text.to_owned() } else { text.chars().take(79).chain(['…']).collect() }
}

/// Words that a key chooses from, and what they stand for.
pub(super) trait Words: Sized {
    /// The words, in the order of the documentation.
    const WORDS: &'static [&'static str];
    /// What a word stands for.
    fn from_word(word: &str) -> Option<Self>;
}

/// A kind of value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// Any text that is not empty.
    Text,
    /// `[A-Za-z0-9_-]{1,64}`.
    Name,
    /// A path, relative to the file it is written in.
    Path,
    /// A URL; what it holds before its `@` is secret.
    Url,
    /// A text that is never shown.
    Hidden,
    /// `true` or `false`.
    Flag,
    /// A whole number in a range.
    Count(u64, u64),
    /// A number in a range.
    Real(f64, f64),
    /// A number above zero, up to a limit.
    Positive(f64),
    /// A duration in a range, its limits as text.
    Span(&'static str, &'static str),
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// A list of processors, any of them several times.
    Processors,
    /// A list of pairs of numbers.
    Points,
    /// Such a list, or a list of such lists.
    Shapes,
}

/// Why a value cannot be, and what could.
#[derive(Debug, PartialEq)]
pub(super) struct Refusal {
    pub(super) reason: String,
    pub(super) remedy: String,
}

impl Kind {
    /// Whether it takes lists.
    pub(super) fn is_list(self) -> bool {
        matches!(self, Self::Texts | Self::Processors | Self::Points | Self::Shapes)
    }

    /// What it takes, for people.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Text => "a text in quotes".to_owned(),
            Self::Name => format!("1 to {LONGEST_NAME} letters (A-Z, a-z), digits, - and _ in quotes"),
            Self::Path => "a path in quotes".to_owned(),
            Self::Url => "a URL in quotes".to_owned(),
            Self::Hidden => "a text in quotes; better, a file that holds it".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Count(low, high) => format!("a whole number from {low} to {high}"),
            Self::Real(low, high) => format!("a number from {low} to {high}"),
            Self::Positive(high) => format!("a number above 0, up to {high}"),
            Self::Span(low, high) => format!("a duration from {low} to {high}, e.g. \"10s\", \"500ms\", \"2m\""),
            Self::Choice(words) => {
                format!("one of {}", words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", "))
            }
            Self::Texts => "a list of texts, e.g. [\"person\", \"car\"]".to_owned(),
            Self::Processors => "a list of processors, e.g. [\"gpu\", \"gpu:1\", \"dla:0\", \"cpu\"]".to_owned(),
            Self::Points => "a list of points, e.g. [[0.1, 0.5], [0.9, 0.5]]".to_owned(),
            Self::Shapes => "a list of points, e.g. [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]], or a list of such lists".to_owned(),
        }
    }

    /// Gives the text of an environment variable or command-line option the type that the key takes.
    pub(super) fn type_text(self, text: &str) -> Raw {
        let typed = match self {
            Self::Flag => text.trim().parse().ok().map(Raw::Flag),
            Self::Count(..) => text.trim().parse().ok().map(Raw::Whole),
            Self::Real(..) | Self::Positive(_) => text.trim().parse().ok().map(Raw::Real),
            Self::Texts | Self::Processors => {
                Some(Raw::List(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Raw::from).collect()))
            }
            _ => None,
        };
        typed.unwrap_or_else(|| Raw::from(text))
    }

    /// Reads a value into the form of the typed step. Relative paths are taken from `base`.
    pub(super) fn read(self, raw: &Raw, base: &Path) -> Result<ValueKind, Refusal> {
        let refuse = |reason: String| Refusal { reason, remedy: format!("write {}", self.describe()) };
        let wrong_type = || refuse(format!("it is {}", raw.type_name()));
        if let Raw::Text(text) = raw {
            if text.len() > LONGEST_TEXT {
                return Err(refuse(format!("longer than {LONGEST_TEXT} bytes")));
            }
            if text.trim().is_empty() && self != Self::Hidden {
                return Err(refuse("it is empty".to_owned()));
            }
        }
        match (self, raw) {
            (Self::Text | Self::Url | Self::Hidden, Raw::Text(text)) => Ok(text.clone().into()),
            (Self::Name, Raw::Text(text)) if is_name(text) => Ok(text.clone().into()),
            (Self::Name, Raw::Text(_)) => {
                Err(refuse("it is a topic level and a file name, so not every character will do".to_owned()))
            }
            (Self::Path, Raw::Text(text)) if text.contains('\0') => Err(refuse("no path holds a NUL character".to_owned())),
            (Self::Path, Raw::Text(text)) => Ok(base.join(text).to_string_lossy().into_owned().into()),
            (Self::Flag, Raw::Flag(flag)) => Ok((*flag).into()),
            (Self::Count(low, high), Raw::Whole(number)) => match u64::try_from(*number) {
                Ok(number) if (low..=high).contains(&number) => Ok(number.into()),
                _ => Err(refuse("out of range".to_owned())),
            },
            (Self::Real(..) | Self::Positive(_), Raw::Whole(number)) => {
                self.read_real(*number as f64).map_err(|reason| refuse(reason.to_owned()))
            }
            (Self::Real(..) | Self::Positive(_), Raw::Real(number)) => {
                self.read_real(*number).map_err(|reason| refuse(reason.to_owned()))
            }
            (Self::Span(low, high), raw) => {
                let span = match raw {
                    Raw::Text(text) => span::parse(text).ok_or_else(|| refuse("no duration".to_owned())),
                    Raw::Whole(seconds) => span::from_seconds(*seconds as f64).ok_or_else(|| refuse("out of range".to_owned())),
                    Raw::Real(seconds) => span::from_seconds(*seconds).ok_or_else(|| refuse("out of range".to_owned())),
                    _ => Err(wrong_type()),
                }?;
                if span < limit(low) || span > limit(high) {
                    return Err(refuse(format!("{} is out of range", Span(span))));
                }
                Ok(span.as_secs_f64().into())
            }
            (Self::Choice(words), raw) => {
                let word = match raw {
                    Raw::Text(text) => text.clone(),
                    Raw::Whole(number) => number.to_string(),
                    _ => return Err(wrong_type()),
                };
                if words.contains(&word.as_str()) { Ok(word.into()) } else { Err(refuse("no such choice".to_owned())) }
            }
            (Self::Texts, Raw::List(items)) => read_texts(items).map_err(refuse),
            (Self::Processors, Raw::List(items)) => read_processors(items).map_err(refuse),
            (Self::Points, Raw::List(items)) => read_points(items).map(ValueKind::from).map_err(refuse),
            (Self::Shapes, Raw::List(items)) => read_shapes(items).map_err(refuse),
            _ => Err(wrong_type()),
        }
    }

    fn read_real(self, number: f64) -> Result<ValueKind, &'static str> {
        let fits = match self {
            Self::Real(low, high) => (low..=high).contains(&number),
            Self::Positive(high) => number > 0.0 && number <= high,
            _ => false,
        };
        if fits { Ok(number.into()) } else { Err("out of range") }
    }
}

fn read_texts(items: &[Raw]) -> Result<ValueKind, String> {
    if items.is_empty() {
        return Err("the list is empty".to_owned());
    }
    if items.len() > LONGEST_LIST {
        return Err(format!("more than {LONGEST_LIST} entries"));
    }
    let mut texts: Vec<String> = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Raw::Text(text) if text.trim().is_empty() => return Err("an entry is empty".to_owned()),
            Raw::Text(text) if text.len() > LONGEST_NAME * 4 => return Err("an entry is too long".to_owned()),
            Raw::Text(text) => texts.push(text.clone()),
            other => return Err(format!("an entry is {}", other.type_name())),
        }
    }
    let mut sorted = texts.clone();
    sorted.sort_unstable();
    if let Some((twice, _)) = sorted.iter().zip(sorted.iter().skip(1)).find(|(text, next)| text == next) {
        return Err(format!("{:?} is in it twice", shorten(twice)));
    }
    Ok(texts.into())
}

fn read_processors(items: &[Raw]) -> Result<ValueKind, String> {
    if items.is_empty() {
        return Err("the list is empty".to_owned());
    }
    if items.len() > MOST_PROCESSORS {
        return Err(format!("more than {MOST_PROCESSORS} entries"));
    }
    let word = |item: &Raw| match item {
        Raw::Text(word) => word.parse::<Processor>().map(|_| word.clone()).map_err(|error| shorten(&error.to_string())),
        other => Err(format!("an entry is {}", other.type_name())),
    };
    Ok(items.iter().map(word).collect::<Result<Vec<_>, _>>()?.into())
}

/// Pairs of numbers.
fn read_points(items: &[Raw]) -> Result<Vec<Vec<f64>>, String> {
    if items.is_empty() {
        return Err("the list is empty".to_owned());
    }
    if items.len() > LONGEST_LIST {
        return Err(format!("more than {LONGEST_LIST} points"));
    }
    let number = |raw: &Raw| match raw {
        Raw::Whole(number) => Some(*number as f64),
        Raw::Real(number) => Some(*number),
        _ => None,
    };
    let point = |(at, raw): (usize, &Raw)| match raw {
        Raw::List(pair) => match pair.iter().map(number).collect::<Option<Vec<f64>>>() {
            Some(pair) if pair.len() == 2 && pair.iter().all(|v| v.abs() <= 1e6) => Ok(pair),
            Some(pair) if pair.len() == 2 => Err(format!("point {} is out of all range", at + 1)),
            _ => Err(format!("point {} is no pair of numbers", at + 1)),
        },
        other => Err(format!("point {} is {}", at + 1, other.type_name())),
    };
    items.iter().enumerate().map(point).collect()
}

/// One list of points, or several.
fn read_shapes(items: &[Raw]) -> Result<ValueKind, String> {
    let is_point = |raw: &Raw| matches!(raw, Raw::List(pair) if pair.iter().all(|v| !matches!(v, Raw::List(_))));
    if items.iter().any(is_point) || items.is_empty() {
        return Ok(ValueKind::from(vec![read_points(items)?]));
    }
    if items.len() > LONGEST_SHAPES {
        return Err(format!("more than {LONGEST_SHAPES} polygons"));
    }
    let shape = |(at, raw): (usize, &Raw)| match raw {
        Raw::List(points) => read_points(points).map_err(|reason| format!("polygon {}: {reason}", at + 1)),
        other => Err(format!("polygon {} is {}", at + 1, other.type_name())),
    };
    Ok(items.iter().enumerate().map(shape).collect::<Result<Vec<_>, _>>()?.into())
}

/// Whether a list holds nothing but numbers and lists of them.
fn is_numeric(raw: &Raw) -> bool {
    match raw {
        Raw::List(items) => items.iter().all(is_numeric),
        raw => matches!(raw, Raw::Whole(_) | Raw::Real(_)),
    }
}

/// A limit of the key table; those are checked by a test.
fn limit(text: &str) -> Duration {
    span::parse(text).unwrap_or_default()
}

/// Whether it is `[A-Za-z0-9_-]{1,64}`.
pub(super) fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(is_of_name)
}

/// Whether a name may have this character.
pub(super) fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// A value as it may be shown: `None` if not at all.
pub(super) fn shown(kind: Kind, raw: &Raw) -> Option<String> {
    match (kind, raw) {
        (Kind::Url, Raw::Text(text)) => address::shown(text).map(|shown| format!("{:?}", shorten(&shown))),
        (Kind::Url | Kind::Hidden, _) => None,
        // A missing quote or bracket makes a value of what follows it, passwords and all.
        (_, Raw::Text(text)) if text.contains('\n') => None,
        (Kind::Points | Kind::Shapes, raw) => is_numeric(raw).then(|| raw.show()),
        (kind, Raw::List(_)) if !matches!(kind, Kind::Texts | Kind::Processors) => None,
        (_, raw) => Some(raw.show()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, raw: impl Into<Raw>) -> Result<ValueKind, Refusal> {
        kind.read(&raw.into(), Path::new("/etc/egret"))
    }

    fn list(points: &[&[f64]]) -> Raw {
        Raw::List(points.iter().map(|point| Raw::List(point.iter().map(|v| Raw::from(*v)).collect())).collect())
    }

    #[test]
    fn a_polygon_or_several() {
        let one = list(&[&[1.0, 2.0], &[3.0, 4.0]]);
        let points = vec![vec![1.0, 2.0], vec![3.0, 4.0]];
        assert_eq!(read(Kind::Points, one.clone()), Ok(points.clone().into()));
        assert_eq!(read(Kind::Shapes, one.clone()), Ok(vec![points.clone()].into()));
        assert_eq!(read(Kind::Shapes, Raw::List(vec![one.clone(), one])), Ok(vec![points.clone(), points].into()));
        let secret = Raw::List(vec!["hunter2".into()]);
        assert_eq!((shown(Kind::Points, &secret), shown(Kind::Shapes, &secret)), (None, None));
    }

    #[test]
    fn reads_each_kind() {
        assert_eq!(read(Kind::Count(1, 8), 8), Ok(8_u64.into()));
        assert_eq!(read(Kind::Real(0.0, 1.0), 1), Ok(1.0.into()));
        assert_eq!(read(Kind::Span("0s", "1h"), "2m"), Ok(120.0.into()));
        assert_eq!(read(Kind::Span("0s", "1h"), 10), Ok(10.0.into()));
        assert_eq!(read(Kind::Choice(&["5", "3.1.1"]), 5), Ok("5".into()));
        assert_eq!(read(Kind::Path, "a.onnx"), Ok("/etc/egret/a.onnx".into()));
        assert_eq!(read(Kind::Path, "/a.onnx"), Ok("/a.onnx".into()));
        assert_eq!(Kind::Texts.type_text("person, car"), Raw::List(vec!["person".into(), "car".into()]));
        let twice = Kind::Processors.type_text("gpu,gpu");
        assert_eq!(read(Kind::Processors, twice), Ok(vec!["gpu".to_owned(), "gpu".to_owned()].into()));
        assert_eq!(read(Kind::Hidden, Kind::Hidden.type_text("12345").show().trim_matches('"')), Ok("12345".into()));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        for (kind, raw) in [
            (Kind::Count(1, 8), Raw::from(0)),
            (Kind::Count(1, 8), Raw::from(-1)),
            (Kind::Count(1, 8), Raw::from(2.0)),
            (Kind::Count(1, 8), Raw::from("2")),
            (Kind::Real(0.0, 1.0), Raw::from(f64::NAN)),
            (Kind::Real(0.0, 1.0), Raw::from(1.5)),
            (Kind::Positive(10.0), Raw::from(0)),
            (Kind::Positive(10.0), Raw::from(f64::INFINITY)),
            (Kind::Span("1s", "1h"), Raw::from("10ms")),
            (Kind::Span("1s", "1h"), Raw::from(-5)),
            (Kind::Span("1s", "1h"), Raw::from(true)),
            (Kind::Choice(&["a"]), Raw::from("b")),
            (Kind::Choice(&["a"]), Raw::from(true)),
            (Kind::Flag, Raw::from("true")),
            (Kind::Name, Raw::from("front door")),
            (Kind::Name, Raw::from("a/b")),
            (Kind::Name, Raw::from("x".repeat(65).as_str())),
            (Kind::Text, Raw::from("  ")),
            (Kind::Text, Raw::Other("a table")),
            (Kind::Path, Raw::from("a\0b")),
            (Kind::Texts, Raw::List(vec![])),
            (Kind::Texts, Raw::List(vec!["a".into(), "a".into()])),
            (Kind::Texts, Raw::List(vec![1.into()])),
            (Kind::Texts, Raw::from("person")),
            (Kind::Processors, Raw::List(vec![])),
            (Kind::Processors, Raw::List(vec!["cuda".into()])),
            (Kind::Processors, Raw::List(vec![1.into()])),
            (Kind::Processors, Raw::List(vec!["cpu".into(); 257])),
            (Kind::Processors, Raw::from("cpu")),
            (Kind::Points, Raw::List(vec![])),
            (Kind::Points, Raw::List(vec![1.into(), 2.into()])),
            (Kind::Points, list(&[&[1.0]])),
            (Kind::Points, list(&[&[1.0, f64::NAN]])),
            (Kind::Points, list(&[&[1.0, f64::INFINITY]])),
            (Kind::Shapes, Raw::List(vec![])),
            (Kind::Shapes, Raw::List(vec![list(&[&[1.0, 2.0]]), list(&[&[1.0]])])),
            (Kind::Shapes, Raw::List(vec![list(&[&[1.0, 2.0]]); 33])),
        ] {
            assert!(kind.read(&raw, Path::new("")).is_err(), "{kind:?} took {}", raw.show());
        }
    }

    #[test]
    fn never_shows_a_secret() {
        assert_eq!(shown(Kind::Hidden, &"hunter2".into()), None);
        assert_eq!(shown(Kind::Url, &"admin:hunter2".into()), None);
        assert_eq!(shown(Kind::Url, &"rtsp://u:hunter2@cam".into()).as_deref(), Some("\"rtsp://***@cam\""));
        assert_eq!(shown(Kind::Url, &"gst:rtspsrc location=rtsp://u:hunter2@cam".into()), None);
    }
}
