//! What some networks tell of an object beside its box: how it is turned, its key points, the pixels that it covers.
//!
//! They travel beside the detections of a frame, not in them, so that a network of plain boxes pays nothing.

use super::{BBox, Detection};

/// Most key points and run lengths of one frame: what bounds its messages and its memory.
pub const MAX_PARTS: usize = 20_000;
/// No coordinate is farther away, as with boxes.
const FAR: f32 = 1e6;

/// What belongs to one detection, in pixels of the source frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Extra {
    /// The box as it is turned.
    Turned(Turned),
    /// x, y and visibility 0..1, in the network's order. They may lie outside the frame.
    Keypoints(Box<[[f32; 3]]>),
    /// The pixels that it covers.
    Mask(ObjectMask),
}

/// A box that is turned. The detection's own box is the upright one around it, cut off at the frame's edges.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Turned {
    /// From the picture's x axis to the box's, clockwise on the screen (y points down), in radians, 0..π/2.
    pub angle: f32,
    /// Clockwise on the screen; the first side, to the second corner, is the one that `angle` is about. They may lie outside the
    /// frame. A rectangle, but for networks whose input is stretched: then its image, a parallelogram.
    pub corners: [[f32; 2]; 4],
}

/// Which pixels an object covers, as the network sees them: a grid that is laid over a part of the frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectMask {
    /// What the grid is laid over, in pixels of the source frame.
    pub bbox: BBox,
    /// Columns and rows of the grid.
    pub size: [u32; 2],
    /// Row by row from the top left, over the ends of rows: how many are not covered (perhaps 0), how many then are, and so on. Empty
    /// where there are more than [`Self::MAX_RUNS`].
    pub runs: Box<[u32]>,
}

impl ObjectMask {
    /// A mask with more runs is noise.
    pub const MAX_RUNS: usize = 4096;

    /// Whether the cell in this column and row is covered.
    pub fn covers(&self, column: u32, row: u32) -> bool {
        if column >= self.size[0] || row >= self.size[1] {
            return false;
        }
        let mut left = u64::from(row) * u64::from(self.size[0]) + u64::from(column);
        for (i, run) in self.runs.iter().enumerate() {
            match left.checked_sub(u64::from(*run)) {
                Some(rest) => left = rest,
                None => return i % 2 == 1,
            }
        }
        false
    }
}

impl Extra {
    /// Key points or run lengths.
    fn parts(&self) -> usize {
        match self {
            Self::Turned(_) => 0,
            Self::Keypoints(points) => points.len(),
            Self::Mask(mask) => mask.runs.len(),
        }
    }

    fn is_sound(&self) -> bool {
        // NaN is in no range.
        let near = |v: f32| v.abs() <= FAR;
        match self {
            Self::Turned(turned) => (0.0..=4.0).contains(&turned.angle) && turned.corners.as_flattened().iter().all(|v| near(*v)),
            Self::Keypoints(points) => {
                points.iter().all(|[x, y, visibility]| near(*x) && near(*y) && (0.0..=1.0).contains(visibility))
            }
            Self::Mask(mask) => {
                let BBox { x1, y1, x2, y2 } = mask.bbox;
                let cells = u64::from(mask.size[0]) * u64::from(mask.size[1]);
                let whole = mask.runs.is_empty() || mask.runs.iter().map(|run| u64::from(*run)).sum::<u64>() == cells;
                [x1, y1, x2, y2].into_iter().all(near) && x2 > x1 && y2 > y1 && whole
            }
        }
    }
}

/// What belongs to the detections of one frame, by their place among them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extras(Vec<Option<Extra>>);

/// How many extras were thrown away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thrown {
    /// Those that are none: not finite, far outside the frame, a visibility outside 0..1.
    pub rejected: u64,
    /// Those beyond [`MAX_PARTS`] of a frame.
    pub excess: u64,
}

impl Extras {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What belongs to a detection.
    pub fn get(&self, detection: usize) -> Option<&Extra> {
        self.0.get(detection)?.as_ref()
    }

    /// The same, taken out.
    pub fn take(&mut self, detection: usize) -> Option<Extra> {
        self.0.get_mut(detection)?.take()
    }

    /// Gives a detection what belongs to it.
    pub fn set(&mut self, detection: usize, extra: Extra) {
        if self.0.len() <= detection {
            self.0.resize_with(detection + 1, || None);
        }
        self.0[detection] = Some(extra);
    }

    /// Keeps some of the detections, and what belongs to them.
    pub fn retain(&mut self, detections: &mut Vec<Detection>, mut keep: impl FnMut(&Detection) -> bool) {
        if self.is_empty() {
            detections.retain(keep);
            return;
        }
        let (mut kept, mut place) = (Self::default(), 0);
        let mut left = 0;
        detections.retain(|detection| {
            let (stays, extra) = (keep(detection), self.take(place));
            place += 1;
            if stays {
                if let Some(extra) = extra {
                    kept.set(left, extra);
                }
                left += 1;
            }
            stays
        });
        *self = kept;
    }

    /// Keeps the surest detections, and what belongs to them, highest confidence first.
    pub fn keep_best(&mut self, detections: &mut Vec<Detection>, most: usize) {
        let mut order: Vec<usize> = (0..detections.len()).collect();
        order.sort_by(|a, b| detections[*b].confidence.total_cmp(&detections[*a].confidence));
        order.truncate(most);
        let mut kept = Self::default();
        for (place, from) in order.iter().enumerate() {
            if let Some(extra) = self.take(*from) {
                kept.set(place, extra);
            }
        }
        *self = kept;
        *detections = order.into_iter().map(|from| detections[from]).collect();
    }

