//! The head of SSD (Liu et al. 2016, arXiv:1512.02325).
//!
//! With the default box `(px, py, pw, ph)` and variances `(v, u)`: centre `(px+x·v·pw, py+y·v·ph)`, size `(pw·exp(w·u), ph·exp(h·u))`.
//! A prediction becomes a candidate of every class whose score is enough.

use super::{
    Activation, Priors,
    error::{At, Fault},
    forms::{Dim, Form, role},
    picture::{Picture, Work, clipped, corners, sigmoid},
    priors::{self, Prior},
    table::{Table, improbable, probable},
};

/// How far a logit may be below what would be enough and still be looked at closely.
const LOGIT_SLACK: f32 = 1e-3;

pub(super) struct Ssd {
    priors: Option<Vec<Prior>>,
    variances: [f32; 2],
    activation: Activation,
    background: bool,
    y_first: bool,
    clip: bool,
    size: (f32, f32),
    classes: usize,
}

/// How the box offsets are turned into boxes.
#[derive(Clone, Copy)]
pub(super) struct Boxes<'a> {
    pub(super) priors: &'a Priors,
    pub(super) variances: [f32; 2],
    pub(super) y_first: bool,
    pub(super) clip: bool,
}

impl Ssd {
    pub(super) fn new(
        boxes: Boxes<'_>,
        (activation, background): (Activation, bool),
        input: (usize, usize),
        classes: usize,
    ) -> Result<Self, String> {
        let Boxes { priors, variances, y_first, clip } = boxes;
        if !variances.iter().all(|v| v.is_finite() && *v > 0.0) {
            return Err(format!("variances are two numbers above 0, not {variances:?}"));
        }
        let priors = priors::lay(priors, input)?;
        let size = (input.0 as f32, input.1 as f32);
        Ok(Self { priors, variances, activation, background, y_first, clip, size, classes })
    }

    fn columns(&self) -> usize {
        self.classes + usize::from(self.background)
    }

    pub(super) fn forms(&self) -> Vec<Form> {
        let rows = self.priors.as_ref().map_or(Dim::Open('A'), |priors| Dim::Is(priors.len()));
        let columns = Dim::Is(self.columns());
        vec![
            vec![role("boxes", [rows, Dim::Is(4)]), role("scores", [rows, columns])],
            vec![role("boxes", [Dim::Is(4), rows]), role("scores", [columns, rows])],
        ]
    }

    pub(super) fn read(&self, picture: &Picture<'_>, work: &mut Work) -> Result<(), At> {
        let [boxes, scores] = picture.outputs else { return Ok(()) };
        let (boxes, scores) = (boxes.table(picture.form == 1), scores.table(picture.form == 1));
        let first = usize::from(self.background);
        for row in 0..scores.rows {
            self.score_row(&scores, row, picture, &mut work.values).map_err(|fault| fault.at(1, row))?;
            let mut bbox = None;
            for (class, &score) in work.values.iter().skip(first).enumerate() {
                if picture.gate.passes(class as u16, score) {
                    let bbox = *bbox.get_or_insert_with(|| self.bbox(boxes.take(row, 0), row));
                    let mut candidate = picture.candidate(0, row, (class as u16, score), bbox)?;
                    if self.clip {
                        candidate.bbox = clipped(candidate.bbox, self.size);
                    }
                    work.candidates.push(candidate);
                }
            }
        }
        Ok(())
    }

    /// Leaves the row's scores in `values`, or nothing where none can be enough.
    fn score_row(&self, table: &Table<'_>, row: usize, picture: &Picture<'_>, values: &mut Vec<f32>) -> Result<(), Fault> {
        values.clear();
        values.extend((0..self.columns()).map(|column| table.at(row, column)));
        match self.activation {
            Activation::None => match values.iter().find(|value| !probable(**value)) {
                Some(value) => Err(improbable(*value)),
                None => Ok(()),
            },
            Activation::Sigmoid => {
                finite(values)?;
                for value in values.iter_mut() {
                    *value = sigmoid(*value);
                }
                Ok(())
            }
            Activation::Softmax => {
                finite(values)?;
                let max = |values: &[f32]| values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let (all, ours) = (max(values), max(&values[usize::from(self.background)..]));
                // A softmax is at most the exponential of the distance to the greatest logit.
                if ours < all + picture.gate.lowest.ln() - LOGIT_SLACK {
                    values.clear();
                    return Ok(());
                }
                softmax(values, all);
                Ok(())
            }
        }
    }

    fn bbox(&self, [a, b, c, d]: [f32; 4], row: usize) -> [f32; 4] {
        let [x, y, w, h] = if self.y_first { [b, a, d, c] } else { [a, b, c, d] };
        let (sx, sy) = self.size;
        let Some([px, py, pw, ph]) = self.priors.as_ref().map(|priors| priors[row]) else {
            return [x * sx, y * sy, w * sx, h * sy];
        };
        let [v, u] = self.variances;
        let centre = [(px + x * v * pw) * sx, (py + y * v * ph) * sy];
        corners([centre[0], centre[1], pw * (w * u).exp() * sx, ph * (h * u).exp() * sy])
    }
}

/// Logits may be minus infinity, which is a score of 0.
fn finite(values: &[f32]) -> Result<(), Fault> {
    if values.iter().any(|value| value.is_nan() || *value == f32::INFINITY) { Err(Fault::NotFinite) } else { Ok(()) }
}

/// Turns logits, of which `max` is the greatest, into scores.
pub(super) fn softmax(values: &mut [f32], max: f32) {
    let mut sum = 0.0;
    for value in values.iter_mut() {
        *value = (*value - max).exp();
        sum += *value;
    }
    for value in values.iter_mut() {
        *value /= sum;
    }
}
