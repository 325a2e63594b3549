//! The rules and masks of all cameras, beside their tracks.

use std::{collections::HashMap, sync::Arc};

use super::{Analyst, CameraRules, Counters, Hidden, Masks};
use crate::media::{Frame, ModelInfo, StreamId, Tracked};

/// Everything that the cameras are watched for.
pub struct Cameras {
    counters: Arc<Counters>,
    analysts: HashMap<StreamId, Analyst>,
    masks: HashMap<StreamId, Masks>,
}

impl Cameras {
    /// No rules yet.
    pub fn new(counters: Arc<Counters>) -> Self {
        Self { counters, analysts: HashMap::new(), masks: HashMap::new() }
    }

    /// Takes a camera's rules and masks over. They hold for the frames that come after it.
    pub fn configure(&mut self, stream: &StreamId, rules: &CameraRules) {
        match Masks::new(stream.name(), &rules.masks, &self.counters) {
            Some(masks) => self.masks.insert(stream.clone(), masks),
            None => self.masks.remove(stream),
        };
        // One that had rules may still have something to say of them.
        if rules.rules.is_empty() && !self.analysts.contains_key(stream) {
            return;
        }
        let analyst = self.analysts.entry(stream.clone()).or_insert_with(|| Analyst::new(self.counters.clone()));
        analyst.configure(stream.name(), rules);
    }

    /// What masks hide in a frame; `None`: its camera has none.
    pub fn hidden(&mut self, frame: &Frame, model: &Arc<ModelInfo>) -> Option<Hidden<'_>> {
        let masks = self.masks.get_mut(&frame.stream)?;
        Some(masks.at(frame.pixels.size(), frame.capture.wall, model))
    }

    /// Adds to the stories what the rules make of them.
    pub fn look(&mut self, stories: &mut [Tracked]) {
        if self.analysts.is_empty() {
            return;
        }
        for tracked in stories {
            if let Some(analyst) = self.analysts.get_mut(&tracked.stream) {
                analyst.look(tracked);
            }
        }
    }

    /// A camera is gone: its last stories are looked at, and its last word is added to them.
    pub fn forget(&mut self, stream: &StreamId, stories: &mut Vec<Tracked>) {
        self.masks.remove(stream);
        let Some(mut analyst) = self.analysts.remove(stream) else { return };
        stories.iter_mut().filter(|tracked| tracked.stream == *stream).for_each(|tracked| analyst.look(tracked));
        stories.extend(analyst.finish());
    }
}
