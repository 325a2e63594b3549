//! Each kind of rule: met where it should be, and not where it should not.

use super::*;
use EventPhase::{End, Once, Start};

fn named(name: &str, phase: EventPhase, since: u64) -> (String, EventPhase, u64) {
    (name.into(), phase, since)
}

#[test]
fn a_crossing_counts_once_however_it_trembles() {
    for strictness in [Strictness::Loose, Strictness::Balanced, Strictness::Strict] {
        let mut rig = Rig::new(vec![rule("gate", RuleKind::Line(line(None, strictness)))]);
        rig.stay(500, &[at(1, 0, 0.4, 0.6)]);
        rig.stay(500, &[at(1, 0, 0.6, 0.6)]);
        rig.stay(500, &[at(1, 0, 0.4, 0.6)]);
        let ways: Vec<_> = rig.events().iter().map(|event| event.way).collect();
        assert_eq!(ways, [Some(Way::In), Some(Way::Out)], "{strictness:?}");
        assert_eq!(rig.tally("gate", 0), Tally { now: 0, entered: 1, left: 1 });
        let brief = rig.brief();
        assert_eq!((brief[0].2, brief[1].2), (600, 1100), "the moment of crossing, not of being sure of it");
    }
    // Back and forth on the line, then on: one crossing, but for those who want each.
    for (strictness, count) in [(Strictness::Loose, 9), (Strictness::Balanced, 1), (Strictness::Strict, 1)] {
        let mut rig = Rig::new(vec![rule("gate", RuleKind::Line(line(None, strictness)))]);
        rig.stay(500, &[at(1, 0, 0.4, 0.6)]);
        for i in 0..9 {
            rig.frame(100, &[at(1, 0, if i % 2 == 0 { 0.502 } else { 0.498 }, 0.6)]);
        }
        rig.stay(500, &[at(1, 0, 0.6, 0.6)]);
        assert_eq!(rig.begun("gate"), count, "{strictness:?}");
    }
}

#[test]
fn a_crossing_between_two_looks_counts_and_one_beside_the_line_does_not() {
    let mut rig = Rig::new(vec![rule("gate", RuleKind::Line(line(Some(true), Strictness::Balanced)))]);
    rig.stay(300, &[at(1, 0, 0.1, 0.6)]);
    // Lost for six seconds, and back on the other side under the same identity.
    rig.stay(6000, &[]);
    rig.stay(300, &[at(1, 0, 0.9, 0.6)]);
    assert_eq!(rig.begun("gate"), 1);
    // The same again does not count twice; nor does the way back, since only one direction is asked for.
    rig.stay(1000, &[]);
    rig.stay(300, &[at(1, 0, 0.9, 0.6)]);
    rig.stay(300, &[at(1, 0, 0.1, 0.6)]);
    assert_eq!(rig.begun("gate"), 1);
    // Around its end and over it from the wrong side.
    rig.stay(300, &[at(1, 0, 0.1, 0.95)]);
    rig.stay(300, &[at(1, 0, 0.9, 0.95)]);
    assert_eq!(rig.begun("gate"), 1);
}

#[test]
fn strictness_is_what_it_says() {
    let begun = |strictness, before: u64, after: u64| {
        let mut rig = Rig::new(vec![rule("gate", RuleKind::Line(line(None, strictness)))]);
        rig.stay(before, &[at(1, 0, 0.4, 0.6)]);
        rig.stay(after, &[at(1, 0, 0.6, 0.6)]);
        rig.stay(1000, &[]);
        rig.begun("gate")
    };
    let all = [Strictness::Loose, Strictness::Balanced, Strictness::Strict];
    assert_eq!(all.map(|strictness| begun(strictness, 500, 500)), [1, 1, 1]);
    assert_eq!(all.map(|strictness| begun(strictness, 100, 500)), [1, 1, 0], "hardly seen before");
    assert_eq!(all.map(|strictness| begun(strictness, 500, 100)), [1, 0, 0], "hardly seen after, and not known to be gone");
}

