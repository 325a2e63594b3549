//! The brokers: the one of `[mqtt]`, and those of `[[mqtt.broker]]`.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
};

use super::{Surroundings, check_topic, dialects, login::Login, tls};
use crate::{
    config::{
        BrokerConfig, DialectsConfig, FrameFormat, MqttConfig, MqttVersion, Secret, TopicFilter,
        address::{self, Address},
        keys::{Broker, Mqtt},
        ledger::Ledger,
        topic_filter,
    },
    publish::topics::{CHANNELS, Place},
};

/// Longest client identifier.
const LONGEST_CLIENT_ID: usize = 128;
/// What an MQTT 3.1.1 broker must accept (§3.1.3.1).
const SURE_CLIENT_ID: usize = 23;

/// What is typed of any broker.
struct Typed {
    /// Key path of its table.
    table: String,
    version: MqttVersion,
    client_id: Option<String>,
    username: Option<String>,
    password: Option<Secret>,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    password_credential: Option<String>,
    tls: tls::Typed,
    keep_alive: std::time::Duration,
    frames: bool,
    frame_format: FrameFormat,
    topics: Option<Vec<String>>,
    except: Option<Vec<String>>,
    max_bytes_per_second: Option<u64>,
    listens: bool,
}

macro_rules! typed {
    ($section:expr, $table:expr) => {{
        let section = $section;
        Typed {
            table: $table,
            version: section.version.0,
            client_id: section.client_id,
            username: section.username,
            password: section.password,
            password_file: section.password_file,
            password_env: section.password_env,
            password_credential: section.password_credential,
            tls: tls::Typed {
                ca_file: section.ca_file,
                cert_file: section.cert_file,
                key_file: section.key_file,
                key_credential: section.key_credential,
                server_name: section.server_name,
                alpn: section.alpn,
            },
            keep_alive: section.keep_alive.0,
            frames: section.frames,
            frame_format: section.frame_format.0,
            topics: section.topics,
            except: section.except,
            max_bytes_per_second: section.max_bytes_per_second,
            listens: section.listens,
        }
    }};
}

/// Checks all brokers. `names`: of the further ones, in their order.
pub(super) fn build(
    (mqtt, mut brokers): (Mqtt, HashMap<String, Broker>),
    names: &[String],
    dialects: DialectsConfig,
    device: &str,
    ledger: &mut Ledger,
    around: &Surroundings<'_>,
) -> Option<MqttConfig> {
    if !mqtt.enabled {
        return None;
    }
    let Some(url) = &mqtt.url else {
        let mut keys = Mqtt::SECTION.keys.iter().filter(|key| !matches!(key.name, "url" | "enabled"));
        let own = keys.any(|key| ledger.is_set(&Mqtt::SECTION.path(None, key.name)));
        if !ledger.is_set("mqtt.url") && (own || dialects != DialectsConfig::default() || !brokers.is_empty()) {
            ledger.missing(
                "mqtt",
                "mqtt.url",
                "the broker's address is missing",
                "write url = \"mqtt://broker:1883\", or enabled = false to publish nothing",
            );
        }
        return None;
    };
    let mut check = Check { device, ledger, around };
    let address = check.address("mqtt.url", url)?;
    let base_topic = base_topic(mqtt.base_topic.clone(), &address, check.ledger);
    dialects::apart(&dialects, &base_topic, check.ledger);
    let track_update_interval = mqtt.track_update_interval.0;
    let first = check.broker(MqttConfig::FIRST.to_owned(), typed!(mqtt, "mqtt".to_owned()), &address);
    let mut others = Vec::new();
    for name in names {
        let Some(broker) = brokers.remove(name).filter(|broker| broker.enabled) else { continue };
        others.extend(check.other(name, broker));
    }
    if let Some(broker) = others.get(MqttConfig::MOST_BROKERS - 1) {
        let path = Broker::SECTION.path(Some(&broker.name), "");
        check.ledger.problem(&path, format!("more than {} brokers", MqttConfig::MOST_BROKERS), "configure fewer");
    }
    let config =
        MqttConfig { first, others, base_topic, track_update_interval, commands: BTreeSet::new(), dialects, queue: None };
    check.apart(&config);
    check.useful(&config);
    Some(config)
}

