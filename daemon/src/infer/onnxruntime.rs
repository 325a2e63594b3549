//! ONNX Runtime through `ort`, its library found and loaded at run time.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use egret_models::{
    head::Tensor,
    spec::{ConstantInput, ModelSpec},
};
use half::f16;
use ort::{
    environment::Environment,
    ep::ExecutionProviderDispatch,
    logging::LogLevel,
    session::{Session, SessionInputValue, builder::GraphOptimizationLevel},
    value::{DynValue, Tensor as OwnedTensor, TensorRef},
};

use super::engine::{Input, Read as ReadOutputs};

/// Name of the library where its path is not given.
const FILE: &str = "libonnxruntime.so";
/// Its exports carry the library's version as their symbol version.
const VERSION_MARK: &[u8] = b"VERS_";
/// How far into the file the version is looked for.
const VERSION_WITHIN_BYTES: u64 = 4 << 20;

/// The loaded library. A process loads it once and keeps it.
#[derive(Clone)]
pub(super) struct Library {
    environment: Environment,
    /// For instance `1.31.1`.
    pub(super) version: String,
    /// The file it came from.
    pub(super) path: PathBuf,
}

static LOADED: Mutex<Option<Library>> = Mutex::new(None);

impl Library {
    /// Loads the library, or returns the one that this process has. Looks at `configured`, `EGRET_ONNXRUNTIME`, `ORT_DYLIB_PATH`,
    /// `.runtime/` of the source tree that this binary was built in, `../lib/egret/` and beside the binary, and where the dynamic
    /// loader looks.
    ///
    /// # Errors
    /// What was tried and why it did not do, for people.
    pub(super) fn find(configured: Option<&Path>) -> Result<Self, String> {
        #[cfg(test)]
        if hidden::is() {
            return Err("hidden by a test".into());
        }
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = &*loaded {
            return Ok(library.clone());
        }
        let mut tried = Vec::new();
        for candidate in candidates(configured, &env::current_exe().unwrap_or_default()) {
            match load(&candidate) {
                Ok(library) => {
                    *loaded = Some(library.clone());
                    return Ok(library);
                }
                Err(reason) => tried.push(format!("{}: {reason}", candidate.display())),
            }
        }
        Err(tried.join("; "))
    }
}

/// For tests of machines without the library.
#[cfg(test)]
mod hidden {
    use std::cell::Cell;

    thread_local!(static HIDDEN: Cell<bool> = const { Cell::new(false) });

    pub(super) fn is() -> bool {
        HIDDEN.get()
    }

    /// Runs something that finds no ONNX Runtime on this thread.
    #[cfg(feature = "doubles")]
    pub(crate) fn without_onnxruntime<T>(run: impl FnOnce() -> T) -> T {
        HIDDEN.set(true);
        let done = run();
        HIDDEN.set(false);
        done
    }
}
#[cfg(all(test, feature = "doubles"))]
pub(crate) use hidden::without_onnxruntime;

/// The library that this process uses, or would: its version and its file.
///
/// # Errors
/// As [`Library::find`].
pub(crate) fn installed(configured: Option<&Path>) -> Result<(String, PathBuf), String> {
    Library::find(configured).map(|library| (library.version, library.path))
}

/// Where the library may be, best first. Paths that somebody named are tried whether they exist or not, so that a typo is told.
fn candidates(configured: Option<&Path>, executable: &Path) -> Vec<PathBuf> {
    let named = |variable: &str| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let named = [configured.map(Path::to_owned), named("EGRET_ONNXRUNTIME"), named("ORT_DYLIB_PATH")];
    let mut candidates: Vec<PathBuf> = named.into_iter().flatten().collect();
    let build = executable.ancestors().find(|dir| dir.file_name().is_some_and(|name| name == "target"));
    let beside = executable.parent();
    let places = [
        build.and_then(Path::parent).map(|root| root.join(".runtime").join(FILE)),
        beside.map(|dir| dir.join("../lib/egret").join(FILE)),
        beside.map(|dir| dir.join(FILE)),
    ];
    candidates.extend(places.into_iter().flatten().filter(|path| path.exists()));
    candidates.push(PathBuf::from(FILE));
    candidates
}

