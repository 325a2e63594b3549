//! An engine on a stream of its own, for several lanes to take turns on.

use std::{
    ops::RangeInclusive,
    sync::{Arc, MutexGuard},
};

use cudarc::driver::{CudaStream, sys};

use super::{LineError, Row};
use crate::{
    kernels::device::Kernels,
    memory::{DeviceMemory, Memory},
    tensorrt::{DataType, Engine, ExecutionContext, Graphs, Shape, Tensor},
};

/// Which input of an engine takes the pictures, and what the others are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its shape without the batch, e.g. `[3,H,W]`.
    pub shape: Vec<usize>,
    /// Further inputs `[N,…]`: each one's name and one picture's values, the same for all.
    pub constants: Vec<(String, Vec<i64>)>,
}

/// An output of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputTensor {
    /// Its name.
    pub name: String,
    /// Its elements.
    pub data_type: DataType,
    /// Its shape for each batch, from the smallest to the largest.
    shapes: Vec<Vec<usize>>,
}

/// A further input's name, and its rows for the largest batch on the device.
type Constant = (String, Arc<dyn Memory>);

/// An engine and the row that its batches run in: on one stream no two of them run at once, and all lanes share one memory for activations.
pub struct Executor {
    pub(super) kernels: Arc<Kernels>,
    engine: Arc<Engine>,
    row: Arc<Row>,
    batches: RangeInclusive<usize>,
    input: Tensor,
    /// The shapes of all inputs, by batch.
    shapes: Vec<Vec<(String, Shape)>>,
    constants: Vec<Constant>,
    outputs: Vec<OutputTensor>,
}

impl Executor {
    /// Puts an engine in a row of its own, and allocates its activations.
    ///
    /// # Errors
    /// As [`Self::in_row`].
    pub fn new(kernels: &Arc<Kernels>, engine: &Arc<Engine>, input: &Input) -> Result<Arc<Self>, LineError> {
        bind(kernels)?;
        let row = Row::new(kernels, engine.context_bytes(Some(0))?)?;
        Self::in_row(kernels, engine, input, &row)
    }

    /// Puts an engine in a row, which must have as much memory as its contexts need and be of the same device, and looks at the engine:
    /// its first profile, and all shapes that follow from it.
    ///
    /// # Errors
    /// [`LineError::Engine`] names what of the engine is none of this crate's: inputs, element types, layouts, shapes that are known
    /// only when a batch has run; [`LineError::TensorRt`], [`LineError::Device`].
    pub fn in_row(kernels: &Arc<Kernels>, engine: &Arc<Engine>, input: &Input, row: &Arc<Row>) -> Result<Arc<Self>, LineError> {
        bind(kernels)?;
        let (engine, row) = (Arc::clone(engine), Arc::clone(row));
        let taken = input_tensor(&engine, input)?;
        let batches = batches(&engine, &taken, input)?;
        let shapes = batches.clone().map(|batch| shapes(&taken, input, batch)).collect::<Result<Vec<_>, _>>()?;
        let mut probe = {
            // Others of the row may be at work in that memory.
            let _turn = row.turn();
            engine.context_in(0, Arc::clone(&row.activations))?
        };
        let outputs = outputs(&engine, &mut probe, &shapes)?;
        drop(probe);
        let constants = constants(&engine, input, *batches.end(), &row.stream)?;
        let kernels = Arc::clone(kernels);
        Ok(Arc::new(Self { kernels, engine, row, batches, input: taken, shapes, constants, outputs }))
    }

    /// The batches that the engine takes.
    pub fn batches(&self) -> RangeInclusive<usize> {
        self.batches.clone()
    }

    /// The elements of the input that takes the pictures.
    pub fn input_type(&self) -> DataType {
        self.input.data_type
    }

    /// The outputs, in the engine's order.
    pub fn outputs(&self) -> &[OutputTensor] {
        &self.outputs
    }

