//! Where every value stands, and what is wrong with it: kept while the layers are read, made into [`Problem`]s at the end, when
//! everything that must be masked is known.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    path::PathBuf,
};

use super::problem::{Excerpt, Origin, Problem};

/// Most problems that are told; a file that has more is none.
const MOST_PROBLEMS: usize = 200;
/// Longest excerpt in characters.
const LONGEST_LINE: usize = 160;

/// A text that was read.
pub(super) struct Text {
    path: PathBuf,
    content: String,
    line_starts: Vec<usize>,
    masks: Vec<Range<usize>>,
    excerpts: bool,
}

/// Where a value stands.
#[derive(Clone, Debug)]
pub(super) enum Spot {
    /// In the nth text.
    Text(usize, Range<usize>),
    /// In this file, nowhere in particular.
    File(PathBuf),
    /// In an environment variable.
    Variable(String),
    /// In a command-line option.
    Option(&'static str),
    /// Nowhere.
    Nowhere,
}

/// A value's place.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Layers count up from 0; a later one wins.
    pub(super) layer: usize,
    pub(super) spot: Spot,
    /// The value as it may be shown.
    pub(super) shown: Option<String>,
}

/// What a finding is about; decides which are dropped as mere consequences of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Syntax,
    Value,
    Missing,
}

struct Finding {
    class: Class,
    spot: Spot,
    key: String,
    shown: Option<String>,
    reason: String,
    remedy: String,
}

/// Everything known about where the configuration came from.
#[derive(Default)]
pub(super) struct Ledger {
    texts: Vec<Text>,
    places: HashMap<String, Place>,
    problems: Vec<Finding>,
    advice: Vec<Finding>,
    untold: usize,
    /// Keys whose value could not be read, and those that a mistyped key or table was meant to be. What is missing or does not go
    /// together because of them is no second problem.
    spoilt: HashSet<String>,
    withheld: Vec<String>,
}

impl Ledger {
    /// Takes a text in; returns its number.
    pub(super) fn add_text(&mut self, path: PathBuf, text: String) -> usize {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        self.texts.push(Text { path, content: text, line_starts, masks: Vec::new(), excerpts: true });
        self.texts.len() - 1
    }

    /// Hides a part of a text.
    pub(super) fn mask(&mut self, text: usize, range: Range<usize>) {
        if let Some(text) = self.texts.get_mut(text) {
            text.masks.push(range);
        }
    }

    /// Shows no line of a text at all.
    pub(super) fn hide_lines(&mut self, text: usize) {
        if let Some(text) = self.texts.get_mut(text) {
            text.excerpts = false;
        }
    }

    /// Notes where a key's value stands.
    pub(super) fn place(&mut self, path: String, place: Place) {
        self.places.insert(path, place);
    }

    /// The layer that set a key; `None`: nobody, it is the default.
    pub(super) fn layer(&self, path: &str) -> Option<usize> {
        self.places.get(path).map(|place| place.layer)
    }

