//! From the payload of a command to what is to be done. Nothing in a payload is believed: it is bounded, an object of the fields that the
//! verb takes, and whatever it says of the configuration is checked by the configuration's own code.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{Reason, Refusal, Verb, json::Once};
use crate::config::LIVE_KEYS;

/// Longest name of a command.
const LONGEST_ID: usize = 128;
/// Longest text of a refusal that quotes a payload.
const LONGEST_QUOTE: usize = 200;
/// Keys of a camera that read files, variables or credentials of the device: a command could have them sent to any address.
const OF_THE_DEVICE: [&str; 3] = ["password_file", "password_env", "password_credential"];

/// What is to be done.
#[derive(Clone, PartialEq)]
pub enum Action {
    /// `status`
    Status,
    /// `health`
    Health,
    /// `reload`
    Reload,
    /// `log`; `None`: as the files have it.
    Log(Option<String>),
    /// `camera_enable`, `camera_disable`
    Switch(String, bool),
    /// `camera_set`: keys and their values; `None`: as the files have it.
    Set(String, Vec<(String, Option<toml::Value>)>),
    /// `camera_add`: name and keys.
    Add(String, toml::Table),
    /// `camera_remove`
    Remove(String),
}

impl std::fmt::Debug for Action {
    /// A camera may come with its password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status => f.write_str("Status"),
            Self::Health => f.write_str("Health"),
            Self::Reload => f.write_str("Reload"),
            Self::Log(filter) => f.debug_tuple("Log").field(filter).finish(),
            Self::Switch(camera, on) => f.debug_tuple("Switch").field(camera).field(on).finish(),
            Self::Set(camera, keys) => f.debug_tuple("Set").field(camera).field(keys).finish(),
            Self::Add(camera, _) => f.debug_tuple("Add").field(camera).finish_non_exhaustive(),
            Self::Remove(camera) => f.debug_tuple("Remove").field(camera).finish(),
        }
    }
}

/// A command as it was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Its name, by which its reply is known and a second one of that name is not carried out.
    pub id: Option<String>,
    /// What is to be done, or why not.
    pub action: Result<Action, Refusal>,
}

/// `cmd/<verb>`: what each verb takes. An empty payload is an empty object.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CommandMessage {
    /// `status`, `health`, `reload`
    Plain(Plain),
    /// `log`
    Log(LogFilter),
    /// `camera_enable`, `camera_disable`, `camera_remove`
    OfCamera(OfCamera),
    /// `camera_set`
    SetCamera(SetCamera),
    /// `camera_add`
    AddCamera(AddCamera),
}

/// Takes nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plain {
    /// Names the command, at most 128 bytes: the reply has it, and a second command of that name is not carried out.
    #[serde(rename = "id")]
    _id: Option<Id>,
}

/// Takes a filter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogFilter {
    /// Names the command.
    #[serde(rename = "id")]
    _id: Option<Id>,
    /// What is logged, as `[log] filter`. `null`: as the files have it.
    filter: Option<String>,
}

/// Takes a camera.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfCamera {
    /// Names the command.
    #[serde(rename = "id")]
    _id: Option<Id>,
    /// Name of the camera.
    camera: String,
}

/// Takes a camera and keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetCamera {
    /// Names the command.
    #[serde(rename = "id")]
    _id: Option<Id>,
    /// Name of the camera.
    camera: String,
    /// Keys of `[[camera]]` that can change while it runs, and their values. `null`: as the files have it.
    set: Map<String, Value>,
}

/// Takes a whole camera.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddCamera {
    /// Names the command.
    #[serde(rename = "id")]
    _id: Option<Id>,
    /// A `[[camera]]` of the configuration, its `[[camera.rule]]` as a list `rule`.
    camera: Map<String, Value>,
}

/// The name of a command: a text or a whole number.
#[derive(Debug)]
pub struct Id(String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let text = match &value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) if !number.is_f64() => Some(number.to_string()),
            _ => None,
        };
        let fits = |text: &String| (1..=LONGEST_ID).contains(&text.len()) && !text.chars().any(char::is_control);
        text.filter(fits)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom(format!("an id is a text of at most {LONGEST_ID} bytes, or a whole number")))
    }
}

impl JsonSchema for Id {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "minLength": 1, "maxLength": LONGEST_ID })
    }
}

