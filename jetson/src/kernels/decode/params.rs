//! What the decoding kernels are given, field by field as in `kernels/decode.cuh`.

use super::super::launch::Params;

pub(super) const MAX_OUTPUTS: usize = 16;
pub(super) const MAX_GRIDS: usize = 8;
pub(super) const MAX_ANCHORS: usize = 16;
/// Candidates of a picture that can be ranked.
pub(super) const MAX_RANKED: u32 = 4096;

/// `Output`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OutputParams {
    pub(super) data: u64,
    pub(super) per_picture: u64,
    pub(super) element: u32,
    pub(super) reserved: u32,
}

/// One grid of cells: `Grid`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Grid {
    /// Its first row among those of all grids.
    pub first: u32,
    /// Cells along a row.
    pub columns: u32,
    /// All its cells.
    pub cells: u32,
    /// Pixels of a cell.
    pub stride: f32,
}

/// Where a value of a row lies: element `row·step + at` of an output. `Place`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Which output.
    pub output: u32,
    /// From row to row.
    pub step: u32,
    /// Within the row.
    pub at: u32,
}

/// `Candidate`: only its size matters here.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Candidate {
    bbox: [f32; 4],
    score: f32,
    class: u32,
    row: u32,
    reserved: u32,
}

/// `Counters`, as they begin.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counters {
    fault: u64,
    count: u32,
    flags: u32,
}

impl Default for Counters {
    fn default() -> Self {
        Self { fault: u64::MAX, count: 0, flags: 0 }
    }
}

/// `Turned`: only its size matters here.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Turned([f32; 6]);

/// `Scan`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScanParams {
    pub(super) outputs: [OutputParams; MAX_OUTPUTS],
    pub(super) candidates: u64,
    pub(super) counters: u64,
    pub(super) confidences: u64,
    pub(super) priors: u64,
    pub(super) capacity: u32,
    pub(super) rows: u32,
    pub(super) classes: u32,
    pub(super) columns: u32,
    pub(super) lowest: f32,
    pub(super) lowest_ln: f32,
    pub(super) limit: f32,
    pub(super) width: f32,
    pub(super) height: f32,
    pub(super) grid_count: u32,
    pub(super) grids: [Grid; MAX_GRIDS],
    pub(super) anchors: [[[f32; 2]; MAX_ANCHORS]; MAX_GRIDS],
    pub(super) anchor_count: u32,
    pub(super) by_column: u32,
    pub(super) activation: u32,
    pub(super) background: u32,
    pub(super) y_first: u32,
    pub(super) clip: u32,
    pub(super) joined: u32,
    pub(super) angle: u32,
    pub(super) bins: u32,
    pub(super) first_class: u32,
    pub(super) has_count: u32,
    pub(super) whole: u32,
    pub(super) picture_place: u32,
    pub(super) variances: [f32; 2],
    pub(super) scale: [f32; 2],
    pub(super) point: f32,
    pub(super) score: Place,
    pub(super) class_index: Place,
    pub(super) edges: [Place; 4],
}

// SAFETY: `repr(C)`, and the fields are those of `Scan` in `kernels/decode.cuh`.
unsafe impl Params for ScanParams {}

/// `Select`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SelectParams {
    pub(super) table: OutputParams,
    pub(super) candidates: u64,
    pub(super) counters: u64,
    pub(super) confidences: u64,
    pub(super) turned: u64,
    pub(super) results: u64,
    pub(super) result_bytes: u64,
    pub(super) capacity: u32,
    pub(super) ranked: u32,
    pub(super) detections: u32,
    pub(super) suppress: u32,
    pub(super) class_agnostic: u32,
    pub(super) iou: f32,
    pub(super) limit: f32,
    pub(super) late: u32,
    pub(super) logits: u32,
    pub(super) pixels: u32,
    pub(super) more: u32,
    pub(super) more_at: u32,
    pub(super) more_count: u32,
    pub(super) more_values: u32,
    pub(super) rows: u32,
    pub(super) columns: u32,
    pub(super) by_column: u32,
    pub(super) reserved: u32,
}

// SAFETY: `repr(C)`, and the fields are those of `Select` in `kernels/decode.cuh`.
unsafe impl Params for SelectParams {}

// The same sizes are asserted in the sources.
const _: () = assert!(size_of::<ScanParams>() == 1752 && size_of::<SelectParams>() == 144);
const _: () = assert!(size_of::<Candidate>() == 32 && size_of::<Counters>() == 16 && size_of::<Turned>() == 24);