    /// Whether a key was written anywhere, well or not.
    pub(super) fn is_set(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// What relative paths in a key's value are relative to: the directory of the file that it stands in.
    pub(super) fn base(&self, path: &str) -> PathBuf {
        match self.places.get(path).map(|place| &place.spot) {
            Some(Spot::Text(text, _)) => {
                self.texts.get(*text).and_then(|text| text.path.parent()).map(PathBuf::from).unwrap_or_default()
            }
            _ => PathBuf::new(),
        }
    }

    /// A key's value as it may be shown; `None`: it is not set, or not to be shown.
    pub(super) fn shown(&self, path: &str) -> Option<String> {
        self.look_up(path).1
    }

    /// Where each key and each table stands.
    pub(super) fn places(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.places.iter().map(|(path, place)| (path.as_str(), place))
    }

    /// A spot in words.
    pub(super) fn origin(&self, spot: &Spot) -> Origin {
        self.locate(spot).0
    }

    /// Forgets where a table and its keys stand: it was taken away.
    pub(super) fn forget(&mut self, table: &str) {
        self.places.retain(|path, _| path.strip_prefix(table).is_none_or(|rest| !rest.is_empty() && !rest.starts_with('.')));
    }

    /// Notes that a key, or a table, has its problem already.
    pub(super) fn spoil(&mut self, path: impl Into<String>) {
        self.spoilt.insert(path.into());
    }

    /// Whether a key, or a table, has its problem already, so that what stands for it is a default.
    pub(super) fn is_spoilt(&self, path: &str) -> bool {
        self.spoilt.contains(path)
    }

    /// Notes that a key's secret could not be looked at here.
    pub(super) fn withhold(&mut self, path: &str) {
        self.advise(path, "it cannot be looked at here: only systemd provides it", "start the service to see");
        self.withheld.push(path.to_owned());
    }

    /// The keys whose secrets could not be looked at.
    pub(super) fn withheld(&self) -> Vec<String> {
        self.withheld.clone()
    }

    /// Whether anything is wrong so far.
    pub(super) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// A text that is no TOML.
    pub(super) fn syntax(&mut self, spot: Spot, reason: String) {
        let remedy = "correct the TOML; https://toml.io shows how it is written".to_owned();
        self.push(Finding { class: Class::Syntax, spot, key: String::new(), shown: None, reason, remedy });
    }

    /// Something is wrong at a spot.
    pub(super) fn problem_at(
        &mut self,
        spot: Spot,
        key: &str,
        shown: Option<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (key, reason, remedy) = (key.to_owned(), reason.into(), remedy.into());
        self.push(Finding { class: Class::Value, spot, key, shown, reason, remedy });
    }

    fn push(&mut self, finding: Finding) {
        if self.is_full() {
            self.untold += 1;
        } else {
            self.problems.push(finding);
        }
    }

    /// Whether further problems are only counted.
    pub(super) fn is_full(&self) -> bool {
        self.problems.len() >= MOST_PROBLEMS
    }

    /// A key's value is wrong. One that could not even be read has been told.
    pub(super) fn problem(&mut self, path: &str, reason: impl Into<String>, remedy: impl Into<String>) {
        if self.is_spoilt(path) {
            return;
        }
        let (spot, shown) = self.look_up(path);
        self.problem_at(spot, path, shown, reason, remedy);
    }

    /// Two keys' values do not go together; said of the first. Where one of them could not be read there is nothing to compare.
    pub(super) fn clash(&mut self, path: &str, other: &str, reason: impl Into<String>, remedy: impl Into<String>) {
        if !self.is_spoilt(other) {
            self.problem(path, reason, remedy);
        }
    }

    /// A key names something that there is not. Where a text is no TOML, it may be in the part that could not be read.
    pub(super) fn unresolved(&mut self, path: &str, reason: impl Into<String>, remedy: impl Into<String>) {
        let (spot, shown) = self.look_up(path);
        let (key, reason, remedy) = (path.to_owned(), reason.into(), remedy.into());
        self.push(Finding { class: Class::Missing, spot, key, shown, reason, remedy });
    }

    /// A key is missing from the table that stands at `table`, not merely mistyped.
    pub(super) fn missing(&mut self, table: &str, key: &str, reason: impl Into<String>, remedy: impl Into<String>) {
        if self.is_spoilt(key) {
            return;
        }
        let (spot, _) = self.look_up(table);
        let (key, reason, remedy) = (key.to_owned(), reason.into(), remedy.into());
        self.push(Finding { class: Class::Missing, spot, key, shown: None, reason, remedy });
    }

    /// A key's value works, but there is something to know about it.
    pub(super) fn advise(&mut self, path: &str, reason: impl Into<String>, remedy: impl Into<String>) {
        let (spot, shown) = self.look_up(path);
        let (key, reason, remedy) = (path.to_owned(), reason.into(), remedy.into());
        self.advice.push(Finding { class: Class::Value, spot, key, shown, reason, remedy });
    }

    fn look_up(&self, path: &str) -> (Spot, Option<String>) {
        self.places.get(path).map_or((Spot::Nowhere, None), |place| (place.spot.clone(), place.shown.clone()))
    }

    /// Line of an offset, from 1.
    pub(super) fn line(&self, text: usize, offset: usize) -> usize {
        self.texts.get(text).map_or(0, |text| text.line_of(offset) + 1)
    }

    /// The problems and the advice, sorted by file and line.
    pub(super) fn finish(mut self) -> (Vec<Problem>, Vec<Problem>) {
        let broken: HashSet<(usize, usize)> = self
            .problems
            .iter()
            .filter(|finding| finding.class == Class::Syntax)
            .filter_map(|finding| self.line_of(&finding.spot))
            .collect();
        let problems = std::mem::take(&mut self.problems);
        let kept = problems.into_iter().filter(|finding| match finding.class {
            Class::Syntax => true,
            Class::Value => self.line_of(&finding.spot).is_none_or(|line| !broken.contains(&line)),
            Class::Missing => broken.is_empty(),
        });
        let mut problems: Vec<_> = kept.map(|finding| self.tell(finding)).collect();
        let advice = std::mem::take(&mut self.advice);
        let mut advice: Vec<_> = advice.into_iter().map(|finding| self.tell(finding)).collect();
        for list in [&mut problems, &mut advice] {
            list.sort_by(|a, b| a.origin.cmp(&b.origin));
            list.dedup();
        }
        if self.untold > 0 {
            problems.push(Problem {
                origin: Origin::Nowhere,
                key: String::new(),
                value: None,
                reason: format!("{} more problems", self.untold),
                remedy: "correct those above first".to_owned(),
                excerpt: None,
            });
        }
        (problems, advice)
    }

    fn line_of(&self, spot: &Spot) -> Option<(usize, usize)> {
        match spot {
            Spot::Text(text, range) => Some((*text, self.line(*text, range.start))),
            _ => None,
        }
    }

    fn locate(&self, spot: &Spot) -> (Origin, Option<Excerpt>) {
        let origin = match spot {
            Spot::Text(text, range) => {
                return self.texts.get(*text).map_or((Origin::Nowhere, None), |text| text.locate(range));
            }
            Spot::File(path) => Origin::File { path: path.clone(), line: None, column: None },
            Spot::Variable(variable) => Origin::Environment { variable: variable.clone() },
            Spot::Option(option) => Origin::CommandLine { option: (*option).to_owned() },
            Spot::Nowhere => Origin::Nowhere,
        };
        (origin, None)
    }

    fn tell(&self, finding: Finding) -> Problem {
        let (origin, excerpt) = self.locate(&finding.spot);
        Problem { origin, key: finding.key, value: finding.shown, reason: finding.reason, remedy: finding.remedy, excerpt }
    }
}

impl Text {
    /// Line of an offset, from 0.
    fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    fn locate(&self, range: &Range<usize>) -> (Origin, Option<Excerpt>) {
        // An error at the very end stands on the last line that has text.
        let at = range.start.min(self.content.trim_end().len());
        let line = self.line_of(at);
        let start = self.line_starts.get(line).copied().unwrap_or_default();
        let end = self.line_starts.get(line + 1).map_or(self.content.len(), |next| next - 1);
        let column = self.content.get(start..at).map_or(0, |before| before.chars().count());
        let origin = Origin::File { path: self.path.clone(), line: Some(line + 1), column: Some(column + 1) };
        let width = self.content.get(at..range.end.clamp(at, end.max(at))).map_or(1, |marked| marked.chars().count());
        (origin, self.excerpt(start..end, column, width))
    }

