//! The manifest beside a network: the one place where it is looked for.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use egret_models::manifest::{MAX_MANIFEST_BYTES, Manifest};

use super::{MANIFEST, StoreError, file::name_of};
use crate::file;

/// What stands beside a network.
#[derive(Debug, Default)]
pub struct Beside {
    /// The manifest that names the network as its `file`.
    pub about: Option<About>,
    /// What else is there that could be taken for it.
    pub others: Vec<Other>,
}

/// A manifest beside the network that it is about.
#[derive(Debug)]
pub struct About {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub manifest: Manifest,
    /// As it is written.
    pub text: String,
}

/// A file that is not read, though it stands where the manifest would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Where it is.
    pub path: PathBuf,
    /// The file that it is about; `None`: it is no manifest at all.
    pub file: Option<String>,
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.file {
            Some(file) => write!(f, "{path} is about `{file}` and not about this file, so it is not read"),
            None => write!(f, "{path} is no manifest (it has neither `file` nor [input]), so it is not read"),
        }
    }
}

/// Looks for the manifest of a network: `NAME.toml` beside `NAME.onnx`, then `model.toml`. It is the one whose `file` names the
/// network. Whether its `sha256` is the network's is for the caller to say.
///
/// # Errors
/// [`StoreError::File`] and [`StoreError::Manifest`]: there is one, and it cannot be read.
pub fn beside(network: &Path) -> Result<Beside, StoreError> {
    let (own, shared) = (network.with_extension("toml"), network.with_file_name(MANIFEST));
    let shared = (shared != own).then_some(shared);
    let mut found = Beside::default();
    for path in [own].into_iter().chain(shared) {
        let text = match file::text(&path, MAX_MANIFEST_BYTES) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
            Err(source) => return Err(StoreError::File { path, source }),
        };
        // `site.toml` beside `site.onnx` may well be something else.
        if path.file_name().is_none_or(|name| name != MANIFEST) && is_something_else(&text) {
            found.others.push(Other { path, file: None });
            continue;
        }
        let manifest = Manifest::parse(&text).map_err(|problems| StoreError::Manifest { path: path.clone(), problems })?;
        if manifest.card.file == name_of(network) {
            found.about = Some(About { path, manifest, text });
            break;
        }
        found.others.push(Other { path, file: Some(manifest.card.file) });
    }
    Ok(found)
}

fn is_something_else(text: &str) -> bool {
    text.parse::<toml::Table>().is_ok_and(|table| !["file", "input"].iter().any(|key| table.contains_key(*key)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const STREET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/street/model.toml");

    #[test]
    fn a_manifest_of_its_own_name_comes_first_and_others_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let manifest = fs::read_to_string(STREET).unwrap();
        let of = |file: &str| manifest.replace("street.onnx", file);
        let network = path("net.onnx");
        assert!(matches!(beside(&network).unwrap(), Beside { about: None, others } if others.is_empty()));
        fs::write(path("model.toml"), of("other.onnx")).unwrap();
        let found = beside(&network).unwrap();
        assert!(found.about.is_none() && found.others[0].file.as_deref() == Some("other.onnx"), "{found:?}");
        assert!(found.others[0].to_string().contains("model.toml is about `other.onnx`"), "{}", found.others[0]);
        // Both are about it.
        fs::write(path("model.toml"), of("net.onnx")).unwrap();
        fs::write(path("net.toml"), of("net.onnx")).unwrap();
        assert_eq!(beside(&network).unwrap().about.unwrap().path, path("net.toml"));
        // One of the same name that is about something else, and one that is no manifest.
        for (text, file) in [(of("other.onnx"), Some("other.onnx")), ("device = \"x\"\n".into(), None)] {
            fs::write(path("net.toml"), text).unwrap();
            let found = beside(&network).unwrap();
            assert_eq!(found.about.unwrap().path, path("model.toml"));
            assert_eq!(found.others, [Other { path: path("net.toml"), file: file.map(ToOwned::to_owned) }]);
        }
        for wrong in ["file = ", "file = \"net.onnx\"\n"] {
            fs::write(path("net.toml"), wrong).unwrap();
            assert!(beside(&network).unwrap_err().to_string().contains("net.toml: "));
        }
        // A network that is called model.onnx has one place only.
        fs::write(path("model.toml"), of("model.onnx")).unwrap();
        assert_eq!(beside(&path("model.onnx")).unwrap().about.unwrap().path, path("model.toml"));
    }
}
