//! The head of YOLOX (Ge et al. 2021, arXiv:2107.08430), read as the authors' own post-processing reads it.
//!
//! The output is `f32[N,A,5+C]` with one row per grid cell: first the cells of stride 8 row by row, then of 16, then of 32.
//! A row is `(x, y, w, h, objectness, C class scores)`, the last 1+C already through a sigmoid. With the cell's column and row
//! `(gx, gy)` and its stride `s`: centre `((x+gx)·s, (y+gy)·s)`, size `(exp(w)·s, exp(h)·s)`, score `objectness · class`.

use super::{
    Candidate, HeadError,
    error::{At, Fault},
    forms::{Dim, Form, role},
    grid::{self, Cell},
    picture::{Picture, Work},
    table::{Gate, improbable, probable},
};

/// Strides of the three grids.
const STRIDES: [usize; 3] = [8, 16, 32];

/// How many rows the output has for an input of `width`×`height`: A.
pub fn anchor_count(width: usize, height: usize) -> usize {
    STRIDES.iter().map(|s| (width / s) * (height / s)).sum()
}

/// The head for one input size and class count.
pub struct Yolox {
    cells: Vec<Cell>,
    classes: usize,
    limit: f32,
}

impl Yolox {
    /// A head for inputs of `width`×`height` pixels and `classes` classes (at most `u16::MAX`).
    pub fn new(width: usize, height: usize, classes: usize) -> Self {
        Self::with_strides(&STRIDES, (width, height), classes)
    }

    pub(super) fn with_strides(strides: &[usize], input: (usize, usize), classes: usize) -> Self {
        Self { cells: grid::cells(strides, input, false), classes, limit: super::picture::limit(input) }
    }

    /// Values per picture: `A·(5+C)`.
    pub fn output_len(&self) -> usize {
        self.cells.len() * (5 + self.classes)
    }

    /// Appends the candidates of one picture at or above `threshold` to `out`, in the order of the rows, each with its best class.
    ///
    /// # Errors
    /// [`HeadError`]; `out` is then as it was. A row whose objectness is finite and below the threshold cannot become a box, and
    /// the rest of it is not looked at.
    pub fn decode(&self, output: &[f32], threshold: f32, out: &mut Vec<Candidate>) -> Result<(), HeadError> {
        if output.len() != self.output_len() {
            let shape = format!("[1,{},{}]", self.cells.len(), 5 + self.classes);
            return Err(HeadError::Size { output: "output".into(), shape, found: output.len(), pictures: 1 });
        }
        let before = out.len();
        self.read_rows(output, &Gate::new(&[], threshold, self.classes), out).map_err(|At { row, fault, .. }| {
            out.truncate(before);
            HeadError::Value { output: "output".into(), picture: 0, row, fault }
        })
    }

    pub(super) fn forms(&self) -> Vec<Form> {
        vec![vec![role("predictions", [Dim::Is(self.cells.len()), Dim::Is(5 + self.classes)])]]
    }

    pub(super) fn read(&self, picture: &Picture<'_>, work: &mut Work) -> Result<(), At> {
        self.read_rows(picture.outputs[0].data, &picture.gate, &mut work.candidates)
    }

    fn read_rows(&self, output: &[f32], gate: &Gate<'_>, out: &mut Vec<Candidate>) -> Result<(), At> {
        for (row, (values, cell)) in output.chunks_exact(5 + self.classes).zip(&self.cells).enumerate() {
            match score_row(values, gate) {
                Ok(None) => {}
                Ok(Some((class, score))) => {
                    let bbox = self.bbox(values, cell).map_err(|fault| fault.at(0, row))?;
                    out.push(Candidate { class, score: score.clamp(0.0, 1.0), bbox, row: row as u32 });
                }
                Err(fault) => return Err(fault.at(0, row)),
            }
        }
        Ok(())
    }

    fn bbox(&self, row: &[f32], cell: &Cell) -> Result<[f32; 4], Fault> {
        let (cx, cy) = ((row[0] + cell.x) * cell.stride, (row[1] + cell.y) * cell.stride);
        let (w, h) = (row[2].exp() * cell.stride, row[3].exp() * cell.stride);
        super::picture::sound([cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0], self.limit)
    }
}

/// The best class of a row `(x, y, w, h, objectness, classes)` and its score, if it is enough.
#[inline]
pub(super) fn score_row(row: &[f32], gate: &Gate<'_>) -> Result<Option<(u16, f32)>, Fault> {
    let objectness = row[4];
    // Class scores are at most 1, so objectness bounds the score from above. NaN fails both comparisons.
    if objectness < gate.lowest && probable(objectness) {
        return Ok(None);
    }
    score_confident_row(row, gate, objectness)
}

