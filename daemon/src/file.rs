//! Files that somebody else wrote: regular, of bounded size, told apart by their digest.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

/// Why a file is not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The system says so, or it is no regular file.
    Io(io::Error),
    /// It has so many bytes, more than asked for.
    TooLarge(u64),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Opens a regular file of at most `limit` bytes. What it grows by meanwhile is not read.
pub(crate) fn open(path: &Path, limit: u64) -> Result<io::Take<File>, Unread> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file").into());
    }
    if metadata.len() > limit {
        return Err(Unread::TooLarge(metadata.len()));
    }
    Ok(File::open(path)?.take(limit))
}

/// Reads the whole of a regular file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Unread> {
    // One more than allowed, in case it grows meanwhile: whoever reads it sees that it is too long.
    let mut file = open(path, limit)?;
    file.set_limit(limit + 1);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a text, at most one byte more of it than `limit`, so that its reader can refuse what is longer.
pub(crate) fn text(path: &Path, limit: usize) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(limit as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// SHA-256 as 64 hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Two digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        let _infallible = write!(hex, "{byte:02x}");
        hex
    })
}
