//! The grids of cells that dense heads predict on.

/// Cells of all grids together: 2^22 are far more than any detector has.
const MAX_CELLS: usize = 1 << 22;
const MAX_GRIDS: usize = 8;

/// A cell by column and row of its grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cell {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) stride: f32,
}

/// Columns and rows of one grid. A cell that lies partly outside counts with `partial`.
pub(super) fn size(stride: usize, (width, height): (usize, usize), partial: bool) -> (usize, usize) {
    if partial { (width.div_ceil(stride), height.div_ceil(stride)) } else { (width / stride, height / stride) }
}

/// All cells: the first stride's row by row, then the next stride's.
pub(super) fn cells(strides: &[usize], input: (usize, usize), partial: bool) -> Vec<Cell> {
    let mut cells = Vec::with_capacity(strides.iter().map(|s| count(*s, input, partial)).sum());
    for &stride in strides {
        let (columns, rows) = size(stride, input, partial);
        for y in 0..rows {
            cells.extend((0..columns).map(|x| Cell { x: x as f32, y: y as f32, stride: stride as f32 }));
        }
    }
    cells
}

pub(super) fn count(stride: usize, input: (usize, usize), partial: bool) -> usize {
    let (columns, rows) = size(stride, input, partial);
    columns * rows
}

/// Whether such grids can be.
pub(super) fn check(strides: &[usize], (width, height): (usize, usize)) -> Result<(), String> {
    if strides.is_empty() || strides.len() > MAX_GRIDS || strides.contains(&0) {
        return Err(format!("strides are 1 to {MAX_GRIDS} numbers of pixels above 0, not {strides:?}"));
    }
    let cells = |stride: &usize| width.div_ceil(*stride).saturating_mul(height.div_ceil(*stride));
    if strides.iter().map(cells).fold(0, usize::saturating_add) > MAX_CELLS {
        return Err(format!("strides of {strides:?} give more than {MAX_CELLS} cells on {width}x{height}"));
    }
    if strides.iter().any(|stride| width / stride == 0 || height / stride == 0) {
        return Err(format!("an input of {width}x{height} has no cell of each of the strides {strides:?}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_row_by_row_and_stride_by_stride() {
        let all = cells(&[16, 32], (40, 32), false);
        let places: Vec<_> = all.iter().map(|c| (c.x, c.y, c.stride)).collect();
        assert_eq!(places, [(0.0, 0.0, 16.0), (1.0, 0.0, 16.0), (0.0, 1.0, 16.0), (1.0, 1.0, 16.0), (0.0, 0.0, 32.0)]);
        assert_eq!(cells(&[16, 32], (40, 32), true).len(), 6 + 2);
    }

    #[test]
    fn impossible_grids_are_refused() {
        for (strides, input) in [
            (&[][..], (64, 64)),
            (&[0][..], (64, 64)),
            (&[8; 9][..], (64, 64)),
            (&[64][..], (63, 64)),
            (&[1][..], (8192, 8192)),
            (&[1, 1][..], (usize::MAX, usize::MAX)),
        ] {
            assert!(check(strides, input).is_err(), "{strides:?} {input:?}");
        }
        assert_eq!(check(&[8, 16, 32], (640, 640)), Ok(()));
    }
}
