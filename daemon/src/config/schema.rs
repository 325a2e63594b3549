//! The JSON Schema of a configuration file, made of the table of keys.

use serde_json::{Map, Value, json};

use super::{
    keys::{Key, SECTIONS, Section, Shape},
    kind::{Kind, Raw},
};

/// JSON Schema (draft 2020-12) of `egret.toml` read as JSON.
pub fn schema() -> Value {
    let mut properties = Map::new();
    for section in SECTIONS {
        match section.shape {
            Shape::Top => properties.extend(section.keys.iter().map(|key| (key.name.to_owned(), property(key)))),
            Shape::Table => {
                properties.insert(section.name.to_owned(), table(section));
            }
            Shape::List => {
                let mut items = table(section);
                items["required"] = json!(["name"]);
                let list = json!({ "type": "array", "description": section.doc.trim(), "items": items });
                properties.insert(section.name.to_owned(), list);
            }
            Shape::Under(parent) => {
                if let Some(parent) = properties.get_mut(parent) {
                    parent["properties"][section.name] = table(section);
                }
            }
            Shape::ListUnder(parent) => {
                let mut items = table(section);
                items["required"] = json!(["name", "url"]);
                if let Some(parent) = properties.get_mut(parent) {
                    parent["properties"][section.name] =
                        json!({ "type": "array", "description": section.doc.trim(), "items": items });
                }
            }
            Shape::Nested(parent) => {
                let mut items = table(section);
                items["required"] = json!(["name", "kind"]);
                let list = json!({ "type": "array", "description": section.doc.trim(), "items": items });
                if let Some(parent) = properties.get_mut(parent) {
                    parent["items"]["properties"][section.name] = list;
                }
            }
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "egret configuration",
        "description": "egret.toml, and each file of conf.d beside it.",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn table(section: &Section) -> Value {
    let properties: Map<String, Value> = section.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    json!({ "type": "object", "description": section.doc.trim(), "additionalProperties": false, "properties": properties })
}

fn property(key: &Key) -> Value {
    let mut schema = kind(key.kind);
    let otherwise = key.otherwise.map(|otherwise| format!("Default: {otherwise}."));
    let sources = (!key.sources.is_empty()).then(|| format!("Only for {}.", key.sources.join(" and ")));
    let sentences = [Some(key.doc.trim().to_owned()), otherwise, sources];
    schema["description"] = sentences.into_iter().flatten().collect::<Vec<_>>().join(" ").into();
    if let Some(default) = key.default {
        schema["default"] = to_json(&default());
    }
    schema
}

fn kind(kind: Kind) -> Value {
    match kind {
        Kind::Text | Kind::Path | Kind::Url => json!({ "type": "string", "minLength": 1 }),
        Kind::Hidden => json!({ "type": "string", "writeOnly": true }),
        Kind::Name => json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Count(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
        Kind::Real(low, high) => json!({ "type": "number", "minimum": low, "maximum": high }),
        Kind::Positive(high) => json!({ "type": "number", "exclusiveMinimum": 0, "maximum": high }),
        Kind::Span(low, high) => json!({
            "type": ["string", "number"],
            "minimum": 0,
            "pattern": "^ *([0-9.]+ *(us|ms|s|m|min|h|d)? *)+$",
            "examples": [low, high],
        }),
        Kind::Choice(words) => {
            let numbers = words.iter().filter_map(|word| word.parse::<i64>().ok()).map(Value::from);
            let words: Vec<Value> = words.iter().map(|word| Value::from(*word)).chain(numbers).collect();
            json!({ "enum": words })
        }
        Kind::Points => json!({ "type": "array", "items": point(), "minItems": 1 }),
        Kind::Shapes => {
            let shape = json!({ "type": "array", "items": point(), "minItems": 1 });
            json!({ "anyOf": [shape, { "type": "array", "items": shape, "minItems": 1 }] })
        }
        Kind::Processors => {
            json!({ "type": "array", "items": { "type": "string", "pattern": "^(cpu|gpu(:[0-9]{1,2})?|dla:[0-9]{1,2})$" }, "minItems": 1 })
        }
        Kind::Texts => {
            json!({ "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1, "uniqueItems": true })
        }
    }
}

fn point() -> Value {
    json!({ "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 })
}

fn to_json(raw: &Raw) -> Value {
    match raw {
        Raw::Text(text) => json!(text),
        Raw::Whole(number) => json!(number),
        Raw::Real(number) => json!(number),
        Raw::Flag(flag) => json!(flag),
        Raw::List(items) => items.iter().map(to_json).collect(),
        Raw::Other(_) => Value::Null,
    }
}
