//! Pictures of one street after the other: what networks are calibrated on, and judged by.

use super::{Scene, SceneConfig, TimeOfDay, Truth};

/// Pictures of one street.
pub(crate) const PER_STREET: u64 = 4;
/// The first of them, and how many frames lie between two: four seconds at 15 frames per second.
const FIRST: u64 = 30;
const APART: u64 = 60;

impl SceneConfig {
    /// A street whose conditions follow from its seed: half of them at night, three in ten in rain, busy and quiet ones, better
    /// and worse sensors.
    pub fn mixed(seed: u64) -> Self {
        let lot = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let time = if lot.is_multiple_of(2) { TimeOfDay::Day } else { TimeOfDay::Night };
        let density = 0.4 + (lot / 20 % 100) as f32 / 100.0;
        let noise = (lot / 2000).is_multiple_of(3).then_some((lot / 6000 % 8) as f32);
        Self { seed, time, rain: lot / 2 % 10 < 3, density, noise, ..Self::default() }
    }
}

/// A picture of a street.
#[derive(Clone, Debug)]
pub struct Shot {
    /// The street.
    pub seed: u64,
    /// The frame's number in it.
    pub number: u64,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Tightly packed I420, as [`Scene::frame`] draws it.
    pub i420: Vec<u8>,
    /// What is in it.
    pub truth: Truth,
}

/// Streets from a first seed on, without end: four pictures of each, four seconds apart.
#[derive(Debug)]
pub struct Tour<F> {
    first: u64,
    config: F,
    taken: u64,
    scene: Option<Scene>,
}

impl<F: Fn(u64) -> SceneConfig> Tour<F> {
    /// Streets with the seeds `first`, `first + 1`, …, each as `config` has it of its seed.
    pub fn new(first: u64, config: F) -> Self {
        Self { first, config, taken: 0, scene: None }
    }
}

impl<F: Fn(u64) -> SceneConfig> Iterator for Tour<F> {
    type Item = Shot;

    fn next(&mut self) -> Option<Shot> {
        let (street, shot) = (self.first.wrapping_add(self.taken / PER_STREET), self.taken % PER_STREET);
        self.taken += 1;
        if shot == 0 {
            self.scene = Some(Scene::new((self.config)(street)));
        }
        let scene = self.scene.as_mut()?;
        let number = FIRST + shot * APART;
        let (i420, truth) = scene.frame(number);
        Some(Shot { seed: street, number, size: (scene.config().width, scene.config().height), i420, truth })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streets_follow_each_other_and_their_conditions_mix() {
        let small = |seed| SceneConfig { width: 64, height: 48, ..SceneConfig::mixed(seed) };
        let shots: Vec<Shot> = Tour::new(7, small).take(6).collect();
        let places: Vec<(u64, u64)> = shots.iter().map(|shot| (shot.seed, shot.number)).collect();
        assert_eq!(places, [(7, 30), (7, 90), (7, 150), (7, 210), (8, 30), (8, 90)]);
        assert_eq!(shots[5].i420, Scene::new(small(8)).frame(90).0);
        let night = (0..1000).filter(|seed| SceneConfig::mixed(*seed).time == TimeOfDay::Night).count();
        let rain = (0..1000).filter(|seed| SceneConfig::mixed(*seed).rain).count();
        assert!((450..550).contains(&night) && (250..350).contains(&rain), "{night}, {rain}");
    }
}
