//! Measuring the daemon with the daemon.

mod line;
mod meter;
mod overhead;
mod source;

pub use meter::{Usage, peak_resident_bytes};
pub use overhead::{Load, Options, Overhead, overhead};
