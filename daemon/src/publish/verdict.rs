//! How what rules say is written: events, counts and summaries.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::journal::Ended;
use super::message::{Identity, Kind, Model, Rounded, Stamp, class_name, normalised, pixels, within};
use crate::{
    analyse::{Count, Event, EventId, EventPhase, HEAT, Summary, Tally, Unit, Way},
    media::TimeBasis,
};

/// `cam/<id>/event/<rule>`: a rule was met, or is met no longer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EventMessage<'a> {
    /// [`super::message::SCHEMA`]
    pub schema: &'a str,
    /// [`Kind::Event`]
    pub kind: Kind,
    /// Start, end, or once: over as it happens.
    pub phase: EventPhase,
    /// Name of the device.
    pub device: &'a str,
    /// Name of the camera.
    pub camera: &'a str,
    /// One run of the daemon.
    pub boot_id: &'a str,
    /// Counts this camera's events of all rules.
    pub seq: u64,
    /// Identity: of this start and its end, and of no other event on this device.
    pub event: EventIdentity,
    /// Name of the rule.
    pub rule: &'a str,
    /// The rule's kind in the configuration.
    pub rule_kind: &'a str,
    /// When it began, by the clock of the frames.
    pub started_at: Stamp,
    /// What it is about; the first one is who did it. Empty where it is about nobody.
    pub objects: Vec<EventObject<'a>>,
    /// Lines: which way. Absent elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Way>,
    /// What was measured: seconds, objects, a speed, … Absent where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Rounded<3>>,
    /// What it had to be. Absent where the rule has no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Rounded<3>>,
    /// What both are measured in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// The frame that showed it. See [`super::message::FrameMessage::frame`].
    pub frame: u64,
    /// Media time of that frame.
    pub pts_ms: f64,
    /// When that frame was captured.
    pub captured_at: Stamp,
    /// Where `captured_at` comes from.
    pub basis: TimeBasis,
    /// As in [`super::message::FrameMessage::uncertainty_ms`].
    pub uncertainty_ms: Option<f64>,
    /// When this was written.
    pub published_at: Stamp,
    /// As in [`super::message::FrameMessage::latency_ms`]; `null` if it ended without a frame.
    pub latency_ms: Option<f64>,
    /// As in [`super::message::FrameMessage::since_arrival_ms`].
    pub since_arrival_ms: Option<f64>,
    /// Width and height of the source frame in pixels.
    pub size: [u32; 2],
    /// Which network.
    pub model: Model<'a>,
    /// At the end: why, where the rule has not found it. With `restart`, everything is as it was last seen, at most a second before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// With `ended`: the `boot_id` of the run that told the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_boot: Option<&'a str>,
    /// There, and true, where it has waited for the broker, or an earlier run of the daemon wrote it. `boot_id` and `seq` tell whether it was
    /// heard before.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub delayed: bool,
}

/// An object that an event is about, as it was last seen.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EventObject<'a> {
    /// Its track.
    pub track: Identity,
    /// Its class.
    pub class: &'a str,
    /// 0..1.
    pub confidence: Rounded<4>,
    /// In pixels of the source frame, within it.
    #[serde(rename = "box")]
    pub bbox: [Rounded<2>; 4],
    /// In fractions of its width and height.
    pub box_norm: [Rounded<5>; 4],
}

/// The objects of an event.
pub(super) fn objects<'a>(event: &Event, classes: &'a [String], size: (u32, u32)) -> Vec<EventObject<'a>> {
    let object = |object: &crate::analyse::Object| {
        let bbox = within(&object.bbox, size);
        EventObject {
            track: Identity(object.track),
            class: class_name(classes, object.class),
            confidence: Rounded(object.confidence),
            bbox: pixels(&bbox),
            box_norm: normalised(&bbox, size),
        }
    };
    event.objects.iter().map(object).collect()
}

/// An event's identity: 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventIdentity(pub EventId);

impl Serialize for EventIdentity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for EventIdentity {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EventIdentity".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{16}$" })
    }
}

/// `cam/<id>/count/<rule>`, retained, cleared (empty) when the rule is removed: what a rule counts.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CountMessage<'a> {
    /// [`super::message::SCHEMA`]
    pub schema: &'a str,
    /// [`Kind::Count`]
    pub kind: Kind,
    /// Name of the device.
    pub device: &'a str,
    /// Name of the camera.
    pub camera: &'a str,
    /// One run of the daemon.
    pub boot_id: &'a str,
    /// Counts this camera's counts and summaries of all rules.
    pub seq: u64,
    /// Name of the rule.
    pub rule: &'a str,
    /// The rule's kind in the configuration.
    pub rule_kind: &'a str,
    /// Since when `in` and `out` are counted.
    pub since: Stamp,
    /// All classes together.
    pub total: CountOf,
    /// By class, those that were there.
    pub classes: BTreeMap<&'a str, CountOf>,
    /// The frame after which this was so.
    pub frame: u64,
    /// When that frame was captured.
    pub captured_at: Stamp,
    /// When this was written.
    pub published_at: Stamp,
}

