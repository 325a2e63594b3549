//! A network in ONNX Runtime with whatever outputs it has: for looking at the values inside.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use egret_models::{
    precision::Run,
    spec::{BatchAxis, ConstantInput, ModelSpec},
};
use ort::{
    session::{Session, SessionInputValue},
    value::{Tensor, TensorRef},
};

use super::onnxruntime::{self, Library};

/// ONNX Runtime, for networks of one kind of input.
pub(crate) struct Probe {
    library: Library,
    shape: Vec<usize>,
    input: String,
    constants: Vec<ConstantInput>,
    batch: Vec<f32>,
}

impl Probe {
    /// Loads the library, for networks of this one's inputs.
    ///
    /// # Errors
    /// What was tried and why it did not do.
    pub(crate) fn find(configured: Option<&Path>, spec: &ModelSpec) -> Result<Self, String> {
        let library = Library::find(configured)?;
        let count = match spec.input.batch {
            BatchAxis::Fixed(count) => count,
            BatchAxis::Dynamic => 1,
        };
        let (shape, input, constants) = (spec.input.shape(count), spec.input.name.clone(), spec.constants.clone());
        Ok(Self { library, shape, input, constants, batch: Vec::new() })
    }

    /// For instance `onnxruntime 1.31.1`.
    pub(crate) fn name(&self) -> String {
        format!("onnxruntime {}", self.library.version)
    }
}

impl Run for Probe {
    type Network = Session;
    type Error = String;

    fn load(&mut self, model: &[u8]) -> Result<Session, String> {
        catch_unwind(AssertUnwindSafe(|| onnxruntime::session(&self.library, model)))
            .unwrap_or_else(|_| Err(ort::Error::new("the binding panicked")))
            .map_err(|error| error.to_string())
    }

    fn run(&mut self, network: &mut Session, input: &[f32], each: &mut dyn FnMut(&str, &[f32])) -> Result<(), String> {
        let fail = |error: ort::Error| error.to_string();
        // A fixed batch is filled with the one picture; its values count as often.
        self.batch.clear();
        (0..self.shape[0]).for_each(|_| self.batch.extend_from_slice(input));
        let tensor: SessionInputValue<'_> =
            TensorRef::from_array_view((self.shape.as_slice(), self.batch.as_slice())).map_err(fail)?.into();
        let mut inputs = vec![(self.input.as_str(), tensor)];
        for constant in &self.constants {
            let values = constant.values.repeat(self.shape[0]);
            let tensor = Tensor::from_array(([self.shape[0], constant.values.len()], values)).map_err(fail)?;
            inputs.push((constant.name.as_str(), tensor.into()));
        }
        let outputs = network.run(inputs).map_err(fail)?;
        for (name, value) in &outputs {
            if let Ok((_, values)) = value.try_extract_tensor::<f32>() {
                each(name, values);
            }
        }
        Ok(())
    }
}
