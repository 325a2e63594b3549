//! A real video, whose objects a detector and a tracker find by looking at every frame.

use std::{path::Path, time::Duration};

use super::{Camera, GateOptions, GateReport, Shown};
use crate::{
    eval::pictures::{self, Video},
    gate::Luma,
    infer::{Detector, View},
    media::Pixels,
    track::associate::{Associator, Kind},
};

/// Looks at the whole video with the network and tells what would have become of it behind the gate.
///
/// # Errors
/// What the decoder or the network says.
pub fn video(options: &GateOptions, file: &Path, detector: &mut dyn Detector) -> Result<GateReport, String> {
    let mut video = Video::open(file)?;
    let (mut camera, mut tracker, mut rows) = (Camera::new(options), Associator::new(&Kind::Egret.params()), Vec::new());
    let mut number = 0;
    let mut latest = Duration::ZERO;
    while let Some((picture, at)) = video.next_at()? {
        // Streams with reordered pictures may give a time twice.
        latest = at.max(latest);
        let frame = pictures::frame(picture, number);
        number += 1;
        let mut output = detector.detect(&[View::whole(&frame)]).map_err(|error| error.to_string())?;
        let detections = output.detections.pop().unwrap_or_default();
        tracker.update(latest, &detections, &mut rows);
        let seen = rows.iter().filter(|row| row.confirmed && row.detection.is_some());
        let shown: Vec<Shown> = seen.map(|row| Shown { id: row.track.into(), bbox: row.bbox }).collect();
        if let Pixels::Host(picture) = &frame.pixels {
            let ((samples, stride), (width, height)) = (picture.plane(0), picture.plane_size(0));
            camera.take(Luma { samples, stride, width, height }, latest, &shown);
        }
    }
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    Ok(camera.report(name))
}
