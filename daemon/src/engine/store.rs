//! The folder of engines: whole or not there, whatever happens meanwhile.
//!
//! An engine is `STEM.json`, its manifest, and what that names: `STEM.DIGEST.plan`, and `STEM.DIGEST.tail` where the network was cut. The
//! manifest comes last and is replaced in
//! one step: until then the engine that was there before is the one that is there. Timings lie beside them, `timings-….cache`. What a
//! killed process left ends with `.new`, or is a plan that no manifest names, and goes with the next change.

mod begun;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use super::{
    EngineError, Key, Manifest, Plan,
    key::Difference,
    lock,
    manifest::{MAX_BYTES, Unreadable},
};
use crate::file::{self, Disk, Folder, Lock};

/// Held for the moment of a change.
const LOCK: &str = "store.lock";
/// Largest plan that is read: more than any device that egret knows has for one network.
const MAX_PLAN_BYTES: u64 = 16 << 30;
/// Largest tail that is read: as large as an ONNX file may be.
const MAX_TAIL_BYTES: u64 = egret_models::onnx::MAX_FILE_BYTES;
/// What is being written.
const NEW: &str = ".new";

/// A folder of engines.
#[derive(Debug)]
pub struct Store<F = Disk> {
    folder: F,
    /// Where it is; `None`: in memory.
    path: Option<PathBuf>,
}

/// The bytes of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// For TensorRT.
    pub plan: Vec<u8>,
    /// What ONNX Runtime runs behind it, an ONNX file.
    pub tail: Option<Vec<u8>>,
}

/// A manifest of the folder.
#[derive(Debug)]
pub struct Listed {
    /// The name of its file, without `.json`.
    pub stem: String,
    /// What it says, or why it says nothing.
    pub manifest: Result<Manifest, Unreadable>,
}

impl Store {
    /// The engines of a folder, which need not be there yet.
    pub fn new(path: &Path) -> Self {
        Self { folder: Disk::at(path), path: Some(path.to_owned()) }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Makes the folder where there is none, and sees that an engine of about so many bytes fits. Asked before a long build.
    ///
    /// # Errors
    /// [`EngineError::File`], [`EngineError::Room`].
    pub fn ready(&self, name: &str, bytes: u64) -> Result<(), EngineError> {
        lock::make(self.directory())?;
        let file = |source: rustix::io::Errno| EngineError::File { path: self.directory().to_owned(), source: source.into() };
        let there = rustix::fs::statvfs(self.directory()).map_err(file)?;
        let free = there.f_bavail.saturating_mul(there.f_frsize);
        if free < bytes {
            let path = self.directory().to_owned();
            return Err(EngineError::Room { path, name: name.to_owned(), free: free >> 20, needed: (bytes >> 20) + 1 });
        }
        // Whether it may be written shows now, and not after the build.
        self.change().map(drop)
    }
}

impl<F: Folder> Store<F> {
    #[cfg(test)]
    pub(super) fn on(folder: F) -> Self {
        Self { folder, path: None }
    }

    fn failed(&self, name: &str) -> impl Fn(io::Error) -> EngineError + use<F> {
        let path = self.path.as_ref().map_or_else(|| PathBuf::from(name), |path| path.join(name));
        move |source| EngineError::File { path: path.clone(), source }
    }

    /// Waits for others that change the folder, which takes them moments.
    fn change(&self) -> Result<Option<Lock>, EngineError> {
        let Some(path) = &self.path else { return Ok(None) };
        lock::make(path)?;
        Lock::wait(&path.join(LOCK)).map(Some).map_err(self.failed(LOCK))
    }

    fn names(&mut self) -> Result<Vec<String>, EngineError> {
        match self.folder.names() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            names => names.map_err(self.failed("")),
        }
    }

