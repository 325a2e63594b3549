//! Which nodes are in which part.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{
    Crossing, CutError, CutOptions, RefusedNode,
    order::Ordered,
    shapes::{self, Batch, Frames},
};
use crate::{
    onnx::{
        ElementType,
        edit::{Dimension, Node, is_onnx},
        is_weighted,
        operators::since,
    },
    precision::known_types,
};

pub(super) const UNKNOWN: &str = "its shape is not known";
pub(super) const NO_FLOATS: &str = "it holds neither 32-bit nor 16-bit floats";
const NO_FRAMES: &str = "its first dimension is not the batch";
const CONSTANT: &str = "it does not depend on the picture";
/// Tensors that are named where there is too much.
const NAMED: usize = 3;

/// A network's nodes, divided.
pub(super) struct Sets {
    /// In the tail and nowhere else: refused, or behind what is refused.
    pub(super) beyond: Vec<bool>,
    /// In the tail.
    pub(super) tail: Vec<bool>,
    /// In the engine.
    pub(super) engine: Vec<bool>,
    /// Between the two, in the order of their making.
    pub(super) at: Vec<Crossing>,
}

impl Sets {
    pub(super) fn of(whole: &Ordered, refused: &[RefusedNode], options: &CutOptions) -> Result<Self, CutError> {
        let first = refused.first().ok_or(CutError::Nothing)?;
        let beyond = beyond(whole, refused)?;
        let pictured = pictured(whole, &beyond, refused)?;
        let graph = &whole.model.graph;
        let split =
            Split { whole, types: known_types(graph), frames: shapes::frames(graph, options.size.as_deref()), pictured, first };
        let mut tail = beyond.clone();
        split.pull_unfit(&mut tail)?;
        split.pull_growing(&mut tail);
        let at = split.crossings(&tail);
        within(&at, options, first)?;
        runnable(whole, &tail, refused)?;
        let engine = engine(whole, &beyond, &at);
        if !engine.contains(&true) {
            return Err(CutError::Empty { node: Box::new(first.clone()) });
        }
        Ok(Self { beyond, tail, engine, at })
    }
}

/// The refused nodes and all that need them.
fn beyond(whole: &Ordered, refused: &[RefusedNode]) -> Result<Vec<bool>, CutError> {
    let mut beyond = vec![false; whole.places.len()];
    for node in refused {
        match whole.places.iter().position(|place| *place == node.index) {
            Some(at) => beyond[at] = true,
            None if node.op == "Constant" || node.op == "Identity" => {
                return Err(CutError::Constant { node: Box::new(node.clone()) });
            }
            None => return Err(CutError::Unneeded { node: Box::new(node.clone()) }),
        }
    }
    for at in 0..beyond.len() {
        beyond[at] |= whole.before[at].iter().any(|maker| beyond[*maker]);
    }
    Ok(beyond)
}

/// The head of the network, its first convolution or product over what comes in, must be the engine's. Whether each node depends on
/// the picture: on those inputs that the engine's convolutions and products need, or on any where there is none of those.
fn pictured(whole: &Ordered, beyond: &[bool], refused: &[RefusedNode]) -> Result<Vec<bool>, CutError> {
    let graph = &whole.model.graph;
    let inputs: HashSet<&str> = graph.inputs.iter().map(|input| input.name.as_str()).collect();
    let fed = downstream(whole, &inputs);
    let heavy = || (0..graph.nodes.len()).filter(|at| fed[*at] && is_weighted(&graph.nodes[*at].op));
    let Some(head) = heavy().next() else { return Ok(fed) };
    if beyond[head] {
        let needs = upstream(whole, [head]);
        let node = refused.iter().find(|node| (0..needs.len()).any(|at| needs[at] && whole.places[at] == node.index));
        let node = Box::new(node.unwrap_or(&refused[0]).clone());
        return Err(CutError::Head { head: graph.nodes[head].label().to_owned(), node });
    }
    let needs = upstream(whole, heavy().filter(|at| !beyond[*at]));
    let nodes = graph.nodes.iter().zip(&needs).filter(|(_, needed)| **needed);
    let pictures = nodes.flat_map(|(node, _)| node.inputs.iter().map(String::as_str)).filter(|input| inputs.contains(input));
    Ok(downstream(whole, &pictures.collect()))
}

