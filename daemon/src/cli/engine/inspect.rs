//! `egret engine inspect`, and how engines are found by what people call them.

use std::{io::Write, process::ExitCode, time::Duration};

use egret_models::text;
use serde_json::Value;

use super::{args, list::Fits, table};
use crate::{
    cli::run::reject,
    config::EnginesConfig,
    engine::{EngineError, Manifest, Store, span},
};

pub(super) fn run(args: &args::Inspect, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let config = match args.place.config() {
        Ok(config) => config,
        Err(problems) => return reject(&problems),
    };
    let mut store = args.place.store(&config.runtime.engines)?;
    let manifest = named(&mut store, &args.engine)?;
    let here = fitting(&args.place, &config.runtime.engines);
    let damaged = store.parts(&manifest).err().map(|error| error.to_string());
    let elsewhere = here.as_ref().ok().and_then(|fits| fits(&manifest));
    let wrong = damaged.or_else(|| manifest.rejected().map(ToOwned::to_owned)).or(elsewhere);
    if args.json {
        writeln!(out, "{:#}", serde_json::to_value(&manifest)?)?;
    } else {
        let mut told = Vec::new();
        print(&mut told, &manifest, store.size(&manifest.key.stem())?, wrong.as_deref())?;
        if args.layers {
            layers(&mut told, &manifest)?;
        }
        // Names of layers are what the network's maker chose.
        out.write_all(text::lines(&String::from_utf8_lossy(&told)).as_bytes())?;
    }
    if let Err(elsewhere) = here {
        anyhow::bail!(elsewhere);
    }
    Ok(if wrong.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The engine whose name begins so, or the newest one of a model.
pub(super) fn named(store: &mut Store, word: &str) -> anyhow::Result<Manifest> {
    let unknown = || EngineError::Unknown { word: word.to_owned(), folder: store.directory().to_owned() };
    let unknown = unknown();
    let is_beginning = word.len() >= 4;
    let (mut all, mut unreadable): (Vec<Manifest>, _) = (Vec::new(), None);
    for listed in store.all()? {
        match listed.manifest {
            Ok(manifest) => all.push(manifest),
            Err(error) if is_beginning && listed.stem.starts_with(word) => unreadable = Some((listed.stem, error)),
            Err(_) => {}
        }
    }
    let by_name = || all.iter().find(|manifest| is_beginning && manifest.key.stem().starts_with(word));
    let by_model = || all.iter().filter(|manifest| manifest.name == word).max_by(|a, b| a.built_at.cmp(&b.built_at));
    match (by_model().or_else(by_name), unreadable) {
        (Some(manifest), _) => Ok(manifest.clone()),
        (None, Some((stem, error))) => anyhow::bail!("engine {stem}: {error}: it is not used, and can be removed"),
        (None, None) => Err(unknown.into()),
    }
}

/// Says why an engine cannot run here; or why none can.
#[cfg(feature = "tensorrt")]
pub(super) fn fitting(place: &args::Place, config: &EnginesConfig) -> Result<Box<Fits>, String> {
    let here = super::which::here(place, config, false).map_err(|error| crate::cli::told(&error))?;
    Ok(Box::new(move |manifest| super::which::unfit(&here, manifest)))
}

#[cfg(not(feature = "tensorrt"))]
pub(super) fn fitting(_place: &args::Place, _config: &EnginesConfig) -> Result<Box<Fits>, String> {
    Err(super::NO_PART.into())
}

fn print(out: &mut dyn Write, manifest: &Manifest, bytes: u64, wrong: Option<&str>) -> std::io::Result<()> {
    let Manifest { key, .. } = manifest;
    let built = span(Duration::from_secs_f64(manifest.build_s.clamp(0.0, 1e9)));
    writeln!(out, "engine       {}", key.stem())?;
    writeln!(out, "model        {}, sha256 {}", manifest.name, key.model)?;
    writeln!(out, "precision    {}", key.precision)?;
    if let Some(precision) = &manifest.precision {
        let calibration = precision.calibration_sha256.as_deref().unwrap_or("none");
        writeln!(out, "made from    {}, calibration {calibration}", precision.from_sha256)?;
        if let Some(gate) = &precision.gate {
            let passed = if gate.passed { "passed" } else { "failed" };
            let (recall, share, drift) = (gate.recall, gate.precision, gate.score_drift);
            writeln!(out, "gate         {passed} on {} frames: recall {recall}, precision {share}, drift {drift}", gate.frames)?;
        }
    }
    writeln!(out, "batches      {}", key.profile)?;
    let place = key.dla.as_ref().map_or_else(|| "the GPU".to_owned(), ToString::to_string);
    let l4t = key.l4t.as_ref().map_or_else(|| "no L4T".to_owned(), |l4t| format!("L4T R{l4t}"));
    writeln!(
        out,
        "for          {place} of {} (compute capability {}), TensorRT {}, {l4t}",
        key.device, key.compute_capability, key.tensorrt
    )?;
    writeln!(out, "options      {}", key.flags)?;
    writeln!(out, "built        {} by egret {}, in {built}", manifest.built_at, manifest.egret)?;
    writeln!(out, "file         {}, {}, sha256 {}", manifest.plan.file, table::size(bytes), manifest.plan.sha256)?;
    if let Some(tail) = &manifest.tail {
        writeln!(out, "tail         {}, {}, sha256 {}", tail.file.file, table::size(tail.file.bytes), tail.file.sha256)?;
        writeln!(out, "cut          {}", tail.cut)?;
    }
    writeln!(out, "layers       {}, {} of activations per context", manifest.layers, table::size(manifest.context_bytes))?;
    for tensor in &manifest.tensors {
        writeln!(out, "tensor       {tensor}")?;
    }
    if !manifest.placement.is_empty() {
        let off: Vec<&str> = manifest.placement.iter().filter(|layer| !layer.on_dla).map(|layer| layer.layer.as_str()).collect();
        let on = manifest.placement.len() - off.len();
        writeln!(out, "placement    {on} of {} layers can run on the DLA", manifest.placement.len())?;
        if !off.is_empty() {
            writeln!(out, "on the GPU   {}", off.join(", "))?;
        }
    }
    if let Some(verdict) = &manifest.verdict {
        let passed = if verdict.passed { "may serve" } else { "must not serve" };
        writeln!(out, "verdict      {passed} ({}): {}", verdict.at, verdict.reason)?;
    }
    writeln!(out, "state        {}", wrong.unwrap_or("ok"))
}

fn layers(out: &mut dyn Write, manifest: &Manifest) -> std::io::Result<()> {
    let told = manifest.inspector.as_ref().and_then(|told| told.get("Layers")).and_then(Value::as_array);
    let Some(layers) = told else { return writeln!(out, "TensorRT told nothing of its layers") };
    for layer in layers {
        match layer {
            Value::Object(layer) => {
                let word = |key: &str| layer.get(key).and_then(Value::as_str).unwrap_or("-");
                writeln!(out, "layer        {}  {}  {}", word("Name"), word("LayerType"), word("TacticName"))?;
            }
            other => writeln!(out, "layer        {}", other.as_str().unwrap_or("?"))?,
        }
    }
    Ok(())
}
