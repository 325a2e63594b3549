//! Weights that are no numbers are not converted: whatever comes of them is nonsense in any precision.

use std::collections::HashMap;

use super::PrecisionError;
use crate::{
    onnx::{
        NotFinite,
        edit::{AttributeValue, Graph, Tensor},
        is_weighted,
    },
    text,
};

/// Refuses NaN in any constant that a node reads, and infinity in weights. Elsewhere infinity is a mask or a limit.
pub(super) fn refuse_not_finite(graph: &Graph) -> Result<(), PrecisionError> {
    let tensors: HashMap<&str, &Tensor> = graph.initializers.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let mut seen: HashMap<&str, NotFinite> = HashMap::new();
    for node in &graph.nodes {
        let constants =
            node.inputs.iter().filter_map(|input| tensors.get(input.as_str()).map(|tensor| (input.as_str(), *tensor)));
        let attributes = node.attributes.iter().filter_map(|attribute| match &attribute.value {
            AttributeValue::Tensor(tensor) => Some((attribute.name.as_str(), tensor)),
            _ => None,
        });
        let read = constants.map(|(name, tensor)| (name, *seen.entry(name).or_insert_with(|| tensor.not_finite())));
        let read: Vec<_> = read.chain(attributes.map(|(name, tensor)| (name, tensor.not_finite()))).collect();
        if let Some((name, found)) = read.iter().find(|(_, found)| found.nan > 0 || found.infinite > 0 && is_weighted(&node.op)) {
            let (tensor, node) = (text::short(name, 200), text::short(node.label(), 200));
            return Err(PrecisionError::NotFinite { tensor, node, found: *found });
        }
    }
    Ok(())
}
