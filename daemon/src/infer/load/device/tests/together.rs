//! Instances on several processors, in one batcher.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, mpsc::sync_channel},
    thread,
    time::{Duration, Instant, SystemTime},
};

use tokio_util::sync::CancellationToken;

use super::{Scene, scene};
use crate::{
    batch::{Mode, Queues, StreamSettings},
    config::{BatchConfig, ModelConfig},
    engine::{EngineState, Phase},
    infer::{Detector, Loaded, View, worker},
    life::Progress,
    media::{Capture, Detection, Frame, HostPicture, Inferred, Mark, Pixels, StreamId, TimeBasis, TimeCard},
    pipeline::batcher,
    placement::Processor,
    track::ToTrack,
};

/// Frames of a camera that may wait.
const QUEUE: usize = 8;
const BATCH: BatchConfig = BatchConfig { max_wait: Duration::from_millis(1), staleness: Duration::from_mins(10) };

/// A picture that no other frame has.
pub(super) fn picture(stream: &StreamId, number: u32) -> Frame {
    let mut random = stream.number().wrapping_mul(747_796_405) ^ number.wrapping_mul(2_891_336_453) | 1;
    let bytes = std::iter::repeat_with(|| {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        (random >> 24) as u8
    });
    let bytes: Vec<u8> = bytes.take(64 * 48 * 3 / 2).collect();
    let pixels = Pixels::Host(HostPicture::tight_i420((64, 48), bytes.into()).expect("a picture"));
    let capture = Capture { wall: SystemTime::UNIX_EPOCH, basis: TimeBasis::Arrival };
    let mut times = TimeCard::received(Instant::now());
    times.stamp(Mark::Decoded, Instant::now());
    Frame {
        stream: stream.clone(),
        seq: 0,
        dispatch: 0,
        pts: Duration::from_millis(40 * u64::from(number)),
        capture,
        pixels,
        times,
    }
}

/// Builds what is to come, and leaves it in the folder as if it had been compared.
pub(super) fn built(mut loaded: Vec<Loaded>) -> usize {
    let heirs = loaded.iter_mut().flat_map(Loaded::coming).filter_map(|coming| coming.heir);
    let builds = heirs.map(|mut heir| {
        heir.make(&CancellationToken::new(), Arc::new(|_: &Phase| ())).expect("not stopped").expect("built");
        heir.note(true, "a test has built it");
    });
    builds.count()
}

fn placed(scene: &Scene, devices: &[Processor]) -> ModelConfig {
    ModelConfig { devices: Some(devices.to_vec()), ..scene.config(4) }
}

/// What came of the frames of some cameras, all of which counted.
struct Served {
    /// For each camera in the order of its frames: who looked at it, and what was seen.
    frames: BTreeMap<u32, Vec<(String, Vec<Detection>)>>,
    took: Duration,
}

/// Lets the instances of a model take the frames of some cameras out of its batcher.
fn serve(model: &ModelConfig, loaded: Loaded, cameras: u32, frames: u32) -> Served {
    let started = Instant::now();
    let instances = loaded.instances();
    let batcher = batcher(model, &BATCH, instances.len());
    let (out, results) = sync_channel(64);
    let progress = Progress::new();
    let mut served: BTreeMap<u32, Vec<(u64, String, Vec<Detection>)>> = BTreeMap::new();
    thread::scope(|scope| {
        for (i, instance) in instances.into_iter().enumerate() {
            let (batcher, out, stage) = (&batcher, out.clone(), progress.stage(&*format!("infer/{i}")));
            scope.spawn(move || worker(batcher, instance, &out, &stage).expect("no instance fails"));
        }
        drop(out);
        let cameras: Vec<_> = (1..=cameras)
            .map(|number| {
                let stream = StreamId::new(number, &format!("cam{number}"));
                let slot = batcher.add(stream.clone(), StreamSettings::new(Mode::EveryFrame { queue: QUEUE }));
                scope.spawn(move || (0..frames).all(|number| slot.offer(picture(&stream, number))))
            })
            .collect();
        let batcher = &batcher;
        scope.spawn(move || {
            assert!(cameras.into_iter().all(|camera| camera.join().expect("no panic")), "every frame is taken");
            batcher.close();
        });
        for message in results {
            let ToTrack::Inferred(Inferred { batch, detections, model, failed, .. }) = message else { continue };
            assert!(!failed);
            for (frame, found) in batch.frames.iter().zip(detections) {
                let told = (frame.seq, model.runtime.clone(), found);
                served.entry(frame.stream.number()).or_default().push(told);
            }
        }
    });
    let total = batcher.total();
    assert_eq!((total.decoded, total.inferred), (u64::from(cameras * frames), u64::from(cameras * frames)), "nothing is dropped");
    let in_order = |mut all: Vec<(u64, String, Vec<Detection>)>| {
        all.sort_by_key(|(seq, ..)| *seq);
        all.into_iter().map(|(_, runtime, found)| (runtime, found)).collect()
    };
    Served { frames: served.into_iter().map(|(camera, all)| (camera, in_order(all))).collect(), took: started.elapsed() }
}

/// What one detector says of the same frames.
fn alone(detector: &mut dyn Detector, cameras: u32, frames: u32) -> BTreeMap<u32, Vec<Vec<Detection>>> {
    let mut all = BTreeMap::new();
    for number in 1..=cameras {
        let stream = StreamId::new(number, &format!("cam{number}"));
        let frames = (0..frames).map(|number| picture(&stream, number));
        let seen = frames.map(|frame| detector.detect(&[View::whole(&frame)]).expect("seen").detections.remove(0));
        all.insert(number, seen.collect());
    }
    all
}

