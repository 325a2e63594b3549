//! The exact shapes of a graph's values for given shapes of its inputs, with the short integer vectors that exporters compute shapes
//! with. What cannot be told is left out: growth's bounds ([`super::super::growth`]) are no shapes that a file could declare.

mod rules;
mod window;

use std::collections::HashMap;

use crate::onnx::edit::{AttributeValue, Dimension, Graph, Node, Value, is_onnx};

/// Vectors that are shapes are short.
const MAX_INTS: usize = 64;

/// A value's shape.
pub(super) type Dims = Vec<i64>;

/// What is known of a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fact {
    pub(super) dims: Dims,
    /// Its values, of short integers.
    pub(super) ints: Option<Vec<i64>>,
}

impl Fact {
    fn of(dims: Dims) -> Self {
        Self { dims, ints: None }
    }

    fn vector(ints: Vec<i64>) -> Self {
        Self { dims: vec![ints.len() as i64], ints: Some(ints) }
    }
}

/// How a value of known shape has its frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frames {
    /// Not one behind the other along its first dimension.
    No,
    /// The first dimension is the batch, which is open: the rest.
    Open(Dims),
    /// The first dimension is the batch, which is fixed: all of it.
    Fixed(Dims),
}

impl Frames {
    /// Elements of one frame.
    pub(super) fn elements(&self) -> u64 {
        let rest: &[i64] = match self {
            Self::No => return 0,
            Self::Open(dims) => dims,
            Self::Fixed(dims) => dims.get(1..).unwrap_or_default(),
        };
        rest.iter().fold(1, |product: u64, dim| product.saturating_mul(dim.unsigned_abs()))
    }
}

/// The values of known shape, by name. `size` replaces the open dimensions of the first input that has any beside the batch. An open
/// batch is told from other dimensions by running through the graph with two different ones.
pub(super) fn frames(graph: &Graph, size: Option<&[i64]>) -> HashMap<String, Frames> {
    let batch = Batch::of(graph);
    let Some(fixed) = batch.fixed else {
        let (two, mut three) = (follow(graph, &batch, 2, size), follow(graph, &batch, 3, size));
        let both = two.into_iter().filter_map(|(name, fact)| Some((three.remove(&name)?, name, fact)));
        let each = both.map(|(three, name, two)| match (two.dims.as_slice(), three.dims.as_slice()) {
            ([2, a @ ..], [3, b @ ..]) if a == b => (name, Frames::Open(a.to_vec())),
            _ => (name, Frames::No),
        });
        return each.collect();
    };
    let each = follow(graph, &batch, fixed, size).into_iter();
    each.map(|(name, f)| (name, if f.dims.first() == Some(&fixed) { Frames::Fixed(f.dims) } else { Frames::No })).collect()
}

/// The first dimension of the network's first input.
pub(super) struct Batch {
    pub(super) dimension: Dimension,
    fixed: Option<i64>,
}

impl Batch {
    pub(super) fn of(graph: &Graph) -> Self {
        let first = graph.inputs.iter().filter_map(Value::dims).find_map(|dims| dims.into_iter().next());
        let dimension = first.unwrap_or(Dimension::Open);
        // Some exporters write -1 or 0 for what is open.
        let fixed = if let Dimension::Fixed(n @ 1..) = dimension { Some(n) } else { None };
        Self { dimension, fixed }
    }

    /// A declared shape with so many frames.
    fn dims(&self, value: &Value, batch: i64, size: Option<&[i64]>) -> Option<Dims> {
        let dims = value.dims()?;
        let size = size.filter(|size| size.len() == dims.len());
        let each = dims.iter().enumerate().map(|(i, dim)| match dim {
            Dimension::Fixed(n @ 1..) => Some(*n),
            dim if i == 0 && (*dim == self.dimension || size.is_some()) => Some(batch),
            Dimension::Named(_) if *dim == self.dimension => Some(batch),
            _ => size.and_then(|size| size.get(i).copied()),
        });
        each.collect()
    }
}

