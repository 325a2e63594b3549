//! What keeps trackers from being judged.

use std::{io, path::PathBuf};

/// Why there is no result. Each says which file or which option, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TrackEvalError {
    /// A file or folder cannot be read.
    #[error("{file}: {source}; {remedy}", file = file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// A file is larger than any sequence's.
    #[error("{file} has {bytes} bytes; no more than {limit} are read: cut the sequence", file = file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A file that is not what its form says.
    #[error("{file}{line}: {what}; {remedy}", file = file.display(), line = line.map_or(String::new(), |line| format!(" line {line}")))]
    Form {
        /// The file.
        file: PathBuf,
        /// Counted from 1, where one line is to blame.
        line: Option<usize>,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// No sequence where one should be.
    #[error("{folder} holds no sequence: a sequence is a folder with {needs}; name it or the folder above it with --sequences", folder = folder.display())]
    Nothing {
        /// Where they were looked for.
        folder: PathBuf,
        /// The files that make a sequence.
        needs: &'static str,
    },
    /// Nobody says how fast a sequence was taken.
    #[error(
        "the frame rate of {sequence} is not known: say --fps {sequence}=RATE (or --fps RATE for all), write `{sequence} RATE` into {table}, \
         or frameRate into its seqinfo.ini", table = table.display()
    )]
    Rate {
        /// Which.
        sequence: String,
        /// The table beside the data, which may not exist.
        table: PathBuf,
    },
    /// Options that make no sense.
    #[error("{0}")]
    Options(String),
    /// One identity twice in a frame.
    #[error(
        "{place}: identity {id} is twice in frame {frame}; each is in a frame once at most: give the second box another identity"
    )]
    Twice {
        /// The file and the line, or the tracker and the sequence.
        place: String,
        /// Which frame.
        frame: u32,
        /// Which identity.
        id: u64,
    },
    /// Results cannot be written.
    #[error("{file}: {source}; name another folder with --write", file = file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}
