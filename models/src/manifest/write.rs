//! A manifest as TOML that a person reads.

use std::fmt::{Display, Write as _};

use toml::Value;

use super::{Assumption, Manifest};
use crate::{
    spec::{BatchAxis, COCO_80, ElementKind, Fit, Layout, Place, TaskSpec, coco_91},
    text,
};

/// Width of the text that comments are wrapped to.
const COLUMNS: usize = 118;

/// The text of a manifest; what was assumed stands above the keys that it is about.
pub(super) fn manifest(manifest: &Manifest, assumed: &[Assumption]) -> String {
    let mut page = Page { text: String::new(), assumed };
    page.line(format_args!("# Manifest of an egret model: docs/models.md explains every key."));
    card(&mut page, manifest);
    input(&mut page, manifest);
    page.section("output", "Outputs that are read, in the order in which the head or the task wants them.");
    page.value("output.names", "names", &strings(&manifest.spec.outputs));
    task(&mut page, manifest);
    classes(&mut page, &manifest.spec.classes);
    thresholds(&mut page, manifest);
    if let Some(precision) = &manifest.precision {
        let table = toml::to_string(&Precisions { precision }).unwrap_or_default();
        page.line(format_args!(
            "\n# How this file was made from the float one. Written by the precision tools.\n{}",
            table.trim_end()
        ));
    }
    page.text
}

#[derive(serde::Serialize)]
struct Precisions<'a> {
    precision: &'a super::Precision,
}

#[derive(serde::Serialize)]
struct Heads<'a> {
    head: &'a crate::head::HeadSpec,
}

struct Page<'a> {
    text: String,
    assumed: &'a [Assumption],
}

impl Page<'_> {
    fn line(&mut self, line: impl Display) {
        let _infallible = writeln!(self.text, "{line}");
    }

    fn section(&mut self, name: &str, comment: &str) {
        self.line(format_args!("\n# {comment}\n[{name}]"));
    }

    /// A key with its comments: what was assumed of it, and how to check that.
    fn value(&mut self, path: &str, key: &str, value: &Value) {
        for assumption in self.assumed.iter().filter(|assumption| assumption.key == path) {
            for line in wrapped(&format!("ASSUMED: {}. CHECK: {}.", assumption.what, assumption.check), COLUMNS) {
                let _infallible = writeln!(self.text, "# {line}");
            }
        }
        self.line(format_args!("{key} = {}", literal(value)));
    }

    fn text(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.value(key, key, &Value::from(text));
        }
    }
}

