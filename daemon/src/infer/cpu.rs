//! A detector on the CPU: letterbox, runtime, head, suppression.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use egret_models::{
    head::{Candidate, Yolox},
    nms::{self, NmsParams},
    spec::{BatchAxis, DetectorSpec},
};

use super::{DetectError, Detector, Letterbox, Output, Placement, View, onnxruntime, rten};
use crate::media::{Detection, ModelInfo, Pixels};

/// What runs the network.
pub(super) enum Engine {
    OnnxRuntime(onnxruntime::Engine),
    Rten(rten::Engine),
}

impl Engine {
    fn run(&mut self, input: &[f32], count: usize, read: impl FnMut(usize, &[f32]) -> Result<(), String>) -> Result<(), String> {
        match self {
            Self::OnnxRuntime(engine) => engine.run(input, count, read),
            Self::Rten(engine) => engine.run(input, count, read),
        }
    }
}

/// Which boxes are worth telling.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thresholds {
    pub(super) confidence: f32,
    pub(super) nms: NmsParams,
}

/// One engine instance of a YOLOX-shaped network. [`load_cpu`](super::load_cpu) makes them.
pub struct Cpu {
    info: Arc<ModelInfo>,
    engine: Engine,
    letterbox: Letterbox,
    head: Yolox,
    thresholds: Thresholds,
    max_batch: usize,
    /// Pictures per run of the engine: the whole batch where the network's batch is open, else what it is fixed to.
    step: Option<usize>,
    input: Vec<f32>,
    placements: Vec<Option<Placement>>,
    found: Found,
}

/// Boxes of one picture on their way; reused.
#[derive(Default)]
struct Found {
    candidates: Vec<Candidate>,
    scratch: nms::Scratch,
}

impl Cpu {
    pub(super) fn new(
        info: Arc<ModelInfo>,
        spec: &DetectorSpec,
        engine: Engine,
        thresholds: Thresholds,
        max_batch: usize,
    ) -> Self {
        let step = match spec.input.batch {
            BatchAxis::Fixed(n) => Some(n),
            BatchAxis::Dynamic => None,
        };
        let max_batch = max_batch.max(1);
        let slots = step.map_or(max_batch, |step| max_batch.next_multiple_of(step));
        let letterbox = Letterbox::new(&spec.input, slots);
        let input = vec![0.0; slots * letterbox.slot_len()];
        let head = Yolox::new(spec.input.width, spec.input.height, spec.classes.len());
        let placements = Vec::with_capacity(max_batch);
        Self { info, engine, letterbox, head, thresholds, max_batch, step, input, placements, found: Found::default() }
    }

    /// Fills the tensor's slots.
    fn prepare(&mut self, views: &[View<'_>]) -> Result<(), DetectError> {
        self.placements.clear();
        for (slot, view) in views.iter().enumerate() {
            let Pixels::Host(picture) = &view.frame.pixels else {
                return Err(DetectError::Pixels { detector: "CPU", pixels: format!("{:?}", view.frame.pixels) });
            };
            let len = self.letterbox.slot_len();
            let out = &mut self.input[slot * len..][..len];
            self.placements.push(self.letterbox.fill(slot, picture, view.region, out));
        }
        Ok(())
    }

    /// Runs the first `count` slots. What the network says of slots beyond is not read.
    fn infer(&mut self, count: usize) -> Result<Vec<Vec<Detection>>, DetectError> {
        let Self { info, engine, letterbox, head, thresholds, input, placements, found, .. } = self;
        let mut detections = Vec::with_capacity(count);
        let step = self.step.unwrap_or(count);
        let mut unreadable = None;
        let result = (0..count).step_by(step).try_for_each(|first| {
            let len = letterbox.slot_len();
            engine.run(&input[first * len..][..step * len], step, |i, output| {
                let Some(placement) = placements.get(first + i) else { return Ok(()) };
                found.candidates.clear();
                if let Err(error) = head.decode(output, thresholds.confidence, &mut found.candidates) {
                    let reason = error.to_string();
                    unreadable = Some(error);
                    return Err(reason);
                }
                nms::suppress(&mut found.candidates, &thresholds.nms, &mut found.scratch);
                detections.push(placement.map_or_else(Vec::new, |placement| in_source(&found.candidates, &placement)));
                Ok(())
            })
        });
        match (result, unreadable) {
            (Ok(()), _) => Ok(detections),
            (Err(reason), Some(_)) => Err(DetectError::Output { model: info.name.clone(), reason }),
            (Err(reason), None) => Err(DetectError::Runtime { runtime: info.runtime.clone(), views: count, reason }),
        }
    }

    /// The input tensor of one picture: `f32[3,H,W]`.
    pub fn tensor_len(&self) -> usize {
        self.letterbox.slot_len()
    }

    /// Runs the network over one ready-made input tensor and leaves the boxes in pixels of the input: the network, its head and
    /// the suppression alone, for comparison with other implementations and for calibration.
    ///
    /// # Errors
    /// [`DetectError`], also where `tensor` has another length than [`Self::tensor_len`].
    pub fn detect_tensor(&mut self, tensor: &[f32]) -> Result<Vec<Detection>, DetectError> {
        if tensor.len() != self.tensor_len() {
            let reason = format!("a tensor of {} values instead of {}", tensor.len(), self.tensor_len());
            return Err(DetectError::Output { model: self.info.name.clone(), reason });
        }
        self.input[..tensor.len()].copy_from_slice(tensor);
        self.letterbox.forget(0);
        self.placements.clear();
        self.placements.push(Some(self.letterbox.identity()));
        Ok(self.infer(1)?.pop().unwrap_or_default())
    }

    /// Runs the network once over padding, so that what is wrong with it shows at the start.
    pub(super) fn try_out(&mut self) -> Result<(), DetectError> {
        self.placements.clear();
        self.placements.push(None);
        match catch_unwind(AssertUnwindSafe(|| self.infer(1))) {
            Ok(result) => result.map(|_| ()),
            Err(_) => {
                Err(DetectError::Runtime { runtime: self.info.runtime.clone(), views: 1, reason: "the runtime panicked".into() })
            }
        }
    }
}

/// Boxes in pixels of the source; those that lie wholly outside it are none.
fn in_source(candidates: &[Candidate], placement: &Placement) -> Vec<Detection> {
    let detections =
        candidates.iter().map(|c| Detection { class: c.class, confidence: c.score, bbox: placement.to_source(c.bbox) });
    detections.filter(|d| d.bbox.area() > 0.0).collect()
}

impl Detector for Cpu {
    fn spec(&self) -> &Arc<ModelInfo> {
        &self.info
    }

    fn max_batch(&self) -> usize {
        self.max_batch
    }

    fn detect(&mut self, views: &[View<'_>]) -> Result<Output, DetectError> {
        if views.len() > self.max_batch {
            let reason = format!("more views than the {} of a batch", self.max_batch);
            return Err(DetectError::Runtime { runtime: self.info.runtime.clone(), views: views.len(), reason });
        }
        self.prepare(views)?;
        let prepared = Instant::now();
        let detections = self.infer(views.len())?;
        Ok(Output { detections, prepared })
    }
}
