//! A rule as it was configured and checked.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::{
    geometry::{Line, Point},
    ground::GroundConfig,
    place::{Anchor, Zone},
    sight::Sight,
    week::Week,
};

/// Everything that one camera is watched for.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CameraRules {
    /// The rules, by unique name; a combination comes after what it combines.
    pub rules: Vec<RuleConfig>,
    /// Where nothing is detected, published or shown.
    pub masks: Vec<MaskConfig>,
    /// The ground plane.
    pub ground: Option<GroundConfig>,
}

impl CameraRules {
    /// Every class that a rule or mask is about, with the name of the rule.
    pub fn classes(&self) -> impl Iterator<Item = (&str, &String)> {
        let rules = self.rules.iter().flat_map(|rule| rule.named_classes().map(move |class| (rule.name.as_str(), class)));
        let masks =
            self.masks.iter().flat_map(|mask| mask.classes.iter().flatten().map(move |class| (mask.name.as_str(), class)));
        rules.chain(masks)
    }
}

/// A part of the picture that does not exist for egret.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskConfig {
    /// Its name.
    pub name: String,
    /// Where.
    pub zone: Zone,
    /// What of a detection has to be there for it to be thrown away.
    pub anchor: Anchor,
    /// Only these classes; `None`: all, and the part is black in every picture that is shown.
    pub classes: Option<Vec<String>>,
    /// When.
    pub schedule: Option<Schedule>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleConfig {
    /// Unique in its camera, a topic level.
    pub name: String,
    /// What it watches for.
    pub kind: RuleKind,
    /// Where; a line needs none.
    pub zone: Zone,
    /// What of an object has to be there.
    pub anchor: Anchor,
    /// Of which classes; `None`: all.
    pub classes: Option<Vec<String>>,
    /// How large, how wide, how sure an object has to be.
    pub limits: Vec<Limit>,
    /// How long something has to be so before it counts.
    pub debounce: Duration,
    /// How long it may not be so, or not be seen, and still counts.
    pub inertia: Duration,
    /// After an event's start: how long further ones are not told.
    pub cooldown: Duration,
    /// A gap between two frames that is longer than this was not watched.
    pub max_gap: Duration,
    /// When it is in force; `None`: always.
    pub schedule: Option<Schedule>,
}

impl RuleConfig {
    fn named_classes(&self) -> impl Iterator<Item = &String> {
        let near = match &self.kind {
            RuleKind::Proximity { near, .. } => near.as_deref().unwrap_or_default(),
            _ => &[],
        };
        let limits = self.limits.iter().filter_map(|limit| limit.class.as_ref());
        self.classes.iter().flatten().chain(near).chain(limits)
    }
}

/// When, in local time.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Minutes of the week.
    pub week: Week,
    /// Whose time.
    pub zone: TimeZone,
}

/// Which crossings of a line count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// Each, at once.
    Loose,
    /// Once the object has stayed on the other side for the debounce time and is clear of the line.
    #[default]
    Balanced,
    /// The same, and it was on the first side for the debounce time.
    Strict,
}

/// Crossings of a line.
#[derive(Clone, Debug, PartialEq)]
pub struct LineConfig {
    /// The line.
    pub line: Line,
    /// Only those inwards (`true`) or outwards; `None`: both.
    pub inward: Option<bool>,
    /// Which ones count.
    pub strictness: Strictness,
}

/// What is measured by moving along an arrow.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadingConfig {
    /// From here to there.
    pub arrow: [Point; 2],
    /// Whether against it.
    pub against: bool,
    /// How far off, in degrees.
    pub tolerance: f64,
    /// The time over which motion is measured.
    pub time: Duration,
    /// How far an object has to come in it: metres, or heights of its box.
    pub distance: f64,
}

