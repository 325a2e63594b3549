//! Where networks are cut, and where they are not.

mod any;

use super::{
    Cut, CutError, CutOptions, Objection, cut, objections_to,
    shapes::{Frames, frames},
};
use crate::onnx::{
    ElementType,
    edit::{AttributeValue, Dimension, Graph, Model, Node, Tensor, Value},
};

/// `[n, …]`.
fn batch(dims: &[i64]) -> Vec<Dimension> {
    std::iter::once(Dimension::Named("n".into())).chain(dims.iter().map(|dim| Dimension::Fixed(*dim))).collect()
}

fn model(nodes: Vec<Node>, initializers: Vec<Tensor>, outputs: &[&str]) -> Model {
    let images = Value::shaped("images", ElementType::FLOAT, &batch(&[3, 16, 16]));
    let outputs = outputs.iter().map(|name| Value::tensor(name, ElementType::FLOAT)).collect();
    let graph = Graph { nodes, initializers, inputs: vec![images], outputs, ..Graph::default() };
    Model { ir_version: 8, opsets: vec![(String::new(), 17)], metadata: Vec::new(), graph, kept: Vec::new() }
}

fn weights(name: &str, outputs: i64) -> Tensor {
    let dims = [outputs, 3, 1, 1];
    Tensor::floats(name, &dims, &vec![0.5; 3 * outputs as usize])
}

/// images → Conv → Relu → Mystery → Neg → output.
fn line() -> Model {
    let nodes = vec![
        Node::new("Conv", "first", &["images", "w"], &["a"]),
        Node::new("Relu", "relu", &["a"], &["b"]),
        Node::new("Mish", "refused", &["b"], &["c"]),
        Node::new("Neg", "last", &["c"], &["output"]),
    ];
    let mut model = model(nodes, vec![weights("w", 3)], &["output"]);
    model.opsets[0].1 = 18;
    model
}

fn at(place: usize) -> Objection {
    Objection { node: Some(place), reason: "no importer".into(), ..Objection::default() }
}

fn names(nodes: &[Node]) -> Vec<&str> {
    nodes.iter().map(|node| node.name.as_str()).collect()
}

fn parts(cut: &Cut) -> (Vec<&str>, Vec<&str>) {
    (names(&cut.engine.graph.nodes), names(&cut.tail.graph.nodes))
}

fn refused(model: &Model, objections: &[Objection], options: &CutOptions) -> CutError {
    let error = cut(model, objections, options).expect_err("refused");
    assert!(error.remedy().len() > 15, "{error}");
    error
}

#[test]
fn a_line_is_cut_where_it_is_refused() {
    let cut = cut(&line(), &[at(2)], &CutOptions::default()).unwrap();
    assert_eq!(parts(&cut), (vec!["first", "relu"], vec!["refused", "last"]));
    assert_eq!(cut.frame_bytes(), 3 * 16 * 16 * 4);
    assert_eq!(cut.at[0].dims, batch(&[3, 16, 16]));
    assert_eq!((cut.tail.graph.initializers.len(), cut.engine.graph.initializers.len()), (0, 1));
    assert_eq!(cut.outputs, [("output".to_owned(), true)]);
    assert!(cut.to_string().starts_with(
        "cut at tensors `b` (float32 [n,3,16,16], 3072 bytes a frame) because node 2 `refused` (Mish): no importer."
    ));
    for part in [&cut.engine, &cut.tail] {
        assert_eq!(Model::read(&part.write()).unwrap().graph.nodes.len(), 2);
    }
}

#[test]
fn objections_name_nodes_by_place_name_and_operator() {
    let whole = line();
    let named = |name: &str, op: &str, node| Objection { node, name: name.into(), op: op.into(), reason: "why".into() };
    for objection in [
        named("refused", "", None),
        named("", "Mish", None),
        named("refused", "Mish", Some(2)),
        // Places of another file: the name counts.
        named("refused", "Mish", Some(0)),
        named("refused", "", Some(99)),
    ] {
        let cut = cut(&whole, std::slice::from_ref(&objection), &CutOptions::default()).unwrap();
        assert_eq!(cut.refused[0].index, 2, "{objection:?}");
    }
    for objection in
        [named("refsed", "", None), named("", "Mishh", None), named("refused", "Relu", Some(2)), named("", "Mish", Some(1))]
    {
        let error = refused(&whole, &[objection], &CutOptions::default());
        assert!(matches!(error, CutError::NoNode { .. }), "{error}");
    }
    let error = refused(&whole, &[named("", "", None)], &CutOptions::default());
    assert!(error.to_string().contains("no node in particular: why"), "{error}");
    assert_eq!(refused(&whole, &[], &CutOptions::default()), CutError::Nothing);
    assert_eq!(objections_to(&["A", "B"], "r").len(), 2);
}

