//! Folders of frames that a site's own cameras gave: private, and gone with the run that collected them.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use super::PrecisionFailure;
use crate::file::Lock;

/// Where such folders are, in the state directory.
const FOLDERS: &str = "calibration";
/// Held by the run whose folder it is in, and, in [`FOLDERS`] itself, while folders come and go. A folder without it is kept.
const LOCK: &str = ".lock";
/// Attempts at a folder that somebody still writes to.
const ATTEMPTS: usize = 5;

/// A folder of mode 0700. It is deleted with this value unless it is to be kept; what a process that was killed left is
/// deleted by [`sweep`].
#[derive(Debug)]
pub struct FrameFolder {
    path: PathBuf,
    _lock: Lock,
    kept: AtomicBool,
}

impl FrameFolder {
    /// A new one in the state directory, where somebody agreed to that.
    ///
    /// # Errors
    /// [`PrecisionFailure::Consent`], [`PrecisionFailure::File`]
    pub fn create(state: &Path, consent: bool) -> Result<Self, PrecisionFailure> {
        let folders = state.join(FOLDERS);
        if !consent {
            return Err(PrecisionFailure::Consent { place: folders.display().to_string() });
        }
        let private = |recursive, path: &Path| fs::DirBuilder::new().mode(0o700).recursive(recursive).create(path);
        private(true, &folders).map_err(failed(&folders))?;
        let _no_sweep = Lock::wait(&folders.join(LOCK)).map_err(failed(&folders))?;
        let mut stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let path = loop {
            let path = folders.join(stamp.to_string());
            match private(false, &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => stamp += 1,
                made => break made.map(|()| path.clone()).map_err(failed(&path))?,
            }
        };
        let lock = Lock::wait(&path.join(LOCK)).map_err(failed(&path))?;
        Ok(Self { path, _lock: lock, kept: AtomicBool::new(false) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Nobody deletes it any more.
    ///
    /// # Errors
    /// [`PrecisionFailure::File`]
    pub fn keep(&self) -> Result<(), PrecisionFailure> {
        fs::remove_file(self.path.join(LOCK)).map_err(failed(&self.path))?;
        self.kept.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Deletes it with all that is in it, also while somebody writes there; nothing can be written there any more then.
    ///
    /// # Errors
    /// [`PrecisionFailure::File`]
    pub fn delete(&self) -> Result<(), PrecisionFailure> {
        if self.kept.load(Ordering::Relaxed) { Ok(()) } else { remove(&self.path).map_err(failed(&self.path)) }
    }
}

impl Drop for FrameFolder {
    fn drop(&mut self) {
        if let Err(error) = self.delete() {
            tracing::warn!(%error, "frames of cameras stay behind");
        }
    }
}

/// Deletes what runs that were killed left in the state directory, and says which folders. Those of runs that go on, and those
/// that are to be kept, stay.
///
/// # Errors
/// [`PrecisionFailure::File`]
pub fn sweep(state: &Path) -> Result<Vec<PathBuf>, PrecisionFailure> {
    let folders = state.join(FOLDERS);
    let read = match fs::read_dir(&folders) {
        // Somebody else's frames are somebody else's to delete.
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied].contains(&error.kind()) => return Ok(Vec::new()),
        read => read.map_err(failed(&folders))?,
    };
    let mut found = Vec::new();
    for entry in read {
        let entry = entry.map_err(failed(&folders))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
        }
    }
    if found.is_empty() {
        return Ok(found);
    }
    let _no_new_ones = Lock::wait(&folders.join(LOCK)).map_err(failed(&folders))?;
    let mut swept = Vec::new();
    for folder in found {
        match Lock::abandoned(&folder.join(LOCK)) {
            Ok(None) => {}
            Ok(Some(_dead)) => {
                remove(&folder).map_err(failed(&folder))?;
                swept.push(folder);
            }
            // One that is kept; or one whose run was killed before it had anything in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let _ = fs::remove_dir(&folder);
            }
            Err(error) => return Err(failed(&folder)(error)),
        }
    }
    Ok(swept)
}

fn remove(folder: &Path) -> io::Result<()> {
    for _ in 1..ATTEMPTS {
        match fs::remove_dir_all(folder) {
            // A file came meanwhile.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => return other,
        }
    }
    fs::remove_dir_all(folder)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> PrecisionFailure + use<> {
    let path = path.to_owned();
    |source| PrecisionFailure::File { path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn frames_go_with_their_run_and_those_of_dead_runs_with_the_next() {
        let state = tempfile::tempdir().unwrap();
        assert!(matches!(FrameFolder::create(state.path(), false), Err(PrecisionFailure::Consent { .. })));
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
        assert_eq!(sweep(state.path()).unwrap(), [] as [PathBuf; 0]);
        let running = FrameFolder::create(state.path(), true).unwrap();
        assert_eq!(fs::metadata(running.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let kept = FrameFolder::create(state.path(), true).unwrap();
        fs::write(kept.path().join("a.jpg"), "a person").unwrap();
        kept.keep().unwrap();
        kept.delete().unwrap();
        let kept_at = kept.path().to_owned();
        drop(kept);
        // Of a run that was killed a lock is left that nobody holds.
        let dead = state.path().join(FOLDERS).join("1");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        fs::write(dead.join("b.jpg"), "another person").unwrap();
        let empty = state.path().join(FOLDERS).join("2");
        fs::create_dir(&empty).unwrap();
        assert_eq!(sweep(state.path()).unwrap(), std::slice::from_ref(&dead));
        assert!(running.path().exists() && kept_at.join("a.jpg").exists() && !dead.exists() && !empty.exists());
        let path = running.path().to_owned();
        drop(running);
        assert!(!path.exists());
    }
}
