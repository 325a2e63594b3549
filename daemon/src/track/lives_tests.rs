use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::track::associate::Kind;

fn config() -> TrackConfig {
    TrackConfig { lost_after: Duration::from_secs(1), ..TrackConfig::of(Kind::Egret) }
}

fn det(class: u16, confidence: f32, x: f32, y: f32, w: f32, h: f32) -> Detection {
    Detection { class, confidence, bbox: BBox::new(x, y, x + w, y + h) }
}

/// A tracker with a clock of its own.
struct Bench {
    tracker: Lives,
    ids: Ids,
    pts: Duration,
    wall: SystemTime,
}

impl Bench {
    fn new(config: &TrackConfig) -> Self {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        Self { tracker: Lives::new(config), ids: Ids::new(wall), pts: Duration::ZERO, wall }
    }

    fn frame(&mut self, step: Duration, detections: &[Detection]) -> Seen {
        self.pts += step;
        self.wall += step;
        self.now(detections)
    }

    fn now(&mut self, detections: &[Detection]) -> Seen {
        let mut seen = Seen::default();
        self.tracker.update(Moment { pts: self.pts, wall: self.wall }, detections, &mut self.ids, &mut seen);
        seen
    }
}

fn period(fps: f32) -> Duration {
    Duration::from_secs_f32(1.0 / fps)
}

fn phases(seen: &Seen) -> Vec<TrackPhase> {
    seen.tracks.iter().map(|t| t.phase).collect()
}

#[test]
fn a_track_is_announced_followed_and_ended() {
    let mut bench = Bench::new(&config());
    let person = |x| [det(0, 0.9, x, 100.0, 40.0, 100.0)];
    assert_eq!(phases(&bench.frame(period(30.0), &person(100.0))), []);
    let seen = bench.frame(period(30.0), &person(102.0));
    assert_eq!(phases(&seen), [TrackPhase::New]);
    assert_eq!(seen.detections[0].track, Some(seen.tracks[0].id));
    assert_eq!(seen.tracks[0].hits, 2);
    assert_eq!(phases(&bench.frame(period(30.0), &person(104.0))), [TrackPhase::Update]);
    for _ in 0..29 {
        assert_eq!(phases(&bench.frame(period(30.0), &[])), []);
    }
    assert_eq!(phases(&bench.frame(Duration::from_millis(80), &[])), [TrackPhase::End]);
    assert!(!bench.tracker.is_active());
}

#[test]
fn one_flash_is_no_track() {
    let mut bench = Bench::new(&config());
    bench.frame(period(30.0), &[det(0, 0.7, 0.0, 0.0, 40.0, 100.0), det(0, 0.9, 300.0, 0.0, 40.0, 100.0)]);
    for _ in 0..40 {
        assert!(bench.frame(period(30.0), &[]).tracks.is_empty());
    }
    assert!(!bench.tracker.is_active());
}

#[test]
fn low_confidence_keeps_a_track_but_starts_none() {
    let mut bench = Bench::new(&config());
    let at = |confidence| [det(0, confidence, 50.0, 50.0, 40.0, 100.0)];
    for _ in 0..5 {
        assert!(bench.frame(period(30.0), &at(0.3)).tracks.is_empty());
    }
    assert!(!bench.tracker.is_active());
    bench.frame(period(30.0), &at(0.8));
    let id = bench.frame(period(30.0), &at(0.8)).tracks[0].id;
    for _ in 0..60 {
        let seen = bench.frame(period(30.0), &at(0.2));
        assert_eq!(seen.detections[0].track, Some(id));
    }
}

#[test]
fn the_class_is_voted_and_two_at_one_place_are_two() {
    let mut bench = Bench::new(&config());
    let car = |class, confidence| [det(class, confidence, 50.0, 50.0, 140.0, 100.0)];
    bench.frame(period(30.0), &car(2, 0.9));
    for (class, confidence) in [(2, 0.9), (7, 0.8), (2, 0.6), (7, 0.9)] {
        let seen = bench.frame(period(30.0), &car(class, confidence));
        assert_eq!((seen.tracks.len(), seen.tracks[0].class, seen.detections[0].detection.class), (1, 2, class));
    }
    let rider = [car(2, 0.9)[0], det(0, 0.9, 60.0, 45.0, 130.0, 100.0)];
    bench.frame(period(30.0), &rider);
    let seen = bench.frame(period(30.0), &rider);
    assert_eq!(phases(&seen), [TrackPhase::Update, TrackPhase::New]);
    assert_eq!(seen.tracks[1].class, 0);
}

