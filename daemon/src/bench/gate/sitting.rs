//! One camera, looked at all ways at once.

use std::{
    convert::Infallible,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    GateOptions, GateReport, Shot, Way, WayReport,
    arm::{Arm, Stand},
    score,
};
use crate::{
    config::{self, Config},
    gate::{Luma, MotionSettings, PictureSettings, Watch, WatchSettings},
    media::{ModelInfo, Pixels},
    trackeval::{Hota, Named, Scene, Truth, Worth},
};

/// Lines and zones that somebody might draw into any picture.
const RULES: &str = r#"device = "bench"
[mqtt]
url = "mqtt://127.0.0.1"
[[model]]
name = "bench"
builtin = "null"
[[camera]]
name = "camera"
url = "test:ball"
[[camera.rule]]
name = "upright"
kind = "line"
line = [[0.5, 0.0], [0.5, 1.0]]
[[camera.rule]]
name = "level"
kind = "line"
line = [[0.0, 0.55], [1.0, 0.55]]
[[camera.rule]]
name = "slanted"
kind = "line"
line = [[0.1, 0.9], [0.9, 0.3]]
[[camera.rule]]
name = "near"
kind = "zone"
zone = [[0.1, 0.6], [0.9, 0.6], [0.9, 1.0], [0.1, 1.0]]
[[camera.rule]]
name = "left"
kind = "zone"
zone = [[0.0, 0.2], [0.4, 0.2], [0.4, 0.8], [0.0, 0.8]]
"#;

/// A configuration with [`RULES`].
fn rules() -> Result<Config, String> {
    let loaded = config::load_text(Path::new("bench.toml"), RULES);
    loaded.map(|loaded| loaded.config).map_err(|problems| format!("the rules of the bench itself: {problems:?}"))
}

/// What the ways stand on, one each.
pub(super) fn stands(model: &ModelInfo) -> Result<[Stand; 4], String> {
    let rules = rules()?;
    Ok(Way::ALL.map(|_| Stand::new(rules.clone(), &model.name)))
}

pub(super) struct Sitting<'a> {
    watch: Watch,
    arms: Vec<Arm<'a>>,
    times: Vec<Duration>,
    truth: Vec<Option<Vec<Truth>>>,
    looking: Duration,
}

impl<'a> Sitting<'a> {
    pub(super) fn new(options: &GateOptions, model: &Arc<ModelInfo>, stands: &'a [Stand; 4]) -> Self {
        let arms = Way::ALL.iter().zip(stands).map(|(way, stand)| Arm::new(*way, options, model, stand)).collect();
        Self { watch: watch(options), arms, times: Vec::new(), truth: Vec::new(), looking: Duration::ZERO }
    }

    pub(super) fn take(&mut self, shot: Shot) {
        let Shot { pixels, at, detections, truth } = shot;
        let started = Instant::now();
        let still = look(&mut self.watch, &pixels, at);
        self.looking += started.elapsed();
        for arm in &mut self.arms {
            let Ok(()) = arm.take(pixels.size(), at, still, || Ok::<_, Infallible>(detections.clone()));
        }
        self.times.push(at);
        self.truth.push(truth);
    }

    pub(super) fn report(self) -> GateReport {
        let Self { arms, times, truth, looking, .. } = self;
        let every = &arms[Way::Every as usize];
        let truth: Vec<Vec<Truth>> =
            truth.into_iter().zip(&every.told).map(|(truth, told)| truth.unwrap_or_else(|| believed(told))).collect();
        let visits = score::visits(&truth, &times);
        let mut report = GateReport { frames: times.len() as u64, looking, ..GateReport::default() };
        report.idle = times.iter().filter(|at| !visits.iter().any(|visit| visit.holds(**at))).count() as u64;
        for (way, arm) in report.ways.iter_mut().zip(&arms) {
            let (missed, more) = score::compare(&every.events, &arm.events);
            *way = WayReport {
                counts: arm.counts(),
                hota: Hota::of(&Scene::new(&truth, &arm.told, true)),
                events: every.events.len() as u64,
                events_missed: missed,
                events_more: more,
                ..WayReport::default()
            };
            score::waits(&visits, &times, &arm.looked, way);
        }
        report
    }
}

/// What looks at a camera's luma planes.
pub(super) fn watch(options: &GateOptions) -> Watch {
    let motion = Some(MotionSettings { threshold: options.gate.threshold, hold: options.gate.hold });
    Watch::new(WatchSettings { motion, picture: PictureSettings::default() })
}

/// Whether a frame is still; without a picture nobody can tell.
pub(super) fn look(watch: &mut Watch, pixels: &Pixels, at: Duration) -> bool {
    let Some(picture) = pixels.host() else { return false };
    watch.look(Luma::of(picture), at).still
}

/// What was told, as the truth.
fn believed(told: &[Named]) -> Vec<Truth> {
    told.iter().map(|named| Truth { named: *named, worth: Worth::Counts }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_rules() {
        assert_eq!(rules().unwrap().cameras[0].rules.rules.len(), 5);
    }
}
