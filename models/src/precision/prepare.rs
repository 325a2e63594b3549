//! What every conversion wants first: constants in one place, each node with a name of its own.

use std::collections::{HashMap, HashSet};

use crate::onnx::{
    ElementType,
    edit::{AttributeValue, Graph, Model, Node, Tensor, is_onnx},
};

/// The first IR version whose constants need not be inputs too.
const IR_CONSTANTS: i64 = 4;

/// Makes constants of `Constant` nodes and of `Identity` nodes over constants, takes constants out of the inputs, and gives every
/// node a name that no other one has. The network computes what it did.
pub fn prepare(model: &mut Model) {
    let outputs: HashSet<String> = model.graph.outputs.iter().map(|value| value.name.clone()).collect();
    lift_constants(&mut model.graph, &outputs);
    let constants: HashSet<&str> = model.graph.initializers.iter().map(|tensor| tensor.name.as_str()).collect();
    model.graph.inputs.retain(|input| !constants.contains(input.name.as_str()));
    model.ir_version = model.ir_version.max(IR_CONSTANTS);
    name_nodes(&mut model.graph.nodes);
}

fn lift_constants(graph: &mut Graph, outputs: &HashSet<String>) {
    let mut by_name: HashMap<String, usize> =
        graph.initializers.iter().enumerate().map(|(i, tensor)| (tensor.name.clone(), i)).collect();
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes) {
        let [output] = node.outputs.as_slice() else {
            nodes.push(node);
            continue;
        };
        let constant = match node.op.as_str() {
            _ if outputs.contains(output) || !is_onnx(&node.domain) => None,
            "Constant" => constant(&node),
            "Identity" => node.inputs.first().and_then(|input| by_name.get(input)).map(|i| graph.initializers[*i].clone()),
            _ => None,
        };
        match constant {
            Some(mut tensor) => {
                tensor.name.clone_from(output);
                by_name.insert(output.clone(), graph.initializers.len());
                graph.initializers.push(tensor);
            }
            None => nodes.push(node),
        }
    }
    graph.nodes = nodes;
}

/// What a `Constant` node holds; `None` for texts and sparse tensors.
fn constant(node: &Node) -> Option<Tensor> {
    let attribute = node.attributes.iter().find(|attribute| attribute.name.starts_with("value"))?;
    Some(match &attribute.value {
        AttributeValue::Tensor(tensor) => tensor.clone(),
        AttributeValue::Float(value) => Tensor::floats("", &[], &[*value]),
        AttributeValue::Floats(values) => Tensor::floats("", &[values.len() as i64], values),
        AttributeValue::Int(value) => Tensor::ints("", &[], &[*value]),
        AttributeValue::Ints(values) => Tensor::ints("", &[values.len() as i64], values),
        _ => return None,
    })
}

fn name_nodes(nodes: &mut [Node]) {
    let mut taken: HashSet<String> = HashSet::with_capacity(nodes.len());
    for (i, node) in nodes.iter_mut().enumerate() {
        if node.name.is_empty() || taken.contains(&node.name) {
            let base = if node.name.is_empty() { format!("{}_{i}", node.op) } else { format!("{}_{i}", node.name) };
            node.name = fresh(&base, |name| taken.contains(name));
        }
        taken.insert(node.name.clone());
    }
}

/// A name that is not taken: `base`, or it with a number.
pub(super) fn fresh(base: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut name = base.to_owned();
    let mut number = 1_u64;
    while taken(&name) {
        number += 1;
        name = format!("{base}_{number}");
    }
    name
}

/// Every name of a value in a graph.
pub(super) fn value_names(graph: &Graph) -> HashSet<String> {
    let nodes = graph.nodes.iter().flat_map(|node| node.inputs.iter().chain(&node.outputs));
    let constants = graph.initializers.iter().map(|tensor| &tensor.name);
    let declared = graph.inputs.iter().chain(&graph.outputs).chain(&graph.values).map(|value| &value.name);
    nodes.chain(constants).chain(declared).cloned().collect()
}

/// Those of `names` that no node has: the first of them, with the names that are nearest.
pub(super) fn unknown_node(nodes: &[Node], names: &[String]) -> Option<(String, String)> {
    let known: HashSet<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let missing = names.iter().find(|name| !known.contains(name.as_str()))?;
    let mut near: Vec<&str> = known.into_iter().collect();
    let shared = |name: &str| name.chars().zip(missing.chars()).take_while(|(a, b)| a == b).count();
    near.sort_by_key(|name| (std::cmp::Reverse(shared(name)), name.len(), (*name).to_owned()));
    near.truncate(3);
    Some((missing.clone(), near.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")))
}

/// Whether some constant of 16-bit floats shows that the file is half precision.
pub(super) fn half_constant(graph: &Graph) -> Option<&Tensor> {
    graph.initializers.iter().find(|tensor| tensor.element == ElementType::FLOAT16)
}

/// Takes out constants that nobody reads any more.
pub(super) fn drop_unused(graph: &mut Graph) {
    let used: HashSet<&str> = graph
        .nodes
        .iter()
        .flat_map(|node| &node.inputs)
        .chain(graph.outputs.iter().map(|v| &v.name))
        .map(String::as_str)
        .collect();
    graph.initializers.retain(|tensor| used.contains(tensor.name.as_str()));
}
