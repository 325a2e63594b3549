//! The memory of a set of engines, and who shares it.

use std::{sync::Arc, thread, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Scene, scene,
    together::{built, picture},
};
use crate::{
    config::{ModelConfig, RuntimeConfig, StepConfig, StepOn},
    engine::Phase,
    infer::{Detector, LoadError, Loaded, View, tensorrt::LANES},
    media::{Detection, StreamId},
};

/// A model of cameras, and a step that looks at what it follows: the same network in batches of another size.
fn two(scene: &Scene) -> [ModelConfig; 2] {
    let step = StepConfig {
        on: StepOn::Tracks,
        of: "net".into(),
        classes: None,
        every: Duration::ZERO,
        min_size: 1,
        clips: 1,
        span: Duration::ZERO,
    };
    [scene.config(4), ModelConfig { name: "second".into(), step: Some(step), ..scene.config(8) }]
}

/// Bytes of both engines side by side, and of the smaller one's activations, once they are built.
fn sizes(scene: &Scene) -> (u64, u64) {
    assert_eq!(built(scene.load(&two(scene), &scene.runtime()).expect("loaded")), 2);
    let manifests: Vec<_> =
        scene.store().all().expect("a list").into_iter().map(|listed| listed.manifest.expect("whole")).collect();
    assert!(manifests.len() == 2 && manifests.iter().all(|manifest| manifest.context_bytes > 0 && manifest.tensor_bytes > 0));
    let own = manifests.iter().map(|one| one.plan.bytes + one.context_bytes + LANES as u64 * one.tensor_bytes).sum();
    (own, manifests.iter().map(|one| one.context_bytes).min().expect("two"))
}

fn with(scene: &Scene, bytes: u64) -> RuntimeConfig {
    RuntimeConfig { device_memory: Some(bytes), ..scene.runtime() }
}

fn refused(scene: &Scene, runtime: &RuntimeConfig) -> crate::placement::NoRoom {
    match scene.load(&two(scene), runtime) {
        Err(LoadError::NoRoom { no_room }) => no_room,
        Err(other) => unreachable!("{other}"),
        Ok(_) => unreachable!("there is no room"),
    }
}

/// What a lane of each model sees in the same pictures, both at once.
fn seen(loaded: Vec<Loaded>) -> Vec<Vec<Vec<Detection>>> {
    let look = |loaded: Loaded| {
        let mut lane: Box<dyn Detector> = loaded.instances().remove(0);
        let stream = StreamId::new(1, "cam");
        let frames = (0..20).map(|number| picture(&stream, number));
        frames.map(|frame| lane.detect(&[View::whole(&frame)]).expect("seen").detections.remove(0)).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = loaded.into_iter().map(|loaded| scope.spawn(move || look(loaded))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

#[test]
fn a_step_shares_its_model_s_activations_where_there_is_no_room_for_its_own() {
    let Some(scene) = scene() else { return };
    let (own, smaller) = sizes(&scene);
    let used = || scene.driver.get("used").expect("a count") as u64;
    let before = used();

    let apart = scene.load(&two(&scene), &with(&scene, own)).expect("side by side");
    assert!(apart.iter().all(|loaded| loaded.info().runtime.starts_with("tensorrt")));
    let most = used();
    let expected = seen(apart);
    let boxes: usize = expected.iter().flatten().map(Vec::len).sum();
    assert!(boxes > 40 && expected[0].windows(2).any(|pair| pair[0] != pair[1]), "{boxes} boxes");
    assert_eq!(used(), before, "all of it is free again");

    let shared = scene.load(&two(&scene), &with(&scene, own - 1)).expect("in one row");
    assert_eq!(most - used(), smaller, "the smaller one has no activations of its own");
    assert_eq!(seen(shared), expected, "the same values as side by side");
}

#[test]
fn a_set_that_does_not_fit_is_refused_with_each_part_before_anything_starts() {
    let Some(scene) = scene() else { return };
    let (own, smaller) = sizes(&scene);
    let before = scene.driver.get("used");
    let no_room = refused(&scene, &with(&scene, own - smaller - 1));
    assert_eq!((no_room.needed, no_room.configured, no_room.gpu), (own - smaller, true, 0));
    let text = LoadError::NoRoom { no_room }.to_string();
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let (needed, allowed) = (mib(own - smaller), (own - smaller - 1) >> 20);
    let numbers = format!("the models on gpu:0 need {needed} MiB of its memory, and runtime.device_memory allows {allowed}: ");
    assert!(text.starts_with(&numbers), "{text}");
    for words in ["net 1 MiB and 1 for activations", "second 1 MiB and 1 for activations"] {
        assert!(text.contains(words), "{text}");
    }
    assert!(
        text.ends_with("raise runtime.device_memory, lower max_batch of the largest model, or place one elsewhere (devices)"),
        "{text}"
    );
    assert_eq!(scene.driver.get("used"), before, "no engine was opened");
    scene.load(&two(&scene), &with(&scene, own - smaller)).expect("to the byte");

    // Without a budget, what the driver has free counts.
    let used = scene.driver.get("used").expect("a count");
    assert!(scene.driver.set("memory", used + (own - smaller) as i64 - 1));
    let no_room = refused(&scene, &scene.runtime());
    assert_eq!((no_room.room, no_room.configured), (own - smaller - 1, false));
    assert!(no_room.to_string().contains("the device has for them"), "{no_room}");
}

#[test]
fn an_engine_without_room_is_built_and_does_not_take_over() {
    let Some(scene) = scene() else { return };
    let mut loaded = scene.load(&[scene.config(4)], &with(&scene, 1)).expect("the CPU serves").remove(0);
    let mut heir = loaded.coming().remove(0).heir.expect("an engine is to come");
    let reason = heir.make(&CancellationToken::new(), Arc::new(|_: &Phase| ())).expect("not stopped").expect_err("no room");
    assert!(reason.contains("runtime.device_memory allows 0") && reason.contains("raise runtime.device_memory"), "{reason}");
    let (manifest, _) = scene.engine();
    assert_eq!(manifest.verdict, None, "nothing is said against the engine");
    assert!(loaded.instances().remove(0).spec().runtime.starts_with("rten"));
}
