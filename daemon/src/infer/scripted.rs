//! A detector that says what a file tells it to: tests know what must come out of the line.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    path::Path,
    sync::Arc,
    time::Instant,
};

use super::{DetectError, Detector, LoadError, Output, View};
use crate::{
    file,
    media::{BBox, Detection, ModelInfo},
};

/// Longest line that is read.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// One line of the script.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// Name of the camera.
    stream: String,
    /// Number of the frame in its stream.
    seq: u64,
    detections: Vec<Entry>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Name of the class.
    class: String,
    /// 0..1.
    confidence: f32,
    /// Left, top, right, bottom in pixels of the frame.
    bbox: [f32; 4],
}

/// Frames by camera and number; frames that the script does not name show nothing.
type Script = HashMap<String, HashMap<u64, Vec<Detection>>>;

/// Replays detections from JSON lines
/// `{"stream":"door","seq":0,"detections":[{"class":"person","confidence":0.9,"bbox":[x1,y1,x2,y2]}]}`, as `docs/models.md` describes them.
#[derive(Clone)]
pub struct Scripted {
    info: Arc<ModelInfo>,
    script: Arc<Script>,
    max_batch: usize,
}

impl Scripted {
    /// Reads a script.
    ///
    /// # Errors
    /// [`LoadError`] with the file, the line and what is wrong.
    pub fn read(path: &Path, name: &str, classes: Vec<String>, max_batch: usize) -> Result<Self, LoadError> {
        let wrong = |line: usize, reason: String| LoadError::Script { file: path.to_owned(), line, reason };
        let file = file::regular(path).map_err(|source| LoadError::Read { file: path.to_owned(), source })?;
        let mut reader = BufReader::new(file);
        let mut script = Script::new();
        for number in 1.. {
            let mut text = Vec::new();
            let mut limited = std::io::Read::take(&mut reader, MAX_LINE_BYTES);
            let len = limited.read_until(b'\n', &mut text).map_err(|source| LoadError::Read { file: path.to_owned(), source })?;
            if len == 0 {
                break;
            }
            if len as u64 == MAX_LINE_BYTES {
                return Err(wrong(number, format!("longer than {MAX_LINE_BYTES} bytes")));
            }
            if text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let line: Line = serde_json::from_slice(&text).map_err(|e| wrong(number, e.to_string()))?;
            let detections = line.detections.iter().map(|entry| detection(entry, &classes));
            let detections = detections.collect::<Result<Vec<_>, _>>().map_err(|reason| wrong(number, reason))?;
            if script.entry(line.stream).or_default().insert(line.seq, detections).is_some() {
                return Err(wrong(number, format!("frame {} was told before", line.seq)));
            }
        }
        let info = ModelInfo { name: name.into(), classes, runtime: "scripted".into(), ..ModelInfo::default() };
        Ok(Self { info: Arc::new(info), script: Arc::new(script), max_batch: max_batch.max(1) })
    }
}

fn detection(entry: &Entry, classes: &[String]) -> Result<Detection, String> {
    let class = classes.iter().position(|class| *class == entry.class);
    let class = class.ok_or_else(|| format!("the model has no class `{}`", entry.class))? as u16;
    let [x1, y1, x2, y2] = entry.bbox;
    if !(0.0..=1.0).contains(&entry.confidence) {
        return Err(format!("the confidence {} is not within 0..1", entry.confidence));
    }
    if !(x1 < x2 && y1 < y2 && entry.bbox.iter().all(|edge| edge.is_finite())) {
        return Err(format!("{:?} is no box [x1,y1,x2,y2]", entry.bbox));
    }
    Ok(Detection { class, confidence: entry.confidence, bbox: BBox::new(x1, y1, x2, y2) })
}

impl Detector for Scripted {
    fn spec(&self) -> &Arc<ModelInfo> {
        &self.info
    }

    fn max_batch(&self) -> usize {
        self.max_batch
    }

    fn detect(&mut self, views: &[View<'_>]) -> Result<Output, DetectError> {
        let prepared = Instant::now();
        let told = |view: &View<'_>| {
            let frame = self.script.get(view.frame.stream.name())?.get(&view.frame.seq)?;
            Some(frame.clone())
        };
        let detections = views.iter().map(|view| told(view).unwrap_or_default()).collect();
        Ok(Output { detections, extras: Vec::new(), readings: Vec::new(), prepared, device: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Scripted, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("script.jsonl");
        std::fs::write(&path, text).unwrap();
        Scripted::read(&path, "s", vec!["person".into(), "car".into()], 4).map_err(|e| e.to_string())
    }

    #[test]
    fn the_manuals_example_is_one() {
        let page = include_str!("../../../docs/models.md");
        let (_, example) = page.split_once("<!-- example: scripted -->\n```json\n").unwrap();
        let scripted = read(example.split_once("```").unwrap().0).unwrap();
        let counts = [("door", 0), ("door", 1), ("yard", 0)].map(|(stream, seq)| scripted.script[stream][&seq].len());
        assert_eq!(counts, [1, 2, 0]);
    }

    #[test]
    fn reads_lines_and_names_the_bad_one() {
        let good = r#"{"stream":"door","seq":3,"detections":[{"class":"car","confidence":0.9,"bbox":[1,2,3,4]}]}"#;
        let scripted = read(&format!("{good}\n\n{}\n", good.replace("\"seq\":3", "\"seq\":4"))).unwrap();
        let expected = Detection { class: 1, confidence: 0.9, bbox: BBox::new(1.0, 2.0, 3.0, 4.0) };
        assert_eq!(scripted.script["door"][&3], [expected]);
        for (from, to, word) in [
            ("car", "boat", "boat"),
            ("0.9", "1.9", "1.9"),
            ("[1,2,3,4]", "[3,2,1,4]", "no box"),
            ("[1,2,3,4]", "[1,2,3]", "length 3"),
            ("seq", "sequence", "sequence"),
            ("door\",\"seq\":3", "door\",\"seq\":3", "told before"),
        ] {
            let error = read(&format!("{good}\n{}\n", good.replace(from, to))).map(|_| ()).unwrap_err();
            assert!(error.contains("line 2") && error.contains(word) && error.contains("script.jsonl"), "{error}");
        }
    }
}
