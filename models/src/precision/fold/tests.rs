//! A convolution of one point beside its normalisation, by hand.

use proptest::prelude::*;

use super::*;
use crate::onnx::{
    builder::{Message, detector as file, tensor},
    edit::Value,
};

const NODE: u64 = 1;
const INITIALIZER: u64 = 5;

fn floats(name: &str, dims: &[i64], values: &[f32]) -> (u64, Message) {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    (INITIALIZER, tensor(name, 1, dims, &raw))
}

fn named(op: &str, inputs: &[&str], output: &str) -> (u64, Message) {
    let inputs = inputs.iter().fold(Message::default(), |message, input| message.bytes(1, input));
    (NODE, inputs.bytes(2, output).bytes(3, op).bytes(4, op))
}

/// Convolution 3 → 2, normalisation, `Relu`.
fn network(weights: &[f32], bias: Option<&[f32]>, norm: &[[f32; 2]; 4]) -> Model {
    let mut parts = vec![floats("w", &[2, 3, 1, 1], weights)];
    let inputs = if bias.is_some() { vec!["images", "w", "b"] } else { vec!["images", "w"] };
    parts.extend(bias.map(|bias| floats("b", &[2], bias)));
    parts.extend(["gamma", "beta", "mean", "variance"].iter().zip(norm).map(|(name, values)| floats(name, &[2], values)));
    parts.push(named("Conv", &inputs, "c"));
    parts.push(named("BatchNormalization", &["c", "gamma", "beta", "mean", "variance"], "n"));
    parts.push(named("Relu", &["n"], "output"));
    Model::read(&file(&[1, 3, 64, 64], &[1, 84, 8], &parts).0).unwrap()
}

fn constant(model: &Model, name: &str) -> Vec<f32> {
    model.graph.initializer(name).unwrap().as_floats().unwrap()
}

/// The convolution's value in one channel of one point.
fn convolve(weights: &[f32], bias: f32, x: &[f32], channel: usize) -> f64 {
    let row = &weights[channel * x.len()..][..x.len()];
    row.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>() + f64::from(bias)
}

proptest! {
    #[test]
    fn it_computes_what_it_did(weights in prop::collection::vec(-2.0_f32..2.0, 6), bias in prop::option::of([-3.0_f32..3.0, -3.0..3.0]),
                               norm in [[-2.0_f32..2.0, -2.0..2.0], [-5.0..5.0, -5.0..5.0], [-9.0..9.0, -9.0..9.0], [1e-4..30.0, 1e-4..30.0]],
                               x in [-4.0_f32..4.0, -4.0..4.0, -4.0..4.0]) {
        let mut model = network(&weights, bias.as_ref().map(<[f32; 2]>::as_slice), &norm);
        prop_assert_eq!(fold_batch_norms(&mut model), 1);
        let ops: Vec<&str> = model.graph.nodes.iter().map(|node| node.op.as_str()).collect();
        prop_assert_eq!(ops, ["Conv", "Relu"]);
        prop_assert_eq!(model.graph.initializers.len(), 2);
        let conv = &model.graph.nodes[0];
        prop_assert_eq!(conv.outputs.as_slice(), ["n"]);
        let (w, b) = (constant(&model, &conv.inputs[1]), constant(&model, &conv.inputs[2]));
        let [gamma, beta, mean, variance] = norm;
        for c in 0..2 {
            let scale = f64::from(gamma[c]) / (f64::from(variance[c]) + f64::from(EPSILON)).sqrt();
            let before = scale * (convolve(&weights, bias.map_or(0.0, |bias| bias[c]), &x, c) - f64::from(mean[c])) + f64::from(beta[c]);
            let after = convolve(&w, b[c], &x, c);
            // The rounding of four constants to floats, each of the size of its own term.
            let terms = scale.abs() * (weights.iter().map(|w| f64::from(w.abs()) * 4.0).sum::<f64>() + 12.0) + 5.0;
            prop_assert!((before - after).abs() <= terms * f64::from(f32::EPSILON), "{} {}", before, after);
        }
        prop_assert!(Model::read(&model.write()).is_ok());
    }
}

#[test]
fn what_cannot_be_folded_stays() {
    let norm = [[1.0, 2.0], [0.0, 0.0], [0.5, 0.5], [1.0, 4.0]];
    let float = || network(&[1.0; 6], None, &norm);
    let stays = |change: &dyn Fn(&mut Model), why: &str| {
        let mut model = float();
        change(&mut model);
        assert_eq!(fold_batch_norms(&mut model), 0, "{why}");
        assert!(model.graph.nodes.iter().any(|node| node.op == "BatchNormalization"), "{why}");
    };
    stays(&|model| model.graph.nodes[1].set("training_mode", AttributeValue::Int(1)), "training");
    stays(&|model| model.graph.nodes[2].inputs.push("c".into()), "somebody else reads the convolution");
    stays(&|model| model.graph.outputs.push(Value::tensor("c", crate::onnx::ElementType::FLOAT)), "it is an output");
    stays(&|model| model.graph.nodes[0].op = "ConvTranspose".into(), "no convolution");
    stays(&|model| model.graph.nodes[1].inputs[4] = "images".into(), "a parameter that is computed");
    stays(&|model| model.graph.initializers.retain(|tensor| tensor.name != "mean"), "a parameter that is not there");
    let mut zero = network(&[1.0; 6], None, &[[1.0, 2.0], [0.0, 0.0], [0.5, 0.5], [-EPSILON, 4.0]]);
    assert_eq!(fold_batch_norms(&mut zero), 0, "a division by zero");
    // The epsilon of the node counts, also where the normalisation is of the kind that hides a value declared before.
    let mut model = float();
    model.graph.nodes[1].set("epsilon", AttributeValue::Float(3.0));
    model.graph.values.push(Value::tensor("c", crate::onnx::ElementType::FLOAT));
    assert_eq!((fold_batch_norms(&mut model), model.graph.values.len()), (1, 0));
    assert!((constant(&model, &model.graph.nodes[0].inputs[1])[0] - 0.5).abs() < 1e-6);
}
