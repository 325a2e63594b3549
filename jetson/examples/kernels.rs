//! What the kernels cost on this machine's device: bytes per second of the letterbox over those of a plain copy, microseconds of a
//! batch on the device and on the host, bytes to the host.
//!
//! ```sh
//! EGRET_NVRTC=FOLDER cargo run --release -p egret-jetson --features cpu-kernels --example kernels
//! ```
//! Where there is no driver it runs on the double of one, in small, to show that it runs; its times mean nothing. So it does with
//! `--brief`, for tools that watch each access (compute-sanitizer). `jetson/benches/gpu.sh` calls both.

use std::{
    env,
    error::Error,
    io::{Write, stdout},
    sync::Arc,
    time::{Duration, Instant},
};

use cudarc::driver::{CudaContext, CudaStream, result};
use egret_jetson::{
    Cuda,
    kernels::{
        Nvrtc, PtxCache, Target,
        cpu::CpuKernels,
        decode::{Decoder, Grid, Head, Limits, More, OutputElement, OutputShape, Scanner},
        device::{Decoding, DeviceFrame, Kernels, Letterboxer},
        letterbox::{Axis, Channel, Element, Frame, Samples, Tensor, Window},
    },
    memory::{DeviceMemory, Memory},
};

type Failure = Box<dyn Error>;

/// More than any cache holds: what is measured comes from memory.
const COLD: usize = 512 << 20;
const FRAME: Frame = Frame { samples: Samples::Nv12, width: 1920, height: 1080, luma_pitch: 2048, chroma_pitch: 2048 };
const TENSOR: Tensor = Tensor { width: 640, height: 640, element: Element::F16, interleaved: false };
/// Rows and values of a row of YOLOX on 640x640 with the classes of COCO.
const ROWS: usize = 8400;
const COLUMNS: usize = 85;

struct Device {
    context: Arc<CudaContext>,
    kernels: Arc<Kernels>,
    stream: Arc<CudaStream>,
    cold: usize,
    rounds: usize,
}

fn main() -> Result<(), Failure> {
    let double = drive()?;
    let cuda = Cuda::probe()?;
    let context = CudaContext::new(0)?;
    let (major, minor) = context.compute_capability()?;
    let target = Target { major: major.unsigned_abs(), minor: minor.unsigned_abs() };
    let folders: Vec<_> = env::var_os("EGRET_NVRTC").iter().flat_map(env::split_paths).collect();
    let nvrtc = Nvrtc::find(&folders, target, Some(cuda.version))?;
    let kernels = Kernels::load(&context, &nvrtc, &PtxCache::new(env::temp_dir().join("egret-ptx")))?;
    let stream = context.new_stream()?;
    let brief = env::args().any(|argument| argument == "--brief");
    let (cold, rounds) = if double || brief { (32 << 20, 2) } else { (COLD, 400) };
    let device = Device { context, kernels, stream, cold, rounds };
    let mut out = stdout().lock();
    writeln!(out, "{:?}, {target}, driver for CUDA {}.{}, {nvrtc:?}", cuda.devices, cuda.version.0, cuda.version.1)?;
    match (double, brief) {
        (true, _) => writeln!(out, "A double of the driver on the CPU: times mean nothing.")?,
        (false, true) => writeln!(out, "Two rounds of each: times mean nothing.")?,
        (false, false) => {}
    }
    let ceiling = device.copy()?;
    writeln!(out, "copy from device to device: {:.1} GB/s, read and written", ceiling / 1e9)?;
    writeln!(out, "\n| letterbox 1080p NV12 to 3x640x640 FP16 | µs per batch | µs on the host | GB/s | of the copy |")?;
    writeln!(out, "|---|---|---|---|---|")?;
    for (batch, padding) in [(1, true), (8, true), (32, true), (8, false), (32, false)] {
        let (each, host) = device.letterbox(batch, padding)?;
        let drawn = if padding { 640 } else { 360 };
        let bytes = batch * (1920 * 1080 * 3 / 2 + 3 * 640 * drawn * 2);
        let rate = bytes as f64 / each.as_secs_f64();
        let what = if padding { "whole tensor" } else { "padding left alone" };
        let [each, host] = [each, host].map(|time| time.as_secs_f64() * 1e6);
        writeln!(out, "| batch {batch}, {what} | {each:.1} | {host:.1} | {:.1} | {:.2} |", rate / 1e9, rate / ceiling)?;
    }
    writeln!(
        out,
        "\n| YOLOX {ROWS}x{COLUMNS} to boxes | µs per batch | µs on the host | boxes | bytes to the host per picture |"
    )?;
    writeln!(out, "|---|---|---|---|---|")?;
    for batch in [1, 8, 32] {
        let (each, host, boxes, bytes) = device.decode(batch)?;
        let [each, host] = [each, host].map(|time| time.as_secs_f64() * 1e6);
        writeln!(out, "| batch {batch} | {each:.1} | {host:.1} | {boxes} | {bytes} |")?;
    }
    Ok(())
}

