//! From a drawn picture to what the sensor delivers: rain before the lens, noise, I420.

use super::{canvas::Canvas, dice::Dice};

/// Samples of noise that are drawn once and read from another place in every row.
const GRAIN: usize = 1 << 16;

/// The sensor: its noise, at one level.
#[derive(Debug)]
pub(super) struct Sensor {
    grain: Vec<i8>,
    silent: bool,
}

impl Sensor {
    /// A sensor whose luma noise has this standard deviation, in 8-bit steps.
    pub(super) fn new(seed: u64, deviation: f32) -> Self {
        let mut dice = Dice::new(seed, &[10]);
        let bell = |dice: &mut Dice| (0..4).map(|_| dice.unit() - 0.5).sum::<f32>() * 1.732;
        let grain = (0..GRAIN).map(|_| (bell(&mut dice) * deviation).round().clamp(-60.0, 60.0) as i8).collect();
        Self { grain, silent: deviation <= 0.0 }
    }

    fn grain(&self, dice: &mut Dice, length: usize) -> &[i8] {
        let from = if self.silent { 0 } else { (dice.bits() % (GRAIN - length.min(GRAIN - 1)) as u64) as usize };
        &self.grain[from..(from + length).min(GRAIN)]
    }

    /// Turns R'G'B' into I420, BT.601 with limited range, planes packed tightly: Y `[h,w]`, U and V `[⌈h/2⌉,⌈w/2⌉]`.
    pub(super) fn expose(&self, canvas: &Canvas, dice: &mut Dice, out: &mut Vec<u8>) {
        let (width, height) = (canvas.width, canvas.height);
        let (cw, ch) = (width.div_ceil(2), height.div_ceil(2));
        out.clear();
        out.resize(width * height + 2 * cw * ch, 0);
        let (luma, chroma) = out.split_at_mut(width * height);
        for (to, from) in luma.chunks_exact_mut(width).zip(canvas.pixels.chunks_exact(width)) {
            let grain = self.grain(dice, width);
            for ((to, [r, g, b, _]), noise) in to.iter_mut().zip(from).zip(grain.iter().cycle()) {
                let y = 66 * i32::from(*r) + 129 * i32::from(*g) + 25 * i32::from(*b);
                *to = (((y + 128) >> 8) + 16 + i32::from(*noise)).clamp(16, 235) as u8;
            }
        }
        let (us, vs) = chroma.split_at_mut(cw * ch);
        for (y, (us, vs)) in us.chunks_exact_mut(cw).zip(vs.chunks_exact_mut(cw)).enumerate() {
            let row = |dy: usize| {
                let at = (2 * y + dy).min(height - 1) * width;
                &canvas.pixels[at..at + width]
            };
            let (upper, lower) = (row(0), row(1));
            let grain = self.grain(dice, cw);
            for (x, (u, v)) in us.iter_mut().zip(vs.iter_mut()).enumerate() {
                let (left, right) = (2 * x, (2 * x + 1).min(width - 1));
                let sum = |i: usize| {
                    i32::from(upper[left][i])
                        + i32::from(upper[right][i])
                        + i32::from(lower[left][i])
                        + i32::from(lower[right][i])
                };
                let (r, g, b) = (sum(0), sum(1), sum(2));
                let noise = i32::from(grain[x % grain.len()]) / 2;
                *u = (((-38 * r - 74 * g + 112 * b + 512) >> 10) + 128 + noise).clamp(16, 240) as u8;
                *v = (((112 * r - 94 * g - 18 * b + 512) >> 10) + 128 - noise).clamp(16, 240) as u8;
            }
        }
    }
}

/// Streaks of falling rain, new ones in every frame.
pub(super) fn rain(canvas: &mut Canvas, dice: &mut Dice, night: bool) {
    canvas.pen = None;
    let (width, height) = (canvas.width as f32, canvas.height as f32);
    let colour = if night { [120, 122, 132] } else { [214, 218, 224] };
    let lean = 0.08;
    for _ in 0..130 {
        let (x, y) = (dice.between(0.0, width), dice.between(-0.1, 1.0) * height);
        let near = dice.unit();
        let (long, wide) = (height * (0.02 + 0.06 * near * near), height / 360.0 * (0.5 + 0.7 * near * near));
        let streak = [[x, y], [x + wide, y], [x + wide - lean * long, y + long], [x - lean * long, y + long]];
        canvas.convex(&streak, colour, 0.10 + 0.25 * near);
    }
}
