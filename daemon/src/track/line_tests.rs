use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc::sync_channel},
    thread,
};

use egret_models::{
    spec::{BatchAxis, InputSpec},
    task::Scores,
};

use super::*;
use crate::{
    batch::{Batcher, Limits, Mode, Step, StreamSettings, Work},
    config::{StepConfig, StepOn},
    life::Progress,
    media::{
        BBox, Batch, Capture, Detection, Extra, Extras, Found, Frame, HostPicture, ModelInfo, Pixels, Reading, TimeBasis,
        TimeCard, TrackPhase,
    },
    step::{StepLimits, StepQueue},
    track::{Plan, Telling, associate::Kind},
};

fn config() -> TrackConfig {
    TrackConfig { lost_after: Duration::from_secs(1), ..TrackConfig::of(Kind::Egret) }
}

fn model() -> Arc<ModelInfo> {
    Arc::new(ModelInfo { name: "m".into(), classes: vec!["person".into()], runtime: "scripted".into(), ..ModelInfo::default() })
}

fn frame(stream: &StreamId, number: u64) -> Frame {
    let pts = Duration::from_millis(40 * number);
    Frame {
        stream: stream.clone(),
        seq: number,
        dispatch: number,
        pts,
        capture: Capture { wall: SystemTime::UNIX_EPOCH + Duration::from_hours(500_000) + pts, basis: TimeBasis::Arrival },
        pixels: Pixels::None { width: 640, height: 480 },
        times: TimeCard::received(Instant::now()),
    }
}

fn person(number: u64) -> Detection {
    let x = 100.0 + 2.0 * number as f32;
    Detection { class: 0, confidence: 0.9, bbox: BBox::new(x, 100.0, x + 40.0, 200.0) }
}

fn batch(frames: Vec<Frame>, failed: bool) -> ToTrack {
    let detections = frames.iter().map(|f| if failed { Vec::new() } else { vec![person(f.dispatch)] }).collect();
    ToTrack::Inferred(Inferred {
        batch: Batch { seq: 0, frames },
        detections,
        extras: Vec::new(),
        readings: Vec::new(),
        model: model(),
        failed,
    })
}

/// Runs the line over messages that are all there already, and returns what it says.
fn story(config: &TrackConfig, messages: Vec<ToTrack>, back: &BTreeMap<String, Arc<Batcher>>) -> (Vec<Vec<Tracked>>, Counters) {
    let (to_track, input) = sync_channel(messages.len() + 1);
    let (output, mut from_track) = mpsc::channel(messages.len() + 2);
    for message in messages {
        to_track.send(message).expect("room for all");
    }
    drop(to_track);
    let counters = Counters::default();
    let stage = Progress::new().stage("track");
    run(config, &input, &output, &Ways::new(back.clone()), &counters, &Stills::new(), &stage);
    drop(output);
    let mut out = Vec::new();
    while let Ok(batch) = from_track.try_recv() {
        out.push(batch);
    }
    (out, counters)
}

#[test]
fn frames_of_several_engines_come_out_in_order() {
    let (door, yard) = (StreamId::new(1, "door"), StreamId::new(2, "yard"));
    let messages = vec![
        batch(vec![frame(&door, 2), frame(&yard, 0)], false),
        batch(vec![frame(&door, 0)], false),
        batch(vec![frame(&yard, 1)], true),
        batch(vec![frame(&door, 1), frame(&yard, 2)], false),
    ];
    let (out, counters) = story(&config(), messages, &BTreeMap::new());
    let of = |stream: &StreamId| -> Vec<u64> {
        out.iter().flatten().filter(|t| t.stream == *stream && !t.closing).map(|t| t.frame_seq).collect()
    };
    assert_eq!(of(&door), [0, 1, 2]);
    assert_eq!(of(&yard), [0, 2], "a failed frame counts for the order and is not told");
    let followed = out.iter().flatten().filter(|t| !t.closing);
    assert!(followed.clone().all(|t| t.times.at(Mark::TrackStarted).is_some() && t.times.at(Mark::Tracked).is_some()));
    let ends: Vec<_> = out.last().into_iter().flatten().collect();
    assert_eq!(ends.len(), 2, "both tracks end with the line");
    assert!(ends.iter().all(|t| t.closing && t.detections.is_empty() && t.tracks[0].phase == TrackPhase::End));
    let counts = counters.snapshot();
    assert_eq!((counts.frames, counts.started, counts.ended, counts.late, counts.skipped), (5, 2, 2, 0, 0));
}

