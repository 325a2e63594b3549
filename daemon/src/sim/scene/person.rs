//! People: a jointed figure of round limbs, walking, standing or riding.

use super::{
    brush::{Brush, shadow},
    canvas::{Canvas, Rgb},
    dice::Dice,
    street::Street,
    view::{V3, View},
};

const SKIN: [Rgb; 5] = [[232, 190, 160], [214, 164, 130], [176, 126, 92], [128, 86, 60], [86, 58, 42]];
const HAIR: [Rgb; 5] = [[28, 24, 22], [66, 44, 28], [112, 78, 44], [186, 150, 92], [150, 148, 146]];
const LEGWEAR: [Rgb; 7] = [[36, 42, 66], [28, 28, 30], [78, 84, 98], [112, 96, 74], [60, 52, 44], [164, 156, 140], [44, 62, 92]];

/// How somebody looks.
#[derive(Clone, Debug)]
pub(super) struct Looks {
    pub(super) height_m: f32,
    girth: f32,
    skin: Rgb,
    hair: Rgb,
    top: Rgb,
    legs: Rgb,
    shoes: Rgb,
    skirt: bool,
    coat: bool,
    backpack: Option<Rgb>,
    bag: Option<Rgb>,
}

/// Any colour that clothes and paint come in.
pub(super) fn dye(dice: &mut Dice) -> Rgb {
    let level = dice.between(28.0, 205.0);
    let colourful = if dice.chance(0.55) { 0.75 } else { 0.15 };
    let channel = |dice: &mut Dice| (level * (1.0 + colourful * dice.between(-1.0, 1.0))).clamp(14.0, 238.0) as u8;
    [channel(dice), channel(dice), channel(dice)]
}

impl Looks {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let child = dice.chance(0.08);
        Self {
            height_m: if child { dice.between(1.15, 1.45) } else { dice.between(1.55, 1.93) },
            girth: dice.between(0.9, 1.3),
            skin: dice.pick(&SKIN),
            hair: dice.pick(&HAIR),
            top: dye(dice),
            legs: if dice.chance(0.75) { dice.pick(&LEGWEAR) } else { dye(dice) },
            shoes: if dice.chance(0.3) { [206, 204, 200] } else { [34, 30, 28] },
            skirt: dice.chance(0.14),
            coat: dice.chance(0.28),
            backpack: dice.chance(0.2).then(|| dye(dice)),
            bag: dice.chance(0.2).then(|| dye(dice)),
        }
    }
}

/// A figure's axes: feet, heading (horizontal, unit length) and height.
struct Frame {
    foot: V3,
    ahead: [f32; 2],
    h: f32,
}

impl Frame {
    /// A point so many heights ahead, to the right and up.
    fn at(&self, ahead: f32, right: f32, up: f32) -> V3 {
        let (a, r) = (ahead * self.h, right * self.h);
        [
            self.foot[0] + self.ahead[0] * a + self.ahead[1] * r,
            self.foot[1] + self.ahead[1] * a - self.ahead[0] * r,
            self.foot[2] + up * self.h,
        ]
    }
}

