//! What an evaluation found out, as data.

use std::time::Duration;

use egret_models::eval::{
    agreement::{Agreement, Verdict},
    coco::Evaluation,
};
use serde::Serialize;

use super::{classes::LeftOut, misses::Miss};

/// The outcome of [`super::run`]; `egret eval --json` prints it as it is.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What was looked at, for people.
    pub data: String,
    /// Pictures that were looked at.
    pub images: usize,
    /// Labelled objects of the judged classes; `None`: nothing is labelled.
    pub objects: Option<usize>,
    /// Of these, how many are neither right nor wrong to find.
    pub unjudged: usize,
    /// The judged classes; figures per class are in this order.
    pub classes: Vec<String>,
    /// Labelled objects of each class.
    pub objects_per_class: Vec<usize>,
    /// Classes that are not judged.
    pub left_out: LeftOut,
    /// What else was left out.
    pub notes: Vec<String>,
    /// Smallest confidence of a box.
    pub confidence: f32,
    /// IoU of the suppression, per class.
    pub nms: f32,
    /// One row per model, in the order in which they were named, then one per results file.
    pub rows: Vec<Row>,
}

/// One model, or one file of results.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name in tables.
    pub name: String,
    /// `fp32`, `fp16` or `int8`; empty for results.
    pub precision: String,
    /// What ran it; empty for results.
    pub runtime: String,
    /// SHA-256 of the model file in hex; empty for results.
    pub sha256: String,
    /// Boxes of the judged classes.
    pub boxes: usize,
    /// Time per picture; `None` for results.
    pub time: Option<Times>,
    /// By the labels; `None`: there are none.
    pub evaluation: Option<Evaluation>,
    /// With the first row; `None` for the first row itself.
    pub agreement: Option<Agreement>,
    /// What the accuracy gate says of that agreement.
    pub verdict: Option<Verdict>,
    /// The pictures with the most mistakes, worst first.
    #[serde(skip)]
    pub misses: Vec<Miss>,
}

/// Letterbox, network, head and suppression of one picture, on one thread, by the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Times {
    /// Median in milliseconds.
    pub median_ms: f64,
    /// Mean in milliseconds.
    pub mean_ms: f64,
    /// 95th percentile in milliseconds.
    pub p95_ms: f64,
}

impl Times {
    /// `None` where nothing was timed.
    pub(super) fn of(mut all: Vec<Duration>) -> Option<Self> {
        all.sort_unstable();
        let ms = |time: &Duration| time.as_secs_f64() * 1e3;
        let at = |share: f64| all.get(((all.len() as f64 * share) as usize).min(all.len().saturating_sub(1))).map(ms);
        let mean_ms = all.iter().map(ms).sum::<f64>() / all.len() as f64;
        Some(Self { median_ms: at(0.5)?, mean_ms, p95_ms: at(0.95)? })
    }
}