fn follow(graph: &Graph, batch: &Batch, count: i64, size: Option<&[i64]>) -> HashMap<String, Fact> {
    let constants = graph.initializers.iter().map(|t| {
        let ints = if t.dims.len() < 2 { t.as_ints(MAX_INTS) } else { None };
        (t.name.clone(), Fact { dims: t.dims.clone(), ints })
    });
    let inputs = graph.inputs.iter().filter_map(|v| Some((v.name.clone(), Fact::of(batch.dims(v, count, size)?))));
    let mut known: HashMap<String, Fact> = inputs.chain(constants).collect();
    let declared: HashMap<&str, &Value> = graph.values.iter().map(|value| (value.name.as_str(), value)).collect();
    for node in &graph.nodes {
        let made = if is_onnx(&node.domain) { Rule { graph, node, known: &known }.outputs() } else { None };
        for (i, output) in node.outputs.iter().enumerate().filter(|(_, output)| !output.is_empty()) {
            let fact = made.as_ref().and_then(|made| made.get(i)?.clone());
            let said = || Some(Fact::of(batch.dims(declared.get(output.as_str())?, count, None)?));
            if let Some(fact) = fact.or_else(said) {
                known.insert(output.clone(), fact);
            }
        }
    }
    known
}

/// A node on its way to the shapes of its outputs.
struct Rule<'g> {
    graph: &'g Graph,
    node: &'g Node,
    known: &'g HashMap<String, Fact>,
}

impl<'g> Rule<'g> {
    fn fact(&self, input: usize) -> Option<&'g Fact> {
        self.known.get(self.node.inputs.get(input).filter(|name| !name.is_empty())?)
    }

    fn dims(&self, input: usize) -> Option<&'g Dims> {
        self.fact(input).map(|fact| &fact.dims)
    }

    fn has(&self, input: usize) -> bool {
        self.node.inputs.get(input).is_some_and(|name| !name.is_empty())
    }

    /// Integers of an attribute.
    fn list(&self, name: &str) -> Option<&'g [i64]> {
        match self.node.attribute(name)? {
            AttributeValue::Ints(ints) => Some(ints),
            _ => None,
        }
    }

    /// Integers of an input, or of the attribute that older operator sets have instead; `Some(None)`: neither is there.
    #[expect(clippy::option_option, reason = "unknown is not the same as absent")]
    fn numbers(&self, input: usize, attribute: &str) -> Option<Option<Vec<i64>>> {
        match (self.list(attribute), self.has(input)) {
            (Some(list), _) => Some(Some(list.to_vec())),
            (None, true) => Some(Some(self.fact(input)?.ints.clone()?)),
            (None, false) => Some(None),
        }
    }

    /// Floats of a constant input.
    fn floats(&self, input: usize) -> Option<Vec<f32>> {
        self.graph.initializer(self.node.inputs.get(input)?)?.as_floats()
    }

    fn int(&self, name: &str, default: i64) -> i64 {
        self.node.int(name).unwrap_or(default)
    }
}

/// An axis counted from the front.
fn axis(axis: i64, rank: usize) -> Option<usize> {
    usize::try_from(if axis < 0 { axis.checked_add(rank as i64)? } else { axis }).ok().filter(|axis| *axis < rank)
}

fn product(dims: &[i64]) -> Option<i64> {
    dims.iter().try_fold(1_i64, |product, dim| product.checked_mul(*dim))
}

/// NumPy's rule: aligned at the right, a one stretches.
fn broadcast(a: &[i64], b: &[i64]) -> Option<Dims> {
    let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    let start = long.len() - short.len();
    let mut dims = long.to_vec();
    for (dim, other) in dims[start..].iter_mut().zip(short) {
        match (*dim, *other) {
            (a, b) if a == b || b == 1 => {}
            (1, b) => *dim = b,
            _ => return None,
        }
    }
    Some(dims)
}
