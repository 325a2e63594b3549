//! `egret model quantize`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::bail;
use egret_models::precision::{Method, QdqOptions, quantizable_ops};
use tokio_util::sync::CancellationToken;

use super::pictures;
use crate::precision::{QuantizeOptions, check_out, quantize};

/// Arguments of `egret model quantize`.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub(super) struct Args {
    /// The float network.
    model: PathBuf,
    /// Pictures to calibrate on: a folder of JPEG and PNG files, a video, `cameras` for those of --config, or scene:SEED for streets
    /// that egret draws itself.
    #[arg(long, value_name = "DIR|VIDEO|cameras|scene:SEED[..END]")]
    from: String,
    /// How ranges are chosen: minmax, percentile (99.99 %), percentile=99.9, or entropy.
    #[arg(long, default_value = "percentile", value_parser = method)]
    method: Method,
    /// Nodes that stay in float, by name; may be given several times.
    #[arg(long, value_name = "NODE")]
    keep_float: Vec<String>,
    /// Operators to quantize.
    #[arg(long, value_name = "OPS", value_delimiter = ',', default_value = "Conv,Gemm,MatMul")]
    ops: Vec<String>,
    /// Largest share of the layers that may stay in float for the gate's sake, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    most_float: f64,
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
    if !(0.0..=1.0).contains(&args.most_float) {
        bail!("--most-float must be 0 to 1");
    }
    if let Some(op) = args.ops.iter().find(|op| !quantizable_ops().any(|known| known == op.as_str())) {
        bail!("--ops: {op:?} is not among {}", quantizable_ops().collect::<Vec<_>>().join(", "));
    }
    let (stop, runtime) = (CancellationToken::new(), pictures::runtime(args.onnxruntime.as_ref()));
    let found = args.pictures.find(&args.from, &args.model, &runtime, &stop)?;
    let options = QuantizeOptions {
        model: args.model,
        from: found.from,
        frames: args.pictures.frames(),
        holdout: found.holdout,
        method: args.method,
        qdq: QdqOptions { ops: args.ops, keep_float: args.keep_float },
        gate: args.pictures.gate(),
        most_float: args.most_float,
        out: args.out,
        runtime,
        stop: stop.clone(),
    };
    pictures::convert(found.site, &stop, move || quantize(&options, &mut pictures::told))
}

fn method(text: &str) -> Result<Method, String> {
    match text.split_once('=') {
        None if text == "minmax" => Ok(Method::MinMax),
        None if text == "entropy" => Ok(Method::Entropy),
        None if text == "percentile" => Ok(Method::Percentile(99.99)),
        Some(("percentile", percent)) => match percent.parse() {
            Ok(percent) if (50.0..=100.0).contains(&percent) => Ok(Method::Percentile(percent)),
            _ => Err(format!("{percent:?} is not in 50 to 100")),
        },
        _ => Err("write minmax, percentile, percentile=99.9 or entropy".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_read_and_typos_told() {
        assert_eq!(method("entropy"), Ok(Method::Entropy));
        assert_eq!(method("percentile=99.5"), Ok(Method::Percentile(99.5)));
        for wrong in ["percentile=5", "percentile=x", "kl", "minmax=1"] {
            assert!(method(wrong).is_err(), "{wrong}");
        }
    }
}
