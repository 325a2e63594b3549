//! How what belongs to an object beside its box is written: its angle, its key points, the pixels that it covers.
//!
//! Sizes are bounded: a frame has at most 1000 objects, and [`MAX_PARTS`](crate::media::MAX_PARTS) key points and run lengths in all,
//! of those objects that the network is surest of. That is half a megabyte of JSON beside the boxes.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::message::{Rounded, pixels};
use crate::media::{Extra, ObjectMask};

/// What belongs to an object. At most one of angle, key points and mask is there, by what the network tells.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape<'a> {
    pub(super) angle: Option<Rounded<5>>,
    pub(super) corners: Option<[[Rounded<2>; 2]; 4]>,
    pub(super) keypoints: Option<Keypoints<'a>>,
    pub(super) mask: Option<Covered<'a>>,
}

impl<'a> Shape<'a> {
    /// `whole`: in a message that may be large.
    pub(super) fn of(extra: Option<&'a Extra>, whole: bool) -> Self {
        match extra {
            None => Self::default(),
            Some(Extra::Turned(turned)) => Self {
                angle: Some(Rounded(turned.angle)),
                corners: Some(turned.corners.map(|corner| corner.map(Rounded))),
                ..Self::default()
            },
            Some(Extra::Keypoints(points)) => Self { keypoints: Some(Keypoints(points)), ..Self::default() },
            Some(Extra::Mask(mask)) => Self { mask: whole.then(|| Covered::from(mask)), ..Self::default() },
        }
    }
}

/// Key points in the network's order: `[x, y, score]`, x and y in pixels of the source frame (they may lie outside it), the score 0..1
/// says how sure the network is that the point is to be seen.
#[derive(Clone, Copy, Debug)]
pub struct Keypoints<'a>(pub &'a [[f32; 3]]);

impl Serialize for Keypoints<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|[x, y, score]| (Rounded::<2>(*x), Rounded::<2>(*y), Rounded::<4>(*score))))
    }
}

impl JsonSchema for Keypoints<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Keypoints".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "items": { "type": "array", "items": { "type": "number" }, "minItems": 3, "maxItems": 3 }
        })
    }
}

/// The pixels that an object covers, as a grid over a part of the frame. The grid's cells are the pixels of the network's input, so
/// they may be smaller or larger than those of the frame.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Covered<'a> {
    /// What the grid is laid over, in pixels of the source frame.
    #[serde(rename = "box")]
    pub bbox: [Rounded<2>; 4],
    /// Its columns and rows.
    pub size: [u32; 2],
    /// Row by row from the top left, over the ends of rows: how many cells are not covered (perhaps 0), how many then are, and so on.
    /// Empty where there are more than 4096 runs.
    pub runs: &'a [u32],
}

impl<'a> From<&'a ObjectMask> for Covered<'a> {
    fn from(mask: &'a ObjectMask) -> Self {
        Self { bbox: pixels(&mask.bbox), size: mask.size, runs: &mask.runs }
    }
}
