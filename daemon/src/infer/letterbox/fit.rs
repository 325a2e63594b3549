//! Where a picture, or a region of one, lies in the network's input.

use egret_models::spec::{Fit, Place};

use super::Rect;
use crate::media::BBox;

/// Where a picture or a region lies in the network's input, so that what is found there finds its way back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Left and top edge of the region in the frame.
    origin: (f32, f32),
    /// Pixels of the input per pixel of the frame, by axis.
    ratio: (f32, f32),
    /// Where the region's left and top edge lies in the input; negative where a crop has cut it off.
    offset: (f32, f32),
    frame: (f32, f32),
    /// What the region covers of the input, in its pixels: left, top, right, bottom.
    covers: [f32; 4],
}

impl Placement {
    /// A picture of that size that is the input itself.
    pub(super) fn identity((width, height): (usize, usize)) -> Self {
        let (width, height) = (width as f32, height as f32);
        let covers = [0.0, 0.0, width, height];
        Self { origin: (0.0, 0.0), ratio: (1.0, 1.0), offset: (0.0, 0.0), frame: (width, height), covers }
    }

    /// The box of the network's input `[x1,y1,x2,y2]` in pixels of the source frame, clamped to the frame.
    pub fn to_source(&self, [x1, y1, x2, y2]: [f32; 4]) -> BBox {
        let (width, height) = self.frame;
        let x = |x: f32| self.point(x, 0.0).0.clamp(0.0, width);
        let y = |y: f32| self.point(0.0, y).1.clamp(0.0, height);
        BBox::new(x(x1), y(y1), x(x2), y(y2))
    }

    /// The part of a rectangle of whole pixels of the network's input, `[x1,y1,x2,y2]`, that the picture covers.
    pub(in crate::infer) fn over_picture(&self, [x1, y1, x2, y2]: [u32; 4]) -> [u32; 4] {
        // What is drawn begins and ends at whole pixels.
        let [left, top, right, bottom] = self.covers.map(|edge| edge as u32);
        [x1.max(left), y1.max(top), x2.min(right), y2.min(bottom)]
    }

    /// The point of the network's input in pixels of the source frame.
    pub fn point(&self, x: f32, y: f32) -> (f32, f32) {
        ((x - self.offset.0) / self.ratio.0 + self.origin.0, (y - self.offset.1) / self.ratio.1 + self.origin.1)
    }

    /// What of an input of `width`×`height` the region covers, in fractions of it: `[x1,y1,x2,y2]`.
    pub(in crate::infer) fn covered(&self, (width, height): (usize, usize)) -> [f32; 4] {
        let (w, h) = (width as f32, height as f32);
        [self.covers[0] / w, self.covers[1] / h, self.covers[2] / w, self.covers[3] / h]
    }

    /// The same for a width and a height.
    pub fn extent(&self, width: f32, height: f32) -> (f32, f32) {
        (width / self.ratio.0, height / self.ratio.1)
    }
}

/// One axis of a picture on its way into the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    /// First source pixel.
    pub(super) start: usize,
    /// Source pixels.
    pub(super) len: usize,
    /// Pixels that they are scaled to.
    pub(super) scaled: usize,
    /// How many of those are cut off before the first that is drawn.
    pub(super) cut: usize,
    /// How many are drawn.
    pub(super) drawn: usize,
    /// Where the first of them goes.
    pub(super) at: usize,
}

/// How `rect` of a frame goes into an input of `width`×`height`: its axes and the way back.
pub(super) fn place(fit: Fit, rect: Rect, (width, height): (usize, usize), frame: (usize, usize)) -> ([Axis; 2], Placement) {
    let sizes = [(rect.x, rect.width, width), (rect.y, rect.height, height)];
    // In double precision, as the published preprocessings do it.
    let common = (height as f64 / rect.height as f64).min(width as f64 / rect.width as f64);
    let mut ratios = [common; 2];
    let axes = match fit {
        // YOLOX truncates.
        Fit::Letterbox(Place::TopLeft) => sizes.map(|(start, len, side)| {
            let drawn = ((len as f64 * common) as usize).clamp(1, side);
            Axis { start, len, scaled: drawn, cut: 0, drawn, at: 0 }
        }),
        // Ultralytics rounds as Python does, and the odd pixel of the padding goes to the right and to the bottom.
        Fit::Letterbox(Place::Centre) => sizes.map(|(start, len, side)| {
            let drawn = ((len as f64 * common).round_ties_even() as usize).clamp(1, side);
            let at = ((side - drawn) as f64 / 2.0 - 0.1).round_ties_even().max(0.0) as usize;
            Axis { start, len, scaled: drawn, cut: 0, drawn, at }
        }),
        Fit::Stretch => {
            ratios = sizes.map(|(_, len, side)| side as f64 / len as f64);
            sizes.map(|(start, len, side)| Axis { start, len, scaled: side, cut: 0, drawn: side, at: 0 })
        }
        Fit::CentreCrop { fraction } => {
            let axes = crop(sizes, f64::from(fraction));
            ratios = axes.map(|axis| axis.scaled as f64 / axis.len as f64);
            axes
        }
    };
    let offset = axes.map(|axis| axis.at as f32 - axis.cut as f32);
    let placement = Placement {
        origin: (rect.x as f32, rect.y as f32),
        ratio: (ratios[0] as f32, ratios[1] as f32),
        offset: (offset[0], offset[1]),
        frame: (frame.0 as f32, frame.1 as f32),
        covers: [axes[0].at, axes[1].at, axes[0].at + axes[0].drawn, axes[1].at + axes[1].drawn].map(|edge| edge as f32),
    };
    (axes, placement)
}

/// torchvision's `Resize` (the side that is shorter, measured by the input, to input/`fraction`; the other truncated) and
/// `CenterCrop` (rounded as Python does).
fn crop(sizes: [(usize, usize, usize); 2], fraction: f64) -> [Axis; 2] {
    let goals = sizes.map(|(_, _, side)| (side as f64 / fraction).round_ties_even());
    let ratio = (goals[0] / sizes[0].1 as f64).max(goals[1] / sizes[1].1 as f64);
    let mut axes = [0, 1].map(|i| {
        let (start, len, side) = sizes[i];
        // A hair more, since the side that sets the ratio comes out as itself.
        let scaled = ((len as f64 * ratio + 1e-6) as usize).max(side);
        Axis { start, len, scaled, cut: 0, drawn: side, at: 0 }
    });
    for axis in &mut axes {
        axis.cut = ((axis.scaled - axis.drawn) as f64 / 2.0).round_ties_even() as usize;
    }
    axes
}
