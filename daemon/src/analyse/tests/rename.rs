//! A track that turns out to be an object known before goes on where that was.

use super::*;
use crate::media::{Rename, StepReport};
use EventPhase::{End, Start};

impl Rig {
    /// A frame in which one track is found to be another.
    fn rename(&mut self, from: u64, to: u64, tracks: &[Track]) -> Verdicts {
        self.now += ms(100);
        self.before = tracks.iter().map(|track| track.id).collect();
        let mut story = self.story(tracks.to_vec(), false);
        let (from, to) = (TrackId(from), TrackId(to));
        let rename = Rename { from, to, class: 0, by: Arc::default(), distance: 0.1, unseen: ms(5000) };
        story.steps = Some(Box::new(StepReport { renames: vec![rename], ..StepReport::default() }));
        self.tell(story)
    }

    fn phases(&self) -> Vec<(EventPhase, u64)> {
        self.events().iter().map(|event| (event.phase, event.objects.first().map_or(0, |object| object.track.0))).collect()
    }
}

/// Seen for a while at one place, hidden for five seconds, seen again under another name, and then known again.
fn hidden(rig: &mut Rig, before: f64, after: f64) {
    rig.stay(1000, &[at(1, 0, before, 0.6)]);
    rig.frame(100, &[Track { phase: TrackPhase::End, ..at(1, 0, before, 0.6) }]);
    rig.stay(4900, &[]);
    rig.stay(500, &[at(2, 0, after, 0.6)]);
    rig.rename(2, 1, &[at(1, 0, after, 0.6)]);
}

#[test]
fn dwell_goes_on_across_an_occlusion_that_inertia_bridges() {
    let dwell = |inertia| RuleConfig { inertia: ms(inertia), ..rule("wait", RuleKind::Dwell { time: ms(8000) }) };
    let mut rig = Rig::new(vec![dwell(10_000)]);
    hidden(&mut rig, 0.7, 0.8);
    rig.stay(1200, &[at(1, 0, 0.8, 0.6)]);
    assert_eq!(rig.begun("wait"), 0, "not for eight seconds yet");
    rig.stay(500, &[at(1, 0, 0.8, 0.6)]);
    assert_eq!(rig.brief(), [("wait".to_owned(), Start, 100)], "since it was first seen there");
    assert_eq!(rig.events()[0].objects[0].track, TrackId(1));
    // Without inertia for so long, its stay began anew.
    let mut rig = Rig::new(vec![dwell(1000)]);
    hidden(&mut rig, 0.7, 0.8);
    rig.stay(7000, &[at(1, 0, 0.8, 0.6)]);
    assert_eq!(rig.begun("wait"), 0);
}

#[test]
fn an_event_goes_on_under_the_old_name_and_what_both_began_ends_once() {
    let zone = |inertia| RuleConfig { inertia: ms(inertia), ..rule("zone", RuleKind::Zone) };
    // It had left: what the new name began ends under the old one.
    let mut rig = Rig::new(vec![zone(1000)]);
    hidden(&mut rig, 0.7, 0.8);
    assert_eq!(rig.tally("zone", 0), Tally { now: 1, entered: 2, left: 1 });
    rig.stay(2000, &[at(1, 0, 0.2, 0.6)]);
    assert_eq!(rig.phases(), [(Start, 1), (End, 1), (Start, 2), (End, 1)]);
    let ids: Vec<EventId> = rig.events().iter().map(|event| event.id).collect();
    assert!(ids[0] == ids[1] && ids[2] == ids[3] && ids[0] != ids[2]);
    // It had not: that of the new name ends, the old one goes on.
    let mut rig = Rig::new(vec![zone(10_000)]);
    hidden(&mut rig, 0.7, 0.8);
    assert_eq!(rig.phases(), [(Start, 1), (Start, 2), (End, 2)]);
    rig.frame(500, &[at(1, 0, 0.8, 0.6)]);
    assert_eq!(rig.tally("zone", 0), Tally { now: 1, entered: 2, left: 1 });
    rig.stay(11_000, &[at(1, 0, 0.2, 0.6)]);
    assert_eq!(rig.phases().last(), Some(&(End, 1)));
    assert_eq!(rig.tally("zone", 0), Tally { now: 0, entered: 2, left: 2 });
}

