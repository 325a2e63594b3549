//! What subscribers read: the messages and their JSON, version [`SCHEMA`].
//!
//! Topics below `<base>/<device>/`, see [`super::topics`]. Boxes are `[x1, y1, x2, y2]`, once in pixels of the source frame (`box`) and
//! once as fractions of its width and height (`box_norm`). Times are RFC 3339 in UTC with microseconds. Identities are strings, since
//! JavaScript has no 64-bit integers. `seq` counts the messages of one kind (of one camera) from 0 since `boot_id`; a gap means that
//! messages were lost or dropped on the way. Fields may be added within a version; none changes its meaning.

mod board;
mod cbor;
mod compact;
mod engine;
mod frame;
mod health;
mod loss;
mod number;
mod presence;
mod rename;
mod reply;
mod track;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::Serialize;

use crate::control::CommandMessage;

pub use self::{
    board::Board,
    compact::{BadCompact, Basis, Compact, CompactModel, Detail},
    engine::Engine,
    frame::{FrameMessage, Model, Object, Objects},
    health::{Delivered, Disk, HealthMessage, Queue, StageTime},
    loss::{LossMessage, Lost, Reason},
    number::{Identity, Rounded},
    presence::{CameraStatus, DeviceStatus, Presence, PresenceReason},
    rename::RenameMessage,
    reply::ReplyMessage,
    track::{BestShot, TrackMessage, Waypoint},
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
    /// [`HealthMessage`]
    Health,
    /// [`LossMessage`]
    Loss,
    /// [`ReplyMessage`]
    Reply,
}

fn schema<T: JsonSchema>() -> Schema {
    SchemaGenerator::from(SchemaSettings::draft2020_12().for_serialize()).into_root_schema_for::<T>()
}

/// What is heard, not published.
fn command() -> Schema {
    SchemaGenerator::from(SchemaSettings::draft2020_12()).into_root_schema_for::<CommandMessage>()
}

/// The JSON Schemas (draft 2020-12) of all messages as they are published, by kind; and of commands, as they are heard.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("device_status", schema::<DeviceStatus<'_>>()),
        ("camera_status", schema::<CameraStatus<'_>>()),
        ("frame", schema::<FrameMessage<'_>>()),
        ("track", schema::<TrackMessage<'_>>()),
        ("rename", schema::<RenameMessage<'_>>()),
        ("event", schema::<EventMessage<'_>>()),
        ("count", schema::<CountMessage<'_>>()),
        ("summary", schema::<SummaryMessage<'_>>()),
        ("health", schema::<HealthMessage<'_>>()),
        ("loss", schema::<LossMessage<'_>>()),
        ("reply", schema::<ReplyMessage<'_>>()),
        ("command", command()),
    ]
}
