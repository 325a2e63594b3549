//! How well lanes keep an engine busy: the real line (staging, letterbox kernel, engine, decoding kernels, events between streams) over
//! the doubles, whose engine takes a known time for a batch and whose streams work by themselves. What it says nothing of is a device's
//! speed; what it shows is who waits for whom.
//!
//! ```sh
//! EGRET_NVRTC=$(scripts/nvrtc.sh) cargo run --release -p egret-jetson --features cpu-kernels,doubles --example overlap
//! ```

#[path = "../tests/tensorrt/onnx.rs"]
mod onnx;

use std::{
    env,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use egret_jetson::{
    Device,
    kernels::{
        Nvrtc, PtxCache, Target,
        cpu::CpuKernels,
        decode::{Decoder, Grid, Head, Limits, More, OutputElement, OutputShape, Scanner},
        device::{DeviceFrame, Kernels},
        letterbox::{Axis, Channel, Element, Frame, Samples, Tensor, Window},
    },
    line::{Executor, Feed, Finish, HostPicture, Input, Lane, Source, Times},
    memory::{DeviceMemory, Memory},
    tensorrt::{Builder, Deserialize, Library, Options, Range, Runtime, Shape, doubles::Double},
};
use onnx::Onnx;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const TENSOR: Tensor = Tensor { width: 320, height: 192, element: Element::F32, interleaved: false };
const FRAME: Frame = Frame { samples: Samples::Nv12, width: 640, height: 360, luma_pitch: 640, chroma_pitch: 640 };
const CELL: i64 = 32;
const BATCH: usize = 4;
const BATCHES: usize = 40;
/// Of each lane, that are not counted.
const WARM: usize = 3;

/// Coverage and edges of one class per cell of 32 pixels.
fn network() -> Vec<u8> {
    let (rows, columns) = (i64::from(TENSOR.height) / CELL, i64::from(TENSOR.width) / CELL);
    let stride: [(&str, &[i64]); 1] = [("strides", &[CELL, CELL])];
    let (w, v) = ([0.01; 3], [0.001; 12]);
    Onnx::default()
        .input("x", &[-1, 3, i64::from(TENSOR.height), i64::from(TENSOR.width)])
        .constant("w", &[1, 3, 1, 1], &w)
        .constant("v", &[4, 3, 1, 1], &v)
        .node("Conv", &["x", "w"], "c", &stride)
        .node("Sigmoid", &["c"], "coverage", &[])
        .node("Conv", &["x", "v"], "edges", &stride)
        .output("coverage", &[-1, 1, rows, columns])
        .output("edges", &[-1, 4, rows, columns])
        .finish()
}

fn decoder() -> Result<Decoder, Failure> {
    let (columns, rows) = (TENSOR.width / CELL as u32, TENSOR.height / CELL as u32);
    let grid = Grid { first: 0, columns, cells: columns * rows, stride: CELL as f32 };
    let head = Head {
        scanner: Scanner::Coverage { grid, scale: 35.0, offset: 0.5 },
        input: (TENSOR.width, TENSOR.height),
        classes: 1,
        rows: grid.cells,
        limit: 1e4,
        pixels: None,
        suppress: true,
        more: More::Nothing,
    };
    let output = |planes: u32| OutputShape { element: OutputElement::F32, len: (planes * grid.cells) as usize };
    let limits = Limits {
        confidences: vec![0.4],
        iou: 0.6,
        class_agnostic: false,
        candidates: 1000,
        detections: 300,
        capacity: None,
        coefficients: false,
    };
    Ok(Decoder::new(&head, &[output(1), output(4)], &limits)?)
}

/// Stretched; BT.601, limited range.
fn window() -> Window {
    let axis = |len, drawn| Axis { start: 0, len, scaled: drawn, cut: 0, drawn, at: 0 };
    let channel = |u: f32, v: f32| {
        let base = -16.0 * 1.164_383 - 128.0 * (u + v);
        Channel { luma: 1.164_383 / 256.0, u: u / 256.0, v: v / 256.0, base, least: 0.0, most: 255.0 }
    };
    Window {
        across: axis(FRAME.width, TENSOR.width),
        down: axis(FRAME.height, TENSOR.height),
        channels: [channel(0.0, 1.596_027), channel(-0.391_762, -0.812_968), channel(2.017_232, 0.0)],
        padding: [114.0; 3],
    }
}

struct Rig {
    executor: Arc<Executor>,
    bytes: Vec<u8>,
    on_device: Option<DeviceFrame>,
}

impl Rig {
    fn pictures(&self) -> Vec<(Source<'_>, Window)> {
        let (luma, chroma) = self.bytes.split_at((FRAME.luma_pitch * FRAME.height) as usize);
        let planes = [(luma, FRAME.luma_pitch as usize), (chroma, FRAME.chroma_pitch as usize), (&[][..], 0)];
        let host = HostPicture { samples: FRAME.samples, width: FRAME.width, height: FRAME.height, planes };
        let source = self.on_device.as_ref().map_or(Source::Host(host), Source::Device);
        (0..BATCH).map(|_| (source, window())).collect()
    }

    /// Batches through so many lanes, each on a thread: the time from one that is done to the next, and the mean of what the lanes say.
    ///
    /// What is counted begins when every lane has had some: that the first batch waits for its picture, and the last one for its boxes, is no
    /// part of how a line that runs for years is kept busy.
    fn run(&self, lanes: usize) -> Result<(Duration, Times), Failure> {
        let done = Mutex::new(Vec::with_capacity(WARM * lanes + BATCHES + lanes));
        thread::scope(|scope| {
            let lane = || {
                let finish = Finish::Boxes { decoder: Box::new(decoder()?), order: vec![0, 1] };
                let mut lane = Lane::new(&self.executor, Feed::Pictures(TENSOR), finish)?;
                let pictures = self.pictures();
                loop {
                    lane.draw(&pictures)?;
                    let times = lane.boxes(|_, _| ())?;
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push((Instant::now(), times));
                    if done.len() > WARM * lanes + BATCHES {
                        return Ok::<_, Failure>(());
                    }
                }
            };
            let threads: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
            for thread in threads {
                thread.join().map_err(|_| "a lane panicked")??;
            }
            let done = done.lock().unwrap_or_else(PoisonError::into_inner);
            let counted = &done[WARM * lanes..=WARM * lanes + BATCHES];
            let sum =
                |of: fn(&Times) -> Duration| counted[1..].iter().map(|(_, times)| of(times)).sum::<Duration>() / BATCHES as u32;
            let mean = Times { engine: sum(|times| times.engine), since_begun: sum(|times| times.since_begun) };
            Ok(((counted[BATCHES].0 - counted[0].0) / BATCHES as u32, mean))
        })
    }
}

fn main() -> Result<(), Failure> {
    let knobs = CpuKernels::drive()?;
    let device = Device::open(0)?;
    if device.name() != "CPU" {
        return Err("a real CUDA driver is here: the stand-in engine works in the host's memory".into());
    }
    let folders: Vec<_> = env::var_os("EGRET_NVRTC").iter().flat_map(env::split_paths).collect();
    let nvrtc = Nvrtc::find(&folders, Target { major: 8, minor: 7 }, Some((12, 6)))?;
    let kernels = Kernels::load(device.context(), &nvrtc, &PtxCache::new(env::temp_dir().join("egret-ptx")))?;
    knobs.set("threads", 1);
    let double = Double::new(11)?;
    double.set("driver", 1);
    let library = Library::load(&double.location(), |_, _| {})?;
    let mut builder = Builder::new(&library, None)?;
    builder.parse(&network(), None)?;
    let shape = Shape::new(&[BATCH as i64, 3, i64::from(TENSOR.height), i64::from(TENSOR.width)])?;
    builder.add_profile(vec![Range::fixed("x", &shape)])?;
    builder.configure(&Options::default())?;
    let plan = builder.build()?.plan;
    let bytes: Vec<u8> = (0..FRAME.plane_bytes(0) + FRAME.plane_bytes(1)).map(|i| (i * 31 + i / 640 * 7) as u8).collect();
    let stream = device.stream()?;
    let memory: Arc<dyn Memory> = Arc::new(DeviceMemory::of(&stream, &bytes)?);
    let chroma = FRAME.plane_bytes(0) as u64;
    let frame = DeviceFrame::new(FRAME, [(Arc::clone(&memory), 0), (Arc::clone(&memory), chroma), (memory, 0)])?;
    let mut out = io::stdout().lock();
    writeln!(out, "batches of {BATCH}, {}x{} to {}x{}; times in ms", FRAME.width, FRAME.height, TENSOR.width, TENSOR.height)?;
    writeln!(out, "pictures  engine    draw  engine  decode |     sum  1 lane |    best 2 lanes  efficiency")?;
    for (name, on_device) in [("device", true), ("host", false)] {
        for engine_ms in [40, 80] {
            double.set("enqueue_us", engine_ms * 1000);
            let engine = Runtime::new(&library)?.deserialize(&plan, Deserialize::default())?;
            let sides = vec![3, TENSOR.height as usize, TENSOR.width as usize];
            let input = Input { name: "x".into(), shape: sides, constants: Vec::new() };
            let executor = Executor::new(&kernels, &Arc::new(engine), &input)?;
            let rig = Rig { executor, bytes: bytes.clone(), on_device: on_device.then(|| frame.clone()) };
            let (alone, stages) = rig.run(1)?;
            let (both, of_both) = rig.run(2)?;
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            let (engine, decode) = (ms(stages.engine), ms(stages.since_begun.saturating_sub(stages.engine)));
            let draw = ms(alone.saturating_sub(stages.since_begun));
            // A lane that draws or decodes for longer than the other's turn on the engine leaves it idle.
            let best = engine.max((draw + engine + decode) / 2.0);
            writeln!(
                out,
                "{name:8} {engine_ms:>7} {draw:>7.1} {engine:>7.1} {decode:>7.1} | {:>7.1} {:>7.1} | {best:>7.1} {:>7.1} {:>11.3}",
                draw + engine + decode,
                ms(alone),
                ms(both),
                ms(of_both.engine) / ms(both),
            )?;
        }
    }
    Ok(())
}
