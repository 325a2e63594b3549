//! For tests: libraries that implement TensorRT's interfaces on the CPU (`doubles/nvinfer/`), and what turns their knobs.
//!
//! They know floats and Add, Sub, Mul, Relu, Sigmoid, Identity and dense two-dimensional Conv; "device" memory is the host's. The parser
//! refuses all other operators, and what reads integers, at first sight, other convolutions only when nothing else is wrong any more;
//! the builder has no implementation for a node whose output is called `unbuildable`. One
//! library per major is shared by a whole process, so a test holds it alone.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    ffi::{CString, c_char, c_int, c_void},
    path::PathBuf,
    ptr::NonNull,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libloading::os::unix::Library as Loaded;

use super::{Capture, Error, Graph, Location, Memory, Stream, open};

/// The knobs and their resting positions, as `knobs.hpp` has them.
const KNOBS: [(&str, i64); 12] = [
    ("version", 0),
    ("device", 1),
    ("dla_cores", 0),
    ("no_cuda", 0),
    ("build_memory", -1),
    ("build_step_us", 0),
    ("context_fails", 0),
    ("enqueue_fails", -1),
    ("enqueue_us", 0),
    ("capture_fails", 0),
    ("driver", 0),
    ("skew", 0),
];

static TURN: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];

/// The folder of the doubles of that major; of 8 and 12 there are libraries that only tell their version.
pub fn folder(major: u32) -> PathBuf {
    PathBuf::from_iter([env!("EGRET_TENSORRT_DOUBLES"), &major.to_string()])
}

/// The double of one major, held alone until it is dropped, which puts every knob to rest.
pub struct Double {
    library: &'static Loaded,
    major: u32,
    _turn: MutexGuard<'static, ()>,
}

impl Double {
    /// Waits for other tests of this process, then opens the double of major 10 or 11.
    ///
    /// # Errors
    /// [`Error::Library`].
    pub fn new(major: u32) -> Result<Self, Error> {
        let turn = TURN[usize::from(major != 10)].lock().unwrap_or_else(PoisonError::into_inner);
        let library = open::open(Some(&folder(major)), &format!("libnvinfer.so.{major}"))
            .map_err(|error| Error::Library { library: folder(major), reason: format!("{error:?}") })?;
        let double = Self { library, major, _turn: turn };
        double.rest();
        Ok(double)
    }

    /// Where to load it from.
    pub fn location(&self) -> Location {
        Location { folder: Some(folder(self.major)), ..Location::default() }
    }

    /// Turns a knob of `knobs.hpp`. Returns whether there is such a one.
    pub fn set(&self, knob: &str, value: i64) -> bool {
        let Ok(name) = CString::new(knob) else { return false };
        // SAFETY: the function's type, from nvinfer.cpp; the name lives for the call.
        unsafe {
            let Ok(set) = self.library.get::<unsafe extern "C" fn(*const c_char, i64) -> c_int>(b"egret_double_set\0") else {
                return false;
            };
            set(name.as_ptr(), value) == 0
        }
    }

    /// How many of its runtimes, engines, contexts and builders live.
    pub fn objects(&self) -> Option<i64> {
        // SAFETY: the function's type, from nvinfer.cpp.
        unsafe { Some(self.library.get::<unsafe extern "C" fn() -> i64>(b"egret_double_objects\0").ok()?()) }
    }

    /// A stream that works on a thread of its own.
    ///
    /// # Errors
    /// [`Error::Library`].
    pub fn stream(&self) -> Result<Arc<dyn Capture>, Error> {
        // SAFETY: the functions' types, from nvinfer.cpp.
        unsafe {
            let new: unsafe extern "C" fn() -> *mut c_void = self.function(b"egret_double_stream_new\0")?;
            let calls = StreamCalls {
                synchronize: self.function(b"egret_double_stream_synchronize\0")?,
                free: self.function(b"egret_double_stream_free\0")?,
                begin: self.function(b"egret_double_stream_begin\0")?,
                end: self.function(b"egret_double_stream_end\0")?,
                launch: self.function(b"egret_double_graph_launch\0")?,
                free_graph: self.function(b"egret_double_graph_free\0")?,
            };
            Ok(Arc::new(DoubleStream { raw: new(), calls }))
        }
    }

    /// # Safety
    /// `T` is the function's type.
    unsafe fn function<T: Copy>(&self, name: &[u8]) -> Result<T, Error> {
        // SAFETY: the caller's promise.
        let found = unsafe { self.library.get::<T>(name) };
        found.map(|found| *found).map_err(|error| Error::Library { library: folder(self.major), reason: error.to_string() })
    }

    fn rest(&self) {
        for (knob, value) in KNOBS {
            self.set(knob, value);
        }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.rest();
    }
}

