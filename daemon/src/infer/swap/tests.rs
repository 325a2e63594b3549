use std::{
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant, SystemTime},
};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    engine::{Board, EngineState, Phase, Tell},
    infer::Null,
    media::{BBox, Capture, Frame, HostPicture, Mark, Pixels, StreamId, TimeBasis, TimeCard},
};

pub(in crate::infer) fn frame(camera: &str, seq: u64) -> Frame {
    let capture = Capture { wall: SystemTime::UNIX_EPOCH, basis: TimeBasis::Arrival };
    let mut times = TimeCard::received(Instant::now());
    times.stamp(Mark::Decoded, Instant::now());
    let picture = HostPicture::tight_i420((64, 48), bytes::Bytes::from(vec![128; 64 * 48 * 3 / 2])).expect("a picture");
    let stream = StreamId::new(camera.bytes().map(u32::from).sum(), camera);
    Frame { stream, seq, dispatch: 0, pts: Duration::ZERO, capture, pixels: Pixels::Host(picture), times }
}

/// Sees so many objects, takes so many pictures at once, and fails after so many batches.
#[derive(Clone)]
struct Player {
    runtime: &'static str,
    objects: usize,
    most: usize,
    lasts: usize,
}

const CPU: Player = Player { runtime: "cpu", objects: 5, most: 8, lasts: usize::MAX };
const ENGINE: Player = Player { runtime: "engine", ..CPU };

struct Playing {
    info: Arc<ModelInfo>,
    null: Null,
    left: usize,
}

impl Player {
    fn detector(&self) -> Box<dyn Detector> {
        let info = ModelInfo {
            name: "street".into(),
            classes: vec!["car".into()],
            runtime: self.runtime.into(),
            ..ModelInfo::default()
        };
        let null = Null::new("street", vec!["car".into()], self.most, self.objects);
        Box::new(Playing { info: Arc::new(info), null, left: self.lasts })
    }
}

impl Detector for Playing {
    fn spec(&self) -> &Arc<ModelInfo> {
        &self.info
    }

    fn max_batch(&self) -> usize {
        self.null.max_batch()
    }

    fn detect(&mut self, views: &[View<'_>]) -> Result<Output, DetectError> {
        assert!(views.len() <= self.max_batch());
        let Some(left) = self.left.checked_sub(1) else {
            let runtime = self.info.runtime.clone();
            return Err(DetectError::Runtime { runtime, views: views.len(), reason: "illegal memory access".into() });
        };
        self.left = left;
        self.null.detect(views)
    }
}

/// An instance that has a batch of frames after the other, and what its answers were made by.
struct Instance {
    swap: Swap,
    seq: u64,
}

impl Instance {
    fn new(succession: &Arc<Succession>) -> Self {
        Self::of(&CPU, succession)
    }

    fn of(player: &Player, succession: &Arc<Succession>) -> Self {
        Self { swap: Swap::new(player.detector(), succession, true), seq: 0 }
    }

