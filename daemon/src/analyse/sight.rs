//! What the rules of a camera see of one frame.

use std::time::Duration;

use super::{
    geometry::{Point, Rect},
    ground::Ground,
};
use crate::media::{BBox, Track, TrackId};

/// One object in one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sight {
    /// Its track.
    pub track: TrackId,
    /// Index into the model's class names.
    pub class: u16,
    /// 0..1.
    pub confidence: f32,
    /// In pixels of the source frame.
    pub bbox: BBox,
    /// The same in the picture.
    pub rect: Rect,
    /// What the detector saw of it in this frame, without the delay of the tracker's smoother box; of what stands, that box.
    pub seen: Rect,
    /// The middle of its lower edge.
    pub foot: Point,
    /// Its centre.
    pub centre: Point,
    /// Share of the picture's height.
    pub height: f64,
    /// Share of the picture's width.
    pub width: f64,
    /// Where it stands on the plane on which motion is measured: metres where the camera has a ground plane, else picture heights.
    /// `None`: above the horizon.
    pub plane: Option<[f64; 2]>,
    /// Its height in the unit of `plane` where that is picture heights, else 1: what distances are measured in.
    pub scale: f64,
}

impl Sight {
    /// `None` for what is no box. `seen`: the track's detection in this frame.
    pub(super) fn of(track: &Track, seen: Option<&BBox>, size: (u32, u32), ground: Option<&Ground>) -> Option<Self> {
        let (w, h) = (f64::from(size.0.max(1)), f64::from(size.1.max(1)));
        let [x1, y1, x2, y2] = shares(&track.bbox, (w, h))?;
        let seen = seen.filter(|_| !track.stationary).and_then(|bbox| shares(bbox, (w, h))).unwrap_or([x1, y1, x2, y2]);
        let (middle, height) = (f64::midpoint(x1, x2), y2 - y1);
        let foot = Point::new(middle, y2);
        let (plane, scale) = match ground {
            Some(ground) => (ground.metres(foot), 1.0),
            None => (Some([middle * w / h, y2]), height),
        };
        Some(Self {
            track: track.id,
            class: track.class,
            confidence: track.confidence,
            bbox: track.bbox,
            rect: Rect::new(Point::new(x1, y1), Point::new(x2, y2)),
            seen: Rect::new(Point::new(seen[0], seen[1]), Point::new(seen[2], seen[3])),
            foot,
            centre: Point::new(middle, f64::midpoint(y1, y2)),
            height,
            width: x2 - x1,
            plane,
            scale,
        })
    }
}

/// A box in fractions of the picture; `None`: it is none.
fn shares(bbox: &BBox, (w, h): (f64, f64)) -> Option<[f64; 4]> {
    let BBox { x1, y1, x2, y2 } = *bbox;
    let shares = [f64::from(x1) / w, f64::from(y1) / h, f64::from(x2) / w, f64::from(y2) / h];
    (x2 > x1 && y2 > y1 && shares.iter().all(|v| v.is_finite())).then_some(shares)
}

/// One frame as a rule sees it: the objects that the rule is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    /// Time since the camera's first frame; never goes back.
    pub now: Duration,
    /// Time since the frame before; 0 after a gap.
    pub watched: Duration,
    /// The camera was not watched for a while before this frame.
    pub gap: bool,
    /// What it sees, at most one of each track.
    pub sights: &'a [Sight],
    /// Tracks that ended in this frame.
    pub ended: &'a [TrackId],
    /// The picture's width divided by its height, in pixels.
    pub aspect: f64,
    /// The ground plane, if the camera has one.
    pub ground: Option<&'a Ground>,
}
