//! Where the store is.

use std::path::{Path, PathBuf};

use rustix::{
    fs::{Access, access},
    io::{Errno, Result as Answer},
};

#[cfg(feature = "tensorrt")]
use egret_models::manifest::Digest;
use egret_models::zoo;

use super::{Store, StoreError};

/// The state directory that systemd makes for the daemon.
const STATE: &str = "/var/lib/egret";

/// The store that was asked for, or the default one.
///
/// # Errors
/// [`StoreError::NoPlace`].
pub fn directory(asked: Option<&Path>) -> Result<PathBuf, StoreError> {
    match asked {
        Some(path) => Ok(path.to_owned()),
        None => default_directory(&|name| std::env::var(name).ok()).ok_or(StoreError::NoPlace),
    }
}

/// `models` in the state directory.
pub fn default_directory(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    Some(state_directory(variable)?.join("models"))
}

/// What outlives this process: systemd's `STATE_DIRECTORY`, the daemon's own state directory where it may be written, or might be if its
/// file system were not read-only, else `XDG_STATE_HOME/egret` or `~/.local/state/egret`.
pub(crate) fn state_directory(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(directories) = set("STATE_DIRECTORY") {
        return directories.split(':').next().map(PathBuf::from);
    }
    if is_ours(&|mode| access(STATE, mode)) {
        return Some(PathBuf::from(STATE));
    }
    let state = set("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| Some(Path::new(&set("HOME")?).join(".local/state")))?;
    Some(state.join("egret"))
}

/// Whether a directory is for us to write, to judge from how we may access it. That its file system is read-only is a fault of the disk and
/// no reason to go elsewhere; then whoever may look into it counts as the daemon's user or root.
fn is_ours(access: &dyn Fn(Access) -> Answer<()>) -> bool {
    match access(Access::WRITE_OK) {
        Ok(()) => true,
        Err(Errno::ROFS) => access(Access::READ_OK | Access::EXEC_OK).is_ok(),
        Err(_) => false,
    }
}

/// The ONNX file of a model in the store, in [`default_directory`] or else in the daemon's own.
///
/// # Errors
/// [`StoreError::NoPlace`], [`StoreError::NoSuchModel`], [`StoreError::NoFile`], or its manifest is wrong.
pub fn find(name: &str) -> Result<PathBuf, StoreError> {
    let first = directory(None)?;
    let own = Path::new(STATE).join("models");
    match file_in(&first, name) {
        // Someone who may read the daemon's store and not write it checks a configuration.
        Err(StoreError::NoSuchModel { .. }) if first != own && Store::new(own.clone()).entry(name).is_ok() => file_in(&own, name),
        found => found,
    }
}

/// The ONNX file of a model in the store that has that SHA-256.
#[cfg(feature = "tensorrt")]
pub(crate) fn file_of(sha256: &str) -> Option<PathBuf> {
    let store = Store::new(directory(None).ok()?);
    let entries = store.names().ok()?.into_iter().filter_map(|name| store.entry(&name).ok());
    let is_it = |entry: &super::Entry| matches!(&entry.manifest.card.sha256, Digest::Known(known) if known == sha256);
    entries.into_iter().find(|entry| is_it(entry) && entry.file.is_file()).map(|entry| entry.file)
}

fn file_in(store: &Path, name: &str) -> Result<PathBuf, StoreError> {
    let file = Store::new(store.to_owned()).entry(name)?.file;
    if file.is_file() { Ok(file) } else { Err(StoreError::NoFile { name: name.to_owned(), file }) }
}

/// How a model gets into the store.
pub fn way_to(name: &str) -> String {
    match zoo::manifest(name) {
        Ok(manifest) if manifest.card.url.is_some() => format!("run: egret model pull {name}"),
        Ok(_) => format!("run: egret model add FILE --manifest {name} (egret model pull {name} tells how to export the file)"),
        Err(_) => format!("see egret model list, or run: egret model add FILE --name {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Option<PathBuf> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        default_directory(&find)
    }

    #[test]
    fn systemd_goes_before_the_home() {
        let all = [("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"), ("XDG_STATE_HOME", "/x"), ("HOME", "/home/me")];
        assert_eq!(with(&all), Some("/var/lib/a/models".into()));
        if is_ours(&|mode| access(STATE, mode)) {
            eprintln!("SKIPPED: {STATE} can be written here and goes before the home");
            return;
        }
        assert_eq!(with(&all[1..]), Some("/x/egret/models".into()));
        assert_eq!(with(&all[2..]), Some("/home/me/.local/state/egret/models".into()));
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn a_disk_that_has_gone_read_only_is_not_left_for_the_home() {
        let answers =
            |write: Answer<()>, read: Answer<()>| is_ours(&move |mode| if mode == Access::WRITE_OK { write } else { read });
        assert!(answers(Ok(()), Ok(())));
        assert!(answers(Err(Errno::ROFS), Ok(())), "root, or the daemon's user");
        assert!(!answers(Err(Errno::ROFS), Err(Errno::ACCESS)), "anyone else");
        assert!(!answers(Err(Errno::ACCESS), Ok(())));
        assert!(!answers(Err(Errno::NOENT), Err(Errno::NOENT)));
    }

    #[test]
    fn a_model_is_found_by_its_name_or_its_way_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let missing = file_in(folder.path(), "street").unwrap_err();
        assert!(matches!(&missing, StoreError::NoSuchModel { .. }), "{missing}");
        let place = folder.path().join("street");
        std::fs::create_dir(&place).unwrap();
        let manifest = zoo::text("yolox_nano").unwrap().replace("yolox_nano", "street");
        std::fs::write(place.join(crate::store::MANIFEST), manifest).unwrap();
        let empty = file_in(folder.path(), "street").unwrap_err();
        let StoreError::NoFile { file, .. } = &empty else { panic!("{empty}") };
        std::fs::write(file, "network").unwrap();
        assert_eq!(file_in(folder.path(), "street").unwrap(), *file);
        assert!(file_in(folder.path(), "../street").is_err());
        assert_eq!(way_to("yolox_nano"), "run: egret model pull yolox_nano");
        assert!(way_to("peoplenet").contains("egret model add FILE --manifest peoplenet"));
        assert!(way_to("mine").ends_with("egret model add FILE --name mine"));
    }
}
