//! The head of YOLOX (Ge et al. 2021, arXiv:2107.08430), read as the authors' own post-processing reads it.
//!
//! The output is `f32[N,A,5+C]` with one row per grid cell: first the cells of stride 8 row by row, then of 16, then of 32.
//! A row is `(x, y, w, h, objectness, C class scores)`, the last 1+C already through a sigmoid. With the cell's column and row
//! `(gx, gy)` and its stride `s`: centre `((x+gx)·s, (y+gy)·s)`, size `(exp(w)·s, exp(h)·s)`, score `objectness · class`.

use super::Candidate;

/// Strides of the three grids.
const STRIDES: [usize; 3] = [8, 16, 32];
/// A sigmoid computed in floating point stays within this of 0..1.
const PROBABILITY_SLACK: f32 = 1e-3;

/// How many rows the output has for an input of `width`×`height`: A.
pub fn anchor_count(width: usize, height: usize) -> usize {
    STRIDES.iter().map(|s| (width / s) * (height / s)).sum()
}

/// Why an output cannot be read. Nothing of it becomes a box.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum HeadError {
    /// The output has another size than the input's grids ask for.
    #[error("the output has {found} values, {anchors} anchors with {classes} classes need {expected}")]
    Size {
        /// Values that came.
        found: usize,
        /// Values that were expected.
        expected: usize,
        /// A.
        anchors: usize,
        /// C.
        classes: usize,
    },
    /// NaN or infinity where a box or a score should be.
    #[error("anchor {anchor} is not finite (a network exported with decoded boxes, or a numerical failure)")]
    NotFinite {
        /// Its row.
        anchor: usize,
    },
    /// A score outside 0..1.
    #[error("anchor {anchor} has the score {value}, outside 0..1: the network was exported without its sigmoids")]
    NotAProbability {
        /// Its row.
        anchor: usize,
        /// The value.
        value: f32,
    },
}

#[derive(Clone, Copy)]
struct Cell {
    x: f32,
    y: f32,
    stride: f32,
}

/// The head for one input size and class count.
pub struct Yolox {
    cells: Vec<Cell>,
    classes: usize,
}

impl Yolox {
    /// A head for inputs of `width`×`height` pixels and `classes` classes (at most `u16::MAX`).
    pub fn new(width: usize, height: usize, classes: usize) -> Self {
        let mut cells = Vec::with_capacity(anchor_count(width, height));
        for stride in STRIDES {
            for y in 0..height / stride {
                for x in 0..width / stride {
                    cells.push(Cell { x: x as f32, y: y as f32, stride: stride as f32 });
                }
            }
        }
        Self { cells, classes }
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
        let width = 5 + self.classes;
        if output.len() != self.output_len() {
            let (anchors, classes) = (self.cells.len(), self.classes);
            return Err(HeadError::Size { found: output.len(), expected: self.output_len(), anchors, classes });
        }
        let before = out.len();
        for (anchor, (row, cell)) in output.chunks_exact(width).zip(&self.cells).enumerate() {
            match read_row(row, cell, threshold) {
                Row::Nothing => {}
                Row::Found(candidate) => out.push(candidate),
                Row::NotFinite => {
                    out.truncate(before);
                    return Err(HeadError::NotFinite { anchor });
                }
                Row::NotAProbability(value) => {
                    out.truncate(before);
                    return Err(HeadError::NotAProbability { anchor, value });
                }
            }
        }
        Ok(())
    }
}

enum Row {
    Nothing,
    Found(Candidate),
    NotFinite,
    NotAProbability(f32),
}

#[inline]
fn read_row(row: &[f32], cell: &Cell, threshold: f32) -> Row {
    let objectness = row[4];
    // Class scores are at most 1, so objectness bounds the score from above. NaN fails both comparisons.
    if (-PROBABILITY_SLACK..threshold).contains(&objectness) {
        return Row::Nothing;
    }
    read_confident_row(row, cell, threshold, objectness)
}

fn read_confident_row(row: &[f32], cell: &Cell, threshold: f32, objectness: f32) -> Row {
    let (mut class, mut best) = (0, f32::NEG_INFINITY);
    for (i, &score) in row[5..].iter().enumerate() {
        if !score.is_finite() {
            return Row::NotFinite;
        }
        if !probable(score) {
            return Row::NotAProbability(score);
        }
        if score > best {
            (class, best) = (i, score);
        }
    }
    if !objectness.is_finite() {
        return Row::NotFinite;
    }
    if !probable(objectness) {
        return Row::NotAProbability(objectness);
    }
    let score = objectness * best;
    if score < threshold {
        return Row::Nothing;
    }
    let (cx, cy) = ((row[0] + cell.x) * cell.stride, (row[1] + cell.y) * cell.stride);
    let (w, h) = (row[2].exp() * cell.stride, row[3].exp() * cell.stride);
    let bbox = [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0];
    if bbox.iter().all(|edge| edge.is_finite()) {
        Row::Found(Candidate { class: class as u16, score: score.clamp(0.0, 1.0), bbox })
    } else {
        Row::NotFinite
    }
}

fn probable(value: f32) -> bool {
    (-PROBABILITY_SLACK..=1.0 + PROBABILITY_SLACK).contains(&value)
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
        let [Candidate { class, score, bbox }] = found[..] else { panic!("{found:?}") };
        assert_eq!(class, 1);
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
        let earlier = Candidate { class: 0, score: 0.5, bbox: [0.0; 4] };
        let with = |index: usize, value: f32| {
            let mut output = silent(&head);
            output[7..14].copy_from_slice(&[0.0, 0.0, 0.0, 0.0, 0.9, 0.9, 0.1]);
            output[7 + index] = value;
            let mut found = vec![earlier];
            let result = head.decode(&output, 0.3, &mut found);
            assert_eq!(found.len(), 1 + usize::from(result.is_ok()));
            result
        };
        for index in 0..7 {
            for bad in [f32::NAN, f32::INFINITY] {
                assert_eq!(with(index, bad), Err(HeadError::NotFinite { anchor: 1 }), "{index} {bad}");
            }
        }
        assert_eq!(with(4, f32::NEG_INFINITY), Err(HeadError::NotFinite { anchor: 1 }));
        assert_eq!(with(2, 200.0), Err(HeadError::NotFinite { anchor: 1 }), "a width in pixels, not its logarithm");
        assert_eq!(with(4, 7.5), Err(HeadError::NotAProbability { anchor: 1, value: 7.5 }));
        assert_eq!(with(4, -7.5), Err(HeadError::NotAProbability { anchor: 1, value: -7.5 }));
        assert_eq!(with(6, 3.0), Err(HeadError::NotAProbability { anchor: 1, value: 3.0 }));
        assert_eq!(with(0, 0.5), Ok(()));
    }

    #[test]
    fn a_wrong_size_is_an_error() {
        let head = Yolox::new(32, 32, 2);
        let result = head.decode(&[0.0; 12], 0.3, &mut Vec::new());
        assert_eq!(result, Err(HeadError::Size { found: 12, expected: 21 * 7, anchors: 21, classes: 2 }));
    }
}
