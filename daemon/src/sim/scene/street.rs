//! The street's plan and its light: what follows from the seed and stays for the whole scene.

use super::{
    SceneConfig, TimeOfDay,
    canvas::Rgb,
    dice::Dice,
    view::{V3, dot},
};

/// Half of a lane's distance between two of them: cars drive at `±LANE_M`.
pub(super) const LANE_M: f32 = 1.65;
/// From the middle to the parking lane or the kerb.
pub(super) const ROAD_HALF_M: f32 = 3.75;
/// How wide a parking lane is.
pub(super) const PARKING_M: f32 = 2.1;
/// The nearest and the farthest place where anything moves, along the street.
pub(super) const REACH_M: [f32; 2] = [-22.0, 118.0];

/// What stands along one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    Houses,
    Hedge,
}

#[derive(Clone, Debug)]
pub(super) struct Street {
    pub(super) seed: u64,
    pub(super) night: bool,
    pub(super) rain: bool,
    /// Traffic keeps to the right (or left) of the road.
    pub(super) keep_right: bool,
    /// Per side (0: x < 0, 1: x > 0).
    pub(super) parking: [bool; 2],
    pub(super) pavement_m: [f32; 2],
    pub(super) fronts: [Front; 2],
    /// Towards the sun, unit length; and how hard it shines (0: overcast or night).
    pub(super) sun: V3,
    pub(super) sunshine: f32,
    pub(super) lamps: Vec<V3>,
    lamp_colour: [f32; 3],
    ambient: [f32; 3],
    pub(super) sky: [[f32; 3]; 2],
    haze_m: f32,
}

/// A colour of 0..255 per channel, not yet rounded.
pub(super) fn rgb(colour: [f32; 3]) -> Rgb {
    colour.map(|c| c.clamp(0.0, 255.0) as u8)
}

impl Street {
    pub(super) fn draw(config: &SceneConfig) -> Self {
        let mut dice = Dice::new(config.seed, &[1]);
        let night = config.time == TimeOfDay::Night;
        let parking = [dice.chance(0.4), dice.chance(0.4)];
        let pavement_m = [dice.between(2.6, 4.4), dice.between(2.6, 4.4)];
        let front = |dice: &mut Dice| if dice.chance(0.75) { Front::Houses } else { Front::Hedge };
        let fronts = [front(&mut dice), front(&mut dice)];
        let (azimuth, height) = (dice.between(0.0, std::f32::consts::TAU), dice.between(0.6, 1.2));
        let sun = [azimuth.cos() * height.cos(), azimuth.sin() * height.cos(), height.sin()];
        let sunshine = if night || config.rain || dice.chance(0.25) { 0.0 } else { dice.between(0.55, 0.9) };
        let tint = dice.between(-0.06, 0.06);
        let (level, haze_m) = match (night, config.rain) {
            (true, rain) => (dice.between(0.24, 0.34), if rain { 110.0 } else { 220.0 }),
            (false, true) => (dice.between(0.8, 1.05), 120.0),
            (false, false) => (if sunshine > 0.0 { 0.78 } else { dice.between(0.95, 1.2) }, dice.between(200.0, 500.0)),
        };
        let blue = if night { 0.22 } else { 0.0 };
        let ambient = [level * (1.0 + tint - blue), level * (1.0 - blue * 0.6), level * (1.0 - tint)];
        let grey = dice.between(150.0, 205.0);
        let sky = match (night, sunshine > 0.0) {
            (true, _) => [[26.0, 27.0, 36.0], [12.0, 13.0, 20.0]],
            (false, true) => [[196.0, 212.0, 228.0], [104.0, 150.0, 206.0]],
            (false, false) => [[grey; 3], [grey * 0.86, grey * 0.89, grey * 0.93]],
        };
        let lamp_colour = dice.pick(&[[1.0, 0.72, 0.42], [1.0, 0.86, 0.66], [0.86, 0.93, 1.0]]);
        let mut street = Self {
            seed: config.seed,
            night,
            rain: config.rain,
            keep_right: dice.chance(0.8),
            parking,
            pavement_m,
            fronts,
            sun,
            sunshine,
            lamps: Vec::new(),
            lamp_colour,
            ambient,
            sky,
            haze_m,
        };
        let (step, first) = (dice.between(17.0, 24.0), dice.between(-16.0, -4.0));
        for i in 0..6 {
            let side = i % 2;
            let x = if side == 0 { -1.0 } else { 1.0 } * (street.kerb(side) - 1.1);
            street.lamps.push([x, first + step * i as f32, 5.9]);
        }
        street
    }

    /// From the middle of the road to the kerb.
    pub(super) fn kerb(&self, side: usize) -> f32 {
        ROAD_HALF_M + if self.parking[side] { PARKING_M } else { 0.0 }
    }

    /// From the middle of the road to the house fronts.
    pub(super) fn facade(&self, side: usize) -> f32 {
        self.kerb(side) + self.pavement_m[side]
    }

    /// Whether a house keeps the sun from a place.
    fn in_house_shade(&self, p: V3) -> bool {
        let side = usize::from(self.sun[0] > 0.0);
        let to_front = self.facade(side) - p[0].abs() * if (p[0] > 0.0) == (side == 1) { 1.0 } else { -1.0 };
        self.fronts[side] == Front::Houses && p[2] + to_front / self.sun[0].abs().max(0.02) * self.sun[2] < 6.5
    }

    /// The share of the sun that reaches a place.
    pub(super) fn sun_at(&self, p: V3) -> f32 {
        if self.sunshine == 0.0 || self.in_house_shade(p) { 0.0 } else { self.sunshine }
    }

    /// Light on a surface with this normal, per channel; 1 shows a colour as it is.
    pub(super) fn light(&self, p: V3, normal: V3) -> [f32; 3] {
        let from_above = 0.86 + 0.14 * normal[2];
        let sun = self.sun_at(p) * dot(normal, self.sun).max(0.0);
        let mut lamps = 0.0;
        if self.night {
            for lamp in &self.lamps {
                let d = [lamp[0] - p[0], lamp[1] - p[1], lamp[2] - p[2]];
                let square = dot(d, d);
                let facing = (dot(normal, d) / square.sqrt().max(0.1)).max(0.0) * 0.75 + 0.25;
                lamps += facing * 32.0 / (22.0 + square) * (1.0 - square / 900.0).max(0.0);
            }
        }
        let channel = |i: usize| self.ambient[i] * from_above + sun * [1.0, 0.95, 0.86][i] + lamps * self.lamp_colour[i];
        [channel(0), channel(1), channel(2)]
    }

    /// What the air makes of a colour at a distance.
    pub(super) fn through_air(&self, colour: [f32; 3], depth_m: f32) -> [f32; 3] {
        let share = 1.0 - (-depth_m / self.haze_m).exp();
        let air = self.sky[0];
        let mix = |i: usize| colour[i] + (air[i] - colour[i]) * share;
        [mix(0), mix(1), mix(2)]
    }
}
