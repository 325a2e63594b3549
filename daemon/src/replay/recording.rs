//! What is replayed: told apart by its content.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    ReplayError,
    boxes::{self, Boxes},
};

/// So much of a file says what it is.
const PROBE_BYTES: u64 = 4096;

/// What has to be said of recordings that do not say it themselves.
#[derive(Clone, Debug)]
pub struct Hints {
    /// The camera whose frames are replayed; `None`: the only one.
    pub camera: Option<String>,
    /// When the recording was begun. Messages say it themselves.
    pub start: SystemTime,
    /// Frames per second of a det.txt.
    pub fps: Option<f64>,
    /// Width and height in pixels of the frames of a det.txt.
    pub size: Option<(u32, u32)>,
    /// Class of the boxes of a det.txt.
    pub class: String,
}

/// A recording.
#[derive(Debug)]
pub struct Recording {
    pub(super) file: PathBuf,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// A video; its frames begin at this time.
    Film(SystemTime),
    Boxes(Boxes),
}

impl Recording {
    /// Looks at a file, and reads it if it holds detections.
    ///
    /// # Errors
    /// [`ReplayError`] names the file and the line.
    pub fn open(file: &Path, hints: &Hints) -> Result<Self, ReplayError> {
        let kind = match probe(file)? {
            Content::Film => Kind::Film(hints.start),
            Content::Messages => Kind::Boxes(boxes::messages(file, hints.camera.as_deref())?),
            Content::DetTxt => {
                let missing = |option, example| {
                    let file = file.display();
                    ReplayError::Options(format!(
                        "{file} is a det.txt, which does not say it itself: give {option}, e.g. {example}"
                    ))
                };
                let fps = hints.fps.ok_or_else(|| missing("--fps", "--fps 25"))?;
                let size = hints.size.ok_or_else(|| missing("--size", "--size 1920x1080"))?;
                let step = Duration::try_from_secs_f64(1.0 / fps);
                let step = step.map_err(|_| ReplayError::Options(format!("--fps {fps} is no frame rate")))?;
                Kind::Boxes(boxes::det_txt(file, &hints.class, step, size, hints.start)?)
            }
        };
        Ok(Self { file: file.to_owned(), kind })
    }

    /// Whether it is a video, so that a network has to look at it.
    pub fn is_film(&self) -> bool {
        matches!(self.kind, Kind::Film(_))
    }

    /// The camera that it is of, if it says so.
    pub fn camera(&self) -> Option<&str> {
        match &self.kind {
            Kind::Film(_) => None,
            Kind::Boxes(boxes) => boxes.camera.as_deref(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Film,
    Messages,
    DetTxt,
}

fn probe(file: &Path) -> Result<Content, ReplayError> {
    let unread = |source| ReplayError::Read { file: file.to_owned(), source };
    let mut head = Vec::new();
    crate::file::regular(file).map_err(unread)?.take(PROBE_BYTES).read_to_end(&mut head).map_err(unread)?;
    // A letter may be cut in two at the end.
    let text = match std::str::from_utf8(&head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default(),
        Err(_) => return Ok(Content::Film),
    };
    if text.contains('\0') {
        return Ok(Content::Film);
    }
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    if first.contains('{') {
        Ok(Content::Messages)
    } else if first.split(',').count() >= 6 {
        Ok(Content::DetTxt)
    } else {
        Err(ReplayError::Kind { file: file.to_owned() })
    }
}
