//! A float network and pictures in, an INT8 file that agrees with it out.

use std::{collections::BTreeMap, path::PathBuf};

use egret_models::{
    eval::agreement::Gate,
    manifest::PrecisionKind,
    precision::{Calibration, CalibrationError, Method, Plan, QdqOptions, QdqReport, Ranges, Searched, Shifting, Shifts},
    spec::BatchAxis,
};
use tokio_util::sync::CancellationToken;

use super::{
    PrecisionFailure,
    bench::{self, Bench, Tensors},
    frames::{self, From, Picture},
    gather::{Gathering, Held, RANKING, enough},
    judge::{Exam, Trials, density},
    output::{self, Record},
    report::Outcome,
};
use crate::{config::RuntimeConfig, infer::Probe};

/// Calibration frames that the float network looks at, to see whether they show anything.
const GLANCES: usize = 64;
/// A calibration set in which the float network sees less than this share of what it sees in the held-out one is no likeness of it.
const LIKENESS: f64 = 0.1;

/// Frames on which shifts of means are measured, and the memory that their tensors may take.
const FEWEST_SAMPLED: usize = 8;
const MOST_SAMPLED: usize = 64;
const MOST_SAMPLED_BYTES: usize = 128 << 20;
/// Share of a value's places that may leave its range without a word.
const CUT_OFF: f64 = 0.01;

/// What to do.
#[derive(Clone, Debug)]
pub struct QuantizeOptions {
    /// The float network.
    pub model: PathBuf,
    /// Where calibration pictures come from.
    pub from: From,
    /// Most calibration pictures.
    pub frames: usize,
    /// Where held-out pictures come from; `None`: one of four of `from`, chosen by content.
    pub holdout: Option<From>,
    /// How ranges are chosen.
    pub method: Method,
    /// What is quantized.
    pub qdq: QdqOptions,
    /// What must hold.
    pub gate: Gate,
    /// Largest share of the layers that may stay in float for the gate's sake.
    pub most_float: f64,
    /// The file to write.
    pub out: PathBuf,
    /// What runs networks.
    pub runtime: RuntimeConfig,
    /// Cancelled: nothing is written any more.
    pub stop: CancellationToken,
}

