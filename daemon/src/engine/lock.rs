//! One builder at a time: two would take each other's memory and spoil each other's timings.

use std::{
    fmt, fs,
    io::{self, Seek as _, Write as _},
    path::Path,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::EngineError;
use crate::file::{self, Lock};

/// The file that a builder holds.
const LOCK: &str = "builder.lock";
/// How often it is looked whether the other one has ended.
const LOOK: Duration = Duration::from_millis(200);
/// Longest word of a holder.
const MAX_BYTES: usize = 4096;

/// Who builds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Holder {
    /// Its process.
    pub process: u32,
    /// What it is, e.g. `egret run`.
    pub program: String,
    /// Of which model.
    pub model: String,
}

impl Holder {
    /// This process.
    pub fn this(program: &str, model: &str) -> Self {
        Self { process: std::process::id(), program: program.to_owned(), model: model.to_owned() }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // It has just begun, or could not say.
            Self { process: 0, .. } => f.write_str("another process"),
            Self { process, program, model } => write!(f, "`{program}` (process {process}, model {model})"),
        }
    }
}

/// The right to build, until it is dropped or the process ends, in whatever way.
#[derive(Debug)]
pub struct Held(Lock);

/// Takes the right to build, if nobody has it.
///
/// # Errors
/// [`EngineError::Busy`] with who has it; [`EngineError::File`].
pub fn attempt(folder: &Path, holder: &Holder) -> Result<Held, EngineError> {
    let path = folder.join(LOCK);
    let failed = |source| EngineError::File { path: path.clone(), source };
    let Some(mut lock) = Lock::attempt(&path).map_err(failed)? else {
        return Err(EngineError::Busy { holder: who(&path) });
    };
    // For people who wonder; the lock holds without it, on a full disk too.
    let _unsaid = say(&mut lock, holder);
    Ok(Held(lock))
}

/// Waits for whoever has it, and tells who that is, once for each.
///
/// # Errors
/// [`EngineError::Stopped`], [`EngineError::File`].
pub fn wait(folder: &Path, holder: &Holder, stop: &dyn Fn() -> bool, tell: &mut dyn FnMut(&Holder)) -> Result<Held, EngineError> {
    let mut told: Option<Holder> = None;
    loop {
        match attempt(folder, holder) {
            Err(EngineError::Busy { holder: other }) => {
                if told.as_ref() != Some(&other) {
                    tell(&other);
                    told = Some(other);
                }
            }
            other => return other,
        }
        if stop() {
            return Err(EngineError::Stopped);
        }
        // The kernel wakes nobody who could be stopped meanwhile.
        std::thread::park_timeout(LOOK);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Whoever comes next says its own.
        let _unsaid = self.0.file().set_len(0);
    }
}

fn say(lock: &mut Lock, holder: &Holder) -> io::Result<()> {
    let file = lock.file();
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(serde_json::to_string(holder).unwrap_or_default().as_bytes())
}

fn who(path: &Path) -> Holder {
    file::text(path, MAX_BYTES).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Makes the folder where there is none.
pub(super) fn make(folder: &Path) -> Result<(), EngineError> {
    fs::create_dir_all(folder).map_err(|source| EngineError::File { path: folder.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    #[test]
    fn the_second_builder_is_told_who_the_first_one_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let daemon = Holder::this("egret run", "street");
        let held = attempt(folder.path(), &daemon).expect("free");
        let refused = attempt(folder.path(), &Holder::this("egret engine build", "yard")).expect_err("held").to_string();
        let process = std::process::id();
        assert_eq!(
            refused,
            format!("`egret run` (process {process}, model street) builds an engine: wait for it to end, or stop it")
        );
        drop(held);
        attempt(folder.path(), &daemon).expect("free again");
    }

    #[test]
    fn waiting_ends_with_the_first_builder_or_when_it_is_stopped() {
        let folder = tempfile::tempdir().expect("a folder");
        let (ours, theirs) = (Holder::this("egret engine build", "yard"), Holder::this("egret run", "street"));
        let held = RefCell::new(Some(attempt(folder.path(), &theirs).expect("free")));
        let (told, asked) = (Cell::new(0), Cell::new(0));
        let stopped = wait(folder.path(), &ours, &|| asked.replace(asked.get() + 1) == 2, &mut |other| {
            assert_eq!(*other, theirs);
            told.set(told.get() + 1);
        });
        assert!(matches!(stopped, Err(EngineError::Stopped)) && told.get() == 1, "told once");
        let let_go = || {
            held.borrow_mut().take();
            false
        };
        wait(folder.path(), &ours, &let_go, &mut |_| {}).expect("ours now");
    }

    #[test]
    fn a_folder_that_is_none_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let refused = attempt(file.path(), &Holder::default()).expect_err("no folder").to_string();
        assert!(refused.contains("builder.lock") && refused.contains("check the path"), "{refused}");
        assert!(make(&file.path().join("x")).is_err());
        assert_eq!(Holder::default().to_string(), "another process");
    }
}