#[test]
fn a_parked_car_stands_still_under_one_name_behind_a_passing_bus() {
    let mut bench = Bench::new(&TrackConfig { lost_after: Duration::from_secs(3), ..config() });
    let jitter = |i: u32| if i.is_multiple_of(2) { 2.0 } else { -2.0 };
    let car = |i: u32| [det(2, 0.9, 300.0 + jitter(i), 200.0, 150.0, 90.0)];
    let mut last = None;
    for i in 0..100 {
        last = bench.frame(period(10.0), &car(i)).tracks.first().copied();
    }
    let parked = last.expect("followed");
    assert!(parked.stationary && (parked.bbox.x1 - 300.0).abs() < 0.5 && parked.velocity == (0.0, 0.0), "{parked:?}");
    // Longer than others are remembered.
    for _ in 0..200 {
        bench.frame(period(10.0), &[]);
    }
    let back = bench.frame(period(10.0), &car(0)).tracks[0];
    assert_eq!((back.id, back.phase), (parked.id, TrackPhase::Update));
}

#[test]
fn a_gap_shorter_than_the_memory_keeps_the_identity() {
    let mut bench = Bench::new(&config());
    let at = |t: f32| [det(0, 0.9, 100.0 + 60.0 * t, 100.0, 40.0, 100.0)];
    let mut id = None;
    for i in 0..60 {
        let seen = bench.frame(period(30.0), &at(i as f32 / 30.0));
        id = seen.detections[0].track.or(id);
    }
    // 20 frames behind a tree.
    for _ in 60..80 {
        bench.frame(period(30.0), &[]);
    }
    let seen = bench.frame(period(30.0), &at(80.0 / 30.0));
    assert_eq!(seen.detections[0].track, id);
    assert!(id.is_some());
}

#[test]
fn two_that_cross_keep_their_identities() {
    let mut bench = Bench::new(&config());
    let mut names: BTreeMap<usize, BTreeSet<TrackId>> = BTreeMap::new();
    for i in 0..120 {
        let t = i as f32 / 30.0;
        // One left to right, one right to left, the second one a little nearer; they pass each other at t = 2 s.
        let boxes = [det(0, 0.9, 100.0 + 100.0 * t, 100.0, 40.0, 100.0), det(0, 0.85, 500.0 - 100.0 * t, 110.0, 44.0, 110.0)];
        let seen = bench.frame(period(30.0), &boxes);
        for (who, detection) in seen.detections.iter().enumerate() {
            names.entry(who).or_default().extend(detection.track);
        }
    }
    assert!(names.values().all(|ids| ids.len() == 1), "{names:?}");
    assert_ne!(names[&0], names[&1]);
}

#[test]
fn a_walking_person_is_one_track_at_any_frame_rate() {
    for fps in [3.0, 5.0, 7.5, 10.0, 15.0, 25.0, 30.0, 60.0] {
        let mut bench = Bench::new(&config());
        let mut ids = BTreeSet::new();
        let mut untracked = 0;
        for i in 0..(fps * 6.0) as u32 {
            // 1.4 m/s, 1.7 m tall, 0.45 m wide, 170 px high.
            let x = 50.0 + 140.0 * i as f32 / fps;
            let seen = bench.frame(period(fps), &[det(0, 0.9, x, 100.0, 45.0, 170.0)]);
            ids.extend(seen.detections[0].track);
            untracked += u32::from(seen.detections[0].track.is_none());
        }
        // Seen for 30 ms, it is announced.
        assert_eq!((ids.len(), untracked), (1, (0.03 * fps).ceil() as u32), "{fps} fps");
    }
}

#[test]
fn what_is_seen_for_long_enough_is_announced_whatever_the_frame_rate() {
    for fps in [3.0, 10.0, 30.0, 100.0] {
        let mut bench = Bench::new(&TrackConfig { confirm_after: Duration::from_millis(500), ..config() });
        let here = [det(0, 0.9, 50.0, 50.0, 40.0, 100.0)];
        let frames = (0..100).position(|_| !bench.frame(period(fps), &here).tracks.is_empty()).expect("it is announced");
        assert_eq!(frames, (0.5 * fps).ceil() as usize, "{fps} fps");
    }
}

