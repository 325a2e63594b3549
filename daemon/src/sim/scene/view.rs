//! The camera on its pole: a pinhole over a flat street.
//!
//! World axes in metres: x across the street, y along it, z up. The camera stands at y = 0.

use super::dice::Dice;

/// A point or direction in the world, in metres.
pub(super) type V3 = [f32; 3];
/// A point in the picture, in pixels; pixel centres lie at halves.
pub(super) type P2 = [f32; 2];

/// Nothing nearer than this to the image plane is drawn.
const NEAR_M: f32 = 0.4;

#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) pos: V3,
    right: V3,
    up: V3,
    forward: V3,
    focal_px: f32,
    centre: P2,
}

pub(super) fn dot(a: V3, b: V3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(super) fn sub(a: V3, b: V3) -> V3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub(super) fn cross(a: V3, b: V3) -> V3 {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

impl View {
    /// A pose drawn by lot: on either pavement's outer edge, looking along the street and across it.
    pub(super) fn draw(dice: &mut Dice, kerb_m: f32, width: u32, height: u32) -> Self {
        let side = if dice.chance(0.5) { 1.0 } else { -1.0 };
        let pos = [side * (kerb_m + dice.between(0.3, 2.0)), 0.0, dice.between(4.2, 6.8)];
        let yaw = -side * dice.between(18.0_f32, 64.0).to_radians();
        let roll = dice.between(-1.5_f32, 1.5).to_radians();
        let field = dice.between(42.0_f32, 58.0).to_radians();
        // As installers do: aimed at the street, with little or nothing of the sky in the picture.
        let half_height = ((field / 2.0).tan() * height as f32 / width as f32).atan();
        let pitch = half_height + dice.between(2.0_f32, 9.0).to_radians();
        let forward = [yaw.sin() * pitch.cos(), yaw.cos() * pitch.cos(), -pitch.sin()];
        let level = [yaw.cos(), -yaw.sin(), 0.0];
        let upright = cross(level, forward);
        let turn = |a: f32, b: f32| [level[0] * a + upright[0] * b, level[1] * a + upright[1] * b, level[2] * a + upright[2] * b];
        Self {
            pos,
            right: turn(roll.cos(), roll.sin()),
            up: turn(-roll.sin(), roll.cos()),
            forward,
            focal_px: width as f32 / 2.0 / (field / 2.0).tan(),
            centre: [width as f32 / 2.0, height as f32 / 2.0],
        }
    }

    /// Distance along the viewing axis.
    pub(super) fn depth(&self, p: V3) -> f32 {
        dot(sub(p, self.pos), self.forward)
    }

    /// Where a point falls in the picture; `None` behind the camera.
    pub(super) fn project(&self, p: V3) -> Option<P2> {
        let d = sub(p, self.pos);
        let depth = dot(d, self.forward);
        (depth > NEAR_M).then(|| {
            let scale = self.focal_px / depth;
            [self.centre[0] + dot(d, self.right) * scale, self.centre[1] - dot(d, self.up) * scale]
        })
    }

    /// Pixels that a metre takes at a point.
    pub(super) fn scale(&self, p: V3) -> f32 {
        self.focal_px / self.depth(p).max(NEAR_M)
    }

    /// The direction of the ray through a place in the picture; one unit long along the viewing axis.
    pub(super) fn ray(&self, x: f32, y: f32) -> V3 {
        let (a, b) = ((x - self.centre[0]) / self.focal_px, (self.centre[1] - y) / self.focal_px);
        let axis = |i: usize| self.forward[i] + self.right[i] * a + self.up[i] * b;
        [axis(0), axis(1), axis(2)]
    }
}
