//! What loading goes by, and until when.

use tokio_util::sync::CancellationToken;

use super::LoadError;
use crate::config::RuntimeConfig;

/// What loading goes by.
#[derive(Clone, Copy)]
pub(super) struct Loading<'a> {
    pub(super) runtime: &'a RuntimeConfig,
    /// Ends it early; `None`: nobody does.
    pub(super) stop: Option<&'a CancellationToken>,
}

impl Loading<'_> {
    /// To be asked before each step that takes long.
    pub(super) fn goes_on(&self) -> Result<(), LoadError> {
        if self.stop.is_some_and(CancellationToken::is_cancelled) { Err(LoadError::Stopped) } else { Ok(()) }
    }
}
