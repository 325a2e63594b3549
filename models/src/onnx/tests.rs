//! Files that a detector may be, and those that it may not.

mod sound;

use proptest::prelude::*;

use super::{
    MAX_FILE_BYTES, Refused,
    builder::{Message, detector as file, ints, model, node, tensor, value_info},
    *,
};
use crate::{
    manifest::{Manifest, class_names, describe, recognise, without_manifest},
    spec::{BatchAxis, COCO_80, ModelSpec},
};

const NODE: u64 = 1;
const INITIALIZER: u64 = 5;

fn nano() -> Option<Vec<u8>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let data = std::env::var("EGRET_TEST_DATA").unwrap_or_else(|_| default.into());
    let bytes = std::fs::read(format!("{data}/models/yolox_nano.onnx")).ok();
    if bytes.is_none() {
        eprintln!("SKIPPED: no models/yolox_nano.onnx under {data} (set EGRET_TEST_DATA)");
    }
    bytes
}

fn coco() -> Vec<String> {
    COCO_80.iter().map(ToString::to_string).collect()
}

fn small(more: &[(u64, Message)]) -> Vec<u8> {
    file(&[1, 3, 64, 64], &[1, 84, 8], more).0
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("c{i}")).collect()
}

/// Reads a file and takes it for what it is without a manifest.
fn detector(bytes: &[u8], classes: &[String]) -> Result<ModelSpec, Refused> {
    Ok(without_manifest(&read(bytes)?, Some(classes))?.0)
}

fn refusal(bytes: &[u8]) -> Refused {
    detector(bytes, &names(3)).unwrap_err()
}

#[test]
fn reads_the_published_network() {
    let Some(bytes) = nano() else { return };
    let model = read(&bytes).unwrap();
    assert_eq!((model.opset, model.producer, model.graph.nodes.len(), model.graph.initializers.len()), (11, "pytorch", 369, 236));
    model.sound().unwrap();
    let spec = detector(&bytes, &coco()).unwrap();
    assert_eq!((spec.input.name.as_str(), spec.input.width, spec.input.height), ("images", 416, 416));
    assert_eq!((spec.input.batch, spec.outputs.as_slice()), (BatchAxis::Fixed(1), &["output".to_owned()][..]));
    let error = detector(&bytes, &names(3)).unwrap_err();
    assert_eq!(error, Refused::Classes { output: "output".into(), classes: 80, names: 3 });
    // It names no classes itself: eighty are COCO's, and that is said.
    let (spec, assumed) = without_manifest(&model, None).unwrap();
    assert_eq!(spec.classes, coco());
    assert!(assumed.len() == 1 && assumed[0].what.contains("80 of COCO"), "{assumed:?}");
}

#[test]
fn reads_a_small_one_with_an_open_batch() {
    let bytes = file(&[0, 3, 64, 32], &[0, 42, 8], &[]).0;
    let spec = detector(&bytes, &names(3)).unwrap();
    assert_eq!((spec.input.batch, spec.input.width, spec.input.height), (BatchAxis::Dynamic, 32, 64));
}

/// A detector of three classes with a property `names`.
fn naming(names: &str) -> Vec<u8> {
    let entry = Message::default().bytes(1, "names").bytes(2, names);
    Message(small(&[])).message(14, entry).0
}

#[test]
fn class_names_may_come_with_the_file() {
    let with = |names: &str| class_names(&read(&naming(names)).unwrap());
    assert_eq!(with("person, bicycle,car"), Ok(Some(vec!["person".into(), "bicycle".into(), "car".into()])));
    assert_eq!(with("{0: 'person', 1: 'car'}"), Ok(Some(vec!["person".into(), "car".into()])));
    assert_eq!(class_names(&read(&small(&[])).unwrap()), Ok(None));
    for (names, word) in [
        ("{0: person}", "outside of quotation marks"),
        ("person,,car", "a name is empty"),
        ("person,car,person", "\"person\": it occurs twice"),
        ("per\x1b[2Json,car", "characters that are in no name"),
        ("", "it is empty"),
        ("{}", "no name in it"),
    ] {
        let error = with(names).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("`names`") && crate::text::is_plain(&error), "{error}");
    }
}

