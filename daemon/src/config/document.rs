//! Reading a TOML document: every value by itself, so that one mistake hides no other.

use std::{collections::HashMap, ops::Range, path::Path};

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{
    keys::{Key, SECTIONS, Section, Shape, Top},
    kind::{Raw, is_name},
    ledger::{Ledger, Place, Spot},
    suggest,
    tree::{Layer, Tree},
};

/// Most entries of one list in one file.
const MOST_ENTRIES: usize = 1_000;
/// Most syntax errors of one file that are told.
const MOST_ERRORS: usize = 100;
/// Parts of key names that tell of a secret.
const SECRET_WORDS: [&str; 7] = ["pass", "pwd", "secret", "token", "credential", "auth", "key"];

type Item<'a, 'i> = (&'a Spanned<DeString<'i>>, &'a Spanned<DeValue<'i>>);

/// Reads a document. `entries` gets the names of models and cameras in their order.
pub(super) fn read(ledger: &mut Ledger, number: usize, path: &Path, content: &str, entries: &mut Entries) -> Tree {
    let text = ledger.add_text(path.to_owned(), content.to_owned());
    let (document, errors) = DeTable::parse_recoverable(content);
    let broken = !errors.is_empty();
    if errors.len() > MOST_ERRORS || broken && holds_long_secret(content) {
        ledger.hide_lines(text);
    }
    for error in errors.into_iter().take(MOST_ERRORS) {
        let range = error.span().unwrap_or(content.len()..content.len());
        mask_statement(ledger, text, content, range.start);
        ledger.syntax(Spot::Text(text, range), error.message().to_owned());
    }
    let base = path.parent().unwrap_or(Path::new(""));
    let mut reader = Reader { layer: Layer { ledger, tree: Tree::default(), number, base }, text, entries, broken };
    reader.document(document.get_ref());
    reader.layer.tree
}

/// The names of the entries of all layers, in the order of their first appearance.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) models: Vec<String>,
    pub(super) profiles: Vec<String>,
    pub(super) brokers: Vec<String>,
    pub(super) cameras: Vec<String>,
    /// By camera: `camera/name`.
    pub(super) rules: HashMap<String, Vec<String>>,
}

impl Entries {
    /// Remembers a name.
    pub(super) fn add(&mut self, section: &Section, name: &str) {
        let names = match section.name {
            "model" => &mut self.models,
            "profile" => &mut self.profiles,
            "broker" => &mut self.brokers,
            "rule" => self.rules.entry(name.split('/').next().unwrap_or_default().to_owned()).or_default(),
            _ => &mut self.cameras,
        };
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }

    /// Forgets a camera, and its rules.
    pub(super) fn remove_camera(&mut self, name: &str) {
        self.cameras.retain(|known| known != name);
        self.rules.remove(name);
    }

    /// The names of a section's entries.
    pub(super) fn names(&self, section: &Section) -> Vec<&String> {
        match section.name {
            "model" => self.models.iter().collect(),
            "profile" => self.profiles.iter().collect(),
            "broker" => self.brokers.iter().collect(),
            "camera" => self.cameras.iter().collect(),
            "rule" => self.rules.values().flatten().collect(),
            _ => Vec::new(),
        }
    }
}

struct Reader<'a> {
    layer: Layer<'a>,
    text: usize,
    entries: &'a mut Entries,
    /// Whether the document is no TOML, and what is read of it a guess.
    broken: bool,
}

