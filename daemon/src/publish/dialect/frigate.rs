//! Frigate's topics, as its documentation describes them (0.16 to 0.18): availability, events of tracked objects, counts per camera and
//! zone, statistics, and the states of switches. Zones are the camera's rules that have a place.
//!
//! Left out, because there is nothing true to say: reviews, motion, and `…/set` but for `enabled` and `detect`, which switch the
//! camera where commands allow it.

mod event;
mod object;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use self::object::Object;
use super::{
    Device, Out, Wish,
    form::{json as to_json, level, rounded, unix_seconds},
};
use crate::{
    analyse::{CameraRules, EventPhase, RuleKind, Verdicts},
    config::FrigateConfig,
    media::{Mark, Shot, StreamId, TrackId, TrackPhase, Tracked},
    publish::{compose::Now, message::class_name, topics::Family},
    status::{CameraState, CameraStatus},
};

/// How often statistics are told.
const STATS_EVERY: Duration = Duration::from_mins(1);
/// A tick that comes a little early counts.
const STATS_SLACK: Duration = Duration::from_secs(1);
/// The switches of a camera that can be turned.
const SWITCHES: [&str; 2] = ["enabled", "detect"];
/// The name of the count of everything.
const ALL: &str = "all";

/// A number that is told when it changes, and the part of it that moves.
struct Counter {
    topics: [Arc<str>; 2],
    told: Option<[u64; 2]>,
}

impl Counter {
    fn new(prefix: &str, place: &str, label: &str) -> Self {
        let topic = format!("{prefix}/{}/{}", level(place), level(label));
        Self { topics: [topic.clone().into(), format!("{topic}/active").into()], told: None }
    }

    fn tell(&mut self, now: [u64; 2], out: &mut Out<'_>) {
        let told = self.told.replace(now);
        for (i, topic) in self.topics.iter().enumerate() {
            if told.is_none_or(|told| told[i] != now[i]) {
                out(topic, Bytes::from(now[i].to_string()), Family::DialectEvent);
            }
        }
    }
}

/// Counters by label.
#[derive(Default)]
struct Counters(BTreeMap<Arc<str>, Counter>);

impl Counters {
    /// Tells what has changed. A label that was there and is not any more counts 0.
    fn tell(&mut self, (prefix, place): (&str, &str), now: &BTreeMap<Arc<str>, [u64; 2]>, out: &mut Out<'_>) {
        let all = now.values().fold([0, 0], |sum, n| [sum[0] + n[0], sum[1] + n[1]]);
        for label in now.keys().map(AsRef::as_ref).chain([ALL]) {
            if !self.0.contains_key(label) {
                self.0.insert(label.into(), Counter::new(prefix, place, label));
            }
        }
        for (label, counter) in &mut self.0 {
            let count = if &**label == ALL { all } else { now.get(label).copied().unwrap_or_default() };
            counter.tell(count, out);
        }
    }

    /// A new connection: whoever listens there may have heard none of it.
    fn tell_again(&mut self, out: &mut Out<'_>) {
        for counter in self.0.values_mut() {
            if let Some(told) = counter.told.take() {
                counter.tell(told, out);
            }
        }
    }
}

/// A zone: rules of that name of any camera.
#[derive(Default)]
struct Zone {
    counters: Counters,
    /// By camera and label.
    present: HashMap<StreamId, BTreeMap<Arc<str>, u64>>,
}

#[derive(Default)]
struct Camera {
    name: String,
    objects: BTreeMap<TrackId, Object>,
    counters: Counters,
    /// Retained topics and what they say.
    states: BTreeMap<&'static str, (Arc<str>, &'static str)>,
    /// Where the latest picture of an object of each label is.
    snapshots: BTreeMap<String, Arc<str>>,
    zones: BTreeSet<Arc<str>>,
    removed: bool,
    /// Since the last statistics: frames that came, the first and the last number of a decoded frame.
    frames: u64,
    decoded: Option<(u64, u64)>,
}

/// The dialect.
pub(super) struct Frigate {
    prefix: String,
    /// Where switches are turned; none where they may not be.
    switches: Vec<String>,
    available: Arc<str>,
    events: Arc<str>,
    stats: Arc<str>,
    started_at: SystemTime,
    cameras: HashMap<StreamId, Camera>,
    zones: BTreeMap<Arc<str>, Zone>,
    /// Milliseconds of inference by model, a running mean.
    detectors: BTreeMap<String, f64>,
    stats_at: Option<Instant>,
}

/// Rules whose objects are in a place now: Frigate's zones. Lines and sums hold nobody.
fn is_zone(kind: &str) -> bool {
    matches!(kind, "zone" | "dwell" | "occupancy")
}

