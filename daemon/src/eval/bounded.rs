//! Reading files that somebody else wrote, with a limit on everything.

use std::{
    fmt,
    fs::File,
    io::{self, BufReader},
    marker::PhantomData,
    path::Path,
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, SeqAccess, Visitor},
};

use super::EvalError;
use crate::file::{self, Unread};

/// A list of at most `LIMIT` entries; a longer one is refused when it gets there, not when it is in memory.
#[derive(Debug)]
pub(super) struct Bounded<T, const LIMIT: usize>(pub(super) Vec<T>);

impl<T, const LIMIT: usize> Default for Bounded<T, LIMIT> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Deserialize<'de> for Bounded<T, LIMIT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T, const LIMIT: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const LIMIT: usize> Visitor<'de> for Entries<T, LIMIT> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(entry) = entries.next_element()? {
                    if list.len() == LIMIT {
                        return Err(A::Error::custom(format!("a list of more than {LIMIT} entries")));
                    }
                    list.push(entry);
                }
                Ok(list)
            }
        }
        deserializer.deserialize_seq(Entries::<T, LIMIT>(PhantomData)).map(Self)
    }
}

/// Opens a regular file of at most `limit` bytes.
pub(super) fn open(path: &Path, limit: u64) -> Result<io::Take<File>, EvalError> {
    file::open(path, limit).map_err(|unread| match unread {
        Unread::Io(source) => EvalError::Read { file: path.to_owned(), source },
        Unread::TooLarge(bytes) => EvalError::TooLarge { file: path.to_owned(), bytes, limit },
    })
}

/// Reads a JSON document of at most `limit` bytes.
pub(super) fn json<T: DeserializeOwned>(path: &Path, limit: u64, remedy: &'static str) -> Result<T, EvalError> {
    serde_json::from_reader(BufReader::new(open(path, limit)?)).map_err(|error| match error.classify() {
        serde_json::error::Category::Io => EvalError::Read { file: path.to_owned(), source: error.into() },
        _ => EvalError::Form { file: path.to_owned(), line: None, what: error.to_string(), remedy },
    })
}
