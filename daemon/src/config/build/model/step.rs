//! Models that look at what others have seen.

use std::collections::HashMap;

use super::{SECTION, Surroundings, known_classes};
use crate::config::{
    ModelConfig, ModelSource, StepConfig, StepOn,
    keys::{Model, On},
    ledger::Ledger,
    suggest,
};

/// Keys that mean nothing for a model that looks at cameras, and those of them that mean something for whole frames.
const STEP_KEYS: [&str; 6] = ["of", "of_classes", "every", "min_size", "clips", "span"];
const TRACK_KEYS: [&str; 2] = ["of_classes", "min_size"];

/// A model's own keys. Whose tracks or frames it looks at is filled in by [`connect`].
pub(super) fn check(name: &str, model: &Model, ledger: &mut Ledger) -> Option<StepConfig> {
    let path = |key: &str| SECTION.path(Some(name), key);
    let (on, foreign, remedy) = match model.on.0 {
        On::Cameras => (None, &STEP_KEYS[..], "write on = \"tracks\" or on = \"frames\", or remove it"),
        On::Tracks => (Some(StepOn::Tracks), &[][..], ""),
        On::Frames => (Some(StepOn::Frames), &TRACK_KEYS[..], "write on = \"tracks\", or remove it"),
    };
    for key in foreign {
        if ledger.is_set(&path(key)) && !ledger.is_spoilt(&path("on")) {
            let reason =
                if on.is_some() { "it means nothing for whole frames" } else { "it means nothing for a model of cameras" };
            ledger.problem(&path(key), reason, remedy);
        }
    }
    Some(StepConfig {
        on: on?,
        of: model.of.clone().unwrap_or_default(),
        classes: model.of_classes.clone(),
        every: model.every.0,
        min_size: model.min_size as u32,
        clips: model.clips as usize,
        span: model.span.0,
    })
}

/// Finds each step the model whose tracks or frames it looks at: the one it names, else the first one of cameras.
pub(super) fn connect(
    models: &mut [ModelConfig],
    typed: &HashMap<String, Model>,
    ledger: &mut Ledger,
    around: &Surroundings<'_>,
) {
    struct Known {
        name: String,
        is_step: bool,
        classes: Option<Vec<String>>,
    }
    let known: Vec<Known> = models
        .iter()
        .map(|model| Known {
            name: model.name.clone(),
            is_step: model.step.is_some(),
            classes: around.classes_of(model).map(<[String]>::to_vec),
        })
        .collect();
    for model in models.iter_mut() {
        let Some(step) = &mut model.step else { continue };
        let path = |key: &str| SECTION.path(Some(&model.name), key);
        if let ModelSource::Scripted(_) | ModelSource::Null = model.source {
            let (key, what) =
                if matches!(model.source, ModelSource::Null) { ("builtin", "null") } else { ("scripted", "a script") };
            // Both answer for whole frames of cameras, whatever region they are shown.
            if step.on == StepOn::Tracks {
                ledger.problem(&path(key), format!("{what} sees no regions"), "name an ONNX file, or write on = \"frames\"");
            }
        }
        let cameras = || known.iter().filter(|other| !other.is_step);
        if step.of.is_empty() {
            let Some(first) = cameras().next() else {
                // A model that is there but refused has its own problem.
                if typed.values().all(|model| model.on.0 != On::Cameras) && !ledger.is_spoilt("model") {
                    let reason = "no model looks at cameras, so there is nothing that it could look at";
                    let remedy = "define one: [[model]] with name = \"yolox\" and file = \"/path/of/yolox_nano.onnx\"";
                    ledger.problem(&path("on"), reason, remedy);
                }
                continue;
            };
            step.of.clone_from(&first.name);
        }
        let Some(of) = known.iter().find(|other| other.name == step.of) else {
            if !ledger.is_set(&format!("model.{}.name", step.of)) {
                match suggest::nearest(&step.of, cameras().map(|other| other.name.as_str())) {
                    Some(near) => ledger.problem(&path("of"), "no model has this name", format!("did you mean {near}?")),
                    None if !ledger.is_spoilt("model") => {
                        let known = cameras().map(|other| other.name.as_str()).collect::<Vec<_>>().join(", ");
                        ledger.unresolved(&path("of"), "no model has this name", format!("known: {known}"));
                    }
                    None => {}
                }
            }
            continue;
        };
        if of.is_step {
            let reason = if of.name == model.name {
                "it cannot look at what it has seen itself".to_owned()
            } else {
                format!("{} looks at what another model has seen: steps do not follow on steps, and not in circles", of.name)
            };
            let remedy = match cameras().next() {
                Some(first) => format!("name a model that looks at cameras, e.g. {}", first.name),
                None => "define a model that looks at cameras".to_owned(),
            };
            ledger.problem(&path("of"), reason, remedy);
            continue;
        }
        if let (Some(wanted), Some(classes)) = (&step.classes, &of.classes) {
            for class in wanted.iter().filter(|class| !classes.contains(class)) {
                ledger.problem(
                    &path("of_classes"),
                    format!("{} knows no class {class:?}", of.name),
                    known_classes(class, classes),
                );
            }
        }
    }
}
