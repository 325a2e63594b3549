//! What is wrong with a configuration, said so that it can be put right: where, which key, what value, why, and what to do.

use std::{fmt, path::PathBuf};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum Origin {
    /// In a file.
    File {
        /// Path of the file.
        path: PathBuf,
        /// Line, from 1. `None`: the file as a whole.
        line: Option<usize>,
        /// Column in characters, from 1.
        column: Option<usize>,
    },
    /// In an environment variable.
    Environment {
        /// Name of the variable.
        variable: String,
    },
    /// On the command line.
    CommandLine {
        /// The option, e.g. `--camera`.
        option: String,
    },
    /// Nowhere: it is missing altogether.
    Nowhere,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: Some(line), column } => write!(f, "{}:{line}:{}", path.display(), column.unwrap_or(1)),
            Self::File { path, .. } => write!(f, "{}", path.display()),
            Self::Environment { variable } => write!(f, "environment variable {variable}"),
            Self::CommandLine { option } => write!(f, "option {option}"),
            Self::Nowhere => f.write_str("configuration"),
        }
    }
}

/// One thing that is wrong (or, as advice, unwise). Secrets are masked in every field.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Where.
    #[serde(flatten)]
    pub origin: Origin,
    /// Key path, e.g. `camera.door.url`. Empty: the file as a whole.
    pub key: String,
    /// The value as written, unless it is or may hold a secret.
    pub value: Option<String>,
    /// Why it cannot be.
    pub reason: String,
    /// What to do.
    pub remedy: String,
    /// The line of the file, secrets masked, and the columns of the value in it (from 0, in characters).
    #[serde(skip)]
    pub(super) excerpt: Option<Excerpt>,
}

/// A line of a file with a part of it marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub(super) text: String,
    pub(super) column: usize,
    pub(super) width: usize,
}

/// What a key path is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose<'a> {
    /// A broker, by its name; the one of `[mqtt]` is [`super::MqttConfig::FIRST`].
    Broker(&'a str),
    /// A camera, by its name.
    Camera(&'a str),
    /// Everything: a file, or a table, as a whole.
    All,
    /// Something else.
    Other,
}

impl<'a> Whose<'a> {
    /// What `key` is about.
    pub fn of(key: &'a str) -> Self {
        let name = |rest: &'a str| rest.split('.').next().unwrap_or_default();
        if let Some(rest) = key.strip_prefix("mqtt.") {
            return match rest.strip_prefix("broker.") {
                Some(rest) => Self::Broker(name(rest)),
                None if rest == "broker" => Self::All,
                None if rest.contains('.') => Self::Other,
                None => Self::Broker(super::MqttConfig::FIRST),
            };
        }
        match key.strip_prefix("camera.") {
            // Its rules are its own matter.
            Some(rest) if rest.matches('.').count() > 1 => Self::Other,
            Some(rest) => Self::Camera(name(rest)),
            None if key == "mqtt" => Self::Broker(super::MqttConfig::FIRST),
            None if matches!(key, "" | "camera") => Self::All,
            None => Self::Other,
        }
    }
}

impl Problem {
    /// One that is not about a single value as written.
    pub fn new(origin: Origin, key: String, reason: String, remedy: String) -> Self {
        Self { origin, key, value: None, reason, remedy, excerpt: None }
    }
}

impl fmt::Display for Problem {
    /// Several lines, as a compiler prints them; without a newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        match (self.key.as_str(), &self.value) {
            ("", _) => {}
            (key, Some(value)) => write!(f, "{key} = {value}: ")?,
            (key, None) => write!(f, "{key}: ")?,
        }
        f.write_str(&self.reason)?;
        if let (Some(excerpt), Origin::File { line: Some(line), .. }) = (&self.excerpt, &self.origin) {
            let number = line.to_string();
            let gutter = " ".repeat(number.len());
            write!(f, "\n  {number} | {}", excerpt.text)?;
            write!(f, "\n  {gutter} | {}{}", " ".repeat(excerpt.column), "^".repeat(excerpt.width.max(1)))?;
        }
        write!(f, "\n  -> {}", self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::Whose;

    #[test]
    fn a_key_says_whose_it_is() {
        for (key, whose) in [
            ("mqtt.url", Whose::Broker("mqtt")),
            ("mqtt", Whose::Broker("mqtt")),
            ("mqtt.broker.cloud.password_file", Whose::Broker("cloud")),
            ("mqtt.broker.cloud", Whose::Broker("cloud")),
            ("mqtt.commands.allow", Whose::Other),
            ("camera.door.url", Whose::Camera("door")),
            ("camera.door", Whose::Camera("door")),
            ("camera.door.rule.gate.zone", Whose::Other),
            ("model.m.file", Whose::Other),
            ("mqttx", Whose::Other),
            ("", Whose::All),
            ("camera", Whose::All),
        ] {
            assert_eq!(Whose::of(key), whose, "{key}");
        }
    }
}
