//! What stands in the street and hides what passes behind it: trees, lamp posts, signs, bins, benches.

use super::{
    brush::{Brush, shadow},
    canvas::{Canvas, Rgb, Sprite},
    dice::Dice,
    person::dye,
    street::Street,
    view::{V3, View},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tree,
    Lamp,
    Sign,
    Bin,
    Bench,
    Bollard,
    Cabinet,
    Column,
}

/// One thing in its place, drawn once and laid over what passes behind it.
#[derive(Debug)]
pub(super) struct Prop {
    pub(super) at: [f32; 2],
    pub(super) half: [f32; 2],
    pub(super) sprite: Sprite,
}

/// Places everything, and draws it with its shade into the backdrop, far things first.
pub(super) fn furnish(view: &View, street: &Street, backdrop: &mut Canvas) -> Vec<Prop> {
    let mut dice = Dice::new(street.seed, &[3]);
    let mut places: Vec<(Kind, [f32; 2])> =
        street.lamps.iter().map(|l| (Kind::Lamp, [l[0] + 1.6 * l[0].signum(), l[1]])).collect();
    for side in 0..2 {
        let sign = if side == 0 { -1.0 } else { 1.0 };
        let (kerb, facade) = (street.kerb(side), street.facade(side));
        let mut y = dice.between(2.0, 9.0);
        let trees = dice.chance(0.5);
        while trees && y < 80.0 {
            places.push((Kind::Tree, [sign * (kerb + 0.6), y]));
            y += dice.between(9.0, 17.0);
        }
        for _ in 0..7 {
            let kind = dice.pick(&[
                Kind::Sign,
                Kind::Sign,
                Kind::Bin,
                Kind::Bin,
                Kind::Bench,
                Kind::Bollard,
                Kind::Bollard,
                Kind::Cabinet,
                Kind::Column,
            ]);
            let x = if dice.chance(0.6) { kerb + 0.45 } else { facade - 0.4 };
            places.push((kind, [sign * x, dice.between(2.0, 55.0)]));
        }
    }
    let distance = |at: [f32; 2]| ((at[0] - view.pos[0]).powi(2) + at[1].powi(2)).sqrt();
    places.retain(|&(kind, at)| distance(at) > if kind == Kind::Tree { 11.0 } else { 6.0 });
    places.sort_by(|a, b| distance(b.1).total_cmp(&distance(a.1)));
    places.into_iter().filter_map(|(kind, at)| stand(kind, at, view, street, backdrop, &mut dice)).collect()
}

fn stand(kind: Kind, at: [f32; 2], view: &View, street: &Street, backdrop: &mut Canvas, dice: &mut Dice) -> Option<Prop> {
    let foot = [at[0], at[1], 0.0];
    if view.depth(foot) < 3.0 {
        return None;
    }
    let mut sheet = Canvas::new(backdrop.width, backdrop.height);
    let mut brush = Brush::at(&mut sheet, view, street, foot, Some(0));
    let (half, height) = match kind {
        Kind::Tree => tree(&mut brush, foot, dice),
        Kind::Lamp => lamp(&mut brush, foot, street),
        Kind::Sign => sign(&mut brush, foot, dice),
        Kind::Bin => block(&mut brush, foot, [0.26, 0.26, dice.between(0.8, 1.15)], dye(dice), true),
        Kind::Bench => bench(&mut brush, foot),
        Kind::Bollard => block(&mut brush, foot, [0.1, 0.1, dice.between(0.8, 1.1)], [60, 62, 66], true),
        Kind::Cabinet => block(&mut brush, foot, [0.25, 0.5, dice.between(1.0, 1.5)], [128, 134, 126], false),
        Kind::Column => block(&mut brush, foot, [0.4, 0.4, dice.between(2.2, 2.8)], dye(dice), true),
    };
    let corners =
        |z: f32| [[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0]].map(|[x, y]| [at[0] + x * half[0], at[1] + y * half[1], z]);
    shadow(backdrop, view, street, &corners(0.0), &corners(height));
    let sprite = Sprite::cut(&sheet)?;
    backdrop.lay(&sprite);
    Some(Prop { at, half, sprite })
}

