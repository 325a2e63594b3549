//! A float network in, a strongly typed FP16 file out.

use std::path::PathBuf;

use egret_models::{
    eval::agreement::Gate,
    manifest::PrecisionKind,
    precision::{Calibration, Fp16Options, Ranges, convert, float_values, prepare},
};
use tokio_util::sync::CancellationToken;

use super::{
    PrecisionFailure,
    bench::Bench,
    frames::{self, From},
    gather::{Gathering, Held, enough},
    judge::Exam,
    output::{self, Record},
    quantize::failed,
    report::Outcome,
};
use crate::config::RuntimeConfig;

/// What to do.
#[derive(Clone, Debug)]
pub struct FpOptions {
    /// The float network.
    pub model: PathBuf,
    /// Nodes that stay in FP32, and what becomes of the inputs and outputs.
    pub fp16: Fp16Options,
    /// Where pictures come from on which values in between are observed, and the gate is asked; `None`: only weights are looked at.
    pub from: Option<From>,
    /// Most pictures that values are observed on.
    pub frames: usize,
    /// Where held-out pictures come from; `None`: one of four of `from`, chosen by content.
    pub holdout: Option<From>,
    /// What must hold.
    pub gate: Gate,
    /// The file to write.
    pub out: PathBuf,
    /// What runs networks.
    pub runtime: RuntimeConfig,
    /// Cancelled: nothing is written any more.
    pub stop: CancellationToken,
}

/// What was observed on pictures.
struct Observed {
    ranges: Ranges,
    exam: Exam,
    digest: String,
    frames: usize,
    shared: usize,
    repeated: usize,
}

/// Converts a network, or says why not. `progress` is told what is being done.
///
/// # Errors
/// [`PrecisionFailure`]: it could not be tried. That it was tried and refused is an [`Outcome`].
pub fn fp16(options: &FpOptions, progress: &mut dyn FnMut(&str)) -> Result<Outcome, PrecisionFailure> {
    let gathering = |from| Gathering { from, frames: options.frames, split: options.holdout.is_none() };
    let gathering = options.from.as_ref().map(gathering);
    if gathering.is_some() {
        enough(options.from.as_ref(), options.holdout.as_ref(), options.frames)?;
    }
    let bench = Bench::open(&options.model, &options.runtime, &options.stop)?;
    let graph = |source| PrecisionFailure::Graph { file: options.model.clone(), source };
    let mut model = bench.model.clone();
    let float = model.write();
    let observed = gathering.map(|gathering| observe(&bench, &float, gathering, options, progress)).transpose()?;
    let report = convert(&mut model, &options.fp16, observed.as_ref().map(|o| &o.ranges)).map_err(graph)?;
    let half = model.write();
    // An input of halves is fed by nobody here but the gate's detector, which the daemon's own loader makes.
    let judged = match &observed {
        Some(observed) if !options.fp16.half_io => Some(observed.exam.judge(&bench, &half)?),
        _ => None,
    };
    let record = Record {
        half_input: options.fp16.half_io,
        kind: PrecisionKind::Fp16,
        method: None,
        calibration: observed.as_ref().map(|o| (o.digest.clone(), o.frames as u64)),
        float_nodes: report.kept.iter().map(|kept| kept.node.clone()).collect(),
        judged,
        gate: options.gate,
    };
    let (frames, held_out) = observed.as_ref().map_or((0, 0), |o| (o.frames, o.exam.pictures().len()));
    let mut outcome = Outcome::new(&bench, record, frames, held_out);
    (outcome.shared, outcome.repeated) = observed.as_ref().map_or((0, 0), |o| (o.shared, o.repeated));
    outcome.notes.push(format!(
        "{} nodes compute in FP16, {} stay in FP32, {} casts; {} constants halved with a maximum error of {:.3e}, {} values became zero",
        report.half,
        report.kept.len(),
        report.casts,
        report.weights,
        report.max_error,
        report.flushed
    ));
    if observed.is_none() {
        outcome.notes.push(
            "values in between were not looked at: give pictures with --from to have those beyond 65504 kept in FP32".into(),
        );
    }
    if options.fp16.half_io && observed.is_some() {
        outcome.notes.push("its inputs and outputs are halves, which the accuracy gate does not read: not judged".into());
    }
    outcome.kept = report.kept.iter().map(|kept| (format!("{} ({})", kept.node, kept.op), kept.reason.clone())).collect();
    outcome.reasons = outcome.judged().map(|j| j.verdict.failures.iter().map(ToString::to_string).collect()).unwrap_or_default();
    if let (Some(observed), false) = (&observed, options.fp16.half_io) {
        let mut tensors = bench.letterbox();
        outcome.time(&mut bench.probe()?, &float, &half, tensors.of(&observed.exam.pictures()[0]))?;
    }
    if outcome.reasons.is_empty() {
        outcome.written = Some(output::write(&bench, &mut model, &outcome.record, &options.out)?);
    }
    Ok(outcome)
}

fn observe(
    bench: &Bench,
    float: &[u8],
    gathering: Gathering<'_>,
    options: &FpOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<Observed, PrecisionFailure> {
    bench.require_detector()?;
    let graph = |source| PrecisionFailure::Graph { file: options.model.clone(), source };
    let mut prepared = bench.model.clone();
    prepare(&mut prepared);
    let values = float_values(&prepared).map_err(graph)?;
    let mut probe = bench.probe()?;
    progress(&format!("{}: {} values to observe, {}", options.model.display(), values.len(), probe.name()));
    let mut held = Held::of(options.holdout.as_ref())?;
    let mut tensors = bench.letterbox();
    let mut calibration = Calibration::new(&mut probe, &prepared, &values).map_err(|error| failed(bench, error))?;
    let gathered = gathering.run(&mut held, progress, |picture| {
        bench.go_on()?;
        calibration.observe(&mut probe, tensors.of(picture)).map_err(|error| failed(bench, error))
    })?;
    let ranges = calibration.finish().map_err(|error| failed(bench, error))?;
    progress(&format!("{} frames observed, {} held out", gathered.contents.len(), held.pictures.len()));
    let mut contents = gathered.contents;
    Ok(Observed {
        ranges,
        exam: Exam::new(bench, float, held.pictures, options.gate)?,
        digest: frames::digest(&mut contents),
        frames: contents.len(),
        shared: gathered.shared,
        repeated: gathered.repeated,
    })
}
