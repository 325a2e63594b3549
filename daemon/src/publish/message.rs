//! What subscribers read: the messages and their JSON, version [`SCHEMA`].
//!
//! Topics below `<base>/<device>/`, see [`super::topics`]. Boxes are `[x1, y1, x2, y2]`, once in pixels of the source frame (`box`) and
//! once as fractions of its width and height (`box_norm`). Times are RFC 3339 in UTC with microseconds. Identities are strings, since
//! JavaScript has no 64-bit integers. `seq` counts the messages of one kind (of one camera) from 0 since `boot_id`; a gap means that
//! messages were lost or dropped on the way. Fields may be added within a version; none changes its meaning.

mod frame;
mod number;
mod presence;
mod rename;
mod track;

use schemars::JsonSchema;
use serde::Serialize;

pub use self::{
    frame::{FrameMessage, Model, Object, Objects},
    number::{Identity, Rounded},
    presence::{CameraStatus, DeviceStatus, Presence, PresenceReason},
    rename::RenameMessage,
    track::TrackMessage,
};
pub(super) use self::{
    number::{class_name, normalised, pixels, within},
    track::is_told,
};
pub use super::stamp::Stamp;
pub use super::verdict::{CountMessage, EventMessage, SummaryMessage};

/// The value of `schema` in every message.
pub const SCHEMA: &str = "egret/v1";

/// What a message is, as `kind` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// [`DeviceStatus`]
    DeviceStatus,
    /// [`CameraStatus`]
    CameraStatus,
    /// [`FrameMessage`]
    Frame,
    /// [`TrackMessage`]
    Track,
    /// [`RenameMessage`]
    Rename,
    /// [`EventMessage`]
    Event,
    /// [`CountMessage`]
    Count,
    /// [`SummaryMessage`]
    Summary,
}

/// The JSON Schemas of all messages, by kind.
pub fn schemas() -> [(&'static str, schemars::Schema); 8] {
    [
        ("device_status", schemars::schema_for!(DeviceStatus<'_>)),
        ("camera_status", schemars::schema_for!(CameraStatus<'_>)),
        ("frame", schemars::schema_for!(FrameMessage<'_>)),
        ("track", schemars::schema_for!(TrackMessage<'_>)),
        ("rename", schemars::schema_for!(RenameMessage<'_>)),
        ("event", schemars::schema_for!(EventMessage<'_>)),
        ("count", schemars::schema_for!(CountMessage<'_>)),
        ("summary", schemars::schema_for!(SummaryMessage<'_>)),
    ]
}
