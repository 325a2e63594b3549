//! Turns what happened into messages. No input and no output: everything that a message says is handed in.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use serde::Serialize;

use super::{
    health::Findings,
    journal::{Journal, Orphan, RENEW, What},
    message::{self, CameraStatus, Compact, FrameMessage, HealthMessage, Kind, SCHEMA, Stamp, TrackMessage},
    scene::{Scene, Times, wall_ms},
    sort::{Sort, Worth},
    topics::{self, Channel, Family, Place},
    trail::{self, Trail},
};
use crate::{
    analyse::{Event, EventId, EventPhase, Measure, Unit, Verdicts},
    config::{FrameFormat, MqttConfig},
    media::{StreamId, Track, TrackId, TrackPhase, Tracked},
    status,
};

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) wall: SystemTime,
    pub(super) steady: Instant,
}

impl Now {
    pub(super) fn read() -> Self {
        Self { wall: SystemTime::now(), steady: Instant::now() }
    }
}

/// Events of one camera that have begun and whose ends would be told after a crash: at most so many.
const MOST_EVENTS: usize = 1024;

/// The numbers of the next messages about a camera of this name. They go on where a camera is removed and another one takes its name, or they
/// would name two messages.
#[derive(Default)]
struct Numbers {
    status: AtomicU64,
    frame: AtomicU64,
    track: AtomicU64,
    event: AtomicU64,
    count: AtomicU64,
}

/// What a camera needs from message to message.
struct Camera {
    name: Arc<str>,
    numbers: Arc<Numbers>,
    status_topic: Arc<str>,
    frame_topic: Arc<str>,
    track_topics: [Arc<str>; 3],
    rename_topic: Arc<str>,
    /// The topics of each rule that has said anything.
    rules: HashMap<Arc<str>, RuleTopics>,
    frames: u32,
    fps: Option<f32>,
    last_capture: Option<SystemTime>,
    /// When each track was last told of, and whether it stood still then.
    updated: HashMap<TrackId, (Instant, bool)>,
    /// Where each track was.
    trails: HashMap<TrackId, Trail>,
    /// Events that have begun and not ended.
    open: BTreeMap<EventId, Event>,
    /// What is noted of what is open, and when it was last renewed.
    noted: HashSet<What>,
    renewed: Option<Instant>,
}

/// Where a rule is told of.
struct RuleTopics {
    event: Arc<str>,
    count: Arc<str>,
    summary: Arc<str>,
    /// Which of the last two the broker retains.
    retained: [bool; 2],
}

impl Camera {
    fn rule(&mut self, (base, device, name): (&str, &str, &str), rule: &Arc<str>) -> &mut RuleTopics {
        let topic = |channel: Channel| channel.topic(Place { base, device, camera: name, rule, ..Place::default() });
        self.rules.entry(rule.clone()).or_insert_with(|| RuleTopics {
            event: topic(topics::EVENT),
            count: topic(topics::COUNT),
            summary: topic(topics::SUMMARY),
            retained: [false; 2],
        })
    }

    /// The topics whose retained messages are to be cleared.
    fn retained(rules: RuleTopics) -> impl Iterator<Item = Arc<str>> {
        [rules.count, rules.summary].into_iter().zip(rules.retained).filter(|(_, retained)| *retained).map(|(topic, _)| topic)
    }

    /// Notes where tracks are, and what rules say of their stay, before they are told of.
    fn follow(&mut self, tracked: &Tracked) {
        for track in tracked.tracks.iter().filter(|track| track.phase != TrackPhase::End) {
            self.trails.entry(track.id).or_default().seen(track, tracked.size);
        }
        for event in tracked.verdicts.iter().flat_map(|verdicts| &verdicts.events) {
            if let Some(trail) = trail::whose(event).and_then(|track| self.trails.get_mut(&track)) {
                trail.told(event);
            }
        }
    }

