//! The man page egret.toml(5), made of the table of keys.

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::{
    keys::{Key, SECTIONS, Section, Shape},
    kind::Kind,
};

/// What stands before the keys.
const LAYERS: &[&str] = &[
    "The configuration of egret is TOML: /etc/egret/egret.toml, or the file of --config, and over it conf.d/*.toml beside that file, in \
     the order of their names. Cameras, their rules, models, profiles and further brokers are merged by name.",
    "Over both stand environment variables, EGRET__MQTT__KEEP_ALIVE for keep_alive in [mqtt], and over these the options of the command \
     line.",
    "Durations are texts such as \"10s\", \"500ms\" and \"1m30s\", or numbers of seconds. Relative paths start at the directory of the \
     file that names them. An unknown key is an error. egret check prints every problem of a configuration at once; egret schema prints \
     its JSON Schema.",
];

/// The page, in roff: every key with its kind, range, default and description.
pub fn page() -> String {
    let mut page = Roff::new();
    page.control("TH", ["EGRET.TOML", "5", "", concat!("egret ", env!("CARGO_PKG_VERSION"))]);
    page.control("SH", ["NAME"]);
    page.text([roman("egret.toml - configuration of egret")]);
    page.control("SH", ["DESCRIPTION"]);
    for (number, text) in LAYERS.iter().enumerate() {
        if number > 0 {
            page.control("PP", []);
        }
        page.text([roman(*text)]);
    }
    for section in SECTIONS {
        page.control("SH", [heading(section).as_str()]);
        page.text([roman(one_line(section.doc))]);
        for key in section.keys {
            page.control("TP", []);
            page.text([bold(key.name), roman(format!(" ({})", kind(key.kind)))]);
            page.text(description(key));
        }
    }
    page.control("SH", ["FILES"]);
    for (file, what) in FILES {
        page.control("TP", []);
        page.text([italic(*file)]);
        page.text([roman(*what)]);
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("egret"), roman("(1)")]);
    page.render()
}

const FILES: &[(&str, &str)] = &[
    ("/etc/egret/egret.toml", "The configuration; as installed, a sample in which every key is explained."),
    ("/etc/egret/conf.d/*.toml", "What is merged over it. Files of your own here are never touched by an update."),
    ("/var/lib/egret", "State: models, engines, the queue of events, what rules have counted."),
    ("/var/cache/egret", "What can be made again."),
];

/// As a file writes it.
fn heading(section: &Section) -> String {
    let name = section.name;
    match section.shape {
        Shape::Top => "BEFORE THE FIRST TABLE".to_owned(),
        Shape::Table => format!("[{name}]"),
        Shape::List => format!("[[{name}]]"),
        Shape::Under(parent) => format!("[{parent}.{name}]"),
        Shape::ListUnder(parent) | Shape::Nested(parent) => format!("[[{parent}.{name}]]"),
    }
}

fn description(key: &Key) -> Vec<Inline> {
    let mut text = vec![roman(one_line(key.doc))];
    if let Some(default) = key.default {
        text.push(roman(format!(" Default: {}.", default().show())));
    } else if let Some(otherwise) = key.otherwise {
        text.push(roman(format!(" Default: {otherwise}.")));
    }
    if !key.sources.is_empty() {
        text.push(roman(format!(" Only for {}.", key.sources.join(", "))));
    }
    text
}

/// What can be written, in words.
fn kind(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Name => "name: letters, digits, - and _, at most 64".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Url => "URL".to_owned(),
        Kind::Hidden => "secret text".to_owned(),
        Kind::Flag => "true or false".to_owned(),
        Kind::Count(low, high) => format!("whole number, {low} to {high}"),
        Kind::Real(low, high) => format!("number, {low} to {high}"),
        Kind::Positive(high) => format!("number above 0, up to {high}"),
        Kind::Span(low, high) => format!("duration, {low} to {high}"),
        Kind::Choice(words) => words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", "),
        Kind::Texts => "list of texts".to_owned(),
        Kind::Processors => "list of processors: \"cpu\", \"gpu\" or \"gpu:0\", \"gpu:1\", …, \"dla:0\", \"dla:1\"".to_owned(),
        Kind::Points => "list of points [x, y]".to_owned(),
        Kind::Shapes => "polygon of points [x, y], or a list of polygons".to_owned(),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_and_key_is_on_the_page() {
        // Roff writes a hyphen that is to be copied as \-.
        let page = page().replace("\\-", "-");
        assert!(page.contains(".TH EGRET.TOML 5"), "{}", &page[..200]);
        for section in SECTIONS {
            let at = page.find(&heading(section)).unwrap_or_else(|| panic!("{} is missing", heading(section)));
            for key in section.keys {
                assert!(page[at..].contains(&format!("\\fB{}\\fR", key.name)), "{} of {}", key.name, heading(section));
            }
        }
        assert!(page.contains("duration, 5s to 18h"), "ranges");
        assert!(page.contains("Default: \"30s\"."), "defaults");
        assert!(!page.lines().any(|line| line.starts_with('\'')), "no line is taken for a request");
    }
}
