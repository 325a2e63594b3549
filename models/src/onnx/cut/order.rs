//! A network whose nodes stand in order, without those that no output needs.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
};

use super::CutError;
use crate::{
    onnx::edit::{Graph, Model, Node},
    precision::prepare,
};

/// A network ready to be cut.
pub(super) struct Ordered {
    /// Constants in one place, each node with a name of its own, in topological order, all of them needed.
    pub(super) model: Model,
    /// For each node its place in the file.
    pub(super) places: Vec<usize>,
    /// For each node those whose outputs it reads.
    pub(super) before: Vec<Vec<usize>>,
    /// The node that makes a value.
    pub(super) makers: HashMap<String, usize>,
}

impl Ordered {
    pub(super) fn of(model: &Model) -> Result<Self, CutError> {
        let place_of: HashMap<String, usize> =
            model.graph.nodes.iter().enumerate().flat_map(|(i, node)| node.outputs.iter().map(move |o| (o.clone(), i))).collect();
        let mut model = model.clone();
        prepare(&mut model);
        let nodes = std::mem::take(&mut model.graph.nodes);
        let order = order(&nodes);
        let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
        model.graph.nodes = order.into_iter().filter_map(|at| nodes[at].take()).collect();
        let needed = needed(&model.graph);
        model.graph.nodes.retain(|node| node.outputs.iter().any(|output| needed.contains(output)));
        let nodes = &model.graph.nodes;
        let makers = makers(nodes);
        if let Some(output) = model.graph.outputs.iter().find(|output| !makers.contains_key(&output.name)) {
            return Err(CutError::PassThrough { output: output.name.clone() });
        }
        let before = nodes.iter().map(|node| node.inputs.iter().filter_map(|input| makers.get(input).copied()).collect());
        let (before, places) = (before.collect(), nodes.iter().map(|node| place(node, &place_of)).collect());
        Ok(Self { model, places, before, makers })
    }
}

fn place(node: &Node, places: &HashMap<String, usize>) -> usize {
    node.outputs.iter().filter(|output| !output.is_empty()).find_map(|output| places.get(output)).copied().unwrap_or(0)
}

fn makers(nodes: &[Node]) -> HashMap<String, usize> {
    let each = nodes.iter().enumerate().flat_map(|(i, node)| node.outputs.iter().map(move |output| (output.clone(), i)));
    each.filter(|(output, _)| !output.is_empty()).collect()
}

/// The file's order where it is one, else the nearest that is. The reader has refused circles.
fn order(nodes: &[Node]) -> Vec<usize> {
    let makers = makers(nodes);
    let before = |at: usize| nodes[at].inputs.iter().filter_map(|input| makers.get(input).copied());
    let mut waiting: Vec<usize> = (0..nodes.len()).map(|at| before(at).count()).collect();
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    (0..nodes.len()).for_each(|at| before(at).for_each(|maker| after[maker].push(at)));
    let mut ready: BinaryHeap<Reverse<usize>> = (0..nodes.len()).filter(|at| waiting[*at] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(at)) = ready.pop() {
        order.push(at);
        for next in &after[at] {
            waiting[*next] -= 1;
            if waiting[*next] == 0 {
                ready.push(Reverse(*next));
            }
        }
    }
    order
}

/// The values that some output needs, of nodes in order.
fn needed(graph: &Graph) -> HashSet<String> {
    let mut needed: HashSet<String> = graph.outputs.iter().map(|output| output.name.clone()).collect();
    for node in graph.nodes.iter().rev() {
        if node.outputs.iter().any(|output| needed.contains(output)) {
            needed.extend(node.inputs.iter().cloned());
        }
    }
    needed.remove("");
    needed
}
