//! The keys of commands over MQTT.

use serde::Deserialize;

use super::{Key, Kind, Section, Shape};

section! {
    /// Commands over MQTT: what others may tell this daemon to do.
    Commands: Under("mqtt") "commands" {
        /// Verbs that are obeyed, by name. Everybody who may publish on cmd/VERB at the broker gives orders then.
        allow: Texts, otherwise "none, and nothing is listened to";
    }
}
