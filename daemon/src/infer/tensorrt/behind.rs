//! What an engine leaves and its network's tail makes of it: one run of ONNX Runtime for the whole batch, then as on the host.

use std::path::Path;

use egret_jetson::{
    line::{Executor, Fetched},
    tensorrt::DataType,
};
use egret_models::{head::Tensor, spec::ModelSpec};
use half::{f16, slice::HalfBitsSliceExt};

use super::{
    outputs::{as_floats, readable},
    setup::Refused,
};
use crate::{
    config::ModelConfig,
    infer::{
        Given, Tail, TailError, Values,
        load::thresholds,
        reader::{Batch, Reader, Results},
    },
};

/// The tail of a network, and what reads all outputs of the whole.
pub(super) struct Behind {
    tail: Tail,
    reader: Reader,
    /// Of each output that is read.
    makers: Vec<Maker>,
    /// What of the engine's outputs the tail reads, by place.
    crossings: Vec<usize>,
    constants: Vec<Constant>,
    /// For each output that is read its floats, where the engine leaves others.
    floats: Vec<Vec<f32>>,
}

/// What makes an output of the whole network, and its place among its outputs.
#[derive(Clone, Copy)]
enum Maker {
    Engine(usize),
    Tail(usize),
}

/// An input of the network that is the same for all pictures: shape `[N,len]` and values for each batch from 1 on.
struct Constant {
    name: String,
    batches: Vec<([usize; 2], Vec<i64>)>,
}

/// Why a batch has no results.
#[derive(Debug)]
pub(super) enum Lost {
    /// The tail does not run.
    Tail(TailError),
    /// What came out cannot be read.
    Output(String),
}

impl Behind {
    /// Loads a tail, and runs it once over nothing, the engine's smallest batch: that shows the shapes of its outputs.
    pub(super) fn new(
        onnx: &[u8],
        library: Option<&Path>,
        executor: &Executor,
        spec: &ModelSpec,
        config: &ModelConfig,
    ) -> Result<Self, Refused> {
        let mut tail = Tail::new(onnx, library)?;
        let (mut crossings, mut constants) = (Vec::new(), Vec::new());
        for input in tail.inputs() {
            let made = executor.outputs().iter().position(|output| output.name == *input);
            let constant = spec.constants.iter().find(|constant| constant.name == *input);
            match (made, constant) {
                (Some(at), _) => crossings.push(at),
                (None, Some(constant)) => {
                    let (len, values) = (constant.values.len(), &constant.values);
                    let batches = (1..=*executor.batches().end()).map(|count| ([count, len], values.repeat(count))).collect();
                    constants.push(Constant { name: input.clone(), batches });
                }
                (None, None) => return Err(TailError::Missing { name: input.clone() }.into()),
            }
        }
        let makers = makers(&tail, executor, spec)?;
        let shapes = shapes(&mut tail, executor, &crossings, &constants)?;
        let outputs = spec.outputs.iter().zip(&makers).map(|(name, maker)| match maker {
            Maker::Engine(at) => (name.clone(), executor.shape(*at, *executor.batches().start()).to_vec()),
            Maker::Tail(at) => (name.clone(), shapes[*at].clone()),
        });
        let outputs: Vec<_> = outputs.collect();
        let reader = Reader::new(spec, &outputs, thresholds(spec), config.details).map_err(Refused::Output)?;
        let floats = vec![Vec::new(); makers.len()];
        Ok(Self { tail, reader, makers, crossings, constants, floats })
    }

    /// What runs the tail, and where.
    pub(super) fn runtime(&self) -> String {
        self.tail.runtime()
    }

