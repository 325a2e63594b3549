//! `egret model fp16`.

use std::{path::PathBuf, process::ExitCode};

use egret_models::precision::Fp16Options;

use super::pictures;
use crate::precision::{FpOptions, fp16};

/// Arguments of `egret model fp16`.
#[derive(Debug, clap::Args)]
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
    #[command(flatten)]
    pictures: pictures::PictureArgs,
    /// libonnxruntime.so; else where the daemon looks for it.
    #[arg(long, value_name = "FILE")]
    onnxruntime: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    pictures::check_out(&args.model, &args.out)?;
    let found = args.from.as_deref().map(|from| args.pictures.find(from)).transpose()?;
    let options = FpOptions {
        model: args.model.clone(),
        fp16: Fp16Options { keep_float: args.keep_float.clone(), half_io: args.half_io },
        from: found.as_ref().map(|found| found.from.clone()),
        frames: args.pictures.frames(),
        holdout: found.as_ref().and_then(|found| found.holdout.clone()),
        gate: args.pictures.gate(),
        out: args.out.clone(),
        runtime: pictures::runtime(args.onnxruntime.as_ref()),
    };
    let outcome = fp16(&options, &mut pictures::told);
    found.map_or(Ok(()), pictures::Found::done)?;
    pictures::print(&outcome?)
}
