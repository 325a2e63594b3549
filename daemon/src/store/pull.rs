//! `egret model pull`: from a manifest with an address to a model in the store.

use std::{fs, io, path::Path, time::Duration};

use egret_models::{
    manifest::{Digest, Manifest},
    onnx::{self, MAX_FILE_BYTES},
};

use super::{
    Entry, Store, StoreError,
    entry::{check_digest, pin, usable},
    fetch::{Authorities, Client, forget, shown},
    file::{digest_of, read_network},
    proxy::Proxies,
    put::{Change, Content},
};
use crate::file::{Fresh, Lock};

#[cfg(test)]
mod tests;

/// The store's folder of what is being downloaded, by the model's name.
const DOWNLOADS: &str = ".downloads";
/// Longest time without a byte.
const PATIENCE: Duration = Duration::from_mins(1);

/// How downloads reach the network.
#[derive(Clone, Debug)]
pub struct Network {
    client: Client,
}

impl Network {
    /// Through the proxies that these variables name (`https_proxy`, `http_proxy`, `all_proxy`, `no_proxy`), trusting the
    /// authorities of `SSL_CERT_FILE` and `SSL_CERT_DIR`, else the system's.
    pub fn new(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let (proxies, authorities) = (Proxies::of(variable), Authorities::of(variable));
        Self { client: Client { proxies, authorities, patience: PATIENCE, limit: MAX_FILE_BYTES } }
    }
}

/// A model that was pulled.
#[derive(Debug)]
pub struct Pulled {
    /// The model.
    pub entry: Entry,
    /// Whether it was in the store already, so that nothing was downloaded.
    pub already: bool,
    /// Bytes that were there from an earlier attempt.
    pub resumed: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Whether the manifest did not know the SHA-256, and now has that of the file.
    pub pinned: bool,
}

/// Downloads the file of a manifest into the store. `replace`: in the place of whatever model has its name there; else only what the
/// store's own manifest says is made whole. `progress` hears of bytes so far, and in all where the server says it.
///
/// # Errors
/// [`StoreError`]; an interrupted download leaves a `.part` file that the next one continues, a wrong file leaves nothing.
pub fn pull(
    store: &Store,
    (manifest, text): (Manifest, &str),
    replace: bool,
    network: &Network,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Pulled, StoreError> {
    let entry = store.planned(allowed(store, manifest, replace)?);
    if let Some(bytes) = already(store, &entry, text, replace)? {
        return Ok(Pulled { entry, already: true, resumed: 0, bytes, pinned: false });
    }
    let card = &entry.manifest.card;
    let Some(url) = card.url.clone() else {
        let export = card.export.clone().unwrap_or_else(|| "its manifest has neither url nor export".to_owned());
        return Err(StoreError::NoUrl { name: card.name.clone(), export });
    };
    let downloads = store.directory().join(DOWNLOADS);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::File { path, source }
    };
    fs::create_dir_all(&downloads).map_err(failed(&downloads))?;
    let path = downloads.join(&card.name).with_added_extension("lock");
    let lock = Lock::attempt(&path).map_err(failed(&path))?.ok_or(StoreError::Busy { path })?;
    let part = downloads.join(&card.name).with_added_extension("part");
    let result = fetched(store, entry, text, (&url, &part), replace, network, progress);
    if let Err(error) = &result
        && !is_worth_keeping(&part, error)
    {
        forget(&part);
    }
    let _ = lock.remove();
    result
}

/// The manifest that counts: what the store has pinned is pinned for whoever asks without `replace`.
fn allowed(store: &Store, mut manifest: Manifest, replace: bool) -> Result<Manifest, StoreError> {
    let name = &manifest.card.name;
    let stored = match store.entry(name) {
        Err(StoreError::NoSuchModel { .. }) => return Ok(manifest),
        _ if replace => return Ok(manifest),
        stored => stored?,
    };
    match (&stored.manifest.card.sha256, &manifest.card.sha256) {
        (Digest::Known(pinned), Digest::Known(other)) if pinned != other => {
            let (name, pinned, other) = (name.clone(), pinned.clone(), other.clone());
            return Err(StoreError::Pinned { name, manifest: stored.path, pinned, other });
        }
        (pinned, Digest::Unknown) => manifest.card.sha256 = pinned.clone(),
        _ => {}
    }
    if manifest == stored.manifest { Ok(manifest) } else { Err(StoreError::Exists { path: store.place(&manifest.card.name) }) }
}

