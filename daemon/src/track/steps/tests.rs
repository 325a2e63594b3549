//! The scheduling of steps, one frame after the other, with queues that nobody empties but the test.

use std::time::SystemTime;

use egret_models::{
    spec::{BatchAxis, InputSpec},
    task::Scores,
};

use super::*;
use crate::{
    analyse::{
        Zone,
        geometry::{Point, Polygon},
    },
    media::{Capture, Detection, Frame, HostPicture, Pixels, StreamId, TimeBasis, TimeCard, Track, TrackedDetection},
    step::{StepCounts, StepLimits},
    track::associate::Kind,
};

const FRAME: Duration = Duration::from_millis(40);

fn plan(on: StepOn, change: impl FnOnce(&mut Plan)) -> Arc<Plan> {
    let config = StepConfig {
        on,
        of: "yolox".into(),
        classes: None,
        every: Duration::from_secs(1),
        min_size: 16,
        clips: 1,
        span: Duration::from_secs(2),
    };
    let classes = vec!["red".into(), "blue".into()];
    let model = ModelInfo { name: "colour".into(), classes, ..ModelInfo::default() };
    let queue = StepQueue::new(StepLimits { max_batch: 4, max_wait: Duration::ZERO, instances: 1 });
    let telling = Telling { confidence: 0.5, details: false };
    let mut plan = Plan { config, model: Arc::new(model), wanted: None, telling, embeds: false, clips: None, queue };
    change(&mut plan);
    Arc::new(plan)
}

/// A camera that shows tracks of these numbers and sizes, frame by frame.
struct Camera {
    steps: Box<Steps>,
    seq: u64,
    picture: bool,
}

impl Camera {
    fn new(plans: &[Arc<Plan>]) -> Self {
        let config = TrackConfig { lost_after: Duration::from_secs(1), ..TrackConfig::of(Kind::Egret) };
        Self { steps: Steps::of(plans, "yolox", &config).expect("steps of this model"), seq: 0, picture: false }
    }

    fn frame(&mut self, tracks: &[(u64, f32)], phase: TrackPhase) -> Tracked {
        let pixels = if self.picture {
            let bytes = vec![100; 64 * 64 * 3 / 2];
            Pixels::Host(HostPicture::tight_i420((64, 64), bytes.into()).unwrap())
        } else {
            Pixels::None { width: 640, height: 480 }
        };
        let capture = Capture { wall: SystemTime::UNIX_EPOCH, basis: TimeBasis::Arrival };
        let (seq, stream, times) = (self.seq, StreamId::new(1, "door"), TimeCard::default());
        let frame = Frame { stream: stream.clone(), seq, dispatch: seq, pts: Duration::ZERO, capture, pixels, times };
        self.seq += 1;
        let detections = tracks.iter().map(|(id, size)| {
            let detection =
                Detection { class: (*id % 2) as u16, confidence: 0.9, bbox: BBox::new(1.0, 1.0, 1.0 + size, 1.0 + size) };
            TrackedDetection { detection, track: Some(TrackId(*id)) }
        });
        let told = tracks.iter().map(|(id, _)| Track {
            stationary: false,
            id: TrackId(*id),
            class: 0,
            confidence: 0.9,
            bbox: BBox::default(),
            velocity: (0.0, 0.0),
            first_seen: capture.wall,
            last_seen: capture.wall,
            hits: 1,
            phase,
        });
        let mut tracked = Tracked {
            stream,
            frame_seq: seq,
            pts: Duration::ZERO,
            capture,
            size: (640, 480),
            detections: detections.collect(),
            extras: crate::media::Extras::default(),
            tracks: told.collect(),
            steps: None,
            shots: Vec::new(),
            verdicts: None,
            model: Arc::default(),
            closing: false,
            times,
        };
        self.steps.visit(&Shown::new(&Arc::new(frame), Vec::new()), FRAME * seq as u32, Instant::now(), &mut tracked);
        tracked
    }

