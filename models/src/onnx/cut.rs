//! A network cut in two: what an engine's builder takes, from the picture on, and the tail that runs in ONNX Runtime behind it.
//!
//! A tail begins with the nodes that the builder refuses and has everything that needs them. Between the parts lie the tensors of the
//! cut: floats or halves, a frame in each place of their first dimension. Nodes that make something else (indices, shapes, masks,
//! what does not depend on the picture) or that make more than they read (enlargements, casts) are run again in the tail, as far as
//! none of them is a convolution or a product. Both parts are ONNX files of their own; one after the other they are the network.

mod error;
mod order;
mod part;
mod resolve;
mod shapes;
mod split;
#[cfg(test)]
mod tests;

use std::fmt;

pub use error::CutError;

use super::{
    ElementType,
    edit::{Dimension, Model, Node, Value},
};
use crate::text;

/// Most bytes of one frame that a cut hands over, unless said otherwise: some more than a 640×640 picture of 32-bit floats has (4.7 MiB),
/// and than the raw outputs of a YOLO with masks at that size (7 MiB).
pub const MAX_FRAME_BYTES: u64 = 8 << 20;

/// Version of the rules by which networks are cut. It is raised when another cut comes of the same objections: parts that were cut by
/// other rules are made anew then.
pub const VERSION: u32 = 1;

/// The place of a node that is none of the file's.
const NOWHERE: usize = usize::MAX;

/// What an engine's builder has against a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objection {
    /// The node's place in the file, where it is told.
    pub node: Option<usize>,
    /// Its name; empty where it is not told.
    pub name: String,
    /// Its operator; empty where it is not told. With neither place nor name: all nodes of that operator.
    pub op: String,
    /// Why.
    pub reason: String,
}

/// A node that the engine's builder does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedNode {
    /// Its place in the file.
    pub index: usize,
    /// Its name, or its first output's where it has none.
    pub name: String,
    /// Its operator.
    pub op: String,
    /// Why.
    pub reason: String,
}

/// Bounds of a cut.
#[derive(Clone, Debug)]
pub struct CutOptions {
    /// Most bytes of one frame between the parts.
    pub max_frame_bytes: u64,
    /// The shape of the picture input for one frame, `[1,3,H,W]`, where the file leaves more than the batch open.
    pub size: Option<Vec<i64>>,
}

impl Default for CutOptions {
    fn default() -> Self {
        Self { max_frame_bytes: MAX_FRAME_BYTES, size: None }
    }
}

/// What the tail reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// Its name, in both parts.
    pub name: String,
    /// What it holds.
    pub element: ElementType,
    /// Its shape, the batch first.
    pub dims: Vec<Dimension>,
    /// Bytes of one frame.
    pub frame_bytes: u64,
    /// An input of the whole network rather than something that the engine makes.
    pub is_input: bool,
}

/// A network in two parts.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The first part: reads the picture, makes the crossings and those outputs of the network that need no tail.
    pub engine: Model,
    /// The second part: reads the crossings, makes the other outputs of the network.
    pub tail: Model,
    /// What lies between them.
    pub at: Vec<Crossing>,
    /// Why.
    pub refused: Vec<RefusedNode>,
    /// Outputs of the whole network, in its order, and whether the tail makes them.
    pub outputs: Vec<(String, bool)>,
    /// For each node of the engine its place in the file.
    places: Vec<usize>,
}

/// Objections to every node of these operators.
pub fn objections_to(operators: &[&str], reason: &str) -> Vec<Objection> {
    let each = operators.iter().map(|op| Objection { op: (*op).to_owned(), reason: reason.to_owned(), ..Objection::default() });
    each.collect()
}

/// Cuts a network so that the first part has none of the nodes that are objected to.
///
/// # Errors
/// [`CutError`]: where no cut is possible or none is worth it.
pub fn cut(model: &Model, objections: &[Objection], options: &CutOptions) -> Result<Cut, CutError> {
    let mut refused = Vec::new();
    for objection in objections {
        resolve::nodes(&model.graph, objection, &mut refused)?;
    }
    divide(model, refused, options)
}

impl Cut {
    /// Cuts the whole network anew where the engine's builder objects to nodes of [`Self::engine`] too.
    ///
    /// # Errors
    /// As [`cut`].
    pub fn again(&self, whole: &Model, objections: &[Objection], options: &CutOptions) -> Result<Self, CutError> {
        let (mut found, mut refused) = (Vec::new(), self.refused.clone());
        for objection in objections {
            resolve::nodes(&self.engine.graph, objection, &mut found)?;
        }
        if let Some(node) = found.iter().find(|node| self.places[node.index] == NOWHERE) {
            let (tensor, maker, op) = (node.name.clone(), node.name.clone(), node.op.clone());
            let what = "the engine's builder does not take what hands it over";
            return Err(CutError::Unfit { tensor, maker, op, what, node: Box::new(node.clone()) });
        }
        refused.extend(found.into_iter().map(|node| RefusedNode { index: self.places[node.index], ..node }));
        divide(whole, refused, options)
    }