/// The name of a command, whatever else it says.
pub fn id(payload: &[u8]) -> Option<String> {
    serde_json::from_slice::<Value>(payload).ok().as_ref().and_then(id_of)
}

fn id_of(value: &Value) -> Option<String> {
    let id = value.get("id")?.clone();
    serde_json::from_value::<Id>(id).ok().map(|Id(id)| id)
}

/// Understands the payload of a verb.
pub fn parse(verb: Verb, payload: &[u8]) -> Order {
    let blank = payload.iter().all(u8::is_ascii_whitespace);
    let read = if blank { Ok(Value::Object(Map::new())) } else { serde_json::from_slice(payload).map(|Once(value)| value) };
    let value = match read {
        Ok(value @ Value::Object(_)) => value,
        Ok(_) => return Order { id: None, action: Err(malformed(verb, "it is no JSON object")) },
        Err(error) => return Order { id: None, action: Err(malformed(verb, format!("it is no JSON: {error}"))) },
    };
    Order { id: id_of(&value), action: action(verb, value) }
}

fn action(verb: Verb, value: Value) -> Result<Action, Refusal> {
    Ok(match verb {
        Verb::Status => read::<Plain>(verb, value).map(|_| Action::Status)?,
        Verb::Health => read::<Plain>(verb, value).map(|_| Action::Health)?,
        Verb::Reload => read::<Plain>(verb, value).map(|_| Action::Reload)?,
        Verb::Log => {
            if value.get("filter").is_none() {
                return Err(malformed(verb, "it has no filter"));
            }
            Action::Log(read::<LogFilter>(verb, value)?.filter)
        }
        Verb::CameraEnable => Action::Switch(read::<OfCamera>(verb, value)?.camera, true),
        Verb::CameraDisable => Action::Switch(read::<OfCamera>(verb, value)?.camera, false),
        Verb::CameraRemove => Action::Remove(read::<OfCamera>(verb, value)?.camera),
        Verb::CameraSet => {
            let SetCamera { camera, set, .. } = read(verb, value)?;
            Action::Set(camera, keys(verb, set)?)
        }
        Verb::CameraAdd => {
            let AddCamera { camera, .. } = read(verb, value)?;
            let (name, camera) = whole(verb, camera)?;
            Action::Add(name, camera)
        }
    })
}

fn read<T: DeserializeOwned>(verb: Verb, value: Value) -> Result<T, Refusal> {
    serde_json::from_value(value).map_err(|error| malformed(verb, error.to_string()))
}

/// What a verb takes, as an example.
fn example(verb: Verb) -> &'static str {
    match verb {
        Verb::Status | Verb::Health | Verb::Reload => r#"nothing, or {"id": "1"}"#,
        Verb::Log => r#"{"filter": "debug"}"#,
        Verb::CameraEnable | Verb::CameraDisable | Verb::CameraRemove => r#"{"camera": "door"}"#,
        Verb::CameraSet => r#"{"camera": "door", "set": {"max_fps": 5}}"#,
        Verb::CameraAdd => r#"{"camera": {"name": "door", "url": "rtsp://192.168.1.20/stream1"}}"#,
    }
}

fn malformed(verb: Verb, reason: impl Into<String>) -> Refusal {
    let reason: String = reason.into();
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(LONGEST_QUOTE).collect();
    Refusal::new(Reason::Malformed, reason, format!("send {}; an id names the command in its reply", example(verb)))
}

/// Keys to set.
fn keys(verb: Verb, set: Map<String, Value>) -> Result<Vec<(String, Option<toml::Value>)>, Refusal> {
    if set.is_empty() {
        return Err(malformed(verb, "it sets nothing"));
    }
    let foreign: Vec<String> =
        set.keys().filter(|key| !LIVE_KEYS.contains(&key.as_str())).map(|key| format!("{:?}", quote(key))).take(8).collect();
    if !foreign.is_empty() {
        let remedy = format!(
            "what can be set is {}; for anything else take the camera away and add it anew, or write it into the file and reload",
            LIVE_KEYS.join(", ")
        );
        let message = format!("{} cannot be set while a camera runs", foreign.join(", "));
        return Err(Refusal::new(Reason::Malformed, message, remedy));
    }
    let value = |(key, value): (String, Value)| match value {
        Value::Null => Ok((key, None)),
        value => match written(&value) {
            Some(value) => Ok((key, Some(value))),
            None => Err(malformed(verb, format!("{key} has a value that no configuration can have"))),
        },
    };
    set.into_iter().map(value).collect()
}