    /// Runs the tail over what the engine left of `count` pictures, padding among them, and takes what the network says of the batch.
    pub(super) fn read(
        &mut self,
        fetched: &mut dyn Iterator<Item = Fetched<'_>>,
        count: usize,
        batch: &Batch<'_>,
        results: &mut Results,
    ) -> Result<(), Lost> {
        let Self { tail, reader, makers, crossings, constants, floats } = self;
        let fetched: Vec<Fetched<'_>> = fetched.collect();
        let own = makers.iter().map(|maker| if let Maker::Engine(at) = maker { fetched.get(*at) } else { None });
        let own: Vec<Option<&Fetched<'_>>> = own.collect();
        for (output, floats) in own.iter().zip(&mut *floats).filter_map(|(own, floats)| Some(((*own)?, floats))) {
            as_floats(output, floats).map_err(Lost::Output)?;
        }
        let crossing = crossings.iter().filter_map(|at| fetched.get(*at)).map(crossing);
        let given = crossing.chain(constants.iter().map(|constant| of_constant(constant, count))).collect::<Result<Vec<_>, _>>();
        let mut said = Ok(());
        let run = tail.run(&given.map_err(Lost::Output)?, &mut |made| {
            let mut tensors = Vec::with_capacity(makers.len());
            for ((maker, own), floats) in makers.iter().zip(&own).zip(&*floats) {
                tensors.extend(match maker {
                    Maker::Engine(_) => {
                        own.map(|own| Tensor { name: own.name, shape: own.shape, data: own.floats().unwrap_or(floats) })
                    }
                    Maker::Tail(at) => made.get(*at).map(|made| Tensor { name: made.name, shape: made.shape, data: made.data }),
                });
            }
            said = reader.read(&tensors, batch, results);
            Ok(())
        });
        run.map_err(Lost::Tail)?;
        said.map_err(Lost::Output)
    }
}

/// An output of the engine, as it lies there.
fn crossing<'a>(output: &'a Fetched<'_>) -> Result<Given<'a>, String> {
    let values = match (output.floats(), output.halves()) {
        (Some(floats), _) => Values::Floats(floats),
        (None, Some(halves)) => Values::Halves(halves.reinterpret_cast()),
        (None, None) => return Err(format!("the engine's output `{}` is of {:?}", output.name, output.data_type)),
    };
    Ok(Given { name: output.name, shape: output.shape, values })
}

fn of_constant(constant: &Constant, count: usize) -> Result<Given<'_>, String> {
    let batch = count.checked_sub(1).and_then(|at| constant.batches.get(at));
    let (shape, values) = batch.ok_or_else(|| format!("a batch of {count} is none of the engine's"))?;
    Ok(Given { name: &constant.name, shape, values: Values::Ints(values) })
}

/// For each output that is read, what makes it.
fn makers(tail: &Tail, executor: &Executor, spec: &ModelSpec) -> Result<Vec<Maker>, Refused> {
    let maker = |name: &String| {
        if let Some(at) = tail.outputs().iter().position(|output| output == name) {
            return Ok(Maker::Tail(at));
        }
        let at = executor.outputs().iter().position(|output| output.name == *name);
        let at = at.ok_or_else(|| Refused::Output(format!("neither the engine nor its tail has an output `{name}`")))?;
        readable(&executor.outputs()[at]).map(|()| Maker::Engine(at)).map_err(Refused::Output)
    };
    spec.outputs.iter().map(maker).collect()
}

/// The shapes of the tail's outputs, of the smallest batch with nothing in it.
fn shapes(tail: &mut Tail, executor: &Executor, crossings: &[usize], constants: &[Constant]) -> Result<Vec<Vec<usize>>, Refused> {
    let batch = *executor.batches().start();
    let len = |at: usize| executor.shape(at, batch).iter().product::<usize>();
    let largest = crossings.iter().map(|at| len(*at)).max().unwrap_or(0);
    let (floats, halves) = (vec![0.0; largest], vec![f16::ZERO; largest]);
    let mut given = Vec::new();
    for at in crossings {
        let output = &executor.outputs()[*at];
        let values = match output.data_type {
            DataType::Float => Values::Floats(&floats[..len(*at)]),
            DataType::Half => Values::Halves(&halves[..len(*at)]),
            other => {
                let reason = format!("the engine hands over `{}` as {other:?}, and not as floats: build it anew", output.name);
                return Err(Refused::Output(reason));
            }
        };
        given.push(Given { name: &output.name, shape: executor.shape(*at, batch), values });
    }
    for constant in constants {
        given.push(of_constant(constant, batch).map_err(Refused::Output)?);
    }
    let mut shapes = Vec::new();
    tail.run(&given, &mut |made| {
        shapes = made.iter().map(|made| made.shape.to_vec()).collect();
        Ok(())
    })?;
    Ok(shapes)
}
