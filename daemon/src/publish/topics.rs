//! Topics below `<base>/<device>/`, and how each family is delivered.

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
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::DeviceStatus, Self::CameraStatus, Self::Frame, Self::Track, Self::Event, Self::Count];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeviceStatus => "status",
            Self::CameraStatus => "camera_status",
            Self::Frame => "frame",
            Self::Track => "track",
            Self::Event => "event",
            Self::Count => "count",
        }
    }

    /// Whether the broker keeps the last one for new subscribers.
    pub(super) fn retained(self) -> bool {
        matches!(self, Self::DeviceStatus | Self::CameraStatus | Self::Count)
    }

    /// Whether the broker acknowledges it (QoS 1); else it may be lost on the way (QoS 0).
    pub(super) fn acknowledged(self) -> bool {
        self != Self::Frame
    }
}

/// `<base>/<device>/status`
pub fn device_status(base: &str, device: &str) -> String {
    format!("{base}/{device}/status")
}

/// `<base>/<device>/cam/<camera>/<rest>`
pub fn camera(base: &str, device: &str, camera: &str, rest: &str) -> String {
    format!("{base}/{device}/cam/{camera}/{rest}")
}
