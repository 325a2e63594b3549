//! Pictures that NVIDIA's decoders leave in device memory, as what kernels read, without a copy through the host.
//!
//! Decoders hand over one of two things. NVIDIA's own (`nvv4l2decoder`) give an `NvBufSurface`: a struct of their library, whose `memType`
//! says how its pixels are to be had. GStreamer's (`nvh264dec`, `nvh265dec`) give CUDA memory. Either becomes a [`DevicePicture`].
//!
//! | `memType` | way |
//! |---|---|
//! | surface array (Orin) | EGLImage → CUDA, registered once per buffer; block-linear planes are copied on the device into pitch linear ones |
//! | CUDA device, unified, pinned, default (Thor, desktop GPUs) | the pointer itself |
//! | handle, system, unknown; a layout or format that is not known | [`SurfaceError`]: the caller decodes through host memory |
//!
//! A struct of a library that nobody has the header of may not be trusted: it is read through the kernel, which refuses addresses that are
//! none, and held against what the stream's caps say. Whatever does not fit is an error and never a wrong picture.
//!
//! Nothing of this was verified on hardware. Offsets: NVIDIA's `nvbufsurface.h` of L4T R35 and R36; `cudaEGL.h` of CUDA 12.2.

mod abi;
mod check;
#[cfg(feature = "cpu-kernels")]
pub mod doubles;
mod egl;
mod error;
#[cfg(feature = "gstreamer")]
pub mod gst;
mod library;
mod picture;
mod pitch;
mod pointer;
mod read;
mod surfaces;

pub use abi::Layouts;
pub use check::{Colour, Expected, MemoryKind, Surface};
pub use egl::Registration;
pub use error::SurfaceError;
pub use picture::{DevicePicture, Hold, HostCopy};
pub use surfaces::{Counts, Surfaces};
