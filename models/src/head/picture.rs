//! What a head sees of one picture, and the memory it works in.

use super::{
    Candidate, Tensor,
    error::{At, Fault},
    table::{Best, Gate, Table},
};

/// How many times the input's longer side an edge may be away. Sound networks stay within a few.
const FAR: f32 = 100.0;

/// One output's part of one picture.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) data: &'a [f32],
    /// Without the batch.
    pub(super) dims: &'a [usize],
}

impl<'a> View<'a> {
    /// Of all pictures.
    pub(super) fn of(output: &Tensor<'a>) -> Self {
        Self { data: output.data, dims: output.shape }
    }

    /// Of two dimensions.
    pub(super) fn table(&self, by_column: bool) -> Table<'a> {
        Table::new(self.data, self.dims, by_column)
    }
}

/// All outputs of one picture.
pub(super) struct Picture<'a> {
    /// Its place in the batch.
    pub(super) index: usize,
    /// Which of the head's forms they have.
    pub(super) form: usize,
    /// In the order of the form's roles.
    pub(super) outputs: &'a [View<'a>],
    pub(super) gate: Gate<'a>,
    pub(super) limit: f32,
}

impl Picture<'_> {
    /// A candidate, if its box can be.
    pub(super) fn candidate(&self, role: usize, row: usize, (class, score): (u16, f32), bbox: [f32; 4]) -> Result<Candidate, At> {
        let bbox = sound(bbox, self.limit).map_err(|fault| fault.at(role, row))?;
        Ok(Candidate { class, score: score.clamp(0.0, 1.0), bbox, row: row as u32 })
    }
}

/// Memory that is reused from picture to picture.
#[derive(Default)]
pub(super) struct Work {
    pub(super) candidates: Vec<Candidate>,
    pub(super) best: Best,
    pub(super) values: Vec<f32>,
}

/// How far from the origin an edge may be, in pixels.
pub(super) fn limit((width, height): (usize, usize)) -> f32 {
    FAR * width.max(height) as f32
}

/// The box, if it is one of this world.
pub(super) fn sound(bbox: [f32; 4], limit: f32) -> Result<[f32; 4], Fault> {
    for edge in bbox {
        near(edge, limit)?;
    }
    Ok(bbox)
}

/// The coordinate, if it is near the picture.
pub(super) fn near(value: f32, limit: f32) -> Result<f32, Fault> {
    match value {
        value if !value.is_finite() => Err(Fault::NotFinite),
        value if value.abs() > limit => Err(Fault::FarAway(value)),
        value => Ok(value),
    }
}

/// So many boxes within a pixel of the corner are no objects.
const CROWD: usize = 4;

/// Whether boxes that should be in pixels can be.
pub(super) fn in_pixels(candidates: &[Candidate]) -> Result<(), Fault> {
    let tiny = |candidate: &Candidate| candidate.bbox.iter().all(|edge| (-0.5..=1.5).contains(edge));
    if candidates.len() >= CROWD && candidates.iter().all(tiny) { Err(Fault::Normalised) } else { Ok(()) }
}

/// Left, top, right, bottom from centre and size.
pub(super) fn corners([cx, cy, w, h]: [f32; 4]) -> [f32; 4] {
    [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0]
}

/// The part of a box that lies in the input.
pub(super) fn clipped([x1, y1, x2, y2]: [f32; 4], (width, height): (f32, f32)) -> [f32; 4] {
    [x1.clamp(0.0, width), y1.clamp(0.0, height), x2.clamp(0.0, width), y2.clamp(0.0, height)]
}

pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The class that a final row names.
pub(super) fn class_of(value: f32, classes: usize) -> Result<u16, Fault> {
    let wrong = Fault::NoSuchClass { class: value, classes };
    // NaN is in no range.
    let fits = (-0.001..classes as f32 - 0.5).contains(&value) && (value - value.round()).abs() < 0.001;
    if fits { Ok(value.round().max(0.0) as u16) } else { Err(wrong) }
}