/// The name and the keys of a camera.
fn whole(verb: Verb, mut camera: Map<String, Value>) -> Result<(String, toml::Table), Refusal> {
    let Some(Value::String(name)) = camera.remove("name") else { return Err(malformed(verb, "the camera has no name")) };
    if !is_name(&name) {
        let remedy = "a name has 1 to 64 letters, digits, - and _";
        return Err(Refusal::new(Reason::Malformed, format!("{:?} is no name of a camera", quote(&name)), remedy));
    }
    if let Some(key) = OF_THE_DEVICE.iter().find(|key| camera.contains_key(**key)) {
        let remedy = "give the password itself, over TLS; or write the camera into the configuration's files";
        return Err(Refusal::new(
            Reason::Malformed,
            format!("{key} cannot come by command: it reads what is the device's own"),
            remedy,
        ));
    }
    for (scheme, why) in [("gst:", "its elements may do anything"), ("file:", "it reads what is the device's own")] {
        let is = |key: &&str| {
            camera.get(*key).and_then(Value::as_str).is_some_and(|url| url.trim_start().to_ascii_lowercase().starts_with(scheme))
        };
        if ["url", "sub_stream_url"].iter().any(is) {
            let remedy = "write the camera into the configuration's files";
            return Err(Refusal::new(Reason::Malformed, format!("{scheme} cannot come by command: {why}"), remedy));
        }
    }
    let table = camera.iter().map(|(key, value)| written(value).map(|value| (key.clone(), value)));
    match table.collect::<Option<toml::Table>>() {
        Some(table) => Ok((name, table)),
        None => Err(malformed(verb, "null, and numbers beyond 64 bits, are no values of a configuration")),
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn quote(text: &str) -> String {
    text.chars().take(64).collect()
}

/// JSON as the configuration writes it. `None`: it cannot.
fn written(value: &Value) -> Option<toml::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => toml::Value::Boolean(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => toml::Value::Integer(whole),
            None if number.is_u64() => return None,
            None => toml::Value::Float(number.as_f64()?),
        },
        Value::String(text) => toml::Value::String(text.clone()),
        Value::Array(items) => toml::Value::Array(items.iter().map(written).collect::<Option<_>>()?),
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| written(value).map(|value| (key.clone(), value)));
            toml::Value::Table(pairs.collect::<Option<_>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn understood(verb: Verb, payload: &Value) -> Action {
        parse(verb, payload.to_string().as_bytes()).action.unwrap_or_else(|refusal| panic!("{refusal:?}"))
    }

    #[test]
    fn every_verb_is_understood() {
        for verb in [Verb::Status, Verb::Health, Verb::Reload] {
            assert!(parse(verb, b"").action.is_ok() && parse(verb, b" {} ").action.is_ok());
            assert_eq!(parse(verb, br#"{"id":7}"#).id.as_deref(), Some("7"));
        }
        assert_eq!(understood(Verb::Log, &json!({ "filter": "debug" })), Action::Log(Some("debug".into())));
        assert_eq!(understood(Verb::Log, &json!({ "filter": null })), Action::Log(None));
        let door = json!({ "id": "a", "camera": "door" });
        assert_eq!(understood(Verb::CameraEnable, &door), Action::Switch("door".into(), true));
        assert_eq!(understood(Verb::CameraDisable, &door), Action::Switch("door".into(), false));
        assert_eq!(understood(Verb::CameraRemove, &door), Action::Remove("door".into()));
        let set = understood(Verb::CameraSet, &json!({ "camera": "door", "set": { "classes": null, "max_fps": 2.5 } }));
        assert_eq!(set, Action::Set("door".into(), vec![("classes".into(), None), ("max_fps".into(), Some(2.5.into()))]));
        let camera = json!({ "name": "yard", "url": "test:ball", "rule": [{ "name": "z" }] });
        let Action::Add(name, table) = understood(Verb::CameraAdd, &json!({ "camera": camera })) else { panic!("no camera") };
        assert_eq!(
            (name.as_str(), table["url"].as_str(), table["rule"][0]["name"].as_str()),
            ("yard", Some("test:ball"), Some("z"))
        );
    }

    /// What the example of each verb shows is understood.
    #[test]
    fn examples_are_real() {
        for verb in Verb::ALL {
            let example = example(verb).rsplit("or ").next().expect("an example");
            assert!(parse(verb, example.as_bytes()).action.is_ok(), "{verb:?}: {example}");
        }
    }

    #[test]
    fn what_is_no_command_is_refused_with_its_remedy() {
        for (verb, payload, why) in [
            (Verb::Reload, "ON", "no JSON"),
            (Verb::Reload, "[]", "no JSON object"),
            (Verb::Reload, r#"{"now":true}"#, "unknown field `now`"),
            (Verb::CameraDisable, r#"{"camera":"door","camera":"yard"}"#, "\"camera\" twice"),
            (Verb::Reload, r#"{"id":{}}"#, "an id is"),
            (Verb::Log, "", "no filter"),
            (Verb::Log, r#"{"filter":3}"#, "expected a string"),
            (Verb::CameraEnable, "{}", "missing field `camera`"),
            (Verb::CameraEnable, r#"{"camera":["door"]}"#, "expected a string"),
            (Verb::CameraSet, r#"{"camera":"door","set":{}}"#, "sets nothing"),
            (Verb::CameraSet, r#"{"camera":"door","set":{"url":"x","max_fps":1}}"#, "\"url\" cannot be set"),
            (Verb::CameraSet, r#"{"camera":"door","set":{"max_fps":18446744073709551615}}"#, "no configuration"),
            (Verb::CameraAdd, r#"{"camera":{"url":"test:ball"}}"#, "no name"),
            (Verb::CameraAdd, r#"{"camera":{"name":"a/b"}}"#, "is no name"),
            (Verb::CameraAdd, r#"{"camera":{"name":"a","password_file":"/etc/shadow"}}"#, "password_file cannot"),
            (Verb::CameraAdd, r#"{"camera":{"name":"a","password_env":"HOME"}}"#, "password_env cannot"),
            (Verb::CameraAdd, r#"{"camera":{"name":"a","password_credential":"mqtt"}}"#, "password_credential cannot"),
            (Verb::CameraAdd, r#"{"camera":{"name":"a","url":" GST:filesink"}}"#, "gst: cannot"),
            (Verb::CameraAdd, r#"{"camera":{"name":"a","url":"file:/etc/egret/broker.key"}}"#, "file: cannot"),
            (Verb::CameraAdd, r#"{"camera":{"name":"a","url":"test:ball","sub_stream_url":"File:///x"}}"#, "file: cannot"),
            (Verb::CameraAdd, r#"{"camera":{"name":"a","url":null}}"#, "null"),
        ] {
            let refusal = parse(verb, payload.as_bytes()).action.expect_err(payload);
            assert_eq!(refusal.reason, Reason::Malformed, "{payload}");
            assert!(refusal.message.contains(why) && !refusal.remedy.is_empty(), "{payload}: {refusal:?}");
        }
        let deep = "[".repeat(100_000);
        assert!(parse(Verb::Reload, deep.as_bytes()).action.is_err());
        assert_eq!(parse(Verb::Reload, br#"{"id":"x","now":1}"#).id.as_deref(), Some("x"), "the reply is known by it");
        let long = json!({ "id": "x".repeat(129) }).to_string();
        assert_eq!(parse(Verb::Reload, long.as_bytes()).id, None);
    }

    proptest! {
        /// Whatever comes: an answer, bounded, and never a camera's command without the camera.
        #[test]
        fn garbage_is_never_carried_out(bytes in prop::collection::vec(any::<u8>(), 0..300), verb in 0..Verb::ALL.len()) {
            let order = parse(Verb::ALL[verb], &bytes);
            let blank = bytes.iter().all(u8::is_ascii_whitespace);
            match order.action {
                Ok(action) => prop_assert!(blank || matches!(action, Action::Status | Action::Health | Action::Reload), "{action:?}"),
                Err(refusal) => prop_assert!(refusal.message.len() < 1000),
            }
        }

        /// JSON of any shape.
        #[test]
        fn strange_json_is_refused(name in "[a-z]{1,8}", text in ".{0,40}", number in any::<i64>(), verb in 0..Verb::ALL.len()) {
            let payload = json!({ name.clone(): [text.clone(), number, { "x": text }] });
            let taken = parse(Verb::ALL[verb], payload.to_string().as_bytes()).action;
            prop_assert!(taken.is_err(), "{:?}", taken);
        }
    }
}
