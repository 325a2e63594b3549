//! Cars and bicycles.

use super::{
    brush::{Brush, shadow},
    canvas::{Canvas, Rgb},
    dice::Dice,
    person::{self, Looks, dye},
    street::Street,
    view::{V3, View},
};

/// A body's silhouette from the side: (metres ahead of the middle, metres up, half width there), around once.
type Profile = &'static [(f32, f32, f32)];

struct Body {
    half_length: f32,
    wheelbase: f32,
    wheel: f32,
    lower: Profile,
    cabin: Profile,
    /// Glass in the cabin's sides: from, to, along the car.
    glass: &'static [(f32, f32)],
}

const BODIES: [Body; 5] = [
    // Saloon.
    Body {
        half_length: 2.3,
        wheelbase: 2.7,
        wheel: 0.33,
        lower: &[
            (-2.3, 0.3, 0.84),
            (-2.3, 0.86, 0.84),
            (-2.05, 0.96, 0.86),
            (0.95, 0.95, 0.88),
            (2.05, 0.78, 0.84),
            (2.3, 0.6, 0.80),
            (2.28, 0.28, 0.80),
        ],
        cabin: &[(-1.85, 0.95, 0.84), (-1.1, 1.44, 0.64), (0.2, 1.46, 0.64), (1.15, 0.94, 0.84)],
        glass: &[(-1.3, -0.35), (-0.25, 0.75)],
    },
    // Hatchback.
    Body {
        half_length: 2.0,
        wheelbase: 2.5,
        wheel: 0.32,
        lower: &[
            (-2.0, 0.3, 0.82),
            (-2.0, 0.98, 0.82),
            (0.95, 0.97, 0.85),
            (1.8, 0.80, 0.80),
            (2.0, 0.62, 0.78),
            (1.98, 0.28, 0.78),
        ],
        cabin: &[(-1.98, 0.97, 0.80), (-1.65, 1.48, 0.62), (0.1, 1.50, 0.62), (1.1, 0.96, 0.82)],
        glass: &[(-1.6, -0.5), (-0.4, 0.7)],
    },
    // Sport utility.
    Body {
        half_length: 2.3,
        wheelbase: 2.75,
        wheel: 0.38,
        lower: &[
            (-2.3, 0.38, 0.90),
            (-2.3, 1.1, 0.90),
            (1.0, 1.1, 0.92),
            (2.1, 0.98, 0.88),
            (2.3, 0.75, 0.86),
            (2.28, 0.36, 0.86),
        ],
        cabin: &[(-2.2, 1.1, 0.86), (-1.95, 1.70, 0.70), (0.3, 1.72, 0.70), (1.1, 1.09, 0.86)],
        glass: &[(-1.9, -0.7), (-0.6, 0.75)],
    },
    // Van.
    Body {
        half_length: 2.6,
        wheelbase: 3.1,
        wheel: 0.36,
        lower: &[(-2.6, 0.34, 0.94), (-2.6, 1.2, 0.94), (1.9, 1.2, 0.94), (2.5, 1.0, 0.90), (2.6, 0.7, 0.88), (2.58, 0.32, 0.88)],
        cabin: &[(-2.6, 1.2, 0.94), (-2.5, 2.06, 0.82), (1.3, 2.08, 0.82), (2.1, 1.18, 0.90)],
        glass: &[(0.55, 1.55)],
    },
    // Pick-up.
    Body {
        half_length: 2.6,
        wheelbase: 3.2,
        wheel: 0.39,
        lower: &[
            (-2.6, 0.42, 0.90),
            (-2.6, 1.05, 0.90),
            (1.3, 1.06, 0.90),
            (2.4, 0.98, 0.87),
            (2.6, 0.7, 0.86),
            (2.58, 0.4, 0.86),
        ],
        cabin: &[(-0.7, 1.05, 0.86), (-0.5, 1.68, 0.68), (0.7, 1.70, 0.68), (1.4, 1.05, 0.86)],
        glass: &[(-0.45, 0.2), (0.3, 0.95)],
    },
];

