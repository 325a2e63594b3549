//! The packets of MQTT 5 and 3.1.1 behind one face, by `rumqttc`'s codec.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rumqttc::{
    mqttbytes::{self, v4},
    v5::mqttbytes::{self as mqttbytes5, v5},
};

use super::{
    alias::{Aliases, Naming},
    counters::Failure,
    message,
    outbox::Message,
    reason,
};
use crate::config::{BrokerConfig, FrameFormat, MqttVersion};

/// Most messages that are sent and not acknowledged, where the broker does not ask for fewer.
const WINDOW: u16 = 64;
/// MQTT 5: how long the broker keeps our session.
const SESSION_EXPIRY_S: u32 = 3600;
/// MQTT 5: what happened in a frame is news for so long.
const FRAME_EXPIRY_S: u32 = 5;
/// Largest packet that we send, where the broker does not ask for less.
const MAX_OUTGOING: usize = 4 << 20;
/// Largest packet that we take. What we subscribe to is a word long.
pub(super) const MAX_INCOMING: usize = 64 << 10;
/// Payload format indicator: text (MQTT 5, 3.3.2.3.2).
const UTF_8: u8 = 1;
/// What a packet holds beside topic and payload, at most, in our messages.
const OVERHEAD: usize = 96;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error("{}: {detail}", failure.as_str())]
pub(super) struct LinkError {
    pub(super) failure: Failure,
    pub(super) detail: String,
    /// The broker's word: the packet and its reason code.
    pub(super) code: Option<(Spoken, u8)>,
    /// What the broker would have us do.
    pub(super) turn: Option<Turn>,
}

/// A packet in which a broker gives a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spoken {
    /// The answer to our CONNECT.
    Connack,
    /// The answer to a message.
    Puback,
    /// The end that the broker makes.
    Disconnect,
}

impl Spoken {
    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connack => "connack",
            Self::Puback => "puback",
            Self::Disconnect => "disconnect",
        }
    }
}

/// What a broker would have us do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Connect to one of these servers (MQTT 5, 4.13): for now, or for good.
    Elsewhere { servers: String, for_good: bool },
    /// Speak MQTT 3.1.1.
    OlderVersion,
    /// Ask it to retain nothing.
    NothingRetained,
}

impl LinkError {
    #[expect(clippy::needless_pass_by_value, reason = "literals and errors alike")]
    pub(super) fn new(failure: Failure, detail: impl ToString) -> Self {
        Self { failure, detail: detail.to_string(), code: None, turn: None }
    }
}

/// What the broker sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It takes us.
    Accepted(Terms),
    /// It has a message, or refuses it for a reason.
    Acknowledged { id: u16, refused: Option<u8> },
    /// Somebody said something.
    Heard(Said),
    /// It has taken a subscription, but for these filters of it, by their places.
    Subscribed { refused: Vec<usize> },
    /// The answer to a ping.
    Pong,
    /// Nothing that we act upon.
    Other,
}

/// What somebody said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// By which it is to be acknowledged; 0: it is not.
    pub(super) id: u16,
    pub(super) topic: String,
    pub(super) payload: Bytes,
    /// The broker had kept it, or is to keep it (MQTT 5).
    pub(super) retained: bool,
    /// Where an answer is to go (MQTT 5).
    pub(super) response_topic: Option<String>,
    /// What the sender knows it by (MQTT 5).
    pub(super) correlation: Option<Bytes>,
}

/// What the broker asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// Most messages that it takes before it has acknowledged one.
    pub(super) window: u16,
    /// Largest payload and topic that it takes.
    pub(super) largest: usize,
    /// Another interval than the one that we proposed.
    pub(super) keep_alive: Option<Duration>,
    /// Topic aliases that it takes.
    pub(super) aliases: u16,
    /// Whether it keeps the latest message of a topic.
    pub(super) retains: bool,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Messages are published, in a session that the broker keeps for a while; `retains`: it keeps the latest of a topic, too. What is heard are
    /// words, at most once each.
    Publish { retains: bool },
    /// All that is said is heard, in packets of at most so many bytes, and acknowledged. The session ends with the connection.
    Listen(usize),
}

impl Purpose {
    fn retains(self) -> bool {
        matches!(self, Self::Publish { retains: true })
    }

    fn listens(self) -> bool {
        matches!(self, Self::Listen(_))
    }

    /// Largest packet that is taken.
    pub(super) fn largest(self) -> usize {
        match self {
            Self::Publish { .. } => MAX_INCOMING,
            Self::Listen(largest) => largest,
        }
    }
}

/// Writes and reads packets of one version.
pub(super) struct Codec {
    version: Version,
    purpose: Purpose,
}

