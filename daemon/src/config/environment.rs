//! The environment as a layer: `EGRET__MQTT__KEEP_ALIVE=1m`. For one of its kind: cameras and models are lists and stay in files.

use std::{collections::HashMap, ffi::OsString, path::Path};

use config::{Source, ValueKind};

use super::{
    keys::{SECTIONS, Section, Shape, Top},
    ledger::{Ledger, Spot},
    suggest,
    tree::{Layer, Tree},
};

/// What the variables begin with. Two underscores: `EGRET_ONNXRUNTIME` and its like are none of them.
const PREFIX: &str = "EGRET__";

/// Whether any variable configures egret.
pub(super) fn is_used(variables: &[(OsString, OsString)]) -> bool {
    variables.iter().any(|(name, _)| name.to_str().is_some_and(|name| name.starts_with(PREFIX)))
}

/// Reads the variables.
pub(super) fn read(ledger: &mut Ledger, number: usize, variables: &[(OsString, OsString)]) -> Tree {
    let mut texts: HashMap<String, String> = HashMap::new();
    let mut names: HashMap<String, String> = HashMap::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        // The `config` crate prints such a value in its error: it may be a password.
        let Some(value) = value.to_str() else {
            ledger.problem_at(Spot::Variable(name.to_owned()), "", None, "its value is no UTF-8", "write it in UTF-8");
            continue;
        };
        let path = name[PREFIX.len()..].to_lowercase().replace("__", ".");
        if names.insert(path, name.to_owned()).is_some() {
            let remedy = "set one of them";
            ledger.problem_at(Spot::Variable(name.to_owned()), "", None, "another variable differs from it only in case", remedy);
        }
        texts.insert(name.to_owned(), value.to_owned());
    }
    // No `try_parsing`: it would make a number of the password "0123". The kind of the key decides instead.
    let source =
        config::Environment::with_prefix("EGRET").prefix_separator("__").separator("__").ignore_empty(true).source(Some(texts));
    let mut layer = Layer { ledger, tree: Tree::default(), number, base: Path::new("") };
    // It fails only on values that are no UTF-8, which are gone.
    let mut values: Vec<_> = source.collect().unwrap_or_default().into_iter().collect();
    values.sort_by(|a, b| a.0.cmp(&b.0));
    for (path, value) in values {
        let variable = names.remove(&path).unwrap_or_else(|| path.clone());
        if let ValueKind::String(text) = value.kind {
            put(&mut layer, &path, &text, Spot::Variable(variable));
        }
    }
    layer.tree
}

fn put(layer: &mut Layer<'_>, path: &str, text: &str, spot: Spot) {
    let (section, name) = match path.split_once('.') {
        None => (Some(&Top::SECTION), path),
        Some((table, name)) => {
            let below = name.split_once('.').and_then(|(below, name)| {
                let is_it = |known: &&Section| {
                    known.name == below && matches!(known.shape, Shape::Under(of) | Shape::ListUnder(of) if of == table)
                };
                Some((SECTIONS.iter().find(is_it)?, name))
            });
            let alone = |known: &&Section| {
                known.name == table && !matches!(known.shape, Shape::Top | Shape::Under(_) | Shape::ListUnder(_))
            };
            below.map_or_else(|| (SECTIONS.iter().find(alone), name), |(below, name)| (Some(below), name))
        }
    };
    if let Some(section) = section
        && matches!(section.shape, Shape::List | Shape::ListUnder(_) | Shape::Nested(_))
    {
        let remedy = format!(
            "write [[{}]] in a file, e.g. in conf.d; a password can come from a variable by password_env",
            section.path(None, "").trim_end_matches('.')
        );
        layer.ledger.problem_at(spot, path, None, "lists are not set by variables", remedy);
        return;
    }
    if let Some((section, key)) = section.and_then(|section| Some((section, section.key(name)?))) {
        layer.put(section, None, key, &key.kind.type_text(text), spot);
        return;
    }
    let known = SECTIONS.iter().filter(|section| matches!(section.shape, Shape::Top | Shape::Table | Shape::Under(_)));
    let paths: Vec<String> = known.flat_map(|section| section.keys.iter().map(|key| section.path(None, key.name))).collect();
    let remedy = match suggest::nearest(path, paths.iter().map(String::as_str)) {
        Some(path) => format!("did you mean {PREFIX}{}?", path.to_uppercase().replace('.', "__")),
        None => "unset it, or name it EGRET__SECTION__KEY after a key of the configuration file".to_owned(),
    };
    layer.ledger.problem_at(spot, path, None, "there is no such key", remedy);
}
