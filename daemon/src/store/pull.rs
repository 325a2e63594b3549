//! `egret model pull`: from a manifest with an address to a model in the store.

use std::{
    fs::{self, File, TryLockError},
    time::Duration,
};

use egret_models::{
    manifest::{Digest, Manifest},
    onnx::{self, MAX_FILE_BYTES},
};

use super::{
    Entry, MANIFEST, Store, StoreError,
    entry::{check_digest, pin},
    fetch::{Authorities, Client, forget, origin_of, shown},
    file::{digest_of, read_network, write_whole},
    proxy::Proxies,
};

#[cfg(test)]
mod tests;

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

/// Downloads the file of a manifest into the store. `progress` hears of bytes so far, and in all where the server says it.
///
/// # Errors
/// [`StoreError`]; an interrupted download leaves a `.part` file that the next one continues, a wrong file leaves nothing.
pub fn pull(
    store: &Store,
    (manifest, text): (Manifest, &str),
    network: &Network,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Pulled, StoreError> {
    let directory = store.place(&manifest.card.name);
    let at = |source| StoreError::File { path: directory.clone(), source };
    fs::create_dir_all(&directory).map_err(at)?;
    let path = directory.join(".lock");
    let lock = File::create(&path).map_err(at)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StoreError::Busy { path }),
        Err(TryLockError::Error(source)) => return Err(StoreError::File { path, source }),
    }
    let result = locked(store, manifest, text, network, progress);
    // A name that nothing came of leaves no directory behind; one with a part of a file in it stays.
    let _ = fs::remove_file(&path);
    let _ = fs::remove_dir(&directory);
    result
}

fn locked(
    store: &Store,
    mut manifest: Manifest,
    text: &str,
    network: &Network,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Pulled, StoreError> {
    let directory = store.place(&manifest.card.name);
    let (file, path) = (directory.join(&manifest.card.file), directory.join(MANIFEST));
    if let (true, Digest::Known(expected)) = (file.is_file(), &manifest.card.sha256) {
        let (found, bytes) = digest_of(&file)?;
        if found == *expected {
            if !path.is_file() {
                write_whole(&path, text.as_bytes())?;
            }
            return Ok(Pulled { entry: Entry { manifest, file, path }, already: true, resumed: 0, bytes, pinned: false });
        }
    }
    let Some(url) = manifest.card.url.clone() else {
        let export = manifest.card.export.clone().unwrap_or_else(|| "its manifest has neither url nor export".to_owned());
        return Err(StoreError::NoUrl { name: manifest.card.name, export });
    };
    let part = file.with_added_extension("part");
    let certain = manifest.card.sha256 != Digest::Unknown;
    let resumed = network.client.download(&url, &part, certain, progress)?;
    let checked = check(&part, &url, &manifest);
    if checked.is_err() {
        forget(&part);
    }
    let Checked { found, bytes, pinned } = checked?;
    fs::rename(&part, &file).map_err(|source| StoreError::File { path: file.clone(), source })?;
    let _ = fs::remove_file(origin_of(&part));
    write_whole(&path, pin(text, &manifest, &found).as_bytes())?;
    manifest.card.sha256 = Digest::Known(found);
    Ok(Pulled { entry: Entry { manifest, file, path }, already: false, resumed, bytes, pinned })
}

struct Checked {
    found: String,
    bytes: u64,
    pinned: bool,
}

/// Whether what came is what the manifest is about, and a network at all.
fn check(part: &std::path::Path, url: &str, manifest: &Manifest) -> Result<Checked, StoreError> {
    let (found, bytes) = digest_of(part)?;
    let remedy = "the file at the address has changed or was tampered with: nothing was stored. If its publisher says so, write \
                  the new sha256 into the manifest";
    let from = std::path::Path::new(url);
    let pinned = check_digest(from, manifest, &found, remedy)?;
    let content = read_network(part).map_err(|error| match error {
        StoreError::Refused { refused, .. } => StoreError::Refused { path: shown(url).into(), refused },
        other => other,
    })?;
    let model = onnx::read(&content).map_err(|refused| StoreError::Refused { path: shown(url).into(), refused })?;
    let problems = manifest.contradictions(&model);
    if !problems.is_empty() {
        return Err(StoreError::Manifest { path: shown(url).into(), problems });
    }
    Ok(Checked { found, bytes, pinned })
}
