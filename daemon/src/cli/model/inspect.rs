//! `egret model inspect`.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use egret_models::{onnx::Refused, text as plain};
use serde_json::json;

use crate::{
    file::Fresh,
    store::{self, Inspected, MANIFEST},
};

/// Arguments of `egret model inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub(super) struct Args {
    /// The ONNX file.
    file: PathBuf,
    /// Write the manifest beside the file, as model.toml, or as NAME.toml where that is about another file.
    #[arg(long)]
    write: bool,
    /// Write it even if there is one.
    #[arg(long, requires = "write")]
    force: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let inspected = store::inspect(&args.file)?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{:#}", report(&inspected))?;
    } else {
        out.write_all(plain::lines(&text(&inspected)?).as_bytes())?;
    }
    if args.write {
        let Ok(recognised) = &inspected.recognised else { bail!("no manifest was written") };
        if inspected.unreadable.is_some() {
            bail!(
                "no manifest was written: the one that stands there cannot be read, and may be about another file; correct or remove it"
            );
        }
        // The one that is read, wherever it stands; else where it would be, unless that is about another file.
        let taken = |path: &PathBuf| inspected.others.iter().any(|other| other.path == *path);
        let usual = args.file.with_file_name(MANIFEST);
        let free = if taken(&usual) { args.file.with_extension("toml") } else { usual };
        let path = inspected.beside.as_ref().map_or(free, |(path, _)| path.clone());
        if taken(&path) {
            bail!("{}: it is no manifest of this file, and is not written over", path.display());
        }
        if path.exists() && !args.force {
            bail!("{}: there is a manifest already; give --force to write a new one over it", path.display());
        }
        let written = Fresh::write(&path, recognised.to_toml().as_bytes()).and_then(Fresh::place);
        written.with_context(|| path.display().to_string())?;
        writeln!(io::stderr().lock(), "written: {}", path.display())?;
    }
    let contradicted =
        inspected.unreadable.is_some() || inspected.beside.as_ref().is_some_and(|(_, problems)| !problems.is_empty());
    let sound = inspected.unsound.as_ref().is_none_or(is_plugin);
    Ok(if inspected.recognised.is_ok() && !contradicted && sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is in the file as comments, then the manifest: the whole is TOML.
fn text(file: &Inspected) -> anyhow::Result<String> {
    let mut text = String::new();
    let nodes: usize = file.operators.values().sum();
    writeln!(text, "# {}: {} bytes, sha256 {}", file.path.display(), file.bytes, file.sha256)?;
    let Inspected { opset, ir_version, producer, parameters, .. } = file;
    writeln!(text, "# opset {opset}, IR {ir_version}, by {producer}; {nodes} nodes, {parameters} values in constants")?;
    writeln!(text, "# operators: {}", operators(file))?;
    for (what, list) in [("input", &file.inputs), ("output", &file.outputs)] {
        for value in list {
            writeln!(text, "# {what}: {value}")?;
        }
    }
    if let (count @ 1.., values) = file.doubles {
        writeln!(text, "# FP64: {count} constants of {values} values are 64-bit floats. {DOUBLES}")?;
    }
    if let Some(unsound) = &file.unsound {
        let word = if is_plugin(unsound) { "NOT ONNX'S OWN" } else { "CANNOT BE RUN" };
        writeln!(text, "# {word}: {unsound}; {}", unsound.remedy())?;
    }
    for other in &file.others {
        writeln!(text, "# NOT READ: {other}")?;
    }
    if let Some((path, problems)) = &file.beside {
        let name = path.file_name().unwrap_or_default().display();
        if problems.is_empty() {
            writeln!(text, "# {name} beside it agrees with it")?;
        }
        for problem in problems {
            writeln!(text, "# {name} beside it CONTRADICTS it: {problem}")?;
        }
    }
    if let Some(error) = &file.unreadable {
        writeln!(text, "# {}", error.to_string().replace('\n', "\n# "))?;
    }
    match &file.recognised {
        Ok(recognised) => {
            let assumed = match recognised.assumed.len() {
                1 => "1 thing is assumed and marked".to_owned(),
                count => format!("{count} things are assumed and marked"),
            };
            writeln!(text, "# family: {}; {assumed} below\n\n{}", recognised.family, recognised.to_toml().trim_end())?;
        }
        Err(unrecognised) => writeln!(text, "# NOT RECOGNISED: {unrecognised}")?,
    }
    Ok(text)
}

/// Whether it is a plugin that is missing: a device may have it.
fn is_plugin(unsound: &Refused) -> bool {
    matches!(unsound, Refused::CustomOperator { .. })
}

const DOUBLES: &str = "No accelerator runs them: export in FP32; rounding changes a value by at most 6e-8 of itself, and values \
                       beyond 3.4e38 are lost";

fn operators(file: &Inspected) -> String {
    let mut sorted: Vec<_> = file.operators.iter().collect();
    sorted.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), (*name).clone()));
    let shown: Vec<_> = sorted.iter().take(12).map(|(name, count)| format!("{count} {name}")).collect();
    let more = sorted.len() - shown.len();
    shown.join(", ") + &if more > 0 { format!(" and {more} other kinds") } else { String::new() }
}

fn report(file: &Inspected) -> serde_json::Value {
    let recognised = match &file.recognised {
        Ok(found) => json!({ "family": found.family, "assumed": found.assumed, "manifest": found.to_toml() }),
        Err(unrecognised) => json!({ "problem": unrecognised.to_string() }),
    };
    json!({
        "file": file.path,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "opset": file.opset,
        "ir_version": file.ir_version,
        "producer": file.producer,
        "operators": file.operators,
        "parameters": file.parameters,
        "inputs": file.inputs,
        "outputs": file.outputs,
        "fp64_constants": file.doubles.0,
        "custom_operator": file.unsound.as_ref().filter(|unsound| is_plugin(unsound)).map(ToString::to_string),
        "unsound": file.unsound.as_ref().filter(|unsound| !is_plugin(unsound)).map(|unsound| json!({
            "problem": unsound.to_string(), "remedy": unsound.remedy(),
        })),
        "manifest_beside": match (&file.beside, &file.unreadable) {
            (Some((path, problems)), _) => json!({ "file": path, "contradictions": problems }),
            (None, Some(error)) => json!({ "problem": error.to_string() }),
            (None, None) => serde_json::Value::Null,
        },
        "not_read": file.others.iter().map(|other| json!({ "file": other.path, "about": other.file })).collect::<serde_json::Value>(),
        "recognised": recognised,
    })
}
