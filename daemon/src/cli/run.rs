//! `egret run`.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{self, Edits, Overrides, Problem, Sources, Texts},
    daemon::{self, Surroundings},
    life::{self, Exit, Notifier},
    observe,
};

/// Arguments of `egret run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE", help = format!("The configuration file [default: {}]", config::DEFAULT_FILE))]
    config: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let sources = Sources::of_process(args.config, args.overrides);
    let loaded = match config::load(&sources) {
        Ok(loaded) => loaded,
        Err(problems) => return reject(&problems),
    };
    let knob = observe::log::init(&loaded.config.log)?;
    super::model::sweep();
    for advice in &loaded.advice {
        tracing::warn!("{advice}");
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        device = loaded.config.device,
        hardware = %egret_jetson::probe(Path::new("/")),
        cameras = loaded.config.cameras.len(),
        "egret starts"
    );
    let read = move |texts: Option<Texts>, edits: Edits| config::load(&Sources { texts, edits, ..sources.clone() });
    let cancel = CancellationToken::new();
    let surroundings = Surroundings { notifier: Notifier::from_env(), read, log: Some(knob), attached: None, cancel };
    let exit = life::run(daemon::run(loaded, surroundings)).context("no async runtime")?;
    tracing::info!(exit = exit.number(), "egret ends");
    Ok(exit.into())
}

/// Every problem at once, as `egret check` prints them.
pub(super) fn reject(problems: &[Problem]) -> anyhow::Result<ExitCode> {
    let exit = refuse(problems)?;
    writeln!(io::stderr().lock(), "egret: the configuration is wrong; `egret check` tells the same without starting")?;
    Ok(exit)
}

/// The same of options that are no configuration yet.
pub(super) fn refuse(problems: &[Problem]) -> anyhow::Result<ExitCode> {
    let mut err = io::stderr().lock();
    for problem in problems {
        writeln!(err, "error: {problem}\n")?;
    }
    Ok(Exit::Configuration.into())
}
