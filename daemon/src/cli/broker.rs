//! The options of commands that connect to a broker.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::{
    config::{self, Config, MqttConfig, MqttVersion, Origin, Overrides, Problem, Secret, Sources, TlsConfig, Whose},
    file,
};

/// Longest password that a file may hold.
const LONGEST_PASSWORD: usize = 4096;

/// How a broker is reached.
#[derive(Debug, clap::Args)]
pub(super) struct BrokerArgs {
    /// The broker, mqtt://host:port or mqtts://host:port; a path is the base topic. Or, with --config, the name of one of its brokers;
    /// mqtt is that of [mqtt] [default: that one, else mqtt://localhost]
    #[arg(long, value_name = "URL|NAME")]
    broker: Option<Secret>,
    /// The configuration whose brokers are known: address, TLS with server_name and alpn, user and password.
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

/// The name of a broker, where that is what was written.
fn broker_name(args: &BrokerArgs) -> Option<&str> {
    let text = args.broker.as_ref()?.expose();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (text != "off" && !text.is_empty() && text.chars().all(fits)).then_some(text)
}

/// The configuration with the broker of this name as its first one.
fn choose(mut mqtt: MqttConfig, name: &str, file: &Path) -> anyhow::Result<MqttConfig> {
    let Some(broker) = mqtt.brokers().find(|broker| broker.name == name).cloned() else {
        let known: Vec<&str> = mqtt.brokers().map(|broker| broker.name.as_str()).collect();
        anyhow::bail!("--broker {name}: {} has no broker of this name; it has {}", file.display(), known.join(", "));
    };
    mqtt.first = broker;
    Ok(mqtt)
}

/// The broker as the first one of a configuration, and the device's name where that says it. The outer error: the configuration is wrong.
pub(super) fn resolve(args: &BrokerArgs) -> Result<anyhow::Result<(MqttConfig, Option<String>)>, Vec<Problem>> {
    let name = broker_name(args);
    let (mqtt, device) = if let Some(file) = &args.config {
        let overrides = Overrides { broker: args.broker.clone().filter(|_| name.is_none()), ..Overrides::default() };
        let sources = Sources { checking: true, ..Sources::of_process(Some(file.clone()), overrides) };
        let config = usable(&sources, name.unwrap_or(MqttConfig::FIRST), args)?;
        let Some(mqtt) = config.mqtt else {
            return Ok(Err(anyhow::anyhow!("{}: no broker is configured; name one with --broker", file.display())));
        };
        let chosen = match name {
            Some(name) => choose(mqtt, name, file),
            None => Ok(mqtt),
        };
        match chosen {
            Ok(mqtt) => (mqtt, Some(config.device)),
            Err(unknown) => return Ok(Err(unknown)),
        }
    } else if let Some(name) = name {
        return Ok(Err(anyhow::anyhow!(
            "--broker {name}: a name is that of a broker in a configuration: add --config FILE, or write mqtt://{name}"
        )));
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

/// The configuration as far as one of its brokers needs it: what is wrong with cameras, models and other brokers is no matter here, nor
/// are passwords that only the daemon can read where the command line has another one.
fn usable(sources: &Sources, name: &str, args: &BrokerArgs) -> Result<Config, Vec<Problem>> {
    let (config, problems, withheld) = match config::examine(sources) {
        Ok(loaded) => (Some(loaded.config), Vec::new(), loaded.withheld),
        Err(rejected) => (rejected.config.map(|config| *config), rejected.problems, rejected.withheld),
    };
    let matters = |key: &str| {
        let part = key.rsplit('.').next().unwrap_or_default();
        match Whose::of(key) {
            Whose::All => true,
            Whose::Broker(broker) if broker == name => !(args.password_file.is_some() && part.starts_with("password")),
            // All brokers have its topics.
            Whose::Broker(MqttConfig::FIRST) => matches!(part, "mqtt" | "url" | "base_topic"),
            Whose::Broker(_) | Whose::Camera(_) => false,
            Whose::Other => key == "device",
        }
    };
    let withheld = withheld.into_iter().filter(|key| matters(key)).map(|key| {
        let option = if key.ends_with("password_credential") { "give --username and --password-file, or " } else { "" };
        let remedy = format!("{option}run it as systemd runs the daemon: systemd-run --pipe -p LoadCredential=NAME:FILE egret …");
        Problem::new(Origin::Nowhere, key, "only systemd provides it, and has not".to_owned(), remedy)
    });
    let problems: Vec<_> = problems.into_iter().filter(|problem| matters(&problem.key)).chain(withheld).collect();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "device = \"box1\"\n[mqtt]\nurl = \"mqtt://one\"\n[[mqtt.broker]]\nname = \"cloud\"\nurl = \"mqtts://two:443\"\n\
        server_name = \"three.example\"\nalpn = [\"x-amzn-mqtt-ca\"]\nversion = \"3.1.1\"\n";

    /// What a command with these options has: the broker, or all that is told.
    fn told(broker: Option<&str>, text: &str, password_file: Option<&Path>) -> Result<MqttConfig, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("egret.toml");
        std::fs::write(&file, text).expect("written");
        let args = BrokerArgs {
            broker: broker.map(Secret::new),
            config: Some(file),
            username: password_file.map(|_| "ann".to_owned()),
            password_file: password_file.map(Path::to_owned),
            ca_file: None,
            mqtt: None,
        };
        match resolve(&args) {
            Ok(outcome) => outcome.map(|(mqtt, _)| mqtt).map_err(|error| error.to_string()),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn only_the_chosen_brokers_password_is_needed_and_options_have_another() {
        let text = "device = \"box1\"\n[mqtt]\nurl = \"mqtt://one\"\nusername = \"box1\"\npassword_credential = \"mqtt\"\n\
            [[mqtt.broker]]\nname = \"cloud\"\nurl = \"mqtts://two\"\nusername = \"x\"\npassword_env = \"EGRET_TEST_NOWHERE\"\n\
            [[mqtt.broker]]\nname = \"plain\"\nurl = \"mqtt://three\"\n\
            [[model]]\nname = \"m\"\nfile = \"/nowhere/net.onnx\"\n[[camera]]\nname = \"door\"\nurl = \"rtsp://10.0.0.1/\"\n\
            username = \"x\"\npassword_credential = \"door\"\n";
        let password = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(password.path(), "hunter2\n").expect("written");
        for broker in [None, Some("cloud")] {
            let first = told(broker, text, Some(password.path())).expect("the options have all").first;
            assert_eq!((first.username.as_deref(), first.password.as_ref().map(Secret::expose)), (Some("ann"), Some("hunter2")));
        }
        assert_eq!(told(Some("plain"), text, None).expect("it needs no password").first.host, "three");
        let mqtt = told(None, text, None).expect_err("a password is missing");
        assert!(mqtt.contains("mqtt.password_credential: only systemd") && mqtt.contains("--password-file"), "{mqtt}");
        assert!(!mqtt.contains("door") && !mqtt.contains("cloud") && !mqtt.contains("net.onnx"), "{mqtt}");
        let cloud = told(Some("cloud"), text, None).expect_err("a password is missing");
        assert!(cloud.contains("mqtt.broker.cloud.password_env") && !cloud.contains("mqtt.password"), "{cloud}");
        let broken = told(Some("plain"), "[mqtt\n", None).expect_err("no TOML");
        assert!(broken.contains("toml"), "{broken}");
    }

    fn resolved(broker: Option<&str>, config: Option<&Path>) -> anyhow::Result<MqttConfig> {
        let args = BrokerArgs {
            broker: broker.map(Secret::new),
            config: config.map(Path::to_owned),
            username: None,
            password_file: None,
            ca_file: None,
            mqtt: None,
        };
        resolve(&args).unwrap_or_else(|problems| panic!("{problems:?}")).map(|(mqtt, _)| mqtt)
    }

    #[test]
    fn a_broker_of_the_configuration_is_chosen_by_its_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("egret.toml");
        std::fs::write(&file, CONFIG).expect("written");
        let first = |broker| resolved(broker, Some(&file)).expect("known").first;
        assert_eq!((first(None).host, first(Some("mqtt")).host), ("one".into(), "one".into()));
        assert_eq!(first(Some("mqtt://elsewhere")).host, "elsewhere");
        let cloud = first(Some("cloud"));
        let tls = cloud.tls.expect("TLS");
        assert_eq!((cloud.host.as_str(), cloud.port, cloud.version), ("two", 443, MqttVersion::V311));
        assert_eq!((tls.server_name.as_deref(), &tls.alpn[..]), (Some("three.example"), &["x-amzn-mqtt-ca".to_owned()][..]));
        for (broker, config, part) in [
            ("clod", Some(&*file), "it has mqtt, cloud"),
            ("cloud", None, "add --config FILE"),
            ("off", None, "nobody to connect to"),
        ] {
            let told = resolved(Some(broker), config).expect_err("refused").to_string();
            assert!(told.contains(part), "{told}");
        }
    }
}
