//! `egret model`: networks, their manifests and the store.

mod add;
mod fp16;
mod inspect;
pub(in crate::cli) mod interrupt;
mod list;
mod pictures;
mod pull;
mod quantize;
mod verify;

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;

use crate::store::{self, Store};

/// What the codes with which these commands end mean.
const EXIT_CODES: &str = "\
Exit codes: 0 it was done, and nothing is wrong; 1 it was not, or something is wrong (the error or the report says what); 2 the command
line is wrong. `quantize` and `fp16` delete what they had begun and end with 130 when a signal ends them.";

/// Arguments of `egret model`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what is in an ONNX file, and write its first manifest.
    Inspect(inspect::Args),
    /// List the models of the store, or of the built-in catalogue.
    List(list::Args),
    /// Take an ONNX file into the store.
    Add(add::Args),
    /// Check the models of the store: checksums, and whether graph and manifest agree.
    Verify(verify::Args),
    /// Download a model into the store.
    Pull(pull::Args),
    /// Write an INT8 file with explicit scales, calibrated on pictures and held against the float network.
    Quantize(Box<quantize::Args>),
    /// Write a strongly typed FP16 file.
    Fp16(Box<fp16::Args>),
}

/// Where the store is.
#[derive(Debug, clap::Args)]
struct StoreArgs {
    /// The store [default: models under STATE_DIRECTORY, /var/lib/egret, or XDG_STATE_HOME/egret].
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

impl StoreArgs {
    fn open(&self) -> anyhow::Result<Store> {
        Ok(Store::new(store::directory(self.store.as_deref())?))
    }

    /// One that is only read: where somebody named it, it must be there.
    fn existing(&self) -> anyhow::Result<Store> {
        match &self.store {
            Some(path) if !path.exists() => Err(store::StoreError::NoStore { path: path.clone() }.into()),
            _ => self.open(),
        }
    }
}

/// Deletes frames of cameras that a command which was killed has left.
pub(super) fn sweep() {
    pictures::sweep();
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    sweep();
    match args.command {
        Command::Inspect(args) => inspect::run(&args),
        Command::List(args) => list::run(&args),
        Command::Add(args) => add::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Pull(args) => pull::run(&args),
        Command::Quantize(args) => quantize::run(*args),
        Command::Fp16(args) => fp16::run(*args),
    }
}

/// The manifest that a word means: a file, a model of the store, or one of the catalogue.
fn manifest(word: &str, store: &Store) -> anyhow::Result<(egret_models::manifest::Manifest, String)> {
    use egret_models::zoo;
    let path = std::path::Path::new(word);
    if word.contains('/') || path.extension().is_some_and(|ending| ending == "toml") {
        return Ok(store::read_manifest(path)?);
    }
    match store.entry(word) {
        Ok(entry) => Ok(store::read_manifest(&entry.path)?),
        Err(store::StoreError::NoSuchModel { .. }) => match zoo::text(word) {
            Some(text) => Ok((zoo::manifest(word)?, text.to_owned())),
            None => anyhow::bail!(
                "no model `{word}` in {}, nor in the catalogue (`egret model list --catalogue`)",
                store.directory().display()
            ),
        },
        Err(error) => Err(error.into()),
    }
}