enum Version {
    /// With a packet for each kind of delivery, properties filled in.
    V5 {
        frame: Box<v5::Publish>,
        acknowledged: Box<v5::Publish>,
        aliases: Aliases,
        /// The same for dialects, without a word on what they hold: that is the dialect's affair.
        dialect: [Box<v5::Publish>; 2],
    },
    V311,
}

impl Codec {
    /// `format`: of frames.
    pub(super) fn new(version: MqttVersion, format: FrameFormat, purpose: Purpose) -> Self {
        let version = match version {
            MqttVersion::V311 => Version::V311,
            MqttVersion::V5 => Version::v5(format),
        };
        Self { version, purpose }
    }
}

impl Version {
    fn v5(format: FrameFormat) -> Self {
        let publish = |qos, properties| Box::new(v5::Publish { qos, properties: Some(properties), ..Default::default() });
        // Frames say their schema and number in the payload only: as properties too they would cost 33 bytes of each message.
        let frame = v5::PublishProperties {
            payload_format_indicator: (format == FrameFormat::Json).then_some(UTF_8),
            content_type: Some(format.content_type().to_owned()),
            message_expiry_interval: Some(FRAME_EXPIRY_S),
            ..Default::default()
        };
        let acknowledged = v5::PublishProperties {
            payload_format_indicator: Some(UTF_8),
            content_type: Some(FrameFormat::Json.content_type().to_owned()),
            user_properties: vec![("schema".to_owned(), message::SCHEMA.to_owned())],
            ..Default::default()
        };
        let plain = |expiry| v5::PublishProperties { message_expiry_interval: expiry, ..Default::default() };
        Self::V5 {
            dialect: [
                publish(mqttbytes5::QoS::AtMostOnce, plain(Some(FRAME_EXPIRY_S))),
                publish(mqttbytes5::QoS::AtLeastOnce, plain(None)),
            ],
            frame: publish(mqttbytes5::QoS::AtMostOnce, frame),
            acknowledged: publish(mqttbytes5::QoS::AtLeastOnce, acknowledged),
            aliases: Aliases::default(),
        }
    }
}

impl Codec {
    /// The broker has accepted us.
    pub(super) fn accepted(&mut self, terms: Terms) {
        if !terms.retains && !self.purpose.listens() {
            self.purpose = Purpose::Publish { retains: false };
        }
        if let Version::V5 { aliases, .. } = &mut self.version {
            *aliases = Aliases::new(terms.aliases);
        }
    }

    /// CONNECT. `will` is what the broker says for us when the connection breaks.
    pub(super) fn connect(
        &self,
        config: &BrokerConfig,
        keep_alive: Duration,
        will: Option<(&str, Bytes)>,
        out: &mut BytesMut,
    ) -> Result<(), LinkError> {
        let keep_alive = keep_alive.as_secs() as u16;
        let password = config.password.as_ref().map_or("", |p| p.expose());
        let retains = self.purpose.retains();
        match &self.version {
            Version::V5 { .. } => {
                let listens = self.purpose.listens();
                let properties = v5::ConnectProperties {
                    session_expiry_interval: (!listens).then_some(SESSION_EXPIRY_S),
                    max_packet_size: Some(self.purpose.largest() as u32),
                    ..v5::ConnectProperties::new()
                };
                let connect = v5::Connect {
                    keep_alive,
                    client_id: config.client_id.clone(),
                    clean_start: listens,
                    properties: Some(properties),
                };
                let will = will.map(|(topic, payload)| {
                    v5::LastWill::new(topic, payload.to_vec(), mqttbytes5::QoS::AtLeastOnce, retains, None)
                });
                let login = config.username.as_ref().map(|username| v5::Login::new(username, password));
                connect.write(&will, &login, out).map_err(unsendable)?;
            }
            Version::V311 => {
                let connect = v4::Connect {
                    protocol: mqttbytes::Protocol::V4,
                    keep_alive,
                    client_id: config.client_id.clone(),
                    // 3.1.1 knows no expiry: a session would stay at the broker for good, and we subscribe to nothing.
                    clean_session: true,
                    last_will: will
                        .map(|(topic, payload)| v4::LastWill::new(topic, payload.to_vec(), mqttbytes::QoS::AtLeastOnce, retains)),
                    login: config.username.as_ref().map(|username| v4::Login::new(username, password)),
                };
                connect.write(out).map_err(unsendable)?;
            }
        }
        Ok(())
    }

