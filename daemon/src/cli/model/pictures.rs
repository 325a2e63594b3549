//! What `quantize` and `fp16` have in common: where pictures come from, what must hold, what is printed.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use egret_models::eval::agreement::Gate;
use tokio_util::sync::CancellationToken;

use super::interrupt;
use crate::{
    config::{self, CpuRuntime, Overrides, RuntimeConfig, Sources},
    life::{self, Exit},
    precision::{self, FrameFolder, From, Outcome, PrecisionFailure, SiteOptions},
    store,
};

/// The word for a site's own cameras.
const CAMERAS: &str = "cameras";

/// Arguments about pictures.
#[derive(Debug, clap::Args)]
pub(super) struct PictureArgs {
    /// Most pictures to calibrate on; at least 24 where one of four is held out.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(8..=100_000))]
    frames: u32,
    /// Of a video, the time between two pictures.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = span)]
    every: Duration,
    /// Other pictures to judge on: a folder, a video, or scene:SEED. Else one of four of --from, chosen by content.
    #[arg(long, value_name = "DIR|VIDEO|scene:SEED[..END]")]
    holdout: Option<PathBuf>,
    /// What must hold, e.g. recall=0.97,precision=0.97,iou=0.75,drift=0.03.
    #[arg(long, value_name = "LIMITS", default_value = "", hide_default_value = true, value_parser = gate)]
    gate: Gate,
    /// With --from cameras: the configuration that names them.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// With --from cameras: the time that the frames are spread over.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = span)]
    spread: Duration,
    /// With --from cameras: those whom the cameras see have agreed that frames are kept on this device, or the law allows it.
    #[arg(long)]
    consent: bool,
    /// With --from cameras: keep the frames where a file was written or refused. Else, and when a signal ends it, they are deleted.
    #[arg(long)]
    keep_frames: bool,
}

/// Where the pictures of a conversion come from.
pub(super) struct Found {
    pub(super) from: From,
    pub(super) holdout: Option<From>,
    /// What is to be collected first.
    pub(super) site: Option<Site>,
}

/// Cameras that frames are to be collected from.
pub(super) struct Site {
    options: SiteOptions,
    /// They stay afterwards.
    kept: bool,
}

impl PictureArgs {
    pub(super) fn frames(&self) -> usize {
        self.frames as usize
    }

    pub(super) fn gate(&self) -> Gate {
        self.gate
    }

    /// The pictures of `--from` for the network of `model`. Whatever can be wrong is told before a camera is asked.
    pub(super) fn find(
        &self,
        from: &str,
        model: &Path,
        runtime: &RuntimeConfig,
        stop: &CancellationToken,
    ) -> anyhow::Result<Found> {
        let path = |path: &Path| From::path(path, self.every);
        let holdout = self.holdout.as_deref().map(path).transpose()?;
        if from != CAMERAS {
            let from = path(Path::new(from))?;
            precision::enough(Some(&from), holdout.as_ref(), self.frames())?;
            return Ok(Found { from, holdout, site: None });
        }
        precision::enough(None, holdout.as_ref(), self.frames())?;
        let sources = Sources::of_process(self.config.clone(), Overrides::default());
        let loaded = config::load(&sources).map_err(|problems| {
            let listed: Vec<String> = problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("{}", listed.join("\n"))
        })?;
        let state = state().context("there is no state directory: set STATE_DIRECTORY or HOME")?;
        let options = SiteOptions {
            config: loaded.config,
            frames: precision::pictures_for(self.frames(), holdout.is_none())?,
            spread: self.spread,
            folder: Arc::new(FrameFolder::create(&state, self.consent)?),
            stop: stop.clone(),
        };
        precision::ready(model, runtime)?;
        let from = From::Folder(options.folder.path().to_owned());
        Ok(Found { from, holdout, site: Some(Site { options, kept: self.keep_frames }) })
    }
}

/// The state directory.
fn state() -> Option<PathBuf> {
    let store = store::default_directory(&|name| std::env::var(name).ok())?;
    store.parent().map(Path::to_owned)
}

