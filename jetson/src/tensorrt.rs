//! TensorRT, loaded at run time: one binary for 10.3 and later and for 11, and for machines that have none.
//!
//! Nothing is linked. The C++ interfaces are reached through a thin shim that is compiled once per major (`shim/`), chosen by the
//! version that the installed library reports. Networks are strongly typed: precisions are those of the ONNX file (FP16, or INT8 as
//! Q/DQ), which is the one way that TensorRT 10 and 11 share.
//!
//! The layers: `sys` mirrors the shim's table, `result` and `build` check each call and keep parents alive, and what is public is safe.
//! TensorRT works in the CUDA context that is current on the calling thread: bind it first (`CudaContext::bind_to_thread`).

mod found;
mod open;
mod version;

#[cfg(feature = "tensorrt")]
mod build;
#[cfg(feature = "tensorrt")]
mod builder;
#[cfg(feature = "tensorrt")]
mod completion;
#[cfg(feature = "tensorrt")]
mod context;
#[cfg(feature = "doubles")]
pub mod doubles;
#[cfg(feature = "tensorrt")]
mod engine;
#[cfg(feature = "tensorrt")]
mod error;
#[cfg(feature = "tensorrt")]
mod graphs;
#[cfg(feature = "tensorrt")]
mod host;
#[cfg(feature = "tensorrt")]
mod library;
#[cfg(feature = "tensorrt")]
mod memory;
#[cfg(feature = "tensorrt")]
mod result;
#[cfg(feature = "tensorrt")]
mod sys;
#[cfg(feature = "tensorrt")]
mod types;

pub use found::{Unusable, installed};
pub use version::Version;

#[cfg(feature = "tensorrt")]
pub use {
    builder::{Builder, Built, Dla, HardwareCompatibility, Options, Placement},
    completion::Completion,
    context::ExecutionContext,
    engine::{Deserialize, Engine, Runtime},
    error::{Error, ParserError, Recorded, Told},
    graphs::{Capture, Graph, Graphs, Ran},
    host::{OnProgress, Progress, Severity, Sink},
    library::{Library, Location},
    memory::{DeviceMemory, Memory, Stream},
    types::{DataType, Range, Shape, Tensor},
};
