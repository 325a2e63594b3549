//! NVIDIA's runtime compiler: CUDA C in, PTX out. Needs no device.
//!
//! Which library serves which device: a driver loads PTX of its own CUDA version or older, and NVRTC writes that of its own. JetPack 6
//! (CUDA 12.6) therefore needs NVRTC 12, and Thor (compute capability 11.0) is known to NVRTC 13 alone. Both can be installed.

mod sys;

use std::{
    collections::BTreeSet,
    ffi::{CStr, CString, c_int},
    fmt, fs,
    path::{Path, PathBuf},
    ptr,
    sync::Arc,
};

use super::sources::{HEADERS, Unit};
use sys::{Code, Functions, Program};

/// Names that the system's loader may know. The newest first.
const NAMES: [&str; 2] = ["libnvrtc.so.13", "libnvrtc.so.12"];
/// Where CUDA's own packages put the library.
const FOLDERS: [&str; 3] =
    ["/usr/local/cuda/lib64", "/usr/local/cuda/targets/aarch64-linux/lib", "/usr/local/cuda/targets/sbsa-linux/lib"];
/// Multiplications and additions stay apart: the kernels then compute what the CPU's letterbox and heads compute.
const OPTIONS: [&CStr; 2] = [c"--std=c++17", c"--fmad=false"];

/// A device's compute capability, e.g. 8.7 of Orin, 11.0 of Thor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// 8.
    pub major: u32,
    /// 7.
    pub minor: u32,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sm_{}{}", self.major, self.minor)
    }
}

/// Why there is no PTX.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NvrtcError {
    /// There is no library that serves.
    #[error(
        "no NVRTC for {target}{driver}; found: {found} (install cuda-nvrtc of the driver's CUDA version, e.g. cuda-nvrtc-12-6 on JetPack 6)"
    )]
    Absent {
        /// The device.
        target: Target,
        /// What its driver allows, e.g. ` and a driver for CUDA 12.6`; empty where nobody knows.
        driver: String,
        /// The libraries that are there, or `none`.
        found: String,
    },
    /// The compiler does not know the device.
    #[error("NVRTC {version} does not know {target}; it knows {known}")]
    Target {
        /// The compiler's version.
        version: String,
        /// The device.
        target: Target,
        /// What it knows, e.g. `sm_50, sm_87`.
        known: String,
    },
    /// The source does not compile.
    #[error("{unit} does not compile for {target}:\n{log}")]
    Compile {
        /// The source.
        unit: String,
        /// The device.
        target: Target,
        /// What the compiler says.
        log: String,
    },
    /// A function fails.
    #[error("NVRTC fails in {call}: {reason}")]
    Call {
        /// The function.
        call: &'static str,
        /// NVRTC's word for it.
        reason: String,
    },
}

/// A runtime compiler.
#[derive(Clone)]
pub struct Nvrtc {
    functions: Arc<Functions>,
    /// Where it was found.
    path: PathBuf,
    version: (u32, u32),
}

impl fmt::Debug for Nvrtc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.version;
        write!(f, "NVRTC {major}.{minor} ({})", self.path.display())
    }
}

impl Nvrtc {
    /// All that are here, newest first: in `folders`, by the system's loader, and where CUDA's packages put them.
    pub fn installed(folders: &[PathBuf]) -> Vec<Self> {
        let in_folder = |folder: &Path| -> Vec<PathBuf> {
            let name = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libnvrtc.so"));
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            // A BTreeSet, since a folder has no order and links of one file are many.
            let found: BTreeSet<_> = entries.map(|entry| entry.path()).filter(name).collect();
            found.into_iter().collect()
        };
        let own = folders.iter().flat_map(|folder| in_folder(folder));
        let packaged = FOLDERS.iter().flat_map(|folder| in_folder(Path::new(folder)));
        let mut all: Vec<Self> = Vec::new();
        for path in own.chain(NAMES.iter().map(PathBuf::from)).chain(packaged) {
            if let Ok(found) = Self::load(&path)
                && all.iter().all(|known| known.version != found.version)
            {
                all.push(found);
            }
        }
        all.sort_by_key(|found| std::cmp::Reverse(found.version));
        all
    }

