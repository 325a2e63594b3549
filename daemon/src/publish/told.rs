//! How what networks say beside boxes is written: labels, appearances, areas, and what steps did with a frame.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::message::{Object, Objects, Rounded, class_name};
use crate::{
    media::{Detection, Finding, Found, ModelInfo, StepReport, StepState, TrackId, TrackedDetection},
    step::SkipReason,
};

/// What a network has found out about an object or a frame. Which of the optional fields it has depends on the network's task.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Told<'a> {
    /// Name of the network in the configuration.
    pub model: &'a str,
    /// The frame of its latest look: [`super::message::FrameMessage::frame`].
    pub frame: u64,
    /// Looks that it is made of: a label is voted over all of them, an appearance averaged.
    pub looks: u32,
    /// Classifiers: the label that leads; `null` while none is sure enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Option<&'a str>>,
    /// Classifiers: the mean score of that label, 0..1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<Rounded<4>>,
    /// Embedding networks, with `details`, in messages about tracks: a vector of unit length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<Vec<Rounded<5>>>,
    /// Segmentation: share of the picture by class, of those that cover any of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<std::collections::BTreeMap<String, f32>>")]
    pub areas: Option<Shares<'a>>,
    /// Segmentation, with `details`: the class of each pixel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<Mask>,
    /// Detectors: what they see in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<Vec<Object<'a>>>,
    /// Networks that take clips: why it has not looked, `looks` being 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<SkipReason>,
}

/// A mask as run lengths.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Mask {
    /// Its width and height in pixels; it covers the whole picture.
    pub size: [u32; 2],
    /// Row by row from the top left: index of the class, number of pixels, and so on. Runs reach over the ends of rows. Empty where
    /// there are too many of them.
    pub runs: Vec<[u32; 2]>,
}

/// Shares by class name.
#[derive(Clone, Copy, Debug)]
pub struct Shares<'a> {
    shares: &'a [f32],
    classes: &'a [String],
}

impl Serialize for Shares<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let covered = self.shares.iter().enumerate().filter(|(_, share)| **share > 0.0);
        serializer.collect_map(covered.map(|(class, share)| (class_name(self.classes, class as u16), Rounded::<5>(*share))))
    }
}

impl<'a> Told<'a> {
    /// `whole`: in a message that may be large.
    pub(super) fn new(finding: &'a Finding, size: (u32, u32), whole: bool) -> Self {
        let classes = &finding.model.classes;
        let (model, frame, looks) = (finding.model.name.as_str(), finding.frame, finding.looks);
        let (label, score, vector, areas, mask, objects, skipped) = (None, None, None, None, None, None, None);
        let mut told = Self { model, frame, looks, label, score, vector, areas, mask, objects, skipped };
        let details = finding.details && whole;
        match &finding.found {
            Found::Label(best) => {
                told.label = Some(best.map(|(class, _)| class_name(classes, class)));
                told.score = best.map(|(_, score)| Rounded(score));
            }
            Found::Appearance(vector) => {
                told.vector = details.then(|| vector.iter().map(|v| Rounded(*v)).collect());
            }
            Found::Areas(areas) => {
                told.areas = Some(Shares { shares: &areas.shares, classes });
                let runs = || areas.runs.iter().map(|run| [u32::from(run.class), run.length]).collect();
                told.mask = details.then(|| Mask { size: [areas.width as u32, areas.height as u32], runs: runs() });
            }
            Found::Skipped(reason) => told.skipped = Some(*reason),
            Found::Boxes(boxes) => {
                let object = |(i, detection): (usize, &Detection)| {
                    let seen = TrackedDetection { detection: *detection, track: None };
                    Objects::object(classes, size, &seen, (boxes.extras.get(i), details))
                };
                told.objects = Some(boxes.detections.iter().enumerate().map(object).collect());
            }
        }
        told
    }
}

/// All that is known of a frame as a whole.
pub(super) fn of_frame(report: Option<&StepReport>, size: (u32, u32)) -> Vec<Told<'_>> {
    report.into_iter().flat_map(|report| &report.frame).map(|finding| Told::new(finding, size, true)).collect()
}

/// All that is known of a track.
pub(super) fn of_track(report: Option<&StepReport>, track: TrackId, size: (u32, u32), whole: bool) -> Vec<Told<'_>> {
    let findings = report.into_iter().flat_map(|report| &report.tracks).filter(|(of, _)| *of == track);
    findings.map(|(_, finding)| Told::new(finding, size, whole)).collect()
}

/// What each step did with a frame, by the model's name.
#[derive(Clone, Copy, Debug)]
pub struct Steps<'a>(pub(super) &'a [(Arc<ModelInfo>, StepState)]);

impl Serialize for Steps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (model, state) in self.0 {
            map.serialize_entry(&model.name, &Step::from(*state))?;
        }
        map.end()
    }
}

/// What a step did with a frame.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Step {
    /// Whether it looks.
    pub state: StepWord,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<SkipReason>,
    /// Regions that it looks at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regions: Option<u32>,
}

/// Whether a step looks at a frame. What it finds follows in a later message, with the number of this frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepWord {
    /// It looks.
    Queued,
    /// It keeps small pictures of it, for clips that are not complete yet.
    Gathering,
    /// It does not look.
    Skipped,
    /// Nothing in the frame is to be looked at.
    NothingToSee,
}

impl From<StepState> for Step {
    fn from(state: StepState) -> Self {
        let (state, reason, regions) = match state {
            StepState::Queued(regions) => (StepWord::Queued, None, Some(regions)),
            StepState::Gathering => (StepWord::Gathering, None, None),
            StepState::Skipped(reason) => (StepWord::Skipped, Some(reason), None),
            StepState::NothingToSee => (StepWord::NothingToSee, None, None),
        };
        Self { state, reason, regions }
    }
}
