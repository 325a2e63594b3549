//! One connection to a broker through `rumqttc`, MQTT 5 or 3.1.1 behind one face.
//!
//! A link lives for one connection only. After any error it is thrown away with all of the client's state, and what was not acknowledged is
//! sent again by us on the next one: the client's own memory across connections loses queued messages when the broker has forgotten
//! the session, and locks up for good when a packet identifier collides with one that will never be acknowledged
//! (bytebeamio/rumqtt#1014, #1056).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::Stream;
use rumqttc::{Outgoing, QoS, Transport, v5};
use rustls::ClientConfig;

use super::{
    counters::Failure,
    outbox::Message,
    tls::{self, TlsError},
};
use crate::config::{MqttConfig, MqttVersion};

/// Messages that wait inside the client.
const CHANNEL: usize = 64;
/// Most messages that are sent and not acknowledged, where the broker does not ask for fewer.
const WINDOW: u16 = 64;
/// The client's own bound, above ours so that ours decides.
const CLIENT_WINDOW: u16 = 100;
const CONNECT_TIMEOUT_S: u64 = 10;
/// MQTT 5: how long the broker keeps our session.
const SESSION_EXPIRY_S: u32 = 3600;
/// MQTT 5: what happened in a frame is news for so long.
const FRAME_EXPIRY_S: u32 = 5;
/// The client's bound on a packet for 3.1.1, where brokers do not tell theirs.
const MAX_PACKET: usize = 4 << 20;
/// What a packet holds beside topic and payload, at most, in our messages.
const PACKET_OVERHEAD: usize = 64;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error("{}: {detail}", failure.as_str())]
pub(super) struct LinkError {
    pub(super) failure: Failure,
    pub(super) detail: String,
}

impl From<TlsError> for LinkError {
    fn from(error: TlsError) -> Self {
        Self { failure: Failure::Tls, detail: error.to_string() }
    }
}

/// What happened on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// The broker accepted the connection.
    Connected {
        /// Most messages that it takes before it has acknowledged one.
        window: u16,
        /// Largest payload and topic that it takes.
        largest: usize,
    },
    /// A message was written; 0: nobody will acknowledge it.
    Wrote(u16),
    /// The broker acknowledged a message, perhaps by refusing it.
    Acknowledged { id: u16, refused: bool },
    /// The farewell was written.
    Farewell,
    /// Keep-alive and the like.
    Idle,
}

/// Hands messages to the client.
pub(super) enum Sender {
    V5(v5::AsyncClient),
    V311(rumqttc::AsyncClient),
}

/// The client's side of the network.
enum Events {
    V5(Box<v5::EventLoop>),
    V311(Box<rumqttc::EventLoop>),
}

/// Opens a link; the connection is made as its events are polled. `will` is what the broker says for us when the connection breaks.
pub(super) fn open(
    config: &MqttConfig,
    tls: Option<Arc<ClientConfig>>,
    will: (&str, &Bytes),
) -> (Sender, impl Stream<Item = Result<Happened, LinkError>> + Send + use<>) {
    let transport = tls.map_or(Transport::Tcp, |tls| Transport::Tls(rumqttc::TlsConfiguration::Rustls(tls)));
    // The client joins host and port with a colon; an IPv6 address needs its brackets then. For TLS the bare name is checked.
    let host = if config.host.contains(':') && config.tls.is_none() { format!("[{}]", config.host) } else { config.host.clone() };
    let (sender, events) = match config.version {
        MqttVersion::V5 => open_v5(config, &host, transport, will),
        MqttVersion::V311 => open_v311(config, &host, transport, will),
    };
    let stream = futures::stream::unfold(events, |mut events| async move {
        let happened = events.poll().await;
        Some((happened, events))
    });
    (sender, stream)
}

/// The client refuses less than 5 s, and the wire holds 16 bits of seconds.
fn keep_alive(config: &MqttConfig) -> Duration {
    config.keep_alive.clamp(Duration::from_secs(5), Duration::from_secs(u64::from(u16::MAX)))
}

/// Longer silence on a link means that it is dead, since at least keep-alives are written and answered.
pub(super) fn longest_silence(config: &MqttConfig) -> Duration {
    2 * keep_alive(config) + Duration::from_secs(5)
}

