//! From an engine to its detectors.

use std::sync::Arc;

use egret_jetson::{
    kernels::{
        decode::{Decoder, Limits, More, OutputElement, OutputShape, Scanner},
        device::Kernels,
        letterbox::{Element, Tensor},
    },
    line::{self, Executor, Input, Lane, LineError},
    tensorrt::{DataType, Engine},
};
use egret_models::{
    head::{HeadSpec, Thresholds},
    spec::{Layout, ModelSpec, TaskSpec},
};

use super::{
    Clips, Finish, TensorRt,
    boxes::Seen,
    feed,
    outputs::{Outputs, readable},
};
use crate::{
    batch::Place,
    config::ModelConfig,
    infer::{DetectError, Letterbox, clip::ClipFiller, device_head, load::thresholds, reader::Reader},
    media::ModelInfo,
};

/// Lanes of an engine instance: while one's batch is with the engine, the other's is drawn or decoded.
pub const LANES: usize = 2;

/// Why an engine does not become a detector.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The engine, the device, or memory.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The engine has no such output, or it has one of a kind that nobody reads.
    #[error("{0}")]
    Output(String),
    /// The input's elements cannot be drawn.
    #[error("the engine's input is of {0:?}: export the network with an input of 32-bit or 16-bit floats, or bytes")]
    Element(DataType),
    /// The first run failed.
    #[error("the engine's first run failed: {0}")]
    TrialRun(DetectError),
}

/// Detectors of an engine: [`LANES`] for each of the model's workers, each to be driven by a thread of its own. All weights are the
/// engine's; each worker has a stream and activations. `kernels` are those of the engine's device, whose context must be the calling
/// thread's.
///
/// # Errors
/// [`Refused`], also where memory runs out.
pub fn detectors(
    engine: Engine,
    kernels: &Arc<Kernels>,
    spec: &ModelSpec,
    config: &ModelConfig,
    info: &Arc<ModelInfo>,
) -> Result<Vec<TensorRt>, Refused> {
    let engine = Arc::new(engine);
    let input = Input {
        name: spec.input.name.clone(),
        shape: spec.input.shape(1).split_off(1),
        constants: spec.constants.iter().map(|constant| (constant.name.clone(), constant.values.clone())).collect(),
    };
    let mut detectors = Vec::new();
    for worker in 0..config.workers.max(1) {
        let executor = Executor::new(kernels, &engine, &input)?;
        let plan = Plan::new(&executor, spec, config)?;
        if worker == 0 {
            plan.tell(&executor, spec, info);
        }
        for _ in 0..LANES {
            let mut detector = plan.detector(&executor, spec, config, info)?;
            detector.place.engine = Some(worker);
            detector.try_out().map_err(Refused::TrialRun)?;
            detectors.push(detector);
        }
    }
    Ok(detectors)
}

/// How the outputs of an engine are finished.
struct Plan {
    /// For each output of the network, as its manifest lists them, its place among the engine's.
    order: Vec<usize>,
    tensor: Tensor,
    /// Decodes on the device, or why it does not.
    decoding: Result<(Decoder, Vec<usize>, More), String>,
}

impl Plan {
    fn new(executor: &Executor, spec: &ModelSpec, config: &ModelConfig) -> Result<Self, Refused> {
        let place = |name: &String| {
            let found = executor.outputs().iter().position(|output| output.name == *name);
            let names = || executor.outputs().iter().map(|output| output.name.as_str()).collect::<Vec<_>>().join(", ");
            found.ok_or_else(|| Refused::Output(format!("the engine has no output `{name}`: it has {}", names())))
        };
        let order = spec.outputs.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        for output in order.iter().map(|output| &executor.outputs()[*output]) {
            if !readable(output.data_type) {
                let reason = format!("the engine's output `{}` is of {:?}: let it end in floats", output.name, output.data_type);
                return Err(Refused::Output(reason));
            }
        }
        let element = match executor.input_type() {
            DataType::Float => Element::F32,
            DataType::Half => Element::F16,
            DataType::Uint8 => Element::U8,
            other => return Err(Refused::Element(other)),
        };
        let interleaved = spec.input.layout == Layout::Nhwc;
        let tensor = Tensor { width: spec.input.width as u32, height: spec.input.height as u32, element, interleaved };
        let decoding = decoding(executor, spec, config, &order);
        Ok(Self { order, tensor, decoding })
    }

