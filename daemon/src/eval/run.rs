//! From pictures and models to a report.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use egret_models::eval::{
    agreement::{self, Gate, Matching, Prediction},
    coco::{self, Detected, Object},
};

use super::{
    EvalError, Report, Row,
    annotations::{self, Annotations},
    classes::Classes,
    misses::Worst,
    models::{self, Model},
    report::Times,
    samples::{Sample, Source},
};
use crate::{config::RuntimeConfig, infer::View};

/// What to evaluate, and on what.
#[derive(Debug)]
pub struct Options {
    /// ONNX files, directories with a manifest, or `builtin:demo`.
    pub models: Vec<String>,
    /// Files with COCO results, judged beside the models.
    pub results: Vec<PathBuf>,
    /// Judge only pictures that a results file has boxes on.
    pub results_only: bool,
    /// The pictures.
    pub data: Data,
    /// Smallest confidence of a box.
    pub confidence: f32,
    /// IoU of the suppression, per class.
    pub nms: f32,
    /// How many of the worst pictures are kept per row.
    pub pictures: usize,
    /// What runs the models.
    pub runtime: RuntimeConfig,
}

/// Where the pictures come from.
#[derive(Debug)]
pub enum Data {
    /// A folder of JPEG and PNG files.
    Images {
        /// The folder. `None`: results alone are judged.
        folder: Option<PathBuf>,
        /// COCO's `instances.json`.
        annotations: Option<PathBuf>,
        /// Leave out annotated pictures that are not there or cannot be decoded, instead of giving up.
        skip_missing: bool,
    },
    /// A video file.
    Video {
        /// The file.
        file: PathBuf,
        /// Labels, a JSON object a line.
        labels: Option<PathBuf>,
        /// Only every so-manieth picture.
        every: u64,
    },
    /// Streets that egret draws itself.
    #[cfg(feature = "sim")]
    Streets(super::Streets),
}

impl Data {
    fn describe(&self) -> String {
        match self {
            Self::Images { folder: Some(folder), .. } => folder.display().to_string(),
            Self::Images { annotations, .. } => annotations.as_deref().unwrap_or(Path::new("")).display().to_string(),
            Self::Video { file, .. } => file.display().to_string(),
            #[cfg(feature = "sim")]
            Self::Streets(super::Streets { seed, night, rain, .. }) => {
                format!(
                    "streets from seed {seed} {}{}",
                    if *night { "by night" } else { "by day" },
                    if *rain { ", in rain" } else { "" }
                )
            }
        }
    }

    fn place(&self) -> PathBuf {
        self.describe().into()
    }
}

/// Runs all models over all pictures and judges what they found. `progress` hears how many pictures are done, of how many.
///
/// # Errors
/// [`EvalError`] names the file or argument, the reason and the remedy.
pub fn run(options: &Options, progress: &mut dyn FnMut(usize, Option<usize>)) -> Result<Report, EvalError> {
    let mut notes = Vec::new();
    let (annotations, stored) = annotations_and_results(options, &mut notes)?;
    let mut source = Source::open(&options.data, annotations)?;
    if source.categories.is_none() && options.models.len() < 2 {
        let what = "nothing is labelled: give --annotations or --labels, or a second --model to compare with the first";
        return Err(EvalError::Arguments(what));
    }
    let models = models::load(&options.models, options.confidence, options.nms, &options.runtime)?;
    let lists: Vec<(&str, &[String])> =
        models.iter().map(|model| (model.label.as_str(), &model.detector.spec().classes[..])).collect();
    let classes = Classes::unite(source.categories.as_deref(), &lists)?;
    let rows = models.into_iter().enumerate().map(|(i, model)| Run::of_model(model, classes.models[i].clone(), options.pictures));
    let mut rows: Vec<Run> = rows.chain(stored.into_iter().map(|stored| Run::of_results(stored, options.pictures))).collect();
    let (mut objects, mut images) = (Vec::new(), 0);
    while let Some(sample) = source.next()? {
        let first = objects.len();
        objects.extend(truth(&sample, images, &classes));
        look(&sample, images, &objects[first..], source.categories.is_some(), &classes, &mut rows)?;
        images += 1;
        progress(images, source.len);
    }
    if images == 0 {
        return Err(EvalError::Nothing { place: options.data.place(), what: "not one picture to look at; check what was given" });
    }
    let labelled = source.categories.is_some();
    if labelled && objects.iter().all(|object| object.ignore || object.crowd) {
        notes.push("no labelled object is to be found in these pictures: there is no precision to speak of".into());
    }
    notes.append(&mut source.notes);
    let objects = labelled.then_some(objects.as_slice());
    Ok(Report { rows: judge(rows, objects, images, &classes, options)?, ..report(objects, images, classes, notes, options) })
}

