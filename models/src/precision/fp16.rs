//! Strongly typed FP16: weights and values in between are halves, what does not fit stays in FP32 between `Cast` nodes.
//!
//! Strongly typed networks (TensorRT's `kSTRONGLY_TYPED`, the only kind in TensorRT 11) take every precision from the graph, so
//! the whole decision is made here. ONNX Runtime, whose CPU has few kernels for halves, puts casts around what it lacks.

use std::collections::{HashMap, HashSet};

use super::{
    PrecisionError,
    finite::refuse_not_finite,
    half::{from_half, to_half},
    prepare::{fresh, half_constant, prepare, unknown_node, value_names},
    ranges::Ranges,
    types::{self, Types},
};
use crate::onnx::{
    ElementType,
    edit::{AttributeValue, Model, Node, Tensor},
};

/// The largest finite half.
pub const MAX_HALF: f32 = 65504.0;

/// What may stay in FP32.
#[derive(Clone, Debug, Default)]
pub struct Fp16Options {
    /// Nodes that stay in FP32, by name.
    pub keep_float: Vec<String>,
    /// Make the network's own inputs and outputs halves as well.
    pub half_io: bool,
}

/// A node that stays in FP32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptFloat {
    /// Its name.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// Why.
    pub reason: String,
}

/// What a conversion did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fp16Report {
    /// Nodes that compute in halves.
    pub half: usize,
    /// Those that stay in FP32.
    pub kept: Vec<KeptFloat>,
    /// `Cast` nodes that were added.
    pub casts: usize,
    /// Constants that became halves.
    pub weights: usize,
    /// Largest difference of a constant's value.
    pub max_error: f64,
    /// Values other than zero that became zero.
    pub flushed: u64,
}

/// Converts a float network. `ranges`: the largest magnitudes of its values in between, where they were observed; a value beyond
/// [`MAX_HALF`] keeps the nodes that make and use it in FP32.
///
/// # Errors
/// [`PrecisionError`]
pub fn convert(model: &mut Model, options: &Fp16Options, ranges: Option<&Ranges>) -> Result<Fp16Report, PrecisionError> {
    prepare(model);
    refuse_not_finite(&model.graph)?;
    if let Some(tensor) = half_constant(&model.graph) {
        return Err(PrecisionError::Already { what: "half precision", node: tensor.name.clone() });
    }
    if let Some((name, near)) = unknown_node(&model.graph.nodes, &options.keep_float) {
        return Err(PrecisionError::NoNode { name, near });
    }
    let types = types::follow(&model.graph)?;
    let reasons = Judge { model, options, ranges, types: &types, unfit: unfit(model) }.reasons();
    let mut report = Fp16Report::default();
    for (node, reason) in model.graph.nodes.iter().zip(&reasons) {
        let floats = node.inputs.iter().chain(&node.outputs).any(|name| types.get(name) == Some(&ElementType::FLOAT));
        match reason {
            // Integer arithmetic on shapes is in no float precision at all.
            _ if !floats => {}
            Some(reason) => {
                report.kept.push(KeptFloat { node: node.name.clone(), op: node.op.clone(), reason: reason.clone() });
            }
            None => report.half += 1,
        }
    }
    let half: Vec<bool> = reasons.iter().map(Option::is_none).collect();
    Rewriter::new(model, &types, options.half_io).run(&half, &mut report);
    Ok(report)
}

/// Constants that halves cannot stand for, and why.
fn unfit(model: &Model) -> HashMap<&str, String> {
    let judge = |tensor: &Tensor| {
        let values = tensor.as_floats()?;
        // Infinity is a mask and stays one.
        let beyond = values.iter().filter(|v| v.is_finite()).fold(0.0_f32, |max, v| max.max(v.abs()));
        if beyond > MAX_HALF {
            return Some(format!("its constant `{}` reaches {beyond:.0}, more than {MAX_HALF}", tensor.name));
        }
        let mut nonzero = values.iter().filter(|v| **v != 0.0).peekable();
        let all = nonzero.peek().is_some() && nonzero.all(|v| vanishes(*v));
        all.then(|| format!("its constant `{}` (at most {beyond:e}) would become zero", tensor.name))
    };
    model.graph.initializers.iter().filter_map(|tensor| Some((tensor.name.as_str(), judge(tensor)?))).collect()
}

struct Judge<'a> {
    model: &'a Model,
    options: &'a Fp16Options,
    ranges: Option<&'a Ranges>,
    types: &'a Types,
    unfit: HashMap<&'a str, String>,
}

