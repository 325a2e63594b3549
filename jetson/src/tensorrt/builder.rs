//! Building engines: ONNX in, plan out.

use std::{fmt, path::Path, sync::Arc};

use super::{
    Error, Library, Range, Tensor, Version,
    build::Build,
    host::{Host, OnProgress},
    sys,
};

/// Where an engine may run beside the device that builds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HardwareCompatibility {
    /// Only on the same kind of device: the fastest.
    #[default]
    None,
    /// On any desktop GPU from Ampere on.
    AmperePlus,
    /// On devices of the same compute capability; from TensorRT 10.9 on.
    SameComputeCapability,
}

/// A DLA core as an engine's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dla {
    /// From 0.
    pub core: u32,
    /// Let the GPU run what the DLA cannot; else such a network is refused.
    pub gpu_fallback: bool,
    /// Limits of its memories in bytes; `None` leaves TensorRT's own.
    pub sram_bytes: Option<u64>,
    /// See [`Self::sram_bytes`]: DRAM for tensors between layers.
    pub local_dram_bytes: Option<u64>,
    /// See [`Self::sram_bytes`]: DRAM for weights.
    pub global_dram_bytes: Option<u64>,
}

/// How an engine is built. `None` leaves TensorRT's own choice.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of TensorRT's own")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Let FP32 convolutions and products run in TF32, with 10 bits of mantissa. TensorRT's own default is yes; egret's is no, so that
    /// FP32 means FP32.
    pub tf32: bool,
    /// Weights with 2:4 sparsity may use the sparse units.
    pub sparse_weights: bool,
    /// 0 to 5: higher builds longer for a faster engine.
    pub optimization_level: Option<u32>,
    /// Most tactics that are timed per layer; from TensorRT 10.4 on.
    pub max_tactics: Option<u32>,
    /// Most further streams that the engine may use.
    pub max_aux_streams: Option<u32>,
    /// Most threads of the host.
    pub max_threads: Option<u32>,
    /// Scratch memory that a layer may ask for.
    pub workspace_bytes: Option<u64>,
    /// Device memory that timing may use.
    pub tactic_bytes: Option<u64>,
    /// The DLA instead of the GPU.
    pub dla: Option<Dla>,
    /// Runs on later TensorRT releases too, more slowly.
    pub version_compatible: bool,
    /// Leave out the lean runtime that version-compatible plans carry.
    pub exclude_lean_runtime: bool,
    /// Other devices.
    pub hardware_compatibility: HardwareCompatibility,
    /// Let the inspector tell tactics and formats of every layer.
    pub detailed: bool,
    /// Time everything anew.
    pub ignore_timings: bool,
}

/// Where a layer can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The layer's name.
    pub layer: String,
    /// `nvinfer1::LayerType`.
    pub kind: i32,
    /// Whether the DLA can run it; else it is the GPU's.
    pub on_dla: bool,
}

/// What a build yields.
#[derive(Clone, PartialEq, Eq)]
pub struct Built {
    /// The serialised engine.
    pub plan: Vec<u8>,
    /// What was timed, for the next build on this device with this TensorRT. Empty unless
    /// [`Builder::use_timings`] was called.
    pub timing_cache: Vec<u8>,
}

/// A network on its way to an engine.
pub struct Builder {
    raw: Build,
    version: Version,
    profiles: Vec<Vec<Range>>,
    dla: Option<Dla>,
}

impl Builder {
    /// `progress` hears of the build and can cancel it.
    ///
    /// # Errors
    /// [`Error::Library`] without the ONNX parser, [`Error::Refused`] e.g. without a CUDA device.
    pub fn new(library: &Arc<Library>, progress: Option<OnProgress>) -> Result<Self, Error> {
        let functions = library.create_builder()?;
        let host = Host::new(library.log, progress)?;
        // SAFETY: both functions are of the library's release, whose version chose the table.
        let raw = unsafe { Build::new(library.api, functions, library.version, library.log, host) }?;
        Ok(Self { raw, version: library.version, profiles: Vec::new(), dla: None })
    }

    /// Reads an ONNX network. `path`: its file, beside which external weights lie.
    ///
    /// # Errors
    /// [`Error::Parse`] with all that the parser has against it.
    pub fn parse(&mut self, onnx: &[u8], path: Option<&Path>) -> Result<(), Error> {
        self.raw.parse(onnx, path)
    }

