//! CUDA graphs: a batch's launches recorded once, then repeated with one call.

use std::{fmt, sync::Arc};

use cudarc::driver::{CudaGraph, CudaStream, sys};

use super::{Engine, Error, ExecutionContext, Memory, Shape, Stream, memory::failed};
use crate::nvtx;

/// A stream whose work can be recorded.
///
/// # Safety
/// Between `begin_capture` and `end_capture`, work that is put on the stream is recorded and not done. A graph does what was recorded, on
/// this stream, whenever it is launched.
pub unsafe trait Capture: Stream {
    /// Begins to record what this thread puts on the stream.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    fn begin_capture(&self) -> Result<(), Error>;
    /// Ends it, also where something was put on the stream that cannot be recorded.
    ///
    /// # Errors
    /// [`Error::Cuda`], e.g. 901 for a recording that is invalid.
    fn end_capture(self: Arc<Self>) -> Result<Box<dyn Graph>, Error>;
}

/// Recorded work.
pub trait Graph: Send {
    /// Puts it on its stream.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    fn launch(&mut self) -> Result<(), Error>;
}

// SAFETY: cuStreamBeginCapture and cuStreamEndCapture, and the graph is launched on the stream it was recorded from.
unsafe impl Capture for CudaStream {
    fn begin_capture(&self) -> Result<(), Error> {
        // Other threads may go on with whatever they do in the meantime, allocations included.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        CudaStream::begin_capture(self, mode).map_err(failed("cuStreamBeginCapture"))
    }

    fn end_capture(self: Arc<Self>) -> Result<Box<dyn Graph>, Error> {
        let graph = CudaStream::end_capture(&self, sys::CUgraphInstantiate_flags(0)).map_err(failed("cuStreamEndCapture"))?;
        match graph {
            Some(graph) => Ok(Box::new(Recorded(graph))),
            // CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
            None => Err(Error::Cuda { call: "cuStreamEndCapture", code: 901 }),
        }
    }
}

struct Recorded(CudaGraph);

// SAFETY: a CUgraphExec is bound to no thread; launches take `&mut self`, so there is one at a time.
unsafe impl Send for Recorded {}

impl Graph for Recorded {
    fn launch(&mut self) -> Result<(), Error> {
        self.0.launch().map_err(failed("cuGraphLaunch"))
    }
}

/// Most sizes that are kept; the one that was not used for longest makes room.
const MOST: usize = 64;

/// How a batch was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// The first of its size: plainly, and then recorded.
    First,
    /// By its graph.
    Graph,
    /// Plainly: this engine's work cannot be recorded, see [`Graphs::refused`].
    Plain,
}

struct Size {
    /// Of the inputs, in the engine's order.
    shapes: Vec<Shape>,
    // The graph goes before the context whose state it holds on to.
    graph: Result<Box<dyn Graph>, Error>,
    context: ExecutionContext,
    used: u64,
}

/// An engine that runs each batch size by a graph of its own, on one stream.
///
/// A graph holds on to the state of the execution context that it was recorded from, so each size has its own context. All lie in one
/// memory for activations, which the stream's order allows.
pub struct Graphs {
    sizes: Vec<Size>,
    engine: Arc<Engine>,
    profile: u32,
    activations: Arc<dyn Memory>,
    stream: Arc<dyn Capture>,
    bound: Vec<(String, Arc<dyn Memory>)>,
    runs: u64,
}

impl Graphs {
    /// `activations`: at least [`Engine::context_bytes`] of the profile.
    ///
    /// # Errors
    /// [`Error::Binding`] for a profile that there is not, or too little memory.
    pub fn new(
        engine: &Arc<Engine>,
        profile: u32,
        activations: Arc<dyn Memory>,
        stream: Arc<dyn Capture>,
    ) -> Result<Self, Error> {
        drop(engine.context_in(profile, Arc::clone(&activations))?);
        let (engine, sizes) = (Arc::clone(engine), Vec::new());
        Ok(Self { sizes, engine, profile, activations, stream, bound: Vec::new(), runs: 0 })
    }