/// Numbers of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CountOf {
    /// There now; a line holds nobody.
    pub now: u64,
    /// Came in: over a line inwards, or into a zone (dwell: stayed for its time).
    #[serde(rename = "in")]
    pub entered: u64,
    /// Went out.
    #[serde(rename = "out")]
    pub left: u64,
}

impl CountOf {
    fn add(&mut self, tally: Tally) {
        self.now += tally.now;
        self.entered += tally.entered;
        self.left += tally.left;
    }
}

/// The counts of all classes, and of each by name.
pub(super) fn counts<'a>(count: &Count, classes: &'a [String]) -> (CountOf, BTreeMap<&'a str, CountOf>) {
    let (mut total, mut by_class) = (CountOf::default(), BTreeMap::<&str, CountOf>::new());
    for (class, tally) in &count.tallies {
        total.add(*tally);
        by_class.entry(class_name(classes, *class)).or_default().add(*tally);
    }
    (total, by_class)
}

/// `cam/<id>/summary/<rule>`, retained, cleared (empty) when the rule is removed: where objects were and which ways they took.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SummaryMessage<'a> {
    /// [`super::message::SCHEMA`]
    pub schema: &'a str,
    /// [`Kind::Summary`]
    pub kind: Kind,
    /// Name of the device.
    pub device: &'a str,
    /// Name of the camera.
    pub camera: &'a str,
    /// One run of the daemon.
    pub boot_id: &'a str,
    /// Counts this camera's counts and summaries of all rules.
    pub seq: u64,
    /// Name of the rule.
    pub rule: &'a str,
    /// When the span began.
    pub from: Stamp,
    /// When it ended, or until when it goes so far.
    pub to: Stamp,
    /// Whether it is over. The next message begins a new one.
    pub complete: bool,
    /// Objects seen in it, by class.
    pub objects: BTreeMap<&'a str, u64>,
    /// Where they stood.
    pub heat: Heat<'a>,
    /// The ways of those that went in it.
    pub paths: Vec<PathOf>,
    /// When this was written.
    pub published_at: Stamp,
}

/// A heat map.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Heat<'a> {
    /// Columns and rows.
    pub size: [u32; 2],
    /// Seconds that objects stood in each cell, row by row from the left upper one.
    #[schemars(with = "Vec<f32>")]
    pub seconds: Seconds<'a>,
}

/// Written with one decimal.
#[derive(Clone, Copy, Debug)]
pub struct Seconds<'a>(&'a [f32]);

impl Serialize for Seconds<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|seconds| Rounded::<1>(*seconds)))
    }
}

/// A part of the picture: a ninth of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Left, above.
    TopLeft,
    /// In the middle, above.
    Top,
    /// Right, above.
    TopRight,
    /// Left.
    Left,
    /// In the middle.
    Middle,
    /// Right.
    Right,
    /// Left, below.
    BottomLeft,
    /// In the middle, below.
    Bottom,
    /// Right, below.
    BottomRight,
}

impl Part {
    fn of(ninth: u8) -> Self {
        use Part::{Bottom, BottomLeft, BottomRight, Left, Middle, Right, Top, TopLeft, TopRight};
        let all = [TopLeft, Top, TopRight, Left, Middle, Right, BottomLeft, Bottom, BottomRight];
        all.get(usize::from(ninth)).copied().unwrap_or(Middle)
    }
}

/// Objects that came at one place and went at another.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct PathOf {
    /// Where they were first seen.
    pub from: Part,
    /// Where they were last seen.
    pub to: Part,
    /// How many.
    pub objects: u64,
    /// Seconds in between, on average.
    pub mean_s: Rounded<2>,
}

/// A summary with the parts that a message has in common with no other.
pub(super) fn heat_and_paths(summary: &Summary) -> (Heat<'_>, Vec<PathOf>) {
    let path = |path: &crate::analyse::Path| PathOf {
        from: Part::of(path.from),
        to: Part::of(path.to),
        objects: path.objects,
        mean_s: Rounded(path.mean_s as f32),
    };
    let heat = Heat { size: [HEAT.0 as u32, HEAT.1 as u32], seconds: Seconds(&summary.heat) };
    (heat, summary.paths.iter().map(path).collect())
}
