//! The heads that tell the distances to a box's edges as distributions (Generalized Focal Loss, Li et al. 2020, arXiv:2006.04388):
//! NanoDet, NanoDet-Plus and PP-PicoDet.
//!
//! For each edge there are `reg_max+1` logits; the expectation of their softmax over 0..=reg_max, times the stride, is the distance
//! from the prediction's point. A prediction becomes a candidate of every class whose score is enough.

use super::{
    error::{At, Fault},
    forms::{Dim, Form, role},
    grid::{self, Cell},
    picture::{Picture, View, Work, clipped},
    ssd::softmax,
    table::{improbable, probable},
};

const MAX_REG: usize = 256;

pub(super) struct Distribution {
    strides: Vec<usize>,
    cells: Vec<Cell>,
    bins: usize,
    /// Where in its cell a point lies.
    point: f32,
    /// Whether boxes are cut at the picture's edge, as NanoDet's are.
    clip: bool,
    input: (usize, usize),
    classes: usize,
}

/// Which ways to export there are.
#[derive(Clone, Copy, PartialEq)]
enum Export {
    /// One output `[N,A,C+4·bins]`.
    Joined,
    /// Per grid scores `[N,cells,C]`, then per grid edges `[N,cells,4·bins]`.
    Split,
    /// Decoded boxes `[N,A,4]` and scores `[N,C,A]`.
    Decoded,
}

impl Distribution {
    /// NanoDet's.
    pub(super) fn nanodet(
        strides: &[usize],
        reg_max: usize,
        point: f32,
        input: (usize, usize),
        classes: usize,
    ) -> Result<Self, String> {
        if !(0.0..=1.0).contains(&point) {
            return Err(format!("a point lies in its cell, 0..1, not at {point}"));
        }
        Self::new((strides, reg_max), (point, true), input, classes)
    }

    /// PicoDet's.
    pub(super) fn picodet(strides: &[usize], reg_max: usize, input: (usize, usize), classes: usize) -> Result<Self, String> {
        Self::new((strides, reg_max), (0.5, false), input, classes)
    }

    fn new(
        (strides, reg_max): (&[usize], usize),
        (point, clip): (f32, bool),
        input: (usize, usize),
        classes: usize,
    ) -> Result<Self, String> {
        grid::check(strides, input)?;
        if !(1..=MAX_REG).contains(&reg_max) {
            return Err(format!("reg_max is 1 to {MAX_REG}, not {reg_max}"));
        }
        let cells = grid::cells(strides, input, true);
        Ok(Self { strides: strides.to_vec(), cells, bins: reg_max + 1, point, clip, input, classes })
    }

    /// The forms in the order of [`Self::forms`].
    fn exports(&self) -> [Export; 2] {
        if self.clip { [Export::Joined, Export::Split] } else { [Export::Split, Export::Decoded] }
    }

    pub(super) fn forms(&self) -> Vec<Form> {
        let (classes, edges) = (Dim::Is(self.classes), 4 * self.bins);
        let counts: Vec<_> = self.strides.iter().map(|s| Dim::Is(grid::count(*s, self.input, true))).collect();
        let all = Dim::Is(self.cells.len());
        let form = |export: Export| match export {
            Export::Joined => vec![role("predictions", [all, Dim::Is(self.classes + edges)])],
            Export::Split => {
                let scores = counts.iter().map(|count| role("scores", [*count, classes]));
                scores.chain(counts.iter().map(|count| role("edges", [*count, Dim::Is(edges)]))).collect()
            }
            Export::Decoded => vec![role("boxes", [all, Dim::Is(4)]), role("scores", [classes, all])],
        };
        self.exports().map(form).into()
    }

    /// Whether the network has decoded its boxes itself.
    pub(super) fn decoded(&self, form: usize) -> bool {
        self.exports()[form] == Export::Decoded
    }

    pub(super) fn read(&self, picture: &Picture<'_>, work: &mut Work) -> Result<(), At> {
        match self.exports()[picture.form] {
            Export::Joined => {
                let width = self.classes + 4 * self.bins;
                let split = |values| <[f32]>::split_at(values, self.classes);
                let rows = picture.outputs[0].data.chunks_exact(width).map(split);
                self.read_rows(rows, 0, (0, 0), picture, work)
            }
            Export::Split => {
                let (scores, edges) = picture.outputs.split_at(self.strides.len());
                let mut first = 0;
                for (i, (scores, edges)) in scores.iter().zip(edges).enumerate() {
                    let rows = scores.data.chunks_exact(self.classes).zip(edges.data.chunks_exact(4 * self.bins));
                    self.read_rows(rows, first, (i, i + self.strides.len()), picture, work)?;
                    first += scores.dims[0];
                }
                Ok(())
            }
            Export::Decoded => self.read_decoded(picture, work),
        }
    }

    /// `first` is the number of cells before these rows.
    fn read_rows<'a>(
        &self,
        rows: impl Iterator<Item = (&'a [f32], &'a [f32])>,
        first: usize,
        (score_role, edge_role): (usize, usize),
        picture: &Picture<'_>,
        work: &mut Work,
    ) -> Result<(), At> {
        for ((row, (scores, edges)), cell) in rows.enumerate().zip(&self.cells[first..]) {
            let mut bbox = None;
            for (class, &score) in scores.iter().enumerate() {
                if !probable(score) {
                    return Err(improbable(score).at(score_role, row));
                }
                if !picture.gate.passes(class as u16, score) {
                    continue;
                }
                let bbox = match bbox {
                    Some(bbox) => bbox,
                    None => *bbox.insert(self.bbox(edges, cell, &mut work.values).map_err(|fault| fault.at(edge_role, row))?),
                };
                let mut candidate = picture.candidate(edge_role, row, (class as u16, score), bbox)?;
                candidate.row = (first + row) as u32;
                work.candidates.push(candidate);
            }
        }
        Ok(())
    }

    fn bbox(&self, edges: &[f32], cell: &Cell, values: &mut Vec<f32>) -> Result<[f32; 4], Fault> {
        let mut distances = [0.0; 4];
        for (distance, logits) in distances.iter_mut().zip(edges.chunks_exact(self.bins)) {
            values.clear();
            values.extend_from_slice(logits);
            softmax(values, logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            *distance = values.iter().enumerate().map(|(i, share)| i as f32 * share).sum::<f32>() * cell.stride;
            if !distance.is_finite() {
                return Err(Fault::NotFinite);
            }
        }
        let [left, top, right, bottom] = distances;
        let (x, y) = ((cell.x + self.point) * cell.stride, (cell.y + self.point) * cell.stride);
        let bbox = [x - left, y - top, x + right, y + bottom];
        Ok(if self.clip { clipped(bbox, (self.input.0 as f32, self.input.1 as f32)) } else { bbox })
    }

    fn read_decoded(&self, picture: &Picture<'_>, work: &mut Work) -> Result<(), At> {
        let [boxes, scores]: &[View<'_>] = picture.outputs else { return Ok(()) };
        for (i, &score) in scores.data.iter().enumerate() {
            let (class, row) = (i / self.cells.len(), i % self.cells.len());
            if !probable(score) {
                return Err(improbable(score).at(1, row));
            }
            if picture.gate.passes(class as u16, score) {
                let bbox = std::array::from_fn(|i| boxes.data[4 * row + i]);
                work.candidates.push(picture.candidate(0, row, (class as u16, score), bbox)?);
            }
        }
        Ok(())
    }
}