#[test]
fn what_is_hidden_in_part_has_not_moved() {
    // A parked car whose middle is just before the line; somebody walks past it, and hides first its left, then its right side.
    let car = |left: f32, right: f32| Track { bbox: BBox::new(400.0 + left, 150.0, 590.0 - right, 250.0), ..at(1, 1, 0.0, 0.0) };
    let hide = |strictness| {
        let mut rig = Rig::new(vec![rule("gate", RuleKind::Line(line(None, strictness)))]);
        rig.stay(2000, &[car(0.0, 0.0)]);
        for hidden in [20.0, 40.0, 60.0, 60.0, 60.0, 60.0, 60.0, 40.0, 20.0] {
            rig.frame(100, &[car(hidden, 0.0)]);
        }
        rig.stay(2000, &[car(0.0, 0.0)]);
        rig.begun("gate")
    };
    assert_eq!([Strictness::Loose, Strictness::Balanced, Strictness::Strict].map(hide), [2, 0, 0]);
    // As it drives off it is counted once.
    let mut rig = Rig::new(vec![rule("gate", RuleKind::Line(line(None, Strictness::Balanced)))]);
    rig.stay(2000, &[car(0.0, 0.0)]);
    for i in 0..20_u8 {
        rig.frame(100, &[car(10.0 * f32::from(i), -10.0 * f32::from(i))]);
    }
    assert_eq!(rig.begun("gate"), 1);
}

#[test]
fn who_leaves_the_picture_beyond_the_line_has_crossed_it() {
    // A car of a simulated street: towards the camera, nearly along the line, and out of the picture at its lower edge. What was seen of
    // it, and the tracker's box, which comes after it.
    const SEEN: [[f32; 4]; 8] = [
        [306.5, 101.2, 452.5, 201.8],
        [277.3, 107.7, 435.0, 216.3],
        [244.4, 114.8, 415.6, 232.6],
        [207.2, 122.7, 394.1, 251.3],
        [164.5, 131.5, 370.0, 272.9],
        [115.3, 141.3, 342.8, 297.9],
        [57.7, 152.3, 312.5, 327.3],
        [0.0, 164.8, 278.6, 360.0],
    ];
    const FOLLOWED: [[f32; 4]; 8] = [
        [312.3, 99.8, 456.2, 198.9],
        [284.2, 106.0, 439.3, 212.8],
        [252.7, 112.9, 420.7, 228.6],
        [217.0, 120.4, 400.0, 246.5],
        [176.4, 128.8, 377.0, 267.0],
        [129.6, 138.0, 351.2, 290.7],
        [75.4, 148.4, 322.5, 318.3],
        [18.6, 160.1, 290.3, 349.4],
    ];
    let lane = Line::new(vec![Point::new(0.25, 0.97), Point::new(0.8, 0.3)]).expect("a line");
    let begun = |detections: bool| {
        let lane = LineConfig { line: lane.clone(), inward: None, strictness: Strictness::Balanced };
        let mut rig = Rig::new(vec![rule("lane", RuleKind::Line(lane))]);
        for (seen, followed) in SEEN.into_iter().zip(FOLLOWED) {
            rig.now += ms(100);
            let bbox = |[x1, y1, x2, y2]: [f32; 4]| BBox::new(x1, y1, x2, y2);
            let mut tracked = rig.story(vec![Track { bbox: bbox(followed), ..at(1, 1, 0.0, 0.0) }], false);
            tracked.size = (640, 360);
            let detection = Detection { class: 1, confidence: 0.9, bbox: bbox(seen) };
            tracked.detections.extend(detections.then_some(TrackedDetection { detection, track: Some(TrackId(1)) }));
            rig.tell(tracked);
        }
        rig.before = vec![TrackId(1)];
        rig.close();
        rig.begun("lane")
    };
    assert_eq!((begun(true), begun(false)), (1, 0));
}

