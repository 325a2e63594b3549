//! rten: compiled in, so that the bare binary always works.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use egret_models::spec::DetectorSpec;
use rten::{Model, RunOptions, ThreadPool};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensorView, TensorView};

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
    input: [usize; 3],
}

impl Engine {
    /// An instance of a network.
    pub(super) fn new(network: Network, spec: &DetectorSpec) -> Self {
        let pool = Arc::new(ThreadPool::with_num_threads(1));
        let options = RunOptions::default().with_thread_pool(Some(pool));
        Self { network, options, input: [3, spec.input.height, spec.input.width] }
    }

    /// Runs `count` pictures that lie one after the other in `input`, and hands out each one's output.
    pub(super) fn run(
        &mut self,
        input: &[f32],
        count: usize,
        mut read: impl FnMut(usize, &[f32]) -> Result<(), String>,
    ) -> Result<(), String> {
        let [channels, height, width] = self.input;
        let view = NdTensorView::try_from_data([count, channels, height, width], input).map_err(|e| e.to_string())?;
        let model = &self.network.0;
        let output = model.run_one(view.into(), Some(self.options.clone())).map_err(|e| e.to_string())?;
        let output: TensorView<f32> = output.as_tensor_view().ok_or("the output is not of floats")?;
        let shape = output.shape();
        let values = output.data().ok_or("the output is not contiguous")?;
        if shape.first() != Some(&count) || values.is_empty() {
            return Err(format!("the output has the shape {shape:?} for a batch of {count}"));
        }
        values.chunks_exact(values.len() / count).enumerate().try_for_each(|(i, output)| read(i, output))
    }
}