/// A results file: its name, and its boxes by the picture's id.
struct Stored {
    label: String,
    boxes: BTreeMap<u64, Vec<annotations::Found>>,
}

fn annotations_and_results(options: &Options, notes: &mut Vec<String>) -> Result<(Option<Annotations>, Vec<Stored>), EvalError> {
    let Data::Images { annotations: Some(file), folder, .. } = &options.data else {
        return if options.results.is_empty() {
            Ok((None, Vec::new()))
        } else {
            Err(EvalError::Arguments("--results are judged by --annotations: give both"))
        };
    };
    if folder.is_none() && options.models.is_empty() && options.results.is_empty() {
        return Err(EvalError::Arguments("nothing to evaluate: give --model with --images, or --results"));
    }
    if folder.is_none() && !options.models.is_empty() {
        return Err(EvalError::Arguments("a model needs pictures: give --images DIR"));
    }
    let mut annotations = Annotations::read(file)?;
    let mut stored = Vec::new();
    for path in &options.results {
        let (found, said) = annotations::results(path, &annotations)?;
        notes.extend(said);
        let mut boxes: BTreeMap<u64, Vec<annotations::Found>> = BTreeMap::new();
        for found in found {
            boxes.entry(found.image).or_default().push(found);
        }
        let label = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        stored.push(Stored { label, boxes });
    }
    if options.results_only {
        annotations.only(&stored.iter().flat_map(|stored| stored.boxes.keys().copied()).collect());
    }
    Ok((Some(annotations), stored))
}

/// The objects of the judged classes in a picture.
fn truth(sample: &Sample, image: usize, classes: &Classes) -> Vec<Object> {
    let object = |labelled: &super::samples::Labelled| {
        let class = *classes.annotated.get(labelled.category)?;
        Some(Object {
            image,
            class: class?,
            bbox: labelled.bbox,
            area: labelled.area,
            crowd: labelled.crowd,
            ignore: labelled.ignore,
        })
    };
    sample.objects.iter().filter_map(object).collect()
}

/// A row on its way.
struct Run {
    what: What,
    found: Vec<Detected>,
    times: Vec<Duration>,
    worst: Worst,
}

enum What {
    /// A model, and where its classes are among the judged ones.
    Model(Model, Vec<Option<usize>>),
    Results(Stored),
}

impl Run {
    fn of_model(model: Model, classes: Vec<Option<usize>>, pictures: usize) -> Self {
        Self { what: What::Model(model, classes), found: Vec::new(), times: Vec::new(), worst: Worst::new(pictures) }
    }

    fn of_results(stored: Stored, pictures: usize) -> Self {
        Self { what: What::Results(stored), found: Vec::new(), times: Vec::new(), worst: Worst::new(pictures) }
    }

    fn label(&self) -> &str {
        match &self.what {
            What::Model(model, _) => &model.label,
            What::Results(stored) => &stored.label,
        }
    }

    /// Boxes of the judged classes in a picture.
    fn detect(&mut self, sample: &Sample, image: usize, classes: &Classes) -> Result<Vec<Detected>, EvalError> {
        match &mut self.what {
            What::Model(model, places) => {
                let Some(frame) = &sample.frame else { return Ok(Vec::new()) };
                let began = Instant::now();
                let output = model.detector.detect(&[View::whole(frame)]);
                self.times.push(began.elapsed());
                let failed = |source| EvalError::Detect { model: model.label.clone(), picture: sample.name.clone(), source };
                let found = output.map_err(failed)?.detections.pop().unwrap_or_default();
                let judged = found.iter().filter_map(|d| {
                    let class = (*places.get(usize::from(d.class))?)?;
                    let [x1, y1, x2, y2] = [d.bbox.x1, d.bbox.y1, d.bbox.x2, d.bbox.y2].map(f64::from);
                    Some(Detected { image, class, bbox: [x1, y1, x2 - x1, y2 - y1], score: f64::from(d.confidence) })
                });
                Ok(judged.collect())
            }
            What::Results(stored) => {
                let found = sample.id.and_then(|id| stored.boxes.remove(&id)).unwrap_or_default();
                let judged = found.iter().filter_map(|found| {
                    let class = (*classes.annotated.get(found.category)?)?;
                    Some(Detected { image, class, bbox: found.bbox, score: found.score })
                });
                Ok(judged.collect())
            }
        }
    }
}

