//! From a decoded picture to the network's input in one pass: scaled to fit, converted to RGB, padded, no picture in between.
//!
//! The published preprocessing of YOLOX converts I420 to BGR, resizes bilinearly (OpenCV `INTER_LINEAR`: half-pixel centres, no
//! antialiasing) and pads at the right and at the bottom with 114. Conversion is linear, so it commutes with interpolation: each
//! plane is interpolated at the taps of the full-resolution picture (a chroma sample stands for 2×2 pixels, so its taps are half
//! those of the luma) and the result is converted once per *output* pixel. Both agree but for rounding and for clamping, which
//! happens once here, after interpolation.

mod kernel;
mod taps;

use egret_models::spec::{ChannelOrder, InputSpec};

use self::{
    kernel::{Coefficients, Lines},
    taps::Taps,
};
use crate::media::{BBox, Color, ColorMatrix, HostPicture, Layout};

/// Tap tables of whole frames that are kept, by frame size.
const KEPT_TABLES: usize = 16;

/// Where a picture or a region lies in the network's input: top left, scaled by one ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    origin: (f32, f32),
    ratio: f32,
    frame: (f32, f32),
}

impl Placement {
    /// The box of the network's input `[x1,y1,x2,y2]` in pixels of the source frame, clamped to the frame.
    pub fn to_source(&self, [x1, y1, x2, y2]: [f32; 4]) -> BBox {
        let (width, height) = self.frame;
        let x = |x: f32| (x / self.ratio + self.origin.0).clamp(0.0, width);
        let y = |y: f32| (y / self.ratio + self.origin.1).clamp(0.0, height);
        BBox::new(x(x1), y(y1), x(x2), y(y2))
    }
}

/// A rectangle of whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rect {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Rect {
    /// The pixels that a region touches; `None` where it touches none.
    fn of(region: Option<BBox>, (width, height): (usize, usize)) -> Option<Self> {
        let Some(region) = region else {
            return (width > 0 && height > 0).then_some(Self { x: 0, y: 0, width, height });
        };
        // `as` saturates and takes NaN for 0.
        let (x1, y1) = (region.x1.floor() as usize, region.y1.floor() as usize);
        let (x2, y2) = ((region.x2.ceil() as usize).min(width), (region.y2.ceil() as usize).min(height));
        (x1 < x2 && y1 < y2).then(|| Self { x: x1, y: y1, width: x2 - x1, height: y2 - y1 })
    }
}

/// Fills the slots of one input tensor `f32[N,3,H,W]`. Belongs to one engine instance; allocates nothing per frame once it has
/// seen the sizes that come.
pub struct Letterbox {
    width: usize,
    height: usize,
    order: ChannelOrder,
    scale: f32,
    pad: f32,
    kernel: kernel::Kernel,
    lines: Lines,
    whole: Vec<((usize, usize), Taps)>,
    region: Taps,
    /// Width and height of what each slot's picture covers; the rest is padding already.
    drawn: Vec<(usize, usize)>,
}

impl Letterbox {
    /// A letterbox for tensors of up to `slots` pictures.
    pub fn new(input: &InputSpec, slots: usize) -> Self {
        Self {
            width: input.width,
            height: input.height,
            order: input.order,
            scale: input.scale,
            pad: f32::from(input.pad) * input.scale,
            kernel: kernel::Kernel::new(),
            lines: Lines::new(input.width),
            whole: Vec::with_capacity(KEPT_TABLES),
            region: Taps::default(),
            drawn: vec![(input.width, input.height); slots],
        }
    }

    /// Values per slot: `3·H·W`.
    pub fn slot_len(&self) -> usize {
        3 * self.width * self.height
    }

    /// Puts a picture, or the whole pixels that a region of it touches, into slot `slot`; `out` is that slot's part of the tensor
    /// and must be the same memory each time. `None`: the region lies outside the picture; the slot holds padding.
    pub fn fill(&mut self, slot: usize, picture: &HostPicture, region: Option<BBox>, out: &mut [f32]) -> Option<Placement> {
        debug_assert_eq!(out.len(), self.slot_len());
        let frame = (picture.width() as usize, picture.height() as usize);
        let Some(rect) = Rect::of(region, frame) else {
            self.pad(slot, (0, 0), out);
            return None;
        };
        // In double precision and truncated, as the published code does it.
        let ratio = (self.height as f64 / rect.height as f64).min(self.width as f64 / rect.width as f64);
        let covered = ((rect.width as f64 * ratio) as usize, (rect.height as f64 * ratio) as usize);
        let covered = (covered.0.clamp(1, self.width), covered.1.clamp(1, self.height));
        self.pad(slot, covered, out);
        let coefficients = Coefficients::new(picture.color(), self.scale);
        let (width, height) = (self.width, self.height);
        let (first, rest) = out.split_at_mut(width * height);
        let (second, third) = rest.split_at_mut(width * height);
        let mut planes = match self.order {
            ChannelOrder::Rgb => [first, second, third],
            ChannelOrder::Bgr => [third, second, first],
        };
        let taps = if region.is_none() {
            find_or_add(&mut self.whole, frame, |taps| taps.set(rect, covered, frame))
        } else {
            self.region.set(rect, covered, frame);
            &self.region
        };
        self.kernel.draw(picture, taps, &coefficients, &mut self.lines, &mut planes, width);
        Some(Placement { origin: (rect.x as f32, rect.y as f32), ratio: ratio as f32, frame: (frame.0 as f32, frame.1 as f32) })
    }

    /// A picture that is the input itself.
    pub(super) fn identity(&self) -> Placement {
        Placement { origin: (0.0, 0.0), ratio: 1.0, frame: (self.width as f32, self.height as f32) }
    }

    /// Something else was written into a slot: its padding is to be drawn anew.
    pub(super) fn forget(&mut self, slot: usize) {
        self.drawn[slot] = (self.width, self.height);
    }

    /// Makes padding of what the last picture of this slot covered and this one will not.
    fn pad(&mut self, slot: usize, covered: (usize, usize), out: &mut [f32]) {
        let before = std::mem::replace(&mut self.drawn[slot], covered);
        for plane in out.chunks_exact_mut(self.width * self.height) {
            for (y, row) in plane.chunks_exact_mut(self.width).enumerate().take(before.1) {
                let from = if y < covered.1 { covered.0 } else { 0 };
                if from < before.0 {
                    row[from..before.0].fill(self.pad);
                }
            }
        }
    }
}

/// The table for a frame size; the oldest makes room.
fn find_or_add(tables: &mut Vec<((usize, usize), Taps)>, size: (usize, usize), set: impl FnOnce(&mut Taps)) -> &Taps {
    let found = tables.iter().position(|(of, _)| *of == size);
    let index = found.unwrap_or_else(|| {
        let mut taps = if tables.len() < KEPT_TABLES { Taps::default() } else { tables.remove(0).1 };
        set(&mut taps);
        tables.push((size, taps));
        tables.len() - 1
    });
    &tables[index].1
}

#[cfg(test)]
mod tests;
