//! The best picture of each track, for those who are told of it. It is cut out of frames that are in hand anyway; what nobody is to see is
//! black, and it is only encoded once somebody wants it.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::{
    analyse::{Zone, cover},
    media::{BBox, Canvas, Frame, HostPicture, Pixels, Rename, Shot, Track, TrackId, TrackPhase, Tracked},
};

/// Most tracks of a camera that have one: at 320 pixels, 20 MB.
const MOST: usize = 64;
/// Most that are cut out of one frame.
const MOST_OF_FRAME: usize = 4;
/// A better one has to be better by this.
const BETTER: f32 = 1.1;
/// And later by this.
const EVERY: Duration = Duration::from_millis(200);
/// What an object is worth that the edge of the picture cuts.
const CUT: f32 = 0.5;
/// What is shown around an object, in parts of its size.
const MARGIN: f32 = 0.1;
/// Objects that are smaller, in pixels, show nothing.
const SMALLEST: f32 = 8.0;

struct Best {
    score: f32,
    at: Duration,
    shot: Arc<Shot>,
}

/// The best pictures of one camera's tracks.
pub(super) struct Shots {
    /// Longest side in pixels.
    longest: u32,
    kept: BTreeMap<TrackId, Best>,
}

/// What a sight of an object is worth: large, sure and whole.
fn score(track: &Track, (width, height): (u32, u32)) -> f32 {
    let BBox { x1, y1, x2, y2 } = track.bbox;
    let whole = x1 > 1.0 && y1 > 1.0 && x2 < width as f32 - 1.0 && y2 < height as f32 - 1.0;
    track.confidence * track.bbox.area().sqrt() * if whole { 1.0 } else { CUT }
}

/// The object and its margin, as far as they are in the picture; `None`: next to nothing is.
fn cut(picture: &HostPicture, bbox: &BBox, longest: u32) -> Option<Canvas> {
    let (across, down) = (MARGIN * bbox.width(), MARGIN * bbox.height());
    let within = |from: f32, to: f32, size: u32| from.max(0.0) as usize..to.clamp(0.0, size as f32) as usize;
    let columns = within(bbox.x1 - across, bbox.x2 + across, picture.width());
    let rows = within(bbox.y1 - down, bbox.y2 + down, picture.height());
    if (columns.len() as f32) < SMALLEST || (rows.len() as f32) < SMALLEST {
        return None;
    }
    let step = columns.len().max(rows.len()).div_ceil(longest.max(1) as usize).max(1);
    Some(Canvas::part(picture, (columns, rows), step))
}

impl Shots {
    pub(super) fn new(longest: u32) -> Self {
        Self { longest, kept: BTreeMap::new() }
    }

    /// Looks at a frame and its story, which gets the pictures of the tracks that begin and end with it. `veils`: what of the camera's
    /// pictures nobody is to see.
    pub(super) fn take(&mut self, frame: &Frame, clock: Duration, veils: impl Fn() -> Vec<Zone>, tracked: &mut Tracked) {
        for Rename { from, to, .. } in tracked.steps.iter().flat_map(|report| &report.renames) {
            // The one that it had before is as good as gone.
            if let Some(best) = self.kept.remove(from) {
                self.kept.entry(*to).or_insert(best);
            }
        }
        if !matches!(frame.pixels, Pixels::None { .. }) {
            let better: Vec<Track> = tracked
                .tracks
                .iter()
                .filter(|track| self.is_better(track, clock, tracked.size))
                .take(MOST_OF_FRAME)
                .copied()
                .collect();
            // Only then does a picture on a device come here.
            if !better.is_empty()
                && let Some(picture) = frame.pixels.host()
            {
                let veils = veils();
                for track in &better {
                    self.keep(picture, frame, track, clock, &veils);
                }
            }
        }
        self.tell(tracked);
    }

    /// Tracks end without a frame.
    pub(super) fn tell(&mut self, tracked: &mut Tracked) {
        let Tracked { tracks, shots, .. } = tracked;
        for track in tracks.iter() {
            let best = match track.phase {
                TrackPhase::New => self.kept.get(&track.id).map(|best| Arc::clone(&best.shot)),
                TrackPhase::End => self.kept.remove(&track.id).map(|best| best.shot),
                TrackPhase::Update => None,
            };
            shots.extend(best.map(|shot| (track.id, shot)));
        }
    }

    fn is_better(&self, track: &Track, clock: Duration, size: (u32, u32)) -> bool {
        if track.phase == TrackPhase::End {
            return false;
        }
        match self.kept.get(&track.id) {
            None => true,
            Some(best) => clock.saturating_sub(best.at) >= EVERY && score(track, size) > BETTER * best.score,
        }
    }

    fn keep(&mut self, picture: &HostPicture, frame: &Frame, track: &Track, clock: Duration, veils: &[Zone]) {
        if self.kept.len() >= MOST && !self.kept.contains_key(&track.id) {
            return;
        }
        let Some(mut canvas) = cut(picture, &track.bbox, self.longest) else { return };
        for zone in veils {
            cover(&mut canvas, zone);
        }
        let shot = Shot {
            class: track.class,
            confidence: track.confidence,
            bbox: track.bbox,
            captured: frame.capture.wall,
            canvas,
            jpeg: OnceLock::new(),
        };
        let score = score(track, (picture.width(), picture.height()));
        self.kept.insert(track.id, Best { score, at: clock, shot: Arc::new(shot) });
    }
}

#[cfg(test)]
#[path = "shots_tests.rs"]
mod tests;