#[test]
fn a_line_that_was_crossed_unseen_is_crossed_and_none_twice() {
    for strictness in [Strictness::Loose, Strictness::Balanced, Strictness::Strict] {
        let gate = || Rig::new(vec![rule("gate", RuleKind::Line(line(None, strictness)))]);
        let mut rig = gate();
        hidden(&mut rig, 0.4, 0.6);
        rig.stay(500, &[at(1, 0, 0.6, 0.6)]);
        assert_eq!(rig.tally("gate", 0), Tally { now: 0, entered: 1, left: 0 }, "{strictness:?}");
        assert_eq!(rig.brief()[0].2, 6100, "when it was seen beyond it");
        // On the same side as before: none.
        let mut rig = gate();
        hidden(&mut rig, 0.4, 0.3);
        rig.stay(500, &[at(1, 0, 0.35, 0.6)]);
        assert_eq!(rig.begun("gate"), 0, "{strictness:?}");
        // It crossed it under the new name, which was counted then.
        let mut rig = gate();
        rig.stay(1000, &[at(1, 0, 0.4, 0.6)]);
        rig.stay(5000, &[]);
        rig.stay(500, &[at(2, 0, 0.4, 0.6)]);
        rig.stay(1000, &[at(2, 0, 0.6, 0.6)]);
        assert_eq!(rig.begun("gate"), 1, "{strictness:?}");
        rig.rename(2, 1, &[at(1, 0, 0.6, 0.6)]);
        rig.stay(500, &[at(1, 0, 0.6, 0.6)]);
        assert_eq!(rig.begun("gate"), 1, "{strictness:?}");
        // And back: it is on this side now.
        rig.stay(500, &[at(1, 0, 0.4, 0.6)]);
        assert_eq!(rig.tally("gate", 0), Tally { now: 0, entered: 1, left: 1 }, "{strictness:?}");
    }
}

#[test]
fn what_stopped_still_stands_and_pairs_stay_pairs() {
    let stopped = RuleKind::Stopped { time: ms(8000), distance: 0.3, moved: true };
    let near = RuleKind::Proximity { distance: 3.0, time: ms(7000), near: None };
    let rules = [("stopped", stopped), ("near", near)];
    let rules = rules.map(|(name, kind)| RuleConfig { inertia: ms(10_000), ..rule(name, kind) });
    let mut rig = Rig::new(rules.to_vec());
    let dog = at(9, 2, 0.9, 0.6);
    (0..10).for_each(|i| drop(rig.frame(100, &[at(1, 0, 0.6 + 0.02 * f64::from(i), 0.6), dog])));
    rig.stay(1000, &[at(1, 0, 0.8, 0.6), dog]);
    rig.stay(5000, &[dog]);
    rig.stay(300, &[at(2, 0, 0.8, 0.6), dog]);
    rig.rename(2, 1, &[at(1, 0, 0.8, 0.6), dog]);
    rig.stay(4000, &[at(1, 0, 0.8, 0.6), dog]);
    let told: Vec<(&str, EventPhase, Vec<u64>)> = rig
        .events()
        .iter()
        .map(|event| (&*event.rule, event.phase, event.objects.iter().map(|object| object.track.0).collect()))
        .collect();
    assert_eq!(told, [("near", Start, vec![1, 9]), ("stopped", Start, vec![1])]);
}

#[test]
fn a_summary_counts_one_object() {
    let summary = RuleConfig { zone: Zone::default(), ..rule("day", RuleKind::Summary { every: Duration::from_mins(1) }) };
    let mut rig = Rig::new(vec![summary]);
    rig.stay(1000, &[at(1, 0, 0.1, 0.1)]);
    rig.stay(5000, &[]);
    rig.stay(500, &[at(2, 0, 0.9, 0.9)]);
    rig.rename(2, 1, &[at(1, 0, 0.9, 0.9)]);
    rig.frame(100, &[Track { phase: TrackPhase::End, ..at(1, 0, 0.9, 0.9) }]);
    rig.stay(60_000, &[]);
    let summaries: Vec<_> = rig.told.iter().flat_map(|verdicts| &verdicts.summaries).filter(|told| told.complete).collect();
    let summary = summaries.first().expect("a minute is over");
    assert_eq!(summary.objects.get(&0), Some(&1));
    let paths: Vec<_> = summary.paths.iter().map(|path| (path.from, path.to, path.objects)).collect();
    assert_eq!(paths, [(0, 8, 1)], "from the upper left to the lower right");
}

#[test]
fn a_name_that_no_rule_knows_changes_nothing() {
    let kinds = [RuleKind::Zone, RuleKind::Line(line(None, Strictness::Balanced)), RuleKind::Summary { every: ms(60_000) }];
    let rules = kinds.into_iter().enumerate().map(|(i, kind)| rule(&i.to_string(), kind)).collect();
    let mut rig = Rig::new(rules);
    rig.stay(500, &[at(1, 0, 0.7, 0.6)]);
    let before = rig.phases();
    rig.rename(77, 78, &[at(1, 0, 0.7, 0.6)]);
    rig.rename(1, 79, &[at(79, 0, 0.7, 0.6)]);
    rig.stay(500, &[at(79, 0, 0.7, 0.6)]);
    assert_eq!((rig.phases(), rig.tally("0", 0).now), (before, 1));
}
