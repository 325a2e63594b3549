//! Files in the form of MOTChallenge: a box a line, `frame,id,left,top,width,height,confidence`, and what else belongs to its kind.

use std::{collections::HashSet, path::Path};

use super::{
    TrackEvalError,
    scene::{Named, Rect},
};
use crate::file::{self, Unread};

const MAX_BYTES: u64 = 512 << 20;
const MAX_LINES: usize = 5_000_000;
/// A day at 11 frames per second.
pub(super) const MAX_FRAMES: u32 = 1_000_000;
const MAX_PER_FRAME: u32 = 2_000;
/// No picture is that large.
const MAX_PIXELS: f64 = 1e6;

const FORM: &str = "write frame,id,left,top,width,height,confidence with commas between, frames counted from 1";

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Boxes without identity.
    Detections,
    /// Boxes of true identities.
    Truth,
    /// Boxes of tracked identities.
    Results,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    /// From 1.
    pub(super) frame: u32,
    /// 0 in detections.
    pub(super) named: Named,
    /// In truth: whether it counts.
    pub(super) confidence: f64,
    /// The eighth value, where the file's form makes it a class.
    pub(super) class: Option<u8>,
}

/// Reads a text of at most `limit` bytes.
pub(super) fn text(path: &Path, limit: u64, remedy: &'static str) -> Result<String, TrackEvalError> {
    let bytes = file::read(path, limit).map_err(|unread| match unread {
        Unread::Io(source) => TrackEvalError::Read { file: path.to_owned(), source, remedy },
        Unread::TooLarge(bytes) => TrackEvalError::TooLarge { file: path.to_owned(), bytes, limit },
    })?;
    let what = "this is no text".to_owned();
    String::from_utf8(bytes).map_err(|_| TrackEvalError::Form { file: path.to_owned(), line: None, what, remedy })
}

/// Reads a file.
///
/// Truth of eight or nine values a line has a class (MOT16, MOT17, MOT20); of seven or ten it has none (MOT15).
pub(super) fn read(path: &Path, kind: Kind, remedy: &'static str) -> Result<Vec<Line>, TrackEvalError> {
    let text = text(path, MAX_BYTES, remedy)?;
    let wrong = |line, what: String| TrackEvalError::Form { file: path.to_owned(), line, what, remedy: FORM };
    let mut reader = Reader { kind, columns: None, seen: HashSet::new(), crowd: Vec::new() };
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if lines.len() == MAX_LINES {
            return Err(wrong(Some(number + 1), format!("more than {MAX_LINES} boxes")));
        }
        let line = reader.line(line).map_err(|what| wrong(Some(number + 1), what))?;
        if kind != Kind::Detections && !reader.seen.insert((line.frame, line.named.id)) {
            let place = format!("{} line {}", path.display(), number + 1);
            return Err(TrackEvalError::Twice { place, frame: line.frame, id: line.named.id });
        }
        lines.push(line);
    }
    Ok(lines)
}

/// What holds from line to line.
struct Reader {
    kind: Kind,
    /// How many values the first line of truth has.
    columns: Option<usize>,
    seen: HashSet<(u32, u64)>,
    /// Boxes per frame.
    crowd: Vec<u32>,
}

impl Reader {
    fn line(&mut self, text: &str) -> Result<Line, String> {
        let text = text.trim();
        let values: Vec<&str> = text.strip_suffix(',').unwrap_or(text).split(',').map(str::trim).collect();
        if values.len() < 7 {
            return Err(format!("{} values instead of seven or more", values.len()));
        }
        let first = *self.columns.get_or_insert(values.len());
        if self.kind == Kind::Truth && values.len() != first {
            return Err(format!("{} values; the lines before have {first}", values.len()));
        }
        let frame = whole(values[0], "frame").ok().filter(|frame| (1..=u64::from(MAX_FRAMES)).contains(frame));
        let frame = frame.ok_or_else(|| format!("frame {:?} is no number from 1 to {MAX_FRAMES}", values[0]))? as u32;
        self.count(frame)?;
        let id = if self.kind == Kind::Detections { 0 } else { whole(values[1], "identity")? };
        let place = |at: usize, what| number(values[at], what).and_then(|v| within(v, what));
        let bbox =
            Rect { left: place(2, "left")?, top: place(3, "top")?, width: place(4, "width")?, height: place(5, "height")? };
        if bbox.width < 0.0 || bbox.height < 0.0 {
            return Err(format!("a box of {} x {} pixels", bbox.width, bbox.height));
        }
        let confidence = number(values[6], "confidence")?;
        Ok(Line { frame, named: Named { id, bbox }, confidence, class: self.class(&values)? })
    }

    fn count(&mut self, frame: u32) -> Result<(), String> {
        let at = frame as usize;
        if self.crowd.len() <= at {
            self.crowd.resize(at + 1, 0);
        }
        self.crowd[at] += 1;
        if self.crowd[at] > MAX_PER_FRAME { Err(format!("more than {MAX_PER_FRAME} boxes in frame {frame}")) } else { Ok(()) }
    }

    fn class(&self, values: &[&str]) -> Result<Option<u8>, String> {
        match (self.kind, values.len()) {
            (Kind::Truth, 8 | 9) => {
                let class = whole(values[7], "class")?;
                if (1..=13).contains(&class) {
                    Ok(Some(class as u8))
                } else {
                    Err(format!("class {class}; those of MOTChallenge are 1 (pedestrian) to 13"))
                }
            }
            (Kind::Truth, 7 | 10) => Ok(None),
            (Kind::Truth, count) => Err(format!("{count} values; truth has nine (MOT16 to MOT20) or ten (MOT15)")),
            (Kind::Results, 8..) if number(values[7], "class")? >= 2.0 => {
                Err(format!("class {}; only pedestrians (1, or -1 for not said) are judged", values[7]))
            }
            _ => Ok(None),
        }
    }
}

fn number(text: &str, what: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(format!("{what} {text:?} is no number")),
    }
}

fn within(value: f64, what: &str) -> Result<f64, String> {
    if value.abs() <= MAX_PIXELS { Ok(value) } else { Err(format!("{what} {value} lies more than {MAX_PIXELS} pixels away")) }
}

/// A count; some programs write `12.0`.
fn whole(text: &str, what: &str) -> Result<u64, String> {
    if let Ok(value) = text.parse() {
        return Ok(value);
    }
    let value = number(text, what)?;
    if value >= 0.0 && value.fract() == 0.0 && value < 2f64.powi(53) {
        Ok(value as u64)
    } else {
        Err(format!("{what} {text:?} is no whole number from 0 on"))
    }
}