    /// The network's inputs, then its outputs.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn tensors(&self) -> Result<Vec<Tensor>, Error> {
        let counts = self.raw.counts()?;
        let inputs = (0..counts.inputs).map(|i| self.raw.tensor(false, i));
        inputs.chain((0..counts.outputs).map(|i| self.raw.tensor(true, i))).collect()
    }

    /// Adds an optimization profile: what shapes each input with a dynamic one may have.
    ///
    /// # Errors
    /// [`Error::Refused`] for an unknown input, or shapes that contradict the network's.
    pub fn add_profile(&mut self, ranges: Vec<Range>) -> Result<(), Error> {
        for range in &ranges {
            if !(range.allows(&range.opt) && range.allows(&range.min)) {
                let Range { name, min, opt, max } = range;
                return Err(Error::Options(format!("the profile of input {name:?} is not in order: {min} ≤ {opt} ≤ {max}")));
            }
        }
        self.raw.profile(&ranges)?;
        self.profiles.push(ranges);
        Ok(())
    }

    /// Sets how the engine is built.
    ///
    /// # Errors
    /// [`Error::NoDla`], [`Error::Options`], [`Error::TooOld`].
    pub fn configure(&mut self, options: &Options) -> Result<(), Error> {
        if let Some(dla) = &options.dla {
            let cores = self.raw.counts()?.dla_cores.max(0).unsigned_abs();
            if dla.core >= cores {
                return Err(Error::NoDla { core: dla.core, cores, installed: self.version });
            }
            if options.version_compatible || options.hardware_compatibility != HardwareCompatibility::None {
                return Err(Error::Options("an engine for the DLA runs on no other version and no other device".into()));
            }
        }
        if options.exclude_lean_runtime && !options.version_compatible {
            return Err(Error::Options("only version-compatible engines carry a lean runtime that could be left out".into()));
        }
        match self.raw.configure(&options.raw()) {
            sys::OK => {}
            sys::TOO_OLD if options.max_tactics.is_some() && self.version < (Version { major: 10, minor: 4, patch: 0 }) => {
                return Err(Error::TooOld { what: "limit on tactics (it came with 10.4)", installed: self.version });
            }
            sys::TOO_OLD => {
                return Err(Error::TooOld {
                    what: "compatibility within a compute capability (it came with 10.9)",
                    installed: self.version,
                });
            }
            _ => return Err(Error::Refused { call: "configuring the build", told: self.raw.host.told() }),
        }
        self.dla.clone_from(&options.dla);
        Ok(())
    }

    /// Begins with the timings of an earlier build, or with none for an empty `cache`; the build hands over its own only after this.
    /// Returns whether TensorRT takes them: those of another release or device it does not, and then it begins with none.
    ///
    /// # Errors
    /// [`Error::Refused`] where TensorRT makes no cache at all.
    pub fn use_timings(&mut self, cache: &[u8]) -> Result<bool, Error> {
        match self.raw.timing_cache(cache) {
            Ok(()) => Ok(true),
            Err(_) if !cache.is_empty() => self.raw.timing_cache(&[]).map(|()| false),
            Err(error) => Err(error),
        }
    }

    /// For each layer, whether the DLA can run it, under the options that were set.
    ///
    /// # Errors
    /// [`Error::NoDla`] where none was asked for.
    pub fn placement(&self) -> Result<Vec<Placement>, Error> {
        if self.dla.is_none() {
            return Err(Error::Options("layers are placed only where an engine is built for the DLA".into()));
        }
        self.raw.placement()
    }

    /// Builds the engine: seconds to many minutes.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; [`Error::DlaDynamic`] and [`Error::DlaLayers`] for what the DLA cannot do; [`Error::Refused`], which
    /// [`Error::is_out_of_memory`] tells apart from the rest.
    pub fn build(mut self) -> Result<Built, Error> {
        if let Some(dla) = &self.dla {
            let dynamic = self.profiles.iter().flatten().find(|range| range.min != range.max);
            if let Some(range) = dynamic {
                return Err(Error::DlaDynamic(range.name.clone()));
            }
            if !dla.gpu_fallback {
                let layers = self.raw.placement()?;
                let off: Vec<String> = layers.into_iter().filter(|layer| !layer.on_dla).map(|layer| layer.layer).collect();
                if !off.is_empty() {
                    return Err(Error::DlaLayers(off));
                }
            }
        }
        let (plan, timing_cache) = self.raw.run()?;
        Ok(Built { plan, timing_cache })
    }
}

impl Options {
    fn raw(&self) -> sys::Config {
        let flag = |on: bool, flag: u32| if on { flag } else { 0 };
        let number = |value: Option<u32>| value.and_then(|value| i32::try_from(value).ok()).unwrap_or(-1);
        let bytes = |value: Option<u64>| value.map_or(-1, |value| i64::try_from(value).unwrap_or(i64::MAX));
        let dla = self.dla.as_ref();
        sys::Config {
            flags: flag(self.tf32, sys::TF32)
                | flag(dla.is_some_and(|dla| dla.gpu_fallback), sys::GPU_FALLBACK)
                | flag(self.version_compatible, sys::VERSION_COMPATIBLE)
                | flag(self.exclude_lean_runtime, sys::EXCLUDE_LEAN_RUNTIME)
                | flag(self.sparse_weights, sys::SPARSE_WEIGHTS)
                | flag(self.ignore_timings, sys::DISABLE_TIMING_CACHE)
                | flag(self.detailed, sys::DETAILED_LAYERS),
            optimization_level: number(self.optimization_level),
            max_tactics: number(self.max_tactics),
            max_aux_streams: number(self.max_aux_streams),
            max_threads: number(self.max_threads),
            dla_core: number(dla.map(|dla| dla.core)),
            hardware_compatibility: match self.hardware_compatibility {
                HardwareCompatibility::None => 0,
                HardwareCompatibility::AmperePlus => 1,
                HardwareCompatibility::SameComputeCapability => 2,
            },
            workspace_bytes: bytes(self.workspace_bytes),
            dla_sram_bytes: bytes(dla.and_then(|dla| dla.sram_bytes)),
            dla_local_dram_bytes: bytes(dla.and_then(|dla| dla.local_dram_bytes)),
            dla_global_dram_bytes: bytes(dla.and_then(|dla| dla.global_dram_bytes)),
            tactic_dram_bytes: bytes(self.tactic_bytes),
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Builder(TensorRT {})", self.version)
    }
}

impl fmt::Debug for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Built(plan of {} bytes, timings of {})", self.plan.len(), self.timing_cache.len())
    }
}
