//! The dialects that are spoken, each if it is switched on.

use super::{
    super::{
        AxisConfig, CameraConfig, DeepStreamConfig, DialectsConfig, FrigateConfig, HomeAssistantConfig, OnvifConfig,
        keys::{Axis, DeepStream, Frigate, HomeAssistant, Onvif, Rule},
        ledger::Ledger,
    },
    check_topic,
};
use crate::analyse::RuleKind;

type Typed = (Frigate, HomeAssistant, DeepStream, Onvif, Axis);

pub(super) fn build(
    (frigate, home, deepstream, onvif, axis): Typed,
    (device, best_shots): (&str, bool),
    ledger: &mut Ledger,
) -> DialectsConfig {
    let config = DialectsConfig {
        frigate: frigate.enabled.then_some(FrigateConfig { topic_prefix: frigate.topic_prefix }),
        home_assistant: home.enabled.then_some(HomeAssistantConfig { discovery_prefix: home.discovery_prefix, best_shots }),
        deepstream: deepstream.enabled.then_some(DeepStreamConfig {
            topic: deepstream.topic,
            form: deepstream.form.0,
            frame_interval: deepstream.frame_interval,
        }),
        onvif: onvif.enabled.then_some(OnvifConfig {
            topic_prefix: onvif.topic_prefix.unwrap_or_else(|| device.to_owned()),
            events: onvif.events,
            metadata: onvif.metadata,
        }),
        axis: axis.enabled.then_some(AxisConfig { topic: axis.topic, frames: axis.frames, tracks: axis.tracks }),
    };
    for (key, topic) in topics(&config) {
        check_topic(key, topic, ledger);
    }
    let spoken: Vec<_> = topics(&config).collect();
    for (at, (key, topic)) in spoken.iter().enumerate() {
        if let Some((other, _)) = spoken[..at].iter().find(|(_, other)| below(topic, other) || below(other, topic)) {
            ledger.clash(key, other, "two dialects would publish among each other's topics", "write another first level");
        }
    }
    config
}

/// With Frigate a zone's counts stand beside those of cameras, `<prefix>/<camera or zone>/<label>`: under one name nobody could tell them
/// apart.
pub(super) fn zones_apart(config: &DialectsConfig, cameras: &[CameraConfig], ledger: &mut Ledger) {
    if config.frigate.is_none() {
        return;
    }
    for (camera, rule) in cameras.iter().flat_map(|camera| camera.rules.rules.iter().map(move |rule| (camera, rule))) {
        let is_zone = matches!(rule.kind, RuleKind::Zone | RuleKind::Dwell { .. } | RuleKind::Occupancy { .. });
        if is_zone && cameras.iter().any(|camera| camera.name == rule.name) {
            ledger.problem(
                &Rule::SECTION.path(Some(&format!("{}/{}", camera.name, rule.name)), "name"),
                "a camera has this name too, and Frigate's topics tell zones and cameras apart by their names alone",
                "give the rule another name, or switch mqtt.frigate off",
            );
        }
    }
}

/// The first levels of the topics of each, by key.
fn topics(config: &DialectsConfig) -> impl Iterator<Item = (&'static str, &str)> {
    let topics = [
        config.frigate.as_ref().map(|c| ("mqtt.frigate.topic_prefix", c.topic_prefix.as_str())),
        config.home_assistant.as_ref().map(|c| ("mqtt.homeassistant.discovery_prefix", c.discovery_prefix.as_str())),
        config.deepstream.as_ref().map(|c| ("mqtt.deepstream.topic", c.topic.as_str())),
        config.onvif.as_ref().map(|c| ("mqtt.onvif.topic_prefix", c.topic_prefix.as_str())),
        config.axis.as_ref().map(|c| ("mqtt.axis.topic", c.topic.as_str())),
    ];
    topics.into_iter().flatten()
}

/// The first levels of the topics of each.
pub(super) fn first_levels(config: &DialectsConfig) -> impl Iterator<Item = &str> {
    topics(config).map(|(_, level)| level)
}

/// Whether a topic is, or is below, another one.
fn below(topic: &str, base: &str) -> bool {
    topic == base || topic.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'))
}

