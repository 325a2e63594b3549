//! One frame after the other, whatever the recording is.

use std::{
    path::{Path, PathBuf},
    time::{Instant, SystemTime},
};

use super::{
    ReplayError,
    boxes::{Boxes, Shot},
    film::Film,
    recording::{Kind, Recording},
};
use crate::{
    config::CameraConfig,
    media::Canvas,
    media::{Capture, Detection, Extras, Frame, Pixels, StreamId, TimeBasis, TimeCard},
};

/// A frame on its way into the line.
pub(super) struct Take {
    pub(super) frame: Frame,
    /// What was seen in it, and its number; `None`: a network looks, and the line counts.
    pub(super) seen: Option<(u64, Vec<Detection>, Extras)>,
    /// Its picture, where that does not go into the line.
    picture: Option<Pixels>,
}

impl Take {
    /// Its picture, to draw on; a black one where there is none.
    pub(super) fn canvas(&self) -> Canvas {
        let pixels = self.picture.as_ref().unwrap_or(&self.frame.pixels);
        pixels.host().map_or_else(|| Canvas::black(pixels.size()), |picture| Canvas::of(picture, 1))
    }
}

/// A recording as it is played.
pub(super) enum Reel {
    Film { film: Film, start: SystemTime },
    Boxes { shots: std::vec::IntoIter<Shot>, stream: StreamId, backdrop: Option<Backdrop> },
}

/// A video that detections belong to.
pub(super) struct Backdrop {
    file: PathBuf,
    film: Film,
    /// The number of its next frame.
    next: u64,
}

impl Reel {
    pub(super) fn new(
        recording: Recording,
        pictures: Option<&Path>,
        camera: &CameraConfig,
        stream: &StreamId,
    ) -> Result<Self, ReplayError> {
        match recording.kind {
            Kind::Film(_) if pictures.is_some() => {
                let what = "--pictures belongs to detections; the recording has pictures of its own: leave it out";
                Err(ReplayError::Options(what.to_owned()))
            }
            Kind::Film(start) => Ok(Self::Film { film: Film::open(&recording.file, camera, stream)?, start }),
            Kind::Boxes(Boxes { shots, .. }) => {
                let backdrop = |file: &Path| {
                    Ok::<_, ReplayError>(Backdrop { film: Film::open(file, camera, stream)?, file: file.to_owned(), next: 0 })
                };
                let backdrop = pictures.map(backdrop).transpose()?;
                Ok(Self::Boxes { shots: shots.into_iter(), stream: stream.clone(), backdrop })
            }
        }
    }

    /// The next frame; `None` after the last one.
    pub(super) fn next(&mut self) -> Result<Option<Take>, ReplayError> {
        match self {
            Self::Film { film, start } => {
                let Some(mut frame) = film.next()? else { return Ok(None) };
                let wall = start.checked_add(frame.pts).unwrap_or(*start);
                frame.capture = Capture { wall, basis: TimeBasis::Arrival };
                Ok(Some(Take { frame, seen: None, picture: None }))
            }
            Self::Boxes { shots, stream, backdrop } => {
                let Some(shot) = shots.next() else { return Ok(None) };
                let picture = backdrop.as_mut().map(|backdrop| backdrop.of(&shot)).transpose()?.flatten();
                let (width, height) = shot.size;
                let frame = Frame {
                    stream: stream.clone(),
                    seq: 0,
                    dispatch: 0,
                    pts: shot.pts,
                    capture: Capture { wall: shot.captured, basis: shot.basis },
                    pixels: Pixels::None { width, height },
                    times: TimeCard::received(Instant::now()),
                };
                Ok(Some(Take { frame, seen: Some((shot.number, shot.detections, shot.extras)), picture }))
            }
        }
    }
}

impl Backdrop {
    /// The picture of a frame. Frames that were dropped when the detections were made are passed over.
    fn of(&mut self, shot: &Shot) -> Result<Option<Pixels>, ReplayError> {
        while let Some(frame) = (self.next <= shot.number).then(|| self.film.next()).transpose()?.flatten() {
            self.next += 1;
            if self.next <= shot.number {
                continue;
            }
            let (film_width, film_height) = frame.pixels.size();
            let (width, height) = shot.size;
            if (film_width, film_height) != shot.size {
                return Err(ReplayError::Pictures { file: self.file.clone(), film_width, film_height, width, height });
            }
            return Ok(Some(frame.pixels));
        }
        Ok(None)
    }
}
