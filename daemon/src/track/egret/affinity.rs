//! How well a detection fits a track.

use super::{Params, Stage, Track};
use crate::{media::BBox, track::overlap::iou};

/// Boxes are grown by at most this part of the track's height.
const MOST_BUFFER: f64 = 0.5;

/// A detection's box, ready to be compared.
#[derive(Clone, Copy)]
pub(super) struct Sight {
    bbox: BBox,
    x: f32,
    y: f32,
    w: f32,
    h: f32,
}

impl Sight {
    pub(super) fn of(bbox: &BBox) -> Self {
        let (x, y) = (f32::midpoint(bbox.x1, bbox.x2), f32::midpoint(bbox.y1, bbox.y2));
        Self { bbox: *bbox, x, y, w: bbox.x2 - bbox.x1, h: bbox.y2 - bbox.y1 }
    }

    fn grown(&self, by: f32) -> BBox {
        let (w, h) = (self.w / 2.0 + by, self.h / 2.0 + by);
        BBox::new(self.x - w, self.y - h, self.x + w, self.y + h)
    }
}

/// A track as it looks for its detection.
pub(super) struct Eye<'a> {
    stage: Stage,
    params: &'a Params,
    sight: Sight,
    /// By how many pixels boxes are grown.
    buffer: f32,
    grown: BBox,
    /// Smallest overlap.
    least: f32,
    /// What is taken off for a lost track.
    penalty: f32,
    /// Variances of centre, width and height, measurement included, as inverses.
    certainty: [f32; 4],
}

impl<'a> Eye<'a> {
    pub(super) fn new(track: &Track, stage: Stage, now: f64, params: &'a Params) -> Self {
        // What is parked has not strayed, however long it was hidden.
        let gap = if track.lost && track.parked() { 0.0 } else { now - track.seen_at };
        let sight = Sight::of(&track.bbox);
        let stray = f64::from(params.buffer) * track.filter.x.var.max(track.filter.y.var).sqrt();
        let buffer = if stage == Stage::Sure { stray.min(MOST_BUFFER * track.filter.h.value) as f32 } else { 0.0 };
        let least = match stage {
            Stage::Sure => params.match_iou,
            Stage::Unsure => params.low_iou,
            Stage::OtherClass => params.other_class_iou,
        };
        let measured = (params.measured * track.filter.h.value).powi(2);
        let filter = &track.filter;
        let certainty = [filter.x.var, filter.y.var, filter.w.var, filter.h.var].map(|var| (1.0 / (var + measured)) as f32);
        let penalty = if track.lost { params.age_penalty * gap as f32 } else { 0.0 };
        Self { stage, params, sight, buffer, grown: sight.grown(buffer), least, penalty, certainty }
    }

    /// Above zero, the greater the better; `None`: they do not belong together.
    pub(super) fn affinity(&self, other: &Sight) -> Option<f32> {
        let reach = 2.0 * self.buffer;
        let (dx, dy) = (other.x - self.sight.x, other.y - self.sight.y);
        if 2.0 * (dx.abs() - reach) >= self.sight.w + other.w || 2.0 * (dy.abs() - reach) >= self.sight.h + other.h {
            return None;
        }
        let overlap = iou(&self.grown, &other.grown(self.buffer));
        if overlap < self.least {
            return None;
        }
        if self.stage != Stage::Sure {
            return Some(overlap);
        }
        let height = (self.sight.bbox.y2.min(other.bbox.y2) - self.sight.bbox.y1.max(other.bbox.y1)).max(0.0)
            / (self.sight.bbox.y2.max(other.bbox.y2) - self.sight.bbox.y1.min(other.bbox.y1));
        let [x, y, w, h] = self.certainty;
        let (dw, dh) = (other.w - self.sight.w, other.h - self.sight.h);
        let distance = dx * dx * x + dy * dy * y + dw * dw * w + dh * dh * h;
        let fit = overlap * height - self.params.surprise * distance.ln_1p() - self.penalty;
        (fit > 0.0).then_some(fit)
    }
}
