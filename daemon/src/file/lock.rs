//! Locks that no process takes with it into its grave: whoever ends, in whatever way, holds them no more.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// A file that this process alone holds, as long as this value lives.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Waits for whoever holds it. The file is made where there is none.
    pub(crate) fn wait(path: &Path) -> io::Result<Self> {
        loop {
            let file = opened(path, true)?;
            file.lock()?;
            if let Some(lock) = Self::held(file, path)? {
                return Ok(lock);
            }
        }
    }

    /// `None`: another one holds it. The file is made where there is none.
    pub(crate) fn attempt(path: &Path) -> io::Result<Option<Self>> {
        Self::of(path, true)
    }

    /// As [`Lock::attempt`], of a file that must be there.
    pub(crate) fn abandoned(path: &Path) -> io::Result<Option<Self>> {
        Self::of(path, false)
    }

    fn of(path: &Path, create: bool) -> io::Result<Option<Self>> {
        loop {
            let file = opened(path, create)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if let Some(lock) = Self::held(file, path)? {
                return Ok(Some(lock));
            }
        }
    }

    /// `None`: whoever held it before has removed or renamed it meanwhile.
    fn held(file: File, path: &Path) -> io::Result<Option<Self>> {
        let same = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            there => {
                let (there, ours) = (there?, file.metadata()?);
                (there.dev(), there.ino()) == (ours.dev(), ours.ino())
            }
        };
        Ok(same.then(|| Self { file, path: path.to_owned() }))
    }

    /// The file that is held.
    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Removes the file while it is held.
    pub(crate) fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

fn opened(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(create).truncate(false).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_at_a_time_and_a_removed_one_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert_eq!(Lock::abandoned(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let first = Lock::attempt(&path).unwrap().unwrap();
        assert!(Lock::attempt(&path).unwrap().is_none() && Lock::abandoned(&path).unwrap().is_none());
        let waiting = {
            let path = path.clone();
            std::thread::spawn(move || Lock::wait(&path).unwrap())
        };
        first.remove().unwrap();
        let second = waiting.join().unwrap();
        assert!(path.exists() && Lock::attempt(&path).unwrap().is_none());
        drop(second);
        assert!(Lock::abandoned(&path).unwrap().is_some());
    }
}
