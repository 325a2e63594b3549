//! The payload of `<prefix>/events`.

use std::collections::BTreeMap;

use serde::Serialize;

/// One message: what was told last, and what is so now.
#[derive(Serialize)]
pub(super) struct Message {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) before: Body,
    pub(super) after: Body,
}

/// A tracked object. Boxes are `[x1, y1, x2, y2]` in pixels, times seconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "these are the original's fields")]
pub(super) struct Body {
    pub(super) id: String,
    pub(super) camera: String,
    pub(super) frame_time: f64,
    pub(super) snapshot: Option<Snapshot>,
    pub(super) label: String,
    pub(super) sub_label: Option<(String, f64)>,
    pub(super) top_score: f64,
    pub(super) false_positive: bool,
    pub(super) start_time: f64,
    pub(super) end_time: Option<f64>,
    pub(super) score: f64,
    #[serde(rename = "box")]
    pub(super) bbox: [i64; 4],
    pub(super) area: i64,
    /// Width divided by height.
    pub(super) ratio: f64,
    /// Where the network looked: the whole frame.
    pub(super) region: [i64; 4],
    pub(super) active: bool,
    pub(super) stationary: bool,
    pub(super) motionless_count: u64,
    pub(super) position_changes: u64,
    pub(super) current_zones: Vec<String>,
    pub(super) entered_zones: Vec<String>,
    pub(super) has_clip: bool,
    pub(super) has_snapshot: bool,
    pub(super) attributes: BTreeMap<String, f64>,
    pub(super) current_attributes: [(); 0],
    pub(super) pending_loitering: bool,
    pub(super) max_severity: Option<&'static str>,
    pub(super) current_estimated_speed: u8,
    pub(super) average_estimated_speed: u8,
    pub(super) velocity_angle: u8,
    pub(super) path_data: [(); 0],
    pub(super) thumbnail: Option<String>,
    pub(super) recognized_license_plate: Option<String>,
    pub(super) recognized_license_plate_score: Option<f64>,
}

/// The moment in which an object was seen best.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Snapshot {
    pub(super) frame_time: f64,
    #[serde(rename = "box")]
    pub(super) bbox: [i64; 4],
    pub(super) area: i64,
    pub(super) region: [i64; 4],
    pub(super) score: f64,
    pub(super) attributes: [(); 0],
}
