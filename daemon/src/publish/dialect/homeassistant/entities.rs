//! The entities of a camera: its state, and what its rules count and tell.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use crate::{
    analyse::{CameraRules, RuleConfig, RuleKind},
    publish::topics::{self, Place},
    status::CameraState,
};

/// Whether the daemon is there.
pub(super) fn device_availability(place: Place<'_>) -> Value {
    json!({
        "topic": topics::DEVICE_STATUS.topic(place),
        "value_template": "{{ value_json.state }}",
        "payload_available": "online", "payload_not_available": "offline",
    })
}

/// Whether pictures of the camera come: what is counted in none says nothing.
pub(super) fn camera_availability(place: Place<'_>) -> Value {
    json!({
        "topic": topics::CAMERA_STATUS.topic(place),
        "value_template": format!("{{{{ 'online' if value_json.state in {} else 'offline' }}}}", seen()),
        "payload_available": "online", "payload_not_available": "offline",
    })
}

/// The states in which pictures come, as a list in a template.
fn seen() -> String {
    use CameraState::{Black, Blurred, Frozen, Moved, Online};
    let words: Vec<String> =
        [Online, Frozen, Black, Blurred, Moved].iter().map(|state| format!("'{}'", state.as_str())).collect();
    format!("[{}]", words.join(", "))
}

/// An entity.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entity {
    platform: &'static str,
    config: Value,
}

impl Entity {
    pub(super) fn platform(&self) -> &'static str {
        self.platform
    }

    /// Its part of the discovery message.
    pub(super) fn config(&self, unique_id: &str) -> Value {
        let mut config = self.config.clone();
        config["p"] = self.platform.into();
        config["unique_id"] = unique_id.into();
        config
    }
}

/// Identifier of the switch of a camera.
pub(super) const SWITCH: &str = "enabled";

/// Identifier of its latest picture of an object.
pub(super) const BEST_SHOT: &str = "best_shot";

/// The entities of a camera, by identifier. `switch`: where it is switched on and off, if it may be. `best_shots`: whether there are any.
pub(super) fn of(place: Place<'_>, rules: &CameraRules, switch: Option<&str>, best_shots: bool) -> BTreeMap<String, Entity> {
    let mut entities = BTreeMap::new();
    own(place, &mut entities);
    entities.extend(switch.map(|topic| (SWITCH.to_owned(), switched(place, topic))));
    entities.extend(best_shots.then(|| (BEST_SHOT.to_owned(), image(place))));
    for rule in &rules.rules {
        of_rule(place, rule, &mut entities);
    }
    entities
}

/// Its state is what the camera's status says, and not what was wished.
fn switched(place: Place<'_>, topic: &str) -> Entity {
    let off = CameraState::Disabled.as_str();
    let config = json!({
        "name": "Enabled", "state_topic": topics::CAMERA_STATUS.topic(place), "command_topic": topic, "optimistic": false,
        "value_template": format!("{{{{ 'OFF' if value_json.state == '{off}' else 'ON' }}}}"),
        "availability": [device_availability(place)], "entity_category": "config",
    });
    Entity { platform: "switch", config }
}

/// Objects when they are confirmed, and at their best when they are gone.
fn image(place: Place<'_>) -> Entity {
    let config = json!({
        "name": "Best shot", "image_topic": image_topic(place), "content_type": "image/jpeg",
        "availability": [device_availability(place)],
    });
    Entity { platform: "image", config }
}

/// Where the picture of what a camera saw last is.
pub(super) fn image_topic(place: Place<'_>) -> Arc<str> {
    let Place { base, device, camera, .. } = place;
    format!("{base}/{device}/cam/{camera}/best_shot").into()
}

