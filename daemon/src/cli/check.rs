//! `egret check`.

use std::process::ExitCode;

/// Arguments of `egret check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("under construction")
}