    /// PUBLISH. `id` is 0 where nobody acknowledges.
    pub(super) fn publish(&mut self, message: &Message, id: u16, out: &mut BytesMut) -> Result<(), LinkError> {
        let retain = message.family.retained() && self.purpose.retains();
        match &mut self.version {
            Version::V5 { frame, acknowledged, aliases, dialect: [dialect_frame, dialect] } => {
                let packet = match (message.family.acknowledged(), message.family.is_dialect()) {
                    (true, false) => acknowledged,
                    (false, false) => frame,
                    (true, true) => dialect,
                    (false, true) => dialect_frame,
                };
                let (named, alias) = match aliases.name(&message.topic) {
                    Naming::Whole => (true, None),
                    Naming::Introduced(alias) => (true, Some(alias)),
                    Naming::Alias(alias) => (false, Some(alias)),
                };
                packet.topic = if named { Bytes::copy_from_slice(message.topic.as_bytes()) } else { Bytes::new() };
                if let Some(properties) = &mut packet.properties {
                    properties.topic_alias = alias;
                    properties.correlation_data.clone_from(&message.correlation);
                }
                packet.payload = message.payload.clone();
                (packet.pkid, packet.retain) = (id, retain);
                packet.write(out).map_err(unsendable)?;
            }
            Version::V311 => {
                let qos = if message.family.acknowledged() { mqttbytes::QoS::AtLeastOnce } else { mqttbytes::QoS::AtMostOnce };
                let mut packet = v4::Publish::from_bytes(&*message.topic, qos, message.payload.clone());
                (packet.pkid, packet.retain) = (id, retain);
                packet.write(out).map_err(unsendable)?;
            }
        }
        Ok(())
    }

    /// SUBSCRIBE. Topics are checked when they are configured, so nothing in it can be too long.
    pub(super) fn subscribe(&self, id: u16, topics: &[&str], out: &mut BytesMut) {
        let commanded = !self.purpose.listens();
        let written = match &self.version {
            Version::V5 { .. } => {
                let qos = if commanded { mqttbytes5::QoS::AtMostOnce } else { mqttbytes5::QoS::AtLeastOnce };
                // Whether a command is retained is to be seen on it also when it is new.
                let filter = |topic: &&str| v5::Filter { preserve_retain: commanded, ..v5::Filter::new(*topic, qos) };
                v5::Subscribe { pkid: id, filters: topics.iter().map(filter).collect(), properties: None }
                    .write(out)
                    .map_err(unsendable)
            }
            Version::V311 => {
                let qos = if commanded { mqttbytes::QoS::AtMostOnce } else { mqttbytes::QoS::AtLeastOnce };
                let filters = topics.iter().map(|topic| v4::SubscribeFilter { path: (*topic).to_owned(), qos });
                v4::Subscribe { pkid: id, filters: filters.collect() }.write(out).map_err(unsendable)
            }
        };
        if let Err(error) = written {
            tracing::error!(%error, "no subscription");
        }
    }

    /// PUBACK, the same in both.
    pub(super) fn acknowledge(id: u16, out: &mut BytesMut) {
        out.extend_from_slice(&[0x40, 2]);
        out.extend_from_slice(&id.to_be_bytes());
    }

    /// PINGREQ, the same in both.
    pub(super) fn ping(out: &mut BytesMut) {
        out.extend_from_slice(&[0xc0, 0]);
    }

    /// DISCONNECT without a reason, the same in both: the broker forgets the will.
    pub(super) fn disconnect(out: &mut BytesMut) {
        out.extend_from_slice(&[0xe0, 0]);
    }

    /// Takes the next whole packet out of what has come.
    ///
    /// # Errors
    /// What came is no MQTT of this version, or says that the broker does not want us.
    pub(super) fn decode(&self, input: &mut BytesMut) -> Result<Option<Came>, LinkError> {
        match &self.version {
            // Brokers leave out what they may, and the codec knows neither that nor all reasons.
            Version::V5 { .. } if reason::is_disconnect(input) => reason::disconnect(input).map_or(Ok(None), Err),
            // The answer of a broker that knows no MQTT 5, in the form of 3.1.1 (§3.2).
            Version::V5 { .. } if input.starts_with(&[0x20, 2, 0, 1]) => Err(reason::refused(0x84, "", None)),
            Version::V5 { .. } => match v5::Packet::read(input, Some(self.purpose.largest() as u32)) {
                Ok(packet) => came_v5(&packet).map(Some),
                Err(mqttbytes5::Error::InsufficientBytes(_)) => Ok(None),
                Err(error) => Err(LinkError::new(Failure::Protocol, error)),
            },
            Version::V311 => match v4::Packet::read(input, self.purpose.largest()) {
                Ok(packet) => came_v311(&packet).map(Some),
                Err(mqttbytes::Error::InsufficientBytes(_)) => Ok(None),
                Err(error) => Err(LinkError::new(Failure::Protocol, error)),
            },
        }
    }
}

