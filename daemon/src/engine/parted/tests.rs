//! Networks that TensorRT's double refuses in part, built and kept in two parts.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use crate::{
    engine::{
        BuildError, Built, Choice, Order, PartError, Phase, Store, build, choose,
        doubles_tests::{asked, network, order, silent, site},
        open,
    },
    infer::{
        TailError,
        onnx_file::{Attribute, Network},
        without_onnxruntime,
    },
};

fn conv(dilation: i64) -> [(&'static str, Attribute); 3] {
    let of = |name, value, count| (name, Attribute::Ints(vec![value; count]));
    [of("pads", dilation, 4), of("strides", 1, 2), of("dilations", dilation, 2)]
}

/// `[N,1,4,4]` → Conv → what `more` adds to `c` → `y`, `[N,2,4,4]`.
fn begun(more: impl FnOnce(Network) -> Network) -> Vec<u8> {
    let network = Network::new(&[1, 4, 4])
        .constant("w", &[2, 1, 3, 3], &[0.5; 18])
        .constant("v", &[2, 2, 3, 3], &[0.25; 36])
        .node("Conv", &["images", "w"], "c", &conv(1));
    more(network).output("y", &[2, 4, 4]).file()
}

fn of(onnx: Vec<u8>) -> Order {
    Order { onnx, ..order(8) }
}

/// Without the library nothing of this can be tested.
fn has_onnxruntime() -> bool {
    let found = crate::infer::onnxruntime_library(None);
    if let Err(reason) = &found {
        eprintln!("SKIPPED: no ONNX Runtime: {reason} (set EGRET_ONNXRUNTIME)");
    }
    found.is_ok()
}

#[test]
fn what_the_parser_refuses_becomes_a_tail_that_is_kept_beside_the_engine() {
    for major in [10, 11] {
        let Some((_double, here)) = site(major) else { return };
        if !has_onnxruntime() {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = Store::new(folder.path());
        let order = of(begun(|network| network.node("Relu", &["c"], "r", &[]).node("Softplus", &["r"], "y", &[])));
        let phases = Arc::default();
        let built = build(&here, &mut store, &order, &asked(&phases)).expect("built in two parts").manifest;
        let tail = built.tail.clone().expect("a tail");
        let why = "cut at tensors `r` (float32 [N,2,4,4], 128 bytes a frame) because node 2 `y` (Softplus): \
                   No importer registered for op: Softplus. 2 nodes run in the engine, 1 in ONNX Runtime";
        assert!(tail.cut.starts_with(why) && tail.frame_bytes == 128, "{}", tail.cut);
        assert_eq!(built.tensors, ["input images: Float [-1,1,4,4]", "output r: Float [-1,2,4,4]"]);
        assert_eq!(built.key, order.key(&here), "the key is that of the whole file");
        let told: Vec<Phase> = phases.lock().expect("no panic").clone();
        assert!(told.contains(&Phase::Cut(tail.cut.clone())));

        // It is found again, which is told as well, and opened with its tail.
        let heard = Arc::default();
        assert!(build(&here, &mut store, &order, &asked(&heard)).expect("there").found);
        assert_eq!(heard.lock().expect("no panic")[..], [Phase::Cut(tail.cut.clone())]);
        let opened = open(&here, &mut store, &built).expect("opened");
        assert_eq!(opened.tail.map(|tail| tail.len() as u64), Some(tail.file.bytes));

        // A tail with another byte, or none, is no engine: it is built anew.
        let file = folder.path().join(&tail.file.file);
        let whole = fs::read(&file).expect("the tail");
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for bytes in [Some(&flipped), None] {
            match bytes {
                Some(bytes) => fs::write(&file, bytes).expect("written"),
                None => fs::remove_file(&file).expect("removed"),
            }
            let refused = open(&here, &mut store, &built).map(|_| ()).expect_err("damaged").to_string();
            assert!(refused.contains(&tail.file.file) && refused.contains("build it anew"), "{refused}");
            assert!(matches!(choose(&mut store, &built.key).expect("a look"), Choice::None(why) if why[0].contains(".tail")));
            assert!(!build(&here, &mut store, &order, &silent()).expect("built").found);
            assert_eq!(fs::read(&file).expect("whole again"), whole);
        }

        // A cut by rules of another day.
        let mut old = store.find(&built.key).expect("found").expect("there");
        old.tail.as_mut().expect("a tail").rules = 0;
        let parts = store.parts(&old).expect("whole");
        store.put(&old, &parts).expect("put");
        assert!(
            matches!(choose(&mut store, &built.key).expect("a look"), Choice::Other { why, .. } if why.contains("version 0"))
        );
        let Built { manifest, found } = build(&here, &mut store, &order, &silent()).expect("built anew");
        assert!(!found && manifest.outdated().is_none() && manifest.tail == Some(tail));
        store.remove(&built.key.stem()).expect("removed");
        assert!(!file.exists());
    }
}

/// The parser refuses one node, then, as it makes layers, another one; and the builder has no tactic for a third.
#[test]
fn what_is_refused_later_cuts_the_whole_anew() {
    let Some((_double, here)) = site(10) else { return };
    if !has_onnxruntime() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::new(folder.path());
    let order = of(begun(|network| {
        let network = network.node("Relu", &["c"], "unbuildable", &[]).node("Conv", &["unbuildable", "v"], "d", &conv(2));
        network.node("Softplus", &["d"], "y", &[])
    }));
    let phases: Arc<Mutex<Vec<Phase>>> = Arc::default();
    let built = build(&here, &mut store, &order, &asked(&phases)).expect("built in two parts").manifest;
    let cut = built.tail.expect("a tail").cut;
    for words in [
        "cut at tensors `c` (float32 [N,2,4,4], 128 bytes a frame) because node 1 `unbuildable` (Relu): TensorRT could not find any",
        "node 2 `d` (Conv): only dense two-dimensional convolutions",
        "node 3 `y` (Softplus): No importer registered",
        "1 nodes run in the engine, 3 in ONNX Runtime",
    ] {
        assert!(cut.contains(words), "{cut} has no {words}");
    }
    let phases = phases.lock().expect("no panic");
    let cuts: Vec<usize> = phases.iter().map(|phase| usize::from(matches!(phase, Phase::Cut(_)))).collect();
    assert_eq!(cuts.iter().sum::<usize>(), 3);
    // The build that failed had been told of too, before the last cut.
    assert!(phases.iter().any(|phase| phase.percent() == Some(0) || phase.word() == "building"));
}

#[test]
fn what_cannot_be_cut_is_told_with_both_reasons() {
    let Some((_double, here)) = site(10) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::new(folder.path());
    let mut refused = |onnx: Vec<u8>| match build(&here, &mut store, &of(onnx), &silent()) {
        Err(error @ BuildError::Part { .. }) => error.to_string(),
        other => unreachable!("{other:?}"),
    };
    // Before the first convolution.
    let early = Network::new(&[1, 4, 4])
        .constant("w", &[2, 1, 3, 3], &[0.5; 18])
        .node("Softplus", &["images"], "s", &[])
        .node("Conv", &["s", "w"], "y", &conv(1))
        .output("y", &[2, 4, 4]);
    let text = refused(early.file());
    for words in [
        "model street: TensorRT cannot read the network: node 0 \"s\" (Softplus): No importer",
        "it cannot be cut in two: the network's first convolution or product, `y`, needs what is refused",
        "egret scales and normalises pictures itself",
    ] {
        assert!(text.contains(words), "{text} has no {words}");
    }
    // As a whole: no node is told.
    let whole = network();
    let text = refused(whole[..whole.len() - 30].to_vec());
    assert!(text.contains("cannot read the network") && text.contains("it cannot be cut in two"), "{text}");
    assert!(store.all().expect("a list").is_empty());
}

#[test]
fn without_onnx_runtime_nothing_is_built_and_the_remedy_is_named() {
    let Some((_double, here)) = site(10) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let order = of(begun(|network| network.node("Softplus", &["c"], "y", &[])));
    let phases: Arc<Mutex<Vec<Phase>>> = Arc::default();
    let refused = without_onnxruntime(|| build(&here, &mut Store::new(folder.path()), &order, &asked(&phases)));
    let error = refused.expect_err("no tail runs");
    let BuildError::Part { error: why, .. } = &error else { unreachable!("{error}") };
    assert!(matches!(&**why, PartError::Tail { error: TailError::NoRuntime(_), .. }), "{why}");
    let text = error.to_string();
    for words in
        ["node 1 \"y\" (Softplus)", "it could be cut at tensors `c`", "needs ONNX Runtime", "runtime.onnxruntime_library"]
    {
        assert!(text.contains(words), "{text} has no {words}");
    }
    let words: Vec<&str> = phases.lock().expect("no panic").iter().map(Phase::word).collect();
    assert_eq!(words, ["reading"], "no minutes are spent on it");
    assert!(Store::new(folder.path()).all().expect("a list").is_empty());
}
