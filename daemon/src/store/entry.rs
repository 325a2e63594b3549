//! The models in a store.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use egret_models::{
    manifest::{Digest, Manifest, Problem, is_name, recognise},
    onnx::{self, Refused},
};

use super::{
    Beside, MANIFEST, Other, StoreError, beside,
    file::{digest_of, name_of, read_manifest, read_network},
    put::{Change, Content},
};
use crate::file::sha256;

/// A directory of models.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// A model in a store.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its manifest.
    pub manifest: Manifest,
    /// The ONNX file, which may be missing.
    pub file: PathBuf,
    /// The manifest's own file.
    pub path: PathBuf,
}

/// What was taken into a store.
#[derive(Debug)]
pub struct Added {
    /// The model.
    pub entry: Entry,
    /// Whether the manifest did not know the SHA-256, and now has that of the file.
    pub pinned: bool,
    /// What was assumed where the manifest was made from the graph.
    pub assumed: Vec<egret_models::manifest::Assumption>,
    /// Files beside it that were not read, though they stand where its manifest would.
    pub not_read: Vec<Other>,
}

/// How a stored model stands.
#[derive(Debug)]
pub struct Verdict {
    /// Its name.
    pub name: String,
    /// What is wrong; empty: nothing.
    pub problems: Vec<String>,
}

