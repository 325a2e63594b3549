//! The brokers and the queue before them, as the rest of the program sees them.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use super::{dialects::DialectsConfig, secret::Secret, topic_filter::TopicFilter};
use crate::control::Verb;

/// MQTT protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MqttVersion {
    /// MQTT 5.
    V5,
    /// MQTT 3.1.1.
    V311,
}

/// How messages about frames are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrameFormat {
    /// JSON, as all other messages.
    #[default]
    Json,
    /// The compact form as CBOR (RFC 8949).
    Cbor,
    /// The compact form as Protobuf.
    Protobuf,
}

impl FrameFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Json, Self::Cbor, Self::Protobuf];

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Cbor => "application/cbor",
            Self::Protobuf => "application/protobuf",
        }
    }
}

/// What is published, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttConfig {
    /// The broker of `[mqtt]` itself.
    pub first: BrokerConfig,
    /// Those of `[[mqtt.broker]]`.
    pub others: Vec<BrokerConfig>,
    /// First level(s) of every topic.
    pub base_topic: String,
    /// Shortest time between two `track/update` messages of one track.
    pub track_update_interval: Duration,
    /// What others may tell this daemon to do; nothing by default.
    pub commands: BTreeSet<Verb>,
    /// The contracts of others that are spoken beside ours.
    pub dialects: DialectsConfig,
    /// Where events and ends of tracks are kept until the brokers have them; `None`: in memory.
    pub queue: Option<QueueConfig>,
}

/// A broker, how to reach it, and what it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Unique name; [`MqttConfig::FIRST`] is the first one's.
    pub name: String,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// `Some`: TLS (`mqtts`), verified.
    pub tls: Option<TlsConfig>,
    /// Protocol version.
    pub version: MqttVersion,
    /// Client identifier, unique at the broker.
    pub client_id: String,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// MQTT keep-alive.
    pub keep_alive: Duration,
    /// Per-frame messages: off, or each frame's detections on `cam/<id>/frame`.
    pub publish_frames: bool,
    /// How they are written.
    pub frame_format: FrameFormat,
    /// Topics that it gets.
    pub topics: TopicFilter,
    /// Most bytes a second.
    pub max_bytes_per_second: Option<u64>,
    /// Whether commands and dialects listen at it.
    pub listens: bool,
}

/// The queue on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Its folder.
    pub directory: PathBuf,
    /// Most bytes of its files.
    pub max_bytes: u64,
    /// Oldest message, in running time of the machine.
    pub max_age: Duration,
    /// What a power cut may cost.
    pub sync_interval: Duration,
    /// For how long what the broker acknowledged is kept, in case the broker is lost.
    pub keep_acknowledged: Duration,
    /// Most messages a second of what has waited.
    pub replay_rate: u32,
}

impl QueueConfig {
    /// One in this folder, as it is where nothing else is configured.
    pub fn at(directory: PathBuf) -> Self {
        Self {
            directory,
            max_bytes: 64 << 20,
            max_age: Duration::from_hours(7 * 24),
            sync_interval: Duration::from_millis(200),
            keep_acknowledged: Duration::from_secs(5),
            replay_rate: 500,
        }
    }
}

impl MqttConfig {
    /// The first broker's name.
    pub const FIRST: &str = "mqtt";
    /// Most brokers.
    pub const MOST_BROKERS: usize = 16;

    /// All brokers.
    pub fn brokers(&self) -> impl Iterator<Item = &BrokerConfig> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The client identifier where none is configured.
    pub(super) fn usual_client_id(device: &str) -> String {
        format!("egret-{device}")
    }
}

/// TLS towards a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM file with the authorities to trust; the system's store if absent.
    pub ca_file: Option<PathBuf>,
    /// PEM files with our own certificate (and its chain) and its private key, for brokers that ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Name that the broker's certificate has to be for, and that it is told (SNI); the host if absent.
    pub server_name: Option<String>,
    /// Application protocols that are offered (ALPN), in this order.
    pub alpn: Vec<String>,
}