fn open_v5(config: &MqttConfig, host: &str, transport: Transport, will: (&str, &Bytes)) -> (Sender, Events) {
    let mut options = v5::MqttOptions::new(&config.client_id, host, config.port);
    options
        .set_transport(transport)
        .set_keep_alive(keep_alive(config))
        .set_clean_start(false)
        .set_connection_timeout(CONNECT_TIMEOUT_S)
        .set_outgoing_inflight_upper_limit(CLIENT_WINDOW)
        .set_last_will(v5::mqttbytes::v5::LastWill::new(will.0, will.1.to_vec(), v5::mqttbytes::QoS::AtLeastOnce, true, None));
    options.set_session_expiry_interval(Some(SESSION_EXPIRY_S));
    if let Some(username) = &config.username {
        options.set_credentials(username, config.password.as_ref().map_or("", |p| p.expose()));
    }
    let (client, mut events) = v5::AsyncClient::new(options, CHANNEL);
    // Messages are written as they come, so waiting to fill a segment would only delay them.
    let mut network = events.options.network_options();
    network.set_tcp_nodelay(true);
    events.options.set_network_options(network);
    (Sender::V5(client), Events::V5(Box::new(events)))
}

fn open_v311(config: &MqttConfig, host: &str, transport: Transport, will: (&str, &Bytes)) -> (Sender, Events) {
    let mut options = rumqttc::MqttOptions::new(&config.client_id, host, config.port);
    options
        .set_transport(transport)
        .set_keep_alive(keep_alive(config))
        // 3.1.1 knows no expiry: a session would stay at the broker for good, and we subscribe to nothing.
        .set_clean_session(true)
        .set_max_packet_size(MAX_PACKET, MAX_PACKET)
        .set_inflight(CLIENT_WINDOW)
        .set_last_will(rumqttc::LastWill::new(will.0, will.1.to_vec(), QoS::AtLeastOnce, true));
    if let Some(username) = &config.username {
        options.set_credentials(username, config.password.as_ref().map_or("", |p| p.expose()));
    }
    let (client, mut events) = rumqttc::AsyncClient::new(options, CHANNEL);
    events.network_options.set_tcp_nodelay(true);
    events.network_options.set_connection_timeout(CONNECT_TIMEOUT_S);
    (Sender::V311(client), Events::V311(Box::new(events)))
}

impl Sender {
    /// Hands a message over. `false`: the client is full, and says so by what happens next.
    pub(super) fn send(&self, message: &Message) -> bool {
        let (topic, retain) = (&*message.topic, message.family.retained());
        match self {
            Self::V5(client) => {
                let qos =
                    if message.family.acknowledged() { v5::mqttbytes::QoS::AtLeastOnce } else { v5::mqttbytes::QoS::AtMostOnce };
                let properties = v5::mqttbytes::v5::PublishProperties {
                    payload_format_indicator: Some(1),
                    content_type: Some("application/json".to_owned()),
                    message_expiry_interval: (!message.family.acknowledged()).then_some(FRAME_EXPIRY_S),
                    ..Default::default()
                };
                client.try_publish_with_properties(topic, qos, retain, message.payload.clone(), properties).is_ok()
            }
            Self::V311(client) => {
                let qos = if message.family.acknowledged() { QoS::AtLeastOnce } else { QoS::AtMostOnce };
                client.try_publish(topic, qos, retain, message.payload.to_vec()).is_ok()
            }
        }
    }

    /// Says goodbye, so that the broker does not publish the will.
    pub(super) fn farewell(&self) -> bool {
        match self {
            Self::V5(client) => client.try_disconnect().is_ok(),
            Self::V311(client) => client.try_disconnect().is_ok(),
        }
    }
}

impl Events {
    async fn poll(&mut self) -> Result<Happened, LinkError> {
        match self {
            Self::V5(events) => match events.poll().await {
                Ok(event) => Ok(happened_v5(&event)),
                Err(error) => Err(failed_v5(&error)),
            },
            Self::V311(events) => match events.poll().await {
                Ok(event) => Ok(happened_v311(&event)),
                Err(error) => Err(failed_v311(&error)),
            },
        }
    }
}

