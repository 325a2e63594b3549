//! From a float network to an FP16 or INT8 one, as plain ONNX whose precision is in the graph: strongly typed FP16, and explicit
//! INT8 in `QuantizeLinear`/`DequantizeLinear` pairs. Such a file means the same to TensorRT 10 and 11 and to ONNX Runtime.
//!
//! Pure: a network is run through [`Run`], which whoever calls this implements.

mod calibrate;
mod double;
mod finite;
mod fold;
mod fp16;
mod half;
mod prepare;
mod qdq;
mod ranges;
mod sensitivity;
mod types;
mod upgrade;

pub use calibrate::{Calibration, CalibrationError, Run};
pub use double::{DownCast, down_cast};
pub use fold::fold_batch_norms;
pub use fp16::{Fp16Options, Fp16Report, KeptFloat, MAX_HALF, convert};
pub use prepare::prepare;
pub use qdq::{Layer, Plan, QdqOptions, QdqReport, Shifting, Shifts, quantizable_ops};
pub use ranges::{Histogram, Method, Ranges};
pub use sensitivity::{Ranked, Search, Searched, rank};
pub use types::float_values;
pub(crate) use types::known as known_types;

use crate::onnx::NotFinite;

/// Why a network cannot be converted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PrecisionError {
    /// The operator set is too old for per-channel quantization.
    #[error("it uses operator set {opset}, and only 11 and later can be brought to 13, which per-channel scales need")]
    Opset {
        /// Its version.
        opset: i64,
    },
    /// Nothing is known of what a node makes.
    #[error("node `{node}` ({op}): the type of its output `{output}` is neither known nor declared")]
    UnknownType {
        /// The node.
        node: String,
        /// Its operator.
        op: String,
        /// The output.
        output: String,
    },
    /// A name that somebody gave is not in the graph.
    #[error("there is no node `{name}` to keep in float; the nearest names are {near}")]
    NoNode {
        /// The name.
        name: String,
        /// Some that are.
        near: String,
    },
    /// There is nothing to quantize.
    #[error("none of its nodes can be quantized (asked for: {ops})")]
    NothingToQuantize {
        /// The operators that were asked for.
        ops: String,
    },
    /// The file is of a kind already.
    #[error("it is {what} already (node `{node}`)")]
    Already {
        /// Quantized, or half.
        what: &'static str,
        /// A node that shows it.
        node: String,
    },
    /// A constant makes nonsense of whatever it meets.
    #[error("constant `{tensor}`, which node `{node}` reads, holds {found}: the float network itself does not work")]
    NotFinite {
        /// The constant.
        tensor: String,
        /// A node that reads it.
        node: String,
        /// How many of its values are no finite numbers.
        found: NotFinite,
    },
    /// A double does not fit a float.
    #[error("constant `{tensor}` holds {value}, which no 32-bit float can hold")]
    Overflow {
        /// The constant.
        tensor: String,
        /// The value, as text.
        value: String,
    },
}

impl PrecisionError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Opset { .. } => "export the network again with operator set 13 or later (torch.onnx.export(opset_version=17))",
            Self::UnknownType { .. } => {
                "declare the types in the file (onnx.shape_inference.infer_shapes) or export without custom operators"
            }
            Self::NoNode { .. } => "name a node of the graph; Netron shows them",
            Self::NothingToQuantize { .. } => "name operators that the network has (--ops)",
            Self::Already { .. } => "start from the float network",
            Self::NotFinite { .. } => "take an earlier checkpoint: the training diverged, or the file is damaged",
            Self::Overflow { .. } => "export the network in float32",
        }
    }
}

#[cfg(test)]
mod tests;
