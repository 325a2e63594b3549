//! What a table of keys is, and the paths of its keys.

use super::Key;

/// How a section is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Shape {
    /// Its keys stand before the first table.
    Top,
    /// `[name]`.
    Table,
    /// `[[name]]`, merged by the key `name`.
    List,
    /// `[parent.name]` below a `[parent]`.
    Under(&'static str),
    /// `[[parent.name]]` below a `[parent]`, merged by the key `name`.
    ListUnder(&'static str),
    /// `[[parent.name]]` below a `[[parent]]`, merged by the names of both: an entry is called `parent/name`.
    Nested(&'static str),
}

/// A table of keys.
pub(in crate::config) struct Section {
    pub(in crate::config) name: &'static str,
    pub(in crate::config) shape: Shape,
    pub(in crate::config) doc: &'static str,
    pub(in crate::config) keys: &'static [Key],
}

impl Section {
    /// The key of that name.
    pub(in crate::config) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Key path of an entry's key, or of a table's.
    pub(in crate::config) fn path(&self, entry: Option<&str>, key: &str) -> String {
        match (self.shape, entry) {
            (Shape::Top, _) => key.to_owned(),
            (Shape::Under(parent), _) => format!("{parent}.{}.{key}", self.name).trim_end_matches('.').to_owned(),
            (Shape::Nested(parent), Some(entry)) => {
                let (of, entry) = entry.split_once('/').unwrap_or((entry, "?"));
                let path = format!("{parent}.{of}.{}.{entry}.{key}", self.name);
                path.trim_end_matches('.').to_owned()
            }
            (Shape::ListUnder(parent), Some(entry)) => {
                format!("{parent}.{}.{entry}.{key}", self.name).trim_end_matches('.').to_owned()
            }
            (Shape::Nested(parent) | Shape::ListUnder(parent), None) => format!("{parent}.{}.{key}", self.name),
            (_, Some(entry)) if key.is_empty() => format!("{}.{entry}", self.name),
            (_, Some(entry)) => format!("{}.{entry}.{key}", self.name),
            (_, None) => format!("{}.{key}", self.name),
        }
    }
}
