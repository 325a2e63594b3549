//! What TensorRT calls back: log, errors, progress.

use std::{
    ffi::{CStr, c_char, c_void},
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::{self, NonNull},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{Error, Recorded, Told, sys};

/// How grave a line of TensorRT's log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A bug within TensorRT.
    Internal,
    /// Something failed.
    Error,
    /// Worth a look.
    Warning,
    /// Steps of the work.
    Info,
    /// Everything.
    Verbose,
}

/// Where TensorRT's log goes. Called from any thread; TensorRT keeps the first one for the whole process.
pub type Sink = Arc<dyn Fn(Severity, &str) + Send + Sync>;

/// A report from a build that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A phase begins, within another or by itself.
    Begun {
        /// Its name.
        phase: &'a str,
        /// The phase that it is part of.
        parent: Option<&'a str>,
        /// How many steps it has.
        steps: u32,
    },
    /// A step of a phase is done.
    Step {
        /// The phase.
        phase: &'a str,
        /// The step's number, from 0.
        step: u32,
    },
    /// A phase ends, also when it was cancelled.
    Ended {
        /// The phase.
        phase: &'a str,
    },
}

/// Hears of progress; `Break` cancels the build.
pub type OnProgress = Box<dyn FnMut(Progress<'_>) -> ControlFlow<()> + Send>;

/// What the callbacks reach: its address is known to C++ for as long as the [`Host`] lives.
struct Ears {
    /// `None` where the log is another host's.
    sink: Option<Sink>,
    progress: Option<Mutex<OnProgress>>,
    cancelled: AtomicBool,
    /// Errors that were logged, which the recorder does not always hear of.
    logged: Mutex<Vec<String>>,
}

/// Most errors of the log that are kept for the next failure's words.
const MOST_LOGGED: usize = 16;

/// Error recorder and progress monitor of one owner, or the logger of all.
pub(super) struct Host {
    raw: NonNull<sys::Host>,
    api: &'static sys::Api,
    ears: Box<Ears>,
    /// The logger, whose errors belong to the answer. What others log at the same time may be among them.
    log: Option<&'static Host>,
}

// SAFETY: the shim's host is guarded by a mutex and atomics, as TensorRT demands of a logger and a recorder; `Ears` is `Sync`.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

impl Host {
    /// The logger. It lives for ever: TensorRT keeps the first that it sees, and its plugins keep theirs.
    pub(super) fn logger(api: &'static sys::Api, sink: Sink) -> Result<&'static Self, Error> {
        Ok(Box::leak(Box::new(Self::create(api, Some(sink), None, None)?)))
    }

    /// Recorder and monitor of one owner.
    pub(super) fn new(log: &'static Self, progress: Option<OnProgress>) -> Result<Arc<Self>, Error> {
        Self::create(log.api, None, progress, Some(log)).map(Arc::new)
    }

    fn create(
        api: &'static sys::Api,
        sink: Option<Sink>,
        progress: Option<OnProgress>,
        log: Option<&'static Self>,
    ) -> Result<Self, Error> {
        let ears = Box::new(Ears {
            sink,
            progress: progress.map(Mutex::new),
            cancelled: AtomicBool::new(false),
            logged: Mutex::default(),
        });
        let calls = sys::Calls {
            user: ptr::from_ref::<Ears>(&ears).cast_mut().cast(),
            log: on_log,
            progress: ears.progress.is_some().then_some(on_progress),
        };
        let mut raw = ptr::null_mut();
        // SAFETY: both pointers are valid for the call; `ears` stays where it is, in its box, until after `host_free`.
        let status = unsafe { (api.host_new)(&raw const calls, &raw mut raw) };
        match NonNull::new(raw) {
            Some(raw) if status == sys::OK => Ok(Self { raw, api, ears, log }),
            _ => Err(Error::Refused { call: "creating a logger", told: Told::default() }),
        }
    }

    pub(super) fn raw(&self) -> *mut sys::Host {
        self.raw.as_ptr()
    }

    pub(super) fn cancelled(&self) -> bool {
        self.ears.cancelled.load(Ordering::Relaxed)
    }

    /// What was recorded and logged since the last time.
    pub(super) fn told(&self) -> Told {
        let mut told = Vec::new();
        // SAFETY: the host lives; `put_error` casts `user` back to what it is here.
        unsafe { (self.api.host_errors)(self.raw(), (&raw mut told).cast(), put_error) };
        let log = self.log.unwrap_or(self);
        for text in std::mem::take(&mut *log.ears.logged.lock().unwrap_or_else(PoisonError::into_inner)) {
            // What is recorded is often logged as well, with a prefix.
            if !told.iter().any(|known: &Recorded| text.contains(known.text.trim())) {
                told.push(Recorded { code: None, text });
            }
        }
        Told(told)
    }

    /// Forgets what earlier calls left: their owners have had their answer.
    pub(super) fn forget(&self) {
        self.told();
    }

    pub(super) fn init_plugins(&self, init: sys::InitPlugins) -> Result<(), Error> {
        self.forget();
        // SAFETY: the host lives, and `init` is `initLibNvInferPlugins` of a library that stays loaded.
        let status = unsafe { (self.api.host_init_plugins)(self.raw(), init) };
        if status == sys::OK { Ok(()) } else { Err(Error::Refused { call: "registering the plugins", told: self.told() }) }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // SAFETY: whatever was created with this host holds an `Arc` of it, so nothing can call back any more.
        unsafe { (self.api.host_free)(self.raw()) }
    }
}

/// A C string that may be null and may be of any encoding.
///
/// # Safety
/// Null, or NUL-terminated and alive for the call.
pub(super) unsafe fn text(s: *const c_char) -> String {
    if s.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(s) }.to_string_lossy().into_owned()
}

unsafe extern "C" fn put_error(user: *mut c_void, code: i32, description: *const c_char) {
    // SAFETY: `told` passes its own vector and waits for the call to end; the text lives for the call.
    let (list, text) = unsafe { (&mut *user.cast::<Vec<Recorded>>(), text(description)) };
    list.push(Recorded { code: Some(code), text });
}

unsafe extern "C" fn on_log(user: *mut c_void, severity: i32, message: *const c_char) {
    // SAFETY: `user` is the `Ears` of a host that lives, shared among threads and never borrowed mutably; the text lives for the call.
    let (ears, message) = unsafe { (&*user.cast::<Ears>(), text(message)) };
    let severity = match severity {
        0 => Severity::Internal,
        1 => Severity::Error,
        2 => Severity::Warning,
        3 => Severity::Info,
        _ => Severity::Verbose,
    };
    // A panic must not unwind through C++; the sink is the caller's.
    if let Some(sink) = &ears.sink {
        let _ = catch_unwind(AssertUnwindSafe(|| sink(severity, message.trim_end())));
    }
    if severity <= Severity::Error {
        let mut logged = ears.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() < MOST_LOGGED {
            logged.push(message);
        }
    }
}

unsafe extern "C" fn on_progress(user: *mut c_void, event: i32, phase: *const c_char, parent: *const c_char, steps: i32) -> i32 {
    // SAFETY: as in `on_log`.
    let (ears, phase, above) = unsafe { (&*user.cast::<Ears>(), text(phase), text(parent)) };
    let Some(heard) = &ears.progress else { return 1 };
    let steps = steps.max(0).unsigned_abs();
    let progress = match event {
        0 => Progress::Begun { phase: &phase, parent: (!parent.is_null()).then_some(&above), steps },
        1 => Progress::Step { phase: &phase, step: steps },
        _ => Progress::Ended { phase: &phase },
    };
    let call = || (heard.lock().unwrap_or_else(PoisonError::into_inner))(progress);
    // A callback that panics cancels: its owner cannot follow the build any more.
    if catch_unwind(AssertUnwindSafe(call)).unwrap_or(ControlFlow::Break(())).is_break() {
        ears.cancelled.store(true, Ordering::Relaxed);
    }
    i32::from(!ears.cancelled.load(Ordering::Relaxed))
}
