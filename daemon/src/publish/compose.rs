//! Turns what happened into messages. No input and no output: everything that a message says is handed in.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use serde::Serialize;

use super::{
    message::{
        self, CameraStatus, CountMessage, DeviceStatus, EventMessage, FrameMessage, Identity, Kind, Model, Objects, Presence,
        PresenceReason, Rounded, SCHEMA, Stamp, SummaryMessage, TrackMessage,
    },
    shape::Shape,
    told::{self, Steps},
    topics::{self, Family},
    verdict,
};
use crate::{
    analyse::{Count, Event, Summary, Verdicts},
    config::MqttConfig,
    media::{Extra, Mark, StreamId, TimeBasis, Track, TrackId, TrackPhase, Tracked},
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

/// What a camera needs from message to message.
struct Camera {
    status_topic: Arc<str>,
    frame_topic: Arc<str>,
    track_topics: [Arc<str>; 3],
    status_seq: u64,
    frame_seq: u64,
    track_seq: u64,
    event_seq: u64,
    count_seq: u64,
    /// The topics of each rule that has said anything.
    rules: HashMap<Arc<str>, RuleTopics>,
    frames: u32,
    fps: Option<f32>,
    last_capture: Option<SystemTime>,
    /// When each track was last told of, and whether it stood still then.
    updated: HashMap<TrackId, (Instant, bool)>,
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
        let topic = |family: &str| topics::camera(base, device, name, &format!("{family}/{rule}")).into();
        self.rules.entry(rule.clone()).or_insert_with(|| RuleTopics {
            event: topic("event"),
            count: topic("count"),
            summary: topic("summary"),
            retained: [false; 2],
        })
    }

    /// The topics whose retained messages are to be cleared.
    fn retained(rules: RuleTopics) -> impl Iterator<Item = Arc<str>> {
        [rules.count, rules.summary].into_iter().zip(rules.retained).filter(|(_, retained)| *retained).map(|(topic, _)| topic)
    }

    fn new(base: &str, device: &str, name: &str) -> Self {
        let topic = |rest: &str| -> Arc<str> { topics::camera(base, device, name, rest).into() };
        Self {
            status_topic: topic("status"),
            frame_topic: topic("frame"),
            track_topics: [topic("track/new"), topic("track/update"), topic("track/end")],
            status_seq: 0,
            frame_seq: 0,
            track_seq: 0,
            event_seq: 0,
            count_seq: 0,
            rules: HashMap::new(),
            frames: 0,
            fps: None,
            last_capture: None,
            updated: HashMap::new(),
        }
    }
}

/// The writer of messages.
pub(super) struct Composer {
    base: String,
    device: String,
    boot_id: String,
    started_at: SystemTime,
    publish_frames: bool,
    update_interval: Duration,
    device_topic: Arc<str>,
    device_seq: u64,
    cameras: HashMap<StreamId, Camera>,
    buffer: Vec<u8>,
}

/// Counts from 0.
fn next(seq: &mut u64) -> u64 {
    let now = *seq;
    *seq += 1;
    now
}

