//! `egret bench gate`.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;

use crate::{
    bench::{GateOptions, GateReport, Way, sequences, video},
    config::{self, CpuRuntime, GateConfig, ModelConfig, ModelSource, RuntimeConfig},
    infer::{self, Loaded},
    trackeval::Rates,
};

const AFTER_HELP: &str = "\
Each camera runs in virtual time through the daemon's own motion gate, batcher, tracker and rules, four ways: every frame is inferred,
those that the gate lets through, those that the calm interval asks for, and with both. Between two looks tracks go on as they went.
The truth is the streets' and the sequences' own; in videos it is what looking at every frame tells.
  idle     frames in which nothing moves: what could be saved       saved    frames that no network looked at
  lost     points of HOTA, against looking at every frame           events   of five lines and zones: told when every frame is looked at,
  objects  that move, in view for a second or longer;                        missed (not told within a second), told besides
           missed: of their first second no frame was looked at     wait     the longest of the others, in ms

Examples:
  egret bench gate --cameras 16 --seconds 60
  egret bench gate --cameras 8 --seconds 30 --load 3
  egret bench gate --model yolox_nano.onnx --video street.mp4
  egret bench gate --sequences mot17 --fps 30 --calm-interval 200ms";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// Simulated cameras; every fourth one looks at a busy street.
    #[cfg(feature = "sim")]
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=256))]
    cameras: u64,
    /// How long each of them runs.
    #[cfg(feature = "sim")]
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// How much goes on in the idle streets: 1 is a busy one.
    #[cfg(feature = "sim")]
    #[arg(long, value_name = "0..1", default_value_t = 0.02)]
    idle: f32,
    /// Seed of the first street.
    #[cfg(feature = "sim")]
    #[arg(long, value_name = "N", default_value_t = 2_000_000)]
    seed: u64,
    /// Measure instead the CPU time of these cameras, decoding included, in so many rounds.
    #[cfg(feature = "sim")]
    #[arg(long, value_name = "ROUNDS", requires = "cameras", value_parser = clap::value_parser!(u8).range(1..=100))]
    load: Option<u8>,
    /// A video file; repeat for more.
    #[arg(long, value_name = "FILE", requires = "model")]
    video: Vec<PathBuf>,
    /// The network: an ONNX file. Default, for simulated cameras: the demo's.
    #[arg(long, value_name = "ONNX")]
    model: Option<PathBuf>,
    /// A folder of MOTChallenge sequences: the calm interval only, they have no pictures.
    #[arg(long, value_name = "DIR")]
    sequences: Option<PathBuf>,
    /// Frames per second of the sequences, or of one: NAME=RATE.
    #[arg(long, value_name = "RATE", requires = "sequences", value_delimiter = ',')]
    fps: Vec<String>,
    /// As motion_threshold.
    #[arg(long, value_name = "TIMES", default_value_t = 5.0)]
    threshold: f32,
    /// As motion_hold.
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = span)]
    hold: Duration,
    /// As still_interval.
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = span)]
    still_interval: Duration,
    /// As motion_tracks = false: what is tracked does not keep the gate open.
    #[arg(long)]
    standing_close: bool,
    /// As calm_interval.
    #[arg(long, value_name = "SPAN", default_value = "200ms", value_parser = span)]
    calm_interval: Duration,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

fn span(text: &str) -> Result<Duration, String> {
    config::span(text).ok_or_else(|| format!("{text:?} is no span; write 500ms, 5s or 1m"))
}

impl Args {
    fn options(&self) -> GateOptions {
        let (threshold, hold, interval) = (self.threshold, self.hold, self.still_interval);
        let gate = GateConfig { threshold, hold, tracks: !self.standing_close, interval };
        GateOptions { gate, calm_interval: self.calm_interval }
    }