#[test]
fn a_camera_that_changes_the_size_of_its_picture_keeps_its_tracks() {
    let door = StreamId::new(1, "door");
    let messages = (0..40).map(|number| {
        let small = (10..30).contains(&number);
        let mut message = batch(vec![frame(&door, number)], false);
        if let (ToTrack::Inferred(inferred), true) = (&mut message, small) {
            inferred.batch.frames[0].pixels = Pixels::None { width: 160, height: 240 };
            inferred.detections[0][0].bbox = person(number).bbox.scaled(0.25, 0.5);
        }
        message
    });
    let (out, counters) = story(&config(), messages.collect(), &BTreeMap::new());
    let told: Vec<_> = out.iter().flatten().flat_map(|t| t.tracks.iter().map(|track| (t.size, *track))).collect();
    assert_eq!(told.len(), 40, "announced with the second frame, updated, ended");
    assert!(told.iter().all(|(_, track)| track.id == told[0].1.id), "one object");
    let (size, small) = told[25];
    assert_eq!(size, (160, 240));
    assert!((small.bbox.x1 - 38.0).abs() < 1.0 && (small.velocity.0 - 12.5).abs() < 3.0, "{small:?}");
    assert_eq!((counters.snapshot().started, counters.snapshot().resized), (1, 2));
}

#[test]
fn a_removed_camera_ends_its_tracks_and_its_late_frames_are_dropped() {
    let door = StreamId::new(1, "door");
    let messages = vec![
        batch(vec![frame(&door, 0)], false),
        batch(vec![frame(&door, 1)], false),
        ToTrack::Gone(door.clone()),
        batch(vec![frame(&door, 2)], false),
    ];
    let (out, counters) = story(&config(), messages, &BTreeMap::new());
    let phases: Vec<TrackPhase> = out.iter().flatten().flat_map(|t| t.tracks.iter().map(|t| t.phase)).collect();
    assert_eq!(phases, [TrackPhase::New, TrackPhase::End]);
    assert_eq!(counters.snapshot().late, 1);
}

#[test]
fn what_is_no_box_is_thrown_away_and_counted() {
    let door = StreamId::new(1, "door");
    let odd =
        |x1: f32, y1: f32, x2: f32, y2: f32, confidence: f32| Detection { class: 0, confidence, bbox: BBox::new(x1, y1, x2, y2) };
    let mut bad = vec![
        odd(f32::NAN, 0.0, 10.0, 10.0, 0.9),
        odd(0.0, 0.0, f32::INFINITY, 10.0, 0.9),
        odd(10.0, 0.0, 10.0, 10.0, 0.9),
        odd(10.0, 20.0, 20.0, 10.0, 0.9),
        odd(0.0, 0.0, 10.0, 10.0, f32::NAN),
        odd(0.0, 0.0, 10.0, 10.0, 1.5),
        odd(-1e30, -1e30, 1e30, 1e30, 0.5),
    ];
    let rejected = bad.len() as u64;
    bad.extend((0..1500).map(|i| odd(20.0 * i as f32, 0.0, 20.0 * i as f32 + 10.0, 20.0, 0.2 + 0.0004 * i as f32)));
    let inferred = Inferred {
        batch: Batch { seq: 0, frames: vec![frame(&door, 0)] },
        detections: vec![bad],
        extras: Vec::new(),
        readings: Vec::new(),
        model: model(),
        failed: false,
    };
    let (out, counters) = story(&config(), vec![ToTrack::Inferred(inferred)], &BTreeMap::new());
    assert_eq!(out[0][0].detections.len(), 1000);
    assert!(out[0][0].detections.iter().all(|d| d.detection.confidence >= 0.2 + 0.0004 * 499.0));
    assert_eq!((counters.snapshot().rejected, counters.snapshot().excess), (rejected, 500));
}

#[test]
fn a_missing_frame_is_not_waited_for_for_ever() {
    let door = StreamId::new(1, "door");
    let mut messages: Vec<ToTrack> = (1..200).map(|n| batch(vec![frame(&door, n)], false)).collect();
    messages.push(batch(vec![frame(&door, 0)], false));
    let (out, counters) = story(&config(), messages, &BTreeMap::new());
    let seqs: Vec<u64> = out.iter().flatten().filter(|t| !t.closing).map(|t| t.frame_seq).collect();
    let mut expected: Vec<u64> = (1..200).collect();
    expected.push(0);
    assert_eq!(seqs, expected);
    assert_eq!((counters.snapshot().skipped, counters.snapshot().late), (1, 1));
}

