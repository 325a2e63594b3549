//! How long an engine takes for batches of each size.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use egret_jetson::{
    CudaError,
    memory::DeviceMemory,
    tensorrt::{self, Engine, Graphs, Range, Shape},
};
use tokio_util::sync::CancellationToken;

use super::{EngineError, Here, Manifest, Store, build::deserialize};

/// How it is measured.
#[derive(Clone, Debug)]
pub struct Measure {
    /// Batch sizes; empty: 1, 2, 4 … and the largest.
    pub sizes: Vec<u32>,
    /// Batches of each size that are measured.
    pub runs: usize,
    /// Batches before that.
    pub warm_up: usize,
    /// Stops between two batches.
    pub stop: CancellationToken,
}

/// The figures of one batch size: from the moment that the batch is put on its stream until the outputs are there.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// The batch size.
    pub batch: u32,
    /// Batches measured.
    pub runs: usize,
    /// Whether batches were repeated as CUDA graphs.
    pub graph: bool,
    /// Shortest.
    pub min: Duration,
    /// Half of them took at most this.
    pub p50: Duration,
    /// 90 of 100.
    pub p90: Duration,
    /// 99 of 100.
    pub p99: Duration,
    /// Longest.
    pub max: Duration,
}

impl Figures {
    /// Pictures per second at the median.
    pub fn rate(&self) -> f64 {
        f64::from(self.batch) / self.p50.as_secs_f64().max(1e-9)
    }

    fn of(batch: u32, graph: bool, mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let last = times.len().checked_sub(1)?;
        // The smallest time that at least so many per cent reach.
        let at = |percent: usize| times[((times.len() * percent).div_ceil(100)).saturating_sub(1)];
        let (min, max, runs) = (times[0], times[last], times.len());
        Some(Self { batch, runs, graph, min, p50: at(50), p90: at(90), p99: at(99), max })
    }
}

/// Why an engine was not measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// It is damaged, or it was stopped.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// TensorRT.
    #[error("engine of {name}: {error}")]
    TensorRt {
        /// The model.
        name: String,
        /// Its words.
        error: tensorrt::Error,
    },
    /// The driver.
    #[error("engine of {name}: {error}")]
    Cuda {
        /// The model.
        name: String,
        /// Its answer.
        error: CudaError,
    },
    /// A size that the engine does not take.
    #[error("engine of {name}: batches of {batch} are outside of its {min} to {max}")]
    Size {
        /// The model.
        name: String,
        /// What was asked for.
        batch: u32,
        /// Its smallest.
        min: u32,
        /// Its largest.
        max: u32,
    },
}

/// Measures an engine; `each` hears of every size as soon as it is done. Its inputs are noise, which says nothing of what it would find.
///
/// # Errors
/// [`BenchError`].
pub fn bench(
    here: &Here,
    store: &mut Store,
    manifest: &Manifest,
    measure: &Measure,
    each: &mut dyn FnMut(&Figures),
) -> Result<(), BenchError> {
    let (name, profile) = (&manifest.name, &manifest.key.profile);
    let sizes = if measure.sizes.is_empty() { usual(profile.min, profile.max) } else { measure.sizes.clone() };
    if let Some(&batch) = sizes.iter().find(|size| !(profile.min..=profile.max).contains(*size)) {
        return Err(BenchError::Size { name: name.clone(), batch, min: profile.min, max: profile.max });
    }
    let plan = store.parts(manifest)?.plan;
    let cuda = |error| BenchError::Cuda { name: name.clone(), error };
    let refused = |error| BenchError::TensorRt { name: name.clone(), error };
    here.device.bind().map_err(cuda)?;
    let engine = Arc::new(deserialize(here, &manifest.key, &plan).map_err(refused)?);
    let mut graphs = prepared(here, &engine).map_err(|error| match error {
        Failed::TensorRt(error) => refused(error),
        Failed::Cuda(error) => cuda(error),
    })?;
    let ranges = engine.profiles().first().cloned().unwrap_or_default();
    for batch in sizes {
        let shapes = shapes(&ranges, batch, profile.max).map_err(refused)?;
        let inputs: Vec<(&str, Shape)> = shapes.iter().map(|(name, shape)| (name.as_str(), shape.clone())).collect();
        let mut times = Vec::with_capacity(measure.runs);
        for turn in 0..measure.warm_up + measure.runs {
            if measure.stop.is_cancelled() {
                return Err(EngineError::Stopped.into());
            }
            let start = Instant::now();
            graphs.run(&inputs).and_then(|_| graphs.wait()).map_err(refused)?;
            if turn >= measure.warm_up {
                times.push(start.elapsed());
            }
        }
        if let Some(figures) = Figures::of(batch, graphs.refused(&inputs).is_none(), times) {
            each(&figures);
        }
    }
    Ok(())
}

