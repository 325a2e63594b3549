//! Batches of pictures into input tensors.

use std::{borrow::Borrow, sync::Arc};

use cudarc::driver::{CudaEvent, CudaStream, result};

use super::{DeviceError, Kernels, failed};
use crate::{
    kernels::letterbox::{Axis, Frame, Slot, Tensor, Window, WindowError},
    memory::{DeviceMemory, Memory},
    nvtx,
    pinned::Pinned,
};

/// A decoded picture in device memory: each plane begins so many bytes into its memory.
#[derive(Clone)]
pub struct DeviceFrame {
    frame: Frame,
    planes: [(Arc<dyn Memory>, u64); 3],
}

impl std::fmt::Debug for DeviceFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeviceFrame({:?})", self.frame)
    }
}

impl DeviceFrame {
    /// A picture of these planes; NV12 has two, and its third is not looked at.
    ///
    /// # Errors
    /// [`DeviceError::Size`]: a plane ends beyond its memory.
    pub fn new(frame: Frame, planes: [(Arc<dyn Memory>, u64); 3]) -> Result<Self, DeviceError> {
        for (i, (memory, offset)) in planes.iter().enumerate() {
            let needed = match frame.plane_bytes(i) as u64 {
                0 => 0,
                bytes => offset.saturating_add(bytes),
            };
            if needed > memory.bytes() {
                return Err(DeviceError::Size { what: "a plane", found: memory.bytes(), needed });
            }
        }
        Ok(Self { frame, planes })
    }

    /// Its size and layout.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Where a plane begins.
    pub(crate) fn plane(&self, plane: usize) -> u64 {
        let (memory, offset) = &self.planes[plane];
        memory.address() + offset
    }
}

/// One batch under way.
struct Turn {
    staging: Pinned,
    slots: DeviceMemory,
    done: CudaEvent,
    held: Vec<Arc<dyn Memory>>,
}

/// What a slot of a tensor shows, so that its padding is not written again.
#[derive(Clone, Copy, PartialEq)]
struct Shown {
    across: (u32, u32),
    down: (u32, u32),
    padding: [u32; 3],
}

/// Fills input tensors of one network, batch after batch, one launch each. All memory is there from the start.
pub struct Letterboxer {
    kernels: Arc<Kernels>,
    tensor: Tensor,
    capacity: usize,
    turns: Vec<Turn>,
    next: usize,
    /// By tensor.
    shown: Vec<(u64, Vec<Option<Shown>>)>,
}

/// Tensors whose padding is remembered; an engine has two or three.
const KNOWN_TENSORS: usize = 8;

impl Letterboxer {
    /// For batches of up to `capacity` pictures, of which up to `depth` may be under way.
    ///
    /// # Errors
    /// [`DeviceError::Cuda`] and [`DeviceError::Call`].
    pub fn new(kernels: &Arc<Kernels>, tensor: Tensor, capacity: usize, depth: usize) -> Result<Self, DeviceError> {
        let bytes = capacity * size_of::<Slot>();
        let turn = || -> Result<Turn, DeviceError> {
            let done = kernels.context().new_event(None).map_err(failed("cuEventCreate"))?;
            let slots = DeviceMemory::new(kernels.context(), bytes as u64)?;
            Ok(Turn { staging: Pinned::new(kernels.context(), bytes)?, slots, done, held: Vec::with_capacity(4 * capacity) })
        };
        let turns = (0..depth.max(1)).map(|_| turn()).collect::<Result<_, _>>()?;
        Ok(Self { kernels: Arc::clone(kernels), tensor, capacity, turns, next: 0, shown: Vec::with_capacity(KNOWN_TENSORS) })
    }