    /// Notes what would be said of what is open if the daemon died now.
    fn note(&mut self, scene: &Scene<'_>, journal: &Journal, buffer: &mut Vec<u8>) {
        let (tracked, now) = (scene.tracked, scene.now.steady);
        let due = self.renewed.is_none_or(|renewed| now.saturating_duration_since(renewed) >= RENEW);
        if due {
            self.renewed = Some(now);
        }
        for track in &tracked.tracks {
            let what = What::Track(track.id.0);
            if track.phase == TrackPhase::End {
                self.forget(journal, what);
            } else if (due || !self.noted.contains(&what)) && self.updated.contains_key(&track.id) {
                self.noted.insert(what);
                let track = Track { phase: TrackPhase::End, ..*track };
                journal.put(&self.name, what, write(buffer, &scene.track(&track, self.trails.get(&track.id), 0)));
            }
        }
        for event in tracked.verdicts.iter().flat_map(|verdicts| &verdicts.events) {
            match event.phase {
                EventPhase::Start if self.open.len() < MOST_EVENTS => {
                    self.open.insert(event.id, event.clone());
                }
                EventPhase::End => {
                    self.open.remove(&event.id);
                    self.forget(journal, What::Event(event.id.0));
                }
                EventPhase::Start | EventPhase::Once => {}
            }
        }
        for event in self.open.values() {
            let what = What::Event(event.id.0);
            if self.noted.insert(what) || due {
                let event = so_far(event, tracked.capture.wall);
                journal.put(&self.name, what, write(buffer, &scene.event(&event, 0)));
            }
        }
    }

    /// It has ended, or goes by another name.
    fn forget(&mut self, journal: &Journal, what: What) {
        if self.noted.remove(&what) {
            journal.remove(&self.name, what);
        }
    }

    fn new(base: &str, device: &str, name: &str, numbers: &mut HashMap<Arc<str>, Arc<Numbers>>) -> Self {
        let name: Arc<str> = name.into();
        let numbers = numbers.entry(name.clone()).or_default().clone();
        let topic = |channel: Channel| channel.topic(Place { base, device, camera: &name, ..Place::default() });
        Self {
            status_topic: topic(topics::CAMERA_STATUS),
            frame_topic: topic(topics::FRAME),
            track_topics: [topics::TRACK_NEW, topics::TRACK_UPDATE, topics::TRACK_END].map(topic),
            rename_topic: topic(topics::TRACK_RENAME),
            rules: HashMap::new(),
            frames: 0,
            fps: None,
            last_capture: None,
            updated: HashMap::new(),
            trails: HashMap::new(),
            open: BTreeMap::new(),
            noted: HashSet::new(),
            renewed: None,
            name,
            numbers,
        }
    }
}

/// An event as it would end now. What was measured is known of durations only.
fn so_far(event: &Event, now: SystemTime) -> Event {
    let lasted = now.duration_since(event.started).unwrap_or_default();
    let seconds = |measure: &Measure| Measure { value: lasted.as_secs_f64(), ..*measure };
    let measure = event.measure.as_ref().filter(|measure| measure.unit == Unit::Seconds).map(seconds);
    Event { phase: EventPhase::End, measure, ..event.clone() }
}

/// The writer of messages.
pub(super) struct Composer {
    base: String,
    device: String,
    boot_id: String,
    update_interval: Duration,
    health_topic: Arc<str>,
    health_seq: u64,
    cameras: HashMap<StreamId, Camera>,
    /// By the names of all cameras that there were.
    numbers: HashMap<Arc<str>, Arc<Numbers>>,
    /// What is to be told to have ended after a crash, where that is written down.
    journal: Option<Journal>,
    buffer: Vec<u8>,
}

/// What is known of a camera, which is made known if it is new. Most often it is there, and then its name need not be copied.
fn camera<'a>(
    cameras: &'a mut HashMap<StreamId, Camera>,
    stream: &StreamId,
    new: impl FnOnce() -> Camera,
) -> Option<&'a mut Camera> {
    if !cameras.contains_key(stream) {
        cameras.insert(stream.clone(), new());
    }
    cameras.get_mut(stream)
}

