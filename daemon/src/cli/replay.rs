//! `egret replay`.

use std::{
    fs::{self, File},
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{self, CameraConfig, Config, LogConfig, LogFormat, Overrides, Problem, Secret, Sources},
    file::{self, Fresh},
    life::{Exit, Signals},
    observe, publish,
    replay::{self, Hints, Options, Outputs, Recording, Report},
};

/// Name of a camera, and of a device, that nobody has named.
const UNNAMED: &str = "replay";
/// How often people hear how far it is.
const EVERY: Duration = Duration::from_millis(500);

/// Arguments of `egret replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// The recording: a video file, egret's messages about frames (JSON, one a line), or a det.txt in the form of MOTChallenge.
    recording: PathBuf,
    /// The configuration whose camera it is of: model, tracker, classes, caps, rules.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of the camera; needed where the configuration, or the recording, has several.
    #[arg(long, value_name = "NAME")]
    camera: Option<String>,
    /// The network, instead of the camera's: an ONNX file, or stored:NAME, builtin:demo, builtin:null, scripted:FILE.
    #[arg(long, value_name = "FILE")]
    model: Option<String>,
    /// Follow with this tracker, instead of the configuration's: egret, sort, bytetrack or ocsort.
    #[arg(long, value_name = "NAME")]
    tracker: Option<String>,
    /// When a recording began that does not say it itself: what schedules go by.
    #[arg(long, value_name = "TIME", default_value = "2000-01-01T00:00:00Z", value_parser = time)]
    start: SystemTime,
    /// Frames per second of a det.txt.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    fps: Option<f64>,
    /// Width and height in pixels of the frames of a det.txt.
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<(u32, u32)>,
    /// Class of the boxes of a det.txt.
    #[arg(long, value_name = "NAME", default_value = "person")]
    class: String,
    /// The video that detections were made on, to draw on; its frame N is that of the message with frame N.
    #[arg(long, value_name = "FILE")]
    pictures: Option<PathBuf>,
    /// Write the messages to this file, - for standard output [default: -, if nothing else is asked for]
    #[arg(long, value_name = "FILE")]
    messages: Option<PathBuf>,
    /// Write an annotated video: .mkv or .mp4.
    #[arg(long, value_name = "FILE")]
    video: Option<PathBuf>,
    /// Write annotated frames to this folder, as JPEG files.
    #[arg(long, value_name = "DIR")]
    frames: Option<PathBuf>,
    /// Of those only the ones around events, e.g. 2s.
    #[arg(long, value_name = "TIME", requires = "frames", value_parser = span)]
    around: Option<Duration>,
}

