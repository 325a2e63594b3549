//! What is read and written again says what it said before.

use proptest::prelude::*;

use super::*;
use crate::onnx::{
    AttributeValue as Read,
    builder::{Message, detector as file, ints, model, node, tensor, value_info},
};

/// What the reader makes of a file, without where its bytes lie.
fn meaning(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let model = crate::onnx::read(bytes).unwrap();
    let mut text = format!("{} {} {} {:?}\n", model.ir_version, model.producer, model.opset, model.metadata);
    let graph = &model.graph;
    write!(text, "{:?}\n{:?}\n", graph.inputs, graph.outputs).unwrap();
    let constant = |t: &crate::onnx::Tensor<'_>| format!("{} {:?} {:?} {:?}", t.name, t.dims, t.element, t.values());
    for tensor in &graph.initializers {
        writeln!(text, "{}", constant(tensor)).unwrap();
    }
    for node in &graph.nodes {
        write!(text, "{} {} {} {:?} {:?}", node.op, node.domain, node.name, node.inputs, node.outputs).unwrap();
        for attribute in &node.attributes {
            match &attribute.value {
                Read::Tensor(tensor) => writeln!(text, " {} {}", attribute.name, constant(tensor)).unwrap(),
                value => writeln!(text, " {} {value:?}", attribute.name).unwrap(),
            }
        }
    }
    text
}

/// Reads, writes, and compares; what is written stays the same from then on.
fn round_trip(bytes: &[u8]) -> Model {
    let model = Model::read(bytes).unwrap();
    let written = model.write();
    assert_eq!(meaning(&written), meaning(bytes));
    assert_eq!(Model::read(&written).unwrap().write(), written);
    model
}

#[test]
fn published_networks_come_back() {
    let street = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/street/street.onnx")).unwrap();
    let model = round_trip(&street);
    assert_eq!(model.property("names"), Some("person,bicycle,car"));
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let data = std::env::var("EGRET_TEST_DATA").unwrap_or_else(|_| default.into());
    match std::fs::read(format!("{data}/models/yolox_nano.onnx")) {
        Ok(bytes) => assert_eq!(round_trip(&bytes).graph.nodes.len(), 369),
        Err(_) => eprintln!("SKIPPED: no models/yolox_nano.onnx under {data} (set EGRET_TEST_DATA)"),
    }
}

#[test]
fn values_are_read_wherever_they_lie() {
    let typed = Message::default().varint(1, 2).varint(2, 1).bytes(4, [0, 0, 128, 63, 0, 0, 0, 64]).bytes(8, "typed");
    let double = tensor("double", 11, &[1], &3.0_f64.to_le_bytes());
    let bytes = file(&[1, 3, 64, 64], &[1, 84, 8], &[(5, typed), (5, double), (5, ints("i", &[7, -1]))]).0;
    let model = round_trip(&bytes);
    assert_eq!(model.graph.initializer("typed").unwrap().as_floats(), Some(vec![1.0, 2.0]));
    assert_eq!(model.graph.initializer("double").unwrap().as_doubles(), Some(vec![3.0]));
    assert_eq!(model.graph.initializer("i").unwrap().as_floats(), None);
}

#[test]
fn attributes_of_every_kind_come_back() {
    let attribute = |name: &str, kind: u64| Message::default().bytes(1, name).varint(20, kind);
    let node = node("Any", &["images", "", "images"], "y")
        .message(5, Message(attribute("f", 1).0.into_iter().chain([2 << 3 | 5, 0, 0, 128, 63]).collect()))
        .message(5, attribute("i", 2).varint(3, u64::MAX))
        .message(5, attribute("s", 3).bytes(4, [0xff, 0]))
        .message(5, attribute("t", 4).message(5, tensor("", 7, &[1], &5_i64.to_le_bytes())))
        .message(5, attribute("floats", 6).bytes(7, [0, 0, 0, 64]))
        .message(5, attribute("ints", 7).varint(8, 1).varint(8, 2))
        .message(5, attribute("strings", 8).bytes(9, "a").bytes(9, "b"))
        .message(5, attribute("of another kind", 9).message(10, tensor("", 7, &[1], &5_i64.to_le_bytes())))
        .message(5, attribute("contradicting", 7).bytes(4, "text"))
        .message(5, Message::default().bytes(1, "untyped").varint(3, 9))
        .bytes(6, "documentation");
    let bytes = file(&[1, 3, 64, 64], &[1, 84, 8], &[(1, node)]).0;
    let model = round_trip(&bytes);
    let node = &model.graph.nodes[0];
    assert_eq!(node.inputs, ["images", "", "images"]);
    assert!(matches!(node.attribute("f"), Some(AttributeValue::Float(v)) if v.to_bits() == 1.0_f32.to_bits()));
    assert_eq!((node.int("i"), node.int("untyped"), node.int("s")), (Some(-1), Some(9), None));
    assert!(matches!(node.attribute("s"), Some(AttributeValue::Text(v)) if v == &[0xff, 0]));
    assert!(matches!(node.attribute("strings"), Some(AttributeValue::Texts(v)) if v.len() == 2));
    assert!(matches!(node.attribute("contradicting"), Some(AttributeValue::Other)));
    assert!(matches!(node.attribute("of another kind"), Some(AttributeValue::Other)));
}

