//! What is answered: what was done, or why not and what to do about it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    config::{Difference, Problem},
    publish::message::Stamp,
    status::CameraState,
};

/// What became of a command.
pub type Answer = Result<Done, Refusal>;

/// Something was done.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// What is other than before.
    pub changed: Vec<Changed>,
    /// Keys of the files that only a restart takes over.
    pub needs_restart: Vec<String>,
    /// `status`
    pub status: Option<Status>,
    /// `health`
    pub health: Option<Condition>,
}

/// What is other than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Changed {
    /// Path of the table or key: `camera.door`, `log.filter`.
    pub key: String,
    /// What has happened to it.
    pub how: Happening,
}

/// What has happened to a table or key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It has changed, while it ran.
    Changed,
    /// It has changed, and was stopped and started for it.
    Restarted,
    /// It was switched off.
    Disabled,
    /// It was switched on.
    Enabled,
}

/// What runs.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Status {
    /// Version of egret.
    pub version: &'static str,
    /// Since the daemon was started.
    pub uptime_s: u64,
    /// The cameras.
    pub cameras: Vec<CameraCondition>,
    /// The brokers.
    pub brokers: Vec<BrokerCondition>,
    /// The log filter.
    pub log_filter: String,
    /// Where what runs is not what the files said when they were read last.
    pub differences: Vec<Difference>,
}

/// What a camera does.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CameraCondition {
    /// Its name.
    pub name: String,
    /// Whether it is to run.
    pub enabled: bool,
    /// What it is doing.
    pub state: CameraState,
    /// For people: the camera's own words.
    pub detail: String,
    /// Since when.
    pub since: Stamp,
    /// Name of its model.
    pub model: String,
    /// Frames that the model has looked at.
    pub frames_inferred: u64,
}

/// How a broker is served.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BrokerCondition {
    /// Its name.
    pub name: String,
    /// Whether there is a connection.
    pub connected: bool,
    /// Why there is none, as in `egret_mqtt_failures_total`.
    pub failure: Option<&'static str>,
    /// Whether commands are heard at it.
    pub commands_heard: bool,
    /// Messages on disk that it has not acknowledged.
    pub kept: u64,
}

/// How the daemon is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Condition {
    /// Since the daemon was started.
    pub uptime_s: u64,
    /// Cameras that are to run.
    pub cameras_enabled: usize,
    /// Those of them that give pictures.
    pub cameras_online: usize,
    /// Frames that were decoded.
    pub frames_decoded: u64,
    /// Frames that a network has looked at.
    pub frames_inferred: u64,
    /// Frames that none has looked at, for whatever reason.
    pub frames_dropped: u64,
    /// Resident memory; `null` where the system does not say; so are the next two.
    pub memory_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
}

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(usize)]
pub enum Reason {
    /// There is no such verb.
    UnknownVerb,
    /// The configuration does not allow it.
    NotAllowed,
    /// The payload is not what the verb takes.
    Malformed,
    /// The payload is too large.
    TooLarge,
    /// The message was retained: it would come again with each connection.
    Retained,
    /// Its name was used for another command.
    Reused,
    /// The response topic cannot be answered on.
    ResponseTopic,
    /// Too many commands in too short a time.
    TooMany,
    /// Other commands are still being carried out.
    Busy,
    /// The daemon is ending.
    Stopping,
    /// There is no such camera.
    NoSuchCamera,
    /// There is a camera of this name.
    CameraExists,
    /// The configuration would have been wrong, or is.
    Configuration,
    /// The daemon cannot do it.
    Unavailable,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::UnknownVerb,
        Self::NotAllowed,
        Self::Malformed,
        Self::TooLarge,
        Self::Retained,
        Self::Reused,
        Self::ResponseTopic,
        Self::TooMany,
        Self::Busy,
        Self::Stopping,
        Self::NoSuchCamera,
        Self::CameraExists,
        Self::Configuration,
        Self::Unavailable,
    ];

    /// Its name in replies and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownVerb => "unknown_verb",
            Self::NotAllowed => "not_allowed",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Retained => "retained",
            Self::Reused => "reused",
            Self::ResponseTopic => "response_topic",
            Self::TooMany => "too_many",
            Self::Busy => "busy",
            Self::Stopping => "stopping",
            Self::NoSuchCamera => "no_such_camera",
            Self::CameraExists => "camera_exists",
            Self::Configuration => "configuration",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Refusal {
    /// Why, as a word.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// Everything that is wrong with the configuration that it would have been. Empty for other reasons.
    pub problems: Vec<Wrong>,
}

impl Refusal {
    /// One without problems of the configuration.
    pub fn new(reason: Reason, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason, message: message.into(), remedy: remedy.into(), problems: Vec::new() }
    }

    /// The configuration would have been wrong.
    pub fn of_problems(problems: &[Problem]) -> Self {
        let wrong = |problem: &Problem| Wrong {
            at: problem.origin.to_string(),
            key: problem.key.clone(),
            value: problem.value.clone(),
            reason: problem.reason.clone(),
            remedy: problem.remedy.clone(),
        };
        let places = if problems.len() == 1 { "place" } else { "places" };
        let message = format!("the configuration would be wrong in {} {places}, so nothing was changed", problems.len());
        Self { problems: problems.iter().map(wrong).collect(), ..Self::new(Reason::Configuration, message, "see problems") }
    }
}

/// One thing that is wrong with a configuration. Secrets are masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Wrong {
    /// Where: a place in a file, or in what commands have changed.
    pub at: String,
    /// Path of the key. Empty: a file as a whole.
    pub key: String,
    /// The value as it was given, unless it is or may hold a secret.
    pub value: Option<String>,
    /// Why it cannot be.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}
