//! Every call of the shim, checked. An object here keeps alive what it was made from, so that no handle outlives its parent.

use std::{
    ffi::{CStr, CString, c_void},
    path::Path,
    ptr::{self, NonNull},
    sync::{Arc, Mutex, PoisonError},
};

use super::{Error, Range, Shape, Tensor, Version, host::Host, sys};

/// What a status means; `call` is told to the reader.
pub(super) fn check(status: i32, call: &'static str, host: &Host) -> Result<(), Error> {
    match status {
        sys::OK => Ok(()),
        sys::TOO_OLD | sys::REFUSED | sys::EXCEPTION => Err(Error::Refused { call, told: host.told() }),
        sys::INVALID => Err(Error::Binding(format!("{call}: an argument is out of range"))),
        unknown => Err(Error::Binding(format!("{call}: unknown status {unknown}"))),
    }
}

/// A name without NUL.
pub(super) fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::Binding(format!("the name {text:?} has a NUL in it")))
}

unsafe extern "C" fn collect(user: *mut c_void, data: *const c_void, size: usize) {
    // SAFETY: `user` is the vector behind `sink`, which outlives the call; `data` has `size` bytes.
    let (bytes, data) = unsafe { (&mut *user.cast::<Vec<u8>>(), std::slice::from_raw_parts(data.cast::<u8>(), size)) };
    bytes.extend_from_slice(data);
}

/// A sink into `bytes`, for one call.
pub(super) fn sink(bytes: *mut Vec<u8>) -> sys::Sink {
    sys::Sink { user: bytes.cast(), put: collect }
}

/// Reads a tensor's description through `call`, which fills both.
pub(super) fn describe(
    call: impl FnOnce(*mut sys::Tensor, sys::Sink) -> i32,
    what: &'static str,
    host: &Host,
) -> Result<Tensor, Error> {
    let (mut raw, mut name) = (sys::Tensor::default(), Vec::new());
    check(call(&raw mut raw, sink(&raw mut name)), what, host)?;
    Ok(Tensor::from_raw(&raw, String::from_utf8_lossy(&name).into_owned()))
}

/// `IRuntime`.
pub(super) struct Runtime {
    raw: NonNull<sys::Runtime>,
    api: &'static sys::Api,
    host: Arc<Host>,
    /// Deserialising and choosing a core are two calls.
    turn: Mutex<()>,
}

// SAFETY: calls that change the runtime take turns; its destructor runs when the last owner drops it.
unsafe impl Send for Runtime {}
// SAFETY: as above.
unsafe impl Sync for Runtime {}

impl Runtime {
    /// # Safety
    /// `create` is `createInferRuntime_INTERNAL` of a library of that version, which stays loaded and is of the major of `api`.
    pub(super) unsafe fn new(
        api: &'static sys::Api,
        create: sys::Create,
        version: Version,
        log: &'static Host,
        host: Arc<Host>,
    ) -> Result<Self, Error> {
        host.forget();
        let mut raw = ptr::null_mut();
        // SAFETY: the caller's promise; the host outlives the runtime, which holds it.
        let status = unsafe { (api.runtime_new)(create, version.raw(), log.raw(), host.raw(), &raw mut raw) };
        check(status, "creating a runtime", &host)?;
        let raw = NonNull::new(raw).ok_or(Error::Binding("a runtime that is null".into()))?;
        Ok(Self { raw, api, host, turn: Mutex::new(()) })
    }

