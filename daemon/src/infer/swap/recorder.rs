//! Frames of the cameras, kept to compare detectors on.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use crate::media::{Frame, HostPicture, Pixels, StreamId};

/// Most frames.
const MOST: usize = 24;
/// Most bytes of all together: 21 frames of 1080p.
const MOST_BYTES: usize = 64 << 20;
/// Shortest time between two frames of a camera: the next one would show the same.
const EVERY: Duration = Duration::from_secs(1);

/// The newest frames that showed something, else the newest.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    kept: VecDeque<Kept>,
    latest: BTreeMap<StreamId, Instant>,
}

#[derive(Debug)]
struct Kept {
    frame: Frame,
    bytes: usize,
    /// Something was seen in it.
    telling: bool,
}

impl Recorder {
    /// Copies a frame, if it is worth it: the decoder gets its surface back.
    pub(super) fn offer(&mut self, frame: &Frame, telling: bool, now: Instant) {
        let soon = self.latest.get(&frame.stream).is_some_and(|latest| now.saturating_duration_since(*latest) < EVERY);
        let full = self.kept.len() >= MOST;
        if soon || (full && !telling) {
            return;
        }
        let Some(picture) = frame.pixels.host().and_then(HostPicture::copied) else { return };
        self.latest.insert(frame.stream.clone(), now);
        let bytes = bytes_of(&picture);
        while self.kept.len() >= MOST || self.bytes() + bytes > MOST_BYTES {
            // What shows nothing goes first, then the oldest.
            let empty = self.kept.iter().position(|kept| !kept.telling);
            if self.kept.remove(empty.unwrap_or(0)).is_none() {
                break;
            }
        }
        let copy = Frame {
            stream: frame.stream.clone(),
            seq: frame.seq,
            dispatch: frame.dispatch,
            pts: frame.pts,
            capture: frame.capture,
            pixels: Pixels::Host(picture),
            times: frame.times,
        };
        self.kept.push_back(Kept { frame: copy, bytes, telling });
    }

    fn bytes(&self) -> usize {
        self.kept.iter().map(|kept| kept.bytes).sum()
    }

    /// How many frames show something.
    pub(super) fn telling(&self) -> usize {
        self.kept.iter().filter(|kept| kept.telling).count()
    }

    /// All, oldest first. None is left.
    pub(super) fn take(&mut self) -> Vec<Frame> {
        self.latest.clear();
        self.kept.drain(..).map(|kept| kept.frame).collect()
    }
}

fn bytes_of(picture: &HostPicture) -> usize {
    (0..picture.plane_count()).map(|plane| picture.plane_size(plane)).map(|(row, rows)| row * rows).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::swap::tests::frame;

    #[test]
    fn frames_that_show_something_stay() {
        let (mut recorder, start) = (Recorder::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        recorder.offer(&frame("door", 0), true, at(0));
        recorder.offer(&frame("door", 1), true, at(0) + EVERY / 2);
        recorder.offer(&frame("yard", 2), false, at(0));
        assert_eq!((recorder.kept.len(), recorder.telling()), (2, 1), "one of a camera per second");
        for i in 1..=2 * MOST as u64 {
            recorder.offer(&frame("door", i), i % 2 == 0, at(i));
        }
        assert_eq!((recorder.kept.len(), recorder.telling()), (MOST, MOST));
        let frames = recorder.take();
        assert!(frames.len() == MOST && frames.iter().is_sorted_by_key(|frame| frame.seq), "the newest, in order");
        assert!(recorder.take().is_empty() && recorder.bytes() == 0);
    }

    #[test]
    fn large_pictures_take_no_more_memory_than_small_ones() {
        let (mut recorder, start) = (Recorder::default(), Instant::now());
        for i in 0..20 {
            let mut large = frame("door", i);
            let bytes = bytes::Bytes::from(vec![0; 3840 * 2160 * 3 / 2]);
            large.pixels = Pixels::Host(HostPicture::tight_i420((3840, 2160), bytes).expect("a picture"));
            recorder.offer(&large, true, start + Duration::from_secs(i));
        }
        assert_eq!(recorder.kept.len(), 5);
        assert!(recorder.bytes() <= MOST_BYTES);
    }
}
