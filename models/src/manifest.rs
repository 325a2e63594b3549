//! `model.toml`: what a network is, where it comes from and what it may be used for, beside its ONNX file.
//!
//! [`Manifest::parse`] reads one and tells every mistake at once, [`Manifest::to_toml`] writes one with comments,
//! [`Manifest::contradictions`] holds it against the graph, and [`recognise`] makes the first one from a graph.

mod agree;
mod card;
mod check;
mod metadata;
mod problem;
mod recognise;
mod section;
mod write;

#[cfg(test)]
mod tests;

pub use agree::describe;
pub use card::{Card, Digest, Gate, Precision, PrecisionKind};
pub use check::{MAX_MANIFEST_BYTES, is_name};
pub use metadata::{BadNames, class_names, imgsz};
pub use problem::Problem;
pub use recognise::{Assumption, Recognised, Unrecognised, recognise, without_manifest};

use crate::{onnx::Model, spec::ModelSpec};

/// A checked manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Its name, file, source and licence.
    pub card: Card,
    /// How to feed it and how to read it.
    pub spec: ModelSpec,
    /// Width and height must be multiples of this; 1 where the network's size is fixed.
    pub multiple: usize,
    /// How it was made, where it is an FP16 or INT8 file of ours.
    pub precision: Option<Precision>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// Every problem at once, each with key, value, reason and remedy.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        check::parse(text)
    }

    /// The manifest as commented TOML, which [`Self::parse`] reads back to the same value.
    pub fn to_toml(&self) -> String {
        write::manifest(self, &[])
    }

    /// What in it the graph contradicts: inputs, outputs, sizes, element types, number of classes. Empty: they agree as far as
    /// the graph declares it.
    pub fn contradictions(&self, model: &Model<'_>) -> Vec<Problem> {
        agree::contradictions(self, model)
    }
}