impl Store {
    /// The store in a directory, which need not exist yet.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a model of this name is or would be. The name is one that [`is_name`] takes.
    pub(super) fn place(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The names of all models, sorted, also of those whose folder cannot be read: whoever asks for them is told why.
    ///
    /// # Errors
    /// [`StoreError::File`]; a store that does not exist is empty.
    pub fn names(&self) -> Result<Vec<String>, StoreError> {
        let failed = |source| StoreError::File { path: self.directory.clone(), source };
        let read = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.map_err(failed)?,
        };
        let mut names = Vec::new();
        for entry in read {
            let entry = entry.map_err(failed)?;
            if let Ok(name) = entry.file_name().into_string()
                && is_name(&name)
                && !is_missing(&entry.path().join(MANIFEST))
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The model of this name.
    ///
    /// # Errors
    /// [`StoreError::NoSuchModel`], or its manifest is wrong.
    pub fn entry(&self, name: &str) -> Result<Entry, StoreError> {
        let path = self.place(name).join(MANIFEST);
        if !is_name(name) || is_missing(&path) {
            let names = self.names()?;
            let have = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(StoreError::NoSuchModel { name: name.to_owned(), store: self.directory.clone(), have });
        }
        let (manifest, _) = read_manifest(&path)?;
        Ok(Entry { file: self.place(name).join(&manifest.card.file), manifest, path })
    }

    /// Takes a file in, with the manifest that is named, the one beside it, or one made from its graph.
    ///
    /// # Errors
    /// Whatever is wrong with the file or the manifest; [`StoreError::Exists`].
    pub fn add(
        &self,
        file: &Path,
        manifest: Option<(Manifest, String)>,
        name: Option<&str>,
        replace: bool,
    ) -> Result<Added, StoreError> {
        let bytes = read_network(file)?;
        let refused = |refused| StoreError::Refused { path: file.to_owned(), refused };
        let model = onnx::read(&bytes).map_err(refused)?;
        usable(&model).map_err(refused)?;
        let Beside { about, others } = if manifest.is_none() { beside(file)? } else { Beside::default() };
        let given = manifest.or(about.map(|about| (about.manifest, about.text)));
        let (mut manifest, text, assumed) = if let Some((manifest, text)) = given {
            (manifest, text, Vec::new())
        } else {
            let made = recognise(&model, &name_of(file));
            let made = made.map_err(|error| StoreError::Unrecognised { path: file.to_owned(), unrecognised: Box::new(error) })?;
            (made.manifest.clone(), made.to_toml(), made.assumed)
        };
        let problems = manifest.contradictions(&model);
        if !problems.is_empty() {
            return Err(StoreError::Manifest { path: file.to_owned(), problems });
        }
        let found = sha256(&bytes);
        let pinned = check_digest(file, &manifest, &found, "use the file that the manifest is about, or correct its sha256")?;
        let text = rename(&pin(&text, &manifest, &found), &mut manifest, name);
        manifest.card.sha256 = Digest::Known(found);
        let entry = self.planned(manifest);
        let change = Change::begin(self)?;
        if !is_missing(&entry.path) && !replace {
            return Err(StoreError::Exists { path: self.place(&entry.manifest.card.name) });
        }
        change.put(&entry, Content::Bytes(&bytes), &text)?;
        Ok(Added { entry, pinned, assumed, not_read: others })
    }

    /// Where the files of a manifest are or would be.
    pub(super) fn planned(&self, manifest: Manifest) -> Entry {
        let directory = self.place(&manifest.card.name);
        Entry { file: directory.join(&manifest.card.file), path: directory.join(MANIFEST), manifest }
    }

    /// Whether a model's file is there, has its SHA-256, can be read, and agrees with its manifest.
    ///
    /// # Errors
    /// [`StoreError::NoSuchModel`]; everything else is part of the verdict.
    pub fn verify(&self, name: &str) -> Result<Verdict, StoreError> {
        let mut entry = self.entry(name);
        loop {
            let problems = match &entry {
                Err(StoreError::NoSuchModel { .. }) => {
                    return entry.map(|_| Verdict { name: name.to_owned(), problems: Vec::new() });
                }
                Err(error) => vec![error.to_string()],
                Ok(entry) => entry.problems(),
            };
            let again = self.entry(name);
            // Another one took its place while its file was read: then it is that one that counts.
            let replaced = matches!((&entry, &again), (Ok(old), Ok(new)) if old.manifest.card.sha256 != new.manifest.card.sha256);
            if problems.is_empty() || !replaced {
                return Ok(Verdict { name: name.to_owned(), problems });
            }
            entry = again;
        }
    }
}

impl Entry {
    fn problems(&self) -> Vec<String> {
        let (found, _) = match digest_of(&self.file) {
            Ok(digest) => digest,
            Err(error) => return vec![error.to_string()],
        };
        let mut problems = Vec::new();
        match &self.manifest.card.sha256 {
            Digest::Unknown => problems.push(format!("{}: sha256 is unknown; write {found}", self.path.display())),
            Digest::Known(_) => {
                if let Err(error) = check_digest(&self.file, &self.manifest, &found, "pull or add it again") {
                    problems.push(error.to_string());
                }
            }
        }
        match read_network(&self.file) {
            Err(error) => problems.push(error.to_string()),
            Ok(bytes) => match onnx::read(&bytes) {
                Err(refused) => problems.push(format!("{}: {refused}", self.file.display())),
                Ok(model) => {
                    problems.extend(usable(&model).err().map(|refused| format!("{}: {refused}", self.file.display())));
                    problems.extend(self.manifest.contradictions(&model).iter().map(Problem::to_string));
                }
            },
        }
        problems
    }
}

/// Refuses what no device could run. Plugins are for those devices that have them.
pub(crate) fn usable(model: &onnx::Model<'_>) -> Result<(), Refused> {
    match model.sound() {
        Err(Refused::CustomOperator { .. }) => Ok(()),
        other => other,
    }
}

/// Whether there certainly is nothing: a folder that may not be looked into may well have something.
fn is_missing(path: &Path) -> bool {
    let missing = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    fs::metadata(path).is_err_and(|error| missing.contains(&error.kind()))
}

/// Whether the manifest does not know the digest.
pub(crate) fn check_digest(file: &Path, manifest: &Manifest, found: &str, remedy: &'static str) -> Result<bool, StoreError> {
    match &manifest.card.sha256 {
        Digest::Unknown => Ok(true),
        Digest::Known(expected) if expected == found => Ok(false),
        Digest::Known(expected) => {
            Err(StoreError::Digest { path: file.to_owned(), found: found.to_owned(), expected: expected.clone(), remedy })
        }
    }
}

/// The manifest's text with the digest in it, its comments kept where that is possible.
pub(super) fn pin(text: &str, manifest: &Manifest, found: &str) -> String {
    let mut pinned = manifest.clone();
    pinned.card.sha256 = Digest::Known(found.to_owned());
    edited(text, "sha256", found, &pinned)
}

/// Gives the model another name, if one is asked for.
fn rename(text: &str, manifest: &mut Manifest, name: Option<&str>) -> String {
    let Some(name) = name else { return text.to_owned() };
    name.clone_into(&mut manifest.card.name);
    let mut renamed = manifest.clone();
    if let Ok(read) = Manifest::parse(text) {
        renamed.card.sha256 = read.card.sha256;
    }
    edited(text, "name", name, &renamed)
}

/// A text with one of its first keys changed; written anew where that does not give the manifest that is wanted.
fn edited(text: &str, key: &str, value: &str, wanted: &Manifest) -> String {
    let line = format!("{key} = \"{value}\"");
    let mut lines: Vec<&str> = text.lines().collect();
    let first_table = lines.iter().position(|line| line.trim_start().starts_with('[')).unwrap_or(lines.len());
    let is_key = |text: &&str| text.split_once('=').is_some_and(|(found, _)| found.trim() == key);
    match lines[..first_table].iter().position(is_key) {
        Some(at) => lines[at] = &line,
        None => lines.insert(0, &line),
    }
    let text = lines.join("\n") + "\n";
    match Manifest::parse(&text) {
        Ok(read) if read == *wanted => text,
        _ => wanted.to_toml(),
    }
}
