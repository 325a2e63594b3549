//! What can be wrong with a replay.

use std::{io, path::PathBuf};

use crate::{
    infer::{LoadError, WorkerError},
    pipeline::StartError,
    trackeval::TrackEvalError,
};

/// Why a recording cannot be replayed. Each says which file or option, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A file cannot be read.
    #[error("{file}: {source}; check the path and the permissions", file = file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A text that is no recording.
    #[error(
        "{file}: this is neither a video nor detections; give egret's messages (JSON, one a line) or a det.txt \
         (frame,id,left,top,width,height,confidence)",
        file = file.display()
    )]
    Kind {
        /// The file.
        file: PathBuf,
    },
    /// A line of detections is wrong.
    #[error("{file} line {line}: {what}; correct or remove that line", file = file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// A det.txt is wrong.
    #[error(transparent)]
    DetTxt(#[from] TrackEvalError),
    /// Nothing to replay.
    #[error("{file}: {what}", file = file.display())]
    Nothing {
        /// The file.
        file: PathBuf,
        /// What is missing, and the remedy.
        what: String,
    },
    /// What belongs to a det.txt was not said, or is said where it has no place.
    #[error("{0}")]
    Options(String),
    /// A video does not play.
    #[error("{file}: {reason}; `gst-play-1.0` or another player may say more of it", file = file.display())]
    Film {
        /// The file.
        file: PathBuf,
        /// The decoder's words.
        reason: String,
    },
    /// A video breaks off. What came before was replayed.
    #[error("{file} breaks off after {frames} frames: {reason}; what came before was replayed", file = file.display())]
    BreaksOff {
        /// The file.
        file: PathBuf,
        /// Whole pictures.
        frames: u64,
        /// The decoder's words.
        reason: String,
    },
    /// The pictures are not those that the detections were made on.
    #[error("{file}: its pictures are {film_width}x{film_height}, the detections are of {width}x{height}; give the video they were made on",
        file = file.display())]
    Pictures {
        /// The video.
        file: PathBuf,
        /// Width of its pictures.
        film_width: u32,
        /// Height of its pictures.
        film_height: u32,
        /// Width that the detections say.
        width: u32,
        /// Height that the detections say.
        height: u32,
    },
    /// The model does not load.
    #[error(transparent)]
    Model(#[from] LoadError),
    /// The model does not run.
    #[error(transparent)]
    Engine(#[from] WorkerError),
    /// A rule is about a class that the model does not know.
    #[error(transparent)]
    Rules(#[from] StartError),
    /// The camera keeps a class that the model does not know.
    #[error("camera.{camera}.classes: the model knows no class {class:?}; it knows {known}")]
    Class {
        /// Name of the camera.
        camera: String,
        /// The class.
        class: String,
        /// Some of those that it knows.
        known: String,
    },
    /// A result cannot be written.
    #[error("{file}: {reason}", file = file.display())]
    Output {
        /// The file or folder.
        file: PathBuf,
        /// Why, and the remedy where there is one.
        reason: String,
    },
    /// The messages cannot be written.
    #[error("the messages cannot be written: {0}")]
    Messages(#[from] io::Error),
    /// The operating system gives no threads.
    #[error("no async runtime: {0}")]
    Runtime(io::Error),
}
