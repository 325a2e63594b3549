//! What launches the kernels: streams, events, memory, results. On this machine's device where it has one; else on a double of the
//! driver that runs the kernels on the CPU and does all work as late as a driver may. What comes back is compared with the kernels on
//! the CPU.
//!
//! ```sh
//! EGRET_NVRTC=$(scripts/nvrtc.sh) cargo nextest run -p egret-jetson --features cpu-kernels --test device --no-capture
//! ```
#![cfg(feature = "cpu-kernels")]

use std::{env, sync::Arc};

use cudarc::driver::{CudaContext, CudaStream, result};
use egret_jetson::{
    Device,
    kernels::{
        CacheError, NvrtcError, PtxCache,
        cpu::{Cells, CpuError, CpuKernels, HostFrame, HostOutput},
        decode::{Decoder, FaultKind, Grid, Head, Limits, More, OutputElement, OutputShape, Scanner},
        device::{Decoding, DeviceError, DeviceFrame, Kernels, Letterboxer},
        letterbox::{Axis, Channel, Element, Frame, Samples, Tensor, Window, WindowError},
    },
    memory::{DeviceMemory, Memory},
};

#[cfg(feature = "doubles")]
#[path = "nvtx/heard.rs"]
mod heard;

/// Exponentials of a device are within 2 units in the last place (CUDA C++ Programming Guide, mathematical functions); boxes of this
/// head are at most 200 pixels. On the double both are the same.
const MAX_PIXELS: f32 = 1e-3;

struct Bench {
    context: Arc<CudaContext>,
    kernels: Arc<Kernels>,
    cpu: CpuKernels,
    stream: Arc<CudaStream>,
    random: Random,
}

fn bench() -> Option<Bench> {
    let cpu = match CpuKernels::load() {
        Err(CpuError::NoCompiler(error)) => {
            eprintln!("SKIPPED: no C++ compiler for the kernels: {error}");
            return None;
        }
        other => other.expect("kernels for the CPU"),
    };
    CpuKernels::drive().expect("a driver");
    let folders: Vec<_> = env::var_os("EGRET_NVRTC").iter().flat_map(env::split_paths).collect();
    let cache = PtxCache::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/ptx"));
    let kernels = match Kernels::open(0, &folders, &cache) {
        Err(DeviceError::Ptx(CacheError::Nvrtc(NvrtcError::Absent { target, .. }))) => {
            eprintln!("SKIPPED: no NVRTC for {target} (scripts/nvrtc.sh brings it)");
            return None;
        }
        other => other.expect("loaded"),
    };
    let context = Arc::clone(kernels.context());
    let device = Device::open(0).expect("the same device");
    let (major, minor) = device.capability();
    eprintln!("device: {} of compute capability {major}.{minor}", device.name());
    device.bind().expect("its context");
    assert_eq!(device.context().cu_ctx(), context.cu_ctx(), "one context for all");
    assert!(Device::open(99).is_err(), "no such device");
    let stream = context.new_stream().expect("a stream");
    Some(Bench { context, kernels, cpu, stream, random: Random(0x1234_5677) })
}

struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 >> 3
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.next() % limit
    }

    fn unit(&mut self) -> f32 {
        self.below(1 << 20) as f32 / (1 << 20) as f32
    }
}

impl Bench {
    fn memory(&self, bytes: usize) -> Arc<DeviceMemory> {
        Arc::new(DeviceMemory::new(&self.context, bytes as u64).expect("memory"))
    }

    /// Puts a copy to the device on a stream. The host's values are to live until it is done.
    fn copy<T>(&self, to: &DeviceMemory, from: &[T], stream: &CudaStream) {
        assert!(to.bytes() >= size_of_val(from) as u64);
        self.context.bind_to_thread().expect("bound");
        // SAFETY: the memory is large enough, and the tests keep both until the stream is done.
        unsafe { result::memcpy_htod_async(to.address(), from, stream.cu_stream()) }.expect("copied");
    }