/// Builders call nodes without a name by their first output.
#[test]
fn nodes_without_a_name_are_found_by_their_output() {
    let mut whole = line();
    whole.graph.nodes[2].name.clear();
    let objection = Objection { name: "c".into(), op: "Mish".into(), reason: "why".into(), ..Objection::default() };
    assert_eq!(cut(&whole, &[objection], &CutOptions::default()).unwrap().refused[0].index, 2);
}

#[test]
fn the_picture_itself_goes_through_the_engine() {
    let mut whole = line();
    whole.graph.nodes[3] = Node::new("Add", "last", &["c", "images"], &["output"]);
    let mut parted = cut(&whole, &[at(2)], &CutOptions::default()).unwrap();
    assert!(parted.at.iter().any(|crossing| crossing.is_input && crossing.name == "images"));
    parted.hand_over("nothing that it reads").unwrap();
    parted.hand_over("images").unwrap();
    parted.hand_over("images").unwrap();
    assert!(parted.at.iter().all(|crossing| !crossing.is_input), "{:?}", parted.at);
    let text = "cut at tensors `images_handed_over` (float32 [n,3,16,16], 3072 bytes a frame), `b` (float32 [n,3,16,16], 3072";
    assert!(parted.to_string().starts_with(text), "{parted}");
    let (engine, tail) = (Model::read(&parted.engine.write()).unwrap(), Model::read(&parted.tail.write()).unwrap());
    let of = |values: &[Value]| values.iter().map(|value| value.name.clone()).collect::<Vec<_>>();
    assert_eq!(of(&engine.graph.outputs), ["b", "images_handed_over"]);
    assert_eq!(
        (of(&tail.graph.inputs), of(&engine.graph.inputs)),
        (vec!["images_handed_over".into(), "b".into()], vec!["images".to_owned()])
    );
    assert_eq!(tail.graph.nodes[1].inputs, ["c", "images_handed_over"]);
    // What follows behind it is found all the same, and that node itself is none of the file's.
    let second = parted.again(&whole, &[at(1)], &CutOptions::default()).unwrap();
    assert_eq!(parts(&second), (vec!["first"], vec!["relu", "refused", "last"]));
    assert!(matches!(parted.again(&whole, &[at(2)], &CutOptions::default()), Err(CutError::Unfit { .. })));

    // A picture of bytes, which a cast of the tail's own reads.
    whole.graph.inputs[0] = Value::shaped("images", ElementType::UINT8, &batch(&[3, 16, 16]));
    whole.graph.nodes[0].inputs[0] = "x".into();
    whole.graph.nodes[3].inputs[1] = "again".into();
    whole.graph.nodes.insert(0, Node::new("Cast", "cast", &["images"], &["x"]).with_int("to", 1));
    whole.graph.nodes.insert(1, Node::new("Cast", "again", &["images"], &["again"]).with_int("to", 1));
    let mut parted = cut(&whole, &[at(1), at(4)], &CutOptions::default()).unwrap();
    let error = parted.hand_over("images").expect_err("bytes");
    assert!(error.to_string().contains("neither 32-bit nor 16-bit floats") && error.remedy().len() > 15, "{error}");
}

#[test]
fn a_second_refusal_cuts_the_whole_anew() {
    let whole = line();
    let first = cut(&whole, &[at(3)], &CutOptions::default()).unwrap();
    assert_eq!(parts(&first).1, ["last"]);
    // The engine's builder counts the engine's nodes.
    let second = first.again(&whole, &[Objection { node: Some(1), ..at(1) }], &CutOptions::default()).unwrap();
    assert_eq!(parts(&second), (vec!["first"], vec!["relu", "refused", "last"]));
    assert_eq!(second.refused.iter().map(|node| node.index).collect::<Vec<_>>(), [1, 3]);
    let error = second.again(&whole, &[at(0)], &CutOptions::default()).expect_err("nothing left");
    assert!(matches!(error, CutError::Head { .. }), "{error}");
}

