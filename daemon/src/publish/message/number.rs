//! How numbers, identities and boxes are written.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::media::{BBox, TrackId};

/// A number written with at most so many decimals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounded<const DECIMALS: u32>(pub f32);

impl<const DECIMALS: u32> Serialize for Rounded<DECIMALS> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let scale = f64::from(10u32.pow(DECIMALS));
        let value = (f64::from(self.0) * scale).round() / scale;
        // A minus zero is a zero to everybody but JSON.
        serializer.serialize_f64(value + 0.0)
    }
}

impl<const DECIMALS: u32> JsonSchema for Rounded<DECIMALS> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "number".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number" })
    }
}

/// A track's identity: 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(pub TrackId);

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let text: [u8; 16] = std::array::from_fn(|i| DIGITS[(self.0.0 >> (60 - 4 * i)) as usize & 15]);
        serializer.serialize_str(str::from_utf8(&text).unwrap_or_default())
    }
}

impl JsonSchema for Identity {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Identity".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{16}$" })
    }
}

/// The name of a class; a number that the model has no name for stays anonymous.
pub(in crate::publish) fn class_name(classes: &[String], class: u16) -> &str {
    classes.get(usize::from(class)).map_or("unknown", String::as_str)
}

pub(in crate::publish) fn pixels(bbox: &BBox) -> [Rounded<2>; 4] {
    [Rounded(bbox.x1), Rounded(bbox.y1), Rounded(bbox.x2), Rounded(bbox.y2)]
}

pub(in crate::publish) fn normalised(bbox: &BBox, (width, height): (u32, u32)) -> [Rounded<5>; 4] {
    let (w, h) = (width.max(1) as f32, height.max(1) as f32);
    [Rounded(bbox.x1 / w), Rounded(bbox.y1 / h), Rounded(bbox.x2 / w), Rounded(bbox.y2 / h)]
}

/// The part of a tracker's box that lies within the frame: a motion model knows no edges.
pub(in crate::publish) fn within(bbox: &BBox, (width, height): (u32, u32)) -> BBox {
    let (w, h) = (width as f32, height as f32);
    BBox::new(bbox.x1.clamp(0.0, w), bbox.y1.clamp(0.0, h), bbox.x2.clamp(0.0, w), bbox.y2.clamp(0.0, h))
}