/// Somebody on foot. `stride` counts steps in radians (a pair of steps is one turn); `swing` is 0 when standing.
pub(super) fn walker(brush: &mut Brush<'_>, looks: &Looks, foot: V3, ahead: [f32; 2], stride: f32, swing: f32) {
    let frame = Frame { foot, ahead, h: looks.height_m };
    let bob = 0.012 * swing * (2.0 * stride).cos();
    let to_eye = [brush.view.pos[0] - foot[0], brush.view.pos[1] - foot[1]];
    let near = if to_eye[0] * ahead[1] - to_eye[1] * ahead[0] > 0.0 { 1.0 } else { -1.0 };
    let phase = |side: f32| if side > 0.0 { stride } else { stride + std::f32::consts::PI };
    let g = looks.girth;
    for side in [-near, near] {
        let step = phase(side).sin() * swing;
        if side * near > 0.0 {
            torso(brush, looks, &frame, bob);
        }
        let thigh = 0.50 * step + 0.06;
        let knee_bend = (0.75 * swing * (phase(side) + 0.9).cos().max(0.0)).max(0.05);
        let shin = thigh - knee_bend;
        let hip = frame.at(0.0, 0.05 * side * g, 0.51 + bob);
        let knee = frame.at(0.245 * thigh.sin(), 0.05 * side * g, 0.51 + bob - 0.245 * thigh.cos());
        let (kx, kz) = (0.245 * thigh.sin() + 0.235 * shin.sin(), 0.51 + bob - 0.245 * thigh.cos() - 0.235 * shin.cos());
        let ankle = frame.at(kx, 0.05 * side * g, kz.max(0.03));
        let toe = frame.at(kx + 0.09, 0.055 * side * g, (kz - 0.015).max(0.018));
        let h = looks.height_m;
        brush.limb(&[(ankle, 0.022 * h), (toe, 0.018 * h)], looks.shoes);
        brush.limb(&[(knee, 0.036 * h * g), (ankle, 0.025 * h)], if looks.skirt { looks.skin } else { looks.legs });
        brush.limb(&[(hip, 0.052 * h * g), (knee, 0.036 * h * g)], looks.legs);
        let upper = -0.5 * step;
        let lower = upper + 0.22 + 0.25 * swing;
        let shoulder = frame.at(0.0, 0.115 * side * g, 0.795 + bob);
        let (ex, ez) = (0.165 * upper.sin(), 0.795 + bob - 0.165 * upper.cos());
        let elbow = frame.at(ex, 0.135 * side * g, ez);
        let hand = frame.at(ex + 0.15 * lower.sin(), 0.13 * side * g, ez - 0.15 * lower.cos());
        brush.limb(&[(shoulder, 0.034 * h), (elbow, 0.028 * h)], looks.top);
        brush.limb(&[(elbow, 0.027 * h), (hand, 0.021 * h)], if looks.coat { looks.top } else { looks.skin });
        if side * near > 0.0
            && let Some(bag) = looks.bag
        {
            let low = frame.at(ex + 0.15 * lower.sin(), 0.14 * side, ez - 0.15 * lower.cos() - 0.08);
            brush.limb(&[(hand, 0.012 * h), (low, 0.05 * h)], bag);
        }
    }
}

fn torso(brush: &mut Brush<'_>, looks: &Looks, frame: &Frame, bob: f32) {
    let (h, g) = (looks.height_m, looks.girth);
    let away = brush.view.pos[0] * frame.ahead[0] + brush.view.pos[1] * frame.ahead[1]
        < frame.foot[0] * frame.ahead[0] + frame.foot[1] * frame.ahead[1];
    let pack = |brush: &mut Brush<'_>| {
        if let Some(pack) = looks.backpack {
            let ball = |up: f32| (frame.at(-0.10, 0.0, up + bob), 0.062 * h);
            brush.limb(&[ball(0.76), ball(0.62)], pack);
        }
    };
    if !away {
        pack(brush);
    }
    let pair = |ahead: f32, right: f32, up: f32, radius: f32| {
        [(frame.at(ahead, right, up + bob), radius * h), (frame.at(ahead, -right, up + bob), radius * h)]
    };
    if looks.skirt || looks.coat {
        let [a, b] = pair(0.0, 0.05 * g, 0.53, 0.055);
        let [c, d] = pair(0.0, 0.075 * g, 0.33, 0.05);
        brush.limb(&[a, b, c, d], if looks.coat { looks.top } else { looks.legs });
    }
    let [a, b] = pair(0.0, 0.085 * g, 0.785, 0.044);
    let [c, d] = pair(0.0, 0.045 * g, 0.53, 0.058);
    brush.limb(&[a, b, c, d], looks.top);
    if away {
        pack(brush);
    }
    head(brush, looks, frame.at(0.005, 0.0, 0.84 + bob), frame.at(0.015, 0.0, 0.925 + bob), frame.ahead);
}

