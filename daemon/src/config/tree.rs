//! One layer's values, each readable by itself, as a source for the `config` crate, which lays the layers over each other.

use std::{collections::HashMap, fmt, path::Path};

use config::{Map, Source, Value, ValueKind};

use super::{
    address,
    document::Entries,
    keys::{Key, SECTIONS, Section, Shape},
    kind::{self, Kind, Raw},
    ledger::{Ledger, Place, Spot},
};

/// The values of one table, by key.
type Table = Map<String, Value>;

/// One layer's values.
#[derive(Clone, Default)]
pub(super) struct Tree {
    /// By section.
    tables: HashMap<&'static str, Table>,
    /// By section and the entry's name.
    lists: HashMap<&'static str, HashMap<String, Table>>,
}

impl fmt::Debug for Tree {
    /// Values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.tables.keys()).entries(self.lists.keys()).finish()
    }
}

impl Source for Tree {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        let tables = self.tables.iter().map(|(name, table)| ((*name).to_owned(), table.clone().into()));
        let lists = self.lists.iter().map(|(name, list)| ((*name).to_owned(), list.clone().into()));
        Ok(tables.chain(lists).collect())
    }
}

impl Tree {
    /// The built-in defaults: those of all tables, and of each of the named entries.
    pub(super) fn defaults(entries: &Entries) -> Self {
        let mut tree = Self::default();
        for section in SECTIONS {
            if matches!(section.shape, Shape::List | Shape::ListUnder(_) | Shape::Nested(_)) {
                entries.names(section).into_iter().for_each(|entry| tree.set_defaults(section, Some(entry)));
            } else {
                tree.set_defaults(section, None);
            }
        }
        tree
    }

    fn set_defaults(&mut self, section: &Section, entry: Option<&str>) {
        self.table(section, entry);
        for key in section.keys {
            if let Some(value) = key.default.and_then(|default| key.kind.read(&default(), Path::new("")).ok()) {
                self.set(section, entry, key.name, value);
            }
        }
    }

    /// Makes an entry, even an empty one.
    pub(super) fn add_entry(&mut self, section: &Section, entry: &str) {
        self.table(section, Some(entry));
    }

    /// Takes a camera out, and its rules.
    pub(super) fn remove_camera(&mut self, name: &str) {
        if let Some(cameras) = self.lists.get_mut("camera") {
            cameras.remove(name);
        }
        if let Some(rules) = self.lists.get_mut("rule") {
            rules.retain(|rule, _| rule.split('/').next() != Some(name));
        }
    }

    fn set(&mut self, section: &Section, entry: Option<&str>, key: &str, value: ValueKind) {
        self.table(section, entry).insert(key.to_owned(), Value::new(None, value));
    }

    /// A section's table, or that of its entry; made if it is not there.
    fn table(&mut self, section: &Section, entry: Option<&str>) -> &mut Table {
        match entry {
            Some(entry) => self.lists.entry(section.name).or_default().entry(entry.to_owned()).or_default(),
            None => self.tables.entry(section.name).or_default(),
        }
    }
}

/// A layer as it is being read.
pub(super) struct Layer<'a> {
    pub(super) ledger: &'a mut Ledger,
    pub(super) tree: Tree,
    /// Its number; a later one wins.
    pub(super) number: usize,
    /// What relative paths are relative to.
    pub(super) base: &'a Path,
}

impl Layer<'_> {
    /// Reads a value: notes its place, puts it into the tree, or says why it cannot be.
    pub(super) fn put(&mut self, section: &Section, entry: Option<&str>, key: &Key, raw: &Raw, spot: Spot) {
        let path = section.path(entry, key.name);
        if let Spot::Text(text, range) = &spot
            && must_mask(key.kind, raw)
        {
            self.ledger.mask(*text, range.clone());
        }
        let shown = kind::shown(key.kind, raw);
        self.ledger.place(path.clone(), Place { layer: self.number, spot: spot.clone(), shown: shown.clone() });
        match key.kind.read(raw, self.base) {
            Ok(value) => self.tree.set(section, entry, key.name, value),
            Err(refusal) => {
                self.ledger.problem_at(spot, &path, shown, refusal.reason, refusal.remedy);
                self.ledger.spoil(path);
            }
        }
    }
}

/// Whether a value must not be seen in the line that it stands on.
fn must_mask(kind: Kind, raw: &Raw) -> bool {
    match (kind, raw) {
        (Kind::Url, Raw::Text(text)) => address::shown(text).as_ref() != Some(text),
        (kind, _) => matches!(kind, Kind::Url | Kind::Hidden),
    }
}
