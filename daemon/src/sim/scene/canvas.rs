//! A picture being drawn: colours, and beside them which object each pixel belongs to.

use super::view::P2;

/// 8-bit R, G, B.
pub(super) type Rgb = [u8; 3];

/// Coverage from which a pixel belongs to what was drawn there. Below a half, so that the thin limbs of far people count.
const OWNED: f32 = 0.35;

/// Pixels `[h,w]`, premultiplied R, G, B and coverage; and the owner of each: 0 is nobody.
#[derive(Clone, Debug)]
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pixels: Vec<[u8; 4]>,
    pub(super) owners: Vec<u8>,
    /// Who owns what is drawn next; `None` draws colour alone (light, shadow, glow).
    pub(super) pen: Option<u8>,
    /// The extent of what was drawn since it was last cleared, not clipped to the picture.
    pub(super) extent: Extent,
}

/// A rectangle that grows: x0, y0, x1, y1 in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Extent(pub(super) [f32; 4]);

impl Extent {
    pub(super) const EMPTY: Self = Self([f32::MAX, f32::MAX, f32::MIN, f32::MIN]);

    pub(super) fn add(&mut self, p: P2) {
        let e = &mut self.0;
        *e = [e[0].min(p[0]), e[1].min(p[1]), e[2].max(p[0]), e[3].max(p[1])];
    }

    pub(super) fn meets(self, other: Self) -> bool {
        let (a, b) = (self.0, other.0);
        a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
    }

    pub(super) fn area(self) -> f32 {
        (self.0[2] - self.0[0]).max(0.0) * (self.0[3] - self.0[1]).max(0.0)
    }

    /// The whole pixels that it touches inside a picture: x0, y0, x1, y1, ends excluded.
    pub(super) fn pixels(self, width: usize, height: usize) -> [usize; 4] {
        let clip = |v: f32, limit: usize| (v.max(0.0) as usize).min(limit);
        let e = self.0;
        [clip(e[0] - 1.0, width), clip(e[1] - 1.0, height), clip(e[2] + 2.0, width), clip(e[3] + 2.0, height)]
    }
}

fn blend(pixel: &mut [u8; 4], colour: Rgb, alpha: i32) {
    let new = [i32::from(colour[0]), i32::from(colour[1]), i32::from(colour[2]), 255];
    for (channel, new) in pixel.iter_mut().zip(new) {
        let old = i32::from(*channel);
        *channel = (old + (((new - old) * alpha + 128) >> 8)) as u8;
    }
}

/// Half planes of a convex polygon: inside where `a*x + b*y + c >= 0`, in pixels.
fn half_planes(points: &[P2], planes: &mut Vec<[f32; 3]>) {
    planes.clear();
    let next = |i: usize| points[(i + 1) % points.len()];
    let turn: f32 = points.iter().enumerate().map(|(i, p)| p[0] * next(i)[1] - next(i)[0] * p[1]).sum();
    let sign = if turn >= 0.0 { 1.0 } else { -1.0 };
    for (i, p) in points.iter().enumerate() {
        let (dx, dy) = (next(i)[0] - p[0], next(i)[1] - p[1]);
        let length = (dx * dx + dy * dy).sqrt();
        if length > 1e-4 {
            let (a, b) = (-dy / length * sign, dx / length * sign);
            planes.push([a, b, -(a * p[0] + b * p[1])]);
        }
    }
}

