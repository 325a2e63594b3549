//! The dialects that are spoken beside the native contract, as the rest of the program sees them.

/// All of them; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialectsConfig {
    /// Frigate's topics.
    pub frigate: Option<FrigateConfig>,
    /// Home Assistant's discovery.
    pub home_assistant: Option<HomeAssistantConfig>,
    /// DeepStream's messages.
    pub deepstream: Option<DeepStreamConfig>,
    /// ONVIF's events and metadata.
    pub onvif: Option<OnvifConfig>,
    /// Axis' frames and tracks.
    pub axis: Option<AxisConfig>,
}

/// Frigate's topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrigateConfig {
    /// First level or levels of its topics.
    pub topic_prefix: String,
}

/// Home Assistant's discovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeAssistantConfig {
    /// First level or levels of its topics.
    pub discovery_prefix: String,
    /// Whether there are best pictures of tracks.
    pub best_shots: bool,
}

/// DeepStream's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeepStreamConfig {
    /// The one topic of all cameras.
    pub topic: String,
    /// How they are written.
    pub form: DeepStreamForm,
    /// Every how many frames of a camera, at least 1.
    pub frame_interval: u64,
}

/// How DeepStream's messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeepStreamForm {
    /// JSON, one message per object.
    Full,
    /// JSON, one message per frame.
    Minimal,
    /// Protobuf, one message per frame.
    Protobuf,
}

/// ONVIF's events and metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnvifConfig {
    /// First level or levels of its topics.
    pub topic_prefix: String,
    /// `onvif-ej`: events.
    pub events: bool,
    /// `onvif-mj`: each frame's objects.
    pub metadata: bool,
}

/// Axis' frames and tracks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AxisConfig {
    /// First level or levels of its topics.
    pub topic: String,
    /// Each frame's objects.
    pub frames: bool,
    /// Each track when it has ended.
    pub tracks: bool,
}