const AFTER_HELP: &str = "\
The recording goes through the very code of the daemon, every frame, by its own clock. The same recording gives the same bytes of
messages: boot_id is \"replay\", tracks count from 1, published_at is captured_at, latencies are 0. Messages are lines such as
  {\"topic\": \"egret/box/cam/door/event/gate\", \"retained\": false, \"payload\": {…}}
which `egret replay` reads again, as it reads what `egret demo --json` prints and `mosquitto_sub -v` records of egret/+/cam/+/frame.

Exit codes: 0 replayed; 1 it could not be, or broke off; 78 the configuration is wrong; 130 interrupted, with whole files.

Examples:
  egret replay door.mp4 --config /etc/egret/egret.toml --camera door --start 2026-11-21T08:00:00Z
  egret replay door.mp4 --config egret.toml --camera door --frames out --around 2s     what was there when something happened
  egret replay street.mp4 --model yolox_nano.onnx --messages street.jsonl --video street.mkv
  egret replay street.jsonl --config new-rules.toml --pictures street.mp4 --video new.mkv    other rules, no network
  egret replay MOT17-09/det/det.txt --fps 30 --size 1920x1080 --messages tracks.jsonl";

fn time(text: &str) -> Result<SystemTime, String> {
    publish::parse_time(text).ok_or_else(|| "write it in UTC, such as 2026-11-21T08:00:00Z".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if (0.01..=1000.0).contains(&rate) { Ok(rate) } else { Err("it lies between 0.01 and 1000".to_owned()) }
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let sides = text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    sides.filter(|(w, h)| (1..=65_535).contains(w) && (1..=65_535).contains(h)).ok_or_else(|| "write it as 1920x1080".to_owned())
}

fn span(text: &str) -> Result<Duration, String> {
    config::span(text).ok_or_else(|| "write it such as 2s, 500ms or 1m".to_owned())
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    apart(args)?;
    let hints =
        Hints { camera: args.camera.clone(), start: args.start, fps: args.fps, size: args.size, class: args.class.clone() };
    let recording = Recording::open(&args.recording, &hints).map_err(|error| anyhow::anyhow!("{error}"))?;
    let site = match Site::of(args, &recording) {
        Ok(site) => site?,
        Err(problems) => return super::run::reject(&problems),
    };
    observe::log::init(&LogConfig { filter: "warn,egret::source=error".into(), format: LogFormat::Text })?;
    let cancel = CancellationToken::new();
    stop_on_signals(&cancel)?;
    let (messages, fresh) = messages(args)?;
    let outputs = Outputs { messages, video: args.video.clone(), frames: args.frames.clone(), around: args.around };
    let Site { config, mqtt, camera } = site;
    let options = Options { recording, pictures: args.pictures.clone(), config, mqtt, camera };
    let mut progress = Progress { shown: Instant::now(), begun: Instant::now() };
    // Its text says what lies beneath already.
    let report = replay::run(options, outputs, &mut |report| progress.show(report), &cancel);
    if let (Some(path), Some(fresh)) = (&args.messages, fresh) {
        put(fresh, report.as_ref().err()).with_context(|| path.display().to_string())?;
    }
    let report = report.map_err(|error| match error {
        replay::ReplayError::Messages(source) => anyhow::Error::new(source),
        other => anyhow::anyhow!("{other}"),
    })?;
    progress.end(&report)?;
    Ok(if report.interrupted { Exit::Interrupted } else { Exit::Clean }.into())
}

/// Nothing that is read is written over.
fn apart(args: &Args) -> anyhow::Result<()> {
    let model = args.model.as_deref().map(|model| Path::new(model.strip_prefix("scripted:").unwrap_or(model)));
    let read = [Some(args.recording.as_path()), args.config.as_deref(), args.pictures.as_deref(), model];
    for (option, path) in [("--messages", &args.messages), ("--video", &args.video)] {
        let Some(path) = path else { continue };
        if let Some(input) = read.into_iter().flatten().find(|input| file::same(input, path)) {
            anyhow::bail!("{}: it is read, and {option} would write over it; name another file", input.display());
        }
    }
    Ok(())
}

/// What messages are written to, and the file that this is to be.
type Messages = (Option<Box<dyn Write>>, Option<Fresh>);

/// Where messages go: standard output where nothing else is asked for. A file is there when it is whole.
fn messages(args: &Args) -> anyhow::Result<Messages> {
    let path = match &args.messages {
        Some(path) if path != Path::new("-") => path,
        None if args.video.is_some() || args.frames.is_some() => return Ok((None, None)),
        _ => return Ok((Some(Box::new(BufWriter::new(io::stdout()))), None)),
    };
    let open = || -> io::Result<(File, Option<Fresh>)> {
        // A pipe or a device has no other name to be written under.
        if fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
            return Ok((File::create(path)?, None));
        }
        file::room_for(path)?;
        let mut fresh = Fresh::begin(path)?;
        Ok((fresh.file()?, Some(fresh)))
    };
    let (file, fresh) = open().with_context(|| path.display().to_string())?;
    Ok((Some(Box::new(BufWriter::new(file))), fresh))
}

/// Puts the messages in their place, also those of a recording that breaks off; where they could not be written, what stood there stays.
fn put(mut fresh: Fresh, failed: Option<&replay::ReplayError>) -> io::Result<()> {
    match failed {
        Some(replay::ReplayError::Messages(_)) => Ok(()),
        Some(_) if fresh.file()?.metadata()?.len() == 0 => Ok(()),
        _ => fresh.finish(),
    }
}

/// The first signal ends the replay in order.
fn stop_on_signals(cancel: &CancellationToken) -> anyhow::Result<()> {
    let cancel = cancel.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no async runtime")?;
    let listening = {
        let _inside = runtime.enter();
        Signals::listen().context("signals are not heard")?
    };
    let listen = move || {
        let mut signals = listening;
        runtime.block_on(signals.next());
        cancel.cancel();
    };
    // It ends with the process.
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).context("no thread")?;
    Ok(())
}

