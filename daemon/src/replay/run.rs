//! From a recording to messages and pictures.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio_util::sync::CancellationToken;

use super::{
    ReplayError,
    desk::{self, Desk, Looker},
    overlay::Overlay,
    recording::{Kind, Recording},
    reel::{Reel, Take},
    sheets::Sheets,
    video::Video,
};
use crate::{
    analyse::cover,
    config::{CameraConfig, Config, MqttConfig},
    media::{Canvas, StreamId, TimeCard, TrackPhase, Tracked},
    observe::still::Stills,
    publish::{Line, Scribe},
    track::{Counters, Follower, Ways},
};

/// The boot id of all replays.
const BOOT_ID: &str = "replay";

/// What to replay, and how.
pub struct Options {
    /// The recording.
    pub recording: Recording,
    /// Where detections have none: the video that they were made on.
    pub pictures: Option<PathBuf>,
    /// The configuration: models, tracker, device, and what of messages is published.
    pub config: Config,
    /// What is published of it; the broker itself is never spoken to.
    pub mqtt: MqttConfig,
    /// The camera whose recording it is: model, classes, caps, rules.
    pub camera: CameraConfig,
}

/// Where what comes of it goes.
#[derive(Default)]
pub struct Outputs {
    /// Messages: `{"topic": …, "retained": …, "payload": …}`, one a line.
    pub messages: Option<Box<dyn Write>>,
    /// An annotated video, `.mkv` or `.mp4`.
    pub video: Option<PathBuf>,
    /// A folder for annotated frames.
    pub frames: Option<PathBuf>,
    /// Of those only the ones that are no farther from an event.
    pub around: Option<Duration>,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Frames of the recording.
    pub frames: u64,
    /// Those of them that were looked at.
    pub looked: u64,
    /// Time since the first of them, by the recording's clock.
    pub clock: Duration,
    /// Tracks that were announced.
    pub tracks: u64,
    /// Events that began or happened.
    pub events: u64,
    /// Messages written.
    pub messages: u64,
    /// Annotated frames written.
    pub written: u64,
    /// It was asked to stop before the end.
    pub interrupted: bool,
}

/// Replays a recording. `progress` hears of each frame; `cancel` ends it after the frame at hand, with whole files.
///
/// # Errors
/// [`ReplayError`] names the file or option, the reason and the remedy.
pub fn run(
    options: Options,
    outputs: Outputs,
    progress: &mut dyn FnMut(&Report),
    cancel: &CancellationToken,
) -> Result<Report, ReplayError> {
    let Options { mut recording, pictures, config, mqtt, camera } = options;
    let looker = match &mut recording.kind {
        Kind::Boxes(boxes) => Looker::remember(std::mem::take(&mut boxes.model), &camera),
        Kind::Film(_) => {
            let model = config.models.iter().find(|model| model.name == camera.model);
            let missing = || ReplayError::Options(format!("camera.{}.model: there is no model `{}`", camera.name, camera.model));
            let model = model.ok_or_else(missing)?;
            let steps = config.models.iter().filter(|other| other.step.as_ref().is_some_and(|step| step.of == model.name));
            for step in steps {
                tracing::warn!(model = step.name, "steps are not replayed: when their answers come depends on the machine");
            }
            Looker::load(model, &config.runtime)?
        }
    };
    looker.check(&camera)?;
    let stream = StreamId::new(1, &camera.name);
    let mut studio = Studio::new(outputs, &camera, &stream)?;
    let scribe = Scribe::new(&mqtt, &config.device, BOOT_ID);
    let batcher = desk::batcher();
    let mut ways = Ways::new(BTreeMap::from([(looker.info.name.clone(), Arc::clone(&batcher))]));
    ways.told.insert(looker.info.name.clone(), looker.telling);
    let (counters, stills) = (Counters::default(), Stills::new());
    let follower = Follower::new(&config.track, &ways, &counters, &stills, UNIX_EPOCH);
    let desk = Desk::new((batcher, looker), follower, &camera, &stream);
    let reel = Reel::new(recording, pictures.as_deref(), &camera, &stream)?;
    let ended = play(reel, desk, scribe, &mut studio, progress, cancel);
    let finished = studio.finish();
    // What went wrong first is what is told.
    let interrupted = ended?;
    finished.map(|report| Report { interrupted, ..report })
}

/// Takes all frames through; whether it was asked to stop.
fn play(
    mut reel: Reel,
    mut desk: Desk<'_>,
    mut scribe: Scribe,
    studio: &mut Studio,
    progress: &mut dyn FnMut(&Report),
    cancel: &CancellationToken,
) -> Result<bool, ReplayError> {
    let mut stories = Vec::new();
    // What broke off is told when what came before it is.
    let mut end = Ok(());
    while !cancel.is_cancelled() {
        let mut take = match reel.next() {
            Ok(Some(take)) => take,
            Ok(None) => break,
            Err(error) => {
                end = Err(error);
                break;
            }
        };
        take.frame.times = TimeCard::received(scribe.steady(take.frame.capture.wall));
        let sheet = studio.sheet(&take);
        stories.clear();
        desk.frame(take, &mut stories)?;
        studio.write(&stories, &mut scribe)?;
        studio.draw(sheet, &stories)?;
        progress(&studio.report);
    }
    stories.clear();
    desk.finish(&mut stories);
    studio.write(&stories, &mut scribe)?;
    end.map(|()| cancel.is_cancelled())
}

