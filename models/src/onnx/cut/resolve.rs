//! Which nodes an objection is about.

use super::{CutError, Objection, RefusedNode};
use crate::onnx::edit::{Graph, Node};

/// Adds the nodes that an objection is about. A place counts if what is there has the name and the operator that were told; else the
/// name does, and the operator alone means all nodes of it.
pub(super) fn nodes(graph: &Graph, objection: &Objection, refused: &mut Vec<RefusedNode>) -> Result<(), CutError> {
    let Objection { node: place, name, op, reason } = objection;
    // Nodes without a name are called by their first output.
    let fits = |node: &Node| (name.is_empty() || *node.label() == **name) && (op.is_empty() || *node.op == *op);
    let refuse = |index: usize| {
        let node = &graph.nodes[index];
        RefusedNode { index, name: node.label().to_owned(), op: node.op.clone(), reason: reason.clone() }
    };
    if let Some(place) = place.filter(|place| graph.nodes.get(*place).is_some_and(fits)) {
        refused.push(refuse(place));
        return Ok(());
    }
    if name.is_empty() && (op.is_empty() || place.is_some()) {
        return Err(match place {
            None => CutError::Whole { reason: reason.clone() },
            Some(_) => no_node(objection),
        });
    }
    let found = graph.nodes.iter().enumerate().filter(|(_, node)| fits(node)).map(|(i, _)| i);
    let before = refused.len();
    refused.extend(found.map(refuse));
    if refused.len() == before { Err(no_node(objection)) } else { Ok(()) }
}

fn no_node(objection: &Objection) -> CutError {
    let told = [
        objection.node.map_or_else(String::new, |place| format!("number {place}")),
        if objection.name.is_empty() { String::new() } else { format!("`{}`", objection.name) },
        if objection.op.is_empty() { String::new() } else { format!("({})", objection.op) },
    ];
    let what = told.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    CutError::NoNode { what, reason: objection.reason.clone() }
}
