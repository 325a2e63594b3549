//! Which source samples an output pixel is made of, and by what weights.

use super::fit::Axis;

/// Bilinear taps of one axis pair. Horizontally the two taps of a plane are always neighbours, so that one load fetches both.
#[derive(Debug, Default)]
pub(super) struct Taps {
    /// Per output column.
    pub(super) luma: Vec<Column>,
    /// Per output column.
    pub(super) chroma: Vec<Column>,
    /// Weights of the right one of each pair of columns; separate so that they load as vectors.
    pub(super) luma_weight: Vec<f32>,
    /// See [`Self::luma_weight`].
    pub(super) chroma_weight: Vec<f32>,
    /// Per output row.
    pub(super) rows: Vec<Row>,
    /// Where the first output column goes.
    pub(super) left: usize,
    /// Where the first output row goes.
    pub(super) top: usize,
}

/// Index of the left one of two neighbouring samples.
pub(super) type Column = u32;

/// The two source rows of an output row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) luma: (usize, usize),
    pub(super) chroma: (usize, usize),
    /// Weight of the lower one in 1/256: off by at most 1/512 of the rows' difference, where the published resize rounds to whole
    /// levels.
    pub(super) weight: u16,
}

impl Taps {
    /// Sets the taps that scale the axes of a rectangle of a frame. Memory is reused.
    pub(super) fn set(&mut self, [x, y]: [Axis; 2], frame: (usize, usize)) {
        let chroma_width = frame.0.div_ceil(2);
        self.luma.clear();
        self.luma_weight.clear();
        self.chroma.clear();
        self.chroma_weight.clear();
        self.rows.clear();
        for out in 0..x.drawn {
            let (left, right, weight) = tap(out, &x);
            let (column, adjusted) = neighbours(left, right, weight, frame.0);
            self.luma.push(column);
            self.luma_weight.push(adjusted);
            let (column, adjusted) = neighbours(left / 2, right / 2, weight, chroma_width);
            self.chroma.push(column);
            self.chroma_weight.push(adjusted);
        }
        for out in 0..y.drawn {
            let (upper, lower, weight) = tap(out, &y);
            self.rows.push(Row { luma: (upper, lower), chroma: (upper / 2, lower / 2), weight: (weight * 256.0).round() as u16 });
        }
        (self.left, self.top) = (x.at, y.at);
    }
}

/// The two samples of an output position and the weight of the second: pixel centres at one half, edges repeated.
fn tap(out: usize, axis: &Axis) -> (usize, usize, f32) {
    let Axis { start, len, .. } = *axis;
    let position = ((out + axis.cut) as f64 + 0.5) * (len as f64 / axis.scaled as f64) - 0.5;
    let last = len - 1;
    if position <= 0.0 {
        return (start, start, 0.0);
    }
    let first = position as usize;
    if first >= last {
        return (start + last, start + last, 0.0);
    }
    (start + first, start + first + 1, (position - first as f64) as f32)
}

/// The same as a pair of neighbours of a row of `len` samples. (In a row of one sample both are that one.)
fn neighbours(left: usize, right: usize, weight: f32, len: usize) -> (Column, f32) {
    let weight = if left == right { 0.0 } else { weight };
    if left + 1 < len || len == 1 { (left as Column, weight) } else { (left as Column - 1, 1.0) }
}
