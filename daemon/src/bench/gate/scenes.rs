//! Cameras of the simulator's streets, coded as cameras code them; their truth is known.

use std::sync::Arc;

use gstreamer as gst;

use super::{GateOptions, GateReport, Shot, judge};
use crate::{
    eval::pictures::{self, Video},
    infer::{Detector, View},
    media::ModelInfo,
    sim::{
        Coded, SimCamera,
        scene::{SceneConfig, TimeOfDay, Truth as Drawn, TruthObject},
    },
    trackeval::{Named, Rect, Truth, Worth},
};

/// Which streets.
#[derive(Clone, Copy, Debug)]
pub struct Scenes {
    /// Cameras; every fourth one looks at a busy street.
    pub cameras: u64,
    /// For so long each.
    pub seconds: u64,
    /// How much goes on in the others: 1 is a busy street.
    pub idle: f32,
    /// The first street's seed.
    pub seed: u64,
}

/// Smallest height in pixels of what a network is expected to see.
const SMALLEST: u32 = 16;

impl Scenes {
    /// Whether little goes on before this camera.
    pub(super) fn is_idle(number: u64) -> bool {
        !number.is_multiple_of(4)
    }

    /// Half of the cameras by night, every third one in rain, every other pair at a quarter of the bit rate.
    pub(super) fn camera(&self, number: u64) -> (SceneConfig, SimCamera) {
        let config = SceneConfig {
            seed: self.seed + number,
            time: if number.is_multiple_of(2) { TimeOfDay::Day } else { TimeOfDay::Night },
            rain: number % 3 == 2,
            density: if Self::is_idle(number) { self.idle } else { 1.0 },
            // A running clock is motion; on real cameras a mask hides it.
            clock: false,
            ..SceneConfig::default()
        };
        let bitrate_kbit = if number % 4 < 2 { 2000 } else { 500 };
        let camera = SimCamera { bitrate_kbit, ..SimCamera::scene(&format!("street{number}"), config.clone()) };
        (config, camera)
    }

    /// A camera's access units, and what they show.
    pub(super) fn record(&self, number: u64) -> Result<(Vec<gst::Buffer>, Vec<Drawn>), String> {
        let (config, camera) = self.camera(number);
        gst::init().map_err(|error| error.to_string())?;
        let mut coded = Coded::open(&camera).map_err(|error| error.to_string())?;
        let frames = self.seconds * u64::from(config.fps);
        let (mut units, mut truths) = (Vec::new(), Vec::new());
        while (units.len() as u64) < frames {
            let (unit, truth) = coded.next().map_err(|error| error.to_string())?;
            units.push(unit);
            truths.push(truth.ok_or("a street without its truth")?);
        }
        Ok((units, truths))
    }
}

/// The busy streets and the idle ones apart. `progress` hears of each camera that is done.
///
/// # Errors
/// What the simulator, the decoder or the network says.
pub fn scenes(
    options: &GateOptions,
    scenes: &Scenes,
    detector: &mut dyn Detector,
    model: &Arc<ModelInfo>,
    progress: &mut dyn FnMut(u64),
) -> Result<[GateReport; 2], String> {
    let mut reports = ["busy streets", "idle streets"].map(GateReport::named);
    for number in 0..scenes.cameras {
        let report = street(options, scenes, number, (detector, model))?;
        reports[usize::from(Scenes::is_idle(number))].add(&report);
        progress(number);
    }
    Ok(reports)
}

fn street(
    options: &GateOptions,
    scenes: &Scenes,
    number: u64,
    (detector, model): (&mut dyn Detector, &Arc<ModelInfo>),
) -> Result<GateReport, String> {
    let (units, truths) = scenes.record(number)?;
    let mut video = Video::h264(units)?;
    let mut truths = truths.into_iter();
    let shots = std::iter::from_fn(|| {
        let picture = match video.next_at().transpose()? {
            Ok((picture, _)) => picture,
            Err(reason) => return Some(Err(reason)),
        };
        let truth = truths.next()?;
        let frame = pictures::frame(picture, truth.frame);
        let seen = detector.detect(&[View::whole(&frame)]).map_err(|error| error.to_string());
        let at = std::time::Duration::from_millis(truth.pts_ms);
        let truth = Some(truth.objects.iter().map(named).collect());
        Some(seen.map(|mut output| Shot {
            pixels: frame.pixels,
            at,
            detections: output.detections.pop().unwrap_or_default(),
            truth,
        }))
    });
    judge(options, model, shots)
}

/// What shows well enough that a network should see it counts; the rest is no mistake either way.
fn named(object: &TruthObject) -> Truth {
    let [x1, y1, x2, y2] = object.visible_box;
    let clear = object.visible >= 0.5 && object.inside >= 0.5 && y2 - y1 >= SMALLEST;
    let [left, top, width, height] = [x1, y1, x2 - x1, y2 - y1].map(f64::from);
    let worth = if clear { Worth::Counts } else { Worth::Distracts };
    Truth { named: Named { id: object.id, bbox: Rect { left, top, width, height } }, worth }
}
