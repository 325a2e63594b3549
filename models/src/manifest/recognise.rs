//! A first manifest from a graph: the family is told by the outputs, what the graph does not say is assumed and listed.

mod detectors;
mod draft;
mod others;
mod rows;

use super::{Manifest, agree, is_name, metadata::property, write};
use crate::{
    head::HeadSpec,
    onnx::{Model, Refused, ValueInfo},
    spec::{ModelSpec, TaskSpec},
};
use draft::Draft;

/// Something that a graph does not say: what was taken for it, and how to make sure.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Assumption {
    /// The key of the manifest that it is about.
    pub key: String,
    /// What was assumed.
    pub what: String,
    /// What to look at.
    pub check: String,
}

/// A first manifest.
#[derive(Clone, Debug)]
pub struct Recognised {
    /// The manifest, with its assumptions filled in.
    pub manifest: Manifest,
    /// The family of networks, for people.
    pub family: &'static str,
    /// What was assumed.
    pub assumed: Vec<Assumption>,
}

impl Recognised {
    /// The manifest as commented TOML, each assumption above its key.
    pub fn to_toml(&self) -> String {
        write::manifest(&self.manifest, &self.assumed)
    }
}

/// Why no manifest could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (inputs: {inputs}; outputs: {outputs}); {remedy}")]
pub struct Unrecognised {
    /// What stands in the way.
    pub reason: String,
    /// What to do.
    pub remedy: &'static str,
    /// The graph's inputs with their types and shapes.
    pub inputs: String,
    /// Its outputs.
    pub outputs: String,
}

const WRITE_BY_HAND: &str =
    "write the manifest by hand (docs/models.md lists every head), or export the network as that page says";

const WRITE_IT: &str = "write its manifest and look through what is marked ASSUMED: egret model inspect FILE --write";

/// Reads a graph and writes the first manifest of the file `file`.
///
/// # Errors
/// [`Unrecognised`] with the graph's inputs and outputs.
pub fn recognise(model: &Model<'_>, file: &str) -> Result<Recognised, Unrecognised> {
    let refuse = |(reason, remedy): (String, &'static str)| Unrecognised {
        reason,
        remedy,
        inputs: listing(&model.graph.inputs),
        outputs: listing(&model.graph.outputs),
    };
    if !is_name(file) {
        return Err(refuse((
            format!("{file:?} is no file name that a manifest can give"),
            "rename the file: letters, digits, `-`, `_` and `.`, at most 64, a letter or digit first",
        )));
    }
    let mut draft = Draft::of(model, file).map_err(refuse)?;
    let family = family(&mut draft).ok_or_else(|| {
        let reason = "its outputs are those of no known family".to_owned();
        refuse((reason, WRITE_BY_HAND))
    })?;
    let recognised = draft.finish(family);
    // A graph may declare what no manifest allows: a batch of millions, an output without a name.
    let checked = Manifest::parse(&recognised.to_toml()).and_then(|manifest| {
        let problems = manifest.contradictions(model);
        if problems.is_empty() { Ok(manifest) } else { Err(problems) }
    });
    match checked {
        Ok(manifest) => Ok(Recognised { manifest, ..recognised }),
        Err(problems) => {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            Err(refuse((format!("it looks like {family}, but {first}"), WRITE_BY_HAND)))
        }
    }
}

/// What a file is run as that has no manifest: a YOLOX detector as its authors export it, the one family of which nothing is open
/// but what all its networks share. `classes`: the names that somebody configured. What was assumed of its classes comes with it.
///
/// # Errors
/// [`Refused::NeedsManifest`]: it is something else. [`Refused::Classes`]: it has another number of classes than there are names.
pub fn without_manifest(model: &Model<'_>, classes: Option<&[String]>) -> Result<(ModelSpec, Vec<Assumption>), Refused> {
    let refuse = |what: String, remedy| Err(Refused::NeedsManifest { what, remedy });
    let Recognised { manifest, family, mut assumed } = match recognise(model, "model.onnx") {
        Ok(recognised) => recognised,
        Err(Unrecognised { reason, remedy, inputs, outputs }) => {
            return refuse(format!("{reason} (inputs: {inputs}; outputs: {outputs})"), remedy);
        }
    };
    let mut spec = manifest.spec;
    let plain = matches!(&spec.task, TaskSpec::Detect { head: HeadSpec::Yolox { strides }, .. } if *strides == [8, 16, 32]);
    if !plain {
        return refuse(format!("it looks like {family}, and only YOLOX runs without a manifest"), WRITE_IT);
    }
    // Only a size that the graph leaves open has to be a multiple of anything.
    if manifest.multiple > 1 {
        return refuse("it is a YOLOX of any size, and nothing says which".to_owned(), WRITE_IT);
    }
    let named = match classes {
        Some(names) => names.len(),
        None if assumed.iter().any(|assumption| assumption.key == "classes.count") => 0,
        None => spec.classes.len(),
    };
    if named != spec.classes.len() {
        let output = spec.outputs.first().map(|output| crate::text::short(output, 200)).unwrap_or_default();
        return Err(Refused::Classes { output, classes: spec.classes.len(), names: named });
    }
    assumed.retain(|assumption| classes.is_none() && assumption.key.starts_with("classes"));
    if let Some(classes) = classes {
        spec.classes = classes.to_vec();
    }
    Ok((spec, assumed))
}

fn family(draft: &mut Draft<'_, '_>) -> Option<&'static str> {
    if draft.input.clip.is_some() {
        return others::clip(draft);
    }
    if property(draft.model, "task").is_some() && property(draft.model, "stride").is_some() {
        // A file that Ultralytics wrote says itself what it is.
        return rows::ultralytics(draft);
    }
    detectors::by_names(draft).or_else(|| match draft.outputs.len() {
        1 => match draft.outputs[0].dims.len() {
            3 => rows::single(draft).or_else(|| others::class_map(draft)),
            2 => others::vector(draft),
            4 => others::planes(draft),
            _ => None,
        },
        2 => detectors::pair(draft),
        3 => rows::raw_grids(draft),
        _ => detectors::grids(draft),
    })
}

/// Inputs or outputs for people.
fn listing(values: &[ValueInfo<'_>]) -> String {
    let mut listed: Vec<_> = values.iter().take(8).map(agree::describe).collect();
    if values.len() > listed.len() {
        listed.push(format!("and {} more", values.len() - listed.len()));
    }
    if listed.is_empty() { "none".into() } else { listed.join(", ") }
}
