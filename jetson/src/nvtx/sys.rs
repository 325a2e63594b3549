//! NVTX 3 as a program sees it that has no header of NVIDIA's (`nvtx3/nvtxDetail/nvtxInit.h`, `nvtxTypes.h`, release v3): the tool is a library whose path stands
//! in `NVTX_INJECTION64_PATH`. It is called with a function that hands out tables; it writes its own functions into the slots to which they point.

use std::{
    ffi::{c_char, c_int, c_uint, c_void},
    path::Path,
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicPtr, Ordering},
    },
};

use libloading::os::unix::{Library, RTLD_LAZY, RTLD_LOCAL};

/// `NvtxExportTableID`.
const CALLBACKS: c_uint = 1;
const VERSION_INFO: c_uint = 3;
/// `NVTX_VERSION`.
const VERSION: u32 = 3;
/// `NvtxCallbackModule`: the sizes of the modules' tables, `NVTX_CBID_*_SIZE`: core, CUDA, OpenCL, CUDA runtime, domains, synchronisation.
const SIZES: [usize; 7] = [0, 16, 9, 15, 7, 16, 7];
/// `NVTX_CB_MODULE_CORE` with `NVTX_CBID_CORE_RangePushA` and `NVTX_CBID_CORE_RangePop`.
const CORE: usize = 1;
const PUSH: usize = 9;
const POP: usize = 11;
/// The longest table, and the null at its end.
const LONGEST: usize = 17;

/// A slot for a function of the tool's.
type Slot = AtomicPtr<c_void>;
/// `nvtxRangePushA`: the depth, or below 0.
pub(super) type Push = unsafe extern "C" fn(*const c_char) -> c_int;
/// `nvtxRangePop`: the depth, or below 0.
pub(super) type Pop = unsafe extern "C" fn() -> c_int;
type Initialize = unsafe extern "C" fn(extern "C" fn(c_uint) -> *const c_void) -> c_int;

static SLOTS: [[Slot; LONGEST]; SIZES.len()] = [const { [const { AtomicPtr::new(ptr::null_mut()) }; LONGEST] }; SIZES.len()];
/// Per module the addresses of its slots: the first and the last are null.
static TABLES: OnceLock<[[AtomicPtr<Slot>; LONGEST]; SIZES.len()]> = OnceLock::new();

fn tables() -> &'static [[AtomicPtr<Slot>; LONGEST]; SIZES.len()] {
    TABLES.get_or_init(|| {
        std::array::from_fn(|module| {
            std::array::from_fn(|id| {
                let is = (1..SIZES[module]).contains(&id);
                AtomicPtr::new(if is { ptr::from_ref(&SLOTS[module][id]).cast_mut() } else { ptr::null_mut() })
            })
        })
    })
}

/// `NvtxExportTableCallbacks`.
#[repr(C)]
struct Callbacks {
    struct_size: usize,
    module: extern "C" fn(c_int, *mut *const AtomicPtr<Slot>, *mut c_uint) -> c_int,
}

/// `NvtxExportTableVersionInfo`.
#[repr(C)]
struct VersionInfo {
    struct_size: usize,
    version: u32,
    reserved: u32,
    set_injection_version: extern "C" fn(u32),
}

extern "C" fn module(module: c_int, table: *mut *const AtomicPtr<Slot>, size: *mut c_uint) -> c_int {
    let Some(index) = usize::try_from(module).ok().filter(|index| (1..SIZES.len()).contains(index)) else { return 0 };
    if !size.is_null() {
        // SAFETY: the tool's pointer, to be written by this call.
        unsafe { size.write(SIZES[index] as c_uint) };
    }
    if !table.is_null() {
        // SAFETY: as above; the tables are never freed.
        unsafe { table.write(tables()[index].as_ptr()) };
    }
    1
}

extern "C" fn ignore(_version: u32) {}

extern "C" fn export(table: c_uint) -> *const c_void {
    static CALLBACK_TABLE: Callbacks = Callbacks { struct_size: size_of::<Callbacks>(), module };
    static VERSION_TABLE: VersionInfo =
        VersionInfo { struct_size: size_of::<VersionInfo>(), version: VERSION, reserved: 0, set_injection_version: ignore };
    match table {
        CALLBACKS => ptr::from_ref(&CALLBACK_TABLE).cast(),
        VERSION_INFO => ptr::from_ref(&VERSION_TABLE).cast(),
        _ => ptr::null(),
    }
}

/// Loads a tool and lets it write its functions; `Err` says why not. It stays loaded: its functions are called from any thread until the end.
pub(super) fn inject(path: &Path) -> Result<(Push, Pop), String> {
    // SAFETY: loading the tool runs its initialisers, which is what whoever set the variable asked for.
    let library = unsafe { Library::open(Some(path), RTLD_LAZY | RTLD_LOCAL) }.map_err(|error| error.to_string())?;
    // SAFETY: a tool's entry point has this signature (`NvtxInitializeInjectionNvtxFunc_t`).
    let initialize = *unsafe { library.get::<Initialize>(b"InitializeInjectionNvtx2\0") }.map_err(|error| error.to_string())?;
    // SAFETY: called once per process, with a function that hands out tables that live for ever.
    if unsafe { initialize(export) } == 0 {
        return Err("its InitializeInjectionNvtx2 failed".to_owned());
    }
    std::mem::forget(library);
    let function = |id: usize| SLOTS[CORE][id].load(Ordering::Acquire);
    let (push, pop) = (function(PUSH), function(POP));
    if push.is_null() || pop.is_null() {
        return Err("it does not listen to ranges".to_owned());
    }
    // SAFETY: a tool writes functions of these signatures into these slots (`nvtxRangePushA_impl_fntype`, `nvtxRangePop_impl_fntype`).
    Ok(unsafe { (std::mem::transmute::<*mut c_void, Push>(push), std::mem::transmute::<*mut c_void, Pop>(pop)) })
}