#[test]
fn entering_and_leaving_a_zone() {
    let mut rig = Rig::new(vec![rule("yard", RuleKind::Zone)]);
    rig.stay(500, &[at(1, 0, 0.4, 0.5)]);
    rig.stay(1000, &[at(1, 0, 0.6, 0.5), at(2, 1, 0.9, 0.9)]);
    assert_eq!((rig.tally("yard", 0).now, rig.tally("yard", 1).now), (1, 1));
    // A moment outside and a moment unseen are no leaving.
    rig.stay(400, &[at(1, 0, 0.49, 0.5), at(2, 1, 0.9, 0.9)]);
    rig.stay(400, &[at(2, 1, 0.9, 0.9)]);
    rig.stay(1000, &[at(1, 0, 0.6, 0.5), at(2, 1, 0.9, 0.9)]);
    rig.stay(2000, &[at(1, 0, 0.4, 0.5), at(2, 1, 0.9, 0.9)]);
    rig.close();
    assert_eq!(
        rig.brief(),
        [named("yard", Start, 600), named("yard", Start, 600), named("yard", End, 600), named("yard", End, 600),]
    );
    let events = rig.events();
    assert_eq!((events[0].id, events[1].id), (events[2].id, events[3].id));
    assert_ne!(events[0].id, events[1].id);
    let stayed = events[2].measure.expect("a time");
    assert!((stayed.value - 2.7).abs() < 1e-9 && stayed.unit == Unit::Seconds, "{stayed:?}");
    assert_eq!(rig.tally("yard", 0), Tally { now: 0, entered: 1, left: 1 });
}

#[test]
fn excluded_parts_and_anchors() {
    let hole = polygon(&[(0.7, 0.3), (0.9, 0.3), (0.9, 0.7), (0.7, 0.7)]);
    let zone = Zone { exclude: vec![hole], ..right() };
    let begun = |anchor, x, y| {
        let mut rig = Rig::new(vec![RuleConfig { anchor, zone: zone.clone(), ..rule("yard", RuleKind::Zone) }]);
        rig.stay(500, &[at(1, 0, x, y)]);
        rig.begun("yard")
    };
    // The box is 0.04 wide and 0.2 high.
    assert_eq!([Anchor::Foot, Anchor::Centre, Anchor::Overlap].map(|anchor| begun(anchor, 0.8, 0.6)), [0, 0, 0]);
    assert_eq!([Anchor::Foot, Anchor::Centre, Anchor::Overlap].map(|anchor| begun(anchor, 0.8, 0.35)), [0, 1, 1]);
    assert_eq!([Anchor::Foot, Anchor::Centre, Anchor::Overlap].map(|anchor| begun(anchor, 0.485, 0.5)), [0, 0, 1]);
    assert_eq!([Anchor::Foot, Anchor::Centre, Anchor::Overlap].map(|anchor| begun(anchor, 0.6, 0.5)), [1, 1, 1]);
}

#[test]
fn loitering_takes_its_time_at_any_rate() {
    for step in [33, 100, 333] {
        let mut rig = Rig::new(vec![rule("loiter", RuleKind::Dwell { time: ms(5000) })]);
        let mut told = None;
        while told.is_none() && rig.now < ms(20_000) {
            told = rig.frame(step, &[at(1, 0, 0.8, 0.5)]).events.first().cloned();
        }
        let late = rig.now.as_millis() as u64 - 5000;
        assert!(late <= step * 2, "{step}: {late}");
        assert_eq!(told.expect("told").started, noon() + ms(step), "it began when the object came");
    }
    let mut passer_by = Rig::new(vec![rule("loiter", RuleKind::Dwell { time: ms(5000) })]);
    passer_by.stay(4900, &[at(1, 0, 0.8, 0.5)]);
    passer_by.stay(3000, &[]);
    assert_eq!(passer_by.brief(), []);
}

#[test]
fn so_many_and_none() {
    let occupancy = RuleKind::Occupancy { min: 2, max: None, time: ms(500) };
    let mut rig = Rig::new(vec![rule("busy", occupancy), rule("empty", RuleKind::Absence { time: ms(3000) })]);
    rig.stay(2900, &[at(1, 0, 0.2, 0.5)]);
    assert_eq!(rig.brief(), []);
    rig.stay(1000, &[at(1, 0, 0.2, 0.5)]);
    assert_eq!(rig.brief(), [named("empty", Start, 100)]);
    rig.stay(1000, &[at(1, 0, 0.6, 0.5), at(2, 0, 0.7, 0.5)]);
    rig.stay(1000, &[at(1, 0, 0.6, 0.5), at(2, 0, 0.7, 0.5), at(3, 1, 0.8, 0.5)]);
    assert_eq!((rig.tally("busy", 0).now, rig.tally("busy", 1).now), (2, 1));
    rig.stay(3000, &[at(1, 0, 0.6, 0.5)]);
    assert_eq!(rig.brief()[1..], [named("empty", End, 100), named("busy", Start, 4200), named("busy", End, 4200)]);
    let events = rig.events();
    assert_eq!(events[2].objects.iter().map(|object| object.track.0).collect::<Vec<_>>(), [1, 2]);
    assert!((events[3].measure.expect("a count").value - 3.0).abs() < 1e-9, "the most there were");
}

