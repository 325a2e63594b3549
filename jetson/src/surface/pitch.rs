//! Pitch linear memory for pictures that come in blocks, used again and again.

use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::CudaContext;

use super::SurfaceError;
use crate::memory::{DeviceMemory, Memory};

/// Pieces that are kept, at most: a picture each for the slots and batches of as many cameras as a decoder of this class serves.
const KEPT: usize = 64;

/// Pieces of device memory that nobody uses.
pub(super) struct PitchPool {
    context: Arc<CudaContext>,
    free: Mutex<Vec<DeviceMemory>>,
}

impl PitchPool {
    pub(super) fn new(context: &Arc<CudaContext>) -> Arc<Self> {
        Arc::new(Self { context: Arc::clone(context), free: Mutex::default() })
    }

    /// A piece of exactly so many bytes. Others are given up where there are too many.
    pub(super) fn take(self: &Arc<Self>, bytes: u64) -> Result<Pitched, SurfaceError> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = free.iter().position(|memory| memory.bytes() == bytes).map(|at| free.swap_remove(at));
        drop(free);
        let memory = match kept {
            Some(memory) => memory,
            None => DeviceMemory::new(&self.context, bytes)?,
        };
        Ok(Pitched { memory: Some(memory), pool: Arc::clone(self) })
    }

    fn put(&self, memory: DeviceMemory) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        // The oldest goes: after a change of size it is of the old one.
        let old = if free.len() == KEPT { Some(free.remove(0)) } else { None };
        free.push(memory);
        drop(free);
        drop(old);
    }
}

/// A piece in use. No work may be under way with it when it is dropped.
pub(super) struct Pitched {
    memory: Option<DeviceMemory>,
    pool: Arc<PitchPool>,
}

// SAFETY: as the memory that it owns until it is dropped.
unsafe impl Memory for Pitched {
    fn address(&self) -> u64 {
        self.memory.as_ref().map_or(0, Memory::address)
    }

    fn bytes(&self) -> u64 {
        self.memory.as_ref().map_or(0, Memory::bytes)
    }
}

impl Drop for Pitched {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.pool.put(memory);
        }
    }
}
