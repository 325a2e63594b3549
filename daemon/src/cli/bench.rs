//! `egret bench`.

mod gate;
mod publish;

use std::{io, process::ExitCode, time::Duration};

use anyhow::Context as _;

use crate::{
    bench::{self, Load, Options, Overhead},
    config::{self, Config, Overrides, Secret},
};

/// Arguments of `egret bench`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The daemon's own cost per frame: everything but decoding, letterbox and inference, towards a real broker.
    Overhead(OverheadArgs),
    /// What the motion gate saves, and whether it misses anything: on simulated streets and on videos.
    Gate(gate::Args),
    /// How many messages a second leave for a broker: frames, or events through the queue on disk.
    Publish(publish::Args),
}

#[derive(Debug, clap::Args)]
struct OverheadArgs {
    /// The broker: mqtt://host:port.
    #[arg(long, value_name = "URL")]
    broker: Secret,
    /// Frames as fast as they are taken, instead of live cameras.
    #[arg(long, conflicts_with = "fps")]
    saturated: bool,
    /// Cameras.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    cameras: u16,
    /// Frames per second of each camera.
    #[arg(long, value_name = "FPS", default_value_t = 30.0)]
    fps: f64,
    /// Objects that move in each frame.
    #[arg(long, value_name = "N", default_value_t = 10)]
    objects: usize,
    /// Largest batch.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    max_batch: u16,
    /// How long to measure, after a fifth of that to warm up.
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    seconds: f64,
    /// Print one line of JSON instead of tables.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Overhead(args) => overhead(args),
        What::Gate(args) => gate::run(&args),
        What::Publish(args) => publish::run(args),
    }
}

fn overhead(args: OverheadArgs) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(args.fps > 0.0 && args.fps <= 1000.0, "--fps must be above 0 and at most 1000");
    anyhow::ensure!(args.seconds >= 0.5 && args.seconds <= 3600.0, "--seconds must be 0.5 to 3600");
    let config = towards(args.broker)?;
    let load = if args.saturated { Load::Saturated } else { Load::Paced { fps: args.fps } };
    let duration = Duration::from_secs_f64(args.seconds);
    let options = Options {
        config,
        cameras: args.cameras.into(),
        load,
        objects: args.objects,
        max_batch: args.max_batch.into(),
        warm_up: duration / 5,
        duration,
    };
    let result = bench::overhead(&options).context("egret bench overhead")?;
    let out = io::stdout().lock();
    if args.json {
        overhead_json(out, &options, &result)?;
    } else {
        overhead_text(out, &options, &result)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration of a daemon that knows this broker and nothing else.
fn towards(broker: Secret) -> anyhow::Result<Config> {
    let overrides = Overrides {
        broker: Some(broker),
        device: Some("bench".into()),
        model: Some("builtin:null".into()),
        ..Overrides::default()
    };
    let sources = config::Sources { overrides, host_name: "bench".into(), ..config::Sources::default() };
    let mut config = config::load(&sources)
        .map_err(|problems| {
            let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("{}", all.join("\n"))
        })?
        .config;
    if let Some(mqtt) = &mut config.mqtt {
        mqtt.first.client_id = format!("egret-bench-{}", std::process::id());
    }
    Ok(config)
}

fn name(load: Load) -> String {
    match load {
        Load::Saturated => "saturated".into(),
        Load::Paced { fps } => format!("paced at {fps} fps"),
    }
}

fn overhead_json(mut out: impl io::Write, options: &Options, result: &Overhead) -> anyhow::Result<()> {
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let stages = result.stages.iter().map(
        |s| serde_json::json!({ "stage": s.name, "mean_us": micros(s.mean), "p50_us": micros(s.p50), "p99_us": micros(s.p99) }),
    );
    let frames = result.frames.max(1) as f64;
    let threads: serde_json::Map<_, _> =
        result.usage.threads.iter().map(|(name, cpu)| (name.clone(), (micros(*cpu) / frames).into())).collect();
    let value = serde_json::json!({
        "bench": "overhead", "load": name(options.load), "cameras": options.cameras, "objects": options.objects,
        "frames": result.frames, "frames_per_s": result.frames as f64 / result.wall.as_secs_f64(), "unsent": result.unsent,
        "dropped": result.counts.dropped.total(), "mean_batch": result.mean_batch,
        "cpu_us_per_frame": result.cpu_us_per_frame(), "cpu_us_per_frame_by_thread": threads, "sleeps_per_frame": result.sleeps_per_frame(),
        "peak_rss_mb": bench::peak_resident_bytes().map(|bytes| bytes as f64 / 1e6), "stages": stages.collect::<Vec<_>>(),
    });
    Ok(writeln!(out, "{value}")?)
}

fn overhead_text(mut out: impl io::Write, options: &Options, result: &Overhead) -> anyhow::Result<()> {
    let Overhead { wall, frames, unsent, mean_batch, usage, stages, counts } = result;
    writeln!(
        out,
        "{} cameras, {}, {} objects, batches of up to {}",
        options.cameras,
        name(options.load),
        options.objects,
        options.max_batch
    )?;
    let rate = *frames as f64 / wall.as_secs_f64();
    writeln!(
        out,
        "{frames} frames published in {:.1} s ({rate:.0} /s), {unsent} messages unsent, {mean_batch:.2} frames per batch",
        wall.as_secs_f64()
    )?;
    writeln!(
        out,
        "decoded {} = inferred {} + dropped {} + in flight {}",
        counts.decoded,
        counts.inferred,
        counts.dropped.total(),
        counts.in_flight
    )?;
    writeln!(out, "CPU {:.2} µs per frame, {:.3} sleeps per frame", result.cpu_us_per_frame(), result.sleeps_per_frame())?;
    for (thread, cpu) in &usage.threads {
        let each = cpu.as_secs_f64() * 1e6 / (*frames).max(1) as f64;
        if each >= 0.01 {
            writeln!(out, "  {thread:<16} {each:>8.2}")?;
        }
    }
    writeln!(out, "{:<14} {:>12} {:>12} {:>12}", "stage", "mean µs", "p50 µs", "p99 µs")?;
    for stage in stages {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        writeln!(out, "{:<14} {:>12.1} {:>12.1} {:>12.1}", stage.name, micros(stage.mean), micros(stage.p50), micros(stage.p99))?;
    }
    Ok(())
}
