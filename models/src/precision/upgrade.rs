//! Brings operator sets 11 and 12 to 13, the first with a scale per channel.
//!
//! What changed in between (onnx/docs/Changelog.md, versions 12 and 13): axes and split sizes became inputs, `Softmax` and its
//! kin stopped flattening, `Dropout` takes its ratio as an input. All else only admits more types.

use super::{
    PrecisionError,
    prepare::{fresh, value_names},
};
use crate::onnx::edit::{AttributeValue, Model, Node, Tensor, is_onnx};

/// The first operator set whose `QuantizeLinear` and `DequantizeLinear` have an axis.
pub(super) const PER_CHANNEL: i64 = 13;
const OLDEST: i64 = 11;
/// The IR version of ONNX 1.8, which brought operator set 13.
const IR: i64 = 7;

/// Upgrades a model to operator set 13 where it is older.
pub(super) fn upgrade(model: &mut Model) -> Result<(), PrecisionError> {
    let opset = model.opset();
    if opset >= PER_CHANNEL {
        return Ok(());
    }
    if opset < OLDEST {
        return Err(PrecisionError::Opset { opset });
    }
    let mut names = value_names(&model.graph);
    let mut nodes = Vec::with_capacity(model.graph.nodes.len());
    for mut node in std::mem::take(&mut model.graph.nodes) {
        let owner = node.name.clone();
        let mut constant = |values: &[i64], what: &str| {
            let name = fresh(&format!("{owner}_{what}"), |name| names.contains(name));
            names.insert(name.clone());
            model.graph.initializers.push(Tensor::ints(&name, &[values.len() as i64], values));
            name
        };
        let listed = match node.op.as_str() {
            _ if !is_onnx(&node.domain) => None,
            "Squeeze" | "Unsqueeze" | "ReduceSum" => Some("axes"),
            "Split" => Some("split"),
            "Dropout" if opset < 12 => {
                // Inference does not look at it.
                node.take("ratio");
                None
            }
            "Softmax" | "LogSoftmax" | "Hardmax" => {
                flatten(node, &mut nodes, &mut constant);
                continue;
            }
            _ => None,
        };
        if let Some(attribute) = listed {
            if let Some(AttributeValue::Ints(values)) = node.attribute(attribute).cloned() {
                let name = constant(&values, attribute);
                node.inputs.push(name);
            }
            node.take(attribute);
        }
        nodes.push(node);
    }
    model.graph.nodes = nodes;
    model.set_opset(PER_CHANNEL);
    model.ir_version = model.ir_version.max(IR);
    Ok(())
}

/// Until version 13 these flatten their input to a matrix at `axis` and work on its rows. Over the last axis both are the same;
/// else the old meaning is spelled out.
fn flatten(mut node: Node, nodes: &mut Vec<Node>, constant: &mut impl FnMut(&[i64], &str) -> String) {
    let axis = node.int("axis").unwrap_or(1);
    node.set("axis", AttributeValue::Int(-1));
    let ([input], [output]) = (node.inputs.as_slice(), node.outputs.as_slice()) else {
        nodes.push(node);
        return;
    };
    if axis == -1 {
        nodes.push(node);
        return;
    }
    let (input, output, name) = (input.clone(), output.clone(), node.name.clone());
    // Only the name of a constant is fresh; what derives from it is too.
    let fresh = constant(&[0], "flat");
    let [flat, rows, shape] = ["matrix", "rows", "shape"].map(|part| format!("{fresh}_{part}"));
    let made = |op: &str, inputs: &[&str], output: &str| Node::new(op, &format!("{name}_{op}"), inputs, &[output]);
    nodes.push(made("Shape", &[&input], &shape));
    nodes.push(made("Flatten", &[&input], &flat).with_int("axis", axis));
    node.inputs = vec![flat];
    node.outputs = vec![rows.clone()];
    nodes.push(node);
    nodes.push(made("Reshape", &[&rows, &shape], &output));
}
