//! What belongs to boxes on its way from the network's input to the source frame.

use egret_models::head::{self, Found, Mask, Oriented};

use super::Placement;
use crate::media::{Boxes, Detection, Extra, ObjectMask, Turned};

/// What a head found, in pixels of the source frame; boxes that lie wholly outside it are none.
pub(super) fn in_source(found: &[Found], placement: &Placement) -> Boxes {
    let mut boxes = Boxes { detections: Vec::with_capacity(found.len()), ..Boxes::default() };
    for one in found {
        let bbox = placement.to_source(one.bbox);
        if bbox.area() <= 0.0 {
            continue;
        }
        let extra = match &one.extra {
            head::Extra::Nothing => None,
            head::Extra::Oriented(oriented) => Some(Extra::Turned(turned(oriented, placement))),
            head::Extra::Keypoints(points) => Some(Extra::Keypoints(points.iter().map(|point| at(*point, placement)).collect())),
            head::Extra::Mask(mask) => object_mask(mask, placement).map(Extra::Mask),
        };
        if let Some(extra) = extra {
            boxes.extras.set(boxes.detections.len(), extra);
        }
        boxes.detections.push(Detection { class: one.class, confidence: one.score, bbox });
    }
    boxes
}

fn at([x, y, visibility]: [f32; 3], placement: &Placement) -> [f32; 3] {
    let (x, y) = placement.point(x, y);
    [x, y, visibility]
}

/// Corner by corner. The head's boxes are regular: their angle is within 0..π/2, and so is that of the first side's image.
fn turned(oriented: &Oriented, placement: &Placement) -> Turned {
    let [opposite, top_right, top_left, bottom_left] = oriented.corners();
    let corners = [top_left, top_right, opposite, bottom_left].map(|[x, y]| <[f32; 2]>::from(placement.point(x, y)));
    let (sin, cos) = oriented.angle.sin_cos();
    // Not from the corners, whose difference would carry their rounding.
    let (along_x, along_y) = placement.extent(cos.max(0.0), sin.max(0.0));
    Turned { angle: along_y.atan2(along_x), corners }
}

/// The part of a mask that lies over the picture, not over padding; its pixels stay those of the network's input. `None`: there is
/// no such part.
fn object_mask(mask: &Mask, placement: &Placement) -> Option<ObjectMask> {
    let [left, top, right, bottom] =
        placement.over_picture([mask.left, mask.top, mask.left.saturating_add(mask.width), mask.top.saturating_add(mask.height)]);
    if left >= right || top >= bottom {
        return None;
    }
    let bbox = placement.to_source([left, top, right, bottom].map(|edge| edge as f32));
    let pixels = (top..bottom).flat_map(|y| (left..right).map(move |x| mask.covers(x, y)));
    (bbox.area() > 0.0).then(|| ObjectMask { bbox, size: [right - left, bottom - top], runs: runs(pixels) })
}

/// Lengths of what is not covered and what is, by turns; empty where there are too many.
fn runs(pixels: impl Iterator<Item = bool>) -> Box<[u32]> {
    let mut runs = vec![0];
    let mut inside = false;
    for covered in pixels {
        if covered != inside {
            inside = covered;
            runs.push(0);
            if runs.len() > ObjectMask::MAX_RUNS {
                return Box::default();
            }
        }
        if let Some(run) = runs.last_mut() {
            *run += 1;
        }
    }
    runs.into()
}

#[cfg(test)]
mod tests;
