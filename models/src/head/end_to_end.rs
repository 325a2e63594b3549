//! Outputs whose boxes are final: one table of rows, or the four outputs of a suppression inside the network.

use super::{
    Column,
    error::{At, Fault},
    forms::{Dim, Form, role},
    picture::{Picture, Work, class_of},
    table::{improbable, probable},
};

const MAX_COLUMNS: usize = 64;

/// Pixels per unit of a box's edges.
pub(super) fn scale(normalised: bool, (width, height): (usize, usize)) -> (f32, f32) {
    if normalised { (width as f32, height as f32) } else { (1.0, 1.0) }
}

/// Rows `[N,M,columns]`; of a whole batch `[M,columns]` or `[1,1,M,columns]`.
pub(super) struct EndToEnd {
    /// Where in a row x1, y1, x2, y2, score and class are.
    places: [usize; 6],
    /// Where the picture's number is, in rows of a whole batch.
    picture: Option<usize>,
    columns: usize,
    pub(super) normalised: bool,
    scale: (f32, f32),
    classes: usize,
}

impl EndToEnd {
    pub(super) fn new(columns: &[Column], normalised: bool, input: (usize, usize), classes: usize) -> Result<Self, String> {
        let mut places = [0; 6];
        let wanted = [Column::X1, Column::Y1, Column::X2, Column::Y2, Column::Score, Column::Class];
        for (place, wanted) in places.iter_mut().zip(wanted) {
            let mut found = columns.iter().enumerate().filter(|(_, column)| **column == wanted);
            match (found.next(), found.next()) {
                (Some((i, _)), None) if columns.len() <= MAX_COLUMNS => *place = i,
                _ => return Err(format!("columns have each of x1, y1, x2, y2, score and class once, not {columns:?}")),
            }
        }
        let picture = columns.iter().position(|column| *column == Column::Picture);
        Ok(Self { places, picture, columns: columns.len(), normalised, scale: scale(normalised, input), classes })
    }

    pub(super) fn forms(&self) -> Vec<Form> {
        let (rows, columns) = (Dim::Open('M'), Dim::Is(self.columns));
        vec![vec![role("rows", [rows, columns])], vec![role("rows", [columns])], vec![role("rows", [Dim::Is(1), rows, columns])]]
    }

    /// Whether a form is of the whole batch.
    pub(super) fn whole(form: usize) -> bool {
        form > 0
    }

    pub(super) fn read(&self, picture: &Picture<'_>, work: &mut Work) -> Result<(), At> {
        let whole = Self::whole(picture.form);
        if whole && self.picture.is_none() && picture.index > 0 {
            return Err(Fault::Unattributed.at(0, 0));
        }
        for (row, values) in picture.outputs[0].data.chunks_exact(self.columns).enumerate() {
            // A number that is none of the batch's marks the end.
            if whole && self.picture.is_some_and(|place| (values[place] - picture.index as f32).abs() >= 0.5) {
                continue;
            }
            let [x1, y1, x2, y2, score, class] = self.places.map(|place| values[place]);
            if !probable(score) {
                return Err(improbable(score).at(0, row));
            }
            // What is less sure may be padding, with any class.
            if score < picture.gate.lowest {
                continue;
            }
            let class = class_of(class, self.classes).map_err(|fault| fault.at(0, row))?;
            if picture.gate.passes(class, score) {
                let (sx, sy) = self.scale;
                let bbox = [x1 * sx, y1 * sy, x2 * sx, y2 * sy];
                work.candidates.push(picture.candidate(0, row, (class, score), bbox)?);
            }
        }
        Ok(())
    }
}

/// Count, boxes, scores and classes.
pub(super) struct EfficientNms {
    pub(super) normalised: bool,
    pub(super) input: (usize, usize),
    pub(super) y_first: bool,
    pub(super) first_class: u16,
    pub(super) classes: usize,
}

impl EfficientNms {
    pub(super) fn forms() -> Vec<Form> {
        let form = |count: &[usize]| -> Form {
            let count: Vec<_> = count.iter().map(|size| Dim::Is(*size)).collect();
            let rows = [Dim::Open('M')];
            vec![role("count", count), role("boxes", [Dim::Open('M'), Dim::Is(4)]), role("scores", rows), role("classes", rows)]
        };
        vec![form(&[1]), form(&[])]
    }

    pub(super) fn read(&self, picture: &Picture<'_>, work: &mut Work) -> Result<(), At> {
        let [count, boxes, scores, classes] = picture.outputs else { return Ok(()) };
        let (rows, count) = (scores.data.len(), count.data[0]);
        // NaN is in no range.
        if !(0.0..=rows as f32).contains(&count) {
            return Err(Fault::Count { count, rows }.at(0, 0));
        }
        for row in 0..count.round() as usize {
            let score = scores.data[row];
            if !probable(score) {
                return Err(improbable(score).at(2, row));
            }
            if score < picture.gate.lowest {
                continue;
            }
            let class = class_of(classes.data[row] - f32::from(self.first_class), self.classes);
            let class = class.map_err(|fault| fault.at(3, row))?;
            if picture.gate.passes(class, score) {
                work.candidates.push(picture.candidate(1, row, (class, score), self.bbox(boxes.data, row))?);
            }
        }
        Ok(())
    }

    fn bbox(&self, boxes: &[f32], row: usize) -> [f32; 4] {
        let [a, b, c, d]: [f32; 4] = std::array::from_fn(|i| boxes[4 * row + i]);
        let (sx, sy) = scale(self.normalised, self.input);
        if self.y_first { [b * sx, a * sy, d * sx, c * sy] } else { [a * sx, b * sy, c * sx, d * sy] }
    }
}
