//! The file system, as little of it as is needed.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::{is_regular, regular};

/// One flat folder of files. Tests have one that loses power.
pub trait Folder: Send {
    /// The names of all regular files.
    fn names(&mut self) -> io::Result<Vec<String>>;
    /// The first `limit` bytes of a file.
    fn read(&mut self, name: &str, limit: u64) -> io::Result<Vec<u8>>;
    /// Fills `bytes` from a place in a file.
    fn read_at(&mut self, name: &str, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Writes all of it to a place in a file, which is made where there is none.
    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Ends a file there.
    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()>;
    /// What was written to a file outlives the power.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Gives a file another name.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Which files there are outlives the power.
    fn sync_names(&mut self) -> io::Result<()>;
    /// For people: where it is.
    fn place(&self) -> String;
}

/// Most files that are kept open.
const OPEN: usize = 16;

/// A folder on a disk.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    /// What holds it against others, as long as this lives.
    _lock: Option<File>,
    files: HashMap<String, File>,
}

impl Disk {
    /// A folder that is there, and that others may use too.
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), _lock: None, files: HashMap::new() }
    }

    /// The same, with the file that holds it against others.
    pub(crate) fn held(path: &Path, lock: File) -> Self {
        Self { _lock: Some(lock), ..Self::at(path) }
    }

    fn file(&mut self, name: &str, make: bool) -> io::Result<&File> {
        if !self.files.contains_key(name) {
            // Whoever put a link, a FIFO or a device there is not to be written to.
            let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
            let mut how = OpenOptions::new();
            let file = how.read(true).write(true).create(make).truncate(false).custom_flags(flags).open(self.path.join(name))?;
            is_regular(file.metadata()?.file_type())?;
            if self.files.len() >= OPEN {
                self.files.clear();
            }
            self.files.insert(name.to_owned(), file);
        }
        self.files.get(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Folder for Disk {
    fn names(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn read(&mut self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        regular(&self.path.join(name))?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn read_at(&mut self, name: &str, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file(name, false)?.read_exact_at(bytes, offset)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(name, true)?.write_all_at(bytes, offset)
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.file(name, false)?.set_len(length)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.file(name, false)?.sync_data()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.files.remove(name);
        fs::remove_file(self.path.join(name))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.files.remove(from);
        self.files.remove(to);
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn sync_names(&mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn links_and_fifos_in_the_folder_are_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "of somebody else").unwrap();
        let inside = folder.path().join("inside");
        fs::create_dir(&inside).unwrap();
        symlink(&elsewhere, inside.join("link")).unwrap();
        symlink(folder.path().join("new"), inside.join("dangling")).unwrap();
        mknodat(CWD, inside.join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let mut disk = Disk::at(&inside);
        for name in ["link", "dangling", "fifo"] {
            assert!(disk.write_at(name, 0, b"ours").is_err() && disk.truncate(name, 0).is_err(), "{name}");
        }
        disk.write_at("file", 0, b"ours").unwrap();
        assert_eq!(
            (fs::read(&elsewhere).unwrap(), fs::read(inside.join("file")).unwrap()),
            (b"of somebody else".into(), b"ours".into())
        );
        assert!(!folder.path().join("new").exists());
    }
}