/// Every frame has the boxes of the reference; who looked at any.
fn agreed(served: &Served, reference: &BTreeMap<u32, Vec<Vec<Detection>>>) -> BTreeSet<String> {
    let mut who = BTreeSet::new();
    for (camera, frames) in &served.frames {
        assert_eq!(frames.len(), reference[camera].len());
        for ((runtime, found), expected) in frames.iter().zip(&reference[camera]) {
            who.insert(runtime.clone());
            assert_eq!(found.len(), expected.len(), "camera {camera} by {runtime}");
            for (found, expected) in found.iter().zip(expected) {
                let apart = (found.confidence - expected.confidence).abs();
                assert!(apart < 1e-4 && found.class == expected.class, "{found:?}, {expected:?} by {runtime}");
            }
        }
    }
    who
}

#[test]
fn two_instances_of_a_gpu_a_dla_core_and_the_cpu_take_from_one_queue() {
    let Some(scene) = scene() else { return };
    assert!(scene.double.set("dla_cores", 2));
    let cpu = placed(&scene, &[Processor::Cpu]);
    let mut reference = scene.load(&[cpu], &scene.runtime()).expect("loaded").remove(0).instances().remove(0);
    let reference = alone(&mut *reference, 3, 60);
    let model = placed(&scene, &[Processor::Gpu(0), Processor::Gpu(0), Processor::Dla(1), Processor::Cpu]);
    let load = || scene.load(std::slice::from_ref(&model), &scene.runtime()).expect("loaded").remove(0);

    // The first start: the CPU stands in for both engines, which are built each by itself.
    let mut first = load();
    let coming = first.coming();
    let names: Vec<&str> = coming.iter().map(|coming| coming.model.as_str()).collect();
    assert_eq!((names, first.count()), (vec!["net", "net/dla:1"], 4 + 2 + 1));
    drop(coming);
    let who = agreed(&serve(&model, first, 3, 60), &reference);
    assert!(who.len() == 1 && who.iter().all(|runtime| runtime.starts_with("rten")), "{who:?}");
    assert_eq!(built(vec![load()]), 2);
    let mut cores: Vec<_> =
        scene.store().all().expect("a list").into_iter().map(|listed| listed.manifest.expect("whole").key.dla).collect();
    cores.sort_by_key(Option::is_some);
    assert_eq!(cores.iter().map(|dla| dla.as_ref().map(|dla| dla.core)).collect::<Vec<_>>(), [None, Some(1)]);

    // The second one: each has its own engine, and all of them work.
    let mut second = load();
    assert!(second.coming().iter().all(|coming| coming.state == EngineState::Serving && coming.heir.is_none()));
    assert_eq!(second.count(), 4 + 2 + 1);
    let who = agreed(&serve(&model, second, 3, 60), &reference);
    let kinds: Vec<&str> = who.iter().map(|runtime| runtime.split(' ').next().unwrap_or_default()).collect();
    assert!(kinds == ["rten", "tensorrt", "tensorrt"] && who.iter().any(|runtime| runtime.ends_with(" dla:1")), "{who:?}");
}

#[test]
fn two_gpus_have_a_queue_each_where_that_is_configured() {
    let Some(scene) = scene() else { return };
    let model = ModelConfig { queues: Queues::PerDevice, ..placed(&scene, &[Processor::Gpu(0), Processor::Gpu(1)]) };
    let load = |model: &ModelConfig| scene.load(std::slice::from_ref(model), &scene.runtime()).expect("loaded").remove(0);
    assert_eq!(built(vec![load(&model)]), 2, "of one kind of GPU there is one engine, which the second finds");
    assert_eq!(scene.store().all().expect("a list").len(), 1);
    let loaded = load(&model);
    let served = serve(&model, loaded, 4, 60);
    let who: BTreeSet<_> = served.frames.values().flatten().map(|(runtime, _)| runtime.as_str()).collect();
    assert!(who.len() == 2 && who.iter().any(|runtime| runtime.ends_with(" gpu:1")), "{who:?}");
    // Each camera is one GPU's; one moves in a second at most.
    // At the very end, those that are left help each other with what waits.
    let changes = |frames: &Vec<(String, Vec<Detection>)>| {
        frames[..frames.len() - QUEUE].windows(2).filter(|pair| pair[0].0 != pair[1].0).count()
    };
    let apart: usize = served.frames.values().map(changes).sum();
    assert!(apart as u64 <= 1 + served.took.as_secs(), "{apart} changes in {:?}", served.took);
    // With one queue both take of every camera.
    let shared = ModelConfig { queues: Queues::Shared, ..model };
    let loaded = load(&shared);
    let served = serve(&shared, loaded, 4, 60);
    let mixed: usize = served.frames.values().map(changes).sum();
    assert!(mixed > apart, "{mixed} changes with one queue, {apart} with two");
}

#[test]
fn a_core_that_the_builder_does_not_have_leaves_the_others_serving() {
    let Some(scene) = scene() else { return };
    let model = placed(&scene, &[Processor::Gpu(0), Processor::Dla(0)]);
    let mut loaded = scene.load(&[model], &scene.runtime()).expect("loaded").remove(0);
    let mut heirs: Vec<_> = loaded.coming().into_iter().filter_map(|coming| coming.heir).collect();
    let made: Vec<_> = heirs
        .iter_mut()
        .map(|heir| heir.make(&CancellationToken::new(), Arc::new(|_: &Phase| ())).expect("not stopped"))
        .collect();
    assert!(made[0].is_ok());
    let refused = made[1].as_ref().expect_err("there is no core");
    assert!(refused.contains("DLA"), "{refused}");
}
