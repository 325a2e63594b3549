//! Counts that go on after the daemon has ended, in order or not.

use super::*;

fn saved(rig: &Rig) -> Vec<u8> {
    rig.counters.ledger().news().expect("something was counted")
}

/// The daemon ends without a word, and starts with these rules and classes.
fn restart(rig: &Rig, rules: Vec<RuleConfig>, classes: &[&str], later: Duration) -> Rig {
    restart_from(&saved(rig), rig, rules, classes, later)
}

fn restart_from(saved: &[u8], rig: &Rig, rules: Vec<RuleConfig>, classes: &[&str], later: Duration) -> Rig {
    let counters = Arc::<Counters>::default();
    counters.ledger().restore(saved, |camera, rule| (camera, rule) != ("door", "gone")).expect("read");
    let mut analyst = Analyst::new(counters.clone());
    analyst.configure("door", &CameraRules { rules, ..CameraRules::default() });
    let model = ModelInfo { classes: classes.iter().map(ToString::to_string).collect(), ..ModelInfo::default() };
    let (before, told) = (Vec::new(), Vec::new());
    Rig { analyst, counters, model: model.into(), start: rig.start + later, now: Duration::ZERO, before, told }
}

fn kept(rules: Vec<RuleConfig>) -> Rig {
    let rig = Rig::new(Vec::new());
    rig.counters.ledger().restore(&[], |_, _| true).expect("nothing yet");
    let mut rig = Rig { analyst: Analyst::new(rig.counters.clone()), ..rig };
    rig.analyst.configure("door", &CameraRules { rules, ..CameraRules::default() });
    rig
}

/// Since when, and by class: there now, entered, left.
fn last(rig: &Rig, rule: &str) -> (SystemTime, Vec<(u16, [u64; 3])>) {
    let mut counts = rig.told.iter().flat_map(|verdicts| &verdicts.counts).filter(|count| &*count.rule == rule);
    let count = counts.next_back().expect("a count");
    let row = |(class, tally): (&u16, &Tally)| (*class, [tally.now, tally.entered, tally.left]);
    (count.since, count.tallies.iter().map(row).collect())
}

fn rules() -> Vec<RuleConfig> {
    vec![rule("gate", RuleKind::Line(line(None, Strictness::Loose))), rule("yard", RuleKind::Zone)]
}

const CLASSES: [&str; 3] = ["person", "car", "dog"];

/// One goes over the line and back, another one over it; both are in the yard then, one of them goes.
fn live(rig: &mut Rig, ids: u64) {
    for x in [0.3, 0.7, 0.3] {
        rig.stay(3000, &[at(ids, 0, x, 0.5)]);
    }
    for x in [0.3, 0.7] {
        rig.stay(3000, &[at(ids + 1, 1, x, 0.5)]);
    }
    rig.stay(1000, &[at(ids + 1, 1, 0.7, 0.5)]);
}

#[test]
fn they_go_on_after_a_crash_and_visits_under_way_have_ended() {
    let mut rig = kept(rules());
    live(&mut rig, 1);
    let since = rig.start + ms(100);
    assert_eq!(last(&rig, "gate"), (since, vec![(0, [0, 1, 1]), (1, [0, 1, 0])]));
    assert_eq!(last(&rig, "yard"), (since, vec![(0, [0, 1, 1]), (1, [1, 1, 0])]));
    // The network's classes are in another order, and the clock is two days behind.
    let saved = saved(&rig);
    let mut rig = restart_from(&saved, &rig, rules(), &["dog", "car", "person"], Duration::ZERO);
    rig.start -= Duration::from_hours(48);
    rig.frame(100, &[]);
    assert_eq!(last(&rig, "gate"), (since, vec![(1, [0, 1, 0]), (2, [0, 1, 1])]));
    assert_eq!(last(&rig, "yard"), (since, vec![(1, [0, 1, 1]), (2, [0, 1, 1])]));
    // Nothing has changed: what was written stands.
    assert!(rig.counters.ledger().news().is_none());
    let mut rig = restart_from(&saved, &rig, rules(), &CLASSES, Duration::from_hours(1));
    live(&mut rig, 100);
    assert_eq!(last(&rig, "gate"), (since, vec![(0, [0, 2, 2]), (1, [0, 2, 0])]));
    assert_eq!(last(&rig, "yard"), (since, vec![(0, [0, 2, 2]), (1, [1, 2, 1])]));
}

#[test]
fn an_ordered_end_is_no_different() {
    let mut rig = kept(rules());
    live(&mut rig, 1);
    let mut closing = rig.story(Vec::new(), true);
    rig.analyst.look(&mut closing);
    let mut rig = restart(&rig, rules(), &CLASSES, Duration::ZERO);
    rig.frame(100, &[]);
    assert_eq!(last(&rig, "yard").1, [(0, [0, 1, 1]), (1, [0, 1, 1])]);
}