    fn slots(&self, from: HostOutput<'_>) -> Arc<DeviceMemory> {
        Arc::new(DeviceMemory::of(&self.stream, from.bytes()).expect("memory"))
    }

    /// Puts a copy to the host on a stream; to be looked at when it is done.
    fn snapshot(&self, from: &DeviceMemory, to: &mut [f32], stream: &CudaStream) {
        assert!(from.bytes() >= size_of_val(to) as u64);
        self.context.bind_to_thread().expect("bound");
        // SAFETY: the memory is large enough, and the tests keep both until the stream is done.
        unsafe { result::memcpy_dtoh_async(to, from.address(), stream.cu_stream()) }.expect("copied");
    }

    /// A picture on both sides.
    fn picture(&mut self, (width, height): (u32, u32)) -> Picture {
        let pitch = (width.div_ceil(2) * 2 + 2 * self.random.below(20)).max(2);
        let frame = Frame { samples: Samples::Nv12, width, height, luma_pitch: pitch, chroma_pitch: pitch };
        // Both planes in one memory, as a decoder's surface has them.
        let rows = height + height.div_ceil(2);
        let bytes: Vec<u8> = (0..pitch * rows).map(|_| self.random.next() as u8).collect();
        let memory: Arc<dyn Memory> = Arc::new(DeviceMemory::of(&self.stream, &bytes).expect("memory"));
        let chroma = u64::from(pitch * height);
        let planes = [(Arc::clone(&memory), 0), (Arc::clone(&memory), chroma), (memory, 0)];
        let device = DeviceFrame::new(frame, planes).expect("a picture");
        Picture { frame, bytes, device }
    }
}

struct Picture {
    frame: Frame,
    bytes: Vec<u8>,
    device: DeviceFrame,
}

impl Picture {
    fn host(&self) -> HostFrame<'_> {
        let (luma, chroma) = self.bytes.split_at((self.frame.luma_pitch * self.frame.height) as usize);
        HostFrame { frame: self.frame, planes: [luma, chroma, &[]] }
    }

    /// Letterboxed at the top left, BT.601, limited range, RGB.
    fn window(&self, tensor: &Tensor) -> Window {
        let (width, height) = (self.frame.width, self.frame.height);
        let ratio = (f64::from(tensor.width) / f64::from(width)).min(f64::from(tensor.height) / f64::from(height));
        let axis = |len: u32, side: u32| {
            let drawn = ((f64::from(len) * ratio) as u32).clamp(1, side);
            Axis { start: 0, len, scaled: drawn, cut: 0, drawn, at: 0 }
        };
        let channel = |u: f32, v: f32| {
            let base = -16.0 * 1.164_383 - 128.0 * (u + v);
            Channel { luma: 1.164_383 / 256.0, u: u / 256.0, v: v / 256.0, base, least: 0.0, most: 255.0 }
        };
        Window {
            across: axis(width, tensor.width),
            down: axis(height, tensor.height),
            channels: [channel(0.0, 1.596_027), channel(-0.391_762, -0.812_968), channel(2.017_232, 0.0)],
            padding: [114.0, 114.0, 100.0],
        }
    }
}

