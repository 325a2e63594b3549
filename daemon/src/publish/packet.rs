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
}

/// Writes and reads packets of one version.
pub(super) enum Codec {
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
    pub(super) fn new(version: MqttVersion, format: FrameFormat) -> Self {
        if version == MqttVersion::V311 {
            return Self::V311;
        }
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

    /// The broker has accepted us.
    pub(super) fn accepted(&mut self, terms: Terms) {
        if let Self::V5 { aliases, .. } = self {
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
        match self {
            Self::V5 { .. } => {
                let properties = v5::ConnectProperties {
                    session_expiry_interval: Some(SESSION_EXPIRY_S),
                    max_packet_size: Some(MAX_INCOMING as u32),
                    ..v5::ConnectProperties::new()
                };
                let connect = v5::Connect {
                    keep_alive,
                    client_id: config.client_id.clone(),
                    clean_start: false,
                    properties: Some(properties),
                };
                let will = will
                    .map(|(topic, payload)| v5::LastWill::new(topic, payload.to_vec(), mqttbytes5::QoS::AtLeastOnce, true, None));
                let login = config.username.as_ref().map(|username| v5::Login::new(username, password));
                connect.write(&will, &login, out).map_err(unsendable)?;
            }
            Self::V311 => {
                let connect = v4::Connect {
                    protocol: mqttbytes::Protocol::V4,
                    keep_alive,
                    client_id: config.client_id.clone(),
                    // 3.1.1 knows no expiry: a session would stay at the broker for good, and we subscribe to nothing.
                    clean_session: true,
                    last_will: will
                        .map(|(topic, payload)| v4::LastWill::new(topic, payload.to_vec(), mqttbytes::QoS::AtLeastOnce, true)),
                    login: config.username.as_ref().map(|username| v4::Login::new(username, password)),
                };
                connect.write(out).map_err(unsendable)?;
            }
        }
        Ok(())
    }

    /// PUBLISH. `id` is 0 where nobody acknowledges.
    pub(super) fn publish(&mut self, message: &Message, id: u16, out: &mut BytesMut) -> Result<(), LinkError> {
        let retain = message.family.retained();
        match self {
            Self::V5 { frame, acknowledged, aliases, dialect: [dialect_frame, dialect] } => {
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
            Self::V311 => {
                let qos = if message.family.acknowledged() { mqttbytes::QoS::AtLeastOnce } else { mqttbytes::QoS::AtMostOnce };
                let mut packet = v4::Publish::from_bytes(&*message.topic, qos, message.payload.clone());
                (packet.pkid, packet.retain) = (id, retain);
                packet.write(out).map_err(unsendable)?;
            }
        }
        Ok(())
    }

    /// SUBSCRIBE, QoS 0. Topics are checked when they are configured, so nothing in it can be too long.
    pub(super) fn subscribe(&self, id: u16, topics: &[&str], out: &mut BytesMut) {
        let written = match self {
            Self::V5 { .. } => {
                // Whether a message is retained is to be seen on it also when it is new.
                let filter =
                    |topic: &&str| v5::Filter { preserve_retain: true, ..v5::Filter::new(*topic, mqttbytes5::QoS::AtMostOnce) };
                v5::Subscribe { pkid: id, filters: topics.iter().map(filter).collect(), properties: None }
                    .write(out)
                    .map_err(unsendable)
            }
            Self::V311 => {
                let filters =
                    topics.iter().map(|topic| v4::SubscribeFilter { path: (*topic).to_owned(), qos: mqttbytes::QoS::AtMostOnce });
                v4::Subscribe { pkid: id, filters: filters.collect() }.write(out).map_err(unsendable)
            }
        };
        if let Err(error) = written {
            tracing::error!(%error, "no subscription");
        }
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
        match self {
            // Brokers leave out what they may, and the codec knows neither that nor all reasons.
            Self::V5 { .. } if reason::is_disconnect(input) => reason::disconnect(input).map_or(Ok(None), Err),
            // The answer of a broker that knows no MQTT 5, in the form of 3.1.1 (§3.2).
            Self::V5 { .. } if input.starts_with(&[0x20, 2, 0, 1]) => Err(reason::refused(0x84, "", None)),
            Self::V5 { .. } => match v5::Packet::read(input, Some(MAX_INCOMING as u32)) {
                Ok(packet) => came_v5(&packet).map(Some),
                Err(mqttbytes5::Error::InsufficientBytes(_)) => Ok(None),
                Err(error) => Err(LinkError::new(Failure::Protocol, error)),
            },
            Self::V311 => match v4::Packet::read(input, MAX_INCOMING) {
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
            Ok(Came::Accepted(Terms { window, largest, keep_alive, aliases }))
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
            Ok(Came::Accepted(Terms { window: WINDOW, largest: MAX_OUTGOING - OVERHEAD, keep_alive: None, aliases: 0 }))
        }
        Packet::ConnAck(ack) => Err(reason::refused_by_old(ack.code)),
        Packet::PubAck(ack) => Ok(Came::Acknowledged { id: ack.pkid, refused: None }),
        Packet::Publish(publish) => {
            let said = Said { payload: publish.payload.clone(), retained: publish.retain, ..Said::default() };
            Ok(heard(publish.topic.as_bytes(), said))
        }
        Packet::SubAck(ack) => Ok(refused(&ack.return_codes, |code| matches!(code, v4::SubscribeReasonCode::Success(_)))),
        Packet::PingResp => Ok(Came::Pong),
        _ => Ok(Came::Other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(version: MqttVersion, bytes: &[u8]) -> Result<Option<Came>, LinkError> {
        Codec::new(version, FrameFormat::Json).decode(&mut BytesMut::from(bytes))
    }

    #[test]
    fn terms_of_the_broker() {
        let accepted = |window, largest, keep_alive, aliases| Came::Accepted(Terms { window, largest, keep_alive, aliases });
        let plain = decode(MqttVersion::V5, &[0x20, 3, 0, 0, 0]).expect("MQTT");
        assert_eq!(plain, Some(accepted(WINDOW, MAX_OUTGOING - OVERHEAD, None, 0)));
        // Receive maximum 7, maximum packet size 1000, server keep alive 9 s, topic alias maximum 10.
        let strict = [0x20, 17, 0, 0, 14, 0x21, 0, 7, 0x27, 0, 0, 3, 232, 0x13, 0, 9, 0x22, 0, 10];
        let strict = decode(MqttVersion::V5, &strict).expect("MQTT");
        assert_eq!(strict, Some(accepted(7, 1000 - OVERHEAD, Some(Duration::from_secs(9)), 10)));
        let old = decode(MqttVersion::V311, &[0x20, 2, 0, 0]).expect("MQTT");
        assert_eq!(old, Some(accepted(WINDOW, MAX_OUTGOING - OVERHEAD, None, 0)));
    }

    #[test]
    fn refusals_and_farewells_have_their_reason() {
        let failure = |version, bytes: &[u8]| decode(version, bytes).expect_err("refused").failure;
        assert_eq!(failure(MqttVersion::V5, &[0x20, 3, 0, 0x86, 0]), Failure::AuthFailed);
        assert_eq!(failure(MqttVersion::V5, &[0x20, 3, 0, 0x97, 0]), Failure::Refused);
        assert_eq!(failure(MqttVersion::V311, &[0x20, 2, 0, 5]), Failure::AuthFailed);
        assert_eq!(failure(MqttVersion::V311, &[0x20, 2, 0, 3]), Failure::Refused);
        assert_eq!(failure(MqttVersion::V5, &[0xe0, 0]), Failure::Closed);
        assert_eq!(failure(MqttVersion::V5, &[0xe0, 2, 0x8b, 0]), Failure::Closed);
        assert_eq!(failure(MqttVersion::V5, &[0xe0, 1, 0x87]), Failure::AuthFailed, "without properties");
        assert_eq!(failure(MqttVersion::V5, &[0xe0, 1, 0x42]), Failure::Closed, "for a reason that nobody knows");
        let old = decode(MqttVersion::V5, &[0x20, 2, 0, 1]).expect_err("no MQTT 5");
        assert_eq!((old.failure, old.turn), (Failure::Refused, Some(Turn::OlderVersion)));
        let moved = [&[0x20, 10, 0, 0x9d, 7, 0x1c, 0, 4][..], b"b:18"].concat();
        let moved = decode(MqttVersion::V5, &moved).expect_err("moved");
        assert_eq!(moved.turn, Some(Turn::Elsewhere { servers: "b:18".into(), for_good: true }));
        assert_eq!(moved.code, Some((Spoken::Connack, 0x9d)));
        assert_eq!(failure(MqttVersion::V5, &b"HTTP/1.1 400 Bad Request\r\n".repeat(4)), Failure::Protocol);
        assert_eq!(failure(MqttVersion::V311, &[0x30, 0xff, 0xff, 0xff, 0x7f]), Failure::Protocol, "256 MB are not awaited");
    }

    #[test]
    fn a_subscription_asks_for_qos_0_and_brings_what_is_said() {
        let mut out = BytesMut::new();
        Codec::new(MqttVersion::V311, FrameFormat::Json).subscribe(7, &["ha/status"], &mut out);
        assert_eq!(&out[..], b"\x82\x0e\x00\x07\x00\x09ha/status\x00");
        out.clear();
        Codec::new(MqttVersion::V5, FrameFormat::Json).subscribe(7, &["ha/status"], &mut out);
        assert_eq!(&out[..], b"\x82\x0f\x00\x07\x00\x00\x09ha/status\x08", "retained as published");
        let online = Said { topic: "a/b".into(), payload: Bytes::from_static(b"online"), ..Said::default() };
        let said = Some(Came::Heard(online.clone()));
        assert_eq!(decode(MqttVersion::V311, b"\x30\x0b\x00\x03a/bonline").expect("MQTT"), said);
        assert_eq!(decode(MqttVersion::V5, b"\x30\x0c\x00\x03a/b\x00online").expect("MQTT"), said);
        let retained = Some(Came::Heard(Said { retained: true, ..online.clone() }));
        assert_eq!(decode(MqttVersion::V311, b"\x31\x0b\x00\x03a/bonline").expect("MQTT"), retained);
        let asked = Said { response_topic: Some("r".into()), correlation: Some(Bytes::from_static(b"7")), ..online };
        let bytes = b"\x30\x14\x00\x03a/b\x08\x08\x00\x01r\x09\x00\x017online";
        assert_eq!(decode(MqttVersion::V5, bytes).expect("MQTT"), Some(Came::Heard(asked)));
        let subscribed = |refused: &[usize]| Some(Came::Subscribed { refused: refused.to_vec() });
        assert_eq!(decode(MqttVersion::V311, b"\x90\x03\x00\x07\x00").expect("MQTT"), subscribed(&[]));
        assert_eq!(decode(MqttVersion::V311, b"\x90\x04\x00\x07\x00\x80").expect("MQTT"), subscribed(&[1]));
        assert_eq!(decode(MqttVersion::V5, b"\x90\x04\x00\x07\x00\x87").expect("MQTT"), subscribed(&[0]));
    }

    #[test]
    fn packets_are_taken_one_by_one_and_only_whole() {
        let mut input = BytesMut::from(&[0xd0, 0, 0x40, 2, 1][..]);
        let codec = Codec::new(MqttVersion::V311, FrameFormat::Json);
        assert_eq!(codec.decode(&mut input).expect("MQTT"), Some(Came::Pong));
        assert_eq!(codec.decode(&mut input).expect("MQTT"), None);
        input.extend_from_slice(&[2]);
        assert_eq!(codec.decode(&mut input).expect("MQTT"), Some(Came::Acknowledged { id: 258, refused: None }));
        assert!(input.is_empty());
    }

    proptest! {
        /// Whatever a broker sends: an answer, no panic, and always less input or a wait for more.
        #[test]
        fn anything_may_come(mut bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..16_u8, fits in any::<bool>()) {
            if fits && bytes.len() >= 2 {
                bytes[0] = kind << 4;
                bytes[1] = (bytes.len() - 2).min(127) as u8;
            }
            for version in [MqttVersion::V5, MqttVersion::V311] {
                let codec = Codec::new(version, FrameFormat::Json);
                let mut input = BytesMut::from(&bytes[..]);
                let mut left = input.len() + 1;
                while left > input.len() {
                    left = input.len();
                    if !matches!(codec.decode(&mut input), Ok(Some(_))) {
                        break;
                    }
                }
            }
        }
    }
}