    /// Has the engine hand over an input of the network that the tail reads: for inputs that only the engine is given, as pictures are.
    /// Nothing changes where the tail does not read it.
    ///
    /// # Errors
    /// [`CutError::Unfit`] where it holds neither 32-bit nor 16-bit floats, or where the engine does not read it.
    pub fn hand_over(&mut self, input: &str) -> Result<(), CutError> {
        let Some(crossing) = self.at.iter_mut().find(|crossing| crossing.is_input && crossing.name == input) else {
            return Ok(());
        };
        let unfit = |what| CutError::Unfit {
            tensor: input.to_owned(),
            maker: input.to_owned(),
            op: "an input".to_owned(),
            what,
            node: Box::new(self.refused[0].clone()),
        };
        if !matches!(crossing.element, ElementType::FLOAT | ElementType::FLOAT16) {
            return Err(unfit(split::NO_FLOATS));
        }
        if !self.engine.graph.inputs.iter().any(|value| value.name == input) {
            return Err(unfit("the engine does not read it"));
        }
        let mut name = format!("{input}_handed_over");
        while [&self.engine, &self.tail].iter().any(|part| part.graph.names().any(|known| known == name)) {
            name.push('_');
        }
        self.engine.graph.nodes.push(Node::new("Identity", &name, &[input], &[&name]));
        self.engine.graph.outputs.push(Value::shaped(&name, crossing.element, &crossing.dims));
        self.places.push(NOWHERE);
        let tail = &mut self.tail.graph;
        let read = tail.nodes.iter_mut().flat_map(|node| &mut node.inputs).filter(|read| *read == input);
        read.for_each(|read| read.clone_from(&name));
        tail.inputs.iter_mut().filter(|value| value.name == input).for_each(|value| value.name.clone_from(&name));
        (crossing.name, crossing.is_input) = (name, false);
        Ok(())
    }

    /// Bytes of one frame that the engine hands over.
    pub fn frame_bytes(&self) -> u64 {
        self.at.iter().map(|crossing| crossing.frame_bytes).sum()
    }
}

fn divide(model: &Model, mut refused: Vec<RefusedNode>, options: &CutOptions) -> Result<Cut, CutError> {
    refused.sort_by_key(|node| node.index);
    refused.dedup_by_key(|node| node.index);
    let whole = order::Ordered::of(model)?;
    let sets = split::Sets::of(&whole, &refused, options)?;
    Ok(part::make(whole, sets, refused))
}

impl fmt::Display for RefusedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, op) = (text::short(&self.name, 200), text::short(&self.op, 60));
        write!(f, "node {} `{name}` ({op}): {}", self.index, text::short(self.reason.trim(), 400))
    }
}

impl fmt::Display for Crossing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let element = if self.element == ElementType::FLOAT16 { "float16" } else { "float32" };
        write!(f, "`{}` ({element} [", text::short(&self.name, 200))?;
        for (i, dim) in self.dims.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            match dim {
                Dimension::Fixed(n) => write!(f, "{n}")?,
                Dimension::Named(name) => f.write_str(&text::short(name, 60))?,
                Dimension::Open => f.write_str("?")?,
            }
        }
        write!(f, "], {} a frame)", bytes(self.frame_bytes))
    }
}

impl fmt::Display for Cut {
    /// `cut at tensors … because node N … (Op): reason; …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut at tensors ")?;
        list(f, self.at.iter().filter(|crossing| !crossing.is_input), ", ")?;
        f.write_str(" because ")?;
        list(f, &self.refused, "; ")?;
        let (engine, tail) = (self.engine.graph.nodes.len(), self.tail.graph.nodes.len());
        write!(
            f,
            ". {engine} nodes run in the engine, {tail} in ONNX Runtime, {} a frame between them",
            bytes(self.frame_bytes())
        )
    }
}

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: impl IntoIterator<Item = T>, between: &str) -> fmt::Result {
    for (i, item) in items.into_iter().enumerate() {
        f.write_str(if i == 0 { "" } else { between })?;
        item.fmt(f)?;
    }
    Ok(())
}

/// A number of bytes, for people.
fn bytes(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}
