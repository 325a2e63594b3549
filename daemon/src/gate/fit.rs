//! How the whole picture differs from its background: light (a gain and an offset) and a shake of the camera (a small shift).

use super::grid::slopes;

/// Passes of the fit: the first takes all cells in, the later ones leave out what does not go along.
const PASSES: usize = 3;
/// One cell in this many takes part.
const STEP: usize = 5;
/// Fewer cells than this say nothing about the whole picture.
const FEWEST: usize = 24;
/// Largest shake that is believed, in cells.
const REACH: f32 = 0.75;
/// A picture with less contrast than this (variance of its cells) has no gain, only an offset.
const FLAT: f32 = 9.0;
/// Differences below this always belong to the whole picture.
const NEAR: f32 = 2.0;

/// What happened to the whole picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Whole {
    pub(super) gain: f32,
    pub(super) offset: f32,
    /// In cells, to the right and down.
    pub(super) shift: (f32, f32),
}

impl Whole {
    pub(super) const SAME: Self = Self { gain: 1.0, offset: 0.0, shift: (0.0, 0.0) };

    /// What the light makes of a cell of the background.
    pub(super) fn light(&self, background: f32) -> f32 {
        (self.gain * background + self.offset).clamp(0.0, 255.0)
    }

    /// What the shake adds, from the slopes of the background.
    pub(super) fn shake(&self, (right, down): (f32, f32)) -> f32 {
        -(self.shift.0 * right + self.shift.1 * down) * self.gain
    }

    /// How far off [`Self::shake`] may be, from the steps of the background: edges may lie anywhere in a cell.
    pub(super) fn blur(&self, (across, down): (f32, f32)) -> f32 {
        (self.shift.0.abs() * across + self.shift.1.abs() * down) * self.gain
    }
}

/// Fits `now ≈ gain·background + offset`, shifted, by least squares over a fifth of the cells, trimmed: what moves is left out.
pub(super) fn fit(background: &[f32], now: &[f32], columns: usize) -> Whole {
    let mut whole = Whole::SAME;
    let mut limit = f32::INFINITY;
    for pass in 0..PASSES {
        let mut sums = Sums::default();
        for row in 0..background.len() / columns.max(1) {
            for x in ((row % STEP)..columns).step_by(STEP) {
                let i = row * columns + x;
                let slopes = slopes(background, columns, x, i);
                let rest = now[i] - whole.light(background[i]) - whole.shake(slopes);
                // Samples at the ends of the scale do not follow the light.
                if pass == 0 || (rest.abs() <= limit && (2.0..253.0).contains(&now[i])) {
                    sums.add(background[i], slopes, now[i], rest);
                }
            }
        }
        if sums.count < FEWEST as f32 {
            return if pass == 0 { Whole::SAME } else { whole };
        }
        whole = sums.solve();
        limit = (1.5 * sums.rest / sums.count).max(NEAR);
        if pass == 0 {
            // The rests of the first pass were taken before anything was known.
            limit = limit.max(mean_rest(background, now, columns, &whole) * 1.5);
        }
    }
    whole
}

fn mean_rest(background: &[f32], now: &[f32], columns: usize, whole: &Whole) -> f32 {
    let cells = (0..background.len()).step_by(STEP * 2 + 1);
    let (sum, count) = cells.fold((0.0, 0.0), |(sum, count), i| {
        let rest = now[i] - whole.light(background[i]) - whole.shake(slopes(background, columns, i % columns, i));
        (sum + rest.abs(), count + 1.0)
    });
    sum / f32::max(count, 1.0)
}

/// The normal equations of the unknowns (gain, shift right, shift down), the means taken out.
#[derive(Default)]
struct Sums {
    count: f32,
    mean: [f32; 4],
    square: [[f32; 4]; 4],
    rest: f32,
}

impl Sums {
    fn add(&mut self, background: f32, (right, down): (f32, f32), now: f32, rest: f32) {
        let values = [background - 128.0, -right, -down, now - 128.0];
        self.count += 1.0;
        self.rest += rest.abs();
        for (i, a) in values.iter().enumerate() {
            self.mean[i] += a;
            for (j, b) in values.iter().enumerate().skip(i) {
                self.square[i][j] += a * b;
            }
        }
    }