/// Milliseconds with microseconds behind the point.
fn ms(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// Milliseconds from one wall-clock time to another; the clocks may disagree, so it may be negative.
fn wall_ms(from: SystemTime, to: SystemTime) -> f64 {
    to.duration_since(from).map_or_else(|back| -ms(back.duration()), ms)
}

/// JSON in a buffer of exactly its size. The types of [`message`] always serialize: no maps, no failing parts.
fn write(buffer: &mut Vec<u8>, value: &impl Serialize) -> Bytes {
    buffer.clear();
    if let Err(error) = serde_json::to_writer(&mut *buffer, value) {
        tracing::error!(%error, "a message could not be written");
    }
    Bytes::from(buffer.as_slice().to_vec())
}

/// When a frame was taken and how long ago that is.
struct Times {
    latency_ms: Option<f64>,
    since_arrival_ms: Option<f64>,
}

impl Times {
    fn of(tracked: &Tracked, now: Now) -> Self {
        let arrived = tracked.times.at(Mark::Received);
        let since_arrival_ms = arrived.map(|at| ms(now.steady.saturating_duration_since(at)));
        let latency_ms = match tracked.capture.basis {
            TimeBasis::Arrival => since_arrival_ms,
            TimeBasis::SenderReport => since_arrival_ms.map(|_| wall_ms(tracked.capture.wall, now.wall)),
        };
        Self { latency_ms, since_arrival_ms }
    }
}

impl Composer {
    pub(super) fn new(config: &MqttConfig, device: &str, boot_id: &str, started_at: SystemTime) -> Self {
        Self {
            base: config.base_topic.clone(),
            device: device.to_owned(),
            boot_id: boot_id.to_owned(),
            started_at,
            publish_frames: config.publish_frames,
            update_interval: config.track_update_interval,
            device_topic: topics::device_status(&config.base_topic, device).into(),
            device_seq: 0,
            cameras: HashMap::new(),
            buffer: Vec::with_capacity(4096),
        }
    }

    pub(super) fn device_topic(&self) -> &Arc<str> {
        &self.device_topic
    }

    /// The device's own status.
    pub(super) fn device(&mut self, state: Presence, reason: PresenceReason, now: Now) -> Bytes {
        let status = DeviceStatus {
            schema: SCHEMA,
            kind: Kind::DeviceStatus,
            device: &self.device,
            boot_id: &self.boot_id,
            seq: next(&mut self.device_seq),
            state,
            reason,
            version: env!("CARGO_PKG_VERSION"),
            started_at: Stamp(self.started_at),
            published_at: Stamp(now.wall),
        };
        write(&mut self.buffer, &status)
    }

    /// A camera's status and its topic.
    pub(super) fn camera(&mut self, stream: &StreamId, status: &status::CameraStatus, now: Now) -> (Arc<str>, Bytes) {
        let Self { base, device, boot_id, cameras, buffer, .. } = self;
        let camera = cameras.entry(stream.clone()).or_insert_with(|| Camera::new(base, device, stream.name()));
        let message = CameraStatus {
            schema: SCHEMA,
            kind: Kind::CameraStatus,
            device,
            camera: stream.name(),
            boot_id,
            seq: next(&mut camera.status_seq),
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
            published_at: Stamp(now.wall),
        };
        (camera.status_topic.clone(), write(buffer, &message))
    }

    /// Forgets a camera that was removed; the topics whose retained messages are to be cleared.
    pub(super) fn remove(&mut self, stream: &StreamId) -> Vec<(Arc<str>, Family)> {
        let Some(camera) = self.cameras.remove(stream) else {
            let topic = topics::camera(&self.base, &self.device, stream.name(), "status").into();
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

    /// The messages about a frame.
    pub(super) fn frame(&mut self, tracked: &Tracked, now: Now, mut send: impl FnMut(&Arc<str>, Bytes, Family)) {
        let Self { base, device, boot_id, cameras, buffer, publish_frames, update_interval, .. } = self;
        let name = tracked.stream.name();
        if !cameras.contains_key(&tracked.stream) {
            cameras.insert(tracked.stream.clone(), Camera::new(base, device, name));
        }
        let Some(camera) = cameras.get_mut(&tracked.stream) else { return };
        let times = Times::of(tracked, now);
        let scene = Scene { device, boot_id, name, tracked, times, now };
        if !tracked.closing {
            camera.frames += 1;
            camera.last_capture = Some(tracked.capture.wall);
        }
        let about_frames = tracked.steps.as_ref().is_some_and(|report| !report.frame.is_empty());
        if *publish_frames && (!tracked.closing || about_frames) {
            let payload = write(buffer, &scene.frame(next(&mut camera.frame_seq)));
            send(&camera.frame_topic, payload, Family::Frame);
        }
        for track in &tracked.tracks {
            let last = camera.updated.get(&track.id).map(|(at, stood)| (now.steady.saturating_duration_since(*at), *stood));
            if !message::is_told(track, last, *update_interval) {
                continue;
            }
            let topic = match track.phase {
                TrackPhase::New => &camera.track_topics[0],
                TrackPhase::Update => &camera.track_topics[1],
                TrackPhase::End => &camera.track_topics[2],
            };
            if track.phase == TrackPhase::End {
                camera.updated.remove(&track.id);
            } else {
                camera.updated.insert(track.id, (now.steady, track.stationary));
            }
            let payload = write(buffer, &scene.track(track, next(&mut camera.track_seq)));
            send(topic, payload, Family::Track);
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
    fn tell(self, verdicts: &Verdicts, send: &mut impl FnMut(&Arc<str>, Bytes, Family)) {
        let Self { base, camera, scene, buffer } = self;
        let place = (base, scene.device, scene.name);
        for rule in &verdicts.gone {
            let topics = camera.rules.remove(rule).into_iter().flat_map(Camera::retained);
            topics.for_each(|topic| send(&topic, Bytes::new(), Family::Count));
        }
        for event in &verdicts.events {
            let payload = write(buffer, &scene.event(event, next(&mut camera.event_seq)));
            send(&camera.rule(place, &event.rule).event, payload, Family::Event);
        }
        for count in &verdicts.counts {
            let payload = write(buffer, &scene.count(count, next(&mut camera.count_seq)));
            let topics = camera.rule(place, &count.rule);
            topics.retained[0] = true;
            send(&topics.count, payload, Family::Count);
        }
        for summary in &verdicts.summaries {
            let payload = write(buffer, &scene.summary(summary, next(&mut camera.count_seq)));
            let topics = camera.rule(place, &summary.rule);
            topics.retained[1] = true;
            send(&topics.summary, payload, Family::Count);
        }
    }
}

/// A frame and all that its messages have in common.
struct Scene<'a> {
    device: &'a str,
    boot_id: &'a str,
    name: &'a str,
    tracked: &'a Tracked,
    times: Times,
    now: Now,
}

impl<'a> Scene<'a> {
    fn size(&self) -> [u32; 2] {
        [self.tracked.size.0, self.tracked.size.1]
    }

    fn model(&self) -> Model<'a> {
        Model { name: &self.tracked.model.name, runtime: &self.tracked.model.runtime }
    }

    fn frame(&self, seq: u64) -> FrameMessage<'a> {
        let tracked = self.tracked;
        FrameMessage {
            schema: SCHEMA,
            kind: Kind::Frame,
            device: self.device,
            camera: self.name,
            boot_id: self.boot_id,
            seq,
            frame: tracked.frame_seq,
            pts_ms: ms(tracked.pts),
            captured_at: Stamp(tracked.capture.wall),
            basis: tracked.capture.basis,
            published_at: Stamp(self.now.wall),
            latency_ms: self.times.latency_ms,
            since_arrival_ms: self.times.since_arrival_ms,
            size: self.size(),
            model: self.model(),
            objects: Objects {
                detections: &tracked.detections,
                extras: &tracked.extras,
                classes: &tracked.model.classes,
                size: tracked.size,
                steps: tracked.steps.as_deref(),
            },
            closing: tracked.closing,
            steps: tracked.steps.as_deref().filter(|report| !report.states.is_empty()).map(|report| Steps(&report.states)),
            findings: told::of_frame(tracked.steps.as_deref(), tracked.size),
        }
    }

    /// What belongs to the detection that a track was matched with, if any was.
    fn extra_of(&self, track: &Track) -> Option<&'a Extra> {
        let Tracked { detections, extras, .. } = self.tracked;
        if extras.is_empty() || track.phase == TrackPhase::End {
            return None;
        }
        extras.get(detections.iter().position(|seen| seen.track == Some(track.id))?)
    }

    fn event(&self, event: &'a Event, seq: u64) -> EventMessage<'a> {
        let tracked = self.tracked;
        EventMessage {
            schema: SCHEMA,
            kind: Kind::Event,
            phase: event.phase,
            device: self.device,
            camera: self.name,
            boot_id: self.boot_id,
            seq,
            event: verdict::EventIdentity(event.id),
            rule: &event.rule,
            rule_kind: event.kind,
            started_at: Stamp(event.started),
            objects: verdict::objects(event, &tracked.model.classes, tracked.size),
            direction: event.way,
            value: event.measure.map(|measure| Rounded(measure.value as f32)),
            threshold: event.measure.and_then(|measure| measure.threshold).map(|threshold| Rounded(threshold as f32)),
            unit: event.measure.map(|measure| measure.unit),
            frame: tracked.frame_seq,
            pts_ms: ms(tracked.pts),
            captured_at: Stamp(tracked.capture.wall),
            basis: tracked.capture.basis,
            published_at: Stamp(self.now.wall),
            latency_ms: self.times.latency_ms,
            since_arrival_ms: self.times.since_arrival_ms,
            size: self.size(),
            model: self.model(),
        }
    }

    fn count(&self, count: &'a Count, seq: u64) -> CountMessage<'a> {
        let (total, classes) = verdict::counts(count, &self.tracked.model.classes);
        CountMessage {
            schema: SCHEMA,
            kind: Kind::Count,
            device: self.device,
            camera: self.name,
            boot_id: self.boot_id,
            seq,
            rule: &count.rule,
            rule_kind: count.kind,
            since: Stamp(count.since),
            total,
            classes,
            frame: self.tracked.frame_seq,
            captured_at: Stamp(self.tracked.capture.wall),
            published_at: Stamp(self.now.wall),
        }
    }

    fn summary(&self, summary: &'a Summary, seq: u64) -> SummaryMessage<'a> {
        let (heat, paths) = verdict::heat_and_paths(summary);
        let mut objects = BTreeMap::<&str, u64>::new();
        for (class, count) in &summary.objects {
            *objects.entry(message::class_name(&self.tracked.model.classes, *class)).or_default() += count;
        }
        SummaryMessage {
            schema: SCHEMA,
            kind: Kind::Summary,
            device: self.device,
            camera: self.name,
            boot_id: self.boot_id,
            seq,
            rule: &summary.rule,
            from: Stamp(summary.from),
            to: Stamp(summary.to),
            complete: summary.complete,
            objects,
            heat,
            paths,
            published_at: Stamp(self.now.wall),
        }
    }

    fn track(&self, track: &Track, seq: u64) -> TrackMessage<'a> {
        let tracked = self.tracked;
        let bbox = message::within(&track.bbox, tracked.size);
        let Shape { angle, corners, keypoints, mask } = Shape::of(self.extra_of(track), true);
        TrackMessage {
            schema: SCHEMA,
            kind: Kind::Track,
            phase: track.phase,
            device: self.device,
            camera: self.name,
            boot_id: self.boot_id,
            seq,
            track: Identity(track.id),
            class: message::class_name(&tracked.model.classes, track.class),
            confidence: Rounded(track.confidence),
            bbox: message::pixels(&bbox),
            box_norm: message::normalised(&bbox, tracked.size),
            angle,
            corners,
            keypoints,
            mask,
            velocity: [Rounded(track.velocity.0), Rounded(track.velocity.1)],
            stationary: track.stationary.then_some(true),
            first_seen: Stamp(track.first_seen),
            last_seen: Stamp(track.last_seen),
            hits: track.hits,
            frame: tracked.frame_seq,
            pts_ms: ms(tracked.pts),
            captured_at: Stamp(tracked.capture.wall),
            basis: tracked.capture.basis,
            published_at: Stamp(self.now.wall),
            latency_ms: self.times.latency_ms,
            since_arrival_ms: self.times.since_arrival_ms,
            size: self.size(),
            model: self.model(),
            findings: told::of_track(tracked.steps.as_deref(), track.id, tracked.size, true),
        }
    }
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;
