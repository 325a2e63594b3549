//! NVIDIA hardware and nothing else. For now: what of it is here.
//!
//! Nothing in this crate needs NVIDIA software to build, and nothing panics where there is none.

mod cuda;
pub mod kernels;
pub mod memory;
mod probe;
pub mod tensorrt;

pub use cuda::{Cuda, CudaError};
pub use probe::{L4t, Probe, probe};