impl Judge<'_> {
    /// Per node why it stays in FP32; `None`: it computes in halves.
    fn reasons(&self) -> Vec<Option<String>> {
        self.model.graph.nodes.iter().map(|node| self.reason(node)).collect()
    }

    fn reason(&self, node: &Node) -> Option<String> {
        if self.options.keep_float.contains(&node.name) {
            return Some("asked for".into());
        }
        if !types::takes_half(node, self.model.opset()) {
            return Some(format!("{} of operator set {} is not for halves", node.op, self.model.opset()));
        }
        if node.outputs.iter().chain(&node.inputs).any(|name| self.types.get(name) == Some(&ElementType::DOUBLE)) {
            return Some("it computes in doubles".into());
        }
        node.inputs
            .iter()
            .enumerate()
            .find_map(|(i, input)| self.unfit.get(input.as_str()).filter(|_| !types::stays_float(node, i)).cloned())
            .or_else(|| {
                node.inputs.iter().chain(&node.outputs).find_map(|name| {
                    let reached = self.ranges?.max(name)?;
                    (reached > MAX_HALF).then(|| format!("`{name}` reached {reached:.0}, more than {MAX_HALF}"))
                })
            })
    }
}

/// Rewrites the graph: each float value exists as a float, as a half, or as both.
struct Rewriter<'a> {
    model: &'a mut Model,
    types: &'a Types,
    half_io: bool,
    names: HashSet<String>,
    /// Value → its name as a float, its name as a half.
    forms: HashMap<String, [Option<String>; 2]>,
    nodes: Vec<Node>,
    casts: usize,
}

const FLOAT: usize = 0;
const HALF: usize = 1;

impl<'a> Rewriter<'a> {
    fn new(model: &'a mut Model, types: &'a Types, half_io: bool) -> Self {
        let names = value_names(&model.graph);
        Self { model, types, half_io, names, forms: HashMap::new(), nodes: Vec::new(), casts: 0 }
    }

    fn is_float(&self, name: &str) -> bool {
        self.types.get(name) == Some(&ElementType::FLOAT)
    }

    fn run(mut self, half: &[bool], report: &mut Fp16Report) {
        self.inputs();
        self.constants(half, report);
        for (node, half) in std::mem::take(&mut self.model.graph.nodes).into_iter().zip(half) {
            self.node(node, *half);
        }
        self.finish(report);
    }

    fn inputs(&mut self) {
        let form = if self.half_io { HALF } else { FLOAT };
        for input in &mut self.model.graph.inputs {
            if input.element() != Some(ElementType::FLOAT) {
                continue;
            }
            if self.half_io {
                input.set_element(ElementType::FLOAT16);
            }
            self.forms.entry(input.name.clone()).or_default()[form] = Some(input.name.clone());
        }
    }

    /// Each constant becomes what its users want: a half, a float, or one of each.
    fn constants(&mut self, half: &[bool], report: &mut Fp16Report) {
        let mut wanted: HashMap<&str, [bool; 2]> = HashMap::new();
        for (node, half) in self.model.graph.nodes.iter().zip(half) {
            for (i, input) in node.inputs.iter().enumerate() {
                let form = if *half && !types::stays_float(node, i) { HALF } else { FLOAT };
                wanted.entry(input).or_default()[form] = true;
            }
        }
        let mut constants = Vec::with_capacity(self.model.graph.initializers.len());
        let wanted: HashMap<String, [bool; 2]> = wanted.into_iter().map(|(name, forms)| (name.to_owned(), forms)).collect();
        for tensor in std::mem::take(&mut self.model.graph.initializers) {
            let [float, half] = wanted.get(&tensor.name).copied().unwrap_or([true, false]);
            let Some(values) = tensor.as_floats().filter(|_| half) else {
                self.forms.entry(tensor.name.clone()).or_default()[FLOAT] = Some(tensor.name.clone());
                constants.push(tensor);
                continue;
            };
            let mut halved = tensor.clone();
            halved.replace(ElementType::FLOAT16, halve(&values, report));
            let forms = self.forms.entry(tensor.name.clone()).or_default();
            if float {
                halved.name = fresh(&format!("{}_fp16", tensor.name), |name| self.names.contains(name));
                self.names.insert(halved.name.clone());
                forms[FLOAT] = Some(tensor.name.clone());
                constants.push(tensor);
            }
            forms[HALF] = Some(halved.name.clone());
            constants.push(halved);
        }
        self.model.graph.initializers = constants;
    }

