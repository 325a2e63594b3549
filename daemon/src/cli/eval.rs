//! `egret eval`.

use std::{
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use egret_models::text;

use crate::{
    config::{CpuRuntime, LogConfig, LogFormat, RuntimeConfig},
    eval::{self, Data, Options, Report},
    file::{self, Fresh},
    observe,
};

/// Arguments of `egret eval`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// A model: an ONNX file, a directory with its model.toml, or builtin:demo. Repeat to see several side by side; the second and
    /// later ones are compared with the first.
    #[arg(long = "model", value_name = "DIR_OR_ONNX")]
    models: Vec<String>,
    /// A folder of JPEG and PNG pictures.
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// What is in the pictures: COCO's instances.json.
    #[arg(long, value_name = "FILE")]
    annotations: Option<PathBuf>,
    /// Boxes that something else found, as COCO results; judged beside the models. Repeat for more.
    #[arg(long, value_name = "FILE", requires = "annotations", conflicts_with = "video")]
    results: Vec<PathBuf>,
    /// Judge only pictures that a results file has boxes on.
    #[arg(long, requires = "results")]
    results_only: bool,
    /// Leave out annotated pictures that are not there or cannot be decoded.
    #[arg(long, requires = "images", conflicts_with = "video")]
    skip_missing: bool,
    /// A video file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["images", "annotations"])]
    video: Option<PathBuf>,
    /// What is in the video's frames: JSON lines.
    #[arg(long, value_name = "FILE", requires = "video", conflicts_with = "images")]
    labels: Option<PathBuf>,
    /// Look at every Nth frame of the video.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "video", conflicts_with = "images", value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    #[cfg(feature = "sim")]
    #[command(flatten)]
    streets: Streets,
    /// Smallest confidence of a box that is judged.
    #[arg(long, value_name = "0..1", default_value_t = 0.001, value_parser = share)]
    confidence: f32,
    /// IoU from which the lesser of two boxes of one class is suppressed.
    #[arg(long, value_name = "0..1", default_value_t = 0.65, value_parser = share)]
    nms: f32,
    /// What runs the models.
    #[arg(long, value_name = "RUNTIME", default_value = "auto", value_parser = runtime)]
    cpu: CpuRuntime,
    #[command(flatten)]
    told: Told,
}

/// How the outcome is told.
#[derive(Debug, clap::Args)]
struct Told {
    /// Also print the figures of each class.
    #[arg(long)]
    per_class: bool,
    /// Print one JSON object instead of tables.
    #[arg(long, conflicts_with = "per_class")]
    json: bool,
    /// Write tables and the pictures with the most mistakes to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How many pictures of each model go there.
    #[arg(long, value_name = "N", default_value_t = 12, requires = "html", value_parser = clap::value_parser!(u16).range(0..=200))]
    pictures: u16,
    /// Exit 1 where a later model does not agree with the first as the accuracy gate asks.
    #[arg(long)]
    gate: bool,
}

/// Streets that egret draws.
#[cfg(feature = "sim")]
#[derive(Debug, clap::Args)]
struct Streets {
    /// Streets that egret draws itself, from this seed on; the demo's detector has not seen 1000000 and above.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["images", "annotations", "video", "labels", "every", "results", "skip_missing"])]
    scene: Option<u64>,
    /// How many pictures of them: four of each street, four seconds apart.
    #[arg(long, value_name = "N", default_value_t = 200, requires = "scene", conflicts_with_all = ["images", "video"], value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    frames: u64,
    /// By night.
    #[arg(long, requires = "scene", conflicts_with_all = ["images", "video"])]
    night: bool,
    /// In rain.
    #[arg(long, requires = "scene", conflicts_with_all = ["images", "video"])]
    rain: bool,
}

const AFTER_HELP: &str = "\
Average precision (AP) and recall (AR) are COCO's, figure by figure those of pycocotools. Classes are brought together by name;
those that the annotations or one of the models do not have are left out, and said. Times are of one thread.

LABELS of a video are lines such as
  {\"frame\": 12, \"objects\": [{\"class\": \"car\", \"box\": [10, 20, 110, 70], \"visible\": 0.8, \"inside\": 1}]}
frame counts from 0, box is x1, y1, x2, y2 in pixels; frames without a line are not looked at. `egret sim --truth` writes them.
Objects less than 16 px high, or with visible x inside below 0.5, are neither right nor wrong to find.

Exit codes: 0 it was measured (with --gate: and every later model agrees); 1 it was not, or with --gate one does not agree; 2 the command
line is wrong.

Examples:
  egret eval --model yolox_nano.onnx --images val2017 --annotations instances_val2017.json
  egret eval --model float.onnx --model int8.onnx --images site --html worst.html    how well they agree, nothing labelled
  egret eval --model yolox_nano.onnx --video street.mp4 --labels street.jsonl --every 10
  egret eval --model builtin:demo --scene 1000100 --frames 200 --night               the demo's detector on streets it never saw
  egret eval --results mine.json --annotations instances_val2017.json --json         boxes of another program";

fn share(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("it lies between 0 and 1".to_owned()) }
}