fn outgoing(outgoing: &Outgoing) -> Happened {
    match outgoing {
        Outgoing::Publish(id) => Happened::Wrote(*id),
        Outgoing::Disconnect => Happened::Farewell,
        _ => Happened::Idle,
    }
}

fn happened_v5(event: &v5::Event) -> Happened {
    use v5::mqttbytes::v5::{Packet, PubAckReason};
    match event {
        v5::Event::Incoming(Packet::ConnAck(ack)) => {
            let properties = ack.properties.as_ref();
            let window = properties.and_then(|p| p.receive_max).unwrap_or(WINDOW).clamp(1, WINDOW);
            let largest = properties.and_then(|p| p.max_packet_size).map_or(MAX_PACKET, |size| size as usize);
            Happened::Connected { window, largest: largest.min(MAX_PACKET).saturating_sub(PACKET_OVERHEAD) }
        }
        v5::Event::Incoming(Packet::PubAck(ack)) => {
            let refused = !matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers);
            Happened::Acknowledged { id: ack.pkid, refused }
        }
        v5::Event::Outgoing(out) => outgoing(out),
        v5::Event::Incoming(_) => Happened::Idle,
    }
}

fn happened_v311(event: &rumqttc::Event) -> Happened {
    match event {
        rumqttc::Event::Incoming(rumqttc::Packet::ConnAck(_)) => {
            Happened::Connected { window: WINDOW, largest: MAX_PACKET - PACKET_OVERHEAD }
        }
        rumqttc::Event::Incoming(rumqttc::Packet::PubAck(ack)) => Happened::Acknowledged { id: ack.pkid, refused: false },
        rumqttc::Event::Outgoing(out) => outgoing(out),
        rumqttc::Event::Incoming(_) => Happened::Idle,
    }
}

fn failed_v5(error: &v5::ConnectionError) -> LinkError {
    use v5::{ConnectionError as E, StateError as S, mqttbytes::v5::ConnectReturnCode as Code};
    let failure = match error {
        E::ConnectionRefused(Code::BadUserNamePassword | Code::NotAuthorized | Code::BadAuthenticationMethod | Code::Banned) => {
            Failure::AuthFailed
        }
        E::ConnectionRefused(_) => Failure::Refused,
        E::Tls(error) => tls_or_network(error),
        E::Io(_) | E::Timeout(_) => Failure::Unreachable,
        E::MqttState(S::ConnectionAborted | S::Io(_) | S::ServerDisconnect { .. }) => Failure::Closed,
        E::MqttState(S::AwaitPingResp | S::CollisionTimeout) => Failure::Timeout,
        _ => Failure::Protocol,
    };
    LinkError { failure, detail: error.to_string() }
}

fn failed_v311(error: &rumqttc::ConnectionError) -> LinkError {
    use rumqttc::{ConnectReturnCode as Code, ConnectionError as E, StateError as S};
    let failure = match error {
        E::ConnectionRefused(Code::BadUserNamePassword | Code::NotAuthorized) => Failure::AuthFailed,
        E::ConnectionRefused(_) => Failure::Refused,
        E::Tls(error) => tls_or_network(error),
        E::Io(_) | E::NetworkTimeout => Failure::Unreachable,
        E::MqttState(S::ConnectionAborted | S::Io(_)) => Failure::Closed,
        E::FlushTimeout | E::MqttState(S::AwaitPingResp | S::CollisionTimeout) => Failure::Timeout,
        _ => Failure::Protocol,
    };
    LinkError { failure, detail: error.to_string() }
}

/// A handshake that the network cut off is no fault of the certificates; rustls reports its own faults as invalid data.
fn tls_or_network(error: &rumqttc::TlsError) -> Failure {
    match error {
        rumqttc::TlsError::Io(error) if error.kind() != std::io::ErrorKind::InvalidData => Failure::Unreachable,
        _ => Failure::Tls,
    }
}

/// What the broker's certificate is checked against.
pub(super) fn tls_config(config: &MqttConfig) -> Result<Option<Arc<ClientConfig>>, LinkError> {
    Ok(config.tls.as_ref().map(tls::client_config).transpose()?)
}
