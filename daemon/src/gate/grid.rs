//! The luma plane in coarse cells.

use crate::media::HostPicture;

/// Cells side by side, about: 8×8 pixels each of a 640×360 picture.
const COLUMNS: usize = 80;
/// Cells one above the other, at most.
const ROWS: usize = 60;
/// Smallest side of a cell in pixels.
const SMALLEST: usize = 4;
/// Rows of each cell that are read.
const SAMPLED: usize = 4;

/// A luma plane `[height, stride]`, 8 bits a sample, of which `width` samples of each row are picture. The last row may end there.
#[derive(Clone, Copy, Debug)]
pub struct Luma<'a> {
    /// From the first sample on.
    pub samples: &'a [u8],
    /// Samples from one row to the next.
    pub stride: usize,
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// Of so many rows `samples` has the middle one only ([`Grid::every`]); 1: it has all.
    pub every: usize,
}

impl<'a> Luma<'a> {
    /// The luma of a picture.
    pub(crate) fn of(picture: &'a HostPicture) -> Self {
        let ((samples, stride), (width, height)) = (picture.plane(0), picture.plane_size(0));
        Self { samples, stride, width, height, every: 1 }
    }

    /// A row, or the one nearest above it that is there.
    pub(crate) fn row(&self, y: usize) -> &'a [u8] {
        let start = y.saturating_sub(self.every / 2) / self.every.max(1) * self.stride;
        self.samples.get(start..start + self.width).unwrap_or_default()
    }
}

/// Mean luma of the cells of a picture, row by row.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Side of a cell in pixels; those at the right and the lower edge may be cut.
    pub(super) cell: usize,
    pub(super) columns: usize,
    pub(super) rows: usize,
    /// `[rows, columns]`, 0..255.
    pub(super) means: Vec<f32>,
    sums: Vec<u16>,
}

impl Grid {
    /// Of so many rows of a picture of this size the middle one is enough.
    pub fn every(width: usize, height: usize) -> usize {
        (cell(width, height) / SAMPLED).max(1)
    }

    /// Reads a picture. Of each cell four rows are read.
    pub fn fill(&mut self, luma: Luma<'_>) {
        if (self.width, self.height) != (luma.width, luma.height) {
            self.lay_out(luma.width, luma.height);
        }
        let (cell, columns) = (self.cell, self.columns);
        let step = (cell / SAMPLED).max(1);
        for (r, means) in self.means.chunks_exact_mut(columns.max(1)).enumerate() {
            self.sums.fill(0);
            let last = ((r + 1) * cell).min(self.height);
            let mut read = 0_u16;
            for y in (r * cell + step / 2..last).step_by(step) {
                read += 1;
                // Down the columns first: that goes many samples at a time.
                self.sums.iter_mut().zip(luma.row(y)).for_each(|(sum, sample)| *sum += u16::from(*sample));
            }
            for (mean, sums) in means.iter_mut().zip(self.sums.chunks(cell)) {
                let sum: u32 = sums.iter().map(|sum| u32::from(*sum)).sum();
                *mean = sum as f32 / (sums.len() as f32 * f32::from(read.max(1)));
            }
        }
    }

    fn lay_out(&mut self, width: usize, height: usize) {
        let cell = cell(width, height);
        let (columns, rows) = (width.div_ceil(cell), height.div_ceil(cell));
        let (means, sums) = (vec![0.0; columns * rows], vec![0; width]);
        *self = Self { width, height, cell, columns, rows, means, sums };
    }

    /// Whether the picture's edge leaves less than half of a cell: too little for a mean.
    pub(super) fn is_sliver(&self, i: usize) -> bool {
        let (x, row) = (i % self.columns, i / self.columns);
        let less = |length: usize, at: usize| length.saturating_sub(at * self.cell) * 2 < self.cell;
        self.columns > 1 && less(self.width, x) || self.rows > 1 && less(self.height, row)
    }

    /// Whether there is anything in it.
    pub(super) fn is_empty(&self) -> bool {
        self.means.is_empty()
    }
}

/// Side of a cell.
fn cell(width: usize, height: usize) -> usize {
    width.div_ceil(COLUMNS).max(height.div_ceil(ROWS)).max(SMALLEST)
}

/// Slopes of a field `[rows, columns]` at a cell, per cell to the right and down. At the edges from one side.
pub(super) fn slopes(field: &[f32], columns: usize, x: usize, i: usize) -> (f32, f32) {
    let at = |i: usize| field.get(i).copied();
    let here = field[i];
    let left = if x > 0 { at(i - 1) } else { None };
    let right = if x + 1 < columns { at(i + 1) } else { None };
    let up = i.checked_sub(columns).and_then(at);
    let slope = |before: Option<f32>, after: Option<f32>| match (before, after) {
        (Some(before), Some(after)) => (after - before) * 0.5,
        (before, after) => after.unwrap_or(here) - before.unwrap_or(here),
    };
    (slope(left, right), slope(up, at(i + columns)))
}

