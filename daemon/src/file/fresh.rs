//! New files: whole or not there, without leftovers.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

use super::{Lock, regular};

/// A file that is written and on the disk, under a name beside its place. It is gone with this value unless it is put there; what a
/// process that was killed left of one is written over by the next.
#[derive(Debug)]
pub(crate) struct Fresh {
    path: PathBuf,
    temporary: PathBuf,
    lock: Lock,
    placed: bool,
}

impl Fresh {
    /// Writes what is to be at `path`.
    pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<Self> {
        let mut fresh = Self::begin(path)?;
        let file = fresh.lock.file();
        file.write_all(content)?;
        file.sync_all()?;
        Ok(fresh)
    }

    /// Begins what is to be at `path`, to be written bit by bit.
    pub(crate) fn begin(path: &Path) -> io::Result<Self> {
        let mut name = OsString::from(".");
        name.push(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
        name.push(".egret-new");
        let temporary = path.with_file_name(name);
        let busy = || io::Error::new(io::ErrorKind::ResourceBusy, "another egret is writing it");
        let lock = Lock::attempt(&temporary)?.ok_or_else(busy)?;
        let mut fresh = Self { path: path.to_owned(), temporary, lock, placed: false };
        fresh.lock.file().set_len(0)?;
        Ok(fresh)
    }

    /// Where it is written.
    pub(crate) fn file(&mut self) -> io::Result<File> {
        self.lock.file().try_clone()
    }

    /// Puts what was written bit by bit in its place, once it is on the disk.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.lock.file().sync_all()?;
        self.place()
    }

    /// Puts it in its place.
    pub(crate) fn place(mut self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.path)?;
        // The next file of the temporary name is somebody else's.
        self.placed = true;
        Ok(())
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.placed {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Whether a file can be made or replaced at `path`, asked before the work that it is for.
pub(crate) fn room_for(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let named = |kind, what: &str| io::Error::new(kind, format!("{} {what}", folder.display()));
    let metadata = fs::metadata(folder).map_err(|error| match error.kind() {
        kind @ io::ErrorKind::NotFound => named(kind, "is no folder yet: make it first"),
        _ => error,
    })?;
    if !metadata.is_dir() {
        return Err(named(io::ErrorKind::NotADirectory, "is no folder"));
    }
    access(folder, Access::WRITE_OK | Access::EXEC_OK)?;
    match regular(path) {
        // It will be replaced, not read.
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied].contains(&error.kind()) => Ok(()),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (path, temporary) = (folder.path().join("net.onnx"), folder.path().join(".net.onnx.egret-new"));
        fs::write(&temporary, "what a killed process left, and longer").unwrap();
        drop(Fresh::write(&path, b"new").unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let fresh = Fresh::write(&path, b"new").unwrap();
        let busy = Fresh::write(&path, b"other").unwrap_err();
        assert!(!path.exists() && busy.to_string().contains("another egret"), "{busy}");
        fresh.place().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_place_without_room_is_told_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(room_for(&file).is_ok() && room_for(&folder.path().join("new")).is_ok() && room_for(Path::new("new")).is_ok());
        let kind = |path: &Path| room_for(path).unwrap_err().kind();
        assert_eq!(kind(&folder.path().join("none/new")), io::ErrorKind::NotFound);
        assert_eq!(kind(&file.join("new")), io::ErrorKind::NotADirectory);
        assert_eq!(kind(folder.path()), io::ErrorKind::IsADirectory);
    }
}