    /// The shape of an output in a batch that the engine takes.
    pub fn shape(&self, output: usize, batch: usize) -> &[usize] {
        let at = batch.saturating_sub(*self.batches.start());
        self.outputs.get(output).and_then(|output| output.shapes.get(at)).map_or(&[], Vec::as_slice)
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The shapes of all inputs for a batch.
    pub(super) fn inputs(&self, batch: usize) -> &[(String, Shape)] {
        self.shapes.get(batch.saturating_sub(*self.batches.start())).map_or(&[], Vec::as_slice)
    }

    /// Bytes of the pictures' input with `batch` pictures.
    pub(super) fn input_bytes(&self, batch: usize) -> Result<u64, LineError> {
        let shape = self.inputs(batch).iter().find(|(name, _)| *name == self.input.name);
        let (_, shape) = shape.ok_or(LineError::Batch { found: batch, most: *self.batches.end() })?;
        Ok(self.input.bytes(shape)?)
    }

    /// Bytes of an output with that batch.
    pub fn output_bytes(&self, output: usize, batch: usize) -> u64 {
        let each = self.outputs.get(output).and_then(|output| output.data_type.bytes()).unwrap_or(0);
        self.shape(output, batch).iter().map(|side| *side as u64).product::<u64>() * each
    }

    /// Execution contexts and graphs of a lane's own, with these tensors.
    pub(super) fn graphs(&self, input: &Arc<dyn Memory>, outputs: &[Arc<dyn Memory>]) -> Result<Graphs, LineError> {
        let _turn = self.turn();
        let stream = Arc::clone(&self.row.stream);
        let mut graphs = Graphs::new(&self.engine, 0, Arc::clone(&self.row.activations), stream as _)?;
        graphs.bind(&self.input.name, Arc::clone(input))?;
        for (name, memory) in &self.constants {
            graphs.bind(name, Arc::clone(memory))?;
        }
        for (output, memory) in self.outputs.iter().zip(outputs) {
            graphs.bind(&output.name, Arc::clone(memory))?;
        }
        Ok(graphs)
    }

    /// See [`Row::turn`].
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.row.turn()
    }

    /// The stream that its batches run on.
    pub(super) fn stream(&self) -> &Arc<CudaStream> {
        &self.row.stream
    }

    /// The row.
    pub fn row(&self) -> &Arc<Row> {
        &self.row
    }

    /// TensorRT works in the context that is current on the calling thread.
    pub(super) fn bind(&self) -> Result<(), LineError> {
        bind(&self.kernels)
    }

    /// What the driver says of the engine's stream, without waiting: the error that it has met, if any.
    pub(super) fn state(&self) -> Option<u32> {
        // SAFETY: the stream lives; the call only asks.
        let code = unsafe { sys::cuStreamQuery(self.row.stream.cu_stream()) } as u32;
        // CUDA_ERROR_NOT_READY: it works.
        (code != 0 && code != 600).then_some(code)
    }
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("engine", &self.engine).field("batches", &self.batches).finish_non_exhaustive()
    }
}

fn bind(kernels: &Kernels) -> Result<(), LineError> {
    kernels.context().bind_to_thread().map_err(crate::memory::failed("cuCtxSetCurrent")).map_err(LineError::from)
}

/// The input for the pictures; all others are constants.
fn input_tensor(engine: &Engine, input: &Input) -> Result<Tensor, LineError> {
    for tensor in engine.tensors() {
        let Tensor { name, data_type, .. } = tensor;
        if !tensor.is_linear || tensor.on_host || data_type.bytes().is_none() {
            let what = if tensor.on_host { "lies on the host".into() } else { format!("is of {data_type:?}, or not row-major") };
            return Err(LineError::Engine(format!("the engine's tensor {name:?} {what}: export the network without it")));
        }
        if !tensor.is_output && *name != input.name && !input.constants.iter().any(|(known, _)| known == name) {
            return Err(LineError::Engine(format!("the engine has an input {name:?} that its manifest does not name")));
        }
    }
    let found = engine.tensors().iter().find(|tensor| !tensor.is_output && tensor.name == input.name);
    found.cloned().ok_or_else(|| LineError::Engine(format!("the engine has no input {:?}", input.name)))
}