impl Reader<'_> {
    fn spot(&self, range: Range<usize>) -> Spot {
        Spot::Text(self.text, range)
    }

    /// Hides a value, whatever it is. The span of a table that was not written with braces is that of its name alone.
    fn mask(&mut self, value: &Spanned<DeValue<'_>>) {
        self.layer.ledger.mask(self.text, value.span());
        self.mask_tables(value);
    }

    /// Hides what is inside a table where no table belongs.
    fn mask_tables(&mut self, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => table.values().for_each(|value| self.mask(value)),
            DeValue::Array(items) => items.iter().for_each(|item| self.mask_tables(item)),
            _ => {}
        }
    }

    fn document(&mut self, document: &DeTable<'_>) {
        for (key, value) in document {
            let name = key.get_ref().as_ref();
            if let Some(known) = Top::SECTION.key(name) {
                self.put(&Top::SECTION, None, known, value);
            } else if let Some(section) =
                SECTIONS.iter().find(|section| section.name == name && matches!(section.shape, Shape::Table | Shape::List))
            {
                self.section(section, value);
            } else {
                self.unknown(None, (key, value));
            }
        }
    }

    fn section(&mut self, section: &Section, value: &Spanned<DeValue<'_>>) {
        match (section.shape, value.get_ref()) {
            (Shape::List, DeValue::Array(items)) => self.list(section, None, items.iter()),
            (Shape::Table, DeValue::Table(table)) => {
                let place = Place { layer: self.layer.number, spot: self.spot(value.span()), shown: None };
                self.layer.ledger.place(section.name.to_owned(), place);
                self.table(section, None, table);
            }
            (shape, _) => {
                self.mask(value);
                let remedy = match shape {
                    Shape::List => format!("write each of them as [[{0}]], with name = \"…\" in it", section.name),
                    _ => format!("write it as [{}], once", section.name),
                };
                let spot = self.spot(value.span());
                self.layer.ledger.problem_at(spot, section.name, None, "it is not written like this", remedy);
                self.layer.ledger.spoil(section.name);
            }
        }
    }

    /// The entries of a list; `of`: the entry that they belong to.
    fn list<'v, 'i: 'v>(&mut self, section: &Section, of: Option<&str>, items: impl Iterator<Item = &'v Spanned<DeValue<'i>>>) {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let within = |name: &str| of.map_or_else(|| name.to_owned(), |of| format!("{of}/{name}"));
        for (index, item) in items.enumerate() {
            let spot = self.spot(item.span());
            if index == MOST_ENTRIES {
                let key =
                    of.map_or_else(|| section.name.to_owned(), |of| section.path(Some(&format!("{of}/#{}", index + 1)), ""));
                self.layer.ledger.problem_at(spot, &key, None, format!("more than {MOST_ENTRIES} of them"), "write fewer");
                return;
            }
            let nameless = within(&format!("#{}", index + 1));
            let DeValue::Table(table) = item.get_ref() else {
                self.mask(item);
                let remedy = format!("write each of them {}", title(section).trim_start_matches("in "));
                self.layer.ledger.problem_at(spot, &section.path(Some(&nameless), ""), None, "it is no table", remedy);
                self.layer.ledger.spoil(section.name);
                continue;
            };
            let entry = match self.name(section, table, &nameless, item.span(), (&mut seen, of)) {
                Some(name) => within(&name),
                None => nameless,
            };
            self.layer.tree.add_entry(section, &entry);
            self.entries.add(section, &entry);
            let place = Place { layer: self.layer.number, spot, shown: None };
            self.layer.ledger.place(section.path(Some(&entry), ""), place);
            self.table(section, Some(&entry), table);
        }
    }

    /// The name under which an entry is merged. One that has none, a bad one, or one that this list used before, stays alone.
    fn name(
        &mut self,
        section: &Section,
        table: &DeTable<'_>,
        nameless: &str,
        span: Range<usize>,
        (seen, of): (&mut HashMap<String, usize>, Option<&str>),
    ) -> Option<String> {
        let Some(value) = table.get("name") else {
            let spot = self.spot(span);
            self.layer.ledger.spoil(section.name);
            if self.mistyped_name(section, table) {
                return None;
            }
            let remedy = format!("write name = \"…\" below {}", title(section).trim_start_matches("in "));
            self.layer.ledger.problem_at(spot, &section.path(Some(nameless), "name"), None, "it has no name", remedy);
            return None;
        };
        let Some(name) = value.get_ref().as_str().filter(|name| is_name(name)) else {
            self.layer.ledger.spoil(section.name);
            return None;
        };
        if let Some(first) = seen.get(name) {
            let line = self.layer.ledger.line(self.text, *first);
            let (spot, shown) = (self.spot(value.span()), Some(format!("{name:?}")));
            let reason = format!("the {} of line {line} has this name too", section.name);
            let entry = of.map_or_else(|| name.to_owned(), |of| format!("{of}/{name}"));
            let path = section.path(Some(&entry), "name");
            self.layer.ledger.problem_at(spot, &path, shown, reason, "give each a name of its own");
            return None;
        }
        seen.insert(name.to_owned(), value.span().start);
        Some(name.to_owned())
    }

    /// Whether a key that is none will be told to be meant as `name`.
    fn mistyped_name(&self, section: &Section, table: &DeTable<'_>) -> bool {
        let known = || section.keys.iter().map(|key| key.name);
        let mut strange = table.keys().map(|key| key.get_ref().as_ref()).filter(|key| section.key(key).is_none());
        !self.layer.ledger.is_full() && strange.any(|key| suggest::nearest(key, known()) == Some("name"))
    }

    fn table(&mut self, section: &Section, entry: Option<&str>, table: &DeTable<'_>) {
        for (key, value) in table {
            if let Some(known) = section.key(key.get_ref()) {
                self.put(section, entry, known, value);
                continue;
            }
            let under =
                SECTIONS.iter().find(|under| under.name == key.get_ref().as_ref() && under.shape == Shape::Under(section.name));
            if let Some(under) = under {
                self.below(under, value);
                continue;
            }
            let nested = SECTIONS.iter().find(|nested| {
                nested.name == key.get_ref().as_ref()
                    && (nested.shape == Shape::Nested(section.name) && entry.is_some()
                        || nested.shape == Shape::ListUnder(section.name))
            });
            match (nested, value.get_ref()) {
                (Some(nested), DeValue::Array(items)) => self.list(nested, entry, items.iter()),
                (Some(nested), _) => {
                    self.mask(value);
                    let spot = self.spot(value.span());
                    let remedy =
                        format!("write each of them {}, with name = \"…\" in it", title(nested).trim_start_matches("in "));
                    self.layer.ledger.problem_at(
                        spot,
                        &section.path(entry, nested.name),
                        None,
                        "it is not written like this",
                        remedy,
                    );
                }
                (None, _) => self.unknown(Some((section, entry)), (key, value)),
            }
        }
    }

    /// A table below a table.
    fn below(&mut self, section: &Section, value: &Spanned<DeValue<'_>>) {
        let (spot, path) = (self.spot(value.span()), section.path(None, ""));
        if let DeValue::Table(table) = value.get_ref() {
            self.layer.ledger.place(path, Place { layer: self.layer.number, spot, shown: None });
            self.table(section, None, table);
            return;
        }
        self.mask(value);
        let remedy = format!("write it as [{path}], once");
        self.layer.ledger.problem_at(spot, &path, None, "it is not written like this", remedy);
        self.layer.ledger.spoil(path);
    }

    fn put(&mut self, section: &Section, entry: Option<&str>, key: &Key, value: &Spanned<DeValue<'_>>) {
        if matches!(value.get_ref(), DeValue::Array(_)) && (self.broken || !key.kind.is_list()) {
            self.mask(value);
        }
        // A list whose bracket is missing reaches into what follows, passwords and all: it says nothing until that is put right.
        if self.broken && value.get_ref().is_array() {
            return;
        }
        self.mask_tables(value);
        let spot = self.spot(value.span());
        self.layer.put(section, entry, key, &raw(value), spot);
    }

    /// A key that nobody knows. Its value is never shown: the name may be a mistyped `password`.
    fn unknown(&mut self, place: Option<(&Section, Option<&str>)>, (key, value): Item<'_, '_>) {
        let name: String = key.get_ref().chars().take(80).collect();
        self.mask(value);
        if self.layer.ledger.is_full() {
            // Only counted from here on: looking for what was meant takes time.
            self.layer.ledger.problem_at(Spot::Nowhere, &name, None, "", "");
            return;
        }
        let tables =
            || SECTIONS.iter().filter(|section| matches!(section.shape, Shape::Table | Shape::List)).map(|section| section.name);
        let nested = SECTIONS.iter().find(|section| {
            matches!(section.shape, Shape::Nested(_) | Shape::ListUnder(_) | Shape::Under(_)) && section.name == name
        });
        let (path, nearest) = match place {
            None => {
                let keys = Top::SECTION.keys.iter().map(|key| key.name);
                (name.clone(), suggest::nearest(&name, keys.chain(tables())).map(str::to_owned))
            }
            Some((section, entry)) => {
                let below = [Shape::Under(section.name), Shape::ListUnder(section.name)];
                let under = SECTIONS.iter().filter(|under| below.contains(&under.shape)).map(|under| under.name);
                let keys = section.keys.iter().map(|key| key.name).chain(under);
                (section.path(entry, &name), suggest::nearest(&name, keys).map(str::to_owned))
            }
        };
        if let Some(nearest) = &nearest {
            let meant = place.map_or_else(|| nearest.clone(), |(section, entry)| section.path(entry, nearest));
            self.layer.ledger.spoil(meant);
        }
        let elsewhere = || SECTIONS.iter().filter(|section| section.key(&name).is_some()).map(title).collect::<Vec<_>>();
        let remedy = match nearest {
            _ if nested.is_some() => {
                let title = nested.map(title).unwrap_or_default();
                format!("write {}, below the table that it belongs to", title.trim_start_matches("in "))
            }
            Some(nearest) => format!("did you mean {nearest}?"),
            None if !elsewhere().is_empty() => format!("{name} belongs {}", elsewhere().join(" or ")),
            None => match place {
                None => format!(
                    "known here: {}",
                    Top::SECTION.keys.iter().map(|key| key.name).chain(tables()).collect::<Vec<_>>().join(", ")
                ),
                Some((section, _)) => {
                    format!("known here: {}", section.keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", "))
                }
            },
        };
        let spot = self.spot(key.span());
        self.layer.ledger.problem_at(spot, &path, None, "there is no such key", remedy);
    }
}

