//! Non-maximum suppression: greedy, per class or over all classes, deterministic.

use crate::head::{Candidate, Oriented};

/// How duplicates are suppressed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NmsParams {
    /// Of two boxes with a larger IoU the lesser is dropped.
    pub iou: f32,
    /// Whether boxes of different classes suppress each other.
    pub class_agnostic: bool,
    /// Only this many candidates with the highest scores take part: bounds the work on a hostile picture.
    pub candidates: usize,
    /// At most this many boxes remain.
    pub detections: usize,
}

impl NmsParams {
    fn compete(&self, a: &Candidate, b: &Candidate) -> bool {
        self.class_agnostic || a.class == b.class
    }
}

/// Sorts `candidates` by score (highest first; ties by class, then by position) and keeps the first `limit`.
pub fn rank(candidates: &mut Vec<Candidate>, limit: usize) {
    // A picture can have far more candidates than are wanted: only those are sorted.
    if limit > 0 && candidates.len() > limit {
        candidates.select_nth_unstable_by(limit - 1, compare);
    }
    candidates.truncate(limit);
    candidates.sort_unstable_by(compare);
}

/// Ranks `candidates` and keeps those that no better box that stays covers; of one class, or with `class_agnostic` of any. The buffer
/// is reused; `scratch` too.
pub fn suppress(candidates: &mut Vec<Candidate>, params: &NmsParams, scratch: &mut Scratch) {
    rank(candidates, params.candidates);
    let areas = &mut scratch.areas;
    areas.clear();
    let mut kept = 0;
    for i in 0..candidates.len() {
        if kept == params.detections {
            break;
        }
        let candidate = candidates[i];
        let own = area(&candidate.bbox);
        let covered = candidates[..kept].iter().zip(areas.iter()).any(|(better, area)| {
            params.compete(better, &candidate) && iou(&better.bbox, *area, &candidate.bbox, own) > params.iou
        });
        if !covered {
            candidates[kept] = candidate;
            areas.push(own);
            kept += 1;
        }
    }
    candidates.truncate(kept);
}

/// The same for oriented boxes, by ProbIoU. As in the published code a box is dropped for any better box that it overlaps, also for one
/// that is dropped itself.
pub fn suppress_oriented(candidates: &mut Vec<Candidate>, params: &NmsParams, turned: impl Fn(&Candidate) -> Oriented) {
    rank(candidates, params.candidates);
    let boxes: Vec<_> = candidates.iter().map(turned).collect();
    let covered = |i: usize| {
        let better = boxes[..i].iter().zip(&candidates[..i]);
        better.into_iter().any(|(b, c)| params.compete(c, &candidates[i]) && b.prob_iou(&boxes[i]) > params.iou)
    };
    let kept: Vec<_> = (0..boxes.len()).filter(|i| !covered(*i)).take(params.detections).collect();
    for (place, i) in kept.iter().enumerate() {
        candidates[place] = candidates[*i];
    }
    candidates.truncate(kept.len());
}

/// Memory that [`suppress`] reuses.
#[derive(Default)]
pub struct Scratch {
    areas: Vec<f32>,
}

/// A total order, so that equal scores give the same boxes every time.
fn compare(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    let by_place = || {
        let pairs = a.bbox.iter().zip(&b.bbox);
        pairs.map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    };
    b.score.total_cmp(&a.score).then(a.class.cmp(&b.class)).then_with(by_place).then(a.row.cmp(&b.row))
}

fn area(b: &[f32; 4]) -> f32 {
    (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0)
}