#[test]
fn names_that_cannot_be_taken_are_told() {
    let told = |names: &str| {
        let bytes = naming(names);
        let assumed = recognise(&read(&bytes).unwrap(), "net.onnx").unwrap().assumed;
        assumed.into_iter().find(|assumption| assumption.key.starts_with("classes")).map(|assumption| assumption.what)
    };
    assert_eq!(told("a,b,c"), None);
    assert_eq!(
        told("a,b").unwrap(),
        "the file's own property `names` lists 2 classes, but its outputs have 3: the classes are numbered"
    );
    assert!(told("{0: 'a', 2: 'c'}").unwrap().contains("class 1 is missing, or there twice: the classes are numbered"));
    // Nobody runs a network whose classes nobody named.
    for names in ["a,b", "{0: 'a', 2: 'c'}"] {
        let error = without_manifest(&read(&naming(names)).unwrap(), None).unwrap_err();
        assert_eq!(error, Refused::Classes { output: "output".into(), classes: 3, names: 0 });
    }
    let (spec, assumed) = without_manifest(&read(&naming("a,b,c")).unwrap(), None).unwrap();
    assert_eq!((spec.classes, assumed), (vec!["a".to_owned(), "b".into(), "c".into()], Vec::new()));
}

#[test]
fn other_files_are_recognised() {
    for (bytes, word) in [
        (&b""[..], "empty"),
        (b"PK\x03\x04\x00\x00", "PyTorch"),
        (b"ftrt\x00\x00\x01", "TensorRT"),
        (b"\x80\x02}q\x00", "pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "LFS"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"hello, I am a text file\n", "text"),
        (b"\x08\x07", "no graph"),
    ] {
        let error = refusal(bytes);
        assert!(matches!(error, Refused::NotOnnx { .. }) && error.to_string().contains(word), "{error}");
        assert!(!error.remedy().is_empty());
    }
    let noise: Vec<u8> = (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert!(matches!(refusal(&noise), Refused::NotOnnx { .. } | Refused::Damaged { .. }));
}

#[test]
fn every_truncation_is_refused() {
    let bytes = small(&[(INITIALIZER, ints("s", &[1, 2, 3])), (NODE, node("Relu", &["images"], "output"))]);
    assert!(read(&bytes).is_ok());
    for len in 0..bytes.len() {
        // What is cut exactly between the graph and the operator set is still a whole graph.
        let cut = read(&bytes[..len]);
        assert!(cut.is_err() || len + 6 >= bytes.len(), "{len} of {}", bytes.len());
    }
    if let Some(bytes) = nano() {
        for len in [1, 100, 10_000, bytes.len() / 2, bytes.len() - 100] {
            assert!(matches!(read(&bytes[..len]).unwrap_err(), Refused::Damaged { .. } | Refused::NotOnnx { .. }));
        }
    }
}

#[test]
fn tensors_must_hold_what_they_declare() {
    let bad = |t: Message| refusal(&small(&[(INITIALIZER, t)]));
    for dims in [&[4_i64][..], &[2, 2], &[-1], &[i64::MAX, i64::MAX], &[1 << 40, 0], &[0]] {
        let error = bad(tensor("w", 1, dims, &[0; 12]));
        assert!(matches!(&error, Refused::Tensor { tensor, .. } if tensor == "w"), "{dims:?}: {error}");
    }
    assert!(read(&small(&[(INITIALIZER, tensor("w", 1, &[3], &[0; 12]))])).is_ok());
    assert!(read(&small(&[(INITIALIZER, tensor("w", 1, &[], &[0; 4]))])).is_ok());
    assert!(matches!(bad(tensor("w", 99, &[3], &[0; 12])), Refused::Tensor { .. }));
    assert!(matches!(bad(tensor("w", 1, &[1; 17], &[0; 4])), Refused::TooMany { .. }));
    // Typed data instead of raw bytes: two floats where three are declared.
    let typed = Message::default().varint(1, 3).varint(2, 1).bytes(4, [0; 8]).bytes(8, "w");
    assert!(matches!(bad(typed), Refused::Tensor { .. }));
    let typed = Message::default().varint(1, 3).varint(2, 1).bytes(4, [0; 12]).bytes(8, "w");
    assert!(read(&small(&[(INITIALIZER, typed)])).is_ok());
}

#[test]
fn data_elsewhere_is_refused_by_name() {
    let entry = Message::default().bytes(1, "location").bytes(2, "../../etc/passwd");
    let tensor = Message::default().varint(1, 3).varint(2, 1).bytes(8, "w").message(13, entry).varint(14, 1);
    let expected = Refused::ExternalData { tensor: "w".into(), location: "../../etc/passwd".into() };
    assert_eq!(refusal(&small(&[(INITIALIZER, tensor)])), expected);
}

#[test]
fn what_a_feed_forward_graph_does_not_need_is_refused() {
    let body = Message::default().bytes(1, "body").message(6, Message::default());
    let looped = node("Loop", &["n"], "x").message(5, body);
    assert!(refusal(&small(&[(NODE, looped)])).to_string().contains("`Loop_1` (Loop)"));
    let functions = Message(small(&[])).message(25, Message::default()).0;
    assert!(matches!(refusal(&functions), Refused::Unsupported { .. }));
    assert!(matches!(refusal(&small(&[(15, Message::default())])), Refused::Unsupported { .. }));
}

#[test]
fn operators_of_others_are_named() {
    let plugin = |op: &str, domain: &str| small(&[(NODE, node(op, &["images"], "x").bytes(7, domain))]);
    for (op, domain) in [("EfficientNMS_TRT", ""), ("EfficientNMS_TRT", "TRT"), ("NonMaxSuppression", "mmdeploy")] {
        let bytes = plugin(op, domain);
        let error = read(&bytes).unwrap().standard_operators().unwrap_err();
        assert_eq!(error, Refused::CustomOperator { node: format!("{op}_1"), op: op.into(), domain: domain.into() });
    }
    for domain in ["", "ai.onnx"] {
        read(&plugin("Relu", domain)).unwrap().standard_operators().unwrap();
    }
}

#[test]
fn a_small_file_cannot_ask_for_a_huge_tensor() {
    let huge = &[100_000, 100_000];
    let floats = |values: &[f32]| {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        tensor("s", 1, &[values.len() as i64], &raw)
    };
    let attribute = |name: &str, values: &[i64]| {
        let message = Message::default().bytes(1, name);
        values.iter().fold(message, |message, value| message.varint(8, *value as u64))
    };
    let cases = [
        (node("ConstantOfShape", &["s"], "x"), ints("s", huge)),
        (node("Expand", &["images", "s"], "x"), ints("s", huge)),
        (node("Tile", &["images", "s"], "x"), ints("s", huge)),
        (node("Resize", &["images", "", "", "s"], "x"), ints("s", &[1, 3, 1 << 20, 1 << 20])),
        (node("Resize", &["images", "", "s"], "x"), floats(&[1.0, 1.0, 1e6, 1e6])),
        (node("Resize", &["images", "", "s"], "x"), floats(&[1.0, f32::NAN, 1.0, f32::INFINITY])),
        (node("Upsample", &["images", "s"], "x"), floats(&[1.0, 1.0, 1e6, 1e6])),
        (node("Pad", &["images", "s"], "x"), ints("s", &[0, 0, 1 << 20, 0, 0, 0, 0, 1 << 20])),
        (node("OneHot", &["images", "s", "v"], "x"), ints("s", &[1 << 40])),
        (node("Conv", &["images", "s"], "x").message(5, attribute("pads", &[1 << 20, 1 << 20, 0, 0])), ints("s", &[0])),
        (node("RandomNormal", &[], "x").message(5, attribute("shape", huge)), ints("s", &[0])),
    ];
    for (node, constant) in cases {
        let bytes = small(&[(INITIALIZER, constant), (NODE, node)]);
        let error = refusal(&bytes);
        assert!(matches!(error, Refused::Growth { .. }), "{error}");
    }
    // The same through a Constant node, and a range of 2^40.
    let constant = |name: &str, value: i64| {
        node("Constant", &[], name).message(5, Message::default().bytes(1, "value_int").varint(3, value as u64))
    };
    let range = [
        (NODE, constant("a", 0)),
        (NODE, constant("b", 1 << 40)),
        (NODE, constant("c", 1)),
        (NODE, node("Range", &["a", "b", "c"], "x")),
    ];
    let error = refusal(&small(&range));
    assert!(error.to_string().contains("`Range_1` (Range)"), "{error}");
    let harmless = small(&[(INITIALIZER, floats(&[1.0, 1.0, 2.0, 2.0])), (NODE, node("Resize", &["images", "", "s"], "x"))]);
    assert!(read(&harmless).is_ok());
}

#[test]
fn sizes_are_followed_from_node_to_node() {
    let axis = |n: u64| Message::default().bytes(1, "axis").varint(3, n);
    // Forty doublings of an input of 3·64·64.
    let doublings = (0..40).map(|i| {
        let from = if i == 0 { "images".to_owned() } else { format!("x{i}") };
        (NODE, node("Concat", &[&from, &from], &format!("x{}", i + 1)).message(5, axis(1)))
    });
    let error = refusal(&small(&doublings.collect::<Vec<_>>()));
    assert!(matches!(error, Refused::Growth { .. }), "{error}");
    // The same with convolutions between, which keep the size.
    let weights = (INITIALIZER, tensor("w", 1, &[1, 1, 1, 1], &[0; 4]));
    let mixed = (0..40).flat_map(|i| {
        let from = if i == 0 { "images".to_owned() } else { format!("x{i}") };
        let joined = node("Concat", &[&from, &from], &format!("y{i}")).message(5, axis(2));
        [(NODE, joined), (NODE, node("Conv", &[&format!("y{i}"), "w"], &format!("x{}", i + 1)))]
    });
    let error = refusal(&small(&std::iter::once(weights).chain(mixed).collect::<Vec<_>>()));
    assert!(matches!(error, Refused::Growth { .. }), "{error}");
    // A row plus a column.
    let line = |name: &str, dims: &[i64]| (INITIALIZER, tensor(name, 1, dims, &vec![0; 4 * 20_000]));
    let outer = [line("a", &[20_000, 1]), line("b", &[1, 20_000]), (NODE, node("Add", &["a", "b"], "x"))];
    let error = refusal(&small(&outer));
    assert_eq!(error, Refused::Growth { node: "Add_1".into(), op: "Add".into(), elements: 400_000_000 });
    let product = [line("a", &[20_000, 1]), line("b", &[1, 20_000]), (NODE, node("MatMul", &["a", "b"], "x"))];
    assert!(matches!(refusal(&small(&product)), Refused::Growth { .. }));
}

/// What the followed shapes say of the published network's output is what it declares.
#[test]
fn followed_shapes_agree_with_the_published_network() {
    let Some(bytes) = nano() else { return };
    let model = read(&bytes).unwrap();
    let constants = growth::Constants::of(&model.graph);
    let mut shapes = shapes::Shapes::new(&model.graph, &constants);
    let sizes: Vec<_> = model.graph.nodes.iter().map(|node| (node.op, shapes.follow(node))).collect();
    let unknown: Vec<_> = sizes.iter().filter(|(_, size)| size.is_none()).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert_eq!(sizes.last().copied(), Some(("Transpose", Some(3549.0 * 85.0))));
}

#[test]
fn graphs_that_are_no_detectors_say_why() {
    let says = |bytes: Vec<u8>, word: &str| {
        let error = refusal(&bytes);
        assert!(matches!(error, Refused::NeedsManifest { .. }) && error.to_string().contains(word), "{error}");
        assert!(error.remedy().len() > 20, "{}", error.remedy());
    };
    says(file(&[1, 3, 64], &[1, 84, 8], &[]).0, "[N,3,H,W]");
    says(file(&[1, 1, 64, 64], &[1, 84, 8], &[]).0, "not three colours");
    says(file(&[1, 3, 60, 64], &[1, 84, 8], &[]).0, "reads predictions [N,70,8]");
    says(file(&[1, 3, 1 << 40, 64], &[1, 84, 8], &[]).0, "no known family");
    says(file(&[4096, 3, 64, 64], &[1, 84, 8], &[]).0, "an impossible batch");
    says(file(&[1, 3, 64, 64], &[1, 83, 8], &[]).0, "no known family");
    says(file(&[1, 3, 64, 64], &[1, 84, 5], &[]).0, "no known family");
    says(file(&[1, 3, 64, 64], &[1, 8, 84], &[]).0, "YOLOv8");
    says(file(&[1, 3, 64, 64], &[1, 84], &[]).0, "classification");
    says(file(&[1, 3, 0, 64], &[1, 0, 8], &[]).0, "of any size");
    says(model(Message::default()).0, "inputs: none");
    let integers = Message::default().message(11, value_info("images", 7, &[1, 3, 64, 64]));
    says(model(integers.message(12, value_info("output", 1, &[1, 84, 8]))).0, "i64");
}

/// images → Relu → output, with something wrong in it.
fn sound(parts: &[(u64, Message)]) -> Result<(), Refused> {
    let more: Vec<_> = [(NODE, node("Relu", &["images"], "output"))].into_iter().chain(parts.iter().cloned()).collect();
    read(&small(&more)).and_then(|model| model.sound())
}

#[test]
fn names_reach_nobody_raw() {
    let evil = "a\x1b]0;pwned\x07\u{9b}2J\u{202e}b";
    let clean = |text: &str| assert!(crate::text::is_plain(text), "{text:?}");
    let node = |op: &str, inputs: &[&str]| {
        let inputs = inputs.iter().fold(Message::default(), |message, input| message.bytes(1, input));
        (NODE, inputs.bytes(2, evil).bytes(3, evil).bytes(4, op))
    };
    for parts in [
        vec![node("Relu", &[evil])],
        vec![node("Relu", &["nothing\x1b"])],
        vec![node(evil, &["images"])],
        vec![(NODE, self::node("Relu", &["images"], "x").bytes(7, evil))],
        vec![(INITIALIZER, tensor(evil, 1, &[3], &[0; 4]))],
        vec![(INITIALIZER, tensor(evil, 1, &[1], &f32::NAN.to_le_bytes())), (NODE, self::node("Relu", &[evil], "x"))],
        vec![(
            NODE,
            self::node("Loop", &["images"], "x").bytes(3, evil).message(5, Message::default().message(6, Message::default())),
        )],
    ] {
        let error = sound(&parts).unwrap_err();
        clean(&error.to_string());
        clean(&format!("{error:?}"));
    }
    // The whole way of `egret model inspect`.
    let graph =
        Message::default().message(11, value_info(evil, 1, &[1, 3, 64, 64])).message(12, value_info(evil, 1, &[1, 84, 8]));
    let bytes = model(graph).message(14, Message::default().bytes(1, "names").bytes(2, evil)).0;
    let model = read(&bytes).unwrap();
    model.graph.inputs.iter().chain(&model.graph.outputs).for_each(|value| clean(&describe(value)));
    let found = recognise(&model, "net.onnx").unwrap();
    assert_eq!((found.manifest.spec.input.name.as_str(), found.manifest.spec.outputs[0].as_str()), (evil, evil));
    let toml = found.to_toml();
    toml.lines().for_each(clean);
    assert_eq!(Manifest::parse(&toml).unwrap(), found.manifest);
    let other =
        Manifest { spec: ModelSpec { outputs: vec![evil.to_owned() + "2"], ..found.manifest.spec.clone() }, ..found.manifest };
    let told = other.contradictions(&model);
    assert!(!told.is_empty());
    for problem in told {
        clean(&problem.to_string());
    }
}

#[test]
fn absurd_counts_are_refused_before_they_cost_memory() {
    let inputs = (0..5000).fold(Message::default(), |m, _| m.bytes(1, ""));
    assert!(matches!(refusal(&small(&[(NODE, inputs.bytes(4, "Concat"))])), Refused::TooMany { .. }));
    let attribute = Message::default().bytes(1, "x").bytes(8, vec![1; 10_000]);
    assert!(matches!(refusal(&small(&[(NODE, Message::default().message(5, attribute))])), Refused::TooMany { .. }));
    let empty_nodes = (0..100_001).fold(Message::default(), |m, _| m.bytes(NODE, ""));
    assert!(matches!(refusal(&model(empty_nodes).0), Refused::TooMany { .. }));
    assert_eq!(MAX_FILE_BYTES, 1 << 30);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever the bytes: an answer, no panic.
    #[test]
    fn mutated_files_never_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
                                 cut in any::<prop::sample::Index>(), cuts in any::<bool>()) {
        let base = small(&[
            (INITIALIZER, ints("s", &[1, 2, 3])),
            (INITIALIZER, tensor("w", 1, &[2, 2], &[0; 16])),
            (NODE, node("Resize", &["images", "", "", "s"], "x").message(5, Message::default().bytes(1, "mode").bytes(4, "nearest"))),
            (NODE, node("Conv", &["x", "w"], "output").message(5, Message::default().bytes(1, "pads").varint(8, 1).varint(8, 1))),
        ]);
        check_mutation(base, &edits, cuts.then_some(cut));
    }

    #[test]
    fn mutated_networks_never_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
                                    structural in any::<bool>()) {
        // The weights come first in this file's bytes; structure is in its last part and between the tensors.
        thread_local!(static NANO: Option<Vec<u8>> = nano());
        NANO.with(|nano| {
            let Some(nano) = nano else { return };
            let part = if structural { nano.len() - 120_000..nano.len() } else { 0..nano.len() };
            let mut bytes = nano.clone();
            for (index, value) in &edits {
                let at = part.start + index.index(part.len());
                bytes[at] = *value;
            }
            let _answer = detector(&bytes, &coco());
        });
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _answer = read(&bytes);
    }
}

fn check_mutation(mut bytes: Vec<u8>, edits: &[(prop::sample::Index, u8)], cut: Option<prop::sample::Index>) {
    for (index, value) in edits {
        let at = index.index(bytes.len());
        bytes[at] = *value;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len()));
    }
    let _answer = detector(&bytes, &names(3));
}