#[test]
fn the_head_stays_in_the_engine() {
    let mut whole = line();
    whole.graph.nodes.insert(0, Node::new("Mish", "before", &["images"], &["x"]));
    whole.graph.nodes[1].inputs[0] = "x".into();
    let error = refused(&whole, &[at(3), at(0)], &CutOptions::default());
    let text = "the network's first convolution or product, `first`, needs what is refused: node 0 `before` (Mish): no importer";
    assert_eq!(error.to_string(), text);
    // Without any weights something must be left.
    let whole = model(vec![Node::new("Relu", "only", &["images"], &["output"])], Vec::new(), &["output"]);
    assert!(matches!(refused(&whole, &[at(0)], &CutOptions::default()), CutError::Empty { .. }));
}

#[test]
fn too_much_between_the_parts_is_refused_with_its_bytes() {
    let options = CutOptions { max_frame_bytes: 3071, ..CutOptions::default() };
    let error = refused(&line(), &[at(2)], &options);
    assert!(
        error.to_string().contains("were 3072 bytes a frame (`b` (float32 [n,3,16,16], 3072 bytes a frame)), more than 3071"),
        "{error}"
    );
    assert!(cut(&line(), &[at(2)], &CutOptions { max_frame_bytes: 3072, ..CutOptions::default() }).is_ok());
}

#[test]
fn what_makes_more_than_it_reads_is_run_in_the_tail() {
    let mut whole = line();
    whole.graph.initializers.push(Tensor::floats("by", &[4], &[1.0, 1.0, 2.0, 2.0]));
    whole.graph.nodes[1] = Node::new("Resize", "larger", &["a", "", "by"], &["b"]);
    let cut = cut(&whole, &[at(2)], &CutOptions::default()).unwrap();
    assert_eq!((parts(&cut), cut.at[0].name.as_str()), ((vec!["first"], vec!["larger", "refused", "last"]), "a"));
    assert_eq!(cut.tail.graph.initializers[0].name, "by");
}

#[test]
fn what_is_no_float_or_no_batch_is_made_again_in_the_tail() {
    // The best of each row, and where: indices do not cross, what they are made of does.
    let nodes = vec![
        Node::new("Conv", "first", &["images", "w"], &["a"]),
        Node::new("Flatten", "flat", &["a"], &["b"]),
        Node::new("TopK", "top", &["b", "k"], &["best", "where"]),
        Node::new("Mish", "refused", &["best"], &["m"]),
        Node::new("GatherElements", "pick", &["m", "where"], &["output"]),
    ];
    let mut whole = model(nodes, vec![weights("w", 2), Tensor::ints("k", &[1], &[5])], &["output", "best"]);
    whole.opsets[0].1 = 18;
    let parted = cut(&whole, &[at(3)], &CutOptions::default()).unwrap();
    assert_eq!(parts(&parted), (vec!["first", "flat", "top"], vec!["top", "refused", "pick"]));
    assert_eq!((parted.at.len(), parted.at[0].name.as_str(), parted.frame_bytes()), (1, "b", 2 * 256 * 4));
    // `best` is an output of the network, and the engine's.
    assert_eq!(parted.outputs, [("output".to_owned(), true), ("best".to_owned(), false)]);

    // A shape without a batch in front.
    whole.graph.nodes[1] = Node::new("Transpose", "flat", &["a"], &["b"]);
    let parted = cut(&whole, &[at(2)], &CutOptions::default()).unwrap();
    assert_eq!(parted.at[0].name, "a");
    // A product makes it: there is nothing before it that could be run again.
    whole.graph.nodes[1] = Node::new("MatMul", "flat", &["a0", "a"], &["b"]);
    whole.graph.nodes.insert(1, Node::new("Transpose", "turn", &["a"], &["a0"]));
    whole.graph.nodes[2] = Node::new("Gemm", "flat", &["a0", "a"], &["b"]);
    let error = refused(&whole, &[at(3)], &CutOptions::default());
    assert!(matches!(error, CutError::Unfit { .. }), "{error}");
}

#[test]
fn unknown_shapes_want_a_declaration() {
    let mut whole = line();
    whole.graph.nodes[0] = Node::new("Einsum", "strange", &["a0"], &["a"]);
    whole.graph.nodes.insert(0, Node::new("Conv", "first", &["images", "w"], &["a0"]));
    // It can be run again, so what it reads crosses.
    assert_eq!(cut(&whole, &[at(3)], &CutOptions::default()).unwrap().at[0].name, "a0");
    whole.graph.nodes[1] = Node::new("LSTM", "strange", &["a0"], &["a"]);
    let error = refused(&whole, &[at(3)], &CutOptions::default());
    assert!(error.to_string().contains("`a`, which `strange` (LSTM) makes") || error.to_string().contains("`b`"), "{error}");
    whole.graph.values.push(Value::shaped("a", ElementType::FLOAT, &batch(&[7])));
    let cut = cut(&whole, &[at(3)], &CutOptions::default()).unwrap();
    assert_eq!((cut.at[0].name.as_str(), cut.frame_bytes()), ("b", 28));
}

