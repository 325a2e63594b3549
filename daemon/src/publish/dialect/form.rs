//! Forms that several dialects have in common.

use std::{
    borrow::Cow,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use serde::Serialize;

/// A name as one level of a topic: nothing in it divides levels (`/`), stands for others (`+`, `#`), or is no character to print.
pub(super) fn level(name: &str) -> Cow<'_, str> {
    let bad = |c: char| matches!(c, '/' | '+' | '#') || c.is_control();
    if name.is_empty() {
        "_".into()
    } else if name.contains(bad) {
        name.chars().map(|c| if bad(c) { '_' } else { c }).collect::<String>().into()
    } else {
        name.into()
    }
}

/// Seconds since 1970, with microseconds.
pub(super) fn unix_seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as f64 / 1e6
}

/// A message as JSON. Nothing in our messages fails to serialize: no keys but texts, no failing parts.
pub(super) fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).map_or_else(
        |error| {
            tracing::error!(%error, "a message of a dialect could not be written");
            Bytes::new()
        },
        Bytes::from,
    )
}

/// A number rounded to so many decimals; a minus zero is a zero.
pub(super) fn rounded(value: f32, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    let value = (f64::from(value) * scale).round() / scale + 0.0;
    if value.is_finite() { value } else { 0.0 }
}

/// What a class is, as cameras with analytics of their own call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broad {
    Human,
    Face,
    Animal,
    Vehicle,
    LicensePlate,
    Bag,
}

/// What a class of COCO or of a common detector is; `None`: something else.
pub(super) fn broad(class: &str) -> Option<Broad> {
    match class {
        "person" | "human" | "pedestrian" => Some(Broad::Human),
        "face" | "head" => Some(Broad::Face),
        "bird" | "cat" | "dog" | "horse" | "sheep" | "cow" | "elephant" | "bear" | "zebra" | "giraffe" | "animal" | "deer" => {
            Some(Broad::Animal)
        }
        "bicycle" | "bike" | "car" | "motorcycle" | "motorbike" | "airplane" | "bus" | "train" | "truck" | "boat" | "vehicle"
        | "van" => Some(Broad::Vehicle),
        "license_plate" | "license plate" | "licence plate" | "plate" => Some(Broad::LicensePlate),
        "backpack" | "handbag" | "suitcase" | "bag" => Some(Broad::Bag),
        _ => None,
    }
}