#[test]
fn what_nobody_watched_was_not_absence() {
    let mut rig = Rig::new(vec![rule("empty", RuleKind::Absence { time: ms(60_000) })]);
    rig.stay(50_000, &[]);
    // The camera is away for an hour.
    rig.frame(3_600_000, &[]);
    rig.stay(59_000, &[]);
    assert_eq!(rig.brief(), []);
    rig.stay(2000, &[]);
    assert_eq!(rig.begun("empty"), 1);
}

#[test]
fn records_of_a_count() {
    let high = RuleKind::NewHigh { time: ms(500), period: ms(60_000) };
    let low = RuleKind::NewLow { time: ms(500), period: ms(60_000) };
    let mut rig = Rig::new(vec![rule("high", high), rule("low", low)]);
    let people = |n: u64| -> Vec<Track> { (0..n).map(|i| at(i + 1, 0, 0.6 + 0.02 * i as f64, 0.5)).collect() };
    for n in [2, 3, 2, 4, 1] {
        rig.stay(3000, &people(n));
    }
    let values = |rig: &Rig, rule: &str| -> Vec<u32> {
        let of = rig.events().into_iter().filter(|event| &*event.rule == rule);
        of.map(|event| event.measure.expect("a count").value as u32).collect()
    };
    // Nobody is believed to be there in the first moments, so the first two are a record too.
    assert_eq!((values(&rig, "high"), values(&rig, "low")), (vec![3, 4], vec![1]));
    rig.stay(50_000, &people(1));
    rig.stay(3000, &people(2));
    assert_eq!(values(&rig, "high"), [3, 4, 2], "a new period");
}

#[test]
fn along_the_arrow_and_against_it() {
    let heading = |against| {
        let arrow = [Point::new(0.2, 0.5), Point::new(0.8, 0.5)];
        RuleKind::Heading(HeadingConfig { arrow, against, tolerance: 45.0, time: ms(1000), distance: 0.5 })
    };
    let rules = || {
        [("with", false), ("wrong", true)]
            .map(|(name, against)| RuleConfig { zone: Zone::default(), ..rule(name, heading(against)) })
    };
    for (step, expected) in [((0.02, 0.0), (1, 0)), ((-0.02, 0.0), (0, 1)), ((0.0, 0.03), (0, 0)), ((0.0005, 0.0), (0, 0))] {
        let mut rig = Rig::new(rules().to_vec());
        for i in 0..20 {
            rig.frame(100, &[at(1, 1, 0.5 + step.0 * f64::from(i), 0.3 + step.1 * f64::from(i))]);
        }
        rig.stay(3000, &[]);
        assert_eq!((rig.begun("with"), rig.begun("wrong")), expected, "{step:?}");
        assert_eq!(rig.events().len(), (expected.0 + expected.1) * 2, "what begins ends");
    }
}

/// A road of 10 m by 50 m that fills the picture, seen from above.
fn road() -> GroundConfig {
    let corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)].map(|(x, y)| Point::new(x, y));
    GroundConfig { picture: corners, metres: [[0.0, 0.0], [50.0, 0.0], [50.0, 10.0], [0.0, 10.0]] }
}

#[test]
fn speed_is_measured_on_the_ground() {
    let speed = RuleKind::Speed { above: Some(50.0), below: None, time: ms(1000) };
    let rules = vec![RuleConfig { zone: Zone::default(), ..rule("speeding", speed) }];
    let drive = |kmh: f64, step: u64| {
        let mut rig = Rig::with(&CameraRules { rules: rules.clone(), ground: Some(road()), ..CameraRules::default() });
        for i in 0..2500 / step {
            rig.frame(step, &[at(1, 1, kmh / 3.6 * (i * step) as f64 / 1000.0 / 50.0, 0.5)]);
        }
        rig.stay(3000, &[]);
        rig.events().last().map(|event| event.measure.expect("a speed").value)
    };
    for step in [40, 100, 250] {
        assert_eq!(drive(48.0, step), None, "{step}");
        let told = drive(54.0, step).expect("too fast");
        assert!((told - 54.0).abs() < 0.1, "{step}: {told}");
    }
}

