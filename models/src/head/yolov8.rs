//! The heads of YOLOv8 (Jocher et al. 2023) and what followed: boxes, oriented boxes, key points and masks in one table.
//!
//! Raw exports give `f32[N,4+C+E,A]` (or transposed): centre x, centre y, width, height in pixels, C scores after the sigmoid, and E
//! values more: an angle, key points, or mask coefficients. End-to-end exports give final rows `f32[N,M,6+E]`.

use std::f32::consts::TAU;

use super::{
    Extra, Mask, Oriented,
    error::{At, Fault},
    forms::{Dim, Form, role},
    mask::Prototypes,
    picture::{Picture, Work, class_of, corners, near},
    table::{Table, improbable, probable},
};

const MAX_KEYPOINTS: usize = 1024;
const MAX_COEFFICIENTS: usize = 1024;

/// What a row has beside its box and its classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum More {
    Nothing,
    Angle,
    Keypoints { count: usize, values: usize },
    Coefficients(usize),
}

impl More {
    pub(super) fn check(self) -> Result<Self, String> {
        match self {
            Self::Keypoints { count, values } if !(1..=MAX_KEYPOINTS).contains(&count) || !(2..=3).contains(&values) => {
                Err(format!("1 to {MAX_KEYPOINTS} key points of 2 or 3 values, not {count} of {values}"))
            }
            Self::Coefficients(count) if !(1..=MAX_COEFFICIENTS).contains(&count) => {
                Err(format!("1 to {MAX_COEFFICIENTS} mask coefficients, not {count}"))
            }
            sound => Ok(sound),
        }
    }

    fn width(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Angle => 1,
            Self::Keypoints { count, values } => count * values,
            Self::Coefficients(count) => count,
        }
    }
}

pub(super) struct Yolov8 {
    pub(super) classes: usize,
    pub(super) more: More,
    pub(super) end_to_end: bool,
    pub(super) input: (usize, usize),
}

impl Yolov8 {
    pub(super) fn forms(&self) -> Vec<Form> {
        let tables = if self.end_to_end {
            vec![[Dim::Open('M'), Dim::Is(6 + self.more.width())]]
        } else {
            let width = Dim::Is(4 + self.classes + self.more.width());
            vec![[width, Dim::Open('A')], [Dim::Open('A'), width]]
        };
        let form = |table: [Dim; 2]| {
            let mut form = vec![role("predictions", table)];
            if let More::Coefficients(count) = self.more {
                form.push(role("prototypes", [Dim::Is(count), Dim::Open('h'), Dim::Open('w')]));
            }
            form
        };
        tables.into_iter().map(form).collect()
    }

    fn table<'a>(&self, picture: &Picture<'a>) -> Table<'a> {
        picture.outputs[0].table(!self.end_to_end && picture.form == 0)
    }

    pub(super) fn read(&self, picture: &Picture<'_>, work: &mut Work) -> Result<(), At> {
        let table = self.table(picture);
        if self.end_to_end {
            return self.read_final(picture, &table, work);
        }
        table.best(0, 4..4 + self.classes, &mut work.best)?;
        for row in 0..table.rows {
            let scored = (work.best.classes[row], work.best.scores[row]);
            if picture.gate.passes(scored.0, scored.1) {
                let bbox = self.hull(picture, &table, row).map_err(|fault| fault.at(0, row))?;
                work.candidates.push(picture.candidate(0, row, scored, bbox)?);
            }
        }
        Ok(())
    }

    fn read_final(&self, picture: &Picture<'_>, table: &Table<'_>, work: &mut Work) -> Result<(), At> {
        for row in 0..table.rows {
            let [score, class] = table.take(row, 4);
            if !probable(score) {
                return Err(improbable(score).at(0, row));
            }
            if score >= picture.gate.lowest {
                let class = class_of(class, self.classes).map_err(|fault| fault.at(0, row))?;
                if picture.gate.passes(class, score) {
                    let bbox = self.hull(picture, table, row).map_err(|fault| fault.at(0, row))?;
                    work.candidates.push(picture.candidate(0, row, (class, score), bbox)?);
                }
            }
        }
        Ok(())
    }

    /// The upright box of a row.
    fn hull(&self, picture: &Picture<'_>, table: &Table<'_>, row: usize) -> Result<[f32; 4], Fault> {
        match self.more {
            More::Angle => Ok(self.oriented(picture, table, row)?.hull()),
            _ if self.end_to_end => Ok(table.take(row, 0)),
            _ => Ok(corners(table.take(row, 0))),
        }
    }

    fn oriented(&self, picture: &Picture<'_>, table: &Table<'_>, row: usize) -> Result<Oriented, Fault> {
        let [cx, cy, w, h] = table.take(row, 0);
        for value in [cx, cy, w, h] {
            near(value, picture.limit)?;
        }
        let angle = near(table.at(row, self.first_more()), TAU)?;
        Ok(Oriented { centre: [cx, cy], size: [w, h], angle })
    }

    pub(super) fn is_oriented(&self) -> bool {
        self.more == More::Angle
    }

    fn first_more(&self) -> usize {
        if self.end_to_end { 6 } else { 4 + self.classes }
    }

    /// The oriented box that a candidate came from; it was read before.
    pub(super) fn oriented_of(&self, picture: &Picture<'_>, row: u32) -> Oriented {
        self.oriented(picture, &self.table(picture), row as usize).unwrap_or_default()
    }

    /// What a kept row has beside its box.
    pub(super) fn extra(&self, picture: &Picture<'_>, row: u32, bbox: &[f32; 4]) -> Result<Extra, At> {
        let (table, row) = (self.table(picture), row as usize);
        let first = self.first_more();
        match self.more {
            More::Nothing => Ok(Extra::Nothing),
            More::Angle => Ok(Extra::Oriented(self.oriented_of(picture, row as u32).regular())),
            More::Keypoints { count, values } => {
                let point = |i: usize| -> Result<[f32; 3], Fault> {
                    let [x, y] = table.take(row, first + i * values);
                    let visibility = if values == 3 { table.at(row, first + i * values + 2) } else { 1.0 };
                    if !probable(visibility) {
                        return Err(improbable(visibility));
                    }
                    Ok([near(x, picture.limit)?, near(y, picture.limit)?, visibility.clamp(0.0, 1.0)])
                };
                let points: Result<Vec<_>, _> = (0..count).map(point).collect();
                points.map(Extra::Keypoints).map_err(|fault| fault.at(0, row))
            }
            More::Coefficients(count) => {
                let coefficients: Vec<f32> = (first..first + count).map(|column| table.at(row, column)).collect();
                let mask = self.mask(picture, &coefficients, bbox);
                mask.map(Extra::Mask).map_err(|(role, fault)| fault.at(role, row))
            }
        }
    }

    fn mask(&self, picture: &Picture<'_>, coefficients: &[f32], bbox: &[f32; 4]) -> Result<Mask, (usize, Fault)> {
        if !coefficients.iter().all(|c| c.is_finite()) {
            return Err((0, Fault::NotFinite));
        }
        let output = &picture.outputs[1];
        let prototypes = Prototypes { data: output.data, height: output.dims[1], width: output.dims[2] };
        prototypes.mask(coefficients, bbox, self.input).ok_or((1, Fault::NotFinite))
    }
}
