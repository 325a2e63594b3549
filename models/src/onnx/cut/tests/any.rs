//! Any network, cut anywhere: the two parts are the whole.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
};

use proptest::prelude::*;

use super::*;

/// What a node reads, by index among what there is, and its operator.
type AnyNode = (u8, prop::sample::Index, prop::sample::Index);

/// A network of values `[n,3,16,16]` and shapes of them, with two inputs.
fn network(each: &[AnyNode], outputs: &[prop::sample::Index]) -> Model {
    let (mut floats, mut shapes) = (vec!["images".to_owned(), "more".to_owned()], Vec::new());
    let mut nodes = vec![Node::new("Conv", "head", &["images", "w"], &["v"])];
    floats.push("v".into());
    for (i, (kind, a, b)) in each.iter().enumerate() {
        let (name, output) = (format!("n{i}"), format!("v{i}"));
        let (a, b) = (a.get(&floats).clone(), b.get(&floats).clone());
        let node = match kind % 8 {
            0 => Node::new("Conv", &name, &[&a, "w"], &[&output]),
            1 | 2 => Node::new("Add", &name, &[&a, &b], &[&output]),
            3 => Node::new("Split", &name, &[&a, "all"], &[&output]).with_int("axis", 1),
            4 => Node::new("Shape", &name, &[&a], &[&output]),
            5 if !shapes.is_empty() => Node::new("Reshape", &name, &[&a, shapes.last().map_or("", String::as_str)], &[&output]),
            6 => Node::new("Mul", &name, &[&a, "k"], &[&output]),
            _ => Node::new("Relu", &name, &[&a], &[&output]),
        };
        if node.op == "Shape" {
            shapes.push(output);
        } else {
            floats.push(output);
        }
        nodes.push(node);
    }
    let names: BTreeSet<&String> = outputs.iter().map(|index| index.get(&floats[2..])).collect();
    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    let constants = vec![weights("w", 3), Tensor::floats("k", &[1], &[2.0]), Tensor::ints("all", &[1], &[3])];
    let mut model = model(nodes, constants, &names);
    model.graph.inputs.push(Value::shaped("more", ElementType::FLOAT, &batch(&[3, 16, 16])));
    model
}

/// What a network computes, with a number for each value: of the operator and of what it read.
fn run(model: &Model, values: &mut HashMap<String, u64>) {
    for constant in &model.graph.initializers {
        let mut hasher = DefaultHasher::new();
        format!("{constant:?}").hash(&mut hasher);
        values.insert(constant.name.clone(), hasher.finish());
    }
    for node in &model.graph.nodes {
        let mut hasher = DefaultHasher::new();
        (&node.op, format!("{:?}", node.attributes)).hash(&mut hasher);
        node.inputs.iter().for_each(|input| values[input].hash(&mut hasher));
        values.insert(node.outputs[0].clone(), hasher.finish());
    }
}

fn given(model: &Model, from: &HashMap<String, u64>) -> HashMap<String, u64> {
    model.graph.inputs.iter().map(|input| (input.name.clone(), from[&input.name])).collect()
}

fn is_allowed(error: &CutError) -> bool {
    // `Empty`: nothing but what is refused is left where no output needs the head.
    matches!(
        error,
        CutError::Head { .. }
            | CutError::Empty { .. }
            | CutError::Unneeded { .. }
            | CutError::Unfit { .. }
            | CutError::TooMuch { .. }
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_parts_are_the_whole(nodes in prop::collection::vec(any::<AnyNode>(), 1..24),
                               outputs in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
                               refused in prop::collection::vec(any::<prop::sample::Index>(), 1..3)) {
        let whole = network(&nodes, &outputs);
        let count = whole.graph.nodes.len();
        let objections: Vec<Objection> = refused.iter().map(|index| at(index.index(count))).collect();
        let parts = match cut(&whole, &objections, &CutOptions { max_frame_bytes: 16 << 10, size: None }) {
            Ok(parts) => parts,
            Err(error) => {
                prop_assert!(is_allowed(&error), "{error}");
                return Ok(());
            }
        };
        // Both are files that can be read, and nothing refused is in the engine.
        let (engine, tail) = (Model::read(&parts.engine.write()).unwrap(), Model::read(&parts.tail.write()).unwrap());
        for node in &parts.refused {
            prop_assert!(engine.graph.nodes.iter().all(|other| other.name != node.name));
        }
        prop_assert!(tail.graph.nodes.iter().all(|node| node.name != "head"));
        prop_assert!(parts.at.iter().all(|c| c.element == ElementType::FLOAT && c.dims == batch(&[3, 16, 16])));
        prop_assert!(parts.frame_bytes() <= 16 << 10);
        // No convolution runs twice.
        let twice = tail.graph.nodes.iter().filter(|node| engine.graph.nodes.iter().any(|other| other.name == node.name));
        prop_assert!(twice.clone().all(|node| node.op != "Conv"));
        // What the whole computes comes from the two.
        let inputs = HashMap::from([("images".to_owned(), 1), ("more".to_owned(), 2)]);
        let mut all = inputs.clone();
        run(&whole, &mut all);
        let mut first = given(&engine, &inputs);
        run(&engine, &mut first);
        let handed = engine.graph.outputs.iter().map(|output| (output.name.clone(), first[&output.name]));
        let between: HashMap<String, u64> = inputs.clone().into_iter().chain(handed).collect();
        let mut second = given(&tail, &between);
        run(&tail, &mut second);
        for (output, in_tail) in &parts.outputs {
            prop_assert_eq!(if *in_tail { second[output] } else { between[output] }, all[output], "{}", output);
        }
    }
}
