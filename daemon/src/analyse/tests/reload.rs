//! Rules that change while the camera runs.

use super::*;

#[test]
fn rules_that_stay_go_on_and_the_others_end() {
    let dwell = |name: &str, time| rule(name, RuleKind::Dwell { time: ms(time) });
    let rules = |rules| CameraRules { rules, ..CameraRules::default() };
    let mut rig = Rig::with(&rules(vec![dwell("stays", 5000), dwell("changes", 1000), dwell("goes", 1000)]));
    rig.stay(3000, &[at(1, 0, 0.8, 0.5)]);
    assert_eq!((rig.begun("stays"), rig.begun("changes"), rig.begun("goes")), (0, 1, 1));
    rig.analyst.configure("door", &rules(vec![dwell("new", 1000), dwell("changes", 2300), dwell("stays", 5000)]));
    let verdicts = rig.frame(100, &[at(1, 0, 0.8, 0.5)]);
    let ended: Vec<&str> = verdicts.events.iter().map(|event| &*event.rule).collect();
    assert_eq!(ended, ["changes", "goes"]);
    let gone: Vec<&str> = verdicts.gone.iter().map(|name| &**name).collect();
    assert_eq!(gone, ["changes", "goes"]);
    rig.stay(2000, &[at(1, 0, 0.8, 0.5)]);
    assert_eq!((rig.begun("stays"), rig.begun("changes"), rig.begun("new")), (1, 1, 1), "its five seconds are not counted anew");
    rig.stay(500, &[at(1, 0, 0.8, 0.5)]);
    assert_eq!(rig.begun("changes"), 2);
    let known: Vec<_> = rig.counters.rules().into_iter().map(|row| (row.rule, row.events)).collect();
    assert_eq!(known, [("changes".to_owned(), 1), ("new".to_owned(), 1), ("stays".to_owned(), 1)]);
}

#[test]
fn a_new_ground_plane_matters_to_those_that_measure() {
    let corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)].map(|(x, y)| Point::new(x, y));
    let ground = |x| Some(GroundConfig { picture: corners, metres: [[0.0, 0.0], [x, 0.0], [x, 10.0], [0.0, 10.0]] });
    let crowd = RuleKind::Crowd { min: 1, distance: 1.0, time: ms(100) };
    let rules = vec![rule("crowd", crowd), rule("yard", RuleKind::Zone)];
    let all = |ground| CameraRules { rules: rules.clone(), ground, ..CameraRules::default() };
    let mut rig = Rig::with(&all(ground(50.0)));
    rig.stay(500, &[at(1, 0, 0.8, 0.5)]);
    assert_eq!((rig.begun("crowd"), rig.begun("yard")), (1, 1));
    rig.analyst.configure("door", &all(ground(60.0)));
    rig.stay(500, &[at(1, 0, 0.8, 0.5)]);
    assert_eq!((rig.begun("crowd"), rig.begun("yard")), (2, 1));
}

#[test]
fn a_camera_that_goes_ends_everything_and_is_forgotten() {
    let mut rig = Rig::new(vec![rule("yard", RuleKind::Zone), rule("empty", RuleKind::Absence { time: ms(500) })]);
    rig.stay(1000, &[]);
    rig.stay(500, &[at(1, 0, 0.8, 0.5)]);
    let counters = rig.counters.clone();
    let last = rig.analyst.finish().expect("something to say");
    assert!(last.closing && last.tracks.is_empty());
    let verdicts = last.verdicts.expect("verdicts");
    assert_eq!(verdicts.events.len(), 1);
    assert_eq!((&*verdicts.events[0].rule, verdicts.events[0].phase), ("yard", EventPhase::End));
    assert_eq!(verdicts.gone.len(), 2, "what is retained of both is cleared");
    assert_eq!(counters.rules(), []);
    assert!(Analyst::new(counters).finish().is_none(), "nothing has been seen");
}

#[test]
fn masks_hide_what_stands_in_them() {
    let mask = |anchor, classes: Option<&str>| MaskConfig {
        name: "sky".into(),
        zone: right(),
        anchor,
        classes: classes.map(|class| vec![class.to_owned()]),
        schedule: None,
    };
    let model: Arc<ModelInfo> =
        ModelInfo { classes: ["person", "car"].map(String::from).to_vec(), ..ModelInfo::default() }.into();
    let detection =
        |class, x: f32| crate::media::Detection { class, confidence: 0.9, bbox: BBox::new(x, 100.0, x + 40.0, 200.0) };
    let counters = Counters::default();
    for (mask, left) in [
        (mask(Anchor::Foot, None), vec![(0, 100.0), (0, 470.0)]),
        (mask(Anchor::Overlap, None), vec![(0, 100.0)]),
        (mask(Anchor::Foot, Some("car")), vec![(0, 100.0), (0, 470.0), (0, 700.0)]),
    ] {
        let mut masks = Masks::new("door", &[mask], &counters).expect("a mask");
        let mut all = vec![detection(0, 100.0), detection(0, 470.0), detection(0, 700.0), detection(1, 800.0)];
        let hidden = masks.at(SIZE, noon(), &model);
        all.retain(|detection| !hidden.holds(detection));
        assert_eq!(all, left.iter().map(|(class, x)| detection(*class, *x)).collect::<Vec<_>>());
    }
    assert_eq!(counters.masked(), [("door".to_owned(), 2 + 3 + 1)]);
    assert!(Masks::new("door", &[], &counters).is_none());
}
