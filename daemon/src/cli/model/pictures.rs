//! What `quantize` and `fp16` have in common: where pictures come from, what must hold, what is printed.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use egret_models::eval::agreement::Gate;

use crate::{
    config::{self, CpuRuntime, Overrides, RuntimeConfig, Sources},
    life,
    precision::{self, Collected, From, Outcome, SiteOptions},
    store,
};

/// The word for a site's own cameras.
const CAMERAS: &str = "cameras";

/// Arguments about pictures.
#[derive(Debug, clap::Args)]
pub(super) struct PictureArgs {
    /// Most pictures to calibrate on.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(8..=100_000))]
    frames: u32,
    /// Of a video, the time between two pictures.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = span)]
    every: Duration,
    /// Other pictures to judge on: a folder, a video, or scene:SEED. Else a quarter of --from, chosen by content.
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
    /// With --from cameras: keep the frames afterwards. Else they are deleted.
    #[arg(long)]
    keep_frames: bool,
}

/// Pictures that were found, and frames of cameras that are to be deleted.
pub(super) struct Found {
    pub(super) from: From,
    pub(super) holdout: Option<From>,
    collected: Option<Collected>,
}

impl PictureArgs {
    pub(super) fn frames(&self) -> usize {
        self.frames as usize
    }

    pub(super) fn gate(&self) -> Gate {
        self.gate
    }

    /// The pictures of `--from`; frames of cameras are collected first.
    pub(super) fn find(&self, from: &str) -> anyhow::Result<Found> {
        let path = |path: &Path| From::path(path, self.every);
        let holdout = self.holdout.as_deref().map(path).transpose()?;
        if from != CAMERAS {
            return Ok(Found { from: path(Path::new(from))?, holdout, collected: None });
        }
        let sources = Sources::of_process(self.config.clone(), Overrides::default());
        let loaded = config::load(&sources).map_err(|problems| {
            let listed: Vec<String> = problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("{}", listed.join("\n"))
        })?;
        let state = store::default_directory(&|name| std::env::var(name).ok());
        let state =
            state.as_deref().and_then(Path::parent).context("there is no state directory: set STATE_DIRECTORY or HOME")?;
        let options = SiteOptions {
            config: loaded.config,
            // A quarter will be held out.
            frames: self.frames() + if self.holdout.is_none() { self.frames() / 3 } else { 0 },
            spread: self.spread,
            consent: self.consent,
            state: state.to_owned(),
        };
        let collected = life::run(async { precision::collect(&options, &mut told).await }).context("no async runtime")??;
        for (camera, frames) in &collected.cameras {
            told(&format!("{camera}: {frames} frames"));
        }
        Ok(Found { from: From::Folder(collected.folder.clone()), holdout, collected: (!self.keep_frames).then_some(collected) })
    }
}

impl Found {
    /// Deletes frames of cameras that are not to be kept.
    pub(super) fn done(self) -> anyhow::Result<()> {
        if let Some(collected) = self.collected {
            told(&format!("deleted: {}", collected.folder.display()));
            collected.delete()?;
        }
        Ok(())
    }
}

/// What runs networks here.
pub(super) fn runtime(library: Option<&PathBuf>) -> RuntimeConfig {
    RuntimeConfig { cpu: CpuRuntime::OnnxRuntime, onnxruntime_library: library.cloned() }
}

/// Says on standard error what is being done.
pub(super) fn told(text: &str) {
    let _nobody_listens = writeln!(io::stderr().lock(), "{text}");
}

/// Refuses an output that would take the place of the float network.
pub(super) fn check_out(model: &Path, out: &Path) -> anyhow::Result<()> {
    let same = |a: &Path, b: &Path| a.canonicalize().ok().is_some_and(|a| b.canonicalize().ok() == Some(a));
    if same(model, out) {
        bail!("{}: that is the float network itself; name another file with -o", out.display());
    }
    if out.extension().is_none_or(|e| !e.eq_ignore_ascii_case("onnx")) {
        bail!("{}: name a file that ends in .onnx with -o", out.display());
    }
    Ok(())
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

    #[test]
    fn the_float_network_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let float = folder.path().join("float.onnx");
        std::fs::write(&float, "").unwrap();
        let error = check_out(&float, &folder.path().join("./float.onnx")).unwrap_err();
        assert!(error.to_string().contains("float network itself"), "{error}");
        assert!(check_out(&float, &folder.path().join("int8.bin")).is_err());
        assert!(check_out(&float, &folder.path().join("int8.onnx")).is_ok());
    }
}
