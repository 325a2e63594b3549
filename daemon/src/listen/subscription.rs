//! A subscription at a broker, over MQTT 5 or 3.1.1.

use std::time::Duration;

use rumqttc::{TlsConfiguration, Transport, v5};

use crate::{
    config::{BrokerConfig, MqttVersion},
    publish::{self, topics::CHANNELS},
};

/// Larger packets are not taken: larger than any message of egret.
pub const MAX_PACKET_BYTES: u32 = 4 << 20;
/// Requests that may wait for the connection; there is one subscription.
const REQUESTS: usize = 64;

/// Which messages are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this device; `None`: of all.
    pub device: Option<String>,
    /// Of these cameras; none named: of all.
    pub cameras: Vec<String>,
    /// Of these kinds, as messages name them; none named: all.
    pub kinds: Vec<String>,
    /// These topic filters instead.
    pub topics: Vec<String>,
}

/// A kind of messages.
///
/// # Errors
/// There is none of this name; says which there are.
pub fn kind(name: &str) -> Result<String, String> {
    if CHANNELS.iter().any(|channel| channel.kind == name) {
        return Ok(name.to_owned());
    }
    let mut known: Vec<&str> = CHANNELS.iter().map(|channel| channel.kind).collect();
    known.dedup();
    Err(format!("there are no messages of kind {name:?}; there are {}", known.join(", ")))
}

/// The topic filters for what is wanted.
///
/// # Errors
/// The kind that there is not, with those that there are.
pub fn filters(wanted: &Wanted, base: &str) -> Result<Vec<String>, String> {
    if !wanted.topics.is_empty() {
        return Ok(wanted.topics.clone());
    }
    let all = wanted.kinds.is_empty();
    wanted.kinds.iter().try_for_each(|kind| self::kind(kind).map(drop))?;
    let device = wanted.device.as_deref().unwrap_or("+");
    if all && wanted.cameras.is_empty() {
        return Ok(vec![format!("{base}/{device}/#")]);
    }
    let any = [String::from("+")];
    let cameras = if wanted.cameras.is_empty() { &any[..] } else { &wanted.cameras };
    let mut filters = Vec::new();
    for channel in CHANNELS.iter().filter(|channel| all || wanted.kinds.iter().any(|kind| kind == channel.kind)) {
        for camera in cameras {
            let place = publish::topics::Place { base, device, camera, rule: "+", verb: "+" };
            let filter = channel.topic(place).to_string();
            // A device says what no camera does; whoever asks for cameras does not ask for that.
            let of_device = !channel.address.contains("{camera}");
            if !filters.contains(&filter) && (wanted.cameras.is_empty() || !of_device || !all) {
                filters.push(filter);
            }
        }
    }
    Ok(filters)
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its topic; what is no UTF-8 of it is replaced.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Whether the broker had kept it.
    pub retained: bool,
}

/// Why there is no subscription any more.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// TLS cannot be set up.
    #[error("{0}")]
    Tls(String),
    /// The broker refused a topic filter.
    #[error("the broker does not let us subscribe to {0}")]
    Refused(String),
    /// The connection failed or broke.
    #[error("{0}")]
    Connection(String),
}

enum Events {
    V5(Box<v5::EventLoop>),
    V311(Box<rumqttc::EventLoop>),
}

/// The subscription. Nothing is taken from the broker faster than [`Self::next`] is asked.
pub struct Subscription {
    events: Events,
    filters: Vec<String>,
}

impl Subscription {
    /// One that is made as [`Self::next`] is polled.
    ///
    /// # Errors
    /// [`Lost::Tls`]: the authorities cannot be read.
    pub fn new(config: &BrokerConfig, filters: &[String]) -> Result<Self, Lost> {
        Self::saying(config, filters, None)
    }

