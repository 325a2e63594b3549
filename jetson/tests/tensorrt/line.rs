//! A frame's way on the device: letterbox kernel, engine, result, on one stream and by nothing but the driver's interface. Behind it the
//! doubles of TensorRT and of the driver; the kernel is the real one, compiled for the CPU.

use std::{env, sync::Arc};

use cudarc::driver::{CudaContext, result};
use egret_jetson::{
    kernels::{
        Nvrtc, PtxCache, Target,
        cpu::{Cells, CpuKernels, HostFrame},
        device::{DeviceFrame, Kernels, Letterboxer},
        letterbox::{Axis, Channel, Element, Frame, Samples, Tensor, Window},
    },
    tensorrt::{Builder, Deserialize, DeviceMemory, Memory, Options, Range, Runtime, doubles::Double},
};

use crate::{MAJORS, driver::driver, load, onnx::Onnx, shape};

pub(crate) const TENSOR: Tensor = Tensor { width: 32, height: 24, element: Element::F32, interleaved: false };
pub(crate) const FRAME: Frame = Frame { samples: Samples::Nv12, width: 64, height: 36, luma_pitch: 80, chroma_pitch: 80 };
const SCALES: [f32; 3] = [0.01, 0.02, 0.03];
const SHIFTS: [f32; 3] = [0.5, 1.0, 1.5];

/// y = Relu(x · scale − shift), per channel.
pub(crate) fn network() -> Vec<u8> {
    let size = [-1, 3, i64::from(TENSOR.height), i64::from(TENSOR.width)];
    Onnx::default()
        .input("x", &size)
        .constant("scale", &[1, 3, 1, 1], &SCALES)
        .constant("shift", &[1, 3, 1, 1], &SHIFTS)
        .node("Mul", &["x", "scale"], "a", &[])
        .node("Sub", &["a", "shift"], "b", &[])
        .node("Relu", &["b"], "y", &[])
        .output("y", &size)
        .finish()
}

/// Stretched to 32x18 and centred; BT.601, limited range.
pub(crate) fn window() -> Window {
    let axis = |len, drawn, at| Axis { start: 0, len, scaled: drawn, cut: 0, drawn, at };
    let channel = |u: f32, v: f32| {
        let base = -16.0 * 1.164_383 - 128.0 * (u + v);
        Channel { luma: 1.164_383 / 256.0, u: u / 256.0, v: v / 256.0, base, least: 0.0, most: 255.0 }
    };
    Window {
        across: axis(64, 32, 0),
        down: axis(36, 18, 3),
        channels: [channel(0.0, 1.596_027), channel(-0.391_762, -0.812_968), channel(2.017_232, 0.0)],
        padding: [114.0; 3],
    }
}

pub(crate) fn frames(count: u32) -> Vec<Vec<u8>> {
    let bytes = FRAME.luma_pitch * (FRAME.height + FRAME.height / 2);
    (0..count).map(|n| (0..bytes).map(|i| (i * 31 + n * 57 + i / 80 * 7) as u8).collect()).collect()
}

pub(crate) fn wanted(cpu: &CpuKernels, frames: &[Vec<u8>]) -> Vec<f32> {
    let mut x = vec![f32::NAN; frames.len() * TENSOR.slot_len()];
    let host: Vec<_> = frames
        .iter()
        .map(|bytes| {
            let (luma, chroma) = bytes.split_at((FRAME.luma_pitch * FRAME.height) as usize);
            (HostFrame { frame: FRAME, planes: [luma, chroma, &[]] }, window(), true)
        })
        .collect();
    cpu.letterbox(&TENSOR, &host, &mut Cells::F32(&mut x)).expect("letterboxed");
    let plane = (TENSOR.width * TENSOR.height) as usize;
    let layer = |(i, x): (usize, &f32)| (x * SCALES[i / plane % 3] - SHIFTS[i / plane % 3]).max(0.0);
    x.iter().enumerate().map(layer).collect()
}