    /// The newest that knows the device and writes what a driver for CUDA `driver` can load.
    ///
    /// # Errors
    /// [`NvrtcError::Absent`] with what there is instead.
    pub fn find(folders: &[PathBuf], target: Target, driver: Option<(u32, u32)>) -> Result<Self, NvrtcError> {
        let all = Self::installed(folders);
        let serves = |found: &&Self| driver.is_none_or(|driver| found.version <= driver) && found.targets().contains(&target);
        if let Some(found) = all.iter().find(serves) {
            return Ok(found.clone());
        }
        let found = if all.is_empty() {
            "none".into()
        } else {
            all.iter().map(|found| format!("{found:?}")).collect::<Vec<_>>().join(", ")
        };
        let driver = driver.map_or_else(String::new, |(major, minor)| format!(" and a driver for CUDA {major}.{minor}"));
        Err(NvrtcError::Absent { target, driver, found })
    }

    fn load(path: &Path) -> Result<Self, NvrtcError> {
        let load = |error: libloading::Error| NvrtcError::Call { call: "dlopen", reason: error.to_string() };
        let functions = Functions::load(path).map_err(load)?;
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both pointers are valid for the one integer that is written.
        let code = unsafe { (functions.version)(&raw mut major, &raw mut minor) };
        checked(&functions, "nvrtcVersion", code)?;
        Ok(Self { functions: Arc::new(functions), path: path.into(), version: (major.unsigned_abs(), minor.unsigned_abs()) })
    }

    /// Its version, e.g. `(12, 6)`.
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// The devices that it compiles for, in ascending order; empty where it does not say.
    pub fn targets(&self) -> Vec<Target> {
        let mut count = 0;
        // SAFETY: the pointer is valid for the one integer that is written.
        let code = unsafe { (self.functions.arch_count)(&raw mut count) };
        let mut archs = vec![0; if code == 0 { count.unsigned_abs() as usize } else { 0 }];
        // SAFETY: the memory holds as many integers as NVRTC has just said that it writes.
        if archs.is_empty() || unsafe { (self.functions.archs)(archs.as_mut_ptr()) } != 0 {
            return Vec::new();
        }
        let mut targets: Vec<_> =
            archs.iter().map(|arch| Target { major: arch.unsigned_abs() / 10, minor: arch.unsigned_abs() % 10 }).collect();
        targets.sort_unstable();
        targets
    }

    /// Compiles a unit to PTX.
    ///
    /// # Errors
    /// [`NvrtcError::Target`], [`NvrtcError::Compile`] with the compiler's log, [`NvrtcError::Call`].
    pub fn compile(&self, unit: &Unit, target: Target) -> Result<String, NvrtcError> {
        let arch = format!("--gpu-architecture=compute_{}{}", target.major, target.minor);
        let program = self.build(unit, target, &[&arch])?;
        program.text("nvrtcGetPTX", self.functions.ptx_size, self.functions.ptx)
    }

    /// What a unit's kernels take of a device's resources, by its assembler, which is part of NVRTC.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn usage(&self, unit: &Unit, target: Target) -> Result<Vec<Usage>, NvrtcError> {
        let arch = format!("--gpu-architecture={target}");
        let program = self.build(unit, target, &[&arch, "--ptxas-options=-v"])?;
        let log = program.text("nvrtcGetProgramLog", self.functions.log_size, self.functions.log)?;
        Ok(usages(&log))
    }

    fn build(&self, unit: &Unit, target: Target, options: &[&str]) -> Result<Compilation<'_>, NvrtcError> {
        let known = self.targets();
        if !known.contains(&target) {
            let (major, minor) = self.version;
            let known = known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(NvrtcError::Target { version: format!("{major}.{minor}"), target, known });
        }
        let program = Compilation::new(&self.functions, unit.name, unit.text)?;
        let own = options.iter().map(|option| c_string(option)).collect::<Result<Vec<_>, _>>()?;
        let options: Vec<_> = own.iter().map(CString::as_c_str).chain(OPTIONS).map(CStr::as_ptr).collect();
        // SAFETY: the program is alive, and the options are as many NUL-terminated strings as are told.
        let code = unsafe { (self.functions.compile)(program.raw, options.len() as c_int, options.as_ptr()) };
        if code != 0 {
            let log = program.text("nvrtcGetProgramLog", self.functions.log_size, self.functions.log)?;
            let log = if log.trim().is_empty() { reason(&self.functions, code) } else { log };
            return Err(NvrtcError::Compile { unit: unit.name.into(), target, log });
        }
        Ok(program)
    }
}

