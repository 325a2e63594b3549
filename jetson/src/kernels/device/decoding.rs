//! Batches of outputs into final boxes.

use std::sync::Arc;

use cudarc::driver::{CudaEvent, CudaStream, result};

use super::{DeviceError, Kernels, failed};
use crate::{
    kernels::decode::{Addresses, Decoder, Found},
    memory::{DeviceMemory, Memory},
    nvtx,
    pinned::Pinned,
};

/// One batch under way.
struct Turn {
    candidates: DeviceMemory,
    counters: DeviceMemory,
    turned: DeviceMemory,
    results: DeviceMemory,
    host: Pinned,
    done: CudaEvent,
    held: Vec<Arc<dyn Memory>>,
    /// How many pictures, and which batch, until it is read.
    pictures: Option<(usize, u64)>,
}

/// A batch whose results are to be read, once: until then its memory is taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    turn: usize,
    batch: u64,
}

/// Decodes the outputs of one network, batch after batch, two launches and one copy each. All memory is there from the start.
pub struct Decoding {
    kernels: Arc<Kernels>,
    decoder: Decoder,
    capacity: usize,
    confidences: DeviceMemory,
    priors: DeviceMemory,
    turns: Vec<Turn>,
    batch: u64,
}

impl Decoding {
    /// For batches of up to `capacity` pictures, of which up to `depth` may be under way or unread. Waits until its tables are on the
    /// device.
    ///
    /// # Errors
    /// [`DeviceError::Cuda`] and [`DeviceError::Call`].
    pub fn new(
        kernels: &Arc<Kernels>,
        decoder: Decoder,
        stream: &CudaStream,
        capacity: usize,
        depth: usize,
    ) -> Result<Self, DeviceError> {
        let context = kernels.context();
        let memory = decoder.memory(capacity);
        let device = |bytes: usize| DeviceMemory::new(context, bytes as u64);
        let turn = || -> Result<Turn, DeviceError> {
            Ok(Turn {
                candidates: device(memory.candidates)?,
                counters: device(memory.counters)?,
                turned: device(memory.turned)?,
                results: device(memory.results)?,
                host: Pinned::new(context, memory.results)?,
                done: context.new_event(None).map_err(failed("cuEventCreate"))?,
                held: Vec::with_capacity(decoder.outputs(1).count()),
                pictures: None,
            })
        };
        let turns: Vec<_> = (0..depth.max(1)).map(|_| turn()).collect::<Result<_, _>>()?;
        let (confidences, priors) = (device(memory.confidences)?, device(memory.priors)?);
        let counters = Decoder::counters().repeat(capacity);
        let copies = turns.iter().map(|turn| (turn.counters.address(), counters.as_slice()));
        context.bind_to_thread().map_err(failed("cuCtxSetCurrent"))?;
        for (to, from) in copies {
            // SAFETY: the device's memory is as large; what is copied lives until the stream is waited for below.
            unsafe { result::memcpy_htod_async(to, from, stream.cu_stream()) }.map_err(failed("cuMemcpyHtoDAsync"))?;
        }
        // SAFETY: as above; the decoder owns the table.
        unsafe { result::memcpy_htod_async(confidences.address(), decoder.confidences(), stream.cu_stream()) }
            .map_err(failed("cuMemcpyHtoDAsync"))?;
        if !decoder.priors().is_empty() {
            // SAFETY: as above.
            unsafe { result::memcpy_htod_async(priors.address(), decoder.priors(), stream.cu_stream()) }
                .map_err(failed("cuMemcpyHtoDAsync"))?;
        }
        stream.synchronize().map_err(failed("cuStreamSynchronize"))?;
        Ok(Self { kernels: Arc::clone(kernels), decoder, capacity, confidences, priors, turns, batch: 0 })
    }

