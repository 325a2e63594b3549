//! One table of a manifest, read key by key, so that each mistake is told and none hides another.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::Problem;

/// A table whose keys are taken one after the other; what is left at the end is unknown.
pub(super) struct Section {
    path: &'static str,
    table: Table,
    known: Vec<&'static str>,
}

impl Section {
    /// The table `[path]` of a file, removed from it; empty where it is missing. The empty path is the file itself.
    pub(super) fn of(file: &mut Table, path: &'static str, problems: &mut Vec<Problem>) -> Self {
        let table = match file.remove(path) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(value) => {
                problems.push(Problem::new(path, &value, "it is no table", format!("write [{path}] and its keys below it")));
                Table::new()
            }
        };
        Self { path, table, known: Vec::new() }
    }

    /// The file's own keys.
    pub(super) fn top(file: Table) -> Self {
        Self { path: "", table: file, known: Vec::new() }
    }

    /// Full path of a key.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Whether nothing is written in it.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// A key's value; `None` where it is missing or of another type, which is then a problem.
    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &'static str, problems: &mut Vec<Problem>) -> Option<T> {
        self.known.push(key);
        let value = self.table.remove(key)?;
        match value.clone().try_into() {
            Ok(typed) => Some(typed),
            Err(error) => {
                let reason = error.to_string().trim().replace('\n', " ");
                problems.push(Problem::new(self.key(key), value, reason, "write a value of the kind that docs/models.md names"));
                None
            }
        }
    }

    /// What is left is unknown.
    pub(super) fn finish(self, problems: &mut Vec<Problem>) {
        let keys = self.known.join(", ");
        for (key, value) in &self.table {
            let remedy = if keys.is_empty() { "remove it".to_owned() } else { format!("remove it, or use one of: {keys}") };
            problems.push(Problem::new(self.key(key), value, "there is no such key", remedy));
        }
    }
}
