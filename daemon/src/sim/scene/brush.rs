//! Drawing bodies in the world: round limbs, flat faces, wheels, shadows, each in the light where it stands.

use super::{
    canvas::{Canvas, Extent, Rgb, hull},
    street::{Street, rgb},
    view::{P2, V3, View, cross, dot, sub},
};

/// Draws one body. Its light and air are those of its place.
pub(super) struct Brush<'a> {
    pub(super) canvas: &'a mut Canvas,
    pub(super) view: &'a View,
    pub(super) street: &'a Street,
    light: [f32; 3],
    sun: f32,
    depth_m: f32,
}

impl<'a> Brush<'a> {
    /// A brush for a body around `place`, which owns what it draws if `pen` says so.
    pub(super) fn at(canvas: &'a mut Canvas, view: &'a View, street: &'a Street, place: V3, pen: Option<u8>) -> Self {
        canvas.pen = pen;
        canvas.extent = Extent::EMPTY;
        let chest = [place[0], place[1], place[2] + 1.0];
        let light = street.light(chest, [0.0; 3]);
        Self { canvas, view, street, light, sun: street.sun_at(chest), depth_m: view.depth(chest) }
    }

    /// A colour as it looks here, on a surface that faces `normal` (zero: round).
    pub(super) fn lit(&self, colour: Rgb, normal: V3) -> Rgb {
        let round = dot(normal, normal) < 0.5;
        let sun = if round { 0.45 } else { dot(normal, self.street.sun).max(0.0) } * self.sun;
        let facing = if round { 1.0 } else { 0.92 + 0.22 * normal[2] - 0.10 * normal[0].abs() };
        let channel = |i: usize| f32::from(colour[i]) * (self.light[i] * facing + sun);
        rgb(self.street.through_air([channel(0), channel(1), channel(2)], self.depth_m))
    }

    /// A limb: the hull of balls at the joints.
    pub(super) fn limb(&mut self, joints: &[(V3, f32)], colour: Rgb) {
        let colour = self.lit(colour, [0.0; 3]);
        let mut points: Vec<P2> = Vec::with_capacity(joints.len() * 8);
        for &(at, radius) in joints {
            let Some([x, y]) = self.view.project(at) else { return };
            let radius = radius * self.view.scale(at);
            let corners = if radius < 1.5 { 6 } else { 10 };
            for i in 0..corners {
                let (sin, cos) = (i as f32 / corners as f32 * std::f32::consts::TAU).sin_cos();
                points.push([x + radius * cos, y + radius * sin]);
            }
        }
        hull(&mut points);
        self.canvas.convex(&points, colour, 1.0);
    }

    /// Corners in the picture; `None` if any lies behind the camera.
    pub(super) fn corners(&self, corners: &[V3]) -> Option<Vec<P2>> {
        corners.iter().map(|&c| self.view.project(c)).collect()
    }

    /// Whether a flat face shows its front, and its unit normal turned to the outside of `inside`.
    pub(super) fn normal(&self, face: &[V3], inside: V3) -> Option<V3> {
        let normal = cross(sub(face[1], face[0]), sub(face[2], face[0]));
        let length = dot(normal, normal).sqrt().max(1e-6);
        let sign = if dot(normal, sub(face[0], inside)) < 0.0 { -1.0 } else { 1.0 } / length;
        let normal = normal.map(|n| n * sign);
        (dot(normal, sub(self.view.pos, face[0])) > 0.0).then_some(normal)
    }

    /// A flat face in a colour lit by its normal.
    pub(super) fn face(&mut self, corners: &[V3], colour: Rgb, normal: V3) {
        let colour = self.lit(colour, normal);
        if let Some(points) = self.corners(corners) {
            self.canvas.convex(&points, colour, 1.0);
        }
    }

    /// A flat face that shines in its own colour.
    pub(super) fn shine(&mut self, corners: &[V3], colour: Rgb) {
        if let Some(points) = self.corners(corners) {
            self.canvas.convex(&points, colour, 1.0);
        }
    }

    /// A disc that faces `axis` (horizontal, unit length): a wheel.
    pub(super) fn disc(&mut self, centre: V3, radius: f32, axis: V3, colour: Rgb) {
        let along = [-axis[1], axis[0], 0.0];
        let rim: Vec<V3> = (0..12)
            .map(|i| {
                let (sin, cos) = (i as f32 / 12.0 * std::f32::consts::TAU).sin_cos();
                [centre[0] + along[0] * cos * radius, centre[1] + along[1] * cos * radius, centre[2] + sin * radius]
            })
            .collect();
        self.face(&rim, colour, [0.0; 3]);
    }

    /// A thin ring that faces `axis`: a bicycle's wheel.
    pub(super) fn ring(&mut self, centre: V3, radius: f32, axis: V3, colour: Rgb) {
        let along = [-axis[1], axis[0], 0.0];
        let at = |i: usize| {
            let (sin, cos) = (i as f32 / 12.0 * std::f32::consts::TAU).sin_cos();
            [centre[0] + along[0] * cos * radius, centre[1] + along[1] * cos * radius, centre[2] + sin * radius]
        };
        for i in 0..12 {
            self.limb(&[(at(i), 0.026), (at(i + 1), 0.026)], colour);
        }
    }
}

/// Darkens the ground under a body: the soft shade close to it, and its cast shadow where the sun shines.
pub(super) fn shadow(canvas: &mut Canvas, view: &View, street: &Street, feet: &[V3], tops: &[V3]) {
    canvas.pen = None;
    let Some(&first) = feet.first() else { return };
    let drop = |p: &V3| -> V3 {
        let t = p[2] / street.sun[2].max(0.2);
        [p[0] - street.sun[0] * t, p[1] - street.sun[1] * t, 0.0]
    };
    let mut fill = |points: Vec<V3>, strength: f32| {
        let flat: Option<Vec<P2>> = points.iter().map(|&p| view.project(p)).collect();
        if let Some(mut flat) = flat {
            hull(&mut flat);
            canvas.convex(&flat, [8, 9, 14], strength);
        }
    };
    if street.sun_at([first[0], first[1], 0.05]) > 0.0 {
        let cast = feet.iter().copied().chain(tops.iter().map(drop)).collect();
        fill(cast, 0.30 + 0.32 * street.sunshine);
    }
    for (grow, strength) in [(1.25, 0.16), (0.95, 0.26)] {
        let n = feet.len() as f32;
        let middle = feet.iter().fold([0.0; 2], |m, p| [m[0] + p[0] / n, m[1] + p[1] / n]);
        let soft = feet.iter().map(|p| [middle[0] + (p[0] - middle[0]) * grow, middle[1] + (p[1] - middle[1]) * grow, 0.0]);
        fill(soft.collect(), strength);
    }
}