/// Where a row (at height `y`) lies inside all half planes moved out by `grow`.
fn span(planes: &[[f32; 3]], y: f32, grow: f32) -> (f32, f32) {
    let (mut low, mut high) = (f32::MIN, f32::MAX);
    for &[a, b, c] in planes {
        let rest = b * y + c + grow;
        if a.abs() < 1e-5 {
            if rest < 0.0 {
                return (1.0, 0.0);
            }
        } else if a > 0.0 {
            low = low.max(-rest / a);
        } else {
            high = high.min(-rest / a);
        }
    }
    (low, high)
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            pixels: vec![[0; 4]; width * height],
            owners: vec![0; width * height],
            pen: None,
            extent: Extent::EMPTY,
        }
    }

    /// Fills a convex polygon with smoothed edges.
    pub(super) fn convex(&mut self, points: &[P2], colour: Rgb, alpha: f32) {
        let mut box_of = Extent::EMPTY;
        for &p in points {
            box_of.add(p);
        }
        if points.len() < 3 || alpha <= 0.0 {
            return;
        }
        if self.pen.is_some() {
            self.extent.add([box_of.0[0], box_of.0[1]]);
            self.extent.add([box_of.0[2], box_of.0[3]]);
        }
        let [x0, y0, x1, y1] = box_of.pixels(self.width, self.height);
        let mut planes = Vec::with_capacity(points.len());
        half_planes(points, &mut planes);
        if x0 >= x1 || planes.len() < 3 {
            return;
        }
        let full = (alpha * 256.0) as i32;
        for y in y0..y1 {
            let centre = y as f32 + 0.5;
            let (low, high) = span(&planes, centre, 0.5);
            if low >= high {
                continue;
            }
            let first = ((low - 0.5).ceil().max(x0 as f32) as usize).min(x1);
            let last = ((high + 0.5).floor().clamp(0.0, x1 as f32)) as usize;
            let (low, high) = span(&planes, centre, -0.5);
            let solid = (low - 0.5).ceil()..=(high - 0.5).floor();
            let row = y * self.width;
            for x in first..last {
                let mut alpha_256 = full;
                let mut coverage = 1.0;
                if !solid.contains(&(x as f32)) {
                    let at = x as f32 + 0.5;
                    let lost: f32 = planes.iter().map(|[a, b, c]| 1.0 - (a * at + b * centre + c + 0.5).clamp(0.0, 1.0)).sum();
                    coverage = (1.0 - lost).max(0.0);
                    alpha_256 = (coverage * alpha * 256.0) as i32;
                }
                blend(&mut self.pixels[row + x], colour, alpha_256);
                if let Some(pen) = self.pen
                    && coverage * alpha >= OWNED
                {
                    self.owners[row + x] = pen;
                }
            }
        }
    }

    /// A spot of light that is added, fading to nothing at its rim. Radii across and down.
    pub(super) fn glow(&mut self, centre: P2, [wide, tall]: P2, colour: Rgb, strength: f32) {
        let around = Extent([centre[0] - wide, centre[1] - tall, centre[0] + wide, centre[1] + tall]);
        let [x0, y0, x1, y1] = around.pixels(self.width, self.height);
        let gain = colour.map(|c| f32::from(c) * strength);
        for y in y0..y1 {
            let dy = (y as f32 + 0.5 - centre[1]) / tall;
            for x in x0..x1 {
                let dx = (x as f32 + 0.5 - centre[0]) / wide;
                let fade = (1.0 - dx * dx - dy * dy).max(0.0);
                let fade = fade * fade * fade;
                let pixel = &mut self.pixels[y * self.width + x];
                for (channel, gain) in pixel.iter_mut().zip(gain) {
                    *channel = (f32::from(*channel) + gain * fade).min(255.0) as u8;
                }
            }
        }
    }

    /// Lays a drawn part over this picture at the same place. It hides what was there.
    pub(super) fn lay(&mut self, part: &Sprite) {
        for (y, row) in part.pixels.chunks_exact(part.width).enumerate() {
            let at = (part.y + y) * self.width + part.x;
            let (to, owners) = (&mut self.pixels[at..at + part.width], &mut self.owners[at..at + part.width]);
            for ((to, owner), from) in to.iter_mut().zip(owners).zip(row) {
                if from[3] == 0 {
                    continue;
                }
                let keep = 255 - u32::from(from[3]);
                for (to, from) in to.iter_mut().zip(from) {
                    *to = (u32::from(*from) + (u32::from(*to) * keep + 127) / 255).min(255) as u8;
                }
                if from[3] > 127 {
                    *owner = 0;
                }
            }
        }
    }
}

/// A rectangle cut out of a canvas, with its coverage.
#[derive(Debug)]
pub(super) struct Sprite {
    x: usize,
    y: usize,
    width: usize,
    pixels: Vec<[u8; 4]>,
}

impl Sprite {
    /// Cuts what was drawn on an empty canvas; `None` when it lies outside the picture.
    pub(super) fn cut(canvas: &Canvas) -> Option<Self> {
        let [x0, y0, x1, y1] = canvas.extent.pixels(canvas.width, canvas.height);
        (x0 < x1 && y0 < y1).then(|| {
            let rows = (y0..y1).flat_map(|y| canvas.pixels[y * canvas.width + x0..y * canvas.width + x1].iter().copied());
            Self { x: x0, y: y0, width: x1 - x0, pixels: rows.collect() }
        })
    }

    pub(super) fn extent(&self) -> Extent {
        let (x, y) = (self.x as f32, self.y as f32);
        Extent([x, y, x + self.width as f32, y + (self.pixels.len() / self.width) as f32])
    }
}

/// The convex hull (Andrew's monotone chain), in place of the points.
pub(super) fn hull(points: &mut Vec<P2>) {
    points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    points.dedup();
    if points.len() < 3 {
        return;
    }
    let right_turn = |a: P2, b: P2, c: P2| (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) <= 0.0;
    let mut chain: Vec<P2> = Vec::with_capacity(points.len() + 1);
    let back = points.iter().rev().skip(1);
    let mut floor = 2;
    for (i, &p) in points.iter().chain(back).enumerate() {
        if i == points.len() {
            floor = chain.len() + 1;
        }
        while chain.len() >= floor && right_turn(chain[chain.len() - 2], chain[chain.len() - 1], p) {
            chain.pop();
        }
        chain.push(p);
    }
    chain.pop();
    *points = chain;
}
