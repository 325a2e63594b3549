//! Points, lines and polygons in the picture, with exact predicates.
//!
//! Places are fractions of the picture's width and height, rounded to a grid of 2⁻²⁴ of it: far below a pixel, and coarse enough that
//! every orientation test is exact in 64-bit integers. So a point is on one side of a line or on it, on every machine alike.

/// Grid steps of a picture's side.
const GRID: f64 = 16_777_216.0;
/// Nothing is farther out than so many pictures: keeps products within 64 bits.
const FARTHEST: f64 = 15.0;
/// Most corners of a polygon, and most points of a line.
pub const MAX_POINTS: usize = 100;
/// Smallest area of a polygon, as a share of the picture: about one pixel of 640×360.
const LEAST_AREA: f64 = 4e-6;

/// A place in the picture: x to the right, y down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Point {
    x: i64,
    y: i64,
}

impl Point {
    /// From fractions of the picture's width and height. What is no number counts as 0, what is far outside is moved nearer.
    pub fn new(x: f64, y: f64) -> Self {
        let grid = |v: f64| if v.is_nan() { 0 } else { (v.clamp(-FARTHEST, FARTHEST) * GRID).round() as i64 };
        Self { x: grid(x), y: grid(y) }
    }

    /// Fraction of the width.
    pub fn x(self) -> f64 {
        self.x as f64 / GRID
    }

    /// Fraction of the height.
    pub fn y(self) -> f64 {
        self.y as f64 / GRID
    }
}

/// Twice the signed area of the triangle: above 0 where `c` lies to the right hand of somebody who walks from `a` to `b`, y pointing down.
fn orient(a: Point, b: Point, c: Point) -> i64 {
    (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x)
}

/// Whether `p`, which is in line with `a` and `b`, lies between them.
fn between(a: Point, b: Point, p: Point) -> bool {
    (a.x.min(b.x)..=a.x.max(b.x)).contains(&p.x) && (a.y.min(b.y)..=a.y.max(b.y)).contains(&p.y)
}

/// Whether two segments have a point in common.
fn touch(a: Point, b: Point, c: Point, d: Point) -> bool {
    let (c_side, d_side) = (orient(a, b, c).signum(), orient(a, b, d).signum());
    let (a_side, b_side) = (orient(c, d, a).signum(), orient(c, d, b).signum());
    if c_side * d_side < 0 && a_side * b_side < 0 {
        return true;
    }
    (c_side == 0 && between(a, b, c))
        || (d_side == 0 && between(a, b, d))
        || (a_side == 0 && between(c, d, a))
        || (b_side == 0 && between(c, d, b))
}

/// A box in the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rect {
    low: Point,
    high: Point,
}

impl Rect {
    /// From the left upper and the right lower corner, in either order.
    pub fn new(a: Point, b: Point) -> Self {
        Self { low: Point { x: a.x.min(b.x), y: a.y.min(b.y) }, high: Point { x: a.x.max(b.x), y: a.y.max(b.y) } }
    }

    /// The middle of its lower edge.
    pub fn foot(&self) -> Point {
        Point { x: i64::midpoint(self.low.x, self.high.x), y: self.high.y }
    }

    /// Its centre.
    pub fn centre(&self) -> Point {
        Point { x: i64::midpoint(self.low.x, self.high.x), y: i64::midpoint(self.low.y, self.high.y) }
    }

    /// Share of the picture's height.
    pub fn height(&self) -> f64 {
        (self.high.y - self.low.y) as f64 / GRID
    }

    /// The left and the right end of its lower edge.
    pub fn feet(&self) -> [Point; 2] {
        [Point { x: self.low.x, y: self.high.y }, self.high]
    }

    fn corners(&self) -> [Point; 4] {
        let Self { low, high } = *self;
        [low, Point { x: high.x, y: low.y }, high, Point { x: low.x, y: high.y }]
    }

    fn contains(&self, p: Point) -> bool {
        (self.low.x..=self.high.x).contains(&p.x) && (self.low.y..=self.high.y).contains(&p.y)
    }

