//! What must not be in an archive that is sent away.

use std::collections::BTreeSet;

use crate::config::Config;

/// What stands in its place.
const STARS: &str = "***";
/// Words before `=` or `:` whose value nobody else is to read.
const TELLING: [&str; 8] = ["password", "passwd", "pwd", "token", "secret", "apikey", "api_key", "authorization"];
/// Shorter secrets would blacken half of a text; they are found by the words before them and in URLs only.
const SHORTEST: usize = 4;

/// Takes secrets out of texts: those of a configuration wherever they stand, and what looks like one.
#[derive(Default)]
pub struct Redaction {
    known: BTreeSet<String>,
}

impl Redaction {
    /// For texts of a daemon with this configuration.
    pub fn of(config: &Config) -> Self {
        let known = config.secrets().filter(|secret| secret.len() >= SHORTEST).map(str::to_owned).collect();
        Self { known }
    }

    /// The text without them.
    pub fn clean(&self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            // The longest first: one may be a part of another.
            let mut line = line.to_owned();
            let mut known: Vec<_> = self.known.iter().filter(|secret| line.contains(secret.as_str())).collect();
            known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
            for secret in known {
                line = line.replace(secret.as_str(), STARS);
            }
            clean.push_str(&words(&logins(&line)));
        }
        clean
    }
}

/// Without user and password of URLs: all between `://` and the last `@` of the word.
fn logins(line: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "\"'<>`".contains(c)).unwrap_or(after.len());
        let word = &after[..end];
        match word.rfind('@') {
            Some(login) => {
                out.push_str(STARS);
                out.push_str(&word[login..]);
            }
            None => out.push_str(word),
        }
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

/// Without the values of telling words: `password=…`, `"token": "…"`, `Authorization: …`, in any case.
fn words(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let (mut out, mut done) = (String::with_capacity(line.len()), 0);
    while let Some((start, end)) = value(&lower, done) {
        out.push_str(&line[done..start]);
        out.push_str(STARS);
        done = end;
    }
    out.push_str(&line[done..]);
    out
}

/// The next value of a telling word at or after `from`.
fn value(lower: &str, from: usize) -> Option<(usize, usize)> {
    let found = TELLING.iter().flat_map(|word| lower[from..].match_indices(word).map(|(at, word)| from + at + word.len()));
    found.filter_map(|at| assigned(lower, at)).min_by_key(|(start, _)| *start)
}

/// Where the value stands that a word which ends at `at` is given, if it is given one.
fn assigned(lower: &str, at: usize) -> Option<(usize, usize)> {
    let quoted = lower[at..].trim_start_matches(['"', '\'']);
    let rest = quoted.trim_start_matches(' ').strip_prefix(['=', ':'])?;
    let value = rest.trim_start_matches(' ');
    let start = lower.len() - value.len();
    let (start, end) = if let quote @ ('"' | '\'') = value.chars().next()? {
        (start + 1, value[1..].find(quote).map_or(lower.len(), |end| start + 1 + end))
    } else {
        // `Authorization: Basic …` has its secret in the second word.
        let until = if lower[..at].ends_with("authorization") {
            &['\n', '"', '\''][..]
        } else {
            &[' ', '\n', '"', '\'', '&', ',', ';'][..]
        };
        (start, value.find(until).map_or(lower.len(), |end| start + end))
    };
    (end > start && !lower[start..end].starts_with(STARS)).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(text: &str) -> String {
        Redaction { known: BTreeSet::from(["hunter2".to_owned(), "hunter2222".to_owned()]) }.clean(text)
    }

    #[test]
    fn secrets_go_and_the_rest_stays() {
        for (text, expected) in [
            ("camera door: rtsp://10.0.0.1:554/s lost\n", "camera door: rtsp://10.0.0.1:554/s lost\n"),
            ("open rtsp://u:p@ss/w@10.0.0.1/s, mqtt://a@b\n", "open rtsp://***@10.0.0.1/s, mqtt://***@b\n"),
            ("it is hunter2222 or hunter2!", "it is *** or ***!"),
            ("GET /s?user=a&password=x1&channel=2", "GET /s?user=a&password=***&channel=2"),
            ("{\"Token\": \"abc def\", \"n\": 1}", "{\"Token\": \"***\", \"n\": 1}"),
            ("Authorization: Basic dTpw\nnext", "Authorization: ***\nnext"),
            ("password_file = /etc/egret/x", "password_file = /etc/egret/x"),
            ("no password given", "no password given"),
            ("PASSWD='a b' pwd=c", "PASSWD='***' pwd=***"),
            ("password: ", "password: "),
        ] {
            assert_eq!(clean(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_cleaned_once(text in "\\PC{0,200}") {
            let once = clean(&text);
            prop_assert_eq!(clean(&once), once);
        }

        #[test]
        fn a_password_is_found_wherever_it_stands(before in "[a-z :/=\"]{0,20}", after in "[a-z @/\"&]{0,20}") {
            let text = format!("{before}hunter2{after}");
            prop_assert!(!clean(&text).contains("hunter2"));
        }
    }
}
