//! What an earlier run left open, as two stories of each camera: how things stood when it died, and how they ended. Dialects take them as
//! they take any other story, so that each ends in its own words what it had begun in them: the first one is told to nobody.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    analyse::{CameraRules, Count, Event, EventId, EventPhase, Measure, Object, RuleKind, Tally, Unit, Verdicts, Way},
    media::{BBox, Capture, Extras, ModelInfo, StreamId, TimeBasis, TimeCard, Track, TrackId, TrackPhase, Tracked},
    publish::{journal::Orphan, stamp},
};

/// What all messages say of their frame.
#[derive(Deserialize)]
struct Frame {
    captured_at: String,
    size: [u32; 2],
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    name: String,
    runtime: String,
}

#[derive(Deserialize)]
struct OpenTrack {
    track: String,
    class: String,
    confidence: f32,
    #[serde(rename = "box")]
    bbox: [f32; 4],
    velocity: [f32; 2],
    #[serde(default)]
    stationary: bool,
    first_seen: String,
    last_seen: String,
    hits: u32,
    /// Seconds by zone.
    #[serde(default)]
    dwell: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct OpenEvent {
    event: String,
    rule: String,
    rule_kind: String,
    started_at: String,
    objects: Vec<OpenObject>,
    direction: Option<String>,
    value: Option<f64>,
}

#[derive(Deserialize)]
struct OpenObject {
    track: String,
    class: String,
    confidence: f32,
    #[serde(rename = "box")]
    bbox: [f32; 4],
}

fn identity(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

fn bbox([x1, y1, x2, y2]: [f32; 4]) -> BBox {
    BBox::new(x1, y1, x2, y2)
}

fn read<T: DeserializeOwned>(orphan: &Orphan) -> Option<T> {
    T::deserialize(serde_json::Value::Object(orphan.message().clone())).ok()
}

/// What was open of one camera and one model.
#[derive(Default)]
struct Scene {
    runtime: String,
    size: (u32, u32),
    at: Option<SystemTime>,
    classes: Vec<String>,
    tracks: Vec<Track>,
    /// Zones that tracks had been in, and those events that had not ended.
    visits: BTreeSet<(TrackId, Arc<str>)>,
    events: Vec<Event>,
}

impl Scene {
    fn class(&mut self, name: &str) -> u16 {
        let known = self.classes.iter().position(|class| class == name);
        known.unwrap_or_else(|| {
            self.classes.push(name.to_owned());
            self.classes.len() - 1
        }) as u16
    }

    /// Takes in what is told of an orphan; `None`: it is no message of this version.
    fn add(&mut self, orphan: &Orphan, frame: &Frame) -> Option<()> {
        let at = stamp::parse(&frame.captured_at)?;
        self.at = Some(self.at.map_or(at, |known| known.max(at)));
        self.size = (frame.size[0], frame.size[1]);
        self.runtime.clone_from(&frame.model.runtime);
        if orphan.rule.is_some() { self.event(&read(orphan)?) } else { self.track(&read(orphan)?) }
    }

    fn track(&mut self, open: &OpenTrack) -> Option<()> {
        let id = TrackId(identity(&open.track)?);
        let track = Track {
            id,
            class: self.class(&open.class),
            confidence: open.confidence,
            bbox: bbox(open.bbox),
            velocity: open.velocity.into(),
            stationary: open.stationary,
            first_seen: stamp::parse(&open.first_seen)?,
            last_seen: stamp::parse(&open.last_seen)?,
            hits: open.hits,
            phase: TrackPhase::Update,
        };
        self.tracks.push(track);
        self.visits.extend(open.dwell.keys().map(|zone| (id, zone.as_str().into())));
        Some(())
    }

    fn event(&mut self, open: &OpenEvent) -> Option<()> {
        let object = |object: &OpenObject| {
            let (track, class) = (TrackId(identity(&object.track)?), self.class(&object.class));
            Some(Object { track, class, confidence: object.confidence, bbox: bbox(object.bbox) })
        };
        let objects = open.objects.iter().map(object).collect::<Option<Vec<_>>>()?;
        self.events.push(Event {
            id: EventId(identity(&open.event)?),
            rule: open.rule.as_str().into(),
            kind: RuleKind::WORDS.into_iter().find(|kind| *kind == open.rule_kind)?,
            phase: EventPhase::Start,
            started: stamp::parse(&open.started_at)?,
            objects,
            way: match open.direction.as_deref() {
                Some("in") => Some(Way::In),
                Some("out") => Some(Way::Out),
                _ => None,
            },
            // Of what was open only durations are known.
            measure: open.value.map(|value| Measure { value, unit: Unit::Seconds, threshold: None }),
        });
        Some(())
    }

    /// How it stood: who had been where, and who was there still.
    fn stood(&self) -> Vec<Event> {
        let visit = |(track, zone): &(TrackId, Arc<str>), phase| {
            let seen = self.tracks.iter().find(|seen| seen.id == *track)?;
            let object = Object { track: *track, class: seen.class, confidence: seen.confidence, bbox: seen.bbox };
            let (id, started, objects) = (EventId(0), seen.first_seen, vec![object]);
            Some(Event { id, rule: zone.clone(), kind: "zone", phase, started, objects, way: None, measure: None })
        };
        let visits = self.visits.iter().flat_map(|of| [EventPhase::Start, EventPhase::End].map(|phase| visit(of, phase)));
        visits.flatten().chain(self.events.iter().cloned()).collect()
    }

    /// So many in each zone of the camera: nobody knows who was in which, and nobody is there now.
    fn counts(&self, rules: &CameraRules, many: bool) -> Vec<Count> {
        let mut tallies = BTreeMap::<u16, Tally>::new();
        for track in &self.tracks {
            tallies.entry(track.class).or_default().now += u64::from(many);
        }
        let since = self.at.unwrap_or(SystemTime::UNIX_EPOCH);
        let count = |rule: Arc<str>, kind| Count { rule, kind, since, tallies: tallies.clone() };
        let open = self.events.iter().map(|event| (event.rule.clone(), event.kind));
        let watched = rules.rules.iter().map(|rule| (rule.name.as_str().into(), rule.kind.as_str()));
        let zones: BTreeMap<Arc<str>, &'static str> = open.chain(watched).collect();
        zones.into_iter().map(|(rule, kind)| count(rule, kind)).collect()
    }

    fn story(&self, stream: &StreamId, model: &Arc<ModelInfo>, phase: TrackPhase, verdicts: Verdicts) -> Tracked {
        Tracked {
            stream: stream.clone(),
            frame_seq: 0,
            pts: Duration::ZERO,
            capture: Capture { wall: self.at.unwrap_or(SystemTime::UNIX_EPOCH), basis: TimeBasis::Arrival },
            size: self.size,
            detections: Vec::new(),
            extras: Extras::default(),
            tracks: self.tracks.iter().map(|track| Track { phase, ..*track }).collect(),
            shots: Vec::new(),
            steps: None,
            verdicts: Some(Box::new(verdicts)),
            model: model.clone(),
            // No frame was looked at.
            closing: true,
            times: TimeCard::received(Instant::now()),
        }
    }
}

/// How it stood with a camera when an earlier run died, and how that ended; both for each model that had seen something.
pub(super) fn stories(stream: &StreamId, orphans: &[Orphan], rules: &CameraRules) -> Vec<[Tracked; 2]> {
    let mut scenes = BTreeMap::<String, Scene>::new();
    for orphan in orphans {
        let frame = read::<Frame>(orphan);
        let added = frame.and_then(|frame| scenes.entry(frame.model.name.clone()).or_default().add(orphan, &frame));
        if added.is_none() {
            tracing::warn!(
                camera = orphan.camera,
                "what an earlier run had under way is not told to have ended in other dialects"
            );
        }
    }
    let both = |(name, scene): (String, Scene)| {
        let (classes, runtime) = (scene.classes.clone(), scene.runtime.clone());
        let model = Arc::new(ModelInfo { name, classes, runtime, ..ModelInfo::default() });
        let stood = Verdicts { events: scene.stood(), counts: scene.counts(rules, true), ..Verdicts::default() };
        let end = |event: &Event| Event { phase: EventPhase::End, ..event.clone() };
        let events = scene.events.iter().map(end).collect();
        let ended = Verdicts { events, counts: scene.counts(rules, false), ..Verdicts::default() };
        [(TrackPhase::Update, stood), (TrackPhase::End, ended)]
            .map(|(phase, verdicts)| scene.story(stream, &model, phase, verdicts))
    };
    scenes.into_iter().map(both).collect()
}
