//! The kernels on the CPU, for tests: the very sources, compiled by the machine's C++ compiler through a small shim of CUDA's built-ins
//! (`jetson/kernels/cpu`). What it computes is what a device computes, but for the last bits of exponentials, sines and logarithms;
//! what it says nothing of is speed.

use std::{
    env,
    ffi::{CString, c_char, c_int},
    fs, io,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
};

use libloading::{
    Library,
    os::unix::{Library as Unix, RTLD_GLOBAL, RTLD_NOW},
};
use sha2::{Digest, Sha256};

use super::{
    Launch, Params,
    decode::{Addresses, Decoder, OutputElement},
    letterbox::{Element, Frame, LetterboxParams, Slot, Tensor, Window, WindowError},
    sources::hexadecimal,
};

/// Options of the compiler: multiplications and additions stay apart, as NVRTC is told with `--fmad=false`.
/// Fortified jumps would refuse to change stacks.
const OPTIONS: [&str; 11] = [
    "-std=c++17",
    "-O2",
    "-U_FORTIFY_SOURCE",
    "-ffp-contract=off",
    "-fPIC",
    "-fvisibility=hidden",
    "-shared",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unknown-pragmas",
];

/// How many times this process has compiled.
static COMPILED: AtomicU32 = AtomicU32::new(0);

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

/// An output in host memory.
#[derive(Clone, Copy, Debug)]
pub enum HostOutput<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// Bits of 16-bit floats.
    F16(&'a [u16]),
    /// 32-bit integers.
    I32(&'a [i32]),
    /// 64-bit integers.
    I64(&'a [i64]),
}

impl HostOutput<'_> {
    /// Its elements.
    pub fn element(&self) -> OutputElement {
        match self {
            Self::F32(_) => OutputElement::F32,
            Self::F16(_) => OutputElement::F16,
            Self::I32(_) => OutputElement::I32,
            Self::I64(_) => OutputElement::I64,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::I64(values) => values.len(),
        }
    }

    /// Their bytes, as a device has them.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: plain numbers without padding, as many as `len` says, of `size` bytes each.
        unsafe { std::slice::from_raw_parts(self.address() as *const u8, self.len() * self.element().size()) }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn address(&self) -> u64 {
        match self {
            Self::F32(values) => values.as_ptr() as u64,
            Self::F16(values) => values.as_ptr() as u64,
            Self::I32(values) => values.as_ptr() as u64,
            Self::I64(values) => values.as_ptr() as u64,
        }
    }
}

/// The knobs of the double of the driver, which are the whole process's: a test that turns them runs alone.
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    set: unsafe extern "C" fn(*const c_char, i64) -> c_int,
    get: unsafe extern "C" fn(*const c_char, *mut i64) -> c_int,
}

impl Driver {
    /// What can be turned, and where it rests.
    const KNOBS: [(&str, i64); 6] =
        [("threads", 0), ("lost", 0), ("lost_after", -1), ("memory", -1), ("devices", 1), ("capture_fails", 0)];

    /// Turns a knob: `threads` (1: streams that are made work by themselves), `lost` (a `CUresult` with which every call fails),
    /// `lost_after` (so many kernels later the next one is an illegal memory access), `memory` (bytes that the device has),
    /// `devices` (how many there are, at most 4), `capture_fails` (1: recordings come out invalid); or sets a count. `false`: there is none of that name.
    pub fn set(&self, knob: &str, value: i64) -> bool {
        let Ok(name) = CString::new(knob) else { return false };
        // SAFETY: the name is NUL-terminated and lives for the call.
        unsafe { (self.set)(name.as_ptr(), value) == 0 }
    }

    /// A knob, or a count: `launches` of kernels, `allocations` of device and pinned memory, `waits` for the device as a whole, bytes
    /// copied `to_device` and `to_host`, bytes of device memory that are `used`.
    pub fn get(&self, count: &str) -> Option<i64> {
        let name = CString::new(count).ok()?;
        let mut value = 0;
        // SAFETY: the name is NUL-terminated and lives for the call, and the pointer is valid for the one integer that is written.
        (unsafe { (self.get)(name.as_ptr(), &raw mut value) } == 0).then_some(value)
    }

    /// Puts every knob to rest.
    pub fn rest(&self) {
        for (knob, value) in Self::KNOBS {
            self.set(knob, value);
        }
    }
}

impl CpuKernels {
    /// Compiles the sources, unless this was done before, and loads them.
    ///
    /// # Errors
    /// [`CpuError`]; [`CpuError::NoCompiler`] where a test is to be skipped.
    pub fn load() -> Result<Self, CpuError> {
        let path = compiled("kernels/cpu/kernels.cpp", &[])?;
        // SAFETY: the library was compiled from the sources of this crate, and running its initialisers has no effects.
        let library = unsafe { Library::new(&path) }?;
        // SAFETY: `egret_launch` has this signature in `kernels/cpu/kernels.cpp`; the pointer is used while the library is held.
        let launch = *unsafe { library.get::<LaunchFn>(b"egret_launch\0") }?;
        Ok(Self { launch, descending: false, _library: library })
    }