fn head(brush: &mut Brush<'_>, looks: &Looks, neck: V3, skull: V3, ahead: [f32; 2]) {
    let r = 0.056 * looks.height_m;
    brush.limb(&[(neck, 0.026 * looks.height_m), (skull, 0.03 * looks.height_m)], looks.skin);
    let away = (brush.view.pos[0] - skull[0]) * ahead[0] + (brush.view.pos[1] - skull[1]) * ahead[1] < 0.0;
    let chin = [skull[0], skull[1], skull[2] - 0.02];
    brush.limb(&[(skull, r), (chin, r * 0.92)], if away { looks.hair } else { looks.skin });
    if !away {
        let crown = [skull[0] - ahead[0] * 0.05, skull[1] - ahead[1] * 0.05, skull[2] + 0.042];
        brush.limb(&[(crown, r * 0.9)], looks.hair);
    }
}

/// The shade of somebody on foot.
pub(super) fn walker_shadow(canvas: &mut Canvas, view: &View, street: &Street, foot: V3, height_m: f32) {
    let ring = |r: f32, z: f32| [[r, r], [r, -r], [-r, -r], [-r, r]].map(|[x, y]| [foot[0] + x, foot[1] + y, z]);
    shadow(canvas, view, street, &ring(0.2, 0.0), &ring(0.17, height_m));
}

/// Somebody in the saddle: the far leg first, the body, the near leg. Saddle, bars and pedals are in the bicycle's axes.
pub(super) fn rider(brush: &mut Brush<'_>, looks: &Looks, wheelbase: V3, ahead: [f32; 2], crank: f32, far_side_only: bool) {
    let frame = Frame { foot: wheelbase, ahead, h: 1.0 };
    let to_eye = [brush.view.pos[0] - wheelbase[0], brush.view.pos[1] - wheelbase[1]];
    let near = if to_eye[0] * ahead[1] - to_eye[1] * ahead[0] > 0.0 { 1.0 } else { -1.0 };
    let side = if far_side_only { -near } else { near };
    let (turn, h) = (if side > 0.0 { crank } else { crank + std::f32::consts::PI }, looks.height_m / 1.75);
    let pedal = [0.08 + 0.16 * turn.cos(), 0.29 + 0.16 * turn.sin()];
    let saddle = [-0.16, 0.95];
    let (dx, dz) = (pedal[0] - saddle[0], pedal[1] - saddle[1]);
    let reach = (dx * dx + dz * dz).sqrt();
    let half = reach / 2.0;
    let out = (0.46_f32 * 0.46 - half * half).max(0.0).sqrt();
    let knee = [saddle[0] + dx / 2.0 - dz / reach * out, saddle[1] + dz / 2.0 + dx / reach * out];
    let at = |p: [f32; 2], right: f32| frame.at(p[0], right * side, p[1]);
    if !far_side_only {
        let hips = [(at(saddle, 0.07), 0.11 * looks.girth), (at(saddle, -0.07), 0.11 * looks.girth)];
        let shoulders = [(at([0.2, 1.42 * h], 0.15), 0.085), (at([0.2, 1.42 * h], -0.15), 0.085)];
        brush.limb(&[hips[0], hips[1], shoulders[0], shoulders[1]], looks.top);
        head(brush, looks, at([0.24, 1.5 * h], 0.0), at([0.29, 1.66 * h], 0.0), ahead);
    }
    brush.limb(&[(at(pedal, 0.11), 0.045), (at([pedal[0] + 0.14, pedal[1]], 0.11), 0.04)], looks.shoes);
    brush.limb(&[(at(knee, 0.1), 0.065), (at(pedal, 0.11), 0.045)], if looks.skirt { looks.skin } else { looks.legs });
    brush.limb(&[(at(saddle, 0.08), 0.095), (at(knee, 0.1), 0.065)], looks.legs);
    let elbow = at([0.36, 1.18 * h], 0.22);
    brush.limb(&[(at([0.2, 1.42 * h], 0.19), 0.06), (elbow, 0.048)], looks.top);
    brush.limb(&[(elbow, 0.046), (at([0.46, 1.04], 0.22), 0.04)], looks.skin);
}
