//! The TensorRT detector beside the CPU's: the same networks on the same frames, over doubles of TensorRT's libraries and of the CUDA
//! driver, which run the real kernels on the CPU. Needs a C++ compiler and NVRTC (`scripts/nvrtc.sh`); says loudly what it skips.
#![cfg(feature = "doubles")]

mod boxes;
mod failures;
#[cfg(feature = "demo")]
mod life;
mod networks;
#[path = "../steps/onnx.rs"]
#[allow(dead_code, reason = "others use the rest of it")]
mod onnx;
#[cfg(feature = "demo")]
#[path = "../running/mod.rs"]
#[allow(dead_code, reason = "the tests of the line use more of it")]
mod running;
mod surfaces;
mod tasks;

use std::{
    env, fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use egret::{
    config::{CpuRuntime, DeviceChoice, ModelConfig, ModelSource, RuntimeConfig},
    infer::{
        Detector, load,
        tensorrt::{Refused, TensorRt, detectors},
    },
    media::{
        Capture, Color, ColorMatrix, Frame, HostPicture, Layout, ModelInfo, PictureBytes, Pixels, Plane, StreamId, TimeBasis,
        TimeCard,
    },
};
use egret_jetson::{
    Device,
    kernels::{
        Nvrtc, PtxCache, Target,
        cpu::{CpuError, CpuKernels, Driver},
        device::Kernels,
    },
    tensorrt::{Builder, Deserialize, Library, Options, Range, Runtime, Shape, doubles::Double},
};
use egret_models::spec::ModelSpec;

pub(crate) const MAJORS: [u32; 2] = [10, 11];

static TURN: Mutex<()> = Mutex::new(());

/// Both doubles, held alone: their knobs are the whole process's.
pub(crate) struct Rig {
    pub(crate) kernels: Arc<Kernels>,
    pub(crate) double: Double,
    pub(crate) knobs: Driver,
    pub(crate) library: Arc<Library>,
    _turn: MutexGuard<'static, ()>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.knobs.rest();
    }
}

/// `None`: something is missing, which is said.
pub(crate) fn rig(major: u32) -> Option<Rig> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let knobs = match CpuKernels::drive() {
        Err(CpuError::NoCompiler(error)) => {
            eprintln!("SKIPPED: no C++ compiler for the double of the driver: {error}");
            return None;
        }
        other => other.expect("the double of the driver"),
    };
    knobs.rest();
    let device = Device::open(0).expect("a device");
    if device.name() != "CPU" {
        eprintln!("SKIPPED: a real CUDA driver is here");
        return None;
    }
    let folders: Vec<_> = env::var_os("EGRET_NVRTC").iter().flat_map(env::split_paths).collect();
    let target = Target { major: 8, minor: 7 };
    let Ok(nvrtc) = Nvrtc::find(&folders, target, Some((12, 6))) else {
        eprintln!("SKIPPED: no NVRTC for {target} (scripts/nvrtc.sh brings it)");
        return None;
    };
    let cache = PtxCache::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/ptx"));
    let kernels = Kernels::load(device.context(), &nvrtc, &cache).expect("loaded");
    let double = Double::new(major).expect("the double");
    assert!(double.set("driver", 1));
    let library = Library::load(&double.location(), |_, _| {}).expect("the double loads");
    Some(Rig { kernels, double, knobs, library, _turn: turn })
}

/// A network in a folder of its own, with its manifest.
pub(crate) struct Model {
    _folder: tempfile::TempDir,
    pub(crate) config: ModelConfig,
    pub(crate) onnx: Vec<u8>,
}

pub(crate) fn model(onnx: Vec<u8>, manifest: &str) -> Model {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("net.onnx");
    fs::write(&file, &onnx).expect("written");
    fs::write(folder.path().join("model.toml"), manifest).expect("written");
    Model { config: ModelConfig { max_batch: 4, ..ModelConfig::new("net", ModelSource::Onnx(file)) }, _folder: folder, onnx }
}

impl Model {
    /// What it is, and a detector on the CPU.
    pub(crate) fn on_cpu(&self) -> (ModelSpec, Box<dyn Detector>) {
        let loaded = load(&self.config, &runtime()).expect("loaded");
        (loaded.spec().expect("a network").clone(), loaded.instances().remove(0))
    }