#[test]
fn a_parked_car_outlives_a_silent_camera_and_a_passer_by_does_not() {
    for (silence, same) in [(3, true), (20, true), (40, false)] {
        let mut bench = Bench::new(&TrackConfig { lost_after: Duration::from_secs(3), ..config() });
        let car = det(2, 0.9, 300.0, 200.0, 150.0, 90.0);
        let mut last = Seen::default();
        for i in 0..80 {
            last = bench.frame(period(10.0), &[car, det(0, 0.9, 10.0 * i as f32, 300.0, 40.0, 100.0)]);
        }
        let [parked, passer] = [0, 1].map(|i| last.detections[i].track.expect("followed"));
        let mut ended = Vec::new();
        // It is asked once a second, beginning when a moving object would be forgotten.
        (4..silence).for_each(|second| bench.tracker.pass(Duration::from_secs(second), &mut ended));
        let ended: Vec<TrackId> = ended.iter().map(|track| track.id).collect();
        assert_eq!(
            ended,
            if silence == 3 {
                vec![]
            } else if same {
                vec![passer]
            } else {
                vec![passer, parked]
            },
            "{silence}"
        );
        // The camera is back: media time begins anew, the wall clock has gone on.
        (bench.pts, bench.wall) = (Duration::from_millis(33), bench.wall + Duration::from_secs(silence));
        let clock = bench.tracker.clock();
        bench.now(&[car]);
        let counted = if silence < 5 { 0 } else { silence - 1 };
        assert_eq!(bench.tracker.clock(), clock + Duration::from_secs(silence - counted), "no second is counted twice");
        let seen = bench.frame(period(10.0), &[car]);
        assert_eq!(seen.detections[0].track == Some(parked), same, "after {silence} s: {seen:?}");
    }
}

/// What a network says that has known an object again.
fn known(from: TrackId, past: Track) -> Known {
    let rename = Rename { from, to: past.id, class: 0, by: std::sync::Arc::default(), distance: 0.1, unseen: Duration::ZERO };
    Known { rename, past }
}

#[test]
fn a_renamed_track_takes_the_place_of_the_one_that_is_lost() {
    for tracker in Kind::ALL {
        let remembered = TrackConfig { lost_after: Duration::from_secs(20), ..TrackConfig::of(tracker) };
        let mut bench = Bench::new(&TrackConfig { match_iou: 0.3, ..remembered });
        let person = |x| det(0, 0.9, x, 100.0, 40.0, 100.0);
        let mut last = None;
        (0..10).for_each(|_| last = bench.frame(period(30.0), &[person(100.0)]).tracks.first().copied());
        let old = last.expect("followed");
        // It comes up elsewhere, and is known again.
        let mut new = None;
        (0..10).for_each(|_| new = bench.frame(period(30.0), &[person(700.0)]).detections[0].track);
        let new = new.expect("followed");
        assert_ne!(new, old.id);
        assert!(bench.tracker.born(new) > bench.tracker.born(old.id));
        bench.tracker.rename(known(new, old));
        assert!(bench.tracker.born(new).is_none() && bench.tracker.born(old.id).is_some());
        let seen = bench.frame(period(30.0), &[person(700.0)]);
        let on = seen.tracks[0];
        assert_eq!((on.id, on.phase, on.first_seen), (old.id, TrackPhase::Update, old.first_seen), "{tracker}");
        assert!(on.hits > old.hits + 9);
        // Whoever is seen where it was lost is somebody else, beside it.
        let mut others = BTreeSet::new();
        for _ in 0..10 {
            let seen = bench.frame(period(30.0), &[person(700.0), person(100.0)]);
            assert_eq!(seen.detections[0].track, Some(old.id), "{tracker}");
            others.extend(seen.detections[1].track);
        }
        assert!(others.len() == 1 && !others.contains(&old.id) && !others.contains(&new), "{tracker}: {others:?}");
        let mut ended = Vec::new();
        bench.tracker.end_all(&mut ended);
        assert_eq!(ended.iter().filter(|track| track.id == old.id).count(), 1);
        assert!(ended.iter().all(|track| track.id != new));
    }
}

