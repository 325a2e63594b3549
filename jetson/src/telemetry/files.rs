//! The kernel's files below a root. Whatever cannot be read is not there: zones that are switched off answer EAGAIN or EINVAL, and debugfs is for
//! root alone.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Most bytes of a file that are read.
const LONGEST: u64 = 64 << 10;
/// Most entries of a folder that are looked at.
const MOST: usize = 256;

/// A tree of such files.
#[derive(Clone, Debug)]
pub(super) struct Tree(PathBuf);

impl Tree {
    pub(super) fn new(root: &Path) -> Self {
        Self(root.to_owned())
    }

    /// A path of the kernel's, e.g. `sys/class/thermal`, or one that [`Self::entries`] gave.
    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }

    /// A file's text without NULs and white space around it; `None` where it is empty.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let path = self.at(path);
        // A pipe would hold us for ever.
        if !fs::metadata(&path).ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        File::open(path).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes).trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// A file that holds one number.
    pub(super) fn number<T: FromStr>(&self, path: impl AsRef<Path>) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// What is in a folder: names and paths, by name, numbers in their order.
    pub(super) fn entries(&self, folder: impl AsRef<Path>) -> Vec<(String, PathBuf)> {
        let Ok(entries) = fs::read_dir(self.at(folder)) else { return Vec::new() };
        let named = |entry: fs::DirEntry| Some((entry.file_name().into_string().ok()?, entry.path()));
        let mut entries: Vec<_> = entries.flatten().filter_map(named).take(MOST).collect();
        entries.sort_by_cached_key(|(name, _)| {
            let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
            (stem.to_owned(), name[stem.len()..].parse::<u64>().unwrap_or(0), name.clone())
        });
        entries
    }
}
