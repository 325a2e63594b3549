//! What is told of an evaluation.

use serde::Serialize;

use super::figures::Figures;

/// The outcome of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Every how many-th frame of the sequences was taken.
    pub every: u32,
    /// What was looked at.
    pub sequences: Vec<About>,
    /// One entry per tracker and per set of results.
    pub trackers: Vec<Judged>,
    /// What else is to be known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A sequence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct About {
    /// Name of its folder.
    pub name: String,
    /// Frames that were judged.
    pub frames: usize,
    /// Frames per second of the whole sequence, where a tracker ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// True identities that count.
    pub objects: usize,
    /// Their boxes.
    pub boxes: usize,
    /// Whether tracks on distractors are taken out first (truth with classes).
    pub distractors: bool,
}

/// A tracker's figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// Its name, or that of the results.
    pub tracker: String,
    /// In the order of [`Report::sequences`].
    pub sequences: Vec<Row>,
    /// All sequences together.
    pub combined: Row,
}

/// One line of figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Name of the sequence, or `COMBINED`.
    pub sequence: String,
    /// The figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// CPU time of the tracker per frame, where one ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_frame: Option<f64>,
}
