//! From what was seen in each tile to what is in the frame.

use egret_models::head::Oriented;

use super::Merging;
use crate::media::{BBox, Boxes, Detection, Extra, Extras, Turned};

/// A box that comes this near to a tile's border, as a share of the tile, is cut by it.
const AT_THE_BORDER: f32 = 0.01;
/// Share of a cut piece that a better box must cover to be the same object.
const COVERED: f32 = 0.5;
/// Overlap (IoU along the border) of two pieces of one object.
const ALIGNED: f32 = 0.5;

/// Sides in the order left, top, right, bottom.
const FACING: [usize; 4] = [2, 3, 0, 1];

/// A box as one tile shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    detection: Detection,
    /// Where what belongs to it is.
    number: usize,
    /// Which of its sides a tile's border has cut: left, top, right, bottom.
    cut: [bool; 4],
}

impl Piece {
    /// A box seen in a tile of a frame; `None`: in the whole frame, where nothing is cut.
    pub(super) fn new(detection: Detection, number: usize, tile: Option<BBox>, (width, height): (u32, u32)) -> Self {
        let Some(tile) = tile else { return Self { detection, number, cut: [false; 4] } };
        let (near_x, near_y) = (AT_THE_BORDER * tile.width(), AT_THE_BORDER * tile.height());
        let BBox { x1, y1, x2, y2 } = detection.bbox;
        let cut = [
            tile.x1 > 0.0 && x1 - tile.x1 <= near_x,
            tile.y1 > 0.0 && y1 - tile.y1 <= near_y,
            tile.x2 < width as f32 && tile.x2 - x2 <= near_x,
            tile.y2 < height as f32 && tile.y2 - y2 <= near_y,
        ];
        Self { detection, number, cut }
    }

    fn is_cut(&self) -> bool {
        self.cut.contains(&true)
    }

    fn bbox(&self) -> &BBox {
        &self.detection.bbox
    }

    /// Whether they are parts of one object on both sides of a border: one is cut where the other is cut on the facing side, they
    /// touch, and along the border they agree.
    fn continues(&self, other: &Self) -> bool {
        let (a, b) = (self.bbox(), other.bbox());
        let meets = |side: usize| self.cut[side] && other.cut[FACING[side]];
        let beside = (meets(0) && reach(b.x1, b.x2, a.x1, a.x2)) || (meets(2) && reach(a.x1, a.x2, b.x1, b.x2));
        let above = (meets(1) && reach(b.y1, b.y2, a.y1, a.y2)) || (meets(3) && reach(a.y1, a.y2, b.y1, b.y2));
        (beside && overlap([a.y1, a.y2], [b.y1, b.y2]) >= ALIGNED) || (above && overlap([a.x1, a.x2], [b.x1, b.x2]) >= ALIGNED)
    }

    /// Both as one. A side is cut still if the outermost part is cut there. Of key points each is taken from where it is surer; no
    /// tile has seen how the whole is turned, or what it covers.
    fn join(&mut self, other: &Self, extras: &mut Extras) {
        if let (Some(Extra::Keypoints(mut points)), Some(Extra::Keypoints(others))) =
            (extras.take(self.number), extras.take(other.number))
        {
            for (point, other) in points.iter_mut().zip(others).filter(|(point, other)| other[2] > point[2]) {
                *point = other;
            }
            extras.set(self.number, Extra::Keypoints(points));
        }
        let (a, b) = (*self.bbox(), *other.bbox());
        let outer = |a_is: bool, side: usize| if a_is { self.cut[side] } else { other.cut[side] };
        self.cut = [outer(a.x1 <= b.x1, 0), outer(a.y1 <= b.y1, 1), outer(a.x2 >= b.x2, 2), outer(a.y2 >= b.y2, 3)];
        let bbox = BBox::new(a.x1.min(b.x1), a.y1.min(b.y1), a.x2.max(b.x2), a.y2.max(b.y2));
        let confidence = self.detection.confidence.max(other.detection.confidence);
        self.detection = Detection { confidence, bbox, ..self.detection };
    }
}

/// Whether the first of two spans begins first and reaches the second.
fn reach(a1: f32, a2: f32, b1: f32, b2: f32) -> bool {
    a1 <= b1 && a2 >= b1 && b2 >= a2
}