    /// Puts on a stream what fills the first slots of `out`, one picture each. The event is when it is done; the pictures are held until
    /// then. Waits for the batch before the last `depth`, should it still be under way.
    ///
    /// # Errors
    /// [`DeviceError`]; nothing is drawn then.
    pub fn draw<P: Borrow<DeviceFrame>>(
        &mut self,
        stream: &CudaStream,
        pictures: &[(P, Window)],
        out: &Arc<dyn Memory>,
    ) -> Result<&CudaEvent, DeviceError> {
        let _range = nvtx::range(c"letterbox");
        let (tensor, count) = (self.tensor, pictures.len());
        if count > self.capacity {
            return Err(WindowError::Slots { slots: count, capacity: self.capacity }.into());
        }
        let needed = (count * tensor.slot_len() * tensor.element.size()) as u64;
        if out.bytes() < needed {
            return Err(DeviceError::Size { what: "the tensor", found: out.bytes(), needed });
        }
        let index = self.next;
        let turn = &mut self.turns[index];
        turn.done.synchronize().map_err(failed("cuEventSynchronize"))?;
        turn.held.clear();
        let shown = known(&mut self.shown, out.address(), self.capacity);
        let staging = turn.staging.bytes_mut().chunks_exact_mut(size_of::<Slot>());
        for (((picture, window), bytes), shown) in pictures.iter().zip(staging).zip(shown) {
            let picture: &DeviceFrame = picture.borrow();
            let planes = [0, 1, 2].map(|i| picture.planes[i].0.address() + picture.planes[i].1);
            let shows = Shown { across: part(window.across), down: part(window.down), padding: window.padding.map(f32::to_bits) };
            // Until the launch is on the stream nobody knows what the slot shows.
            let before = shown.take();
            let slot = tensor.slot(&picture.frame, planes, window, before != Some(shows))?;
            bytes.copy_from_slice(slot.as_bytes());
            *shown = Some(shows);
            turn.held.extend(picture.planes.iter().map(|(memory, _)| Arc::clone(memory)));
        }
        turn.held.push(Arc::clone(out));
        let result = self.enqueue(stream, index, count, out.address());
        if result.is_err() {
            self.forget();
        }
        result?;
        self.next = (index + 1) % self.turns.len();
        Ok(&self.turns[index].done)
    }

    fn enqueue(&self, stream: &CudaStream, index: usize, count: usize, out: u64) -> Result<(), DeviceError> {
        let turn = &self.turns[index];
        let launch = self.tensor.launch(turn.slots.address(), out, count as u32);
        let slots = &turn.staging.bytes()[..count * size_of::<Slot>()];
        self.kernels.context().bind_to_thread().map_err(failed("cuCtxSetCurrent"))?;
        let describing = nvtx::range(c"slots");
        // SAFETY: the device's memory is as large as the staging memory; neither is touched until the turn's event.
        unsafe { result::memcpy_htod_async(turn.slots.address(), slots, stream.cu_stream()) }
            .map_err(failed("cuMemcpyHtoDAsync"))?;
        drop(describing);
        // SAFETY: windows lie within their pictures and the tensor (`Tensor::slot`), pictures within their memory (`DeviceFrame`), the
        // tensor too (`draw`); all is held until the turn's event.
        unsafe { self.kernels.launch(stream, &launch) }?;
        turn.done.record(stream).map_err(failed("cuEventRecord"))
    }

    /// Waits for the batches that are under way, and lets go of their pictures.
    ///
    /// # Errors
    /// [`DeviceError::Call`].
    pub fn release(&mut self) -> Result<(), DeviceError> {
        for turn in &mut self.turns {
            turn.done.synchronize().map_err(failed("cuEventSynchronize"))?;
            turn.held.clear();
        }
        Ok(())
    }

    /// Somebody else has written into the tensors, or they are others at the same addresses: all padding is to be written anew.
    pub fn forget(&mut self) {
        self.shown.clear();
    }
}

impl Drop for Letterboxer {
    fn drop(&mut self) {
        for turn in &self.turns {
            // What is under way still uses the memory. A failure here means that nothing is.
            let _ = turn.done.synchronize();
        }
    }
}

/// What an axis covers of the tensor.
fn part(axis: Axis) -> (u32, u32) {
    (axis.at, axis.drawn)
}

/// The slots of the tensor at an address; the oldest makes room.
fn known(shown: &mut Vec<(u64, Vec<Option<Shown>>)>, address: u64, capacity: usize) -> &mut [Option<Shown>] {
    let index = shown.iter().position(|(of, _)| *of == address).unwrap_or_else(|| {
        let mut slots = if shown.len() < KNOWN_TENSORS { Vec::with_capacity(capacity) } else { shown.remove(0).1 };
        slots.clear();
        slots.resize(capacity, None);
        shown.push((address, slots));
        shown.len() - 1
    });
    &mut shown[index].1
}
