//! A row of executions on a device: one stream, on which batches of any number of engines follow one another, and the one memory for
//! their activations.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::CudaStream;

use super::LineError;
use crate::{
    kernels::device::Kernels,
    memory::{DeviceMemory, Memory},
};

/// A stream and the activations of what runs on it. Engines of one row never run at the same time, so the largest one's activations do
/// for all.
pub struct Row {
    pub(super) stream: Arc<CudaStream>,
    pub(super) activations: Arc<dyn Memory>,
    turn: Mutex<()>,
}

impl Row {
    /// A row for engines whose execution contexts need at most so many bytes
    /// ([`Engine::context_bytes`](crate::tensorrt::Engine::context_bytes) of the first profile), on the kernels' device.
    ///
    /// # Errors
    /// [`LineError::Device`], e.g. where there is not as much memory.
    pub fn new(kernels: &Kernels, bytes: u64) -> Result<Arc<Self>, LineError> {
        let activations = Arc::new(DeviceMemory::new(kernels.context(), bytes)?);
        Ok(Arc::new(Self { stream: kernels.stream()?, activations, turn: Mutex::new(()) }))
    }

    /// Bytes for activations.
    pub fn bytes(&self) -> u64 {
        self.activations.bytes()
    }

    /// Who holds it puts work on the stream: a lane's wait, batch and record belong together, and a recording must be alone.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Row({} bytes of activations)", self.bytes())
    }
}
