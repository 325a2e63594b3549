//! rten: compiled in, so that the bare binary always works.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use egret_models::{head::Tensor, spec::ModelSpec};
use rten::{Model, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::TensorView;
use rten_tensor::prelude::*;

use super::engine::{Input, Read};

/// Version of the crate, pinned in the manifest.
pub(super) const VERSION: &str = "0.27.0";

/// The network; its weights are shared by all engines.
#[derive(Clone)]
pub(super) struct Network(Arc<Model>);

impl Network {
    /// Loads a model.
    pub(super) fn new(model: &[u8]) -> Result<Self, String> {
        match catch_unwind(AssertUnwindSafe(|| Model::load(model.to_vec()))) {
            Ok(Ok(model)) => Ok(Self(Arc::new(model))),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the runtime panicked".into()),
        }
    }
}

/// One instance with one thread of its own, which does all the work while its caller waits.
pub(super) struct Engine {
    network: Network,
    options: RunOptions,
    input: NodeId,
    /// Further inputs and a picture's row of each; rten has no 64-bit integers.
    constants: Vec<(NodeId, Vec<i32>)>,
    outputs: Vec<NodeId>,
    names: Vec<String>,
    /// Outputs that are not of floats, as floats.
    floats: Vec<Vec<f32>>,
}

impl Engine {
    /// An instance of a network.
    pub(super) fn new(network: Network, spec: &ModelSpec) -> Result<Self, String> {
        let pool = Arc::new(ThreadPool::with_num_threads(1));
        let options = RunOptions::default().with_thread_pool(Some(pool));
        let node = |name: &String| network.0.node_id(name).map_err(|e| e.to_string());
        let input = node(&spec.input.name)?;
        let outputs = spec.outputs.iter().map(node).collect::<Result<Vec<_>, _>>()?;
        let floats = vec![Vec::new(); outputs.len()];
        let row = |values: &[i64]| values.iter().map(|v| i32::try_from(*v)).collect::<Result<Vec<_>, _>>();
        let constants = spec.constants.iter().map(|constant| {
            let row = row(&constant.values).map_err(|_| format!("`{}` holds more than 32 bits", constant.name))?;
            Ok((node(&constant.name)?, row))
        });
        let constants = constants.collect::<Result<Vec<_>, String>>()?;
        Ok(Self { network, options, input, constants, outputs, names: spec.outputs.clone(), floats })
    }

    /// Runs a batch and hands out its outputs.
    pub(super) fn run(&mut self, input: Input<'_>, shape: &[usize], read: Read<'_>) -> Result<(), String> {
        let input: ValueOrView<'_> = match input {
            Input::Floats(values) => TensorView::try_from_data(shape, values).map_err(|e| e.to_string())?.into(),
            Input::Halves(_) => {
                let remedy = "run it in ONNX Runtime (runtime.cpu), or export it with an input of 32-bit floats";
                return Err(format!("its input is of 16-bit floats, which this runtime does not have: {remedy}"));
            }
            Input::Bytes(values) => TensorView::try_from_data(shape, values).map_err(|e| e.to_string())?.into(),
        };
        let mut inputs = vec![(self.input, input)];
        for (node, row) in &self.constants {
            let rows = rten_tensor::Tensor::from_data(&[shape[0], row.len()], row.repeat(shape[0]));
            inputs.push((*node, Value::from(rows).into()));
        }
        let outputs = self.network.0.run(inputs, &self.outputs, Some(self.options.clone()));
        let outputs = outputs.map_err(|e| e.to_string())?;
        let shapes: Vec<Vec<usize>> = outputs.iter().map(|output| output.shape().to_vec()).collect();
        for ((value, floats), name) in outputs.iter().zip(&mut self.floats).zip(&self.names) {
            match value {
                Value::FloatTensor(tensor) if tensor.data().is_some() => {}
                Value::FloatTensor(tensor) => refill(floats, tensor.iter().copied()),
                Value::Int32Tensor(tensor) => refill(floats, tensor.iter().map(|v| *v as f32)),
                Value::Int8Tensor(tensor) => refill(floats, tensor.iter().map(|v| f32::from(*v))),
                Value::UInt8Tensor(tensor) => refill(floats, tensor.iter().map(|v| f32::from(*v))),
                _ => return Err(format!("its output `{name}` is no tensor of numbers")),
            }
        }
        let tensors: Vec<Tensor<'_>> = (outputs.iter().zip(&self.floats).zip(&self.names).zip(&shapes))
            .map(|(((value, floats), name), shape)| {
                let data = match value {
                    Value::FloatTensor(tensor) => tensor.data().unwrap_or(floats),
                    _ => floats,
                };
                Tensor { name, shape, data }
            })
            .collect();
        read(&tensors)
    }
}

fn refill(floats: &mut Vec<f32>, values: impl Iterator<Item = f32>) {
    floats.clear();
    floats.extend(values);
}