#[test]
fn what_is_of_no_use_here_is_kept() {
    let quantization = Message::default().bytes(1, "w");
    let graph = Message::default()
        .bytes(2, "the name")
        .bytes(10, "the documentation")
        .message(14, quantization)
        .message(11, value_info("images", 1, &[0, 3, 64, 64]))
        .message(13, value_info("x", 10, &[0, 3]))
        .message(12, value_info("output", 1, &[0, 84, 8]));
    let opset = Message::default().bytes(1, "com.microsoft").varint(2, 1);
    let bytes = Message(model(graph).0).message(8, opset).bytes(6, "model documentation").0;
    let mut model = round_trip(&bytes);
    for text in ["the name", "the documentation", "model documentation", "com.microsoft"] {
        let written = model.write();
        assert!(written.windows(text.len()).any(|w| w == text.as_bytes()), "{text} is gone");
    }
    assert_eq!((model.opset(), model.opsets.len()), (13, 2));
    model.set_property("a", "1");
    model.set_property("a", "2");
    assert_eq!(crate::onnx::read(&model.write()).unwrap().metadata, [("a", "2")]);
}

#[test]
fn what_the_reader_refuses_is_refused() {
    assert!(matches!(Model::read(b"PK\x03\x04").unwrap_err(), Refused::NotOnnx { .. }));
}

fn any_name() -> impl Strategy<Value = String> {
    "[a-z/.:0-9]{0,6}"
}

fn any_attribute() -> impl Strategy<Value = Message> {
    let payload = prop_oneof![
        any::<u64>().prop_map(|v| (2, Message::default().varint(3, v))),
        prop::collection::vec(any::<u64>(), 0..4).prop_map(|v| (7, v.iter().fold(Message::default(), |m, v| m.varint(8, *v)))),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(|v| (3, Message::default().bytes(4, v))),
        prop::collection::vec(any::<[u8; 4]>(), 0..4).prop_map(|v| (6, Message::default().bytes(7, v.concat()))),
        prop::collection::vec("[a-z]{0,3}", 0..4).prop_map(|v| (8, v.iter().fold(Message::default(), |m, v| m.bytes(9, v)))),
        (any_name(), any::<i64>()).prop_map(|(n, v)| (4, Message::default().message(5, ints(&n, &[v])))),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(|v| (12, Message::default().bytes(40, v))),
    ];
    (any_name(), payload, any::<bool>()).prop_map(|(name, (kind, payload), typed)| {
        let message = Message::default().bytes(1, name);
        let mut message = if typed { message.varint(20, kind) } else { message };
        message.0.extend(payload.0);
        message
    })
}

/// Which values it reads, what it makes, and its attributes.
type AnyNode = (Vec<prop::sample::Index>, String, Vec<Message>);

fn any_node() -> impl Strategy<Value = AnyNode> {
    let inputs = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    (inputs, any_name(), prop::collection::vec(any_attribute(), 0..4))
}

/// Each node reads the input, nothing, or what those before it make.
fn wired(nodes: Vec<AnyNode>) -> Vec<(u64, Message)> {
    let mut values = vec!["images".to_owned(), String::new()];
    let each = |(i, (inputs, output, attributes)): (usize, AnyNode)| {
        let inputs: Vec<&str> = inputs.iter().map(|index| index.get(&values).as_str()).collect();
        let output = format!("{i}:{output}");
        let node = node("Custom", &inputs, &output).bytes(7, "some.domain");
        values.push(output);
        (1, attributes.into_iter().fold(node, |node, attribute| node.message(5, attribute)))
    };
    nodes.into_iter().enumerate().map(each).collect()
}

fn any_constant() -> impl Strategy<Value = (u64, Message)> {
    let floats = (any_name(), prop::collection::vec(any::<[u8; 4]>(), 1..6), any::<bool>()).prop_map(|(name, values, raw)| {
        let (dims, bytes) = ([values.len() as i64], values.concat());
        (
            5,
            if raw {
                tensor(&name, 1, &dims, &bytes)
            } else {
                Message::default().varint(1, dims[0] as u64).varint(2, 1).bytes(4, bytes).bytes(8, name)
            },
        )
    });
    let small = (any_name(), prop::collection::vec(any::<u8>(), 1..6)).prop_map(|(name, values)| {
        let message = Message::default().varint(1, values.len() as u64).varint(2, 3).bytes(8, name);
        (5, values.iter().fold(message, |m, v| m.varint(5, u64::from(*v))))
    });
    prop_oneof![floats, small, (any_name(), any::<i64>()).prop_map(|(name, v)| (5, ints(&name, &[v])))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_accepted_file_comes_back(nodes in prop::collection::vec(any_node(), 0..5),
                                    constants in prop::collection::vec(any_constant(), 0..5)) {
        let parts: Vec<_> = wired(nodes).into_iter().chain(constants).collect();
        let bytes = file(&[1, 3, 64, 64], &[0, 84, 8], &parts).0;
        if crate::onnx::read(&bytes).is_ok() {
            round_trip(&bytes);
        }
    }

    /// Damage that the reader lets pass does not grow, does not panic, and is stable once written.
    #[test]
    fn damaged_files_do_no_harm(nodes in prop::collection::vec(any_node(), 0..4),
                                edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = file(&[1, 3, 64, 64], &[0, 84, 8], &wired(nodes)).0;
        for (index, value) in edits {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(model) = Model::read(&bytes) {
            let written = model.write();
            prop_assert!(written.len() <= 2 * bytes.len() + 64);
            if let Ok(again) = Model::read(&written) {
                prop_assert_eq!(again.write(), written);
            }
        }
    }
}
