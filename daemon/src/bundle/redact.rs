//! What must not be in an archive that is sent away.

use std::collections::BTreeSet;

use crate::config::Config;

/// What stands in its place.
const STARS: &str = "***";
/// Words before `=` or `:` whose value nobody else is to read.
const TELLING: [&str; 11] = [
    "password",
    "passwd",
    "pwd",
    "token",
    "secret",
    "apikey",
    "api_key",
    "authorization",
    "passphrase",
    "access_key",
    "accesskey",
];
/// Words of which that is so before `=` only, and where they stand alone: `sig: 11` and `response: none` tell nobody anything.
const ASSIGNED: [&str; 8] = ["user-pw", "proxy-pw", "pass", "auth", "sig", "signature", "response", "login"];
/// Digest responses are longer than this; what else is called a response is not.
const SHORTEST_RESPONSE: usize = 16;
/// Fewer letters at the end of a line are a word, not a part of a key in PEM.
const SHORTEST_PEM: usize = 16;
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
        let mut in_pem = false;
        for line in text.split_inclusive('\n') {
            let pem = pem(line, &mut in_pem);
            let line = pem.as_str();
            // The longest first: one may be a part of another.
            let mut line = line.to_owned();
            let mut known: Vec<_> = self.known.iter().filter(|secret| line.contains(secret.as_str())).collect();
            known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
            for secret in known {
                line = line.replace(secret.as_str(), STARS);
            }
            let line = escaped_logins(&logins(&line, "://", "@"));
            clean.push_str(&words(&bearers(&line)));
        }
        clean
    }
}

/// A command line's complaint as it may be shown: without the logins that it quotes.
pub fn complaint(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let assigned = |word: &&str| lower.contains(&format!("{word}="));
    let text = escaped_logins(&logins(text, "://", "@"));
    // What the grammar of an option looks like is no secret.
    if TELLING.iter().chain(&ASSIGNED).any(assigned) {
        let hidden = text.replace(GRAMMAR, GRAMMAR_HIDDEN);
        return words(&hidden).replace(GRAMMAR_HIDDEN, GRAMMAR);
    }
    text
}

/// How `egret sim` writes a login, and what keeps it from being taken for one.
const GRAMMAR: &str = "login=USER:PASSWORD";
const GRAMMAR_HIDDEN: &str = "login\u{0}";

/// The part of a PEM key or certificate that a line has, as stars. It may have a journal's words before it.
fn pem(line: &str, inside: &mut bool) -> String {
    const BEGIN: &str = "-----BEGIN ";
    const END: &str = "-----END ";
    if let (Some(begin), Some(end)) = (line.find(BEGIN), line.rfind(END))
        && let Some(body) = line[begin + BEGIN.len()..].find("-----").map(|at| begin + BEGIN.len() + at + 5)
        && body < end
    {
        // On one line, with its line ends as escapes.
        *inside = false;
        return format!("{}{STARS}{}", &line[..body], &line[end..]);
    }
    if line.contains(BEGIN) {
        *inside = true;
        return line.to_owned();
    }
    if *inside {
        let start = line.trim_end().rfind(|c: char| c.is_whitespace() || c == '"').map_or(0, |at| at + 1);
        let word = line[start..].trim_end();
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
        *inside = !line.contains(END);
        if *inside && word != STARS {
            *inside = word.chars().all(is_base64) && (word.len() >= SHORTEST_PEM || word.ends_with('='));
            if *inside {
                return format!("{}{STARS}{}", &line[..start], &line[start + word.len()..]);
            }
        }
    }
    line.to_owned()
}

/// Without what follows `Bearer`.
fn bearers(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let (mut out, mut done) = (String::with_capacity(line.len()), 0);
    for (at, word) in lower.match_indices("bearer ") {
        let start = at + word.len();
        let end = lower[start..].find([' ', '\n', '"', '\'', ',']).map_or(lower.len(), |end| start + end);
        // `the bearer of this` has shorter words.
        if start >= done && end - start >= SHORTEST_PEM {
            out.extend([&line[done..start], STARS]);
            done = end;
        }
    }
    out.push_str(&line[done..]);
    out
}

/// [`logins`] where the URL is written with escapes.
fn escaped_logins(line: &str) -> String {
    let line = logins(line, "%3A%2F%2F", "%40");
    logins(&line, "%3a%2f%2f", "%40")
}

