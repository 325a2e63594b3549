//! A float network and pictures in, an INT8 file that agrees with it out.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
};

use egret_models::{
    eval::agreement::Gate,
    manifest::PrecisionKind,
    precision::{Calibration, CalibrationError, Method, Plan, QdqOptions, Ranges, Searched},
    spec::BatchAxis,
};

use super::{
    PrecisionFailure,
    bench::{self, Bench, Tensors},
    frames::{self, Content, From, Picture, Pictures},
    judge::{Exam, RANKING, Trials, density},
    output::{self, Record},
    report::Outcome,
};
use crate::{config::RuntimeConfig, infer::Probe};

/// Calibration frames that the float network looks at, to see whether they show anything.
const GLANCES: usize = 64;
/// Fewer frames say nothing about ranges, or about agreement.
const FEWEST: usize = 8;
/// Held-out pictures are in memory all at once.
const MAX_HELD_OUT: usize = 200;
const MAX_HELD_OUT_BYTES: usize = 1 << 30;
/// A calibration set in which the float network sees less than this share of what it sees in the held-out one is no likeness of it.
const LIKENESS: f64 = 0.1;

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
    /// Where held-out pictures come from; `None`: a quarter of `from`, chosen by content.
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
}

/// Pictures that were told apart.
pub(super) struct Held {
    pub(super) pictures: Vec<Picture>,
    contents: HashSet<Content>,
    bytes: usize,
}

impl Held {
    /// Those of a source of their own.
    pub(super) fn of(from: Option<&From>) -> Result<Self, PrecisionFailure> {
        let mut held = Self { pictures: Vec::new(), contents: HashSet::new(), bytes: 0 };
        if let Some(from) = from {
            let mut pictures = Pictures::open(from, MAX_HELD_OUT)?;
            while let Some(picture) = pictures.next()? {
                if !held.take(picture) {
                    break;
                }
            }
            held.enough(from)?;
        }
        Ok(held)
    }

    fn enough(&self, from: &From) -> Result<(), PrecisionFailure> {
        enough(from, self.pictures.len(), "held-out frames", "give more pictures, or others with --holdout")
    }

    /// Keeps a picture while there is room.
    fn take(&mut self, picture: Picture) -> bool {
        let (width, height) = picture.frame.pixels.size();
        self.bytes += width as usize * height as usize * 3 / 2;
        if self.pictures.len() == MAX_HELD_OUT || self.bytes > MAX_HELD_OUT_BYTES {
            return false;
        }
        self.contents.insert(picture.content);
        self.pictures.push(picture);
        true
    }
}

/// Pictures for calibration, as they were told apart from the held-out ones.
pub(super) struct Gathered {
    pub(super) contents: Vec<Content>,
    /// Some of them, to rank layers by.
    ranking: Vec<Picture>,
    /// Pictures that were both in the source and among the held-out ones of another source, and so were left out.
    pub(super) shared: usize,
    pub(super) repeated: usize,
}

/// Goes through a source: held-out pictures are kept, the others shown to `each`.
pub(super) fn gather(
    from: &From,
    frames: usize,
    split: bool,
    held: &mut Held,
    mut each: impl FnMut(&Picture) -> Result<(), PrecisionFailure>,
) -> Result<Gathered, PrecisionFailure> {
    let mut pictures = Pictures::open(from, if split { frames + frames / 3 } else { frames })?;
    let mut gathered = Gathered { contents: Vec::new(), ranking: Vec::new(), shared: 0, repeated: 0 };
    while gathered.contents.len() < frames {
        let Some(picture) = pictures.next()? else { break };
        // By content: whatever comes twice, or under two names, falls on one side.
        if split && picture.content[0] < 64 {
            held.take(picture);
        } else if held.contents.contains(&picture.content) {
            gathered.shared += 1;
        } else {
            each(&picture)?;
            gathered.contents.push(picture.content);
            if gathered.ranking.len() < RANKING {
                gathered.ranking.push(picture);
            }
        }
    }
    gathered.repeated = pictures.repeated;
    enough(from, gathered.contents.len(), "calibration frames", "give more pictures: 100 to 500 of the site itself")?;
    held.enough(from)?;
    Ok(gathered)
}

fn enough(from: &From, count: usize, what: &'static str, remedy: &'static str) -> Result<(), PrecisionFailure> {
    if count >= FEWEST {
        return Ok(());
    }
    let of = match from {
        From::Folder(_) => "JPEG and PNG files of this folder, not of folders in it",
        From::Video { .. } => "pictures of this video, one every --every",
        #[cfg(feature = "sim")]
        From::Streets { .. } => "pictures of these drawn streets",
    };
    Err(PrecisionFailure::TooFew { place: from.place(), of, count, what, needed: FEWEST, remedy })
}

/// Quantizes a network, or says why not. `progress` is told what is being done.
///
/// # Errors
/// [`PrecisionFailure`]: it could not be tried. That it was tried and refused is an [`Outcome`].
pub fn quantize(options: &QuantizeOptions, progress: &mut dyn FnMut(&str)) -> Result<Outcome, PrecisionFailure> {
    let bench = Bench::open(&options.model, &options.runtime)?;
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
    let gathered = gather(&options.from, options.frames, options.holdout.is_none(), &mut held, |picture| {
        if glances.len() < GLANCES {
            glances.push(bench::seen(glancer.as_mut(), picture)?);
        }
        calibration.observe(&mut probe, tensors.of(picture)).map_err(|error| failed(&bench, error))
    })?;
    let ranges = calibration.finish().map_err(|error| failed(&bench, error))?;
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
            exam: &exam,
            // Where the calibration set shows nothing, no layer loses anything on it.
            ranking: if unlike { &exam } else { &ranking },
            progress,
            ranked: 0,
        },
    );
    let searched = Searched::run(&mut trials, &layers, most)?;
    let (mut model, report) = plan.quantize(&ranges, method, &searched.float.iter().cloned().collect());
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
    outcome.kept = report.kept;
    if !report.equalized.is_empty() {
        outcome
            .notes
            .push(format!("the input channels of {} depthwise layers are brought to one range first", report.equalized.len()));
    }
    outcome.shared = gathered.shared;
    outcome.repeated = gathered.repeated;
    outcome.reasons = reasons;
    outcome.time(&mut probe, &float, &model.write(), tensors.of(&exam.pictures()[0]))?;
    if outcome.reasons.is_empty() {
        outcome.written = Some(output::write(&bench, &mut model, &outcome.record, &options.out)?);
    }
    Ok(outcome)
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
