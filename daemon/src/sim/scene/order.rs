//! Which body hides which: footprints in the plane of the street, far ones first.

use super::view::V3;

/// A footprint: its middle and half its size, across and along the street.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) at: [f32; 2],
    pub(super) half: [f32; 2],
}

impl Item {
    fn distance(&self, eye: V3) -> f32 {
        (self.at[0] - eye[0]).hypot(self.at[1] - eye[1])
    }

    /// Whether this can be hidden by the other: a line across or along the street parts the two, and the eye is on the other's side.
    fn is_behind(&self, other: &Self, eye: V3) -> bool {
        for (axis, eye) in eye.into_iter().enumerate().take(2) {
            let gap = |low: &Self, high: &Self| high.at[axis] - high.half[axis] - low.at[axis] - low.half[axis];
            if gap(self, other) >= 0.0 {
                return eye > self.at[axis] + self.half[axis];
            }
            if gap(other, self) >= 0.0 {
                return eye < self.at[axis] - self.half[axis];
            }
        }
        self.distance(eye) > other.distance(eye)
    }
}

/// Indices so that no body comes after one that it is behind of (the farther first where bodies lock into a ring).
pub(super) fn far_to_near(items: &[Item], eye: V3) -> Vec<usize> {
    let mut left: Vec<usize> = (0..items.len()).collect();
    left.sort_by(|&a, &b| items[b].distance(eye).total_cmp(&items[a].distance(eye)));
    let mut order = Vec::with_capacity(items.len());
    while !left.is_empty() {
        let free = |&i: &usize| left.iter().all(|&other| other == i || !items[other].is_behind(&items[i], eye));
        let next = left.iter().position(free).unwrap_or(0);
        order.push(left.remove(next));
    }
    order
}