    /// The message that a track has ended, without a frame.
    fn ends(&mut self, track: u64) -> Tracked {
        let mut door = Camera { steps: Box::new(Steps { steps: Vec::new(), gallery: None }), seq: 0, picture: false };
        let mut tracked = door.frame(&[(track, 50.0)], TrackPhase::End);
        tracked.closing = true;
        self.steps.tell(FRAME * self.seq as u32, &mut tracked);
        tracked
    }

    fn answer(&mut self, job: &Job, reading: Option<Reading>) {
        self.steps.answered("colour", &job.target, reading);
    }
}

fn state(tracked: &Tracked) -> StepState {
    tracked.steps.as_ref().expect("every frame says what its steps do").states[0].1
}

fn label(tracked: &Tracked) -> Option<(u16, f32)> {
    match &tracked.steps.as_ref()?.tracks.first()?.1.found {
        Found::Label(best) => *best,
        other => panic!("{other:?}"),
    }
}

fn skipped(counts: &StepCounts, reason: SkipReason) -> u64 {
    counts.skipped[reason as usize]
}

fn scores(values: [f32; 2]) -> Reading {
    Reading::Scores(Scores::new(&values))
}

#[test]
fn models_of_another_one_see_nothing() {
    assert!(Steps::of(&[plan(StepOn::Tracks, |_| {})], "another", &TrackConfig::of(Kind::Egret)).is_none());
}

#[test]
fn a_track_is_looked_at_at_once_and_then_at_its_rate() {
    let plan = plan(StepOn::Tracks, |_| {});
    let mut door = Camera::new(std::slice::from_ref(&plan));
    let mut asked = Vec::new();
    for i in 0..76 {
        let tracked = door.frame(&[(1, 50.0)], TrackPhase::Update);
        if state(&tracked) == StepState::Queued(1) {
            let jobs = plan.queue.next().unwrap();
            assert_eq!((jobs.len(), jobs[0].target.track, jobs[0].target.frame), (1, Some(TrackId(1)), i));
            assert!(matches!(&jobs[0].look, Look::Picture { region: Some(region), .. } if region.x2 > 50.9));
            door.answer(&jobs[0], Some(scores([0.1, 0.9])));
            asked.push(i);
        }
    }
    assert_eq!(asked, [0, 25, 50, 75], "each second at 25 frames per second");
    assert_eq!(skipped(&plan.queue.counters().snapshot(), SkipReason::Rate), 72);
}

#[test]
fn labels_are_voted_over_a_tracks_life_and_told_at_its_end() {
    let plan = plan(StepOn::Tracks, |plan| plan.config.every = Duration::ZERO);
    let mut door = Camera::new(std::slice::from_ref(&plan));
    assert_eq!(label(&door.frame(&[(1, 50.0)], TrackPhase::New)), None);
    for (values, expected) in [([0.9, 0.1], (0, 0.9)), ([0.45, 0.55], (0, 0.675)), ([0.0, 1.0], (1, 0.55))] {
        let jobs = plan.queue.next().unwrap();
        door.answer(&jobs[0], Some(scores(values)));
        let (class, score) = label(&door.frame(&[(1, 50.0)], TrackPhase::Update)).expect("a label");
        assert!(class == expected.0 && (score - expected.1).abs() < 1e-6, "{class} {score}");
    }
    let last = door.frame(&[(1, 50.0)], TrackPhase::End);
    assert_eq!(last.steps.as_ref().unwrap().tracks[0].1.looks, 3);
    assert_eq!(last.steps.as_ref().unwrap().tracks[0].1.frame, 2, "the frame that was looked at last");
    let jobs = plan.queue.next().unwrap();
    door.answer(&jobs[0], Some(scores([1.0, 0.0])));
    assert_eq!(label(&door.frame(&[], TrackPhase::Update)), None, "an answer for a track that is gone");
    assert!(door.steps.steps[0].tracks.is_empty());
}

