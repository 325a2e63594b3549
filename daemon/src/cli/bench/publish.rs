//! `egret bench publish`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;

use crate::{
    bench::{self, Messages, PublishOptions, Publishing},
    config::{FrameFormat, QueueConfig, Secret},
};

/// Arguments of `egret bench publish`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The broker: mqtt://host:port.
    #[arg(long, value_name = "URL")]
    broker: Secret,
    /// Events instead of frames, through a queue that is made in this directory and removed again. It is to be on the disk that is meant.
    #[arg(long, value_name = "DIR")]
    events: Option<PathBuf>,
    /// How frames are written.
    #[arg(long, value_enum, default_value = "json", conflicts_with = "events")]
    format: Format,
    /// Objects in each frame.
    #[arg(long, value_name = "N", default_value_t = 10, conflicts_with = "events")]
    objects: usize,
    /// Cameras that take turns.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    cameras: u16,
    /// How long to measure, after a fifth of that to warm up.
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    seconds: f64,
    /// Print one line of JSON instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Json,
    Cbor,
    Protobuf,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Cbor => "cbor",
            Self::Protobuf => "protobuf",
        }
    }
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(args.seconds >= 0.5 && args.seconds <= 3600.0, "--seconds must be 0.5 to 3600");
    anyhow::ensure!(args.objects <= 1000, "--objects must be at most 1000");
    let mut config = super::towards(args.broker)?;
    let queue = args.events.as_ref().map(|events| events.join(format!("egret-bench-queue-{}", std::process::id())));
    if let Some(mqtt) = &mut config.mqtt {
        mqtt.queue = queue.clone().map(QueueConfig::at);
        mqtt.first.frame_format = match args.format {
            Format::Json => FrameFormat::Json,
            Format::Cbor => FrameFormat::Cbor,
            Format::Protobuf => FrameFormat::Protobuf,
        };
    }
    let messages = if queue.is_some() { Messages::Events } else { Messages::Frames(args.objects) };
    let duration = Duration::from_secs_f64(args.seconds);
    let options = PublishOptions { config, cameras: args.cameras.into(), messages, warm_up: duration / 5, duration };
    let result = bench::publish(&options).context("egret bench publish");
    if let Some(queue) = queue.filter(|queue| queue.exists()) {
        std::fs::remove_dir_all(&queue).with_context(|| format!("cannot remove {}", queue.display()))?;
    }
    print(&result?, messages, args.format, args.json)?;
    Ok(ExitCode::SUCCESS)
}

fn print(result: &Publishing, messages: Messages, format: Format, json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let micros = |time: &Duration| time.as_secs_f64() * 1e6 / result.messages.max(1) as f64;
    let what = match messages {
        Messages::Frames(objects) => format!("frames with {objects} objects as {}", format.name()),
        Messages::Events => "events through the queue on disk".to_owned(),
    };
    let bytes = result.payload_bytes as f64 / result.messages.max(1) as f64;
    if json {
        let threads: serde_json::Map<_, _> =
            result.usage.threads.iter().map(|(name, cpu)| (name.clone(), micros(cpu).into())).collect();
        let value = serde_json::json!({
            "bench": "publish", "what": what, "messages": result.messages, "messages_per_s": result.rate(),
            "unsent": result.unsent, "bytes_per_message": bytes, "cpu_us_per_message": result.cpu_us_per_message(),
            "cpu_us_per_message_by_thread": threads, "write_amplification": result.write_amplification(),
        });
        return Ok(writeln!(out, "{value}")?);
    }
    writeln!(
        out,
        "{what}: {} in {:.1} s, {:.0} /s, {bytes:.0} bytes each, {} unsent",
        result.messages,
        result.wall.as_secs_f64(),
        result.rate(),
        result.unsent
    )?;
    writeln!(out, "CPU {:.2} µs per message", result.cpu_us_per_message())?;
    for (thread, cpu) in result.usage.threads.iter().filter(|(_, cpu)| micros(cpu) >= 0.01) {
        writeln!(out, "  {thread:<16} {:>8.2}", micros(cpu))?;
    }
    if let (Messages::Events, Some(amplification)) = (messages, result.write_amplification()) {
        writeln!(out, "{amplification:.2} bytes written to disks for each byte of a message")?;
    }
    Ok(())
}