/// Shows one picture to every row.
fn look(
    sample: &Sample,
    image: usize,
    objects: &[Object],
    labelled: bool,
    classes: &Classes,
    rows: &mut [Run],
) -> Result<(), EvalError> {
    // Where nothing is labelled, the first model's sure boxes are what the others miss.
    let mut by = objects.to_vec();
    for (i, row) in rows.iter_mut().enumerate() {
        let found = row.detect(sample, image, classes)?;
        if !labelled && i == 0 {
            let sure = found.iter().filter(|d| d.score >= f64::from(Matching::default().confidence));
            by = sure.map(|d| Object { image, class: d.class, bbox: d.bbox, area: 0.0, crowd: false, ignore: false }).collect();
        } else {
            let said = row.worst.offer(sample, &by, &found);
            said.map_err(|error| EvalError::Picture { name: sample.name.clone(), reason: error.to_string() })?;
        }
        row.found.extend(found);
    }
    Ok(())
}

/// Boxes as the agreement wants them: per picture.
fn per_image(found: &[Detected], images: usize) -> Vec<Vec<Prediction>> {
    let mut frames = vec![Vec::new(); images];
    for detected in found {
        let [x, y, w, h] = detected.bbox;
        let (class, score) = (u16::try_from(detected.class).unwrap_or(u16::MAX), detected.score as f32);
        frames[detected.image].push(Prediction { class, score, bbox: [x, y, x + w, y + h].map(|edge| edge as f32) });
    }
    frames
}

/// How boxes are matched: never below what was asked of the models.
fn matching(confidence: f32) -> Matching {
    let usual = Gate::default().matching();
    Matching { confidence: usual.confidence.max(confidence + usual.slack), ..usual }
}

fn judge(
    rows: Vec<Run>,
    objects: Option<&[Object]>,
    images: usize,
    classes: &Classes,
    options: &Options,
) -> Result<Vec<Row>, EvalError> {
    let count = classes.names.len();
    let reference = rows.first().map(|row| per_image(&row.found, images)).unwrap_or_default();
    let mut judged = Vec::with_capacity(rows.len());
    for (i, run) in rows.into_iter().enumerate() {
        let agreement = if i == 0 {
            None
        } else {
            Some(agreement::compare(&reference, &per_image(&run.found, images), count, &matching(options.confidence))?)
        };
        let (precision, runtime, sha256) = match &run.what {
            What::Model(model, _) => {
                let info = model.detector.spec();
                (info.precision.to_owned(), info.runtime.clone(), info.sha256.clone())
            }
            What::Results(_) => (String::new(), String::new(), String::new()),
        };
        judged.push(Row {
            name: run.label().to_owned(),
            precision,
            runtime,
            sha256,
            boxes: run.found.len(),
            time: Times::of(run.times),
            evaluation: objects.map(|objects| coco::evaluate(count, objects, &run.found)),
            verdict: agreement.as_ref().map(|agreement| Gate::default().judge(agreement)),
            agreement,
            misses: run.worst.into_misses(),
        });
    }
    Ok(judged)
}

fn report(objects: Option<&[Object]>, images: usize, classes: Classes, notes: Vec<String>, options: &Options) -> Report {
    let all = objects.unwrap_or_default();
    let mut objects_per_class = vec![0; classes.names.len()];
    for object in all {
        objects_per_class[object.class] += 1;
    }
    Report {
        data: options.data.describe(),
        images,
        objects: objects.map(<[Object]>::len),
        unjudged: all.iter().filter(|object| object.ignore || object.crowd).count(),
        classes: classes.names,
        objects_per_class,
        left_out: classes.left_out,
        notes,
        confidence: options.confidence,
        nms: options.nms,
        rows: Vec::new(),
    }
}
