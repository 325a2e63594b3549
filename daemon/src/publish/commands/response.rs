//! Where commands come from, and where answers may go.

use std::sync::Arc;

use crate::{
    config::MqttConfig,
    control::{Reason, Refusal},
    publish::topics::{self, Place},
};

/// Longest response topic.
const LONGEST: usize = 512;

/// The topics of commands.
pub(super) struct Topics {
    base: String,
    device: String,
    /// What commands' topics begin with.
    prefix: String,
    /// Trees in which others believe what is published: our own, and those of dialects.
    believed: Vec<String>,
}

/// Whether a topic is, or is below, another one.
fn below(topic: &str, base: &str) -> bool {
    topic == base || topic.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'))
}

impl Topics {
    pub(super) fn new(config: &MqttConfig, device: &str) -> Self {
        let place = Place { base: &config.base_topic, device, verb: "", ..Place::default() };
        let dialects = &config.dialects;
        let of_dialects = [
            dialects.frigate.as_ref().map(|config| &config.topic_prefix),
            dialects.home_assistant.as_ref().map(|config| &config.discovery_prefix),
            dialects.deepstream.as_ref().map(|config| &config.topic),
            dialects.onvif.as_ref().map(|config| &config.topic_prefix),
            dialects.axis.as_ref().map(|config| &config.topic),
        ];
        Self {
            base: config.base_topic.clone(),
            device: device.to_owned(),
            prefix: topics::COMMAND.topic(place).to_string(),
            believed: std::iter::once(&config.base_topic).chain(of_dialects.into_iter().flatten()).cloned().collect(),
        }
    }

    /// The last level of a command's topic; `None`: it is none.
    pub(super) fn verb<'t>(&self, topic: &'t str) -> Option<&'t str> {
        topic.strip_prefix(&self.prefix).filter(|word| !word.contains('/'))
    }

    /// Where a command is answered that says nothing else.
    pub(super) fn usual(&self, verb: &str) -> Arc<str> {
        topics::REPLY.topic(Place { base: &self.base, device: &self.device, verb, ..Place::default() })
    }

    /// Checks where a sender wants its answer.
    ///
    /// # Errors
    /// An answer there could not be sent, or would be believed to be something else.
    pub(super) fn response(&self, topic: &str) -> Result<Arc<str>, Refusal> {
        let own_reply = || {
            let verb = topic.strip_prefix(&self.prefix).and_then(|rest| rest.strip_suffix("/reply"));
            verb.is_some_and(topics::is_level)
        };
        let message = if topic.is_empty() || topic.len() > LONGEST {
            format!("its response topic has {} bytes, not 1 to {LONGEST}", topic.len())
        } else if topic.contains(['+', '#']) {
            "its response topic has a wildcard".to_owned()
        } else if topic.chars().any(char::is_control) {
            "its response topic has control characters".to_owned()
        } else if topic.starts_with('$') {
            "its response topic is one of the broker's own ($…)".to_owned()
        } else if self.believed.iter().any(|base| below(topic, base)) && !own_reply() {
            "its response topic is one where egret publishes, or another egret does: an answer there could be taken for something else"
                .to_owned()
        } else {
            return Ok(topic.into());
        };
        let remedy = format!("name a topic of your own, or {}, or none", self.usual("VERB"));
        Err(Refusal::new(Reason::ResponseTopic, message, remedy))
    }
}
