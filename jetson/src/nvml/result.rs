//! NVML with every call checked. What a device does not tell is `None`: not there, not supported, or not for us.

use std::{
    ffi::{CStr, c_char, c_int, c_uint, c_ulonglong},
    path::Path,
    ptr,
};

use super::{
    NvmlError,
    sys::{self, Code, Functions, Handle, MemoryInfo, Utilization},
};

/// Longest text that is asked for; `NVML_DEVICE_NAME_V2_BUFFER_SIZE` is 96, the driver's version 80.
const TEXT: usize = 96;

/// The library, initialised for as long as this lives.
pub(super) struct Session(Functions);

impl Session {
    pub(super) fn open(path: &Path) -> Result<Self, NvmlError> {
        let functions = Functions::load(path).map_err(|error| NvmlError::of_loader(path, &error))?;
        // SAFETY: takes nothing; NVML counts initialisations, and `drop` ends this one.
        let code = unsafe { (functions.init)() };
        if code == sys::SUCCESS {
            return Ok(Self(functions));
        }
        Err(failed(&functions, "nvmlInit_v2", code))
    }

    pub(super) fn driver(&self) -> Option<String> {
        let call = self.0.driver?;
        // SAFETY: the buffer has as many bytes as are told.
        text(|at, length| unsafe { call(at, length) })
    }

    pub(super) fn count(&self) -> Result<u32, NvmlError> {
        let mut count = 0;
        // SAFETY: the pointer is valid for the one integer that is written.
        let code = unsafe { (self.0.count)(&raw mut count) };
        if code == sys::SUCCESS { Ok(count) } else { Err(failed(&self.0, "nvmlDeviceGetCount_v2", code)) }
    }

    /// A handle lives as long as the library is initialised.
    pub(super) fn device(&self, index: u32) -> Option<Device<'_>> {
        let mut handle: Handle = ptr::null_mut();
        // SAFETY: the pointer is valid for the one handle that is written.
        let code = unsafe { (self.0.handle)(index, &raw mut handle) };
        (code == sys::SUCCESS && !handle.is_null()).then_some(Device { functions: &self.0, handle })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: initialised in `open`; no handle outlives this value. A failure here has nobody to tell.
        let _ = unsafe { (self.0.shutdown)() };
    }
}

/// A device of a session.
#[derive(Clone, Copy)]
pub(super) struct Device<'a> {
    functions: &'a Functions,
    handle: Handle,
}

impl Device<'_> {
    pub(super) fn name(self) -> Option<String> {
        let call = self.functions.name?;
        // SAFETY: the handle is of this session; the buffer has as many bytes as are told.
        text(|at, length| unsafe { call(self.handle, at, length) })
    }

    /// Of the GPU and of its memory, per cent.
    pub(super) fn utilization(self) -> Option<(u32, u32)> {
        let (call, mut found) = (self.functions.utilization?, Utilization::default());
        // SAFETY: the handle is of this session; the pointer is valid for the struct that is written.
        let code = unsafe { call(self.handle, &raw mut found) };
        (code == sys::SUCCESS).then_some((found.gpu, found.memory))
    }

    pub(super) fn decoder(self) -> Option<u32> {
        self.sampled(self.functions.decoder?)
    }

    pub(super) fn encoder(self) -> Option<u32> {
        self.sampled(self.functions.encoder?)
    }

    fn sampled(self, call: unsafe extern "C" fn(Handle, *mut c_uint, *mut c_uint) -> Code) -> Option<u32> {
        let (mut percent, mut period) = (0, 0);
        // SAFETY: the handle is of this session; the pointers are valid for the two integers that are written.
        let code = unsafe { call(self.handle, &raw mut percent, &raw mut period) };
        (code == sys::SUCCESS).then_some(percent)
    }

    /// °C.
    pub(super) fn temperature(self) -> Option<u32> {
        self.kind(self.functions.temperature?, sys::TEMPERATURE_GPU)
    }

    /// MHz.
    pub(super) fn clock(self, kind: c_int) -> Option<u32> {
        self.kind(self.functions.clock?, kind)
    }

    /// MHz.
    pub(super) fn max_clock(self, kind: c_int) -> Option<u32> {
        self.kind(self.functions.max_clock?, kind)
    }

    fn kind(self, call: unsafe extern "C" fn(Handle, c_int, *mut c_uint) -> Code, kind: c_int) -> Option<u32> {
        let mut found = 0;
        // SAFETY: the handle is of this session; the pointer is valid for the one integer that is written.
        let code = unsafe { call(self.handle, kind, &raw mut found) };
        (code == sys::SUCCESS).then_some(found)
    }

    /// mW.
    pub(super) fn power(self) -> Option<u32> {
        self.number(self.functions.power?)
    }

    /// mW.
    pub(super) fn power_limit(self) -> Option<u32> {
        self.number(self.functions.power_limit?)
    }

    fn number(self, call: unsafe extern "C" fn(Handle, *mut c_uint) -> Code) -> Option<u32> {
        let mut found = 0;
        // SAFETY: the handle is of this session; the pointer is valid for the one integer that is written.
        let code = unsafe { call(self.handle, &raw mut found) };
        (code == sys::SUCCESS).then_some(found)
    }

    /// Total and used, bytes.
    pub(super) fn memory(self) -> Option<(u64, u64)> {
        let (call, mut found) = (self.functions.memory?, MemoryInfo::default());
        // SAFETY: the handle is of this session; the pointer is valid for the struct that is written.
        let code = unsafe { call(self.handle, &raw mut found) };
        (code == sys::SUCCESS).then_some((found.total, found.used))
    }

    /// `nvmlClocksEventReason*` bits.
    pub(super) fn reasons(self) -> Option<u64> {
        let (call, mut found): (_, c_ulonglong) = (self.functions.reasons?, 0);
        // SAFETY: the handle is of this session; the pointer is valid for the one integer that is written.
        let code = unsafe { call(self.handle, &raw mut found) };
        (code == sys::SUCCESS).then_some(found)
    }
}

/// Text of a call that fills a buffer.
fn text(call: impl FnOnce(*mut c_char, c_uint) -> Code) -> Option<String> {
    let mut buffer = [0_u8; TEXT];
    if call(buffer.as_mut_ptr().cast(), TEXT as c_uint) != sys::SUCCESS {
        return None;
    }
    let text = CStr::from_bytes_until_nul(&buffer).ok()?.to_string_lossy();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn failed(functions: &Functions, call: &'static str, code: Code) -> NvmlError {
    let words = functions.error.and_then(|error| {
        // SAFETY: takes any code.
        let words = unsafe { error(code) };
        // SAFETY: a text that ends with a NUL and is never freed (nvml.h), or null.
        (!words.is_null()).then(|| unsafe { CStr::from_ptr(words) }.to_string_lossy().into_owned())
    });
    NvmlError::Call { call, code, reason: words.unwrap_or_else(|| "no words for it".to_owned()) }
}