#[test]
fn what_is_not_sure_enough_has_no_label_and_failures_change_nothing() {
    let plan = plan(StepOn::Tracks, |plan| plan.config.every = Duration::ZERO);
    let mut door = Camera::new(std::slice::from_ref(&plan));
    door.frame(&[(1, 50.0)], TrackPhase::New);
    let jobs = plan.queue.next().unwrap();
    assert_eq!(state(&door.frame(&[(1, 50.0)], TrackPhase::Update)), StepState::Skipped(SkipReason::Pending));
    door.answer(&jobs[0], None);
    let tracked = door.frame(&[(1, 50.0)], TrackPhase::Update);
    assert_eq!((state(&tracked), tracked.steps.unwrap().tracks.len()), (StepState::Queued(1), 0));
    let jobs = plan.queue.next().unwrap();
    door.answer(&jobs[0], Some(scores([0.45, 0.4])));
    let tracked = door.frame(&[(1, 50.0)], TrackPhase::Update);
    assert_eq!((label(&tracked), tracked.steps.unwrap().tracks.len()), (None, 1));
}

#[test]
fn a_full_queue_is_told_and_the_longest_wait_goes_first() {
    let plan = plan(StepOn::Tracks, |_| {});
    let mut door = Camera::new(std::slice::from_ref(&plan));
    let many: Vec<_> = (0..10).map(|id| (id, 50.0)).collect();
    assert_eq!(state(&door.frame(&many, TrackPhase::New)), StepState::Queued(8), "as many as the queue takes");
    assert_eq!(state(&door.frame(&many, TrackPhase::Update)), StepState::Skipped(SkipReason::QueueFull));
    assert_eq!(skipped(&plan.queue.counters().snapshot(), SkipReason::QueueFull), 4);
    for _ in 0..2 {
        for job in plan.queue.next().unwrap() {
            door.answer(&job, Some(scores([0.9, 0.1])));
        }
    }
    assert_eq!(state(&door.frame(&many, TrackPhase::Update)), StepState::Queued(2), "those that were left out");
    let late: Vec<_> = plan.queue.next().unwrap().into_iter().map(|job| job.target.track).collect();
    assert_eq!(late, [Some(TrackId(8)), Some(TrackId(9))]);
}

#[test]
fn other_classes_and_small_boxes_are_left_out() {
    let plan = plan(StepOn::Tracks, |plan| plan.wanted = Some([true, false].into()));
    let mut door = Camera::new(std::slice::from_ref(&plan));
    assert_eq!(state(&door.frame(&[(1, 50.0)], TrackPhase::New)), StepState::NothingToSee);
    assert_eq!(state(&door.frame(&[(1, 50.0), (2, 15.0)], TrackPhase::New)), StepState::Skipped(SkipReason::TooSmall));
    assert_eq!(state(&door.frame(&[(1, 50.0), (2, 15.0), (4, 16.0)], TrackPhase::New)), StepState::Queued(1));
    assert_eq!(plan.queue.next().unwrap()[0].target.track, Some(TrackId(4)));
}

#[test]
fn whole_frames_go_at_the_cameras_rate_and_are_told_with_a_later_frame() {
    let plan = plan(StepOn::Frames, |plan| plan.config.every = Duration::from_millis(100));
    let mut door = Camera::new(std::slice::from_ref(&plan));
    let mut states = Vec::new();
    for _ in 0..7 {
        let tracked = door.frame(&[], TrackPhase::Update);
        states.push(state(&tracked) == StepState::Queued(1));
        if states.last() == Some(&true) {
            let jobs = plan.queue.next().unwrap();
            assert!(matches!(jobs[0].look, Look::Picture { region: None, .. }));
            door.answer(&jobs[0], Some(scores([0.2, 0.8])));
        } else if states.len() == 2 {
            let told = &tracked.steps.unwrap().frame;
            assert_eq!((told.len(), told[0].frame, &told[0].found), (1, 0, &Found::Label(Some((1, 0.8)))));
        }
    }
    assert_eq!(states, [true, false, false, true, false, false, true], "every third frame of 40 ms");
}