/// Which car.
#[derive(Clone, Debug)]
pub(super) struct Car {
    body: usize,
    paint: Rgb,
}

impl Car {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let body = dice.pick(&[0, 0, 1, 1, 2, 2, 3, 4]);
        let grey = dice.pick(&[24, 44, 92, 150, 196, 226]);
        Self { body, paint: if dice.chance(0.6) { [grey, grey, grey] } else { dye(dice) } }
    }

    pub(super) fn half_length(&self) -> f32 {
        BODIES[self.body].half_length
    }

    /// From the ground to its roof.
    pub(super) fn height(&self) -> f32 {
        BODIES[self.body].cabin.iter().map(|corner| corner.1).fold(0.0, f32::max)
    }
}

/// A vehicle's place: the middle on the ground and +1 or -1 along the street.
#[derive(Clone, Copy)]
pub(super) struct Pose {
    pub(super) at: [f32; 2],
    pub(super) ahead: f32,
}

impl Pose {
    fn point(self, ahead: f32, right: f32, up: f32) -> V3 {
        [self.at[0] + right * self.ahead, self.at[1] + ahead * self.ahead, up]
    }

    fn corners(self, along: f32, across: f32, up: f32) -> [V3; 4] {
        [
            self.point(along, across, up),
            self.point(along, -across, up),
            self.point(-along, -across, up),
            self.point(-along, across, up),
        ]
    }
}

pub(super) fn car_shadow(canvas: &mut Canvas, view: &View, street: &Street, car: &Car, pose: Pose) {
    let body = &BODIES[car.body];
    let roof = pose.corners(body.half_length * 0.7, 0.7, body.cabin[1].1);
    let belt = pose.corners(body.half_length, 0.85, 0.9);
    let tops: Vec<V3> = roof.into_iter().chain(belt).collect();
    shadow(canvas, view, street, &pose.corners(body.half_length, 0.86, 0.0), &tops);
}

/// The light that a car throws on the road before it.
pub(super) fn beam(canvas: &mut Canvas, view: &View, pose: Pose, half_length: f32) {
    canvas.pen = None;
    for (ahead, wide, strength) in [(1.8, 1.5, 0.13), (3.4, 1.9, 0.12), (5.6, 2.4, 0.10), (8.4, 2.8, 0.07)] {
        let middle = pose.point(half_length + ahead, 0.0, 0.0);
        let (Some(centre), scale) = (view.project(middle), view.scale(middle)) else { continue };
        canvas.glow(centre, [wide * scale, wide * scale * 0.5], [255, 244, 214], strength);
    }
}

pub(super) fn car(brush: &mut Brush<'_>, car: &Car, pose: Pose, lights: bool) {
    let body = &BODIES[car.body];
    let eye_right = (brush.view.pos[0] - pose.at[0]) * pose.ahead > 0.0;
    let near = if eye_right { 1.0 } else { -1.0 };
    let axle = body.wheelbase / 2.0;
    let wheel = |brush: &mut Brush<'_>, side: f32, along: f32| {
        let hub = pose.point(along, 0.86 * side, body.wheel);
        brush.disc(hub, body.wheel * 1.12, [1.0, 0.0, 0.0], [16, 16, 17]);
        brush.disc(hub, body.wheel * 0.62, [1.0, 0.0, 0.0], [112, 114, 118]);
    };
    for along in [axle, -axle] {
        let hub = pose.point(along, -0.78 * near, body.wheel);
        brush.disc(hub, body.wheel, [1.0, 0.0, 0.0], [14, 14, 15]);
    }
    prism(brush, body.lower, pose, car.paint, None);
    for along in [axle, -axle] {
        wheel(brush, near, along);
    }
    prism(brush, body.cabin, pose, car.paint, Some(near));
    glass(brush, body, pose, near);
    ends(brush, body, pose, lights);
}

