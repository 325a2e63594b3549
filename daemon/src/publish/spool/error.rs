//! What goes wrong with the queue.

use std::{io, path::PathBuf};

use super::Class;

/// Why the queue cannot be opened, or did not take or give a record. What was accepted before is never lost by it.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Somebody else has it open.
    #[error("{} is in use by another daemon{holder}: stop it, or give this one another directory", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// ` (process N)`, where it is known.
        holder: String,
    },
    /// The folder or a file in it may not be written.
    #[error("{what} cannot be written ({source}): give the daemon's user the right to, or name another directory")]
    NotWritable {
        /// Folder or file.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// The device is full.
    #[error("no space for {what} ({source}): free some; the queue goes on by itself then")]
    Full {
        /// The file.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// The queue's own limit is reached by records that are more important.
    #[error(
        "the queue's {limit} bytes are taken by what is more important than a {class}: raise max_bytes, or see why the broker is away"
    )]
    NoRoom {
        /// What did not fit.
        class: Class,
        /// [`super::Settings::max_bytes`]
        limit: u64,
    },
    /// A record, or a part of it, is longer than the format or the settings allow.
    #[error("{what} of {bytes} bytes: at most {limit} can be kept")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// Written by another version of egret.
    #[error(
        "{file} has format {found}, and this version of egret reads format {known}: let the version that wrote it deliver it, or move the file away"
    )]
    Version {
        /// The file.
        file: String,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// What was saved is there, and no copy of it is sound.
    #[error("what was saved as {name} cannot be read: both copies are damaged")]
    Damaged {
        /// Under which name.
        name: String,
    },
    /// The settings make no sense.
    #[error("{key} {reason}")]
    Settings {
        /// Which one.
        key: &'static str,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// Anything else that the system says.
    #[error("{what}: {source}")]
    Io {
        /// What was done to which file.
        what: String,
        /// What the system says.
        source: io::Error,
    },
}

impl SpoolError {
    /// The system's word about a file.
    pub(super) fn new(what: impl Into<String>, source: io::Error) -> Self {
        let what = what.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full { what, source }
            }
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Self::NotWritable { what, source },
            _ => Self::Io { what, source },
        }
    }

    /// Whether there may be space again later.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::NoRoom { .. })
    }
}
