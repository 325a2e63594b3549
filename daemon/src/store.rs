//! The store of models: a directory with one directory per model, `NAME/model.toml` beside `NAME/FILE.onnx`.
//!
//! Whatever enters it was read by the bounded reader, agrees with its manifest, and has the manifest's SHA-256.

mod beside;
mod entry;
mod fetch;
mod file;
mod place;
mod proxy;
mod pull;
mod put;

pub use beside::{About, Beside, Other, beside};
pub use entry::{Added, Entry, Store, Verdict};
pub(crate) use entry::{check_digest, usable};
pub(crate) use file::other_digest;
pub use file::{Inspected, inspect, read_manifest, read_network};
#[cfg(feature = "tensorrt")]
pub(crate) use place::file_of;
pub(crate) use place::state_directory;
pub use place::{default_directory, directory, find, way_to};
pub use pull::{Network, Pulled, pull};

use std::{io, path::PathBuf};

use egret_models::{
    manifest::{Problem, Unrecognised},
    onnx::Refused,
};

/// Name of a manifest.
pub const MANIFEST: &str = "model.toml";

/// Why something cannot be done with a model. Each names the file, the reason and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory cannot be read or written.
    #[error("{path}: {source}; check the path, the permissions and the room on the disk", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no model that egret takes.
    #[error("{path}: {refused}; {remedy}", path = path.display(), remedy = refused.remedy())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        refused: Refused,
    },
    /// The manifest is wrong, or the graph contradicts it.
    #[error("{path}: {}", listed(problems), path = path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// All problems.
        problems: Vec<Problem>,
    },
    /// No manifest, and none can be made from the graph.
    #[error("{path}: {unrecognised}", path = path.display())]
    Unrecognised {
        /// The file.
        path: PathBuf,
        /// Why.
        unrecognised: Box<Unrecognised>,
    },
    /// The bytes are not those that the manifest names.
    #[error("{path}: its SHA-256 is {found}, the manifest says {expected}; {remedy}", path = path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: String,
        /// What the manifest says.
        expected: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The store has no such model.
    #[error("no model `{name}` in {store}; it has {have}", store = store.display())]
    NoSuchModel {
        /// What was asked for.
        name: String,
        /// The store.
        store: PathBuf,
        /// What there is.
        have: String,
    },
    /// The store knows the model, but its file is not there.
    #[error("{file} is not there: the store has no more than the manifest of `{name}`", file = file.display())]
    NoFile {
        /// The model.
        name: String,
        /// Its file.
        file: PathBuf,
    },
    /// The name is taken.
    #[error("{path} exists already; give --replace to put another one in its place, or another name (`add --name`, or `name` in the manifest)", path = path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// The manifest wants other bytes than those that the store has pinned.
    #[error(
        "{manifest}: the store has pinned SHA-256 {pinned} for `{name}`, and what is to be pulled has {other}; ask its publisher why \
         it changed; --replace puts the other one in its place"
    )]
    Pinned {
        /// The model.
        name: String,
        /// The store's manifest.
        manifest: PathBuf,
        /// What the store has pinned.
        pinned: String,
        /// What the other manifest says.
        other: String,
    },
    /// Something lies in the folder of a model that is to be replaced.
    #[error("{path} is no file that a model consists of, and would be lost with the model that is replaced; move it elsewhere", path = path.display())]
    Stranger {
        /// What.
        path: PathBuf,
    },
    /// The store that was named is not there.
    #[error("{path}: there is no such store; check --store (`egret model add` and `pull` make it)", path = path.display())]
    NoStore {
        /// Where it would be.
        path: PathBuf,
    },
    /// The manifest names no place to download from.
    #[error(
        "`{name}` is not published as an ONNX file that can be pulled; {export}; then `egret model add FILE --manifest {name}`"
    )]
    NoUrl {
        /// The model.
        name: String,
        /// How to make the file.
        export: String,
    },
    /// Another process is at it.
    #[error("{path}: another egret is pulling this model; wait for it to end", path = path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// The download failed.
    #[error("{url}: {reason}; {remedy}")]
    Download {
        /// Where from.
        url: String,
        /// Why.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Nothing says where the store is.
    #[error("no place for a store: neither --store, STATE_DIRECTORY, XDG_STATE_HOME nor HOME is set; give --store DIR")]
    NoPlace,
}

fn listed(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    match &lines[..] {
        [line] => line.clone(),
        _ => format!("{} problems\n  {}", lines.len(), lines.join("\n  ")),
    }
}
