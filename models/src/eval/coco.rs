//! Average precision and recall of boxes by COCO's definition (Lin et al. 2014; `pycocotools` 2.0, `cocoeval.py`, `iouType="bbox"`):
//! ten IoU thresholds, 101 recall points, area ranges, at most 1, 10 or 100 boxes per picture and class, crowds.
//!
//! The order in which equal scores are taken is part of the definition: pictures in the order of their index, boxes of a picture
//! in the order in which they are given. `pycocotools` goes through pictures by ascending id.
//!
//! One thing is not imitated: `pycocotools` takes an object whose annotation id is 0 for unmatched.

use serde::Serialize;

/// 0.50, 0.55, … 0.95.
pub const IOU_THRESHOLDS: usize = 10;
/// Index of the threshold 0.75.
const AT_75: usize = 5;
/// 0, 0.01, … 1.
const RECALL_POINTS: usize = 101;
/// Most boxes per picture and class.
const MAX_BOXES: [usize; 3] = [1, 10, 100];
/// All, small, medium, large: in square pixels, both ends included.
const AREAS: [(f64, f64); 4] = [(0.0, 1e10), (0.0, 1024.0), (1024.0, 9216.0), (9216.0, 1e10)];

/// The IoU thresholds, to the bit as `numpy.linspace(0.5, 0.95, 10)` makes them.
pub fn iou_thresholds() -> [f64; IOU_THRESHOLDS] {
    let step = (0.95 - 0.5) / 9.0;
    let mut thresholds = std::array::from_fn(|i| i as f64 * step + 0.5);
    thresholds[IOU_THRESHOLDS - 1] = 0.95;
    thresholds
}

/// An object that is truly in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// Index of the picture.
    pub image: usize,
    /// Index of the class.
    pub class: usize,
    /// Left, top, width, height in pixels.
    pub bbox: [f64; 4],
    /// What decides whether it is small, medium or large: COCO gives the area of the outline, not of the box. Square pixels.
    pub area: f64,
    /// Many objects in one box (`iscrowd`): boxes that lie in it, as many as there are, are neither right nor wrong.
    pub crowd: bool,
    /// Neither to be found nor wrong to be found.
    pub ignore: bool,
}

/// A box that a detector found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detected {
    /// Index of the picture.
    pub image: usize,
    /// Index of the class.
    pub class: usize,
    /// Left, top, width, height in pixels.
    pub bbox: [f64; 4],
    /// Confidence; must be a number.
    pub score: f64,
}

/// COCO's twelve figures, 0..1. `None` (where `pycocotools` says −1): there is no such object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Average precision, mean over all IoU thresholds.
    pub ap: Option<f64>,
    /// Average precision at IoU 0.5.
    pub ap50: Option<f64>,
    /// Average precision at IoU 0.75.
    pub ap75: Option<f64>,
    /// `ap` of objects below 32² pixels.
    pub ap_small: Option<f64>,
    /// `ap` of objects from 32² to 96² pixels.
    pub ap_medium: Option<f64>,
    /// `ap` of objects above 96² pixels.
    pub ap_large: Option<f64>,
    /// Recall with one box per picture and class, mean over all IoU thresholds.
    pub ar1: Option<f64>,
    /// Recall with ten.
    pub ar10: Option<f64>,
    /// Recall with a hundred.
    pub ar100: Option<f64>,
    /// `ar100` of objects below 32² pixels.
    pub ar_small: Option<f64>,
    /// `ar100` of objects from 32² to 96² pixels.
    pub ar_medium: Option<f64>,
    /// `ar100` of objects above 96² pixels.
    pub ar_large: Option<f64>,
}