/// The table of a broker.
fn table(broker: &BrokerConfig) -> String {
    if broker.name == MqttConfig::FIRST { "mqtt".to_owned() } else { Broker::SECTION.path(Some(&broker.name), "") }
}

struct Check<'a> {
    device: &'a str,
    ledger: &'a mut Ledger,
    around: &'a Surroundings<'a>,
}

impl Check<'_> {
    fn address(&mut self, path: &str, url: &Secret) -> Option<Address> {
        match address::parse(url.expose(), &["mqtt", "mqtts"]) {
            Ok(address) => Some(address),
            Err(reason) => {
                self.ledger.problem(path, reason, "write mqtt://host:1883, or mqtts://host:8883 for TLS");
                None
            }
        }
    }

    /// A broker of `[[mqtt.broker]]`.
    fn other(&mut self, entry: &str, broker: Broker) -> Option<BrokerConfig> {
        let path = |key: &str| Broker::SECTION.path(Some(entry), key);
        let Some(url) = &broker.url else {
            let remedy = "write url = \"mqtt://broker:1883\", or enabled = false";
            self.ledger.missing(&path(""), &path("url"), "the broker's address is missing", remedy);
            return None;
        };
        let address = self.address(&path("url"), url)?;
        // One whose name is bad, or another one's, has been told of.
        let name = broker.name.clone().filter(|name| name == entry)?;
        if name == MqttConfig::FIRST {
            self.ledger.problem(&path("name"), "this is the name of the broker of [mqtt] itself", "give it another name");
        }
        if !address.url.path().trim_matches('/').is_empty() {
            let remedy = "take the path out of the URL; mqtt.base_topic holds for all brokers";
            self.ledger.problem(&path("url"), "all brokers have the same topics", remedy);
        }
        Some(self.broker(name, typed!(broker, path("")), &address))
    }

    fn broker(&mut self, name: String, typed: Typed, address: &Address) -> BrokerConfig {
        let key = |key: &str| format!("{}.{key}", typed.table);
        let secure = address.url.scheme() == "mqtts";
        let tls = typed.tls.build(&typed.table, secure, self.ledger, self.around);
        let client_id = self.client_id(&key("client_id"), typed.client_id, typed.version);
        for (list, filters) in [("topics", &typed.topics), ("except", &typed.except)] {
            self.filters(&key(list), filters.as_deref().unwrap_or_default());
        }
        let login = Login {
            table: &typed.table,
            url_key: "url",
            username: typed.username,
            password: typed.password,
            password_file: typed.password_file,
            password_env: typed.password_env,
            password_credential: typed.password_credential,
        };
        let (username, password) = login.resolve(address, self.ledger, self.around);
        if password.is_some() && username.is_none() && typed.version == MqttVersion::V311 {
            self.ledger.missing(
                &typed.table,
                &key("username"),
                "MQTT 3.1.1 knows no password without a user name (§3.1.2.9)",
                "write username = \"…\"",
            );
        }
        if password.is_some() && !secure && !is_local(address) {
            let remedy = "use mqtts:// where the broker offers it";
            self.ledger.advise(&key("url"), "the password crosses the network in clear", remedy);
        }
        BrokerConfig {
            name,
            host: address.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
            port: address.url.port().unwrap_or(if secure { 8883 } else { 1883 }),
            tls,
            version: typed.version,
            client_id,
            username,
            password,
            keep_alive: typed.keep_alive,
            publish_frames: typed.frames,
            frame_format: typed.frame_format,
            topics: TopicFilter { topics: typed.topics.unwrap_or_default(), except: typed.except.unwrap_or_default() },
            max_bytes_per_second: typed.max_bytes_per_second,
            listens: typed.listens,
        }
    }

    fn filters(&mut self, path: &str, filters: &[String]) {
        for filter in filters {
            if let Err(reason) = topic_filter::check(filter) {
                let remedy = "write filters over whole topics, e.g. \"egret/+/cam/+/event/#\"";
                self.ledger.problem(path, format!("{filter:?}: {reason}"), remedy);
            }
        }
    }

    fn client_id(&mut self, path: &str, key: Option<String>, version: MqttVersion) -> String {
        let Some(id) = key else { return MqttConfig::usual_client_id(self.device) };
        let remedy = "write a short one of letters and digits";
        if id.len() > LONGEST_CLIENT_ID {
            self.ledger.problem(path, format!("longer than {LONGEST_CLIENT_ID} bytes"), remedy);
        } else if id.chars().any(char::is_control) {
            self.ledger.problem(path, "it holds control characters", remedy);
        } else if version == MqttVersion::V311 && id.len() > SURE_CLIENT_ID {
            self.ledger.advise(path, format!("an MQTT 3.1.1 broker may refuse more than {SURE_CLIENT_ID} bytes"), remedy);
        }
        id
    }

    /// No two may be the same session of one broker: each connection would end the other.
    fn apart(&mut self, config: &MqttConfig) {
        let all: Vec<&BrokerConfig> = config.brokers().collect();
        for (at, broker) in all.iter().enumerate() {
            let same = |other: &&&BrokerConfig| {
                (&other.host, other.port, &other.client_id) == (&broker.host, broker.port, &broker.client_id)
            };
            if let Some(other) = all[..at].iter().find(same) {
                let reason = format!(
                    "{} has this host, port and client identifier too: they would end each other's connection",
                    other.name
                );
                self.ledger.problem(&format!("{}.client_id", table(broker)), reason, "give each a client_id of its own");
            }
        }
    }

    /// A filter that takes nothing of what we publish is most likely a mistake.
    fn useful(&mut self, config: &MqttConfig) {
        let place = Place { base: &config.base_topic, device: self.device, camera: "+", rule: "+", verb: "+" };
        let ours: Vec<String> = CHANNELS.iter().map(|channel| channel.topic(place).to_string()).collect();
        let theirs: Vec<String> = dialects::first_levels(&config.dialects).map(|level| format!("{level}/#")).collect();
        for broker in config.brokers() {
            for filter in broker.topics.topics.iter().filter(|filter| topic_filter::check(filter).is_ok()) {
                if !ours.iter().chain(&theirs).any(|topic| topic_filter::meet(filter, topic)) {
                    let remedy = format!("topics begin with {}/{}/", config.base_topic, self.device);
                    let path = format!("{}.topics", table(broker));
                    self.ledger.advise(&path, format!("{filter:?} takes no topic that is published"), remedy);
                }
            }
        }
    }
}

fn is_local(address: &Address) -> bool {
    address.url.host_str().is_some_and(|host| {
        let host = host.trim_matches(['[', ']']);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// From the key, or from the path of the URL, whichever a later layer says.
fn base_topic(key: String, address: &Address, ledger: &mut Ledger) -> String {
    let path = address.url.path().trim_matches('/');
    let (at, topic) = match (ledger.layer("mqtt.base_topic"), ledger.layer("mqtt.url")) {
        _ if path.is_empty() => ("mqtt.base_topic", key),
        (Some(key_layer), Some(url_layer)) if key_layer > url_layer => ("mqtt.base_topic", key),
        (Some(key_layer), Some(url_layer)) if key_layer == url_layer && key != path => {
            ledger.problem("mqtt.base_topic", "mqtt.url has another base topic as its path", "say it once");
            ("mqtt.base_topic", key)
        }
        _ => ("mqtt.url", path.to_owned()),
    };
    check_topic(at, &topic, ledger);
    topic
}

#[cfg(test)]
#[path = "mqtt_tests.rs"]
mod tests;