fn iou(a: &[f32; 4], area_a: f32, b: &[f32; 4], area_b: f32) -> f32 {
    let w = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let h = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let intersection = w * h;
    let union = area_a + area_b - intersection;
    if union > 0.0 { intersection / union } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARAMS: NmsParams = NmsParams { iou: 0.5, class_agnostic: false, candidates: 1000, detections: 100 };

    fn candidate(class: u16, score: f32, x: f32) -> Candidate {
        Candidate { class, score, bbox: [x, 0.0, x + 10.0, 10.0], row: 0 }
    }

    fn run(mut candidates: Vec<Candidate>, params: NmsParams) -> Vec<Candidate> {
        suppress(&mut candidates, &params, &mut Scratch::default());
        candidates
    }

    #[test]
    fn the_best_box_of_a_class_wins_and_other_classes_stay() {
        let kept =
            run(vec![candidate(0, 0.6, 1.0), candidate(0, 0.9, 0.0), candidate(1, 0.5, 0.0), candidate(0, 0.3, 30.0)], PARAMS);
        assert_eq!(kept, [candidate(0, 0.9, 0.0), candidate(1, 0.5, 0.0), candidate(0, 0.3, 30.0)]);
    }

    #[test]
    fn a_suppressed_box_suppresses_nothing() {
        // IoU of neighbours is 7/13, of the outer two 4/16.
        let kept = run(vec![candidate(0, 0.9, 0.0), candidate(0, 0.8, 3.0), candidate(0, 0.7, 6.0)], PARAMS);
        assert_eq!(kept.iter().map(|c| c.bbox[0]).collect::<Vec<_>>(), [0.0, 6.0]);
    }

    #[test]
    fn classes_compete_on_request() {
        let both = vec![candidate(0, 0.6, 1.0), candidate(1, 0.9, 0.0)];
        assert_eq!(run(both.clone(), NmsParams { class_agnostic: true, ..PARAMS }), [candidate(1, 0.9, 0.0)]);
        assert_eq!(run(both, PARAMS).len(), 2);
    }

    #[test]
    fn turned_boxes_suppress_by_their_own_overlap() {
        // Two crossed bars whose upright boxes overlap wholly, and a copy of the first.
        let (x, y) = ([50.0, 50.0], [100.0, 10.0]);
        let boxes = [0.8, -0.8, 0.8].map(|angle| Oriented { centre: x, size: y, angle });
        let hull = boxes[0].hull();
        let mut found: Vec<_> =
            (0..3_u32).map(|row| Candidate { class: 0, score: 0.9 - row as f32 / 10.0, bbox: hull, row }).collect();
        suppress_oriented(&mut found, &PARAMS, |c| boxes[c.row as usize]);
        assert_eq!(found.iter().map(|c| c.row).collect::<Vec<_>>(), [0, 1]);
        suppress_oriented(&mut found, &NmsParams { detections: 1, ..PARAMS }, |c| boxes[c.row as usize]);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn limits_hold() {
        let many: Vec<_> = (0..50).map(|i| candidate(0, 0.5 + i as f32 / 1000.0, i as f32 * 20.0)).collect();
        let kept = run(many.clone(), NmsParams { detections: 7, ..PARAMS });
        assert_eq!(kept.len(), 7);
        assert_eq!(kept[0], many[49]);
        assert_eq!(run(many, NmsParams { candidates: 3, ..PARAMS }).len(), 3);
        assert!(run(Vec::new(), PARAMS).is_empty());
        assert!(run(vec![candidate(0, 0.9, 0.0)], NmsParams { candidates: 0, ..PARAMS }).is_empty());
    }

    fn any_candidate() -> impl Strategy<Value = Candidate> {
        (0..3_u16, 0..20_u8, 0..40_u8, 0..40_u8, 1..30_u8, 1..30_u8).prop_map(|(class, score, x, y, w, h)| {
            let (x, y, w, h) = (f32::from(x), f32::from(y), f32::from(w), f32::from(h));
            Candidate { class, score: f32::from(score) / 20.0, bbox: [x, y, x + w, y + h], row: 0 }
        })
    }

    proptest! {
        #[test]
        fn keeps_the_best_and_no_two_overlap(candidates in prop::collection::vec(any_candidate(), 0..60), seed in any::<u64>()) {
            let kept = run(candidates.clone(), PARAMS);
            for (i, a) in kept.iter().enumerate() {
                for b in &kept[i + 1..] {
                    prop_assert!(a.score >= b.score);
                    prop_assert!(a.class != b.class || iou(&a.bbox, area(&a.bbox), &b.bbox, area(&b.bbox)) <= PARAMS.iou);
                }
            }
            for c in &candidates {
                let explained = kept.contains(c) || kept.iter().any(|k| {
                    k.class == c.class && k.score >= c.score && iou(&k.bbox, area(&k.bbox), &c.bbox, area(&c.bbox)) > PARAMS.iou
                });
                prop_assert!(explained);
            }
            // The order in which candidates come does not matter.
            let mut shuffled = candidates;
            let mut state = seed | 1;
            for i in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                shuffled.swap(i, (state >> 33) as usize % (i + 1));
            }
            prop_assert_eq!(run(shuffled, PARAMS), kept);
        }
    }
}
