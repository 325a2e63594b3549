//! What is answered to a command.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Kind, Stamp};
use crate::control::{Changed, Condition, Refusal, Status};

/// The answer to a command, on its response topic (MQTT 5) or `cmd/<verb>/reply`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ReplyMessage<'a> {
    /// [`super::SCHEMA`]
    pub schema: &'a str,
    /// [`Kind::Reply`]
    pub kind: Kind,
    /// Name of the device.
    pub device: &'a str,
    /// One run of the daemon.
    pub boot_id: &'a str,
    /// Counts these messages. A command that came again is answered with the same one.
    pub seq: u64,
    /// What was commanded.
    pub verb: &'a str,
    /// The `id` that the command had.
    pub id: Option<&'a str>,
    /// Whether it was carried out.
    pub ok: bool,
    /// Why not.
    pub error: Option<&'a Refusal>,
    /// What is other than before.
    pub changed: &'a [Changed],
    /// Whether what was changed is still so after a restart of the daemon; `null`: nothing is changed by this verb, or it was refused.
    pub outlives_restart: Option<bool>,
    /// Keys that the files have changed and that only a restart takes over.
    pub needs_restart: &'a [String],
    /// `status`: what runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'a Status>,
    /// `health`: how the daemon is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<&'a Condition>,
    /// When this was written.
    pub published_at: Stamp,
}
