//! Where the store is.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::StoreError;

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

/// `models` under systemd's `STATE_DIRECTORY`, under the daemon's own state directory where it may be written, else under
/// `XDG_STATE_HOME/egret` or `~/.local/state/egret`.
pub fn default_directory(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(directories) = set("STATE_DIRECTORY") {
        return Some(Path::new(directories.split(':').next()?).join("models"));
    }
    if access(STATE, Access::WRITE_OK).is_ok() {
        return Some(Path::new(STATE).join("models"));
    }
    let state = set("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| Some(Path::new(&set("HOME")?).join(".local/state")))?;
    Some(state.join("egret/models"))
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
        if access(STATE, Access::WRITE_OK).is_ok() {
            eprintln!("SKIPPED: {STATE} can be written here and goes before the home");
            return;
        }
        assert_eq!(with(&all[1..]), Some("/x/egret/models".into()));
        assert_eq!(with(&all[2..]), Some("/home/me/.local/state/egret/models".into()));
        assert_eq!(with(&[]), None);
    }
}