    /// All that have a manifest, by name.
    ///
    /// # Errors
    /// [`EngineError::File`]; a folder that is not there is empty.
    pub fn all(&mut self) -> Result<Vec<Listed>, EngineError> {
        let mut stems: Vec<String> =
            self.names()?.iter().filter_map(|name| name.strip_suffix(".json").map(ToOwned::to_owned)).collect();
        stems.sort_unstable();
        let mut all = Vec::new();
        for stem in stems {
            if let Some(manifest) = self.read(&stem)? {
                all.push(Listed { stem, manifest });
            }
        }
        Ok(all)
    }

    /// `None`: there is none, or it has gone meanwhile.
    fn read(&mut self, stem: &str) -> Result<Option<Result<Manifest, Unreadable>>, EngineError> {
        let name = manifest_file(stem);
        match self.folder.read(&name, MAX_BYTES) {
            Ok(bytes) => Ok(Some(Manifest::read(stem, &bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(&name)(error)),
        }
    }

    /// The engine of exactly this key. Its files have not been looked at: [`Self::parts`] does.
    ///
    /// # Errors
    /// [`EngineError::File`]; [`EngineError::Damaged`] where its manifest is none.
    pub fn find(&mut self, key: &Key) -> Result<Option<Manifest>, EngineError> {
        let stem = key.stem();
        let damaged = |reason: &Unreadable| EngineError::Damaged {
            name: key.model.chars().take(12).collect(),
            file: manifest_file(&stem),
            reason: format!("cannot be read: {reason}"),
        };
        self.read(&stem)?.transpose().map_err(|reason| damaged(&reason))
    }

    /// Engines of the same model that are others, those first that could serve instead, of these the newest; each with what differs.
    ///
    /// # Errors
    /// [`EngineError::File`].
    pub fn others(&mut self, key: &Key) -> Result<Vec<(Manifest, Vec<Difference>)>, EngineError> {
        let same = |manifest: &Manifest| manifest.key.model == key.model && manifest.key != *key;
        let all = self.all()?.into_iter().filter_map(|listed| listed.manifest.ok()).filter(same);
        let mut others: Vec<_> = all.map(|manifest| (key.differences(&manifest.key), manifest)).collect();
        let fatal = |differences: &[Difference]| differences.iter().any(|difference| difference.fatal);
        others.sort_by(|(a, first), (b, second)| fatal(a).cmp(&fatal(b)).then_with(|| second.built_at.cmp(&first.built_at)));
        Ok(others.into_iter().map(|(differences, manifest)| (manifest, differences)).collect())
    }

    /// The bytes of an engine, after they were held against its manifest: TensorRT and ONNX Runtime execute what they say.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] where they are not those that were written; [`EngineError::File`].
    pub fn parts(&mut self, manifest: &Manifest) -> Result<Parts, EngineError> {
        let plan = self.part(&manifest.name, &manifest.plan, MAX_PLAN_BYTES)?;
        let tail = manifest.tail.as_ref().map(|tail| self.part(&manifest.name, &tail.file, MAX_TAIL_BYTES)).transpose()?;
        Ok(Parts { plan, tail })
    }

    fn part(&mut self, name: &str, part: &Plan, most: u64) -> Result<Vec<u8>, EngineError> {
        let damaged = |reason: String| Err(EngineError::Damaged { name: name.to_owned(), file: part.file.clone(), reason });
        if part.bytes > most {
            return damaged(format!("is said to have {} bytes, and no engine has", part.bytes));
        }
        let bytes = match self.folder.read(&part.file, part.bytes + 1) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return damaged("is not there".into()),
            Err(error) => return Err(self.failed(&part.file)(error)),
        };
        if bytes.len() as u64 != part.bytes {
            let more = if bytes.len() as u64 > part.bytes { "more" } else { "fewer" };
            return damaged(format!("has {more} bytes than the {} that were written", part.bytes));
        }
        if file::sha256(&bytes) != part.sha256 {
            return damaged("has other bytes than were written (its SHA-256 is another one)".into());
        }
        Ok(bytes)
    }

    /// Puts an engine there, in the place of one of the same key. When this returns, no power cut takes it away; until then, none
    /// takes away the one that was there.
    ///
    /// # Errors
    /// [`EngineError::File`]: what was there before still is.
    pub fn put(&mut self, manifest: &Manifest, parts: &Parts) -> Result<(), EngineError> {
        let _lock = self.change()?;
        // Room that nobody needs any more may be what this one lacks. What cannot be removed is none of its business.
        let _room = self.sweep();
        let stem = manifest.key.stem();
        self.write(&manifest.plan.file, &parts.plan)?;
        if let (Some(tail), Some(bytes)) = (&manifest.tail, &parts.tail) {
            self.write(&tail.file.file, bytes)?;
        }
        self.write(&manifest_file(&stem), &text(manifest)?)?;
        // It is in its place: what it replaced may stay or go.
        let _old = self.sweep();
        Ok(())
    }

    /// Writes down what became of an engine. `false`: it has been replaced or removed meanwhile, and nothing was written.
    ///
    /// # Errors
    /// [`EngineError::File`].
    pub fn note(&mut self, manifest: &Manifest) -> Result<bool, EngineError> {
        let _lock = self.change()?;
        let stem = manifest.key.stem();
        match self.read(&stem)? {
            Some(Ok(there)) if there.plan == manifest.plan => {}
            _ => return Ok(false),
        }
        self.write(&manifest_file(&stem), &text(manifest)?).map(|()| true)
    }

    /// Removes an engine: its manifest first, so that none is without its plan. Returns the bytes that are free now.
    ///
    /// # Errors
    /// [`EngineError::File`].
    pub fn remove(&mut self, stem: &str) -> Result<u64, EngineError> {
        let _lock = self.change()?;
        let mut names = vec![manifest_file(stem)];
        names.extend(self.names()?.into_iter().filter(|name| is_part_of(name, stem)));
        let mut freed = 0;
        for name in names {
            freed += self.discard(&name)?;
        }
        Ok(freed)
    }

    /// Timings of earlier builds on a device, if there are any and they are whole.
    pub fn timings(&mut self, key: &Key) -> Option<Vec<u8>> {
        let bytes = self.folder.read(&timings_file(key), MAX_PLAN_BYTES).ok()?;
        // TensorRT is given no byte that was not written.
        let (digest, timings) = bytes.split_at_checked(64)?;
        (file::sha256(timings).as_bytes() == digest).then(|| timings.to_vec())
    }

    /// Keeps them.
    ///
    /// # Errors
    /// [`EngineError::File`].
    pub fn keep_timings(&mut self, key: &Key, timings: &[u8]) -> Result<(), EngineError> {
        let _lock = self.change()?;
        let mut bytes = file::sha256(timings).into_bytes();
        bytes.extend_from_slice(timings);
        self.write(&timings_file(key), &bytes)
    }

    /// Files of timings but those of that key's device and TensorRT, and what a killed process left, with their bytes.
    ///
    /// # Errors
    /// [`EngineError::File`].
    pub fn rest(&mut self, key: &Key) -> Result<Vec<(String, u64)>, EngineError> {
        let ours = timings_file(key);
        let mut rest: Vec<String> = self.leftovers()?.into_iter().collect();
        rest.extend(self.names()?.into_iter().filter(|name| is_timings(name) && *name != ours));
        rest.into_iter().map(|name| Ok((name.clone(), self.bytes(&name)?))).collect()
    }

    /// Removes a file that [`Self::rest`] named.
    ///
    /// # Errors
    /// [`EngineError::File`].
    pub fn clear(&mut self, name: &str) -> Result<u64, EngineError> {
        let _lock = self.change()?;
        if is_timings(name) || self.leftovers()?.contains(name) { self.discard(name) } else { Ok(0) }
    }

    /// The bytes of the files of an engine.
    ///
    /// # Errors
    /// [`EngineError::File`].
    pub fn size(&mut self, stem: &str) -> Result<u64, EngineError> {
        let own = |name: &String| *name == manifest_file(stem) || is_part_of(name, stem);
        let names: Vec<String> = self.names()?.into_iter().filter(own).collect();
        names.iter().try_fold(0, |sum, name| Ok(sum + self.bytes(name)?))
    }

    fn bytes(&mut self, name: &str) -> Result<u64, EngineError> {
        match &self.path {
            Some(path) => match path.join(name).metadata() {
                Ok(metadata) => Ok(metadata.len()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
                Err(error) => Err(self.failed(name)(error)),
            },
            None => self.folder.read(name, MAX_PLAN_BYTES).map(|bytes| bytes.len() as u64).map_err(self.failed(name)),
        }
    }

    /// Writes a file beside its place, and puts it there once it is on the disk; when this returns, its name is, too.
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), EngineError> {
        let failed = self.failed(name);
        let new = format!("{name}{NEW}");
        let written = self.written(&new, name, bytes);
        if written.is_err() {
            // It takes room for nothing.
            let _gone = self.folder.remove(&new);
        }
        written.map_err(failed)
    }

    fn written(&mut self, new: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        match self.folder.remove(new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.folder.write_at(new, 0, bytes)?;
        self.folder.sync(new)?;
        self.folder.rename(new, name)?;
        self.folder.sync_names()
    }

    /// Removes a file for good.
    fn discard(&mut self, name: &str) -> Result<u64, EngineError> {
        let bytes = self.bytes(name)?;
        match self.folder.remove(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            other => other.and_then(|()| self.folder.sync_names()).map_err(self.failed(name))?,
        }
        Ok(bytes)
    }

    /// Removes what killed processes left, and plans that were replaced. To be called while the folder is held.
    fn sweep(&mut self) -> Result<(), EngineError> {
        for name in self.leftovers()? {
            self.discard(&name)?;
        }
        Ok(())
    }

    fn leftovers(&mut self) -> Result<BTreeSet<String>, EngineError> {
        let mut left = BTreeSet::new();
        for name in &self.names()? {
            if name.ends_with(NEW) || name.ends_with(".egret-new") {
                left.insert(name.clone());
            } else if let Some(stem) = part_stem(name) {
                // A manifest that cannot be read may be a later egret's, which will want its files.
                let names = |manifest: &Manifest| {
                    manifest.plan.file == *name || manifest.tail.as_ref().is_some_and(|tail| tail.file.file == *name)
                };
                let wants = |there: Result<Manifest, Unreadable>| there.map_or(true, |manifest| names(&manifest));
                if !self.read(stem)?.is_some_and(wants) {
                    left.insert(name.clone());
                }
            }
        }
        Ok(left)
    }
}

fn text(manifest: &Manifest) -> Result<Vec<u8>, EngineError> {
    manifest.write().map_err(|error| EngineError::File { path: manifest_file(&manifest.key.stem()).into(), source: error.into() })
}

fn manifest_file(stem: &str) -> String {
    format!("{stem}.json")
}

/// `STEM` of `STEM.DIGEST.plan` and `STEM.DIGEST.tail`.
fn part_stem(name: &str) -> Option<&str> {
    let (stem, digest) = name.strip_suffix(".plan").or_else(|| name.strip_suffix(".tail"))?.split_once('.')?;
    (stem.len() == 32 && digest.len() == 16).then_some(stem)
}

fn is_part_of(name: &str, stem: &str) -> bool {
    part_stem(name) == Some(stem)
}

/// Timings are of one TensorRT on one kind of device; what is built of them does not matter.
fn timings_file(key: &Key) -> String {
    let of = format!("{:?} {:?} {:?} {:?}", key.tensorrt, key.device, key.compute_capability, key.l4t);
    let digest = file::sha256(of.as_bytes());
    format!("timings-{}.cache", digest.get(..16).unwrap_or_default())
}

fn is_timings(name: &str) -> bool {
    name.strip_prefix("timings-").and_then(|rest| rest.strip_suffix(".cache")).is_some()
}

#[cfg(test)]
mod tests;
