//! What loading goes by, and until when.

use tokio_util::sync::CancellationToken;

use super::LoadError;
use crate::config::RuntimeConfig;

/// What loading goes by.
#[derive(Clone, Copy)]
pub(super) struct Loading<'a> {
    pub(super) runtime: &'a RuntimeConfig,
    pub(super) stop: &'a CancellationToken,
}

impl Loading<'_> {
    /// To be asked before each step that takes long.
    pub(super) fn goes_on(&self) -> Result<(), LoadError> {
        if self.stop.is_cancelled() { Err(LoadError::Stopped) } else { Ok(()) }
    }
}
