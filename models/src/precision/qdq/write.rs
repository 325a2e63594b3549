//! The graph with its pairs.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Equalizer, Layer, Plan, QdqReport, Shifts, bias, weights};
use crate::{
    onnx::{
        ElementType,
        edit::{Graph, Model, Node, Tensor},
    },
    precision::prepare::{drop_unused, fresh, value_names},
};

/// What a smaller scale stands for would vanish in halves as well.
const SMALLEST_SCALE: f32 = 1e-7;

pub(super) fn write(
    plan: &Plan,
    scales: &BTreeMap<String, f32>,
    equalizers: &BTreeMap<String, Equalizer>,
    float: &HashSet<String>,
    shifts: &Shifts,
) -> (Model, QdqReport) {
    let graph = &plan.model.graph;
    let layers: HashMap<&str, &Layer> = plan.layers.iter().map(|layer| (layer.name.as_str(), layer)).collect();
    let mut writer = Writer::new(graph, scales, equalizers);
    let mut report = QdqReport::default();
    for node in &graph.nodes {
        let mut node = node.clone();
        if let Some(layer) = layers.get(node.name.as_str()).filter(|layer| !float.contains(&layer.name)) {
            match writer.quantize(layer, &mut node) {
                Ok(equalized) => {
                    if let Some(shift) = shifts.get(&layer.name) {
                        writer.correct(&mut node, shift);
                    }
                    report.quantized.push(layer.name.clone());
                    report.equalized.extend(equalized.then(|| layer.name.clone()));
                }
                Err(reason) => report.kept.push((layer.name.clone(), reason)),
            }
        }
        writer.push(node);
    }
    let mut model = plan.model.clone();
    writer.finish(&mut model);
    (model, report)
}

