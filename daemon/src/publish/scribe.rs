//! Messages without a broker: those that the daemon would have published of frames, the same each time.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;

use super::compose::{Composer, Now};
use crate::{
    config::{FrameFormat, MqttConfig},
    media::{Mark, Tracked},
};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it would have been published.
    pub topic: Arc<str>,
    /// JSON; empty: what is retained there would have been cleared.
    pub payload: Bytes,
    /// Whether the broker would have kept it.
    pub retained: bool,
}

/// Writes the messages of recorded frames. What would differ from run to run is fixed: the boot id is the one that is given, and each message
/// is written in the very moment of its frame's capture, by the wall clock and by the steady one.
pub struct Scribe {
    composer: Composer,
    /// Whether frames are told of.
    frames: bool,
    origin: Instant,
    first: Option<SystemTime>,
}

impl Scribe {
    /// A writer for one recording.
    pub fn new(config: &MqttConfig, device: &str, boot_id: &str) -> Self {
        let frames = config.first.publish_frames;
        Self { composer: Composer::new(config, device, boot_id), frames, origin: Instant::now(), first: None }
    }

    /// The steady clock at a frame's capture: what its [`Mark::Received`] is to be, for a latency of nothing.
    pub fn steady(&mut self, captured: SystemTime) -> Instant {
        let first = *self.first.get_or_insert(captured);
        let since = captured.duration_since(first).unwrap_or(Duration::ZERO);
        self.origin.checked_add(since).unwrap_or(self.origin)
    }

    /// The messages about a frame, in the order of their publishing.
    pub fn frame(&mut self, tracked: &Tracked, mut send: impl FnMut(Line)) {
        let steady = tracked.times.at(Mark::Received);
        let steady = steady.unwrap_or_else(|| self.steady(tracked.capture.wall));
        let now = Now { wall: tracked.capture.wall, steady };
        // A line is JSON.
        let frames = self.frames;
        let wanted = |_: &str, format| frames && format == FrameFormat::Json;
        self.composer.look(tracked, now, wanted, |topic, payload, _| {
            send(Line { topic: topic.clone(), payload, retained: false });
        });
        self.composer.frame(tracked, now, |topic, payload, sort| {
            send(Line { topic: topic.clone(), payload, retained: sort.family.retained() });
        });
    }
}