/// A convex body from its profile. With `glazed`, the slopes before and behind are glass.
fn prism(brush: &mut Brush<'_>, profile: Profile, pose: Pose, paint: Rgb, glazed: Option<f32>) {
    let right: Vec<V3> = profile.iter().map(|&(y, z, w)| pose.point(y, w, z)).collect();
    let left: Vec<V3> = profile.iter().map(|&(y, z, w)| pose.point(y, -w, z)).collect();
    let n = profile.len();
    let inside = pose.point(0.0, 0.0, profile.iter().map(|p| p.1).sum::<f32>() / n as f32);
    for i in 0..n - 1 {
        let quad = [right[i], right[i + 1], left[i + 1], left[i]];
        if let Some(normal) = brush.normal(&quad, inside) {
            brush.face(&quad, paint, normal);
            if glazed.is_some() && i != 1 {
                let pane = shrink(&quad, 0.86);
                brush.face(&pane, [40, 46, 54], normal);
            }
        }
    }
    for side in [right, left] {
        if let Some(normal) = brush.normal(&side, inside) {
            brush.face(&side, paint, normal);
        }
    }
}

fn shrink(quad: &[V3; 4], by: f32) -> [V3; 4] {
    let middle: [f32; 3] = std::array::from_fn(|i| quad.iter().map(|p| p[i]).sum::<f32>() / 4.0);
    quad.map(|p| std::array::from_fn(|i| middle[i] + (p[i] - middle[i]) * by))
}

/// Panes in the side that faces the camera, leaning with the cabin.
fn glass(brush: &mut Brush<'_>, body: &Body, pose: Pose, near: f32) {
    let (low, high) = (body.cabin[0], body.cabin[1]);
    let (z0, z1) = (low.1 + 0.04, high.1 - 0.08);
    let wide = |z: f32| low.2 + (high.2 - low.2) * (z - low.1) / (high.1 - low.1) + 0.01;
    let slope = |from: (f32, f32, f32), to: (f32, f32, f32), z: f32| from.0 + (to.0 - from.0) * (z - from.1) / (to.1 - from.1);
    let last = body.cabin.len() - 1;
    let clip = |y: f32, z: f32| {
        let back = slope(body.cabin[0], body.cabin[1], z) + 0.08;
        let front = slope(body.cabin[last], body.cabin[last - 1], z) - 0.08;
        y.clamp(back, front.max(back))
    };
    for &(from, to) in body.glass {
        let pane = [
            pose.point(clip(from, z0), wide(z0) * near, z0),
            pose.point(clip(to, z0), wide(z0) * near, z0),
            pose.point(clip(to, z1), wide(z1) * near, z1),
            pose.point(clip(from, z1), wide(z1) * near, z1),
        ];
        if let Some(normal) = brush.normal(&pane, pose.point(0.0, 0.0, z0)) {
            brush.face(&pane, [34, 40, 48], normal);
        }
    }
}

/// Lamps, plates and bumpers on whichever end shows.
fn ends(brush: &mut Brush<'_>, body: &Body, pose: Pose, lights: bool) {
    for front in [true, false] {
        let sign = if front { 1.0 } else { -1.0 };
        let out = body.half_length * sign + 0.02 * sign;
        if (brush.view.pos[1] - pose.point(out, 0.0, 0.0)[1]) * pose.ahead * sign <= 0.0 {
            continue;
        }
        let quad = |x: f32, half: f32, z: f32, tall: f32| {
            [
                pose.point(out, x - half, z),
                pose.point(out, x + half, z),
                pose.point(out, x + half, z + tall),
                pose.point(out, x - half, z + tall),
            ]
        };
        let normal = [0.0, sign * pose.ahead, 0.0];
        brush.face(&quad(0.0, 0.78, 0.32, 0.14), [30, 30, 32], normal);
        brush.face(&quad(0.0, 0.26, 0.42, 0.11), [214, 214, 206], normal);
        let lamp = match (front, lights) {
            (true, true) => [255, 250, 232],
            (true, false) => [214, 218, 222],
            (false, true) => [238, 44, 34],
            (false, false) => [150, 26, 24],
        };
        for x in [-0.6, 0.6] {
            let corners = quad(x, 0.15, body.lower[1].1 - 0.28, 0.16);
            if lights { brush.shine(&corners, lamp) } else { brush.face(&corners, lamp, normal) }
        }
    }
}

