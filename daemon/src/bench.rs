//! Measuring the daemon with the daemon.

mod gate;
mod line;
mod meter;
mod overhead;
mod publish;
mod source;

pub use gate::{GateOptions, GateReport, Way, WayReport, sequences, video};
#[cfg(feature = "sim")]
pub use gate::{Load as GateLoad, LoadReport, Scenes, load, scenes};
pub use meter::{Usage, peak_resident_bytes};
pub use overhead::{Load, Options, Overhead, overhead};
pub use publish::{Messages, PublishOptions, Publishing, publish};
