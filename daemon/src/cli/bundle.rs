//! `egret bundle`.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use anyhow::Context as _;
use url::Url;

use crate::{
    bundle::{self, Redaction, Surroundings},
    config::{self, Config, Overrides, Sources},
    life,
};

/// Where the daemon's state is, as the unit has it.
const STATE: &str = "/var/lib/egret";

/// Arguments of `egret bundle`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The archive holds no passwords, but names of cameras and addresses: look through it before you send it away."
)]
pub(super) struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE", help = format!("The configuration file [default: {}]", config::DEFAULT_FILE))]
    config: Option<PathBuf>,
    /// The archive to write, a gzipped tar file [default: egret-DEVICE-TIME.tar.gz here].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The unit whose journal is read.
    #[arg(long, default_value = "egret")]
    unit: String,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let sources = Sources { checking: true, ..Sources::of_process(args.config, Overrides::default()) };
    let (config, problems) = match config::examine(&sources) {
        Ok(loaded) => (Some(loaded.config), 0),
        Err(rejected) => (rejected.config.map(|config| *config), rejected.problems.len()),
    };
    let device = config.as_ref().map_or_else(|| sources.host_name.trim().to_owned(), |config| config.device.clone());
    let redaction = config.as_ref().map(Redaction::of).unwrap_or_default();
    let http = match &config {
        Some(config) => config.http.as_ref().and_then(|http| Url::parse(&format!("http://{}", http.listen)).ok()),
        // It may run with an earlier configuration.
        None => Url::parse("http://127.0.0.1:9180").ok(),
    };
    let folders = folders(config.as_ref());
    let at = SystemTime::now();
    let name = bundle::file_name(&device, at);
    let output = args.output.unwrap_or_else(|| PathBuf::from(format!("{name}.tar.gz")));
    let file = create(&output)?;
    let around = Surroundings { sources, http, unit: args.unit, folders, root: PathBuf::from("/") };
    let parts = life::run(bundle::gather(&around)).context("no async runtime")?;
    let written = bundle::archive(file, &name, &parts, &redaction, at).and_then(|file| file.sync_all());
    written.with_context(|| output.display().to_string())?;
    let mut out = io::stdout().lock();
    for part in &parts {
        if let Err(reason) = &part.content {
            writeln!(out, "left out {}: {}", part.name, redaction.clean(reason).trim_end())?;
        }
    }
    if problems > 0 {
        let what = "passwords that could not be read in it are told by the words before them only";
        writeln!(out, "the configuration is wrong (problems: {problems}, in check.json of the archive): {what}")?;
    }
    writeln!(out, "wrote {}: without passwords; look through it before you send it to somebody", output.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Its owner's alone; what is there is not written over.
fn create(path: &Path) -> anyhow::Result<File> {
    let told = || format!("{} cannot be made: name another one with --output", path.display());
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(told)
}

fn folders(config: Option<&Config>) -> Vec<PathBuf> {
    let queue = config.and_then(|config| Some(config.mqtt.as_ref()?.queue.as_ref()?.directory.clone()));
    let state = PathBuf::from(STATE);
    let outside = queue.filter(|queue| !queue.starts_with(&state));
    [Some(state), outside].into_iter().flatten().collect()
}
