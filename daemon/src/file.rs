//! Files that somebody else wrote: regular, of bounded size, told apart by their digest. And files of ours: whole or not there, held
//! by one process at a time.

#[cfg(test)]
pub(crate) mod cut;
mod folder;
mod fresh;
mod lock;

use std::{
    fmt::Write as _,
    fs::{self, File, FileType, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

pub use folder::{Disk, Folder};
pub(crate) use fresh::{Fresh, room_for};
pub(crate) use lock::Lock;

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

/// Whether two paths lead to one file that is there.
pub(crate) fn same(a: &Path, b: &Path) -> bool {
    a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}

/// Opens a regular file to read. A FIFO, a device, a socket or a directory is refused and never waited for.
pub(crate) fn regular(path: &Path) -> io::Result<File> {
    is_regular(fs::metadata(path)?.file_type())?;
    // A FIFO that took its place meanwhile must not keep us waiting either.
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    is_regular(file.metadata()?.file_type())?;
    Ok(file)
}

fn is_regular(kind: FileType) -> io::Result<()> {
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => return Err(io::Error::new(io::ErrorKind::IsADirectory, "a directory, not a file")),
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{what}, not a regular file")))
}

/// Opens a regular file of at most `limit` bytes. What it grows by meanwhile is not read.
pub(crate) fn open(path: &Path, limit: u64) -> Result<io::Take<File>, Unread> {
    let file = regular(path)?;
    let bytes = file.metadata()?.len();
    if bytes > limit {
        return Err(Unread::TooLarge(bytes));
    }
    Ok(file.take(limit))
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

/// Reads the text of a regular file, at most one byte more of it than `limit`, so that its reader can refuse what is longer.
pub(crate) fn text(path: &Path, limit: usize) -> io::Result<String> {
    let mut text = String::new();
    regular(path)?.take(limit as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// The SHA-256 and size of a regular file, without holding it in memory.
pub(crate) fn digest(path: &Path) -> io::Result<(String, u64)> {
    let mut file = regular(path)?;
    let (mut hasher, mut buffer, mut total) = (Sha256::new(), vec![0; 1 << 16], 0);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((hex(&hasher.finalize()), total));
        }
        hasher.update(&buffer[..count]);
        total += count as u64;
    }
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    /// Nobody ever writes to it.
    fn fifo(folder: &Path) -> PathBuf {
        let path = folder.join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        path
    }

    #[test]
    fn only_regular_files_are_opened_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = fifo(folder.path());
        for (path, what) in [(fifo.as_path(), "a FIFO"), (folder.path(), "a directory"), (Path::new("/dev/null"), "a device")] {
            let told = [regular(path).unwrap_err(), text(path, 10).unwrap_err(), digest(path).unwrap_err()];
            let told = told.map(|error| error.to_string());
            assert!(told.iter().all(|told| told.starts_with(what)), "{told:?}");
            assert!(matches!(read(path, 10), Err(Unread::Io(_))));
        }
        let file = folder.path().join("file");
        fs::write(&file, "twelve bytes").unwrap();
        assert!(matches!(open(&file, 11), Err(Unread::TooLarge(12))));
        assert_eq!((read(&file, 12).unwrap().len(), text(&file, 3).unwrap().as_str()), (12, "twel"));
        assert_eq!(digest(&file).unwrap(), (sha256(b"twelve bytes"), 12));
    }
}
