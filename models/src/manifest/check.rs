//! From the text of a manifest to a checked one.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use toml::{Table, Value};

use super::{Card, Digest, Manifest, Precision, Problem, section::Section};
use crate::{
    head::{Head, HeadError, HeadSpec},
    spec::{
        BatchAxis, COCO_80, ChannelOrder, ConstantInput, ElementKind, Fit, InputSpec, Layout, ModelSpec, NmsSpec, Place,
        TaskSpec, coco_91,
    },
    text,
};

/// Longest manifest, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 4 << 20;
/// Largest side of an input picture.
const MAX_SIDE: usize = 8192;
/// Largest fixed batch.
const MAX_BATCH: usize = 1024;
/// Longest clip.
const MAX_FRAMES: usize = 256;
/// Longest row of a further input.
const MAX_CONSTANT: usize = 64;
/// Most classes: ImageNet-21k has 21 841.
const MAX_CLASSES: usize = 32_768;
/// Longest embedding.
const MAX_EMBEDDING: usize = 65_536;
/// Most candidates and detections.
const MAX_BOXES: usize = 100_000;

/// Reads and checks a manifest.
///
/// # Errors
/// Every problem at once.
pub(super) fn parse(text: &str) -> Result<Manifest, Vec<Problem>> {
    if text.len() > MAX_MANIFEST_BYTES {
        let reason = format!("the manifest has {} bytes, more than {MAX_MANIFEST_BYTES}", text.len());
        return Err(vec![Problem::missing("", reason, "write class names once, and weights into the ONNX file")]);
    }
    let mut file: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let reason = format!("line {line} is no TOML: {}", error.message());
        vec![Problem::missing("", reason, "correct that line (toml.io describes the format)")]
    })?;
    let problems = &mut Vec::new();
    let input = input(Section::of(&mut file, "input", problems), problems);
    let outputs = outputs(Section::of(&mut file, "output", problems), problems);
    let classes = classes(Section::of(&mut file, "classes", problems), problems);
    let thresholds = thresholds(Section::of(&mut file, "thresholds", problems), &classes, problems);
    let head = file.remove("head");
    let task = task(Section::of(&mut file, "task", problems), head, input.as_ref(), thresholds.nms, problems);
    let precision = precision(file.remove("precision"), problems);
    let card = card(Section::top(file), problems);
    match (&task, classes.is_empty()) {
        (Some(TaskSpec::Embed { .. }), false) => {
            problems.push(Problem::missing("classes", "an embedding has no classes", "remove [classes]"));
        }
        (Some(TaskSpec::Embed { .. }) | None, _) | (_, false) => {}
        (Some(_), true) => problems.push(Problem::missing(
            "classes",
            "the classes have no names",
            "write [classes] with names = [\"person\", …] in the order of the outputs, or preset = \"coco-80\"",
        )),
    }
    match (&input, &task) {
        (Some(Input { spec: input, .. }), Some(TaskSpec::Detect { head, .. })) if problems.is_empty() => {
            // No outputs are known yet: only what contradicts itself is told.
            if let Err(HeadError::Spec { kind, reason }) = Head::new(head, input, &[], classes.len()) {
                problems.push(Problem::new("head.kind", kind, reason, "correct the keys below [head], or the input's size"));
            }
        }
        _ => {}
    }
    match (input, task) {
        (Some(Input { spec: input, multiple, constants }), Some(task)) if problems.is_empty() => {
            let Thresholds { confidence, class_confidence, .. } = thresholds;
            let spec = ModelSpec { input, constants, outputs, task, classes, confidence, class_confidence };
            Ok(Manifest { card, spec, multiple, precision })
        }
        _ => Err(std::mem::take(problems)),
    }
}

