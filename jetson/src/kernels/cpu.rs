//! The kernels on the CPU, for tests: the very sources, compiled by the machine's C++ compiler through a small shim of CUDA's built-ins
//! (`jetson/kernels/cpu`). What it computes is what a device computes, but for the last bits of exponentials, sines and logarithms;
//! what it says nothing of is speed.

use std::{
    env,
    ffi::{CString, c_char, c_int},
    fs, io,
    path::{Path, PathBuf},
    process::{self, Command},
};

use libloading::Library;
use sha2::{Digest, Sha256};

use super::{
    Launch, Params,
    letterbox::{Element, Frame, LetterboxParams, Slot, Tensor, Window, WindowError},
    sources::hexadecimal,
};

/// Options of the compiler: multiplications and additions stay apart, as NVRTC is told with `--fmad=false`.
const OPTIONS: [&str; 9] =
    ["-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"];

/// Why there are no kernels for the CPU, or why one did not run.
#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    /// There is no C++ compiler.
    #[error("no C++ compiler ({0}): install g++ or name one in CXX")]
    NoCompiler(io::Error),
    /// The sources do not compile.
    #[error("the kernels do not compile for the CPU:\n{0}")]
    Compile(String),
    /// A file cannot be written or read.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The library cannot be loaded.
    #[error("the compiled kernels cannot be loaded: {0}")]
    Load(#[from] libloading::Error),
    /// The shim refuses a launch.
    #[error("kernel {entry}: {reason}")]
    Launch {
        /// Its name.
        entry: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// Memory is too small for what is to be read or written.
    #[error("{what} has {found} values where {needed} are needed")]
    Size {
        /// Which memory.
        what: &'static str,
        /// What it has.
        found: usize,
        /// What it needs.
        needed: usize,
    },
    /// The picture cannot be drawn.
    #[error(transparent)]
    Window(#[from] WindowError),
}

type LaunchFn = unsafe extern "C" fn(*const c_char, *const u32, *const u32, *const std::ffi::c_void, usize, c_int) -> c_int;

/// The kernels, compiled for this machine.
pub struct CpuKernels {
    launch: LaunchFn,
    /// Threads and blocks run from the last to the first: results must not depend on it.
    pub descending: bool,
    _library: Library,
}

/// A picture in host memory.
#[derive(Clone, Copy, Debug)]
pub struct HostFrame<'a> {
    /// Its size and layout.
    pub frame: Frame,
    /// Its planes from their first byte; two of NV12, three of I420.
    pub planes: [&'a [u8]; 3],
}

/// A tensor in host memory.
#[derive(Debug)]
pub enum Cells<'a> {
    /// 32-bit floats.
    F32(&'a mut [f32]),
    /// Bits of 16-bit floats.
    F16(&'a mut [u16]),
    /// Quantised.
    I8(&'a mut [i8]),
    /// Samples.
    U8(&'a mut [u8]),
}

impl CpuKernels {
    /// Compiles the sources, unless this was done before, and loads them.
    ///
    /// # Errors
    /// [`CpuError`]; [`CpuError::NoCompiler`] where a test is to be skipped.
    pub fn load() -> Result<Self, CpuError> {
        let path = compiled()?;
        // SAFETY: the library was compiled from the sources of this crate, and running its initialisers has no effects.
        let library = unsafe { Library::new(&path) }?;
        // SAFETY: `egret_launch` has this signature in `kernels/cpu/kernels.cpp`; the pointer is used while the library is held.
        let launch = *unsafe { library.get::<LaunchFn>(b"egret_launch\0") }?;
        Ok(Self { launch, descending: false, _library: library })
    }

    /// Runs a launch.
    ///
    /// # Safety
    /// The addresses in its parameters are valid for what the kernel reads and writes.
    pub(super) unsafe fn launch<P: Params>(&self, launch: &Launch<P>) -> Result<(), CpuError> {
        let Launch { entry, grid, block, ref params } = *launch;
        let fail = |reason| Err(CpuError::Launch { entry, reason });
        let Ok(name) = CString::new(entry) else { return fail("its name has a NUL") };
        let params = std::ptr::from_ref(params).cast();
        // SAFETY: grid and block have three values each, and the parameters as many bytes as are told; the shim checks them against
        // the kernel's. The caller vouches for the addresses in them.
        let code = unsafe {
            (self.launch)(name.as_ptr(), grid.as_ptr(), block.as_ptr(), params, size_of::<P>(), c_int::from(self.descending))
        };
        match code {
            0 => Ok(()),
            1 => fail("there is none of this name"),
            2 => fail("its parameters have another size"),
            _ => fail("no memory for its threads"),
        }
    }

    /// Fills the slots of a tensor, one picture each; `true` writes the padding too.
    ///
    /// # Errors
    /// [`CpuError`].
    pub fn letterbox(
        &self,
        tensor: &Tensor,
        pictures: &[(HostFrame<'_>, Window, bool)],
        out: &mut Cells<'_>,
    ) -> Result<(), CpuError> {
        let mut slots = Vec::with_capacity(pictures.len());
        for (picture, window, pad) in pictures {
            for (i, plane) in picture.planes.iter().enumerate() {
                enough("a plane", plane.len(), picture.frame.plane_bytes(i))?;
            }
            let planes = picture.planes.map(|plane| plane.as_ptr() as u64);
            slots.push(tensor.slot(&picture.frame, planes, window, *pad)?);
        }
        let (address, len, matches) = match out {
            Cells::F32(cells) => (cells.as_mut_ptr() as u64, cells.len(), tensor.element == Element::F32),
            Cells::F16(cells) => (cells.as_mut_ptr() as u64, cells.len(), tensor.element == Element::F16),
            Cells::I8(cells) => (cells.as_mut_ptr() as u64, cells.len(), matches!(tensor.element, Element::I8 { .. })),
            Cells::U8(cells) => (cells.as_mut_ptr() as u64, cells.len(), tensor.element == Element::U8),
        };
        enough("the tensor", if matches { len } else { 0 }, slots.len() * tensor.slot_len())?;
        let launch = tensor.launch(slots.as_ptr() as u64, address, slots.len() as u32);
        // SAFETY: `Tensor::slot` has checked that the windows lie within the pictures and the tensor, and both are as large as they say.
        unsafe { self.launch::<LetterboxParams>(&launch) }
    }

    /// Bytes of a slot's description, as the kernels have it too.
    pub fn slot_bytes() -> usize {
        size_of::<Slot>()
    }
}

fn enough(what: &'static str, found: usize, needed: usize) -> Result<(), CpuError> {
    if found >= needed { Ok(()) } else { Err(CpuError::Size { what, found, needed }) }
}

/// The library, compiled when its sources have changed.
fn compiled() -> Result<PathBuf, CpuError> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    let compiler = env::var("CXX").unwrap_or_else(|_| "g++".into());
    let mut digest = Sha256::new();
    digest.update(&compiler);
    for option in OPTIONS {
        digest.update(option);
    }
    for folder in [sources.clone(), sources.join("cpu")] {
        let failed = |error| CpuError::File { path: folder.clone(), error };
        let mut files = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed)?;
        files.sort_by_key(fs::DirEntry::path);
        for path in files.iter().map(fs::DirEntry::path).filter(|path| path.is_file()) {
            digest.update(fs::read(&path).map_err(|error| CpuError::File { path, error })?);
        }
    }
    let folder = sources.join("../../target/kernels");
    let path = folder.join(format!("{}.so", &hexadecimal(&digest.finalize())[..16]));
    if path.exists() {
        return Ok(path);
    }
    fs::create_dir_all(&folder).map_err(|error| CpuError::File { path: folder.clone(), error })?;
    // Tests run side by side: each compiles under its own name, and the last rename stays.
    let own = folder.join(format!("{}.tmp", process::id()));
    let output = Command::new(compiler).args(OPTIONS).arg("-o").arg(&own).arg(sources.join("cpu/kernels.cpp")).output();
    let output = output.map_err(CpuError::NoCompiler)?;
    if !output.status.success() {
        return Err(CpuError::Compile(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    fs::rename(&own, &path).map_err(|error| CpuError::File { path: path.clone(), error })?;
    Ok(path)
}