fn batcher() -> Arc<Batcher> {
    let limits = Limits { max_batch: 4, max_wait: Duration::from_millis(1), staleness: Duration::from_mins(1), instances: 1 };
    Batcher::new(limits)
}

/// Up and down the whole way back: the frame of an unsure object goes back whole through the step queue, the region is its box doubled,
/// and the answer announces it.
#[test]
fn a_second_look_goes_through_the_step_queue() {
    let door = StreamId::new(1, "door");
    let batcher = batcher();
    let back = BTreeMap::from([("m".to_owned(), batcher.clone())]);
    let (to_track, input) = sync_channel(8);
    let (output, mut from_track) = mpsc::channel(8);
    let config = TrackConfig { second_look: true, ..config() };
    let unsure = |frame: Frame| {
        let detection = Detection { confidence: 0.62, ..person(0) };
        let batch = Batch { seq: 0, frames: vec![frame] };
        ToTrack::Inferred(Inferred {
            batch,
            detections: vec![vec![detection]],
            extras: Vec::new(),
            readings: Vec::new(),
            model: model(),
            failed: false,
        })
    };
    thread::scope(|scope| {
        let (config, back, counters) = (&config, &back, &Arc::new(Counters::default()));
        let counting = counters.clone();
        let stage = Progress::new().stage("track");
        let line = scope.spawn(move || run(config, &input, &output, &Ways::new(back.clone()), &counting, &Stills::new(), &stage));
        to_track.send(unsure(frame(&door, 0))).expect("line runs");
        to_track.send(unsure(frame(&door, 1))).expect("line runs");
        let Some(Work::Step(Step { batch, regions })) = batcher.next() else { panic!("a step comes back") };
        assert_eq!((batch.frames.len(), batch.frames[0].dispatch, regions.len()), (1, 1, 1));
        assert_eq!(regions[0].bbox, BBox::new(80.0, 50.0, 160.0, 250.0));
        let stepped = Stepped {
            step: Step { batch, regions },
            detections: Some(vec![vec![Detection { confidence: 0.7, ..person(0) }]]),
            model: model(),
        };
        to_track.send(ToTrack::Stepped(stepped)).expect("line runs");
        to_track.send(unsure(frame(&door, 2))).expect("line runs");
        drop(to_track);
        line.join().expect("no panic");
        let counts = counters.snapshot();
        assert_eq!((counts.looks, counts.looks_found, counts.looks_unheard), (1, 1, 0));
    });
    let mut told = Vec::new();
    while let Ok(batch) = from_track.try_recv() {
        told.extend(batch.into_iter().map(|t| t.tracks.iter().map(|t| t.phase).collect::<Vec<_>>()));
    }
    assert_eq!(told, [vec![], vec![], vec![TrackPhase::New], vec![TrackPhase::End]]);
}

#[test]
fn a_closed_step_queue_announces_without_a_second_look() {
    let door = StreamId::new(1, "door");
    let batcher = batcher();
    batcher.close();
    let back = BTreeMap::from([("m".to_owned(), batcher)]);
    let config = TrackConfig { second_look: true, high_confidence: 0.8, new_confidence: 0.8, ..config() };
    let (out, counters) = story(&config, vec![batch(vec![frame(&door, 0)], false), batch(vec![frame(&door, 1)], false)], &back);
    assert_eq!(out[1][0].tracks[0].phase, TrackPhase::New);
    assert!(out[1][0].detections[0].track.is_some());
    assert_eq!((counters.snapshot().looks, counters.snapshot().looks_unheard), (0, 1));
}

/// The control watch: a picture in which nothing is followed slows its camera down.
#[test]
fn an_empty_picture_makes_its_camera_idle() {
    let door = StreamId::new(1, "door");
    let batcher = batcher();
    let settings = StreamSettings { idle_fps: Some(0.001), ..StreamSettings::new(Mode::LatestWins) };
    let slot = batcher.add(door.clone(), settings);
    assert!(slot.offer(frame(&door, 0)));
    let Some(Work::Batch(first)) = batcher.next() else { panic!("a batch") };
    batcher.finished(&first.frames, crate::batch::Outcome::Inferred, Duration::from_millis(1));
    let back = BTreeMap::from([("m".to_owned(), batcher.clone())]);
    let empty = Inferred {
        batch: first,
        detections: vec![vec![]],
        extras: Vec::new(),
        readings: Vec::new(),
        model: model(),
        failed: false,
    };
    story(&config(), vec![ToTrack::Inferred(empty)], &back);
    assert!(slot.offer(frame(&door, 0)));
    let gated: u64 = batcher.counts().iter().map(|(_, counts)| counts.dropped.gated).sum();
    assert_eq!(gated, 1);
}