/// What reads one of these inputs, or what such a node makes.
fn downstream(whole: &Ordered, inputs: &HashSet<&str>) -> Vec<bool> {
    let mut found = vec![false; whole.places.len()];
    for (at, node) in whole.model.graph.nodes.iter().enumerate() {
        found[at] = node.inputs.iter().any(|i| inputs.contains(i.as_str())) || whole.before[at].iter().any(|maker| found[*maker]);
    }
    found
}

/// These nodes and all that they need.
fn upstream(whole: &Ordered, nodes: impl IntoIterator<Item = usize>) -> Vec<bool> {
    let (mut found, mut waiting) = (vec![false; whole.places.len()], nodes.into_iter().collect::<Vec<_>>());
    while let Some(at) = waiting.pop() {
        if !std::mem::replace(&mut found[at], true) {
            waiting.extend(&whole.before[at]);
        }
    }
    found
}

struct Split<'a> {
    whole: &'a Ordered,
    types: HashMap<String, ElementType>,
    frames: HashMap<String, Frames>,
    pictured: Vec<bool>,
    first: &'a RefusedNode,
}

impl<'a> Split<'a> {
    fn node(&self, at: usize) -> &'a Node {
        &self.whole.model.graph.nodes[at]
    }

    fn has_runtime(&self, node: &Node) -> bool {
        has_runtime(node, self.whole.model.opset())
    }

    /// What the tail reads and does not make: the makers' places, `None` for inputs of the network.
    fn edges(&self, tail: &[bool]) -> BTreeSet<(Option<usize>, &'a str)> {
        let graph = &self.whole.model.graph;
        let nodes = graph.nodes.iter().enumerate().filter(|(at, _)| tail[*at]);
        let read = nodes.flat_map(|(_, node)| node.inputs.iter().map(String::as_str));
        let edge = |name: &'a str| match self.whole.makers.get(name) {
            Some(maker) => (!tail[*maker]).then_some((Some(*maker), name)),
            None => graph.inputs.iter().any(|input| input.name == name).then_some((None, name)),
        };
        read.filter_map(edge).collect()
    }

    /// Why a tensor cannot be handed over.
    fn unfit(&self, maker: usize, name: &str) -> Option<&'static str> {
        let element = self.types.get(name);
        if !self.pictured[maker] {
            Some(CONSTANT)
        } else if element.is_some_and(|element| !matches!(*element, ElementType::FLOAT | ElementType::FLOAT16)) {
            Some(NO_FLOATS)
        } else if element.is_none() {
            Some(UNKNOWN)
        } else {
            match self.frames.get(name) {
                None => Some(UNKNOWN),
                Some(Frames::No) => Some(NO_FRAMES),
                Some(Frames::Open(_) | Frames::Fixed(_)) => None,
            }
        }
    }

    /// Takes makers of what cannot be handed over into the tail, until all can.
    fn pull_unfit(&self, tail: &mut [bool]) -> Result<(), CutError> {
        while let Some((maker, name, what)) =
            self.edges(tail).into_iter().find_map(|(maker, name)| Some((maker?, name, self.unfit(maker?, name)?)))
        {
            let node = self.node(maker);
            if is_weighted(&node.op) && self.pictured[maker] || !self.has_runtime(node) {
                let (tensor, maker) = (name.to_owned(), node.label().to_owned());
                return Err(CutError::Unfit { tensor, maker, op: node.op.clone(), what, node: Box::new(self.first.clone()) });
            }
            tail[maker] = true;
        }
        Ok(())
    }

    /// Takes nodes that make more than they read into the tail, too.
    fn pull_growing(&self, tail: &mut [bool]) {
        while let Some(maker) = self.edges(tail).into_iter().find_map(|(maker, _)| maker.filter(|maker| self.grows(*maker, tail)))
        {
            tail[maker] = true;
        }
    }

    fn grows(&self, maker: usize, tail: &[bool]) -> bool {
        let node = self.node(maker);
        if is_weighted(&node.op) || !self.has_runtime(node) {
            return false;
        }
        let edges = self.edges(tail);
        let saved: u64 = edges.iter().filter(|(m, _)| *m == Some(maker)).map(|(_, name)| self.bytes(name)).sum();
        let mut with = tail.to_vec();
        with[maker] = true;
        let new = self.edges(&with);
        let mut new = new.difference(&edges);
        let cost = new.try_fold(0_u64, |sum, (maker, name)| {
            let fits = maker.is_none_or(|maker| self.unfit(maker, name).is_none());
            fits.then(|| sum.saturating_add(self.bytes(name)))
        });
        cost.is_some_and(|cost| cost < saved)
    }

    /// Bytes of one frame. Inputs without frames (the sizes of pictures) are small.
    fn bytes(&self, name: &str) -> u64 {
        let bits = self.types.get(name).and_then(|element| element.bits()).unwrap_or(64);
        self.frames.get(name).map_or(0, |frames| frames.elements().saturating_mul(bits / 8))
    }

    fn crossings(&self, tail: &[bool]) -> Vec<Crossing> {
        let batch = Batch::of(&self.whole.model.graph).dimension;
        let each = self.edges(tail).into_iter().map(|(maker, name)| {
            let element = self.types.get(name).copied().unwrap_or(ElementType(0));
            let dims = match self.frames.get(name) {
                Some(Frames::Open(dims)) => {
                    std::iter::once(batch.clone()).chain(dims.iter().map(|dim| Dimension::Fixed(*dim))).collect()
                }
                Some(Frames::Fixed(dims)) => dims.iter().map(|dim| Dimension::Fixed(*dim)).collect(),
                Some(Frames::No) | None => Vec::new(),
            };
            Crossing { name: name.to_owned(), element, dims, frame_bytes: self.bytes(name), is_input: maker.is_none() }
        });
        each.collect()
    }
}