#[test]
fn clips_are_of_consecutive_frames_and_spread_over_the_span() {
    let clips = InputSpec { clip: Some(3), ..InputSpec::yolox("clips", BatchAxis::Dynamic, 8, 8) };
    let plan = plan(StepOn::Tracks, |plan| {
        plan.clips = Some(clips);
        plan.config.clips = 2;
        plan.config.span = FRAME * 20;
        plan.config.every = Duration::ZERO;
    });
    let mut door = Camera::new(std::slice::from_ref(&plan));
    door.picture = true;
    let mut asked = Vec::new();
    for i in 0..40 {
        // It is not seen in the second frame: the first clip begins anew.
        let tracks: &[(u64, f32)] = if i == 1 { &[] } else { &[(2, 50.0)] };
        match state(&door.frame(tracks, TrackPhase::Update)) {
            StepState::Queued(1) => {
                let jobs = plan.queue.next().unwrap();
                let Look::Clips(clips) = &jobs[0].look else { panic!("{jobs:?}") };
                assert!(clips.len() == 2 && clips.iter().all(|clip| clip.crops.len() == 3));
                door.answer(&jobs[0], Some(scores([0.2, 0.8])));
                asked.push(i);
            }
            StepState::Gathering => {}
            StepState::NothingToSee => assert_eq!(i, 1),
            other => panic!("{other:?}"),
        }
    }
    // The second clip begins half a span after the first: frames 10, 11, 12; the next span's at 13 and 23.
    assert_eq!(asked, [12, 25, 38]);
    assert!(plan.queue.counters().snapshot().skipped.iter().all(|count| *count == 0));
}

#[test]
fn a_frame_that_goes_elsewhere_says_so() {
    let plan = plan(StepOn::Tracks, |_| {});
    let mut door = Camera::new(std::slice::from_ref(&plan));
    let mut tracked = door.frame(&[], TrackPhase::Update);
    tracked.steps = None;
    door.steps.pass_over(SkipReason::SecondLook, FRAME, &mut tracked);
    assert_eq!(state(&tracked), StepState::Skipped(SkipReason::SecondLook));
    assert_eq!(skipped(&plan.queue.counters().snapshot(), SkipReason::SecondLook), 1);
}

/// A step of two clips of three frames each over 20 frames.
fn clips(on: StepOn) -> Arc<Plan> {
    let clips = InputSpec { clip: Some(3), ..InputSpec::yolox("clips", BatchAxis::Dynamic, 8, 8) };
    plan(on, |plan| {
        plan.clips = Some(clips);
        plan.config.clips = 2;
        plan.config.span = FRAME * 20;
        plan.config.every = Duration::from_mins(1);
    })
}

fn found(tracked: &Tracked) -> Vec<&Found> {
    let report = tracked.steps.as_deref().expect("every frame says what its steps do");
    report.tracks.iter().map(|(_, finding)| &finding.found).chain(report.frame.iter().map(|finding| &finding.found)).collect()
}

#[test]
fn a_track_that_ends_early_is_looked_at_as_far_as_it_was_seen() {
    let plan = clips(StepOn::Tracks);
    let mut door = Camera::new(std::slice::from_ref(&plan));
    door.picture = true;
    (0..5).for_each(|_| assert_eq!(state(&door.frame(&[(2, 50.0)], TrackPhase::Update)), StepState::Gathering));
    // It is remembered for a second; after half of it nothing more is waited for.
    for _ in 0..12 {
        door.frame(&[], TrackPhase::Update);
        assert_eq!(plan.queue.waiting(), 0);
    }
    door.frame(&[], TrackPhase::Update);
    let jobs = plan.queue.next().unwrap();
    assert!(matches!(&jobs[0].look, Look::Clips(clips) if clips.len() == 1), "{jobs:?}");
    assert_eq!((jobs[0].target.track, jobs[0].target.frame), (Some(TrackId(2)), 4));
    assert!(door.steps.is_busy() && door.steps.awaits());
    door.answer(&jobs[0], Some(scores([0.2, 0.8])));
    assert_eq!(label(&door.ends(2)), Some((1, 0.8)), "the last message tells it");
    assert!(!door.steps.is_busy());
}

