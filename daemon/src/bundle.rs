//! What somebody who is asked for help wants to see of a device, in one archive without secrets.

mod archive;
mod gather;
mod redact;

pub use archive::{archive, file_name};
pub use gather::{Surroundings, gather};
pub use redact::{Redaction, complaint};

/// A file of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// What it says to those who look for something in it.
    pub about: &'static str,
    /// Its content, or why there is none.
    pub content: Result<String, String>,
}