/// Where single objects come and go.
fn has_members(kind: &str) -> bool {
    matches!(kind, "zone" | "dwell")
}

impl Frigate {
    pub(super) fn new(config: &FrigateConfig, device: &Device) -> Self {
        let prefix = config.topic_prefix.clone();
        Self {
            available: format!("{prefix}/available").into(),
            events: format!("{prefix}/events").into(),
            stats: format!("{prefix}/stats").into(),
            prefix,
            switches: Vec::new(),
            started_at: device.started_at,
            cameras: HashMap::new(),
            zones: BTreeMap::new(),
            detectors: BTreeMap::new(),
            stats_at: None,
        }
    }

    pub(super) fn has_switches(&mut self) {
        self.switches = SWITCHES.iter().map(|switch| format!("{}/+/{switch}/set", self.prefix)).collect();
    }

    pub(super) fn subscriptions(&self) -> impl Iterator<Item = &str> {
        self.switches.iter().map(String::as_str)
    }

    /// A switch is turned. Both mean the same here: a camera is looked at, or not.
    pub(super) fn wish(&self, topic: &str, payload: &[u8]) -> Option<Wish> {
        let rest = topic.strip_prefix(&self.prefix)?.strip_prefix('/')?;
        let (camera, switch) = rest.strip_suffix("/set")?.split_once('/')?;
        SWITCHES.contains(&switch).then(|| Wish::new(camera, payload))
    }

    pub(super) fn connected(&mut self, out: &mut Out<'_>) {
        out(&self.available, Bytes::from_static(b"online"), Family::DialectState);
        self.cameras.values_mut().for_each(|camera| camera.counters.tell_again(out));
        self.zones.values_mut().for_each(|zone| zone.counters.tell_again(out));
    }

    pub(super) fn leaving(&mut self, out: &mut Out<'_>) {
        out(&self.available, Bytes::from_static(b"stopped"), Family::DialectState);
    }

    fn get(&mut self, stream: &StreamId) -> &mut Camera {
        self.cameras
            .entry(stream.clone())
            .or_insert_with(|| Camera { name: level(stream.name()).into_owned(), ..Camera::default() })
    }

    pub(super) fn camera(&mut self, stream: &StreamId, status: &CameraStatus, out: &mut Out<'_>) {
        let prefix = self.prefix.clone();
        let camera = self.get(stream);
        let (role, on) = match status.state {
            CameraState::Disabled => ("disabled", "OFF"),
            CameraState::Online | CameraState::Frozen | CameraState::Black | CameraState::Blurred | CameraState::Moved => {
                ("online", "ON")
            }
            _ => ("offline", "ON"),
        };
        let states = [
            ("status/detect", role),
            ("enabled/state", on),
            ("detect/state", on),
            ("recordings/state", "OFF"),
            ("snapshots/state", "OFF"),
            ("audio/state", "OFF"),
        ];
        for (rest, word) in states {
            let topic = || format!("{prefix}/{}/{rest}", camera.name).into();
            let state = camera.states.entry(rest).or_insert_with(|| (topic(), ""));
            if state.1 != word {
                state.1 = word;
                out(&state.0, Bytes::from_static(word.as_bytes()), Family::DialectState);
            }
        }
        let zones = zones(&status.rules);
        let old = std::mem::replace(&mut camera.zones, zones.clone());
        for zone in &zones {
            self.zones.entry(zone.clone()).or_default().present.entry(stream.clone()).or_default();
        }
        self.leave(stream, old.difference(&zones), out);
        for zone in &zones {
            self.count_zone(zone, out);
        }
    }

