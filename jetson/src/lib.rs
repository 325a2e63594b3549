//! NVIDIA hardware: what of it is here and how it is, TensorRT, CUDA kernels, decoders' surfaces. Besides it, since all `unsafe` is
//! here, what the kernel says of the clock.
//!
//! Nothing in this crate needs NVIDIA software to build, and nothing panics where there is none.

pub mod clock;
mod cuda;
mod device;
pub mod kernels;
#[cfg(feature = "tensorrt")]
pub mod line;
pub mod memory;
pub mod nvml;
pub mod nvtx;
mod pinned;
mod probe;
pub mod surface;
pub mod telemetry;
pub mod tensorrt;

pub use cuda::{Cuda, CudaError, is_lost};
pub use device::Device;
pub use probe::{L4t, Probe, l4t, probe};