    /// Whether a segment has a point in common with it.
    fn meets(&self, a: Point, b: Point) -> bool {
        let corners = self.corners();
        self.contains(a) || self.contains(b) || (0..4).any(|i| touch(corners[i], corners[(i + 1) % 4], a, b))
    }

    /// Whether a segment has a point within it, its edges excluded.
    fn is_entered_by(&self, a: Point, b: Point) -> bool {
        // A segment enters a box unless it lies altogether beyond one of its edges, or all corners lie to one side of it.
        let Self { low, high } = *self;
        let beyond = a.x.max(b.x) <= low.x || a.x.min(b.x) >= high.x || a.y.max(b.y) <= low.y || a.y.min(b.y) >= high.y;
        let sides = self.corners().map(|corner| orient(a, b, corner).signum());
        !beyond && !sides.iter().all(|side| *side >= 0) && !sides.iter().all(|side| *side <= 0)
    }
}

/// Why points are no polygon or no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Too few different points.
    #[error("it has {have} different points and needs {need}")]
    TooFew {
        /// Different neighbouring points.
        have: usize,
        /// Needed.
        need: usize,
    },
    /// Too many points.
    #[error("it has more than {MAX_POINTS} points")]
    TooMany,
    /// Two edges of a polygon meet.
    #[error("its edges cross or touch: the one from point {0} and the one from point {1}")]
    Crosses(usize, usize),
    /// Next to no area.
    #[error("it encloses next to nothing")]
    Flat,
}

/// A connected line of straight pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    points: Vec<Point>,
}

/// What [`Line::crossings`] counts in one crossing.
pub const CROSSING: i32 = 4;

impl Line {
    /// A line through at least two different points.
    ///
    /// # Errors
    /// [`ShapeError::TooFew`], [`ShapeError::TooMany`].
    pub fn new(mut points: Vec<Point>) -> Result<Self, ShapeError> {
        points.dedup();
        match points.len() {
            have @ 0..2 => Err(ShapeError::TooFew { have, need: 2 }),
            2..=MAX_POINTS => Ok(Self { points }),
            _ => Err(ShapeError::TooMany),
        }
    }

    /// Its points, in order.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// How often the straight way from one place to another crosses it, in quarters ([`CROSSING`]): from the left hand to the right
    /// counted up, back counted down, as seen by somebody who walks along the line. A way that ends on the line has crossed it by
    /// half, and so has one that leaves it; so a way may be cut into any pieces and the sum remains.
    pub fn crossings(&self, from: Point, to: Point) -> i32 {
        let of_piece = |piece: &[Point]| {
            let (a, b) = (piece[0], piece[1]);
            let side = |p| orient(a, b, p).signum();
            let across = |p| orient(from, to, p).signum();
            (side(to) - side(from)) * (across(a) - across(b)).abs()
        };
        self.points.windows(2).map(of_piece).sum::<i64>() as i32
    }

    /// Distance of a place from it in picture heights; `aspect` is the picture's width divided by its height.
    pub fn distance(&self, p: Point, aspect: f64) -> f64 {
        self.nearest(p, aspect).0
    }

    /// Towards its right hand where it is nearest to a place, in picture heights, one long.
    pub fn normal(&self, p: Point, aspect: f64) -> [f64; 2] {
        self.nearest(p, aspect).1
    }

    /// How far the nearest piece is, and its normal.
    fn nearest(&self, p: Point, aspect: f64) -> (f64, [f64; 2]) {
        let flat = |p: Point| [p.x() * aspect, p.y()];
        let p = flat(p);
        let of_piece = |piece: &[Point]| {
            let (a, b) = (flat(piece[0]), flat(piece[1]));
            let along = [b[0] - a[0], b[1] - a[1]];
            let square = along[0] * along[0] + along[1] * along[1];
            let at = (((p[0] - a[0]) * along[0] + (p[1] - a[1]) * along[1]) / square.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
            let length = square.sqrt().max(f64::MIN_POSITIVE);
            let distance = (p[0] - a[0] - at * along[0]).hypot(p[1] - a[1] - at * along[1]);
            (distance, [-along[1] / length, along[0] / length])
        };
        let pieces = self.points.windows(2).map(of_piece);
        pieces.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((f64::INFINITY, [0.0, 0.0]))
    }

    /// Whether a box touches it.
    pub fn meets(&self, rect: &Rect) -> bool {
        self.points.windows(2).any(|piece| rect.meets(piece[0], piece[1]))
    }
}

/// A simple polygon: its edges meet at its corners only. Its border belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polygon {
    points: Vec<Point>,
}

