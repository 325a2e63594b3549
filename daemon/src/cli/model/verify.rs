//! `egret model verify`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use serde_json::json;

use super::StoreArgs;

/// Arguments of `egret model verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub(super) struct Args {
    /// Which models [default: all].
    names: Vec<String>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let store = args.store.existing()?;
    let names = if args.names.is_empty() { store.names()? } else { args.names.clone() };
    if names.is_empty() && !args.json {
        writeln!(io::stderr().lock(), "no models in {}", store.directory().display())?;
    }
    let verdicts = names.iter().map(|name| store.verify(name)).collect::<Result<Vec<_>, _>>()?;
    let mut out = io::stdout().lock();
    if args.json {
        let report = |verdict: &crate::store::Verdict| json!({ "name": verdict.name, "ok": verdict.problems.is_empty(), "problems": verdict.problems });
        writeln!(out, "{:#}", verdicts.iter().map(report).collect::<serde_json::Value>())?;
    } else {
        for verdict in &verdicts {
            if verdict.problems.is_empty() {
                writeln!(out, "{}: ok", verdict.name)?;
            }
            for problem in &verdict.problems {
                writeln!(out, "{}: {problem}", verdict.name)?;
            }
        }
    }
    let good = verdicts.iter().all(|verdict| verdict.problems.is_empty());
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
