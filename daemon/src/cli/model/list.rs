//! `egret model list`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use egret_models::{
    manifest::{Digest, Manifest},
    spec::{BatchAxis, TaskSpec},
    zoo,
};
use serde_json::json;

use super::StoreArgs;

/// Arguments of `egret model list`.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub(super) struct Args {
    /// The catalogue that is built in: what can be pulled or exported.
    #[arg(long)]
    catalogue: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// A line of the table; what is wrong with a model where it has no manifest to read.
struct Row {
    name: String,
    manifest: Result<Manifest, String>,
    present: Option<bool>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let rows: Vec<Row> = if args.catalogue {
        let row = |(name, _): &(&str, &str)| Row {
            name: (*name).to_owned(),
            manifest: zoo::manifest(name).map_err(|error| error.to_string()),
            present: None,
        };
        zoo::CATALOGUE.iter().map(row).collect()
    } else {
        let store = args.store.existing()?;
        let names = store.names()?;
        let row = |name: String| match store.entry(&name) {
            Ok(entry) => Row { name, present: Some(entry.file.is_file()), manifest: Ok(entry.manifest) },
            Err(error) => Row { name, present: None, manifest: Err(error.to_string()) },
        };
        if names.is_empty() && !args.json {
            let place = store.directory().display();
            writeln!(io::stderr().lock(), "no models in {place}; `egret model list --catalogue` names some that can be pulled")?;
        }
        names.into_iter().map(row).collect()
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{:#}", rows.iter().map(report).collect::<serde_json::Value>())?;
    } else if !rows.is_empty() {
        print(&mut out, &rows, args.catalogue)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn what(manifest: &Manifest) -> String {
    match &manifest.spec.task {
        TaskSpec::Detect { head, .. } => format!("detect, {}", head.kind()),
        TaskSpec::Embed { len } => format!("embed {len}"),
        other => other.word().to_owned(),
    }
}

fn size(manifest: &Manifest) -> String {
    let input = &manifest.spec.input;
    let batch = match input.batch {
        BatchAxis::Fixed(n) => n.to_string(),
        BatchAxis::Dynamic => "N".into(),
    };
    format!("{batch} x {}x{}", input.width, input.height)
}

/// Where the file is, or comes from.
fn origin(row: &Row, manifest: &Manifest) -> &'static str {
    match (row.present, &manifest.card.url, &manifest.card.sha256) {
        (Some(true), _, Digest::Known(_)) => "here",
        (Some(true), ..) => "here, sha256 unknown",
        (Some(false), Some(_), _) => "missing: pull it",
        (Some(false), None, _) => "missing",
        (None, Some(_), Digest::Known(_)) => "pull",
        (None, Some(_), Digest::Unknown) => "pull, sha256 unknown",
        (None, None, _) => "export",
    }
}

fn print(out: &mut impl io::Write, rows: &[Row], catalogue: bool) -> io::Result<()> {
    let last = if catalogue { "how to get it" } else { "file" };
    let mut table = vec![["name", "task", "input", "classes", "license", last].map(ToOwned::to_owned)];
    for row in rows {
        table.push(match &row.manifest {
            Ok(manifest) => [
                row.name.clone(),
                what(manifest),
                size(manifest),
                manifest.spec.classes.len().to_string(),
                manifest.card.license.clone().unwrap_or_else(|| "?".into()),
                origin(row, manifest).into(),
            ],
            Err(_) => [row.name.as_str(), "it cannot be used", "", "", "", "egret model verify says why"].map(ToOwned::to_owned),
        });
    }
    let widths: Vec<usize> = (0..6).map(|column| table.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    for row in &table {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

fn report(row: &Row) -> serde_json::Value {
    match &row.manifest {
        Err(problem) => json!({ "name": row.name, "problem": problem }),
        Ok(manifest) => json!({
            "name": row.name,
            "description": manifest.card.description,
            "task": manifest.spec.task.word(),
            "head": match &manifest.spec.task { TaskSpec::Detect { head, .. } => Some(head.kind()), _ => None },
            "width": manifest.spec.input.width,
            "height": manifest.spec.input.height,
            "batch": match manifest.spec.input.batch { BatchAxis::Fixed(n) => json!(n), BatchAxis::Dynamic => json!("dynamic") },
            "classes": manifest.spec.classes,
            "license": manifest.card.license,
            "file": manifest.card.file,
            "present": row.present,
            "sha256": manifest.card.sha256.to_string(),
            "url": manifest.card.url,
            "export": manifest.card.export,
        }),
    }
}
