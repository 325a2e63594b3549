//! Input that should not be: bounded, and the same each time.

use proptest::prelude::*;

use super::*;

pub(super) fn every_kind() -> Vec<RuleConfig> {
    let heading = HeadingConfig {
        arrow: [Point::new(0.2, 0.5), Point::new(0.8, 0.5)],
        against: false,
        tolerance: 60.0,
        time: ms(1000),
        distance: 0.2,
    };
    let kinds = vec![
        RuleKind::Line(line(None, Strictness::Balanced)),
        RuleKind::Zone,
        RuleKind::Dwell { time: ms(2000) },
        RuleKind::Occupancy { min: 2, max: None, time: ms(300) },
        RuleKind::Absence { time: ms(2000) },
        RuleKind::NewHigh { time: ms(300), period: ms(20_000) },
        RuleKind::NewLow { time: ms(300), period: ms(20_000) },
        RuleKind::Heading(HeadingConfig { against: true, ..heading.clone() }),
        RuleKind::Heading(heading),
        RuleKind::Speed { above: Some(5.0), below: None, time: ms(1000) },
        RuleKind::Proximity { near: None, distance: 1.0, time: ms(300) },
        RuleKind::Tailgating { line: line(None, Strictness::Loose), time: ms(2000) },
        RuleKind::Stopped { time: ms(1000), distance: 0.3, moved: true },
        RuleKind::Crowd { min: 3, distance: 1.5, time: ms(300) },
        RuleKind::Combine { all: vec!["0".into()], any: vec!["1".into(), "2".into()], none: vec!["4".into()], time: ms(100) },
        RuleKind::Summary { every: ms(10_000) },
    ];
    kinds.into_iter().enumerate().map(|(i, kind)| rule(&i.to_string(), kind)).collect()
}

/// Steps in milliseconds, and tracks by number and place.
type Story = Vec<(u64, Vec<(u64, f64, f64)>)>;

fn story() -> impl Strategy<Value = Story> {
    let track = (1u64..8, -0.2..1.2f64, -0.2..1.2f64);
    prop::collection::vec((0u64..2000, prop::collection::vec(track, 0..6)), 1..60)
}

fn play(story: &Story, rules: Vec<RuleConfig>) -> Rig {
    let mut rig = Rig::new(rules);
    for (step, tracks) in story {
        let tracks: Vec<Track> = tracks.iter().map(|(id, x, y)| at(*id, (*id % 3) as u16, *x, *y)).collect();
        rig.frame(*step, &tracks);
    }
    rig.close();
    rig
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_same_story_makes_the_same_verdicts(story in story()) {
        prop_assert_eq!(play(&story, every_kind()).told, play(&story, every_kind()).told);
    }

    #[test]
    fn what_begins_ends_once_and_nothing_else_does(story in story()) {
        let rig = play(&story, every_kind());
        let mut open = std::collections::BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        for event in rig.events() {
            match event.phase {
                EventPhase::Start => prop_assert!(open.insert(event.id, event.rule.clone()).is_none() && seen.insert(event.id)),
                EventPhase::End => prop_assert_eq!(open.remove(&event.id), Some(event.rule.clone())),
                EventPhase::Once => prop_assert!(seen.insert(event.id), "{:?}", event),
            }
        }
        prop_assert!(open.is_empty(), "{:?}", open);
    }

    #[test]
    fn a_line_and_its_reverse_count_the_same_in_exchange(story in story()) {
        let turned = |reverse: bool| {
            let mut config = line(None, Strictness::Balanced);
            if reverse {
                let mut points = config.line.points().to_vec();
                points.reverse();
                config.line = Line::new(points).expect("a line");
            }
            let rig = play(&story, vec![rule("gate", RuleKind::Line(config))]);
            rig.events().iter().map(|event| (event.started, event.objects[0].track, event.way)).collect::<Vec<_>>()
        };
        let exchanged: Vec<_> = turned(true).into_iter().map(|(at, track, way)| {
            (at, track, way.map(|way| if way == Way::In { Way::Out } else { Way::In }))
        }).collect();
        prop_assert_eq!(turned(false), exchanged);
    }

    #[test]
    fn whatever_comes_harms_nothing(odd in prop::collection::vec((any::<f32>(), any::<f32>(), any::<f32>(), any::<f32>(), any::<u64>(), 0u64..100_000), 1..40)) {
        let mut rig = Rig::new(every_kind());
        for (x1, y1, x2, y2, id, pts) in odd {
            // Time jumps to and fro.
            rig.now = ms(pts);
            let track = Track { bbox: BBox::new(x1, y1, x2, y2), ..at(id, (id % 5) as u16, 0.0, 0.0) };
            let fine = at(3, 0, 0.7, 0.5);
            rig.frame(0, &[track, fine, fine]);
        }
        rig.close();
        for event in rig.events() {
            prop_assert!(event.measure.is_none_or(|measure| measure.value.is_finite()), "{:?}", event);
            prop_assert!(event.objects.len() <= MOST_OBJECTS);
        }
    }
}

#[test]
fn thousands_of_objects_are_bounded() {
    let mut rig = Rig::new(every_kind());
    for frame in 0..10u64 {
        let tracks: Vec<Track> =
            (0..3000).map(|i| at(frame * 1000 + i + 1, (i % 3) as u16, (i % 60) as f64 / 60.0, (i / 60) as f64 / 50.0)).collect();
        rig.frame(100, &tracks);
    }
    rig.close();
    let (starts, ends) = rig.events().iter().fold((0, 0), |(starts, ends), event| match event.phase {
        EventPhase::Start => (starts + 1, ends),
        EventPhase::End => (starts, ends + 1),
        EventPhase::Once => (starts, ends),
    });
    assert!(starts > 0 && starts == ends, "{starts} {ends}");
}

#[test]
fn another_resolution_in_mid_track_changes_nothing() {
    let rules = || vec![rule("gate", RuleKind::Line(line(None, Strictness::Balanced))), rule("yard", RuleKind::Zone)];
    let play = |change: bool| {
        let mut rig = Rig::new(rules());
        for i in 0..40 {
            rig.now += ms(100);
            let mut tracked = rig.story(vec![at(1, 0, 0.3 + 0.01 * f64::from(i), 0.5)], false);
            if change && i >= 20 {
                tracked.size = (SIZE.0 * 2, SIZE.1 * 2);
                let b = tracked.tracks[0].bbox;
                tracked.tracks[0].bbox = BBox::new(b.x1 * 2.0, b.y1 * 2.0, b.x2 * 2.0, b.y2 * 2.0);
            }
            rig.tell(tracked);
        }
        rig.brief()
    };
    assert_eq!(play(false).len(), 2);
    assert_eq!(play(false), play(true));
}

#[test]
fn a_frame_that_comes_twice_changes_nothing() {
    let mut rig = Rig::new(every_kind());
    let mut twice = Rig::new(every_kind());
    for i in 0..60 {
        let tracks = [at(1, 0, 0.3 + 0.01 * f64::from(i), 0.5), at(2, 0, 0.8, 0.4)];
        rig.frame(100, &tracks);
        twice.frame(100, &tracks);
        twice.frame(0, &tracks);
    }
    assert_eq!(rig.events(), twice.events());
}
