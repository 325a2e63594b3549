//! A camera's coded pictures without the camera: as fast as they are taken.

use std::time::{Duration, Instant};

use gstreamer as gst;

use super::{
    camera::{Recipe, SimCamera},
    pictures::{Next, Pictures, PicturesError},
    scene::Truth,
};

/// A picture takes no longer than this, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Access units, one after the other.
pub(crate) struct Coded {
    pictures: Pictures,
    name: String,
}

impl Coded {
    /// Starts drawing and coding.
    pub(crate) fn open(camera: &SimCamera) -> Result<Self, PicturesError> {
        Ok(Self { pictures: Pictures::open(&Recipe::of(camera), 0)?, name: camera.name.clone() })
    }

    /// The next access unit, in Annex B with its parameter sets, and what it shows where that is known.
    pub(crate) fn next(&mut self) -> Result<(gst::Buffer, Option<Truth>), PicturesError> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            match self.pictures.next(Duration::from_millis(200))? {
                Next::Picture(picture) => return Ok((picture.data, picture.truth)),
                Next::End => break,
                Next::Waiting => {}
            }
        }
        Err(PicturesError::Nothing { what: self.name.clone() })
    }
}
