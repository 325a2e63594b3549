//! One batch after the other, each through the whole line.

use std::{sync::Arc, time::Duration};

use cudarc::driver::{CudaEvent, CudaStream, result, sys::CUevent_flags};

use super::{
    Executor, Fetched, LineError, Source,
    fetch::Fetch,
    upload::{Upload, same},
};
use crate::{
    kernels::{
        decode::{Decoder, Found},
        device::{Decoding, DeviceError, DeviceFrame, Letterboxer, Ticket},
        letterbox::{Tensor, Window},
    },
    memory::{DeviceMemory, Memory, failed},
    nvtx,
    pinned::Pinned,
    tensorrt::{Graphs, Ran},
};

/// How the input tensor is filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Feed {
    /// Pictures are drawn into it.
    Pictures(Tensor),
    /// The host fills it.
    Values,
}

/// What becomes of the outputs.
#[derive(Clone, Debug)]
pub enum Finish {
    /// They are decoded; final boxes come to the host.
    Boxes {
        /// Decodes them.
        decoder: Box<Decoder>,
        /// For each output that it reads its place among the engine's.
        order: Vec<usize>,
    },
    /// They come to the host as they are.
    Tensors,
}

/// How long a batch took on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From the moment that the engine began with it until its outputs were there.
    pub engine: Duration,
    /// From the same moment until its results were on the host.
    pub since_begun: Duration,
}

enum Feeding {
    Pictures { upload: Upload, letterboxer: Letterboxer, drawn: Vec<(DeviceFrame, Window)> },
    Values { staging: Pinned, ready: CudaEvent },
}

enum Finishing {
    Boxes { decoding: Box<Decoding>, outputs: Vec<Arc<dyn Memory>>, ticket: Option<Ticket> },
    Tensors(Fetch),
}

/// Takes batches through the line, one at a time: [`Self::draw`] (or [`Self::fill`]), then [`Self::boxes`] (or [`Self::tensors`]).
/// Belongs to one thread at a time.
pub struct Lane {
    // The graphs wait for the engine's stream before they go.
    graphs: Graphs,
    feeding: Feeding,
    finishing: Finishing,
    /// Pictures are brought and drawn here.
    draw: Arc<CudaStream>,
    /// Outputs are decoded and fetched here.
    decode: Arc<CudaStream>,
    input: Arc<dyn Memory>,
    outputs: Vec<Arc<dyn Memory>>,
    begun: CudaEvent,
    inferred: CudaEvent,
    finished: CudaEvent,
    /// The batch that is under way, as large as the engine sees it.
    running: Option<usize>,
    ran: Option<Ran>,
    executor: Arc<Executor>,
}

impl Lane {
    /// Allocates everything that batches need, but for the staging memory of pictures, whose sizes show when they come.
    ///
    /// # Errors
    /// [`LineError::Device`] and [`LineError::TensorRt`], also where memory runs out; [`LineError::Engine`] for a tensor of another
    /// size than the engine's input.
    pub fn new(executor: &Arc<Executor>, feed: Feed, finish: Finish) -> Result<Self, LineError> {
        executor.bind()?;
        let (kernels, context) = (&executor.kernels, executor.kernels.context());
        let most = *executor.batches().end();
        let [draw, decode] = [kernels.stream()?, kernels.stream()?];
        let bytes = executor.input_bytes(most)?;
        // Slots that no picture is drawn into are looked at by an engine of fixed batches.
        let input: Arc<dyn Memory> = Arc::new(DeviceMemory::of(&draw, &vec![0; bytes as usize])?);
        let output = |i: usize| -> Result<Arc<dyn Memory>, LineError> {
            let bytes = executor.batches().map(|batch| executor.output_bytes(i, batch)).max().unwrap_or(0);
            Ok(Arc::new(DeviceMemory::new(context, bytes)?))
        };
        let outputs = (0..executor.outputs().len()).map(output).collect::<Result<Vec<_>, _>>()?;
        let feeding = match feed {
            Feed::Pictures(tensor) => {
                let needed = (most * tensor.slot_len() * tensor.element.size()) as u64;
                if needed != bytes {
                    let reason = format!("pictures of {needed} bytes are drawn, and the engine's input has {bytes}");
                    return Err(LineError::Engine(reason));
                }
                let letterboxer = Letterboxer::new(kernels, tensor, most, 1)?;
                Feeding::Pictures { upload: Upload::new(kernels)?, letterboxer, drawn: Vec::with_capacity(most) }
            }
            Feed::Values => Feeding::Values { staging: Pinned::new(context, bytes as usize)?, ready: event(kernels, None)? },
        };
        let finishing = match finish {
            Finish::Boxes { decoder, order } => {
                let read = order.iter().map(|output| outputs.get(*output).cloned()).collect::<Option<Vec<_>>>();
                let outputs =
                    read.ok_or_else(|| LineError::Engine("the decoder reads outputs that the engine has not".into()))?;
                let decoding = Box::new(Decoding::new(kernels, *decoder, &decode, most, 1)?);
                Finishing::Boxes { decoding, outputs, ticket: None }
            }
            Finish::Tensors => Finishing::Tensors(Fetch::new(executor)?),
        };
        let graphs = executor.graphs(&input, &outputs)?;
        let timed = || event(kernels, Some(CUevent_flags::CU_EVENT_DEFAULT));
        let (begun, inferred) = (timed()?, timed()?);
        // A thread that waits for a device is not to keep a core busy.
        let finished = event(kernels, Some(CUevent_flags::CU_EVENT_BLOCKING_SYNC))?;
        let (running, ran, executor) = (None, None, Arc::clone(executor));
        Ok(Self { graphs, feeding, finishing, draw, decode, input, outputs, begun, inferred, finished, running, ran, executor })
    }

