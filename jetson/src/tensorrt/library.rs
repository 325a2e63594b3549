//! The installed TensorRT, opened.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use libloading::os::unix::Library as Loaded;

use super::{
    Error, Severity, Version, found,
    host::Host,
    open::{self, OpenError},
    sys,
};

/// Where TensorRT is looked for, and what is loaded with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// The folder of its libraries; by default the system's loader finds them.
    pub folder: Option<PathBuf>,
    /// NVIDIA's own plugins (`libnvinfer_plugin`), for networks that use them, e.g. EfficientNMS.
    pub standard_plugins: bool,
    /// Further plugin libraries, which register themselves when they are loaded.
    pub plugins: Vec<PathBuf>,
}

/// TensorRT, loaded for good: it cannot be unloaded safely.
pub struct Library {
    pub(super) api: &'static sys::Api,
    pub(super) version: Version,
    pub(super) log: &'static Host,
    folder: Option<PathBuf>,
    infer: &'static Loaded,
    /// Found when the first builder is made.
    builder: OnceLock<(sys::Create, sys::CreateParser)>,
}

impl Library {
    /// Loads the installed TensorRT and the plugins. `sink` hears its log, from any thread:
    /// that of the process's first load, for TensorRT keeps the first logger that it is given.
    ///
    /// # Errors
    /// [`Error::Unusable`], [`Error::NotCompiled`], [`Error::Library`] for a plugin library that does not load.
    pub fn load(location: &Location, sink: impl Fn(Severity, &str) + Send + Sync + 'static) -> Result<Arc<Self>, Error> {
        let (version, infer) = found::find(location.folder.as_deref())?;
        let api = sys::api(version.major).ok_or(Error::NotCompiled(version))?;
        let log = Host::logger(api, Arc::new(sink))?;
        let library = Self { api, version, log, folder: location.folder.clone(), infer, builder: OnceLock::new() };
        if location.standard_plugins {
            library.load_standard_plugins()?;
        }
        for path in &location.plugins {
            let refused = |reason: String| Error::Library { library: path.clone(), reason };
            match open::open(path.parent().filter(|parent| !parent.as_os_str().is_empty()), &file_name(path)) {
                Ok(_) => {}
                Err(OpenError::Absent) => return Err(refused("no such file".into())),
                Err(OpenError::Refused(reason)) => return Err(refused(reason)),
            }
        }
        Ok(Arc::new(library))
    }

    /// The installed release.
    pub fn version(&self) -> Version {
        self.version
    }

    fn load_standard_plugins(&self) -> Result<(), Error> {
        let (name, plugins) = self.sibling("nvinfer_plugin")?;
        // SAFETY: the function's type, from NvInferPlugin.h.
        let init: sys::InitPlugins = unsafe { symbol(plugins, &name, b"initLibNvInferPlugins\0") }?;
        self.log.init_plugins(init)
    }

    /// Another library of the same release.
    fn sibling(&self, name: &str) -> Result<(String, &'static Loaded), Error> {
        let name = format!("lib{name}.so.{}", self.version.major);
        match open::open(self.folder.as_deref(), &name) {
            Ok(library) => Ok((name, library)),
            Err(OpenError::Absent) => Err(Error::Library { library: name.into(), reason: "no such file".into() }),
            Err(OpenError::Refused(reason)) => Err(Error::Library { library: name.into(), reason }),
        }
    }

    pub(super) fn create_runtime(&self) -> Result<sys::Create, Error> {
        // SAFETY: the function's type, from NvInferRuntime.h.
        unsafe { symbol(self.infer, "libnvinfer", b"createInferRuntime_INTERNAL\0") }
    }

    /// The builder and the parser: only where engines are built.
    pub(super) fn create_builder(&self) -> Result<(sys::Create, sys::CreateParser), Error> {
        if let Some(&found) = self.builder.get() {
            return Ok(found);
        }
        let (name, parser) = self.sibling("nvonnxparser")?;
        // SAFETY: the function's type, from NvInfer.h.
        let builder: sys::Create = unsafe { symbol(self.infer, "libnvinfer", b"createInferBuilder_INTERNAL\0") }?;
        // SAFETY: the function's type, from NvOnnxParser.h.
        let parser: sys::CreateParser = unsafe { symbol(parser, &name, b"createNvOnnxParser_INTERNAL\0") }?;
        Ok(*self.builder.get_or_init(|| (builder, parser)))
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("version", &self.version).field("folder", &self.folder).finish_non_exhaustive()
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A function of a library that stays loaded.
///
/// # Safety
/// `T` is the function's type.
unsafe fn symbol<T: Copy>(library: &'static Loaded, name: &str, function: &[u8]) -> Result<T, Error> {
    // SAFETY: the caller's promise.
    match unsafe { library.get::<T>(function) } {
        Ok(found) => Ok(*found),
        Err(_) => Err(Error::Library {
            library: name.into(),
            reason: format!("it has no {}", String::from_utf8_lossy(function).trim_end_matches('\0')),
        }),
    }
}
