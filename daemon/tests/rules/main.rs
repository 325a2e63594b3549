//! Rules against the truth of simulated streets: crossings, stays and occupancy, by day, at night, in rain, with everybody who hides
//! somebody else.
#![cfg(feature = "sim")]

mod detector;
mod judge;
mod line;
mod truth;

use std::{collections::BTreeMap, time::Duration};

use egret::{
    analyse::{
        Anchor, CameraRules, Event, EventId, EventPhase, LineConfig, RuleConfig, RuleKind, Strictness, Way, Zone,
        geometry::{Line, Point, Polygon},
    },
    media::{BBox, Detection},
    sim::scene::{Class, Scene, SceneConfig, TimeOfDay},
};
use judge::{Found, Score, judge};
use truth::Ways;

const SIZE: (u32, u32) = (640, 360);
const FPS: u32 = 10;
const LINES: [(&str, [[f64; 2]; 2]); 2] = [("upright", [[0.5, 0.97], [0.5, 0.2]]), ("slanted", [[0.25, 0.97], [0.8, 0.3]])];
const ZONE: [[f64; 2]; 4] = [[0.25, 0.3], [0.75, 0.3], [0.9, 0.95], [0.1, 0.95]];
const STAY_S: f64 = 2.0;
/// A smaller one, in which people and cars meet.
const SQUARE: [[f64; 2]; 4] = [[0.4, 0.25], [0.65, 0.25], [0.7, 0.8], [0.3, 0.8]];
const MANY: usize = 2;
const MANY_S: f64 = 1.0;
const KINDS: [&str; 4] = ["upright", "slanted", "dwell", "occupancy"];

fn point(p: [f64; 2]) -> Point {
    Point::new(p[0], p[1])
}

fn rules() -> CameraRules {
    let zone = |corners: [[f64; 2]; 4]| Zone {
        include: vec![Polygon::new(corners.map(point).to_vec()).expect("a polygon")],
        exclude: Vec::new(),
    };
    let rule = |name: &str, kind| RuleConfig {
        name: name.into(),
        kind,
        zone: zone(ZONE),
        anchor: Anchor::Foot,
        classes: None,
        limits: Vec::new(),
        // The defaults of the configuration.
        debounce: Duration::from_millis(200),
        inertia: Duration::from_secs(1),
        cooldown: Duration::ZERO,
        max_gap: Duration::from_secs(10),
        schedule: None,
    };
    let line = |(name, points): (&str, [[f64; 2]; 2])| {
        let line = Line::new(points.map(point).to_vec()).expect("a line");
        rule(name, RuleKind::Line(LineConfig { line, inward: None, strictness: Strictness::Balanced }))
    };
    let mut rules: Vec<RuleConfig> = LINES.into_iter().map(line).collect();
    rules.push(rule("dwell", RuleKind::Dwell { time: Duration::from_secs_f64(STAY_S) }));
    let many = RuleKind::Occupancy { min: MANY, max: None, time: Duration::from_secs_f64(MANY_S) };
    rules.push(RuleConfig { zone: zone(SQUARE), ..rule("occupancy", many) });
    CameraRules { rules, ..CameraRules::default() }
}

/// The events of one rule, each with its end.
fn found(told: &[(f64, Event)], rule: &str, seconds: f64) -> Vec<Found> {
    let since = |event: &Event| event.started.duration_since(line::start()).unwrap_or_default().as_secs_f64();
    let ends: BTreeMap<EventId, f64> =
        told.iter().filter(|(_, event)| event.phase == EventPhase::End).map(|(t, event)| (event.id, *t)).collect();
    let begun = told.iter().filter(|(_, event)| &*event.rule == rule && event.phase != EventPhase::End);
    begun
        .map(|(t, event)| {
            let spans = event.phase == EventPhase::Start;
            let from = since(event);
            let object = event.objects.first().filter(|_| rule != "occupancy").map(|object| {
                let BBox { x1, x2, y2, .. } = object.bbox;
                let foot = [f64::from(x1 + x2) / 2.0 / f64::from(SIZE.0), f64::from(y2.min(SIZE.1 as f32)) / f64::from(SIZE.1)];
                (Class::ALL[usize::from(object.class)], foot)
            });
            // An end is told when the inertia is over.
            let to = if spans { ends.get(&event.id).map_or(seconds, |end| (end - 1.0).max(from)) } else { from };
            Found { from, to, inward: event.way != Some(Way::Out), told: *t, object }
        })
        .collect()
}