/// What we write is bounded by configuration and outbox, so that a packet which cannot be written is a matter of its own size.
fn unsendable(error: impl std::error::Error) -> LinkError {
    LinkError::new(Failure::Protocol, format!("a packet cannot be written: {error}"))
}

/// A topic that is no text is none of ours.
fn heard(topic: &[u8], said: Said) -> Came {
    str::from_utf8(topic).map_or(Came::Other, |topic| Came::Heard(Said { topic: topic.to_owned(), ..said }))
}

/// The places of what is refused.
fn refused<T>(codes: &[T], taken: impl Fn(&T) -> bool) -> Came {
    Came::Subscribed { refused: codes.iter().enumerate().filter(|(_, code)| !taken(code)).map(|(at, _)| at).collect() }
}

fn came_v5(packet: &v5::Packet) -> Result<Came, LinkError> {
    use v5::{ConnectReturnCode as Code, Packet, PubAckReason};
    match packet {
        Packet::ConnAck(ack) if ack.code == Code::Success => {
            let properties = ack.properties.as_ref();
            let window = properties.and_then(|p| p.receive_max).unwrap_or(WINDOW).clamp(1, WINDOW);
            let largest = properties.and_then(|p| p.max_packet_size).map_or(MAX_OUTGOING, |size| size as usize);
            let largest = largest.min(MAX_OUTGOING).saturating_sub(OVERHEAD);
            let keep_alive = properties.and_then(|p| p.server_keep_alive).filter(|s| *s > 0);
            let keep_alive = keep_alive.map(|seconds| Duration::from_secs(u64::from(seconds)));
            let aliases = properties.and_then(|p| p.topic_alias_max).unwrap_or_default();
            let retains = properties.and_then(|p| p.retain_available) != Some(0);
            Ok(Came::Accepted(Terms { window, largest, keep_alive, aliases, retains }))
        }
        Packet::ConnAck(ack) => {
            let properties = ack.properties.as_ref();
            let said = properties.and_then(|p| p.reason_string.as_deref()).unwrap_or_default();
            let elsewhere = properties.and_then(|p| p.server_reference.clone());
            Err(reason::refused(reason::of_connack(ack.code), said, elsewhere))
        }
        Packet::PubAck(ack) => {
            let refused = match ack.reason {
                PubAckReason::Success | PubAckReason::NoMatchingSubscribers => None,
                PubAckReason::UnspecifiedError => Some(0x80),
                PubAckReason::ImplementationSpecificError => Some(0x83),
                PubAckReason::NotAuthorized => Some(0x87),
                PubAckReason::TopicNameInvalid => Some(0x90),
                PubAckReason::PacketIdentifierInUse => Some(0x91),
                PubAckReason::QuotaExceeded => Some(0x97),
                PubAckReason::PayloadFormatInvalid => Some(0x99),
            };
            Ok(Came::Acknowledged { id: ack.pkid, refused })
        }
        Packet::Publish(publish) => {
            let properties = publish.properties.as_ref();
            let said = Said {
                id: publish.pkid,
                topic: String::new(),
                payload: publish.payload.clone(),
                retained: publish.retain,
                response_topic: properties.and_then(|properties| properties.response_topic.clone()),
                correlation: properties.and_then(|properties| properties.correlation_data.clone()),
            };
            Ok(heard(&publish.topic, said))
        }
        Packet::SubAck(ack) => Ok(refused(&ack.return_codes, |code| matches!(code, v5::SubscribeReasonCode::Success(_)))),
        Packet::PingResp(_) => Ok(Came::Pong),
        _ => Ok(Came::Other),
    }
}

fn came_v311(packet: &v4::Packet) -> Result<Came, LinkError> {
    use v4::{ConnectReturnCode as Code, Packet};
    match packet {
        Packet::ConnAck(ack) if ack.code == Code::Success => {
            let largest = MAX_OUTGOING - OVERHEAD;
            Ok(Came::Accepted(Terms { window: WINDOW, largest, keep_alive: None, aliases: 0, retains: true }))
        }
        Packet::ConnAck(ack) => Err(reason::refused_by_old(ack.code)),
        Packet::PubAck(ack) => Ok(Came::Acknowledged { id: ack.pkid, refused: None }),
        Packet::Publish(publish) => {
            let said = Said { id: publish.pkid, payload: publish.payload.clone(), retained: publish.retain, ..Said::default() };
            Ok(heard(publish.topic.as_bytes(), said))
        }
        Packet::SubAck(ack) => Ok(refused(&ack.return_codes, |code| matches!(code, v4::SubscribeReasonCode::Success(_)))),
        Packet::PingResp => Ok(Came::Pong),
        _ => Ok(Came::Other),
    }
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
