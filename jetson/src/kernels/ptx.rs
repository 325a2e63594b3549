//! PTX on disk, so that a start needs no compiler.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{
    nvrtc::{Nvrtc, NvrtcError, Target},
    sources::{Unit, hexadecimal},
};

/// A folder with compiled kernels, one file for each unit, device and compiler: a line with the SHA-256 of the rest, then the PTX.
#[derive(Clone, Debug)]
pub struct PtxCache {
    folder: PathBuf,
}

/// Why there is no PTX.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It does not compile.
    #[error(transparent)]
    Nvrtc(#[from] NvrtcError),
    /// The folder cannot be written.
    #[error("{path} cannot be written: {error}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Where PTX came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file was there and whole.
    Disk,
    /// There was none.
    Compiler,
    /// The file was there and damaged.
    CompilerAfterDamage,
}

impl PtxCache {
    /// A cache in `folder`, which is made when something is to be kept.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where a unit's PTX is kept.
    pub fn path(&self, unit: &Unit, target: Target, version: (u32, u32)) -> PathBuf {
        let stem = unit.name.strip_suffix(".cu").unwrap_or(unit.name);
        let (major, minor) = version;
        self.folder.join(format!("{stem}-{target}-nvrtc{major}.{minor}-{}.ptx", &unit.digest()[..16]))
    }

    /// A unit's PTX: from disk if it is there and whole, else compiled and kept.
    ///
    /// # Errors
    /// [`CacheError::Nvrtc`]; [`CacheError::Write`] only if it could be compiled and not kept.
    pub fn get(&self, nvrtc: &Nvrtc, unit: &Unit, target: Target) -> Result<(String, Origin), CacheError> {
        let path = self.path(unit, target, nvrtc.version());
        let from = match fs::read(&path) {
            Ok(bytes) => match whole(&bytes) {
                Some(ptx) => return Ok((ptx, Origin::Disk)),
                None => Origin::CompilerAfterDamage,
            },
            Err(_) => Origin::Compiler,
        };
        let ptx = nvrtc.compile(unit, target)?;
        keep(&path, &ptx).map_err(|error| CacheError::Write { path, error })?;
        Ok((ptx, from))
    }
}

/// The PTX of a file, if it is what was written.
fn whole(bytes: &[u8]) -> Option<String> {
    let line = bytes.iter().position(|byte| *byte == b'\n')?;
    let (digest, ptx) = (&bytes[..line], &bytes[line + 1..]);
    (digest == hexadecimal(&Sha256::digest(ptx)).as_bytes()).then(|| String::from_utf8(ptx.to_vec()).ok()).flatten()
}

/// Writes a file that is there whole or not at all, also after a power failure.
fn keep(path: &Path, ptx: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let own = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = (|| {
        let mut file = fs::File::create(&own)?;
        writeln!(file, "{}", hexadecimal(&Sha256::digest(ptx)))?;
        file.write_all(ptx.as_bytes())?;
        file.sync_all()?;
        fs::rename(&own, path)?;
        fs::File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&own);
    }
    written
}
