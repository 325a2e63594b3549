//! Cameras of the simulator's streets, whose truth is known.

use std::time::Duration;

use super::{Camera, GateOptions, GateReport, Shown};
use crate::{
    gate::Luma,
    media::BBox,
    sim::scene::{Scene, SceneConfig, TimeOfDay, TruthObject},
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

/// Half of the cameras by night, every third one in rain; the busy ones and the idle ones apart.
pub fn scenes(options: &GateOptions, scenes: &Scenes) -> [GateReport; 2] {
    let mut reports = ["busy streets", "idle streets"].map(|name| GateReport { name: name.to_owned(), ..GateReport::default() });
    for number in 0..scenes.cameras {
        let idle = !number.is_multiple_of(4);
        let config = SceneConfig {
            seed: scenes.seed + number,
            time: if number.is_multiple_of(2) { TimeOfDay::Day } else { TimeOfDay::Night },
            rain: number % 3 == 2,
            density: if idle { scenes.idle } else { 1.0 },
            // A running clock is motion; on real cameras a mask hides it.
            clock: false,
            ..SceneConfig::default()
        };
        reports[usize::from(idle)].add(&street(options, config, scenes.seconds));
    }
    reports
}

fn street(options: &GateOptions, config: SceneConfig, seconds: u64) -> GateReport {
    let (width, height, fps) = (config.width as usize, config.height as usize, u64::from(config.fps));
    let (mut scene, mut camera, mut bytes) = (Scene::new(config), Camera::new(options), Vec::new());
    for number in 0..seconds * fps {
        let truth = scene.frame_into(number, &mut bytes);
        let shown: Vec<Shown> = truth.objects.iter().filter_map(shown).collect();
        let luma = Luma { samples: &bytes, stride: width, width, height };
        camera.take(luma, Duration::from_secs_f64(number as f64 / fps as f64), &shown);
    }
    camera.report(String::new())
}

/// What shows well enough that a network should see it.
fn shown(object: &TruthObject) -> Option<Shown> {
    let [x1, y1, x2, y2] = object.visible_box;
    let clear = object.visible >= 0.5 && object.inside >= 0.5 && y2 - y1 >= SMALLEST;
    clear.then(|| Shown { id: object.id, bbox: BBox::new(x1 as f32, y1 as f32, x2 as f32, y2 as f32) })
}
