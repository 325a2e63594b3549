//! NVIDIA hardware and nothing else: what of it is here and how it is, TensorRT, CUDA kernels.
//!
//! Nothing in this crate needs NVIDIA software to build, and nothing panics where there is none.

mod cuda;
pub mod kernels;
pub mod memory;
pub mod nvml;
mod probe;
pub mod telemetry;
pub mod tensorrt;

pub use cuda::{Cuda, CudaError};
pub use probe::{L4t, Probe, probe};
