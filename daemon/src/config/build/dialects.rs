//! The dialects that are spoken, each if it is switched on.

use super::{
    super::{
        AxisConfig, DeepStreamConfig, DialectsConfig, FrigateConfig, HomeAssistantConfig, OnvifConfig,
        keys::{Axis, DeepStream, Frigate, HomeAssistant, Onvif},
        ledger::Ledger,
    },
    check_topic,
};

type Typed = (Frigate, HomeAssistant, DeepStream, Onvif, Axis);

pub(super) fn build((frigate, home, deepstream, onvif, axis): Typed, device: &str, ledger: &mut Ledger) -> DialectsConfig {
    let config = DialectsConfig {
        frigate: frigate.enabled.then_some(FrigateConfig { topic_prefix: frigate.topic_prefix }),
        home_assistant: home.enabled.then_some(HomeAssistantConfig { discovery_prefix: home.discovery_prefix }),
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
    config
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

/// No dialect may publish among our own topics.
pub(super) fn apart(config: &DialectsConfig, base: &str, ledger: &mut Ledger) {
    let within = |topic: &str| topic == base || topic.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
    for (key, _) in topics(config).filter(|(_, topic)| within(topic)) {
        ledger.clash(key, "mqtt.base_topic", "its topics would stand among egret's own", "write another first level");
    }
}
