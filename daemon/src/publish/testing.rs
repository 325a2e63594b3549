//! What the tests of publishing share: something to publish, brokers, and a subscriber.

use std::time::Duration;

use rumqttc::v5;
use serde_json::Value;
use tokio::{task::JoinHandle, time::timeout};

pub(crate) use self::mosquitto::{Mosquitto, free_port};
use super::*;
use crate::{
    config::{BrokerConfig, MqttVersion},
    media::{BBox, Capture, Detection, ModelInfo, StreamId, TimeBasis, TimeCard, Track, TrackId, TrackPhase, TrackedDetection},
};

mod mosquitto;

/// No test waits longer for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn broker(port: u16, version: MqttVersion) -> BrokerConfig {
    BrokerConfig {
        name: MqttConfig::FIRST.into(),
        host: "127.0.0.1".into(),
        port,
        tls: None,
        version,
        client_id: "egret-test".into(),
        username: None,
        password: None,
        keep_alive: Duration::from_secs(5),
        publish_frames: true,
        frame_format: crate::config::FrameFormat::Json,
        topics: crate::config::TopicFilter::default(),
        max_bytes_per_second: None,
        listens: true,
    }
}

pub(super) fn config(port: u16, version: MqttVersion) -> MqttConfig {
    to(broker(port, version))
}

/// All to one broker.
pub(super) fn to(first: BrokerConfig) -> MqttConfig {
    MqttConfig {
        first,
        others: Vec::new(),
        base_topic: "egret".into(),
        track_update_interval: Duration::ZERO,
        queue: None,
        commands: std::collections::BTreeSet::new(),
        dialects: crate::config::DialectsConfig::default(),
    }
}

/// A frame with one person in it, whose track is new in frame 0.
pub(super) fn frame(stream: &StreamId, number: u64) -> Tracked {
    let now = Instant::now();
    let detection = Detection { class: 0, confidence: 0.9, bbox: BBox::new(10.0, 20.0, 50.0, 120.0) };
    let wall = SystemTime::now();
    let phase = if number == 0 { TrackPhase::New } else { TrackPhase::Update };
    let track = Track {
        id: TrackId(42),
        class: 0,
        confidence: 0.9,
        bbox: detection.bbox,
        velocity: (1.0, 0.0),
        stationary: false,
        first_seen: wall,
        last_seen: wall,
        hits: number as u32 + 1,
        phase,
    };
    let mut times = TimeCard::received(now);
    for mark in [Mark::Decoded, Mark::Dispatched, Mark::Prepared, Mark::Inferred, Mark::TrackStarted, Mark::Tracked] {
        times.stamp(mark, now);
    }
    Tracked {
        stream: stream.clone(),
        frame_seq: number,
        pts: Duration::from_millis(40 * number),
        capture: Capture { wall, basis: TimeBasis::Arrival },
        size: (640, 480),
        detections: vec![TrackedDetection { detection, track: Some(TrackId(42)) }],
        extras: crate::media::Extras::default(),
        tracks: vec![track],
        steps: None,
        shots: Vec::new(),
        verdicts: None,
        model: Arc::new(ModelInfo {
            name: "m".into(),
            classes: vec!["person".into()],
            runtime: "scripted".into(),
            sha256: String::new(),
            precision: "fp32",
        }),
        closing: false,
        times,
    }
}

/// Publishing under test.
pub(super) struct Line {
    pub(super) input: mpsc::Sender<Vec<Tracked>>,
    pub(super) board: Arc<StatusBoard>,
    pub(super) stages: Arc<StageTimes>,
    pub(super) counters: Arc<Counters>,
    pub(super) cancel: CancellationToken,
    pub(super) task: JoinHandle<()>,
}

impl Line {
    pub(super) fn start(config: Option<MqttConfig>) -> Self {
        // Nobody obeys.
        Self::start_obeyed(config, mpsc::channel(1).0)
    }

    /// The same, with somebody who carries commands out.
    pub(super) fn start_obeyed(config: Option<MqttConfig>, door: mpsc::Sender<Request>) -> Self {
        let (input, from_track) = mpsc::channel(8);
        let (board, stages, counters) = (StatusBoard::new(), StageTimes::new(), Arc::new(Counters::default()));
        let cancel = CancellationToken::new();
        let publishing =
            run(config, Site::named("box1"), (from_track, door), board.clone(), stages.clone(), counters.clone(), cancel.clone());
        Self { input, board, stages, counters, cancel, task: tokio::spawn(publishing) }
    }

