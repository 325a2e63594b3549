//! The view of a camera as it always was: the edges of its coarse picture, remembered for long.

use super::grid::slopes;

/// Widest shift that is looked for, in cells.
const REACH: isize = 6;

/// Strength of the edges of a field `[rows, columns]`: what light changes little and weather not at all.
pub(super) fn strengths(field: &[f32], columns: usize, out: &mut Vec<f32>) {
    out.clear();
    out.extend((0..field.len()).map(|i| {
        let (right, down) = slopes(field, columns, i % columns, i);
        // The root keeps the few strongest edges from being all that counts.
        (right.abs() + down.abs()).sqrt()
    }));
}

/// How alike two fields of edges are, -1..1 (normalised cross-correlation), the second one shifted by so many cells.
pub(super) fn alike(a: &[f32], b: &[f32], columns: usize, (right, down): (isize, isize)) -> f32 {
    let rows = a.len() / columns.max(1);
    let span = |length: usize, shift: isize| {
        let start = shift.max(0) as usize;
        start..(length as isize + shift.min(0)).max(0) as usize
    };
    let (mut n, mut sum, mut square) = (0.0_f32, [0.0_f32; 2], [0.0_f32; 3]);
    for y in span(rows, down) {
        for x in span(columns, right) {
            let first = a[y * columns + x];
            let second = b[(y as isize - down) as usize * columns + (x as isize - right) as usize];
            n += 1.0;
            sum[0] += first;
            sum[1] += second;
            square[0] += first * first;
            square[1] += second * second;
            square[2] += first * second;
        }
    }
    if n == 0.0 {
        return 0.0;
    }
    let covariance = |square: f32, a: f32, b: f32| square / n - a * b / (n * n);
    let (one, other) = (covariance(square[0], sum[0], sum[0]), covariance(square[1], sum[1], sum[1]));
    // Views without edges are alike in nothing.
    if one.min(other) < 0.01 { 0.0 } else { covariance(square[2], sum[0], sum[1]) / (one * other).sqrt() }
}

/// The likeness at the best shift, other than none.
pub(super) fn alike_elsewhere(a: &[f32], b: &[f32], columns: usize) -> f32 {
    let shifts = (-REACH..=REACH).flat_map(|down| (-REACH..=REACH).map(move |right| (right, down)));
    shifts.filter(|shift| *shift != (0, 0)).map(|shift| alike(a, b, columns, shift)).fold(0.0, f32::max)
}
