//! Gathering the clips of one span.

use std::time::Duration;

use super::Shown;
use crate::{
    config::StepConfig,
    infer::{Clip, Crop, Cropper},
    media::BBox,
};

/// The clips of a track or a camera that are under way: spread evenly over the span, each of consecutive frames.
#[derive(Default)]
pub(super) struct Gather {
    began: Option<Duration>,
    clips: Vec<Clip>,
    crops: Vec<Crop>,
    /// [`Frame::dispatch`] of the latest picture: one that does not follow on it begins the clip anew.
    latest: u64,
}

impl Gather {
    /// Whether a span is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.began.is_some()
    }

    /// Ends the span before its time: the clips that are complete. `None`: not even one is.
    pub(super) fn finish(&mut self) -> Option<Vec<Clip>> {
        self.began = None;
        self.crops.clear();
        let clips = std::mem::take(&mut self.clips);
        (!clips.is_empty()).then_some(clips)
    }

    /// Takes a frame's picture in, if one is wanted now; the clips, once the span has all of its.
    pub(super) fn take(
        &mut self,
        frame: &Shown<'_>,
        region: Option<BBox>,
        clock: Duration,
        config: &StepConfig,
        cropper: &mut Cropper,
    ) -> Option<Vec<Clip>> {
        let began = *self.began.get_or_insert(clock);
        let begins = began + config.span * self.clips.len() as u32 / config.clips as u32;
        if self.crops.is_empty() && clock < begins {
            return None;
        }
        if !self.crops.is_empty() && frame.whole().dispatch != self.latest + 1 {
            self.crops.clear();
        }
        self.latest = frame.whole().dispatch;
        match cropper.cut(frame.frame(), region) {
            Some(crop) => self.crops.push(crop),
            None => self.crops.clear(),
        }
        if self.crops.len() < cropper.frames() {
            return None;
        }
        self.clips.push(Clip { crops: std::mem::take(&mut self.crops) });
        if self.clips.len() < config.clips {
            return None;
        }
        self.began = None;
        Some(std::mem::take(&mut self.clips))
    }
}
