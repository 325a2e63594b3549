//! Home Assistant's MQTT discovery, device by device: one message per camera says which entities it has and how their states are read
//! out of the native messages. It publishes nothing else, so entities and native messages can never disagree. Where commands allow it, each
//! camera has a switch.

mod entities;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use self::entities::Entity;
use super::{
    Device, Out, Wish,
    form::{json as to_json, level},
};
use crate::{
    analyse::CameraRules,
    config::HomeAssistantConfig,
    media::{StreamId, Tracked},
    publish::topics::{self, Family, Place},
    status::CameraStatus,
};

/// Where this project is at home.
const URL: &str = env!("CARGO_PKG_REPOSITORY");

struct Camera {
    topic: Arc<str>,
    /// What it is watched for, as it was last announced.
    rules: Arc<CameraRules>,
    /// The entities that were last announced, by identifier.
    entities: BTreeMap<String, Entity>,
    payload: Bytes,
    /// Where the picture of what was seen last is, and whether there is one.
    image: Arc<str>,
    shown: bool,
}

/// The dialect.
pub(super) struct HomeAssistant {
    prefix: String,
    birth: String,
    /// Where switches are turned; `None`: they may not be.
    switches: Option<String>,
    device: Device,
    /// Whether cameras have a picture of what they saw last.
    best_shots: bool,
    topic: Arc<str>,
    cameras: BTreeMap<StreamId, Camera>,
}

impl HomeAssistant {
    pub(super) fn new(config: &HomeAssistantConfig, device: &Device) -> Self {
        let prefix = config.discovery_prefix.clone();
        Self {
            birth: format!("{prefix}/status"),
            switches: None,
            topic: discovery(&prefix, &root(device)),
            prefix,
            device: device.clone(),
            best_shots: config.best_shots,
            cameras: BTreeMap::new(),
        }
    }

    pub(super) fn has_switches(&mut self) {
        self.switches = Some(self.switch("+"));
    }

    /// Where a camera is switched on and off.
    fn switch(&self, camera: &str) -> String {
        format!("{}/{}/{camera}/enabled/set", self.prefix, root(&self.device))
    }

    /// Where Home Assistant says that it has started, and where it turns switches.
    pub(super) fn subscriptions(&self) -> impl Iterator<Item = &str> {
        [&self.birth].into_iter().chain(&self.switches).map(String::as_str)
    }

    /// A switch is turned.
    pub(super) fn wish(&self, topic: &str, payload: &[u8]) -> Option<Wish> {
        let rest = topic.strip_prefix(&self.prefix)?.strip_prefix('/')?.strip_prefix(&root(&self.device))?;
        let camera = rest.strip_prefix('/')?.strip_suffix("/enabled/set")?;
        Some(Wish::new(camera, payload))
    }

    pub(super) fn connected(&mut self, out: &mut Out<'_>) {
        self.announce_all(out);
    }

    /// Home Assistant has started: whatever the broker keeps, it is told again.
    pub(super) fn heard(&mut self, topic: &str, payload: &[u8], out: &mut Out<'_>) {
        if topic == self.birth && payload == b"online" {
            self.announce_all(out);
        }
    }

    fn announce_all(&self, out: &mut Out<'_>) {
        out(&self.topic, to_json(&self.daemon()), Family::DialectState);
        for camera in self.cameras.values() {
            out(&camera.topic, camera.payload.clone(), Family::DialectState);
        }
    }

