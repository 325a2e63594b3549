//! Inference: the [`Detector`] trait, those who implement it, and the loop that runs one.

mod clip;
mod cpu;
mod detector;
mod device_head;
mod engine;
mod extras;
mod letterbox;
mod load;
mod null;
mod onnxruntime;
mod probe;
mod reader;
mod rten;
mod scripted;
mod swap;
mod tail;
#[cfg(feature = "tensorrt")]
pub mod tensorrt;
mod tiles;
mod worker;

pub use clip::{Clip, Crop, Cropper};
pub use cpu::Cpu;
pub use detector::{DetectError, Detector, Output, View};
pub use device_head::{DeviceHead, device_head};
pub use letterbox::{Letterbox, Placement};
pub(crate) use load::load_bytes;
#[cfg(feature = "tensorrt")]
pub(crate) use load::order;
pub use load::{Coming, Examined, Flaw, LoadError, Loaded, examine, load, load_all, load_cpu};
pub use null::Null;
pub(crate) use onnxruntime::installed as onnxruntime_library;
#[cfg(all(test, feature = "doubles"))]
pub(crate) use onnxruntime::without_onnxruntime;
pub(crate) use probe::Probe;
pub use scripted::Scripted;
pub use swap::{CANARY_GATE, CanaryError, Heir, Pair, Succession, Swap, TRIAL_BATCHES, Trial, canary, succeed};
pub use tail::{Given, Tail, TailError, Values};
pub(crate) use worker::Instance;
pub use worker::{WorkerError, worker};

#[cfg(test)]
mod network_tests;
#[cfg(test)]
#[path = "../tests/steps/onnx.rs"]
pub(crate) mod onnx_file;
#[cfg(test)]
mod tests;