/// Quantizes a network, or says why not. `progress` is told what is being done.
///
/// # Errors
/// [`PrecisionFailure`]: it could not be tried. That it was tried and refused is an [`Outcome`].
pub fn quantize(options: &QuantizeOptions, progress: &mut dyn FnMut(&str)) -> Result<Outcome, PrecisionFailure> {
    let gathering = Gathering { from: &options.from, frames: options.frames, split: options.holdout.is_none() };
    enough(Some(&options.from), options.holdout.as_ref(), options.frames)?;
    let bench = Bench::open(&options.model, &options.runtime, &options.stop)?;
    bench.require_detector()?;
    let graph = |source| PrecisionFailure::Graph { file: options.model.clone(), source };
    let plan = Plan::new(bench.model.clone(), &options.qdq).map_err(graph)?;
    let float = plan.model().write();
    let mut probe = bench.probe()?;
    progress(&format!("{}: {} layers to quantize, {}", options.model.display(), plan.layers().len(), probe.name()));
    let mut held = Held::of(options.holdout.as_ref())?;
    let mut tensors = bench.letterbox();
    let values = plan.values();
    let calibration = Calibration::new(&mut probe, plan.model(), &values).map_err(|error| failed(&bench, error))?;
    // In a fixed batch of several the channels of one picture do not lie together.
    let channels =
        if matches!(bench.manifest.spec.input.batch, BatchAxis::Fixed(2..)) { BTreeMap::new() } else { plan.channels() };
    let mut calibration = calibration.by_channel(&channels);
    let (mut glancer, mut glances) = (bench.detector(&float, &options.gate.matching())?, Vec::new());
    let mut sample = Sample::default();
    let gathered = gathering.run(&mut held, progress, |picture| {
        bench.go_on()?;
        if glances.len() < GLANCES {
            glances.push(bench::seen(glancer.as_mut(), &picture.frame)?);
        }
        let tensor = tensors.of(picture);
        sample.offer(tensor);
        calibration.observe(&mut probe, tensor).map_err(|error| failed(&bench, error))
    })?;
    let ranges = calibration.finish().map_err(|error| failed(&bench, error))?;
    let shifts = shifts(&bench, &mut probe, &plan, (&ranges, options.method), &sample)?;
    progress(&format!("{} calibration frames, {} held out", gathered.contents.len(), held.pictures.len()));
    let calibrated = density(&glances, &options.gate.matching());
    let exam = Exam::new(&bench, &float, held.pictures, options.gate)?;
    let ranking = Exam::new(&bench, &float, gathered.ranking, options.gate)?;
    let layers: Vec<String> = plan.layers().iter().map(|layer| layer.name.clone()).collect();
    let seen = observe(&bench, &mut probe, &plan, exam.pictures(), &mut tensors)?;
    let mut foreign = beyond(&ranges, &seen, Method::MinMax);
    if calibrated < LIKENESS * exam.density() {
        foreign.insert(
            0,
            format!(
                "the float network finds {calibrated:.2} boxes in a calibration frame and {:.2} in a held-out one",
                exam.density()
            ),
        );
    }
    let unlike = !foreign.is_empty();
    // No search mends ranges of pictures that show something else.
    let most = if unlike { 0 } else { (layers.len() as f64 * options.most_float) as usize };
    let (method, mut trials) = (
        options.method,
        Trials {
            bench: &bench,
            plan: &plan,
            ranges: &ranges,
            method: options.method,
            shifts: &shifts,
            exam: &exam,
            // Where the calibration set shows nothing, no layer loses anything on it.
            ranking: if unlike { &exam } else { &ranking },
            progress,
            ranked: 0,
        },
    );
    let searched = Searched::run(&mut trials, &layers, most)?;
    let (mut model, report) = plan.quantize(&ranges, method, &searched.float.iter().cloned().collect(), &shifts);
    let mut reasons: Vec<String> = searched.verdict.verdict.failures.iter().map(ToString::to_string).collect();
    if unlike {
        reasons.push("the calibration set does not show what the network is used on:".into());
        reasons.append(&mut foreign);
    } else if !reasons.is_empty() {
        reasons.extend(beyond(&ranges, &seen, method));
        reasons
            .push(format!("with the worst {most} of {} layers in float, the most that is allowed, it still fails", layers.len()));
    }
    let mut contents = gathered.contents;
    let record = Record {
        half_input: false,
        kind: PrecisionKind::Int8,
        method: Some(method.to_string()),
        calibration: Some((frames::digest(&mut contents), contents.len() as u64)),
        float_nodes: searched.float.iter().chain(&options.qdq.keep_float).cloned().collect(),
        judged: Some(searched.verdict.clone()),
        gate: options.gate,
    };
    let mut outcome = Outcome::new(&bench, record, contents.len(), exam.pictures().len());
    outcome.layers = layers.len() + options.qdq.keep_float.len();
    outcome.all_converted = Some(searched.all_quantized);
    outcome.ranked = searched.ranked;
    outcome.notes.extend(notes(&report, &shifts, sample.kept.len()));
    outcome.kept = report.kept;
    outcome.shared = gathered.shared;
    outcome.repeated = gathered.repeated;
    outcome.reasons = reasons;
    outcome.time(&mut probe, &float, &model.write(), tensors.of(&exam.pictures()[0]))?;
    if outcome.reasons.is_empty() {
        outcome.written = Some(output::write(&bench, &mut model, &outcome.record, &options.out)?);
    }
    Ok(outcome)
}

