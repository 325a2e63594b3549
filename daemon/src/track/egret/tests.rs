use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn det(class: u16, confidence: f32, x: f32, y: f32, w: f32, h: f32) -> Detection {
    Detection { class, confidence, bbox: BBox::new(x, y, x + w, y + h) }
}

/// A tracker with a clock of its own.
struct Bench {
    tracker: Egret,
    at: Duration,
}

impl Bench {
    fn new() -> Self {
        Self { tracker: Egret::new(&Params::default()), at: Duration::from_secs(100) }
    }

    fn frame(&mut self, step: Duration, detections: &[Detection]) -> (Vec<Row>, Vec<u32>) {
        self.at += step;
        let (mut rows, mut ended) = (Vec::new(), Vec::new());
        self.tracker.update(self.at, detections, &mut rows, &mut ended);
        (rows, ended)
    }

    /// The tracks of the detections, in their order.
    fn tracks(&mut self, step: Duration, detections: &[Detection]) -> Vec<Option<u32>> {
        let (rows, _) = self.frame(step, detections);
        (0..detections.len() as u32).map(|i| rows.iter().find(|row| row.detection == Some(i)).map(|row| row.track)).collect()
    }
}

fn period(fps: f32) -> Duration {
    Duration::from_secs_f32(1.0 / fps)
}

#[test]
fn a_sure_sighting_is_believed_at_once_and_weak_ones_add_up() {
    let mut bench = Bench::new();
    let seen = [det(0, 0.9, 0.0, 0.0, 40.0, 100.0), det(0, 0.62, 300.0, 0.0, 40.0, 100.0), det(0, 0.55, 600.0, 0.0, 40.0, 100.0)];
    let (rows, _) = bench.frame(period(30.0), &seen);
    assert_eq!(rows.iter().map(|row| (row.track, row.confirmed)).collect::<Vec<_>>(), [(0, true), (1, false)]);
    let (rows, _) = bench.frame(period(30.0), &seen[..2]);
    assert!(rows.iter().all(|row| row.confirmed));
}

#[test]
fn what_was_never_believed_ends_when_it_is_missed_and_the_rest_after_its_time() {
    let mut bench = Bench::new();
    bench.frame(period(30.0), &[det(0, 0.9, 0.0, 0.0, 40.0, 100.0), det(0, 0.62, 300.0, 0.0, 40.0, 100.0)]);
    assert_eq!(bench.frame(period(30.0), &[]), (vec![], vec![1]));
    assert_eq!(bench.frame(Duration::from_millis(2900), &[]), (vec![], vec![]));
    assert_eq!(bench.frame(Duration::from_millis(200), &[]), (vec![], vec![0]));
}

#[test]
fn weak_detections_prolong_a_track_and_start_none() {
    let mut bench = Bench::new();
    assert_eq!(bench.tracks(period(30.0), &[det(0, 0.3, 50.0, 50.0, 40.0, 100.0)]), [None]);
    bench.frame(period(30.0), &[det(0, 0.9, 50.0, 50.0, 40.0, 100.0)]);
    for _ in 0..100 {
        assert_eq!(bench.tracks(period(30.0), &[det(0, 0.2, 50.0, 50.0, 40.0, 100.0)]), [Some(0)]);
    }
}

#[test]
fn a_detector_that_wavers_between_classes_sees_one_object() {
    let mut bench = Bench::new();
    for class in [2, 2, 7, 2, 7, 7, 5] {
        assert_eq!(bench.tracks(period(10.0), &[det(class, 0.8, 50.0, 50.0, 140.0, 100.0)]), [Some(0)]);
    }
    // But two objects at one place stay two: someone on a bicycle.
    for _ in 0..5 {
        let pair = [det(5, 0.8, 50.0, 50.0, 140.0, 100.0), det(0, 0.8, 55.0, 45.0, 135.0, 100.0)];
        assert_eq!(bench.tracks(period(10.0), &pair), [Some(0), Some(1)]);
    }
}

#[test]
fn people_that_stand_keep_their_names_while_the_camera_swings() {
    for fps in [4.0, 7.5, 15.0, 30.0] {
        let mut bench = Bench::new();
        for i in 0..(fps * 6.0) as u32 {
            // After a second, half a second to one side, half a second back, at two heights a second: in a frame of 4 fps half a body.
            let t = i as f32 / fps;
            let swing = if t < 1.0 { 0.0 } else { 240.0 * ((t + 0.5).rem_euclid(1.0) - 0.5).abs() };
            let people: Vec<Detection> =
                (0..8).map(|n| det(0, 0.9, swing + 70.0 * n as f32, 200.0 + 13.0 * (n % 3) as f32, 45.0, 120.0)).collect();
            let expected: Vec<Option<u32>> = (0..8).map(Some).collect();
            assert_eq!(bench.tracks(period(fps), &people), expected, "{fps} fps, {t} s");
        }
    }
}

#[test]
fn time_that_stands_still_or_goes_back_breaks_nothing() {
    let mut bench = Bench::new();
    let here = [det(0, 0.9, 50.0, 50.0, 40.0, 100.0)];
    assert_eq!(bench.tracks(period(30.0), &here), [Some(0)]);
    assert_eq!(bench.tracks(Duration::ZERO, &here), [Some(0)]);
    bench.at -= Duration::from_secs(50);
    let (rows, _) = bench.frame(Duration::ZERO, &here);
    assert_eq!(rows[0].track, 0);
    assert!(rows[0].bbox.x1.is_finite() && rows[0].velocity.0.is_finite());
    // A year later it is somebody else.
    assert_eq!(bench.tracks(Duration::from_hours(8766), &here), [Some(1)]);
}

