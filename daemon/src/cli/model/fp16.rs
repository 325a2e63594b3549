//! `egret model fp16`.

use std::{path::PathBuf, process::ExitCode};

use egret_models::precision::Fp16Options;
use tokio_util::sync::CancellationToken;

use super::pictures;
use crate::precision::{FpOptions, check_out, fp16};

/// Arguments of `egret model fp16`.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub(super) struct Args {
    /// The float network.
    model: PathBuf,
    /// Pictures on which values in between are observed and the gate is asked: a folder, a video, `cameras`, or scene:SEED.
    #[arg(long, value_name = "DIR|VIDEO|cameras|scene:SEED[..END]")]
    from: Option<String>,
    /// Nodes that stay in FP32, by name; may be given several times.
    #[arg(long, value_name = "NODE")]
    keep_float: Vec<String>,
    /// Make halves of the network's own inputs and outputs too.
    #[arg(long)]
    half_io: bool,
    /// The file to write. Its manifest goes beside it.
    #[arg(short, long, value_name = "FILE.onnx")]
    out: PathBuf,
    /// Write it over a file that is there, and over that one's manifest.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    pictures: pictures::PictureArgs,
    /// libonnxruntime.so; else where the daemon looks for it.
    #[arg(long, value_name = "FILE")]
    onnxruntime: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    check_out(&args.model, &args.out, args.force)?;
    let (stop, runtime) = (CancellationToken::new(), pictures::runtime(args.onnxruntime.as_ref()));
    let found = args.from.as_deref().map(|from| args.pictures.find(from, &args.model, &runtime, &stop)).transpose()?;
    let (from, holdout, site) = found.map_or((None, None, None), |found| (Some(found.from), found.holdout, found.site));
    let options = FpOptions {
        model: args.model,
        fp16: Fp16Options { keep_float: args.keep_float, half_io: args.half_io },
        from,
        frames: args.pictures.frames(),
        holdout,
        gate: args.pictures.gate(),
        out: args.out,
        runtime,
        stop: stop.clone(),
    };
    pictures::convert(site, &stop, move || fp16(&options, &mut pictures::told))
}
