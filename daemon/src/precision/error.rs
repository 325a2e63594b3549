//! What keeps a network from being converted.

use std::{io, path::PathBuf};

use egret_models::{eval::agreement::AgreementError, precision::PrecisionError};

use crate::{
    infer::{DetectError, LoadError},
    store::StoreError,
};

/// Why nothing was written. Each says which file or argument, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum PrecisionFailure {
    /// The network's file or its manifest.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The graph cannot be converted.
    #[error("{file}: {source}; {remedy}", file = file.display(), remedy = source.remedy())]
    Graph {
        /// The network.
        file: PathBuf,
        /// Why.
        source: PrecisionError,
    },
    /// It is no detector.
    #[error("{file}: the accuracy gate compares boxes, and the task of this network is `{task}`; use `egret model fp16` without --from for it", file = file.display())]
    NoDetector {
        /// The network.
        file: PathBuf,
        /// What it is for.
        task: &'static str,
    },
    /// Its input is not of 32-bit floats.
    #[error("{file}: its input `{input}` is not of 32-bit floats; export the float network and start from that", file = file.display())]
    Input {
        /// The network.
        file: PathBuf,
        /// Its input.
        input: String,
    },
    /// Only ONNX Runtime hands out the values inside a network.
    #[error(
        "ONNX Runtime cannot be loaded ({reason}); calibration needs it: set EGRET_ONNXRUNTIME to libonnxruntime.so (1.17 or later)"
    )]
    NoRuntime {
        /// What was tried.
        reason: String,
    },
    /// ONNX Runtime does not run what was made.
    #[error("{what}: ONNX Runtime refuses it ({reason}); run the float network in Python, and export it again if that fails too")]
    Runtime {
        /// Which network.
        what: String,
        /// Its words.
        reason: String,
    },
    /// The float network gives no finite values.
    #[error("{file}: {reason}", file = file.display())]
    Calibration {
        /// The network.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A network could not be loaded.
    #[error("{0}")]
    Load(#[from] LoadError),
    /// A network failed on a frame.
    #[error("{0}")]
    Detect(#[from] DetectError),
    /// Two sets of boxes do not go together.
    #[error("{0}")]
    Agreement(#[from] AgreementError),
    /// A file or folder.
    #[error("{path}: {source}; check the path, the permissions and the room on the disk", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A picture or a video that cannot be decoded.
    #[error("{path}: {reason}; take it out, or convert it to JPEG, PNG or H.264 in MP4", path = path.display())]
    Decode {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Drawn streets that cannot be had.
    #[error("{text}: {reason}")]
    Seed {
        /// What was asked for.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There are too few pictures.
    #[error("{place}: {count} {what} among the {of}, at least {needed} are needed; {remedy}")]
    TooFew {
        /// Where from.
        place: String,
        /// What was looked at there.
        of: &'static str,
        /// How many.
        count: usize,
        /// Of what.
        what: &'static str,
        /// How many are needed.
        needed: usize,
        /// What to do.
        remedy: &'static str,
    },
    /// So few pictures were asked for that too few are left to judge on.
    #[error(
        "--frames {frames}: without --holdout one of four pictures is held out to be judged on, and at least {needed} of those are \
         needed; give --frames {smallest} or more, or other pictures with --holdout"
    )]
    Frames {
        /// What was asked for.
        frames: usize,
        /// Held-out pictures that are needed.
        needed: usize,
        /// The smallest number that will do.
        smallest: usize,
    },
    /// What is to be written is there already.
    #[error("{path} exists already; give --force to write over it, or another name with -o", path = path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// The name of what is to be written will not do.
    #[error("{path}: {reason}", path = path.display())]
    Out {
        /// The name.
        path: PathBuf,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// Somebody stopped it.
    #[error("stopped")]
    Stopped,
    /// Frames of cameras are kept only where somebody agreed to that.
    #[error(
        "frames of the cameras would be stored in {place}; say --consent if those who are seen by them have agreed or the law allows it"
    )]
    Consent {
        /// Where.
        place: String,
    },
    /// No configured camera gave frames.
    #[error("{reason}")]
    Cameras {
        /// What is wrong and what to do.
        reason: String,
    },
}