fn load(path: &Path) -> Result<Library, String> {
    let by_name = path == Path::new(FILE);
    // `dlopen` of a pipe or a directory would wait or say something obscure.
    if !by_name && !fs::metadata(path).map_err(|e| e.to_string())?.is_file() {
        return Err("not a file".into());
    }
    if !by_name && !is_elf(path).map_err(|e| e.to_string())? {
        return Err("not a shared library (it has no ELF header)".into());
    }
    // `ort` asserts where a library is too strange; its panic must not become ours.
    let environment = catch_unwind(AssertUnwindSafe(|| -> Result<Environment, String> {
        let builder = ort::init_from(path).map_err(|e| e.to_string())?;
        let builder = builder.with_name("egret").with_telemetry(false).with_logger(Arc::new(log));
        builder.build().map_err(|e| e.to_string())
    }))
    .unwrap_or_else(|_| Err("not a usable ONNX Runtime (it made the loader panic)".into()))?;
    let path = if by_name { mapped_path().unwrap_or_else(|| path.to_owned()) } else { path.to_owned() };
    let version = version_of(&path).unwrap_or_else(|| "of unknown version".into());
    Ok(Library { environment, version, path })
}

/// Whether a file begins as programs and shared libraries do (ELF, the first four bytes).
fn is_elf(path: &Path) -> io::Result<bool> {
    let mut magic = Vec::new();
    fs::File::open(path)?.take(4).read_to_end(&mut magic)?;
    Ok(magic == *b"\x7fELF")
}

/// The runtime's own messages.
fn log(level: LogLevel, category: &str, _id: &str, _location: &str, message: &str) {
    match level {
        LogLevel::Verbose | LogLevel::Info => tracing::trace!(target: "egret::infer::onnxruntime", category, "{message}"),
        LogLevel::Warning => tracing::debug!(target: "egret::infer::onnxruntime", category, "{message}"),
        LogLevel::Error | LogLevel::Fatal => tracing::warn!(target: "egret::infer::onnxruntime", category, "{message}"),
    }
}

/// Which file the dynamic loader chose.
fn mapped_path() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]))
        .find(|path| path.contains("libonnxruntime"))
        .map(PathBuf::from)
}

/// The version that the library's exports carry (`OrtGetApiBase@@VERS_1.31.1`); the runtime tells it through raw pointers only.
fn version_of(path: &Path) -> Option<String> {
    // The names of the exports are among the first sections of an ELF file, each ended by a zero byte.
    let mut reader = BufReader::new(fs::File::open(path).ok()?).take(VERSION_WITHIN_BYTES);
    let mut name = Vec::new();
    while reader.read_until(0, &mut name).ok()? > 0 {
        let version = name.strip_prefix(VERSION_MARK).and_then(|version| version.strip_suffix(&[0]));
        if let Some(version) = version.filter(|v| v.len() < 20 && v.iter().all(|b| b.is_ascii_digit() || *b == b'.')) {
            return Some(version.iter().map(|b| char::from(*b)).collect());
        }
        name.clear();
    }
    None
}

/// One single-threaded session: the thread that calls it does all the work.
pub(super) struct Engine {
    session: Session,
    input: String,
    constants: Vec<ConstantInput>,
    outputs: Vec<String>,
    /// Outputs that are not of 32-bit floats, as such.
    floats: Vec<Vec<f32>>,
}

impl Engine {
    /// A session over a model.
    pub(super) fn new(library: &Library, model: &[u8], spec: &ModelSpec) -> Result<Self, String> {
        let session = catch_unwind(AssertUnwindSafe(|| session(library, model)))
            .unwrap_or_else(|_| Err(ort::Error::new("the binding panicked")))
            .map_err(|e| e.to_string())?;
        let floats = vec![Vec::new(); spec.outputs.len()];
        let (input, constants, outputs) = (spec.input.name.clone(), spec.constants.clone(), spec.outputs.clone());
        Ok(Self { session, input, constants, outputs, floats })
    }