fn score_confident_row(row: &[f32], gate: &Gate<'_>, objectness: f32) -> Result<Option<(u16, f32)>, Fault> {
    let (mut class, mut best) = (0, f32::NEG_INFINITY);
    for (i, &score) in row[5..].iter().enumerate() {
        if !probable(score) {
            return Err(improbable(score));
        }
        if score > best {
            (class, best) = (i as u16, score);
        }
    }
    if !probable(objectness) {
        return Err(improbable(objectness));
    }
    let score = objectness * best;
    Ok(gate.passes(class, score).then_some((class, score)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent(head: &Yolox) -> Vec<f32> {
        vec![0.0; head.output_len()]
    }

    #[test]
    fn counts_anchors_for_any_size() {
        assert_eq!(anchor_count(416, 416), 3549);
        assert_eq!(anchor_count(640, 640), 8400);
        assert_eq!(anchor_count(640, 384), 80 * 48 + 40 * 24 + 20 * 12);
    }

    #[test]
    fn a_row_becomes_the_box_that_the_paper_says() {
        let head = Yolox::new(64, 32, 3);
        let mut output = silent(&head);
        // Stride 16 starts after 8·4 cells; its grid is 4 wide: column 2, row 1.
        let anchor = 32 + 4 + 2;
        output[anchor * 8..][..8].copy_from_slice(&[0.25, 0.5, 0.0, 1.0, 0.8, 0.1, 0.9, 0.2]);
        let mut found = Vec::new();
        head.decode(&output, 0.5, &mut found).unwrap();
        let [Candidate { class, score, bbox, row }] = found[..] else { panic!("{found:?}") };
        assert_eq!((class, row), (1, anchor as u32));
        assert!((score - 0.72).abs() < 1e-6);
        let (w, h) = (16.0, 16.0 * 1.0_f32.exp());
        let expected = [36.0 - w / 2.0, 24.0 - h / 2.0, 36.0 + w / 2.0, 24.0 + h / 2.0];
        assert!(bbox.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{bbox:?} {expected:?}");
    }

    #[test]
    fn the_threshold_looks_at_the_product() {
        let head = Yolox::new(32, 32, 1);
        let mut output = silent(&head);
        output[4] = 0.6;
        output[5] = 0.6;
        let mut found = Vec::new();
        head.decode(&output, 0.4, &mut found).unwrap();
        assert!(found.is_empty());
        head.decode(&output, 0.35, &mut found).unwrap();
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_bad_value_is_an_error_and_no_box() {
        let head = Yolox::new(32, 32, 2);
        let earlier = Candidate { class: 0, score: 0.5, bbox: [0.0; 4], row: 0 };
        let with = |index: usize, value: f32| {
            let mut output = silent(&head);
            output[7..14].copy_from_slice(&[0.0, 0.0, 0.0, 0.0, 0.9, 0.9, 0.1]);
            output[7 + index] = value;
            let mut found = vec![earlier];
            let result = head.decode(&output, 0.3, &mut found);
            assert_eq!(found.len(), 1 + usize::from(result.is_ok()));
            result
        };
        let wrong = |fault| Err(HeadError::Value { output: "output".into(), picture: 0, row: 1, fault });
        for index in 0..7 {
            for bad in [f32::NAN, f32::INFINITY] {
                assert_eq!(with(index, bad), wrong(Fault::NotFinite), "{index} {bad}");
            }
        }
        assert_eq!(with(4, f32::NEG_INFINITY), wrong(Fault::NotFinite));
        assert_eq!(with(2, 200.0), wrong(Fault::NotFinite), "a width in pixels, not its logarithm");
        assert!(matches!(with(2, 20.0), Err(HeadError::Value { fault: Fault::FarAway(_), .. })), "a small width in pixels");
        assert_eq!(with(4, 7.5), wrong(Fault::NotAProbability(7.5)));
        assert_eq!(with(4, -7.5), wrong(Fault::NotAProbability(-7.5)));
        assert_eq!(with(6, 3.0), wrong(Fault::NotAProbability(3.0)));
        assert_eq!(with(0, 0.5), Ok(()));
    }

    #[test]
    fn a_wrong_size_is_an_error() {
        let head = Yolox::new(32, 32, 2);
        let error = head.decode(&[0.0; 12], 0.3, &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "output `output` of shape [1,21,7] came with 12 values for 1 pictures");
    }
}
