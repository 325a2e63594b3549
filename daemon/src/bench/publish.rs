//! Publishing alone, as fast as the broker takes it: messages about frames, or events through the queue on disk.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio_util::sync::CancellationToken;

use super::{line::named, meter::Usage, overhead::BenchError};
use crate::{
    analyse::{Event, EventId, EventPhase, Object, Verdicts},
    config::Config,
    infer::{Detector as _, Null},
    media::{
        BBox, Capture, Detection, Extras, Mark, ModelInfo, StreamId, TimeBasis, TimeCard, TrackId, Tracked, TrackedDetection,
    },
    observe::StageTimes,
    publish::{self, Counters, DropReason, Family, Site},
    status::StatusBoard,
};

/// How long a broker may take to answer.
const CONNECT: Duration = Duration::from_secs(10);
/// Frames whose messages may be under way: fewer than publishing queues in memory, so that none is dropped there.
const FRAMES: u64 = 256;
/// Events that may be: fewer than wait for a disk.
const EVENTS: u64 = 2048;
/// Frames that are handed over at once.
const BATCH: u64 = 8;
/// How often it is looked whether messages have left.
const LOOK: Duration = Duration::from_micros(200);

/// What is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// One message for each frame, with so many objects.
    Frames(usize),
    /// One event for each frame, and nothing else.
    Events,
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct PublishOptions {
    /// The configuration: its broker and its queue count.
    pub config: Config,
    /// Cameras that take turns.
    pub cameras: u32,
    /// What.
    pub messages: Messages,
    /// Before anything is measured.
    pub warm_up: Duration,
    /// What is measured.
    pub duration: Duration,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Publishing {
    /// How long, on the clock.
    pub wall: Duration,
    /// Messages that the broker acknowledged, or that were written where nobody acknowledges.
    pub messages: u64,
    /// Messages that were dropped.
    pub unsent: u64,
    /// Bytes of the messages.
    pub payload_bytes: u64,
    /// Bytes that the process had the system write to disks, as the system counts them: whole pages.
    pub disk_bytes: Option<u64>,
    /// What the process used, the making of frames included (thread `source`).
    pub usage: Usage,
}

impl Publishing {
    /// Messages in a second.
    pub fn rate(&self) -> f64 {
        self.messages as f64 / self.wall.as_secs_f64()
    }

    /// CPU time of the whole process for each message, in µs.
    pub fn cpu_us_per_message(&self) -> f64 {
        self.usage.cpu.as_secs_f64() * 1e6 / self.messages.max(1) as f64
    }

    /// Bytes written to disks for each byte of a message.
    pub fn write_amplification(&self) -> Option<f64> {
        self.disk_bytes.map(|bytes| bytes as f64 / self.payload_bytes.max(1) as f64)
    }
}

/// Makes frames.
struct Source {
    messages: Messages,
    model: Arc<ModelInfo>,
    streams: Vec<StreamId>,
    made: u64,
}

impl Source {
    fn new(messages: Messages, cameras: u32) -> Self {
        let null = Null::new("null", vec!["person".into()], 1, 0);
        let streams = (0..cameras.max(1)).map(|i| StreamId::new(i, &format!("cam{i}"))).collect();
        Self { messages, model: Arc::clone(null.spec()), streams, made: 0 }
    }

    fn next(&mut self) -> Tracked {
        let number = self.made;
        self.made += 1;
        let now = Instant::now();
        let mut times = TimeCard::received(now);
        for mark in [Mark::Decoded, Mark::Dispatched, Mark::Prepared, Mark::Inferred, Mark::TrackStarted, Mark::Tracked] {
            times.stamp(mark, now);
        }
        let objects = match self.messages {
            Messages::Frames(objects) => objects,
            Messages::Events => 0,
        };
        let wall = SystemTime::now();
        Tracked {
            stream: self.streams[(number % self.streams.len() as u64) as usize].clone(),
            frame_seq: number / self.streams.len() as u64,
            pts: Duration::from_millis(number),
            capture: Capture { wall, basis: TimeBasis::Arrival },
            size: (1920, 1080),
            detections: (0..objects).map(|i| seen(i, number)).collect(),
            extras: Extras::default(),
            tracks: Vec::new(),
            steps: None,
            shots: Vec::new(),
            verdicts: (self.messages == Messages::Events).then(|| Box::new(verdicts(number, wall))),
            model: Arc::clone(&self.model),
            closing: false,
            times,
        }
    }
}

/// Boxes with as many digits as those of a network.
fn seen(object: usize, number: u64) -> TrackedDetection {
    let (x, y) = (180.37 * object as f32, (number % 500) as f32 * 1.13);
    let bbox = BBox::new(x, y, x + 131.7, y + 287.9);
    let detection = Detection { class: 0, confidence: 0.9123 - 0.0371 * object as f32 % 0.5, bbox };
    TrackedDetection { detection, track: Some(TrackId(0x054f_37c8_e4c0_0000 + object as u64)) }
}

fn verdicts(number: u64, started: SystemTime) -> Verdicts {
    let Detection { class, confidence, bbox } = seen(1, number).detection;
    let event = Event {
        id: EventId(number),
        rule: "gate".into(),
        kind: "line",
        phase: EventPhase::Once,
        started,
        objects: vec![Object { track: TrackId(number), class, confidence, bbox }],
        way: Some(crate::analyse::Way::In),
        measure: None,
    };
    Verdicts { events: vec![event], ..Verdicts::default() }
}

/// What is read at the beginning and at the end.
struct Reading {
    at: Instant,
    messages: u64,
    unsent: u64,
    payload_bytes: u64,
    disk_bytes: Option<u64>,
    usage: Usage,
}

impl Reading {
    fn now(counters: &Counters, family: Family) -> Self {
        let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
        let disk_bytes = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok());
        Self {
            at: Instant::now(),
            messages: counters.published(family),
            unsent: unsent(counters, family),
            payload_bytes: counters.bytes(),
            disk_bytes,
            usage: Usage::now(),
        }
    }
}

