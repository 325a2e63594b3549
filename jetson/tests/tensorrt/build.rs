//! Builds: options, refusals, progress.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex},
    time::Instant,
};

use egret_jetson::tensorrt::{
    Builder, Completion, Deserialize, Dla, Error, HardwareCompatibility, Library, Options, Progress, Range, Runtime,
    doubles::Double,
};

use crate::{MAJORS, batch, build, load, network, onnx::Onnx, profile, shape};

fn parsed(library: &Arc<Library>) -> Builder {
    let mut builder = Builder::new(library, None).expect("a builder");
    builder.parse(&network(), None).expect("the network");
    builder
}

fn inspect(library: &Arc<Library>, options: &Options) -> String {
    let how = Deserialize { dla: options.dla.as_ref().map(|dla| dla.core), allow_host_code: options.version_compatible };
    let engine = Runtime::new(library).expect("a runtime").deserialize(&build(library, options).plan, how);
    engine.expect("the engine").inspect().expect("JSON")
}

#[test]
fn a_network_is_known_before_it_is_built() {
    for major in MAJORS {
        let double = Double::new(major).expect("the double");
        let tensors = parsed(&load(&double)).tensors().expect("tensors");
        let told: Vec<_> = tensors.iter().map(|t| (t.name.as_str(), t.is_output, t.shape.to_string())).collect();
        assert_eq!(told, [("x", false, "[-1,1,4,4]".into()), ("y", true, "[-1,2,4,4]".into())]);
    }
}

#[test]
fn the_parser_s_errors_name_node_operator_and_reason() {
    for major in MAJORS {
        let double = Double::new(major).expect("the double");
        let library = load(&double);
        let odd = Onnx::default()
            .input("x", &[1, 4])
            .node("Relu", &["x"], "a", &[])
            .node("NonMaxSuppression", &["a"], "b", &[])
            .node("Einsum", &["b"], "y", &[])
            .output("y", &[1, 4])
            .finish();
        let Err(Error::Parse { errors }) = Builder::new(&library, None).expect("a builder").parse(&odd, None) else {
            unreachable!("refused by the parser")
        };
        let told: Vec<_> = errors.iter().map(|e| (e.node, e.name.as_str(), e.operator.as_str(), e.code)).collect();
        assert_eq!(told, [(Some(1), "n1", "NonMaxSuppression", 8), (Some(2), "n2", "Einsum", 8)]);
        assert!(errors.iter().all(|e| e.reason.contains(&e.operator) && !e.file.is_empty() && e.line > 0), "{errors:?}");
        for cut in [0, 1, 10, odd.len() / 2, odd.len() - 1] {
            let refused = Builder::new(&library, None).expect("a builder").parse(&odd[..cut], None);
            assert!(matches!(refused, Err(Error::Parse { .. })), "{cut} bytes: {refused:?}");
        }
    }
}

/// What shows only while layers are made is told of the node, too, and nothing that reads integers is taken.
#[test]
fn refusals_of_shapes_and_types_name_their_nodes() {
    let double = Double::new(10).expect("the double");
    let library = load(&double);
    let refused = |onnx: &[u8]| match Builder::new(&library, None).expect("a builder").parse(onnx, None) {
        Err(Error::Parse { errors }) => errors.into_iter().map(|e| (e.node, e.operator, e.reason)).collect::<Vec<_>>(),
        other => unreachable!("{other:?}"),
    };
    let flat = Onnx::default().input("x", &[1, 4]).node("Relu", &["x"], "a", &[]).node("Conv", &["a", "a"], "y", &[]);
    let told = refused(&flat.output("y", &[1, 4]).finish());
    assert_eq!(told, [(Some(1), "Conv".into(), "only dense two-dimensional convolutions".into())]);
}

