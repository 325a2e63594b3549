//! `egret model`: networks, their manifests and the store.

mod inspect;

use std::process::ExitCode;

use clap::Subcommand;

/// Arguments of `egret model`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what is in an ONNX file, and write its first manifest.
    Inspect(inspect::Args),
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Inspect(args) => inspect::run(&args),
    }
}