fn runtime(text: &str) -> Result<CpuRuntime, String> {
    match text {
        "auto" => Ok(CpuRuntime::Auto),
        "onnxruntime" => Ok(CpuRuntime::OnnxRuntime),
        "rten" => Ok(CpuRuntime::Rten),
        _ => Err("auto, onnxruntime or rten".to_owned()),
    }
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let data = data(&args)?;
    anyhow::ensure!(!args.told.gate || args.models.len() + args.results.len() > 1, "--gate needs a second --model to judge");
    observe::log::init(&LogConfig { filter: "error,egret::infer::load=warn".into(), format: LogFormat::Text })?;
    let html = args.told.html;
    if let Some(path) = &html {
        // Better now than after an hour.
        file::room_for(path).with_context(|| path.display().to_string())?;
        let files = [&args.results[..], args.annotations.as_slice(), args.video.as_slice(), args.labels.as_slice()].concat();
        let mut read = args.models.iter().map(Path::new).chain(files.iter().map(PathBuf::as_path));
        if let Some(input) = read.find(|input| file::same(input, path)) {
            anyhow::bail!("{}: it is read, and --html would write over it; name another file", input.display());
        }
    }
    let options = Options {
        models: args.models,
        results: args.results,
        results_only: args.results_only,
        data,
        confidence: args.confidence,
        nms: args.nms,
        pictures: if html.is_some() { args.told.pictures.into() } else { 0 },
        runtime: RuntimeConfig { cpu: args.cpu, onnxruntime_library: None, ..RuntimeConfig::default() },
    };
    // Its text says what lies beneath already.
    let report = eval::run(&options, &mut progress).map_err(|error| anyhow::anyhow!("{error}"))?;
    if let Some(path) = html {
        let mut page = Vec::new();
        let written = eval::write_html(&mut page, &report).and_then(|()| Fresh::write(&path, &page)?.place());
        written.with_context(|| path.display().to_string())?;
    }
    let mut out = BufWriter::new(io::stdout().lock());
    if args.told.json {
        serde_json::to_writer(&mut out, &report)?;
        writeln!(out)?;
    } else {
        // Names of classes are somebody's who wrote a file.
        let mut table = Vec::new();
        eval::write_table(&mut table, &report, args.told.per_class)?;
        out.write_all(text::lines(&String::from_utf8_lossy(&table)).as_bytes())?;
    }
    out.flush()?;
    Ok(if args.told.gate && !agreed(&report) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn agreed(report: &Report) -> bool {
    report.rows.iter().filter_map(|row| row.verdict.as_ref()).all(eval::Verdict::passed)
}

fn data(args: &Args) -> anyhow::Result<Data> {
    #[cfg(feature = "sim")]
    if let Some(seed) = args.streets.scene {
        let Streets { frames, night, rain, .. } = args.streets;
        return Ok(Data::Streets(eval::Streets { seed, frames, night, rain }));
    }
    if let Some(file) = &args.video {
        return Ok(Data::Video { file: file.clone(), labels: args.labels.clone(), every: args.every });
    }
    anyhow::ensure!(
        args.images.is_some() || !args.results.is_empty(),
        "no pictures: give --images DIR, --video FILE or --scene SEED (or --results FILE with --annotations FILE)"
    );
    anyhow::ensure!(!args.models.is_empty() || !args.results.is_empty(), "no model: give --model FILE");
    Ok(Data::Images { folder: args.images.clone(), annotations: args.annotations.clone(), skip_missing: args.skip_missing })
}

/// A line that people can watch, where they can.
fn progress(done: usize, of: Option<usize>) {
    let mut err = io::stderr().lock();
    let last = of == Some(done);
    if !err.is_terminal() || !(last || done.is_multiple_of(10)) {
        return;
    }
    let of = of.map_or(String::new(), |of| format!(" of {of}"));
    // Nobody is lost if it cannot be shown.
    let _ = write!(err, "\r{done}{of} pictures{}", if last { "\n" } else { "" }).and_then(|()| err.flush());
}

#[cfg(test)]
mod tests {
    use crate::cli::refused;

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (words, said) in [
            ("eval --model a.onnx", "no pictures"),
            ("eval --images .", "no model"),
            ("eval --model a.onnx --images . --gate", "--gate needs a second"),
            ("eval --model a.onnx --images . --labels a.jsonl", "cannot be used with"),
            ("eval --model a.onnx --images . --every 2", "cannot be used with"),
            ("eval --model a.onnx --video a.mp4 --skip-missing", "cannot be used with"),
            ("eval --model a.onnx --labels a.jsonl", "--video"),
            ("eval --model a.onnx --images . --video a.mp4", "cannot be used with"),
            ("eval --results a.json", "--annotations"),
            ("eval --model a.onnx --images . --confidence 2", "between 0 and 1"),
            ("eval --model a.onnx --images . --nms nan", "between 0 and 1"),
            ("eval --model a.onnx --images . --cpu cuda", "auto, onnxruntime or rten"),
            ("eval --model a.onnx --video a.mp4 --every 0", "0 is not in"),
        ] {
            let error = refused(words);
            assert!(error.contains(said), "{words}: {error}");
        }
    }
}
