//! Writes frames of the procedural street with their truth, to train and judge the street detector (`models/street`).
//!
//! `scene_dataset DIR --seeds 1..1200 [--per-seed 4] [--apart 40] [--condition any|day|night|day-rain|night-rain]`
//!
//! `DIR/frames.i420`: tightly packed I420 frames of 640×360, one after another. `DIR/truth.jsonl`: per frame one line, the
//! truth with `seed`, `time` and `rain` beside it. Training uses the seeds 1..=9999 and nothing else; seeds from 1000000 on
//! are for judging.
#![allow(clippy::print_stdout)]

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::PathBuf,
    time::Instant,
};

use anyhow::Context;
use clap::Parser;
use egret::sim::scene::{Scene, SceneConfig, TimeOfDay};

#[derive(Parser)]
struct Args {
    /// Where to write.
    dir: PathBuf,
    /// First seed and the one after the last: `1..1200`.
    #[arg(long)]
    seeds: String,
    /// Frames per seed.
    #[arg(long, default_value_t = 4)]
    per_seed: u64,
    /// Frames between two that are written.
    #[arg(long, default_value_t = 40)]
    apart: u64,
    /// `any` mixes all conditions, half of them at night, three in ten in rain.
    #[arg(long, default_value = "any")]
    condition: String,
}

fn config(seed: u64, condition: &str) -> anyhow::Result<SceneConfig> {
    // How busy it is and how good the sensor follow from the seed alone, as all conditions do for `any`.
    let mixed = SceneConfig::mixed(seed);
    let (time, rain) = match condition {
        "any" => (mixed.time, mixed.rain),
        "day" => (TimeOfDay::Day, false),
        "night" => (TimeOfDay::Night, false),
        "day-rain" => (TimeOfDay::Day, true),
        "night-rain" => (TimeOfDay::Night, true),
        other => anyhow::bail!("unknown condition {other:?}"),
    };
    Ok(SceneConfig { time, rain, ..mixed })
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let (first, end) = args.seeds.split_once("..").context("--seeds wants FIRST..END")?;
    let (first, end): (u64, u64) = (first.parse()?, end.parse()?);
    fs::create_dir_all(&args.dir)?;
    let mut frames = BufWriter::new(File::create(args.dir.join("frames.i420"))?);
    let mut truths = BufWriter::new(File::create(args.dir.join("truth.jsonl"))?);
    let (mut laying, mut drawing, mut count) = (0.0, 0.0, 0_u64);
    let mut bytes = Vec::new();
    for seed in first..end {
        let config = config(seed, &args.condition)?;
        let start = Instant::now();
        let mut scene = Scene::new(config);
        laying += start.elapsed().as_secs_f64();
        for i in 0..args.per_seed {
            let start = Instant::now();
            let truth = scene.frame_into(30 + i * args.apart, &mut bytes);
            drawing += start.elapsed().as_secs_f64();
            count += 1;
            frames.write_all(&bytes)?;
            let mut line = serde_json::to_value(&truth)?;
            line["seed"] = seed.into();
            line["time"] = serde_json::to_value(scene.config().time)?;
            line["rain"] = scene.config().rain.into();
            writeln!(truths, "{line}")?;
        }
    }
    let seeds = (end - first) as f64;
    println!("{count} frames; {:.2} ms per frame, {:.0} ms per street", drawing * 1e3 / count as f64, laying * 1e3 / seeds);
    Ok(())
}
