//! Luma planes drawn for the tests: a street-like texture with light, noise, rain, shakes and walkers.

use super::grid::Luma;

pub(super) const WIDTH: usize = 640;
pub(super) const HEIGHT: usize = 360;

/// What is drawn over the texture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sky {
    pub(super) gain: f32,
    pub(super) offset: f32,
    /// Standard deviation of the noise, about.
    pub(super) noise: f32,
    /// Streaks of rain.
    pub(super) rain: usize,
    /// In pixels.
    pub(super) shift: (f32, f32),
    /// Half the width of the blur in pixels.
    pub(super) blur: usize,
}

impl Default for Sky {
    fn default() -> Self {
        Self { gain: 1.0, offset: 0.0, noise: 2.0, rain: 0, shift: (0.0, 0.0), blur: 0 }
    }
}

/// An upright block of a person's proportions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walker {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) width: f32,
    pub(super) height: f32,
    /// Difference from what is behind it.
    pub(super) contrast: f32,
}

/// The same numbers for the same seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end
    }
}

/// Draws pictures into one buffer.
pub(super) struct Easel {
    texture: Vec<f32>,
    soft: Vec<f32>,
    samples: Vec<u8>,
    blurred: usize,
}

impl Easel {
    /// `seed` decides the place.
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed + 77);
        let mut texture: Vec<f32> = (0..WIDTH * HEIGHT).map(|i| 60.0 + 80.0 * (i / WIDTH) as f32 / HEIGHT as f32).collect();
        // Houses, windows, lanes: blocks with hard edges.
        for size in [160, 90, 40, 20, 10] {
            for _ in 0..4000 / (size * 2) {
                let (w, h) = (size / 2 + dice.below(size), size / 2 + dice.below(size));
                let (x, y, level) = (dice.below(WIDTH), dice.below(HEIGHT), 30.0 + dice.below(170) as f32);
                for row in y..(y + h).min(HEIGHT) {
                    texture[row * WIDTH + x..row * WIDTH + (x + w).min(WIDTH)].fill(level);
                }
            }
        }
        Self { soft: texture.clone(), texture, samples: vec![0; WIDTH * HEIGHT], blurred: 0 }
    }

    fn blur(&mut self, half: usize) {
        if self.blurred == half {
            return;
        }
        self.blurred = half;
        self.soft.clone_from(&self.texture);
        // Two boxes each way make a disc's like.
        for _ in 0..2 {
            for (stride, count, lines, next) in [(1, WIDTH, HEIGHT, WIDTH), (WIDTH, HEIGHT, WIDTH, 1)] {
                for line in 0..lines {
                    let at = |i: usize| line * next + i * stride;
                    let row: Vec<f32> = (0..count).map(|i| self.soft[at(i)]).collect();
                    for i in 0..count {
                        let span = &row[i.saturating_sub(half)..(i + half + 1).min(count)];
                        self.soft[at(i)] = span.iter().sum::<f32>() / span.len() as f32;
                    }
                }
            }
        }
    }

    /// A picture; `seed` decides noise and rain.
    pub(super) fn draw(&mut self, sky: &Sky, walkers: &[Walker], seed: u64) -> Luma<'_> {
        self.blur(sky.blur);
        let mut dice = Dice::new(seed);
        let (sx, sy) = (sky.shift.0.floor(), sky.shift.1.floor());
        let (fx, fy) = (sky.shift.0 - sx, sky.shift.1 - sy);
        let index = |v: isize, end: usize| v.clamp(0, end as isize - 1) as usize;
        for y in 0..HEIGHT {
            let (y0, y1) = (index(y as isize - sy as isize, HEIGHT), index(y as isize - sy as isize - 1, HEIGHT));
            for x in 0..WIDTH {
                let (x0, x1) = (index(x as isize - sx as isize, WIDTH), index(x as isize - sx as isize - 1, WIDTH));
                let at = |x: usize, y: usize| self.soft[y * WIDTH + x];
                let upper = at(x0, y0) * (1.0 - fx) + at(x1, y0) * fx;
                let lower = if fy > 0.0 { at(x0, y1) * (1.0 - fx) + at(x1, y1) * fx } else { upper };
                let mut value = upper * (1.0 - fy) + lower * fy;
                for walker in walkers {
                    let inside = |at: f32, from: f32, size: f32| (at + 1.0 - from).min(from + size - at).clamp(0.0, 1.0);
                    value +=
                        walker.contrast * inside(x as f32, walker.x, walker.width) * inside(y as f32, walker.y, walker.height);
                }
                let bits = dice.next();
                let noise = ((bits & 0xff) + (bits >> 8 & 0xff) + (bits >> 16 & 0xff) + (bits >> 24 & 0xff)) as f32 - 510.0;
                let value = sky.gain * value + sky.offset + sky.noise * noise / 147.8;
                self.samples[y * WIDTH + x] = value.clamp(16.0, 235.0) as u8;
            }
        }
        for _ in 0..sky.rain {
            let (x, y, length) = (dice.below(WIDTH), dice.below(HEIGHT), 10 + dice.below(15));
            for row in y..(y + length).min(HEIGHT) {
                let sample = &mut self.samples[row * WIDTH + x];
                *sample = sample.saturating_add(45).min(235);
            }
        }
        Luma { samples: &self.samples, stride: WIDTH, width: WIDTH, height: HEIGHT, every: 1 }
    }
}
