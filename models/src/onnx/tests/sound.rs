//! What no runtime could run is refused.

use super::*;

#[test]
fn circles_and_loose_ends_are_refused_by_node() {
    sound(&[]).unwrap();
    let named = |op: &str, name: &str, inputs: &[&str], output: &str| {
        let inputs = inputs.iter().fold(Message::default(), |message, input| message.bytes(1, input));
        (NODE, inputs.bytes(2, output).bytes(3, name).bytes(4, op))
    };
    // In any order, as long as there is one.
    sound(&[named("Relu", "b", &["y"], "z"), named("Relu", "a", &["images"], "y")]).unwrap();
    let circle = [named("Add", "a", &["images", "z"], "x"), named("Relu", "b", &["x"], "y"), named("Relu", "c", &["y"], "z")];
    let error = sound(&circle).unwrap_err();
    assert!(matches!(&error, Refused::Circle { .. }), "{error}");
    assert!(["`a`", "`b`", "`c`", "circle"].iter().all(|word| error.to_string().contains(word)), "{error}");
    // What only waits for a circle is not said to be one.
    let behind = [named("Relu", "d", &["z"], "w")];
    let error = sound(&[&behind[..], &circle[..]].concat()).unwrap_err().to_string();
    assert!(!error.contains("`d`"), "{error}");
    let own = sound(&[named("Add", "a", &["images", "x"], "x")]).unwrap_err();
    assert!(matches!(&own, Refused::Circle { node, .. } if node == "a"), "{own}");
    let loose = sound(&[named("Relu", "a", &["nothing"], "x")]).unwrap_err();
    assert_eq!(loose, Refused::MadeByNobody { node: "a".into(), op: "Relu".into(), value: "nothing".into() });
    let twice = sound(&[named("Relu", "a", &["images"], "output")]).unwrap_err();
    assert_eq!(twice, Refused::MadeTwice { node: "a".into(), op: "Relu".into(), value: "output".into() });
    let unmade = read(&small(&[])).unwrap().sound().unwrap_err();
    assert_eq!(unmade, Refused::NoSuchOutput { output: "output".into() });
    // A long circle costs no more than the graph is long.
    let long = (0..50_000).map(|i| named("Relu", "", &[&format!("v{}", (i + 1) % 50_000)], &format!("v{i}"))).collect::<Vec<_>>();
    assert!(sound(&long).unwrap_err().to_string().contains('…'));
}

#[test]
fn weights_that_are_no_numbers_are_refused_by_name() {
    let floats = |values: &[f32]| {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        (INITIALIZER, tensor("w", 1, &[1, values.len() as i64, 1, 1], &raw))
    };
    let conv = (NODE, node("Conv", &["images", "w"], "x"));
    let add = (NODE, node("Add", &["images", "w"], "x"));
    sound(&[floats(&[0.5, 1.0, 2.0]), conv.clone()]).unwrap();
    let error = sound(&[floats(&[0.5, f32::NAN, 2.0]), conv.clone()]).unwrap_err();
    assert_eq!(error.to_string(), "tensor `w`, which node `Conv_1` (Conv) reads, holds 1 times NaN");
    assert!(matches!(sound(&[floats(&[f32::NAN; 3]), add.clone()]), Err(Refused::NotFinite { .. })));
    // Infinity is a mask, but no weight.
    sound(&[floats(&[f32::NEG_INFINITY; 3]), add]).unwrap();
    assert!(matches!(sound(&[floats(&[f32::INFINITY; 3]), conv.clone()]), Err(Refused::NotFinite { .. })));
    // Nobody reads it.
    sound(&[floats(&[f32::NAN; 3])]).unwrap();
    // As typed values instead of raw bytes, more than are kept as a shape.
    let values: Vec<u8> = (0..300).flat_map(|i| if i == 200 { f32::NAN } else { 1.0 }.to_le_bytes()).collect();
    let typed =
        Message::default().varint(1, 100).varint(1, 3).varint(1, 1).varint(1, 1).varint(2, 1).bytes(4, values).bytes(8, "w");
    assert!(matches!(sound(&[(INITIALIZER, typed), conv]), Err(Refused::NotFinite { found: NotFinite { nan: 1, .. }, .. })));
    let attribute = Message::default().bytes(1, "value").message(5, tensor("", 1, &[1], &f32::NAN.to_le_bytes()));
    let constant = (NODE, node("Constant", &[], "x").message(5, attribute));
    assert!(matches!(sound(&[constant]), Err(Refused::NotFinite { tensor, .. }) if tensor == "value"));
}

#[test]
fn versions_and_operators_that_nobody_knows_are_refused() {
    let of = |opset: Option<u64>, ir: u64, op: &str| {
        let graph = Message::default()
            .message(NODE, node(op, &["images"], "output"))
            .message(11, value_info("images", 1, &[1, 3, 64, 64]))
            .message(12, value_info("output", 1, &[1, 84, 8]));
        let file = Message::default().varint(1, ir).message(7, graph);
        let set = |version| Message::default().bytes(1, "").varint(2, version);
        let bytes = opset.map_or(file.clone(), |version| file.message(8, set(version))).0;
        read(&bytes).unwrap().sound().map_err(|error| format!("{error}; {}", error.remedy()))
    };
    of(Some(13), 8, "Relu").unwrap();
    for (opset, ir, op, words) in [
        (Some(99), 8, "Relu", ["operator set is 99", "opset_version=17"]),
        (Some(13), 99, "Relu", ["file format is 99", "opset_version=17"]),
        (None, 8, "Relu", ["names no operator set", "opset_import"]),
        (Some(13), 8, "Gelu", ["`Gelu`, which came with operator set 20; the file says 13", "or a later one"]),
        (Some(13), 8, "Rleu", ["`Rleu`, which ONNX does not define", "without plugins"]),
    ] {
        let error = of(opset, ir, op).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}
