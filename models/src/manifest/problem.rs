//! What is wrong with a manifest, said so that it can be put right.

use std::fmt;

use crate::text;

/// Longest value that is repeated in a message, in characters.
const LONGEST_VALUE: usize = 120;

/// One thing that is wrong: where, what stands there, why it cannot be, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Key path, e.g. `input.width`. Empty: the file as a whole.
    pub key: String,
    /// The value as written; `None` where the key is missing.
    pub value: Option<String>,
    /// Why it cannot be.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

impl Problem {
    /// A value that cannot be.
    pub fn new(key: impl Into<String>, value: impl fmt::Display, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        let value = Some(text::short(&value.to_string(), LONGEST_VALUE));
        Self { value, ..Self::missing(key, reason, remedy) }
    }

    /// A key that is missing, or a file that is wrong as a whole.
    pub fn missing(key: impl Into<String>, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        // Any of them may quote what somebody wrote into a file.
        let plain = |text: String| text::plain(&text).into_owned();
        Self { key: plain(key.into()), value: None, reason: plain(reason.into()), remedy: plain(remedy.into()) }
    }
}

impl Problem {
    /// `key = value: reason`, without the remedy.
    pub fn what(&self) -> String {
        match (self.key.as_str(), &self.value) {
            ("", _) => self.reason.clone(),
            (key, Some(value)) => format!("{key} = {value}: {}", self.reason),
            (key, None) => format!("{key}: {}", self.reason),
        }
    }
}

impl fmt::Display for Problem {
    /// One line: `key = value: reason; remedy`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what(), self.remedy)
    }
}