    fn node(&mut self, mut node: Node, half: bool) {
        for i in 0..node.inputs.len() {
            let input = node.inputs[i].clone();
            if self.is_float(&input) {
                let form = if half && !types::stays_float(&node, i) { HALF } else { FLOAT };
                node.inputs[i] = self.form(&input, form);
            }
        }
        let mut after = Vec::new();
        for output in &mut node.outputs {
            if self.types.get(output.as_str()) != Some(&ElementType::FLOAT) {
                continue;
            }
            let declared = self.model.graph.outputs.iter_mut().find(|value| value.name == *output);
            let form = if half { HALF } else { FLOAT };
            let own = output.clone();
            if let Some(declared) = declared {
                let outside = if self.half_io { HALF } else { FLOAT };
                if self.half_io {
                    declared.set_element(ElementType::FLOAT16);
                }
                if outside != form {
                    *output = fresh(&format!("{own}{}", SUFFIX[form]), |name| self.names.contains(name));
                    self.names.insert(output.clone());
                    after.push(cast(output, &own, outside));
                    self.forms.entry(own.clone()).or_default()[outside] = Some(own.clone());
                }
            }
            self.forms.entry(own).or_default()[form] = Some(output.clone());
        }
        if half {
            set_half(&mut node);
        }
        self.nodes.push(node);
        self.casts += after.len();
        self.nodes.append(&mut after);
    }

    /// The name of a value in a form, made by a cast where it is not there yet.
    fn form(&mut self, name: &str, form: usize) -> String {
        let forms = self.forms.entry(name.to_owned()).or_default();
        if let Some(there) = &forms[form] {
            return there.clone();
        }
        let from = forms[1 - form].clone().unwrap_or_else(|| name.to_owned());
        let made = fresh(&format!("{name}{}", SUFFIX[form]), |name| self.names.contains(name));
        self.names.insert(made.clone());
        forms[form] = Some(made.clone());
        self.nodes.push(cast(&from, &made, form));
        self.casts += 1;
        made
    }

    fn finish(self, report: &mut Fp16Report) {
        report.casts = self.casts;
        self.model.graph.nodes = self.nodes;
        for value in &mut self.model.graph.values {
            let form = self.forms.get(&value.name);
            if form.is_some_and(|form| form[HALF].as_ref() == Some(&value.name)) {
                value.set_element(ElementType::FLOAT16);
            }
        }
    }
}

const SUFFIX: [&str; 2] = ["_fp32", "_fp16"];

fn cast(from: &str, to: &str, form: usize) -> Node {
    let element = if form == HALF { ElementType::FLOAT16 } else { ElementType::FLOAT };
    Node::new("Cast", &format!("{to}_cast"), &[from], &[to]).with_int("to", i64::from(element.0))
}

/// A node's own attributes, where they name the precision.
fn set_half(node: &mut Node) {
    match node.op.as_str() {
        "Cast" if node.int("to") == Some(i64::from(ElementType::FLOAT.0)) => {
            node.set("to", AttributeValue::Int(i64::from(ElementType::FLOAT16.0)));
        }
        "ConstantOfShape" | "Constant" => match node.take("value") {
            Some(AttributeValue::Tensor(mut tensor)) => {
                if let Some(values) = tensor.as_floats() {
                    tensor.replace(ElementType::FLOAT16, halve(&values, &mut Fp16Report::default()));
                }
                node.set("value", AttributeValue::Tensor(tensor));
            }
            Some(other) => node.set("value", other),
            None => node.set("value", AttributeValue::Tensor(Tensor::raw("", &[1], ElementType::FLOAT16, vec![0, 0]))),
        },
        _ => {}
    }
}

/// Whether the nearest half is zero.
fn vanishes(value: f32) -> bool {
    value.abs() <= 2.0_f32.powi(-25)
}

/// The halves of a constant, little-endian; what that costs is noted.
fn halve(values: &[f32], report: &mut Fp16Report) -> Vec<u8> {
    report.weights += 1;
    let mut bytes = Vec::with_capacity(values.len() * 2);
    for value in values {
        let half = to_half(*value);
        if value.is_finite() {
            report.max_error = report.max_error.max((f64::from(from_half(half)) - f64::from(*value)).abs());
            report.flushed += u64::from(*value != 0.0 && vanishes(*value));
        }
        bytes.extend_from_slice(&half.to_le_bytes());
    }
    bytes
}