    /// A camera has these zones no longer.
    fn leave<'a>(&mut self, stream: &StreamId, zones: impl Iterator<Item = &'a Arc<str>>, out: &mut Out<'_>) {
        for name in zones {
            if let Some(camera) = self.cameras.get_mut(stream) {
                camera.objects.values_mut().for_each(|object| object.leave(name));
            }
            if let Some(zone) = self.zones.get_mut(name) {
                zone.present.remove(stream);
            }
            self.count_zone(name, out);
            self.zones.retain(|known, zone| known != name || !zone.present.is_empty());
        }
    }

    pub(super) fn removed(&mut self, stream: &StreamId, out: &mut Out<'_>) {
        let Some(camera) = self.cameras.get_mut(stream) else { return };
        camera.removed = true;
        let states = std::mem::take(&mut camera.states).into_values().map(|(topic, _)| topic);
        for topic in states.chain(std::mem::take(&mut camera.snapshots).into_values()) {
            out(&topic, Bytes::new(), Family::DialectState);
        }
        let zones = std::mem::take(&mut camera.zones);
        self.leave(stream, zones.iter(), out);
    }

    pub(super) fn frame(&mut self, tracked: &Tracked, out: &mut Out<'_>) {
        let events = self.events.clone();
        let prefix = self.prefix.clone();
        self.time_of_inference(tracked);
        let camera = self.get(&tracked.stream);
        if !tracked.closing {
            camera.frames += 1;
            let first = camera.decoded.map_or(tracked.frame_seq, |(first, _)| first);
            camera.decoded = Some((first, tracked.frame_seq));
        }
        let mut dirty = BTreeSet::new();
        if let Some(verdicts) = &tracked.verdicts {
            camera.move_objects(verdicts, tracked);
        }
        for (_, shot) in &tracked.shots {
            camera.show(&prefix, class_name(&tracked.model.classes, shot.class), shot, out);
        }
        let mut recount = false;
        for track in &tracked.tracks {
            let label = class_name(&tracked.model.classes, track.class);
            let object = camera.objects.entry(track.id).or_insert_with(|| Object::new(track, label));
            let stood = object.is_stationary();
            object.see(track, tracked);
            if object.is_stationary() != stood || track.phase != TrackPhase::Update {
                dirty.extend(object.zones().cloned());
                recount = true;
            }
            if let Some(message) = object.tell(&camera.name, track.phase, unix_seconds(tracked.capture.wall)) {
                recount = true;
                out(&events, to_json(&message), Family::DialectEvent);
            }
            if track.phase == TrackPhase::End {
                camera.objects.remove(&track.id);
            }
        }
        if recount {
            let now = camera.count(None);
            camera.counters.tell((&prefix, &camera.name), &now, out);
        }
        if let Some(verdicts) = &tracked.verdicts {
            dirty.extend(self.count_members(verdicts, tracked));
        }
        for zone in &dirty {
            self.count_zone(zone, out);
        }
    }

    /// What the rules count: how many of which label are in each zone.
    fn count_members(&mut self, verdicts: &Verdicts, tracked: &Tracked) -> Vec<Arc<str>> {
        let mut changed = Vec::new();
        for count in verdicts.counts.iter().filter(|count| is_zone(count.kind)) {
            // A camera that was removed has no zones any more, whatever its last story says.
            let removed = self.cameras.get(&tracked.stream).is_some_and(|camera| camera.removed);
            if removed {
                continue;
            }
            let mut present = BTreeMap::<Arc<str>, u64>::new();
            for (class, tally) in &count.tallies {
                *present.entry(class_name(&tracked.model.classes, *class).into()).or_default() += tally.now;
            }
            self.zones.entry(count.rule.clone()).or_default().present.insert(tracked.stream.clone(), present);
            changed.push(count.rule.clone());
        }
        changed
    }

    fn count_zone(&mut self, name: &Arc<str>, out: &mut Out<'_>) {
        let Some(zone) = self.zones.get_mut(name) else { return };
        let mut now = BTreeMap::<Arc<str>, [u64; 2]>::new();
        for (label, count) in zone.present.values().flatten() {
            now.entry(label.clone()).or_default()[0] += count;
        }
        for (label, [_, active]) in self.cameras.values().flat_map(|camera| camera.count(Some(name))) {
            // Counts come from the rule's own count, which may follow its events.
            if let Some(count) = now.get_mut(&label) {
                count[1] = (count[1] + active).min(count[0]);
            }
        }
        zone.counters.tell((&self.prefix, name), &now, out);
    }

    fn time_of_inference(&mut self, tracked: &Tracked) {
        let span = tracked.times.at(Mark::Dispatched).zip(tracked.times.at(Mark::Inferred));
        let Some((from, to)) = span.filter(|_| !tracked.closing) else { return };
        let ms = to.saturating_duration_since(from).as_secs_f64() * 1e3;
        if let Some(mean) = self.detectors.get_mut(&tracked.model.name) {
            *mean += (ms - *mean) * 0.1;
        } else {
            self.detectors.insert(tracked.model.name.clone(), ms);
        }
    }

    pub(super) fn tick(&mut self, known: &impl Fn(&StreamId) -> bool, now: Now, out: &mut Out<'_>) {
        self.cameras.retain(|stream, camera| known(stream) || !camera.removed || camera.frames > 0);
        let passed = self.stats_at.map(|at| now.steady.saturating_duration_since(at));
        if passed.is_some_and(|passed| passed + STATS_SLACK < STATS_EVERY) {
            return;
        }
        self.stats_at = Some(now.steady);
        let stats = self.statistics(passed, now);
        out(&self.stats, to_json(&stats), Family::DialectEvent);
    }

    /// The part of Frigate's statistics that exists here; rates are 0 until they were measured.
    fn statistics(&mut self, passed: Option<Duration>, now: Now) -> Value {
        let pid = std::process::id();
        let rate = |count: u64| passed.map_or(0.0, |passed| rounded(count as f32 / passed.as_secs_f32().max(0.001), 1));
        let (mut cameras, mut sums) = (Map::new(), [0.0; 3]);
        for camera in self.cameras.values_mut() {
            let frames = std::mem::take(&mut camera.frames);
            let decoded = camera.decoded.take().map_or(0, |(first, last)| last.saturating_sub(first) + 1).max(frames);
            let on = !matches!(camera.states.get("detect/state"), Some((_, "OFF")));
            let rates = [rate(decoded), rate(frames), rate(decoded - frames)];
            sums.iter_mut().zip(rates).for_each(|(sum, rate)| *sum += rate);
            let stats = json!({
                "camera_fps": rates[0], "process_fps": rates[1], "skipped_fps": rates[2], "detection_fps": rates[1],
                "detection_enabled": on, "pid": pid, "capture_pid": pid, "ffmpeg_pid": pid,
            });
            cameras.insert(camera.name.clone(), stats);
        }
        let detectors: Map<String, Value> = self
            .detectors
            .iter()
            .map(|(name, ms)| {
                (name.clone(), json!({ "inference_speed": rounded(*ms as f32, 2), "detection_start": 0.0, "pid": pid }))
            })
            .collect();
        let uptime = now.wall.duration_since(self.started_at).unwrap_or_default().as_secs();
        json!({
            "cameras": cameras,
            "detectors": detectors,
            "camera_fps": rounded(sums[0] as f32, 1),
            "process_fps": rounded(sums[1] as f32, 1),
            "skipped_fps": rounded(sums[2] as f32, 1),
            "detection_fps": rounded(sums[1] as f32, 1),
            "cpu_usages": {}, "gpu_usages": {}, "processes": {},
            "service": {
                "uptime": uptime, "version": concat!("egret-", env!("CARGO_PKG_VERSION")),
                "last_updated": unix_seconds(now.wall).trunc() as u64, "storage": {}, "temperatures": {},
            },
        })
    }
}