#[test]
fn unwanted_detections_are_neither_followed_nor_told() {
    let door = StreamId::new(1, "door");
    let wanted = |wanted: bool, confidence: f32| {
        let keep = Keep { classes: Some(vec![wanted].into()), confidence };
        ToTrack::Keep { stream: door.clone(), keep }
    };
    let one = |number| batch(vec![frame(&door, number)], false);
    let messages = vec![wanted(false, 0.0), one(0), one(1), wanted(true, 0.0), one(2), wanted(true, 0.99), one(3)];
    let (out, _) = story(&config(), messages, &BTreeMap::new());
    let told: Vec<usize> = out.iter().flatten().filter(|t| !t.closing).map(|t| t.detections.len()).collect();
    assert_eq!(told, [0, 0, 1, 0], "by class and by confidence");
}

/// A network that takes clips of two frames and looks at two of them over two seconds, of whole frames.
fn clips() -> Arc<Plan> {
    let config = StepConfig {
        on: StepOn::Frames,
        of: "m".into(),
        classes: None,
        every: Duration::from_mins(1),
        min_size: 16,
        clips: 2,
        span: Duration::from_secs(2),
    };
    let input = InputSpec { clip: Some(2), ..InputSpec::yolox("clips", BatchAxis::Dynamic, 8, 8) };
    Arc::new(Plan {
        config,
        model: Arc::new(ModelInfo { name: "clips".into(), classes: vec!["walks".into()], ..ModelInfo::default() }),
        wanted: None,
        telling: Telling { confidence: 0.5, details: false },
        embeds: false,
        clips: Some(input),
        queue: StepQueue::new(StepLimits { max_batch: 4, max_wait: Duration::ZERO, instances: 1 }),
    })
}

#[test]
fn the_last_looks_are_asked_for_when_no_more_frames_come_and_told_at_the_end() {
    let door = StreamId::new(1, "door");
    let pixels = || Pixels::Host(HostPicture::tight_i420((16, 16), vec![99; 16 * 16 * 3 / 2].into()).expect("it fits"));
    let plan = clips();
    let ways = Ways { steps: vec![plan.clone()], ..Ways::default() };
    let (to_track, input) = sync_channel(8);
    let (output, mut from_track) = mpsc::channel(8);
    let line = (config(), Counters::default(), Progress::new().stage("track"));
    thread::scope(|scope| {
        let (ways, (config, counters, stage)) = (&ways, &line);
        scope.spawn(move || run(config, &input, &output, ways, counters, &Stills::new(), stage));
        let nothing = (0..3).map(|number| Frame { pixels: pixels(), ..frame(&door, number) }).map(|frame| {
            let batch = Batch { seq: 0, frames: vec![frame] };
            Inferred { batch, detections: vec![vec![]], extras: Vec::new(), readings: Vec::new(), model: model(), failed: false }
        });
        nothing.for_each(|inferred| to_track.send(ToTrack::Inferred(inferred)).expect("line runs"));
        let (done, asked) = tokio::sync::oneshot::channel();
        to_track.send(ToTrack::Last(done)).expect("line runs");
        asked.blocking_recv().expect("it is asked");
        let jobs = plan.queue.next().expect("a look at the clip that is complete");
        let answers = jobs.into_iter().map(|job| (job.target, Some(Reading::Scores(Scores::new(&[0.9]))))).collect();
        to_track.send(ToTrack::Answered(Answered { model: plan.model.clone(), answers })).expect("line runs");
        drop(to_track);
    });
    let mut told = Vec::new();
    while let Ok(batch) = from_track.try_recv() {
        told.extend(batch);
    }
    assert_eq!(told.iter().map(|tracked| tracked.closing).collect::<Vec<_>>(), [false, false, false, true]);
    let report = told[3].steps.as_ref().expect("something was found out");
    assert_eq!((report.frame[0].frame, &report.frame[0].found), (2, &Found::Label(Some((0, 0.9)))));
}

