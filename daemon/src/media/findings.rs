//! What a network is to those who read of it, what networks say beside boxes, and what becomes of it on the way to a message.

use std::{sync::Arc, time::Duration};

use egret_models::task::{Answer, Areas, Scores};

use super::{Boxes, TrackId};
use crate::step::SkipReason;

/// What a consumer may need to know of the network that made a detection. One per loaded model, shared.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// Name in the configuration.
    pub name: String,
    /// Class names, in the order of the network's outputs.
    pub classes: Vec<String>,
    /// Name and version of what runs it, e.g. `onnxruntime 1.31.1`, `rten 0.27.0`, `null`.
    pub runtime: String,
    /// SHA-256 of the model file in hex; empty where there is no file.
    pub sha256: String,
    /// What it computes in, as far as the file tells: `fp32`, `fp16`, `int8`; empty where there is no file.
    pub precision: &'static str,
}

/// What a network says of a whole picture, of a region of one, or of a clip.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// What a detector sees in it.
    Boxes(Boxes),
    /// A score per class.
    Scores(Scores),
    /// What it looks like: a vector of unit length.
    Embedding(Arc<[f32]>),
    /// Which class covers what of it.
    Areas(Arc<Areas>),
}

impl From<Answer> for Reading {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Scores(scores) => Self::Scores(scores),
            Answer::Embedding(vector) => Self::Embedding(vector),
            Answer::Areas(areas) => Self::Areas(areas),
        }
    }
}

/// What a network has found out about a track or a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Which network.
    pub model: Arc<ModelInfo>,
    /// [`super::Frame::seq`] of the frame of its latest look.
    pub frame: u64,
    /// Looks that it is made of.
    pub looks: u32,
    /// What.
    pub found: Found,
    /// Whether vectors and masks are told in whole.
    pub details: bool,
}

/// What was found out.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Index into the model's class names and score; `None`: nothing is sure enough.
    Label(Option<(u16, f32)>),
    /// What it looks like: a vector of unit length.
    Appearance(Arc<[f32]>),
    /// Which class covers what of it.
    Areas(Arc<Areas>),
    /// What was seen in it, boxes in pixels of the source frame.
    Boxes(Arc<Boxes>),
    /// Nothing: it did not look.
    Skipped(SkipReason),
}

/// What a step did with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// It looks at so many regions of it, or at it as a whole.
    Queued(u32),
    /// It keeps small pictures of it, for clips that are not complete.
    Gathering,
    /// It does not look, for a reason.
    Skipped(SkipReason),
    /// Nothing in it is to be looked at.
    NothingToSee,
}

/// What steps did with a frame, and what they have found out so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepReport {
    /// What each step did with this frame.
    pub states: Vec<(Arc<ModelInfo>, StepState)>,
    /// About frames as a whole: this one, or earlier ones that were not told yet.
    pub frame: Vec<Arc<Finding>>,
    /// About the tracks of this frame, as far as anything is known.
    pub tracks: Vec<(TrackId, Arc<Finding>)>,
    /// Tracks that turned out to be objects known before. From this frame on they go by the old identity.
    pub renames: Vec<Rename>,
}

/// A track is an object that was followed before, and goes on under the identity that it had then.
#[derive(Clone, Debug, PartialEq)]
pub struct Rename {
    /// The identity that is given up: nothing is told of it any more.
    pub from: TrackId,
    /// The identity under which the object goes on. It may have been told to have ended.
    pub to: TrackId,
    /// Index into the model's class names.
    pub class: u16,
    /// Which network knew it again.
    pub by: Arc<ModelInfo>,
    /// How unlike the two look: one less the cosine of their appearances, 0..2.
    pub distance: f32,
    /// For how long nobody saw the object.
    pub unseen: Duration,
}
