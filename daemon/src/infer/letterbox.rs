//! From a decoded picture to the network's input in one pass: scaled to fit, converted to RGB, normalised, padded, no picture in
//! between.
//!
//! The published preprocessing of YOLOX converts I420 to BGR, resizes bilinearly (OpenCV `INTER_LINEAR`: half-pixel centres, no
//! antialiasing) and pads at the right and at the bottom with 114. Conversion is linear, so it commutes with interpolation: each
//! plane is interpolated at the taps of the full-resolution picture (a chroma sample stands for 2×2 pixels, so its taps are half
//! those of the luma) and the result is converted once per *output* pixel. Both agree but for rounding and for clamping, which
//! happens once here, after interpolation.

mod fit;
mod kernel;
mod taps;
mod window;

use egret_models::spec::{ChannelOrder, Fit, InputSpec, Layout as TensorLayout};

pub use self::fit::Placement;
use self::{
    kernel::{Coefficients, Level, Lines},
    taps::Taps,
};
use crate::media::{BBox, Color, ColorMatrix, HostPicture, Layout};

/// Tap tables of whole frames that are kept, by frame size.
const KEPT_TABLES: usize = 16;

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

/// The part of a slot that its picture covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Drawn {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

/// Fills the slots of one input tensor, `f32[N,3,H,W]` or `f32[N,H,W,3]`, as an [`InputSpec`] says. Belongs to one engine
/// instance; allocates nothing per frame once it has seen the sizes that come.
pub struct Letterbox {
    width: usize,
    height: usize,
    fit: Fit,
    order: ChannelOrder,
    /// What a sample becomes, of red, green and blue.
    levels: [Level; 3],
    /// The padding, of red, green and blue.
    padding: [f32; 3],
    kernel: kernel::Kernel,
    lines: Lines,
    whole: Vec<((usize, usize), Taps)>,
    region: Taps,
    /// What each slot's picture covers; the rest is padding already.
    drawn: Vec<Drawn>,
    /// The planes of one picture where the tensor wants its colours interleaved.
    planes: Option<Vec<f32>>,
}

impl Letterbox {
    /// A letterbox for tensors of up to `slots` pictures. Of a clip's `[N,3,T,H,W]` it makes the pictures, one by one.
    pub fn new(input: &InputSpec, slots: usize) -> Self {
        let level = |i: usize| Level { scale: input.scale, mean: input.mean[i], std: input.std[i] };
        let levels = match input.order {
            ChannelOrder::Rgb => [0, 1, 2].map(level),
            ChannelOrder::Bgr => [2, 1, 0].map(level),
        };
        let everything = Drawn { left: 0, top: 0, right: input.width, bottom: input.height };
        let interleaved = input.layout == TensorLayout::Nhwc;
        Self {
            width: input.width,
            height: input.height,
            fit: input.fit,
            order: input.order,
            levels,
            padding: levels.map(|level| level.of(f32::from(input.pad))),
            kernel: kernel::Kernel::new(),
            lines: Lines::new(input.width),
            whole: Vec::with_capacity(KEPT_TABLES),
            region: Taps::default(),
            drawn: vec![everything; slots],
            planes: interleaved.then(|| vec![0.0; 3 * input.width * input.height]),
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
        let Some(mut planes) = self.planes.take() else { return self.draw(slot, picture, region, out) };
        // The planes serve every slot, so nothing is known of what they hold.
        self.forget(slot);
        let placement = self.draw(slot, picture, region, &mut planes);
        interleave(&planes, out);
        self.planes = Some(planes);
        placement
    }

    fn draw(&mut self, slot: usize, picture: &HostPicture, region: Option<BBox>, out: &mut [f32]) -> Option<Placement> {
        let frame = (picture.width() as usize, picture.height() as usize);
        let (width, height) = (self.width, self.height);
        let mut planes = colours(out, width * height, self.order);
        let Some(rect) = Rect::of(region, frame) else {
            pad(&mut self.drawn[slot], Drawn::default(), &mut planes, width, self.padding);
            return None;
        };
        let (axes, placement) = fit::place(self.fit, rect, (width, height), frame);
        let [x, y] = axes;
        let covers = Drawn { left: x.at, top: y.at, right: x.at + x.drawn, bottom: y.at + y.drawn };
        pad(&mut self.drawn[slot], covers, &mut planes, width, self.padding);
        let coefficients = Coefficients::new(picture.color(), self.levels);
        let taps = if region.is_none() {
            find_or_add(&mut self.whole, frame, |taps| taps.set(axes, frame))
        } else {
            self.region.set(axes, frame);
            &self.region
        };
        self.kernel.draw(picture, taps, &coefficients, &mut self.lines, &mut planes, width);
        Some(placement)
    }

    /// A picture that is the input itself.
    pub(super) fn identity(&self) -> Placement {
        Placement::identity((self.width, self.height))
    }

    /// Something else was written into a slot: its padding is to be drawn anew.
    pub(super) fn forget(&mut self, slot: usize) {
        self.drawn[slot] = Drawn { left: 0, top: 0, right: self.width, bottom: self.height };
    }
}

/// The planes of a slot as red, green, blue.
fn colours(out: &mut [f32], plane: usize, order: ChannelOrder) -> [&mut [f32]; 3] {
    let (first, rest) = out.split_at_mut(plane);
    let (second, third) = rest.split_at_mut(plane);
    match order {
        ChannelOrder::Rgb => [first, second, third],
        ChannelOrder::Bgr => [third, second, first],
    }
}

/// Makes padding of what the last picture of a slot covered and the next will not.
fn pad(drawn: &mut Drawn, next: Drawn, planes: &mut [&mut [f32]; 3], width: usize, padding: [f32; 3]) {
    let before = std::mem::replace(drawn, next);
    let rows = before.top..before.bottom;
    for (plane, value) in planes.iter_mut().zip(padding) {
        for (y, row) in plane.chunks_exact_mut(width).enumerate().take(rows.end).skip(rows.start) {
            let covered = if (next.top..next.bottom).contains(&y) { next.left..next.right } else { before.right..before.right };
            let (left, right) = (covered.start.min(before.right), covered.end.max(before.left));
            if before.left < left {
                row[before.left..left].fill(value);
            }
            if right < before.right {
                row[right..before.right].fill(value);
            }
        }
    }
}

/// `[3,H,W]` becomes `[H,W,3]`.
fn interleave(planes: &[f32], out: &mut [f32]) {
    let plane = planes.len() / 3;
    let (first, rest) = planes.split_at(plane);
    let (second, third) = rest.split_at(plane);
    for (out, ((a, b), c)) in out.as_chunks_mut::<3>().0.iter_mut().zip(first.iter().zip(second).zip(third)) {
        *out = [*a, *b, *c];
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
pub(super) mod device_tests;
#[cfg(test)]
mod tests;