/// The largest steps of a field `[rows, columns]` from a cell to its neighbours, across and up or down.
pub(super) fn steps(field: &[f32], columns: usize, x: usize, i: usize) -> (f32, f32) {
    let here = field[i];
    let to = |i: Option<usize>| i.and_then(|i| field.get(i)).map_or(0.0, |there| (there - here).abs());
    let left = to((x > 0).then(|| i - 1));
    let right = to((x + 1 < columns).then_some(i + 1));
    (left.max(right), to(i.checked_sub(columns)).max(to(Some(i + columns))))
}

/// Energy of fine and coarse edges of a picture: mean squares of the difference of samples two pixels apart, without what noise adds,
/// and of cells side by side. Defocus takes the fine ones away and leaves the coarse; light changes both alike.
pub(super) fn edges(luma: Luma<'_>, grid: &Grid, scratch: &mut Vec<f32>) -> (f32, f32) {
    scratch.clear();
    let cell = grid.cell.max(SMALLEST);
    for y in (cell / 2..luma.height).step_by(cell) {
        let row = luma.row(y);
        for (near, far) in row.chunks_exact(cell).zip(row.get(2..).unwrap_or_default().chunks_exact(cell)) {
            let energy: u32 = near.iter().zip(far).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum();
            scratch.push(energy as f32 / cell as f32);
        }
    }
    if scratch.is_empty() || grid.columns < 2 {
        return (0.0, 0.0);
    }
    let mean = scratch.iter().sum::<f32>() / scratch.len() as f32;
    let quarter = scratch.len() / 4;
    // The quietest quarter of a picture shows its noise.
    let noise = *scratch.select_nth_unstable_by(quarter, f32::total_cmp).1;
    let pairs = grid.means.chunks_exact(grid.columns).flat_map(|row| row.windows(2));
    let coarse: f32 = pairs.map(|pair| (pair[1] - pair[0]).powi(2)).sum();
    ((mean - 1.5 * noise).max(0.0), coarse / (grid.rows * (grid.columns - 1)) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_means_and_the_cut_ones_too() {
        let (width, height) = (645, 362);
        let samples: Vec<u8> = (0..width * height).map(|i| if i % width < 8 { 200 } else { 40 }).collect();
        let mut grid = Grid::default();
        grid.fill(Luma { samples: &samples, stride: width, width, height, every: 1 });
        assert_eq!((grid.cell, grid.columns, grid.rows), (9, 72, 41));
        assert!((grid.means[0] - (200.0 * 8.0 + 40.0) / 9.0).abs() < 1e-3, "{}", grid.means[0]);
        assert!(grid.means[1..72].iter().all(|mean| (mean - 40.0).abs() < 1e-3));
    }

    #[test]
    fn pictures_of_any_size_can_be_read() {
        let samples = vec![255; 64 * 64];
        for (width, height) in [(1, 1), (1, 64), (64, 1), (3, 5), (64, 64), (0, 0)] {
            let mut grid = Grid::default();
            grid.fill(Luma { samples: &samples, stride: 64, width, height, every: 1 });
            assert!(grid.means.iter().all(|mean| (mean - 255.0).abs() < 1e-3), "{width}x{height}: {grid:?}");
            edges(Luma { samples: &samples, stride: 64, width, height, every: 1 }, &grid, &mut Vec::new());
        }
        let (width, height) = (7680, 4320);
        let samples = vec![255; width * height];
        let mut grid = Grid::default();
        grid.fill(Luma { samples: &samples, stride: width, width, height, every: 1 });
        assert!(grid.columns <= 80 && grid.means.iter().all(|mean| (mean - 255.0).abs() < 1e-3));
    }

    /// The rows that a device gives are those that are read.
    #[test]
    fn some_rows_are_as_good_as_all() {
        for (width, height) in [(1920, 1080), (1280, 720), (640, 360), (3840, 2160), (352, 288)] {
            let samples: Vec<u8> = (0..width * height).map(|i| (i / width * 7 + i % width * 3 + i / 1001) as u8).collect();
            let every = Grid::every(width, height);
            let rows: Vec<u8> = samples.chunks(width).skip(every / 2).step_by(every).flatten().copied().collect();
            let (mut all, mut some) = (Grid::default(), Grid::default());
            all.fill(Luma { samples: &samples, stride: width, width, height, every: 1 });
            some.fill(Luma { samples: &rows, stride: width, width, height, every });
            assert!(all.cell % every != 0 || all.means == some.means, "{width}x{height}: every {every}th row");
            assert!(rows.len() * every <= samples.len() + width * every && !some.means.is_empty());
        }
    }
}
