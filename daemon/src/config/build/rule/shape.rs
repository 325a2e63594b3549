//! Points in the picture: zones, lines, arrows and the ground.

use super::Check;
use crate::{
    analyse::{
        Ground, GroundConfig, Zone,
        geometry::{Line, Point, Polygon, ShapeError},
    },
    config::{
        keys::{Camera, Rule},
        ledger::Ledger,
    },
};

/// Largest picture, a side in pixels.
const LARGEST: u32 = 32_768;

/// What points are measured in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::config::build) enum Canvas {
    /// Fractions of the picture's width and height.
    Fractions,
    /// Pixels of a picture of this size.
    Pixels(u32, u32),
}

impl Canvas {
    /// `1920x1080`; `None`: that is no size.
    pub(in crate::config::build) fn parse(text: &str) -> Option<Self> {
        let (width, height) = text.split_once(['x', 'X', '×'])?;
        let side = |text: &str| text.trim().parse().ok().filter(|side| (1..=LARGEST).contains(side));
        Some(Self::Pixels(side(width)?, side(height)?))
    }

    /// The place of a point; `None`: it is not in the picture.
    fn point(self, [x, y]: [f64; 2]) -> Option<Point> {
        let (w, h) = match self {
            Self::Fractions => (1.0, 1.0),
            Self::Pixels(width, height) => (f64::from(width), f64::from(height)),
        };
        ((0.0..=w).contains(&x) && (0.0..=h).contains(&y)).then(|| Point::new(x / w, y / h))
    }

    /// The places of points, or what is wrong with one of them.
    fn points(self, points: &[[f64; 2]]) -> Result<Vec<Point>, (String, String)> {
        points.iter().enumerate().map(|(at, point)| self.point(*point).ok_or_else(|| self.outside(at, *point))).collect()
    }

    fn outside(self, at: usize, [x, y]: [f64; 2]) -> (String, String) {
        let reason = format!("point {} [{x}, {y}] lies outside the picture", at + 1);
        let remedy = match self {
            Self::Fractions => {
                "write fractions of its width and height, 0 to 1; or picture_size = \"1920x1080\" in [[camera]] if these are pixels"
                    .to_owned()
            }
            Self::Pixels(width, height) => format!("write pixels from 0 to {width} and from 0 to {height}"),
        };
        (reason, remedy)
    }
}

/// What to do about a shape that is none.
fn remedy(error: ShapeError) -> &'static str {
    match error {
        ShapeError::TooFew { need: 2, .. } => "write at least two different points: a line of no length is crossed by nobody",
        ShapeError::TooFew { .. } => "write at least three different corners",
        ShapeError::TooMany => "write fewer; nobody sees the difference",
        ShapeError::Crosses(..) => "write its corners in their order around it",
        ShapeError::Flat => "make it larger, at least a pixel or so; if these are pixels, set picture_size in [[camera]]",
    }
}

/// The camera's ground plane.
pub(in crate::config::build) fn ground(
    camera: &Camera,
    canvas: Canvas,
    path: impl Fn(&str) -> String,
    ledger: &mut Ledger,
) -> Option<GroundConfig> {
    let (Some(picture), Some(metres)) = (&camera.ground, &camera.ground_metres) else {
        for (key, other, is_set) in
            [("ground", "ground_metres", camera.ground.is_some()), ("ground_metres", "ground", camera.ground_metres.is_some())]
        {
            if is_set && !ledger.is_set(&path(other)) {
                ledger.problem(&path(key), format!("{other} is missing"), "write both, four points each, in the same order");
            }
        }
        return None;
    };
    let mut four = |key: &str, points: &[[f64; 2]]| -> Option<[[f64; 2]; 4]> {
        let four = points.try_into().ok();
        if four.is_none() {
            ledger.problem(&path(key), format!("it has {} points", points.len()), "write four, in order around");
        }
        four
    };
    let (picture, metres) = (four("ground", picture)?, four("ground_metres", metres)?);
    let places = match canvas.points(&picture) {
        Ok(places) => places,
        Err((reason, remedy)) => {
            ledger.problem(&path("ground"), reason, remedy);
            return None;
        }
    };
    let config = GroundConfig { picture: places.try_into().ok()?, metres };
    if let Err(error) = Ground::new(&config) {
        let remedy =
            "write the corners of a rectangle on the ground in their order around it, and where they are in metres in that order";
        ledger.problem(&path("ground"), error.to_string(), remedy);
        return None;
    }
    Some(config)
}

impl Check<'_> {
    fn polygons(&mut self, key: &str, shapes: Option<&[Vec<[f64; 2]>]>) -> Option<Vec<Polygon>> {
        let shapes = shapes.unwrap_or_default();
        let (mut polygons, mut sound) = (Vec::with_capacity(shapes.len()), true);
        for (at, shape) in shapes.iter().enumerate() {
            let polygon = self
                .around
                .canvas
                .points(shape)
                .and_then(|points| Polygon::new(points).map_err(|error| (error.to_string(), remedy(error).to_owned())));
            match polygon {
                Ok(polygon) => polygons.push(polygon),
                Err((reason, remedy)) => {
                    let reason = if shapes.len() > 1 { format!("polygon {}: {reason}", at + 1) } else { reason };
                    self.problem(key, reason, remedy);
                    sound = false;
                }
            }
        }
        sound.then_some(polygons)
    }

    /// Where a rule watches.
    pub(super) fn zone(&mut self, rule: &Rule) -> Option<Zone> {
        let include = self.polygons("zone", rule.zone.as_deref());
        let exclude = self.polygons("exclude", rule.exclude.as_deref());
        let zone = Zone { include: include?, exclude: exclude? };
        let hidden = |polygon: &Polygon| zone.exclude.iter().any(|hole| hole.surrounds(polygon));
        if !zone.include.is_empty() && zone.include.iter().all(hidden) {
            self.problem("exclude", "it leaves nothing of the zone", "make it smaller, or the zone larger");
        }
        Some(zone)
    }

    /// The line that objects cross.
    pub(super) fn line(&mut self, rule: &Rule) -> Option<Line> {
        let Some(points) = &rule.line else {
            self.missing("line", "nothing says where the line is", "write line = [[0.1, 0.5], [0.9, 0.5]]");
            return None;
        };
        let line = self
            .around
            .canvas
            .points(points)
            .and_then(|points| Line::new(points).map_err(|error| (error.to_string(), remedy(error).to_owned())));
        line.map_err(|(reason, remedy)| self.problem("line", reason, remedy)).ok()
    }

    /// An arrow: where it begins and where it points.
    pub(super) fn arrow(&mut self, rule: &Rule) -> Option<[Point; 2]> {
        let Some(points) = &rule.arrow else {
            self.missing("arrow", "nothing says which direction", "write arrow = [[0.2, 0.5], [0.8, 0.5]]");
            return None;
        };
        match self.around.canvas.points(points) {
            Err((reason, remedy)) => self.problem("arrow", reason, remedy),
            Ok(points) => match points[..] {
                [from, to] if from != to => return Some([from, to]),
                [_, _] => self.problem("arrow", "it has no length", "write two different points"),
                _ => {
                    self.problem("arrow", format!("it has {} points", points.len()), "write where it begins and where it points");
                }
            },
        }
        None
    }
}
