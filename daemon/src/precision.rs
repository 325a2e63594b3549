//! `egret model quantize` and `egret model fp16`: a float network and pictures in, a smaller file out, or a refusal that says why.
//!
//! The arithmetic and the rewriting are [`egret_models::precision`]; here are the pictures (folders, videos, a site's own cameras),
//! ONNX Runtime, and the accuracy gate ([`egret_models::eval::agreement`]) on frames that took no part in the calibration.

mod bench;
mod error;
mod folder;
mod frames;
mod gather;
mod halve;
mod judge;
mod output;
mod quantize;
mod ready;
mod report;
mod site;

pub(crate) use bench::seen;
pub use error::PrecisionFailure;
pub use folder::{FrameFolder, sweep};
pub use frames::From;
pub use gather::{enough, pictures_for};
pub use halve::{FpOptions, fp16};
pub use judge::Judged;
pub use output::{Written, check_out};
pub use quantize::{QuantizeOptions, quantize};
pub use ready::ready;
pub use report::{Outcome, write_table};
pub use site::{Collected, SiteOptions, collect};
