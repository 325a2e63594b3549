//! Constants that would make a small file ask for a huge tensor.

use std::collections::HashMap;

use super::{
    MAX_ELEMENTS, Refused,
    graph::{AttributeValue, Graph, Node},
    shapes::Shapes,
    tensor::Tensor,
};

/// Refuses nodes whose constant shapes, repeats, scales or paddings ask for more than [`MAX_ELEMENTS`], or whose output has more as
/// far as shapes can be followed.
pub(super) fn check(graph: &Graph<'_>) -> Result<(), Refused> {
    let constants = Constants::of(graph);
    let mut shapes = Shapes::new(graph, &constants);
    for node in &graph.nodes {
        let elements = asked_for(node, &constants).max(shapes.follow(node).unwrap_or(0.0));
        if elements > MAX_ELEMENTS as f64 || elements.is_nan() {
            return Err(Refused::Growth { node: node.label(), op: node.kind(), elements: elements as u64 });
        }
    }
    Ok(())
}

/// A constant of the graph: an initializer, or the output of a `Constant` node.
enum Constant<'g> {
    Tensor(&'g Tensor<'g>),
    Numbers(Vec<f64>),
}

/// Constants by name.
pub(super) struct Constants<'g>(HashMap<&'g str, Constant<'g>>);

impl<'g> Constants<'g> {
    pub(super) fn of(graph: &'g Graph<'g>) -> Self {
        let initializers = graph.initializers.iter().map(|tensor| (tensor.name, Constant::Tensor(tensor)));
        let nodes = graph.nodes.iter().filter(|node| node.op == "Constant").filter_map(|node| {
            let constant = node.attributes.iter().find_map(|attribute| match &attribute.value {
                AttributeValue::Tensor(tensor) => Some(Constant::Tensor(tensor)),
                AttributeValue::Ints(ints) => Some(Constant::Numbers(ints.iter().map(|i| *i as f64).collect())),
                AttributeValue::Floats(floats) => Some(Constant::Numbers(floats.iter().map(|f| f64::from(*f)).collect())),
                AttributeValue::Other => None,
            });
            Some((*node.outputs.first()?, constant?))
        });
        Self(initializers.chain(nodes).collect())
    }

    pub(super) fn values(&self, node: &Node<'_>, input: usize) -> Option<Vec<f64>> {
        match self.0.get(node.inputs.get(input)?)? {
            Constant::Tensor(tensor) => tensor.values(),
            Constant::Numbers(numbers) => Some(numbers.clone()),
        }
    }

    /// Elements of an input: known for constants, else at least one.
    fn elements(&self, node: &Node<'_>, input: usize) -> f64 {
        match node.inputs.get(input).and_then(|name| self.0.get(name)) {
            Some(Constant::Tensor(tensor)) => (tensor.elements as f64).max(1.0),
            Some(Constant::Numbers(numbers)) => (numbers.len() as f64).max(1.0),
            None => 1.0,
        }
    }
}

/// A lower bound of what a node's constants alone make of it, in elements. Zero where nothing is known.
fn asked_for(node: &Node<'_>, constants: &Constants<'_>) -> f64 {
    let product = |values: Vec<f64>| values.into_iter().map(f64::abs).map(|v| v.max(1.0)).product::<f64>();
    let input = |i: usize| constants.values(node, i).map_or(0.0, product);
    let ints = |name: &str| match node.attribute(name) {
        Some(AttributeValue::Ints(ints)) => product(ints.iter().map(|i| *i as f64).collect()),
        _ => 0.0,
    };
    match node.op {
        "ConstantOfShape" | "HannWindow" | "HammingWindow" | "BlackmanWindow" => input(0),
        // Reshape cannot grow a tensor, but an absurd shape is no reason to try.
        "Expand" | "Reshape" => input(1),
        "Tile" | "OneHot" => input(1) * constants.elements(node, 0),
        // Operator set 10 has the scales where later ones have the region.
        "Resize" if node.inputs.len() == 2 => input(1) * constants.elements(node, 0),
        "Resize" => (input(2) * constants.elements(node, 0)).max(input(3)),
        "Upsample" => input(1).max(floats(node, "scales")) * constants.elements(node, 0),
        "Range" => range(node, constants),
        "EyeLike" => constants.elements(node, 0),
        "Pad" => pads(&constants.values(node, 1).or_else(|| int_values(node, "pads")).unwrap_or_default()),
        "Conv" | "MaxPool" | "AveragePool" | "LpPool" => {
            pads(&int_values(node, "pads").unwrap_or_default()).max(ints("kernel_shape"))
        }
        "ConvTranspose" => pads(&int_values(node, "pads").unwrap_or_default())
            .max(pads(&int_values(node, "output_padding").unwrap_or_default()))
            .max(ints("strides"))
            .max(ints("output_shape")),
        "RandomNormal" | "RandomUniform" => ints("shape"),
        _ => 0.0,
    }
}

fn int_values(node: &Node<'_>, name: &str) -> Option<Vec<f64>> {
    match node.attribute(name)? {
        AttributeValue::Ints(ints) => Some(ints.iter().map(|i| *i as f64).collect()),
        _ => None,
    }
}

fn floats(node: &Node<'_>, name: &str) -> f64 {
    match node.attribute(name) {
        Some(AttributeValue::Floats(floats)) => floats.iter().map(|f| f64::from(*f).abs().max(1.0)).product(),
        _ => 0.0,
    }
}

/// All begins, then all ends: each axis has at least one element between them. Negative pads crop.
fn pads(pads: &[f64]) -> f64 {
    let half = pads.len() / 2;
    (0..half).map(|axis| 1.0 + pads[axis].max(0.0) + pads[axis + half].max(0.0)).product()
}

fn range(node: &Node<'_>, constants: &Constants<'_>) -> f64 {
    let scalar = |i| constants.values(node, i).and_then(|values| values.first().copied());
    match (scalar(0), scalar(1), scalar(2)) {
        (Some(start), Some(limit), Some(delta)) => ((limit - start) / delta).max(0.0),
        _ => 0.0,
    }
}
