//! What never moves: sky, house fronts, pavements and the road, cast ray by ray once per scene.

use super::{
    canvas::Canvas,
    dice::{Dice, mix, speckle},
    street::{Front, ROAD_HALF_M, Street, rgb},
    view::{V3, View},
};

/// Rays per pixel, each way.
const RAYS: usize = 2;

/// Smooth noise in 0..1.
fn cloud(seed: u64, x: f32, y: f32) -> f32 {
    let (ix, iy) = (x.floor(), y.floor());
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (fx, fy) = (ease(x - ix), ease(y - iy));
    let at = |dx: i32, dy: i32| speckle(seed, ix as i32 + dx, iy as i32 + dy);
    let low = at(0, 0) + (at(1, 0) - at(0, 0)) * fx;
    let high = at(0, 1) + (at(1, 1) - at(0, 1)) * fx;
    low + (high - low) * fy
}

/// Colours of one scene's surfaces.
pub(super) struct Backdrop<'a> {
    street: &'a Street,
    asphalt: f32,
    paving: [f32; 3],
    tile_m: f32,
    zebra: Option<f32>,
}

impl<'a> Backdrop<'a> {
    pub(super) fn new(street: &'a Street) -> Self {
        let mut dice = Dice::new(street.seed, &[2]);
        let grey = dice.between(105.0, 165.0);
        Self {
            street,
            asphalt: dice.between(62.0, 104.0),
            paving: [grey * dice.between(1.0, 1.12), grey, grey * dice.between(0.84, 1.0)],
            tile_m: dice.between(0.4, 0.9),
            zebra: dice.chance(0.4).then(|| dice.between(9.0, 26.0)),
        }
    }

    pub(super) fn paint(&self, view: &View, canvas: &mut Canvas) {
        let width = canvas.width;
        for (i, pixel) in canvas.pixels.iter_mut().enumerate() {
            let (x, y) = ((i % width) as f32, (i / width) as f32);
            let mut sum = [0.0; 3];
            for ray in 0..RAYS * RAYS {
                let step = |n: usize| (n as f32 + 0.5) / RAYS as f32;
                let colour = self.cast(view.pos, view.ray(x + step(ray % RAYS), y + step(ray / RAYS)));
                sum.iter_mut().zip(colour).for_each(|(s, c)| *s += c.min(255.0));
            }
            let [r, g, b] = rgb(sum.map(|s| s / (RAYS * RAYS) as f32));
            *pixel = [r, g, b, 255];
        }
    }

    /// The colour where a ray ends.
    fn cast(&self, from: V3, ray: V3) -> [f32; 3] {
        let point = |t: f32| [from[0] + ray[0] * t, from[1] + ray[1] * t, from[2] + ray[2] * t];
        let ground = if ray[2] < -1e-4 { -from[2] / ray[2] } else { f32::MAX };
        let side = usize::from(ray[0] > 0.0);
        let sign = if side == 1 { 1.0 } else { -1.0 };
        let wall = if ray[0].abs() > 1e-4 { (self.street.facade(side) * sign - from[0]) / ray[0] } else { f32::MAX };
        if wall < ground && wall < 400.0 {
            let p = point(wall);
            let normal = [-sign, 0.0, 0.0];
            if let Some((colour, glows)) = self.front(side, p, wall) {
                let light = self.street.light([p[0] - 0.05 * sign, p[1], p[2]], normal);
                let lit = |i: usize| if glows { colour[i] } else { colour[i] * light[i] };
                return self.street.through_air([lit(0), lit(1), lit(2)], wall);
            }
        }
        if ground < 600.0 {
            let p = point(ground);
            let colour = self.ground(p, ground);
            let light = self.street.light(p, [0.0, 0.0, 1.0]);
            return self.street.through_air([colour[0] * light[0], colour[1] * light[1], colour[2] * light[2]], ground);
        }
        self.sky(ray)
    }

    fn sky(&self, ray: V3) -> [f32; 3] {
        let across = (ray[0] * ray[0] + ray[1] * ray[1]).sqrt();
        let height = ray[2] / across.max(0.01);
        let angle = ray[0].atan2(ray[1]);
        let trees =
            0.02 + 0.05 * cloud(self.street.seed ^ 7, angle * 14.0, 0.0) + 0.02 * cloud(self.street.seed ^ 8, angle * 70.0, 0.0);
        if height < trees {
            let tone = if self.street.night { 0.22 } else { 1.0 };
            let leaf = 0.8 + 0.4 * cloud(self.street.seed ^ 9, angle * 160.0, height * 160.0);
            return self.street.through_air([70.0 * tone * leaf, 88.0 * tone * leaf, 62.0 * tone * leaf], 120.0);
        }
        let up = (height * 2.2).clamp(0.0, 1.0);
        let drift = 1.0 + 0.10 * (cloud(self.street.seed ^ 0xa, angle * 5.0, height * 9.0) - 0.5);
        let mix = |i: usize| (self.street.sky[0][i] + (self.street.sky[1][i] - self.street.sky[0][i]) * up) * drift;
        [mix(0), mix(1), mix(2)]
    }

