//! Files that a detector may be, and those that it may not.

use proptest::prelude::*;

use super::{
    MAX_FILE_BYTES, Refused,
    builder::{Message, detector as file, ints, model, node, tensor, value_info},
    *,
};
use crate::spec::{BatchAxis, COCO_80};

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

fn refusal(bytes: &[u8]) -> Refused {
    read(bytes).and_then(|model| detector(&model, Contract::default(), &names(3))).unwrap_err()
}

#[test]
fn reads_the_published_network() {
    let Some(bytes) = nano() else { return };
    let model = read(&bytes).unwrap();
    assert_eq!((model.opset, model.producer, model.graph.nodes.len(), model.graph.initializers.len()), (11, "pytorch", 369, 236));
    let spec = detector(&model, Contract::default(), &coco()).unwrap();
    assert_eq!((spec.input.name.as_str(), spec.input.width, spec.input.height), ("images", 416, 416));
    assert_eq!((spec.input.batch, spec.output.as_str()), (BatchAxis::Fixed(1), "output"));
    let error = detector(&model, Contract::default(), &names(3)).unwrap_err();
    assert_eq!(error, Refused::Classes { output: "output".into(), classes: 80, names: 3 });
}

#[test]
fn reads_a_small_one_with_an_open_batch() {
    let bytes = file(&[0, 3, 64, 32], &[0, 42, 8], &[]).0;
    let model = read(&bytes).unwrap();
    let spec = detector(&model, Contract::default(), &names(3)).unwrap();
    assert_eq!((spec.input.batch, spec.input.width, spec.input.height), (BatchAxis::Dynamic, 32, 64));
}

#[test]
fn class_names_may_come_with_the_file() {
    let with = |names: &str| {
        let entry = Message::default().bytes(1, "names").bytes(2, names);
        read(&Message(small(&[])).message(14, entry).0).unwrap().class_names()
    };
    assert_eq!(with("person, bicycle,car"), Some(vec!["person".into(), "bicycle".into(), "car".into()]));
    assert_eq!(with("{0: 'person', 1: 'car'}"), Some(vec!["person".into(), "car".into()]));
    assert_eq!(with("{0: person}"), None);
    assert_eq!(with("person,,car"), None);
    assert_eq!(read(&small(&[])).unwrap().class_names(), None);
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
        assert!(matches!(error, Refused::NotADetector { .. }) && error.to_string().contains(word), "{error}");
    };
    says(file(&[1, 3, 64], &[1, 84, 8], &[]).0, "[N,3,H,W]");
    says(file(&[1, 1, 64, 64], &[1, 84, 8], &[]).0, "[N,3,H,W]");
    says(file(&[1, 3, 60, 64], &[1, 84, 8], &[]).0, "multiples of 32");
    says(file(&[1, 3, 1 << 40, 64], &[1, 84, 8], &[]).0, "multiples of 32");
    says(file(&[4096, 3, 64, 64], &[1, 84, 8], &[]).0, "batch");
    says(file(&[1, 3, 64, 64], &[2, 84, 8], &[]).0, "batch");
    says(file(&[1, 3, 64, 64], &[1, 83, 8], &[]).0, "84 cells");
    says(file(&[1, 3, 64, 64], &[1, 84, 5], &[]).0, "5 + 1..1000");
    says(file(&[1, 3, 64, 64], &[1, 84], &[]).0, "[N,A,5+classes]");
    says(model(Message::default()).0, "0 inputs");
    let half = Message::default().message(11, value_info("images", 10, &[1, 3, 64, 64]));
    says(model(half.message(12, value_info("output", 1, &[1, 84, 8]))).0, "32-bit floats");
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
            if let Ok(model) = read(&bytes) {
                let _answer = detector(&model, Contract::default(), &coco());
            }
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
    if let Ok(model) = read(&bytes) {
        let _answer = detector(&model, Contract::default(), &names(3));
    }
}