#[test]
fn restarted_repeated_and_backward_time_break_nothing() {
    let mut bench = Bench::new(&config());
    let here = [det(0, 0.9, 50.0, 50.0, 40.0, 100.0)];
    bench.frame(period(30.0), &here);
    let id = bench.frame(period(30.0), &here).tracks[0].id;
    // The same time again.
    assert_eq!(bench.now(&here).detections[0].track, Some(id));
    // The camera reconnects: media time restarts, the wall clock goes on.
    bench.wall += Duration::from_millis(300);
    bench.pts = Duration::ZERO;
    assert_eq!(bench.now(&here).detections[0].track, Some(id));
    // Both go back.
    bench.pts = Duration::from_secs(5);
    assert_eq!(bench.frame(Duration::ZERO, &[]).tracks.len(), 1, "five seconds without it: it is forgotten");
    bench.frame(period(30.0), &here);
    let id = bench.frame(period(30.0), &here).tracks[0].id;
    bench.pts = Duration::ZERO;
    bench.wall -= Duration::from_hours(1);
    let seen = bench.now(&here);
    assert_eq!(seen.detections[0].track, Some(id));
    assert!(seen.tracks.iter().all(|t| t.bbox.x1.is_finite() && t.velocity.0.is_finite()));
}

#[test]
fn a_second_look_is_asked_for_and_heard() {
    let config = TrackConfig { second_look: true, ..config() };
    let mut bench = Bench::new(&config);
    let unsure = [det(0, 0.62, 50.0, 50.0, 40.0, 100.0)];
    bench.frame(period(30.0), &unsure);
    let seen = bench.frame(period(30.0), &unsure);
    assert!(seen.tracks.is_empty());
    let wanted = seen.wanted[0];
    assert_eq!(wanted.bbox, unsure[0].bbox);
    assert!(bench.frame(period(30.0), &unsure).wanted.is_empty(), "asked once");

    // Another class in the same place is not the object; then it is only announced when it is sure.
    assert_eq!(bench.tracker.looked(wanted.track, Some(&[det(3, 0.9, 50.0, 50.0, 40.0, 100.0)])), Some(false));
    assert!(bench.frame(period(30.0), &unsure).tracks.is_empty());
    let sure = [det(0, 0.7, 50.0, 50.0, 40.0, 100.0)];
    assert_eq!(phases(&bench.frame(period(30.0), &sure)), [TrackPhase::New]);
}

#[test]
fn a_second_look_that_finds_it_fails_or_never_comes_announces_it() {
    let config = TrackConfig { second_look: true, ..config() };
    let unsure = [det(0, 0.62, 50.0, 50.0, 40.0, 100.0)];
    for answer in [Some(Some(&unsure[..])), Some(None), None] {
        let mut bench = Bench::new(&config);
        bench.frame(period(30.0), &unsure);
        let wanted = bench.frame(period(30.0), &unsure).wanted[0];
        if let Some(found) = answer {
            bench.tracker.looked(wanted.track, found);
        } else {
            for _ in 0..29 {
                assert!(bench.frame(period(30.0), &unsure).tracks.is_empty());
            }
            bench.pts += period(10.0);
        }
        assert_eq!(phases(&bench.frame(period(30.0), &unsure)), [TrackPhase::New]);
    }
}

#[test]
fn a_refused_queue_announces_in_the_same_frame() {
    let config = TrackConfig { second_look: true, ..config() };
    let mut bench = Bench::new(&config);
    let unsure = [det(0, 0.62, 50.0, 50.0, 40.0, 100.0)];
    bench.frame(period(30.0), &unsure);
    let mut seen = bench.frame(period(30.0), &unsure);
    let wanted = seen.wanted[0];
    bench.tracker.announce(&wanted, &mut seen);
    assert_eq!(phases(&seen), [TrackPhase::New]);
    assert_eq!(seen.detections[0].track, Some(wanted.track));
    assert_eq!(phases(&bench.frame(period(30.0), &unsure)), [TrackPhase::Update]);
}

#[test]
fn tracks_of_a_broken_model_stay_bounded() {
    let mut bench = Bench::new(&TrackConfig { confirm_after: Duration::ZERO, lost_after: Duration::from_mins(1), ..config() });
    for frame in 0..20 {
        let boxes: Vec<Detection> = (0..300).map(|i| det(0, 0.9, (i * 50) as f32, (frame * 200) as f32, 30.0, 60.0)).collect();
        bench.frame(period(30.0), &boxes);
    }
    assert!(bench.tracker.kept.len() <= 2000);
}