    /// Throws away what cannot be, and what is too much for one frame; the detections stay. Of too many the first ones stay: those of
    /// the surest detections, in the order of a network's answer.
    pub fn sift(&mut self) -> Thrown {
        let (mut thrown, mut parts) = (Thrown::default(), 0);
        for slot in &mut self.0 {
            let Some(extra) = slot else { continue };
            let count = extra.parts();
            if !extra.is_sound() {
                thrown.rejected += 1;
                *slot = None;
            } else if parts + count > MAX_PARTS {
                thrown.excess += 1;
                *slot = None;
            } else {
                parts += count;
            }
        }
        thrown
    }
}

/// Detections with what belongs to them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Boxes {
    /// The detections.
    pub detections: Vec<Detection>,
    /// What belongs to them.
    pub extras: Extras,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn detection(confidence: f32) -> Detection {
        Detection { class: 0, confidence, bbox: BBox::new(0.0, 0.0, 10.0, 10.0) }
    }

    /// A key point that says which detection it belongs to.
    fn mark(confidence: f32) -> Extra {
        Extra::Keypoints([[confidence, 0.0, 1.0]].into())
    }

    fn marked(confidences: &[f32]) -> (Vec<Detection>, Extras) {
        let mut extras = Extras::default();
        // Every third has none.
        for (i, confidence) in confidences.iter().enumerate().filter(|(i, _)| i % 3 != 2) {
            extras.set(i, mark(*confidence));
        }
        (confidences.iter().map(|confidence| detection(*confidence)).collect(), extras)
    }

    fn points(count: usize) -> Extra {
        Extra::Keypoints(vec![[1.0, 2.0, 0.5]; count].into())
    }

    #[test]
    fn what_cannot_be_goes_and_is_counted() {
        let turned = |angle, x| Extra::Turned(Turned { angle, corners: [[x, 0.0], [9.0, 0.0], [9.0, 9.0], [0.0, 9.0]] });
        let mask =
            |x2, runs: &[u32]| Extra::Mask(ObjectMask { bbox: BBox::new(0.0, 0.0, x2, 4.0), size: [4, 2], runs: runs.into() });
        let keypoint = |x, visibility| Extra::Keypoints([[1.0, 1.0, 1.0], [x, 2.0, visibility]].into());
        let good = [turned(0.0, -3.0), turned(1.5, 1.0), keypoint(-20.0, 0.0), mask(8.0, &[1, 7]), mask(8.0, &[])];
        let bad = [
            turned(f32::NAN, 1.0),
            turned(-0.1, 1.0),
            turned(0.5, f32::INFINITY),
            turned(0.5, 2e6),
            keypoint(f32::NAN, 0.5),
            keypoint(-2e6, 0.5),
            keypoint(1.0, f32::NAN),
            keypoint(1.0, 1.01),
            mask(f32::NAN, &[8]),
            mask(0.0, &[8]),
            mask(8.0, &[1, 6]),
        ];
        let mut extras = Extras::default();
        good.iter().chain(&bad).enumerate().for_each(|(i, extra)| extras.set(i, extra.clone()));
        assert_eq!(extras.sift(), Thrown { rejected: bad.len() as u64, excess: 0 });
        assert!(good.iter().enumerate().all(|(i, extra)| extras.get(i) == Some(extra)));
        assert!((good.len()..good.len() + bad.len()).all(|i| extras.get(i).is_none()));
    }

    #[test]
    fn a_frame_has_only_so_many_parts() {
        let mut extras = Extras::default();
        [MAX_PARTS - 10, 11, 10, 1].into_iter().enumerate().for_each(|(i, count)| extras.set(i, points(count)));
        assert_eq!(extras.sift(), Thrown { rejected: 0, excess: 2 });
        assert!(extras.get(0).is_some() && extras.get(1).is_none() && extras.get(2).is_some() && extras.get(3).is_none());
    }

    #[test]
    fn a_mask_tells_its_cells() {
        let mask = ObjectMask { bbox: BBox::default(), size: [3, 2], runs: [1, 3, 2].into() };
        let cells: Vec<bool> = (0..2).flat_map(|y| (0..3).map(move |x| (x, y))).map(|(x, y)| mask.covers(x, y)).collect();
        assert_eq!(cells, [false, true, true, true, false, false]);
        assert!(!mask.covers(3, 0) && !mask.covers(0, 2));
    }

    proptest! {
        /// Whatever is thrown away or sorted, each keeps its own.
        #[test]
        fn each_detection_keeps_what_belongs_to_it(confidences in prop::collection::vec(0.0..1.0_f32, 0..40), most in 0..50_usize, least in 0.0..1.0_f32) {
            let (mut detections, mut extras) = marked(&confidences);
            let had: Vec<f32> = (0..confidences.len()).filter(|i| i % 3 != 2).map(|i| confidences[i]).collect();
            extras.retain(&mut detections, |detection| detection.confidence >= least);
            extras.keep_best(&mut detections, most);
            prop_assert_eq!(detections.len(), confidences.iter().filter(|c| **c >= least).count().min(most));
            prop_assert!(detections.is_sorted_by(|a, b| a.confidence >= b.confidence));
            for (i, detection) in detections.iter().enumerate() {
                if let Some(extra) = extras.get(i) {
                    prop_assert_eq!(extra, &mark(detection.confidence));
                } else {
                    let same = |c: &&f32| c.to_bits() == detection.confidence.to_bits();
                    prop_assert!(confidences.iter().filter(same).count() > had.iter().filter(same).count());
                }
            }
        }
    }
}