/// Deletes frames of cameras that a command which was killed has left.
pub(super) fn sweep() {
    match state().map(|state| precision::sweep(&state)) {
        None => {}
        Some(Ok(swept)) => {
            for folder in swept {
                told(&format!("deleted: {}, left by a command that was killed", folder.display()));
            }
        }
        Some(Err(error)) => told(&format!("frames of cameras stay behind: {error}")),
    }
}

/// Collects what is to be collected, converts, and prints what came of it. A signal stops it, and deletes frames of cameras at once.
pub(super) fn convert(
    site: Option<Site>,
    stop: &CancellationToken,
    work: impl FnOnce() -> Result<Outcome, PrecisionFailure> + Send + 'static,
) -> anyhow::Result<ExitCode> {
    let folder = site.as_ref().map(|site| Arc::clone(&site.options.folder));
    let kept = site.as_ref().is_some_and(|site| site.kept);
    let delete = {
        let folder = folder.clone();
        move || folder.as_ref().map_or(Ok(()), |folder| folder.delete())
    };
    let clear = || {
        if let Err(error) = delete() {
            told(&error.to_string());
        }
    };
    let worked = interrupt::run(stop, clear, move || {
        site.as_ref().map_or(Ok(()), Site::collect)?;
        work().map_err(anyhow::Error::from)
    })?;
    let Some(outcome) = worked else { return Ok(Exit::Interrupted.into()) };
    match folder {
        Some(folder) if kept && outcome.is_ok() => {
            folder.keep()?;
            told(&format!("kept: {}", folder.path().display()));
        }
        Some(folder) => {
            folder.delete()?;
            told(&format!("deleted: {}", folder.path().display()));
        }
        None => {}
    }
    print(&outcome?)
}

impl Site {
    fn collect(&self) -> anyhow::Result<()> {
        let collected = life::run(async { precision::collect(&self.options, &mut told).await }).context("no async runtime")??;
        for (camera, frames) in &collected.cameras {
            told(&format!("{camera}: {frames} frames"));
        }
        Ok(())
    }
}

/// What runs networks here.
pub(super) fn runtime(library: Option<&PathBuf>) -> RuntimeConfig {
    RuntimeConfig { cpu: CpuRuntime::OnnxRuntime, onnxruntime_library: library.cloned(), ..RuntimeConfig::default() }
}

/// Says on standard error what is being done.
pub(super) fn told(text: &str) {
    let _nobody_listens = writeln!(io::stderr().lock(), "{text}");
}

pub(super) fn print(outcome: &Outcome) -> anyhow::Result<ExitCode> {
    precision::write_table(&mut io::stdout().lock(), outcome)?;
    Ok(if outcome.written.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn span(text: &str) -> Result<Duration, String> {
    config::span(text).ok_or_else(|| format!("{text:?} is no duration: write e.g. 500ms, 30s, 10m or 2h"))
}

fn gate(text: &str) -> Result<Gate, String> {
    let mut gate = Gate::default();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').ok_or_else(|| format!("{part:?}: write KEY=NUMBER"))?;
        let number: f64 = value.parse().ok().filter(|v| (0.0..=1.0).contains(v)).ok_or(format!("{value:?} is not in 0 to 1"))?;
        match key {
            "recall" => gate.recall = number,
            "precision" => gate.precision = number,
            "iou" => gate.iou = number as f32,
            "drift" => gate.drift = number,
            _ => return Err(format!("{key:?} is no limit: write recall, precision, iou or drift")),
        }
    }
    Ok(gate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_typos_told() {
        assert_eq!(gate("").unwrap(), Gate::default());
        let read = gate("recall=0.9, iou=0.5").unwrap();
        assert!((read.recall - 0.9).abs() < 1e-9 && (read.iou - 0.5).abs() < 1e-6);
        assert!(gate("recal=0.9").unwrap_err().contains("recall"));
        assert!(gate("recall=1.9").unwrap_err().contains("0 to 1"));
        assert!(gate("recall").unwrap_err().contains("KEY=NUMBER"));
        assert_eq!(span("2h").unwrap(), Duration::from_hours(2));
        assert!(span("2 fortnights").unwrap_err().contains("30s"));
    }
}
