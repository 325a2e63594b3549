//! The verbs that are obeyed.

use std::collections::BTreeSet;

use super::super::{MqttConfig, keys::Commands, ledger::Ledger, suggest};
use crate::control::Verb;

/// What is allowed has to be heard somewhere.
pub(super) fn heard(mqtt: &MqttConfig, ledger: &mut Ledger) {
    if !mqtt.commands.is_empty() && !mqtt.brokers().any(|broker| broker.listens) {
        let remedy = "write listens = true for a broker, or allow nothing";
        ledger.problem(&Commands::SECTION.path(None, "allow"), "commands are allowed, and no broker is listened to", remedy);
    }
}

pub(super) fn build(commands: &Commands, ledger: &mut Ledger) -> BTreeSet<Verb> {
    let path = Commands::SECTION.path(None, "allow");
    let names = || Verb::ALL.iter().map(|verb| verb.as_str());
    let mut allowed = BTreeSet::new();
    for word in commands.allow.iter().flatten() {
        if let Some(verb) = Verb::from_word(word) {
            allowed.insert(verb);
            continue;
        }
        let remedy = match suggest::nearest(word, names()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
        };
        ledger.problem(&path, format!("there is no verb {word:?}"), remedy);
    }
    allowed
}