#[test]
fn standing_where_it_drove() {
    let stopped = |moved| RuleConfig {
        zone: Zone::default(),
        ..rule(if moved { "stopped" } else { "standing" }, RuleKind::Stopped { time: ms(5000), distance: 0.3, moved })
    };
    let mut rig = Rig::new(vec![stopped(true), stopped(false)]);
    let parked = at(9, 1, 0.1, 0.9);
    for i in 0..30 {
        rig.frame(100, &[at(1, 1, 0.1 + 0.02 * f64::from(i), 0.5), parked]);
    }
    for i in 0..60 {
        // It trembles where it stands.
        rig.frame(100, &[at(1, 1, 0.68 + 0.002 * f64::from(i % 3), 0.5), parked]);
    }
    assert_eq!((rig.begun("stopped"), rig.begun("standing")), (1, 2));
    for i in 0..10 {
        rig.frame(100, &[at(1, 1, 0.68 + 0.02 * f64::from(i), 0.5), parked]);
    }
    let ends: Vec<_> = rig.events().into_iter().filter(|event| event.phase == End).map(|event| event.rule.to_string()).collect();
    assert_eq!(ends, ["stopped", "standing"]);
}

#[test]
fn who_is_near_whom() {
    let near = |near: Option<&str>| RuleKind::Proximity { near: near.map(|n| vec![n.into()]), distance: 2.0, time: ms(300) };
    let everywhere =
        |name: &str, kind| RuleConfig { zone: Zone::default(), classes: Some(vec!["person".into()]), ..rule(name, kind) };
    let mut rig = Rig::with(&CameraRules {
        rules: vec![everywhere("dog", near(Some("dog"))), everywhere("people", near(None))],
        ground: Some(road()),
        ..CameraRules::default()
    });
    // 1.5 m apart; then 10 m.
    rig.stay(1000, &[at(1, 0, 0.5, 0.5), at(2, 2, 0.53, 0.5), at(3, 0, 0.9, 0.5)]);
    assert_eq!((rig.begun("dog"), rig.begun("people")), (1, 0));
    let first = rig.events()[0];
    assert_eq!(first.objects.iter().map(|o| o.track.0).collect::<Vec<_>>(), [1, 2], "the person leads");
    assert!((first.measure.expect("a distance").value - 1.5).abs() < 1e-3);
    rig.stay(2000, &[at(1, 0, 0.88, 0.5), at(2, 2, 0.53, 0.5), at(3, 0, 0.9, 0.5)]);
    assert_eq!((rig.begun("dog"), rig.begun("people")), (1, 1));
    assert_eq!(rig.events().iter().filter(|event| event.phase == End).count(), 1);
}

#[test]
fn a_crowd_is_many_together() {
    let crowd = RuleKind::Crowd { min: 3, distance: 1.0, time: ms(300) };
    let mut rig = Rig::new(vec![RuleConfig { zone: Zone::default(), ..rule("crowd", crowd) }]);
    let row = |gap: f64| -> Vec<Track> { (0..4).map(|i| at(i + 1, 0, 0.2 + gap * i as f64, 0.5)).collect() };
    // Boxes are 0.1 of the width high.
    rig.stay(1000, &row(0.11));
    assert_eq!(rig.begun("crowd"), 0);
    rig.stay(1000, &row(0.09));
    assert_eq!(rig.begun("crowd"), 1);
    assert_eq!(rig.events()[0].objects.len(), 4);
    rig.stay(2000, &row(0.11));
    assert_eq!(rig.brief().last().map(|last| last.1), Some(End));
}

#[test]
fn close_behind_over_a_line() {
    let tail = || RuleKind::Tailgating { line: line(Some(true), Strictness::Balanced), time: ms(2000) };
    let cross = |gap: u64| {
        let mut rig = Rig::new(vec![rule("tail", tail())]);
        for i in 0..100 {
            let x = |since: u64| 0.3 + 0.02 * (f64::from(i) - since as f64 / 100.0);
            rig.frame(100, &[at(1, 1, x(0), 0.5), at(2, 1, x(gap), 0.5)]);
        }
        rig.events()
            .iter()
            .map(|event| (event.objects.iter().map(|o| o.track.0).collect::<Vec<_>>(), event.measure))
            .collect::<Vec<_>>()
    };
    assert_eq!(cross(2500), []);
    let told = cross(1500);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, [2, 1], "who follows, and whom");
    assert!((told[0].1.expect("a time").value - 1.5).abs() < 1e-9);
}

