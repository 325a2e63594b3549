//! The sample configuration is the reference manual: it must name every key, with the default that the code has.

use std::path::Path;

use super::{
    keys::{SECTIONS, Section, Shape},
    kind::{Kind, Raw},
    load_text,
};

const SAMPLE: &str = include_str!("../../../systemd/egret.toml");

/// The sample with all its keys in force.
fn uncommented() -> String {
    let is_key = |line: &str| {
        line.starts_with("#[[") || line.strip_prefix('#').is_some_and(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
    };
    SAMPLE.lines().map(|line| if is_key(line) { &line[1..] } else { line }).collect::<Vec<_>>().join("\n")
}

fn table_of<'a>(document: &'a toml::Table, section: &Section) -> &'a toml::Table {
    match section.shape {
        Shape::Top => document,
        Shape::Table => document[section.name].as_table().expect(section.name),
        Shape::List => document[section.name][0].as_table().expect(section.name),
        Shape::Under(parent) => document[parent][section.name].as_table().expect(section.name),
        Shape::ListUnder(parent) => document[parent][section.name][0].as_table().expect(section.name),
        Shape::Nested(parent) => document[parent][0][section.name][0].as_table().expect(section.name),
    }
}

fn raw(value: &toml::Value) -> Raw {
    match value {
        toml::Value::String(text) => Raw::from(text.as_str()),
        toml::Value::Integer(number) => Raw::Whole(*number),
        toml::Value::Float(number) => Raw::Real(*number),
        toml::Value::Boolean(flag) => Raw::Flag(*flag),
        toml::Value::Array(items) => Raw::List(items.iter().map(raw).collect()),
        _ => Raw::Other("something else"),
    }
}

#[test]
fn it_loads_as_it_is() {
    let loaded = load_text(Path::new("/etc/egret/egret.toml"), SAMPLE).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(loaded.advice, []);
    assert_eq!(loaded.config.mqtt, None);
    assert_eq!(loaded.config, load_text(Path::new(""), "").unwrap_or_else(|problems| panic!("{problems:?}")).config);
}

#[test]
fn it_names_every_key_with_its_default_and_no_other() {
    let document: toml::Table = uncommented().parse().expect("the sample is TOML");
    for section in SECTIONS {
        let table = table_of(&document, section);
        for key in section.keys {
            let path = section.path(None, key.name);
            let value = raw(table.get(key.name).unwrap_or_else(|| panic!("the sample lacks {path}")));
            let read = key.kind.read(&value, Path::new("/")).unwrap_or_else(|refusal| panic!("{path}: {refusal:?}"));
            if let Some(default) = key.default {
                assert_eq!(Ok(read), key.kind.read(&default(), Path::new("/")), "default of {path}");
            }
        }
        for (name, value) in table {
            let belongs = [Shape::Nested(section.name), Shape::Under(section.name), Shape::ListUnder(section.name)];
            let nested = SECTIONS.iter().any(|nested| belongs.contains(&nested.shape) && nested.name == name);
            let is_section = nested || section.shape == Shape::Top && (value.is_table() || value.is_array());
            assert!(is_section || section.key(name).is_some(), "{name} is no key of {}", section.name);
        }
    }
}

#[test]
fn it_tells_every_choice_and_every_limit() {
    let text = |section: &Section| {
        let header = match section.shape {
            Shape::Top => return SAMPLE,
            Shape::Table => format!("\n[{}]", section.name),
            Shape::List => format!("\n#[[{}]]", section.name),
            Shape::Under(parent) => format!("\n[{parent}.{}]", section.name),
            Shape::Nested(parent) | Shape::ListUnder(parent) => format!("\n#[[{parent}.{}]]", section.name),
        };
        let (_, after) = SAMPLE.split_once(&header).expect(section.name);
        after.split_once("# ───").map_or(after, |(own, _)| own)
    };
    for section in SECTIONS {
        let manual = text(section);
        for key in section.keys {
            let said: Vec<String> = match key.kind {
                Kind::Choice(words) => words.iter().map(|word| (*word).to_owned()).collect(),
                // Those of the test picture speak for themselves.
                Kind::Count(low, high) if key.sources != ["test"] => vec![format!("{low} to {high}")],
                Kind::Span(low, high) => vec![low.to_owned(), high.to_owned()],
                _ => continue,
            };
            for said in said {
                assert!(manual.contains(&said), "the sample does not say {said} for {}", section.path(None, key.name));
            }
        }
    }
}
