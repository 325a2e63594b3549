//! `egret demo`.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;

use crate::{
    config::{BadFilter, LogConfig, LogFormat, log_filter},
    demo::{self, Options},
    life, observe,
};

/// Arguments of `egret demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many simulated cameras.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    cameras: u8,
    /// Frames per second of each.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=60))]
    fps: u32,
    /// End after this long, e.g. 20s; exit 0 only if every camera was seen and detected on.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    duration: Option<Duration>,
    /// Print what a subscriber receives as JSON lines.
    #[arg(long)]
    json: bool,
    /// Which streets are drawn.
    #[arg(long, default_value_t = 1_000_001)]
    seed: u64,
    /// Log filter; logs go to standard error.
    #[arg(long, default_value = "error,rumqttd=off", value_parser = filter)]
    log: String,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    observe::log::init(&LogConfig { filter: args.log, format: LogFormat::Text })?;
    let options =
        Options { cameras: args.cameras.into(), fps: args.fps, duration: args.duration, json: args.json, seed: args.seed };
    let exit = life::run(demo::run(options)).context("no async runtime")??;
    Ok(exit.into())
}

fn filter(text: &str) -> Result<String, BadFilter> {
    log_filter(text).map(|_| text.to_owned())
}

/// A number of seconds, or one with `ms`, `s` or `m`.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| format!("{text:?} is no duration: write e.g. 20s, 500ms or 2m"))?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" => number * 60.0,
        _ => return Err(format!("{unit:?} is no unit of time: write ms, s or m")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
