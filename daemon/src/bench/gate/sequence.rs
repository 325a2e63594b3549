//! Sequences of MOTChallenge: boxes and truth, but no pictures. The gate is blind there; the calm interval is not.

use std::{path::Path, time::Duration};

use super::{GateOptions, GateReport, Shot, judge};
use crate::{
    media::{ModelInfo, Pixels},
    trackeval::{self, Rates, Sequence},
};

/// Only shares of it matter to the rules.
const SIZE: (u32, u32) = (1920, 1080);

/// Each sequence of a folder, and all of them together.
///
/// # Errors
/// Which file, why, and what to do.
pub fn sequences(options: &GateOptions, folder: &Path, rates: &Rates) -> Result<Vec<GateReport>, String> {
    let said = |error: trackeval::TrackEvalError| error.to_string();
    let model = std::sync::Arc::new(ModelInfo { classes: vec!["person".to_owned()], ..ModelInfo::default() });
    let mut reports = Vec::new();
    let mut all = GateReport::named("all sequences");
    for (sequence, fps) in Sequence::all(folder, rates).map_err(said)? {
        let step = Duration::from_secs_f64(1.0 / fps);
        let Sequence { name, truth, detections, .. } = sequence;
        let (width, height) = SIZE;
        let shots = (0..).zip(truth).zip(detections).map(|((number, truth), detections)| {
            Ok(Shot { pixels: Pixels::None { width, height }, at: step * number, detections, truth: Some(truth) })
        });
        let report = GateReport { name, ..judge(options, &model, shots)? };
        all.add(&report);
        reports.push(report);
    }
    reports.push(all);
    Ok(reports)
}
