//! What of an object is looked at, and where it has to be.

use super::{
    geometry::{Point, Polygon},
    sight::Sight,
};

/// What of an object's box decides where the object is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anchor {
    /// The middle of its lower edge: where it stands.
    #[default]
    Foot,
    /// Its centre.
    Centre,
    /// Any part of it.
    Overlap,
}

/// Some polygons without some others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Zone {
    /// It is in at least one of these; empty: the whole picture.
    pub include: Vec<Polygon>,
    /// And in none of these.
    pub exclude: Vec<Polygon>,
}

impl Zone {
    /// Whether a place lies in it.
    pub fn contains(&self, p: Point) -> bool {
        (self.include.is_empty() || self.include.iter().any(|polygon| polygon.contains(p)))
            && !self.exclude.iter().any(|polygon| polygon.contains(p))
    }

    /// Whether an object is in it. By its box: any part of the box lies in an included polygon, and the box does not lie in an excluded one
    /// altogether.
    pub fn holds(&self, anchor: Anchor, sight: &Sight) -> bool {
        match anchor {
            Anchor::Foot => self.contains(sight.foot),
            Anchor::Centre => self.contains(sight.centre),
            Anchor::Overlap => {
                (self.include.is_empty() || self.include.iter().any(|polygon| polygon.meets(&sight.rect)))
                    && !self.exclude.iter().any(|polygon| polygon.covers(&sight.rect))
            }
        }
    }
}
