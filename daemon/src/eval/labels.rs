//! Labels of a video: a JSON object a line, one line per labelled frame, the form in which `egret sim --truth` writes.
//!
//! ```json
//! {"frame": 12, "objects": [{"class": "car", "box": [10, 20, 110, 70], "visible": 0.8, "inside": 1.0}]}
//! ```
//!
//! `frame` counts the video's pictures from 0; frames without a line are not looked at. `box` is x1, y1, x2, y2 in pixels.
//! `visible` and `inside` (1 if absent) say which share of an object shows, and which lies inside the picture; what
//! [`judged`] turns down is neither right nor wrong to find. Other keys are passed over.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use serde::Deserialize;

use super::{
    EvalError,
    bounded::{self, Bounded},
    samples::Labelled,
};

const MAX_BYTES: u64 = 512 << 20;
const MAX_LINE_BYTES: u64 = 1 << 20;
const MAX_FRAMES: usize = 1_000_000;
const MAX_OBJECTS: usize = 5_000_000;
const MAX_PER_FRAME: usize = 10_000;
const MAX_CLASSES: usize = 10_000;
const REMEDY: &str = r#"write one frame a line: {"frame": 0, "objects": [{"class": "car", "box": [x1, y1, x2, y2]}]}"#;

#[derive(Deserialize)]
struct Line {
    frame: u64,
    objects: Bounded<Entry, MAX_PER_FRAME>,
}

#[derive(Deserialize)]
struct Entry {
    class: String,
    #[serde(rename = "box")]
    corners: [f64; 4],
    #[serde(default = "whole")]
    visible: f64,
    #[serde(default = "whole")]
    inside: f64,
}

fn whole() -> f64 {
    1.0
}

/// Whether an object is to be found: at least 16 px high and at least half of it to be seen.
pub(super) fn judged(height: f64, visible: f64, inside: f64) -> bool {
    height >= 16.0 && visible * inside >= 0.5
}

/// What is in the labelled frames, by number.
#[derive(Debug, Default)]
pub(super) struct Labels {
    pub(super) classes: Vec<String>,
    pub(super) frames: BTreeMap<u64, Vec<Labelled>>,
    objects: usize,
}

impl Labels {
    pub(super) fn read(path: &Path) -> Result<Self, EvalError> {
        let mut reader = BufReader::new(bounded::open(path, MAX_BYTES)?);
        let (mut labels, mut text) = (Self::default(), Vec::new());
        for line in 1.. {
            text.clear();
            let read = reader.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut text);
            if read.map_err(|source| EvalError::Read { file: path.to_owned(), source })? == 0 {
                break;
            }
            let wrong = |what: String| EvalError::Form { file: path.to_owned(), line: Some(line), what, remedy: REMEDY };
            if text.len() as u64 > MAX_LINE_BYTES {
                return Err(wrong(format!("more than {MAX_LINE_BYTES} bytes")));
            }
            if !text.trim_ascii().is_empty() {
                let line = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
                labels.add(line).map_err(wrong)?;
            }
        }
        Ok(labels)
    }

    fn add(&mut self, line: Line) -> Result<(), String> {
        let mut objects = Vec::with_capacity(line.objects.0.len());
        for Entry { class, corners: [x1, y1, x2, y2], visible, inside } in line.objects.0 {
            if x2 < x1 || y2 < y1 {
                return Err(format!("the box [{x1}, {y1}, {x2}, {y2}] ends before it begins"));
            }
            let (w, h) = (x2 - x1, y2 - y1);
            let category = self.class(class)?;
            let ignore = !judged(h, visible, inside);
            objects.push(Labelled { category, bbox: [x1, y1, w, h], area: w * h, crowd: false, ignore });
        }
        self.objects += objects.len();
        if self.objects > MAX_OBJECTS || self.frames.len() >= MAX_FRAMES {
            return Err(format!("more than {MAX_OBJECTS} objects or {MAX_FRAMES} frames"));
        }
        match self.frames.insert(line.frame, objects) {
            Some(_) => Err(format!("frame {} is labelled twice", line.frame)),
            None => Ok(()),
        }
    }

    fn class(&mut self, name: String) -> Result<usize, String> {
        if let Some(known) = self.classes.iter().position(|class| *class == name) {
            return Ok(known);
        }
        if self.classes.len() == MAX_CLASSES {
            return Err(format!("more than {MAX_CLASSES} classes"));
        }
        self.classes.push(name);
        Ok(self.classes.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn read(text: &[u8]) -> Result<Labels, String> {
        let folder = TempDir::new().unwrap();
        let path: PathBuf = folder.path().join("labels.jsonl");
        fs::write(&path, text).unwrap();
        Labels::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn the_simulators_truth_is_labels() {
        let labels = read(
            br#"{"camera":"door","captured_unix_us":1,"size":[640,360],"frame":3,"pts_ms":200,"objects":[{"id":7,"class":"car","box":[10,20,110,70],"full_box":[10,20,110,70],"visible":0.9,"inside":1.0},{"id":8,"class":"person","box":[1,2,9,42],"full_box":[1,2,9,42],"visible":0.4,"inside":1.0}]}

{"frame":9,"objects":[]}"#,
        )
        .unwrap();
        assert_eq!(labels.classes, ["car", "person"]);
        assert_eq!(labels.frames.keys().copied().collect::<Vec<_>>(), [3, 9]);
        let car = Labelled { category: 0, bbox: [10.0, 20.0, 100.0, 50.0], area: 5000.0, crowd: false, ignore: false };
        assert_eq!(labels.frames[&3][0], car);
        assert!(labels.frames[&3][1].ignore, "mostly hidden");
    }

    #[test]
    fn lines_that_are_wrong_are_named() {
        let good = r#"{"frame":1,"objects":[]}"#;
        let long = format!("{{\"frame\":1,\"objects\":[]{}}}", " ".repeat(MAX_LINE_BYTES as usize));
        let cases: [(&str, &str); 6] = [
            ("nonsense", "line 2: expected"),
            (good, "line 2: frame 1 is labelled twice"),
            (r#"{"frame":2}"#, "line 2: missing field `objects`"),
            (r#"{"frame":2,"objects":[{"class":"car","box":[5,5,4,9]}]}"#, "line 2: the box [5, 5, 4, 9] ends before it begins"),
            (r#"{"frame":2,"objects":[{"class":"car","box":[5,5,4]}]}"#, "line 2: invalid length 3"),
            (&long, "line 2: more than 1048576 bytes"),
        ];
        for (line, said) in cases {
            let error = read(format!("{good}\n{line}\n").as_bytes()).unwrap_err();
            assert!(error.contains(said) && error.contains(REMEDY), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_line_makes_it_panic(text in "[\\[\\]{}\",:0-9a-z.e+-]{0,80}", at in 0..60_usize, byte in any::<u8>()) {
            let _ = read(text.as_bytes());
            let mut line = br#"{"frame":1,"objects":[{"class":"car","box":[1,2,3,4]}]}"#.to_vec();
            let at = at % line.len();
            line[at] = byte;
            let _ = read(&line);
        }
    }
}
