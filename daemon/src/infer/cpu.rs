//! A network on the CPU: letterbox, runtime, head or task.

use std::{sync::Arc, time::Instant};

use egret_models::{
    head::Thresholds,
    spec::{BatchAxis, ModelSpec},
};

use super::{
    Clip, DetectError, Detector, Letterbox, Output, Placement, View,
    clip::ClipFiller,
    engine::{Engine, Feed},
    reader::{Batch, Reader, Results},
};
use crate::{
    batch::Place,
    media::{Detection, ModelInfo},
};

/// One engine instance of a network. [`load_cpu`](super::load_cpu) makes them.
pub struct Cpu {
    info: Arc<ModelInfo>,
    engine: Engine,
    letterbox: Letterbox,
    clips: Option<ClipFiller>,
    reader: Reader,
    max_batch: usize,
    /// Pictures per run of the engine: the whole batch where the network's batch is open, else what it is fixed to.
    step: Option<usize>,
    feed: Feed,
    placements: Vec<Option<Placement>>,
    size: (usize, usize),
    place: Place,
    fetches: bool,
}

impl Cpu {
    /// Runs the network once over padding, so that what is wrong with it shows at the start, and looks at what comes out. `masks`:
    /// whether those of an instance segmentation are wanted.
    ///
    /// # Errors
    /// [`DetectError`].
    pub(super) fn new(
        info: Arc<ModelInfo>,
        spec: &ModelSpec,
        mut engine: Engine,
        thresholds: Thresholds,
        (max_batch, masks): (usize, bool),
    ) -> Result<Self, DetectError> {
        let step = match spec.input.batch {
            BatchAxis::Fixed(n) => Some(n),
            BatchAxis::Dynamic => None,
        };
        let max_batch = max_batch.max(1);
        let slots = step.map_or(max_batch, |step| max_batch.next_multiple_of(step));
        let unreadable = |reason: String| DetectError::Output { model: info.name.clone(), reason };
        let mut feed = Feed::new(&spec.input, slots);
        let count = step.unwrap_or(1);
        let outputs = engine.try_out(&mut feed, count);
        let outputs = outputs.map_err(|reason| DetectError::Runtime { runtime: info.runtime.clone(), views: count, reason })?;
        let reader = Reader::new(spec, &outputs, thresholds, masks).map_err(unreadable)?;
        let mut cpu = Self {
            engine,
            letterbox: Letterbox::new(&spec.input, slots),
            clips: ClipFiller::new(&spec.input),
            reader,
            max_batch,
            step,
            feed,
            placements: Vec::with_capacity(max_batch),
            size: (spec.input.width, spec.input.height),
            place: Place::default(),
            fetches: false,
            info,
        };
        cpu.placements.push(None);
        cpu.infer(1)?;
        Ok(cpu)
    }

    /// Says which device it is on, by any number that the other engines of the model do not have. `fetches`: those others read pictures
    /// on a GPU, and it brings to the host what it looks at.
    #[must_use]
    pub(super) fn on(self, device: usize, fetches: bool) -> Self {
        Self { place: Place { device, ..self.place }, fetches, ..self }
    }

    /// Fills the tensor's slots.
    fn prepare(&mut self, views: &[View<'_>]) -> Result<(), DetectError> {
        self.placements.clear();
        if self.clips.is_some() {
            return Err(DetectError::NoClips { model: self.info.name.clone(), takes: "clips", given: "pictures" });
        }
        for (slot, view) in views.iter().enumerate() {
            let Some(picture) = view.frame.pixels.host() else {
                return Err(DetectError::Pixels { detector: "CPU", pixels: format!("{:?}", view.frame.pixels) });
            };
            let len = self.feed.each;
            let out = &mut self.feed.values[slot * len..][..len];
            self.placements.push(self.letterbox.fill(slot, picture, view.region, out));
        }
        Ok(())
    }

    /// The same with clips.
    fn prepare_clips(&mut self, clips: &[&Clip]) -> Result<(), DetectError> {
        let model = || self.info.name.clone();
        self.placements.clear();
        let Some(filler) = &self.clips else {
            return Err(DetectError::NoClips { model: model(), takes: "pictures", given: "clips" });
        };
        for (clip, out) in clips.iter().zip(self.feed.values.chunks_exact_mut(self.feed.each)) {
            if !filler.fill(clip, out) {
                return Err(DetectError::NoClips { model: model(), takes: "clips", given: "clips of another length or size" });
            }
            self.placements.push(None);
        }
        Ok(())
    }

    /// Runs the first `count` slots. What the network says of slots beyond is not read.
    fn infer(&mut self, count: usize) -> Result<Results, DetectError> {
        let Self { info, engine, reader, feed, placements, size, .. } = self;
        let mut results = Results::default();
        let step = self.step.unwrap_or(count).max(1);
        for first in (0..count).step_by(step) {
            let live = step.min(count - first);
            let batch = Batch { placements: &placements[first..first + live], size: *size };
            let mut unreadable = false;
            let result = feed.run(engine, first..first + step, &mut |outputs| {
                reader.read(outputs, &batch, &mut results).inspect_err(|_| unreadable = true)
            });
            result.map_err(|reason| {
                let (model, runtime) = (info.name.clone(), info.runtime.clone());
                if unreadable {
                    DetectError::Output { model, reason }
                } else {
                    DetectError::Runtime { runtime, views: count, reason }
                }
            })?;
        }
        Ok(results)
    }

    /// The input tensor of one picture: `f32[3,H,W]`.
    pub fn tensor_len(&self) -> usize {
        self.feed.each
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
        self.feed.values[..tensor.len()].copy_from_slice(tensor);
        self.letterbox.forget(0);
        self.placements.clear();
        self.placements.push(Some(self.letterbox.identity()));
        Ok(self.infer(1)?.detections.pop().unwrap_or_default())
    }

    fn fits(&self, views: usize) -> Result<(), DetectError> {
        if views <= self.max_batch {
            return Ok(());
        }
        let reason = format!("more views than the {} of a batch", self.max_batch);
        Err(DetectError::Runtime { runtime: self.info.runtime.clone(), views, reason })
    }
}

impl Detector for Cpu {
    fn spec(&self) -> &Arc<ModelInfo> {
        &self.info
    }

    fn max_batch(&self) -> usize {
        self.max_batch
    }

    fn reads_device(&self) -> bool {
        self.fetches
    }

    fn place(&self) -> Place {
        self.place
    }

    fn detect(&mut self, views: &[View<'_>]) -> Result<Output, DetectError> {
        self.fits(views.len())?;
        self.prepare(views)?;
        let prepared = Instant::now();
        let Results { detections, extras, readings } = self.infer(views.len())?;
        Ok(Output { detections, extras, readings, prepared, device: None })
    }

    fn watch(&mut self, clips: &[&Clip]) -> Result<Output, DetectError> {
        self.fits(clips.len())?;
        self.prepare_clips(clips)?;
        let prepared = Instant::now();
        let Results { detections, extras, readings } = self.infer(clips.len())?;
        Ok(Output { detections, extras, readings, prepared, device: None })
    }
}
