//! What makes sense of a network's outputs on the host, whatever has run it: a head and its boxes, or a task.

use egret_models::{
    head::{Found, Head, Tensor, Thresholds},
    spec::{ModelSpec, TaskSpec},
    task::TaskReader,
};

use super::{Placement, extras};
use crate::media::{Boxes, Detection, Extras, Reading};

/// What makes sense of the outputs.
pub(super) enum Reader {
    Boxes(Box<Seeing>),
    Task(TaskReader),
}

/// Boxes on their way; reused.
pub(super) struct Seeing {
    head: Head,
    thresholds: Thresholds,
    found: Vec<Vec<Found>>,
}

/// What a batch has come to so far.
#[derive(Default)]
pub(super) struct Results {
    pub(super) detections: Vec<Vec<Detection>>,
    pub(super) extras: Vec<Extras>,
    pub(super) readings: Vec<Reading>,
}

impl Results {
    /// Takes what was found in a picture; nothing where none was in its slot.
    pub(super) fn see(&mut self, found: &[Found], placement: Option<&Placement>) {
        let Boxes { detections, extras } = placement.map_or_else(Boxes::default, |placement| extras::in_source(found, placement));
        self.detections.push(detections);
        self.extras.push(extras);
    }
}

/// The pictures of a batch: where each lies in the network's input of that size.
pub(super) struct Batch<'a> {
    pub(super) placements: &'a [Option<Placement>],
    pub(super) size: (usize, usize),
}

impl Reader {
    /// For a network whose outputs have these names and shapes. `masks`: whether those of an instance segmentation are wanted.
    ///
    /// # Errors
    /// What of the outputs is not what the network's kind has.
    pub(super) fn new(
        spec: &ModelSpec,
        outputs: &[(String, Vec<usize>)],
        thresholds: Thresholds,
        masks: bool,
    ) -> Result<Self, String> {
        match &spec.task {
            TaskSpec::Detect { head, .. } => {
                let dims: Vec<Vec<_>> = outputs.iter().map(|(_, shape)| shape.iter().copied().map(Some).collect()).collect();
                let outputs: Vec<_> =
                    outputs.iter().zip(&dims).map(|((name, _), dims)| (name.as_str(), dims.as_slice())).collect();
                let head = Head::new(head, &spec.input, &outputs, spec.classes.len());
                let mut head = head.map_err(|e| e.to_string())?;
                head.make_masks(masks);
                Ok(Self::Boxes(Box::new(Seeing { head, thresholds, found: Vec::new() })))
            }
            task => {
                let outputs: Vec<_> = outputs.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect();
                Ok(Self::Task(TaskReader::new(task, spec.classes.len(), &outputs).map_err(|e| e.to_string())?))
            }
        }
    }

    /// Reads the first pictures of a run, as many as there are placements.
    ///
    /// # Errors
    /// What cannot be.
    pub(super) fn read(&mut self, outputs: &[Tensor<'_>], batch: &Batch<'_>, results: &mut Results) -> Result<(), String> {
        let count = batch.placements.len();
        match self {
            Self::Boxes(boxes) => {
                let Seeing { head, thresholds, found } = &mut **boxes;
                head.decode(outputs, count, thresholds, found).map_err(|e| e.to_string())?;
                for (found, placement) in found.iter().zip(batch.placements) {
                    results.see(found, placement.as_ref());
                }
            }
            Self::Task(reader) => {
                let covered =
                    |i: usize| batch.placements[i].map_or([0.0, 0.0, 1.0, 1.0], |placement| placement.covered(batch.size));
                let mut answers = Vec::with_capacity(count);
                reader.read(outputs, count, covered, &mut answers).map_err(|e| e.to_string())?;
                results.readings.extend(answers.into_iter().map(Reading::from));
            }
        }
        Ok(())
    }
}