#[derive(Clone, Copy)]
struct StreamCalls {
    synchronize: unsafe extern "C" fn(*mut c_void),
    free: unsafe extern "C" fn(*mut c_void),
    begin: unsafe extern "C" fn(*mut c_void),
    end: unsafe extern "C" fn(*mut c_void) -> *mut c_void,
    launch: unsafe extern "C" fn(*mut c_void, *mut c_void),
    free_graph: unsafe extern "C" fn(*mut c_void),
}

struct DoubleStream {
    raw: *mut c_void,
    calls: StreamCalls,
}

// SAFETY: the stream's queue is guarded by a mutex of its own.
unsafe impl Send for DoubleStream {}
// SAFETY: as above.
unsafe impl Sync for DoubleStream {}

// SAFETY: the stream lives until drop; its `synchronize` returns when its queue is empty and the last task has ended.
unsafe impl Stream for DoubleStream {
    fn raw(&self) -> *mut c_void {
        self.raw
    }

    fn synchronize(&self) -> Result<(), Error> {
        // SAFETY: the stream lives.
        unsafe { (self.calls.synchronize)(self.raw) };
        Ok(())
    }
}

impl Drop for DoubleStream {
    fn drop(&mut self) {
        // SAFETY: the only owner goes; what is queued is done first.
        unsafe { (self.calls.free)(self.raw) }
    }
}

// SAFETY: the double records instead of working, and repeats what it recorded on the same stream.
unsafe impl Capture for DoubleStream {
    fn begin_capture(&self) -> Result<(), Error> {
        // SAFETY: the stream lives.
        unsafe { (self.calls.begin)(self.raw) };
        Ok(())
    }

    fn end_capture(self: Arc<Self>) -> Result<Box<dyn Graph>, Error> {
        // SAFETY: the stream lives, and is recording: `begin_capture` came before.
        match NonNull::new(unsafe { (self.calls.end)(self.raw) }) {
            Some(raw) => Ok(Box::new(DoubleGraph { raw, stream: self })),
            None => Err(Error::Cuda { call: "cuStreamEndCapture", code: 901 }),
        }
    }
}

struct DoubleGraph {
    raw: NonNull<c_void>,
    stream: Arc<DoubleStream>,
}

// SAFETY: a list of tasks, bound to no thread.
unsafe impl Send for DoubleGraph {}

impl Graph for DoubleGraph {
    fn launch(&mut self) -> Result<(), Error> {
        // SAFETY: graph and stream live.
        unsafe { (self.stream.calls.launch)(self.raw.as_ptr(), self.stream.raw) };
        Ok(())
    }
}

impl Drop for DoubleGraph {
    fn drop(&mut self) {
        // SAFETY: the only owner goes; the stream has copies of what it was given.
        unsafe { (self.stream.calls.free_graph)(self.raw.as_ptr()) }
    }
}

/// Memory of the host that a double takes for the device's.
pub struct HostMemory {
    at: NonNull<u8>,
    layout: Layout,
    bytes: usize,
}

// SAFETY: plain memory; it is read and written through raw pointers and copies only.
unsafe impl Send for HostMemory {}
// SAFETY: as above.
unsafe impl Sync for HostMemory {}

impl HostMemory {
    /// Zeroes.
    ///
    /// # Errors
    /// [`Error::Binding`] where there is not as much.
    pub fn new(bytes: usize) -> Result<Arc<Self>, Error> {
        let none = || Error::Binding(format!("no {bytes} bytes of memory"));
        let layout = Layout::from_size_align(bytes.max(1), 256).map_err(|_| none())?;
        // SAFETY: the layout's size is not zero.
        let at = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(none)?;
        Ok(Arc::new(Self { at, layout, bytes }))
    }

    /// Copies numbers to the beginning, as many as fit. Not while a batch works on them.
    pub fn write(&self, numbers: &[f32]) {
        for (i, number) in numbers.iter().take(self.bytes / 4).enumerate() {
            // SAFETY: within the allocation, which is aligned for floats.
            unsafe { self.at.cast::<f32>().add(i).write(*number) };
        }
    }

    /// The first `count` numbers, at most what it holds. Not while a batch works on them.
    pub fn read(&self, count: usize) -> Vec<f32> {
        // SAFETY: within the allocation, which is aligned for floats and began as zeroes.
        (0..count.min(self.bytes / 4)).map(|i| unsafe { self.at.cast::<f32>().add(i).read() }).collect()
    }
}

// SAFETY: aligned to 256 bytes, freed on drop only.
unsafe impl Memory for HostMemory {
    fn address(&self) -> u64 {
        self.at.as_ptr() as u64
    }

    fn bytes(&self) -> u64 {
        self.bytes as u64
    }
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, freed nowhere else.
        unsafe { dealloc(self.at.as_ptr(), self.layout) }
    }
}
