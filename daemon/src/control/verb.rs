//! The verbs.

use schemars::JsonSchema;
use serde::Serialize;

/// What can be commanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(usize)]
pub enum Verb {
    /// What runs, and where that is not what the files say.
    Status,
    /// How the daemon is.
    Health,
    /// The files are read again, as SIGHUP does.
    Reload,
    /// Another log filter.
    Log,
    /// A camera is looked at.
    CameraEnable,
    /// A camera is not looked at.
    CameraDisable,
    /// Keys of a camera, while it runs.
    CameraSet,
    /// A camera that no file has.
    CameraAdd,
    /// A camera is taken away.
    CameraRemove,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Status,
        Self::Health,
        Self::Reload,
        Self::Log,
        Self::CameraEnable,
        Self::CameraDisable,
        Self::CameraSet,
        Self::CameraAdd,
        Self::CameraRemove,
    ];

    /// Its name: the last level of its topic.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Health => "health",
            Self::Reload => "reload",
            Self::Log => "log",
            Self::CameraEnable => "camera_enable",
            Self::CameraDisable => "camera_disable",
            Self::CameraSet => "camera_set",
            Self::CameraAdd => "camera_add",
            Self::CameraRemove => "camera_remove",
        }
    }

    /// The verb of this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == word)
    }

    /// Whether what it changes is still there after a restart; `None`: it changes nothing. What was reloaded is what the files say.
    pub fn outlives_restart(self) -> Option<bool> {
        match self {
            Self::Status | Self::Health => None,
            Self::Reload => Some(true),
            _ => Some(false),
        }
    }
}