/// The builder's own refusals come as words.
#[test]
fn a_layer_that_no_tactic_computes_is_named() {
    for major in MAJORS {
        let double = Double::new(major).expect("the double");
        let library = load(&double);
        let onnx = Onnx::default().input("x", &[1, 4]).node("Relu", &["x"], "unbuildable", &[]).output("unbuildable", &[1, 4]);
        let mut builder = Builder::new(&library, None).expect("a builder");
        builder.parse(&onnx.finish(), None).expect("the parser takes it");
        builder.configure(&Options::default()).expect("configured");
        let error = builder.build().expect_err("no tactic");
        assert_eq!(error.unbuildable(), ["n0"], "{error}");
    }
}

#[test]
fn options_arrive_in_each_major_s_own_numbers() {
    let all = |flags: &[u32]| flags.iter().fold(0, |sum, flag| sum | 1_u32 << flag);
    // kTF32 6 and kSPARSE_WEIGHTS 7 in both; kVERSION_COMPATIBLE 13 in TensorRT 10 and 12 in 11, kEXCLUDE_LEAN_RUNTIME 14 and 13.
    for (major, compatible) in [(10, all(&[6, 7, 13, 14])), (11, all(&[6, 7, 12, 13]))] {
        let double = Double::new(major).expect("the double");
        let library = load(&double);
        assert!(
            inspect(&library, &Options::default()).contains(r#""flags":0,"dla":-1,"hardware":0,"verbosity":0"#),
            "FP32 is FP32"
        );
        let options = Options {
            tf32: true,
            sparse_weights: true,
            version_compatible: true,
            exclude_lean_runtime: true,
            optimization_level: Some(4),
            max_tactics: Some(7),
            max_aux_streams: Some(2),
            max_threads: Some(1),
            workspace_bytes: Some(1 << 30),
            tactic_bytes: Some(5),
            hardware_compatibility: HardwareCompatibility::SameComputeCapability,
            detailed: true,
            ..Options::default()
        };
        let told = inspect(&library, &options);
        let wanted = format!(
            r#"{{"flags":{compatible},"dla":-1,"aux_streams":2,"hardware":2,"level":4,"pool0":1073741824,"pool4":5,"tactics":7,"verbosity":2}}"#
        );
        assert!(told.contains(&wanted), "{told} has no {wanted}");
    }
}

#[test]
fn what_the_installed_release_does_not_have_is_refused_by_name() {
    let double = Double::new(10).expect("the double");
    assert!(double.set("version", 100_300));
    let library = load(&double);
    let refused = |options: &Options| parsed(&library).configure(options).expect_err("too old").to_string();
    let tactics = refused(&Options { max_tactics: Some(5), ..Options::default() });
    assert!(tactics.contains("TensorRT 10.3.0 has no limit on tactics"), "{tactics}");
    let same = Options { hardware_compatibility: HardwareCompatibility::SameComputeCapability, ..Options::default() };
    assert!(refused(&same).contains("came with 10.9"));
    assert!(refused(&Options { exclude_lean_runtime: true, ..Options::default() }).contains("version-compatible"));
    assert!(matches!(
        parsed(&library).configure(&Options { max_threads: Some(0), ..Options::default() }),
        Err(Error::Refused { .. })
    ));
    build(&library, &Options::default());
}

#[test]
fn profiles_that_make_no_sense_are_refused() {
    let double = Double::new(11).expect("the double");
    let library = load(&double);
    let range = |min, opt, max| vec![Range { name: "x".into(), min: batch(min), opt: batch(opt), max: batch(max) }];
    for (min, opt, max) in [(2, 1, 4), (1, 5, 4), (3, 3, 2)] {
        assert!(matches!(parsed(&library).add_profile(range(min, opt, max)), Err(Error::Options(_))));
    }
    let unprofiled = parsed(&library).build().expect_err("dynamic").to_string();
    assert!(unprofiled.contains("no optimization profile"), "{unprofiled}");
    let mut builder = parsed(&library);
    builder.add_profile(vec![Range::fixed("x", &shape(&[1, 3, 4, 4]))]).expect("TensorRT sees it later");
    assert!(builder.build().expect_err("other channels").to_string().contains("does not fit input x"));
}

#[test]
fn progress_is_told_and_can_cancel() {
    for major in MAJORS {
        let double = Double::new(major).expect("the double");
        let library = load(&double);
        let run = |stop_at: usize| {
            let heard = Arc::new(Mutex::new(Vec::new()));
            let list = Arc::clone(&heard);
            let progress = move |progress: Progress<'_>| {
                let mut list = list.lock().expect("no panic");
                list.push(format!("{progress:?}"));
                if list.len() > stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let mut builder = Builder::new(&library, Some(Box::new(progress))).expect("a builder");
            builder.parse(&network(), None).expect("the network");
            builder.add_profile(profile()).expect("the profile");
            let built = builder.build();
            let heard = heard.lock().expect("no panic").clone();
            (built, heard)
        };
        let (built, heard) = run(usize::MAX);
        built.expect("built");
        assert_eq!(heard[0], r#"Begun { phase: "Building Engine", parent: None, steps: 1 }"#);
        assert_eq!(heard[1], r#"Begun { phase: "Timing Layers", parent: Some("Building Engine"), steps: 3 }"#);
        assert_eq!(heard[4], r#"Step { phase: "Timing Layers", step: 2 }"#);
        assert_eq!(heard.last().map(String::as_str), Some(r#"Ended { phase: "Building Engine" }"#));
        for stop_at in [0, 2, 3] {
            let (cancelled, told) = run(stop_at);
            assert_eq!(cancelled.err(), Some(Error::Cancelled), "{told:?}");
            let steps = told.iter().filter(|event| event.contains("Step") && event.contains("Timing")).count();
            assert!(steps <= stop_at.max(1), "{told:?}");
        }
    }
}

#[test]
fn completion_follows_a_build() {
    let double = Double::new(11).expect("the double");
    let library = load(&double);
    let seen = Arc::new(Mutex::new((Completion::new(Instant::now()), Vec::new())));
    let heard = Arc::clone(&seen);
    let progress = move |progress: Progress<'_>| {
        let (completion, fractions) = &mut *heard.lock().expect("no panic");
        completion.hear(progress);
        fractions.push((completion.fraction() * 100.0).round());
        ControlFlow::Continue(())
    };
    let mut builder = Builder::new(&library, Some(Box::new(progress))).expect("a builder");
    builder.parse(&network(), None).expect("the network");
    builder.add_profile(profile()).expect("the profile");
    builder.build().expect("built");
    assert_eq!(seen.lock().expect("no panic").1, [0.0, 0.0, 33.0, 67.0, 99.0, 99.0, 99.0, 99.0]);
}

#[test]
fn a_callback_that_panics_cancels() {
    let double = Double::new(10).expect("the double");
    let library = load(&double);
    let mut builder = Builder::new(&library, Some(Box::new(|_| unreachable!("a bug of the caller")))).expect("a builder");
    builder.parse(&network(), None).expect("the network");
    builder.add_profile(profile()).expect("the profile");
    assert_eq!(builder.build().err(), Some(Error::Cancelled));
}

#[test]
fn memory_that_runs_out_while_building() {
    for major in MAJORS {
        let double = Double::new(major).expect("the double");
        assert!(double.set("build_memory", 1000));
        let library = load(&double);
        let mut builder = parsed(&library);
        builder.add_profile(profile()).expect("the profile");
        let refused = builder.build().expect_err("3072 bytes are needed");
        assert!(refused.is_out_of_memory() && refused.to_string().contains("building the engine"), "{refused}");
        let mut builder = parsed(&library);
        builder.add_profile(vec![Range::fixed("x", &batch(2))]).expect("the profile");
        builder.build().expect("a smaller batch fits");
    }
}

#[test]
fn timings_are_kept_and_those_of_another_release_are_not_taken() {
    let timed = |builder: &mut Builder, cache: &[u8]| builder.use_timings(cache).expect("a cache");
    let caches = MAJORS.map(|major| {
        let double = Double::new(major).expect("the double");
        let library = load(&double);
        let mut builder = parsed(&library);
        builder.add_profile(profile()).expect("the profile");
        assert!(timed(&mut builder, &[]));
        let first = builder.build().expect("built").timing_cache;
        assert!(!first.is_empty());
        let mut again = parsed(&library);
        assert!(timed(&mut again, &first), "its own");
        again.add_profile(profile()).expect("the profile");
        assert_eq!(again.build().expect("built").timing_cache, first, "nothing is new");
        assert!(build(&library, &Options::default()).timing_cache.is_empty(), "none was asked for");
        assert!(double.set("device", 2));
        assert!(!timed(&mut parsed(&library), &first), "another device's");
        first
    });
    let double = Double::new(10).expect("the double");
    let library = load(&double);
    let mut builder = parsed(&library);
    builder.add_profile(profile()).expect("the profile");
    assert!(!timed(&mut builder, &caches[1]), "of TensorRT 11");
    assert!(!builder.build().expect("and yet it builds").timing_cache.is_empty());
}

fn dla(gpu_fallback: bool) -> Options {
    let dla = Dla { core: 1, gpu_fallback, sram_bytes: Some(1 << 20), local_dram_bytes: None, global_dram_bytes: Some(9) };
    Options { dla: Some(dla), ..Options::default() }
}

#[test]
fn the_dla_where_there_is_one() {
    for major in MAJORS {
        let double = Double::new(major).expect("the double");
        assert!(double.set("dla_cores", 2));
        let library = load(&double);
        let mut builder = parsed(&library);
        assert!(builder.placement().is_err(), "nothing was asked of the DLA");
        builder.configure(&dla(true)).expect("core 1 is there");
        let placed: Vec<_> = builder.placement().expect("a report").into_iter().map(|p| (p.layer, p.on_dla)).collect();
        assert_eq!(placed, [("n0".into(), true), ("n1".into(), false), ("n2".into(), true)]);
        builder.add_profile(vec![Range::fixed("x", &batch(4))]).expect("the profile");
        let plan = builder.build().expect("built").plan;
        let runtime = Runtime::new(&library).expect("a runtime");
        let on = |core| runtime.deserialize(&plan, Deserialize { dla: core, allow_host_code: false });
        let told = on(Some(1)).expect("the core it was built for").inspect().expect("JSON");
        assert!(told.contains(r#""flags":8,"dla":1"#) && told.contains(r#""pool1":1048576,"pool3":9"#), "{told}");
        assert!(matches!(on(Some(0)), Err(Error::Plan(_))));
        assert!(matches!(on(Some(2)), Err(Error::NoDla { core: 2, cores: 2, .. })));
    }
}

#[test]
fn what_the_dla_cannot_do_is_refused() {
    let double = Double::new(11).expect("the double");
    let library = load(&double);
    let none = parsed(&library).configure(&dla(true)).expect_err("no core");
    assert!(matches!(none, Error::NoDla { core: 1, cores: 0, .. }) && none.to_string().contains("choose the GPU"), "{none}");
    assert!(double.set("dla_cores", 2));
    let configured = |options: &Options, ranges| {
        let mut builder = parsed(&library);
        builder.configure(options).expect("two cores");
        builder.add_profile(ranges).expect("the profile");
        builder.build()
    };
    assert_eq!(configured(&dla(true), profile()).err(), Some(Error::DlaDynamic("x".into())));
    assert_eq!(configured(&dla(false), vec![Range::fixed("x", &batch(2))]).err(), Some(Error::DlaLayers(vec!["n1".into()])));
    let mixed = Options { version_compatible: true, ..dla(true) };
    assert!(matches!(parsed(&library).configure(&mixed), Err(Error::Options(_))));
}