#[test]
fn rules_of_rules() {
    let combine = |all: &[&str], any: &[&str], none: &[&str]| {
        let [all, any, none] = [all, any, none].map(|names| names.iter().map(ToString::to_string).collect());
        RuleKind::Combine { all, any, none, time: Duration::ZERO }
    };
    let left = Zone { include: vec![polygon(&[(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)])], exclude: vec![] };
    let mut rig = Rig::new(vec![
        rule("right", RuleKind::Zone),
        RuleConfig { zone: left, ..rule("left", RuleKind::Zone) },
        rule("gate", RuleKind::Line(line(None, Strictness::Balanced))),
        rule("both", combine(&["right", "left"], &[], &[])),
        rule("lonely", combine(&["right"], &[], &["left"])),
        rule("after", combine(&["both"], &["gate"], &[])),
    ]);
    rig.stay(3000, &[at(1, 0, 0.8, 0.5)]);
    assert_eq!((rig.begun("both"), rig.begun("lonely"), rig.begun("after")), (0, 1, 0));
    rig.stay(3000, &[at(1, 0, 0.8, 0.5), at(2, 0, 0.2, 0.5)]);
    assert_eq!((rig.begun("both"), rig.begun("lonely"), rig.begun("after")), (1, 1, 0));
    rig.stay(3000, &[at(1, 0, 0.8, 0.5), at(2, 0, 0.2, 0.5), at(3, 0, 0.4, 0.5)]);
    rig.stay(3000, &[at(1, 0, 0.8, 0.5), at(2, 0, 0.2, 0.5), at(3, 0, 0.6, 0.5)]);
    assert_eq!(rig.begun("after"), 1, "a crossing counts for the inertia");
    let ends = rig.events().iter().filter(|event| &*event.rule == "after" && event.phase == End).count();
    assert_eq!(ends, 1);
    let objects: Vec<u64> =
        rig.events().iter().find(|event| &*event.rule == "after").expect("told").objects.iter().map(|o| o.track.0).collect();
    assert!(objects.contains(&3), "{objects:?}");
}

#[test]
fn a_rule_that_cools_down_counts_on() {
    let gate = RuleConfig { cooldown: ms(5000), ..rule("gate", RuleKind::Line(line(None, Strictness::Loose))) };
    let mut rig = Rig::new(vec![gate]);
    for i in 0..20 {
        rig.stay(500, &[at(1, 0, if i % 2 == 0 { 0.4 } else { 0.6 }, 0.5)]);
    }
    rig.stay(1000, &[]);
    assert_eq!(rig.begun("gate"), 2);
    assert_eq!(rig.tally("gate", 0), Tally { now: 0, entered: 10, left: 9 });
    let counts = rig.counters.rules();
    assert_eq!((counts[0].events, counts[0].suppressed), (2, 17));
    // A start that is not told has no end that is.
    let yard = RuleConfig { cooldown: ms(60_000), inertia: Duration::ZERO, ..rule("yard", RuleKind::Zone) };
    let mut rig = Rig::new(vec![yard]);
    for i in 0..8 {
        rig.stay(500, &[at(1, 0, if i % 2 == 0 { 0.4 } else { 0.6 }, 0.5)]);
    }
    assert_eq!(rig.brief().iter().map(|event| event.1).collect::<Vec<_>>(), [Start, End]);
}