fn tree(brush: &mut Brush<'_>, foot: V3, dice: &mut Dice) -> ([f32; 2], f32) {
    let up = |z: f32| [foot[0], foot[1], z];
    let (trunk, crown, spread) = (dice.between(2.0, 3.0), dice.between(4.2, 5.6), dice.between(1.1, 1.8));
    brush.limb(&[(up(0.0), 0.17), (up(crown), 0.09)], [74, 58, 44]);
    let leaf: [f32; 3] = dice.pick(&[[58.0, 86.0, 40.0], [76.0, 98.0, 46.0], [48.0, 72.0, 44.0], [128.0, 96.0, 44.0]]);
    for i in 0..34 {
        let around = dice.between(0.0, std::f32::consts::TAU);
        let out = spread * dice.unit().sqrt();
        let z = trunk + 0.4 + (crown + 1.0 - trunk) * i as f32 / 34.0;
        let tone = dice.between(0.7, 1.0) + 0.25 * i as f32 / 34.0;
        let ball = [foot[0] + out * around.cos(), foot[1] + out * around.sin(), z];
        brush.limb(&[(ball, dice.between(0.28, 0.6))], leaf.map(|c| (c * tone) as u8));
    }
    ([0.2, 0.2], crown)
}

fn lamp(brush: &mut Brush<'_>, foot: V3, street: &Street) -> ([f32; 2], f32) {
    let inward = -foot[0].signum();
    let (top, head) = ([foot[0], foot[1], 6.0], [foot[0] + inward * 1.5, foot[1], 6.1]);
    brush.limb(&[(foot, 0.1), (top, 0.06)], [86, 90, 92]);
    brush.limb(&[(top, 0.05), (head, 0.05)], [86, 90, 92]);
    let bulb = [(head, 0.11), ([head[0] + inward * 0.45, head[1], 6.1], 0.09)];
    brush.limb(&bulb, if street.night { [255, 255, 255] } else { [150, 152, 150] });
    ([0.12, 0.12], 6.0)
}

fn sign(brush: &mut Brush<'_>, foot: V3, dice: &mut Dice) -> ([f32; 2], f32) {
    let high = dice.between(1.9, 2.6);
    brush.limb(&[(foot, 0.035), ([foot[0], foot[1], high + 0.3], 0.035)], [130, 132, 134]);
    let plate: Rgb = dice.pick(&[[176, 34, 32], [36, 72, 156], [224, 222, 216], [208, 176, 40]]);
    let centre = [foot[0], foot[1] - 0.05, high];
    brush.disc(centre, 0.32, [0.0, 1.0, 0.0], plate);
    brush.disc([centre[0], centre[1] - 0.01, centre[2]], 0.21, [0.0, 1.0, 0.0], [222, 222, 218]);
    ([0.1, 0.1], high)
}

fn bench(brush: &mut Brush<'_>, foot: V3) -> ([f32; 2], f32) {
    let at = |x: f32, y: f32, z: f32| [foot[0] + x * foot[0].signum(), foot[1] + y, z];
    let wood = [124, 88, 54];
    for y in [-0.7, 0.7] {
        brush.limb(&[(at(0.0, y, 0.0), 0.04), (at(0.0, y, 0.42), 0.04)], [50, 52, 54]);
    }
    brush.limb(
        &[
            (at(0.2, -0.85, 0.45), 0.045),
            (at(0.2, 0.85, 0.45), 0.045),
            (at(-0.2, 0.85, 0.45), 0.045),
            (at(-0.2, -0.85, 0.45), 0.045),
        ],
        wood,
    );
    brush.limb(&[(at(0.24, -0.85, 0.85), 0.07), (at(0.24, 0.85, 0.85), 0.07)], wood);
    ([0.3, 0.9], 0.8)
}

/// A box (or something round, if so said) with a lid.
fn block(brush: &mut Brush<'_>, foot: V3, [x, y, tall]: V3, colour: Rgb, round: bool) -> ([f32; 2], f32) {
    if round {
        brush.limb(&[([foot[0], foot[1], x * 0.5], x), ([foot[0], foot[1], tall - x * 0.5], x)], colour);
        brush.limb(&[([foot[0], foot[1], tall - 0.05], x * 0.9)], colour.map(|c| c / 2 + 20));
        return ([x, y], tall);
    }
    let corner = |i: usize, z: f32| [foot[0] + if i.is_multiple_of(3) { x } else { -x }, foot[1] + if i < 2 { y } else { -y }, z];
    let inside = [foot[0], foot[1], tall / 2.0];
    let mut faces: Vec<[V3; 4]> =
        (0..4).map(|i| [corner(i, 0.0), corner((i + 1) % 4, 0.0), corner((i + 1) % 4, tall), corner(i, tall)]).collect();
    faces.push([corner(0, tall), corner(1, tall), corner(2, tall), corner(3, tall)]);
    for face in faces {
        if let Some(normal) = brush.normal(&face, inside) {
            brush.face(&face, colour, normal);
        }
    }
    ([x, y], tall)
}
