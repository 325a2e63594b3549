//! `egret bench gate`.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;

use crate::{
    bench::{GateOptions, GateReport, video},
    config::{self, CpuRuntime, GateConfig, ModelConfig, ModelSource, RuntimeConfig},
    infer,
};

const AFTER_HELP: &str = "\
Each camera runs in virtual time through the daemon's own motion gate and batcher. An object of a second or more in view is missed when no
frame of its first second was inferred. Streets tell what is in view; in videos a network and the tracker look at every frame to find out.

Examples:
  egret bench gate --cameras 16 --seconds 60
  egret bench gate --model yolox_nano.onnx --video street.mp4 --standing-close --still-interval 500ms";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// Simulated cameras; every fourth one looks at a busy street.
    #[cfg(feature = "sim")]
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=256))]
    cameras: u64,
    /// How long each of them runs.
    #[cfg(feature = "sim")]
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How much goes on in the idle streets: 1 is a busy one.
    #[cfg(feature = "sim")]
    #[arg(long, value_name = "0..1", default_value_t = 0.02)]
    idle: f32,
    /// Seed of the first street.
    #[cfg(feature = "sim")]
    #[arg(long, value_name = "N", default_value_t = 2_000_000)]
    seed: u64,
    /// A video file; repeat for more.
    #[arg(long, value_name = "FILE", requires = "model")]
    video: Vec<PathBuf>,
    /// The network for the videos: an ONNX file.
    #[arg(long, value_name = "ONNX")]
    model: Option<PathBuf>,
    /// As motion_threshold.
    #[arg(long, value_name = "STEPS", default_value_t = 3.0)]
    threshold: f32,
    /// As motion_hold.
    #[arg(long, value_name = "SPAN", default_value = "3s", value_parser = span)]
    hold: Duration,
    /// As still_interval.
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = span)]
    still_interval: Duration,
    /// As motion_tracks = false: standing objects do not keep the gate open.
    #[arg(long)]
    standing_close: bool,
    /// As calm_interval.
    #[arg(long, value_name = "SPAN", default_value = "0s", value_parser = span)]
    calm_interval: Duration,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

fn span(text: &str) -> Result<Duration, String> {
    config::span(text).ok_or_else(|| format!("{text:?} is no span; write 500ms, 5s or 1m"))
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let gate =
        GateConfig { threshold: args.threshold, hold: args.hold, tracks: !args.standing_close, interval: args.still_interval };
    let options = GateOptions { gate: Some(gate), calm_interval: args.calm_interval };
    let mut reports = Vec::new();
    #[cfg(feature = "sim")]
    if args.cameras > 0 {
        let scenes = crate::bench::Scenes { cameras: args.cameras, seconds: args.seconds, idle: args.idle, seed: args.seed };
        let mut all = GateReport { name: "all streets".into(), ..GateReport::default() };
        for report in crate::bench::scenes(&options, &scenes) {
            all.add(&report);
            reports.push(report);
        }
        reports.push(all);
    }
    if let Some(model) = &args.model {
        let config = ModelConfig { max_batch: 1, ..ModelConfig::new("bench", ModelSource::Onnx(model.clone())) };
        let loaded = infer::load(&config, &RuntimeConfig { cpu: CpuRuntime::Auto, onnxruntime_library: None })?;
        let mut detector = loaded.instances().into_iter().next().context("the model has no instance")?;
        for file in &args.video {
            let report =
                video(&options, file, detector.as_mut()).map_err(|reason| anyhow::anyhow!("{}: {reason}", file.display()))?;
            reports.push(report);
        }
    }
    anyhow::ensure!(!reports.is_empty(), "nothing to look at: name --video files with a --model, or simulated --cameras");
    let out = io::stdout().lock();
    if args.json {
        json(out, &reports)?;
    } else {
        table(out, &reports)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn micros(report: &GateReport) -> f64 {
    report.looking.as_secs_f64() * 1e6 / report.counts.decoded.max(1) as f64
}

fn table(mut out: impl Write, reports: &[GateReport]) -> io::Result<()> {
    writeln!(
        out,
        "{:<32} {:>9} {:>9} {:>9} {:>7} {:>8} {:>7} {:>11} {:>9}",
        "", "frames", "inferred", "gated", "saved", "objects", "missed", "longest ms", "us/frame"
    )?;
    for report in reports {
        let counts = &report.counts;
        writeln!(
            out,
            "{:<32} {:>9} {:>9} {:>9} {:>6.1}% {:>8} {:>7} {:>11} {:>9.1}",
            report.name,
            counts.decoded,
            counts.inferred,
            counts.dropped.gated,
            100.0 * report.saved(),
            report.objects,
            report.missed,
            report.longest_wait.as_millis(),
            micros(report)
        )?;
    }
    Ok(())
}

fn json(mut out: impl Write, reports: &[GateReport]) -> io::Result<()> {
    let rows: Vec<_> = reports
        .iter()
        .map(|report| {
            serde_json::json!({
                "name": report.name, "decoded": report.counts.decoded, "inferred": report.counts.inferred,
                "gated": report.counts.dropped.gated, "saved": report.saved(), "objects": report.objects, "missed": report.missed,
                "longest_wait_ms": report.longest_wait.as_millis() as u64, "look_us_per_frame": micros(report),
            })
        })
        .collect();
    writeln!(out, "{}", serde_json::json!({ "bench": "gate", "cameras": rows }))
}

#[cfg(test)]
mod tests {
    use crate::cli::refused;

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (words, said) in [
            ("bench gate", "nothing to look at"),
            ("bench gate --video a.mp4", "--model"),
            ("bench gate --hold soon", "is no span"),
            ("bench gate --model nowhere.onnx --video a.mp4", "nowhere.onnx"),
        ] {
            let error = refused(words);
            assert!(error.contains(said), "{words}: {error}");
        }
    }
}
