//! Explicit INT8: `QuantizeLinear`/`DequantizeLinear` pairs before the inputs of what is to compute in INT8.
//!
//! The rules are those of TensorRT's explicit quantization (Developer Guide, "Working with Quantized Types"), which ONNX Runtime
//! follows as well: symmetric (zero point 0), activations per tensor, constant weights per output channel and stored as INT8 with a
//! `DequantizeLinear` of their own, biases in float, no pair at a convolution's output unless what follows wants one, so that
//! activation functions fuse. What lies between the last convolutions and the outputs is never quantized: there boxes of hundreds of
//! pixels and scores below one would share a scale.

mod bias;
mod equal;
mod weights;
mod write;

use std::collections::{BTreeMap, HashMap, HashSet};

pub use bias::{Shifting, Shifts};
use equal::Equalizer;

use super::{
    PrecisionError, Ranges,
    finite::refuse_not_finite,
    fold::fold_batch_norms,
    prepare::{half_constant, prepare, unknown_node},
    ranges::Method,
    types, upgrade,
};
use crate::onnx::{
    ElementType,
    edit::{Model, Node, is_onnx},
};

/// Operators that multiply by weights.
const WEIGHTED: [&str; 3] = ["Conv", "Gemm", "MatMul"];
/// Others whose inputs may be quantized.
const OTHERS: [&str; 12] = [
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "GlobalAveragePool",
    "LeakyRelu",
    "MaxPool",
    "Mul",
    "Relu",
    "Resize",
    "Sigmoid",
    "HardSwish",
];
/// Those that only move values, so that all their inputs and outputs must have one scale.
const MOVERS: [&str; 3] = ["Concat", "MaxPool", "Resize"];

/// What is quantized.
#[derive(Clone, Debug)]
pub struct QdqOptions {
    /// Operators whose inputs are quantized.
    pub ops: Vec<String>,
    /// Nodes that stay in float, by name.
    pub keep_float: Vec<String>,
}

impl Default for QdqOptions {
    /// What multiplies by weights.
    fn default() -> Self {
        Self { ops: WEIGHTED.map(String::from).to_vec(), keep_float: Vec::new() }
    }
}

/// Operators that [`QdqOptions::ops`] may name.
pub fn quantizable_ops() -> impl Iterator<Item = &'static str> {
    WEIGHTED.into_iter().chain(OTHERS)
}

/// A node that can be quantized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Its operator.
    pub op: String,
    /// The inputs that become INT8 at run time.
    activations: Vec<usize>,
    /// The constant input that is stored as INT8.
    weight: Option<usize>,
    /// Of a depthwise convolution, the channels of its input.
    channels: Option<usize>,
}

/// What a quantized file has in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QdqReport {
    /// Layers that compute in INT8.
    pub quantized: Vec<String>,
    /// Those of them whose input channels are brought to one range first.
    pub equalized: Vec<String>,
    /// Layers that stay in float though they were to be quantized, and why.
    pub kept: Vec<(String, String)>,
}

/// A float network and the layers of it that can be quantized.
#[derive(Clone, Debug)]
pub struct Plan {
    model: Model,
    layers: Vec<Layer>,
}

impl Plan {
    /// Prepares a float network: operator set 13, each node with a name, batch normalisation folded into convolutions.
    ///
    /// # Errors
    /// [`PrecisionError`]
    pub fn new(mut model: Model, options: &QdqOptions) -> Result<Self, PrecisionError> {
        prepare(&mut model);
        refuse_converted(&model)?;
        refuse_not_finite(&model.graph)?;
        fold_batch_norms(&mut model);
        if let Some((name, near)) = unknown_node(&model.graph.nodes, &options.keep_float) {
            return Err(PrecisionError::NoNode { name, near });
        }
        upgrade::upgrade(&mut model)?;
        let layers = layers(&model, options)?;
        if layers.is_empty() {
            return Err(PrecisionError::NothingToQuantize { ops: options.ops.join(", ") });
        }
        Ok(Self { model, layers })
    }

    /// The float network as it is quantized: what ranges are observed on.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Its layers, in the order of the graph.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The values whose ranges are needed.
    pub fn values(&self) -> Vec<String> {
        let by_name: HashMap<&str, &Node> = self.model.graph.nodes.iter().map(|node| (node.name.as_str(), node)).collect();
        let mut values: Vec<String> = Vec::new();
        let mut seen = HashSet::new();
        for layer in &self.layers {
            let Some(node) = by_name.get(layer.name.as_str()) else { continue };
            let moved = MOVERS.contains(&layer.op.as_str());
            let outputs = node.outputs.iter().take(usize::from(moved));
            for value in layer.activations.iter().map(|i| &node.inputs[*i]).chain(outputs) {
                if seen.insert(value.clone()) {
                    values.push(value.clone());
                }
            }
        }
        values
    }

    /// The network with all layers in INT8 but those in `float`.
    /// `shifts`: what is taken from the biases of those that are quantized.
    pub fn quantize(&self, ranges: &Ranges, method: Method, float: &HashSet<String>, shifts: &Shifts) -> (Model, QdqReport) {
        write::write(self, &self.scales(ranges, method, float), &self.equalizers(ranges, method), float, shifts)
    }

    /// The values that depthwise convolutions read, and their channels: each of these channels meets weights of its own alone, so
    /// that ranges of their own cost no accuracy.
    pub fn channels(&self) -> BTreeMap<String, usize> {
        let inputs: HashMap<&str, &str> =
            self.model.graph.nodes.iter().filter_map(|node| Some((node.name.as_str(), node.inputs.first()?.as_str()))).collect();
        let channels = self.layers.iter().filter_map(|layer| Some((inputs.get(layer.name.as_str())?, layer.channels?)));
        channels.map(|(value, count)| ((*value).to_owned(), count)).collect()
    }

