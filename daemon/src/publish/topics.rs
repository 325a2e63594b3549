//! Topics below `<base>/<device>/`, and how each family is delivered.

use std::sync::Arc;

/// A kind of messages: one topic each (tracks: four; events and counts: one for each rule).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Family {
    /// `status`
    DeviceStatus,
    /// `cam/<id>/status`
    CameraStatus,
    /// `cam/<id>/frame`
    Frame,
    /// `cam/<id>/track/…`
    Track,
    /// `cam/<id>/event/<rule>`
    Event,
    /// `cam/<id>/count/<rule>` and `cam/<id>/summary/<rule>`
    Count,
    /// `health`
    Health,
    /// `cmd/<verb>/reply`, or wherever the command wants its answer
    Reply,
    /// What a dialect says of each frame.
    DialectFrame,
    /// What a dialect says of tracks, rules and counts.
    DialectEvent,
    /// What a dialect has the broker retain.
    DialectState,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::DeviceStatus,
        Self::CameraStatus,
        Self::Frame,
        Self::Track,
        Self::Event,
        Self::Count,
        Self::Health,
        Self::Reply,
        Self::DialectFrame,
        Self::DialectEvent,
        Self::DialectState,
    ];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeviceStatus => "status",
            Self::CameraStatus => "camera_status",
            Self::Frame => "frame",
            Self::Track => "track",
            Self::Event => "event",
            Self::Count => "count",
            Self::Health => "health",
            Self::Reply => "reply",
            Self::DialectFrame => "dialect_frame",
            Self::DialectEvent => "dialect_event",
            Self::DialectState => "dialect_state",
        }
    }

    /// Whether the broker keeps the last one for new subscribers.
    pub fn retained(self) -> bool {
        matches!(self, Self::DeviceStatus | Self::CameraStatus | Self::Count | Self::DialectState)
    }

    /// Whether the broker acknowledges it (QoS 1); else it may be lost on the way (QoS 0).
    pub fn acknowledged(self) -> bool {
        !self.is_per_frame()
    }

    /// Whether there is one of it for each frame.
    pub(super) fn is_per_frame(self) -> bool {
        matches!(self, Self::Frame | Self::DialectFrame)
    }

    /// Whether it is of a dialect: then what it holds is not for us to describe.
    pub(super) fn is_dialect(self) -> bool {
        matches!(self, Self::DialectFrame | Self::DialectEvent | Self::DialectState)
    }
}

/// Where messages of one kind are published: a row of the contract's table. What composes messages, what documents them and what
/// subscribes to them reads this table, and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its name in the AsyncAPI document.
    pub name: &'static str,
    /// Its topic, with `{base}`, `{device}`, `{camera}`, `{rule}` and `{verb}` for what is filled in.
    pub address: &'static str,
    /// How it is delivered.
    pub family: Family,
    /// `kind` of its messages, and the name of their schema.
    pub kind: &'static str,
    /// What is published there.
    pub says: &'static str,
}

const fn channel(name: &'static str, address: &'static str, family: Family, kind: &'static str, says: &'static str) -> Channel {
    Channel { name, address, family, kind, says }
}

/// `status`
pub const DEVICE_STATUS: Channel = channel(
    "status",
    "{base}/{device}/status",
    Family::DeviceStatus,
    "device_status",
    "Whether the daemon is there. The last will says offline.",
);
/// `cam/<id>/status`
pub const CAMERA_STATUS: Channel = channel(
    "cameraStatus",
    "{base}/{device}/cam/{camera}/status",
    Family::CameraStatus,
    "camera_status",
    "What a camera is doing, at every change and every ten seconds. Cleared when the camera is removed.",
);
/// `cam/<id>/frame`
pub const FRAME: Channel =
    channel("frame", "{base}/{device}/cam/{camera}/frame", Family::Frame, "frame", "What was seen in each frame.");
/// `cam/<id>/track/new`
pub const TRACK_NEW: Channel =
    channel("trackNew", "{base}/{device}/cam/{camera}/track/new", Family::Track, "track", "An object is followed.");
