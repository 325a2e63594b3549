//! Shifted means, taken back.
//!
//! Rounding errors of weights and values cut off at the ends of ranges do not average out over a layer's output: they move the mean of
//! each channel. What a channel moves by is measured with the same input for the float layer and its quantized twin, and taken
//! from the bias (M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.2 and
//! appendix D: the empirical variant).

use std::collections::{BTreeMap, HashMap};

use super::{Layer, Plan, write::Writer};
use crate::{
    onnx::{
        ElementType,
        edit::{AttributeValue, Model, Node, Tensor, Value},
    },
    precision::{CalibrationError, Method, Ranges, Run},
};

/// The first operator set whose `ReduceMean` has its axes as an input.
const AXES_AS_INPUT: i64 = 18;

/// What the means of layers' outputs move by when they are quantized: one value per channel, by the layer's name.
pub type Shifts = BTreeMap<String, Vec<f32>>;

/// Shifts while they are measured.
pub struct Shifting<R: Run> {
    network: R::Network,
    /// Output of the network → its layer, and sums over frames.
    sums: HashMap<String, (String, Vec<f64>)>,
    frames: u64,
}

impl<R: Run> Shifting<R> {
    /// Prepares to measure all convolutions of a plan.
    ///
    /// # Errors
    /// [`CalibrationError::Run`]: the runtime refuses the network with its twins.
    pub fn new(run: &mut R, plan: &Plan, ranges: &Ranges, method: Method) -> Result<Self, CalibrationError<R::Error>> {
        let (model, outputs) = twins(plan, ranges, method);
        let network = run.load(&model.write()).map_err(CalibrationError::Run)?;
        let sums = outputs.into_iter().map(|(output, layer)| (output, (layer, Vec::new()))).collect();
        Ok(Self { network, sums, frames: 0 })
    }

    /// Measures one input.
    ///
    /// # Errors
    /// [`CalibrationError::Run`]
    pub fn observe(&mut self, run: &mut R, input: &[f32]) -> Result<(), CalibrationError<R::Error>> {
        let sums = &mut self.sums;
        let mut each = |name: &str, values: &[f32]| {
            let Some((_, sums)) = sums.get_mut(name) else { return };
            sums.resize(values.len(), 0.0);
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(*value));
        };
        run.run(&mut self.network, input, &mut each).map_err(CalibrationError::Run)?;
        self.frames += 1;
        Ok(())
    }

    /// The means.
    pub fn finish(self) -> Shifts {
        let frames = self.frames.max(1) as f64;
        let mean = |sums: Vec<f64>| sums.into_iter().map(|sum| (sum / frames) as f32).collect();
        self.sums.into_values().map(|(layer, sums)| (layer, mean(sums))).collect()
    }
}

/// The float network with a quantized twin of each convolution beside it, on the same input; an output per layer with the mean of
/// what the twin says differently, by channel. Outputs and their layers come with it.
fn twins(plan: &Plan, ranges: &Ranges, method: Method) -> (Model, BTreeMap<String, String>) {
    let scales = plan.scales(ranges, method, &std::collections::HashSet::new());
    let equalizers = plan.equalizers(ranges, method);
    let graph = &plan.model.graph;
    let layers: HashMap<&str, &Layer> = plan.layers.iter().map(|layer| (layer.name.as_str(), layer)).collect();
    let ranks: HashMap<&str, usize> = graph.initializers.iter().map(|t| (t.name.as_str(), t.dims.len())).collect();
    let mut writer = Writer::new(graph, &scales, &equalizers);
    let (mut outputs, mut means) = (BTreeMap::new(), Vec::new());
    for node in &graph.nodes {
        writer.push(node.clone());
        let layer = layers.get(node.name.as_str()).filter(|layer| layer.op == "Conv" && layer.weight.is_some());
        let rank = node.inputs.get(1).and_then(|weights| ranks.get(weights.as_str()));
        let (Some(layer), Some(rank)) = (layer, rank) else { continue };
        let mut twin = node.clone();
        if writer.quantize(layer, &mut twin).is_err() {
            continue;
        }
        let value = &node.outputs[0];
        let [twin_value, difference, mean] = ["twin", "difference", "shift"].map(|part| writer.fresh(&format!("{value}_{part}")));
        twin.name = format!("{twin_value}_Conv");
        twin.outputs = vec![twin_value.clone()];
        writer.push(twin);
        writer.push(Node::new("Sub", &format!("{difference}_Sub"), &[&twin_value, value], &[&difference]));
        let reduce = reduce(&difference, &mean, *rank, plan.model.opset(), &mut writer);
        writer.push(reduce);
        means.push(Value::tensor(&mean, ElementType::FLOAT));
        outputs.insert(mean, layer.name.clone());
    }
    let mut model = plan.model.clone();
    writer.finish(&mut model);
    model.graph.outputs = means;
    (model, outputs)
}

/// The mean over all axes but that of the channels.
fn reduce(from: &str, to: &str, rank: usize, opset: i64, writer: &mut Writer<'_>) -> Node {
    let axes: Vec<i64> = (0..rank as i64).filter(|axis| *axis != 1).collect();
    let mut node = Node::new("ReduceMean", &format!("{to}_ReduceMean"), &[from], &[to]).with_int("keepdims", 0);
    if opset < AXES_AS_INPUT {
        node.set("axes", AttributeValue::Ints(axes));
    } else {
        let name = writer.fresh(&format!("{to}_axes"));
        node.inputs.push(name.clone());
        writer.made(Tensor::ints(&name, &[axes.len() as i64], &axes));
    }
    node
}

/// The bias of a layer without what its mean moves by; `None` where there is no constant bias to correct.
pub(super) fn corrected(bias: Option<&Tensor>, shift: &[f32]) -> Option<Tensor> {
    let values = match bias {
        Some(bias) => bias.as_floats().filter(|values| values.len() == shift.len())?,
        None => vec![0.0; shift.len()],
    };
    let moved: Vec<f32> = values.iter().zip(shift).map(|(bias, shift)| bias - shift).collect();
    moved.iter().all(|value| value.is_finite()).then(|| Tensor::floats("", &[moved.len() as i64], &moved))
}
