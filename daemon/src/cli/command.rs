//! `egret command`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use serde_json::Value;
use tokio::time::timeout;

use super::broker::{self, BrokerArgs};
use crate::{
    config,
    control::{self, Verb},
    life::Exit,
    listen::{Subscription, printable},
    publish::{
        self,
        topics::{self, Place},
    },
};

/// Arguments of `egret command`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// What is to be done: status, health, reload, log, camera_enable, camera_disable, camera_set, camera_add, camera_remove.
    #[arg(value_name = "VERB", value_parser = verb)]
    verb: Verb,
    /// What the verb takes, as a JSON object, e.g. '{"camera": "door"}'.
    #[arg(value_name = "JSON", default_value = "{}", hide_default_value = true)]
    payload: String,
    /// The device [default: that of the configuration]
    #[arg(long, value_name = "NAME", value_parser = broker::name)]
    device: Option<String>,
    #[command(flatten)]
    broker: BrokerArgs,
    /// How long the reply is waited for, e.g. 30s.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = span)]
    wait: Duration,
}

const AFTER_HELP: &str = "\
The daemon obeys verbs that its configuration allows ([mqtt.commands]). The reply is printed as JSON.

Exit codes: 0 it was carried out; 1 it was refused, or there was no reply in time; 2 the command line is wrong; 78 the configuration is
wrong.

Examples:
  egret command status --broker mqtt://broker.local --device box1
  egret command camera_set '{\"camera\": \"door\", \"set\": {\"max_fps\": 5}}' --config /etc/egret/egret.toml";

fn verb(word: &str) -> Result<Verb, String> {
    Verb::from_word(word).ok_or_else(|| {
        let names: Vec<&str> = Verb::ALL.iter().map(|verb| verb.as_str()).collect();
        match config::nearest(word, names.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("there are {}", names.join(", ")),
        }
    })
}

fn span(text: &str) -> Result<Duration, String> {
    config::span(text).ok_or_else(|| "write it such as 20s, 500ms or 5m".to_owned())
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (mqtt, configured) = match broker::resolve(&args.broker) {
        Ok(mqtt) => mqtt?,
        Err(problems) => return super::run::refuse(&problems),
    };
    let device = args.device.clone().or(configured).context("whose command is it? Name the device with --device, or --config")?;
    let (payload, id) = named(args.verb, &args.payload)?;
    let place = Place { base: &mqtt.base_topic, device: &device, verb: args.verb.as_str(), ..Place::default() };
    let reply = topics::REPLY.topic(place).to_string();
    let status = topics::DEVICE_STATUS.topic(place).to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no async runtime")?;
    let answer = runtime.block_on(async {
        let mut subscription =
            Subscription::saying(&mqtt.first, &[reply, status.clone()], Some((&topics::COMMAND.topic(place), payload)))?;
        let answer = async {
            loop {
                let Some(message) = subscription.next().await? else { continue };
                match serde_json::from_slice::<Value>(&message.payload) {
                    Ok(value) if message.topic == status => {
                        anyhow::ensure!(value["state"] != "offline", "{}", offline(&device, &value));
                    }
                    Ok(value) if value["id"] == *id => return Ok::<_, anyhow::Error>(value),
                    _ => {}
                }
            }
        };
        let late = || {
            let (verb, wait) = (args.verb.as_str(), args.wait);
            format!(
                "no reply from {device} within {wait:?}: is it online at this broker, does [mqtt.commands] there allow any verb, \
                 and may this user publish {verb}?"
            )
        };
        timeout(args.wait, answer).await.with_context(late)?
    })?;
    // Strings in it may be anybody's; JSON has no control characters but newlines.
    let text = format!("{answer:#}");
    let mut out = io::stdout().lock();
    for line in text.lines() {
        writeln!(out, "{}", printable(line))?;
    }
    Ok(if answer["ok"] == true { Exit::Clean } else { Exit::Failure }.into())
}

/// Nobody is there to hear it.
fn offline(device: &str, status: &Value) -> String {
    let at = |key: &str| printable(status[key].as_str().unwrap_or("an unknown time")).into_owned();
    format!(
        "{device} is offline: it said so at this broker at {} ({}). Start it, and try again",
        at("published_at"),
        at("reason")
    )
}

/// The payload with a name by which its reply is known.
fn named(verb: Verb, payload: &str) -> anyhow::Result<(Vec<u8>, String)> {
    if let Err(refusal) = control::parse(verb, payload.as_bytes()).action {
        anyhow::bail!("{}: {}", refusal.message, refusal.remedy);
    }
    let mut object: serde_json::Map<String, Value> = match payload.trim() {
        "" => serde_json::Map::new(),
        text => serde_json::from_str(text)?,
    };
    let id = control::id(payload.as_bytes()).unwrap_or_else(publish::boot_id);
    object.insert("id".to_owned(), id.clone().into());
    Ok((serde_json::to_vec(&object)?, id))
}

#[cfg(test)]
mod tests {
    use crate::cli::refused;

    #[test]
    fn what_is_no_command_is_refused_before_it_is_sent() {
        for (words, why) in [
            ("command reboot", "there are status, health"),
            ("command camera_enabel", "did you mean camera_enable?"),
            ("command camera_enable --device box1", "missing field `camera`"),
            ("command log {\"filter\":3} --device box1", "expected a string"),
            ("command status", "--device"),
            ("command status --device a/b", "a name has no"),
            ("command status --device box1 --wait soon", "write it such as 20s"),
            ("command status --device box1 --broker off", "nobody"),
            ("command status --device box1 --broker mqtt://127.0.0.1:1 --wait 5s", "refused"),
        ] {
            let said = refused(words);
            assert!(said.to_lowercase().contains(why), "{words}: {said}");
        }
    }
}
