//! Why outputs cannot be read.

use std::fmt;

/// Why a head cannot be made, or why outputs cannot be read. Nothing of such outputs becomes a box.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum HeadError {
    /// The parameters contradict themselves.
    #[error("the head `{kind}` cannot be made: {reason}")]
    Spec {
        /// Of the head.
        kind: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The outputs are not those of this head.
    #[error(
        "the outputs are {found}; the head `{kind}` reads {expected} \
         (another head, another number of classes, another input size, or outputs that are not listed)"
    )]
    Shapes {
        /// Of the head.
        kind: &'static str,
        /// What came.
        found: String,
        /// What would fit.
        expected: String,
    },
    /// An output has another number of values than its shape says, or fewer pictures than asked for.
    #[error("output `{output}` of shape {shape} came with {found} values for {pictures} pictures")]
    Size {
        /// Its name.
        output: String,
        /// Its shape, as it came.
        shape: String,
        /// Values that came.
        found: usize,
        /// Pictures that were asked for.
        pictures: usize,
    },
    /// A value that no sound network gives.
    #[error("output `{output}`, picture {picture}, row {row}: {fault}")]
    Value {
        /// Its name.
        output: String,
        /// Position in the batch.
        picture: usize,
        /// Anchor, query, cell or row.
        row: usize,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// NaN or infinity where a box or a score should be.
    NotFinite,
    /// A score outside 0..1.
    NotAProbability(f32),
    /// All logits lie within 0..1.
    AlreadyScores,
    /// An edge or a point far outside the picture, in pixels of the network's input.
    FarAway(f32),
    /// All boxes lie within a pixel of the corner.
    Normalised,
    /// A class that is none of the names.
    NoSuchClass {
        /// As it came.
        class: f32,
        /// How many there are.
        classes: usize,
    },
    /// Rows of a batch of several pictures that do not say whose they are.
    Unattributed,
    /// A number of boxes that cannot be.
    Count {
        /// As it came.
        count: f32,
        /// Rows of the outputs.
        rows: usize,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite => write!(
                f,
                "a value is not finite (a numerical failure, in FP16 most often an overflow, or a network exported with another \
                 output layout)"
            ),
            Self::NotAProbability(value) => {
                write!(f, "the score {value} is outside 0..1: the network was exported without its sigmoid or softmax")
            }
            Self::AlreadyScores => {
                write!(
                    f,
                    "all logits lie within 0..1: the network was exported with its sigmoid or softmax (activation = \"none\")"
                )
            }
            Self::FarAway(value) => write!(
                f,
                "{value} px is far outside the picture: boxes in other units than this head reads (pixels, 0..1, or raw), or \
                 a numerical failure"
            ),
            Self::Normalised => write!(
                f,
                "all boxes lie within a pixel of the top left corner: they are 0..1 of the picture where this head reads pixels \
                 (normalised = true, where the head has it, or an export in pixels)"
            ),
            Self::NoSuchClass { class, classes } => {
                write!(f, "class {class}, but there are {classes} names (a names file that does not belong to the network)")
            }
            Self::Unattributed => write!(
                f,
                "the rows of a batch do not say which picture they are of: name their column `picture`, or give the network one \
                 picture at a time"
            ),
            Self::Count { count, rows } => write!(f, "{count} boxes are announced in {rows} rows"),
        }
    }
}

/// A fault and where it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct At {
    /// Which of the head's outputs.
    pub(super) role: usize,
    pub(super) row: usize,
    pub(super) fault: Fault,
}

impl Fault {
    pub(super) fn at(self, role: usize, row: usize) -> At {
        At { role, row, fault: self }
    }
}
