//! The options of commands that connect to a broker.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::{
    config::{self, MqttConfig, MqttVersion, Overrides, Problem, Secret, Sources, TlsConfig},
    file,
};

/// Longest password that a file may hold.
const LONGEST_PASSWORD: usize = 4096;

/// How a broker is reached.
#[derive(Debug, clap::Args)]
pub(super) struct BrokerArgs {
    /// The broker, mqtt://host:port or mqtts://host:port; a path is the base topic [default: that of the configuration, else
    /// mqtt://localhost]
    #[arg(long, value_name = "URL")]
    broker: Option<Secret>,
    /// The configuration whose [mqtt] is used: broker, TLS, user and password.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// User name at the broker.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// File that holds the password.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// PEM file with the authorities that an mqtts broker's certificate is checked against.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Protocol version, 5 or 3.1.1 [default: that of the configuration, else 5]
    #[arg(long, value_name = "VERSION", value_parser = version)]
    mqtt: Option<MqttVersion>,
}

/// One level of a topic.
pub(super) fn name(text: &str) -> Result<String, String> {
    let plain = !text.is_empty() && !text.contains(['/', '+', '#', '\0']);
    plain.then(|| text.to_owned()).ok_or_else(|| "a name has no `/`, `+` or `#`; --topic takes filters".to_owned())
}

fn version(text: &str) -> Result<MqttVersion, String> {
    match text {
        "5" => Ok(MqttVersion::V5),
        "3.1.1" => Ok(MqttVersion::V311),
        _ => Err("write 5 or 3.1.1".to_owned()),
    }
}

/// The broker, and the device's name where a configuration says it. The outer error: the configuration is wrong.
pub(super) fn resolve(args: &BrokerArgs) -> Result<anyhow::Result<(MqttConfig, Option<String>)>, Vec<Problem>> {
    let (mqtt, device) = if let Some(file) = &args.config {
        let overrides = Overrides { broker: args.broker.clone(), ..Overrides::default() };
        let config = config::load(&Sources::of_process(Some(file.clone()), overrides))?.config;
        let Some(mqtt) = config.mqtt else {
            return Ok(Err(anyhow::anyhow!("{}: no broker is configured; name one with --broker", file.display())));
        };
        (mqtt, Some(config.device))
    } else {
        // A configuration needs a camera; nobody connects to this one.
        let overrides = Overrides {
            broker: Some(args.broker.clone().unwrap_or_else(|| Secret::new("mqtt://localhost"))),
            cameras: vec![Secret::new("none=test:smpte")],
            model: Some("builtin:null".to_owned()),
            ..Overrides::default()
        };
        match config::load_options(&overrides, "listen")?.config.mqtt {
            Some(mqtt) => (mqtt, None),
            None => return Ok(Err(anyhow::anyhow!("--broker off: there is nobody to connect to"))),
        }
    };
    Ok(with_options(mqtt, args).map(|mqtt| (mqtt, device)))
}

/// What the command line says of the connection.
fn with_options(mut mqtt: MqttConfig, args: &BrokerArgs) -> anyhow::Result<MqttConfig> {
    let broker = &mut mqtt.first;
    if let Some(path) = &args.ca_file {
        anyhow::ensure!(broker.tls.is_some(), "--ca-file means nothing without TLS: write mqtts:// in --broker");
        broker.tls = Some(TlsConfig { ca_file: Some(path.clone()), ..broker.tls.take().unwrap_or_default() });
    }
    if let Some(username) = &args.username {
        broker.username = Some(username.clone());
    }
    if let Some(path) = &args.password_file {
        let text = file::text(path, LONGEST_PASSWORD).with_context(|| path.display().to_string())?;
        let password = text.trim_end_matches(['\r', '\n']);
        anyhow::ensure!(
            !password.is_empty() && password.len() <= LONGEST_PASSWORD,
            "{}: it holds no password of at most {LONGEST_PASSWORD} bytes",
            path.display()
        );
        broker.password = Some(Secret::new(password));
    }
    anyhow::ensure!(broker.password.is_none() || broker.username.is_some(), "a password needs --username");
    broker.version = args.mqtt.unwrap_or(broker.version);
    Ok(mqtt)
}