/// The kernels for the double of the driver. `None`: no NVRTC.
pub(crate) fn kernels(cuda: &Arc<CudaContext>) -> Option<Arc<Kernels>> {
    let folders: Vec<_> = env::var_os("EGRET_NVRTC").iter().flat_map(env::split_paths).collect();
    let target = Target { major: 8, minor: 7 };
    let Ok(nvrtc) = Nvrtc::find(&folders, target, Some((12, 6))) else {
        eprintln!("SKIPPED: no NVRTC for {target} (scripts/nvrtc.sh brings it)");
        return None;
    };
    Some(Kernels::load(cuda, &nvrtc, &PtxCache::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/ptx"))).expect("loaded"))
}

#[test]
fn frames_become_outputs_without_leaving_the_stream() {
    let Some(cuda) = driver() else { return };
    let Some(kernels) = kernels(&cuda) else { return };
    let cpu = CpuKernels::load().expect("kernels for the CPU");
    let stream = cuda.new_stream().expect("a stream");
    let memory = |bytes: usize| Arc::new(DeviceMemory::new(&cuda, bytes as u64).expect("memory"));
    for major in MAJORS {
        let double = Double::new(major).expect("the double");
        assert!(double.set("driver", 1));
        let library = load(&double);
        let mut builder = Builder::new(&library, None).expect("a builder");
        builder.parse(&network(), None).expect("the network");
        let batch = |n: i64| shape(&[n, 3, 24, 32]);
        builder.add_profile(vec![Range { name: "x".into(), min: batch(1), opt: batch(2), max: batch(4) }]).expect("the profile");
        builder.configure(&Options::default()).expect("the options");
        let plan = builder.build().expect("built").plan;
        let engine = Runtime::new(&library).expect("a runtime").deserialize(&plan, Deserialize::default()).expect("the engine");
        let mut context = engine.context(0).expect("a context");
        let [x, y] = [0; 2].map(|_| memory(4 * 4 * TENSOR.slot_len()));
        context.bind("x", Arc::clone(&x) as _).expect("bound");
        context.bind("y", Arc::clone(&y) as _).expect("bound");
        let mut letterboxer = Letterboxer::new(&kernels, TENSOR, 4, 2).expect("a letterboxer");
        for count in [2, 4, 1] {
            let frames = frames(count);
            let surfaces: Vec<_> = frames
                .iter()
                .map(|bytes| {
                    let surface = memory(bytes.len());
                    // SAFETY: room for as many; the stream is waited for while `frames` live.
                    unsafe { result::memcpy_htod_async(surface.address(), bytes, stream.cu_stream()) }.expect("copied");
                    let surface: Arc<dyn Memory> = surface;
                    let chroma = u64::from(FRAME.luma_pitch * FRAME.height);
                    let planes = [(Arc::clone(&surface), 0), (Arc::clone(&surface), chroma), (surface, 0)];
                    DeviceFrame::new(FRAME, planes).expect("a picture")
                })
                .collect();
            let drawn: Vec<_> = surfaces.iter().map(|surface| (surface, window())).collect();
            letterboxer.draw(&stream, &drawn, &(Arc::clone(&x) as Arc<dyn Memory>)).expect("drawn");
            context.set_shape("x", &batch(i64::from(count))).expect("within");
            context.enqueue(&(Arc::clone(&stream) as _)).expect("enqueued");
            let mut found = vec![f32::NAN; frames.len() * TENSOR.slot_len()];
            // SAFETY: as many were written; the stream is waited for before they are read.
            unsafe { result::memcpy_dtoh_async(&mut found, y.address(), stream.cu_stream()) }.expect("copied");
            assert!(found.iter().all(|value| value.is_nan()), "nothing is done before somebody waits");
            stream.synchronize().expect("done");
            assert_eq!(found, wanted(&cpu, &frames), "{count} frames, TensorRT {major}");
        }
    }
}
