//! Results of trackers as files in the form of MOTChallenge: where others left them, and how ours are written.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use super::{TrackEvalError, scene::Named};

/// Stands for the sequence's name in a path.
const SEQUENCE: &str = "{}";

/// Files of another program: a folder of `SEQ.txt` files, or a path in which `{}` stands for the sequence.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Results {
    pub(super) path: PathBuf,
    /// For people.
    pub(super) name: String,
}

impl Results {
    pub(super) fn new(path: &Path) -> Self {
        let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let bare = file.strip_suffix(".txt").unwrap_or(&file).replace(SEQUENCE, "");
        let bare = bare.trim_matches(['_', '-', '.']);
        let name = if bare.is_empty() { path.display().to_string() } else { bare.to_owned() };
        Self { path: path.to_owned(), name }
    }

    /// The file of a sequence.
    pub(super) fn file(&self, sequence: &str) -> Result<PathBuf, TrackEvalError> {
        match self.path.to_str() {
            Some(path) if path.contains(SEQUENCE) => Ok(path.replace(SEQUENCE, sequence).into()),
            // A single file would be judged as the result of every sequence.
            _ if self.path.is_file() => Err(TrackEvalError::Options(format!(
                "--results {} is a file: name the folder of SEQ.txt files, or put {{}} where the sequence's name is",
                self.path.display()
            ))),
            _ => Ok(self.path.join(format!("{sequence}.txt"))),
        }
    }
}

/// Writes the tracks of a sequence to `folder`/`tracker`/`sequence`.txt.
pub(super) fn write(folder: &Path, tracker: &str, sequence: &str, tracks: &[Vec<Named>]) -> Result<(), TrackEvalError> {
    let file = folder.join(tracker).join(format!("{sequence}.txt"));
    let write = || {
        fs::create_dir_all(folder.join(tracker))?;
        let mut out = BufWriter::new(File::create(&file)?);
        lines(&mut out, tracks)?;
        out.flush()
    };
    write().map_err(|source: io::Error| TrackEvalError::Write { file: file.clone(), source })
}

fn lines(out: &mut dyn Write, tracks: &[Vec<Named>]) -> io::Result<()> {
    for (frame, tracks) in (1..).zip(tracks) {
        for Named { id, bbox } in tracks {
            writeln!(out, "{frame},{id},{:.2},{:.2},{:.2},{:.2},1,-1,-1,-1", bbox.left, bbox.top, bbox.width, bbox.height)?;
        }
    }
    Ok(())
}
