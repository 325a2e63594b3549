//! Execution contexts: an engine at work on one batch after the other.

use std::{ffi::CString, fmt, ptr, sync::Arc};

use super::{
    Capture, Error, Graph, Memory, Range, Shape, Stream, Tensor,
    result::{self, c_string},
};
use crate::nvtx;

struct Bound {
    tensor: Tensor,
    name: CString,
    range: Option<Range>,
    memory: Option<Arc<dyn Memory>>,
}

/// `IExecutionContext`. It keeps the memory that its tensors are bound to, and the stream of its last batch, for which it waits before
/// any of it goes.
pub struct ExecutionContext {
    raw: result::Context,
    bound: Vec<Bound>,
    /// The stream of the last batch. Memory that is replaced stays until that batch is done.
    stream: Option<Arc<dyn Stream>>,
    replaced: Vec<Arc<dyn Memory>>,
    _activations: Option<Arc<dyn Memory>>,
}

impl ExecutionContext {
    pub(super) fn new(
        mut raw: result::Context,
        profile: u32,
        tensors: &[Tensor],
        ranges: &[Range],
        activations: Option<Arc<dyn Memory>>,
    ) -> Result<Self, Error> {
        if let Some(memory) = &activations {
            // SAFETY: the context holds the memory, and waits for its work before it lets go.
            unsafe { raw.memory(memory.address(), memory.bytes()) }?;
        }
        if profile != 0 {
            // SAFETY: the null stream is every context's; a context without work switches profile without copies on it.
            unsafe { raw.profile(profile, ptr::null_mut()) }?;
        }
        let bind = |tensor: &Tensor| {
            let range = ranges.iter().find(|range| range.name == tensor.name).cloned();
            Ok(Bound { tensor: tensor.clone(), name: c_string(&tensor.name)?, range, memory: None })
        };
        let bound = tensors.iter().map(bind).collect::<Result<Vec<_>, Error>>()?;
        Ok(Self { raw, bound, stream: None, replaced: Vec::new(), _activations: activations })
    }

    fn index(&self, name: &str) -> Result<usize, Error> {
        let known = || self.bound.iter().map(|bound| bound.tensor.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = self.bound.iter().position(|bound| bound.tensor.name == name);
        found.ok_or_else(|| Error::Binding(format!("no tensor {name:?}: the engine has {}", known())))
    }

    /// Sets the shape of an input for the next batch.
    ///
    /// # Errors
    /// [`Error::Binding`] for an unknown tensor, an output, or a shape outside of the profile.
    pub fn set_shape(&mut self, input: &str, shape: &Shape) -> Result<(), Error> {
        let bound = &self.bound[self.index(input)?];
        if bound.tensor.is_output {
            return Err(Error::Binding(format!("the shape of output {input:?} follows from the inputs'")));
        }
        if let Some(range) = bound.range.as_ref().filter(|range| !range.allows(shape)) {
            return Err(Error::Binding(format!(
                "input {input:?}: {shape} is outside of the profile, {} to {}",
                range.min, range.max
            )));
        }
        self.raw.set_shape(&bound.name, shape)
    }

    /// The shape of a tensor in the next batch: -1 where an input has none yet.
    ///
    /// # Errors
    /// [`Error::Binding`] for an unknown tensor.
    pub fn shape(&self, tensor: &str) -> Result<Shape, Error> {
        self.raw.shape(&self.bound[self.index(tensor)?].name)
    }

    /// Lets a tensor lie in `memory`, from the next batch on.
    ///
    /// # Errors
    /// [`Error::Binding`] for an unknown tensor, and where TensorRT refuses the address.
    pub fn bind(&mut self, tensor: &str, memory: Arc<dyn Memory>) -> Result<(), Error> {
        let index = self.index(tensor)?;
        let bound = &mut self.bound[index];
        // SAFETY: the context holds the memory, and `enqueue` sees to it that it is large enough.
        unsafe { self.raw.address(&bound.name, memory.address()) }?;
        self.replaced.extend(bound.memory.replace(memory));
        if self.stream.is_none() {
            self.replaced.clear();
        }
        Ok(())
    }

    /// Puts a batch on `stream` and returns; the outputs are there when the stream is. [`Graphs`](super::Graphs) repeats batches by
    /// CUDA graphs.
    ///
    /// # Errors
    /// [`Error::Binding`] for a tensor without memory, or with too little; [`Error::Refused`] where TensorRT fails, after which the
    /// CUDA context may be lost.
    pub fn enqueue(&mut self, stream: &Arc<dyn Stream>) -> Result<(), Error> {
        for bound in &self.bound {
            let needed = bound.tensor.bytes(&self.raw.shape(&bound.name)?)?;
            let has = bound.memory.as_ref().map(|memory| memory.bytes());
            if has.is_none_or(|has| has < needed) {
                let has = has.map_or("none".to_owned(), |has| has.to_string());
                return Err(Error::Binding(format!("tensor {:?} needs {needed} bytes, it has {has}", bound.tensor.name)));
            }
        }
        if self.stream.as_ref().is_some_and(|last| last.raw() != stream.raw()) {
            self.wait()?;
        }
        self.stream = Some(Arc::clone(stream));
        let _range = nvtx::range(c"engine");
        // SAFETY: every tensor has memory of its size, which stays until `wait` or drop has seen the stream's end.
        unsafe { self.raw.enqueue(stream.raw()) }
    }

    /// Records what a batch of the present shapes puts on `stream`, the stream of the last batch. The graph reads and writes the memory
    /// that is bound now: it must go before the context does, and before anything in the context changes.
    pub(super) fn capture(&mut self, stream: &Arc<dyn Capture>) -> Result<Box<dyn Graph>, Error> {
        stream.begin_capture()?;
        let enqueued = self.enqueue(&(Arc::clone(stream) as _));
        // A recording is ended whatever came of it: the stream would stay in it.
        let graph = Arc::clone(stream).end_capture();
        enqueued.and(graph)
    }

    /// Waits for the batches that were enqueued.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    pub fn wait(&mut self) -> Result<(), Error> {
        if let Some(stream) = &self.stream {
            stream.synchronize()?;
        }
        self.replaced.clear();
        Ok(())
    }
}

impl Drop for ExecutionContext {
    fn drop(&mut self) {
        // An error here means that the device is lost: then nothing runs any more either.
        let _ = self.wait();
    }
}

impl fmt::Debug for ExecutionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.bound.iter().map(|bound| &bound.tensor.name)).finish()
    }
}