#[test]
fn batches_of_pictures_under_way_together_equal_the_cpu() {
    let Some(mut bench) = bench() else { return };
    let tensor = Tensor { width: 96, height: 64, element: Element::F32, interleaved: false };
    let mut letterboxer = Letterboxer::new(&bench.kernels, tensor, 4, 2).unwrap();
    let outs = [0; 2].map(|_| bench.memory(4 * 4 * tensor.slot_len()));
    let pictures: Vec<_> = (0..9)
        .map(|i| {
            let size = if i % 3 == 0 { (160, 90) } else { (1 + bench.random.below(200), 1 + bench.random.below(150)) };
            bench.picture(size)
        })
        .collect();
    let reader = bench.context.new_stream().unwrap();
    let mut compared = 0;
    for batch in 0..12 {
        let count = 1 + bench.random.below(4) as usize;
        let of: Vec<_> = (0..count).map(|_| &pictures[bench.random.below(9) as usize]).collect();
        let drawn: Vec<_> = of.iter().map(|picture| (&picture.device, picture.window(&tensor))).collect();
        let out: Arc<dyn Memory> = outs[batch % 2].clone();
        let done = letterboxer.draw(&bench.stream, &drawn, &out).unwrap();
        // No more than the event stands between the two streams.
        reader.wait(done).unwrap();
        let mut found = vec![f32::NAN; count * tensor.slot_len()];
        bench.snapshot(&outs[batch % 2], &mut found, &reader);
        reader.synchronize().unwrap();
        let mut expected = vec![f32::NAN; found.len()];
        let host: Vec<_> = of.iter().map(|picture| (picture.host(), picture.window(&tensor), true)).collect();
        bench.cpu.letterbox(&tensor, &host, &mut Cells::F32(&mut expected)).unwrap();
        let differ = found.iter().zip(&expected).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        assert_eq!(differ, 0, "batch {batch} of {count}: {differ} of {} differ", found.len());
        compared += found.len();
    }
    eprintln!("{compared} values of 12 batches are the same bits");
}

/// Every element, planar and interleaved.
#[test]
fn tensors_of_all_elements_equal_the_cpu() {
    let Some(mut bench) = bench() else { return };
    let pictures = [(71, 33), (30, 64)].map(|size| bench.picture(size));
    for element in [Element::F32, Element::F16, Element::U8, Element::I8 { step: 2.5 }] {
        for interleaved in [false, true] {
            let tensor = Tensor { width: 37, height: 24, element, interleaved };
            let len = 2 * tensor.slot_len();
            let out = bench.memory(len * element.size());
            let mut letterboxer = Letterboxer::new(&bench.kernels, tensor, 2, 1).unwrap();
            let drawn = [0, 1].map(|i| (&pictures[i].device, pictures[i].window(&tensor)));
            letterboxer.draw(&bench.stream, &drawn, &(out.clone() as Arc<dyn Memory>)).unwrap();
            let mut found = vec![0; len * element.size()];
            out.read(&bench.stream, &mut found).unwrap();
            let host = [0, 1].map(|i| (pictures[i].host(), pictures[i].window(&tensor), true));
            let (mut floats, mut halves, mut bytes, mut quantised) = (vec![0.0; len], vec![0; len], vec![0; len], vec![0; len]);
            let mut cells = match element {
                Element::F32 => Cells::F32(&mut floats),
                Element::F16 => Cells::F16(&mut halves),
                Element::U8 => Cells::U8(&mut bytes),
                Element::I8 { .. } => Cells::I8(&mut quantised),
            };
            bench.cpu.letterbox(&tensor, &host, &mut cells).unwrap();
            let expected: Vec<u8> = match element {
                Element::F32 => floats.iter().flat_map(|v| v.to_ne_bytes()).collect(),
                Element::F16 => halves.iter().flat_map(|v| v.to_ne_bytes()).collect(),
                Element::U8 => bytes,
                Element::I8 { .. } => quantised.iter().flat_map(|v| v.to_ne_bytes()).collect(),
            };
            assert!(found == expected, "{tensor:?}");
        }
    }
}

