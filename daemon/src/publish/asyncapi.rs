//! The contract as documents: an AsyncAPI 3 document and one JSON Schema per kind of message, from the table of topics and the types that
//! are published.

use serde_json::{Map, Value, json};

use super::{
    message,
    topics::{self, CHANNELS, COMMAND, Channel, Family},
};
use crate::{config::FrameFormat, control::Verb};

/// Where the document lies, from the root of the repository.
pub const DOCUMENT: &str = "docs/mqtt/asyncapi.yaml";
/// Where the schemas lie, each as KIND.json.
pub const SCHEMAS: &str = "docs/mqtt/schemas";

/// The AsyncAPI 3.0 document (<https://www.asyncapi.com/docs/reference/specification/v3.0.0>). Its schemas lie beside it.
pub fn document() -> Value {
    let named = |entry: fn(&Channel) -> (String, Value), heard: (&str, Value)| {
        CHANNELS.iter().map(entry).chain([(heard.0.to_owned(), heard.1)]).collect::<Map<_, _>>()
    };
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "egret",
            "version": "1",
            "description": "What egret publishes over MQTT, and what it can be told. The manual is docs/mqtt.md.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": FrameFormat::Json.content_type(),
        "servers": {
            "broker": {
                "host": "broker.local:1883",
                "protocol": "mqtt",
                "protocolVersion": "5",
                "description": "The broker of [mqtt] url. MQTT 5, or 3.1.1 with [mqtt] version.",
            },
        },
        "channels": named(|channel| (channel.name.to_owned(), described(channel)), (COMMAND.name, described(&COMMAND))),
        "operations": named(
            |channel| (format!("publish{}", capitalised(channel.name)), operation(channel)),
            ("hearCommand", hearing()),
        ),
        "components": { "messages": messages() },
    })
}

/// The text of [`document`].
pub fn yaml() -> String {
    let mut text = String::from("# Made from the code: egret schema --asyncapi. Do not edit.\n");
    block(&document(), 0, &mut text);
    text
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// The names of a channel's messages. Frames come in one of three forms.
fn forms(channel: &Channel) -> Vec<String> {
    let forms: &[&str] = if channel.family == Family::Frame { &["", "Cbor", "Protobuf"] } else { &[""] };
    forms.iter().map(|form| format!("{}{form}", channel.kind)).collect()
}

fn described(channel: &Channel) -> Value {
    let messages: Map<String, Value> = forms(channel)
        .into_iter()
        .map(|form| (form.clone(), json!({ "$ref": format!("#/components/messages/{form}") })))
        .collect();
    let all = [
        ("base", "[mqtt] base_topic; egret where none is configured. It may have several levels."),
        ("device", "Name of the device."),
        ("camera", "Name of the camera."),
        ("rule", "Name of the rule."),
        ("verb", "What is to be done."),
    ];
    let mut parameters: Map<String, Value> = all
        .into_iter()
        .filter(|(name, _)| channel.address.contains(&format!("{{{name}}}")))
        .map(|(name, says)| (name.to_owned(), json!({ "description": says })))
        .collect();
    if let Some(verb) = parameters.get_mut("verb") {
        verb["enum"] = Verb::ALL.iter().map(|verb| Value::from(verb.as_str())).collect();
    }
    json!({ "address": channel.address, "description": channel.says, "messages": messages, "parameters": parameters })
}

fn operation(channel: &Channel) -> Value {
    let qos = u8::from(channel.family.acknowledged());
    json!({
        "action": "send",
        "channel": { "$ref": format!("#/channels/{}", channel.name) },
        "bindings": { "mqtt": { "qos": qos, "retain": channel.family.retained(), "bindingVersion": "0.2.0" } },
    })
}

/// Commands are heard with QoS 0, so that none waits at the broker for a daemon that is away.
fn hearing() -> Value {
    json!({
        "action": "receive",
        "channel": { "$ref": format!("#/channels/{}", COMMAND.name) },
        "bindings": { "mqtt": { "qos": 0, "retain": false, "bindingVersion": "0.2.0" } },
        "reply": {
            "channel": { "$ref": format!("#/channels/{}", topics::REPLY.name) },
        },
    })
}

fn messages() -> Map<String, Value> {
    let mut messages = Map::new();
    for (kind, schema) in message::schemas() {
        let says = schema.get("description").cloned().unwrap_or_default();
        let payload = json!({
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": { "$ref": format!("./schemas/{kind}.json") },
        });
        let message = json!({
            "name": kind, "contentType": FrameFormat::Json.content_type(), "description": says, "payload": payload,
        });
        messages.insert(kind.to_owned(), message);
    }
    for (name, format, file) in
        [("frameCbor", FrameFormat::Cbor, "egret.cddl"), ("frameProtobuf", FrameFormat::Protobuf, "egret.proto")]
    {
        let says = format!("The same in the compact form of {file}, with [mqtt] frame_format.");
        messages.insert(name.to_owned(), json!({ "name": name, "contentType": format.content_type(), "description": says }));
    }
    messages
}

/// YAML in block style; scalars and keys as in JSON, which YAML 1.2 is a superset of.
fn block(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                out.push_str(&pad);
                out.push_str(&quoted(key));
                nested(value, indent + 2, out);
            }
        }
        scalar => {
            out.push_str(&pad);
            out.push_str(&scalar.to_string());
            out.push('\n');
        }
    }
}

/// What follows a key.
fn nested(value: &Value, indent: usize, out: &mut String) {
    if value.as_object().is_some_and(|map| !map.is_empty()) {
        out.push_str(":\n");
        block(value, indent, out);
    } else {
        out.push_str(": ");
        block(value, 0, out);
    }
}

/// Plain where nobody could take it for something else.
fn quoted(key: &str) -> String {
    let plain = key.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') && !key.is_empty();
    if plain { key.to_owned() } else { Value::from(key).to_string() }
}