impl Summary {
    /// The figures in the order in which `pycocotools` prints them, with their names.
    pub fn figures(&self) -> [(&'static str, Option<f64>); 12] {
        [
            ("AP", self.ap),
            ("AP50", self.ap50),
            ("AP75", self.ap75),
            ("AP small", self.ap_small),
            ("AP medium", self.ap_medium),
            ("AP large", self.ap_large),
            ("AR1", self.ar1),
            ("AR10", self.ar10),
            ("AR100", self.ar100),
            ("AR small", self.ar_small),
            ("AR medium", self.ar_medium),
            ("AR large", self.ar_large),
        ]
    }

    /// The mean over those that have a figure, figure by figure.
    fn mean(all: &[Self]) -> Self {
        let mean = |figure: fn(&Self) -> Option<f64>| {
            let known: Vec<f64> = all.iter().filter_map(figure).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        Self {
            ap: mean(|s| s.ap),
            ap50: mean(|s| s.ap50),
            ap75: mean(|s| s.ap75),
            ap_small: mean(|s| s.ap_small),
            ap_medium: mean(|s| s.ap_medium),
            ap_large: mean(|s| s.ap_large),
            ar1: mean(|s| s.ar1),
            ar10: mean(|s| s.ar10),
            ar100: mean(|s| s.ar100),
            ar_small: mean(|s| s.ar_small),
            ar_medium: mean(|s| s.ar_medium),
            ar_large: mean(|s| s.ar_large),
        }
    }
}

/// The outcome of [`evaluate`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// The mean over the classes that have objects.
    pub total: Summary,
    /// Each class, by index.
    pub classes: Vec<Summary>,
}

/// Judges `found` by `objects`. Objects and boxes of classes from `classes` on are left out.
///
/// The work is bounded by 100 boxes per picture and class, times the objects of that class in the picture.
pub fn evaluate(classes: usize, objects: &[Object], found: &[Detected]) -> Evaluation {
    let mut objects: Vec<&Object> = objects.iter().collect();
    objects.sort_by_key(|o| (o.class, o.image));
    let mut found: Vec<&Detected> = found.iter().collect();
    // `+ 0.0` makes one zero of both.
    found.sort_by(|a, b| (a.class, a.image).cmp(&(b.class, b.image)).then((b.score + 0.0).total_cmp(&(a.score + 0.0))));
    let of_class = |class: usize| {
        let objects = group(&objects, class, |o| o.class);
        let found = group(&found, class, |d| d.class);
        summary(&pictures(objects, found))
    };
    let classes: Vec<Summary> = (0..classes).map(of_class).collect();
    Evaluation { total: Summary::mean(&classes), classes }
}

/// The part of a sorted list that has this key.
fn group<T>(sorted: &[T], key: usize, of: impl Fn(&T) -> usize) -> &[T] {
    let start = sorted.partition_point(|item| of(item) < key);
    let len = sorted[start..].partition_point(|item| of(item) == key);
    &sorted[start..start + len]
}

/// What one picture holds of one class.
struct Picture<'a> {
    objects: &'a [&'a Object],
    /// Highest score first.
    found: &'a [&'a Detected],
    /// `[found, objects]`.
    ious: Vec<f64>,
}

