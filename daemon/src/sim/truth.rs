//! A scene camera's memory: which frame comes next, and the ground truth of those it has sent, as JSON lines.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::scene::{SceneConfig, Truth};

/// One line of the truth: a frame that was sent, and what was in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TruthLine {
    /// The camera's name.
    pub camera: String,
    /// When the frame was captured, by this machine's clock, in microseconds since 1970. Sender reports say the same, but for
    /// the clock offset that the camera was given.
    pub captured_unix_us: u64,
    /// Width and height of the frame in pixels.
    pub size: [u32; 2],
    /// What is in the frame.
    #[serde(flatten)]
    pub truth: Truth,
}

/// Shared by the medias of one camera: time stands still while nobody watches, and goes on where it stood.
#[derive(Debug)]
pub(super) struct Record {
    camera: String,
    next_frame: AtomicU64,
    file: Option<Mutex<BufWriter<File>>>,
}

impl Record {
    /// Writes to `DIRECTORY/CAMERA.jsonl`, where a directory is given.
    pub(super) fn new(camera: &str, directory: Option<&Path>) -> io::Result<Self> {
        let file = match directory {
            Some(directory) => {
                std::fs::create_dir_all(directory)?;
                Some(Mutex::new(BufWriter::new(File::create(directory.join(format!("{camera}.jsonl")))?)))
            }
            None => None,
        };
        Ok(Self { camera: camera.into(), next_frame: AtomicU64::new(0), file })
    }

    pub(super) fn next_frame(&self) -> u64 {
        self.next_frame.load(Ordering::Relaxed)
    }

    /// A frame was sent.
    pub(super) fn sent(&self, truth: Truth, scene: &SceneConfig, captured: SystemTime) {
        self.next_frame.store(truth.frame + 1, Ordering::Relaxed);
        let Some(file) = &self.file else { return };
        let captured_unix_us = captured.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_micros() as u64);
        let line = TruthLine { camera: self.camera.clone(), captured_unix_us, size: [scene.width, scene.height], truth };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // A line at a time, so that a reader can follow.
        let written = serde_json::to_writer(&mut *file, &line)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(file))
            .and_then(|()| file.flush());
        if let Err(error) = written {
            tracing::error!(camera = self.camera, %error, "cannot write the ground truth");
        }
    }
}