    /// Runs a batch; what did it.
    fn batch(&mut self, pictures: usize) -> String {
        let frames: Vec<Frame> = (0..pictures).map(|i| frame(&format!("cam{i}"), self.seq)).collect();
        self.seq += 1;
        let output = self.swap.detect(&frames.iter().map(View::whole).collect::<Vec<_>>()).expect("no batch is lost");
        assert_eq!(output.detections.len(), pictures);
        self.swap.spec().runtime.clone()
    }
}

fn succession() -> Arc<Succession> {
    Succession::new(CPU.detector().spec())
}

#[test]
fn each_instance_takes_over_between_two_batches_and_those_without_an_heir_end() {
    let succession = succession();
    let mut instances = [(); 3].map(|()| Instance::new(&succession));
    assert!(instances.iter_mut().all(|instance| instance.batch(2) == "cpu"));
    succession.offer(vec![ENGINE.detector(), ENGINE.detector()]);
    let ran: Vec<String> = instances.iter_mut().map(|instance| instance.batch(2)).collect();
    assert_eq!((ran, succession.serving().runtime.as_str()), (vec!["engine".into(), "engine".into(), "cpu".into()], "engine"));
    assert!(!instances[2].swap.is_spent(), "it may be needed yet");
    for _ in 0..TRIAL_BATCHES {
        instances[0].batch(1);
    }
    assert_eq!(succession.tried(&|| false), Some(Ok(())));
    for instance in &mut instances {
        drop(instance.batch(1));
    }
    let spent = instances.each_ref().map(|instance| instance.swap.is_spent());
    assert_eq!(spent, [false, false, true]);
    assert!(instances[0].swap.before.is_none() && instances[1].swap.before.is_none(), "its memory is free");
}

#[test]
fn one_that_was_idle_during_the_trial_takes_its_part_after_it() {
    let succession = succession();
    let mut instances = [(); 3].map(|()| Instance::new(&succession));
    succession.offer(vec![ENGINE.detector(), ENGINE.detector()]);
    for _ in 0..TRIAL_BATCHES {
        instances[0].batch(1);
    }
    assert_eq!(succession.tried(&|| false), Some(Ok(())));
    assert_eq!(instances.each_mut().map(|instance| instance.batch(1)), ["engine", "engine", "cpu"]);
    assert_eq!(instances.each_ref().map(|instance| instance.swap.is_spent()), [false, false, true]);
    assert!(instances.iter().all(|instance| instance.swap.before.is_none()), "its memory is free");
}

#[test]
fn what_must_not_serve_goes_for_good() {
    let succession = Succession::new(ENGINE.detector().spec());
    let mut instances = [(); 2].map(|()| Instance::of(&ENGINE, &succession));
    assert_eq!(instances.each_mut().map(|instance| instance.batch(1)), ["engine", "engine"]);
    succession.replace(vec![CPU.detector(), CPU.detector()]);
    assert_eq!(
        (instances.each_mut().map(|instance| instance.batch(1)), &*succession.serving().runtime),
        (["cpu", "cpu"].map(String::from), "cpu")
    );
    assert!(instances.iter().all(|instance| instance.swap.before.is_none() && !instance.swap.is_spent()));
}

#[test]
fn what_fails_on_trial_goes_back_everywhere_and_loses_no_batch() {
    let succession = succession();
    let mut instances = [(); 2].map(|()| Instance::new(&succession));
    succession.offer(vec![Player { lasts: 3, ..ENGINE }.detector(), ENGINE.detector()]);
    // The last one goes to the first that asks.
    assert_eq!(instances.each_mut().map(|instance| instance.batch(1)), ["engine", "engine"]);
    let ran: Vec<String> = (0..5).map(|_| instances[1].batch(2)).collect();
    assert_eq!(ran, ["engine", "engine", "cpu", "cpu", "cpu"]);
    assert_eq!(instances[0].batch(1), "cpu", "the other goes back too");
    let reason = succession.tried(&|| false).expect("over").expect_err("failed");
    assert!(reason.contains("illegal memory access"), "{reason}");
    assert_eq!(succession.serving().runtime, "cpu");
    assert!(instances.iter().all(|instance| !instance.swap.is_spent()));
}

#[test]
fn after_the_trial_failures_are_the_worker_s() {
    let succession = succession();
    let mut instance = Instance::new(&succession);
    let lasts = TRIAL_BATCHES as usize + 1;
    succession.offer(vec![Player { lasts, ..ENGINE }.detector()]);
    for _ in 0..lasts {
        assert_eq!(instance.batch(1), "engine");
    }
    let frame = frame("cam", 0);
    assert!(instance.swap.detect(&[View::whole(&frame)]).is_err(), "there is nothing to go back to");
    assert_eq!(succession.tried(&|| false), Some(Ok(())));
}

#[test]
fn an_older_engine_with_smaller_batches_takes_large_ones_in_parts() {
    let succession = succession();
    let mut swap = Swap::new(Player { most: 3, ..CPU }.detector(), &succession, false);
    let frames: Vec<Frame> = (0..8).map(|seq| frame("cam", seq)).collect();
    let views: Vec<_> = frames.iter().map(View::whole).collect();
    let in_parts = swap.detect(&views).expect("in parts").detections;
    assert_eq!(in_parts, CPU.detector().detect(&views).expect("at once").detections);
}

/// What is prepared, as a test wants it.
struct Prepared {
    made: Result<(), String>,
    engine: Player,
    /// What is compared; `None`: nothing.
    float: Option<Player>,
    /// It serves already, and this takes over from it.
    instead: Option<Player>,
    notes: Arc<Mutex<Vec<(bool, String)>>>,
}

impl Heir for Prepared {
    fn make(&mut self, stop: &CancellationToken, tell: Tell) -> Option<Result<(), String>> {
        for fraction in [0.1, 0.5, 0.9] {
            tell(&Phase::Building { fraction: Some(fraction), remaining: Some(Duration::from_secs(5)) });
        }
        (!stop.is_cancelled()).then(|| self.made.clone())
    }

