//! The CLEAR MOT figures (Bernardin and Stiefelhagen 2008) as MOTChallenge counts them.

use super::{
    matching::{Pair, heaviest},
    scene::{Frame, LEAST_IOU, Scene},
};

/// What a pair that was together in the frame before is worth beyond its IoU: more than any frame's IoUs add up to.
const TOGETHER: f64 = 1000.0;

/// Counts over one sequence, or over several added up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clear {
    /// True boxes that were found.
    pub true_positives: u64,
    /// Tracked boxes that lie on nothing.
    pub false_positives: u64,
    /// True boxes that were not found.
    pub false_negatives: u64,
    /// How often an object is found under another identity than the last time.
    pub id_switches: u64,
    /// Objects found in more than 80 % of their frames.
    pub mostly_tracked: u64,
    /// Objects found in 20 to 80 % of them.
    pub partly_tracked: u64,
    /// Objects found in less.
    pub mostly_lost: u64,
    /// How often an object is found again after it was not.
    pub fragmentations: u64,
    /// IoU of what was found, added up.
    pub overlap: f64,
}

/// What is remembered of an object.
#[derive(Clone, Copy, Default)]
struct Object {
    frames: u64,
    found: u64,
    /// How often finding it began.
    stretches: u64,
    /// Under which identity it was found last, whenever that was.
    last: Option<u32>,
    /// Under which one it was found in the frame before that had both objects and tracks.
    before: Option<u32>,
}

impl Clear {
    /// Judges a sequence.
    pub fn of(scene: &Scene) -> Self {
        let mut clear = Self::default();
        let mut objects = vec![Object::default(); scene.objects];
        for frame in &scene.frames {
            clear.frame(frame, &mut objects);
        }
        for object in &objects {
            // Exact where the quotient is not: 4 of 5 frames are not more than 80 %.
            if 5 * object.found > 4 * object.frames {
                clear.mostly_tracked += 1;
            } else if 5 * object.found >= object.frames {
                clear.partly_tracked += 1;
            } else {
                clear.mostly_lost += 1;
            }
            clear.fragmentations += object.stretches.saturating_sub(1);
        }
        clear
    }

    fn frame(&mut self, frame: &Frame, objects: &mut [Object]) {
        for &object in &frame.objects {
            objects[object as usize].frames += 1;
        }
        self.false_negatives += frame.objects.len() as u64;
        self.false_positives += frame.tracks.len() as u64;
        // As in MOTChallenge's evaluation such a frame is passed over: what was found before it counts as found just before.
        if frame.objects.is_empty() || frame.tracks.is_empty() {
            return;
        }
        let found = matched(frame, objects);
        let mut now = vec![None; objects.len()];
        for pair in &found {
            let (object, track) = (frame.objects[pair.row as usize] as usize, frame.tracks[pair.column as usize]);
            let Object { last, found, .. } = &mut objects[object];
            self.id_switches += u64::from(last.is_some_and(|last| last != track));
            *last = Some(track);
            *found += 1;
            now[object] = Some(track);
            self.overlap += pair.weight;
        }
        for (object, now) in objects.iter_mut().zip(now) {
            object.stretches += u64::from(object.before.is_none() && now.is_some());
            object.before = now;
        }
        self.true_positives += found.len() as u64;
        self.false_negatives -= found.len() as u64;
        self.false_positives -= found.len() as u64;
    }

    /// Adds another sequence.
    pub fn add(&mut self, other: &Self) {
        self.true_positives += other.true_positives;
        self.false_positives += other.false_positives;
        self.false_negatives += other.false_negatives;
        self.id_switches += other.id_switches;
        self.mostly_tracked += other.mostly_tracked;
        self.partly_tracked += other.partly_tracked;
        self.mostly_lost += other.mostly_lost;
        self.fragmentations += other.fragmentations;
        self.overlap += other.overlap;
    }

    /// Multiple object tracking accuracy, 1 at best; 0 where there is nothing to be found.
    pub fn mota(&self) -> f64 {
        let boxes = self.true_positives + self.false_negatives;
        if boxes == 0 {
            return 0.0;
        }
        (self.true_positives as f64 - self.false_positives as f64 - self.id_switches as f64) / boxes as f64
    }

    /// Mean IoU of what was found, 0..1.
    pub fn motp(&self) -> f64 {
        self.overlap / (self.true_positives as f64).max(1.0)
    }
}

/// Who is found as whom, the weight brought back to the IoU: first as many as possible as in the frame before, then the greatest IoU.
fn matched(frame: &Frame, objects: &[Object]) -> Vec<Pair> {
    let near: Vec<Pair> = frame.overlaps.iter().filter(|pair| pair.weight >= LEAST_IOU).copied().collect();
    let weighed: Vec<Pair> = near
        .iter()
        .map(|pair| {
            let before = objects[frame.objects[pair.row as usize] as usize].before;
            let together = before == Some(frame.tracks[pair.column as usize]);
            Pair { weight: pair.weight + if together { TOGETHER } else { 0.0 }, ..*pair }
        })
        .collect();
    heaviest(&weighed).into_iter().map(|index| near[index]).collect()
}
