//! Batch normalisation that follows a convolution becomes part of its weights and bias.
//!
//! With `W·x + b` the convolution, `γ·(y − μ)/√(σ² + ε) + β` the normalisation (onnx/docs/Operators.md, `BatchNormalization`) and
//! `s = γ/√(σ² + ε)` per channel: `(s·W)·x + s·(b − μ) + β`. Exact but for the rounding of the new constants. Quantized before that, the
//! weights would be scaled to ranges that the normalisation stretches again, and no runtime could fuse the two.

use std::collections::HashMap;

use super::prepare::{drop_unused, fresh, value_names};
use crate::onnx::edit::{AttributeValue, Graph, Model, Node, Tensor, is_onnx};

/// Of `BatchNormalization` where it does not say.
const EPSILON: f32 = 1e-5;

/// Folds every normalisation that can be; returns how many. The others stay as they are: after anything but a convolution, where
/// somebody else reads the convolution's output too, in training mode, and where a parameter is no constant of floats.
pub fn fold_batch_norms(model: &mut Model) -> usize {
    let graph = &mut model.graph;
    let mut names = value_names(graph);
    let mut folded = 0;
    for at in 0..graph.nodes.len() {
        let Some((conv, [weights, bias])) = fold(graph, at) else { continue };
        let [weights, bias] = [(weights, "weights"), (bias, "bias")].map(|(mut tensor, what)| {
            tensor.name = fresh(&format!("{}_folded_{what}", graph.nodes[conv].label()), |name| names.contains(name));
            names.insert(tensor.name.clone());
            tensor
        });
        let inner = graph.nodes[conv].outputs[0].clone();
        graph.values.retain(|value| value.name != inner);
        let outputs = vec![graph.nodes[at].outputs[0].clone()];
        let node = &mut graph.nodes[conv];
        node.inputs = vec![node.inputs[0].clone(), weights.name.clone(), bias.name.clone()];
        node.outputs = outputs;
        graph.initializers.extend([weights, bias]);
        // Emptied here, taken out at the end: positions stay what they are.
        graph.nodes[at].outputs.clear();
        folded += 1;
    }
    if folded > 0 {
        graph.nodes.retain(|node| !(node.op == "BatchNormalization" && node.outputs.is_empty()));
        drop_unused(graph);
    }
    folded
}

/// The convolution before the normalisation at `at`, and its weights and bias with it.
fn fold(graph: &Graph, at: usize) -> Option<(usize, [Tensor; 2])> {
    let norm = &graph.nodes[at];
    if norm.op != "BatchNormalization" || !is_onnx(&norm.domain) || norm.int("training_mode") == Some(1) {
        return None;
    }
    // Further outputs are those of training.
    if norm.outputs.is_empty() || norm.outputs[1..].iter().any(|output| !output.is_empty()) {
        return None;
    }
    let value = norm.inputs.first()?;
    let conv = graph.nodes[..at].iter().position(|node| node.outputs.first() == Some(value))?;
    let node = &graph.nodes[conv];
    let readers = graph.nodes.iter().flat_map(|node| &node.inputs).filter(|input| *input == value).count();
    if node.op != "Conv" || !is_onnx(&node.domain) || readers != 1 || graph.outputs.iter().any(|output| output.name == *value) {
        return None;
    }
    let constants: HashMap<&str, &Tensor> = graph.initializers.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let constant = |node: &Node, i: usize| constants.get(node.inputs.get(i)?.as_str()).and_then(|tensor| tensor.as_floats());
    let weights = *constants.get(node.inputs.get(1)?.as_str())?;
    let channels = usize::try_from(*weights.dims.first()?).ok().filter(|channels| *channels > 0)?;
    let bias = if node.inputs.get(2).is_none_or(String::is_empty) { vec![0.0; channels] } else { constant(node, 2)? };
    let [gamma, beta, mean, variance] = [1, 2, 3, 4].map(|i| constant(norm, i));
    let (gamma, beta, mean, variance) = (gamma?, beta?, mean?, variance?);
    if [&bias, &gamma, &beta, &mean, &variance].iter().any(|values| values.len() != channels) {
        return None;
    }
    let epsilon = match norm.attribute("epsilon") {
        Some(AttributeValue::Float(epsilon)) => *epsilon,
        _ => EPSILON,
    };
    let scale = |c: usize| f64::from(gamma[c]) / (f64::from(variance[c]) + f64::from(epsilon)).sqrt();
    let values = weights.as_floats()?;
    let per_channel = values.len() / channels;
    let scaled: Vec<f32> = values.iter().enumerate().map(|(i, w)| (f64::from(*w) * scale(i / per_channel)) as f32).collect();
    let moved = |c: usize| (scale(c) * (f64::from(bias[c]) - f64::from(mean[c])) + f64::from(beta[c])) as f32;
    let moved: Vec<f32> = (0..channels).map(moved).collect();
    // What cannot be scaled in floats is left alone.
    let finite = scaled.iter().chain(&moved).all(|value| value.is_finite());
    let tensors = [Tensor::floats("", &weights.dims, &scaled), Tensor::floats("", &[channels as i64], &moved)];
    finite.then_some((conv, tensors))
}

#[cfg(test)]
mod tests;
