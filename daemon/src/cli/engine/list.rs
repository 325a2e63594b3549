//! `egret engine list`.

use std::{io::Write, process::ExitCode};

use serde_json::{Value, json};

use super::{args, inspect::fitting, table};
use crate::{
    cli::run::reject,
    engine::{Manifest, Store},
};

/// An engine as it stands.
struct Row {
    stem: String,
    bytes: u64,
    manifest: Result<Manifest, String>,
    /// Why it cannot serve; `None`: it can.
    wrong: Option<String>,
}

pub(super) fn run(args: &args::List, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let config = match args.place.config() {
        Ok(config) => config,
        Err(problems) => return reject(&problems),
    };
    let mut store = args.place.store(&config.runtime.engines)?;
    let here = fitting(&args.place, &config.runtime.engines);
    let rows = rows(&mut store, here.as_deref().ok())?;
    if args.json {
        writeln!(out, "{:#}", rows.iter().map(report).collect::<Value>())?;
    } else if rows.is_empty() {
        writeln!(
            out,
            "no engines in {}; `egret engine build` builds those of the configured models",
            store.directory().display()
        )?;
    } else {
        let head = ["engine", "model", "precision", "batches", "for", "size", "built", "state"].map(ToOwned::to_owned).to_vec();
        table::print(out, &std::iter::once(head).chain(rows.iter().map(cells)).collect::<Vec<_>>())?;
    }
    // Whoever lists engines wants to know whether they run.
    if let Err(elsewhere) = here {
        anyhow::bail!(elsewhere);
    }
    Ok(if rows.iter().all(|row| row.wrong.is_none()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says why an engine of a manifest cannot run here.
pub(super) type Fits = dyn Fn(&Manifest) -> Option<String>;

fn rows(store: &mut Store, fits: Option<&Fits>) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for listed in store.all()? {
        let bytes = store.size(&listed.stem)?;
        let manifest = listed.manifest.map_err(|error| error.to_string());
        let wrong = match &manifest {
            Err(error) => Some(error.clone()),
            Ok(manifest) => match store.parts(manifest) {
                Err(error) => Some(error.to_string()),
                Ok(_) => manifest.rejected().map(ToOwned::to_owned).or_else(|| fits.and_then(|fits| fits(manifest))),
            },
        };
        rows.push(Row { stem: listed.stem, bytes, manifest, wrong });
    }
    Ok(rows)
}

fn cells(row: &Row) -> Vec<String> {
    let cut = row.manifest.as_ref().is_ok_and(|manifest| manifest.tail.is_some());
    let ok = if cut { "ok, with a tail in ONNX Runtime" } else { "ok" };
    let state = row.wrong.clone().unwrap_or_else(|| ok.into());
    match &row.manifest {
        Err(_) => {
            let mut cells = vec![String::new(); 8];
            (cells[0], cells[5], cells[7]) = (table::short(&row.stem), table::size(row.bytes), state);
            cells
        }
        Ok(Manifest { name, key, built_at, .. }) => {
            let place = key.dla.as_ref().map_or_else(|| key.device.clone(), |dla| format!("{}, {dla}", key.device));
            vec![
                table::short(&row.stem),
                name.clone(),
                key.precision.clone(),
                if key.profile.is_fixed() {
                    key.profile.max.to_string()
                } else {
                    format!("{}-{}", key.profile.min, key.profile.max)
                },
                format!("{place}, TensorRT {}", key.tensorrt),
                table::size(row.bytes),
                built_at.clone(),
                state,
            ]
        }
    }
}

fn report(row: &Row) -> Value {
    match &row.manifest {
        Err(problem) => json!({ "engine": row.stem, "bytes": row.bytes, "problem": problem }),
        Ok(manifest) => json!({
            "engine": row.stem,
            "model": manifest.name,
            "key": manifest.key,
            "plan": manifest.plan,
            "tail": manifest.tail,
            "bytes": row.bytes,
            "built_at": manifest.built_at,
            "build_s": manifest.build_s,
            "verdict": manifest.verdict,
            "ok": row.wrong.is_none(),
            "problem": row.wrong,
        }),
    }
}
