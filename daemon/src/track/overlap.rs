//! How much two boxes have in common.

use crate::media::BBox;

/// Intersection over union of boxes that are not empty.
#[inline]
pub(super) fn iou(a: &BBox, b: &BBox) -> f32 {
    let w = a.x2.min(b.x2) - a.x1.max(b.x1);
    let h = a.y2.min(b.y2) - a.y1.max(b.y1);
    if w <= 0.0 || h <= 0.0 {
        return 0.0;
    }
    let both = w * h;
    both / ((a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - both)
}

/// The same of boxes whose edges are whole pixels that belong to them, as some of the published programs count.
#[inline]
pub(super) fn iou_of_pixels(a: &BBox, b: &BBox) -> f32 {
    let grown = |v: &BBox| BBox::new(v.x1, v.y1, v.x2 + 1.0, v.y2 + 1.0);
    iou(&grown(a), &grown(b))
}