pub(super) struct Writer<'a> {
    scales: &'a BTreeMap<String, f32>,
    equalizers: &'a BTreeMap<String, Equalizer>,
    constants: HashMap<&'a str, &'a Tensor>,
    names: HashSet<String>,
    /// Value → the output of its pair.
    pairs: HashMap<String, String>,
    /// Value → the output of the pair behind its equalizer.
    equalized: HashMap<String, String>,
    /// Weights and axis → the output of their `DequantizeLinear`, or why there is none.
    weights: HashMap<(String, Option<usize>), Result<String, String>>,
    nodes: Vec<Node>,
    made: Vec<Tensor>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(graph: &'a Graph, scales: &'a BTreeMap<String, f32>, equalizers: &'a BTreeMap<String, Equalizer>) -> Self {
        Self {
            scales,
            equalizers,
            constants: graph.initializers.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect(),
            names: value_names(graph),
            pairs: HashMap::new(),
            equalized: HashMap::new(),
            weights: HashMap::new(),
            nodes: Vec::with_capacity(graph.nodes.len() * 2),
            made: Vec::new(),
        }
    }

    /// The next node.
    pub(super) fn push(&mut self, node: Node) {
        self.nodes.push(node);
    }

    /// A further constant.
    pub(super) fn made(&mut self, tensor: Tensor) {
        self.made.push(tensor);
    }

    /// Puts everything into a copy of the graph.
    pub(super) fn finish(self, model: &mut Model) {
        model.graph.nodes = self.nodes;
        model.graph.initializers.extend(self.made);
        drop_unused(&mut model.graph);
    }

    /// Takes from a convolution's bias what its mean moves by.
    fn correct(&mut self, node: &mut Node, shift: &[f32]) {
        let named = node.inputs.get(2).filter(|name| !name.is_empty());
        let bias = named.map(|name| self.constants.get(name.as_str()).copied());
        // One that is made by a node is left alone.
        let Some(mut tensor) = bias.map_or(Some(None), |known| known.map(Some)).and_then(|bias| bias::corrected(bias, shift))
        else {
            return;
        };
        tensor.name = self.fresh(&format!("{}_bias", node.label()));
        node.inputs.truncate(2);
        node.inputs.push(tensor.name.clone());
        self.made.push(tensor);
    }

    /// Puts pairs before a layer's inputs; whether its channels are equalized. `Err`: why it stays in float; nothing is changed then.
    pub(super) fn quantize(&mut self, layer: &Layer, node: &mut Node) -> Result<bool, String> {
        for i in &layer.activations {
            let value = &node.inputs[*i];
            let scale = self.scales.get(value).ok_or_else(|| format!("nothing was observed of `{value}`"))?;
            if *scale < SMALLEST_SCALE || !scale.is_finite() {
                return Err(format!("`{value}` was zero in every calibration frame"));
            }
        }
        let equalizer = layer.channels.and_then(|_| self.equalizers.get(&node.inputs[0]));
        if let (Some(equalizer), Some(i)) = (equalizer, layer.weight) {
            let tensor = *self.constants.get(node.inputs[i].as_str()).ok_or("its weights are not constant")?;
            node.inputs[i] = self.dequantized(tensor, Some(0), &equalizer.factors)?;
            node.inputs[0] = self.equalized(&node.inputs[0], equalizer, tensor.dims.len());
            return Ok(true);
        }
        if let Some(i) = layer.weight {
            node.inputs[i] = self.weight(node, i)?;
        }
        for i in &layer.activations {
            node.inputs[*i] = self.pair(&node.inputs[*i]);
        }
        Ok(false)
    }

    /// The pair of a value of the given rank whose channels are brought to one range.
    fn equalized(&mut self, value: &str, equalizer: &Equalizer, rank: usize) -> String {
        if let Some(known) = self.equalized.get(value) {
            return known.clone();
        }
        let [factors, multiplied] = ["factors", "equalized"].map(|part| self.fresh(&format!("{value}_{part}")));
        let mut dims = vec![1; rank];
        dims[1] = equalizer.factors.len() as i64;
        self.made.push(Tensor::floats(&factors, &dims, &equalizer.factors));
        self.nodes.push(Node::new("Mul", &format!("{multiplied}_Mul"), &[value, &factors], &[&multiplied]));
        let back = self.pair_of(&multiplied, equalizer.limit / 127.0);
        self.equalized.insert(value.to_owned(), back.clone());
        back
    }

    pub(super) fn fresh(&mut self, base: &str) -> String {
        let name = fresh(base, |name| self.names.contains(name));
        self.names.insert(name.clone());
        name
    }

    /// The pair of a value: all quantized users of it share one.
    fn pair(&mut self, value: &str) -> String {
        if let Some(pair) = self.pairs.get(value) {
            return pair.clone();
        }
        let step = self.scales.get(value).copied().unwrap_or(1.0);
        let back = self.pair_of(value, step);
        self.pairs.insert(value.to_owned(), back.clone());
        back
    }

    /// A new pair of a value.
    fn pair_of(&mut self, value: &str, step: f32) -> String {
        let [scale, zero, quantized, back] =
            ["scale", "zero", "quantized", "dequantized"].map(|part| self.fresh(&format!("{value}_{part}")));
        self.made.push(Tensor::floats(&scale, &[], &[step]));
        self.made.push(Tensor::raw(&zero, &[], ElementType::INT8, vec![0]));
        let node = |op: &str, from: &str, to: &str| Node::new(op, &format!("{to}_{op}"), &[from, &scale, &zero], &[to]);
        self.nodes.push(node("QuantizeLinear", value, &quantized));
        self.nodes.push(node("DequantizeLinear", &quantized, &back));
        back
    }

    fn weight(&mut self, node: &Node, input: usize) -> Result<String, String> {
        let name = &node.inputs[input];
        let tensor = *self.constants.get(name.as_str()).ok_or("its weights are not constant")?;
        let axis = weights::channel_axis(node, tensor.dims.len());
        let key = (name.clone(), axis);
        if let Some(known) = self.weights.get(&key) {
            return known.clone();
        }
        let made = self.dequantized(tensor, axis, &[]);
        self.weights.insert(key, made.clone());
        made
    }

    /// `factors` of the input's channels, if it has any, are taken back here.
    fn dequantized(&mut self, tensor: &Tensor, axis: Option<usize>, factors: &[f32]) -> Result<String, String> {
        let mut quantized = weights::quantize(tensor, axis)?;
        quantized.take_back(factors);
        let parts = [(&mut quantized.values, "int8"), (&mut quantized.scales, "scale"), (&mut quantized.zeros, "zero")];
        for (part, what) in parts {
            part.name = self.fresh(&format!("{}_{what}", tensor.name));
        }
        let back = self.fresh(&format!("{}_dequantized", tensor.name));
        let inputs = [quantized.values.name.as_str(), &quantized.scales.name, &quantized.zeros.name];
        let mut node = Node::new("DequantizeLinear", &format!("{back}_DequantizeLinear"), &inputs, &[&back]);
        if let Some(axis) = axis {
            node = node.with_int("axis", axis as i64);
        }
        self.nodes.push(node);
        self.made.extend([quantized.values, quantized.scales, quantized.zeros]);
        Ok(back)
    }
}
