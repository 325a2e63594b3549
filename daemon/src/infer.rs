//! Inference: the [`Detector`] trait, those who implement it, and the loop that runs one.

mod cpu;
mod detector;
mod letterbox;
mod load;
mod null;
mod onnxruntime;
mod rten;
mod scripted;
mod worker;

pub use cpu::Cpu;
pub use detector::{DetectError, Detector, Output, View};
pub use letterbox::{Letterbox, Placement};
pub use load::{LoadError, Loaded, load, load_cpu};
pub use null::Null;
pub use scripted::Scripted;
pub use worker::{WorkerError, worker};

#[cfg(test)]
mod tests;