/// What every camera has. It is there while the daemon is, whatever the camera does.
fn own(place: Place<'_>, out: &mut BTreeMap<String, Entity>) {
    let status = topics::CAMERA_STATUS.topic(place);
    let mut add = |id: &str, platform, mut config: Value| {
        config["state_topic"] = (*status).into();
        config["availability"] = json!([device_availability(place)]);
        config["entity_category"] = "diagnostic".into();
        out.insert(id.to_owned(), Entity { platform, config });
    };
    let states: Vec<&str> = CameraState::ALL.iter().map(|state| state.as_str()).collect();
    let state = json!({
        "name": "State", "device_class": "enum", "options": states, "value_template": "{{ value_json.state }}",
        "json_attributes_topic": status, "json_attributes_template": "{{ {'since': value_json.since, 'detail': value_json.detail} | tojson }}",
    });
    add("state", "sensor", state);
    let online = format!("{{{{ 'ON' if value_json.state in {} else 'OFF' }}}}", seen());
    add("pictures", "binary_sensor", json!({ "name": "Pictures", "device_class": "connectivity", "value_template": online }));
    let fps = json!({
        "name": "Frame rate", "unit_of_measurement": "fps", "state_class": "measurement", "suggested_display_precision": 1,
        "value_template": "{{ value_json.fps }}",
    });
    add("fps", "sensor", fps);
}

/// A name as part of an identifier.
fn slug(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

/// A text in a template; JSON's escapes are those of the template language too.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn of_rule(place: Place<'_>, rule: &RuleConfig, out: &mut BTreeMap<String, Entity>) {
    let name = rule.name.as_str();
    let kind = rule.kind.as_str();
    let mut add = |mut id: String, platform, config| {
        // Two names may be the same but for what an identifier cannot hold.
        while out.contains_key(&id) {
            id.push('_');
        }
        out.insert(id, Entity { platform, config });
    };
    let counts = topics::COUNT.topic(Place { rule: name, ..place });
    let classes = rule.classes.as_deref().unwrap_or_default();
    // The total, and each class that the rule names.
    let mut parts = vec![(slug(name), name.to_owned(), "value_json.total".to_owned())];
    parts.extend(classes.iter().map(|class| {
        let number = format!("value_json.classes.get({}, {{}})", quoted(class));
        (format!("{}__{}", slug(name), slug(class)), format!("{name} {class}"), number)
    }));
    let sensor = |title: String, class: &str, key: &str, of: &str| {
        json!({
            "name": title, "state_topic": counts, "state_class": class, "unit_of_measurement": "objects",
            "value_template": format!("{{{{ {of}.get('{key}', 0) }}}}"),
        })
    };
    match &rule.kind {
        RuleKind::Line(_) => {
            for (id, title, of) in &parts {
                add(format!("{id}_in"), "sensor", sensor(format!("{title} in"), "total_increasing", "in", of));
                add(format!("{id}_out"), "sensor", sensor(format!("{title} out"), "total_increasing", "out", of));
            }
        }
        RuleKind::Zone
        | RuleKind::Dwell { .. }
        | RuleKind::Occupancy { .. }
        | RuleKind::Absence { .. }
        | RuleKind::NewHigh { .. }
        | RuleKind::NewLow { .. } => {
            for (id, title, of) in &parts {
                let occupied = json!({
                    "name": title, "device_class": "occupancy", "state_topic": counts,
                    "value_template": format!("{{{{ 'ON' if {of}.get('now', 0) > 0 else 'OFF' }}}}"),
                });
                add(format!("{id}_occupied"), "binary_sensor", occupied);
                add(format!("{id}_count"), "sensor", sensor(format!("{title} count"), "measurement", "now", of));
            }
        }
        RuleKind::Summary { .. } => return,
        _ => {}
    }
    let event = json!({
        "name": format!("{name} event"), "state_topic": topics::EVENT.topic(Place { rule: name, ..place }),
        "event_types": ["start", "end", "once"],
        "value_template": "{{ {'event_type': value_json.phase, 'rule': value_json.rule, 'kind': value_json.rule_kind, \
            'event': value_json.event, 'objects': value_json.objects | map(attribute='class') | list, \
            'value': value_json.value | default(none), 'direction': value_json.direction | default(none)} | tojson }}",
    });
    let event = if kind == "line" || kind == "zone" { with(event, "device_class", "motion") } else { event };
    add(format!("{}_event", slug(name)), "event", event);
}

fn with(mut config: Value, key: &str, value: &str) -> Value {
    config[key] = value.into();
    config
}
