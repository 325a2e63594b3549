//! Inference: the [`Detector`] trait and those who implement it.

mod detector;

pub use detector::{DetectError, Detector, Output, View};
