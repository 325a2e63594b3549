//! Whether an object stands still: a parked car, a chair. Such an object's box is told as the mean of what was seen of it, without the
//! detector's jitter.

use std::time::Duration;

use crate::media::BBox;

/// An object that has stayed where it was for so long stands.
const AFTER: Duration = Duration::from_secs(5);
/// As long as it stays within this part of its size, each edge, it has not moved.
const WITHIN: f32 = 0.1;
/// The mean is over at most so many frames.
const MEMORY: f32 = 30.0;

/// What is known of an object's standing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    mean: BBox,
    frames: f32,
    since: Duration,
    stands: bool,
}

impl Standing {
    pub(super) fn new(bbox: &BBox, clock: Duration) -> Self {
        Self { mean: *bbox, frames: 0.0, since: clock, stands: false }
    }

    /// The picture is so many times as wide and as high from now on.
    pub(super) fn scale(&mut self, across: f32, down: f32) {
        self.mean = self.mean.scaled(across, down);
    }

    pub(super) fn is_stationary(&self) -> bool {
        self.stands
    }

    /// Takes a box in; returns that which is told.
    pub(super) fn see(&mut self, bbox: &BBox, clock: Duration) -> BBox {
        let (w, h) = (WITHIN * bbox.width(), WITHIN * bbox.height());
        let mean = &mut self.mean;
        let moved = |a: f32, b: f32, most: f32| (a - b).abs() > most;
        if moved(mean.x1, bbox.x1, w) || moved(mean.x2, bbox.x2, w) || moved(mean.y1, bbox.y1, h) || moved(mean.y2, bbox.y2, h) {
            *self = Self::new(bbox, clock);
        }
        self.frames = (self.frames + 1.0).min(MEMORY);
        let share = 1.0 / self.frames;
        let toward = |mean: &mut f32, seen: f32| *mean += share * (seen - *mean);
        toward(&mut self.mean.x1, bbox.x1);
        toward(&mut self.mean.y1, bbox.y1);
        toward(&mut self.mean.x2, bbox.x2);
        toward(&mut self.mean.y2, bbox.y2);
        self.stands = clock.saturating_sub(self.since) >= AFTER;
        if self.stands { self.mean } else { *bbox }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f32) -> BBox {
        BBox::new(x, 50.0, x + 200.0, 150.0)
    }

    #[test]
    fn a_parked_car_stands_and_its_box_is_calm() {
        let mut standing = Standing::new(&at(100.0), Duration::ZERO);
        for frame in 0..100u64 {
            let jitter = if frame % 2 == 0 { 4.0 } else { -4.0 };
            let clock = Duration::from_millis(100) * frame as u32;
            let told = standing.see(&at(100.0 + jitter), clock);
            assert_eq!(standing.is_stationary(), frame >= 50, "frame {frame}");
            assert!(frame < 50 || (told.x1 - 100.0).abs() < 0.5, "frame {frame}: {told:?}");
        }
        // It drives off.
        let told = standing.see(&at(140.0), Duration::from_secs(11));
        assert!(!standing.is_stationary() && (told.x1 - 140.0).abs() < f32::EPSILON);
    }

    #[test]
    fn what_creeps_does_not_stand() {
        let mut standing = Standing::new(&at(0.0), Duration::ZERO);
        // A tenth of its length every two seconds.
        for frame in 0..300u32 {
            standing.see(&at(frame as f32), Duration::from_millis(100) * frame);
            assert!(!standing.is_stationary(), "frame {frame}");
        }
    }
}
