//! Frames of a site's own cameras: kept only with consent, only on this device, readable by its owner alone.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{FrameFolder, PrecisionFailure};
use crate::{
    config::{CameraConfig, Config},
    decode::FrameSink,
    media::{Frame, StreamId},
    observe::still,
    source::{self, Context},
    status::StatusBoard,
};

/// How long no camera may give a picture before the collection is given up.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often the newest pictures are looked at, at most.
const LOOK: Duration = Duration::from_millis(200);
/// Longest side of what is kept: larger networks than that run nowhere.
const LONGEST: u32 = 8192;

/// What to collect.
#[derive(Clone, Debug)]
pub struct SiteOptions {
    /// The cameras.
    pub config: Config,
    /// Pictures of all cameras together.
    pub frames: usize,
    /// Over what time they are spread.
    pub spread: Duration,
    /// Where they are put, as JPEG files of mode 0600.
    pub folder: Arc<FrameFolder>,
    /// Cancelled: no more is collected.
    pub stop: CancellationToken,
}

/// What was collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// Pictures of all cameras.
    pub frames: usize,
    /// Pictures by camera.
    pub cameras: Vec<(String, usize)>,
}

/// The newest picture of a camera.
#[derive(Default)]
struct Newest(Mutex<Option<Frame>>);

impl Newest {
    fn put(&self, frame: Frame) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(frame);
    }

    fn take(&self) -> Option<Frame> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A camera that is collected from.
struct Camera {
    name: String,
    newest: Arc<Newest>,
    running: source::Camera,
    count: usize,
}

/// Collects frames of the configured cameras in turn, evenly over the time.
///
/// # Errors
/// [`PrecisionFailure`]: without cameras, without pictures, or stopped.
pub async fn collect(options: &SiteOptions, progress: &mut dyn FnMut(&str)) -> Result<Collected, PrecisionFailure> {
    let board = StatusBoard::new();
    let enabled = options.config.cameras.iter().filter(|camera| camera.enabled);
    let mut cameras: Vec<Camera> = enabled.enumerate().map(|(number, camera)| start(number, camera, &board)).collect();
    if cameras.is_empty() {
        return Err(PrecisionFailure::Cameras { reason: "no camera is configured and enabled: add one under [[camera]]".into() });
    }
    let collected = tokio::select! {
        collected = take(options, &mut cameras, progress) => collected,
        () = options.stop.cancelled() => Err(PrecisionFailure::Stopped),
    };
    let mut counts = Vec::new();
    for camera in cameras {
        camera.running.stop().await;
        counts.push((camera.name, camera.count));
    }
    counts.sort_unstable();
    let frames = collected?;
    if frames == 0 {
        let reason = format!("no camera gave a picture for {} s; `egret check` and `egret graph` say more", PATIENCE.as_secs());
        return Err(PrecisionFailure::Cameras { reason });
    }
    Ok(Collected { frames, cameras: counts })
}

fn start(number: usize, camera: &CameraConfig, board: &Arc<StatusBoard>) -> Camera {
    let (stream, newest) = (StreamId::new(number as u32, &camera.name), Arc::new(Newest::default()));
    board.add(&stream);
    let sink = {
        let newest = Arc::clone(&newest);
        FrameSink::new(
            move |frame| {
                newest.put(frame);
                true
            },
            || {},
        )
    };
    let running = source::start(camera, stream, sink, Arc::clone(board), Context::default());
    Camera { name: camera.name.clone(), newest, running, count: 0 }
}

/// Takes pictures until there are enough, or none come any more.
async fn take(options: &SiteOptions, cameras: &mut [Camera], progress: &mut dyn FnMut(&str)) -> Result<usize, PrecisionFailure> {
    let between = options.spread / options.frames.max(1) as u32;
    let (start, mut last, mut frames) = (Instant::now(), Instant::now(), 0);
    while frames < options.frames {
        let due = start + between * frames as u32;
        tokio::time::sleep_until(due.max(Instant::now() + LOOK.min(between / 2))).await;
        // The camera with the fewest pictures goes first.
        cameras.sort_by_key(|camera| camera.count);
        let Some((camera, frame)) = cameras.iter_mut().find_map(|camera| camera.newest.take().map(|frame| (camera, frame)))
        else {
            if last.elapsed() > PATIENCE {
                break;
            }
            continue;
        };
        keep(&options.folder.path().join(format!("{}-{:05}.jpg", camera.name, camera.count)), &frame)?;
        (last, frames, camera.count) = (Instant::now(), frames + 1, camera.count + 1);
        if frames.is_multiple_of(50) {
            progress(&format!("{frames} of {} frames", options.frames));
        }
    }
    Ok(frames)
}

fn keep(path: &Path, frame: &Frame) -> Result<(), PrecisionFailure> {
    let failed = |source| PrecisionFailure::File { path: path.to_owned(), source };
    let Some(picture) = frame.pixels.host() else { return Ok(()) };
    let jpeg = still::encode(picture, LONGEST).map_err(|error| failed(std::io::Error::other(error.to_string())))?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(&jpeg).map_err(failed)
}
