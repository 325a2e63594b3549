//! The keys of rules and profiles.

use serde::Deserialize;

use super::{Choice, Key, Kind, Raw, Section, Shape, Span, Words};

/// What a rule watches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum RuleWord {
    Mask,
    Line,
    Zone,
    Dwell,
    Occupancy,
    Absence,
    NewHigh,
    NewLow,
    Direction,
    WrongWay,
    Speed,
    Proximity,
    Tailgating,
    Stopped,
    Crowd,
    Combine,
    Summary,
}

/// What of an object is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Anchor {
    Foot,
    Centre,
    Overlap,
}

/// Which crossings of a line are told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Direction {
    In,
    Out,
    Both,
}

/// How sure a crossing has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Strictness {
    Loose,
    Balanced,
    Strict,
}

words! {
    RuleWord {
        "mask" => Mask, "line" => Line, "zone" => Zone, "dwell" => Dwell, "occupancy" => Occupancy, "absence" => Absence,
        "new_high" => NewHigh, "new_low" => NewLow, "direction" => Direction, "wrong_way" => WrongWay, "speed" => Speed,
        "proximity" => Proximity, "tailgating" => Tailgating, "stopped" => Stopped, "crowd" => Crowd, "combine" => Combine,
        "summary" => Summary
    }
    Anchor { "foot" => Foot, "centre" => Centre, "overlap" => Overlap }
    Direction { "in" => In, "out" => Out, "both" => Both }
    Strictness { "loose" => Loose, "balanced" => Balanced, "strict" => Strict }
}

section! {
    /// A profile: a name for when rules are in force.
    Profile: List "profile" {
        /// Its name.
        name: Name;
        /// When it holds: DAYS, FROM-TO or DAYS FROM-TO each, e.g. mon-fri 08:00-18:00; a time may reach into the next day.
        schedule: Texts, otherwise "always";
        /// Whether it holds at all: what a reload switches.
        enabled: Flag = true;
    }
}

section! {
    /// A rule of a camera.
    Rule: Nested("camera") "rule" {
        /// Its name: a level of its topic.
        name: Name;
        /// What it watches for.
        kind: Choice[RuleWord];
        /// Where: a polygon, or several of them.
        zone: Shapes, otherwise "the whole picture",
            for "mask" "zone" "dwell" "occupancy" "absence" "new_high" "new_low" "direction" "wrong_way" "speed" "proximity" "stopped" "crowd" "summary";
        /// Where not: a polygon, or several of them.
        exclude: Shapes,
            for "mask" "zone" "dwell" "occupancy" "absence" "new_high" "new_low" "direction" "wrong_way" "speed" "proximity" "stopped" "crowd" "summary";
        /// The line: two or more points. Inwards is from the left hand to the right hand of somebody who walks along it.
        line: Points, for "line" "tailgating";
        /// Which crossings are told.
        direction: Choice[Direction] = "both", for "line" "tailgating";
        /// Which crossings count. loose: each. balanced: once the object is clear of the line and has stayed beyond it for debounce.
        /// strict: and it was seen before it for debounce.
        strictness: Choice[Strictness] = "balanced", for "line" "tailgating";
        /// An arrow: two points.
        arrow: Points, for "direction" "wrong_way";
        /// How far off the arrow, or off its reverse, in degrees.
        tolerance: Real[1.0 ..= 180.0] = 45.0, for "direction" "wrong_way";
        /// What of an object is looked at: foot, the middle of its box's lower edge; centre; overlap, any part of the box.
        anchor: Choice[Anchor] = "foot",
            for "mask" "line" "zone" "dwell" "occupancy" "absence" "new_high" "new_low" "direction" "wrong_way" "speed" "proximity" "tailgating" "stopped" "crowd" "summary";
        /// Classes that it is about.
        classes: Texts, otherwise "all",
            for "mask" "line" "zone" "dwell" "occupancy" "absence" "new_high" "new_low" "direction" "wrong_way" "speed" "proximity" "tailgating" "stopped" "crowd" "summary";
        /// Classes of the other object.
        near: Texts, otherwise "those of classes", for "proximity";
        /// What an object has to be: [CLASS.]QUANTITY >= NUMBER or <= NUMBER. height, width, area: shares of the picture; aspect: width
        /// by height of the box; score: confidence.
        limits: Texts, otherwise "anything",
            for "line" "zone" "dwell" "occupancy" "absence" "new_high" "new_low" "direction" "wrong_way" "speed" "proximity" "tailgating" "stopped" "crowd" "summary";
        /// How long it has to be so (tailgating: at most between the two; direction, wrong_way, speed: the time over which motion is
        /// measured).
        time: Span["0s" ..= "24h"],
            otherwise "dwell, stopped: 10s; absence: 5m; tailgating: 2s; combine: 0s; else 1s",
            for "dwell" "occupancy" "absence" "new_high" "new_low" "direction" "wrong_way" "speed" "proximity" "tailgating" "stopped" "crowd" "combine";
        /// Objects: at least.
        min_count: Count[1 ..= 1000], for "occupancy" "crowd";
        /// Objects: at most.
        max_count: Count[0 ..= 1000], for "occupancy";
        /// Metres on the ground, or heights of the box where the camera has no ground plane: how near (proximity, crowd), how far it
        /// has to come (direction, wrong_way), how far it may come (stopped).
        distance: Positive[1000.0], otherwise "proximity, crowd: 2 m or 1 height; else 1 m or 0.3 heights",
            for "direction" "wrong_way" "proximity" "stopped" "crowd";
        /// Faster than this, in km/h.
        speed_above: Positive[1000.0], for "speed";
        /// Slower than this, in km/h.
        speed_below: Positive[1000.0], for "speed";
        /// Only objects that were seen moving before.
        moved: Flag = true, for "stopped";
        /// Names of rules of this camera that all have to be met.
        all: Texts, for "combine";
        /// Names of rules of which one has to be met.
        any: Texts, for "combine";
        /// Names of rules of which none may be met.
        none: Texts, for "combine";
        /// summary: the span of each; new_high, new_low: how long a record stands.
        every: Span["1m" ..= "24h"] = "1h", for "new_high" "new_low" "summary";
        /// How long something has to be so before it is believed.
        debounce: Span["0s" ..= "1m"] = "200ms",
            for "line" "zone" "dwell" "occupancy" "absence" "new_high" "new_low" "direction" "wrong_way" "speed" "proximity" "tailgating" "stopped" "crowd";
        /// How long an object may be elsewhere or unseen and still counts; combine: how long what has happened still counts.
        inertia: Span["0s" ..= "10m"] = "1s",
            for "zone" "dwell" "occupancy" "absence" "new_high" "new_low" "direction" "wrong_way" "speed" "proximity" "stopped" "crowd" "combine";
        /// After an event: how long further ones of this rule are not told. Counts go on.
        cooldown: Span["0s" ..= "24h"] = "0s",
            for "line" "zone" "dwell" "occupancy" "absence" "new_high" "new_low" "direction" "wrong_way" "speed" "proximity" "tailgating" "stopped" "crowd" "combine";
        /// A longer time between two frames was not watched.
        max_gap: Span["100ms" ..= "1h"] = "10s", for "absence" "summary";
        /// When it is in force, as in a profile.
        schedule: Texts, otherwise "always";
        /// Names of profiles: in force while one of them holds.
        profiles: Texts, otherwise "any";
        /// Whether it is in force at all.
        enabled: Flag = true;
    }
}
