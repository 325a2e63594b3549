//! `egret model add`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use egret_models::manifest::is_name;

use super::StoreArgs;

/// Arguments of `egret model add`.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub(super) struct Args {
    /// The ONNX file.
    file: PathBuf,
    /// Its manifest: a model.toml, or a name of the catalogue [default: model.toml beside the file, else one made from the graph].
    #[arg(long, value_name = "FILE|NAME")]
    manifest: Option<String>,
    /// Name in the store [default: the manifest's].
    #[arg(long)]
    name: Option<String>,
    /// Put it in the place of a model that has the same name.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(name) = args.name.as_deref().filter(|name| !is_name(name)) {
        anyhow::bail!("--name {name}: use letters, digits, `-`, `_` and `.`, at most 64, a letter or digit first");
    }
    let store = args.store.open()?;
    let manifest = args.manifest.as_deref().map(|word| super::manifest(word, &store)).transpose()?;
    let added = store.add(&args.file, manifest, args.name.as_deref(), args.replace)?;
    let mut out = io::stdout().lock();
    let card = &added.entry.manifest.card;
    writeln!(out, "added {} as {}", args.file.display(), added.entry.path.display())?;
    if added.pinned {
        writeln!(out, "its manifest did not know the sha256: {} is pinned now", card.sha256)?;
    }
    for other in &added.not_read {
        writeln!(out, "{other}")?;
    }
    for assumption in &added.assumed {
        writeln!(out, "assumed, {}: {}; check {}", assumption.key, assumption.what, assumption.check)?;
    }
    Ok(ExitCode::SUCCESS)
}
