//! A real video. What looking at every frame tells is the truth.

use std::{path::Path, sync::Arc};

use super::{GateOptions, GateReport, Shot, judge};
use crate::{
    eval::pictures::{self, Video},
    infer::{Detector, View},
    media::ModelInfo,
};

/// Looks at the whole video with the network and tells what would have become of it behind the gate.
///
/// # Errors
/// What the decoder or the network says.
pub fn video(
    options: &GateOptions,
    file: &Path,
    detector: &mut dyn Detector,
    model: &Arc<ModelInfo>,
) -> Result<GateReport, String> {
    let mut video = Video::open(file)?;
    let (mut number, mut latest) = (0, std::time::Duration::ZERO);
    let shots = std::iter::from_fn(|| {
        let (picture, at) = match video.next_at().transpose()? {
            Ok(next) => next,
            Err(reason) => return Some(Err(reason)),
        };
        // Streams with reordered pictures may give a time twice.
        latest = at.max(latest);
        let frame = pictures::frame(picture, number);
        number += 1;
        let seen = detector.detect(&[View::whole(&frame)]).map_err(|error| error.to_string());
        let detections = seen.map(|mut output| output.detections.pop().unwrap_or_default());
        Some(detections.map(|detections| Shot { pixels: frame.pixels, at: latest, detections, truth: None }))
    });
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    Ok(GateReport { name, ..judge(options, model, shots)? })
}