    /// Lets a tensor lie in `memory`, which has room for every size to come. Addresses are part of a graph: all are recorded anew.
    ///
    /// # Errors
    /// [`Error::Binding`] for an unknown tensor; [`Error::Cuda`].
    pub fn bind(&mut self, tensor: &str, memory: Arc<dyn Memory>) -> Result<(), Error> {
        if !self.engine.tensors().iter().any(|known| known.name == tensor) {
            return Err(Error::Binding(format!("no tensor {tensor:?} in the engine")));
        }
        self.wait()?;
        self.sizes.clear();
        self.bound.retain(|(name, _)| name != tensor);
        self.bound.push((tensor.to_owned(), memory));
        Ok(())
    }

    /// Puts a batch with these shapes of the inputs on the stream; the outputs are there when the stream is.
    ///
    /// # Errors
    /// As [`ExecutionContext::set_shape`] and [`ExecutionContext::enqueue`]; [`Error::Cuda`]. That work cannot be recorded is none.
    pub fn run<S: AsRef<str>>(&mut self, inputs: &[(S, Shape)]) -> Result<Ran, Error> {
        self.runs += 1;
        self.check(inputs)?;
        if let Some(index) = self.find(inputs) {
            let size = &mut self.sizes[index];
            size.used = self.runs;
            return match &mut size.graph {
                Ok(graph) => {
                    let _range = nvtx::range(c"engine");
                    graph.launch().map(|()| Ran::Graph)
                }
                Err(_) => size.context.enqueue(&(Arc::clone(&self.stream) as _)).map(|()| Ran::Plain),
            };
        }
        let mut context = self.engine.context_in(self.profile, Arc::clone(&self.activations))?;
        for (name, memory) in &self.bound {
            context.bind(name, Arc::clone(memory))?;
        }
        for (name, shape) in inputs {
            context.set_shape(name.as_ref(), shape)?;
        }
        // TensorRT settles what depends on shapes in the first batch after they changed, which therefore cannot be recorded.
        context.enqueue(&(Arc::clone(&self.stream) as _))?;
        let graph = context.capture(&self.stream);
        self.make_room()?;
        let shapes = self.wanted(inputs).cloned().collect();
        self.sizes.push(Size { shapes, graph, context, used: self.runs });
        Ok(Ran::First)
    }

    /// Why batches of this size are run without a graph.
    pub fn refused<S: AsRef<str>>(&self, inputs: &[(S, Shape)]) -> Option<&Error> {
        self.sizes[self.find(inputs)?].graph.as_ref().err()
    }

    /// Waits for the batches that were run.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    pub fn wait(&self) -> Result<(), Error> {
        self.stream.synchronize()
    }

    /// The shapes in the engine's order of inputs.
    fn wanted<'a, S: AsRef<str>>(&'a self, inputs: &'a [(S, Shape)]) -> impl Iterator<Item = &'a Shape> {
        let known = self.engine.tensors().iter().filter(|tensor| !tensor.is_output && !tensor.on_host);
        known.map(|tensor| {
            let given = inputs.iter().find(|(input, _)| input.as_ref() == tensor.name);
            given.map_or(&tensor.shape, |(_, shape)| shape)
        })
    }

    fn find<S: AsRef<str>>(&self, inputs: &[(S, Shape)]) -> Option<usize> {
        self.sizes.iter().position(|size| self.wanted(inputs).eq(&size.shapes))
    }

    fn check<S: AsRef<str>>(&self, inputs: &[(S, Shape)]) -> Result<(), Error> {
        let known = |name: &str| self.engine.tensors().iter().any(|tensor| tensor.name == name && !tensor.is_output);
        match inputs.iter().find(|(name, _)| !known(name.as_ref())) {
            Some((name, _)) => Err(Error::Binding(format!("no input {:?} in the engine", name.as_ref()))),
            None => Ok(()),
        }
    }

    fn make_room(&mut self) -> Result<(), Error> {
        if self.sizes.len() < MOST {
            return Ok(());
        }
        self.wait()?;
        let oldest = self.sizes.iter().enumerate().min_by_key(|(_, size)| size.used).map(|(index, _)| index);
        if let Some(oldest) = oldest {
            self.sizes.swap_remove(oldest);
        }
        Ok(())
    }
}

impl Drop for Graphs {
    fn drop(&mut self) {
        // An error here means that the device is lost: then nothing runs any more either.
        let _ = self.wait();
    }
}

impl fmt::Debug for Graphs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.sizes.iter().map(|size| &size.shapes)).finish()
    }
}