    /// What brings each of these values' channels to one range.
    fn equalizers(&self, ranges: &Ranges, method: Method) -> BTreeMap<String, Equalizer> {
        let of = |(value, count): (String, usize)| {
            let channels = ranges.channels(&value).filter(|channels| channels.len() == count)?;
            let limits: Vec<f32> = channels.iter().map(|channel| channel.limit(method)).collect();
            Some((value, Equalizer::new(&limits)?))
        };
        self.channels().into_iter().filter_map(of).collect()
    }

    /// The scale of each value; values that a mover joins share the largest.
    fn scales(&self, ranges: &Ranges, method: Method, float: &HashSet<String>) -> BTreeMap<String, f32> {
        let limits = self.values().into_iter().filter_map(|value| Some((ranges.of(&value)?.limit(method), value)));
        let mut scales: BTreeMap<String, f32> = limits.map(|(limit, value)| (value, limit / 127.0)).collect();
        let movers: HashSet<&str> =
            self.layers.iter().filter(|l| MOVERS.contains(&l.op.as_str())).map(|l| l.name.as_str()).collect();
        let joined: Vec<Vec<&String>> = (self.model.graph.nodes.iter())
            .filter(|node| movers.contains(node.name.as_str()) && !float.contains(&node.name))
            .map(|node| node.inputs.iter().take(if node.op == "Concat" { usize::MAX } else { 1 }).chain(&node.outputs).collect())
            .collect();
        // Movers follow each other, so that what one raises another hands on; each round settles at least one of them.
        for _ in 0..joined.len() {
            let mut changed = false;
            for values in &joined {
                let largest = values.iter().filter_map(|v| scales.get(*v)).copied().fold(0.0, f32::max);
                for value in values {
                    if let Some(scale) = scales.get_mut(*value).filter(|scale| **scale < largest) {
                        *scale = largest;
                        changed = true;
                    }
                }
            }
            if !changed {
                break;
            }
        }
        scales
    }
}

fn refuse_converted(model: &Model) -> Result<(), PrecisionError> {
    if let Some(node) = model.graph.nodes.iter().find(|node| matches!(node.op.as_str(), "QuantizeLinear" | "DequantizeLinear")) {
        return Err(PrecisionError::Already { what: "quantized", node: node.name.clone() });
    }
    match half_constant(&model.graph) {
        Some(tensor) => Err(PrecisionError::Already { what: "half precision", node: tensor.name.clone() }),
        None => Ok(()),
    }
}

/// The nodes that are to be quantized and can be.
fn layers(model: &Model, options: &QdqOptions) -> Result<Vec<Layer>, PrecisionError> {
    let types = types::follow(&model.graph)?;
    let head = head(model);
    let shapes: HashMap<&str, &[i64]> = model.graph.initializers.iter().map(|t| (t.name.as_str(), t.dims.as_slice())).collect();
    let wanted = |node: &&Node| {
        is_onnx(&node.domain)
            && options.ops.contains(&node.op)
            && quantizable_ops().any(|op| op == node.op)
            && !options.keep_float.contains(&node.name)
            && !head.contains(node.name.as_str())
    };
    let layers = model.graph.nodes.iter().filter(wanted).filter_map(|node| {
        let float = |i: usize| types.get(node.inputs.get(i)?).filter(|t| **t == ElementType::FLOAT).map(|_| i);
        let rank = |i: usize| shapes.get(node.inputs[i].as_str()).map(|dims| dims.len());
        let (activations, weight) = match node.op.as_str() {
            "Conv" | "Gemm" | "MatMul" => {
                let (left, right) = (float(0)?, float(1)?);
                match (rank(left), rank(right)) {
                    (None, Some(rank)) if rank >= 2 => (vec![left], Some(right)),
                    (None, None) => (vec![left, right], None),
                    // A constant on the left, or a vector: rare, and no layer.
                    _ => return None,
                }
            }
            "Concat" | "Add" | "Mul" => {
                let all: Vec<usize> = (0..node.inputs.len()).map(float).collect::<Option<_>>()?;
                // With a constant it is a scale or an offset, which fuses with what is before it.
                if all.iter().any(|i| rank(*i).is_some()) {
                    return None;
                }
                (all, None)
            }
            _ => (vec![float(0).filter(|i| rank(*i).is_none())?], None),
        };
        let channels = weight.and_then(|i| depthwise(node, shapes.get(node.inputs[i].as_str())?));
        Some(Layer { name: node.name.clone(), op: node.op.clone(), activations, weight, channels })
    });
    Ok(layers.collect())
}

/// The input channels of a convolution with as many groups, of weights `[M, 1, …]`.
fn depthwise(node: &Node, weights: &[i64]) -> Option<usize> {
    let groups = usize::try_from(node.int("group")?).ok()?;
    let (filters, per_group) = (usize::try_from(*weights.first()?).ok()?, *weights.get(1)?);
    (node.op == "Conv" && groups > 1 && per_group == 1 && filters % groups == 0).then_some(groups)
}

/// Names of the nodes from the outputs back to the last operators with weights, these not included.
fn head(model: &Model) -> HashSet<&str> {
    let mut open: HashSet<&str> = model.graph.outputs.iter().map(|value| value.name.as_str()).collect();
    let mut head = HashSet::new();
    for node in model.graph.nodes.iter().rev() {
        let weighted = WEIGHTED.contains(&node.op.as_str()) || node.op == "ConvTranspose";
        if !weighted && node.outputs.iter().any(|output| open.contains(output.as_str())) {
            head.insert(node.name.as_str());
            open.extend(node.inputs.iter().map(String::as_str));
        }
    }
    head
}
