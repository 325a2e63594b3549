//! A bounded reader of ONNX files (`onnx.proto`, IR version 3 and later). It never panics, allocates in proportion to what it
//! keeps and never more than its limits allow, and refuses what a detector has no business to contain, so that no runtime meets a
//! hostile file first.
//!
//! What a file *computes* is not judged beyond the sizes of what it asks for, as far as they can be told without running it.

pub mod cut;
pub mod edit;
mod finite;
mod graph;
mod growth;
mod kinds;
mod operators;
mod shapes;
mod sound;
mod tensor;
mod wire;
mod wiring;
mod write;

#[cfg(test)]
pub(crate) mod builder;
#[cfg(test)]
mod tests;

pub use finite::NotFinite;
pub use graph::{Attribute, AttributeValue, Dim, Graph, Model, Node, ValueInfo, read, read_named};
pub(crate) use sound::is_weighted;
pub use tensor::{ElementType, Tensor};

/// Largest file that is read.
pub const MAX_FILE_BYTES: u64 = 1 << 30;
/// Largest tensor, of a file or asked for by one, in elements.
pub const MAX_ELEMENTS: u64 = 1 << 28;

/// Why a file is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refused {
    /// Another kind of file.
    #[error("it is {kind}, not an ONNX model")]
    NotOnnx {
        /// What it looks like.
        kind: &'static str,
        /// How to come by an ONNX file.
        export: &'static str,
    },
    /// Over [`MAX_FILE_BYTES`].
    #[error("it has {bytes} bytes, more than the {MAX_FILE_BYTES} that are read")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// The bytes are no protobuf, or break off.
    #[error("it is truncated or damaged: {what} at byte {offset}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
        /// Where.
        offset: usize,
    },
    /// More of something than any detector has.
    #[error("it has more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A tensor's data lies in another file.
    #[error("tensor `{tensor}` keeps its data in another file (`{location}`)")]
    ExternalData {
        /// Its name.
        tensor: String,
        /// The other file.
        location: String,
    },
    /// A tensor's shape and bytes do not go together.
    #[error("tensor `{tensor}`: {what}")]
    Tensor {
        /// Its name.
        tensor: String,
        /// What is wrong.
        what: String,
    },
    /// Something that a plain feed-forward graph does not need.
    #[error("{place} uses {what}")]
    Unsupported {
        /// The node or the part of the file.
        place: String,
        /// What it uses.
        what: &'static str,
    },
    /// An operator that is no part of ONNX.
    #[error("node `{node}` is a `{op}` of the domain `{domain}`, which ONNX does not define")]
    CustomOperator {
        /// Its name.
        node: String,
        /// Its operator.
        op: String,
        /// Its operator set.
        domain: String,
    },
    /// A constant asks for a huge tensor.
    #[error("node `{node}` ({op}) asks for a tensor of {elements} elements or more; the limit is {MAX_ELEMENTS}")]
    Growth {
        /// Its name.
        node: String,
        /// Its operator.
        op: String,
        /// How many.
        elements: u64,
    },
    /// A node needs what it makes itself.
    #[error("node `{node}` ({op}) needs its own output: {way} go round in a circle")]
    Circle {
        /// Its name.
        node: String,
        /// Its operator.
        op: String,
        /// The nodes of the circle, or some of them.
        way: String,
    },
    /// A node reads what there is not.
    #[error("node `{node}` ({op}) reads `{value}`, which is neither an input, nor a constant, nor made by any node")]
    MadeByNobody {
        /// Its name.
        node: String,
        /// Its operator.
        op: String,
        /// What it reads.
        value: String,
    },
    /// A node makes what is there already.
    #[error("node `{node}` ({op}) makes `{value}`, which is there already")]
    MadeTwice {
        /// Its name.
        node: String,
        /// Its operator.
        op: String,
        /// What it makes.
        value: String,
    },
    /// An output that nothing makes.
    #[error("its output `{output}` is made by no node")]
    NoSuchOutput {
        /// Its name.
        output: String,
    },
    /// A version that is not known here.
    #[error("its {what} is {version}, and {newest} is the newest that is known here")]
    TooNew {
        /// Of what.
        what: &'static str,
        /// The file's.
        version: i64,
        /// The newest.
        newest: i64,
    },
    /// The file does not say how its operators are meant.
    #[error("it names no operator set of ONNX")]
    NoOperatorSet,
    /// An operator that ONNX does not define, or not in the file's operator set.
    #[error("node `{node}` is a `{op}`, {}", match since {
        Some(since) => format!("which came with operator set {since}; the file says {opset}"),
        None => "which ONNX does not define".to_owned(),
    })]
    NoSuchOperator {
        /// Its name.
        node: String,
        /// Its operator.
        op: String,
        /// The file's operator set.
        opset: i64,
        /// The one that the operator came with, if ONNX defines it.
        since: Option<i64>,
    },
    /// A constant that makes nonsense of whatever it meets.
    #[error("tensor `{tensor}`, which node `{node}` ({op}) reads, holds {found}")]
    NotFinite {
        /// The constant.
        tensor: String,
        /// A node that reads it.
        node: String,
        /// Its operator.
        op: String,
        /// How many of its values are no finite numbers.
        found: NotFinite,
    },
    /// A graph without a manifest that says of too little how it is meant.
    #[error("{what}")]
    NeedsManifest {
        /// What is known of it.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The network has another number of classes than there are names.
    #[error("its output `{output}` has {classes} classes, but {names} class names are configured")]
    Classes {
        /// Name of the output.
        output: String,
        /// Classes of the network.
        classes: usize,
        /// Names.
        names: usize,
    },
}

impl Refused {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NotOnnx { export, .. } => export,
            Self::TooLarge { .. } => "use a smaller network",
            Self::Damaged { .. } => "copy or download the file again and compare its checksum",
            Self::TooMany { .. } => "export the network for inference alone, simplified",
            Self::ExternalData { .. } => "save the model as one file (onnx.save_model with save_as_external_data=False)",
            Self::Tensor { .. } => "export the network again; onnx.checker.check_model names what else is wrong",
            Self::Unsupported { .. } => {
                "export the plain feed-forward graph, functions inlined, without post-processing; onnxsim (`python -m onnxsim in.onnx \
                 out.onnx`) folds control flow that does not depend on the picture"
            }
            Self::CustomOperator { .. } => {
                "export the network without its plugin (YOLO: no `--end2end`, nms=False); egret does the post-processing"
            }
            Self::Growth { .. } => "use a model from a source that you trust",
            Self::Circle { .. } | Self::MadeByNobody { .. } | Self::MadeTwice { .. } | Self::NoSuchOutput { .. } => {
                "export the network again; a tool that cut or joined graphs made this one, and onnx.checker.check_model refuses it too"
            }
            Self::TooNew { .. } => "export it again with an older operator set (torch.onnx.export(opset_version=17))",
            Self::NoOperatorSet => "export the network again; opset_import is missing in this file",
            Self::NoSuchOperator { since: Some(_), .. } => {
                "export it again with that operator set or a later one (torch.onnx.export(opset_version=...))"
            }
            Self::NoSuchOperator { since: None, .. } => {
                "export the network of ONNX's own operators alone, without plugins and custom operators"
            }
            Self::NotFinite { .. } => {
                "take an earlier checkpoint: the training diverged, or the file is damaged; no picture gives anything but nonsense"
            }
            Self::NeedsManifest { remedy, .. } => remedy,
            Self::Classes { .. } => "list the class names of this network under `classes`, in the order of its outputs",
        }
    }
}