    /// Puts on a stream what decodes the first `pictures` of a batch: scan, selection, and the copy of the results to the host. The
    /// outputs, in the order of the head, are held until it is done.
    ///
    /// # Errors
    /// [`DeviceError::Busy`] where `depth` batches are unread, [`DeviceError::Size`], [`DeviceError::Call`].
    pub fn enqueue(&mut self, stream: &CudaStream, outputs: &[Arc<dyn Memory>], pictures: usize) -> Result<Ticket, DeviceError> {
        let _range = nvtx::range(c"decode");
        let turn = self.turns.iter().position(|turn| turn.pictures.is_none()).ok_or(DeviceError::Busy(self.turns.len()))?;
        let size = |what, found: u64, needed: usize| {
            if found >= needed as u64 { Ok(()) } else { Err(DeviceError::Size { what, found, needed: needed as u64 }) }
        };
        size("the decoder (in pictures)", self.capacity as u64, pictures)?;
        size("the list of outputs (in outputs)", outputs.len() as u64, self.decoder.outputs(1).count())?;
        for (output, shape) in outputs.iter().zip(self.decoder.outputs(pictures)) {
            size("an output", output.bytes(), shape.len * shape.element.size())?;
        }
        let held = &mut self.turns[turn].held;
        held.clear();
        held.extend(outputs.iter().cloned());
        self.batch += 1;
        self.turns[turn].pictures = Some((pictures, self.batch));
        if let Err(error) = self.put(stream, turn, pictures) {
            // Part of it may be on the stream: the turn is not used again until the stream is done with that.
            let _ = stream.synchronize();
            self.turns[turn].pictures = None;
            return Err(error);
        }
        Ok(Ticket { turn, batch: self.batch })
    }

    fn put(&mut self, stream: &CudaStream, index: usize, pictures: usize) -> Result<(), DeviceError> {
        let turn = &mut self.turns[index];
        let addresses = Addresses {
            candidates: turn.candidates.address(),
            counters: turn.counters.address(),
            confidences: self.confidences.address(),
            priors: self.priors.address(),
            turned: turn.turned.address(),
            results: turn.results.address(),
        };
        let mut data = [0; 16];
        for (address, output) in data.iter_mut().zip(&turn.held) {
            *address = output.address();
        }
        let (scan, select) = self.decoder.launches(&addresses, &data, pictures as u32);
        // SAFETY: all memory has the sizes that the decoder asks for, and the outputs those that it was made for (`enqueue`); both are
        // held until the turn is free again.
        unsafe { self.kernels.launch(stream, &scan) }?;
        // SAFETY: as above.
        unsafe { self.kernels.launch(stream, &select) }?;
        let bytes = self.decoder.result_bytes() * pictures;
        if bytes > 0 {
            // SAFETY: both have room for the results of `capacity` pictures. The host's is not read before the turn's event.
            unsafe { result::memcpy_dtoh_async(&mut turn.host.bytes_mut()[..bytes], turn.results.address(), stream.cu_stream()) }
                .map_err(failed("cuMemcpyDtoHAsync"))?;
        }
        turn.done.record(stream).map_err(failed("cuEventRecord"))
    }

    /// When a batch is done; `None` of a ticket of another decoder.
    pub fn done(&self, ticket: &Ticket) -> Option<&CudaEvent> {
        self.turns.get(ticket.turn).map(|turn| &turn.done)
    }

    /// Waits for a batch and tells each picture's boxes, best first, as `tell(picture, box)`.
    ///
    /// # Errors
    /// [`DeviceError::Fault`]: outputs that cannot be, of the first such picture; [`DeviceError::Call`] where the device has failed;
    /// [`DeviceError::Read`].
    pub fn read(&mut self, ticket: &Ticket, mut tell: impl FnMut(usize, Found<'_>)) -> Result<(), DeviceError> {
        let _range = nvtx::range(c"results");
        let turn = &mut self.turns[ticket.turn];
        let Some((pictures, _)) = turn.pictures.filter(|(_, batch)| *batch == ticket.batch) else {
            return Err(DeviceError::Read);
        };
        turn.done.synchronize().map_err(failed("cuEventSynchronize"))?;
        turn.held.clear();
        turn.pictures = None;
        let results = turn.host.bytes();
        for picture in 0..pictures {
            let boxes = self.decoder.read(results, picture).map_err(|fault| DeviceError::Fault { picture, fault })?;
            boxes.for_each(|found| tell(picture, found));
        }
        Ok(())
    }
}

impl Drop for Decoding {
    fn drop(&mut self) {
        for turn in &self.turns {
            // What is under way still uses the memory. A failure here means that nothing is.
            let _ = turn.done.synchronize();
        }
    }
}