    /// The engine of a plan, on that DLA core if one is given. `allow_host_code`: for version-compatible plans, which carry code.
    pub(super) fn deserialize(
        self: &Arc<Self>,
        plan: &[u8],
        dla: Option<u32>,
        allow_host_code: bool,
        installed: Version,
    ) -> Result<Engine, Error> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.host.forget();
        if let Some(core) = dla {
            let mut cores = 0;
            // SAFETY: the runtime lives.
            let status = unsafe { (self.api.runtime_dla)(self.raw.as_ptr(), core as i32, &raw mut cores) };
            if status != sys::OK {
                return Err(Error::NoDla { core, cores: cores.max(0).unsigned_abs(), installed });
            }
        }
        if allow_host_code {
            // SAFETY: the runtime lives.
            check(unsafe { (self.api.runtime_allow_host_code)(self.raw.as_ptr()) }, "allowing host code", &self.host)?;
        }
        let mut raw = ptr::null_mut();
        // SAFETY: the runtime and the host live, `plan` is read during the call only (NvInferRuntime.h: the blob may be freed after).
        let status = unsafe {
            (self.api.runtime_deserialize)(self.raw.as_ptr(), self.host.raw(), plan.as_ptr().cast(), plan.len(), &raw mut raw)
        };
        drop(turn);
        match NonNull::new(raw) {
            Some(raw) if status == sys::OK => {
                Ok(Engine { raw, api: self.api, host: Arc::clone(&self.host), _runtime: Arc::clone(self), turn: Mutex::new(()) })
            }
            _ => Err(Error::Plan(self.host.told())),
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // SAFETY: engines hold the runtime, so there is none left.
        unsafe { (self.api.runtime_free)(self.raw.as_ptr()) }
    }
}

/// `ICudaEngine`.
pub(super) struct Engine {
    raw: NonNull<sys::Engine>,
    api: &'static sys::Api,
    host: Arc<Host>,
    _runtime: Arc<Runtime>,
    turn: Mutex<()>,
}

// SAFETY: an engine is immutable but for the creation of contexts and inspectors, which take turns here.
unsafe impl Send for Engine {}
// SAFETY: as above.
unsafe impl Sync for Engine {}

impl Engine {
    /// Inputs and outputs, profiles, layers.
    pub(super) fn counts(&self) -> Result<[i32; 3], Error> {
        let [mut tensors, mut profiles, mut layers] = [0; 3];
        // SAFETY: the engine lives.
        let status = unsafe { (self.api.engine_counts)(self.raw.as_ptr(), &raw mut tensors, &raw mut profiles, &raw mut layers) };
        check(status, "counting an engine's tensors", &self.host)?;
        Ok([tensors, profiles, layers])
    }

    pub(super) fn tensor(&self, index: i32) -> Result<Tensor, Error> {
        // SAFETY: the engine lives; both pointers are valid for the call.
        let call = |raw, name| unsafe { (self.api.engine_tensor)(self.raw.as_ptr(), index, raw, name) };
        describe(call, "describing an engine's tensor", &self.host)
    }

    pub(super) fn profile(&self, profile: i32, name: &str) -> Result<Range, Error> {
        let c_name = c_string(name)?;
        let none = sys::Dims::default();
        let mut raw = sys::Range { name: c_name.as_ptr(), min: none, opt: none, max: none };
        // SAFETY: the engine and the name live.
        let status = unsafe { (self.api.engine_profile)(self.raw.as_ptr(), profile, c_name.as_ptr(), &raw mut raw) };
        check(status, "reading a profile", &self.host)?;
        let [min, opt, max] = [&raw.min, &raw.opt, &raw.max].map(Shape::from_raw);
        Ok(Range { name: name.to_owned(), min, opt, max })
    }

    pub(super) fn memory(&self, profile: Option<u32>) -> Result<u64, Error> {
        let mut bytes = 0;
        // SAFETY: the engine lives.
        let status = unsafe { (self.api.engine_memory)(self.raw.as_ptr(), profile.map_or(-1, |p| p as i32), &raw mut bytes) };
        check(status, "asking for an engine's memory", &self.host)?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    pub(super) fn inspect(&self) -> Result<String, Error> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut json = Vec::new();
        // SAFETY: the engine lives; the sink's vector outlives the call.
        check(unsafe { (self.api.engine_inspect)(self.raw.as_ptr(), sink(&raw mut json)) }, "inspecting an engine", &self.host)?;
        Ok(String::from_utf8_lossy(&json).into_owned())
    }

