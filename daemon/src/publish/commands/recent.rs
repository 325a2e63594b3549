//! Commands that were carried out lately, by their names: the same one again is answered again, and not carried out.

use std::{
    collections::{VecDeque, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
};

use bytes::Bytes;

use crate::control::Verb;

/// Most that are remembered.
const MOST: usize = 128;
/// Most bytes of their answers.
const MOST_BYTES: usize = 1 << 20;

/// The name of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    correlation: bool,
    name: Bytes,
}

impl Key {
    /// By its correlation data, or by its `id`. `None`: it has no name.
    pub(super) fn of(correlation: Option<&[u8]>, id: Option<&str>) -> Option<Self> {
        let correlation = correlation.filter(|name| !name.is_empty());
        let name = correlation.or(id.map(str::as_bytes))?;
        Some(Self { correlation: correlation.is_some(), name: Bytes::copy_from_slice(name) })
    }
}

/// What is known of a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing.
    New,
    /// It is being carried out.
    UnderWay,
    /// It was answered like this.
    Answered(Bytes),
    /// Its name is that of another one.
    Other,
}

struct Entry {
    key: Key,
    /// Of its verb and its payload.
    hash: u64,
    answer: Option<Bytes>,
}

/// The list, oldest first.
#[derive(Default)]
pub(super) struct Recent {
    entries: VecDeque<Entry>,
    bytes: usize,
}

fn hash(said: (Verb, &[u8])) -> u64 {
    let mut hasher = DefaultHasher::new();
    said.hash(&mut hasher);
    hasher.finish()
}

impl Recent {
    pub(super) fn find(&self, key: Option<&Key>, said: (Verb, &[u8])) -> Known {
        let Some(entry) = key.and_then(|key| self.entries.iter().find(|entry| entry.key == *key)) else { return Known::New };
        match &entry.answer {
            _ if entry.hash != hash(said) => Known::Other,
            None => Known::UnderWay,
            Some(answer) => Known::Answered(answer.clone()),
        }
    }

    /// It is being carried out from now on.
    pub(super) fn begun(&mut self, key: Key, said: (Verb, &[u8])) {
        self.entries.push_back(Entry { key, hash: hash(said), answer: None });
        self.bound();
    }

    /// It was answered.
    pub(super) fn answered(&mut self, key: &Key, answer: &Bytes) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == *key) {
            entry.answer = Some(answer.clone());
            self.bytes += answer.len();
            self.bound();
        }
    }

    fn bound(&mut self) {
        while self.entries.len() > MOST || self.bytes > MOST_BYTES {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes -= oldest.answer.map_or(0, |answer| answer.len());
        }
    }
}