/// Objects in lanes of their own, each moving steadily. The lanes lie unevenly: equal boxes at equal distances, some of them missing, are
/// also what a camera sees that has moved by a lane, and then the tracker may well follow the camera.
fn lanes(speeds: &[i16], t: f32, miss: impl Fn(usize) -> bool) -> Vec<(usize, Detection)> {
    speeds
        .iter()
        .enumerate()
        .filter(|(i, _)| !miss(*i))
        .map(|(i, v)| (i, det(0, 0.9, 2000.0 + f32::from(*v) * t, (150 * i + 12 * i * i) as f32, 60.0, 120.0)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Steady objects keep their identity at irregular frame rates from 3 to 30 fps, with every tenth sighting or so missing;
    /// no identity ever serves two objects; and the same input gives the same output.
    #[test]
    fn steady_objects_keep_their_identity(
        speeds in prop::collection::vec(-120i16..120, 1..8),
        steps in prop::collection::vec(33u64..334, 20..80),
        misses in prop::collection::vec(0u8..100, 600),
    ) {
        let run = || {
            let mut bench = Bench::new(&TrackConfig { lost_after: Duration::from_secs(3), ..config() });
            let mut names: BTreeMap<usize, BTreeSet<TrackId>> = BTreeMap::new();
            let mut told = Vec::new();
            let mut t = 0.0;
            for (n, step) in steps.iter().enumerate() {
                t += *step as f32 / 1000.0;
                let objects = lanes(&speeds, t, |i| n > 8 && misses[(n * 7 + i) % misses.len()] < 10);
                let boxes: Vec<Detection> = objects.iter().map(|(_, d)| *d).collect();
                let seen = bench.frame(Duration::from_millis(*step), &boxes);
                for ((who, _), detection) in objects.iter().zip(&seen.detections) {
                    names.entry(*who).or_default().extend(detection.track);
                }
                told.push(seen.tracks);
            }
            (names, told)
        };
        let (names, told) = run();
        let all: Vec<TrackId> = names.values().flatten().copied().collect();
        prop_assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "an identity served two objects");
        for (who, ids) in &names {
            prop_assert_eq!(ids.len(), 1, "object {} at {} px/s: {:?}", who, speeds[*who], ids);
        }
        prop_assert_eq!(run(), (names, told));
    }

    /// Any boxes at all: bounded, finite, every announced track ends exactly once and is silent afterwards.
    #[test]
    fn the_story_of_each_track_is_whole(
        frames in prop::collection::vec(
            prop::collection::vec((0u16..3, 0.0f32..1.0, -50.0f32..700.0, -50.0f32..500.0, 1.0f32..200.0, 1.0f32..200.0), 0..12),
            1..40),
        steps in prop::collection::vec(0u64..700, 40),
    ) {
        let mut bench = Bench::new(&config());
        let mut open = BTreeSet::new();
        let mut closed = BTreeSet::new();
        let mut hear = |tracks: &[Track]| {
            for track in tracks {
                assert!(!closed.contains(&track.id), "{} spoke after its end", track.id);
                assert!(track.bbox.x1.is_finite() && track.bbox.area() > 0.0 && track.velocity.1.is_finite());
                match track.phase {
                    TrackPhase::New => assert!(open.insert(track.id)),
                    TrackPhase::Update => assert!(open.contains(&track.id)),
                    TrackPhase::End => {
                        assert!(open.remove(&track.id));
                        closed.insert(track.id);
                    }
                }
            }
        };
        for (frame, step) in frames.iter().zip(&steps) {
            let boxes: Vec<Detection> = frame.iter().map(|&(c, p, x, y, w, h)| det(c, p, x, y, w, h)).collect();
            let seen = bench.frame(Duration::from_millis(*step), &boxes);
            let shown: Vec<TrackId> = seen.detections.iter().filter_map(|d| d.track).collect();
            assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), shown.len());
            hear(&seen.tracks);
        }
        let mut ends = Vec::new();
        bench.tracker.end_all(&mut ends);
        hear(&ends);
        assert!(open.is_empty());
    }
}
