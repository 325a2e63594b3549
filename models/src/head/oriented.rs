//! Oriented boxes and how much two of them overlap.

use std::f32::consts::{FRAC_PI_2, PI};

/// A box that is turned.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Oriented {
    /// x and y in pixels of the network's input.
    pub centre: [f32; 2],
    /// Width and height in pixels, along the box's own axes.
    pub size: [f32; 2],
    /// From the picture's x axis to the box's, clockwise on the screen (y points down), in radians.
    pub angle: f32,
}

/// Keeps quotients defined, as in the published code.
const EPSILON: f32 = 1e-7;

impl Oriented {
    /// The smallest upright box around it: left, top, right, bottom.
    pub fn hull(&self) -> [f32; 4] {
        let ([cx, cy], [w, h], (sin, cos)) = (self.centre, self.size, self.angle.sin_cos());
        let half = [(w * cos).abs() + (h * sin).abs(), (w * sin).abs() + (h * cos).abs()].map(|side| side / 2.0);
        [cx - half[0], cy - half[1], cx + half[0], cy + half[1]]
    }

    /// The same box with its angle in 0..π/2.
    #[must_use]
    pub fn regular(&self) -> Self {
        let [w, h] = self.size;
        let turned = self.angle.rem_euclid(PI) >= FRAC_PI_2;
        // The remainder of a tiny negative angle may round up to the whole quarter turn.
        let angle = self.angle.rem_euclid(FRAC_PI_2).min(FRAC_PI_2.next_down());
        Self { size: if turned { [h, w] } else { [w, h] }, angle, ..*self }
    }

    /// Its four corners, in pixels, around the box.
    pub fn corners(&self) -> [[f32; 2]; 4] {
        let ([cx, cy], [w, h], (sin, cos)) = (self.centre, self.size, self.angle.sin_cos());
        let (along, across) = ([w / 2.0 * cos, w / 2.0 * sin], [-h / 2.0 * sin, h / 2.0 * cos]);
        [(1.0, 1.0), (1.0, -1.0), (-1.0, -1.0), (-1.0, 1.0)]
            .map(|(a, b)| [cx + a * along[0] + b * across[0], cy + a * along[1] + b * across[1]])
    }

    /// The Gaussian of the box as its covariance: xx, yy, xy.
    fn covariance(&self) -> [f32; 3] {
        let [a, b] = self.size.map(|side| side * side / 12.0);
        let (sin, cos) = self.angle.sin_cos();
        [a * cos * cos + b * sin * sin, a * sin * sin + b * cos * cos, (a - b) * cos * sin]
    }

    /// Overlap of two boxes, 0..1: one minus the Hellinger distance of their Gaussians (ProbIoU, Llerena et al. 2021,
    /// arXiv:2106.06072).
    pub fn prob_iou(&self, other: &Self) -> f32 {
        let ([a1, b1, c1], [a2, b2, c2]) = (self.covariance(), other.covariance());
        let (dx, dy) = (other.centre[0] - self.centre[0], self.centre[1] - other.centre[1]);
        let (a, b, c) = (a1 + a2, b1 + b2, c1 + c2);
        let determinant = a * b - c * c;
        let apart = (a * dy * dy + b * dx * dx) / (determinant + EPSILON) * 0.25;
        let skewed = c * dx * dy / (determinant + EPSILON) * 0.5;
        let own = ((a1 * b1 - c1 * c1).max(0.0) * (a2 * b2 - c2 * c2).max(0.0)).sqrt();
        let unlike = (determinant / (4.0 * own + EPSILON) + EPSILON).ln() * 0.5;
        let bhattacharyya = (apart + skewed + unlike).clamp(EPSILON, 100.0);
        1.0 - (1.0 - (-bhattacharyya).exp() + EPSILON).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_quarter_turn_swaps_the_sides() {
        let turned = Oriented { centre: [50.0, 40.0], size: [20.0, 10.0], angle: FRAC_PI_2 };
        let hull = turned.hull();
        assert!(hull.iter().zip([45.0, 30.0, 55.0, 50.0]).all(|(a, b)| (a - b).abs() < 1e-4), "{hull:?}");
        let upright = Oriented { centre: [50.0, 40.0], size: [10.0, 20.0], angle: 0.0 };
        assert!((turned.prob_iou(&upright) - 1.0).abs() < 1e-2, "{}", turned.prob_iou(&upright));
        assert_eq!(turned.regular(), upright);
        let corners = upright.corners();
        assert_eq!(corners, [[55.0, 50.0], [55.0, 30.0], [45.0, 30.0], [45.0, 50.0]]);
    }

    fn any_box() -> impl Strategy<Value = Oriented> {
        (0.0..100.0_f32, 0.0..100.0_f32, 0.0..80.0_f32, 0.0..80.0_f32, -4.0..4.0_f32).prop_map(|(x, y, w, h, angle)| Oriented {
            centre: [x, y],
            size: [w, h],
            angle,
        })
    }

    proptest! {
        #[test]
        fn overlap_is_symmetric_and_bounded(a in any_box(), b in any_box()) {
            let (ab, ba) = (a.prob_iou(&b), b.prob_iou(&a));
            prop_assert!((-0.001..=1.0).contains(&ab), "{ab}");
            prop_assert!((ab - ba).abs() < 1e-3, "{ab} {ba}");
        }

        #[test]
        fn a_regular_box_is_the_same_box(a in any_box()) {
            let b = a.regular();
            prop_assert!((0.0..FRAC_PI_2).contains(&b.angle));
            for (x, y) in a.hull().into_iter().zip(b.hull()) {
                prop_assert!((x - y).abs() < 1e-3, "{a:?} {b:?}");
            }
        }
    }
}
