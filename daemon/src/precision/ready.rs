//! What is asked of a network before anybody waits for pictures of it.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::{PrecisionFailure, bench::Bench};
use crate::config::RuntimeConfig;

/// Whether a network can be read, is a detector, and can be observed here.
///
/// # Errors
/// [`PrecisionFailure`]
pub fn ready(model: &Path, runtime: &RuntimeConfig) -> Result<(), PrecisionFailure> {
    let bench = Bench::open(model, runtime, &CancellationToken::new())?;
    bench.require_detector()?;
    bench.probe().map(drop)
}