    /// What is done where, in one line.
    fn tell(&self, executor: &Executor, spec: &ModelSpec, info: &ModelInfo) {
        match &self.decoding {
            Ok((decoder, ..)) => {
                tracing::info!(model = info.name, bytes = decoder.result_bytes(), "final boxes come from the device");
            }
            Err(reason) => {
                let most = *executor.batches().end();
                let bytes = self.order.iter().map(|output| executor.output_bytes(*output, most)).sum::<u64>() / most as u64;
                let kind = spec.task.word();
                tracing::info!(
                    model = info.name,
                    kind,
                    bytes,
                    reason,
                    "the network's outputs are read on the host, {bytes} bytes of a picture"
                );
            }
        }
    }

    fn detector(
        &self,
        executor: &Arc<Executor>,
        spec: &ModelSpec,
        config: &ModelConfig,
        info: &Arc<ModelInfo>,
    ) -> Result<TensorRt, Refused> {
        let batches = executor.batches();
        let most = *batches.end();
        let clips = ClipFiller::new(&spec.input).map(|filler| {
            let each = spec.input.shape(1).iter().product();
            Clips { filler, values: vec![0.0; most * each], each, element: executor.input_type() }
        });
        let (line, finish) = if let Ok((decoder, order, more)) = &self.decoding {
            let decoder = Box::new(decoder.clone());
            (line::Finish::Boxes { decoder, order: order.clone() }, Finish::Device(Seen::new(*more)))
        } else {
            let outputs: Vec<_> = self
                .order
                .iter()
                .map(|output| (executor.outputs()[*output].name.clone(), executor.shape(*output, *batches.start()).to_vec()))
                .collect();
            let reader = Reader::new(spec, &outputs, thresholds(spec), config.details).map_err(Refused::Output)?;
            (line::Finish::Tensors, Finish::Host(Outputs::new(reader, self.order.clone())))
        };
        let lane = Lane::new(executor, feed(clips.is_some(), self.tensor), line)?;
        Ok(TensorRt {
            info: Arc::clone(info),
            lane,
            letterbox: Letterbox::new(&spec.input, 1),
            clips,
            finish,
            max_batch: config.max_batch.max(1),
            place: Place::default(),
            most,
            placements: Vec::with_capacity(most),
            size: (spec.input.width, spec.input.height),
        })
    }
}

/// The decoder of a network on the device, the engine's outputs that it reads, and what belongs to its boxes; or why the host decodes.
fn decoding(
    executor: &Executor,
    spec: &ModelSpec,
    config: &ModelConfig,
    places: &[usize],
) -> Result<(Decoder, Vec<usize>, More), String> {
    let TaskSpec::Detect { head, .. } = &spec.task else {
        return Err(format!("a {} network is none of the device's", spec.task.word()));
    };
    if config.details && matches!(head, HeadSpec::Segment { .. }) {
        return Err("masks are made there".into());
    }
    let batches = executor.batches();
    let batch = *batches.start();
    let outputs: Vec<_> =
        places.iter().map(|output| (executor.outputs()[*output].name.as_str(), executor.shape(*output, batch))).collect();
    let device = device_head(head, &spec.input, &outputs, spec.classes.len()).map_err(|error| error.to_string())?;
    let whole = matches!(device.head.scanner, Scanner::Final(rows) if rows.whole);
    let order: Vec<usize> = device.order.iter().map(|output| places[*output]).collect();
    let shapes = order.iter().map(|output| {
        let tensor = &executor.outputs()[*output];
        let len = executor.shape(*output, batch).iter().product::<usize>();
        let largest = executor.shape(*output, *batches.end()).iter().product::<usize>();
        if whole && len != largest {
            return Err(format!("output `{}` has another number of rows for each batch", tensor.name));
        }
        let element = match tensor.data_type {
            DataType::Float => OutputElement::F32,
            DataType::Half => OutputElement::F16,
            DataType::Int32 => OutputElement::I32,
            DataType::Int64 => OutputElement::I64,
            other => return Err(format!("output `{}` is of {other:?}", tensor.name)),
        };
        Ok(OutputShape { element, len: if whole { len } else { len / batch } })
    });
    let shapes = shapes.collect::<Result<Vec<_>, _>>()?;
    let limits = limits(&thresholds(spec), spec.classes.len());
    let decoder = Decoder::new(&device.head, &shapes, &limits).map_err(|error| error.to_string())?;
    Ok((decoder, order, device.head.more))
}

fn limits(thresholds: &Thresholds, classes: usize) -> Limits {
    let nms = &thresholds.nms;
    let confidence = |class: usize| thresholds.class_confidence.get(class).copied().unwrap_or(thresholds.confidence);
    // What is beyond 32 bits is beyond the kernels, too.
    let [candidates, detections] = [nms.candidates, nms.detections].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    Limits {
        confidences: (0..classes).map(confidence).collect(),
        iou: nms.iou,
        class_agnostic: nms.class_agnostic,
        candidates,
        detections,
        capacity: None,
        coefficients: false,
    }
}