/// Counts from 0.
fn next(seq: &mut u64) -> u64 {
    let now = *seq;
    *seq += 1;
    now
}

/// The same of a camera.
fn count(seq: &AtomicU64) -> u64 {
    seq.fetch_add(1, Ordering::Relaxed)
}

/// JSON in a buffer of exactly its size. The types of [`message`] always serialize: no maps, no failing parts.
pub(super) fn write(buffer: &mut Vec<u8>, value: &impl Serialize) -> Bytes {
    buffer.clear();
    if let Err(error) = serde_json::to_writer(&mut *buffer, value) {
        tracing::error!(%error, "a message could not be written");
    }
    Bytes::from(buffer.as_slice().to_vec())
}

/// The same of a frame, in its format.
fn write_frame(buffer: &mut Vec<u8>, message: &FrameMessage<'_>, format: FrameFormat) -> Bytes {
    buffer.clear();
    match format {
        FrameFormat::Json => return write(buffer, message),
        FrameFormat::Protobuf => return prost::Message::encode_to_vec(&Compact::from(message)).into(),
        FrameFormat::Cbor => {
            if let Err(error) = Compact::from(message).to_cbor(&mut *buffer) {
                tracing::error!(%error, "a message could not be written");
            }
        }
    }
    Bytes::from(buffer.as_slice().to_vec())
}

impl Composer {
    pub(super) fn new(config: &MqttConfig, device: &str, boot_id: &str) -> Self {
        Self {
            base: config.base_topic.clone(),
            device: device.to_owned(),
            boot_id: boot_id.to_owned(),
            update_interval: config.track_update_interval,
            health_topic: topics::HEALTH.topic(Place { base: &config.base_topic, device, ..Place::default() }),
            health_seq: 0,
            cameras: HashMap::new(),
            numbers: HashMap::new(),
            journal: None,
            buffer: Vec::with_capacity(4096),
        }
    }

    /// What has been written so far is among so many messages that were given to the queue on disk.
    pub(super) fn given(&self, messages: u64) {
        if let Some(journal) = &self.journal {
            journal.given(messages);
        }
    }

    /// Notes what is open in a journal from here on.
    pub(super) fn keep(&mut self, journal: Journal) {
        self.journal = Some(journal);
    }

    /// The end of something that an earlier run had told the beginning of: topic, message, sort.
    pub(super) fn orphan(&mut self, orphan: Orphan, now: Now) -> (Arc<str>, Bytes, Sort) {
        let numbers = self.numbers.entry(orphan.camera.as_str().into()).or_default();
        let rule = orphan.rule.clone().unwrap_or_default();
        let (channel, worth, seq) = match orphan.rule {
            Some(_) => (topics::EVENT, Worth::Event, count(&numbers.event)),
            None => (topics::TRACK_END, Worth::End, count(&numbers.track)),
        };
        let place = Place { base: &self.base, device: &self.device, camera: &orphan.camera, rule: &rule, ..Place::default() };
        let topic = channel.topic(place);
        (topic, orphan.complete(&self.device, (&self.boot_id, seq), now.wall), Sort::new(channel.family, worth, seq))
    }

    /// How the daemon is, and the topic of that.
    pub(super) fn health(&mut self, findings: Findings, now: Now) -> (Arc<str>, Bytes) {
        let Findings { uptime_s, cpu_percent, process, stages, queues, disk, messages, .. } = findings;
        let message = HealthMessage {
            schema: SCHEMA,
            kind: Kind::Health,
            device: &self.device,
            boot_id: &self.boot_id,
            seq: next(&mut self.health_seq),
            version: env!("CARGO_PKG_VERSION"),
            uptime_s,
            cpu_percent,
            memory_bytes: process.resident_bytes,
            threads: process.threads,
            descriptors: process.descriptors,
            stages,
            queues,
            disk,
            messages,
            connection_failures: findings.connection_failures,
            board: findings.board,
            engines: findings.engines,
            published_at: Stamp(now.wall),
        };
        (self.health_topic.clone(), write(&mut self.buffer, &message))
    }

