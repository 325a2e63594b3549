//! Engines on streams, in memory and by graphs of the CUDA driver's interface, as cudarc calls it: with a double of the driver, which
//! does all work as late as a driver may.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cudarc::driver::{CudaContext, CudaStream, result};
use egret_jetson::{
    Cuda,
    kernels::cpu::{CpuError, CpuKernels, Driver},
    tensorrt::{DeviceMemory, Engine, Graphs, Memory, Ran, doubles::Double},
};

use crate::{MAJORS, batch, engine, expected, load, pictures};

static TURN: Mutex<()> = Mutex::new(());

/// The device of the double of the driver, whose knobs are the whole process's: held alone until it is dropped.
pub(crate) struct Held {
    context: Arc<CudaContext>,
    pub(crate) knobs: Driver,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Held {
    type Target = Arc<CudaContext>;

    fn deref(&self) -> &Arc<CudaContext> {
        &self.context
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.knobs.rest();
    }
}

/// The double of the driver, and nothing where the machine has a real one: its memory is not for the CPU to compute in.
pub(crate) fn driver() -> Option<Held> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let knobs = match CpuKernels::drive() {
        Err(CpuError::NoCompiler(error)) => {
            eprintln!("SKIPPED: no C++ compiler for the double of the driver: {error}");
            return None;
        }
        other => other.expect("the double of the driver"),
    };
    let cuda = Cuda::probe().expect("a driver");
    if cuda.devices != ["CPU"] {
        eprintln!("SKIPPED: a real CUDA driver is here");
        return None;
    }
    knobs.rest();
    Some(Held { context: CudaContext::new(0).expect("a context"), knobs, _turn: turn })
}

fn upload(stream: &CudaStream, to: &DeviceMemory, numbers: &[f32]) {
    // SAFETY: room for as many; the stream is waited for while `numbers` lives.
    unsafe { result::memcpy_htod_async(to.address(), numbers, stream.cu_stream()) }.expect("copied");
}

fn download(stream: &CudaStream, from: &DeviceMemory, count: usize) -> Vec<f32> {
    let mut numbers = vec![0.0; count];
    // SAFETY: as many were written; the stream is waited for before `numbers` is read.
    unsafe { result::memcpy_dtoh_async(&mut numbers, from.address(), stream.cu_stream()) }.expect("copied");
    stream.synchronize().expect("done");
    numbers
}

fn memory(context: &Arc<CudaContext>, bytes: u64) -> Arc<DeviceMemory> {
    Arc::new(DeviceMemory::new(context, bytes).expect("memory"))
}

#[test]
fn an_engine_runs_in_the_order_of_its_stream() {
    let Some(cuda) = driver() else { return };
    for major in MAJORS {
        let double = Double::new(major).expect("the double");
        assert!(double.set("driver", 1));
        let engine = engine(&load(&double));
        let stream = cuda.new_stream().expect("a stream");
        let mut context = engine.context(0).expect("a context");
        let [x, y] = [memory(&cuda, 8 * 64), memory(&cuda, 8 * 128)];
        context.bind("x", Arc::clone(&x) as _).expect("bound");
        context.bind("y", Arc::clone(&y) as _).expect("bound");
        for n in [3, 8, 1] {
            context.set_shape("x", &batch(n as i64)).expect("within");
            let input = pictures(n, major as usize);
            upload(&stream, &x, &input);
            context.enqueue(&(Arc::clone(&stream) as _)).expect("enqueued");
            let wanted: Vec<f32> = input.chunks(16).flat_map(expected).collect();
            assert_eq!(download(&stream, &y, n * 32), wanted);
        }
        // Work that is still on the stream is waited for before memory and context go.
        context.enqueue(&(Arc::clone(&stream) as _)).expect("enqueued");
        drop((x, y, context, engine));
        assert_eq!(double.objects(), Some(0));
    }
}

#[test]
fn batches_are_recorded_and_repeated_by_the_driver_s_graphs() {
    let Some(cuda) = driver() else { return };
    for major in MAJORS {
        let double = Double::new(major).expect("the double");
        assert!(double.set("driver", 1));
        let engine: Arc<Engine> = Arc::new(engine(&load(&double)));
        let stream = cuda.new_stream().expect("a stream");
        let activations = memory(&cuda, engine.context_bytes(Some(0)).expect("bytes"));
        let mut graphs = Graphs::new(&engine, 0, activations, Arc::clone(&stream) as _).expect("graphs");
        let [x, y] = [memory(&cuda, 8 * 64), memory(&cuda, 8 * 128)];
        graphs.bind("x", Arc::clone(&x) as _).expect("bound");
        graphs.bind("y", Arc::clone(&y) as _).expect("bound");
        let mut ran = Vec::new();
        for (seed, n) in [2, 8, 2, 2, 8].into_iter().enumerate() {
            let input = pictures(n, seed);
            upload(&stream, &x, &input);
            ran.push(graphs.run(&[("x", batch(n as i64))]).expect("run"));
            let wanted: Vec<f32> = input.chunks(16).flat_map(expected).collect();
            assert_eq!(download(&stream, &y, n * 32), wanted, "batch {seed} of {n}");
        }
        assert_eq!(ran, [Ran::First, Ran::First, Ran::Graph, Ran::Graph, Ran::Graph]);
    }
}

#[test]
fn device_memory_that_runs_out_is_known_as_such() {
    let Some(cuda) = driver() else { return };
    let refused = DeviceMemory::new(&cuda, 1 << 60).expect_err("nobody has as much");
    assert!(refused.is_out_of_memory() && refused.to_string().contains("cuMemAlloc"), "{refused}");
}
