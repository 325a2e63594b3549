//! The configuration's files: the one that is named, and `conf.d/*.toml` beside it in the order of their names.

use std::{
    fmt, fs,
    io::{ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use super::{
    DEFAULT_FILE, Sources, environment,
    ledger::{Ledger, Spot},
};

/// Largest file, in bytes.
const LARGEST: u64 = 1 << 20;
/// Most files in `conf.d`.
const MOST: usize = 256;

/// Files as they were read.
#[derive(Clone, Default)]
pub struct Texts(pub(super) Vec<(PathBuf, String)>);

impl Texts {
    /// Whether no file was there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Texts {
    /// They may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(path, _)| path)).finish()
    }
}

/// All files that could be read, the named one first; or those that were read before.
pub(super) fn collect(sources: &Sources, ledger: &mut Ledger) -> Texts {
    sources.texts.clone().unwrap_or_else(|| Texts(read_all(sources, ledger)))
}

fn read_all(sources: &Sources, ledger: &mut Ledger) -> Vec<(PathBuf, String)> {
    let main = sources.file.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let mut paths = Vec::new();
    let main_is_there =
        sources.file.is_some() || !matches!(fs::metadata(&main), Err(error) if error.kind() == ErrorKind::NotFound);
    if main_is_there {
        paths.push(main.clone());
    }
    paths.extend(beside(&main, ledger));
    if paths.is_empty() && !sources.optional && sources.overrides.is_empty() && !environment::is_used(&sources.variables) {
        let remedy = "write it (the sample explains every key), name another with --config, or say it on the command line: \
                      --camera door=rtsp://… --model FILE --broker mqtt://…";
        ledger.problem_at(Spot::File(main), "", None, "there is no configuration", remedy);
        return Vec::new();
    }
    paths
        .into_iter()
        .filter_map(|path| match read(&path) {
            Ok(content) => Some((path, content)),
            Err((reason, remedy)) => {
                ledger.problem_at(Spot::File(path), "", None, reason, remedy);
                None
            }
        })
        .collect()
}

fn beside(main: &Path, ledger: &mut Ledger) -> Vec<PathBuf> {
    let directory = main.parent().unwrap_or(Path::new("")).join("conf.d");
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Vec::new(),
        Err(error) => {
            ledger.problem_at(Spot::File(directory), "", None, error.to_string(), "let egret's user read this directory");
            return Vec::new();
        }
    };
    let is_toml = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "toml")
            && path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'))
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_toml).collect();
    paths.sort();
    if paths.len() > MOST {
        ledger.problem_at(
            Spot::File(directory),
            "",
            None,
            format!("more than {MOST} files"),
            "put several cameras into one file",
        );
        paths.truncate(MOST);
    }
    paths
}

fn read(path: &Path) -> Result<String, (String, String)> {
    let readable = || "name a TOML file that egret's user may read".to_owned();
    let metadata = fs::metadata(path).map_err(|error| (error.to_string(), readable()))?;
    if !metadata.is_file() {
        return Err(("it is no regular file".to_owned(), readable()));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| (error.to_string(), readable()))?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| (error.to_string(), readable()))?;
    if bytes.len() as u64 > LARGEST {
        return Err((format!("it is larger than {LARGEST} bytes"), "split it into files in conf.d".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.utf8_error().valid_up_to();
        let line = String::from_utf8_lossy(&error.as_bytes()[..before]).matches('\n').count() + 1;
        (format!("line {line} is no UTF-8"), "save it as UTF-8".to_owned())
    })
}
