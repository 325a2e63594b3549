//! CUDA kernels: from decoded pictures to the input tensor of a network, and from its outputs to final boxes, one launch for a whole
//! batch each.
//!
//! The sources (`jetson/kernels/*.cu`) are part of the program. [`Nvrtc`] compiles them when they are first needed, [`PtxCache`] keeps
//! the result. What a launch is given is computed here, once, whoever runs it: a device, or the CPU in tests (feature `cpu-kernels`).

#[cfg(feature = "cpu-kernels")]
pub mod cpu;
pub mod decode;
pub mod device;
mod launch;
pub mod letterbox;
pub mod nvrtc;
mod ptx;
mod sources;

pub use launch::{Launch, Params};
pub use nvrtc::{Nvrtc, NvrtcError, Target, Usage};
pub use ptx::{CacheError, Origin, PtxCache};
pub use sources::{UNITS, Unit};