/// More batches than there are turns: none writes over what another is still to read.
#[test]
fn a_batch_under_way_keeps_its_descriptions() {
    let Some(mut bench) = bench() else { return };
    let tensor = Tensor { width: 40, height: 40, element: Element::F32, interleaved: false };
    let mut letterboxer = Letterboxer::new(&bench.kernels, tensor, 1, 1).unwrap();
    let pictures = [(80, 40), (40, 80), (33, 33)].map(|size| bench.picture(size));
    let outs = [0; 3].map(|_| bench.memory(4 * tensor.slot_len()));
    for (picture, out) in pictures.iter().zip(&outs) {
        let out: Arc<dyn Memory> = out.clone();
        letterboxer.draw(&bench.stream, &[(&picture.device, picture.window(&tensor))], &out).unwrap();
    }
    for (picture, out) in pictures.iter().zip(&outs) {
        let mut found = vec![f32::NAN; tensor.slot_len()];
        bench.snapshot(out, &mut found, &bench.stream);
        bench.stream.synchronize().unwrap();
        let mut expected = vec![f32::NAN; found.len()];
        bench.cpu.letterbox(&tensor, &[(picture.host(), picture.window(&tensor), true)], &mut Cells::F32(&mut expected)).unwrap();
        assert!(found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "{picture:?}", picture = picture.frame);
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_launched() {
    let Some(mut bench) = bench() else { return };
    let tensor = Tensor { width: 32, height: 32, element: Element::F16, interleaved: false };
    let mut letterboxer = Letterboxer::new(&bench.kernels, tensor, 2, 1).unwrap();
    let picture = bench.picture((64, 48));
    let drawn = (&picture.device, picture.window(&tensor));
    let out: Arc<dyn Memory> = bench.memory(2 * 2 * tensor.slot_len());
    let small: Arc<dyn Memory> = bench.memory(2 * tensor.slot_len() - 1);
    assert!(letterboxer.draw(&bench.stream, &[drawn; 2], &out).is_ok());
    let many = letterboxer.draw(&bench.stream, &[drawn; 3], &out).map(|_| ()).unwrap_err();
    assert!(matches!(many, DeviceError::Window(WindowError::Slots { slots: 3, capacity: 2 })), "{many}");
    let error = letterboxer.draw(&bench.stream, &[drawn], &small).map(|_| ()).unwrap_err();
    assert!(error.to_string().starts_with("the tensor has 6143 bytes where 6144 are needed"), "{error}");
    let wide = Window { across: Axis { len: 65, ..drawn.1.across }, ..drawn.1 };
    let error = letterboxer.draw(&bench.stream, &[(drawn.0, wide)], &out).map(|_| ()).unwrap_err();
    assert!(matches!(error, DeviceError::Window(WindowError::Axis { .. })), "{error}");
    let cut = Arc::clone(&small);
    let planes = [(Arc::clone(&cut), 0), (cut, 5000), (small, 0)];
    assert!(matches!(DeviceFrame::new(picture.frame, planes).unwrap_err(), DeviceError::Size { what: "a plane", .. }));
    assert!(letterboxer.draw::<DeviceFrame>(&bench.stream, &[], &out).is_ok(), "an empty batch is none of the driver's business");
}

/// A head as YOLOX has it, of an input of 96x64.
fn head() -> (Head, OutputShape) {
    let grid = |first, columns, cells, stride: f32| Grid { first, columns, cells, stride };
    let grids = vec![grid(0, 12, 96, 8.0), grid(96, 6, 24, 16.0), grid(120, 3, 6, 32.0)];
    let head = Head {
        scanner: Scanner::Objectness { grids },
        input: (96, 64),
        classes: 3,
        rows: 126,
        limit: 9600.0,
        pixels: None,
        suppress: true,
        more: More::Nothing,
    };
    (head, OutputShape { element: OutputElement::F32, len: 126 * 8 })
}

fn decoder() -> Decoder {
    let (head, shape) = head();
    let confidences = vec![0.3, 0.4, 0.35];
    let limits = Limits {
        confidences,
        iou: 0.5,
        class_agnostic: false,
        candidates: 1000,
        detections: 300,
        capacity: None,
        coefficients: true,
    };
    Decoder::new(&head, &[shape], &limits).expect("a decoder")
}

fn outputs(random: &mut Random, pictures: usize) -> Vec<f32> {
    (0..pictures * 126 * 8).map(|i| if i % 8 < 4 { random.unit() - 0.2 } else { random.unit() }).collect()
}

type Boxes = Vec<(usize, u16, f32, [f32; 4])>;

fn expected(bench: &Bench, decoder: &Decoder, outputs: &[f32], pictures: usize) -> Boxes {
    let results = bench.cpu.decode(decoder, &[(&[HostOutput::F32(outputs)], pictures)]).expect("decoded");
    let of =
        |i: usize| decoder.read(&results[0], i).expect("boxes").map(move |f| (i, f.class, f.score, f.bbox)).collect::<Vec<_>>();
    (0..pictures).flat_map(of).collect()
}

fn compare(found: &Boxes, expected: &Boxes) {
    assert_eq!(found.len(), expected.len());
    for (own, other) in found.iter().zip(expected) {
        assert_eq!((own.0, own.1), (other.0, other.1));
        let farthest = own.3.iter().zip(&other.3).map(|(a, b)| (a - b).abs()).fold((own.2 - other.2).abs(), f32::max);
        assert!(farthest <= MAX_PIXELS, "{own:?} for {other:?}");
    }
}

#[test]
fn results_are_read_once_in_any_order_and_as_many_as_there_is_memory_for() {
    let Some(mut bench) = bench() else { return };
    let decoder = decoder();
    let mut decoding = Decoding::new(&bench.kernels, decoder.clone(), &bench.stream, 3, 2).unwrap();
    let mut boxes = 0;
    for round in 0..5 {
        let values = [0; 2].map(|_| outputs(&mut bench.random, 3));
        let memories: Vec<Arc<dyn Memory>> =
            values.iter().map(|values| bench.slots(HostOutput::F32(values)) as Arc<dyn Memory>).collect();
        let tickets: Vec<_> = memories.iter().map(|m| decoding.enqueue(&bench.stream, &[Arc::clone(m)], 3).unwrap()).collect();
        let busy = decoding.enqueue(&bench.stream, &[Arc::clone(&memories[0])], 3).unwrap_err();
        assert!(matches!(busy, DeviceError::Busy(2)), "{busy}");
        for i in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let mut found = Boxes::new();
            decoding.read(&tickets[i], |picture, f| found.push((picture, f.class, f.score, f.bbox))).unwrap();
            compare(&found, &expected(&bench, &decoder, &values[i], 3));
            boxes += found.len();
            assert!(matches!(decoding.read(&tickets[i], |_, _| ()), Err(DeviceError::Read)));
        }
    }
    eprintln!("{boxes} boxes of 10 batches are the same; {} bytes to the host for a picture", decoder.result_bytes());
    assert!(boxes > 500);
    let memory: Arc<dyn Memory> = bench.memory(3 * 126 * 8 * 4 - 1);
    let short = decoding.enqueue(&bench.stream, &[memory], 3).unwrap_err();
    assert!(matches!(short, DeviceError::Size { what: "an output", .. }), "{short}");
    let mut bad = outputs(&mut bench.random, 3);
    bad[126 * 8 + 5 * 8 + 4] = f32::NAN;
    let memory = bench.slots(HostOutput::F32(&bad));
    let ticket = decoding.enqueue(&bench.stream, &[memory], 3).unwrap();
    let error = decoding.read(&ticket, |_, _| ()).unwrap_err();
    assert!(
        matches!(error, DeviceError::Fault { picture: 1, fault } if fault.kind == FaultKind::NotFinite && fault.row == 5),
        "{error}"
    );
}

/// Three streams, two batches of each under way: what is drawn waits for no result, and nothing is mixed up.
#[test]
fn drawing_inference_and_decoding_of_neighbouring_batches_overlap() {
    let Some(mut bench) = bench() else { return };
    let tensor = Tensor { width: 96, height: 64, element: Element::F32, interleaved: false };
    let mut letterboxer = Letterboxer::new(&bench.kernels, tensor, 2, 2).unwrap();
    let mut decoding = Decoding::new(&bench.kernels, decoder(), &bench.stream, 2, 2).unwrap();
    let [draw, infer, decode] = [0; 3].map(|_| bench.context.new_stream().unwrap());
    let inputs = [0; 2].map(|_| bench.memory(2 * 4 * tensor.slot_len()));
    let results = [0; 2].map(|_| bench.memory(2 * 126 * 8 * 4));
    let pictures: Vec<_> = (0..4).map(|i| bench.picture((100 + i, 60 + 7 * i))).collect();
    let values: Vec<_> = (0..8).map(|_| outputs(&mut bench.random, 2)).collect();
    let mut seen = vec![vec![f32::NAN; 2 * tensor.slot_len()]; 8];
    let of = |batch: usize| [batch % 4, (batch + 1) % 4].map(|i| &pictures[i]);
    let mut under_way = std::collections::VecDeque::new();
    let mut boxes = 0;
    for batch in 0..8_usize {
        if under_way.len() == 2 {
            let (ticket, earlier): (_, usize) = under_way.pop_front().unwrap();
            let mut found = Boxes::new();
            decoding.read(&ticket, |picture, f| found.push((picture, f.class, f.score, f.bbox))).unwrap();
            compare(&found, &expected(&bench, &decoder(), &values[earlier], 2));
            boxes += found.len();
        }
        let drawn = of(batch).map(|picture| (&picture.device, picture.window(&tensor)));
        let input: Arc<dyn Memory> = inputs[batch % 2].clone();
        infer.wait(letterboxer.draw(&draw, &drawn, &input).unwrap()).unwrap();
        // In place of an engine: what it would read is kept, and its outputs are copied where it would write them.
        bench.snapshot(&inputs[batch % 2], &mut seen[batch], &infer);
        bench.copy(&results[batch % 2], &values[batch], &infer);
        let inferred = infer.record_event(None).unwrap();
        // The next drawing into this input waits for the engine, not for the results.
        draw.wait(&inferred).unwrap();
        decode.wait(&inferred).unwrap();
        let output: Arc<dyn Memory> = results[batch % 2].clone();
        let ticket = decoding.enqueue(&decode, &[output], 2).unwrap();
        infer.wait(decoding.done(&ticket).unwrap()).unwrap();
        under_way.push_back((ticket, batch));
    }
    assert!(boxes > 100, "{boxes}");
    infer.synchronize().unwrap();
    for (batch, seen) in seen.iter().enumerate() {
        let host = of(batch).map(|picture| (picture.host(), picture.window(&tensor), true));
        let mut expected = vec![f32::NAN; seen.len()];
        bench.cpu.letterbox(&tensor, &host, &mut Cells::F32(&mut expected)).unwrap();
        assert!(seen.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "batch {batch}");
    }
}

/// A profiler sees what the host does for each batch.
#[cfg(feature = "doubles")]
#[test]
fn a_tool_hears_the_ranges_of_each_batch() {
    let Some(heard) = heard::heard("drawing_inference_and_decoding_of_neighbouring_batches_overlap") else { return };
    let begun = |name: &str| heard.lines().filter(|line| line.ends_with(&format!("> {name}"))).count();
    let [letterbox, slots, decode, results] = ["letterbox", "slots", "decode", "results"].map(begun);
    assert!(
        letterbox >= 2 && letterbox == slots && letterbox == decode && decode >= results && results > 0,
        "{letterbox} {slots} {decode} {results}"
    );
    assert_eq!(heard.lines().filter(|line| line.ends_with("< ")).count(), letterbox + slots + decode + results, "{heard}");
    assert!(heard.starts_with("1 > letterbox\n1 > slots\n1 < \n1 < \n"), "{heard}");
}
