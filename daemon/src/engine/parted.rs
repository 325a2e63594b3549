//! A network in two parts, where TensorRT refuses nodes of it: the engine's, and a tail for ONNX Runtime.

use egret_jetson::tensorrt;
use egret_models::onnx::{
    Refused,
    cut::{self, Cut, CutError, CutOptions, Objection},
    edit::Model,
};

use super::{Order, Plan, TailPart, manifest::tail_file};
use crate::{
    file,
    infer::{Tail, TailError},
};

/// Most cuts of one network: parser and builder may refuse other nodes each time.
const MOST: usize = 8;

/// Why a network that TensorRT refuses is not cut in two.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The file cannot be changed.
    #[error("it cannot be cut in two: {0}")]
    Unread(#[from] Refused),
    /// No cut is possible, or none is worth it.
    #[error("it cannot be cut in two: {0}; {remedy}", remedy = .0.remedy())]
    Cut(#[from] CutError),
    /// There is no end to it.
    #[error("it was cut {MOST} times, and more is refused each time; run the model on the CPU (runtime.device = \"cpu\")")]
    Endless,
    /// It could be cut, but the second part would not run.
    #[error("it could be {cut}. {error}")]
    Tail {
        /// Where and why.
        cut: String,
        /// Why the second part does not run.
        error: TailError,
    },
}

/// A network that was cut.
pub(super) struct Parted {
    whole: Model,
    cut: Cut,
    /// The engine's part, an ONNX file.
    pub(super) engine: Vec<u8>,
    tail: Vec<u8>,
}

impl Parted {
    /// Cuts a network where something of it is refused; or anew, for the second time and so on, where something of the engine's part is. ONNX Runtime must take the
    /// tail: an engine without it is of no use, and takes minutes.
    pub(super) fn next(
        before: Option<Self>,
        times: usize,
        order: &Order,
        objections: &[Objection],
        onnxruntime: Option<&std::path::Path>,
    ) -> Result<Self, PartError> {
        if times > MOST {
            return Err(PartError::Endless);
        }
        // What the cutter takes for open sides is what the profile fixes them to.
        let picture = order.profile.inputs.first();
        let size = picture.map(|input| input.shape.iter().map(|&side| if side < 0 { 1 } else { side }).collect());
        let options = CutOptions { size, ..CutOptions::default() };
        let (whole, mut cut) = match before {
            None => {
                let whole = Model::read(&order.onnx)?;
                let cut = cut::cut(&whole, objections, &options)?;
                (whole, cut)
            }
            Some(Self { whole, cut, .. }) => {
                let cut = cut.again(&whole, objections, &options)?;
                (whole, cut)
            }
        };
        // Pictures are drawn on the device; other inputs are constants, which both parts are given.
        if let Some(picture) = picture {
            cut.hand_over(&picture.name)?;
        }
        let parted = Self { engine: cut.engine.write(), tail: cut.tail.write(), whole, cut };
        Tail::new(&parted.tail, onnxruntime).map_err(|error| PartError::Tail { cut: parted.text(), error })?;
        Ok(parted)
    }

    /// Where and why, in one line.
    pub(super) fn text(&self) -> String {
        self.cut.to_string()
    }

    /// Whether the engine's part has that input.
    pub(super) fn has_input(&self, name: &str) -> bool {
        self.cut.engine.graph.inputs.iter().any(|input| input.name == name)
    }

    /// The tail's file for a folder of engines, and what its manifest says of it.
    pub(super) fn kept(self, stem: &str) -> (TailPart, Vec<u8>) {
        let sha256 = file::sha256(&self.tail);
        let plan = Plan { file: tail_file(stem, &sha256), sha256, bytes: self.tail.len() as u64 };
        let part = TailPart { file: plan, rules: cut::VERSION, cut: self.text(), frame_bytes: self.cut.frame_bytes() };
        (part, self.tail)
    }
}

/// What TensorRT has against nodes of the network that it was given; `None`: its complaint is of another kind.
pub(super) fn objections(error: &tensorrt::Error, before: Option<&Parted>, order: &Order) -> Option<Vec<Objection>> {
    if let tensorrt::Error::Parse { errors } = error {
        let objection = |error: &tensorrt::ParserError| Objection {
            node: error.node.map(|node| node as usize),
            name: error.name.clone(),
            op: error.operator.clone(),
            reason: error.reason.trim().to_owned(),
        };
        return Some(errors.iter().map(objection).collect());
    }
    let layers = error.unbuildable();
    if layers.is_empty() {
        return None;
    }
    // Layers are called as the nodes are that they were made of; what is fused from several has all their names.
    let whole = Model::read(&order.onnx).ok()?;
    let given = before.map_or(&whole.graph, |parted| &parted.cut.engine.graph);
    let refused = given.nodes.iter().enumerate().filter(|(_, node)| layers.iter().any(|layer| layer == node.label()));
    let reason = "TensorRT could not find any implementation";
    let objections = refused.map(|(place, node)| Objection {
        node: Some(place),
        name: node.name.clone(),
        op: node.op.clone(),
        reason: reason.to_owned(),
    });
    Some(objections.collect::<Vec<_>>()).filter(|found| !found.is_empty())
}

#[cfg(all(test, feature = "doubles"))]
mod tests;