fn card(mut top: Section, problems: &mut Vec<Problem>) -> Card {
    let mut text = |key: &'static str| top.take::<String>(key, problems);
    let (name, file, sha256, url) = (text("name"), text("file"), text("sha256"), text("url"));
    let (description, source, license) = (text("description"), text("source"), text("license"));
    let (license_note, export) = (text("license_note"), text("export"));
    let name = name.filter(|name| {
        let plain = is_name(name);
        if !plain {
            let remedy = "use letters, digits, `-`, `_` and `.`, at most 64, a letter or digit first";
            problems.push(Problem::new("name", name, "it is no name for a model", remedy));
        }
        plain
    });
    let file = file.filter(|file| {
        let plain = is_name(file);
        if !plain {
            let remedy = "write the name of a file beside the manifest, without a path";
            problems.push(Problem::new("file", file, "it is no plain file name", remedy));
        }
        plain
    });
    let sha256 = sha256.and_then(|text| {
        let digest = Digest::parse(&text);
        if digest.is_none() {
            let remedy = "write the 64 digits that `sha256sum` prints, or \"unknown\"";
            problems.push(Problem::new("sha256", text, "it is no SHA-256", remedy));
        }
        digest
    });
    if let Some(url) = url.as_deref().filter(|url| !["https://", "http://"].iter().any(|scheme| url.starts_with(scheme))) {
        problems.push(Problem::new("url", url, "it is no address that can be pulled from", "write an https:// address"));
    }
    for (key, text) in [
        ("description", &description),
        ("source", &source),
        ("license", &license),
        ("license_note", &license_note),
        ("export", &export),
        ("url", &url),
    ] {
        if let Some(text) = text.as_deref().filter(|text| !text::is_plain(&text.replace(['\n', '\t'], ""))) {
            problems.push(Problem::new(key, text, "it holds control characters", "remove them"));
        }
    }
    top.finish(problems);
    let file = file.or_else(|| name.as_ref().map(|name| format!("{name}.onnx"))).unwrap_or_default();
    let name = name.unwrap_or_else(|| file.trim_end_matches(".onnx").to_owned());
    if name.is_empty() {
        problems.push(Problem::missing("name", "the model has no name", "write name = \"…\""));
    }
    Card { name, file, sha256: sha256.unwrap_or_default(), url, description, source, license, license_note, export }
}