/// No dialect may publish among our own topics.
pub(super) fn apart(config: &DialectsConfig, base: &str, ledger: &mut Ledger) {
    for (key, _) in topics(config).filter(|(_, topic)| below(topic, base)) {
        ledger.clash(key, "mqtt.base_topic", "its topics would stand among egret's own", "write another first level");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{DeepStreamForm, Sources, load, load_text};

    const ALL: &str = "device = \"gate\"\n[mqtt]\nurl = \"mqtt://b\"\n[mqtt.frigate]\nenabled = true\ntopic_prefix = \"site/frigate\"\n\
        [mqtt.homeassistant]\nenabled = true\n[mqtt.deepstream]\nenabled = true\nform = \"protobuf\"\nframe_interval = 30\n\
        [mqtt.onvif]\nenabled = true\nmetadata = false\n[mqtt.axis]\nenabled = true\n";

    fn config(text: &str) -> DialectsConfig {
        let loaded = load_text(Path::new(""), text).unwrap_or_else(|problems| panic!("{problems:?}"));
        loaded.config.mqtt.expect("a broker").dialects
    }

    /// The one problem of a text: its key, and the rest.
    fn problem(text: &str) -> (String, String) {
        let problems = load_text(Path::new(""), text).expect_err("refused");
        assert_eq!(problems.len(), 1, "{problems:?}");
        (problems[0].key.clone(), format!("{:?}", problems[0]))
    }

    #[test]
    fn none_is_spoken_unless_it_is_switched_on() {
        assert_eq!(config("[mqtt]\nurl = \"mqtt://b\"\n[mqtt.frigate]\ntopic_prefix = \"f\"\n"), DialectsConfig::default());
        let all = config(ALL);
        assert_eq!(all.frigate, Some(FrigateConfig { topic_prefix: "site/frigate".into() }));
        assert_eq!(all.home_assistant, Some(HomeAssistantConfig { discovery_prefix: "homeassistant".into(), best_shots: false }));
        let form = DeepStreamForm::Protobuf;
        assert_eq!(all.deepstream, Some(DeepStreamConfig { topic: "deepstream".into(), form, frame_interval: 30 }));
        assert_eq!(all.onvif, Some(OnvifConfig { topic_prefix: "gate".into(), events: true, metadata: false }));
        assert_eq!(all.axis, Some(AxisConfig { topic: "axis".into(), frames: true, tracks: true }));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key() {
        let below = |rest: &str| format!("[mqtt]\nurl = \"mqtt://b\"\n[mqtt.{rest}\n");
        for (text, key, part) in [
            (below("frigate]\nenabled = 1"), "mqtt.frigate.enabled", "true or false"),
            (below("frigate]\nenabled = true\ntopic_prefix = \"a/#\""), "mqtt.frigate.topic_prefix", "wildcard"),
            (below("frigate]\nenabled = true\ntopic_prefix = \"egret/x\""), "mqtt.frigate.topic_prefix", "among egret's own"),
            (below("axis]\nenabled = true\ntopic = \"a//b\""), "mqtt.axis.topic", "empty"),
            (
                below("frigate]\nenabled = true\n[mqtt.axis]\nenabled = true\ntopic = \"frigate/x\""),
                "mqtt.axis.topic",
                "among each other's topics",
            ),
            (below("deepstream]\nform = \"xml\""), "mqtt.deepstream.form", "minimal"),
            (below("deepstream]\nframe_interval = 0"), "mqtt.deepstream.frame_interval", "from 1 to 1000"),
            (below("onvif]\nmetdata = true"), "mqtt.onvif.metdata", "did you mean metadata?"),
            (below("frigat]\nenabled = true"), "mqtt.frigat", "did you mean frigate?"),
            ("[frigate]\nenabled = true\n".to_owned(), "frigate", "[mqtt.frigate]"),
            ("[mqtt]\nurl = \"mqtt://b\"\nfrigate = true\n".to_owned(), "mqtt.frigate", "write it as [mqtt.frigate]"),
            ("[mqtt.frigate]\nenabled = true\n".to_owned(), "mqtt", "mqtt://broker:1883"),
        ] {
            let (found, told) = problem(&text);
            assert!(found.starts_with(key) && told.contains(part), "{text}: {told}");
        }
    }

    #[test]
    fn a_zone_of_a_cameras_name_is_refused_where_frigate_is_spoken() {
        let text = |frigate: bool, kind: &str| {
            let place =
                if kind == "line" { "line = [[0.5, 0.0], [0.5, 1.0]]" } else { "zone = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]" };
            format!(
                "[mqtt]\nurl = \"mqtt://b\"\n[mqtt.frigate]\nenabled = {frigate}\n[[model]]\nname = \"m\"\nbuiltin = \"null\"\n\
                 [[camera]]\nname = \"door\"\nurl = \"test:ball\"\n[[camera.rule]]\nname = \"yard\"\nkind = \"{kind}\"\n{place}\n\
                 [[camera]]\nname = \"yard\"\nurl = \"test:ball\"\n"
            )
        };
        for (frigate, kind) in [(false, "zone"), (true, "line")] {
            config(&text(frigate, kind));
        }
        for kind in ["zone", "dwell\"\ntime = \"5s", "occupancy\"\nmin_count = 2\ntime = \"5s"] {
            let (key, told) = problem(&text(true, kind));
            assert_eq!(key, "camera.door.rule.yard.name", "{told}");
            assert!(told.contains("yard") && told.contains("a camera has this name") && told.contains("another name"), "{told}");
        }
    }

    #[test]
    fn a_variable_switches_one_on() {
        let of = |name: &str| Sources {
            variables: [("EGRET__MQTT__URL", "mqtt://b"), (name, "true")]
                .map(|(name, value)| (name.into(), value.into()))
                .to_vec(),
            ..Sources::default()
        };
        let loaded = load(&of("EGRET__MQTT__FRIGATE__ENABLED")).unwrap_or_else(|rejected| panic!("{rejected:?}"));
        assert!(loaded.config.mqtt.is_some_and(|mqtt| mqtt.dialects.frigate.is_some()));
        assert!(load(&of("EGRET__FRIGATE__ENABLED")).is_err());
    }
}
