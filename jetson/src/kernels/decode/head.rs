//! What the outputs of a network mean, in the words of the kernels. Whoever knows manifests translates them.

use super::params::{Grid, Place};

/// What turns a class output into a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The network has done it already.
    None,
    /// Each class by itself.
    Sigmoid,
    /// Over all classes of a prediction.
    Softmax,
}

/// How rows become candidates. C is the number of classes, A the number of rows, N the batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Scanner {
    /// `[N,A,5+C]`: x, y, w, h, objectness, classes. With grids as YOLOX has it, relative to cells; without, centre and size in
    /// pixels (YOLOv5, YOLOv7).
    Objectness {
        /// Of all cells, or none.
        grids: Vec<Grid>,
    },
    /// Raw grids of YOLOv5: one output per grid, `[N,a,H,W,5+C]`, or with `planes` `[N,a·(5+C),H,W]`. A row is an anchor's cell.
    Anchors {
        /// `first` counts rows, `cells` those of one anchor.
        grids: Vec<Grid>,
        /// Width and height in pixels, the same number of each grid.
        anchors: Vec<Vec<[f32; 2]>>,
        /// Whether each value is a plane.
        planes: bool,
    },
    /// `[N,A,4+C+E]`, or with `by_column` `[N,4+C+E,A]`: centre x, centre y, w, h in pixels, classes, and E more (YOLOv8 and later).
    Table {
        /// Whether the values of a column lie together.
        by_column: bool,
        /// Whether the first of the E is the angle of the box.
        angle: bool,
    },
    /// Boxes that are final.
    Final(FinalRows),
    /// SSD: boxes `[N,A,4]`, scores `[N,A,C']`; or with `by_column` `[N,4,A]` and `[N,C',A]`.
    Ssd {
        /// Centre x, centre y, width, height, 0..1; none where the network has decoded its boxes.
        priors: Option<Vec<[f32; 4]>>,
        /// Factors of the offsets of the centre and of the logarithm of the size.
        variances: [f32; 2],
        /// Of the class outputs.
        activation: Activation,
        /// Whether class 0 of the output is the background: C' = C+1.
        background: bool,
        /// Whether a box is y, x, h, w.
        y_first: bool,
        /// Whether boxes are cut at the picture's edge.
        clip: bool,
        /// Whether the values of a column lie together.
        by_column: bool,
    },
    /// DETR: logits `[N,Q,C']` and boxes `[N,Q,4]`; with a softmax C' = C+1.
    Queries {
        /// Of the class outputs.
        activation: Activation,
        /// How many of the queries × classes are looked at.
        top_k: u32,
    },
    /// Classes after the sigmoid and distributions of distances; `joined` in one output `[N,A,C+4·bins]`, else `[N,cells,C]` per grid
    /// and then `[N,cells,4·bins]` per grid (NanoDet, PicoDet).
    Distribution {
        /// Of all cells.
        grids: Vec<Grid>,
        /// Of an edge.
        bins: u32,
        /// Where in its cell a prediction's point lies, 0..1.
        point: f32,
        /// Whether boxes are cut at the picture's edge.
        clip: bool,
        /// Whether scores and edges are one output.
        joined: bool,
    },
    /// Boxes `[N,A,4]` in pixels and scores `[N,C,A]` (PicoDet, decoded).
    Decoded,
    /// Coverage `[N,C,H,W]` and edges `[N,4·C,H,W]` (`DetectNet_v2`). A row is a cell of a class.
    Coverage {
        /// The one grid.
        grid: Grid,
        /// Pixels per unit of the edges.
        scale: f32,
        /// Pixels from a cell's corner to its point.
        offset: f32,
    },
}

/// Where the values of a final box lie.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FinalRows {
    /// Confidence.
    pub score: Place,
    /// Index into the class names, plus `first_class`.
    pub class: Place,
    /// Left, top, right, bottom; with `angle` centre x, centre y, w, h.
    pub edges: [Place; 4],
    /// Pixels per unit of x and y.
    pub scale: [f32; 2],
    /// What the first class is called.
    pub first_class: u16,
    /// Values of a row of output 0.
    pub columns: u32,
    /// The column of the angle in output 0, if boxes are turned.
    pub angle: Option<u32>,
    /// Whether output 0 is the number of rows that count.
    pub counted: bool,
    /// Whether the rows are of the whole batch.
    pub whole: bool,
    /// The column of output 0 with the picture's place in the batch, of rows of the whole batch.
    pub picture: Option<u32>,
}

/// What belongs to a box beside it, in columns of output 0 from `at` on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum More {
    /// Nothing.
    #[default]
    Nothing,
    /// An angle: five floats, centre, size and angle in 0..π/2.
    Angle {
        /// Its column.
        at: u32,
    },
    /// Key points: three floats each, x, y and visibility.
    Keypoints {
        /// The first column.
        at: u32,
        /// How many.
        count: u32,
        /// Columns of each: 2 or 3.
        values: u32,
    },
    /// Mask coefficients, as they come.
    Coefficients {
        /// The first column.
        at: u32,
        /// How many.
        count: u32,
    },
}

impl More {
    /// Floats of a box.
    pub fn width(self) -> u32 {
        match self {
            Self::Nothing => 0,
            Self::Angle { .. } => 5,
            Self::Keypoints { count, .. } => 3 * count,
            Self::Coefficients { count, .. } => count,
        }
    }
}

/// How the outputs of a network are read.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// How rows become candidates.
    pub scanner: Scanner,
    /// Width and height of the network's input, in pixels.
    pub input: (u32, u32),
    /// C.
    pub classes: u32,
    /// Rows of a picture.
    pub rows: u32,
    /// How far from the origin an edge may be, in pixels.
    pub limit: f32,
    /// Which output has boxes that are in pixels as they come.
    pub pixels: Option<u32>,
    /// Whether duplicates are suppressed; else boxes are final.
    pub suppress: bool,
    /// What belongs to a box.
    pub more: More,
}