/// The glare of the lamps that face the camera. Drawn last: light lies over everything.
pub(super) fn glare(canvas: &mut Canvas, view: &View, pose: Pose, half_length: f32, high: f32) {
    for sign in [1.0, -1.0] {
        let facing = (view.pos[1] - pose.point(half_length * sign, 0.0, 0.0)[1]) * pose.ahead * sign > 0.0;
        for x in [-0.6, 0.6] {
            let lamp = pose.point(half_length * sign, x, high);
            if facing && let Some(centre) = view.project(lamp) {
                let (colour, size, strength) = if sign > 0.0 { ([255, 246, 222], 0.75, 0.75) } else { ([255, 40, 30], 0.4, 0.5) };
                canvas.glow(centre, [size * view.scale(lamp) + 1.5; 2], colour, strength);
            }
        }
    }
}

/// A bicycle and who rides it.
#[derive(Clone, Debug)]
pub(super) struct Bicycle {
    paint: Rgb,
    rider: Looks,
    mudguards: bool,
}

impl Bicycle {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        Self { paint: dye(dice), rider: Looks::draw(dice), mudguards: dice.chance(0.4) }
    }
}

pub(super) fn bicycle_shadow(canvas: &mut Canvas, view: &View, street: &Street, pose: Pose) {
    shadow(canvas, view, street, &pose.corners(0.8, 0.07, 0.0), &pose.corners(0.25, 0.15, 1.65));
}

/// `crank` is the pedals' turn in radians.
pub(super) fn bicycle(brush: &mut Brush<'_>, bicycle: &Bicycle, pose: Pose, crank: f32, lights: bool) {
    let ahead = [0.0, pose.ahead];
    let place = [pose.at[0], pose.at[1], 0.0];
    person::rider(brush, &bicycle.rider, place, ahead, crank, true);
    let at = |along: f32, up: f32| pose.point(along, 0.0, up);
    for along in [-0.53, 0.53] {
        brush.ring(at(along, 0.34), 0.33, [1.0, 0.0, 0.0], if bicycle.mudguards { bicycle.paint } else { [20, 20, 20] });
    }
    let (saddle, crank_at, head) = (at(-0.17, 0.88), at(0.06, 0.3), at(0.4, 0.86));
    let tubes =
        [(saddle, crank_at), (crank_at, head), (at(-0.13, 0.76), head), (at(-0.53, 0.34), crank_at), (head, at(0.53, 0.34))];
    for (from, to) in tubes {
        brush.limb(&[(from, 0.024), (to, 0.024)], bicycle.paint);
    }
    brush.limb(&[(at(-0.28, 0.93), 0.045), (at(-0.06, 0.93), 0.03)], [24, 22, 22]);
    brush.limb(&[(pose.point(0.44, -0.26, 1.02), 0.022), (pose.point(0.44, 0.26, 1.02), 0.022)], [30, 30, 32]);
    person::rider(brush, &bicycle.rider, place, ahead, crank, false);
    if lights {
        for (along, colour) in [(0.55, [255, 250, 236]), (-0.6, [240, 50, 40])] {
            let lamp = at(along, 0.8);
            if (brush.view.pos[1] - lamp[1]) * pose.ahead * along > 0.0
                && let Some(centre) = brush.view.project(lamp)
            {
                let scale = brush.view.scale(lamp);
                brush.canvas.glow(centre, [0.25 * scale + 1.5; 2], colour, 0.8);
            }
        }
    }
}