#[test]
fn operators_that_nobody_has_are_refused_by_name() {
    let mut whole = line();
    whole.graph.nodes[2].op = "EfficientNMS_TRT".into();
    whole.graph.nodes[2].domain = "TRT".into();
    let error = refused(&whole, &[at(2)], &CutOptions::default());
    assert!(
        error.to_string().contains("`EfficientNMS_TRT` of the domain `TRT`") && error.to_string().contains("no importer"),
        "{error}"
    );
    // In the engine it may be, if the file says what it makes.
    assert!(matches!(refused(&whole, &[at(3)], &CutOptions::default()), CutError::Unfit { .. }));
    whole.graph.values.push(Value::shaped("c", ElementType::FLOAT, &batch(&[9, 7])));
    assert!(cut(&whole, &[at(3)], &CutOptions::default()).is_ok_and(|cut| cut.tail.graph.nodes.len() == 1));
    let mut whole = line();
    whole.graph.nodes[3].op = "Gelu".into();
    let error = refused(&whole, &[at(2)], &CutOptions::default());
    assert!(matches!(&error, CutError::NoRuntime { op, reason, .. } if op == "Gelu" && reason.contains("`refused`")), "{error}");
}

#[test]
fn constants_dead_ends_and_outputs_that_nothing_makes_are_refused() {
    let mut whole = line();
    whole.graph.nodes.push(Node::new("Mish", "dead", &["b"], &["nobody"]));
    assert!(matches!(refused(&whole, &[at(4)], &CutOptions::default()), CutError::Unneeded { .. }));
    let mut constant = Node::new("Constant", "constant", &[], &["k"]);
    constant.set("value_float", AttributeValue::Float(2.0));
    whole.graph.nodes[1] = Node::new("Mul", "relu", &["a", "k"], &["b"]);
    whole.graph.nodes.insert(0, constant);
    assert!(matches!(refused(&whole, &[at(0)], &CutOptions::default()), CutError::Constant { .. }));
    let mut whole = line();
    whole.graph.outputs.push(Value::tensor("images", ElementType::FLOAT));
    assert!(matches!(refused(&whole, &[at(2)], &CutOptions::default()), CutError::PassThrough { .. }));
}

#[test]
fn constants_go_where_they_are_used_and_nodes_may_stand_in_any_order() {
    let mut whole = line();
    whole.graph.initializers.push(Tensor::floats("k", &[1], &[3.0]));
    whole.graph.nodes[1] = Node::new("Mul", "relu", &["a", "k"], &["b"]);
    whole.graph.nodes[3] = Node::new("Mul", "last", &["c", "k"], &["output"]);
    whole.graph.nodes.reverse();
    let cut = cut(&whole, &[at(1)], &CutOptions::default()).unwrap();
    assert_eq!(parts(&cut), (vec!["first", "relu"], vec!["refused", "last"]));
    let constants = |model: &Model| model.graph.initializers.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
    assert_eq!((constants(&cut.engine), constants(&cut.tail)), (vec!["w".into(), "k".into()], vec!["k".to_owned()]));
}

#[test]
fn a_fixed_batch_stays_fixed_and_open_pictures_want_a_size() {
    let mut whole = line();
    whole.graph.inputs[0] = Value::shaped("images", ElementType::FLOAT, &[4, 3, 16, 16].map(Dimension::Fixed));
    let parted = cut(&whole, &[at(2)], &CutOptions::default()).unwrap();
    assert_eq!((parted.at[0].dims.clone(), parted.frame_bytes()), ([4, 3, 16, 16].map(Dimension::Fixed).to_vec(), 3072));
    let open = [Dimension::Named("n".into()), Dimension::Fixed(3), Dimension::Named("h".into()), Dimension::Open];
    whole.graph.inputs[0] = Value::shaped("images", ElementType::FLOAT, &open);
    assert!(matches!(refused(&whole, &[at(2)], &CutOptions::default()), CutError::Unfit { .. }));
    let options = CutOptions { size: Some(vec![1, 3, 8, 8]), ..CutOptions::default() };
    assert_eq!(cut(&whole, &[at(2)], &options).unwrap().frame_bytes(), 3 * 64 * 4);
}