    fn is_compared(&self) -> bool {
        self.float.is_some()
    }

    fn pair(&mut self) -> Result<Option<Pair>, String> {
        Ok(self.float.as_ref().map(|float| Pair { float: float.detector(), engine: self.engine.detector() }))
    }

    fn serves(&self) -> bool {
        self.instead.is_some()
    }

    fn detectors(&mut self) -> Result<Vec<Box<dyn Detector>>, String> {
        Ok(vec![self.instead.as_ref().unwrap_or(&self.engine).detector()])
    }

    fn note(&mut self, passed: bool, reason: &str) {
        self.notes.lock().expect("no panic").push((passed, reason.to_owned()));
    }
}

/// Lets an engine succeed while an instance serves without a pause; how it ended, what was noted, and what ran at last.
fn run(made: Result<(), String>, engine: Player, float: Option<Player>) -> (EngineState, Vec<(bool, String)>, String) {
    run_while(&CPU, Prepared { made, engine, float, instead: None, notes: Arc::default() })
}

/// The same with an engine that serves from the beginning, and was not compared.
fn run_serving(engine: &Player, float: Player) -> (EngineState, Vec<(bool, String)>, String) {
    let seen = Player { lasts: usize::MAX, ..engine.clone() };
    run_while(
        &seen,
        Prepared {
            made: Err("it is there".into()),
            engine: engine.clone(),
            float: Some(float),
            instead: Some(CPU),
            notes: Arc::default(),
        },
    )
}

fn run_while(serves: &Player, mut heir: Prepared) -> (EngineState, Vec<(bool, String)>, String) {
    let (succession, board, notes) = (Succession::new(serves.detector().spec()), Board::new(), Arc::clone(&heir.notes));
    let trial = Trial { enough: 2, patience: Duration::from_secs(20), ..Trial::new("street", &board, &CancellationToken::new()) };
    let (ended, end) = mpsc::sync_channel(1);
    let job = {
        let succession = Arc::clone(&succession);
        thread::spawn(move || {
            succeed(&succession, &mut heir, &trial);
            ended.send(()).expect("the test waits");
        })
    };
    let mut instance = Instance::of(serves, &succession);
    while end.try_recv().is_err() {
        instance.batch(3);
    }
    job.join().expect("no panic");
    let last = instance.batch(1);
    let notes = notes.lock().expect("no panic").clone();
    (board.snapshot().remove(0).1, notes, last)
}

#[test]
fn an_engine_that_agrees_takes_over() {
    let (state, notes, last) = run(Ok(()), ENGINE, Some(CPU));
    assert_eq!((state, last.as_str()), (EngineState::Serving, "engine"));
    assert!(notes.len() == 1 && notes[0].0 && notes[0].1.starts_with("recall 1.0000, precision 1.0000"), "{notes:?}");
}

#[test]
fn an_engine_that_sees_something_else_never_serves() {
    for objects in [0, 2, 9] {
        let (state, notes, last) = run(Ok(()), Player { objects, ..ENGINE }, Some(CPU));
        let EngineState::Rejected(reason) = state else { unreachable!("{objects} objects: {state:?}") };
        assert!(reason.contains("does not agree with cpu") && !notes[0].0 && notes[0].1 == reason, "{reason}");
        assert_eq!(last, "cpu");
    }
    let (state, notes, last) = run(Ok(()), Player { lasts: 0, ..ENGINE }, Some(CPU));
    assert!(
        matches!(&state, EngineState::Rejected(reason) if reason.contains("the engine fails on a frame of cam")),
        "{state:?}"
    );
    assert!(!notes[0].0 && last == "cpu");
}

#[test]
fn an_engine_that_serves_and_was_not_compared_is_and_goes_if_it_disagrees() {
    let (state, notes, last) = run_serving(&ENGINE, CPU);
    assert_eq!((state, last.as_str()), (EngineState::Serving, "engine"));
    assert!(notes.len() == 1 && notes[0].0 && notes[0].1.starts_with("recall 1.0000"), "{notes:?}");
    for wrong in [Player { objects: 2, ..ENGINE }, Player { lasts: 0, ..ENGINE }] {
        let (state, notes, last) = run_serving(&wrong, CPU);
        assert!(matches!(&state, EngineState::Rejected(reason) if *reason == notes[0].1 && !notes[0].0), "{state:?}");
        assert_eq!(last, "cpu");
    }
    // It is not the engine's fault that there is nothing to compare it with.
    let (state, notes, last) = run_serving(&ENGINE, Player { lasts: 0, ..CPU });
    assert_eq!((state, notes, last.as_str()), (EngineState::Serving, Vec::new(), "engine"));
}

#[test]
fn an_engine_that_fails_in_its_first_batches_goes_back() {
    let (state, notes, last) = run(Ok(()), Player { lasts: 7, ..ENGINE }, None);
    assert!(matches!(&state, EngineState::Rejected(reason) if reason.contains("first batches")), "{state:?}");
    assert_eq!((notes.len(), notes[0].0, last.as_str()), (1, false, "cpu"));
}

#[test]
fn what_cannot_be_built_changes_nothing() {
    let (state, notes, last) = run(Err("no operator Foo".into()), ENGINE, Some(CPU));
    assert_eq!((state, notes, last.as_str()), (EngineState::Failed("no operator Foo".into()), Vec::new(), "cpu"));
}

#[test]
fn what_is_stopped_says_nothing() {
    let (succession, board, stop) = (succession(), Board::new(), CancellationToken::new());
    stop.cancel();
    let notes = Arc::default();
    let mut heir = Prepared { made: Ok(()), engine: ENGINE, float: Some(CPU), instead: None, notes: Arc::clone(&notes) };
    succeed(&succession, &mut heir, &Trial::new("street", &board, &stop));
    assert!(board.snapshot()[0].1.is_under_way() && notes.lock().expect("no panic").is_empty());
    assert_eq!(succession.serving().runtime, "cpu");
}

#[test]
fn frames_are_kept_only_while_somebody_wants_them() {
    let succession = succession();
    let mut swap = Swap::new(CPU.detector(), &succession, true);
    let frame = frame("cam", 3);
    swap.detect(&[View::whole(&frame)]).expect("seen");
    assert!(succession.frames(0, Duration::ZERO, &|| false).is_empty());
    succession.keep_frames(true);
    // Several regions of a frame are one frame.
    let region = |x| View { frame: &frame, region: Some(BBox::new(x, 0.0, 9.0, 9.0)) };
    swap.detect(&[region(0.0), region(1.0)]).expect("seen");
    let kept = succession.frames(1, Duration::ZERO, &|| false);
    assert_eq!((kept.len(), kept[0].seq, kept[0].pixels.size()), (1, 3, (64, 48)));
    swap.detect(&[View::whole(&frame)]).expect("seen");
    succession.keep_frames(false);
    assert!(succession.frames(0, Duration::ZERO, &|| false).is_empty());
}

#[test]
fn a_copied_picture_is_the_same_picture() {
    use crate::media::{Color, Layout, PictureBytes, Plane};
    let bytes: Vec<u8> = (0..1000_u32).map(|i| i as u8).collect();
    let planes = [Plane { offset: 3, stride: 20 }, Plane { offset: 300, stride: 18 }, Plane::default()];
    let color = Color { full_range: true, ..Color::default() };
    let wide = HostPicture::new(Layout::Nv12, (15, 9), color, planes, PictureBytes::Owned(bytes.into())).expect("a picture");
    let copy = wide.copied().expect("a copy");
    assert_eq!((copy.layout(), copy.width(), copy.height(), copy.color()), (Layout::Nv12, 15, 9, color));
    for plane in 0..2 {
        let (row, rows) = wide.plane_size(plane);
        let ((a, from), (b, to)) = (wide.plane(plane), copy.plane(plane));
        assert!((0..rows).all(|y| a[y * from..][..row] == b[y * to..][..row]) && to == row);
    }
}