    pub(super) async fn send(&self, frames: Vec<Tracked>) {
        timeout(PATIENCE, self.input.send(frames)).await.expect("publishing never holds the line up").expect("publishing runs");
    }

    /// Ends the input and waits for the farewell.
    pub(super) async fn finish(self) -> Arc<Counters> {
        drop(self.input);
        timeout(PATIENCE, self.task).await.expect("ends in time").expect("no panic");
        self.counters
    }

    /// Waits until the counters say so.
    pub(super) async fn until(&self, what: &str, reached: impl Fn(&Counters) -> bool) {
        let waited = timeout(PATIENCE, async {
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            while !reached(&self.counters) {
                pace.tick().await;
            }
        });
        assert!(waited.await.is_ok(), "{what}: {:?}", self.counters);
    }
}

/// What a subscriber hears.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) topic: String,
    pub(super) retained: bool,
    pub(super) text: String,
}

impl Heard {
    fn new(topic: String, retained: bool, payload: &[u8]) -> Self {
        Self { topic, retained, text: String::from_utf8(payload.to_vec()).expect("UTF-8") }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{}: {e}: {}", self.topic, self.text))
    }
}

/// A subscriber, by default to all of ours, over either version.
pub(super) enum Subscriber {
    V311(Box<rumqttc::EventLoop>),
    V5(Box<v5::EventLoop>),
}

impl Subscriber {
    pub(super) async fn connect(port: u16) -> Self {
        Self::connect_as(MqttVersion::V311, port).await
    }

    pub(super) async fn connect_as(version: MqttVersion, port: u16) -> Self {
        Self::connect_to(version, port, "egret/#").await
    }

    /// A subscriber to these topics.
    pub(super) async fn connect_to(version: MqttVersion, port: u16, filter: &str) -> Self {
        let name = format!("listener-{}", boot_id());
        let mut subscriber = match version {
            MqttVersion::V311 => {
                let mut options = rumqttc::MqttOptions::new(name, "127.0.0.1", port);
                options.set_keep_alive(Duration::from_mins(1)).set_max_packet_size(1 << 20, 1 << 20);
                let (client, events) = rumqttc::AsyncClient::new(options, 8);
                client.try_subscribe(filter, rumqttc::QoS::AtLeastOnce).expect("room");
                Self::V311(Box::new(events))
            }
            MqttVersion::V5 => {
                let (client, events) = v5::AsyncClient::new(v5::MqttOptions::new(name, "127.0.0.1", port), 8);
                client.try_subscribe(filter, v5::mqttbytes::QoS::AtLeastOnce).expect("room");
                Self::V5(Box::new(events))
            }
        };
        let subscribed = async { while !matches!(subscriber.poll().await, Some(None)) {} };
        timeout(PATIENCE, subscribed).await.expect("subscribed in time");
        subscriber
    }

    /// One event: a message, `Some(None)` for the acknowledged subscription, or anything else.
    async fn poll(&mut self) -> Option<Option<Heard>> {
        match self {
            Self::V311(events) => match events.poll().await.expect("connected") {
                rumqttc::Event::Incoming(rumqttc::Packet::SubAck(_)) => Some(None),
                rumqttc::Event::Incoming(rumqttc::Packet::Publish(publish)) => {
                    Some(Some(Heard::new(publish.topic, publish.retain, &publish.payload)))
                }
                _ => None,
            },
            Self::V5(events) => match events.poll().await.expect("connected") {
                v5::Event::Incoming(v5::Incoming::SubAck(_)) => Some(None),
                v5::Event::Incoming(v5::Incoming::Publish(publish)) => {
                    let topic = String::from_utf8(publish.topic.to_vec()).expect("UTF-8");
                    Some(Some(Heard::new(topic, publish.retain, &publish.payload)))
                }
                _ => None,
            },
        }
    }

    pub(super) async fn next(&mut self) -> Heard {
        let heard = async {
            loop {
                if let Some(Some(heard)) = self.poll().await {
                    return heard;
                }
            }
        };
        timeout(PATIENCE, heard).await.expect("a message in time")
    }

    /// Skips to the first message that fits.
    pub(super) async fn until(&mut self, fits: impl Fn(&Heard) -> bool) -> Heard {
        loop {
            let heard = self.next().await;
            if fits(&heard) {
                return heard;
            }
        }
    }
}