enum Failed {
    TensorRt(tensorrt::Error),
    Cuda(CudaError),
}

impl From<tensorrt::Error> for Failed {
    fn from(error: tensorrt::Error) -> Self {
        Self::TensorRt(error)
    }
}

impl From<CudaError> for Failed {
    fn from(error: CudaError) -> Self {
        Self::Cuda(error)
    }
}

/// Everything that batches of the largest size need, there before the first one.
fn prepared(here: &Here, engine: &Arc<Engine>) -> Result<Graphs, Failed> {
    let stream = here.device.stream()?;
    let activations = DeviceMemory::new(here.device.context(), engine.context_bytes(Some(0))?)?;
    let mut graphs = Graphs::new(engine, 0, Arc::new(activations), Arc::clone(&stream) as _)?;
    // The shapes of outputs follow from those of inputs.
    let mut largest = engine.context(0)?;
    for range in engine.profiles().first().into_iter().flatten() {
        largest.set_shape(&range.name, &range.max)?;
    }
    for tensor in engine.tensors().iter().filter(|tensor| !tensor.on_host) {
        let bytes = tensor.bytes(&largest.shape(&tensor.name)?)?;
        let memory = DeviceMemory::of(&stream, &noise(bytes as usize))?;
        graphs.bind(&tensor.name, Arc::new(memory))?;
    }
    Ok(graphs)
}

/// Small numbers in whatever type: no byte is so large that a half or a float of it would be infinite.
fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 & 0x3b).collect()
}

/// The shapes of a batch: what moves with the batch in the profile has its size.
fn shapes(ranges: &[Range], batch: u32, largest: u32) -> Result<Vec<(String, Shape)>, tensorrt::Error> {
    let of = |range: &Range| {
        let pairs = range.min.dimensions().iter().zip(range.max.dimensions());
        let moved =
            |(&min, &max): (&i64, &i64)| if min == max { max } else { i64::from(batch) * (max / i64::from(largest.max(1))) };
        Ok((range.name.clone(), Shape::new(&pairs.map(moved).collect::<Vec<_>>())?))
    };
    ranges.iter().map(of).collect()
}

/// The powers of two, and both ends.
fn usual(min: u32, max: u32) -> Vec<u32> {
    let mut sizes: Vec<u32> = (0..16).map(|i| 1 << i).filter(|size| (min..=max).contains(size)).collect();
    sizes.extend([min, max]);
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times = (1..=200).rev().map(Duration::from_millis).collect();
        let figures = Figures::of(4, true, times).expect("figures");
        let ms = [figures.min, figures.p50, figures.p90, figures.p99, figures.max].map(|time| time.as_millis());
        assert_eq!(ms, [1, 100, 180, 198, 200]);
        assert!((figures.rate() - 40.0).abs() < 1e-9);
        assert_eq!(Figures::of(1, true, Vec::new()), None);
        let one = Figures::of(1, false, vec![Duration::from_millis(7)]).expect("figures");
        assert_eq!((one.p50, one.p99), (one.max, one.min));
    }

    #[test]
    fn sizes_and_noise() {
        assert_eq!((usual(1, 8), usual(3, 6), usual(5, 5)), (vec![1, 2, 4, 8], vec![3, 4, 6], vec![5]));
        let floats: Vec<f32> = noise(4096).chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        assert!(floats.iter().all(|value| value.is_finite() && value.abs() < 1.0), "as pictures are");
    }
}