/// IoU of two spans.
fn overlap(a: [f32; 2], b: [f32; 2]) -> f32 {
    let common = (a[1].min(b[1]) - a[0].max(b[0])).max(0.0);
    let all = a[1].max(b[1]) - a[0].min(b[0]);
    if all > 0.0 { common / all } else { 0.0 }
}

/// Share of a box that another covers.
fn covered(piece: &BBox, by: &BBox) -> f32 {
    let w = (piece.x2.min(by.x2) - piece.x1.max(by.x1)).max(0.0);
    let h = (piece.y2.min(by.y2) - piece.y1.max(by.y1)).max(0.0);
    if piece.area() > 0.0 { w * h / piece.area() } else { 0.0 }
}

/// How much two pieces overlap: of turned boxes as their own suppression measures it, since the upright boxes around two that lie
/// side by side may overlap wholly.
fn alike(a: &Piece, b: &Piece, extras: &Extras) -> f32 {
    match (extras.get(a.number), extras.get(b.number)) {
        (Some(Extra::Turned(first)), Some(Extra::Turned(second))) => oriented(first).prob_iou(&oriented(second)),
        _ => a.bbox().iou(b.bbox()),
    }
}

fn oriented(turned: &Turned) -> Oriented {
    let [a, b, c, d] = turned.corners;
    let length = |from: [f32; 2], to: [f32; 2]| (to[0] - from[0]).hypot(to[1] - from[1]);
    let centre = [a[0].midpoint(c[0]), a[1].midpoint(c[1])];
    Oriented { centre, size: [length(a, b), length(a, d)], angle: turned.angle }
}

/// The objects of a frame, highest confidence first. `extras` is what belongs to the pieces; it is used up.
pub(super) fn merge(pieces: &mut [Piece], extras: &mut Extras, merging: Merging) -> Boxes {
    let compete = |a: &Piece, b: &Piece| merging.class_agnostic || a.detection.class == b.detection.class;
    pieces.sort_by(|a, b| a.is_cut().cmp(&b.is_cut()).then(b.detection.confidence.total_cmp(&a.detection.confidence)));
    let mut kept: Vec<Piece> = Vec::with_capacity(pieces.len());
    // What is whole first: of two views of one object the surer stays.
    let whole = pieces.partition_point(|piece| !piece.is_cut());
    for piece in &pieces[..whole] {
        if !kept.iter().any(|better| compete(better, piece) && alike(better, piece, extras) > merging.iou) {
            kept.push(*piece);
        }
    }
    let mut cut: Vec<Piece> = Vec::new();
    for piece in &pieces[whole..] {
        if !kept.iter().any(|better| compete(better, piece) && covered(piece.bbox(), better.bbox()) >= COVERED) {
            cut.push(*piece);
        }
    }
    join_all(&mut cut, extras, compete);
    // The largest of what overlaps is the most complete.
    cut.sort_by(|a, b| b.bbox().area().total_cmp(&a.bbox().area()));
    for piece in cut {
        let same = |better: &Piece| compete(better, &piece) && covered(piece.bbox(), better.bbox()) >= COVERED;
        if !kept.iter().any(same) {
            kept.push(piece);
        }
    }
    kept.sort_by(|a, b| b.detection.confidence.total_cmp(&a.detection.confidence));
    kept.truncate(merging.detections);
    let mut boxes = Boxes::default();
    for (place, piece) in kept.into_iter().enumerate() {
        if let Some(extra) = extras.take(piece.number) {
            boxes.extras.set(place, extra);
        }
        boxes.detections.push(piece.detection);
    }
    boxes
}

/// Joins pieces until none continues another.
fn join_all(cut: &mut Vec<Piece>, extras: &mut Extras, compete: impl Fn(&Piece, &Piece) -> bool) {
    let mut i = 0;
    while i < cut.len() {
        let continued = (i + 1..cut.len()).find(|j| compete(&cut[i], &cut[*j]) && cut[i].continues(&cut[*j]));
        match continued {
            Some(j) => {
                let other = cut.swap_remove(j);
                cut[i].join(&other, extras);
                // What it has become may continue what came before.
                i = 0;
            }
            None => i += 1,
        }
    }
}
