//! Instance masks from prototypes (YOLACT, Bolya et al. 2019, arXiv:1904.02689).

/// Which pixels of its box an object covers, in pixels of the network's input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mask {
    /// Column of the mask's first pixel.
    pub left: u32,
    /// Row of the mask's first pixel.
    pub top: u32,
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// One bit per pixel, row after row without gaps, the lowest bit first.
    pub bits: Vec<u8>,
}

impl Mask {
    /// Nothing covered in these rows and columns.
    fn empty([left, top, right, bottom]: [u32; 4]) -> Self {
        let (width, height) = (right.saturating_sub(left), bottom.saturating_sub(top));
        let bits = vec![0; (width as usize * height as usize).div_ceil(8)];
        Self { left, top, width, height, bits }
    }

    /// Whether the pixel in this column and row of the input is covered.
    pub fn covers(&self, x: u32, y: u32) -> bool {
        let (Some(column), Some(row)) = (x.checked_sub(self.left), y.checked_sub(self.top)) else { return false };
        if column >= self.width || row >= self.height {
            return false;
        }
        let bit = row as usize * self.width as usize + column as usize;
        self.bits.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }

    /// Covered pixels.
    pub fn area(&self) -> usize {
        self.bits.iter().map(|byte| byte.count_ones() as usize).sum()
    }
}

/// Prototype masks of one picture: `f32[m,height,width]`.
pub(super) struct Prototypes<'a> {
    pub(super) data: &'a [f32],
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Prototypes<'_> {
    /// The mask of a box: the weighted sum of the prototypes, enlarged to the input's size by bilinear interpolation (pixel centres
    /// aligned, edges repeated), cut to the box, covered where above 0. `None` where the sum is not finite.
    pub(super) fn mask(&self, coefficients: &[f32], bbox: &[f32; 4], input: (usize, usize)) -> Option<Mask> {
        let pixel = |edge: f32, side: usize| edge.ceil().clamp(0.0, side as f32) as u32;
        let (left, right) = (pixel(bbox[0], input.0), pixel(bbox[2], input.0));
        let (top, bottom) = (pixel(bbox[1], input.1), pixel(bbox[3], input.1));
        let mut mask = Mask::empty([left, top, right, bottom]);
        if mask.bits.is_empty() || self.width == 0 || self.height == 0 {
            return Some(mask);
        }
        let columns: Vec<_> = (left..right).map(|x| Taps::new(x, input.0, self.width)).collect();
        let rows: Vec<_> = (top..bottom).map(|y| Taps::new(y, input.1, self.height)).collect();
        let part = self.weigh(coefficients, (columns[0].low, columns.last()?.high), (rows[0].low, rows.last()?.high))?;
        let mut bit = 0;
        for row in &rows {
            let (above, below) = (part.row(row.low), part.row(row.high));
            for column in &columns {
                let (a, b) = (column.low - part.left, column.high - part.left);
                let upper = above[a] * (1.0 - column.part) + above[b] * column.part;
                let lower = below[a] * (1.0 - column.part) + below[b] * column.part;
                if upper * (1.0 - row.part) + lower * row.part > 0.0 {
                    mask.bits[bit / 8] |= 1 << (bit % 8);
                }
                bit += 1;
            }
        }
        Some(mask)
    }

    /// The weighted sum in columns and rows from the first to the last, both included.
    fn weigh(&self, coefficients: &[f32], columns: (usize, usize), rows: (usize, usize)) -> Option<Part> {
        let width = columns.1 - columns.0 + 1;
        let mut sums = vec![0.0; width * (rows.1 - rows.0 + 1)];
        for (coefficient, plane) in coefficients.iter().zip(self.data.chunks_exact(self.height * self.width)) {
            for (row, sums) in (rows.0..=rows.1).zip(sums.chunks_exact_mut(width)) {
                let values = &plane[row * self.width + columns.0..][..width];
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += coefficient * value);
            }
        }
        let finite = sums.iter().all(|sum| sum.is_finite());
        finite.then_some(Part { sums, left: columns.0, top: rows.0, width })
    }
}

/// Part of a weighted sum.
struct Part {
    sums: Vec<f32>,
    left: usize,
    top: usize,
    width: usize,
}

impl Part {
    fn row(&self, row: usize) -> &[f32] {
        &self.sums[(row - self.top) * self.width..][..self.width]
    }
}

/// Two neighbours and the share of the second.
struct Taps {
    low: usize,
    high: usize,
    part: f32,
}

impl Taps {
    fn new(pixel: u32, pixels: usize, cells: usize) -> Self {
        let place = ((pixel as f32 + 0.5) * (cells as f32 / pixels as f32) - 0.5).max(0.0);
        let low = (place as usize).min(cells - 1);
        Self { low, high: (low + 1).min(cells - 1), part: place - low as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prototypes(data: &[f32]) -> Prototypes<'_> {
        Prototypes { data, height: 2, width: 2 }
    }

    #[test]
    fn a_mask_lies_in_its_box() {
        // The left half is covered.
        let mask = prototypes(&[1.0, -1.0, 1.0, -1.0]).mask(&[1.0], &[1.5, 2.0, 7.0, 20.0], (8, 8)).unwrap();
        assert_eq!((mask.left, mask.top, mask.width, mask.height), (2, 2, 5, 6));
        assert!(mask.covers(2, 2) && mask.covers(3, 7) && !mask.covers(4, 2));
        assert!(!mask.covers(1, 2) && !mask.covers(2, 1) && !mask.covers(7, 2) && !mask.covers(2, 8));
        assert_eq!(mask.area(), 12);
    }

    #[test]
    fn a_box_outside_has_an_empty_mask() {
        for bbox in [[9.0, 9.0, 20.0, 20.0], [-5.0, -5.0, -1.0, 3.0], [5.0, 5.0, 3.0, 3.0]] {
            let mask = prototypes(&[1.0; 4]).mask(&[1.0], &bbox, (8, 8)).unwrap();
            assert_eq!((mask.area(), mask.bits.len()), (0, 0), "{bbox:?}");
        }
    }

    #[test]
    fn a_sum_that_is_not_finite_is_no_mask() {
        assert_eq!(prototypes(&[1.0, f32::NAN, 1.0, 1.0]).mask(&[1.0], &[0.0, 0.0, 8.0, 8.0], (8, 8)), None);
    }
}
