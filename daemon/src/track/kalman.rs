//! The motion model of ByteTrack (Zhang et al. 2022; noise model of DeepSORT, Wojke et al. 2017): constant velocity of centre,
//! aspect ratio and height.
//!
//! With that noise model the 8-state filter is block diagonal, so it is four independent filters of two states. Time is counted in
//! units of 1/30 s, the frame period that the published noise figures were tuned for: at 30 fps this is ByteTrack's filter exactly,
//! at any other rate the noise grows with the time that passed.

use crate::media::BBox;

/// Time units per second.
pub(super) const UNITS_HZ: f32 = 30.0;
const POSITION: f32 = 1.0 / 20.0;
const VELOCITY: f32 = 1.0 / 160.0;
const ASPECT_POSITION: f32 = 1e-2;
const ASPECT_VELOCITY: f32 = 1e-5;
const ASPECT_MEASURED: f32 = 1e-1;
const SMALLEST_HEIGHT: f32 = 1.0;
const SMALLEST_ASPECT: f32 = 1e-2;

/// A value, its rate of change and their covariance.
#[derive(Clone, Copy, Debug)]
struct Axis {
    value: f32,
    rate: f32,
    var: f32,
    cov: f32,
    rate_var: f32,
}

impl Axis {
    fn new(value: f32, std: f32, rate_std: f32) -> Self {
        Self { value, rate: 0.0, var: std * std, cov: 0.0, rate_var: rate_std * rate_std }
    }

    fn predict(&mut self, dt: f32, std: f32, rate_std: f32) {
        self.value += self.rate * dt;
        self.var += dt * (2.0 * self.cov + dt * self.rate_var + std * std);
        self.cov += dt * self.rate_var;
        self.rate_var += dt * rate_std * rate_std;
    }

    fn correct(&mut self, measured: f32, std: f32) {
        let innovation_var = self.var + std * std;
        let (gain, rate_gain) = (self.var / innovation_var, self.cov / innovation_var);
        let innovation = measured - self.value;
        self.value += gain * innovation;
        self.rate += rate_gain * innovation;
        self.rate_var -= rate_gain * self.cov;
        self.cov *= 1.0 - gain;
        self.var *= 1.0 - gain;
    }
}

/// The filter of one track.
#[derive(Clone, Copy, Debug)]
pub(super) struct Motion {
    x: Axis,
    y: Axis,
    aspect: Axis,
    height: Axis,
}

fn measure(bbox: &BBox) -> (f32, f32, f32, f32) {
    let height = bbox.height().max(f32::MIN_POSITIVE);
    (f32::midpoint(bbox.x1, bbox.x2), f32::midpoint(bbox.y1, bbox.y2), bbox.width() / height, height)
}

impl Motion {
    /// A filter that has seen one box.
    pub(super) fn new(bbox: &BBox) -> Self {
        let (x, y, aspect, h) = measure(bbox);
        let (std, rate_std) = (2.0 * POSITION * h, 10.0 * VELOCITY * h);
        Self {
            x: Axis::new(x, std, rate_std),
            y: Axis::new(y, std, rate_std),
            aspect: Axis::new(aspect, ASPECT_POSITION, ASPECT_VELOCITY),
            height: Axis::new(h, std, rate_std),
        }
    }

    /// Moves on by `dt` units. A lost object keeps its size: extrapolated growth soon makes nonsense.
    pub(super) fn predict(&mut self, dt: f32, lost: bool) {
        let h = self.height.value;
        let (std, rate_std) = (POSITION * h, VELOCITY * h);
        if lost {
            self.height.rate = 0.0;
        }
        self.x.predict(dt, std, rate_std);
        self.y.predict(dt, std, rate_std);
        self.aspect.predict(dt, ASPECT_POSITION, ASPECT_VELOCITY);
        self.height.predict(dt, std, rate_std);
        self.height.value = self.height.value.max(SMALLEST_HEIGHT);
        self.aspect.value = self.aspect.value.max(SMALLEST_ASPECT);
    }