/// A frame's picture before it is drawn on.
struct Sheet {
    canvas: Option<Canvas>,
    number: u64,
    clock: Duration,
}

/// Where messages are written and pictures drawn.
struct Studio {
    messages: Option<Box<dyn Write>>,
    video: Option<Video>,
    sheets: Option<Sheets>,
    overlay: Overlay,
    veils: Arc<Stills>,
    first: Option<SystemTime>,
    report: Report,
}

impl Studio {
    fn new(outputs: Outputs, camera: &CameraConfig, stream: &StreamId) -> Result<Self, ReplayError> {
        let Outputs { messages, video, frames, around } = outputs;
        if around.is_some() && camera.rules.rules.is_empty() {
            let what = format!("--around needs events, and the camera {} has no rules; leave it out", camera.name);
            return Err(ReplayError::Options(what));
        }
        let veils = Stills::new();
        veils.veil(stream, &camera.rules.masks);
        Ok(Self {
            messages,
            video: video.as_deref().map(Video::new).transpose()?,
            sheets: frames.as_deref().map(|folder: &Path| Sheets::new(folder, around)).transpose()?,
            overlay: Overlay::new(&camera.rules),
            veils,
            first: None,
            report: Report::default(),
        })
    }

    /// Begins a frame. Its picture is kept only where somebody will see it, and as far as anybody may.
    fn sheet(&mut self, take: &Take) -> Sheet {
        let wall = take.frame.capture.wall;
        let first = *self.first.get_or_insert(wall);
        self.report.clock = wall.duration_since(first).unwrap_or(Duration::ZERO);
        let number = take.seen.as_ref().map_or(self.report.frames, |(number, ..)| *number);
        let canvas = (self.video.is_some() || self.sheets.is_some()).then(|| {
            let mut canvas = take.canvas();
            self.veils.veils(&take.frame.stream, wall).iter().for_each(|zone| cover(&mut canvas, zone));
            canvas
        });
        Sheet { canvas, number, clock: self.report.clock }
    }

    fn write(&mut self, stories: &[Tracked], scribe: &mut Scribe) -> Result<(), ReplayError> {
        for tracked in stories {
            self.report.looked += u64::from(!tracked.closing);
            self.report.tracks += tracked.tracks.iter().filter(|track| track.phase == TrackPhase::New).count() as u64;
            let events = tracked.verdicts.iter().flat_map(|verdicts| &verdicts.events);
            self.report.events += events.filter(|event| event.phase != crate::analyse::EventPhase::End).count() as u64;
            let Some(out) = &mut self.messages else { continue };
            let (mut result, mut count) = (Ok(()), 0);
            scribe.frame(tracked, |line| {
                count += 1;
                if result.is_ok() {
                    result = write(out, &line);
                }
            });
            self.report.messages += count;
            result?;
        }
        Ok(())
    }

    fn draw(&mut self, sheet: Sheet, stories: &[Tracked]) -> Result<(), ReplayError> {
        let index = self.report.frames;
        self.report.frames += 1;
        let Sheet { canvas, number, clock } = sheet;
        let mut eventful = false;
        for tracked in stories {
            eventful |= self.overlay.learn(tracked, clock);
        }
        let Some(mut canvas) = canvas else { return Ok(()) };
        let story = stories.iter().find(|tracked| !tracked.closing);
        self.overlay.draw(&mut canvas, story, clock, number);
        if let Some(video) = &mut self.video {
            video.frame(&canvas, clock)?;
        }
        match &mut self.sheets {
            Some(sheets) => sheets.frame(&canvas, index, clock, eventful),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<Report, ReplayError> {
        if let Some(out) = &mut self.messages {
            out.flush()?;
        }
        if let Some(video) = self.video.take() {
            video.finish()?;
        }
        self.report.written = self.sheets.as_ref().map_or(0, Sheets::written);
        Ok(self.report)
    }
}

/// A message as one line, in the words of `egret demo --json`.
fn write(out: &mut dyn Write, line: &Line) -> std::io::Result<()> {
    out.write_all(b"{\"topic\":")?;
    serde_json::to_writer(&mut *out, &*line.topic)?;
    write!(out, ",\"retained\":{},\"payload\":", line.retained)?;
    out.write_all(if line.payload.is_empty() { b"null" } else { &line.payload })?;
    out.write_all(b"}\n")
}
