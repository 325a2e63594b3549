//! Why a network cannot be cut.

use super::{RefusedNode, bytes as shown};

/// Why a network cannot be cut, or why it is not worth it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    /// Nothing is objected to.
    #[error("there is nothing to cut: no node is refused")]
    Nothing,
    /// An objection to no node in particular.
    #[error("it is refused as a whole, for no node in particular: {reason}")]
    Whole {
        /// The builder's words.
        reason: String,
    },
    /// An objection to a node that there is not.
    #[error("no node of the network is {what}, which is refused: {reason}")]
    NoNode {
        /// Place, name and operator as they were told.
        what: String,
        /// The builder's words.
        reason: String,
    },
    /// A node whose output nobody needs.
    #[error("no output of the network needs {node}")]
    Unneeded {
        /// The node.
        node: Box<RefusedNode>,
    },
    /// A constant.
    #[error("a constant is refused, which both parts would have: {node}")]
    Constant {
        /// The node.
        node: Box<RefusedNode>,
    },
    /// The refused node comes so early that nothing of worth is left.
    #[error("the network's first convolution or product, `{head}`, needs what is refused: {node}")]
    Head {
        /// The first node with weights.
        head: String,
        /// A node that it needs.
        node: Box<RefusedNode>,
    },
    /// No node has weights, and none is left.
    #[error("no node is left for the engine: {node}")]
    Empty {
        /// The first that is refused.
        node: Box<RefusedNode>,
    },
    /// Nothing can be handed over.
    #[error("it cannot be cut at tensor `{tensor}`, which `{maker}` ({op}) makes: {what}; refused is {node}")]
    Unfit {
        /// Between the parts.
        tensor: String,
        /// The node that makes it.
        maker: String,
        /// That node's operator.
        op: String,
        /// What is wrong with it.
        what: &'static str,
        /// The first that is refused.
        node: Box<RefusedNode>,
    },
    /// Between the parts is more than the options allow.
    #[error("between engine and tail were {} a frame ({tensors}), more than {}; refused is {node}", shown(*.bytes), shown(*.limit))]
    TooMuch {
        /// The largest tensors.
        tensors: String,
        /// Of all of them, for one frame.
        bytes: u64,
        /// The limit.
        limit: u64,
        /// The first that is refused.
        node: Box<RefusedNode>,
    },
    /// An operator that no part can run.
    #[error("node `{name}` is a `{op}` of the domain `{domain}`, which neither the engine nor ONNX Runtime has: {reason}")]
    NoRuntime {
        /// Its name.
        name: String,
        /// Its operator.
        op: String,
        /// Its operator set.
        domain: String,
        /// The builder's words, or why it is in the tail.
        reason: String,
    },
    /// An output that is an input or a constant.
    #[error("its output `{output}` is made by no node")]
    PassThrough {
        /// Its name.
        output: String,
    },
}

impl CutError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Nothing => "build the engine of the whole network",
            Self::Whole { .. } => "run the model on the CPU, or export it as the reason says",
            Self::NoNode { .. } => "give the file that was refused",
            Self::Unneeded { .. } | Self::Constant { .. } | Self::PassThrough { .. } => {
                "export the network again, simplified (`python -m onnxsim in.onnx out.onnx`)"
            }
            Self::Head { .. } | Self::Empty { .. } => {
                "export the network without its preprocessing (egret scales and normalises pictures itself), or run it on the CPU"
            }
            Self::Unfit { what, .. } if *what == super::split::UNKNOWN => {
                "declare the shapes in the file (onnx.shape_inference.infer_shapes, or onnxsim), or run the model on the CPU"
            }
            Self::Unfit { .. } => "export the network without the refused operator, or run it on the CPU",
            Self::TooMuch { .. } => "export the network without the refused operator (YOLO: nms=False), or run it on the CPU",
            Self::NoRuntime { .. } => {
                "export the network of ONNX's own operators, without plugins (YOLO: nms=False, no `--end2end`)"
            }
        }
    }
}