#[test]
fn a_rule_that_has_changed_starts_anew_and_one_that_is_gone_is_forgotten() {
    let mut before = rules();
    before.push(rule("gone", RuleKind::Zone));
    let mut rig = kept(before);
    live(&mut rig, 1);
    let mut changed = rules();
    changed[1].zone = Zone::default();
    changed[0].cooldown = ms(5000);
    changed.push(rule("gone", RuleKind::Zone));
    let mut rig = restart(&rig, changed, &CLASSES, Duration::from_hours(1));
    rig.frame(100, &[]);
    assert_eq!(last(&rig, "gate").1, [(0, [0, 1, 1]), (1, [0, 1, 0])], "which events are told is another matter");
    assert_eq!(last(&rig, "yard"), (rig.start + ms(100), vec![]));
    assert_eq!(last(&rig, "gone").1, []);
}

#[test]
fn a_reload_forgets_what_it_changes() {
    let mut rig = kept(rules());
    live(&mut rig, 1);
    let mut changed = rules();
    changed[1].inertia = ms(1);
    rig.analyst.configure("door", &CameraRules { rules: changed.clone(), ..CameraRules::default() });
    rig.stay(1000, &[at(2, 1, 0.7, 0.5)]);
    let mut rig = restart(&rig, changed[1..].to_vec(), &CLASSES, Duration::ZERO);
    rig.frame(100, &[]);
    assert_eq!(last(&rig, "yard").1, [(1, [0, 1, 1])]);
}

/// What the broker retains of it may say that somebody is there: it is of before a crash.
#[test]
fn a_rule_that_is_not_in_force_tells_its_count_once() {
    let schedule = Schedule { week: Week::parse(["03:00-04:00"]).expect("a week"), zone: jiff::tz::TimeZone::UTC };
    let mut rig = Rig::new(vec![RuleConfig { schedule: Some(schedule), ..rule("yard", RuleKind::Zone) }]);
    rig.stay(2000, &[at(1, 0, 0.7, 0.5)]);
    let counts: Vec<_> = rig.told.iter().flat_map(|verdicts| &verdicts.counts).collect();
    assert!(counts.len() == 1 && counts[0].tallies.is_empty() && rig.events().is_empty(), "{counts:?}");
}

/// The most of a day is the most of that day, whoever was restarted in it.
#[test]
fn records_go_on_until_their_period_is_over() {
    let busiest = || vec![rule("busiest", RuleKind::NewHigh { time: ms(500), period: Duration::from_hours(1) })];
    let people = |count: u64| (0..count).map(|id| at(10 * count + id, 0, 0.6 + 0.02 * id as f64, 0.5)).collect::<Vec<_>>();
    let told = |rig: &Rig| {
        let events = rig.told.iter().flat_map(|verdicts| &verdicts.events);
        events
            .map(|event| event.measure.expect("a count"))
            .map(|measure| (measure.value as u64, measure.threshold))
            .collect::<Vec<_>>()
    };
    let mut rig = kept(busiest());
    rig.stay(2000, &people(1));
    rig.stay(2000, &people(3));
    assert_eq!(told(&rig), [(3, Some(1.0))]);
    let saved = saved(&rig);
    for (later, expected) in [(Duration::from_mins(50), vec![(4, Some(3.0))]), (Duration::from_mins(70), vec![(4, Some(2.0))])] {
        let mut rig = restart_from(&saved, &rig, busiest(), &CLASSES, later);
        rig.stay(2000, &people(2));
        assert!(told(&rig).is_empty(), "{later:?}: no more than there were");
        rig.stay(2000, &people(4));
        assert_eq!(told(&rig), expected, "{later:?}");
    }
    // Another period is another record.
    let other = vec![rule("busiest", RuleKind::NewHigh { time: ms(500), period: Duration::from_hours(2) })];
    let mut rig = restart_from(&saved, &rig, other, &CLASSES, Duration::from_mins(1));
    rig.stay(2000, &people(2));
    rig.stay(2000, &people(3));
    assert_eq!(told(&rig), [(3, Some(2.0))]);
}

/// As a reload does it that changes how a camera is reached.
#[test]
fn a_camera_that_goes_and_comes_goes_on() {
    let mut rig = kept(rules());
    live(&mut rig, 1);
    let analyst = std::mem::replace(&mut rig.analyst, Analyst::new(rig.counters.clone()));
    assert!(analyst.finish().is_some_and(|last| last.verdicts.is_some_and(|verdicts| verdicts.gone.len() == 2)));
    rig.analyst.configure("door", &CameraRules { rules: rules(), ..CameraRules::default() });
    rig.frame(100, &[]);
    assert_eq!(last(&rig, "yard").1, [(0, [0, 1, 1]), (1, [0, 1, 1])]);
}

#[test]
fn what_is_no_ledger_is_refused_and_counting_begins_anew() {
    for (text, word) in [("x", "no ledger"), ("{\"form\":1}", "no ledger"), ("{\"form\":7,\"rules\":[]}", "form 7")] {
        let rig = kept(rules());
        let error = rig.counters.ledger().restore(text.as_bytes(), |_, _| true).expect_err(text).to_string();
        assert!(error.contains(word), "{error}");
        let mut rig = Rig { analyst: Analyst::new(rig.counters.clone()), ..rig };
        rig.analyst.configure("door", &CameraRules { rules: rules(), ..CameraRules::default() });
        live(&mut rig, 1);
        assert!(rig.counters.ledger().news().is_some());
        assert!(rig.counters.ledger().news().is_none(), "nothing is new");
    }
}
