//! `egret schema`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use crate::config;

/// Arguments of `egret schema`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args) -> anyhow::Result<ExitCode> {
    writeln!(io::stdout().lock(), "{:#}", config::schema())?;
    Ok(ExitCode::SUCCESS)
}