/// What a kernel takes of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Its name.
    pub entry: String,
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of a thread's own memory: arrays that are indexed at run time.
    pub stack: u32,
    /// Bytes of registers that do not fit and are written to memory.
    pub spilled: u32,
    /// Bytes of a block's shared memory.
    pub shared: u32,
}

/// Reads what the assembler tells (`ptxas -v`).
fn usages(log: &str) -> Vec<Usage> {
    let mut usages: Vec<Usage> = Vec::new();
    for line in log.lines() {
        // The number before a word.
        let number = |word: &str| -> u32 {
            let before = line.split(word).next().filter(|before| before.len() < line.len()).unwrap_or_default();
            before.split(' ').next_back().and_then(|number| number.parse().ok()).unwrap_or_default()
        };
        if let Some(name) = line.split("Compiling entry function '").nth(1) {
            usages.push(Usage { entry: name.split('\'').next().unwrap_or_default().into(), ..Usage::default() });
        } else if let Some(usage) = usages.last_mut() {
            usage.registers = usage.registers.max(number(" registers"));
            usage.stack = usage.stack.max(number(" bytes stack frame"));
            usage.spilled = usage.spilled.max(number(" bytes spill stores"));
            usage.shared = usage.shared.max(number(" bytes smem"));
        }
    }
    usages
}

/// A program that ends with its value.
struct Compilation<'a> {
    functions: &'a Functions,
    raw: Program,
}

type SizeFn = unsafe extern "C" fn(Program, *mut usize) -> Code;
type TextFn = unsafe extern "C" fn(Program, *mut std::ffi::c_char) -> Code;

impl<'a> Compilation<'a> {
    fn new(functions: &'a Functions, name: &str, text: &str) -> Result<Self, NvrtcError> {
        let (name, text) = (c_string(name)?, c_string(text)?);
        let names = HEADERS.iter().map(|(name, _)| c_string(name)).collect::<Result<Vec<_>, _>>()?;
        let texts = HEADERS.iter().map(|(_, text)| c_string(text)).collect::<Result<Vec<_>, _>>()?;
        let [names, texts] = [names, texts].map(|strings| (strings.iter().map(|s| s.as_ptr()).collect::<Vec<_>>(), strings));
        let mut raw = ptr::null_mut();
        // SAFETY: all strings are NUL-terminated and live until the call returns; NVRTC copies them. There are as many headers as names.
        let code = unsafe {
            (functions.create)(
                &raw mut raw,
                text.as_ptr(),
                name.as_ptr(),
                HEADERS.len() as c_int,
                texts.0.as_ptr(),
                names.0.as_ptr(),
            )
        };
        checked(functions, "nvrtcCreateProgram", code)?;
        Ok(Self { functions, raw })
    }

    /// A text that NVRTC writes with its NUL into memory of a size that it tells.
    fn text(&self, call: &'static str, size: SizeFn, write: TextFn) -> Result<String, NvrtcError> {
        let mut len = 0;
        // SAFETY: the program is alive, and the pointer is valid for the one size that is written.
        checked(self.functions, call, unsafe { size(self.raw, &raw mut len) })?;
        let mut bytes = vec![0_u8; len];
        // SAFETY: the memory has as many bytes as NVRTC has just said that it writes.
        checked(self.functions, call, unsafe { write(self.raw, bytes.as_mut_ptr().cast()) })?;
        bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Compilation<'_> {
    fn drop(&mut self) {
        // SAFETY: the program was created and is destroyed once. What a failure would tell is of no use here.
        unsafe { (self.functions.destroy)(&raw mut self.raw) };
    }
}

fn c_string(text: &str) -> Result<CString, NvrtcError> {
    CString::new(text).map_err(|error| NvrtcError::Call { call: "nvrtcCreateProgram", reason: error.to_string() })
}

fn reason(functions: &Functions, code: Code) -> String {
    // SAFETY: NVRTC gives a static string for every code, also for those that it does not know.
    let text = unsafe { (functions.error_string)(code) };
    if text.is_null() {
        return format!("error {code}");
    }
    // SAFETY: not null, and a NUL-terminated static string.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

fn checked(functions: &Functions, call: &'static str, code: Code) -> Result<(), NvrtcError> {
    if code == 0 { Ok(()) } else { Err(NvrtcError::Call { call, reason: reason(functions, code) }) }
}
