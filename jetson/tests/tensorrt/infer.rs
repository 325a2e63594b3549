//! Engines at work.

use std::{sync::Arc, thread};

use egret_jetson::tensorrt::{Builder, DataType, Deserialize, Error, Runtime, doubles::Double, doubles::HostMemory};

use crate::{MAJORS, batch, bind, engine, expected, load, network, pictures, shape, stream};

#[test]
fn batches_of_every_size_yield_the_expected_numbers_with_both_majors_at_once() {
    let doubles = MAJORS.map(|major| Double::new(major).expect("the double"));
    let contexts: Vec<_> = doubles
        .iter()
        .map(|double| {
            let engine = engine(&load(double));
            (engine.context(0).expect("a context"), stream(double), engine)
        })
        .collect();
    let run = |(mut context, stream, engine): (_, _, egret_jetson::tensorrt::Engine)| {
        let context: &mut egret_jetson::tensorrt::ExecutionContext = &mut context;
        let [x, y] = bind(context, 8);
        for n in [1, 8, 3, 4] {
            context.set_shape("x", &batch(n as i64)).expect("within the profile");
            assert_eq!(context.shape("y").expect("a shape"), shape(&[n as i64, 2, 4, 4]));
            let input = pictures(n, n);
            x.write(&input);
            context.enqueue(&stream).expect("enqueued");
            context.wait().expect("done");
            let wanted: Vec<f32> = input.chunks(16).flat_map(expected).collect();
            assert_eq!(y.read(n * 32), wanted, "batch of {n}, TensorRT {}", engine.version());
        }
        engine.version().major
    };
    let mut majors = thread::scope(|scope| {
        let threads: Vec<_> = contexts.into_iter().map(|context| scope.spawn(|| run(context))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    majors.sort_unstable();
    assert_eq!(majors, MAJORS);
    for double in &doubles {
        assert_eq!(double.objects(), Some(0), "everything was freed");
    }
}

#[test]
fn an_engine_tells_its_tensors_profiles_and_memory() {
    for major in MAJORS {
        let double = Double::new(major).expect("the double");
        let engine = engine(&load(&double));
        let [x, y] = engine.tensors() else { panic_on(engine.tensors()) };
        assert_eq!((x.name.as_str(), x.is_output, x.data_type), ("x", false, DataType::Float));
        assert_eq!((y.name.as_str(), y.is_output, y.shape.clone()), ("y", true, shape(&[-1, 2, 4, 4])));
        let [profile] = engine.profiles() else { panic_on(engine.profiles()) };
        assert_eq!((profile[0].min.clone(), profile[0].opt.clone(), profile[0].max.clone()), (batch(1), batch(4), batch(8)));
        assert_eq!((engine.layers(), engine.version().major), (3, major));
        // Three layers of 8 · 2 · 16 floats.
        assert_eq!((engine.context_bytes(Some(0)), engine.context_bytes(None)), (Ok(3072), Ok(3072)));
        assert!(engine.context_bytes(Some(1)).is_err() && engine.context(1).is_err());
        assert!(engine.inspect().expect("JSON").starts_with(r#"{"Layers":["n0","n1","n2"]"#));
    }
}

fn panic_on<T: std::fmt::Debug + ?Sized>(found: &T) -> ! {
    unreachable!("another number: {found:?}")
}

#[test]
fn what_does_not_fit_the_engine_never_reaches_it() {
    let double = Double::new(10).expect("the double");
    let engine = engine(&load(&double));
    let mut context = engine.context(0).expect("a context");
    let stream = stream(&double);
    let says = |result: Result<(), Error>, words: &str| {
        let refused = result.expect_err(words).to_string();
        assert!(refused.contains(words), "{refused:?} has no {words:?}");
    };
    says(context.set_shape("x", &batch(9)), "outside of the profile, [1,1,4,4] to [8,1,4,4]");
    says(context.set_shape("x", &shape(&[1, 1, 4])), "outside of the profile");
    says(context.set_shape("y", &batch(1)), "follows from the inputs");
    says(context.set_shape("z", &batch(1)), "the engine has x, y");
    context.set_shape("x", &batch(2)).expect("within the profile");
    says(context.enqueue(&stream), "tensor \"x\" needs 128 bytes, it has none");
    let memory = |bytes| HostMemory::new(bytes).expect("memory");
    context.bind("x", memory(128)).expect("bound");
    context.bind("y", memory(255)).expect("bound");
    says(context.enqueue(&stream), "tensor \"y\" needs 256 bytes, it has 255");
    context.bind("y", memory(256)).expect("bound");
    context.enqueue(&stream).expect("enqueued");
    says(context.bind("z", memory(1)), "no tensor \"z\"");
}

#[test]
fn contexts_can_share_one_memory_for_their_activations() {
    let double = Double::new(11).expect("the double");
    let engine = engine(&load(&double));
    let needed = engine.context_bytes(Some(0)).expect("bytes") as usize;
    let too_small = engine.context_in(0, HostMemory::new(needed - 1).expect("memory"));
    assert!(matches!(too_small, Err(Error::Binding(_))));
    let shared = HostMemory::new(needed).expect("memory");
    let stream = stream(&double);
    for seed in 0..2 {
        let mut context = engine.context_in(0, Arc::clone(&shared) as _).expect("a context");
        context.set_shape("x", &batch(1)).expect("within");
        let [x, y] = bind(&mut context, 1);
        x.write(&pictures(1, seed));
        context.enqueue(&stream).expect("enqueued");
        context.wait().expect("done");
        assert_eq!(y.read(32), expected(&pictures(1, seed)));
    }
}

#[test]
fn memory_that_is_replaced_stays_until_its_batch_is_done() {
    let double = Double::new(10).expect("the double");
    assert!(double.set("enqueue_us", 20_000));
    let engine = engine(&load(&double));
    let mut context = engine.context(0).expect("a context");
    context.set_shape("x", &batch(1)).expect("within");
    let stream = stream(&double);
    let [x, y] = bind(&mut context, 1);
    x.write(&pictures(1, 5));
    context.enqueue(&stream).expect("enqueued");
    let weak = Arc::downgrade(&y);
    drop((x, y));
    bind(&mut context, 1);
    let old = weak.upgrade().expect("the context keeps it");
    context.wait().expect("done");
    assert_eq!(old.read(32), expected(&pictures(1, 5)));
    drop(old);
    assert!(weak.upgrade().is_none(), "and lets go afterwards");
}

#[test]
fn a_device_that_fails_in_mid_run_says_so_on_every_batch() {
    for major in MAJORS {
        let double = Double::new(major).expect("the double");
        let engine = engine(&load(&double));
        let mut context = engine.context(0).expect("a context");
        context.set_shape("x", &batch(1)).expect("within");
        bind(&mut context, 1);
        let stream = stream(&double);
        assert!(double.set("enqueue_fails", 2));
        context.enqueue(&stream).expect("the first");
        context.enqueue(&stream).expect("the second");
        for _ in 0..2 {
            let lost = context.enqueue(&stream).expect_err("lost").to_string();
            assert!(lost.contains("enqueueing a batch") && lost.contains("illegal memory access"), "{lost}");
        }
    }
}

#[test]
fn no_memory_for_a_context() {
    let double = Double::new(10).expect("the double");
    let engine = engine(&load(&double));
    assert!(double.set("context_fails", 1));
    let refused = engine.context(0).expect_err("no memory");
    assert!(refused.is_out_of_memory(), "{refused}");
    assert!(double.set("context_fails", 0));
    engine.context(0).expect("there is again");
}

#[test]
fn owners_may_go_in_any_order() {
    let double = Double::new(11).expect("the double");
    let library = load(&double);
    let context = {
        let mut builder = Builder::new(&library, None).expect("a builder");
        builder.parse(&network(), None).expect("the network");
        let runtime = Runtime::new(&library).expect("a runtime");
        let plan = crate::build(&library, &egret_jetson::tensorrt::Options::default()).plan;
        let engine = runtime.deserialize(&plan, Deserialize::default()).expect("the engine");
        drop(runtime);
        drop(library);
        engine.context(0).expect("a context")
    };
    assert_eq!(double.objects(), Some(3), "context, engine and runtime: the context keeps what it needs");
    drop(context);
    assert_eq!(double.objects(), Some(0));
}
