//! Final boxes as the device leaves them, in the words of the heads.

use egret_jetson::kernels::decode::{self as device, More};
use egret_models::head::{Extra, Found, Oriented};

/// Boxes on their way to the source's pixels; reused.
pub(super) struct Seen {
    more: More,
    found: Vec<Vec<Found>>,
    count: usize,
}

impl Seen {
    pub(super) fn new(more: More) -> Self {
        Self { more, found: Vec::new(), count: 0 }
    }

    /// Begins a batch of so many pictures.
    pub(super) fn clear(&mut self, pictures: usize) {
        if self.found.len() < pictures {
            self.found.resize_with(pictures, Vec::new);
        }
        self.found.iter_mut().for_each(Vec::clear);
        self.count = pictures;
    }

    /// Takes a box.
    pub(super) fn take(&mut self, picture: usize, found: &device::Found<'_>) {
        let extra = match self.more {
            // Coefficients without prototypes say nothing.
            More::Nothing | More::Coefficients { .. } => Extra::Nothing,
            More::Angle { .. } => {
                let mut values = [0.0; 5];
                values.iter_mut().zip(found.more()).for_each(|(value, more)| *value = more);
                let [x, y, width, height, angle] = values;
                Extra::Oriented(Oriented { centre: [x, y], size: [width, height], angle })
            }
            More::Keypoints { count, .. } => {
                let mut points = vec![[0.0; 3]; count as usize];
                points.as_flattened_mut().iter_mut().zip(found.more()).for_each(|(value, more)| *value = more);
                Extra::Keypoints(points)
            }
        };
        if let Some(boxes) = self.found.get_mut(picture) {
            boxes.push(Found { class: found.class, score: found.score, bbox: found.bbox, extra });
        }
    }

    /// What was taken, picture by picture.
    pub(super) fn found(&self) -> &[Vec<Found>] {
        &self.found[..self.count]
    }
}