    /// The same, and a message for a topic that goes out behind it, so that no answer to it is missed.
    ///
    /// # Errors
    /// [`Lost::Tls`]: the authorities cannot be read.
    pub fn saying(config: &BrokerConfig, filters: &[String], say: Option<(&str, Vec<u8>)>) -> Result<Self, Lost> {
        let tls = config.tls.as_ref().map(publish::client_config).transpose().map_err(|error| Lost::Tls(error.to_string()))?;
        let transport = tls.map_or_else(Transport::tcp, |tls| Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
        let (host, keep_alive) = (config.host.as_str(), config.keep_alive.max(Duration::from_secs(5)));
        let password = config.password.as_ref().map_or("", |password| password.expose());
        let name = format!("egret-listen-{}", &publish::boot_id().get(..8).unwrap_or("x"));
        let refused = |error: String| Lost::Connection(error);
        let events = match config.version {
            MqttVersion::V5 => {
                let mut options = v5::MqttOptions::new(name, host, config.port);
                options.set_keep_alive(keep_alive).set_max_packet_size(Some(MAX_PACKET_BYTES)).set_transport(transport);
                if let Some(username) = &config.username {
                    options.set_credentials(username, password);
                }
                let (client, events) = v5::AsyncClient::new(options, REQUESTS);
                let wanted = filters.iter().map(|filter| v5::mqttbytes::v5::Filter::new(filter, v5::mqttbytes::QoS::AtLeastOnce));
                client.try_subscribe_many(wanted).map_err(|error| refused(error.to_string()))?;
                if let Some((topic, payload)) = say {
                    let said = client.try_publish(topic, v5::mqttbytes::QoS::AtLeastOnce, false, payload);
                    said.map_err(|error| refused(error.to_string()))?;
                }
                Events::V5(Box::new(events))
            }
            MqttVersion::V311 => {
                let mut options = rumqttc::MqttOptions::new(name, host, config.port);
                let most = MAX_PACKET_BYTES as usize;
                options.set_keep_alive(keep_alive).set_max_packet_size(most, most).set_transport(transport);
                if let Some(username) = &config.username {
                    options.set_credentials(username, password);
                }
                let (client, events) = rumqttc::AsyncClient::new(options, REQUESTS);
                let wanted =
                    filters.iter().map(|filter| rumqttc::SubscribeFilter::new(filter.clone(), rumqttc::QoS::AtLeastOnce));
                client.try_subscribe_many(wanted).map_err(|error| refused(error.to_string()))?;
                if let Some((topic, payload)) = say {
                    let said = client.try_publish(topic, rumqttc::QoS::AtLeastOnce, false, payload);
                    said.map_err(|error| refused(error.to_string()))?;
                }
                Events::V311(Box::new(events))
            }
        };
        Ok(Self { events, filters: filters.to_vec() })
    }

    /// The next message; `None`: the broker has taken the subscription. Safe to drop and call again; not after an error.
    ///
    /// # Errors
    /// [`Lost`]: it is over.
    pub async fn next(&mut self) -> Result<Option<Arrived>, Lost> {
        loop {
            let taken = match &mut self.events {
                Events::V5(events) => match events.poll().await.map_err(|error| Lost::Connection(error.to_string()))? {
                    v5::Event::Incoming(v5::Incoming::Publish(publish)) => Taken::Message(Arrived {
                        topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                        payload: publish.payload.into(),
                        retained: publish.retain,
                    }),
                    v5::Event::Incoming(v5::Incoming::SubAck(ack)) => Taken::Answer(
                        ack.return_codes
                            .iter()
                            .position(|code| !matches!(code, v5::mqttbytes::v5::SubscribeReasonCode::Success(_))),
                    ),
                    _ => continue,
                },
                Events::V311(events) => match events.poll().await.map_err(|error| Lost::Connection(error.to_string()))? {
                    rumqttc::Event::Incoming(rumqttc::Packet::Publish(publish)) => Taken::Message(Arrived {
                        topic: publish.topic,
                        payload: publish.payload.into(),
                        retained: publish.retain,
                    }),
                    rumqttc::Event::Incoming(rumqttc::Packet::SubAck(ack)) => {
                        Taken::Answer(ack.return_codes.iter().position(|code| *code == rumqttc::SubscribeReasonCode::Failure))
                    }
                    _ => continue,
                },
            };
            return match taken {
                Taken::Message(message) => Ok(Some(message)),
                Taken::Answer(None) => Ok(None),
                Taken::Answer(Some(refused)) => Err(Lost::Refused(self.filters.get(refused).cloned().unwrap_or_default())),
            };
        }
    }
}

enum Taken {
    Message(Arrived),
    /// Which filter was refused, if any was.
    Answer(Option<usize>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cameras: &[&str], kinds: &[&str]) -> Result<Vec<String>, String> {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        filters(&Wanted { cameras: words(cameras), kinds: words(kinds), ..Wanted::default() }, "site/egret")
    }

    #[test]
    fn what_is_wanted_becomes_filters() {
        assert_eq!(of(&[], &[]).expect("filters"), ["site/egret/+/#"]);
        assert_eq!(of(&[], &["event"]).expect("filters"), ["site/egret/+/cam/+/event/+"]);
        let doors = of(&["door", "yard"], &["frame", "device_status"]).expect("filters");
        assert_eq!(doors, ["site/egret/+/status", "site/egret/+/cam/door/frame", "site/egret/+/cam/yard/frame"]);
        let door = of(&["door"], &[]).expect("filters");
        assert!(door.len() > 5 && door.iter().all(|filter| filter.contains("/cam/door/")), "{door:?}");
        assert!(of(&[], &["movie"]).is_err_and(|error| error.contains("device_status, camera_status, frame, track")));
    }
}