#[test]
fn a_track_too_short_for_a_clip_says_so() {
    let plan = clips(StepOn::Tracks);
    let mut door = Camera::new(std::slice::from_ref(&plan));
    door.picture = true;
    (0..2).for_each(|_| drop(door.frame(&[(2, 50.0)], TrackPhase::Update)));
    (0..13).for_each(|_| drop(door.frame(&[], TrackPhase::Update)));
    assert_eq!(found(&door.ends(2)), [&Found::Skipped(SkipReason::TooShort)]);
    // And one that ends before anybody could look.
    (0..4).for_each(|_| drop(door.frame(&[(4, 50.0)], TrackPhase::Update)));
    assert_eq!(found(&door.ends(4)), [&Found::Skipped(SkipReason::TooShort)]);
    assert_eq!(plan.queue.waiting(), 0);
    assert_eq!(skipped(&plan.queue.counters().snapshot(), SkipReason::TooShort), 2);
}

#[test]
fn the_last_clips_of_all_are_looked_at_whatever_waits_already() {
    let [on_tracks, on_frames] = [clips(StepOn::Tracks), clips(StepOn::Frames)];
    let mut door = Camera::new(&[on_tracks.clone(), on_frames.clone()]);
    door.picture = true;
    let many: Vec<_> = (1..13).map(|id| (2 * id, 50.0)).collect();
    (0..4).for_each(|_| drop(door.frame(&many, TrackPhase::Update)));
    door.steps.flush(&StreamId::new(1, "door"), Instant::now());
    assert_eq!((on_tracks.queue.waiting(), on_frames.queue.waiting()), (12, 1), "the first is for eight");
    door.steps.flush(&StreamId::new(1, "door"), Instant::now());
    assert_eq!((on_tracks.queue.waiting(), on_frames.queue.waiting()), (12, 1), "once is enough");
    let jobs = on_frames.queue.next().unwrap();
    assert_eq!((jobs[0].target.track, jobs[0].target.frame), (None, 3));
}

#[test]
fn pictures_of_a_camera_too_few_for_a_clip_say_so() {
    let plan = clips(StepOn::Frames);
    let mut door = Camera::new(std::slice::from_ref(&plan));
    door.picture = true;
    (0..2).for_each(|_| drop(door.frame(&[], TrackPhase::Update)));
    door.steps.flush(&StreamId::new(1, "door"), Instant::now());
    assert!(door.steps.is_busy() && !door.steps.awaits());
    assert_eq!(found(&door.ends(99)), [&Found::Skipped(SkipReason::TooShort)]);
    assert!(!door.steps.is_busy());
}

#[test]
fn what_is_masked_is_black_for_steps() {
    let corners = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)].map(|(x, y)| Point::new(x, y)).to_vec();
    let half = Zone { include: vec![Polygon::new(corners).unwrap()], exclude: Vec::new() };
    let capture = Capture { wall: SystemTime::UNIX_EPOCH, basis: TimeBasis::Arrival };
    let pixels = Pixels::Host(HostPicture::tight_i420((64, 64), vec![100; 64 * 64 * 3 / 2].into()).unwrap());
    let (stream, times, pts) = (StreamId::new(1, "door"), TimeCard::default(), Duration::ZERO);
    let frame = Arc::new(Frame { stream, seq: 5, dispatch: 4, pts, capture, pixels, times });
    let luma = |frame: &Frame| {
        let Pixels::Host(picture) = &frame.pixels else { panic!("a picture") };
        let (samples, stride) = picture.plane(0);
        [samples[20 * stride + 31], samples[20 * stride + 32]]
    };
    let plan = plan(StepOn::Frames, |_| {});
    let mut door = Camera::new(std::slice::from_ref(&plan));
    let mut tracked = door.ends(1);
    for (veils, expected) in [(vec![half], [16, 100]), (Vec::new(), [100, 100])] {
        door.steps.visit(&Shown::new(&frame, veils), FRAME, Instant::now(), &mut tracked);
        let jobs = plan.queue.next().unwrap();
        let Look::Picture { frame: seen, .. } = &jobs[0].look else { panic!("a picture") };
        assert_eq!((luma(seen), seen.seq, seen.dispatch), (expected, 5, 4));
        door.answer(&jobs[0], None);
        door.steps.steps[0].whole.asked = None;
    }
    assert_eq!(luma(&frame), [100, 100], "others see it as it is");
}