/// Whether a double stands for the driver that is not there.
fn drive() -> Result<bool, Failure> {
    let absent = Cuda::probe().is_err();
    if absent {
        CpuKernels::drive()?;
    }
    Ok(absent)
}

impl Device {
    fn memory(&self, bytes: usize) -> Result<Arc<DeviceMemory>, Failure> {
        Ok(Arc::new(DeviceMemory::new(&self.context, bytes as u64)?))
    }

    /// Bytes per second, read and written, of copies that no cache holds.
    fn copy(&self) -> Result<f64, Failure> {
        let (from, to) = (self.memory(self.cold)?, self.memory(self.cold)?);
        let once = || -> Result<(), Failure> {
            // SAFETY: both are as large, and live until the stream is done.
            Ok(unsafe { result::memcpy_dtod_async(to.address(), from.address(), self.cold, self.stream.cu_stream()) }?)
        };
        once()?;
        self.stream.synchronize()?;
        let (started, rounds) = (Instant::now(), self.rounds.div_ceil(10));
        (0..rounds).try_for_each(|_| once())?;
        self.stream.synchronize()?;
        Ok((2 * self.cold * rounds) as f64 / started.elapsed().as_secs_f64())
    }

    /// Time of a batch, and what of it the host is busy.
    fn letterbox(&self, batch: usize, padding: bool) -> Result<(Duration, Duration), Failure> {
        let frame_bytes = 2048 * 1080 * 3 / 2;
        let sets = (self.cold / (batch * frame_bytes)).clamp(1, 64);
        let noise: Vec<u8> = (0..frame_bytes as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let frame = || -> Result<DeviceFrame, Failure> {
            let memory: Arc<dyn Memory> = Arc::new(DeviceMemory::of(&self.stream, &noise)?);
            let planes = [(Arc::clone(&memory), 0), (Arc::clone(&memory), 2048 * 1080), (memory, 0)];
            Ok(DeviceFrame::new(FRAME, planes)?)
        };
        let frames = (0..sets * batch).map(|_| frame()).collect::<Result<Vec<_>, _>>()?;
        // Two tensors, as an engine has them, where the padding is remembered; else as many as there are pictures.
        let outs = if padding { sets } else { 2 };
        let outs = (0..outs).map(|_| Ok(self.memory(batch * 2 * TENSOR.slot_len())? as Arc<dyn Memory>));
        let outs = outs.collect::<Result<Vec<_>, Failure>>()?;
        let mut letterboxer = Letterboxer::new(&self.kernels, TENSOR, batch, 16)?;
        let batches: Vec<Vec<_>> = frames.chunks(batch).map(|frames| frames.iter().map(|f| (f, window())).collect()).collect();
        let mut busy = Duration::ZERO;
        let mut started = Instant::now();
        let warm = self.rounds / 10 + 1;
        for round in 0..self.rounds + warm {
            if round == warm {
                self.stream.synchronize()?;
                (busy, started) = (Duration::ZERO, Instant::now());
            }
            if padding {
                letterboxer.forget();
            }
            let begun = Instant::now();
            letterboxer.draw(&self.stream, &batches[round % sets], &outs[round % outs.len()])?;
            busy += begun.elapsed();
        }
        self.stream.synchronize()?;
        Ok((started.elapsed() / self.rounds as u32, busy / self.rounds as u32))
    }

    /// Time of a batch, what of it the host is busy, boxes of the last one, and bytes to the host for a picture.
    fn decode(&self, batch: usize) -> Result<(Duration, Duration, usize, usize), Failure> {
        let grid = |first, columns: u32, stride: f32| Grid { first, columns, cells: columns * columns, stride };
        let head = Head {
            scanner: Scanner::Objectness { grids: vec![grid(0, 80, 8.0), grid(6400, 40, 16.0), grid(8000, 20, 32.0)] },
            input: (640, 640),
            classes: (COLUMNS - 5) as u32,
            rows: ROWS as u32,
            limit: 64_000.0,
            pixels: None,
            suppress: true,
            more: More::Nothing,
        };
        let confidences = vec![0.25; COLUMNS - 5];
        let limits = Limits {
            confidences,
            iou: 0.45,
            class_agnostic: false,
            candidates: 1000,
            detections: 300,
            capacity: None,
            coefficients: true,
        };
        let decoder = Decoder::new(&head, &[OutputShape { element: OutputElement::F32, len: ROWS * COLUMNS }], &limits)?;
        let bytes = decoder.result_bytes();
        // One row of 40 is sure of something, as in a busy street before suppression.
        let value = |i: usize| match i % COLUMNS {
            4 => 0.01 + if (i / COLUMNS).is_multiple_of(40) { 0.9 } else { 0.0 },
            column => (column * 37 % 100) as f32 / 110.0,
        };
        let values: Vec<u8> = (0..batch * ROWS * COLUMNS).flat_map(|i| value(i).to_le_bytes()).collect();
        let sets = (self.cold / values.len()).clamp(1, 32);
        let outputs = (0..sets)
            .map(|_| Ok(Arc::new(DeviceMemory::of(&self.stream, &values)?) as Arc<dyn Memory>))
            .collect::<Result<Vec<_>, Failure>>()?;
        let mut decoding = Decoding::new(&self.kernels, decoder, &self.stream, batch, 2)?;
        let (mut busy, mut boxes, started) = (Duration::ZERO, 0, Instant::now());
        let mut earlier = None;
        for round in 0..self.rounds {
            let begun = Instant::now();
            let ticket = decoding.enqueue(&self.stream, &[Arc::clone(&outputs[round % sets])], batch)?;
            busy += begun.elapsed();
            if let Some(earlier) = earlier.replace(ticket) {
                boxes = 0;
                decoding.read(&earlier, |_, _| boxes += 1)?;
            }
        }
        self.stream.synchronize()?;
        Ok((started.elapsed() / self.rounds as u32, busy / self.rounds as u32, boxes, bytes))
    }
}

/// Of a 1080p picture in the middle of the tensor, BT.709, limited range, RGB 0..1.
fn window() -> Window {
    let axis = |len, drawn, at| Axis { start: 0, len, scaled: drawn, cut: 0, drawn, at };
    let channel = |u: f32, v: f32| {
        let base = (-16.0 * 1.164_384 - 128.0 * (u + v)) / 255.0;
        let of = |factor: f32| factor / 256.0 / 255.0;
        Channel { luma: of(1.164_384), u: of(u), v: of(v), base, least: 0.0, most: 1.0 }
    };
    let channels = [channel(0.0, 1.792_741), channel(-0.213_249, -0.532_909), channel(2.112_402, 0.0)];
    Window { across: axis(1920, 640, 0), down: axis(1080, 360, 140), channels, padding: [114.0 / 255.0; 3] }
}
