//! Kalman filters of constant velocity, one coordinate at a time.
//!
//! The trackers' noise models are diagonal, and each coordinate moves by its own velocity alone. So the published filters of seven and
//! eight states are block diagonal: independent filters of two states, which is what this file has.

/// A coordinate, its rate of change per unit of time, and their covariance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) value: f64,
    pub(super) rate: f64,
    pub(super) var: f64,
    pub(super) cov: f64,
    pub(super) rate_var: f64,
}

impl Axis {
    /// At rest, with the variances of its value and of its rate.
    pub(super) fn new(value: f64, var: f64, rate_var: f64) -> Self {
        Self { value, rate: 0.0, var, cov: 0.0, rate_var }
    }

    /// Moves on by `dt`. The noise is what the variances grow by in one unit of time.
    pub(super) fn predict(&mut self, dt: f64, noise: f64, rate_noise: f64) {
        self.value += self.rate * dt;
        self.var += dt * (2.0 * self.cov + dt * self.rate_var + noise);
        self.cov += dt * self.rate_var;
        self.rate_var += dt * rate_noise;
    }

    /// Moves on by `dt`, where the rate is a random walk whose variance grows by `rate_noise` in one unit of time: the same in one step
    /// as in many.
    pub(super) fn drift(&mut self, dt: f64, rate_noise: f64) {
        self.predict(dt, 0.0, rate_noise);
        self.cov += rate_noise * dt * dt / 2.0;
        self.var += rate_noise * dt * dt * dt / 3.0;
    }

    /// Is counted in other units from now on: so many to one of before.
    pub(super) fn scale(&mut self, by: f64) {
        self.value *= by;
        self.rate *= by;
        self.var *= by * by;
        self.cov *= by * by;
        self.rate_var *= by * by;
    }

    /// Takes in a value that was measured with this variance.
    pub(super) fn correct(&mut self, measured: f64, var: f64) {
        let total = self.var + var;
        let (gain, rate_gain) = (self.var / total, self.cov / total);
        let innovation = measured - self.value;
        self.value += gain * innovation;
        self.rate += rate_gain * innovation;
        self.rate_var -= rate_gain * self.cov;
        self.cov *= 1.0 - gain;
        self.var *= 1.0 - gain;
    }
}

/// A value that stays as it is, and its variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scalar {
    pub(super) value: f64,
    pub(super) var: f64,
}

impl Scalar {
    pub(super) fn correct(&mut self, measured: f64, var: f64) {
        let gain = self.var / (self.var + var);
        self.value += gain * (measured - self.value);
        self.var *= 1.0 - gain;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Worked by hand from the matrices that `ByteTrack` publishes: a box 100 px high, seen at 125 and then at 135.
    #[test]
    fn it_is_the_published_filter() {
        let mut x = Axis::new(125.0, 100.0, 39.0625);
        x.predict(1.0, 25.0, 0.390_625);
        // P = F·diag(10², 6.25²)·Fᵀ + diag(5², 0.625²)
        assert!((x.var - 164.0625).abs() < 1e-9 && (x.cov - 39.0625).abs() < 1e-9);
        x.correct(135.0, 25.0);
        assert!((x.value - (125.0 + 10.0 * 164.0625 / 189.0625)).abs() < 1e-9);
        assert!((x.rate - 10.0 * 39.0625 / 189.0625).abs() < 1e-9);
    }

    #[test]
    fn a_scalar_is_the_mean_of_what_was_measured() {
        let mut aspect = Scalar { value: 1.0, var: 1e6 };
        for value in [2.0, 4.0, 6.0] {
            aspect.correct(value, 1.0);
        }
        assert!((aspect.value - 4.0).abs() < 1e-4 && (aspect.var - 1.0 / 3.0).abs() < 1e-4);
    }

    #[test]
    fn a_drift_is_the_same_in_one_step_as_in_many() {
        let mut once = Axis { value: 3.0, rate: 2.0, var: 1.0, cov: 0.25, rate_var: 4.0 };
        let mut often = once;
        once.drift(0.8, 0.5);
        for _ in 0..16 {
            often.drift(0.05, 0.5);
        }
        for (a, b) in [(once.value, often.value), (once.var, often.var), (once.cov, often.cov), (once.rate_var, often.rate_var)] {
            assert!((a - b).abs() < 1e-9, "{once:?} {often:?}");
        }
    }

    proptest! {
        /// The velocity is per unit of time, whatever the steps.
        #[test]
        fn steady_motion_is_learnt_at_any_rate(steps in prop::collection::vec(0.1f64..10.0, 60..120), speed in -20.0f64..20.0) {
            let (mut axis, mut t) = (Axis::new(0.0, 10.0, 1e4), 0.0);
            for dt in steps {
                t += dt;
                axis.predict(dt, 0.01, 0.001);
                axis.correct(speed * t, 1.0);
                prop_assert!(axis.var > 0.0 && axis.rate_var > 0.0);
            }
            prop_assert!((axis.rate - speed).abs() < 0.5, "{axis:?} at {speed}");
        }
    }
}