#[test]
fn classes_and_limits() {
    let limit = |class: Option<&str>, quantity, least, value| Limit { class: class.map(String::from), quantity, least, value };
    for (classes, limits, expected) in [
        (None, vec![], [true, true]),
        (Some("car"), vec![], [false, true]),
        (None, vec![limit(Some("car"), Quantity::Height, true, 0.3)], [true, false]),
        (None, vec![limit(None, Quantity::Height, false, 0.15)], [false, false]),
        (None, vec![limit(None, Quantity::Aspect, true, 0.39), limit(None, Quantity::Aspect, false, 0.41)], [true, true]),
        (None, vec![limit(None, Quantity::Aspect, true, 0.5)], [false, false]),
        (None, vec![limit(Some("person"), Quantity::Score, true, 0.95)], [false, true]),
        (None, vec![limit(Some("person"), Quantity::Width, true, 0.05)], [false, true]),
        (None, vec![limit(Some("person"), Quantity::Area, true, 0.05)], [false, true]),
    ] {
        let classes = classes.map(|class: &str| vec![class.to_owned()]);
        let mut rig = Rig::new(vec![RuleConfig { classes, limits: limits.clone(), ..rule("yard", RuleKind::Zone) }]);
        rig.stay(500, &[at(1, 0, 0.8, 0.5), at(2, 1, 0.7, 0.5)]);
        let told: Vec<u16> = rig.events().iter().map(|event| event.objects[0].class).collect();
        assert_eq!([told.contains(&0), told.contains(&1)], expected, "{limits:?}");
    }
}

#[test]
fn only_when_it_is_in_force() {
    let zone = jiff::tz::TimeZone::UTC;
    let schedule = |text| Some(Schedule { week: Week::parse([text]).expect("a week"), zone: zone.clone() });
    let mut rig = Rig::new(vec![
        RuleConfig { schedule: schedule("sat 12:00-12:01"), ..rule("first", RuleKind::Zone) },
        RuleConfig { schedule: schedule("sat 12:01-12:02"), ..rule("second", RuleKind::Zone) },
    ]);
    rig.stay(180_000, &[at(1, 0, 0.8, 0.5)]);
    let brief: Vec<_> = rig.brief().into_iter().map(|(rule, phase, since)| (rule, phase, since / 1000)).collect();
    assert_eq!(brief, [named("first", Start, 0), named("first", End, 0), named("second", Start, 60), named("second", End, 60)]);
    assert_eq!(rig.tally("first", 0), Tally { now: 0, entered: 1, left: 1 });
}

#[test]
fn an_hour_in_a_summary() {
    let mut rig =
        Rig::new(vec![RuleConfig { zone: Zone::default(), ..rule("traffic", RuleKind::Summary { every: ms(60_000) }) }]);
    for i in 0..100 {
        rig.frame(100, &[at(1, 1, 0.01 * f64::from(i), 0.5), at(2, 0, 0.9, 0.9)]);
    }
    rig.frame(100, &[Track { phase: TrackPhase::End, ..at(1, 1, 0.99, 0.5) }, at(2, 0, 0.9, 0.9)]);
    rig.stay(60_000, &[at(2, 0, 0.9, 0.9)]);
    let summaries: Vec<_> = rig.told.iter().flat_map(|verdicts| &verdicts.summaries).collect();
    assert_eq!(summaries.len(), 1);
    let first = summaries[0];
    assert!(first.complete && first.from == noon() && first.to == noon() + ms(60_000));
    assert_eq!(first.objects, [(0, 1), (1, 1)].into());
    assert_eq!(first.paths.len(), 1, "the other one is still there");
    let path = first.paths[0];
    assert_eq!((path.from, path.to, path.objects), (3, 5, 1));
    assert!((path.mean_s - 9.9).abs() < 1e-9);
    let heat: f32 = first.heat.iter().sum();
    assert!((heat - (9.9 + 59.8)).abs() < 0.3, "{heat}");
    let standing = first.heat[(0.9 * 18.0) as usize * 32 + (0.9 * 32.0) as usize];
    assert!(standing > 59.0, "{standing}");
}

#[test]
fn moments_and_ends_are_told_as_such() {
    let mut rig = Rig::new(vec![rule("gate", RuleKind::Line(line(None, Strictness::Loose))), rule("yard", RuleKind::Zone)]);
    rig.stay(500, &[at(1, 0, 0.4, 0.5)]);
    rig.stay(500, &[at(1, 0, 0.6, 0.5)]);
    assert_eq!(rig.brief(), [named("gate", Once, 600), named("yard", Start, 600)]);
    let verdicts = rig.close();
    assert_eq!(verdicts.events.len(), 1);
    assert_eq!(verdicts.events[0].phase, End);
}
