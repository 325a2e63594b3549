//! What a network expects and what its outputs mean: the manifest, the input contract, the head that reads the outputs,
//! suppression of duplicates, and a reader that says what is in an ONNX file before any runtime is trusted with it.
//!
//! Pure: bytes and floats in, values out. Nothing here knows of cameras, files or runtimes.
#![forbid(unsafe_code)]

pub mod eval;
pub mod head;
pub mod manifest;
pub mod nms;
pub mod onnx;
pub mod precision;
pub mod spec;
pub mod task;
pub mod text;
pub mod zoo;
