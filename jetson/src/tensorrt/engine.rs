//! Engines: plans that were deserialised.

use std::{fmt, sync::Arc};

use super::{Error, ExecutionContext, Library, Memory, Range, Tensor, Version, host::Host, result};

/// `IRuntime`: makes engines out of plans.
pub struct Runtime {
    library: Arc<Library>,
    raw: Arc<result::Runtime>,
}

/// How a plan is deserialised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deserialize {
    /// The DLA core that it runs on; `None` is the GPU.
    pub dla: Option<u32>,
    /// Version-compatible plans carry code for the host: allow it for plans that were built here, never for a stranger's.
    pub allow_host_code: bool,
}

impl Runtime {
    /// # Errors
    /// [`Error::Refused`], e.g. without a CUDA device.
    pub fn new(library: &Arc<Library>) -> Result<Self, Error> {
        let create = library.create_runtime()?;
        let host = Host::new(library.log, None)?;
        // SAFETY: `create` is of the library, whose version chose the table.
        let raw = unsafe { result::Runtime::new(library.api, create, library.version, library.log, host) }?;
        Ok(Self { library: Arc::clone(library), raw: Arc::new(raw) })
    }

    /// The engine of a plan. TensorRT executes what a plan says: give it none that somebody else may have changed.
    ///
    /// # Errors
    /// [`Error::Plan`] for what is no plan, is damaged, or was built by another TensorRT or for another device; [`Error::NoDla`].
    pub fn deserialize(&self, plan: &[u8], how: Deserialize) -> Result<Engine, Error> {
        let raw = Arc::new(self.raw.deserialize(plan, how.dla, how.allow_host_code, self.library.version)?);
        let [tensors, profiles, layers] = raw.counts()?;
        let tensors = (0..tensors).map(|i| raw.tensor(i)).collect::<Result<Vec<_>, _>>()?;
        let inputs = || tensors.iter().filter(|tensor| !tensor.is_output && !tensor.on_host);
        let profile = |p| inputs().map(|input| raw.profile(p, &input.name)).collect::<Result<Vec<_>, _>>();
        let profiles = (0..profiles).map(profile).collect::<Result<Vec<_>, _>>()?;
        Ok(Engine { library: Arc::clone(&self.library), raw, tensors, profiles, layers: layers.max(0).unsigned_abs() })
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Runtime(TensorRT {})", self.library.version)
    }
}

/// `ICudaEngine`: a network, ready to run in any number of execution contexts.
pub struct Engine {
    library: Arc<Library>,
    raw: Arc<result::Engine>,
    tensors: Vec<Tensor>,
    profiles: Vec<Vec<Range>>,
    layers: u32,
}

impl Engine {
    /// Inputs and outputs, in the engine's order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// For each optimization profile, what it allows each input.
    pub fn profiles(&self) -> &[Vec<Range>] {
        &self.profiles
    }

    /// How many layers are left after fusion.
    pub fn layers(&self) -> u32 {
        self.layers
    }

    /// The release that runs it.
    pub fn version(&self) -> Version {
        self.library.version
    }

    /// Bytes of device memory that an execution context needs for activations: for that profile, or the largest of all.
    ///
    /// # Errors
    /// [`Error::Binding`] for a profile that there is not.
    pub fn context_bytes(&self, profile: Option<u32>) -> Result<u64, Error> {
        if let Some(profile) = profile {
            self.check_profile(profile)?;
        }
        self.raw.memory(profile)
    }

    /// TensorRT's account of the engine, as JSON: layers, tactics, formats.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn inspect(&self) -> Result<String, Error> {
        self.raw.inspect()
    }

    /// A context for batches of that profile, with memory of its own.
    ///
    /// # Errors
    /// [`Error::Refused`] where device memory runs out; [`Error::Binding`] for a profile that there is not.
    pub fn context(&self, profile: u32) -> Result<ExecutionContext, Error> {
        self.new_context(profile, None)
    }

    /// A context that works in `memory`, at least [`Self::context_bytes`] long. Several contexts may share one if none runs at the same
    /// time as another.
    ///
    /// # Errors
    /// As [`Self::context`]; [`Error::Binding`] for memory that is too small.
    pub fn context_in(&self, profile: u32, memory: Arc<dyn Memory>) -> Result<ExecutionContext, Error> {
        let needed = self.context_bytes(Some(profile))?;
        if memory.bytes() < needed {
            return Err(Error::Binding(format!("an execution context needs {needed} bytes, its memory has {}", memory.bytes())));
        }
        self.new_context(profile, Some(memory))
    }

    fn new_context(&self, profile: u32, memory: Option<Arc<dyn Memory>>) -> Result<ExecutionContext, Error> {
        self.check_profile(profile)?;
        let host = Host::new(self.library.log, None)?;
        let raw = self.raw.context(host, memory.is_some())?;
        let ranges = &self.profiles[profile as usize];
        ExecutionContext::new(raw, profile, &self.tensors, ranges, memory)
    }

    fn check_profile(&self, profile: u32) -> Result<(), Error> {
        let profiles = self.profiles.len();
        if (profile as usize) < profiles {
            return Ok(());
        }
        Err(Error::Binding(format!("profile {profile}: the engine has {profiles}, counted from 0")))
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("tensors", &self.tensors).field("layers", &self.layers).finish_non_exhaustive()
    }
}
