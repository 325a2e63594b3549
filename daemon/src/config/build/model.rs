//! The networks.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::Read as _,
    num::NonZero,
    ops::Deref,
    path::{Path, PathBuf},
};

mod devices;
mod step;

use egret_models::text::{is_plain, plain};

use super::Surroundings;
use crate::{
    config::{
        ModelConfig, ModelSource, TilesConfig,
        keys::{Builtin, Model, On, Section},
        ledger::Ledger,
        suggest,
    },
    placement::Machine,
    store,
};

/// Most models.
const MOST: usize = 64;
/// Largest file of class names, in bytes.
const LONGEST_CLASSES: u64 = 1 << 20;
/// Most classes of one model: a class is a `u16` on its way, and no known detector has more.
const MOST_CLASSES: usize = 4_096;
const SECTION: Section = Model::SECTION;

/// Checks all models, in the order of their names' first appearance.
pub(super) fn build(
    typed: &HashMap<String, Model>,
    names: &[String],
    ledger: &mut Ledger,
    (around, machine): (&Surroundings<'_>, &impl Deref<Target = Machine>),
) -> Vec<ModelConfig> {
    if let Some(name) = names.get(MOST) {
        ledger.problem(&SECTION.path(Some(name), ""), format!("more than {MOST} models"), "remove those that no camera uses");
    }
    let mut models: Vec<ModelConfig> =
        names.iter().take(MOST).filter_map(|name| check(name, typed.get(name)?, ledger, machine)).collect();
    step::connect(&mut models, typed, ledger, around);
    models
}

fn check(name: &str, model: &Model, ledger: &mut Ledger, machine: &impl Deref<Target = Machine>) -> Option<ModelConfig> {
    let classes = classes(name, model, ledger);
    let class_confidence = class_confidence(name, model, classes.as_deref(), ledger);
    let tiles = tiles(name, model, ledger);
    let devices = devices::check(name, model, ledger, machine);
    let source = source(name, model, ledger)?;
    devices::runs(name, &source, devices.as_deref(), ledger);
    let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
    Some(ModelConfig {
        name: model.name.clone()?,
        source,
        classes,
        confidence: model.confidence.map(|confidence| confidence as f32),
        class_confidence,
        nms_iou: model.nms_iou.map(|iou| iou as f32),
        class_agnostic: model.class_agnostic,
        max_candidates: model.max_candidates.map(|most| most as usize),
        max_detections: model.max_detections.map(|most| most as usize),
        max_batch: model.max_batch as usize,
        workers: devices.as_ref().map(Vec::len).or(model.workers.map(|workers| workers as usize)).unwrap_or_else(cores),
        queues: devices::queues(name, model, devices.as_deref(), ledger),
        devices,
        tiles,
        details: model.details,
        step: step::check(name, model, ledger),
    })
}

/// `["person=0.5"]`: each class once, each confidence within 0..1.
fn class_confidence(name: &str, model: &Model, classes: Option<&[String]>, ledger: &mut Ledger) -> BTreeMap<String, f32> {
    let path = SECTION.path(Some(name), "class_confidence");
    let mut all = BTreeMap::new();
    for entry in model.class_confidence.iter().flatten() {
        let parsed = entry.rsplit_once('=').and_then(|(class, value)| Some((class.trim(), value.trim().parse::<f32>().ok()?)));
        let Some((class, confidence)) = parsed.filter(|(class, value)| !class.is_empty() && (0.0..=1.0).contains(value)) else {
            let remedy = "write a class name, = and a number from 0 to 1, e.g. [\"person=0.5\"]";
            ledger.problem(&path, format!("{entry:?} is no class with a confidence"), remedy);
            continue;
        };
        if let Some(known) = classes.filter(|known| !known.iter().any(|name| name == class)) {
            ledger.problem(&path, format!("the model knows no class {class:?}"), known_classes(class, known));
        }
        if all.insert(class.to_owned(), confidence).is_some() {
            ledger.problem(&path, format!("{class:?} is in it twice"), "keep one of them");
        }
    }
    all
}

/// What to do about a class that is not among those.
fn known_classes(class: &str, known: &[String]) -> String {
    match suggest::nearest(class, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("it knows {}", known.iter().take(20).cloned().collect::<Vec<_>>().join(", ")),
    }
}

fn tiles(name: &str, model: &Model, ledger: &mut Ledger) -> Option<TilesConfig> {
    let (columns, rows) = (model.tile_columns as usize, model.tile_rows as usize);
    let path = |key: &str| SECTION.path(Some(name), key);
    if columns * rows == 1 {
        // A number that could not be read may have been meant to be more than one.
        let meant = ["tile_columns", "tile_rows"].iter().any(|key| ledger.is_spoilt(&path(key)));
        for key in ["tile_overlap", "tile_whole"] {
            if ledger.is_set(&path(key)) && !meant {
                ledger.problem(&path(key), "there is only one tile", "set tile_columns or tile_rows to 2 or more, or remove it");
            }
        }
        return None;
    }
    if model.on.0 != On::Cameras {
        let key = if columns > 1 { "tile_columns" } else { "tile_rows" };
        ledger.clash(
            &path(key),
            &path("on"),
            "only a model that looks at cameras looks in tiles",
            "remove it, or write on = \"cameras\"",
        );
    }
    Some(TilesConfig { columns, rows, overlap: model.tile_overlap as f32, whole: model.tile_whole })
}

/// Of several keys that say the same thing, the one of the latest layer. That layer must not set two of them.
fn pick(name: &str, keys: &[&'static str], ledger: &mut Ledger) -> Option<&'static str> {
    let layer = |ledger: &Ledger, key: &str| ledger.layer(&SECTION.path(Some(name), key));
    let latest = keys.iter().filter_map(|key| layer(ledger, key)).max()?;
    let mut set = keys.iter().filter(|key| layer(ledger, key) == Some(latest));
    let first = set.next()?;
    if let Some(second) = set.next() {
        ledger.problem(&SECTION.path(Some(name), second), format!("{first} is given too"), "keep one of them");
    }
    Some(first)
}

fn source(name: &str, model: &Model, ledger: &mut Ledger) -> Option<ModelSource> {
    const KEYS: [&str; 4] = ["file", "stored", "builtin", "scripted"];
    let Some(key) = pick(name, &KEYS, ledger) else {
        if KEYS.iter().any(|key| ledger.is_spoilt(&SECTION.path(Some(name), key))) {
            return None;
        }
        let remedy = "write file = \"/path/of/model.onnx\", or stored = \"NAME\" for one of egret model list";
        ledger.missing(
            &SECTION.path(Some(name), ""),
            &SECTION.path(Some(name), "file"),
            "nothing says where the model comes from",
            remedy,
        );
        return None;
    };
    match key {
        "file" => {
            let file = model.file.clone()?;
            check_file(name, key, &file, "correct the path of the ONNX file", ledger);
            Some(ModelSource::Onnx(file))
        }
        "stored" => {
            let stored = model.stored.as_deref()?;
            match store::find(stored) {
                Ok(file) => {
                    check_file(name, key, &file, "pull or add it again: egret model verify tells what is wrong", ledger);
                    Some(ModelSource::Onnx(file))
                }
                Err(error) => {
                    ledger.problem(&SECTION.path(Some(name), key), error.to_string(), store::way_to(stored));
                    None
                }
            }
        }
        "scripted" => {
            let file = model.scripted.clone()?;
            check_file(name, key, &file, "correct the path of the JSON-lines file", ledger);
            Some(ModelSource::Scripted(file))
        }
        _ => match model.builtin.as_ref()?.0 {
            Builtin::Demo => {
                let remedy = "use a model that was trained on real pictures for real cameras";
                ledger.advise(&SECTION.path(Some(name), key), "the demo model knows only the simulator's streets", remedy);
                Some(ModelSource::Demo)
            }
            Builtin::Null => Some(ModelSource::Null),
        },
    }
}

fn check_file(name: &str, key: &str, file: &Path, remedy: &str, ledger: &mut Ledger) {
    let reason = match fs::metadata(file) {
        Err(error) => error.to_string(),
        Ok(metadata) if !metadata.is_file() => "it is no regular file".to_owned(),
        Ok(metadata) if metadata.len() == 0 => "the file is empty".to_owned(),
        Ok(_) => match fs::File::open(file) {
            Err(error) => error.to_string(),
            Ok(_) => return,
        },
    };
    ledger.problem(&SECTION.path(Some(name), key), reason, remedy);
}

fn classes(name: &str, model: &Model, ledger: &mut Ledger) -> Option<Vec<String>> {
    let key = pick(name, &["classes", "classes_file"], ledger)?;
    if key == "classes" {
        let acting = model.classes.iter().flatten().find(|class| !is_plain(class));
        if let Some(class) = acting {
            let reason = format!("{} holds control characters", plain(class));
            ledger.problem(&SECTION.path(Some(name), key), reason, "write the name without them");
        }
        return model.classes.clone();
    }
    let file = model.classes_file.as_ref()?;
    match read_classes(file) {
        Ok(classes) => Some(classes),
        Err(reason) => {
            ledger.problem(&SECTION.path(Some(name), key), reason, "write one class name per line, each once");
            None
        }
    }
}

fn read_classes(file: &PathBuf) -> Result<Vec<String>, String> {
    if !fs::metadata(file).map_err(|error| error.to_string())?.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let handle = fs::File::open(file).map_err(|error| error.to_string())?;
    handle.take(LONGEST_CLASSES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LONGEST_CLASSES {
        return Err(format!("it is longer than {LONGEST_CLASSES} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is no UTF-8".to_owned())?;
    let classes: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    let mut sorted: Vec<&str> = classes.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    match () {
        () if classes.is_empty() => Err("it is empty".to_owned()),
        () if classes.len() > MOST_CLASSES => Err(format!("more than {MOST_CLASSES} classes")),
        () if sorted.first().is_some_and(|name| name.is_empty()) => Err("a line is empty".to_owned()),
        () if !classes.iter().all(|name| is_plain(name)) => Err("a name holds control characters".to_owned()),
        () => match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("{:?} is in it twice", pair[0])),
            None => Ok(classes),
        },
    }
}