/// A value as TOML writes it, but for texts that would do something in a terminal: TOML lets some of those through as they are.
fn literal(value: &Value) -> String {
    match value {
        Value::String(text) if !text::is_plain(text) => {
            let escaped = text.chars().map(|c| match c {
                '"' | '\\' => format!("\\{c}"),
                c if text::is_plain(c.encode_utf8(&mut [0; 4])) => c.to_string(),
                c => format!("\\U{:08X}", u32::from(c)),
            });
            format!("\"{}\"", escaped.collect::<String>())
        }
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + 1 + word.len() > columns {
            lines.push(word.to_owned());
        } else {
            let line = &mut lines[last];
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

fn strings(list: &[String]) -> Value {
    Value::from(list.iter().map(|item| Value::from(item.as_str())).collect::<Vec<_>>())
}

/// A 32-bit number as its shortest decimal, not as the 64-bit number nearest to it.
fn float(value: f32) -> Value {
    Value::Float(value.to_string().parse().unwrap_or_else(|_| f64::from(value)))
}

fn floats(values: &[f32]) -> Value {
    Value::from(values.iter().map(|value| float(*value)).collect::<Vec<_>>())
}

fn number(value: usize) -> Value {
    Value::Integer(value as i64)
}

fn card(page: &mut Page<'_>, manifest: &Manifest) {
    let card = &manifest.card;
    page.text("name", Some(&card.name));
    page.text("description", card.description.as_deref());
    page.text("file", Some(&card.file));
    page.line(format_args!("# Of the ONNX file. \"unknown\": the first pull pins what it finds."));
    page.text("sha256", Some(&card.sha256.to_string()));
    page.text("url", card.url.as_deref());
    page.text("source", card.source.as_deref());
    page.text("license", card.license.as_deref());
    page.text("license_note", card.license_note.as_deref());
    page.text("export", card.export.as_deref());
}

fn input(page: &mut Page<'_>, manifest: &Manifest) {
    let input = &manifest.spec.input;
    page.section("input", "What the network expects: a sample s of 0..255 becomes (s * scale - mean) / std.");
    page.value("input.name", "name", &Value::from(input.name.as_str()));
    let layout = if input.layout == Layout::Nchw { "nchw" } else { "nhwc" };
    page.value("input.layout", "layout", &Value::from(layout));
    let element = match input.element {
        ElementKind::F32 => "f32",
        ElementKind::F16 => "f16",
        ElementKind::U8 => "u8",
    };
    page.value("input.element", "element", &Value::from(element));
    let batch = match input.batch {
        BatchAxis::Fixed(n) => number(n),
        BatchAxis::Dynamic => Value::from("dynamic"),
    };
    page.value("input.batch", "batch", &batch);
    page.value("input.width", "width", &number(input.width));
    page.value("input.height", "height", &number(input.height));
    if manifest.multiple > 1 {
        page.value("input.multiple", "multiple", &number(manifest.multiple));
    }
    if let Some(frames) = input.clip {
        page.value("input.clip", "clip", &number(frames));
    }
    let order = if input.order == crate::spec::ChannelOrder::Bgr { "bgr" } else { "rgb" };
    page.value("input.order", "order", &Value::from(order));
    page.value("input.scale", "scale", &float(input.scale));
    page.value("input.mean", "mean", &floats(&input.mean));
    page.value("input.std", "std", &floats(&input.std));
    let fit = match input.fit {
        Fit::Letterbox(_) => "letterbox",
        Fit::Stretch => "stretch",
        Fit::CentreCrop { .. } => "centre-crop",
    };
    page.value("input.fit", "fit", &Value::from(fit));
    match input.fit {
        Fit::Letterbox(place) => {
            let place = if place == Place::TopLeft { "top-left" } else { "centre" };
            page.value("input.place", "place", &Value::from(place));
            page.value("input.pad", "pad", &number(input.pad.into()));
        }
        Fit::CentreCrop { fraction } => page.value("input.crop", "crop", &float(fraction)),
        Fit::Stretch => {}
    }
    for constant in &manifest.spec.constants {
        page.line("\n# A further input, the same for each picture.\n[[input.constant]]");
        page.value("input.constant", "name", &Value::from(constant.name.as_str()));
        page.value("", "values", &Value::from(constant.values.clone()));
    }
}

fn task(page: &mut Page<'_>, manifest: &Manifest) {
    let task = &manifest.spec.task;
    page.section("task", "What the network is for.");
    page.value("task.kind", "kind", &Value::from(task.word()));
    match task {
        TaskSpec::Classify { softmax } | TaskSpec::Clip { softmax, .. } => {
            page.value("task.softmax", "softmax", &Value::from(*softmax));
        }
        TaskSpec::Embed { len } => page.value("task.len", "len", &number(*len)),
        TaskSpec::Semantic => {}
        TaskSpec::Detect { head, .. } => {
            let table = toml::to_string(&Heads { head }).unwrap_or_default();
            let mut lines = table.trim_end().lines();
            lines.next();
            page.section("head", "What its outputs mean.");
            for line in lines {
                match line.strip_prefix("kind = ").map(|kind| kind.trim_matches('"')) {
                    Some(kind) => page.value("head.kind", "kind", &Value::from(kind)),
                    None => page.line(line),
                }
            }
        }
    }
}

fn classes(page: &mut Page<'_>, classes: &[String]) {
    if classes.is_empty() {
        return;
    }
    page.section("classes", "Names in the order of the outputs.");
    let numbered = classes.iter().enumerate().all(|(i, name)| *name == format!("class_{i}"));
    if classes == COCO_80 {
        page.value("classes.preset", "preset", &Value::from("coco-80"));
    } else if classes == coco_91() {
        page.value("classes.preset", "preset", &Value::from("coco-91"));
    } else if numbered {
        page.value("classes.count", "count", &number(classes.len()));
    } else {
        page.value("classes.names", "names", &strings(classes));
    }
}

fn thresholds(page: &mut Page<'_>, manifest: &Manifest) {
    let spec = &manifest.spec;
    if matches!(spec.task, TaskSpec::Embed { .. } | TaskSpec::Semantic) {
        return;
    }
    page.section("thresholds", "Defaults; a configuration may say otherwise.");
    page.value("thresholds.confidence", "confidence", &float(spec.confidence));
    if let TaskSpec::Detect { nms, .. } = &spec.task {
        page.value("thresholds.iou", "iou", &float(nms.iou));
        page.value("thresholds.class_agnostic", "class_agnostic", &Value::from(nms.class_agnostic));
        page.value("thresholds.candidates", "candidates", &number(nms.candidates));
        page.value("thresholds.detections", "detections", &number(nms.detections));
    }
    if !spec.class_confidence.is_empty() {
        page.line("\n# Other confidences for some classes.\n[thresholds.classes]");
        for (name, confidence) in &spec.class_confidence {
            let entry: toml::Table = std::iter::once((name.clone(), float(*confidence))).collect();
            page.line(entry.to_string().trim_end());
        }
    }
}