/// Without user and password of URLs: all between `://` and the last `@` of the word.
fn logins(line: &str, slashes: &str, at_sign: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(at) = rest.find(slashes) {
        let (before, after) = rest.split_at(at + slashes.len());
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "\"'<>`".contains(c)).unwrap_or(after.len());
        let word = &after[..end];
        match word.rfind(at_sign) {
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
    let all = |word: &'static str| lower[from..].match_indices(word).map(move |(at, word)| (from + at, from + at + word.len()));
    let telling = TELLING.iter().flat_map(|word| all(word)).filter_map(|(_, end)| assigned(lower, end));
    let alone = |(start, end): &(usize, usize)| {
        let before = lower[..*start].chars().next_back();
        lower[*end..].starts_with('=') && !before.is_some_and(|c| c.is_alphanumeric() || "_-".contains(c))
    };
    let short = |word: &str, (start, end): (usize, usize)| word == "response" && end - start < SHORTEST_RESPONSE;
    let others = ASSIGNED.iter().flat_map(|word| {
        all(word).filter(alone).filter_map(|(_, end)| assigned(lower, end)).filter(move |value| !short(word, *value))
    });
    telling.chain(others).min_by_key(|(start, _)| *start)
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
            ("rtspsrc user-pw=x1 ! y, user-pw=\"x 2\"", "rtspsrc user-pw=*** ! y, user-pw=\"***\""),
            ("GET /s?access_key=abc&sig=def&x=1", "GET /s?access_key=***&sig=***&x=1"),
            ("sig: 11, design=3, no response=4", "sig: 11, design=3, no response=4"),
            ("sent Bearer abcdefgh.ijklmnop to it", "sent Bearer *** to it"),
            ("the bearer of this", "the bearer of this"),
            ("u=rtsp%3A%2F%2Fadmin%3Apw%40h%2Fs", "u=rtsp%3A%2F%2F***%40h%2Fs"),
            ("u=rtsp%3a%2f%2fh%2Fs", "u=rtsp%3a%2f%2fh%2Fs"),
            (
                "Digest username=\"u\", response=\"0123456789abcdef0123456789abcdef\", x",
                "Digest username=\"u\", response=\"***\", x",
            ),
            (
                "t egret: -----BEGIN PRIVATE KEY-----\nt egret: MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nt egret: AbC=\n\
                 t egret: -----END PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
                "t egret: -----BEGIN PRIVATE KEY-----\nt egret: ***\nt egret: ***\n\
                 t egret: -----END PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
            ),
            ("-----BEGIN EC KEY-----\\nMII\\n-----END EC KEY-----\n", "-----BEGIN EC KEY-----***-----END EC KEY-----\n"),
            ("it has no -----BEGIN CERTIFICATE-----\nand goes on", "it has no -----BEGIN CERTIFICATE-----\nand goes on"),
        ] {
            assert_eq!(clean(text), expected, "{text}");
        }
    }

    #[test]
    fn a_complaint_quotes_no_login() {
        for (text, expected) in [
            ("unexpected argument 'a=rtsp://u:SEENPW@h/x' found", "unexpected argument 'a=rtsp://***@h/x' found"),
            (
                "invalid value 'x=scene,login=u:SEENPW,bogus': \"bogus\"; write login=USER:PASSWORD, basic",
                "invalid value 'x=scene,login=***,bogus': \"bogus\"; write login=USER:PASSWORD, basic",
            ),
            ("invalid value 'a=rtsp://h/s?password=SEENPW'", "invalid value 'a=rtsp://h/s?password=***'"),
            ("/etc/egret/password: no such file", "/etc/egret/password: no such file"),
        ] {
            assert_eq!(complaint(text), expected);
        }
    }

    #[test]
    fn what_is_configured_is_known_wherever_it_stands() {
        let text = "[[model]]\nname = \"m\"\nbuiltin = \"null\"\n\
            [[camera]]\nname = \"a\"\nurl = \"gst:rtspsrc location=rtsp://10.0.0.1/ user-pw=hunter3\"\n\
            [[camera]]\nname = \"b\"\nurl = \"rtsp://10.0.0.1/s/password=hunter4/x?token=hunter5\"\n";
        let config = crate::config::load_text(std::path::Path::new("egret.toml"), text).unwrap().config;
        assert_eq!(Redaction::of(&config).clean("it is hunter3, hunter4 or hunter5"), "it is ***, *** or ***");
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
