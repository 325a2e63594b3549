//! What rules have counted, so that it can be known again after a restart.
//!
//! Written as JSON by name of class, since a network's classes may come in another order one day. Who is in a zone is not known any more after
//! a crash: the visits that were under way count as ended, as they do in an ordered end, so that entries and exits stay in balance.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::{definition::definition, event::Tally, rule::RuleConfig};

/// The form of what is written.
const FORM: u32 = 1;

/// Why what was saved cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It is not what is written here.
    #[error("it is no ledger of counts: {0}")]
    Form(#[from] serde_json::Error),
    /// Another version wrote it.
    #[error("it has form {0}, and this version of egret knows form {FORM}")]
    Version(u32),
}

#[derive(Serialize, Deserialize)]
struct Saved {
    form: u32,
    rules: Vec<Row>,
}

/// What one rule has counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    camera: String,
    rule: String,
    /// What it was then.
    definition: u64,
    /// Since when, in microseconds from 1970.
    since: u64,
    classes: BTreeMap<String, Counted>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<Record>,
}

/// The most, or the fewest, of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    count: usize,
    /// When the period began, in microseconds from 1970.
    began: u64,
}

fn micros(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}

/// What was counted of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counted {
    /// Crossings inwards, or entries.
    #[serde(rename = "in")]
    pub(super) entered: u64,
    /// Crossings outwards, or exits.
    #[serde(rename = "out")]
    pub(super) left: u64,
    /// Entries whose exits are still to come.
    #[serde(default)]
    pub(super) open: u64,
}

type Rows = BTreeMap<(String, String), Row>;

#[derive(Debug, Default)]
struct Book {
    rows: Rows,
    changed: bool,
}

/// What all rules have counted. Nothing is kept before [`Self::restore`].
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Option<Book>>);

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Option<Book>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what [`Self::news`] gave in the last run (nothing: there was none), of the rules that are `known` by camera and name, and keeps
    /// books from here on; how many rules that are.
    ///
    /// # Errors
    /// [`LedgerError`]: books are kept from here on, and begin anew.
    pub fn restore(&self, saved: &[u8], known: impl Fn(&str, &str) -> bool) -> Result<usize, LedgerError> {
        let mut book = self.book();
        let book = book.insert(Book::default());
        if saved.is_empty() {
            return Ok(0);
        }
        let Saved { form, rules } = serde_json::from_slice(saved)?;
        if form != FORM {
            return Err(LedgerError::Version(form));
        }
        for mut row in rules.into_iter().filter(|row| known(&row.camera, &row.rule)) {
            for counted in row.classes.values_mut() {
                counted.left += mem::take(&mut counted.open);
            }
            book.rows.insert((row.camera.clone(), row.rule.clone()), row);
        }
        Ok(book.rows.len())
    }

    /// All of it, if something has changed since this was asked last.
    pub fn news(&self) -> Option<Vec<u8>> {
        let rules = {
            let mut book = self.book();
            let book = book.as_mut()?;
            if !mem::take(&mut book.changed) {
                return None;
            }
            book.rows.values().cloned().collect()
        };
        // Texts and whole numbers always serialise.
        serde_json::to_vec(&Saved { form: FORM, rules }).ok()
    }

    /// What a rule of this definition had counted. From here on the row is its own.
    fn claim(&self, camera: &str, rule: &str, definition: u64) -> Option<Row> {
        let mut book = self.book();
        let book = book.as_mut()?;
        let key = (camera.to_owned(), rule.to_owned());
        let found = book.rows.get(&key).filter(|row| row.definition == definition).cloned();
        if found.is_none() {
            if book.rows.contains_key(&key) {
                tracing::info!(camera, rule, "the rule is another one than in the last run: its counts start anew");
            }
            let (camera, rule) = key.clone();
            book.rows.insert(key, Row { camera, rule, definition, since: 0, classes: BTreeMap::new(), record: None });
        }
        found.filter(|row| row.since > 0)
    }

    fn note(&self, place: (&str, &str), definition: u64, since: u64, classes: BTreeMap<String, Counted>) {
        let mut book = self.book();
        let Some(book) = book.as_mut() else { return };
        // Another rule of this name may have taken over.
        let row = book.rows.get_mut(&(place.0.to_owned(), place.1.to_owned())).filter(|row| row.definition == definition);
        if let Some(row) = row.filter(|row| row.classes != classes || row.since != since) {
            (row.since, row.classes, book.changed) = (since, classes, true);
        }
    }

    fn note_record(&self, place: (&str, &str), definition: u64, record: Option<Record>) {
        let mut book = self.book();
        let Some(book) = book.as_mut() else { return };
        let row = book.rows.get_mut(&(place.0.to_owned(), place.1.to_owned())).filter(|row| row.definition == definition);
        if let Some(row) = row.filter(|row| row.record != record) {
            // The row says something from now on.
            (row.since, row.record, book.changed) = (row.since.max(1), record, true);
        }
    }

    /// A rule was taken away. (A camera may come back: what its rules counted stays until the next start.)
    pub(super) fn forget(&self, camera: &str, rule: &str) {
        if let Some(book) = self.book().as_mut() {
            book.changed |= book.rows.remove(&(camera.to_owned(), rule.to_owned())).is_some();
        }
    }
}