/// The size of the file, if the store has it and it is the one that the manifest is about. The manifest is written where there is
/// none, or another one that is to be replaced.
fn already(store: &Store, entry: &Entry, text: &str, replace: bool) -> Result<Option<u64>, StoreError> {
    let Digest::Known(expected) = &entry.manifest.card.sha256 else { return Ok(None) };
    if !entry.file.is_file() {
        return Ok(None);
    }
    let (found, bytes) = digest_of(&entry.file)?;
    if found != *expected {
        return Ok(None);
    }
    let stored = store.entry(&entry.manifest.card.name);
    if !stored.is_ok_and(|stored| stored.manifest == entry.manifest) {
        check(&entry.file, &entry.file.display().to_string(), &entry.manifest)?;
        let _change = Change::begin(store)?;
        allowed(store, entry.manifest.clone(), replace)?;
        let written = Fresh::write(&entry.path, pin(text, &entry.manifest, &found).as_bytes()).and_then(Fresh::place);
        written.map_err(|source| StoreError::File { path: entry.path.clone(), source })?;
    }
    Ok(Some(bytes))
}

/// A download is continued later, unless the disk is full or nothing came.
fn is_worth_keeping(part: &Path, error: &StoreError) -> bool {
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    let full = matches!(error, StoreError::File { source, .. } if full.contains(&source.kind()));
    !full && fs::metadata(part).is_ok_and(|part| part.len() > 0)
}

fn fetched(
    store: &Store,
    mut entry: Entry,
    text: &str,
    (url, part): (&str, &Path),
    replace: bool,
    network: &Network,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Pulled, StoreError> {
    let certain = entry.manifest.card.sha256 != Digest::Unknown;
    let resumed = network.client.download(url, part, certain, progress)?;
    let put = || {
        let checked = check(part, url, &entry.manifest)?;
        let change = Change::begin(store)?;
        // Somebody may have put a model there meanwhile.
        allowed(store, entry.manifest.clone(), replace)?;
        change.put(&entry, Content::Moved(part), &pin(text, &entry.manifest, &checked.found))?;
        Ok(checked)
    };
    let put = put();
    // Whether it is in the store now or was refused: there is nothing to be continued.
    forget(part);
    let Checked { found, bytes, pinned } = put?;
    entry.manifest.card.sha256 = Digest::Known(found);
    Ok(Pulled { entry, already: false, resumed, bytes, pinned })
}

struct Checked {
    found: String,
    bytes: u64,
    pinned: bool,
}

/// Whether what came is what the manifest is about, and a network at all.
fn check(part: &Path, url: &str, manifest: &Manifest) -> Result<Checked, StoreError> {
    let (found, bytes) = digest_of(part)?;
    let remedy = "the file at the address has changed or was tampered with: nothing was stored. If its publisher says so, write \
                  the new sha256 into the manifest";
    let from = Path::new(url);
    let pinned = check_digest(from, manifest, &found, remedy)?;
    let content = read_network(part).map_err(|error| match error {
        StoreError::Refused { refused, .. } => StoreError::Refused { path: shown(url).into(), refused },
        other => other,
    })?;
    let model = onnx::read(&content).map_err(|refused| StoreError::Refused { path: shown(url).into(), refused })?;
    usable(&model).map_err(|refused| StoreError::Refused { path: shown(url).into(), refused })?;
    let problems = manifest.contradictions(&model);
    if !problems.is_empty() {
        return Err(StoreError::Manifest { path: shown(url).into(), problems });
    }
    Ok(Checked { found, bytes, pinned })
}