    /// A camera's status and its topic.
    pub(super) fn camera(&mut self, stream: &StreamId, status: &status::CameraStatus, now: Now) -> (Arc<str>, Bytes) {
        let Self { base, device, boot_id, cameras, numbers, buffer, .. } = self;
        let camera = cameras.entry(stream.clone()).or_insert_with(|| Camera::new(base, device, stream.name(), numbers));
        let message = CameraStatus {
            schema: SCHEMA,
            kind: Kind::CameraStatus,
            device,
            camera: stream.name(),
            boot_id,
            seq: count(&camera.numbers.status),
            state: status.state,
            detail: &status.detail,
            since: Stamp(status.since),
            codec: status.codec,
            size: status.size.map(|(w, h)| [w, h]),
            fps: camera.fps,
            last_frame_age_ms: camera.last_capture.map(|at| wall_ms(at, now.wall)),
            reconnects: status.reconnects,
            packets_lost: status.packets_lost,
            skipped_to_idr: status.skipped_to_idr,
            decode_errors: status.decode_errors,
            picture_faults: status.picture_faults,
            decoding: &status.decoding,
            published_at: Stamp(now.wall),
        };
        (camera.status_topic.clone(), write(buffer, &message))
    }

    /// Forgets a camera that was removed; the topics whose retained messages are to be cleared.
    pub(super) fn remove(&mut self, stream: &StreamId) -> Vec<(Arc<str>, Family)> {
        let Some(camera) = self.cameras.remove(stream) else {
            let place = Place { base: &self.base, device: &self.device, camera: stream.name(), ..Place::default() };
            let topic = topics::CAMERA_STATUS.topic(place);
            return vec![(topic, Family::CameraStatus)];
        };
        let rules = camera.rules.into_values().flat_map(Camera::retained).map(|topic| (topic, Family::Count));
        std::iter::once((camera.status_topic, Family::CameraStatus)).chain(rules).collect()
    }

    /// Takes the frame rates of the time that has passed, and forgets cameras that are neither `known` nor sending.
    pub(super) fn measure(&mut self, passed: Duration, known: impl Fn(&StreamId) -> bool) {
        self.cameras.retain(|stream, camera| {
            let frames = std::mem::take(&mut camera.frames);
            camera.fps = Some((frames as f32 / passed.as_secs_f32() * 10.0).round() / 10.0);
            frames > 0 || known(stream)
        });
    }

    /// The message of what was seen in a frame, in each of the forms that are `wanted` on its topic.
    pub(super) fn look(
        &mut self,
        tracked: &Tracked,
        now: Now,
        wanted: impl Fn(&str, FrameFormat) -> bool,
        mut send: impl FnMut(&Arc<str>, Bytes, FrameFormat),
    ) {
        let about_frames = tracked.steps.as_ref().is_some_and(|report| !report.frame.is_empty());
        if tracked.closing && !about_frames {
            return;
        }
        let Self { base, device, boot_id, cameras, numbers, buffer, .. } = self;
        let name = tracked.stream.name();
        let Some(camera) = camera(cameras, &tracked.stream, || Camera::new(base, device, name, numbers)) else { return };
        let topic = camera.frame_topic.clone();
        let mut formats = FrameFormat::ALL.into_iter().filter(|format| wanted(&topic, *format)).peekable();
        if formats.peek().is_none() {
            return;
        }
        let scene = Scene { device, boot_id, name, tracked, times: Times::of(tracked, now), now };
        let message = scene.frame(count(&camera.numbers.frame));
        formats.for_each(|format| send(&topic, write_frame(buffer, &message, format), format));
    }