    /// A house front or hedge at a place on its plane; `None` above it. The flag: it shines by itself.
    fn front(&self, side: usize, p: V3, far: f32) -> Option<([f32; 3], bool)> {
        let seed = self.street.seed ^ (side as u64 + 11);
        if self.street.fronts[side] == Front::Hedge {
            let top = 1.3 + 0.5 * cloud(seed, p[1] * 0.7, 0.0);
            let leaf = 0.7 + 0.6 * cloud(seed, p[1] * 5.0, p[2] * 5.0);
            return (p[2] < top).then_some(([62.0 * leaf, 84.0 * leaf, 48.0 * leaf], false));
        }
        let plot_m = 11.0;
        let plot = (p[1] / plot_m).floor();
        let mut dice = Dice::new(seed, &[plot as i64 as u64]);
        let storeys = dice.between(2.0, 5.99).floor();
        let storey_m = dice.between(2.8, 3.4);
        if p[2] > storeys * storey_m + 0.7 {
            return None;
        }
        let base = dice.between(105.0, 205.0);
        let wall = [base * dice.between(0.94, 1.1), base * dice.between(0.86, 1.0), base * dice.between(0.72, 0.98)];
        let columns = dice.between(3.0, 5.99).floor();
        let (u, v) = ((p[1] / plot_m - plot) * columns, (p[2] - 0.1) / storey_m);
        let (column, storey) = (u.floor(), v.floor());
        let window = mix(seed ^ ((plot as i64 as u64) << 20) ^ ((column as u64) << 8) ^ storey as u64);
        let (fu, fv) = (u - column, v - storey);
        let shop = storey == 0.0 && dice.chance(0.35);
        let rough = if far < 60.0 { 0.94 + 0.12 * cloud(seed, p[1] * 3.0, p[2] * 3.0) } else { 1.0 };
        if storey == 0.0 && window.is_multiple_of(4) && (0.3..0.62).contains(&fu) && fv < 0.72 {
            let tone = 40.0 + (window >> 8 & 63) as f32;
            return Some(([tone * 1.1, tone, tone * 0.8], false));
        }
        let frame = if shop { 0.08 } else { 0.24 };
        if (frame..1.0 - frame).contains(&fu) && (if shop { 0.15 } else { 0.32 }..0.82).contains(&fv) && storey < storeys {
            let lit = self.street.night && (window >> 16).is_multiple_of(if shop { 2 } else { 4 });
            let pane = (fu - 0.5).abs() < 0.02 || (fu - frame).min(1.0 - frame - fu) < 0.03;
            let glass = 46.0 + (window >> 24 & 31) as f32 + 26.0 * fv;
            return Some(match (pane, lit) {
                (true, _) => ([208.0, 206.0, 200.0], false),
                (_, true) => ([214.0, 178.0, 118.0].map(|c| c * (0.55 + 0.3 * fv)), true),
                (_, false) => ([glass * 0.86, glass * 0.98, glass * 1.1], false),
            });
        }
        let ledge = if fv < 0.05 && storey > 0.0 { 0.82 } else { 1.0 };
        Some((wall.map(|c| c * rough * ledge), false))
    }

    fn ground(&self, p: V3, far: f32) -> [f32; 3] {
        let (seed, across) = (self.street.seed, p[0].abs());
        let side = usize::from(p[0] > 0.0);
        let (kerb, facade) = (self.street.kerb(side), self.street.facade(side));
        let fine = if far < 45.0 { cloud(seed ^ 0x15, p[0] * 9.0, p[1] * 9.0) } else { 0.5 };
        let stain = cloud(seed ^ 0x16, p[0] * 0.6, p[1] * 0.35);
        let wet = if self.street.rain { 0.74 } else { 1.0 };
        if across < kerb {
            let line = self.marking(p, kerb);
            let tone = (self.asphalt + 22.0 * (fine - 0.5) + 20.0 * (stain - 0.5)) * wet;
            return if line { [188.0 * wet.sqrt(), 188.0 * wet.sqrt(), 182.0 * wet.sqrt()] } else { [tone, tone, tone * 1.03] };
        }
        if across < kerb + 0.16 {
            return [150.0 * wet, 148.0 * wet, 142.0 * wet];
        }
        if across < facade {
            let (a, b) = (p[0] / self.tile_m, p[1] / self.tile_m);
            let joint = far < 30.0 && ((a - a.floor()) < 0.06 || (b - b.floor()) < 0.06);
            let tile = speckle(seed ^ 0x17, a.floor() as i32, b.floor() as i32);
            let tile = if far < 50.0 { tile } else { 0.5 };
            let tone = (1.0 + 0.14 * (tile - 0.5) + 0.12 * (fine - 0.5) + 0.14 * (stain - 0.5)) * wet;
            return self.paving.map(|c| c * tone * if joint { 0.8 } else { 1.0 });
        }
        let leaf = 0.75 + 0.5 * fine;
        [86.0 * leaf, 104.0 * leaf, 62.0 * leaf]
    }

    /// Whether paint covers the road here.
    fn marking(&self, p: V3, kerb: f32) -> bool {
        let across = p[0].abs();
        let dash = (p[1] / 6.0).rem_euclid(1.0) < 0.5;
        if let Some(zebra) = self.zebra
            && (zebra..zebra + 3.0).contains(&p[1])
        {
            return (p[0] / 1.0).rem_euclid(1.0) < 0.5;
        }
        let parking = kerb > ROAD_HALF_M
            && ((across - ROAD_HALF_M).abs() < 0.06 || (across > ROAD_HALF_M && (p[1] / 5.6).rem_euclid(1.0) < 0.02));
        (across < 0.07 && dash) || parking
    }
}