/// The camera and what belongs to it.
struct Site {
    config: Config,
    mqtt: config::MqttConfig,
    camera: CameraConfig,
}

impl Site {
    /// From the configuration that is named, else from the command line alone. The outer error: the configuration is wrong.
    fn of(args: &Args, recording: &Recording) -> Result<anyhow::Result<Self>, Vec<Problem>> {
        let name = args.camera.as_deref().or(recording.camera()).unwrap_or(UNNAMED);
        // A recording that was looked at needs no network.
        let model = args.model.clone().or_else(|| (!recording.is_film()).then(|| "builtin:null".to_owned()));
        // Nobody connects to it: where it leads is of no matter, and neither is what the camera shows.
        let bare = Overrides {
            cameras: vec![Secret::new(format!("{name}=test:smpte"))],
            broker: Some(Secret::new("mqtt://localhost")),
            model: Some(model.clone().unwrap_or_else(|| "builtin:null".to_owned())),
            device: Some(UNNAMED.to_owned()),
            tracker: args.tracker.clone(),
            ..Overrides::default()
        };
        let bare = config::load_options(&bare, UNNAMED)?.config;
        let config = match &args.config {
            None if model.is_none() => {
                let file = args.recording.display();
                return Ok(Err(anyhow::anyhow!(
                    "{file} is a video: say what looks at it with --model, or --config and --camera"
                )));
            }
            None => bare.clone(),
            Some(file) => {
                let (model, tracker) = (args.model.clone(), args.tracker.clone());
                let overrides = Overrides { model, tracker, ..Overrides::default() };
                config::load(&Sources { checking: true, ..Sources::of_process(Some(file.clone()), overrides) })?.config
            }
        };
        let Some(mqtt) = config.mqtt.clone().or(bare.mqtt) else {
            return Ok(Err(anyhow::anyhow!("no messages are configured")));
        };
        Ok(camera(&config, args, recording).map(|camera| Self { config, mqtt, camera }))
    }
}

/// The camera of the configuration that the recording is of.
fn camera(config: &Config, args: &Args, recording: &Recording) -> anyhow::Result<CameraConfig> {
    let known = || config.cameras.iter().map(|camera| camera.name.as_str()).collect::<Vec<_>>().join(", ");
    let file = args.config.as_deref().unwrap_or(Path::new("")).display();
    let mut camera = match (args.camera.as_deref().or(recording.camera()), config.cameras.as_slice()) {
        (_, []) => anyhow::bail!("{file}: it has no camera; add the one whose recording this is"),
        (None, [only]) => only.clone(),
        (None, _) => anyhow::bail!("{file}: it has the cameras {}; say with --camera whose recording this is", known()),
        (Some(name), cameras) => match cameras.iter().find(|camera| camera.name == name) {
            Some(camera) => camera.clone(),
            None => anyhow::bail!("{file}: it has no camera {name}; it has {}; choose one with --camera", known()),
        },
    };
    if let (Some(_), Some(model)) = (&args.model, config.models.first()) {
        camera.model.clone_from(&model.name);
    }
    Ok(camera)
}

/// What people see on the way.
struct Progress {
    shown: Instant,
    begun: Instant,
}

impl Progress {
    fn show(&mut self, report: &Report) {
        let mut err = io::stderr().lock();
        if self.shown.elapsed() < EVERY || !err.is_terminal() {
            return;
        }
        self.shown = Instant::now();
        let Report { frames, clock, tracks, events, .. } = report;
        // Nobody is lost if it cannot be shown.
        let _ = write!(err, "\r{frames} frames, {:.1} s, {tracks} tracks, {events} events ", clock.as_secs_f64());
        let _ = err.flush();
    }

    fn end(&self, report: &Report) -> io::Result<()> {
        let mut err = io::stderr().lock();
        if err.is_terminal() {
            writeln!(err)?;
        }
        let Report { frames, looked, clock, tracks, events, messages, written, interrupted } = report;
        let so_far = if *interrupted { "interrupted: " } else { "" };
        writeln!(
            err,
            "{so_far}{frames} frames ({looked} looked at) of {:.1} s in {:.1} s: {tracks} tracks, {events} events; {messages} messages \
             and {written} pictures written",
            clock.as_secs_f64(),
            self.begun.elapsed().as_secs_f64()
        )
    }
}