    fn load(&self) -> anyhow::Result<Loaded> {
        let source = self.model.clone().map_or(ModelSource::Demo, ModelSource::Onnx);
        let config = ModelConfig { max_batch: 1, ..ModelConfig::new("bench", source) };
        Ok(infer::load(&config, &RuntimeConfig { cpu: CpuRuntime::Auto, onnxruntime_library: None, ..RuntimeConfig::default() })?)
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let options = args.options();
    let mut reports = Vec::new();
    #[cfg(feature = "sim")]
    if args.cameras > 0 {
        let scenes = crate::bench::Scenes { cameras: args.cameras, seconds: args.seconds, idle: args.idle, seed: args.seed };
        if let Some(rounds) = args.load {
            return load(args, &options, scenes, rounds.into());
        }
        reports.extend(streets(args, &options, &scenes)?);
    }
    if !args.video.is_empty() {
        let loaded = args.load()?;
        let info = loaded.info().clone();
        let mut detector = loaded.instances().into_iter().next().context("the model has no instance")?;
        for file in &args.video {
            let report = video(&options, file, detector.as_mut(), &info);
            reports.push(report.map_err(|reason| anyhow::anyhow!("{}: {reason}", file.display()))?);
        }
    }
    if let Some(folder) = &args.sequences {
        reports.extend(sequences(&options, folder, &Rates::new(&args.fps)?).map_err(anyhow::Error::msg)?);
    }
    anyhow::ensure!(
        !reports.is_empty(),
        "nothing to look at: name --video files with a --model, --sequences, or simulated --cameras"
    );
    let out = io::stdout().lock();
    if args.json {
        json(out, &reports)?;
    } else {
        table(out, &reports)?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "sim")]
fn streets(args: &Args, options: &GateOptions, scenes: &crate::bench::Scenes) -> anyhow::Result<Vec<GateReport>> {
    let loaded = args.load()?;
    let info = loaded.info().clone();
    let mut detector = loaded.instances().into_iter().next().context("the model has no instance")?;
    let mut progress = |number: u64| {
        // Somebody may have closed it; the table comes at the end.
        let _ = writeln!(io::stderr().lock(), "street {} of {} is done", number + 1, scenes.cameras);
    };
    let kinds = crate::bench::scenes(options, scenes, detector.as_mut(), &info, &mut progress).map_err(anyhow::Error::msg)?;
    let mut all = GateReport::named("all streets");
    for report in &kinds {
        all.add(report);
    }
    Ok(kinds.into_iter().filter(|report| report.frames > 0).chain([all]).collect())
}

#[cfg(feature = "sim")]
fn load(args: &Args, options: &GateOptions, scenes: crate::bench::Scenes, rounds: usize) -> anyhow::Result<ExitCode> {
    let loaded = args.load()?;
    let info = loaded.info().clone();
    let mut detector = loaded.instances().into_iter().next().context("the model has no instance")?;
    let load = crate::bench::GateLoad { scenes, rounds };
    let (reports, decoding) = crate::bench::load(options, &load, detector.as_mut(), &info).map_err(anyhow::Error::msg)?;
    let every = reports.first().map_or(0.0, |report| report.cpu);
    let mut out = io::stdout().lock();
    if args.json {
        let rows: Vec<_> = reports
            .iter()
            .map(|report| {
                serde_json::json!({
                    "way": report.way.name(), "cpu_per_camera_second": report.cpu, "cameras_on_two_cores": report.cameras(),
                    "times": every / report.cpu, "decoded": report.counts.decoded, "inferred": report.counts.inferred,
                })
            })
            .collect();
        let bench = serde_json::json!({ "bench": "gate load", "runtime": info.runtime, "decoding": decoding, "ways": rows });
        writeln!(out, "{bench}")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{} cameras of 640x360 at 15 frames/s, three quarters idle, {}", args.cameras, info.runtime)?;
    writeln!(out, "{:<20} {:>9} {:>9} {:>12} {:>18} {:>7}", "", "frames", "inferred", "CPU/camera", "cameras, 2 cores", "times")?;
    for report in &reports {
        let (counts, cpu) = (&report.counts, report.cpu);
        writeln!(
            out,
            "{:<20} {:>9} {:>9} {:>11.2}% {:>18.1} {:>7.2}",
            report.way.name(),
            counts.decoded,
            counts.inferred,
            100.0 * cpu,
            report.cameras(),
            every / cpu
        )?;
    }
    writeln!(
        out,
        "{:<20} {:>9} {:>9} {:>11.2}% {:>18.1} {:>7.2}",
        "decoding alone",
        "",
        "",
        100.0 * decoding,
        2.0 / decoding,
        every / decoding
    )?;
    Ok(ExitCode::SUCCESS)
}

fn micros(report: &GateReport) -> f64 {
    report.looking.as_secs_f64() * 1e6 / report.frames.max(1) as f64
}

fn table(mut out: impl Write, reports: &[GateReport]) -> io::Result<()> {
    writeln!(
        out,
        "{:<30} {:>8} {:>8} {:>7} {:>6} {:>6} {:>7} {:>7} {:>5} {:>8} {:>7} {:>5}",
        "", "frames", "inferred", "saved", "HOTA", "lost", "events", "missed", "more", "objects", "missed", "wait"
    )?;
    for report in reports {
        let idle = 100.0 * report.idle as f64 / report.frames.max(1) as f64;
        writeln!(out, "{}: idle {idle:.1} %, {:.0} us a look", report.name, micros(report))?;
        for (way, row) in Way::ALL.iter().zip(&report.ways) {
            writeln!(
                out,
                "  {:<28} {:>8} {:>8} {:>6.1}% {:>6.2} {:>6.2} {:>7} {:>7} {:>5} {:>8} {:>7} {:>5}",
                way.name(),
                row.counts.decoded,
                row.counts.inferred,
                100.0 * row.saved(),
                100.0 * row.hota.hota(),
                report.lost(*way),
                row.events,
                row.events_missed,
                row.events_more,
                row.objects,
                row.missed,
                row.longest_wait.as_millis()
            )?;
        }
    }
    Ok(())
}

fn json(mut out: impl Write, reports: &[GateReport]) -> io::Result<()> {
    let rows: Vec<_> = reports
        .iter()
        .map(|report| {
            let ways: Vec<_> = Way::ALL
                .iter()
                .zip(&report.ways)
                .map(|(way, row)| {
                    serde_json::json!({
                        "way": way.name(), "decoded": row.counts.decoded, "inferred": row.counts.inferred,
                        "gated": row.counts.dropped.gated, "saved": row.saved(), "hota": 100.0 * row.hota.hota(),
                        "hota_lost": report.lost(*way), "events": row.events, "events_missed": row.events_missed,
                        "events_more": row.events_more, "objects": row.objects, "missed": row.missed,
                        "longest_wait_ms": row.longest_wait.as_millis() as u64,
                    })
                })
                .collect();
            serde_json::json!({
                "name": report.name, "frames": report.frames, "idle": report.idle, "look_us_per_frame": micros(report), "ways": ways,
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
            ("bench gate --fps 30", "--sequences"),
            ("bench gate --sequences nowhere", "nowhere"),
        ] {
            let error = refused(words);
            assert!(error.contains(said), "{words}: {error}");
        }
    }
}
