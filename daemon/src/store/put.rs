//! Changing a store: one process at a time, and a model is replaced whole or not at all, so that readers need no lock.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

use super::{Entry, MANIFEST, Store, StoreError};
use crate::file::Lock;

/// Held by the process that changes the store.
const LOCK: &str = ".lock";
/// The folder of a model that is being put in, or of one that was just replaced. Whoever holds the lock may delete it.
const INCOMING: &str = ".incoming";
/// What earlier versions left beside a model's files when they were interrupted.
const LEFTOVERS: [&str; 3] = [".new", ".part", ".part.origin"];

/// The right to change a store, until it is dropped.
pub(super) struct Change<'s> {
    store: &'s Store,
    incoming: PathBuf,
    _lock: Lock,
}

/// Where the bytes of a network come from.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    /// They are here.
    Bytes(&'a [u8]),
    /// A file of the store's own file system, which is moved.
    Moved(&'a Path),
}

impl<'s> Change<'s> {
    /// Waits until no other process changes the store, makes it if need be, and removes what a killed process left.
    pub(super) fn begin(store: &'s Store) -> Result<Self, StoreError> {
        let directory = store.directory();
        fs::create_dir_all(directory).map_err(|source| StoreError::File { path: directory.to_owned(), source })?;
        let path = directory.join(LOCK);
        let lock = Lock::wait(&path).map_err(|source| StoreError::File { path, source })?;
        let change = Self { store, incoming: directory.join(INCOMING), _lock: lock };
        change.clear()?;
        Ok(change)
    }

    fn clear(&self) -> Result<(), StoreError> {
        match fs::remove_dir_all(&self.incoming) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::File { path: self.incoming.clone(), source })
            }
            _ => Ok(()),
        }
    }

    /// Puts a model into the store, in the place of one of the same name. Other files of that one's folder stay. `entry` has the
    /// checked manifest and the places, `text` is the manifest's text.
    pub(super) fn put(&self, entry: &Entry, content: Content<'_>, text: &str) -> Result<(), StoreError> {
        let place = self.store.place(&entry.manifest.card.name);
        let kept = self.kept(&place, &entry.manifest.card.file)?;
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::File { path, source }
        };
        fs::create_dir(&self.incoming).map_err(at(&self.incoming))?;
        if let Ok(old) = fs::metadata(&place) {
            fs::set_permissions(&self.incoming, old.permissions()).map_err(at(&self.incoming))?;
        }
        let network = self.incoming.join(&entry.manifest.card.file);
        match content {
            Content::Bytes(bytes) => written(&network, bytes).map_err(at(&entry.file))?,
            Content::Moved(from) => fs::rename(from, &network).map_err(at(from))?,
        }
        written(&self.incoming.join(MANIFEST), text.as_bytes()).map_err(at(&entry.path))?;
        for name in kept {
            let (from, to) = (place.join(&name), self.incoming.join(&name));
            // File systems without hard links have copies.
            fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)).map_err(at(&from))?;
        }
        self.swap(&place, &entry.manifest.card.file).map_err(at(&place))?;
        synced(self.store.directory()).map_err(at(self.store.directory()))
    }

    /// What lies in the folder of a model that is replaced, and does not belong to the model.
    fn kept(&self, place: &Path, file: &str) -> Result<Vec<std::ffi::OsString>, StoreError> {
        let failed = |source| StoreError::File { path: place.to_owned(), source };
        let read = match fs::read_dir(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.map_err(failed)?,
        };
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let old = self.store.entry(&name).map_or_else(|_| file.to_owned(), |entry| entry.manifest.card.file);
        let of_model = |name: &str| {
            let rest = [MANIFEST, file, &old].iter().find_map(|known| name.strip_prefix(known));
            name == LOCK || rest.is_some_and(|rest| rest.is_empty() || LEFTOVERS.contains(&rest))
        };
        let mut kept = Vec::new();
        for entry in read {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if name.to_str().is_some_and(of_model) {
                continue;
            }
            if !entry.file_type().map_err(failed)?.is_file() {
                return Err(StoreError::Stranger { path: entry.path() });
            }
            kept.push(name);
        }
        Ok(kept)
    }

    /// The new folder takes the place of the old one in one step.
    fn swap(&self, place: &Path, file: &str) -> io::Result<()> {
        if !place.exists() {
            return fs::rename(&self.incoming, place);
        }
        match renameat_with(CWD, &self.incoming, CWD, place, RenameFlags::EXCHANGE) {
            // Not every file system exchanges folders: then file by file, what the manifest says last.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::XDEV) => self.swap_files(place, file),
            other => Ok(other?),
        }
    }

    fn swap_files(&self, place: &Path, file: &str) -> io::Result<()> {
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let old = self.store.entry(&name).ok().map(|entry| entry.file);
        fs::rename(self.incoming.join(file), place.join(file))?;
        fs::rename(self.incoming.join(MANIFEST), place.join(MANIFEST))?;
        match old.filter(|old| *old != place.join(file)) {
            Some(old) if old.exists() => fs::remove_file(old),
            _ => Ok(()),
        }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        // What cannot be removed now is removed by whoever changes the store next.
        let _ = self.clear();
    }
}

fn written(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create_new(path)?;
    io::Write::write_all(&mut file, content)?;
    file.sync_all()
}

/// Names in a folder are on the disk only with the folder.
fn synced(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
