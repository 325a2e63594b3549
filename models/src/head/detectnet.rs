//! The head of DetectNet_v2 of NVIDIA TAO (PeopleNet, TrafficCamNet, DashCamNet), as its own post-processing reads it up to the
//! clustering, for which suppression stands (DeepStream's `cluster-mode=2`).
//!
//! With the cell's column and row `(gx, gy)`, its point is `(gx·stride+offset, gy·stride+offset)`; the four planes of a class are the
//! distances from it to the left, top, right and bottom edge in units of `scale` pixels.

use super::{
    error::At,
    forms::{Dim, Form, role},
    grid,
    picture::{Picture, Work, clipped},
    table::{improbable, probable},
};

pub(super) struct DetectNet {
    stride: usize,
    scale: f32,
    offset: f32,
    input: (usize, usize),
    classes: usize,
}

impl DetectNet {
    pub(super) fn new(stride: usize, scale: f32, offset: f32, input: (usize, usize), classes: usize) -> Result<Self, String> {
        grid::check(&[stride], input)?;
        if !(scale.is_finite() && scale > 0.0 && offset.is_finite()) {
            return Err(format!("scale is a number above 0 and offset a number, not {scale} and {offset}"));
        }
        Ok(Self { stride, scale, offset, input, classes })
    }

    fn grid(&self) -> (usize, usize) {
        grid::size(self.stride, self.input, true)
    }

    pub(super) fn forms(&self) -> Vec<Form> {
        let (columns, rows) = self.grid();
        let planes = |count: usize| [count, rows, columns].map(Dim::Is);
        vec![vec![role("coverage", planes(self.classes)), role("edges", planes(4 * self.classes))]]
    }

    pub(super) fn read(&self, picture: &Picture<'_>, work: &mut Work) -> Result<(), At> {
        let [coverage, edges] = picture.outputs else { return Ok(()) };
        let (columns, rows) = self.grid();
        let cells = columns * rows;
        let point = |i: usize| (i * self.stride) as f32 + self.offset;
        let size = (self.input.0 as f32, self.input.1 as f32);
        for (i, &score) in coverage.data.iter().enumerate() {
            let (class, cell) = (i / cells, i % cells);
            if !probable(score) {
                return Err(improbable(score).at(0, i));
            }
            if picture.gate.passes(class as u16, score) {
                let edge = |k: usize| edges.data[(4 * class + k) * cells + cell] * self.scale;
                let (x, y) = (point(cell % columns), point(cell / columns));
                let bbox = [x - edge(0), y - edge(1), x + edge(2), y + edge(3)];
                let mut candidate = picture.candidate(1, i, (class as u16, score), bbox)?;
                candidate.bbox = clipped(candidate.bbox, size);
                work.candidates.push(candidate);
            }
        }
        Ok(())
    }
}
