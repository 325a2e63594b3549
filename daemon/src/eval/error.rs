//! What keeps an evaluation from being made.

use std::{io, path::PathBuf};

use egret_models::eval::agreement::AgreementError;

use crate::{
    infer::{DetectError, LoadError},
    store::StoreError,
};

/// Why there is no result. Each says which file or which argument, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A file or folder cannot be read.
    #[error("{file}: {source}; check the path and the permissions", file = file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is too large to be what it should be.
    #[error("{file} has {bytes} bytes; no more than {limit} are read", file = file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Annotations, results or labels that are not what their form says.
    #[error("{file}{line}: {what}; {remedy}", file = file.display(), line = line.map_or(String::new(), |line| format!(" line {line}")))]
    Form {
        /// The file.
        file: PathBuf,
        /// Counted from 1, where the form has lines.
        line: Option<usize>,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// No picture to look at.
    #[error("{place}: {what}", place = place.display())]
    Nothing {
        /// Where they were looked for.
        place: PathBuf,
        /// What is not there, and what to do.
        what: &'static str,
    },
    /// Pictures that are annotated and not there, or that cannot be decoded.
    #[error("{count} of {of} annotated pictures cannot be used, the first: {first}; {}", missing(*count, *of))]
    Missing {
        /// How many.
        count: usize,
        /// Of how many.
        of: usize,
        /// The first one, and what is wrong with it.
        first: String,
    },
    /// A picture that cannot be decoded.
    #[error("{name}: {reason}")]
    Picture {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
    /// A video that cannot be decoded.
    #[error("{file}: {reason}", file = file.display())]
    Video {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// The class lists have no name in common.
    #[error("{models} and the annotations have no class name in common: the model has {first}, the annotations have {other}")]
    Classes {
        /// Which models.
        models: String,
        /// Some classes of the model.
        first: String,
        /// Some classes of the annotations.
        other: String,
    },
    /// There is nothing to compare with.
    #[error("{0}")]
    Arguments(&'static str),
    /// A model cannot be loaded.
    #[error("{0}")]
    Load(#[from] LoadError),
    /// A model's manifest cannot be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A model that finds no boxes.
    #[error("{model}: its task is `{task}`, and boxes are judged here: name a detector")]
    NoDetector {
        /// The model.
        model: String,
        /// What it is for.
        task: &'static str,
    },
    /// A model failed on a picture.
    #[error("{model} on {picture}: {source}")]
    Detect {
        /// The model.
        model: String,
        /// The picture.
        picture: String,
        /// What happened.
        source: DetectError,
    },
    /// Two sets of detections do not go together.
    #[error("{0}")]
    Agreement(#[from] AgreementError),
}

/// What to do about annotated pictures that cannot be used.
fn missing(count: usize, of: usize) -> &'static str {
    if count == of {
        "give the folder that these annotations are about with --images"
    } else {
        "complete the folder, or leave them out of the evaluation with --skip-missing"
    }
}