    fn covariance(&self, i: usize, j: usize) -> f32 {
        let (i, j) = (i.min(j), i.max(j));
        (self.square[i][j] - self.mean[i] * self.mean[j] / self.count) / self.count
    }

    fn solve(&self) -> Whole {
        let c = |i, j| self.covariance(i, j);
        // A little of everything on the diagonal: where the picture shows nothing, nothing is concluded.
        let ridge = |i| c(i, i) + 1.0;
        let flat = c(0, 0) < FLAT;
        // Gain apart from the shift first: they hardly speak of the same thing.
        let gain = if flat { 1.0 } else { (c(0, 3) / c(0, 0)).clamp(0.25, 4.0) };
        let (right, down) = (c(1, 3) - gain * c(0, 1), c(2, 3) - gain * c(0, 2));
        let determinant = ridge(1) * ridge(2) - c(1, 2) * c(1, 2);
        let shift = if determinant > 1e-6 {
            ((right * ridge(2) - down * c(1, 2)) / determinant, (down * ridge(1) - right * c(1, 2)) / determinant)
        } else {
            (0.0, 0.0)
        };
        // Slopes scale with the gain.
        let shift = ((shift.0 / gain).clamp(-REACH, REACH), (shift.1 / gain).clamp(-REACH, REACH));
        let mean = |i: usize| self.mean[i] / self.count;
        let offset = (mean(3) + 128.0) - gain * (mean(0) + 128.0) - gain * (shift.0 * mean(1) + shift.1 * mean(2));
        Whole { gain, offset, shift }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COLUMNS: usize = 40;

    fn scene(x: f32, y: f32) -> f32 {
        110.0 + 40.0 * (x * 0.31).sin() + 30.0 * (y * 0.43 + x * 0.11).cos() + 12.0 * (x * 0.9 + y * 0.7).sin()
    }

    fn field(shift: (f32, f32)) -> Vec<f32> {
        let at = |i: usize| scene((i % COLUMNS) as f32 - shift.0, (i / COLUMNS) as f32 - shift.1);
        (0..COLUMNS * 24).map(at).collect()
    }

    proptest! {
        #[test]
        fn light_and_shake_are_found(gain in 0.5_f32..1.4, offset in -20_f32..20.0, right in -0.4_f32..0.4, down in -0.4_f32..0.4) {
            let now: Vec<f32> = field((right, down)).iter().map(|v| gain * v + offset).collect();
            let whole = fit(&field((0.0, 0.0)), &now, COLUMNS);
            prop_assert!((whole.gain - gain).abs() < 0.08, "{whole:?}");
            prop_assert!((whole.light(110.0) - (gain * 110.0 + offset)).abs() < 4.0, "{whole:?}");
            prop_assert!((whole.shift.0 - right).abs() < 0.15 && (whole.shift.1 - down).abs() < 0.15, "{whole:?}");
        }

        #[test]
        fn what_moves_is_left_out(x in 0_usize..28, y in 0_usize..16, level in 0_f32..255.0) {
            let background = field((0.0, 0.0));
            let mut now = background.clone();
            for row in y..y + 8 {
                now[row * COLUMNS + x..][..12].fill(level);
            }
            let whole = fit(&background, &now, COLUMNS);
            for value in [70.0, 110.0, 170.0] {
                prop_assert!((whole.light(value) - value).abs() < 2.5, "{whole:?}");
            }
        }
    }

    #[test]
    fn a_flat_picture_has_an_offset_alone() {
        let whole = fit(&[80.0; COLUMNS * 24], &[120.0; COLUMNS * 24], COLUMNS);
        assert!((whole.offset - 40.0).abs() < 1e-3 && (whole.gain - 1.0).abs() < 1e-6, "{whole:?}");
        assert_eq!(fit(&[], &[], 0), Whole::SAME);
    }
}
