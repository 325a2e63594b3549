//! Frames of a site's own cameras: kept only with consent, only on this device, readable by its owner alone.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::PrecisionFailure;
use crate::{
    config::Config,
    decode::FrameSink,
    media::{Frame, Pixels, StreamId},
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
    /// Somebody has agreed to it.
    pub consent: bool,
    /// The state directory; frames are kept in `calibration/` of it.
    pub state: PathBuf,
}

/// What was collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// The folder, of mode 0700, with JPEG files of mode 0600.
    pub folder: PathBuf,
    /// Pictures in it.
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

/// Collects frames of the configured cameras in turn, evenly over the time.
///
/// # Errors
/// [`PrecisionFailure`]: without consent, without cameras, without pictures.
pub async fn collect(options: &SiteOptions, progress: &mut dyn FnMut(&str)) -> Result<Collected, PrecisionFailure> {
    let folder = options.state.join("calibration").join(stamp());
    if !options.consent {
        return Err(PrecisionFailure::Consent { place: folder.display().to_string() });
    }
    let enabled = options.config.cameras.iter().filter(|camera| camera.enabled);
    let board = StatusBoard::new();
    let mut cameras = Vec::new();
    private_folder(&folder)?;
    for (number, camera) in enabled.enumerate() {
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
        let running = source::start(camera, stream, sink, Arc::clone(&board), Context::default());
        cameras.push((camera.name.clone(), newest, running, 0_usize));
    }
    if cameras.is_empty() {
        return Err(PrecisionFailure::Cameras { reason: "no camera is configured and enabled: add one under [[camera]]".into() });
    }
    let between = options.spread / options.frames.max(1) as u32;
    let (start, mut last, mut frames) = (Instant::now(), Instant::now(), 0);
    while frames < options.frames {
        let due = start + between * frames as u32;
        tokio::time::sleep_until(due.max(Instant::now() + LOOK.min(between / 2))).await;
        // The camera with the fewest pictures goes first.
        cameras.sort_by_key(|(_, _, _, count)| *count);
        let Some((name, frame, count)) =
            cameras.iter_mut().find_map(|(name, newest, _, count)| Some((name, newest.take()?, count)))
        else {
            if last.elapsed() > PATIENCE {
                break;
            }
            continue;
        };
        keep(&folder.join(format!("{name}-{count:05}.jpg")), &frame)?;
        (last, frames, *count) = (Instant::now(), frames + 1, *count + 1);
        if frames.is_multiple_of(50) {
            progress(&format!("{frames} of {} frames", options.frames));
        }
    }
    let mut counts = Vec::new();
    for (name, _, camera, count) in cameras {
        camera.stop().await;
        counts.push((name, count));
    }
    counts.sort_unstable();
    if frames == 0 {
        let reason = format!("no camera gave a picture for {} s; `egret check` and `egret graph` say more", PATIENCE.as_secs());
        return Err(PrecisionFailure::Cameras { reason });
    }
    Ok(Collected { folder, frames, cameras: counts })
}

impl Collected {
    /// Deletes what was collected.
    ///
    /// # Errors
    /// [`PrecisionFailure::File`]
    pub fn delete(self) -> Result<(), PrecisionFailure> {
        fs::remove_dir_all(&self.folder).map_err(|source| PrecisionFailure::File { path: self.folder, source })
    }
}

fn stamp() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}", since.as_millis())
}

fn private_folder(path: &Path) -> Result<(), PrecisionFailure> {
    let made = fs::DirBuilder::new().mode(0o700).recursive(true).create(path);
    made.map_err(|source| PrecisionFailure::File { path: path.to_owned(), source })
}

fn keep(path: &Path, frame: &Frame) -> Result<(), PrecisionFailure> {
    let failed = |source| PrecisionFailure::File { path: path.to_owned(), source };
    let Pixels::Host(picture) = &frame.pixels else { return Ok(()) };
    let jpeg = still::encode(picture, LONGEST).map_err(|error| failed(std::io::Error::other(error.to_string())))?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(&jpeg).map_err(failed)
}