/// What a rule watches for.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleKind {
    /// Objects that cross a line.
    Line(LineConfig),
    /// Objects that enter and leave.
    Zone,
    /// Objects that stay for so long.
    Dwell {
        /// How long.
        time: Duration,
    },
    /// So many objects at once for so long.
    Occupancy {
        /// At least.
        min: usize,
        /// At most.
        max: Option<usize>,
        /// How long.
        time: Duration,
    },
    /// Nothing for so long.
    Absence {
        /// How long.
        time: Duration,
    },
    /// More objects at once than ever in the running period.
    NewHigh {
        /// For how long.
        time: Duration,
        /// How long a record stands.
        period: Duration,
    },
    /// Fewer.
    NewLow {
        /// For how long.
        time: Duration,
        /// How long a record stands.
        period: Duration,
    },
    /// Objects that move along an arrow, or against it.
    Heading(HeadingConfig),
    /// Objects that are faster or slower than they should be.
    Speed {
        /// Faster than this, in km/h.
        above: Option<f64>,
        /// Slower than this.
        below: Option<f64>,
        /// The time over which it is measured.
        time: Duration,
    },
    /// Objects near each other.
    Proximity {
        /// Classes of the others; `None`: the same.
        near: Option<Vec<String>>,
        /// Metres, or heights of their boxes.
        distance: f64,
        /// How long.
        time: Duration,
    },
    /// Objects that follow another one over a line.
    Tailgating {
        /// The line.
        line: LineConfig,
        /// Within so much time.
        time: Duration,
    },
    /// Objects that stand.
    Stopped {
        /// How long.
        time: Duration,
        /// They come no farther in it: metres, or heights of their boxes.
        distance: f64,
        /// Only those that were seen moving before.
        moved: bool,
    },
    /// Many objects near each other.
    Crowd {
        /// How many.
        min: usize,
        /// Each nearer to another than this: metres, or heights of their boxes.
        distance: f64,
        /// How long.
        time: Duration,
    },
    /// Other rules of the camera, by name.
    Combine {
        /// All of these are met,
        all: Vec<String>,
        /// and one of these, if there are any,
        any: Vec<String>,
        /// and none of these,
        none: Vec<String>,
        /// for so long.
        time: Duration,
    },
    /// Heat map and paths.
    Summary {
        /// Of so much time each.
        every: Duration,
    },
}

impl RuleKind {
    /// The names of all kinds.
    pub const WORDS: [&str; 16] = [
        "line",
        "zone",
        "dwell",
        "occupancy",
        "absence",
        "new_high",
        "new_low",
        "wrong_way",
        "direction",
        "speed",
        "proximity",
        "tailgating",
        "stopped",
        "crowd",
        "combine",
        "summary",
    ];

    /// Its name in the configuration.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Line(_) => "line",
            Self::Zone => "zone",
            Self::Dwell { .. } => "dwell",
            Self::Occupancy { .. } => "occupancy",
            Self::Absence { .. } => "absence",
            Self::NewHigh { .. } => "new_high",
            Self::NewLow { .. } => "new_low",
            Self::Heading(heading) if heading.against => "wrong_way",
            Self::Heading(_) => "direction",
            Self::Speed { .. } => "speed",
            Self::Proximity { .. } => "proximity",
            Self::Tailgating { .. } => "tailgating",
            Self::Stopped { .. } => "stopped",
            Self::Crowd { .. } => "crowd",
            Self::Combine { .. } => "combine",
            Self::Summary { .. } => "summary",
        }
    }
}

/// What of an object is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Height of its box, as a share of the picture's.
    Height,
    /// Width of its box, as a share of the picture's.
    Width,
    /// Area of its box, as a share of the picture's.
    Area,
    /// Width of its box in pixels divided by its height.
    Aspect,
    /// Confidence, 0..1.
    Score,
}

/// A limit on what counts as an object of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// Objects of this class; `None`: all.
    pub class: Option<String>,
    /// What is limited.
    pub quantity: Quantity,
    /// At least (`true`) or at most.
    pub least: bool,
    /// How much.
    pub value: f64,
}

impl Limit {
    /// Whether an object keeps it, whatever its class.
    pub(super) fn admits(&self, sight: &Sight, aspect: f64) -> bool {
        let value = match self.quantity {
            Quantity::Height => sight.height,
            Quantity::Width => sight.width,
            Quantity::Area => sight.height * sight.width,
            Quantity::Aspect => sight.width * aspect / sight.height,
            Quantity::Score => f64::from(sight.confidence),
        };
        if self.least { value >= self.value } else { value <= self.value }
    }
}