    /// The engine.
    pub fn executor(&self) -> &Arc<Executor> {
        &self.executor
    }

    /// How the last batch was run: plainly, or by a graph.
    pub fn ran(&self) -> Option<Ran> {
        self.ran
    }

    /// Puts a batch on the device: pictures, and where they go.
    ///
    /// # Errors
    /// [`LineError`]: the batch is lost, and [`LineError::Lost`] where nothing will run any more.
    pub fn draw(&mut self, pictures: &[(Source<'_>, Window)]) -> Result<(), LineError> {
        let _range = nvtx::range(c"batch");
        let result = self.begin(pictures.len()).and_then(|batch| self.draw_and_run(pictures, batch));
        self.judge(result)
    }

    /// Puts a batch on the device whose input `write` fills: the elements of the engine's input, in this machine's byte order.
    ///
    /// # Errors
    /// As [`Self::draw`].
    pub fn fill(&mut self, count: usize, write: impl FnOnce(&mut [u8])) -> Result<(), LineError> {
        let _range = nvtx::range(c"batch");
        let result = self.begin(count).and_then(|batch| self.fill_and_run(count, batch, write));
        self.judge(result)
    }

    /// Waits for the batch and tells each picture's boxes, best first, as `tell(picture, box)`.
    ///
    /// # Errors
    /// [`DeviceError::Fault`] for outputs that cannot be; else as [`Self::draw`].
    pub fn boxes(&mut self, tell: impl FnMut(usize, Found<'_>)) -> Result<Times, LineError> {
        let result = self.wait().and_then(|_| {
            let Finishing::Boxes { decoding, ticket, .. } = &mut self.finishing else {
                return Err(LineError::Misused("this lane leaves tensors, no boxes"));
            };
            let ticket = ticket.take().ok_or(LineError::Misused("nothing is under way"))?;
            Ok(decoding.read(&ticket, tell)?)
        });
        let result = result.and_then(|()| self.times());
        self.judge(result)
    }

    /// Waits for the batch and hands out its outputs, in the engine's order, as large as the engine's batch was.
    ///
    /// # Errors
    /// As [`Self::draw`].
    pub fn tensors<T>(&mut self, read: impl FnOnce(&mut dyn Iterator<Item = Fetched<'_>>) -> T) -> Result<(Times, T), LineError> {
        let result = self.wait().and_then(|batch| match &self.finishing {
            Finishing::Tensors(fetch) => Ok((self.times()?, read(&mut fetch.fetched(&self.executor, batch)))),
            Finishing::Boxes { .. } => Err(LineError::Misused("this lane leaves boxes, no tensors")),
        });
        self.judge(result)
    }

    /// How large the batch is for the engine. Waits for what a failed batch has left on the streams.
    fn begin(&mut self, count: usize) -> Result<usize, LineError> {
        let batches = self.executor.batches();
        if count == 0 || count > *batches.end() {
            return Err(LineError::Batch { found: count, most: *batches.end() });
        }
        self.executor.bind()?;
        self.running = None;
        if let Finishing::Boxes { decoding, ticket, .. } = &mut self.finishing
            && let Some(left) = ticket.take()
        {
            // What a batch that nobody asked for has found is of no interest; that the device fails will show again.
            let _ = decoding.read(&left, |_, _| ());
        }
        // Nothing is on them after a batch whose results were taken.
        self.draw.synchronize().map_err(failed("cuStreamSynchronize"))?;
        self.decode.synchronize().map_err(failed("cuStreamSynchronize"))?;
        Ok(count.max(*batches.start()))
    }

    /// The stream on which pictures are brought and drawn: for work that makes them ready.
    pub fn drawing(&self) -> &CudaStream {
        &self.draw
    }

    fn draw_and_run(&mut self, pictures: &[(Source<'_>, Window)], batch: usize) -> Result<(), LineError> {
        let Self { feeding, draw, input, executor, graphs, begun, inferred, .. } = &mut *self;
        let Feeding::Pictures { upload, letterboxer, drawn } = feeding else {
            return Err(LineError::Misused("this network takes no pictures"));
        };
        let uploading = nvtx::range(c"upload");
        drawn.clear();
        upload.begin(&executor.kernels, pictures)?;
        let mut last = None;
        for (source, window) in pictures {
            let frame = match source {
                Source::Device(frame) => (*frame).clone(),
                Source::Host(picture) => match last.zip(drawn.last()) {
                    Some((before, (frame, _))) if same(before, picture) => frame.clone(),
                    _ => upload.add(draw, picture)?,
                },
            };
            last = if let Source::Host(picture) = source { Some(picture) } else { None };
            drawn.push((frame, *window));
        }
        drop(uploading);
        // The engine may still read the tensor, after a batch that failed half-way.
        draw.wait(inferred).map_err(failed("cuStreamWaitEvent"))?;
        let ready = letterboxer.draw(draw, drawn, input)?;
        self.ran = Some(run(executor, graphs, ready, [begun, inferred], batch)?);
        self.finish(pictures.len(), batch)
    }

    fn fill_and_run(&mut self, count: usize, batch: usize, write: impl FnOnce(&mut [u8])) -> Result<(), LineError> {
        let bytes = self.executor.input_bytes(batch)? as usize;
        let Self { feeding, draw, input, executor, graphs, begun, inferred, .. } = &mut *self;
        let Feeding::Values { staging, ready } = feeding else {
            return Err(LineError::Misused("this network takes pictures"));
        };
        let uploading = nvtx::range(c"upload");
        let staged = &mut staging.bytes_mut()[..bytes];
        write(staged);
        draw.wait(inferred).map_err(failed("cuStreamWaitEvent"))?;
        // SAFETY: the tensor holds the largest batch; the staging memory is not touched before the stream has been waited for (`begin`).
        unsafe { result::memcpy_htod_async(input.address(), staged, draw.cu_stream()) }.map_err(failed("cuMemcpyHtoDAsync"))?;
        drop(uploading);
        ready.record(draw).map_err(failed("cuEventRecord"))?;
        self.ran = Some(run(executor, graphs, ready, [begun, inferred], batch)?);
        self.finish(count, batch)
    }

    /// Puts on the last stream what decodes or fetches the outputs.
    fn finish(&mut self, count: usize, batch: usize) -> Result<(), LineError> {
        self.decode.wait(&self.inferred).map_err(failed("cuStreamWaitEvent"))?;
        match &mut self.finishing {
            Finishing::Boxes { decoding, outputs, ticket } => *ticket = Some(decoding.enqueue(&self.decode, outputs, count)?),
            Finishing::Tensors(fetch) => fetch.enqueue(&self.executor, &self.decode, &self.outputs, batch)?,
        }
        self.finished.record(&self.decode).map_err(failed("cuEventRecord"))?;
        self.running = Some(batch);
        Ok(())
    }

    /// Waits for the batch that is under way.
    fn wait(&mut self) -> Result<usize, LineError> {
        let batch = self.running.take().ok_or(LineError::Misused("nothing is under way"))?;
        self.finished.synchronize().map_err(failed("cuEventSynchronize"))?;
        // Decoders wait for their surfaces.
        if let Feeding::Pictures { letterboxer, drawn, .. } = &mut self.feeding {
            drawn.clear();
            letterboxer.release()?;
        }
        Ok(batch)
    }

    fn times(&self) -> Result<Times, LineError> {
        let until = |event: &CudaEvent| -> Result<Duration, LineError> {
            let ms = self.begun.elapsed_ms(event).map_err(failed("cuEventElapsedTime"))?;
            Ok(Duration::try_from_secs_f32(ms / 1e3).unwrap_or_default())
        };
        Ok(Times { engine: until(&self.inferred)?, since_begun: until(&self.finished)? })
    }

    fn judge<T>(&self, result: Result<T, LineError>) -> Result<T, LineError> {
        result.map_err(|error| error.judged(|| self.executor.state()))
    }
}

/// A batch's turn on the engine: it waits for its input, and its end is told.
fn run(
    executor: &Executor,
    graphs: &mut Graphs,
    ready: &CudaEvent,
    [begun, inferred]: [&CudaEvent; 2],
    batch: usize,
) -> Result<Ran, LineError> {
    let _turn = executor.turn();
    executor.stream().wait(ready).map_err(failed("cuStreamWaitEvent"))?;
    begun.record(executor.stream()).map_err(failed("cuEventRecord"))?;
    let ran = graphs.run(executor.inputs(batch))?;
    inferred.record(executor.stream()).map_err(failed("cuEventRecord"))?;
    Ok(ran)
}

fn event(kernels: &crate::kernels::device::Kernels, flags: Option<CUevent_flags>) -> Result<CudaEvent, LineError> {
    let event = kernels.context().new_event(flags).map_err(failed("cuEventCreate"));
    Ok(event.map_err(DeviceError::from)?)
}

impl Drop for Lane {
    fn drop(&mut self) {
        // What is under way still uses pinned memory. A failure here means that nothing is.
        let _ = self.draw.synchronize();
        let _ = self.decode.synchronize();
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").field("executor", &self.executor).field("running", &self.running).finish_non_exhaustive()
    }
}