#[test]
fn shapes_are_followed_exactly() {
    let int = |name: &str, values: &[i64]| Tensor::ints(name, &[values.len() as i64], values);
    let of = |mut node: Node, attributes: &[(&str, &[i64])]| {
        for (name, values) in attributes {
            node.set(name, AttributeValue::Ints(values.to_vec()));
        }
        node
    };
    let nodes = vec![
        of(Node::new("Conv", "", &["images", "w"], &["conv"]), &[("strides", &[2, 2]), ("pads", &[1, 1, 1, 1])]),
        of(Node::new("MaxPool", "", &["images"], &["pool"]), &[("kernel_shape", &[3, 3]), ("strides", &[2, 2])]),
        of(Node::new("MaxPool", "", &["images"], &["ceil"]), &[("kernel_shape", &[3, 3]), ("strides", &[2, 2])])
            .with_int("ceil_mode", 1),
        Node::new("Split", "", &["images", "s12"], &["one", "two"]).with_int("axis", 1),
        Node::new("Slice", "", &["images", "begin", "end", "axes", "step"], &["slice"]),
        Node::new("Slice", "", &["images", "last", "before", "axes", "back"], &["backwards"]),
        Node::new("Reshape", "", &["images", "to"], &["table"]),
        Node::new("Concat", "", &["table", "table"], &["twice"]).with_int("axis", -1),
        Node::new("Flatten", "", &["images"], &["flat"]),
        Node::new("ReduceMax", "", &["table"], &["all"]).with_int("keepdims", 0),
        of(Node::new("ReduceMean", "", &["table"], &["mean"]), &[("axes", &[-1])]),
        Node::new("DepthToSpace", "", &["ceil4"], &["space"]).with_int("blocksize", 2),
        Node::new("Tile", "", &["one", "tiles"], &["ceil4"]),
        Node::new("Squeeze", "", &["one", "s1"], &["squeezed"]),
        Node::new("Transpose", "", &["table"], &["turned"]),
        of(Node::new("Pad", "", &["images"], &["padded"]), &[("pads", &[0, 0, 1, 2, 0, 0, 3, -4])]),
        Node::new("MatMul", "", &["table", "m"], &["product"]),
        Node::new("Where", "", &["table", "table", "k"], &["where"]),
    ];
    let mut nodes = nodes;
    nodes.swap(11, 12);
    let constants = vec![
        Tensor::floats("w", &[5, 3, 3, 3], &[0.0; 135]),
        int("s12", &[1, 2]),
        int("begin", &[-5, 1]),
        int("end", &[i64::MAX, 100]),
        int("axes", &[2, 3]),
        int("step", &[2, 3]),
        int("last", &[-1, 5]),
        int("before", &[i64::MIN, 2]),
        int("back", &[-3, -1]),
        int("to", &[0, 3, -1]),
        int("tiles", &[1, 4, 1, 1]),
        int("s1", &[1]),
        Tensor::floats("m", &[256, 2], &[0.0; 512]),
        Tensor::floats("k", &[1], &[0.0]),
    ];
    let model = model(nodes, constants, &[]);
    let found = frames(&model.graph, None);
    for (name, dims) in [
        ("conv", &[5, 8, 8][..]),
        ("pool", &[3, 7, 7]),
        ("ceil", &[3, 8, 8]),
        ("one", &[1, 16, 16]),
        ("two", &[2, 16, 16]),
        ("slice", &[3, 3, 5]),
        ("backwards", &[3, 6, 3]),
        ("table", &[3, 256]),
        ("twice", &[3, 512]),
        ("flat", &[768]),
        ("mean", &[3, 1]),
        ("ceil4", &[4, 16, 16]),
        ("space", &[1, 32, 32]),
        ("squeezed", &[16, 16]),
        ("padded", &[3, 20, 14]),
        ("product", &[3, 2]),
        ("where", &[3, 256]),
    ] {
        assert_eq!(found.get(name), Some(&Frames::Open(dims.to_vec())), "{name}");
    }
    assert_eq!(
        (found.get("all"), found.get("turned"), found.get("to")),
        (Some(&Frames::No), Some(&Frames::No), Some(&Frames::No))
    );
}
