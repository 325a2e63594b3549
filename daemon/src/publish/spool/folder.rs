//! The file system, as little of it as is needed.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::SpoolError;

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

/// The file that holds the lock.
const LOCK: &str = "lock";
/// Most files that are kept open.
const OPEN: usize = 16;

/// A folder on a disk, locked against other daemons for as long as this lives.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    _lock: File,
    files: HashMap<String, File>,
}

impl Disk {
    /// Opens a folder, and makes it where there is none.
    ///
    /// # Errors
    /// [`SpoolError::Locked`], [`SpoolError::NotWritable`], or what else the system says.
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        let refused = |error| SpoolError::new(path.display().to_string(), error);
        fs::create_dir_all(path).map_err(refused)?;
        let mut lock =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path.join(LOCK)).map_err(refused)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let known = (&lock).take(20).read_to_string(&mut holder).is_ok() && !holder.is_empty();
                let holder = if known { format!(" (process {})", holder.trim()) } else { String::new() };
                return Err(SpoolError::Locked { folder: path.to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
        // For people who wonder; the lock holds without it, on a full disk too.
        let _unsaid = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Self { path: path.to_owned(), _lock: lock, files: HashMap::new() })
    }

    fn file(&mut self, name: &str, make: bool) -> io::Result<&File> {
        if !self.files.contains_key(name) {
            let file = OpenOptions::new().read(true).write(true).create(make).truncate(false).open(self.path.join(name))?;
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
        File::open(self.path.join(name))?.take(limit).read_to_end(&mut bytes)?;
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
