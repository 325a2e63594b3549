//! From an engine to its detectors.

use std::{path::Path, sync::Arc};

use egret_jetson::{
    kernels::{
        decode::{Decoder, Limits, More, OutputElement, OutputShape, Scanner},
        device::Kernels,
        letterbox::{Element, Tensor},
    },
    line::{self, Executor, Input, Lane, LineError, Row},
    tensorrt::DataType,
};
use egret_models::{
    head::{HeadSpec, Thresholds},
    spec::{Layout, ModelSpec, TaskSpec},
};

use super::{
    Clips, Finish, TensorRt,
    behind::Behind,
    boxes::Seen,
    feed,
    outputs::{Outputs, readable},
};
use crate::{
    batch::Place,
    config::ModelConfig,
    engine::Opened,
    infer::{DetectError, Letterbox, TailError, clip::ClipFiller, device_head, load::thresholds, reader::Reader},
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
    /// What ONNX Runtime is to run behind the engine does not run.
    #[error(transparent)]
    Tail(#[from] TailError),
    /// The first run failed.
    #[error("the engine's first run failed: {0}")]
    TrialRun(DetectError),
}

/// Detectors of an engine: [`LANES`] for each of the model's workers, each to be driven by a thread of its own. All weights are the
/// engine's; each worker has a stream and activations; each lane has a tail of its own where the network was cut. `kernels` are those of
/// the engine's device, whose context must be the calling thread's. `onnxruntime`: where its library is, if the configuration says so.
///
/// # Errors
/// [`Refused`], also where memory runs out.
pub fn detectors(
    opened: Opened,
    onnxruntime: Option<&Path>,
    kernels: &Arc<Kernels>,
    spec: &ModelSpec,
    config: &ModelConfig,
    info: &Arc<ModelInfo>,
) -> Result<Vec<TensorRt>, Refused> {
    let bytes = || opened.engine.context_bytes(Some(0)).map_err(LineError::from);
    let rows = (0..config.workers.max(1)).map(|_| Row::new(kernels, bytes()?)).collect::<Result<Vec<_>, LineError>>()?;
    in_rows(opened, onnxruntime, (kernels, &rows), spec, config, info)
}

/// The same with one instance in each of these rows, which may have other engines in them.
///
/// # Errors
/// [`Refused`], also where a row is too small.
pub fn in_rows(
    opened: Opened,
    onnxruntime: Option<&Path>,
    (kernels, rows): (&Arc<Kernels>, &[Arc<Row>]),
    spec: &ModelSpec,
    config: &ModelConfig,
    info: &Arc<ModelInfo>,
) -> Result<Vec<TensorRt>, Refused> {
    let (engine, tail) = (Arc::new(opened.engine), opened.tail.as_deref());
    // Inputs that only the tail reads are none of the engine's.
    let reads = |name: &str| tail.is_none() || engine.tensors().iter().any(|tensor| !tensor.is_output && tensor.name == name);
    let constants = spec.constants.iter().filter(|constant| reads(&constant.name));
    let input = Input {
        name: spec.input.name.clone(),
        shape: spec.input.shape(1).split_off(1),
        constants: constants.map(|constant| (constant.name.clone(), constant.values.clone())).collect(),
    };
    let (mut detectors, mut info) = (Vec::new(), Arc::clone(info));
    for (worker, row) in rows.iter().enumerate() {
        let executor = Executor::in_row(kernels, &engine, &input, row)?;
        let plan = Plan::new(&executor, spec, config, tail.is_some())?;
        for lane in 0..LANES {
            let behind = tail.map(|tail| Behind::new(tail, onnxruntime, &executor, spec, config)).transpose()?;
            if (worker, lane) == (0, 0) {
                if let Some(behind) = &behind {
                    let runtime = format!("{} + {}", info.runtime, behind.runtime());
                    info = Arc::new(ModelInfo { runtime, ..(*info).clone() });
                }
                plan.tell(&executor, spec, &info);
            }
            let mut detector = plan.detector(&executor, spec, config, (&info, behind))?;
            detector.place.engine = Some(worker);
            detector.try_out().map_err(Refused::TrialRun)?;
            detectors.push(detector);
        }
    }
    Ok(detectors)
}

/// How the outputs of an engine are finished.
struct Plan {
    /// For each output of the network, as its manifest lists them, its place among the engine's; empty where its tail makes some.
    order: Vec<usize>,
    tensor: Tensor,
    /// Decodes on the device, or why it does not.
    decoding: Result<(Decoder, Vec<usize>, More), String>,
}

impl Plan {
    fn new(executor: &Executor, spec: &ModelSpec, config: &ModelConfig, tailed: bool) -> Result<Self, Refused> {
        let place = |name: &String| {
            let found = executor.outputs().iter().position(|output| output.name == *name);
            let names = || executor.outputs().iter().map(|output| output.name.as_str()).collect::<Vec<_>>().join(", ");
            found.ok_or_else(|| Refused::Output(format!("the engine has no output `{name}`: it has {}", names())))
        };
        let made = if tailed { &[][..] } else { &spec.outputs };
        let order = made.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        for output in &order {
            readable(&executor.outputs()[*output]).map_err(Refused::Output)?;
        }
        let element = match executor.input_type() {
            DataType::Float => Element::F32,
            DataType::Half => Element::F16,
            DataType::Uint8 => Element::U8,
            other => return Err(Refused::Element(other)),
        };
        let interleaved = spec.input.layout == Layout::Nhwc;
        let tensor = Tensor { width: spec.input.width as u32, height: spec.input.height as u32, element, interleaved };
        let decoding =
            if tailed { Err("part of it runs in ONNX Runtime".into()) } else { decoding(executor, spec, config, &order) };
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
                // All come to the host, also those that nobody reads.
                let bytes = (0..executor.outputs().len()).map(|output| executor.output_bytes(output, most)).sum::<u64>();
                let bytes = bytes / most as u64;
                let kind = spec.task.word();
                tracing::info!(
                    model = info.name,
                    kind,
                    bytes,
                    reason,
                    runtime = info.runtime,
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
        (info, behind): (&Arc<ModelInfo>, Option<Behind>),
    ) -> Result<TensorRt, Refused> {
        let batches = executor.batches();
        let most = *batches.end();
        let clips = ClipFiller::new(&spec.input).map(|filler| {
            let each = spec.input.shape(1).iter().product();
            Clips { filler, values: vec![0.0; most * each], each, element: executor.input_type() }
        });
        let reads_values = clips.is_some();
        let (line, finish) = if let Ok((decoder, order, more)) = &self.decoding {
            let decoder = Box::new(decoder.clone());
            (line::Finish::Boxes { decoder, order: order.clone() }, Finish::Device(Seen::new(*more)))
        } else if let Some(behind) = behind {
            (line::Finish::Tensors, Finish::Tail(Box::new(behind)))
        } else {
            let outputs: Vec<_> = self
                .order
                .iter()
                .map(|output| (executor.outputs()[*output].name.clone(), executor.shape(*output, *batches.start()).to_vec()))
                .collect();
            let reader = Reader::new(spec, &outputs, thresholds(spec), config.details).map_err(Refused::Output)?;
            (line::Finish::Tensors, Finish::Host(Outputs::new(reader, self.order.clone())))
        };
        let lane = Lane::new(executor, feed(reads_values, self.tensor), line)?;
        Ok(TensorRt {
            info: Arc::clone(info),
            lane,
            letterbox: Letterbox::new(&spec.input, 1),
            clips,
            finish,
            max_batch: config.max_batch.max(1),
            place: Place::default(),
            reads_device: !reads_values,
            _keeps: None,
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