#[test]
fn what_belongs_to_a_detection_stays_with_it_through_all_sieves() {
    let door = StreamId::new(1, "door");
    let point = |number: usize| Extra::Keypoints([[number as f32, 0.0, 1.0]].into());
    let mut detections: Vec<Detection> = (0..2100).map(|n| Detection { class: (n % 3) as u16, ..person(40 * n) }).collect();
    let mut extras = Extras::default();
    for (n, detection) in detections.iter_mut().enumerate() {
        detection.confidence = 0.3 + (n * 7919 % 1500) as f32 / 5000.0;
        if n % 10 == 1 {
            detection.bbox.x2 = f32::NAN;
        }
        // One of them is none.
        extras.set(n, if n == 25 { Extra::Keypoints([[f32::NAN, 0.0, 1.0]].into()) } else { point(n) });
    }
    let before = detections.clone();
    let inferred = Inferred {
        batch: Batch { seq: 0, frames: vec![frame(&door, 0)] },
        detections: vec![detections],
        extras: vec![extras],
        readings: Vec::new(),
        model: model(),
        failed: false,
    };
    let wanted =
        ToTrack::Keep { stream: door.clone(), keep: Keep { classes: Some([true, true, false].into()), confidence: 0.0 } };
    let (out, counters) = story(&config(), vec![wanted, ToTrack::Inferred(inferred)], &BTreeMap::new());
    let tracked = &out[0][0];
    let excess = 2100 * 2 / 3 * 9 / 10 - 1000;
    assert_eq!((tracked.detections.len(), counters.snapshot().excess), (1000, excess), "of two classes, nine of ten boxes");
    let mut missing = 0;
    for (i, seen) in tracked.detections.iter().enumerate() {
        let from = before.iter().position(|detection| *detection == seen.detection).expect("one of them");
        match tracked.extras.get(i) {
            None => missing += 1,
            extra => assert_eq!(extra, Some(&point(from))),
        }
    }
    assert_eq!((missing, counters.snapshot().extras_rejected, counters.snapshot().extras_excess), (1, 1, 0));
}

/// Over a line in the middle of the way that [`person`] takes; and a mask over everything from x = 400 on.
fn gate_and_mask() -> crate::analyse::CameraRules {
    let text = "[[model]]\nname = \"m\"\nbuiltin = \"null\"\n[[camera]]\nname = \"door\"\nurl = \"test:smpte\"\npicture_size = \"640x480\"\n\
        [[camera.rule]]\nname = \"gate\"\nkind = \"line\"\nline = [[160, 400], [160, 10]]\n\
        [[camera.rule]]\nname = \"yard\"\nkind = \"zone\"\nzone = [[1, 1], [639, 1], [639, 479], [1, 479]]\n\
        [[camera.rule]]\nname = \"far\"\nkind = \"mask\"\nzone = [[400, 0], [640, 0], [640, 480], [400, 480]]\n";
    let config = crate::config::load_text(std::path::Path::new("egret.toml"), text).expect("rules").config;
    (*config.cameras[0].rules).clone()
}

#[test]
fn rules_and_masks_hold_for_the_frames_after_them() {
    use crate::analyse::EventPhase::{End, Once, Start};

    let door = StreamId::new(1, "door");
    let rules = ToTrack::Rules { stream: door.clone(), rules: Arc::new(gate_and_mask()) };
    let mut messages = vec![rules];
    for number in 0..60 {
        let ToTrack::Inferred(mut inferred) = batch(vec![frame(&door, number)], false) else { unreachable!() };
        inferred.detections[0].push(Detection { class: 0, confidence: 0.9, bbox: BBox::new(500.0, 100.0, 540.0, 200.0) });
        messages.push(ToTrack::Inferred(inferred));
    }
    messages.push(ToTrack::Gone(door.clone()));
    let (out, _) = story(&config(), messages, &BTreeMap::new());
    let stories: Vec<&Tracked> = out.iter().flatten().collect();
    assert!(stories.iter().all(|tracked| tracked.detections.len() <= 1), "the other one stands in the mask");
    let events: Vec<_> = stories.iter().filter_map(|tracked| tracked.verdicts.as_ref()).flat_map(|v| &v.events).collect();
    let brief: Vec<_> = events.iter().map(|event| (&*event.rule, event.phase)).collect();
    assert_eq!(brief, [("yard", Start), ("gate", Once), ("yard", End)]);
    assert_eq!(events[0].id, events[2].id);
    let gone: Vec<&str> =
        stories.iter().filter_map(|tracked| tracked.verdicts.as_ref()).flat_map(|v| &v.gone).map(|name| &**name).collect();
    assert_eq!(gone, ["gate", "yard"], "what is retained of them is cleared");
}
