//! Readers of raw network outputs.

mod spec;
mod yolox;

pub use spec::{Activation, Column, HeadSpec, Priors};
pub use yolox::{HeadError, Yolox, anchor_count};

/// A box that a head found, before suppression, in pixels of the network's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Index into the class names.
    pub class: u16,
    /// Confidence, 0..1.
    pub score: f32,
    /// Left, top, right, bottom.
    pub bbox: [f32; 4],
}
