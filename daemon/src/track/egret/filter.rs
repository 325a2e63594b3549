//! How a box moves: centre, width and height, each at a velocity that wanders.
//!
//! Lengths are in heights of the box and times in seconds, so one set of figures serves near and far objects and any frame rate.

use super::Params;
use crate::{media::BBox, track::axis::Axis};

/// Widths and heights are at least this, in pixels.
const SMALLEST: f64 = 1.0;

/// Centre, width and height, in pixels and pixels per second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filter {
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) w: Axis,
    pub(super) h: Axis,
}

/// Centre, width, height.
pub(super) fn measure(bbox: &BBox) -> [f64; 4] {
    let [x1, y1, x2, y2] = [bbox.x1, bbox.y1, bbox.x2, bbox.y2].map(f64::from);
    [f64::midpoint(x1, x2), f64::midpoint(y1, y2), x2 - x1, y2 - y1]
}

impl Filter {
    pub(super) fn new(bbox: &BBox, params: &Params) -> Self {
        let [x, y, w, h] = measure(bbox);
        let axis = |value, speed: f64| Axis::new(value, (params.measured * h).powi(2), (speed * h).powi(2));
        let (speed, growth) = (params.first_speed, params.first_growth);
        Self { x: axis(x, speed), y: axis(y, speed), w: axis(w, growth), h: axis(h, growth) }
    }

    /// Moves on by `dt` seconds. What is not seen keeps its size, since extrapolated growth soon makes nonsense, and slows down.
    pub(super) fn predict(&mut self, dt: f64, lost: bool, params: &Params) {
        if lost {
            let slower = (-dt / params.coast).exp();
            self.x.rate *= slower;
            self.y.rate *= slower;
            (self.w.rate, self.h.rate) = (0.0, 0.0);
        }
        let scale = self.h.value * self.h.value;
        let noise = scale * params.agility * params.agility;
        self.x.drift(dt, noise);
        self.y.drift(dt, noise);
        let noise = scale * params.growth_agility * params.growth_agility;
        self.w.drift(dt, noise);
        self.h.drift(dt, noise);
        self.bound();
    }

    /// Stays where it is.
    pub(super) fn rest(&mut self) {
        for axis in [&mut self.x, &mut self.y, &mut self.w, &mut self.h] {
            axis.rate = 0.0;
        }
    }

    pub(super) fn correct(&mut self, bbox: &BBox, params: &Params) {
        let [x, y, w, h] = measure(bbox);
        let var = (params.measured * self.h.value).powi(2);
        self.x.correct(x, var);
        self.y.correct(y, var);
        self.w.correct(w, var);
        self.h.correct(h, var);
        self.bound();
    }

    /// The picture has another size from now on.
    pub(super) fn scale(&mut self, across: f64, down: f64) {
        for (axis, by) in [(&mut self.x, across), (&mut self.w, across), (&mut self.y, down), (&mut self.h, down)] {
            axis.scale(by);
        }
        self.bound();
    }

    fn bound(&mut self) {
        self.w.value = self.w.value.max(SMALLEST);
        self.h.value = self.h.value.max(SMALLEST);
    }

    pub(super) fn bbox(&self) -> BBox {
        let (w, h) = (self.w.value / 2.0, self.h.value / 2.0);
        let [x1, y1, x2, y2] = [self.x.value - w, self.y.value - h, self.x.value + w, self.y.value + h].map(|v| v as f32);
        BBox::new(x1, y1, x2, y2)
    }
}