    /// A CUDA driver over these kernels, for tests of what launches them: loads it into this process, under the name that programs ask
    /// for. A real driver of this machine comes first.
    ///
    /// # Errors
    /// [`CpuError`].
    pub fn drive() -> Result<Driver, CpuError> {
        let path = compiled("kernels/cpu/driver.cpp", &["-Wl,-soname,libcuda.so.1", "-pthread"])?;
        // SAFETY: the library was compiled from the sources of this crate, and running its initialisers has no effects.
        let library = unsafe { Unix::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) }?;
        // SAFETY: the functions' types, from `kernels/cpu/driver.cpp`.
        let driver = unsafe { Driver { set: *library.get(b"egret_driver_set\0")?, get: *library.get(b"egret_driver_get\0")? } };
        // It is asked for by name until the process ends.
        std::mem::forget(library);
        Ok(driver)
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

    /// Decodes batches of outputs, one after the other through the same memory; what each leaves is for [`Decoder::read`].
    ///
    /// # Errors
    /// [`CpuError`].
    pub fn decode(&self, decoder: &Decoder, batches: &[(&[HostOutput<'_>], usize)]) -> Result<Vec<Vec<u8>>, CpuError> {
        let most = batches.iter().map(|(_, pictures)| *pictures).max().unwrap_or(0);
        let needed = decoder.memory(most);
        // Whole words, since the memory begins at multiples of 8; what is there is no zero.
        let words = |bytes: usize| vec![0xdead_beef_dead_beef_u64; bytes.div_ceil(8)];
        let (mut candidates, mut turned) = (words(needed.candidates), words(needed.turned));
        let mut counters: Vec<u64> =
            Decoder::counters().as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect::<Vec<_>>().repeat(most);
        let mut all = Vec::new();
        for (outputs, pictures) in batches {
            for (output, shape) in outputs.iter().zip(decoder.outputs(*pictures)) {
                enough("an output", if output.element() == shape.element { output.len() } else { 0 }, shape.len)?;
            }
            enough("the outputs", outputs.len(), decoder.outputs(1).count())?;
            let mut results = words(decoder.result_bytes() * pictures);
            let addresses = Addresses {
                candidates: candidates.as_mut_ptr() as u64,
                counters: counters.as_mut_ptr() as u64,
                confidences: decoder.confidences().as_ptr() as u64,
                priors: decoder.priors().as_ptr() as u64,
                turned: turned.as_mut_ptr() as u64,
                results: results.as_mut_ptr() as u64,
            };
            let data: Vec<_> = outputs.iter().map(HostOutput::address).collect();
            let (scan, select) = decoder.launches(&addresses, &data, *pictures as u32);
            // SAFETY: all memory has the sizes that the decoder asks for, and the outputs those that it was made for.
            unsafe { self.launch(&scan) }?;
            // SAFETY: as above.
            unsafe { self.launch(&select) }?;
            all.push(results.iter().flat_map(|word| word.to_ne_bytes()).collect());
        }
        Ok(all)
    }

    /// Bytes of a slot's description, as the kernels have it too.
    pub fn slot_bytes() -> usize {
        size_of::<Slot>()
    }
}

fn enough(what: &'static str, found: usize, needed: usize) -> Result<(), CpuError> {
    if found >= needed { Ok(()) } else { Err(CpuError::Size { what, found, needed }) }
}

/// The library of a source of this crate, compiled when it or its neighbours have changed.
pub(crate) fn compiled(source: &str, options: &[&str]) -> Result<PathBuf, CpuError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (sources, source) = (root.join("kernels"), root.join(source));
    let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let compiler = env::var("CXX").unwrap_or_else(|_| "g++".into());
    let mut digest = Sha256::new();
    digest.update(&compiler);
    for option in OPTIONS {
        digest.update(option);
    }
    let own = source.parent().unwrap_or(root).to_owned();
    let folders = [sources.clone(), sources.join("cpu"), own];
    for folder in &folders[..if folders[1] == folders[2] { 2 } else { 3 }] {
        let failed = |error| CpuError::File { path: folder.clone(), error };
        let mut files = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed)?;
        files.sort_by_key(fs::DirEntry::path);
        for path in files.iter().map(fs::DirEntry::path).filter(|path| path.is_file()) {
            digest.update(fs::read(&path).map_err(|error| CpuError::File { path, error })?);
        }
    }
    let folder = sources.join("../../target/kernels");
    let path = folder.join(format!("{name}-{}.so", &hexadecimal(&digest.finalize())[..16]));
    if path.exists() {
        return Ok(path);
    }
    fs::create_dir_all(&folder).map_err(|error| CpuError::File { path: folder.clone(), error })?;
    // Tests run side by side: each compiles under its own name, and the last rename stays.
    let number = COMPILED.fetch_add(1, Ordering::Relaxed);
    let own = folder.join(format!("{}-{number}.tmp", process::id()));
    let output = Command::new(compiler).args(OPTIONS).args(options).arg("-o").arg(&own).arg(source).output();
    let output = output.map_err(CpuError::NoCompiler)?;
    if !output.status.success() {
        return Err(CpuError::Compile(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    fs::rename(&own, &path).map_err(|error| CpuError::File { path: path.clone(), error })?;
    Ok(path)
}