fn unsent(counters: &Counters, family: Family) -> u64 {
    DropReason::ALL.into_iter().map(|reason| counters.dropped(family, reason)).sum()
}

/// Publishes for a while and measures it.
///
/// # Errors
/// `BenchError`.
pub fn publish(options: &PublishOptions) -> Result<Publishing, BenchError> {
    let (family, most) = match options.messages {
        Messages::Frames(_) => (Family::Frame, FRAMES),
        Messages::Events => (Family::Event, EVENTS),
    };
    let (input, from_source) = tokio::sync::mpsc::channel::<Vec<Tracked>>(64);
    let counters = Arc::new(Counters::default());
    let mut mqtt = options.config.mqtt.clone();
    if let Some(mqtt) = &mut mqtt {
        mqtt.first.publish_frames = matches!(options.messages, Messages::Frames(_));
    }
    let publishing = {
        let (site, counters, stages) = (Site::named(&options.config.device), counters.clone(), StageTimes::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        named("publish", move || {
            let (board, never) = (StatusBoard::new(), CancellationToken::new());
            runtime.block_on(publish::run(
                mqtt,
                site,
                (from_source, tokio::sync::mpsc::channel(1).0),
                board,
                stages,
                counters,
                never,
            ));
        })?
    };
    let result = connect(&counters).and_then(|()| {
        let counting = counters.clone();
        let (stop, stopped) = std::sync::mpsc::sync_channel::<()>(0);
        let mut source = Source::new(options.messages, options.cameras);
        let source = named("source", move || {
            loop {
                while source.made + BATCH > counting.published(family) + unsent(&counting, family) + most {
                    if stopped.recv_timeout(LOOK) == Err(std::sync::mpsc::RecvTimeoutError::Disconnected) {
                        return;
                    }
                }
                let batch = (0..BATCH).map(|_| source.next()).collect();
                if input.blocking_send(batch).is_err() {
                    return;
                }
            }
        })?;
        wait(options.warm_up);
        let begin = Reading::now(&counters, family);
        wait(options.duration);
        let end = Reading::now(&counters, family);
        drop(stop);
        source.join().map_err(|_| BenchError::Died { what: "the source" })?;
        Ok(Publishing {
            wall: end.at.saturating_duration_since(begin.at),
            messages: end.messages - begin.messages,
            unsent: end.unsent - begin.unsent,
            payload_bytes: end.payload_bytes - begin.payload_bytes,
            disk_bytes: end.disk_bytes.zip(begin.disk_bytes).map(|(end, begin)| end - begin),
            usage: end.usage.since(&begin.usage),
        })
    });
    publishing.join().map_err(|_| BenchError::Died { what: "publishing" })?;
    result
}

/// Waits for the broker.
fn connect(counters: &Counters) -> Result<(), BenchError> {
    let deadline = Instant::now() + CONNECT;
    while !counters.connected() {
        if Instant::now() > deadline {
            let reason = counters.last_failure().map_or_else(|| "no answer".into(), |(_, detail)| detail);
            return Err(BenchError::Broker { waited: CONNECT, reason });
        }
        wait(Duration::from_millis(10));
    }
    Ok(())
}

fn wait(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

#[cfg(all(test, feature = "demo"))]
mod tests {
    use super::*;
    use crate::{config::QueueConfig, demo::EmbeddedBroker};

    #[test]
    fn frames_and_events_are_published_and_none_is_dropped() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let broker = runtime.block_on(EmbeddedBroker::start()).expect("a broker");
        let text = format!("device = \"bench\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n", broker.v5().port());
        let dir = tempfile::tempdir().expect("a directory");
        for messages in [Messages::Frames(10), Messages::Events] {
            let mut config = crate::config::load_text("bench.toml".as_ref(), &text).expect("a good configuration").config;
            let queue = QueueConfig::at(dir.path().join("queue"));
            config.mqtt.as_mut().expect("a broker").queue = (messages == Messages::Events).then_some(queue);
            // A disk that is busy with something else can hold the queue for longer than a short window.
            let mut windows = [300, 3_000, 30_000].map(Duration::from_millis).into_iter();
            let result = loop {
                let time = windows.next().expect("something is published in half a minute");
                let options = PublishOptions { config: config.clone(), cameras: 4, messages, warm_up: time, duration: time };
                let result = publish(&options).expect("measured");
                if result.messages > 0 {
                    break result;
                }
            };
            assert!(result.unsent == 0 && result.usage.cpu > Duration::ZERO, "{result:?}");
            assert!(result.payload_bytes > 300 * result.messages, "{result:?}");
        }
    }
}
