//! What goes wrong with engines.

use std::{io, path::PathBuf};

use super::lock::Holder;

/// Why an engine cannot be found, built, kept or used. Each names the file or the model, the reason and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The folder or a file in it.
    #[error("{path}: {source}; {}", remedy(source), path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What lies there is not what its manifest says. It was found before TensorRT saw it.
    #[error("engine of {name}: {file} {reason}; it is not used: build it anew with `egret engine build {name}`")]
    Damaged {
        /// The model.
        name: String,
        /// Which file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk has less room than the engine will take.
    #[error("{path}: {free} MiB are free, and the engine of {name} may need about {needed}: make room, or name another folder in runtime.engines", path = path.display())]
    Room {
        /// The folder.
        path: PathBuf,
        /// The model.
        name: String,
        /// Free, in MiB.
        free: u64,
        /// Needed, in MiB.
        needed: u64,
    },
    /// Another one builds.
    #[error("{holder} builds an engine: wait for it to end, or stop it")]
    Busy {
        /// Who.
        holder: Holder,
    },
    /// Whoever asked for it does not want it any more.
    #[error("stopped: nothing was written")]
    Stopped,
    /// The store has no engine of that name.
    #[error("no engine `{word}` in {folder}; `egret engine list` names those that there are", folder = folder.display())]
    Unknown {
        /// What was asked for.
        word: String,
        /// The folder.
        folder: PathBuf,
    },
    /// There is none of this model for this device.
    #[error("{name} has no engine for this device{why}; build it with `egret engine build {name}`")]
    Missing {
        /// The model.
        name: String,
        /// `: ` and why those that there are will not do.
        why: String,
    },
    /// Nothing says where engines are.
    #[error("no place for engines: neither runtime.engines, STATE_DIRECTORY, XDG_STATE_HOME nor HOME is set; name a folder")]
    NoPlace,
    /// It was found to disagree, or to fail.
    #[error("engine of {name}: it may not serve: {reason}; see why, then `egret engine build {name} --force`")]
    Rejected {
        /// The model.
        name: String,
        /// Why.
        reason: String,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room (`egret engine prune` removes what no longer fits); nothing that was there is lost"
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "give egret's user the right to write there, or name another folder in runtime.engines"
        }
        _ => "check the path, the permissions and the room on the disk",
    }
}