fn within(at: &[Crossing], options: &CutOptions, first: &RefusedNode) -> Result<(), CutError> {
    let bytes = at.iter().fold(0_u64, |sum, crossing| sum.saturating_add(crossing.frame_bytes));
    if bytes <= options.max_frame_bytes {
        return Ok(());
    }
    let mut largest: Vec<&Crossing> = at.iter().collect();
    largest.sort_by_key(|crossing| std::cmp::Reverse(crossing.frame_bytes));
    let mut tensors: Vec<String> = largest.iter().take(NAMED).map(ToString::to_string).collect();
    if at.len() > NAMED {
        tensors.push("…".into());
    }
    Err(CutError::TooMuch { tensors: tensors.join(", "), bytes, limit: options.max_frame_bytes, node: Box::new(first.clone()) })
}

/// Refuses a tail with operators that ONNX Runtime does not have.
fn runnable(whole: &Ordered, tail: &[bool], refused: &[RefusedNode]) -> Result<(), CutError> {
    let opset = whole.model.opset();
    let mut nodes = whole.model.graph.nodes.iter().enumerate().filter(|(at, _)| tail[*at]);
    let Some((at, node)) = nodes.find(|(_, node)| !has_runtime(node, opset)) else { return Ok(()) };
    let why = refused.iter().find(|refused| refused.index == whole.places[at]);
    let behind = || format!("it needs what is refused, {}", refused[0]);
    let reason = why.map_or_else(behind, |refused| refused.reason.clone());
    let (name, op, domain) = (node.label().to_owned(), node.op.clone(), node.domain.clone());
    Err(CutError::NoRuntime { name, op, domain, reason })
}

/// Whether ONNX Runtime has an operator.
fn has_runtime(node: &Node, opset: i64) -> bool {
    if is_onnx(&node.domain) { since(&node.op).is_some_and(|version| version <= opset) } else { node.domain == "com.microsoft" }
}

/// What the crossings and the outputs before the cut need.
fn engine(whole: &Ordered, beyond: &[bool], at: &[Crossing]) -> Vec<bool> {
    let graph = &whole.model.graph;
    let outputs = graph.outputs.iter().filter_map(|output| whole.makers.get(&output.name)).filter(|maker| !beyond[**maker]);
    let crossings = at.iter().filter_map(|crossing| whole.makers.get(&crossing.name));
    upstream(whole, outputs.chain(crossings).copied())
}
