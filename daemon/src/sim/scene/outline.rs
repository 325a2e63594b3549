//! The scene without its pixels: where everybody is at any moment, and where that falls in the picture.

use super::{
    Class, Scene,
    traffic::{Actor, Body},
};

/// How high a bicycle and its rider are.
const RIDER_M: f32 = 1.75;

/// One object at one moment, by geometry alone: a box around its bounding block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outline {
    /// As in [`super::TruthObject::id`].
    pub id: u64,
    /// What it is.
    pub class: Class,
    /// Where it is on the ground: metres across the street and along it.
    pub metres: [f32; 2],
    /// The box around it: x1, y1, x2, y2 in pixels, also beyond the picture.
    pub bbox: [f32; 4],
    /// The share of that box that lies in the picture: 0..1.
    pub inside: f32,
    /// The share of that part that is not behind the box of a nearer object: 0..1. Trees and posts hide nothing here.
    pub visible: f32,
}

impl Scene {
    /// Everybody at a moment of scene time, at any moment: nothing is drawn. The farthest come first.
    pub fn outlines(&mut self, seconds: f64) -> Vec<Outline> {
        let mut actors = self.traffic.at(seconds, &self.street);
        actors.retain(|actor| self.view.depth([actor.at[0], actor.at[1], 0.8]) > 1.5);
        actors.sort_by(|a, b| self.view.depth([b.at[0], b.at[1], 0.0]).total_cmp(&self.view.depth([a.at[0], a.at[1], 0.0])));
        let mut outlines: Vec<Outline> = actors.iter().filter_map(|actor| self.outline(actor)).collect();
        for at in 0..outlines.len() {
            let (own, nearer) = (outlines[at].bbox, &outlines[at + 1..]);
            outlines[at].visible = self.visible(own, nearer);
        }
        outlines
    }

    /// Where a place on the ground falls in the picture, in pixels: metres across the street and along it.
    pub fn ground_to_picture(&self, metres: [f32; 2]) -> Option<[f32; 2]> {
        self.view.project([metres[0], metres[1], 0.0])
    }

    fn outline(&self, actor: &Actor) -> Option<Outline> {
        let height = match &actor.body {
            Body::Car { car, .. } => car.height(),
            Body::Bicycle { .. } => RIDER_M,
            Body::Walker { looks, .. } => looks.height_m,
        };
        let mut bbox = [f32::MAX, f32::MAX, f32::MIN, f32::MIN];
        for corner in 0..8 {
            let sign = |bit: usize| if corner >> bit & 1 == 0 { -1.0 } else { 1.0 };
            let z = if corner & 4 == 0 { 0.0 } else { height };
            let place = [actor.at[0] + sign(0) * actor.half[0], actor.at[1] + sign(1) * actor.half[1], z];
            let [x, y] = self.view.project(place)?;
            bbox = [bbox[0].min(x), bbox[1].min(y), bbox[2].max(x), bbox[3].max(y)];
        }
        let [x1, y1, x2, y2] = self.clip(bbox);
        let inside = (x2 - x1).max(0.0) * (y2 - y1).max(0.0) / ((bbox[2] - bbox[0]) * (bbox[3] - bbox[1]));
        (inside > 0.0).then_some(Outline { id: actor.id, class: actor.class, metres: actor.at, bbox, inside, visible: 1.0 })
    }

    fn clip(&self, [x1, y1, x2, y2]: [f32; 4]) -> [f32; 4] {
        let (w, h) = (self.config.width as f32, self.config.height as f32);
        [x1.clamp(0.0, w), y1.clamp(0.0, h), x2.clamp(0.0, w), y2.clamp(0.0, h)]
    }

    /// The share of a box's part in the picture that lies in none of these boxes, by points in it.
    fn visible(&self, bbox: [f32; 4], nearer: &[Outline]) -> f32 {
        const POINTS: usize = 8;
        let [x1, y1, x2, y2] = self.clip(bbox);
        let meets = |o: &&Outline| o.bbox[0] < x2 && o.bbox[2] > x1 && o.bbox[1] < y2 && o.bbox[3] > y1;
        let nearer: Vec<&Outline> = nearer.iter().filter(meets).collect();
        let at = |from: f32, to: f32, i: usize| from + (to - from) * (i as f32 + 0.5) / POINTS as f32;
        let free = (0..POINTS * POINTS).filter(|i| {
            let (x, y) = (at(x1, x2, i % POINTS), at(y1, y2, i / POINTS));
            !nearer.iter().any(|o| x > o.bbox[0] && x < o.bbox[2] && y > o.bbox[1] && y < o.bbox[3])
        });
        free.count() as f32 / (POINTS * POINTS) as f32
    }
}