    /// Its plan, for batches within these.
    pub(crate) fn plan(&self, rig: &Rig, spec: &ModelSpec, [min, max]: [usize; 2]) -> Vec<u8> {
        let mut builder = Builder::new(&rig.library, None).expect("a builder");
        builder.parse(&self.onnx, None).expect("the network");
        let shape = |count: usize| {
            Shape::new(&spec.input.shape(count).iter().map(|side| *side as i64).collect::<Vec<_>>()).expect("a shape")
        };
        let range = Range { name: spec.input.name.clone(), min: shape(min), opt: shape(max), max: shape(max) };
        builder.add_profile(vec![range]).expect("the profile");
        builder.configure(&Options::default()).expect("the options");
        builder.build().expect("built").plan
    }

    /// All its lanes on the device.
    pub(crate) fn on_device(&self, rig: &Rig, spec: &ModelSpec, batches: [usize; 2]) -> Result<Vec<TensorRt>, Refused> {
        let plan = self.plan(rig, spec, batches);
        let engine =
            Runtime::new(&rig.library).expect("a runtime").deserialize(&plan, Deserialize::default()).expect("an engine");
        let info = ModelInfo {
            name: self.config.name.clone(),
            classes: spec.classes.clone(),
            runtime: format!("tensorrt {}", rig.library.version()),
            sha256: String::new(),
            precision: "fp32",
        };
        detectors(engine.into(), None, &rig.kernels, spec, &self.config, &Arc::new(info))
    }
}

pub(crate) fn runtime() -> RuntimeConfig {
    RuntimeConfig { device: DeviceChoice::Cpu, cpu: CpuRuntime::Rten, ..RuntimeConfig::default() }
}

/// Numbers that are the same each time.
pub(crate) struct Random(pub(crate) u32);

impl Random {
    pub(crate) fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 >> 3
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }
}

/// A camera's frame of blocks of any brightness and colour: any layout, pitch, matrix and range.
pub(crate) fn frame(random: &mut Random, number: u32, (width, height): (u32, u32)) -> Frame {
    let layout = if random.below(3) == 0 { Layout::I420 } else { Layout::Nv12 };
    let (w, h) = (width as usize, height as usize);
    let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
    let slack = [random.below(40), random.below(40), random.below(700)];
    let mut planes = [Plane::default(); 3];
    let rows = match layout {
        Layout::Nv12 => vec![(w, h), (2 * cw, ch)],
        Layout::I420 => vec![(w, h), (cw, ch), (cw, ch)],
    };
    let mut bytes = Vec::new();
    for (i, ((row, rows), plane)) in rows.into_iter().zip(&mut planes).enumerate() {
        *plane = Plane { offset: bytes.len(), stride: row + slack[i] };
        let seed = random.next() as usize;
        bytes.extend((0..rows * (row + slack[i])).map(|at| {
            let (x, y) = (at % (row + slack[i]) / 9, at / (row + slack[i]) / 7);
            ((x * 37 + y * 91 + seed) * (x + 3 * y + 1) % 251) as u8
        }));
    }
    let color = Color {
        matrix: if random.below(2) == 0 { ColorMatrix::Bt601 } else { ColorMatrix::Bt709 },
        full_range: random.below(2) == 0,
    };
    let picture = HostPicture::new(layout, (width, height), color, planes, PictureBytes::Owned(bytes.into())).expect("a picture");
    let capture = Capture { wall: SystemTime::UNIX_EPOCH, basis: TimeBasis::Arrival };
    let times = TimeCard::received(Instant::now());
    let stream = StreamId::new(number, &format!("camera{number}"));
    Frame { stream, seq: 0, dispatch: 0, pts: Duration::ZERO, capture, pixels: Pixels::Host(picture), times }
}

/// Frames of as many cameras, of any sizes.
pub(crate) fn frames(random: &mut Random, count: usize) -> Vec<Frame> {
    let size = |random: &mut Random| match random.below(4) {
        0 => (1 + random.below(40) as u32, 1 + random.below(40) as u32),
        1 => (320, 180),
        _ => (40 + random.below(200) as u32, 30 + random.below(150) as u32),
    };
    (0..count)
        .map(|number| {
            let size = size(random);
            frame(random, number as u32, size)
        })
        .collect()
}