    /// The line with its masked parts as stars. None, if the marked place does not come out of it.
    fn excerpt(&self, line: Range<usize>, column: usize, width: usize) -> Option<Excerpt> {
        if !self.excerpts || line.len() > LONGEST_LINE * 8 {
            return None;
        }
        let masks: Vec<_> = self.masks.iter().filter(|mask| mask.start < line.end && mask.end > line.start).collect();
        let masked = |at: usize| masks.iter().any(|mask| mask.contains(&at));
        let (mut text, mut shown_column, mut shown_width, mut in_mask) = (String::new(), 0, 0, false);
        for (index, (at, c)) in self.content.get(line.clone())?.char_indices().enumerate() {
            let hidden = masked(line.start + at);
            let addition = match (hidden, in_mask) {
                (true, true) => "",
                (true, false) => "***",
                (false, _) => "x",
            };
            let length = addition.len();
            if hidden {
                text.push_str(addition);
            } else {
                text.push(if c.is_control() { ' ' } else { c });
            }
            in_mask = hidden;
            if index < column {
                shown_column += length;
            } else if index < column + width {
                shown_width += length;
            }
        }
        if shown_column > LONGEST_LINE {
            return None;
        }
        let text: String = text.trim_end().chars().take(LONGEST_LINE).collect();
        Some(Excerpt { text, column: shown_column, width: shown_width.clamp(1, LONGEST_LINE) })
    }
}