fn title(section: &Section) -> String {
    match section.shape {
        Shape::Top => "before the first table".to_owned(),
        Shape::Table => format!("in [{}]", section.name),
        Shape::List => format!("in [[{}]]", section.name),
        Shape::Under(parent) => format!("in [{parent}.{}]", section.name),
        Shape::Nested(parent) | Shape::ListUnder(parent) => format!("in [[{parent}.{}]]", section.name),
    }
}

/// A TOML value, whatever it is.
fn raw(value: &Spanned<DeValue<'_>>) -> Raw {
    match value.get_ref() {
        DeValue::String(text) => Raw::Text(text.as_ref().to_owned()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Raw::Other("a number beyond all range"), Raw::Whole)
        }
        DeValue::Float(number) => number.as_str().parse().map_or(Raw::Other("no number"), Raw::Real),
        DeValue::Boolean(flag) => Raw::Flag(*flag),
        DeValue::Datetime(_) => Raw::Other("a date or time"),
        DeValue::Array(items) => Raw::List(items.iter().map(raw).collect()),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

/// Hides what may be a secret on a line that is no TOML. What the line means is not known, so little is left of it: what stands
/// before the first `=` without quotes, and numbers behind it.
fn mask_statement(ledger: &mut Ledger, text: usize, content: &str, at: usize) {
    let at = at.min(content.trim_end().len());
    let start = content.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let end = content.get(start..).and_then(|after| after.find('\n')).map_or(content.len(), |newline| start + newline);
    let line = content.get(start..end).unwrap_or_default();
    let numeric = |c: char| c.is_ascii_digit() || " .,:+-_#[]{}".contains(c);
    let doubtful = match line.split_once('=') {
        Some((name, _)) if name.contains(['"', '\'', '@']) => Some(0),
        Some((name, value)) => value.find(|c| !numeric(c)).map(|_| name.len() + 1),
        None if line.trim_start().starts_with('[') => line.find(['"', '\'', '@']),
        None => Some(0),
    };
    if let Some(doubtful) = doubtful {
        ledger.mask(text, start + doubtful..end);
    }
}

/// Whether a secret may run over several lines: then no line can be judged by itself.
fn holds_long_secret(content: &str) -> bool {
    content.lines().any(|line| {
        let lower = line.to_ascii_lowercase();
        (line.contains("\"\"\"") || line.contains("'''"))
            && (SECRET_WORDS.iter().any(|word| lower.contains(word)) || lower.contains("url"))
    })
}