    /// The messages of what goes on in a frame: all but that of [`Self::look`].
    pub(super) fn frame(&mut self, tracked: &Tracked, now: Now, mut send: impl FnMut(&Arc<str>, Bytes, Sort)) {
        let update_interval = self.update_interval;
        let Self { base, device, boot_id, cameras, numbers, journal, buffer, .. } = self;
        let name = tracked.stream.name();
        let Some(camera) = camera(cameras, &tracked.stream, || Camera::new(base, device, name, numbers)) else { return };
        let scene = Scene { device, boot_id, name, tracked, times: Times::of(tracked, now), now };
        if !tracked.closing {
            camera.frames += 1;
            camera.last_capture = Some(tracked.capture.wall);
        }
        // What a track is called comes before what it does.
        for rename in tracked.steps.iter().flat_map(|report| &report.renames) {
            if let Some(told) = camera.updated.remove(&rename.from) {
                camera.updated.insert(rename.to, told);
            }
            if let Some(trail) = camera.trails.remove(&rename.from) {
                camera.trails.insert(rename.to, trail);
            }
            if let Some(journal) = journal {
                camera.forget(journal, What::Track(rename.from.0));
            }
            let seq = count(&camera.numbers.track);
            let payload = write(buffer, &scene.rename(rename, seq));
            send(&camera.rename_topic, payload, Sort::new(Family::Track, Worth::End, seq));
        }
        camera.follow(tracked);
        for track in &tracked.tracks {
            let last = camera.updated.get(&track.id).map(|(at, stood)| (now.steady.saturating_duration_since(*at), *stood));
            if !message::is_told(track, last, update_interval) {
                continue;
            }
            let (topic, worth) = match track.phase {
                TrackPhase::New => (&camera.track_topics[0], Worth::Lasting),
                TrackPhase::Update => (&camera.track_topics[1], Worth::Update),
                TrackPhase::End => (&camera.track_topics[2], Worth::End),
            };
            let seq = count(&camera.numbers.track);
            let message = if track.phase == TrackPhase::End {
                camera.updated.remove(&track.id);
                let trail = camera.trails.remove(&track.id);
                TrackMessage { best_shot: scene.best_shot(track), ..scene.track(track, trail.as_ref(), seq) }
            } else {
                camera.updated.insert(track.id, (now.steady, track.stationary));
                scene.track(track, None, seq)
            };
            send(topic, write(buffer, &message), Sort::new(Family::Track, worth, seq));
        }
        if let Some(journal) = journal {
            camera.note(&scene, journal, buffer);
        }
        if let Some(verdicts) = &tracked.verdicts {
            Verdict { base, camera, scene: &scene, buffer }.tell(verdicts, &mut send);
        }
    }
}

/// What the rules say of a frame.
struct Verdict<'a> {
    base: &'a str,
    camera: &'a mut Camera,
    scene: &'a Scene<'a>,
    buffer: &'a mut Vec<u8>,
}

impl Verdict<'_> {
    fn tell(self, verdicts: &Verdicts, send: &mut impl FnMut(&Arc<str>, Bytes, Sort)) {
        let Self { base, camera, scene, buffer } = self;
        let place = (base, scene.device, scene.name);
        for rule in &verdicts.gone {
            let topics = camera.rules.remove(rule).into_iter().flat_map(Camera::retained);
            topics.for_each(|topic| send(&topic, Bytes::new(), Family::Count.into()));
        }
        for event in &verdicts.events {
            let seq = count(&camera.numbers.event);
            let payload = write(buffer, &scene.event(event, seq));
            send(&camera.rule(place, &event.rule).event, payload, Sort::new(Family::Event, Worth::Event, seq));
        }
        for tallies in &verdicts.counts {
            let payload = write(buffer, &scene.count(tallies, count(&camera.numbers.count)));
            let topics = camera.rule(place, &tallies.rule);
            topics.retained[0] = true;
            send(&topics.count, payload, Family::Count.into());
        }
        for summary in &verdicts.summaries {
            let payload = write(buffer, &scene.summary(summary, count(&camera.numbers.count)));
            let topics = camera.rule(place, &summary.rule);
            topics.retained[1] = true;
            send(&topics.summary, payload, Family::Count.into());
        }
    }
}

#[cfg(test)]
#[path = "compose_tests.rs"]
pub(super) mod tests;