    /// Takes a detection in.
    pub(super) fn correct(&mut self, bbox: &BBox) {
        let (x, y, aspect, h) = measure(bbox);
        let std = POSITION * self.height.value;
        self.x.correct(x, std);
        self.y.correct(y, std);
        self.aspect.correct(aspect, ASPECT_MEASURED);
        self.height.correct(h, std);
        self.height.value = self.height.value.max(SMALLEST_HEIGHT);
        self.aspect.value = self.aspect.value.max(SMALLEST_ASPECT);
    }

    /// The box, in pixels.
    pub(super) fn bbox(&self) -> BBox {
        let (h, w) = (self.height.value / 2.0, self.aspect.value * self.height.value / 2.0);
        BBox::new(self.x.value - w, self.y.value - h, self.x.value + w, self.y.value + h)
    }

    /// Pixels per second of the centre.
    pub(super) fn velocity(&self) -> (f32, f32) {
        (self.x.rate * UNITS_HZ, self.y.rate * UNITS_HZ)
    }

    /// How far in pixels the box may have strayed in `dt` units beyond what it strays within one: zero at 30 fps, where boxes of one
    /// object overlap from frame to frame; at 3 fps those of a walking person no longer do.
    pub(super) fn slack(&self, dt: f32) -> f32 {
        let stray = self.x.rate_var.max(self.y.rate_var).max(0.0).sqrt() * (dt - 1.0).max(0.0);
        stray.min(self.height.value / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moving(fps: f32, seconds: f32, speed: f32) -> Motion {
        let at = |t: f32| BBox::new(100.0 + speed * t, 200.0, 140.0 + speed * t, 300.0);
        let mut motion = Motion::new(&at(0.0));
        for i in 1..=(fps * seconds) as u32 {
            motion.predict(UNITS_HZ / fps, false);
            motion.correct(&at(i as f32 / fps));
        }
        motion
    }

    #[test]
    fn velocity_is_per_second_at_any_frame_rate() {
        for fps in [3.0, 7.5, 15.0, 30.0, 60.0] {
            let (vx, vy) = moving(fps, 4.0, 90.0).velocity();
            assert!((vx - 90.0).abs() < 3.0 && vy.abs() < 0.1, "{fps} fps: {vx} {vy}");
        }
    }

    /// Worked by hand from the published matrices: one box, one prediction and one correction, h = 100.
    #[test]
    fn at_thirty_fps_it_is_the_published_filter() {
        let mut motion = Motion::new(&BBox::new(100.0, 100.0, 150.0, 200.0));
        motion.predict(1.0, false);
        // P = F·diag(10², 6.25²)·Fᵀ + diag(5², 0.625²)
        assert!((motion.x.var - (100.0 + 39.0625 + 25.0)).abs() < 1e-3);
        assert!((motion.x.cov - 39.0625).abs() < 1e-4);
        motion.correct(&BBox::new(110.0, 100.0, 160.0, 200.0));
        let gain = 164.0625 / (164.0625 + 25.0);
        assert!((motion.x.value - (125.0 + 10.0 * gain)).abs() < 1e-3);
        assert!((motion.x.rate - 10.0 * 39.0625 / 189.0625).abs() < 1e-4);
    }

    #[test]
    fn a_lost_box_never_vanishes_or_turns_inside_out() {
        let mut motion = Motion::new(&BBox::new(0.0, 0.0, 50.0, 100.0));
        for h in (1..10).rev() {
            motion.predict(1.0, false);
            motion.correct(&BBox::new(0.0, 0.0, 50.0, 10.0 * h as f32));
        }
        for _ in 0..1000 {
            motion.predict(10.0, false);
            let bbox = motion.bbox();
            assert!(bbox.x2 > bbox.x1 && bbox.y2 > bbox.y1 && bbox.x1.is_finite(), "{bbox:?}");
        }
    }

    #[test]
    fn slack_is_nothing_at_full_rate() {
        let motion = Motion::new(&BBox::new(0.0, 0.0, 50.0, 100.0));
        assert!(motion.slack(1.0).abs() < f32::EPSILON && motion.slack(0.5).abs() < f32::EPSILON);
        assert!(motion.slack(10.0) > 40.0 && motion.slack(1000.0) <= 50.0);
    }
}