    /// `host` hears of this context's errors alone.
    pub(super) fn context(self: &Arc<Self>, host: Arc<Host>, own_memory: bool) -> Result<Context, Error> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut raw = ptr::null_mut();
        // SAFETY: engine and host live, and the context holds both.
        let status = unsafe { (self.api.context_new)(self.raw.as_ptr(), host.raw(), i32::from(own_memory), &raw mut raw) };
        if status == sys::REFUSED {
            // The context's recorder was not there yet: the engine's has heard.
            return Err(Error::Refused { call: "creating an execution context", told: self.host.told() });
        }
        check(status, "creating an execution context", &host)?;
        let raw = NonNull::new(raw).ok_or(Error::Binding("an execution context that is null".into()))?;
        Ok(Context { raw, api: self.api, host, _engine: Arc::clone(self) })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: contexts hold the engine, so there is none left.
        unsafe { (self.api.engine_free)(self.raw.as_ptr()) }
    }
}

/// `IExecutionContext`.
pub(super) struct Context {
    raw: NonNull<sys::Context>,
    api: &'static sys::Api,
    host: Arc<Host>,
    _engine: Arc<Engine>,
}

// SAFETY: a context may be used from any thread, one at a time: every call that changes it takes `&mut self`.
unsafe impl Send for Context {}

impl Context {
    /// # Safety
    /// `memory` is that much of the device's, and stays until the context has others or is gone and its work is done.
    pub(super) unsafe fn memory(&mut self, memory: u64, bytes: u64) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        let status = unsafe { (self.api.context_memory)(self.raw.as_ptr(), memory as *mut c_void, bytes as i64) };
        check(status, "giving a context memory", &self.host)
    }

    /// # Safety
    /// `stream` is a stream of the current CUDA context, or null.
    pub(super) unsafe fn profile(&mut self, profile: u32, stream: *mut c_void) -> Result<(), Error> {
        self.host.forget();
        // SAFETY: the caller's promise.
        check(unsafe { (self.api.context_profile)(self.raw.as_ptr(), profile as i32, stream) }, "choosing a profile", &self.host)
    }

    pub(super) fn set_shape(&mut self, name: &CStr, shape: &Shape) -> Result<(), Error> {
        self.host.forget();
        // SAFETY: context, name and shape live.
        let status = unsafe { (self.api.context_set_shape)(self.raw.as_ptr(), name.as_ptr(), &shape.raw()) };
        check(status, "setting an input's shape", &self.host)
    }

    pub(super) fn shape(&self, name: &CStr) -> Result<Shape, Error> {
        let mut raw = sys::Dims::default();
        // SAFETY: context and name live.
        let status = unsafe { (self.api.context_shape)(self.raw.as_ptr(), name.as_ptr(), &raw mut raw) };
        check(status, "asking for a tensor's shape", &self.host)?;
        Ok(Shape::from_raw(&raw))
    }

    /// # Safety
    /// What `enqueue` reads or writes there is the caller's to keep.
    pub(super) unsafe fn address(&mut self, name: &CStr, address: u64) -> Result<(), Error> {
        self.host.forget();
        // SAFETY: the caller's promise.
        let status = unsafe { (self.api.context_address)(self.raw.as_ptr(), name.as_ptr(), address as *mut c_void) };
        check(status, "setting a tensor's address", &self.host)
    }

    /// # Safety
    /// All addresses that were set are valid for the tensors' present sizes until the stream has done the work, and the stream is one
    /// of the current CUDA context.
    pub(super) unsafe fn enqueue(&mut self, stream: *mut c_void) -> Result<(), Error> {
        self.host.forget();
        // SAFETY: the caller's promise.
        check(unsafe { (self.api.context_enqueue)(self.raw.as_ptr(), stream) }, "enqueueing a batch", &self.host)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the only owner goes; the safe layer has waited for its work.
        unsafe { (self.api.context_free)(self.raw.as_ptr()) }
    }
}

/// A path for C++: as bytes, without NUL.
pub(super) fn c_path(path: &Path) -> Result<CString, Error> {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::Binding(format!("the path {} has a NUL in it", path.display())))
}
