//! Non-maximum suppression: greedy, per class, deterministic.

use crate::head::Candidate;

/// How duplicates are suppressed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NmsParams {
    /// Of two boxes of one class with a larger IoU the lesser is dropped.
    pub iou: f32,
    /// Only this many candidates with the highest scores take part: bounds the work on a hostile picture.
    pub candidates: usize,
    /// At most this many boxes remain.
    pub detections: usize,
}

/// Sorts `candidates` by score (highest first; ties by class, then by position) and keeps those that no better box of the same
/// class covers. The buffer is reused; `scratch` too.
pub fn suppress(candidates: &mut Vec<Candidate>, params: &NmsParams, scratch: &mut Scratch) {
    candidates.sort_unstable_by(compare);
    candidates.truncate(params.candidates);
    let areas = &mut scratch.areas;
    areas.clear();
    let mut kept = 0;
    for i in 0..candidates.len() {
        if kept == params.detections {
            break;
        }
        let candidate = candidates[i];
        let own = area(&candidate.bbox);
        let covered = candidates[..kept]
            .iter()
            .zip(areas.iter())
            .any(|(better, area)| better.class == candidate.class && iou(&better.bbox, *area, &candidate.bbox, own) > params.iou);
        if !covered {
            candidates[kept] = candidate;
            areas.push(own);
            kept += 1;
        }
    }
    candidates.truncate(kept);
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
    b.score.total_cmp(&a.score).then(a.class.cmp(&b.class)).then_with(by_place)
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

    const PARAMS: NmsParams = NmsParams { iou: 0.5, candidates: 1000, detections: 100 };

    fn candidate(class: u16, score: f32, x: f32) -> Candidate {
        Candidate { class, score, bbox: [x, 0.0, x + 10.0, 10.0] }
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
    fn limits_hold() {
        let many: Vec<_> = (0..50).map(|i| candidate(0, 0.5 + i as f32 / 1000.0, i as f32 * 20.0)).collect();
        let kept = run(many.clone(), NmsParams { detections: 7, ..PARAMS });
        assert_eq!(kept.len(), 7);
        assert_eq!(kept[0], many[49]);
        assert_eq!(run(many, NmsParams { candidates: 3, ..PARAMS }).len(), 3);
        assert!(run(Vec::new(), PARAMS).is_empty());
    }

    fn any_candidate() -> impl Strategy<Value = Candidate> {
        (0..3_u16, 0..20_u8, 0..40_u8, 0..40_u8, 1..30_u8, 1..30_u8).prop_map(|(class, score, x, y, w, h)| {
            let (x, y, w, h) = (f32::from(x), f32::from(y), f32::from(w), f32::from(h));
            Candidate { class, score: f32::from(score) / 20.0, bbox: [x, y, x + w, y + h] }
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