#[test]
fn a_picture_of_another_size_starts_anew_and_breaks_nothing() {
    let mut bench = Bench::new();
    let at = |scale: f32| [det(0, 0.9, 500.0 * scale, 300.0 * scale, 60.0 * scale, 150.0 * scale)];
    for _ in 0..10 {
        assert_eq!(bench.tracks(period(15.0), &at(1.0)), [Some(0)]);
    }
    let after = bench.tracks(period(15.0), &at(3.0));
    for _ in 0..10 {
        assert_eq!(bench.tracks(period(15.0), &at(3.0)), after);
    }
}

#[test]
fn a_broken_model_is_bounded() {
    let mut bench = Bench::new();
    // A thousand boxes, each upon all others, elsewhere in each frame.
    for frame in 0..5 {
        let boxes: Vec<Detection> =
            (0..1000).map(|i| det(0, 0.9, (frame * 5000) as f32 + i as f32 * 0.1, 0.0, 300.0, 600.0)).collect();
        bench.frame(period(30.0), &boxes);
    }
    assert!(bench.tracker.tracks.len() <= MOST_TRACKS);
    assert!(bench.tracker.work.pairs.capacity() <= 2 * MOST_TRACKS * MOST_PARTNERS + 2000);
}

/// Objects in lanes of their own, each moving steadily.
fn lanes(speeds: &[i16], t: f32) -> Vec<Detection> {
    (0..).zip(speeds).map(|(i, v)| det(0, 0.9, 2000.0 + f32::from(*v) * t, 150.0 * i as f32, 60.0, 120.0)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Steady objects keep their identity at irregular frame rates from 3 to 30 fps, with every tenth sighting or so missing; no
    /// number serves two objects; and the same input gives the same output.
    #[test]
    fn steady_objects_keep_their_identity(
        speeds in prop::collection::vec(-120i16..120, 1..8),
        steps in prop::collection::vec(33u64..334, 20..80),
        misses in prop::collection::vec(0u8..100, 600),
    ) {
        let run = || {
            let (mut bench, mut t) = (Bench::new(), 0.0);
            let mut names = vec![BTreeSet::new(); speeds.len()];
            for (n, step) in steps.iter().enumerate() {
                t += *step as f32 / 1000.0;
                let seen = |i: usize| n < 8 || misses[(n * 7 + i) % misses.len()] >= 10;
                let (who, boxes): (Vec<usize>, Vec<Detection>) = lanes(&speeds, t).into_iter().enumerate().filter(|(i, _)| seen(*i)).unzip();
                for (who, track) in who.iter().zip(bench.tracks(Duration::from_millis(*step), &boxes)) {
                    names[*who].extend(track);
                }
            }
            names
        };
        let names = run();
        let all: Vec<u32> = names.iter().flatten().copied().collect();
        prop_assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "a number served two objects");
        for (ids, speed) in names.iter().zip(&speeds) {
            prop_assert_eq!(ids.len(), 1, "at {} px/s: {:?}", speed, ids);
        }
        prop_assert_eq!(run(), names);
    }

    /// A picture of another size in mid-track changes no identity.
    #[test]
    fn tracks_go_on_in_a_picture_of_another_size(
        speeds in prop::collection::vec(-120i16..120, 1..8),
        across in 0.25f32..4.0,
        down in 0.25f32..4.0,
        from in 5usize..20,
    ) {
        let (mut bench, mut t) = (Bench::new(), 0.0);
        let mut names = vec![BTreeSet::new(); speeds.len()];
        for n in 0..30 {
            t += 0.1;
            if n == from {
                bench.tracker.scale(f64::from(across), f64::from(down));
            }
            let mut boxes = lanes(&speeds, t);
            if n >= from {
                for seen in &mut boxes {
                    seen.bbox = seen.bbox.scaled(across, down);
                }
            }
            for (names, track) in names.iter_mut().zip(bench.tracks(Duration::from_millis(100), &boxes)) {
                names.extend(track);
            }
        }
        for (ids, speed) in names.iter().zip(&speeds) {
            prop_assert_eq!(ids.len(), 1, "at {} px/s: {:?}", speed, ids);
        }
    }

    /// Any boxes at any times: finite, each track in one row, each detection too, and none after its end.
    #[test]
    fn the_story_of_each_track_is_whole(
        frames in prop::collection::vec(
            prop::collection::vec((0u16..3, 0.0f32..1.0, -50.0f32..700.0, -50.0f32..500.0, 0.01f32..200.0, 0.01f32..200.0), 0..12),
            1..40),
        steps in prop::collection::vec(0u64..1500, 40),
    ) {
        let mut bench = Bench::new();
        let mut over = BTreeSet::new();
        for (frame, step) in frames.iter().zip(&steps) {
            let boxes: Vec<Detection> = frame.iter().map(|&(c, p, x, y, w, h)| det(c, p, x, y, w, h)).collect();
            let (rows, ended) = bench.frame(Duration::from_millis(*step), &boxes);
            prop_assert!(ended.iter().all(|track| over.insert(*track)), "ended twice");
            prop_assert_eq!(rows.iter().map(|row| row.track).collect::<BTreeSet<_>>().len(), rows.len());
            prop_assert_eq!(rows.iter().filter_map(|row| row.detection).collect::<BTreeSet<_>>().len(), rows.len());
            for row in &rows {
                prop_assert!(!over.contains(&row.track), "{} spoke after its end", row.track);
                prop_assert!(row.bbox.area() > 0.0 && row.bbox.x1.is_finite() && row.velocity.0.is_finite() && row.velocity.1.is_finite());
            }
        }
    }
}