/// The batches that the first profile allows.
fn batches(engine: &Engine, taken: &Tensor, input: &Input) -> Result<RangeInclusive<usize>, LineError> {
    let range = engine.profiles().first().and_then(|ranges| ranges.iter().find(|range| range.name == taken.name));
    let (least, most) = range.map_or((&taken.shape, &taken.shape), |range| (&range.min, &range.max));
    let wanted: Vec<i64> = input.shape.iter().map(|side| *side as i64).collect();
    let pair = least.dimensions().split_first().zip(most.dimensions().split_first());
    match pair {
        Some(((first, sides), (last, largest)))
            if (sides.len() == wanted.len() && largest.len() == wanted.len())
                && (0..wanted.len()).all(|i| (sides[i]..=largest[i]).contains(&wanted[i]))
                && (1..=*last).contains(first) =>
        {
            Ok(*first as usize..=*last as usize)
        }
        _ => Err(LineError::Engine(format!(
            "the engine's input {:?} takes {least} to {most}, and a picture is {wanted:?}: build the engine anew",
            taken.name
        ))),
    }
}

fn shape(batch: usize, sides: impl Iterator<Item = usize>) -> Result<Shape, LineError> {
    Ok(Shape::new(&[batch].into_iter().chain(sides).map(|side| side as i64).collect::<Vec<_>>())?)
}

/// The shapes of all inputs for a batch.
fn shapes(taken: &Tensor, input: &Input, batch: usize) -> Result<Vec<(String, Shape)>, LineError> {
    let pictures = (taken.name.clone(), shape(batch, input.shape.iter().copied())?);
    let others = input.constants.iter().map(|(name, values)| Ok((name.clone(), shape(batch, [values.len()].into_iter())?)));
    [Ok(pictures)].into_iter().chain(others).collect()
}

/// The outputs, with their shapes for each batch.
fn outputs(
    engine: &Engine,
    probe: &mut ExecutionContext,
    shapes: &[Vec<(String, Shape)>],
) -> Result<Vec<OutputTensor>, LineError> {
    let outputs = engine.tensors().iter().filter(|tensor| tensor.is_output);
    let mut outputs: Vec<_> = outputs
        .map(|tensor| OutputTensor { name: tensor.name.clone(), data_type: tensor.data_type, shapes: Vec::new() })
        .collect();
    for inputs in shapes {
        for (name, shape) in inputs {
            probe.set_shape(name, shape)?;
        }
        for output in &mut outputs {
            let shape = probe.shape(&output.name)?;
            if shape.is_dynamic() {
                return Err(LineError::Engine(format!(
                    "output {:?} has a shape {shape} that is known only when a batch has run: export the network with fixed sizes",
                    output.name
                )));
            }
            output.shapes.push(shape.dimensions().iter().map(|side| *side as usize).collect());
        }
    }
    Ok(outputs)
}

/// Each further input's rows for the largest batch, on the device.
fn constants(engine: &Engine, input: &Input, most: usize, stream: &CudaStream) -> Result<Vec<Constant>, LineError> {
    let constant = |(name, values): &(String, Vec<i64>)| {
        let tensor = engine.tensors().iter().find(|tensor| !tensor.is_output && tensor.name == *name);
        let tensor = tensor.ok_or_else(|| LineError::Engine(format!("the engine has no input {name:?}")))?;
        let mut row = Vec::new();
        for value in values {
            match tensor.data_type {
                DataType::Int64 => row.extend(value.to_le_bytes()),
                DataType::Int32 => row.extend((*value as i32).to_le_bytes()),
                DataType::Float => row.extend((*value as f32).to_le_bytes()),
                other => {
                    return Err(LineError::Engine(format!("input {name:?} is of {other:?}: export it as integers or floats")));
                }
            }
        }
        let memory: Arc<dyn Memory> = Arc::new(DeviceMemory::of(stream, &row.repeat(most))?);
        Ok((name.clone(), memory))
    };
    input.constants.iter().map(constant).collect()
}