/// `cam/<id>/track/update`
pub const TRACK_UPDATE: Channel = channel(
    "trackUpdate",
    "{base}/{device}/cam/{camera}/track/update",
    Family::Track,
    "track",
    "Where it is now, at most once in [mqtt] track_update_interval.",
);
/// `cam/<id>/track/end`
pub const TRACK_END: Channel = channel(
    "trackEnd",
    "{base}/{device}/cam/{camera}/track/end",
    Family::Track,
    "track",
    "It is gone: where it was and how long.",
);
/// `cam/<id>/track/rename`
pub const TRACK_RENAME: Channel = channel(
    "trackRename",
    "{base}/{device}/cam/{camera}/track/rename",
    Family::Track,
    "rename",
    "An object that came back is known again: it goes on under the name that it had.",
);
/// `cam/<id>/event/<rule>`
pub const EVENT: Channel =
    channel("event", "{base}/{device}/cam/{camera}/event/{rule}", Family::Event, "event", "A rule was met, or is met no longer.");
/// `cam/<id>/count/<rule>`
pub const COUNT: Channel = channel(
    "count",
    "{base}/{device}/cam/{camera}/count/{rule}",
    Family::Count,
    "count",
    "What a rule counts, by class, at every change. Cleared when the rule is removed.",
);
/// `cam/<id>/summary/<rule>`
pub const SUMMARY: Channel = channel(
    "summary",
    "{base}/{device}/cam/{camera}/summary/{rule}",
    Family::Count,
    "summary",
    "Where objects were and which ways they took. Cleared when the rule is removed.",
);

/// `health`
pub const HEALTH: Channel = channel(
    "health",
    "{base}/{device}/health",
    Family::Health,
    "health",
    "How the daemon is: every minute, and when something happens to an engine.",
);

/// `loss`
pub const LOSS: Channel = channel(
    "loss",
    "{base}/{device}/loss",
    Family::Event,
    "loss",
    "Events or ends of tracks were given up before the broker had them: which, how many and why.",
);

/// `cmd/<verb>/reply`
pub const REPLY: Channel = channel(
    "reply",
    "{base}/{device}/cmd/{verb}/reply",
    Family::Reply,
    "reply",
    "What became of a command, where it names no other topic.",
);

/// The table.
pub const CHANNELS: &[Channel] = &[
    DEVICE_STATUS,
    CAMERA_STATUS,
    FRAME,
    TRACK_NEW,
    TRACK_UPDATE,
    TRACK_END,
    TRACK_RENAME,
    EVENT,
    COUNT,
    SUMMARY,
    HEALTH,
    LOSS,
    REPLY,
];

/// `cmd/<verb>`: where commands are heard. Nothing is published there.
pub const COMMAND: Channel = channel(
    "command",
    "{base}/{device}/cmd/{verb}",
    Family::Reply,
    "command",
    "What the daemon is to do, of the verbs that its configuration allows.",
);

/// Whether a word can be a level of a topic as it is: `[A-Za-z0-9_-]{1,64}`.
pub fn is_level(word: &str) -> bool {
    (1..=64).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// What is filled into an address.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// `{base}`
    pub base: &'a str,
    /// `{device}`
    pub device: &'a str,
    /// `{camera}`
    pub camera: &'a str,
    /// `{rule}`
    pub rule: &'a str,
    /// `{verb}`
    pub verb: &'a str,
}

impl Channel {
    /// Its topic at a place.
    pub fn topic(&self, place: Place<'_>) -> Arc<str> {
        let Place { base, device, camera, rule, verb } = place;
        // Level by level, so that a base topic in braces stays what it is.
        let level = |level: &'static str| match level {
            "{base}" => base,
            "{device}" => device,
            "{camera}" => camera,
            "{rule}" => rule,
            "{verb}" => verb,
            level => level,
        };
        self.address.split('/').map(level).collect::<Vec<_>>().join("/").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_topics() {
        let place = Place { base: "site/{device}", device: "box1", camera: "door", rule: "gate", verb: "reload" };
        assert_eq!(&*DEVICE_STATUS.topic(place), "site/{device}/box1/status");
        assert_eq!(&*TRACK_NEW.topic(place), "site/{device}/box1/cam/door/track/new");
        assert_eq!(&*COUNT.topic(place), "site/{device}/box1/cam/door/count/gate");
        assert_eq!(&*REPLY.topic(place), "site/{device}/box1/cmd/reload/reply");
    }

    #[test]
    fn every_family_has_a_channel_and_no_two_share_an_address_or_a_name() {
        for family in Family::ALL.into_iter().filter(|family| !family.is_dialect()) {
            assert!(CHANNELS.iter().any(|channel| channel.family == family), "{family:?}");
        }
        for (i, channel) in CHANNELS.iter().enumerate() {
            let same = |other: &&Channel| other.address == channel.address || other.name == channel.name;
            assert!(!CHANNELS[..i].iter().any(|other| same(&other)), "{channel:?}");
        }
    }
}
