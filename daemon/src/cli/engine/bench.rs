//! `egret engine bench`.

use std::{io::Write, process::ExitCode, time::Duration};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{args, inspect::named, table, which};
use crate::{
    cli::{model::interrupt, run::reject},
    engine::{self, BenchError, EngineError, Figures, Here, Manifest, Measure, Store},
    life::Exit,
};

pub(super) fn run(args: &args::Bench, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let config = match args.place.config() {
        Ok(config) => config,
        Err(problems) => return reject(&problems),
    };
    let engines = &config.runtime.engines;
    let mut store = args.place.store(engines)?;
    let manifest = named(&mut store, &args.engine)?;
    let here = which::here(&args.place, engines, true)?;
    let stop = CancellationToken::new();
    let measure = measure(args, &stop);
    let about = manifest.clone();
    let measured = interrupt::run(&stop, || {}, move || Ok(figures(&here, &mut store, &manifest, &measure)))?;
    match measured.transpose()? {
        None | Some(Err(BenchError::Engine(EngineError::Stopped))) => Ok(Exit::Interrupted.into()),
        Some(Err(error)) => Err(error.into()),
        Some(Ok(figures)) => {
            report(out, &about, &figures, args.json)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

pub(super) fn measure(args: &args::Bench, stop: &CancellationToken) -> Measure {
    Measure { sizes: args.batch.clone(), runs: args.runs as usize, warm_up: args.warm_up as usize, stop: stop.clone() }
}

pub(super) fn figures(
    here: &Here,
    store: &mut Store,
    manifest: &Manifest,
    measure: &Measure,
) -> Result<Vec<Figures>, BenchError> {
    let mut all = Vec::new();
    engine::bench(here, store, manifest, measure, &mut |figures| all.push(figures.clone()))?;
    Ok(all)
}

pub(super) fn report(out: &mut dyn Write, manifest: &Manifest, figures: &[Figures], json: bool) -> anyhow::Result<()> {
    let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    if json {
        let row = |f: &Figures| {
            json!({
                "batch": f.batch, "runs": f.runs, "graph": f.graph, "min_ms": ms(f.min), "p50_ms": ms(f.p50), "p90_ms": ms(f.p90),
                "p99_ms": ms(f.p99), "max_ms": ms(f.max), "pictures_per_s": (f.rate() * 10.0).round() / 10.0,
            })
        };
        let rows: Value = figures.iter().map(row).collect();
        let report = json!({
            "engine": manifest.key.stem(), "model": manifest.name, "device": manifest.key.device,
            "without_tail": manifest.tail.is_some(), "batches": rows,
        });
        return Ok(writeln!(out, "{report:#}")?);
    }
    let (stem, key) = (table::short(&manifest.key.stem()), &manifest.key);
    let runs = figures.first().map_or(0, |figures| figures.runs);
    writeln!(
        out,
        "{}, engine {stem}, {}, TensorRT {}: ms from enqueue to outputs{}, {runs} batches each",
        manifest.name,
        key.device,
        key.tensorrt,
        if manifest.tail.is_some() { ", without its tail in ONNX Runtime" } else { "" }
    )?;
    let head = ["batch", "min", "p50", "p90", "p99", "max", "pictures/s", "by"].map(ToOwned::to_owned).to_vec();
    let row = |f: &Figures| {
        let mut cells = vec![f.batch.to_string()];
        cells.extend([f.min, f.p50, f.p90, f.p99, f.max].map(|time| format!("{:.3}", ms(time))));
        cells.extend([format!("{:.1}", f.rate()), if f.graph { "CUDA graph" } else { "enqueue" }.to_owned()]);
        cells
    };
    Ok(table::print(out, &std::iter::once(head).chain(figures.iter().map(row)).collect::<Vec<_>>())?)
}