/// All rules on one street; `see` makes detections of each frame.
fn street(config: SceneConfig, seconds: f64, mut see: impl FnMut(&mut Scene, u64) -> Vec<Detection> + Send) -> [Score; 4] {
    let mut scene = Scene::new(config);
    let ways = Ways::of(&mut scene, seconds);
    let fps = u64::from(scene.config().fps);
    let frames = (0..(seconds * fps as f64) as u64).map(|n| (n as f64 / fps as f64, see(&mut scene, n)));
    let told = line::events(frames, (&["person", "bicycle", "car"], SIZE), rules());
    KINDS.map(|kind| {
        let (facts, spans) = match kind {
            "dwell" => (truth::dwells(&ways, &ZONE, STAY_S), true),
            "occupancy" => (truth::crowded(&ways, &SQUARE, MANY, MANY_S), true),
            _ => {
                (LINES.iter().filter(|(name, _)| *name == kind).flat_map(|(_, at)| truth::crossings(&ways, *at)).collect(), false)
            }
        };
        judge(&found(&told, kind, seconds), &facts, &ways, spans)
    })
}

fn class(class: Class) -> u16 {
    Class::ALL.iter().position(|other| *other == class).unwrap_or_default() as u16
}

/// What a perfect detector sees: the whole box of everybody who can be seen.
fn perfect(scene: &mut Scene, frame: u64) -> Vec<Detection> {
    let size = [SIZE.0 as f32, SIZE.1 as f32];
    let seen = scene.outlines(frame as f64 / f64::from(scene.config().fps));
    let seen = seen.into_iter().filter(|outline| truth::is_seen(outline, size));
    seen.map(|outline| {
        let [x1, y1, x2, y2] = truth::clipped(&outline, size);
        Detection { class: class(outline.class), confidence: 0.9, bbox: BBox::new(x1, y1, x2, y2) }
    })
    .collect()
}

const CONDITIONS: [(&str, TimeOfDay, bool); 4] = [
    ("day", TimeOfDay::Day, false),
    ("night", TimeOfDay::Night, false),
    ("rain", TimeOfDay::Day, true),
    ("night rain", TimeOfDay::Night, true),
];

/// Streets of all conditions in turn, whose seeds no detector was trained on.
fn streets(first: u64, count: u64) -> impl Iterator<Item = SceneConfig> {
    (0..count).zip(CONDITIONS.into_iter().cycle()).map(move |(i, (_, time, rain))| SceneConfig {
        seed: first + i,
        time,
        rain,
        fps: FPS,
        ..SceneConfig::default()
    })
}

fn total(scores: &[[Score; 4]]) -> Score {
    let mut sums = [Score::default(); 4];
    for street in scores {
        sums.iter_mut().zip(street).for_each(|(sum, score)| sum.add(*score));
    }
    let mut all = Score::default();
    for (kind, sum) in KINDS.into_iter().zip(sums) {
        eprintln!("{}", sum.line(kind));
        all.add(sum);
    }
    for (i, (name, ..)) in CONDITIONS.into_iter().enumerate() {
        let mut sum = Score::default();
        scores.iter().skip(i).step_by(CONDITIONS.len()).flatten().for_each(|score| sum.add(*score));
        eprintln!("{}", sum.line(name));
    }
    eprintln!("{}", all.line("all"));
    all
}

#[test]
fn with_perfect_boxes_the_rules_are_true() {
    let scores: Vec<[Score; 4]> = streets(1_300_000, 24).map(|config| street(config, 90.0, perfect)).collect();
    let all = total(&scores);
    assert!(all.right + all.missed >= 1000, "only {} events", all.right + all.missed);
    assert!(all.precision() >= 0.98 && all.recall() >= 0.98, "{all:?}");
}

/// The same with the boxes of the demo's own detector, on drawn frames of streets that neither it nor any rule was tuned on. Takes a
/// quarter of an hour: `cargo test -p egret --all-features --test rules -- --ignored --nocapture`, with `EGRET_RULE_STREETS=N` for more or
/// fewer streets of 40 s.
#[test]
#[ignore = "draws and looks at thousands of frames"]
fn with_the_demo_detector_the_rules_are_nearly_true() {
    let count = std::env::var("EGRET_RULE_STREETS").ok().and_then(|n| n.parse().ok()).unwrap_or(56);
    let mut detector = detector::Demo::new();
    eprintln!("{} on {count} streets of 40 s at {FPS} frames per second", detector.runtime());
    let scores: Vec<[Score; 4]> =
        streets(1_500_000, count).map(|config| street(config, 40.0, |scene, n| detector.see(scene, n))).collect();
    let all = total(&scores);
    assert!(all.precision() >= 0.90 && all.recall() >= 0.90, "{all:?}");
}
