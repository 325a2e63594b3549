//! What a runtime would refuse, or compute nonsense with, told before any is asked.

use std::collections::{HashMap, HashSet};

use super::{
    NotFinite, Refused,
    graph::{AttributeValue, Graph, Model, Node},
    operators::{NEWEST_IR, NEWEST_OPSET, since},
    tensor::Tensor,
};
use crate::text;

/// Operators whose constants are weights: with an infinite one nothing finite comes out. Elsewhere infinity is a mask or a limit.
const WEIGHTED: [&str; 11] = [
    "Conv",
    "ConvTranspose",
    "Gemm",
    "MatMul",
    "BatchNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "GroupNormalization",
    "PRelu",
    "LSTM",
    "GRU",
];

/// Whether an operator's constants are weights.
pub(crate) fn is_weighted(op: &str) -> bool {
    WEIGHTED.contains(&op)
}

impl Model<'_> {
    /// Refuses what no runtime here could run, or what would make nonsense of every picture: an operator set or a file format newer
    /// than any that is known, operators that ONNX does not define or that came with a later operator set, outputs that nothing
    /// makes, weights that are no numbers. [`super::read`] takes such files, for those who want to look into them.
    ///
    /// # Errors
    /// [`Refused`] names the first of them.
    pub fn sound(&self) -> Result<(), Refused> {
        versions(self)?;
        self.standard_operators()?;
        self.graph.nodes.iter().try_for_each(|node| known(node, self.opset))?;
        outputs(&self.graph)?;
        finite(&self.graph)
    }
}

fn versions(model: &Model<'_>) -> Result<(), Refused> {
    let newer = |what, version, newest| Err(Refused::TooNew { what, version, newest });
    match (model.opset, model.ir_version) {
        (opset, _) if opset > NEWEST_OPSET => newer("operator set", opset, NEWEST_OPSET),
        (_, ir) if ir > NEWEST_IR => newer("version of the file format", ir, NEWEST_IR),
        (..1, _) => Err(Refused::NoOperatorSet),
        _ => Ok(()),
    }
}

fn known(node: &Node<'_>, opset: i64) -> Result<(), Refused> {
    // Those of other domains were looked at before.
    if !matches!(node.domain, "" | "ai.onnx") {
        return Ok(());
    }
    match since(node.op) {
        Some(version) if version <= opset => Ok(()),
        since => Err(Refused::NoSuchOperator { node: node.label(), op: node.kind(), opset, since }),
    }
}

fn outputs(graph: &Graph<'_>) -> Result<(), Refused> {
    let made: HashSet<&str> = (graph.nodes.iter().flat_map(|node| node.outputs.iter().copied()))
        .chain(graph.inputs.iter().map(|input| input.name))
        .chain(graph.initializers.iter().map(|tensor| tensor.name))
        .collect();
    match graph.outputs.iter().find(|output| !made.contains(output.name)) {
        Some(output) => Err(Refused::NoSuchOutput { output: text::short(output.name, 200) }),
        None => Ok(()),
    }
}

/// Each constant that is read is looked at once.
fn finite(graph: &Graph<'_>) -> Result<(), Refused> {
    let tensors: HashMap<&str, &Tensor<'_>> = graph.initializers.iter().map(|tensor| (tensor.name, tensor)).collect();
    let mut seen: HashMap<&str, NotFinite> = HashMap::with_capacity(tensors.len());
    for node in &graph.nodes {
        for input in &node.inputs {
            if let Some(tensor) = tensors.get(input) {
                let found = *seen.entry(input).or_insert_with(|| tensor.not_finite());
                refuse(node, tensor.name, found)?;
            }
        }
        for attribute in &node.attributes {
            let found = match &attribute.value {
                AttributeValue::Tensor(tensor) => tensor.not_finite(),
                AttributeValue::Floats(floats) => NotFinite::of(floats),
                AttributeValue::Ints(_) | AttributeValue::Other => continue,
            };
            refuse(node, attribute.name, found)?;
        }
    }
    Ok(())
}

fn refuse(node: &Node<'_>, tensor: &str, found: NotFinite) -> Result<(), Refused> {
    if found.nan > 0 || found.infinite > 0 && is_weighted(node.op) {
        let (node, op) = (node.label(), node.kind());
        return Err(Refused::NotFinite { tensor: text::short(tensor, 200), node, op, found });
    }
    Ok(())
}
