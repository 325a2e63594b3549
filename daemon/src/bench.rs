//! Measuring the daemon with the daemon.

mod gate;
mod line;
mod meter;
mod overhead;
mod source;

pub use gate::{GateOptions, GateReport, video};
#[cfg(feature = "sim")]
pub use gate::{Scenes, scenes};
pub use meter::{Usage, peak_resident_bytes};
pub use overhead::{Load, Options, Overhead, overhead};