impl Camera {
    /// The latest picture of an object of each label.
    fn show(&mut self, prefix: &str, label: &str, shot: &Shot, out: &mut Out<'_>) {
        // The last story of a camera that was removed may follow.
        let Some(jpeg) = shot.jpeg().filter(|_| !self.removed) else { return };
        let topic = || format!("{prefix}/{}/{}/snapshot", self.name, level(label)).into();
        let topic = self.snapshots.entry(label.to_owned()).or_insert_with(topic);
        out(topic, jpeg.clone(), Family::DialectState);
    }

    /// Objects by label, all and those that move; only those in a zone, if one is named.
    fn count(&self, zone: Option<&Arc<str>>) -> BTreeMap<Arc<str>, [u64; 2]> {
        let mut counts = BTreeMap::<Arc<str>, [u64; 2]>::new();
        for object in self.objects.values().filter(|object| zone.is_none_or(|zone| object.zones().any(|known| known == zone))) {
            let count = counts.entry(object.label().clone()).or_default();
            count[0] += 1;
            count[1] += u64::from(!object.is_stationary());
        }
        counts
    }

    /// What the rules say of where objects are.
    fn move_objects(&mut self, verdicts: &Verdicts, tracked: &Tracked) {
        for event in verdicts.events.iter().filter(|event| has_members(event.kind)) {
            let Some(about) = event.objects.first() else { continue };
            // An object may be new in this very frame.
            if !self.objects.contains_key(&about.track)
                && let Some(track) = tracked.tracks.iter().find(|track| track.id == about.track)
            {
                let label = class_name(&tracked.model.classes, track.class);
                self.objects.insert(track.id, Object::new(track, label));
            }
            let Some(object) = self.objects.get_mut(&about.track) else { continue };
            match event.phase {
                EventPhase::Start => object.enter(&event.rule),
                EventPhase::End => object.leave(&event.rule),
                EventPhase::Once => {}
            }
        }
    }
}

/// The zones of a camera.
fn zones(rules: &CameraRules) -> BTreeSet<Arc<str>> {
    let is_zone = |kind: &RuleKind| is_zone(kind.as_str());
    rules.rules.iter().filter(|rule| is_zone(&rule.kind)).map(|rule| rule.name.as_str().into()).collect()
}