/// Those pictures that have an object or a box of the class, by index.
fn pictures<'a>(mut objects: &'a [&'a Object], mut found: &'a [&'a Detected]) -> Vec<Picture<'a>> {
    let mut pictures = Vec::new();
    while let Some(image) = objects.first().map(|o| o.image).into_iter().chain(found.first().map(|d| d.image)).min() {
        let (its_objects, more_objects) = objects.split_at(objects.partition_point(|o| o.image == image));
        let (its_found, more_found) = found.split_at(found.partition_point(|d| d.image == image));
        (objects, found) = (more_objects, more_found);
        let its_found = &its_found[..its_found.len().min(MAX_BOXES[2])];
        let ious = its_found.iter().flat_map(|d| its_objects.iter().map(|o| overlap(&d.bbox, &o.bbox, o.crowd))).collect();
        pictures.push(Picture { objects: its_objects, found: its_found, ious });
    }
    pictures
}

/// IoU; with a crowd the share of the box that lies in it (`maskApi.c`, `bbIou`).
pub fn overlap(found: &[f64; 4], object: &[f64; 4], crowd: bool) -> f64 {
    let w = (found[2] + found[0]).min(object[2] + object[0]) - found[0].max(object[0]);
    let h = (found[3] + found[1]).min(object[3] + object[1]) - found[1].max(object[1]);
    if w <= 0.0 || h <= 0.0 {
        return 0.0;
    }
    let intersection = w * h;
    let area = found[2] * found[3];
    intersection / if crowd { area } else { area + object[2] * object[3] - intersection }
}

/// A box and what became of it; a bit per IoU threshold.
#[derive(Clone, Copy)]
struct Judged {
    score: f64,
    /// Its place among the boxes of its picture and class.
    rank: usize,
    right: u16,
    ignored: u16,
}

/// Gives each box the best free object, highest score first, at each threshold (`evaluateImg`). Returns how many objects count.
fn judge(picture: &Picture<'_>, (least, most): (f64, f64), judged: &mut Vec<Judged>) -> usize {
    let Picture { objects, found, ious } = picture;
    let outside = |area: f64| area < least || area > most;
    let ignored: Vec<bool> = objects.iter().map(|o| o.ignore || o.crowd || outside(o.area)).collect();
    // Objects that count are looked at first.
    let mut order: Vec<usize> = (0..objects.len()).collect();
    order.sort_by_key(|i| ignored[*i]);
    let start = judged.len();
    judged.extend(found.iter().enumerate().map(|(rank, d)| Judged { score: d.score + 0.0, rank, right: 0, ignored: 0 }));
    let mut taken = vec![false; objects.len()];
    for (bit, threshold) in iou_thresholds().into_iter().enumerate() {
        taken.fill(false);
        for (entry, ious) in judged[start..].iter_mut().zip(ious.chunks(objects.len().max(1))) {
            let mut iou = threshold;
            let mut best: Option<usize> = None;
            for &i in &order {
                if taken[i] && !objects[i].crowd {
                    continue;
                }
                // An object that counts is not given up for one that does not.
                if ignored[i] && best.is_some_and(|best| !ignored[best]) {
                    break;
                }
                if ious[i] >= iou {
                    (iou, best) = (ious[i], Some(i));
                }
            }
            if let Some(best) = best {
                taken[best] = true;
                if ignored[best] { entry.ignored |= 1 << bit } else { entry.right |= 1 << bit }
            }
        }
    }
    for (entry, found) in judged[start..].iter_mut().zip(found.iter()) {
        // A box of another size that matches nothing is neither right nor wrong.
        if outside(found.bbox[2] * found.bbox[3]) {
            entry.ignored |= !entry.right;
        }
    }
    ignored.iter().filter(|ignored| !**ignored).count()
}

/// Precision (mean over the recall points) and recall at each threshold.
struct Curve {
    precision: [f64; IOU_THRESHOLDS],
    recall: [f64; IOU_THRESHOLDS],
}

/// One class (`accumulate`, `summarize`).
fn summary(pictures: &[Picture<'_>]) -> Summary {
    let mean = |values: [f64; IOU_THRESHOLDS]| values.iter().sum::<f64>() / IOU_THRESHOLDS as f64;
    let [all, small, medium, large] = AREAS.map(|area| {
        let mut judged = Vec::new();
        let objects: usize = pictures.iter().map(|picture| judge(picture, area, &mut judged)).sum();
        judged.sort_by(|a, b| b.score.total_cmp(&a.score));
        let most = if area == AREAS[0] { &MAX_BOXES[..] } else { &MAX_BOXES[2..] };
        let curves = most.iter().map(|most| curve(&judged, objects, *most)).collect::<Vec<_>>();
        (objects > 0).then_some(curves)
    });
    let last = |curves: &Option<Vec<Curve>>, figure: fn(&Curve) -> [f64; IOU_THRESHOLDS]| {
        curves.as_ref().and_then(|curves| curves.last()).map(figure)
    };
    let precision = |curves| last(curves, |curve| curve.precision);
    let recall = |curves| last(curves, |curve| curve.recall);
    let few = |i: usize| all.as_ref().map(|curves| mean(curves[i].recall));
    Summary {
        ap: precision(&all).map(mean),
        ap50: precision(&all).map(|p| p[0]),
        ap75: precision(&all).map(|p| p[AT_75]),
        ap_small: precision(&small).map(mean),
        ap_medium: precision(&medium).map(mean),
        ap_large: precision(&large).map(mean),
        ar1: few(0),
        ar10: few(1),
        ar100: recall(&all).map(mean),
        ar_small: recall(&small).map(mean),
        ar_medium: recall(&medium).map(mean),
        ar_large: recall(&large).map(mean),
    }
}

/// The curve over boxes sorted by score, of which at most `most` per picture take part.
fn curve(judged: &[Judged], objects: usize, most: usize) -> Curve {
    let mut curve = Curve { precision: [0.0; IOU_THRESHOLDS], recall: [0.0; IOU_THRESHOLDS] };
    for bit in 0..IOU_THRESHOLDS {
        let (mut right, mut wrong) = (0.0, 0.0);
        let (mut recalls, mut precisions): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
        for entry in judged.iter().filter(|entry| entry.rank < most && entry.ignored >> bit & 1 == 0) {
            if entry.right >> bit & 1 == 1 {
                right += 1.0;
            } else {
                wrong += 1.0;
            }
            recalls.push(right / objects as f64);
            precisions.push(right / (wrong + right + f64::EPSILON));
        }
        // No precision is below one at a higher recall.
        for i in (1..precisions.len()).rev() {
            precisions[i - 1] = precisions[i - 1].max(precisions[i]);
        }
        let at = |point: usize| {
            let wanted = if point == RECALL_POINTS - 1 { 1.0 } else { point as f64 * (1.0 / (RECALL_POINTS - 1) as f64) };
            precisions.get(recalls.partition_point(|recall| *recall < wanted)).copied().unwrap_or(0.0)
        };
        curve.precision[bit] = (0..RECALL_POINTS).map(at).sum::<f64>() / RECALL_POINTS as f64;
        curve.recall[bit] = recalls.last().copied().unwrap_or(0.0);
    }
    curve
}

#[cfg(test)]
mod tests;
