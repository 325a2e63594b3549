//! How many cameras a core carries: decoding, looking, inferring, tracking and rules, by CPU time, with and without the gate.

use std::{sync::Arc, time::Duration};

use gstreamer as gst;

use super::{
    GateOptions, Scenes, Way,
    arm::Arm,
    sitting::{look, stands, watch},
};
use crate::{
    batch::Counts,
    bench::Usage,
    eval::pictures::{self, Video},
    infer::{Detector, View},
    media::{Frame, ModelInfo},
};

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The cameras.
    pub scenes: Scenes,
    /// How often each way is run; they take turns.
    pub rounds: usize,
}

/// What one way has cost.
#[derive(Clone, Copy, Debug)]
pub struct LoadReport {
    /// Which.
    pub way: Way,
    /// CPU seconds per second of each camera, median of the rounds.
    pub cpu: f64,
    /// Where the frames of one round went.
    pub counts: Counts,
}

impl LoadReport {
    /// Cameras that two cores carry.
    pub fn cameras(&self) -> f64 {
        2.0 / self.cpu
    }
}

/// Runs all cameras one after the other, each way in turns. The first entry of the result is [`Way::Every`]; also: what decoding alone
/// costs.
///
/// # Errors
/// What the simulator, the decoder or the network says.
pub fn load(
    options: &GateOptions,
    load: &Load,
    detector: &mut dyn Detector,
    model: &Arc<ModelInfo>,
) -> Result<(Vec<LoadReport>, f64), String> {
    let recorded = (0..load.scenes.cameras).map(|number| load.scenes.record(number).map(|(units, _)| units));
    let cameras = recorded.collect::<Result<Vec<_>, _>>()?;
    let seconds = (load.scenes.cameras * load.scenes.seconds) as f64;
    let mut costs = [const { Vec::new() }; 5];
    let mut counts = [Counts::default(); 4];
    for _ in 0..load.rounds.max(1) {
        for way in Way::ALL {
            let before = Usage::now();
            let mut total = Counts::default();
            for units in &cameras {
                total += run(options, way, units, detector, model)?;
            }
            costs[way as usize].push(Usage::now().since(&before).cpu.as_secs_f64() / seconds);
            counts[way as usize] = total;
        }
        let before = Usage::now();
        for units in &cameras {
            let mut video = Video::h264(units.clone())?;
            while video.next_at()?.is_some() {}
        }
        costs[4].push(Usage::now().since(&before).cpu.as_secs_f64() / seconds);
    }
    let [costs @ .., decoding] = costs.map(median);
    let reports = Way::ALL.iter().map(|way| LoadReport { way: *way, cpu: costs[*way as usize], counts: counts[*way as usize] });
    Ok((reports.collect(), decoding))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn run(
    options: &GateOptions,
    way: Way,
    units: &[gst::Buffer],
    detector: &mut dyn Detector,
    model: &Arc<ModelInfo>,
) -> Result<Counts, String> {
    let mut video = Video::h264(units.to_vec())?;
    let stands = stands(model)?;
    let [stand, ..] = &stands;
    let (mut arm, mut watch) = (Arm::new(way, options, model, stand), watch(options));
    let mut number = 0;
    while let Some((picture, _)) = video.next_at()? {
        let at = Duration::from_secs(number) / 15;
        let frame = pictures::frame(picture, number);
        number += 1;
        let still = way.gated() && look(&mut watch, &frame.pixels, at);
        arm.take(frame.pixels.size(), at, still, || infer(detector, &frame))?;
    }
    Ok(arm.counts())
}

fn infer(detector: &mut dyn Detector, frame: &Frame) -> Result<Vec<crate::media::Detection>, String> {
    let mut output = detector.detect(&[View::whole(frame)]).map_err(|error| error.to_string())?;
    Ok(output.detections.pop().unwrap_or_default())
}
