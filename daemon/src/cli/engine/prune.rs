//! `egret engine prune`.

use std::{io::Write, process::ExitCode};

use serde_json::{Value, json};

use super::{args, table, which};
use crate::{
    cli::run::reject,
    config::{Config, Loaded, ModelSource},
    engine::{Here, Key, Manifest, Store},
};

/// Something that goes.
pub(super) struct Gone {
    what: String,
    file: String,
    engine: bool,
    reason: String,
    bytes: u64,
}

pub(super) fn run(args: &args::Prune, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let Loaded { config, texts, .. } = match args.place.loaded() {
        Ok(loaded) => loaded,
        Err(problems) => return reject(&problems),
    };
    let here = which::here(&args.place, &config.runtime.engines, false)?;
    let mut store = args.place.store(&config.runtime.engines)?;
    // Nobody has said which models are wanted: all of them may be.
    let wanted = if texts.is_empty() { kept(&mut store)? } else { wanted(&config, &here)? };
    let gone = chosen(&mut store, &wanted, &here)?;
    let gone = if args.dry_run { gone } else { removed(&mut store, gone)? };
    report(out, &gone, args)?;
    Ok(ExitCode::SUCCESS)
}

/// The keys of all configured models. What cannot be read is no reason to throw its engines away.
fn wanted(config: &Config, here: &Here) -> anyhow::Result<Vec<Key>> {
    let has_network = |source: &ModelSource| matches!(source, ModelSource::Onnx(_) | ModelSource::Demo);
    let models = config.models.iter().filter(|model| has_network(&model.source));
    let keys = models.map(|model| {
        let orders = which::orders(model, &config.runtime.engines)?;
        Ok(orders.iter().map(|order| order.key(here)).collect::<Vec<_>>())
    });
    Ok(keys.collect::<anyhow::Result<Vec<_>>>()?.concat())
}

/// The keys of all engines that are there.
pub(super) fn kept(store: &mut Store) -> anyhow::Result<Vec<Key>> {
    Ok(store.all()?.into_iter().filter_map(|listed| Some(listed.manifest.ok()?.key)).collect())
}

pub(super) fn chosen(store: &mut Store, wanted: &[Key], here: &Here) -> anyhow::Result<Vec<Gone>> {
    let mut gone = Vec::new();
    for listed in store.all()? {
        // A later egret may have written it, and may come back.
        let Ok(manifest) = listed.manifest else { continue };
        let Some(reason) = reason(store, &manifest, wanted, here) else { continue };
        let what = format!("{} ({}, TensorRT {})", table::short(&listed.stem), manifest.name, manifest.key.tensorrt);
        gone.push(Gone { what, bytes: store.size(&listed.stem)?, file: listed.stem, engine: true, reason });
    }
    let any = here.key("", "", &crate::engine::Profile::default(), None, &crate::engine::Flags::default());
    for (file, bytes) in store.rest(&any)? {
        gone.push(Gone { what: file.clone(), file, engine: false, reason: "nothing needs it any more".into(), bytes });
    }
    Ok(gone)
}

/// Why an engine goes; `None`: it stays.
fn reason(store: &mut Store, manifest: &Manifest, wanted: &[Key], here: &Here) -> Option<String> {
    if let Some(unfit) = which::unfit(here, manifest) {
        return Some(unfit);
    }
    let of_model: Vec<&Key> = wanted.iter().filter(|key| key.model == manifest.key.model).collect();
    if of_model.is_empty() {
        return Some("no configured model has its network".into());
    }
    if of_model.contains(&&manifest.key) {
        return store.parts(manifest).err().map(|error| error.to_string());
    }
    // Until its successor is there it may have to serve. One of another DLA core is none, but where the model has none of this any more.
    let same = |key: &&&Key| key.dla.as_ref().map(|dla| dla.core) == manifest.key.dla.as_ref().map(|dla| dla.core);
    let successors: Vec<&Key> = of_model.iter().filter(same).copied().collect();
    for key in if successors.is_empty() { of_model } else { successors } {
        if store.find(key).ok().flatten().is_some_and(|there| there.rejected().is_none() && store.parts(&there).is_ok()) {
            return Some(format!("{} took its place", table::short(&key.stem())));
        }
    }
    None
}

pub(super) fn removed(store: &mut Store, mut gone: Vec<Gone>) -> anyhow::Result<Vec<Gone>> {
    for one in &mut gone {
        one.bytes = if one.engine { store.remove(&one.file)? } else { store.clear(&one.file)? };
    }
    Ok(gone)
}

pub(super) fn report(out: &mut dyn Write, gone: &[Gone], args: &args::Prune) -> anyhow::Result<()> {
    let sum: u64 = gone.iter().map(|one| one.bytes).sum();
    if args.json {
        let row = |one: &Gone| json!({ "file": one.file, "engine": one.engine, "reason": one.reason, "bytes": one.bytes });
        let rows: Value = gone.iter().map(row).collect();
        return Ok(writeln!(out, "{:#}", json!({ "dry_run": args.dry_run, "removed": rows, "bytes": sum }))?);
    }
    let word = if args.dry_run { "would remove" } else { "removed" };
    for Gone { what, reason, bytes, .. } in gone {
        writeln!(out, "{word} {what}: {reason}; {}", table::size(*bytes))?;
    }
    let freed = if args.dry_run { "would be free" } else { "are free" };
    Ok(writeln!(out, "{} more {freed}", table::size(sum))?)
}