    pub(super) fn camera(&mut self, stream: &StreamId, status: &CameraStatus, out: &mut Out<'_>) {
        let known = self.cameras.get(stream);
        if known.is_some_and(|camera| camera.rules == status.rules) {
            return;
        }
        let place = Place { base: &self.device.base, device: &self.device.name, camera: stream.name(), ..Place::default() };
        let switch = self.switches.is_some().then(|| self.switch(&level(stream.name())));
        let entities = entities::of(place, &status.rules, switch.as_deref(), self.best_shots);
        let mut components: Map<String, Value> =
            entities.iter().map(|(id, entity)| (id.clone(), entity.config(&unique(&self.device, stream, id)))).collect();
        if switch.is_none() {
            // It may have been announced before the last start.
            components.insert(entities::SWITCH.to_owned(), json!({ "p": "switch" }));
        }
        if !self.best_shots {
            components.insert(entities::BEST_SHOT.to_owned(), json!({ "p": "image" }));
        }
        // An entity that is gone is named once more, with its platform alone: that removes it.
        for (id, entity) in known.into_iter().flat_map(|camera| &camera.entities) {
            if !entities.contains_key(id) {
                components.insert(id.clone(), json!({ "p": entity.platform() }));
            }
        }
        let id = format!("{}_{}", root(&self.device), level(stream.name()));
        let payload = to_json(&json!({
            "dev": {
                "ids": [id], "name": format!("{} {}", self.device.name, stream.name()), "mf": "egret", "mdl": "camera",
                "sw": env!("CARGO_PKG_VERSION"), "via_device": root(&self.device),
            },
            "o": origin(),
            "availability": [entities::device_availability(place), entities::camera_availability(place)],
            "availability_mode": "all",
            "qos": 1,
            "cmps": components,
        }));
        let topic = discovery(&self.prefix, &id);
        out(&topic, payload.clone(), Family::DialectState);
        let image = entities::image_topic(place);
        self.cameras
            .insert(stream.clone(), Camera { topic, rules: status.rules.clone(), entities, payload, image, shown: false });
    }

    /// Its device and all of its entities go.
    pub(super) fn removed(&mut self, stream: &StreamId, out: &mut Out<'_>) {
        let Some(camera) = self.cameras.remove(stream) else { return };
        // Another camera of that name may have come.
        if !self.cameras.values().any(|other| other.topic == camera.topic) {
            out(&camera.topic, Bytes::new(), Family::DialectState);
            if camera.shown {
                out(&camera.image, Bytes::new(), Family::DialectState);
            }
        }
    }

    /// What tracks look like.
    pub(super) fn frame(&mut self, tracked: &Tracked, out: &mut Out<'_>) {
        let Some(camera) = self.cameras.get_mut(&tracked.stream) else { return };
        for jpeg in tracked.shots.iter().filter_map(|(_, shot)| shot.jpeg()) {
            camera.shown = true;
            out(&camera.image, jpeg.clone(), Family::DialectState);
        }
    }

    /// The daemon's own device, which those of the cameras hang on.
    fn daemon(&self) -> Value {
        let Device { base, name, .. } = &self.device;
        let id = root(&self.device);
        json!({
            "dev": {
                "ids": [id], "name": name, "mf": "egret", "mdl": "egret", "sw": env!("CARGO_PKG_VERSION"),
            },
            "o": origin(),
            "qos": 1,
            "cmps": { "connected": {
                "p": "binary_sensor", "unique_id": format!("{id}_connected"), "name": "Connected",
                "device_class": "connectivity", "entity_category": "diagnostic",
                "state_topic": topics::DEVICE_STATUS.topic(Place { base, device: name, ..Place::default() }),
                "value_template": "{{ 'ON' if value_json.state == 'online' else 'OFF' }}",
            } },
        })
    }
}

fn origin() -> Value {
    json!({ "name": "egret", "sw": env!("CARGO_PKG_VERSION"), "url": URL })
}

/// The daemon's identifier, and what those of its cameras and entities begin with.
fn root(device: &Device) -> String {
    format!("egret_{}", level(&device.name))
}

fn unique(device: &Device, stream: &StreamId, entity: &str) -> String {
    format!("{}_{}_{entity}", root(device), level(stream.name()))
}

/// Object identifiers hold letters, digits, `_` and `-`; names of devices and cameras hold nothing else.
fn discovery(prefix: &str, id: &str) -> Arc<str> {
    format!("{prefix}/device/{id}/config").into()
}