impl Polygon {
    /// A polygon through these corners, clockwise or not; the first may be repeated at the end.
    ///
    /// # Errors
    /// [`ShapeError`].
    pub fn new(mut points: Vec<Point>) -> Result<Self, ShapeError> {
        points.dedup();
        if points.len() > 1 && points.first() == points.last() {
            points.pop();
        }
        match points.len() {
            have @ 0..3 => return Err(ShapeError::TooFew { have, need: 3 }),
            3..=MAX_POINTS => {}
            _ => return Err(ShapeError::TooMany),
        }
        let polygon = Self { points };
        // A polygon folded flat touches itself too, but this says better what is wrong with it.
        if polygon.area() < LEAST_AREA && polygon.is_in_line() {
            return Err(ShapeError::Flat);
        }
        if let Some((i, j)) = polygon.self_contact() {
            return Err(ShapeError::Crosses(i + 1, j + 1));
        }
        if polygon.area() < LEAST_AREA { Err(ShapeError::Flat) } else { Ok(polygon) }
    }

    /// Its corners, in order.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    fn edges(&self) -> impl Iterator<Item = (Point, Point)> {
        self.points.iter().zip(self.points.iter().cycle().skip(1)).map(|(a, b)| (*a, *b))
    }

    /// Share of the picture that it covers.
    pub fn area(&self) -> f64 {
        let twice: i64 = self.edges().map(|(a, b)| orient(Point::default(), a, b)).sum();
        (twice as f64 / 2.0).abs() / (GRID * GRID)
    }

    fn is_in_line(&self) -> bool {
        self.points.iter().all(|p| orient(self.points[0], self.points[1], *p) == 0)
    }

    /// Two edges that have a point in common which is no corner between them.
    fn self_contact(&self) -> Option<(usize, usize)> {
        let n = self.points.len();
        let at = |i: usize| self.points[i % n];
        for i in 0..n {
            // Neighbours share a corner; they may not double back on each other.
            let (a, b, c) = (at(i), at(i + 1), at(i + 2));
            if orient(a, b, c) == 0 && (between(a, b, c) || between(b, c, a)) {
                return Some((i, (i + 1) % n));
            }
            for j in i + 2..n {
                if !(i == 0 && j == n - 1) && touch(a, b, at(j), at(j + 1)) {
                    return Some((i, j));
                }
            }
        }
        None
    }

    /// Whether a place lies in it or on its border.
    pub fn contains(&self, p: Point) -> bool {
        let mut inside = false;
        for (a, b) in self.edges() {
            let side = orient(a, b, p);
            if side == 0 && between(a, b, p) {
                return true;
            }
            if (a.y > p.y) != (b.y > p.y) && (side > 0) == (b.y > a.y) {
                inside = !inside;
            }
        }
        inside
    }

    /// Whether a box has a point in common with it.
    pub fn meets(&self, rect: &Rect) -> bool {
        self.contains(rect.low) || self.edges().any(|(a, b)| rect.meets(a, b))
    }

    /// Whether another polygon lies in it altogether.
    pub fn surrounds(&self, other: &Self) -> bool {
        let cross = |a: Point, b: Point, c: Point, d: Point| {
            orient(a, b, c).signum() * orient(a, b, d).signum() < 0 && orient(c, d, a).signum() * orient(c, d, b).signum() < 0
        };
        other.points.iter().all(|p| self.contains(*p))
            && !self.edges().any(|(a, b)| other.edges().any(|(c, d)| cross(a, b, c, d)))
    }

    /// Whether a box lies in it altogether.
    pub fn covers(&self, rect: &Rect) -> bool {
        rect.corners().iter().all(|corner| self.contains(*corner)) && !self.edges().any(|(a, b)| rect.is_entered_by(a, b))
    }
}

#[cfg(test)]
mod tests;
