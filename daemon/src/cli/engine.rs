//! `egret engine`: TensorRT's engines, built on the device that runs them.

mod args;
#[cfg(feature = "tensorrt")]
mod bench;
#[cfg(feature = "tensorrt")]
mod build;
mod inspect;
mod list;
#[cfg(feature = "tensorrt")]
mod prune;
mod table;
#[cfg(feature = "tensorrt")]
mod terminal;
#[cfg(feature = "tensorrt")]
mod which;

use std::{io, process::ExitCode};

use clap::Subcommand;

/// What the codes with which these commands end mean.
const EXIT_CODES: &str = "\
Exit codes: 0 it was done, and nothing is wrong; 1 it was not, or something is wrong (the error or the report says what), also where
there is no TensorRT or no GPU; 2 the command line is wrong; 78 the configuration is wrong. `build` and `bench` write nothing and end
with 130 when a signal ends them.";

/// Arguments of `egret engine`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[cfg_attr(not(feature = "tensorrt"), allow(dead_code, reason = "builds without TensorRT refuse them"))]
enum Command {
    /// Build the engines of configured models, of models of the store, or of ONNX files.
    Build(args::Build),
    /// List the engines that are there, and whether they can run here.
    List(args::List),
    /// Say what an engine is for, how it was built and what is in it.
    Inspect(args::Inspect),
    /// Measure how long an engine takes for batches of each size.
    Bench(args::Bench),
    /// Remove engines that can no longer run here, or, where there is a configuration, whose model is not configured any more.
    Prune(args::Prune),
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let out = &mut io::stdout().lock();
    match args.command {
        Command::List(args) => list::run(&args, out),
        Command::Inspect(args) => inspect::run(&args, out),
        #[cfg(feature = "tensorrt")]
        Command::Build(args) => build::run(&args, out),
        #[cfg(feature = "tensorrt")]
        Command::Bench(args) => bench::run(&args, out),
        #[cfg(feature = "tensorrt")]
        Command::Prune(args) => prune::run(&args, out),
        #[cfg(not(feature = "tensorrt"))]
        _ => anyhow::bail!(NO_PART),
    }
}

/// What a build without TensorRT says.
#[cfg(not(feature = "tensorrt"))]
const NO_PART: &str =
    "this egret was built without TensorRT, so it makes no use of engines: install a build with the feature `tensorrt`";

#[cfg(all(test, feature = "doubles"))]
mod doubles_tests;
#[cfg(test)]
mod tests;