/// Whether a text can name a model or a file in a store.
pub fn is_name(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    starts && text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Batch {
    Fixed(usize),
    Word(String),
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FitWord {
    Letterbox,
    Stretch,
    CentreCrop,
}

/// The input tensor and what goes with it.
struct Input {
    spec: InputSpec,
    /// What width and height must be multiples of.
    multiple: usize,
    constants: Vec<ConstantInput>,
}

fn input(mut section: Section, problems: &mut Vec<Problem>) -> Option<Input> {
    if section.is_empty() {
        let remedy = "write [input] with name, width and height; `egret model inspect` writes it from the graph";
        problems.push(Problem::missing("input", "nothing says what the network expects", remedy));
        return None;
    }
    let name = section.take::<String>("name", problems);
    if name.as_deref().is_none_or(str::is_empty) {
        problems.push(Problem::missing("input.name", "the input has no name", "write the input's name in the graph"));
    }
    let layout: Layout = section.take("layout", problems).unwrap_or_default();
    let element: ElementKind = section.take("element", problems).unwrap_or_default();
    let batch = batch(&mut section, problems);
    let width = side(&mut section, "width", problems);
    let height = side(&mut section, "height", problems);
    let multiple = section.take("multiple", problems).unwrap_or(1);
    for (key, side) in [("input.width", width), ("input.height", height)] {
        if let Some(side) = side
            && (multiple == 0 || side % multiple != 0)
        {
            let remedy = "take the nearest multiple, or correct `multiple`";
            problems.push(Problem::new(key, side, format!("it is no multiple of {multiple}"), remedy));
        }
    }
    let order: ChannelOrder = section.take("order", problems).unwrap_or(ChannelOrder::Rgb);
    let scale = section.take("scale", problems).unwrap_or(1.0_f32);
    let mean = section.take("mean", problems).unwrap_or([0.0_f32; 3]);
    let std = section.take("std", problems).unwrap_or([1.0_f32; 3]);
    if !(scale.is_finite() && scale > 0.0) {
        problems.push(Problem::new(
            "input.scale",
            scale,
            "it is no positive number",
            "write 1.0, or 0.00392156862745098 for 1/255",
        ));
    }
    if !mean.iter().all(|v| v.is_finite()) {
        problems.push(Problem::new("input.mean", format!("{mean:?}"), "it is not finite", "write one number for each colour"));
    }
    if !std.iter().all(|v| v.is_finite() && *v > 0.0) {
        problems.push(Problem::new("input.std", format!("{std:?}"), "not all are positive", "write what samples are divided by"));
    }
    let fit = fit(&mut section, problems);
    let pad = section.take("pad", problems).unwrap_or(114_u8);
    let clip = section.take::<usize>("clip", problems);
    if let Some(frames) = clip.filter(|frames| !(1..=MAX_FRAMES).contains(frames)) {
        problems.push(Problem::new("input.clip", frames, format!("it is not in 1..{MAX_FRAMES}"), "write T of [N,3,T,H,W]"));
    }
    let constants: Vec<ConstantInput> = section.take("constant", problems).unwrap_or_default();
    if let Some(constant) = constants.iter().find(|c| c.values.is_empty() || c.values.len() > MAX_CONSTANT) {
        let value = format!("{} values", constant.values.len());
        let remedy = "write a picture's row, e.g. values = [640, 640]";
        problems.push(Problem::new("input.constant.values", value, format!("it is not 1..{MAX_CONSTANT} numbers"), remedy));
    }
    section.finish(problems);
    let name = name?;
    let (width, height) = (width?, height?);
    let input = InputSpec { name, batch, layout, element, width, height, order, scale, mean, std, fit, pad, clip };
    if element == ElementKind::U8 && !input.is_plain() {
        let remedy = "leave them out: a network of bytes scales its input itself";
        problems.push(Problem::new("input.element", "u8", "bytes cannot have a scale, a mean or a standard deviation", remedy));
    }
    Some(Input { spec: input, multiple, constants })
}

fn batch(section: &mut Section, problems: &mut Vec<Problem>) -> BatchAxis {
    let remedy = format!("write 1 to {MAX_BATCH}, or \"dynamic\"");
    match section.take("batch", problems) {
        None => BatchAxis::Dynamic,
        Some(Batch::Fixed(n)) if (1..=MAX_BATCH).contains(&n) => BatchAxis::Fixed(n),
        Some(Batch::Word(word)) if word == "dynamic" => BatchAxis::Dynamic,
        Some(Batch::Fixed(n)) => {
            problems.push(Problem::new("input.batch", n, "an impossible batch", remedy));
            BatchAxis::Dynamic
        }
        Some(Batch::Word(word)) => {
            problems.push(Problem::new("input.batch", word, "it is neither a number nor \"dynamic\"", remedy));
            BatchAxis::Dynamic
        }
    }
}

fn side(section: &mut Section, key: &'static str, problems: &mut Vec<Problem>) -> Option<usize> {
    let before = problems.len();
    let path = section.key(key);
    match section.take::<usize>(key, problems) {
        Some(side) if (1..=MAX_SIDE).contains(&side) => Some(side),
        Some(side) => {
            let remedy = "write the input's size in pixels";
            problems.push(Problem::new(path, side, format!("it is not in 1..{MAX_SIDE}"), remedy));
            None
        }
        None => {
            if problems.len() == before {
                let remedy = "write the size that the network runs at, in pixels";
                problems.push(Problem::missing(path, "it is missing", remedy));
            }
            None
        }
    }
}

fn fit(section: &mut Section, problems: &mut Vec<Problem>) -> Fit {
    let word = section.take("fit", problems).unwrap_or(FitWord::Letterbox);
    let place: Option<Place> = section.take("place", problems);
    let fraction: Option<f32> = section.take("crop", problems);
    if place.is_some() && word != FitWord::Letterbox {
        problems.push(Problem::missing(
            "input.place",
            "only a letterboxed picture has a place",
            "remove it, or set fit = \"letterbox\"",
        ));
    }
    if let Some(fraction) = fraction {
        if word != FitWord::CentreCrop {
            let remedy = "remove it, or set fit = \"centre-crop\"";
            problems.push(Problem::new("input.crop", fraction, "nothing is cut out of the picture", remedy));
        } else if !(fraction > 0.0 && fraction <= 1.0) {
            let remedy = "write the side of the cut over the side after scaling: 0.875 for 224 of 256";
            problems.push(Problem::new("input.crop", fraction, "it is not above 0 and up to 1", remedy));
        }
    }
    match word {
        FitWord::Letterbox => Fit::Letterbox(place.unwrap_or_default()),
        FitWord::Stretch => Fit::Stretch,
        FitWord::CentreCrop => Fit::CentreCrop { fraction: fraction.unwrap_or(1.0) },
    }
}

fn outputs(mut section: Section, problems: &mut Vec<Problem>) -> Vec<String> {
    let names: Vec<String> = section.take("names", problems).unwrap_or_default();
    let unique: BTreeSet<&String> = names.iter().collect();
    if names.is_empty() {
        let remedy = "write [output] with names = [\"…\"], in the order in which docs/models.md lists them for the head";
        problems.push(Problem::missing("output.names", "no output is named", remedy));
    } else if unique.len() < names.len() || unique.iter().any(|name| name.is_empty()) {
        let value = format!("{names:?}");
        problems.push(Problem::new("output.names", value, "a name is empty or occurs twice", "name each output once"));
    }
    section.finish(problems);
    names
}

fn classes(mut section: Section, problems: &mut Vec<Problem>) -> Vec<String> {
    let names: Option<Vec<String>> = section.take("names", problems);
    let preset: Option<String> = section.take("preset", problems);
    let count: Option<usize> = section.take("count", problems);
    section.finish(problems);
    let names = match (names, preset, count) {
        (None, None, None) => return Vec::new(),
        (Some(names), None, None) => names,
        (None, Some(preset), None) => match preset.as_str() {
            "coco-80" => COCO_80.iter().map(ToString::to_string).collect(),
            "coco-91" => coco_91(),
            _ => {
                let remedy = "write \"coco-80\" or \"coco-91\", or the names themselves";
                problems.push(Problem::new("classes.preset", preset, "there is no such list", remedy));
                return Vec::new();
            }
        },
        (None, None, Some(count)) if (1..=MAX_CLASSES).contains(&count) => (0..count).map(|i| format!("class_{i}")).collect(),
        (None, None, Some(count)) => {
            let remedy = format!("write 1 to {MAX_CLASSES}");
            problems.push(Problem::new("classes.count", count, "an impossible number of classes", remedy));
            return Vec::new();
        }
        _ => {
            problems.push(Problem::missing("classes", "the classes are given twice", "keep one of names, preset and count"));
            return Vec::new();
        }
    };
    let mut seen = BTreeSet::new();
    if let Some(name) = names.iter().find(|name| name.trim().is_empty() || !seen.insert(name.as_str())) {
        let reason = "a class name is empty or occurs twice";
        problems.push(Problem::new("classes.names", format!("{name:?}"), reason, "give each class a name of its own"));
    }
    if let Some(name) = names.iter().find(|name| !text::is_plain(name)) {
        problems.push(Problem::new("classes.names", name, "it holds control characters", "write the name without them"));
    }
    if names.is_empty() || names.len() > MAX_CLASSES {
        let remedy = format!("write 1 to {MAX_CLASSES} names");
        problems.push(Problem::new("classes.names", format!("{} names", names.len()), "an impossible number of classes", remedy));
    }
    names
}

struct Thresholds {
    confidence: f32,
    class_confidence: BTreeMap<String, f32>,
    nms: NmsSpec,
}

fn thresholds(mut section: Section, classes: &[String], problems: &mut Vec<Problem>) -> Thresholds {
    let usual = NmsSpec::default();
    let confidence = section.take("confidence", problems).unwrap_or(0.25);
    let class_confidence: BTreeMap<String, f32> = section.take("classes", problems).unwrap_or_default();
    let iou = section.take("iou", problems).unwrap_or(usual.iou);
    let class_agnostic = section.take("class_agnostic", problems).unwrap_or(usual.class_agnostic);
    let candidates = section.take("candidates", problems).unwrap_or(usual.candidates);
    let detections = section.take("detections", problems).unwrap_or(usual.detections);
    section.finish(problems);
    let scores = class_confidence.iter().map(|(name, score)| (format!("thresholds.classes.{name}"), *score));
    let scores: Vec<_> =
        scores.chain([("thresholds.confidence".to_owned(), confidence), ("thresholds.iou".to_owned(), iou)]).collect();
    for (key, score) in scores {
        if !(0.0..=1.0).contains(&score) {
            problems.push(Problem::new(key, score, "it is not in 0..1", "write a number from 0 to 1"));
        }
    }
    for name in class_confidence.keys().filter(|name| !classes.contains(name)) {
        let key = format!("thresholds.classes.{name}");
        problems.push(Problem::missing(key, "no class has that name", "write it as in [classes]"));
    }
    for (key, count) in [("thresholds.candidates", candidates), ("thresholds.detections", detections)] {
        if !(1..=MAX_BOXES).contains(&count) {
            problems.push(Problem::new(key, count, format!("it is not in 1..{MAX_BOXES}"), "write how many boxes are kept"));
        }
    }
    Thresholds { confidence, class_confidence, nms: NmsSpec { iou, class_agnostic, candidates, detections } }
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TaskWord {
    Detect,
    Classify,
    Embed,
    Semantic,
    Clip,
}

fn task(
    mut section: Section,
    head: Option<Value>,
    input: Option<&Input>,
    nms: NmsSpec,
    problems: &mut Vec<Problem>,
) -> Option<TaskSpec> {
    let before = problems.len();
    let word = section.take::<TaskWord>("kind", problems);
    if word.is_none() && problems.len() == before && head.is_none() {
        let remedy = "write [task] with kind = \"detect\", \"classify\", \"embed\", \"semantic\" or \"clip\"";
        problems.push(Problem::missing("task.kind", "nothing says what the network is for", remedy));
    }
    let softmax = section.take::<bool>("softmax", problems);
    let len = section.take::<usize>("len", problems);
    section.finish(problems);
    // A head alone says that boxes come out.
    let word = word.or_else(|| (head.is_some() && problems.len() == before).then_some(TaskWord::Detect))?;
    if softmax.is_some() && !matches!(word, TaskWord::Classify | TaskWord::Clip) {
        problems.push(Problem::missing("task.softmax", "only classifications have it", "remove it"));
    }
    if len.is_some() && word != TaskWord::Embed {
        problems.push(Problem::missing("task.len", "only embeddings have it", "remove it"));
    }
    if head.is_some() && word != TaskWord::Detect {
        problems.push(Problem::missing("head", "only a detector has one", "remove [head], or set task.kind = \"detect\""));
    }
    let clip = input.and_then(|input| input.spec.clip);
    if clip.is_some() != (word == TaskWord::Clip) && input.is_some() {
        let remedy = "set input.clip = T for clips `[N,3,T,H,W]` with task.kind = \"clip\", and for nothing else";
        problems.push(Problem::missing("input.clip", "it does not go with the task", remedy));
    }
    Some(match word {
        TaskWord::Detect => TaskSpec::Detect { head: read_head(head, problems)?, nms },
        TaskWord::Classify => TaskSpec::Classify { softmax: softmax.unwrap_or(true) },
        TaskWord::Embed => {
            let Some(len) = len.filter(|len| (1..=MAX_EMBEDDING).contains(len)) else {
                let value = len.map_or("(missing)".to_owned(), |len| len.to_string());
                let remedy = format!("write the length of the vector, 1 to {MAX_EMBEDDING}");
                problems.push(Problem::new("task.len", value, "an embedding has a length", remedy));
                return None;
            };
            TaskSpec::Embed { len }
        }
        TaskWord::Semantic => TaskSpec::Semantic,
        TaskWord::Clip => TaskSpec::Clip { frames: clip?, softmax: softmax.unwrap_or(true) },
    })
}

fn read_head(head: Option<Value>, problems: &mut Vec<Problem>) -> Option<HeadSpec> {
    let remedy = "write [head] with kind = \"yolox\" or another one of docs/models.md, and its keys";
    let Some(head) = head else {
        problems.push(Problem::missing("head", "nothing says what the outputs mean", remedy));
        return None;
    };
    match head.clone().try_into() {
        Ok(head) => Some(head),
        Err(error) => {
            let reason = error.to_string().trim().replace('\n', " ");
            problems.push(Problem::new("head", head, reason, remedy));
            None
        }
    }
}

fn precision(value: Option<Value>, problems: &mut Vec<Problem>) -> Option<Precision> {
    let value = value?;
    match value.clone().try_into() {
        Ok(precision) => Some(precision),
        Err(error) => {
            let reason = error.to_string().trim().replace('\n', " ");
            problems.push(Problem::new("precision", value, reason, "leave it as `egret model quantize` or `fp16` wrote it"));
            None
        }
    }
}