/// One rule's own page.
pub(super) struct Page {
    ledger: Arc<Ledger>,
    camera: String,
    rule: String,
    definition: u64,
    /// What was counted before the start, until the names of the classes are known.
    past: Option<Row>,
    classes: Vec<String>,
    /// What was noted last.
    noted: BTreeMap<u16, Tally>,
}

impl Page {
    /// `None`: a rule of which nothing is remembered.
    pub(super) fn open(ledger: &Arc<Ledger>, camera: &str, rule: &RuleConfig) -> Option<Self> {
        let definition = definition(rule)?;
        let past = ledger.claim(camera, &rule.name, definition);
        let (ledger, camera, rule) = (ledger.clone(), camera.to_owned(), rule.name.clone());
        Some(Self { ledger, camera, rule, definition, past, classes: Vec::new(), noted: BTreeMap::new() })
    }

    /// The record of the period that was under way, and when that had begun.
    pub(super) fn record(&self) -> Option<(usize, SystemTime)> {
        let Record { count, began } = self.past.as_ref()?.record?;
        Some((count, UNIX_EPOCH + Duration::from_micros(began)))
    }

    /// Notes a record, and when its period began.
    pub(super) fn note_record(&self, (count, began): (usize, SystemTime)) {
        let record = Some(Record { count, began: micros(began) });
        self.ledger.note_record((&self.camera, &self.rule), self.definition, record);
    }

    /// The network's classes are known; with the first ones, what had been counted before the start, and since when.
    pub(super) fn resolve(&mut self, classes: &[String]) -> Option<(SystemTime, BTreeMap<u16, Tally>)> {
        self.classes = classes.to_vec();
        if classes.is_empty() {
            return None;
        }
        let Row { since, classes: past, .. } = self.past.take()?;
        let index = |name: &String| classes.iter().position(|class| class == name);
        let known = past.iter().filter_map(|(name, counted)| Some((index(name)? as u16, counted)));
        let tally = |(class, counted): (u16, &Counted)| (class, Tally { now: 0, entered: counted.entered, left: counted.left });
        Some((UNIX_EPOCH + Duration::from_micros(since), known.map(tally).collect()))
    }

    /// Notes what has been counted, if it has changed; `open`: entries whose exits are still to come.
    pub(super) fn note(&mut self, since: SystemTime, tallies: &BTreeMap<u16, Tally>, open: impl FnOnce() -> BTreeMap<u16, u64>) {
        let counts = |tally: &Tally| (tally.entered, tally.left);
        let same = |class: &u16, tally: &Tally| self.noted.get(class).map(counts) == Some(counts(tally));
        if self.noted.len() == tallies.len() && tallies.iter().all(|(class, tally)| same(class, tally)) {
            return;
        }
        self.noted.clone_from(tallies);
        let open = open();
        let name = |class: u16| self.classes.get(usize::from(class)).cloned();
        let counted = |(class, tally): (&u16, &Tally)| {
            let open = open.get(class).copied().unwrap_or_default();
            Some((name(*class)?, Counted { entered: tally.entered, left: tally.left, open }))
        };
        let since = micros(since);
        // Microsecond 0 stands for a rule that has counted nothing yet.
        self.ledger.note((&self.camera, &self.rule), self.definition, since.max(1), tallies.iter().filter_map(counted).collect());
    }
}