    /// Runs a batch and hands out its outputs.
    pub(super) fn run(&mut self, input: Input<'_>, shape: &[usize], read: ReadOutputs<'_>) -> Result<(), String> {
        let fail = |e: ort::Error| e.to_string();
        // A view: nothing is copied.
        let tensor: SessionInputValue<'_> = match input {
            Input::Floats(values) => TensorRef::from_array_view((shape, values)).map_err(fail)?.into(),
            Input::Halves(values) => TensorRef::from_array_view((shape, values)).map_err(fail)?.into(),
            Input::Bytes(values) => TensorRef::from_array_view((shape, values)).map_err(fail)?.into(),
        };
        let mut inputs: Vec<(&str, SessionInputValue<'_>)> = vec![(&self.input, tensor)];
        for constant in &self.constants {
            let shape = [shape[0], constant.values.len()];
            let tensor = OwnedTensor::from_array((shape, constant.values.repeat(shape[0]))).map_err(fail)?;
            inputs.push((&constant.name, tensor.into()));
        }
        let outputs = self.session.run(inputs).map_err(fail)?;
        let mut found = Vec::with_capacity(self.outputs.len());
        for (name, floats) in self.outputs.iter().zip(&mut self.floats) {
            let value = outputs.get(name).ok_or_else(|| format!("it has no output `{name}`"))?;
            let (shape, values) = self::floats(value, name, floats)?;
            found.push((name, shape, values));
        }
        let tensors: Vec<Tensor<'_>> = found.iter().map(|(name, shape, data)| Tensor { name, shape, data }).collect();
        read(&tensors)
    }
}

/// An output as 32-bit floats, with its shape.
pub(super) fn floats<'a>(value: &'a DynValue, name: &str, floats: &'a mut Vec<f32>) -> Result<(Vec<usize>, &'a [f32]), String> {
    match value.try_extract_tensor::<f32>() {
        Ok((shape, values)) => Ok((sizes(shape), values)),
        Err(_) => converted(value, name, floats),
    }
}

fn sizes(shape: &[i64]) -> Vec<usize> {
    shape.iter().map(|n| usize::try_from(*n).unwrap_or_default()).collect()
}

/// An output of whole numbers or of 16-bit floats as 32-bit floats, with its shape.
fn converted<'a>(value: &DynValue, name: &str, floats: &'a mut Vec<f32>) -> Result<(Vec<usize>, &'a [f32]), String> {
    floats.clear();
    let shape = if let Ok((shape, values)) = value.try_extract_tensor::<i64>() {
        floats.extend(values.iter().map(|v| *v as f32));
        sizes(shape)
    } else if let Ok((shape, values)) = value.try_extract_tensor::<f16>() {
        floats.extend(values.iter().map(|v| v.to_f32()));
        sizes(shape)
    } else if let Ok((shape, values)) = value.try_extract_tensor::<i32>() {
        floats.extend(values.iter().map(|v| *v as f32));
        sizes(shape)
    } else if let Ok((shape, values)) = value.try_extract_tensor::<u8>() {
        floats.extend(values.iter().map(|v| f32::from(*v)));
        sizes(shape)
    } else {
        return Err(format!(
            "its output `{name}` ({:?}) is neither of floats of 16 or 32 bits nor of whole numbers",
            value.dtype()
        ));
    };
    Ok((shape, floats))
}

pub(super) fn session(library: &Library, model: &[u8]) -> ort::Result<Session> {
    session_on(library, model, &[])
}

/// A session over a model by these providers, where they take it, and the CPU's.
pub(super) fn session_on(library: &Library, model: &[u8], providers: &[ExecutionProviderDispatch]) -> ort::Result<Session> {
    let builder = Session::builder(&library.environment)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        // One plan of the arena per batch size costs memory (4 to 8 MB a session with YOLOX-nano) and saves no time.
        .with_memory_pattern(false)?
        .with_optimization_level(GraphOptimizationLevel::All)?;
    let mut builder = if providers.is_empty() { builder } else { builder.with_execution_providers(providers)? };
    builder.commit_from_memory(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_paths_come_first_and_typos_are_told() {
        let found = candidates(Some(Path::new("/nowhere/libonnxruntime.so")), Path::new("/usr/bin/egret"));
        assert_eq!(found[0], Path::new("/nowhere/libonnxruntime.so"));
        assert_eq!(found.last().map(PathBuf::as_path), Some(Path::new(FILE)));
        let reason = load(&found[0]).map(|_| ()).unwrap_err();
        assert!(reason.contains("No such file"), "{reason}");
    }

    #[test]
    fn files_that_are_no_library_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()).map(|_| ()).unwrap_err(), "not a file");
        let text = dir.path().join(FILE);
        fs::write(&text, "hello").unwrap();
        assert_eq!(load(&text).map(|_| ()).unwrap_err(), "not a shared library (it has no ELF header)");
    }

    #[test]
    fn the_build_tree_of_a_test_is_found() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(".runtime")).unwrap();
        fs::write(root.path().join(".runtime").join(FILE), "").unwrap();
        let found = candidates(None, &root.path().join("target/debug/deps/egret-1234"));
        assert!(found.contains(&root.path().join(".runtime").join(FILE)), "{found:?}");
    }
}
