//! A float network on the bench: its file, what it expects, and detectors made of what becomes of it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use egret_models::{
    eval::agreement::{Matching, Prediction},
    manifest::{Digest, Manifest},
    onnx::{self, edit::Model},
    precision::{DownCast, Run as _, down_cast},
    spec::{ElementKind, TaskSpec},
};
use rustix::time::{ClockId, clock_gettime};
use tokio_util::sync::CancellationToken;

use super::{PrecisionFailure, frames::Picture};
use crate::{
    config::{ModelConfig, ModelSource, RuntimeConfig},
    file,
    infer::{self, DetectError, Detector, Letterbox, Probe, View},
    media::Frame,
    store::{self, Beside, Other, StoreError},
};

/// Runs of which the median is told.
const TIMED_RUNS: usize = 15;

/// The float network.
pub(super) struct Bench {
    pub(super) file: PathBuf,
    pub(super) sha256: String,
    pub(super) bytes: usize,
    /// As it is read, doubles made floats.
    pub(super) model: Model,
    /// What that cost.
    pub(super) down_cast: Option<DownCast>,
    pub(super) manifest: Manifest,
    /// What stands beside it and is not about it.
    pub(super) others: Vec<Other>,
    runtime: RuntimeConfig,
    stop: CancellationToken,
}

impl Bench {
    pub(super) fn open(file: &Path, runtime: &RuntimeConfig, stop: &CancellationToken) -> Result<Self, PrecisionFailure> {
        let bytes = store::read_network(file)?;
        let refused = |refused| StoreError::Refused { path: file.to_owned(), refused };
        let mut model = Model::read(&bytes).map_err(refused)?;
        let down_cast = down_cast(&mut model).map_err(|source| PrecisionFailure::Graph { file: file.to_owned(), source })?;
        let graph = onnx::read(&bytes).map_err(refused)?;
        store::usable(&graph).map_err(refused)?;
        let sha256 = file::sha256(&bytes);
        let Beside { about, others } = store::beside(file)?;
        let manifest = match about {
            Some(about) => {
                store::check_digest(file, &about.manifest, &sha256, "use the file that it is about, or correct its sha256")?;
                about.manifest
            }
            None if down_cast.is_some() => made(file, &onnx::read(&model.write()).map_err(refused)?)?,
            None => made(file, &graph)?,
        };
        if manifest.spec.input.element != ElementKind::F32 {
            return Err(PrecisionFailure::Input { file: file.to_owned(), input: manifest.spec.input.name.clone() });
        }
        let (bytes, runtime, stop) = (bytes.len(), runtime.clone(), stop.clone());
        Ok(Self { file: file.to_owned(), sha256, bytes, model, down_cast, manifest, others, runtime, stop })
    }

    /// Asked before each picture: whether to go on.
    pub(super) fn go_on(&self) -> Result<(), PrecisionFailure> {
        if self.stop.is_cancelled() { Err(PrecisionFailure::Stopped) } else { Ok(()) }
    }

    /// Whether the gate can judge it.
    pub(super) fn require_detector(&self) -> Result<(), PrecisionFailure> {
        match &self.manifest.spec.task {
            TaskSpec::Detect { .. } => Ok(()),
            task => Err(PrecisionFailure::NoDetector { file: self.file.clone(), task: task.word() }),
        }
    }

    pub(super) fn probe(&self) -> Result<Probe, PrecisionFailure> {
        Probe::find(self.runtime.onnxruntime_library.as_deref(), &self.manifest.spec)
            .map_err(|reason| PrecisionFailure::NoRuntime { reason })
    }

    /// A detector of the bytes of a network with this one's inputs and outputs, which tells all boxes that matter to `matching`.
    pub(super) fn detector(&self, network: &[u8], matching: &Matching) -> Result<Box<dyn Detector>, PrecisionFailure> {
        let mut manifest = self.manifest.clone();
        manifest.card.sha256 = Digest::Known(file::sha256(network));
        manifest.spec.confidence = (matching.confidence - matching.slack).max(0.01);
        manifest.spec.class_confidence.clear();
        let source = ModelSource::Onnx(self.file.clone());
        let config = ModelConfig { max_batch: 1, ..ModelConfig::new(&self.manifest.card.name, source) };
        let named = self.file.display().to_string();
        Ok(Box::new(infer::load_bytes((&named, network, &manifest), &config, &self.runtime)?))
    }

    /// The input tensors of pictures, as the daemon makes them.
    pub(super) fn letterbox(&self) -> Tensors {
        let letterbox = Letterbox::new(&self.manifest.spec.input, 1);
        let tensor = vec![0.0; letterbox.slot_len()];
        Tensors { letterbox, tensor }
    }
}

/// Makes input tensors, one after the other in the same memory.
pub(super) struct Tensors {
    letterbox: Letterbox,
    tensor: Vec<f32>,
}

impl Tensors {
    pub(super) fn of(&mut self, picture: &Picture) -> &[f32] {
        if let Some(host) = picture.frame.pixels.host() {
            self.letterbox.fill(0, host, None, &mut self.tensor);
        }
        &self.tensor
    }
}

/// What a detector sees in pictures.
pub(super) fn predictions(
    bench: &Bench,
    detector: &mut dyn Detector,
    pictures: &[Picture],
) -> Result<Vec<Vec<Prediction>>, PrecisionFailure> {
    let mut seen = |picture: &Picture| {
        bench.go_on()?;
        Ok(seen(detector, &picture.frame)?)
    };
    pictures.iter().map(&mut seen).collect()
}

/// What a detector sees in a frame, in pixels of the frame.
pub(crate) fn seen(detector: &mut dyn Detector, frame: &Frame) -> Result<Vec<Prediction>, DetectError> {
    let found = detector.detect(&[View::whole(frame)])?.detections.pop().unwrap_or_default();
    let boxes = found.iter().map(|d| {
        let bbox = [d.bbox.x1, d.bbox.y1, d.bbox.x2, d.bbox.y2];
        Prediction { class: d.class, score: d.confidence, bbox }
    });
    Ok(boxes.collect())
}

/// CPU time of one run of each of two networks alone, on one thread. They take turns, so that whatever else the machine does
/// falls on both; of each the median is told.
pub(super) fn time(probe: &mut Probe, networks: [&[u8]; 2], input: &[f32]) -> Result<[Duration; 2], String> {
    let [first, second] = networks.map(|network| probe.load(network));
    let mut sessions = [first?, second?];
    let mut times = [(); 2].map(|()| Vec::with_capacity(TIMED_RUNS));
    for turn in 0..=TIMED_RUNS {
        for (session, times) in sessions.iter_mut().zip(&mut times) {
            let start = cpu_time();
            probe.run(session, input, &mut |_, _| {})?;
            // The first runs only warm up.
            if turn > 0 {
                times.push(cpu_time().saturating_sub(start));
            }
        }
    }
    Ok(times.map(|mut times| {
        times.sort_unstable();
        times[TIMED_RUNS / 2]
    }))
}

/// CPU time of this process so far. The runtime may have threads of its own.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The manifest that the graph gives.
fn made(file: &Path, graph: &onnx::Model<'_>) -> Result<Manifest, PrecisionFailure> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let recognised = egret_models::manifest::recognise(graph, &name);
    let unrecognised = |unrecognised| StoreError::Unrecognised { path: file.to_owned(), unrecognised: Box::new(unrecognised) };
    Ok(recognised.map_err(unrecognised)?.manifest)
}
