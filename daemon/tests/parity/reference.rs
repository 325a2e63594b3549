//! The Python tool beside this test.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    boxes::Found,
    frames::{self, Clip},
};

const TOOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/yolox_reference.py");

/// A Python that has what the tool needs.
pub(crate) struct Reference {
    python: PathBuf,
}

/// The tool and the data, or loudly nothing.
pub(crate) fn find() -> Option<(Reference, PathBuf)> {
    let Some(python) = env::var_os("EGRET_REFERENCE_PYTHON").map(PathBuf::from) else {
        eprintln!("SKIPPED: EGRET_REFERENCE_PYTHON names no Python with numpy, cv2 and onnxruntime");
        return None;
    };
    let has = Command::new(&python).args(["-c", "import numpy, cv2, onnxruntime"]).output();
    let has = has.expect("EGRET_REFERENCE_PYTHON starts");
    assert!(has.status.success(), "EGRET_REFERENCE_PYTHON lacks a package: {}", String::from_utf8_lossy(&has.stderr));
    frames::data().map(|data| (Reference { python }, data))
}

#[derive(serde::Deserialize)]
struct Answer {
    frames: Vec<Frame>,
}

#[derive(serde::Deserialize)]
struct Frame {
    name: String,
    detections: Vec<Found>,
}

impl Reference {
    fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new(&self.python).arg(TOOL).args(arguments).output().expect("the reference starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// The reference's detections of each frame; in `tensors.f32` of the clip's folder its input tensors, if asked for.
    pub(crate) fn detect(&self, clip: &Clip, data: &Path, confidence: f32, nms: f32, tensors: bool) -> Vec<Vec<Found>> {
        let model = data.join("models/yolox_nano.onnx");
        let (folder, model) = (text(clip.folder()), text(&model));
        let (confidence, nms) = (confidence.to_string(), nms.to_string());
        let mut arguments = vec!["detect", folder, "--model", model, "--confidence", &confidence, "--nms", &nms];
        arguments.extend(tensors.then_some("--tensors"));
        self.run(&arguments);
        let answer = fs::read(clip.folder().join("reference.json")).expect("the reference answers");
        let answer: Answer = serde_json::from_slice(&answer).expect("a valid answer");
        assert!(answer.frames.iter().map(|f| f.name.as_str()).eq(clip.sizes().map(|(name, _)| name)));
        answer.frames.into_iter().map(|frame| frame.detections).collect()
    }

    /// JPEGs as I420 frames.
    pub(crate) fn images(&self, images: &Path) -> Clip {
        let folder = TempDir::new().expect("a temporary directory");
        self.run(&["images", text(folder.path()), "--images", text(images)]);
        Clip::of_folder(folder)
    }

    /// Detections on every 20th frame of a video, stored with the shared data. Their boxes are `[x, y, width, height]`.
    pub(crate) fn stored(data: &Path, video: &str) -> Vec<Vec<Found>> {
        #[derive(serde::Deserialize)]
        struct Stored {
            frames: BTreeMap<String, Vec<Entry>>,
        }
        #[derive(serde::Deserialize)]
        struct Entry {
            cls: u16,
            score: f32,
            xywh: [f32; 4],
        }
        let json = fs::read(data.join(format!("reference/yolox_nano__{video}.json"))).expect("stored detections");
        let stored: Stored = serde_json::from_slice(&json).expect("valid stored detections");
        let mut frames: Vec<(usize, Vec<Entry>)> =
            stored.frames.into_iter().map(|(number, found)| (number.parse().expect("a number"), found)).collect();
        frames.sort_unstable_by_key(|(number, _)| *number);
        assert!(frames.iter().enumerate().all(|(i, (number, _))| *number == 20 * i));
        let found =
            |Entry { cls, score, xywh: [x, y, w, h] }: &Entry| Found { class: *cls, score: *score, bbox: [*x, *y, x + w, y + h] };
        frames.iter().map(|(_, entries)| entries.iter().map(found).collect()).collect()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}
