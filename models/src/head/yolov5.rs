//! The head of YOLOv5 (Jocher 2020) and YOLOv7, which read alike.
//!
//! Decoded exports give `f32[N,A,5+C]` in pixels. Raw exports give the three grids before the sigmoid `σ`: with the cell's column and
//! row `(gx, gy)`, its stride `s` and the anchor `(aw, ah)` in pixels: centre `((2σ(x)−0.5+gx)·s, (2σ(y)−0.5+gy)·s)`, size
//! `((2σ(w))²·aw, (2σ(h))²·ah)`, score `σ(objectness)·σ(class)`.

use super::{
    error::{At, Fault},
    forms::{Dim, Form, role},
    grid,
    picture::{Picture, Work, corners, sigmoid},
    yolox::score_row,
};

const MAX_ANCHORS: usize = 16;

pub(super) struct Yolov5 {
    strides: Vec<usize>,
    anchors: Vec<Vec<[f32; 2]>>,
    input: (usize, usize),
    classes: usize,
}

/// Decoded; raw with the values of a row together; raw with each value a plane.
const FORMS: [&str; 3] = ["decoded", "rows", "planes"];

impl Yolov5 {
    pub(super) fn new(
        strides: &[usize],
        anchors: &[Vec<[f32; 2]>],
        input: (usize, usize),
        classes: usize,
    ) -> Result<Self, String> {
        grid::check(strides, input)?;
        if anchors.len() != strides.len() {
            return Err(format!("{} strides with anchors for {} grids", strides.len(), anchors.len()));
        }
        let first = anchors.first().map_or(0, Vec::len);
        let sound = |anchor: &[f32; 2]| anchor.iter().all(|side| side.is_finite() && *side > 0.0);
        if first == 0 || first > MAX_ANCHORS || anchors.iter().any(|grid| grid.len() != first || !grid.iter().all(sound)) {
            return Err(format!("each grid has the same number of anchors, 1 to {MAX_ANCHORS}, with widths and heights above 0"));
        }
        Ok(Self { strides: strides.to_vec(), anchors: anchors.to_vec(), input, classes })
    }

    pub(super) fn forms(&self) -> Vec<Form> {
        let values = 5 + self.classes;
        let raw = |together: bool| -> Form {
            let grids = self.strides.iter().zip(&self.anchors);
            let role = |(stride, anchors): (&usize, &Vec<[f32; 2]>)| {
                let (columns, rows) = grid::size(*stride, self.input, false);
                if together {
                    role("grid", [anchors.len(), rows, columns, values].map(Dim::Is))
                } else {
                    role("grid", [anchors.len() * values, rows, columns].map(Dim::Is))
                }
            };
            grids.map(role).collect()
        };
        vec![vec![role("predictions", [Dim::Open('A'), Dim::Is(values)])], raw(true), raw(false)]
    }

    /// Whether the network has decoded its boxes itself.
    pub(super) fn decodes(form: usize) -> bool {
        FORMS[form] == "decoded"
    }

    pub(super) fn read(&self, picture: &Picture<'_>, work: &mut Work) -> Result<(), At> {
        match FORMS[picture.form] {
            "decoded" => self.read_decoded(picture, work),
            form => self.read_raw(picture, work, form == "planes"),
        }
    }

    fn read_decoded(&self, picture: &Picture<'_>, work: &mut Work) -> Result<(), At> {
        for (row, values) in picture.outputs[0].data.chunks_exact(5 + self.classes).enumerate() {
            if let Some(scored) = score_row(values, &picture.gate).map_err(|fault| fault.at(0, row))? {
                let bbox = corners([values[0], values[1], values[2], values[3]]);
                work.candidates.push(picture.candidate(0, row, scored, bbox)?);
            }
        }
        Ok(())
    }

    fn read_raw(&self, picture: &Picture<'_>, work: &mut Work, planes: bool) -> Result<(), At> {
        let values = 5 + self.classes;
        let mut first = 0;
        for (role, ((stride, anchors), output)) in self.strides.iter().zip(&self.anchors).zip(picture.outputs).enumerate() {
            let (columns, rows) = grid::size(*stride, self.input, false);
            let cells = columns * rows;
            for row in 0..anchors.len() * cells {
                let (anchor, cell) = (row / cells, row % cells);
                let (start, step) = if planes { (anchor * values * cells + cell, cells) } else { (row * values, 1) };
                let raw = |i: usize| output.data[start + i * step];
                let Some(scored) = raw_score(raw, values, picture, work).map_err(|fault| fault.at(role, row))? else { continue };
                let [aw, ah] = anchors[anchor];
                let (x, y, s) = ((cell % columns) as f32, (cell / columns) as f32, *stride as f32);
                let place = |v: f32, cell: f32| (2.0 * sigmoid(v) - 0.5 + cell) * s;
                let side = |v: f32, anchor: f32| (2.0 * sigmoid(v)).powi(2) * anchor;
                let bbox = corners([place(raw(0), x), place(raw(1), y), side(raw(2), aw), side(raw(3), ah)]);
                let mut candidate = picture.candidate(role, row, scored, bbox)?;
                candidate.row = (first + row) as u32;
                work.candidates.push(candidate);
            }
            first += anchors.len() * cells;
        }
        Ok(())
    }
}

/// As [`score_row`], from logits.
fn raw_score(
    raw: impl Fn(usize) -> f32,
    values: usize,
    picture: &Picture<'_>,
    work: &mut Work,
) -> Result<Option<(u16, f32)>, Fault> {
    let objectness = raw(4);
    if objectness.is_nan() {
        return Err(Fault::NotFinite);
    }
    if sigmoid(objectness) < picture.gate.lowest {
        return Ok(None);
    }
    work.values.clear();
    work.values.extend([0.0; 4]);
    for i in 4..values {
        let logit = raw(i);
        if logit.is_nan() || logit == f32::INFINITY {
            return Err(Fault::NotFinite);
        }
        work.values.push(sigmoid(logit));
    }
    score_row(&work.values, &picture.gate)
}