/// What was done to the network beside quantizing it. `frames`: those that shifts were measured on.
fn notes(report: &QdqReport, shifts: &Shifts, frames: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if !report.equalized.is_empty() {
        notes.push(format!("the input channels of {} depthwise layers are brought to one range first", report.equalized.len()));
    }
    let corrected = report.quantized.iter().filter(|layer| shifts.contains_key(*layer)).count();
    if corrected > 0 {
        notes.push(format!(
            "the biases of {corrected} layers are corrected by what their means move by on {frames} of the frames"
        ));
    }
    notes
}

/// Input tensors of frames from the whole of a source, however many it has: when there are too many, every other one is left out, and
/// so are the next ones.
struct Sample {
    kept: Vec<Vec<f32>>,
    /// One of so many is kept.
    stride: usize,
    offered: usize,
}

impl Default for Sample {
    fn default() -> Self {
        Self { kept: Vec::new(), stride: 1, offered: 0 }
    }
}

impl Sample {
    fn offer(&mut self, tensor: &[f32]) {
        if self.offered.is_multiple_of(self.stride) {
            let most = (MOST_SAMPLED_BYTES / size_of_val(tensor).max(1)).clamp(FEWEST_SAMPLED, MOST_SAMPLED);
            if self.kept.len() == most {
                let mut at = 0..;
                self.kept.retain(|_| at.next().is_some_and(|at: usize| at.is_multiple_of(2)));
                self.stride *= 2;
            }
            if self.offered.is_multiple_of(self.stride) {
                self.kept.push(tensor.to_vec());
            }
        }
        self.offered += 1;
    }
}

/// What the means of layers move by when they are quantized.
fn shifts(
    bench: &Bench,
    probe: &mut Probe,
    plan: &Plan,
    (ranges, method): (&Ranges, Method),
    sample: &Sample,
) -> Result<Shifts, PrecisionFailure> {
    let mut shifting = Shifting::new(probe, plan, ranges, method).map_err(|error| failed(bench, error))?;
    for tensor in &sample.kept {
        bench.go_on()?;
        shifting.observe(probe, tensor).map_err(|error| failed(bench, error))?;
    }
    Ok(shifting.finish())
}

/// What values there are on held-out pictures.
fn observe(
    bench: &Bench,
    probe: &mut Probe,
    plan: &Plan,
    pictures: &[Picture],
    tensors: &mut Tensors,
) -> Result<Ranges, PrecisionFailure> {
    let mut calibration = Calibration::new(probe, plan.model(), &plan.values()).map_err(|error| failed(bench, error))?;
    for picture in pictures.iter().take(RANKING) {
        bench.go_on()?;
        calibration.observe(probe, tensors.of(picture)).map_err(|error| failed(bench, error))?;
    }
    calibration.finish().map_err(|error| failed(bench, error))
}

/// Values that leave the calibrated ranges in more than one place of a hundred, worst first.
fn beyond(calibrated: &Ranges, seen: &Ranges, method: Method) -> Vec<String> {
    let mut beyond: Vec<(f64, String)> = (seen.iter())
        .filter_map(|(name, histogram)| {
            let limit = calibrated.of(name)?.limit(method);
            let share = histogram.share_beyond(limit);
            let text = format!(
                "`{name}` reaches {:.2} on held-out frames, {:.1} % of its values are beyond the {limit:.2} of the calibration",
                histogram.max(),
                share * 100.0
            );
            (share > CUT_OFF).then_some((share, text))
        })
        .collect();
    beyond.sort_by(|a, b| b.0.total_cmp(&a.0));
    beyond.into_iter().take(3).map(|(_, text)| text).collect()
}

pub(super) fn failed(bench: &Bench, error: CalibrationError<String>) -> PrecisionFailure {
    match error {
        CalibrationError::Run(reason) => PrecisionFailure::Runtime { what: bench.file.display().to_string(), reason },
        error @ CalibrationError::NotFinite { .. } => {
            PrecisionFailure::Calibration { file: bench.file.clone(), reason: error.to_string() }
        }
    }
}
